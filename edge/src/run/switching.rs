//! Breakers that are being operated or are selected, and who waits for what became of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protocols::point::{Cause, CommandStatus, PointId, Rejection};
use tokio::{sync::oneshot, time::Instant};

use super::Loop;
use crate::{
    clock::now_us,
    cycle::{NotSwitched, Operation, SwitchCommand, SwitchStep},
    table::Snapshot,
};

/// A device that has not said by then how an operation ended will not: its task was started anew meanwhile.
/// And a selection that nobody operates or gives back by then is nobody's.
const MOST: Duration = Duration::from_secs(60);

type Answer = oneshot::Sender<Result<(), NotSwitched>>;

/// A step under way at a device.
#[derive(Debug)]
struct UnderWay {
    command: SwitchCommand,
    step: SwitchStep,
    link_us: Option<i64>,
    since: Instant,
    answer: Answer,
}

/// A breaker that is selected, and at its device too.
#[derive(Debug)]
struct Selection {
    command: SwitchCommand,
    /// Since when its device's connection stood: with another one, the selection is gone.
    link_us: Option<i64>,
    since: Instant,
}

/// Steps under way, by the number of their command, and what is selected.
#[derive(Debug, Default)]
pub(super) struct Switching {
    under_way: BTreeMap<u64, UnderWay>,
    selected: BTreeMap<PointId, Selection>,
}

impl Switching {
    /// Whether a step may be tried, as far as others have a hand in it.
    fn admit(
        &mut self,
        command: &SwitchCommand,
        step: SwitchStep,
        link_us: Option<i64>,
    ) -> Result<(), NotSwitched> {
        self.under_way.retain(|_, of| of.since.elapsed() < MOST);
        self.selected.retain(|_, of| of.since.elapsed() < MOST);
        let breaker = &command.breaker;
        let selected = self.selected.get(breaker);
        let others = selected.is_some_and(|of| !of.is_of(command));
        let stands = selected.is_some_and(|of| of.stands(command, link_us));
        let busy = self.under_way.values().any(|of| of.is_at(breaker));
        match step {
            SwitchStep::Deselect if stands => Ok(()),
            SwitchStep::Deselect => Err(NotSwitched::NotSelected),
            _ if busy => Err(NotSwitched::Busy),
            _ if others => Err(NotSwitched::Selected),
            SwitchStep::Operate if !stands => Err(NotSwitched::NotSelected),
            _ => Ok(()),
        }
    }

    /// Ends a selection of whoever gives this command; whether there was one.
    fn use_up(&mut self, command: &SwitchCommand) -> bool {
        let of = self.selected.get(&command.breaker);
        let ours = of.is_some_and(|of| of.is_of(command));
        ours && self.selected.remove(&command.breaker).is_some()
    }
}

impl Selection {
    fn is_of(&self, command: &SwitchCommand) -> bool {
        self.command.holder == command.holder && self.command.by == command.by
    }

    fn stands(&self, command: &SwitchCommand, link_us: Option<i64>) -> bool {
        self.command == *command && self.link_us == link_us
    }
}

impl UnderWay {
    /// A selection that is being given back keeps nobody waiting.
    fn is_at(&self, breaker: &PointId) -> bool {
        self.step != SwitchStep::Deselect && self.command.breaker == *breaker
    }
}

impl Loop {
    /// Sends a step of a breaker's operation to its device, once it is on record if it moves the breaker; its
    /// end is its answer.
    pub(super) async fn switch(
        &mut self,
        command: SwitchCommand,
        step: SwitchStep,
        answer: Answer,
    ) -> anyhow::Result<()> {
        let snapshot = Arc::clone(&self.published.borrow().snapshot);
        let ends = matches!(step, SwitchStep::Operate | SwitchStep::Deselect);
        if answer.is_closed() {
            // Whoever asked has gone, or has been told that it is not done. What they had selected was for this.
            if ends && self.switching.use_up(&command) {
                self.give_back(command, &snapshot);
            }
            return Ok(());
        }
        let link_us = self.link_us(&command.breaker, &snapshot);
        let admitted = self.switching.admit(&command, step, link_us);
        let decided = admitted.and_then(|()| {
            let asked = command.clone();
            self.cycle.decide_switch(asked, step, &snapshot, now_us())
        });
        if ends && self.switching.use_up(&command) && decided.is_err() {
            self.give_back(command.clone(), &snapshot);
        }
        let Operation {
            record,
            device,
            command: order,
        } = match decided {
            Ok(operation) if step != SwitchStep::Check => operation,
            checked => {
                let _ = answer.send(checked.map(|_| ()));
                return Ok(());
            }
        };
        if let Some(record) = record {
            self.append(vec![record]).await?;
        }
        let id = order.id;
        let under_way = UnderWay {
            command,
            step,
            link_us,
            since: Instant::now(),
            answer,
        };
        self.switching.under_way.insert(id, under_way);
        if let Err(status) = self.field.command(&device, order) {
            self.ended(id, status);
        }
        Ok(())
    }

    /// Gives a selection back that is not to be operated any more, if its device is there to be told.
    fn give_back(&mut self, command: SwitchCommand, snapshot: &Snapshot) {
        let step = SwitchStep::Deselect;
        let decided = self.cycle.decide_switch(command, step, snapshot, now_us());
        if let Ok(operation) = decided {
            // If it does not get there, it ends by the device's time.
            let _ = self.field.command(&operation.device, operation.command);
        }
    }

    /// Since when the connection of a breaker's device is as it is; none: there is no such device.
    fn link_us(&self, breaker: &PointId, snapshot: &Snapshot) -> Option<i64> {
        let of = |device: &&crate::site::Device| {
            let mut breakers = device.breakers();
            breakers.any(|of| of.command == *breaker)
        };
        let device = self.site.devices.iter().find(of)?;
        Some(snapshot.links.get(&device.id)?.since_us)
    }

    /// Keeps a selection that its device has made for who asked for it, if they have heard of it.
    fn selected(&mut self, command: SwitchCommand, link_us: Option<i64>, heard: bool) {
        if !heard {
            let snapshot = Arc::clone(&self.published.borrow().snapshot);
            return self.give_back(command, &snapshot);
        }
        let selection = Selection {
            link_us,
            since: Instant::now(),
            command,
        };
        let breaker = selection.command.breaker.clone();
        self.switching.selected.insert(breaker, selection);
    }

    /// A command has ended: a step of a breaker's operation is answered, a setpoint is the next step's to judge.
    pub(super) fn ended(&mut self, id: u64, status: CommandStatus) {
        let Some(under_way) = self.switching.under_way.remove(&id) else {
            self.ended.push((id, status));
            return;
        };
        let UnderWay {
            command,
            step,
            link_us,
            answer,
            ..
        } = under_way;
        let failed = match status {
            CommandStatus::Done => None,
            CommandStatus::Rejected(why) => Some(why),
            CommandStatus::Unknown(why) => Some(Rejection::from(format!(
                "nobody knows whether it was: {why}"
            ))),
            CommandStatus::NotSent(why) => Some(format!("not sent: {why}").into()),
        };
        if matches!(step, SwitchStep::Operate | SwitchStep::Direct) {
            let why = failed.as_ref().map(|why| why.text.as_str());
            self.cycle.switched(&command.breaker, why, now_us());
        }
        let selected = step == SwitchStep::Select && failed.is_none();
        let answered = match failed {
            None => Ok(()),
            // The device knows better.
            Some(why) if why.cause == Cause::NotSelected && step == SwitchStep::Operate => {
                Err(NotSwitched::NotSelected)
            }
            Some(why) => Err(NotSwitched::Device(why)),
        };
        // Who asked may have gone. A refused selection is the answer; one that could not be given back ends by its
        // device's time.
        let heard = answer.send(answered).is_ok();
        if selected {
            self.selected(command, link_us, heard);
        }
    }
}
