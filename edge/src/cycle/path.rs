//! The way of all units from one dispatch to the next: straight, in as many stages as steps of the
//! loop fit into the time that the slowest unit needs. A stage's setpoint is where its unit is to
//! be when the next stage is sent: most devices can be told how fast to rise, few how fast to fall,
//! and none knows of the others.
//!
//! A feeder that is beyond its limits has no business there: units then go directly, each as fast
//! as it may.

use std::collections::BTreeMap;

use solver::{
    dispatch::{Power, Way, common_time_s},
    market::clearing::Award,
    network::Id,
};

use crate::{clock::US, site::Unit};

/// Where a unit is to be now, and how fast it gets there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) power: Power,
    pub(super) ramp_w_per_s: f64,
    /// More stages follow.
    pub(super) under_way: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    interval: i64,
    begun_us: i64,
    time_s: f64,
    stage_s: f64,
    ways: BTreeMap<Id, Way>,
}

impl Path {
    /// The way to an interval's awards from where the units are. Whose power is not known goes
    /// directly, as do all when the way takes no more than a stage.
    pub(super) fn new<'a>(
        (interval, begun_us): (i64, i64),
        (stage_s, most_s): (f64, f64),
        awards: impl IntoIterator<Item = (&'a Unit, &'a Award, Option<Power>)>,
    ) -> Self {
        let way = |(unit, award, from): (&Unit, &Award, Option<Power>)| {
            let way = Way {
                from: from?,
                to: Power {
                    p_w: award.p_w,
                    q_var: award.q_var,
                },
                ramp_w_per_s: unit.ramp_w_per_s,
            };
            Some((unit.id, way))
        };
        let ways: BTreeMap<Id, Way> = awards.into_iter().filter_map(way).collect();
        Self {
            interval,
            begun_us,
            time_s: common_time_s(ways.values(), most_s),
            stage_s,
            ways,
        }
    }

    /// The interval that it leads to.
    pub(super) fn interval(&self) -> i64 {
        self.interval
    }

    /// The stage that a unit is told at a moment.
    pub(super) fn stage(&self, unit: &Unit, award: &Award, now_us: i64) -> Stage {
        let passed_s = (now_us - self.begun_us) as f64 / US as f64;
        let staged = self.time_s > self.stage_s && passed_s < self.time_s;
        let Some(way) = self.ways.get(&unit.id).filter(|_| staged) else {
            return Stage {
                power: Power {
                    p_w: award.p_w,
                    q_var: award.q_var,
                },
                ramp_w_per_s: unit.ramp_w_per_s,
                under_way: false,
            };
        };
        let share = (passed_s + self.stage_s) / self.time_s;
        // Whole percents of nameplate are all that SunSpec model 704 can be told; who rounds down
        // is late at every stage.
        let percent = unit.p_rated_w / 100.0;
        let rate = way.rate_w_per_s(self.time_s) / percent;
        Stage {
            power: way.at(share),
            ramp_w_per_s: (rate.ceil().max(1.0) * percent).min(unit.ramp_w_per_s),
            under_way: share < 1.0,
        }
    }
}
