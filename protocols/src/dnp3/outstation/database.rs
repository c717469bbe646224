//! The present values of an outstation, and what of their changes is worth an event.

use super::{Class, PointConfig, buffer::Event};
use crate::{
    dnp3::{
        Flags, Kind, Sample,
        app::{Layout, Variation, Writer, find},
    },
    point::{Timestamp, Value},
};

#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) config: PointConfig,
    pub(super) sample: Sample,
    /// Value and flags of the last event.
    reported: (Value, Flags),
    /// What a counter showed when it was last cleared.
    cleared_at: u64,
}

/// Points by kind and index.
#[derive(Clone, Debug)]
pub(super) struct Database {
    points: [Vec<Point>; Kind::ALL.len()],
    octets: Vec<(u16, Vec<u8>)>,
}

/// Present values that are still to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) what: What,
    /// The next index to be sent; beyond `stop` when all have been.
    pub(super) next: u32,
    pub(super) stop: u32,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Points(Kind, Option<u8>),
    DeadBands(u8),
    Octets,
}

impl Database {
    pub(super) fn new(points: &[PointConfig]) -> Self {
        let mut sorted: [Vec<Point>; Kind::ALL.len()] = Default::default();
        for &config in points {
            let value = config.kind.unmeasured();
            let flags = Flags::RESTART;
            sorted[config.kind as usize].push(Point {
                config,
                sample: Sample {
                    value,
                    flags,
                    time: None,
                },
                reported: (value, flags),
                cleared_at: 0,
            });
        }
        for points in &mut sorted {
            points.sort_by_key(|point| point.config.index);
        }
        Self {
            points: sorted,
            octets: Vec::new(),
        }
    }

    pub(super) fn get(&self, kind: Kind, index: u16) -> Option<&Point> {
        let points = &self.points[kind as usize];
        let at = points.binary_search_by_key(&index, |point| point.config.index);
        points.get(at.ok()?)
    }

    fn get_mut(&mut self, kind: Kind, index: u16) -> Option<&mut Point> {
        let points = &mut self.points[kind as usize];
        let at = points.binary_search_by_key(&index, |point| point.config.index);
        points.get_mut(at.ok()?)
    }

    /// Points of a kind within a range of indices.
    pub(super) fn range_mut(&mut self, kind: Kind, start: u32, stop: u32) -> &mut [Point] {
        let points = &mut self.points[kind as usize];
        let from = points.partition_point(|point| u32::from(point.config.index) < start);
        let to = points.partition_point(|point| u32::from(point.config.index) <= stop);
        &mut points[from..to.max(from)]
    }

    /// Takes in a new value; `Err` where there is no such point or its values are of another type,
    /// else the event that the change makes.
    pub(super) fn update(
        &mut self,
        kind: Kind,
        index: u16,
        sample: Sample,
    ) -> Result<Option<Event>, ()> {
        let point = self.get_mut(kind, index).ok_or(())?;
        if !kind.holds(sample.value) {
            return Err(());
        }
        point.sample = sample;
        if let Value::Counter(count) = sample.value {
            point.sample.value = Value::Counter(count.wrapping_sub(point.cleared_at));
        }
        let moved = has_moved(point.sample.value, point.reported.0, point.config.dead_band);
        let changed = moved || sample.flags != point.reported.1;
        Ok(if changed { point.event() } else { None })
    }

    /// The event of a command given to an output, if there is to be one.
    pub(super) fn command_event(
        &mut self,
        kind: Kind,
        index: u16,
        sample: Sample,
    ) -> Option<Event> {
        let point = self.get_mut(kind, index)?;
        point.sample = sample;
        point.event()
    }

    /// Sets an octet string of 1 to 255 octets; others are not taken.
    pub(super) fn set_octets(&mut self, index: u16, octets: Vec<u8>) -> bool {
        if !(1..=255).contains(&octets.len()) {
            return false;
        }
        match self
            .octets
            .binary_search_by_key(&index, |(index, _)| *index)
        {
            Ok(at) => self.octets[at].1 = octets,
            Err(at) => self.octets.insert(at, (index, octets)),
        }
        true
    }

    /// Freezes counters within a range into the frozen counters of the same index.
    pub(super) fn freeze(
        &mut self,
        (start, stop): (u32, u32),
        clear: bool,
        time: Timestamp,
    ) -> Vec<(u16, Option<Event>)> {
        let mut counters = Vec::new();
        for counter in self.range_mut(Kind::Counter, start, stop) {
            counters.push((counter.config.index, counter.sample));
            if let (true, Value::Counter(count)) = (clear, counter.sample.value) {
                counter.cleared_at = counter.cleared_at.wrapping_add(count);
                counter.sample.value = Value::Counter(0);
                counter.reported.0 = Value::Counter(0);
            }
        }
        let mut frozen = Vec::new();
        for (index, sample) in counters {
            if let Some(point) = self.get_mut(Kind::FrozenCounter, index) {
                point.sample = Sample {
                    time: Some(time),
                    ..sample
                };
                frozen.push((index, point.event()));
            }
        }
        frozen
    }

    /// All present values: class 0.
    pub(super) fn class_0(&self) -> impl Iterator<Item = Selection> {
        let kinds = Kind::ALL
            .into_iter()
            .filter(|kind| kind.static_group().is_some());
        kinds
            .map(|kind| Selection::all(What::Points(kind, None)))
            .chain([Selection::all(What::Octets)])
    }

    /// Whether anything is within the range, and whether the whole range is there.
    pub(super) fn covers(&self, selection: &Selection) -> (bool, bool) {
        let within = |index: u16| (selection.next..=selection.stop).contains(&index.into());
        let found = match selection.what {
            What::Points(kind, _) => self.points[kind as usize]
                .iter()
                .filter(|point| within(point.config.index))
                .count(),
            What::DeadBands(_) => self.points[Kind::Analog as usize]
                .iter()
                .filter(|point| within(point.config.index))
                .count(),
            What::Octets => self
                .octets
                .iter()
                .filter(|(index, _)| within(*index))
                .count(),
        };
        let asked = u64::from(selection.stop) + 1 - u64::from(selection.next);
        (found > 0, found as u64 == asked)
    }

    /// Writes present values until the selection is done (true) or there is no more room.
    pub(super) fn write(&self, selection: &mut Selection, writer: &mut Writer) -> bool {
        match selection.what {
            What::Points(kind, variation) => {
                self.write_points(kind, selection, writer, |point, writer| {
                    let Some(variation) = static_variation(point, variation) else {
                        return true;
                    };
                    writer.value(&variation, point.config.index, &point.sample)
                })
            }
            What::DeadBands(number) => {
                self.write_points(Kind::Analog, selection, writer, |point, writer| {
                    let Some(variation) = find(34, number) else {
                        return true;
                    };
                    let octets = dead_band_octets(&variation, point.config.dead_band);
                    writer.octets(&variation, point.config.index, &octets)
                })
            }
            What::Octets => {
                let from = self
                    .octets
                    .partition_point(|(i, _)| u32::from(*i) < selection.next);
                for (index, octets) in &self.octets[from..] {
                    if u32::from(*index) > selection.stop {
                        break;
                    }
                    // Of 1 to 255 octets.
                    let Some(variation) = find(110, octets.len() as u8) else {
                        continue;
                    };
                    if !writer.octets(&variation, *index, octets) {
                        return false;
                    }
                    selection.next = u32::from(*index) + 1;
                }
                true
            }
        }
    }

    fn write_points(
        &self,
        kind: Kind,
        selection: &mut Selection,
        writer: &mut Writer,
        mut write: impl FnMut(&Point, &mut Writer) -> bool,
    ) -> bool {
        let points = &self.points[kind as usize];
        let from = points.partition_point(|point| u32::from(point.config.index) < selection.next);
        for point in &points[from..] {
            if u32::from(point.config.index) > selection.stop {
                break;
            }
            if !write(point, writer) {
                return false;
            }
            selection.next = u32::from(point.config.index) + 1;
        }
        true
    }
}

impl Selection {
    /// Everything of a kind.
    pub(super) fn all(what: What) -> Self {
        Self {
            what,
            next: 0,
            stop: u16::MAX.into(),
        }
    }
}

impl Point {
    /// The event of its present value, if it makes events; taken for reported.
    fn event(&mut self) -> Option<Event> {
        let class = self.config.class?;
        self.reported = (self.sample.value, self.sample.flags);
        Some(Event {
            kind: self.config.kind,
            index: self.config.index,
            class,
            sample: self.sample,
            variation: self.config.event_variation,
        })
    }

    /// Puts it in another class.
    pub(super) fn assign(&mut self, class: Option<Class>) {
        self.config.class = class;
        self.reported = (self.sample.value, self.sample.flags);
    }
}

fn has_moved(value: Value, reported: Value, dead_band: f64) -> bool {
    match (value, reported) {
        (Value::Analog(value), Value::Analog(reported)) => {
            (value - reported).abs() > dead_band || value.is_nan() != reported.is_nan()
        }
        (Value::Counter(value), Value::Counter(reported)) => {
            // Counters wrap: the way from one to the other, either way round.
            let up = value.wrapping_sub(reported);
            up.min(up.wrapping_neg()) as f64 > dead_band
        }
        (value, reported) => value != reported,
    }
}

/// The variation in which a present value goes. One without flags may only say that all is well
/// (Annex A): else the one with flags that is like it is sent.
fn static_variation(point: &Point, asked: Option<u8>) -> Option<Variation> {
    let group = point.config.kind.static_group()?;
    let number = asked.unwrap_or(point.config.static_variation);
    let variation = find(group, number)?;
    let over =
        |max: f64| matches!(point.sample.value, Value::Analog(v) if v.abs() > max || v.is_nan());
    let doubtful = point.sample.flags != Flags::ONLINE
        || group == 30
            && (number == 3 && over(i32::MAX.into()) || number == 4 && over(i16::MAX.into()));
    if variation.has_flags() || !doubtful {
        return Some(variation);
    }
    let with_flags = match (group, number) {
        (1 | 3 | 10, 1) => 2,
        (20, 5) | (21, 9) | (30, 3) => 1,
        (20, 6) | (21, 10) | (30, 4) => 2,
        _ => number,
    };
    find(group, with_flags)
}

fn dead_band_octets(variation: &Variation, dead_band: f64) -> Vec<u8> {
    use crate::dnp3::app::Number;
    // Conversions with `as` limit, and a dead band is not negative.
    match variation.layout {
        Layout::DeadBand(Number::U16) => (dead_band.round() as u16).to_le_bytes().to_vec(),
        Layout::DeadBand(Number::U32) => (dead_band.round() as u32).to_le_bytes().to_vec(),
        _ => (dead_band as f32).to_le_bytes().to_vec(),
    }
}
