//! The present values of a controlled station, and what of their changes is worth an event.

use super::PointConfig;
use crate::{
    iec104::{Kind, Qds, Sample},
    point::Value,
};

#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) config: PointConfig,
    pub(super) sample: Sample,
    /// Value and descriptor of the last event.
    reported: (Value, Qds),
}

/// Points by address.
#[derive(Clone, Debug)]
pub(super) struct Database {
    points: Vec<Point>,
}

impl Database {
    /// All unmeasured.
    pub(super) fn new(points: impl IntoIterator<Item = PointConfig>) -> Self {
        let unmeasured = |config: PointConfig| {
            let kind = config.kind;
            let sample = Sample {
                value: kind.unmeasured(),
                qds: Qds::of(kind) & (Qds::NT | Qds::IV),
                time: None,
            };
            Point {
                config,
                sample,
                reported: (sample.value, sample.qds),
            }
        };
        let mut points: Vec<Point> = points.into_iter().map(unmeasured).collect();
        points.sort_by_key(|point| point.config.ioa);
        Self { points }
    }

    /// In the order of their addresses.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    pub(super) fn get(&self, ioa: u32) -> Option<&Point> {
        let at = self.points.binary_search_by_key(&ioa, |p| p.config.ioa);
        Some(&self.points[at.ok()?])
    }

    /// Takes over a value; whether it makes an event. None: there is no such point, or not of such
    /// values.
    pub(super) fn update(&mut self, ioa: u32, sample: Sample) -> Option<(Kind, bool)> {
        let at = self.points.binary_search_by_key(&ioa, |p| p.config.ioa);
        let point = &mut self.points[at.ok()?];
        let kind = point.config.kind;
        if !kind.holds(sample.value) {
            return None;
        }
        point.sample = sample;
        let (value, qds) = point.reported;
        let moved = match (value, sample.value) {
            (Value::Analog(before), Value::Analog(now)) => {
                // No number beside a number, or the other way round, has moved.
                let still = (now - before).abs() <= point.config.dead_band;
                !(still || now.is_nan() && before.is_nan())
            }
            (Value::Counter(before), Value::Counter(now)) => {
                now.abs_diff(before) as f64 > point.config.dead_band
            }
            (before, now) => before != now,
        };
        let event = moved || qds != sample.qds;
        if event {
            point.reported = (sample.value, sample.qds);
        }
        Some((kind, event))
    }
}
