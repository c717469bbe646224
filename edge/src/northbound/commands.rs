//! What control centres command, whatever the protocol: a unit is taken over at a power, and given back;
//! a breaker is operated.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protocols::point::PointId;
use solver::network::Id;
use tokio::sync::oneshot;

use super::points;
use crate::{
    cycle::{HoldCommand, NotSwitched, Refusal, SwitchCommand, SwitchStep},
    published::{Handle, Request},
    site::Site,
    store::Holder,
};

/// A command, understood.
pub(super) struct Asked {
    /// Which control centre.
    pub(super) by: String,
    pub(super) what: What,
}

pub(super) enum What {
    Unit(Id, Change),
    /// Close it, or else open it.
    Breaker(PointId, bool),
}

pub(super) enum Change {
    /// Take over, or give back.
    Held(bool),
    /// Active (0) or reactive (1) power to hold it at.
    Preset(usize, f64),
}

/// Why a command is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Loop(Refusal),
    #[error(transparent)]
    Breaker(NotSwitched),
    /// To be taken over, and nobody has said at what.
    #[error("no power to hold it at has been set")]
    NothingPreset,
    #[error("the appliance is stopping")]
    Stopping,
}

/// What each output commands, by its index in the list of points.
#[derive(Debug)]
pub(super) struct Outputs {
    units: Vec<Id>,
    breakers: Vec<PointId>,
}

impl Outputs {
    pub(super) fn of(site: &Site) -> Self {
        Self {
            units: site.units.iter().map(|unit| unit.id).collect(),
            breakers: site.breakers().map(|of| of.command).collect(),
        }
    }

    /// Of a binary output; none: there is no such output.
    pub(super) fn binary(&self, index: usize, on: bool) -> Option<What> {
        match index.checked_sub(points::BREAKERS) {
            Some(k) => Some(What::Breaker(self.breakers.get(k)?.clone(), on)),
            None => Some(What::Unit(*self.units.get(index)?, Change::Held(on))),
        }
    }

    /// Of an analog one: two a unit.
    pub(super) fn analog(&self, index: usize, value: f64) -> Option<What> {
        let unit = *self.units.get(index / 2)?;
        Some(What::Unit(unit, Change::Preset(index % 2, value)))
    }
}

/// Brings commands to the loop.
#[derive(Debug)]
pub(super) struct Commander {
    /// How long a command lasts unless renewed.
    lasts: Duration,
    /// What each unit is to be held at once it is taken over: active and reactive power.
    preset: BTreeMap<Id, [Option<f64>; 2]>,
}

impl Commander {
    pub(super) fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            preset: BTreeMap::new(),
        }
    }

    /// Does a step of it. What holds a unit has no steps: a selection only says whether it would be done.
    pub(super) async fn carry_out(
        &mut self,
        Asked { by, what }: Asked,
        step: SwitchStep,
        handle: &Handle,
    ) -> Result<(), Refused> {
        match what {
            What::Unit(..) if step == SwitchStep::Deselect => Ok(()),
            What::Unit(unit, change) => {
                let check = matches!(step, SwitchStep::Check | SwitchStep::Select);
                self.hold(by, (unit, change), check, handle).await
            }
            What::Breaker(breaker, close) => {
                let command = SwitchCommand {
                    holder: Holder::Scada,
                    by,
                    breaker,
                    close,
                };
                let (answer, answered) = oneshot::channel();
                let request = Request::Switch {
                    command,
                    step,
                    answer,
                };
                let sent = handle.requests.send(request).await;
                sent.map_err(|_| Refused::Stopping)?;
                let done = answered.await.map_err(|_| Refused::Stopping)?;
                done.map_err(Refused::Breaker)
            }
        }
    }

    async fn hold(
        &mut self,
        by: String,
        (unit, change): (Id, Change),
        check: bool,
        handle: &Handle,
    ) -> Result<(), Refused> {
        let holds = Arc::clone(&handle.published.borrow().holds);
        let held = holds.get(&(unit, Holder::Scada)).map(|held| &held.at);
        let preset = self.preset.get(&unit).copied().unwrap_or_default();
        // What is held and not preset since is renewed as it is.
        let or = |part: Option<f64>, held: Option<f64>| part.or(held);
        let mut power = [
            or(preset[0], held.map(|hold| hold.p_w)),
            or(preset[1], held.map(|hold| hold.q_var)),
        ];
        let hold = match change {
            Change::Held(false) => None,
            Change::Held(true) => match power[0] {
                Some(p_w) => Some((p_w, power[1].unwrap_or(0.0))),
                None => return Err(Refused::NothingPreset),
            },
            Change::Preset(part, value) => {
                power[part] = Some(value);
                Some((power[0].unwrap_or(0.0), power[1].unwrap_or(0.0)))
            }
        };
        // A preset of a unit that is not held is kept here until it is.
        let only_check = check || (held.is_none() && matches!(change, Change::Preset(..)));
        let command = HoldCommand {
            holder: Holder::Scada,
            by,
            unit,
            hold,
            lasts: self.lasts,
        };
        let (answer, answered) = oneshot::channel();
        let request = Request::Command {
            command,
            check: only_check,
            answer,
        };
        let sent = handle.requests.send(request).await;
        sent.map_err(|_| Refused::Stopping)?;
        let decided = answered.await.map_err(|_| Refused::Stopping)?;
        decided.map_err(Refused::Loop)?;
        if let Change::Preset(part, value) = change
            && !check
        {
            self.preset.entry(unit).or_default()[part] = Some(value);
        }
        Ok(())
    }
}
