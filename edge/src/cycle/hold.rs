//! Units held at a power, by the DSO's control centre or by an operator, until they are given back or the
//! time is over. Either outranks safety limits and market, and the control centre the operator
//! (invariant 4): what an operator holds meanwhile waits, and its time runs.
//!
//! A held unit takes no part in clearings; given back, it goes, at its ramp, to who comes next: the
//! operator's hold, or the running interval's award. Where that interval was cleared without the unit, it
//! stays where it was counted on to be until the next.

use std::{collections::BTreeMap, time::Duration};

use protocols::point::Origin;
use solver::{
    dispatch::{Authority, Power},
    market::clearing::Award,
    network::Id,
};

use super::{
    alarms::Severity,
    step::{Cycle, market_unit},
};
use crate::{
    clock::{US, rfc3339, rfc3339_s},
    site::Unit,
    store::{Hold, Holder, Record},
    table::Snapshot,
    web::api::{HoldView, Problem},
};

/// What units are held at, by whom; in a unit's holds the first outranks the second.
pub type Holds = BTreeMap<(Id, Holder), Held>;

/// A unit's hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Which master, or which user.
    pub by: String,
    /// At what, and until when.
    pub at: Hold,
}

/// What a control centre or an operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldCommand {
    /// Who.
    pub holder: Holder,
    /// Which master, or which user.
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

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (error, accepted) = match refusal {
            Refusal::Unknown => ("unknown_unit", "a unit of the site"),
            Refusal::OutOfRange => ("out_of_range", "power within the unit's nameplate"),
            Refusal::Offline => ("device_offline", "a unit whose device answers"),
        };
        Self {
            error: error.to_owned(),
            message: refusal.to_string(),
            accepted: Some(accepted.to_owned()),
        }
    }
}

/// What a unit was held at that was given back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kept {
    power: Power,
    /// Start of the first interval whose gate closed after that.
    until_us: i64,
}

/// An interval's awards, and of units that it was cleared without what they were counted on to do.
pub(super) fn with_kept(awards: &[Award], kept: &BTreeMap<Id, Kept>) -> Vec<Award> {
    let is_awarded = |unit: Id| awards.iter().any(|award| award.unit == unit);
    let without = kept.iter().filter(|(unit, _)| !is_awarded(**unit));
    let as_award = without.map(|(unit, Kept { power, .. })| Award {
        unit: *unit,
        p_w: power.p_w,
        q_var: power.q_var,
    });
    awards.iter().copied().chain(as_award).collect()
}

/// The hold of a unit that is in force.
pub(super) fn in_force(holds: &Holds, unit: Id) -> Option<(Holder, &Held)> {
    let mut of_unit = holds.range((unit, Holder::Scada)..=(unit, Holder::Operator));
    of_unit.next().map(|((_, holder), held)| (*holder, held))
}

/// What is asked of a unit by who holds it.
pub(super) fn asked(holds: &Holds, unit: Id) -> impl Iterator<Item = (Authority, Power)> {
    let of_unit = holds.range((unit, Holder::Scada)..=(unit, Holder::Operator));
    of_unit.map(|((_, holder), held)| ((*holder).into(), held.at.power()))
}

impl Hold {
    fn power(&self) -> Power {
        Power {
            p_w: self.p_w,
            q_var: self.q_var,
        }
    }
}

impl From<Holder> for Origin {
    fn from(holder: Holder) -> Self {
        match holder {
            Holder::Scada => Self::Scada,
            Holder::Operator => Self::Operator,
        }
    }
}

impl From<Holder> for Authority {
    fn from(holder: Holder) -> Self {
        match holder {
            Holder::Scada => Self::Scada,
            Holder::Operator => Self::Operator,
        }
    }
}

impl Cycle {
    /// Decides on a command; nothing changes until its record is durable and [`Self::restore`]d.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide_command(
        &self,
        command: HoldCommand,
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
            holder: command.holder,
            by: command.by,
            unit: command.unit,
            hold,
        })
    }

    /// Takes over a command on record.
    pub(super) fn commanded(
        &mut self,
        (unit, holder): (Id, Holder),
        by: &str,
        hold: Option<&Hold>,
        now_us: i64,
    ) {
        match hold {
            Some(at) => {
                let held = Held {
                    by: by.to_owned(),
                    at: at.clone(),
                };
                self.holds.insert((unit, holder), held);
                self.kept.remove(&unit);
            }
            None => self.give_back(unit, holder, now_us),
        }
        self.show_holds(unit, now_us);
    }

    fn give_back(&mut self, unit: Id, holder: Holder, now_us: i64) {
        let Some(was) = self.holds.remove(&(unit, holder)) else {
            return;
        };
        if in_force(&self.holds, unit).is_none() {
            let product = &self.book.product;
            let open = product.open_intervals(now_us).next();
            let until_us = open.map_or(now_us, |start| product.start_us(start));
            let power = was.at.power();
            self.kept.insert(unit, Kept { power, until_us });
        }
    }

    /// Alarms as long as a unit is held; they are the list of who holds what.
    fn show_holds(&mut self, unit: Id, now_us: i64) {
        let found = self.site.units.iter().find(|u| u.id == unit);
        let Some(name) = found.map(|u| u.name.clone()) else {
            return;
        };
        let first = in_force(&self.holds, unit).map(|(holder, _)| holder);
        for holder in [Holder::Scada, Holder::Operator] {
            let code = match holder {
                Holder::Scada => "scada_control",
                Holder::Operator => "operator_control",
            };
            let Some(Held { by, at }) = self.holds.get(&(unit, holder)) else {
                self.alarms.clear(code, &name, now_us);
                continue;
            };
            let until = rfc3339_s(at.until_us.div_euclid(US));
            let (p_w, q_var) = (at.p_w, at.q_var);
            let mut text = format!(
                "{by} holds {name} at {p_w:.0} W and {q_var:.0} var, until {until} unless renewed"
            );
            if first != Some(holder) {
                text.push_str("; the control centre outranks that");
            }
            self.alarms.raise(Severity::Info, code, &name, text, now_us);
        }
    }

    /// Commands that were not renewed end, and with the intervals that did without a unit ends that it
    /// stays where it was.
    pub(super) fn end_holds(&mut self, now_us: i64) {
        let over = |held: &&Held| held.at.until_us <= now_us;
        let over: Vec<(Id, Holder)> = self
            .holds
            .iter()
            .filter(|(_, held)| over(held))
            .map(|(of, _)| *of)
            .collect();
        for (unit, holder) in over {
            tracing::warn!(unit, ?holder, "a hold was not renewed: it ends");
            self.commanded((unit, holder), "", None, now_us);
        }
        self.kept.retain(|_, kept| kept.until_us > now_us);
    }

    /// Who holds what, as shown.
    pub(super) fn holds_view(&self) -> Vec<HoldView> {
        let view = |((unit, holder), held): (&(Id, Holder), &Held)| HoldView {
            unit: *unit,
            origin: match holder {
                Holder::Scada => "scada",
                Holder::Operator => "operator",
            }
            .to_owned(),
            by: held.by.clone(),
            p_w: held.at.p_w,
            q_var: held.at.q_var,
            until: rfc3339(held.at.until_us),
            in_force: in_force(&self.holds, *unit).is_some_and(|(first, _)| first == *holder),
        };
        self.holds.iter().map(view).collect()
    }
}

fn within_nameplate(unit: &Unit, (p_w, q_var): (f64, f64)) -> bool {
    let nameplate = market_unit(unit).capability;
    (nameplate.p_min_w..=nameplate.p_max_w).contains(&p_w) && q_var.abs() <= nameplate.q_max_var
}
