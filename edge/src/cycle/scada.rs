//! What the DSO's control centre commands: a unit held at a power, until it is given back or the
//! command is not renewed in time. It outranks operator, safety limits and market (invariant 4).
//!
//! A held unit takes no part in clearings; given back, it goes to the running interval's award at
//! its ramp, or, where there is none, falls back when its lease ends.

use std::{collections::BTreeMap, time::Duration};

use solver::network::Id;

use super::{
    alarms::Severity,
    step::{Cycle, market_unit},
};
use crate::{
    clock::{US, rfc3339},
    site::Unit,
    store::{Hold, Record},
    table::Snapshot,
};

/// What a control centre asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ScadaCommand {
    /// Which master.
    pub by: String,
    /// Which unit.
    pub unit: Id,
    /// Active and reactive power to hold it at, generation-positive, W and var; none: given back.
    pub hold: Option<(f64, f64)>,
    /// How long it is held unless renewed.
    pub lasts: Duration,
}

/// Why it is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such unit.
    #[error("there is no such unit")]
    Unknown,
    /// Beyond nameplate, or no number.
    #[error("it is beyond the unit's nameplate")]
    OutOfRange,
    /// Its device does not answer.
    #[error("the unit's device does not answer")]
    Offline,
}

impl Cycle {
    /// Decides on a command; nothing changes until its record is durable and [`Self::restore`]d.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide_command(
        &self,
        command: ScadaCommand,
        snapshot: &Snapshot,
        now_us: i64,
    ) -> Result<Record, Refusal> {
        let mut units = self.site.units.iter();
        let unit = units.find(|unit| unit.id == command.unit);
        let unit = unit.ok_or(Refusal::Unknown)?;
        let hold = match command.hold {
            Some(power) => {
                if !within_nameplate(unit, power) {
                    return Err(Refusal::OutOfRange);
                }
                if !snapshot.online(&unit.device) {
                    return Err(Refusal::Offline);
                }
                let hold_us = command.lasts.as_micros();
                let (p_w, q_var) = power;
                Some(Hold {
                    p_w,
                    q_var,
                    until_us: now_us.saturating_add(i64::try_from(hold_us).unwrap_or(i64::MAX)),
                })
            }
            None => None,
        };
        Ok(Record::Commanded {
            at_us: now_us,
            by: command.by,
            unit: command.unit,
            hold,
        })
    }

    /// Takes over a command on record.
    pub(super) fn commanded(&mut self, unit: Id, by: &str, hold: Option<&Hold>, now_us: i64) {
        let found = self.site.units.iter().find(|u| u.id == unit);
        let Some(name) = found.map(|u| u.name.clone()) else {
            return;
        };
        let Some(hold) = hold else {
            self.holds.remove(&unit);
            self.alarms.clear("scada_control", &name, now_us);
            return;
        };
        self.holds.insert(unit, hold.clone());
        let text = format!(
            "{by} holds {name} at {:.0} W and {:.0} var, until {} unless renewed",
            hold.p_w,
            hold.q_var,
            rfc3339(hold.until_us - hold.until_us.rem_euclid(US))
        );
        self.alarms
            .raise(Severity::Info, "scada_control", &name, text, now_us);
    }

    /// Commands that were not renewed end.
    pub(super) fn end_holds(&mut self, now_us: i64) {
        let over: Vec<Id> = over(&self.holds, now_us).collect();
        for unit in over {
            tracing::warn!(
                unit,
                "the control centre's command was not renewed: it ends"
            );
            self.commanded(unit, "", None, now_us);
        }
    }
}

fn over(holds: &BTreeMap<Id, Hold>, now_us: i64) -> impl Iterator<Item = Id> {
    let ended = holds
        .iter()
        .filter(move |(_, hold)| hold.until_us <= now_us);
    ended.map(|(unit, _)| *unit)
}

fn within_nameplate(unit: &Unit, (p_w, q_var): (f64, f64)) -> bool {
    let nameplate = market_unit(unit).capability;
    (nameplate.p_min_w..=nameplate.p_max_w).contains(&p_w) && q_var.abs() <= nameplate.q_max_var
}
