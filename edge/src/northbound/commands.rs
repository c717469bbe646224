//! What control centres command, whatever the protocol: a unit is taken over at a power, and given back;
//! a breaker is operated.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protocols::point::PointId;
use solver::network::Id;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::{
    der::{self, Der, Order, Unfit},
    points,
};
use crate::{
    cycle::{HoldCommand, NotSwitched, Refusal, SwitchCommand, SwitchStep},
    published::{Handle, Request},
    site::Site,
    store::Holder,
};

/// Until when somebody waits for an answer (none: until it is there), and whom to ask.
type Waiting<'h> = (Option<Instant>, &'h Handle);

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
    /// The feeder as one DER.
    Der(der::Change),
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
    Loop(#[from] Refusal),
    #[error(transparent)]
    Breaker(#[from] NotSwitched),
    /// To be taken over, and nobody has said at what.
    #[error("no power to hold it at has been set")]
    NothingPreset,
    /// Whoever commanded it has been told by now that it is not done.
    #[error("it is too late for an answer")]
    Late,
    #[error("the appliance is stopping")]
    Stopping,
}

/// What each output commands, by its index in the list of points.
#[derive(Debug)]
pub(super) enum Outputs {
    /// Each unit and breaker.
    Each {
        /// In the order of their outputs.
        units: Vec<Id>,
        /// Likewise.
        breakers: Vec<PointId>,
    },
    /// The feeder as one DER.
    Der,
}

impl Outputs {
    pub(super) fn of(site: &Site) -> Self {
        Self::Each {
            units: site.units.iter().map(|unit| unit.id).collect(),
            breakers: site.breakers().map(|of| of.command).collect(),
        }
    }

    /// Of a binary output; none: there is no such output.
    pub(super) fn binary(&self, index: usize, on: bool) -> Option<What> {
        let Self::Each { units, breakers } = self else {
            return der::Change::binary(index, on).map(What::Der);
        };
        match index.checked_sub(points::BREAKERS) {
            Some(k) => Some(What::Breaker(breakers.get(k)?.clone(), on)),
            None => Some(What::Unit(*units.get(index)?, Change::Held(on))),
        }
    }

    /// Of an analog one: two a unit.
    pub(super) fn analog(&self, index: usize, value: f64) -> Option<What> {
        let Self::Each { units, .. } = self else {
            return der::Change::analog(index, value).map(What::Der);
        };
        let unit = *units.get(index / 2)?;
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
    /// All units together.
    der: Der,
}

impl Commander {
    pub(super) fn new(site: &Site, lasts: Duration) -> Self {
        Self {
            lasts,
            preset: BTreeMap::new(),
            der: Der::of(site),
        }
    }

    /// Does a step of it. What holds a unit has no steps: a selection only says whether it would be done.
    /// `until` somebody waits for the answer: what has not begun by then is not done. None: it is to be done whatever
    /// time it takes.
    pub(super) async fn carry_out(
        &mut self,
        Asked { by, what }: Asked,
        step: SwitchStep,
        until: Option<Instant>,
        handle: &Handle,
    ) -> Result<(), Refused> {
        match what {
            What::Unit(..) | What::Der(_) if step == SwitchStep::Deselect => Ok(()),
            What::Der(change) => {
                let check = matches!(step, SwitchStep::Check | SwitchStep::Select);
                self.der(&by, change, check, (until, handle)).await
            }
            What::Unit(unit, change) => {
                let check = matches!(step, SwitchStep::Check | SwitchStep::Select);
                self.hold(by, (unit, change), check, (until, handle)).await
            }
            What::Breaker(breaker, close) => {
                let command = SwitchCommand {
                    holder: Holder::Scada,
                    by,
                    breaker,
                    close,
                };
                let request = |answer| Request::Switch {
                    command,
                    step,
                    answer,
                };
                ask((until, handle), request).await
            }
        }
    }

    async fn hold(
        &mut self,
        by: String,
        (unit, change): (Id, Change),
        check: bool,
        (until, handle): Waiting<'_>,
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
        ask_hold(command, only_check, (until, handle)).await?;
        if let Change::Preset(part, value) = change
            && !check
        {
            self.preset.entry(unit).or_default()[part] = Some(value);
        }
        Ok(())
    }

    /// Changes what the feeder does as one DER: every unit that answers, or none. Those that do not are at what they
    /// fall back to by themselves.
    async fn der(
        &mut self,
        master: &str,
        change: der::Change,
        check: bool,
        (until, handle): Waiting<'_>,
    ) -> Result<(), Refused> {
        let holds = Arc::clone(&handle.published.borrow().holds);
        let changed = self.der.changed(change, master, &holds);
        let (next, orders) = changed.map_err(|unfit| match unfit {
            Unfit::OutOfRange => Refused::Loop(Refusal::OutOfRange),
            Unfit::NothingSet => Refused::NothingPreset,
        })?;
        let lasts = self.lasts;
        let command = |Order { unit, by, hold }: Order| HoldCommand {
            holder: Holder::Scada,
            by,
            unit,
            hold,
            lasts,
        };
        let mut there = Vec::new();
        let asked = orders.len();
        for order in orders {
            match ask_hold(command(order.clone()), true, (until, handle)).await {
                Ok(()) => there.push(order),
                Err(Refused::Loop(Refusal::Offline)) => {}
                Err(refused) => return Err(refused),
            }
        }
        if there.is_empty() && asked > 0 {
            return Err(Refused::Loop(Refusal::Offline));
        }
        if check {
            return Ok(());
        }
        for order in there {
            // Once begun it is done to the end: half a DER would be neither.
            match ask_hold(command(order), false, (None, handle)).await {
                // It has gone meanwhile.
                Ok(()) | Err(Refused::Loop(Refusal::Offline)) => {}
                Err(refused) => return Err(refused),
            }
        }
        self.der = next;
        Ok(())
    }
}

/// Asks the loop to hold a unit, or whether it would.
async fn ask_hold(command: HoldCommand, check: bool, waiting: Waiting<'_>) -> Result<(), Refused> {
    let request = |answer| Request::Command {
        command,
        check,
        answer,
    };
    ask(waiting, request).await
}

/// Asks the loop, and waits for its answer as long as somebody waits for ours.
async fn ask<E: Into<Refused>>(
    (until, handle): Waiting<'_>,
    request: impl FnOnce(oneshot::Sender<Result<(), E>>) -> Request,
) -> Result<(), Refused> {
    if until.is_some_and(|until| Instant::now() >= until) {
        return Err(Refused::Late);
    }
    let (answer, mut answered) = oneshot::channel();
    let asked = async {
        handle.requests.send(request(answer)).await.ok()?;
        (&mut answered).await.ok()
    };
    let done = match until {
        None => asked.await,
        Some(until) => match timeout_at(until, asked).await {
            Ok(done) => done,
            Err(_) => {
                // Now the loop sees that nobody waits. What it has said until now counts.
                answered.close();
                Some(answered.try_recv().map_err(|_| Refused::Late)?)
            }
        },
    };
    done.ok_or(Refused::Stopping)?.map_err(Into::into)
}

#[cfg(test)]
mod tests;
