//! The way of all units from one dispatch to the next: straight, in stages of a step of the loop,
//! as fast as the slowest unit. A stage's setpoint brings its unit to where it is to be when the next
//! stage is sent: most devices can be told how fast to rise, few how fast to fall, and none knows of
//! the others.
//!
//! A feeder that is beyond its limits has no business there: units then go directly, each as fast
//! as it may.

use std::collections::BTreeMap;

use solver::{
    dispatch::{Power, Way, shares},
    market::clearing::Award,
    network::Id,
};

use crate::{clock::US, site::Unit};

/// Reactive power that moves by less than this share of nameplate is not waited for.
const Q_SMALL: f64 = 0.02;

/// Where a unit is to be now, and how fast it gets there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) power: Power,
    pub(super) ramp_w_per_s: f64,
    /// More stages follow.
    pub(super) under_way: bool,
}

impl Stage {
    /// To where it is to be, as fast as it may.
    pub(super) fn directly(unit: &Unit, power: Power) -> Self {
        Self {
            power,
            ramp_w_per_s: unit.ramp_w_per_s,
            under_way: false,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    interval: i64,
    begun_us: i64,
    stage_s: f64,
    /// Of the way, at the end of each stage.
    shares: Vec<f64>,
    ways: BTreeMap<Id, Way>,
}

impl Path {
    /// The way to an interval's awards from where the units are, its linear part in `most_s` at
    /// most; 0: directly. Whose power is not known goes directly.
    pub(super) fn new<'a>(
        (interval, begun_us): (i64, i64),
        (stage_s, most_s): (f64, f64),
        awards: impl IntoIterator<Item = (&'a Unit, &'a Award, Option<Power>)>,
    ) -> Self {
        let way = |(unit, award, from): (&Unit, &Award, Option<Power>)| {
            let from = from?;
            let small = (award.q_var - from.q_var).abs() < Q_SMALL * unit.q_rated_var;
            let way = Way {
                from,
                to: Power {
                    p_w: award.p_w,
                    q_var: award.q_var,
                },
                ramp_w_per_s: unit.ramp_w_per_s,
                q_lag_s: if small { 0.0 } else { unit.q_lag_s },
            };
            Some((unit.id, way))
        };
        let ways: BTreeMap<Id, Way> = awards.into_iter().filter_map(way).collect();
        let all: Vec<Way> = ways.values().copied().collect();
        Self {
            interval,
            begun_us,
            stage_s,
            shares: shares(&all, stage_s, most_s),
            ways,
        }
    }

    /// The interval that it leads to.
    pub(super) fn interval(&self) -> i64 {
        self.interval
    }

    /// The stage that a unit is told at a moment.
    pub(super) fn stage(&self, unit: &Unit, award: &Award, now_us: i64) -> Stage {
        // Steps of the loop are nearly, not exactly, a stage apart.
        let passed = (now_us - self.begun_us) as f64 / US as f64 / self.stage_s;
        let stage = (passed + 0.25).max(0.0) as usize;
        let end = self.shares.get(stage).filter(|_| self.shares.len() > 1);
        let Some((way, &end)) = self.ways.get(&unit.id).zip(end) else {
            let power = Power {
                p_w: award.p_w,
                q_var: award.q_var,
            };
            return Stage::directly(unit, power);
        };
        let begin = stage.checked_sub(1).map_or(0.0, |k| self.shares[k]);
        // Whole percents of nameplate are all that SunSpec model 704 can be told; who rounds down
        // is late at every stage.
        let percent = unit.p_rated_w / 100.0;
        let rate = (end - begin) * (way.to.p_w - way.from.p_w).abs() / self.stage_s / percent;
        Stage {
            power: way.told((begin, end), self.stage_s),
            ramp_w_per_s: (rate.ceil().max(1.0) * percent).min(unit.ramp_w_per_s),
            under_way: end < 1.0,
        }
    }
}
