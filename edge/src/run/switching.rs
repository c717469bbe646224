//! Operations of breakers that are under way, and who waits for their end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protocols::point::{CommandStatus, PointId};
use tokio::{sync::oneshot, time::Instant};

use super::Loop;
use crate::{
    clock::now_us,
    cycle::{NotSwitched, SwitchCommand},
};

/// A device that has not said by then how an operation ended will not: its task was started anew meanwhile.
const MOST: Duration = Duration::from_secs(60);

/// An operation under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) breaker: PointId,
    since: Instant,
    pub(super) answer: oneshot::Sender<Result<(), NotSwitched>>,
}

/// By the number of their command.
#[derive(Debug, Default)]
pub(super) struct Switching(BTreeMap<u64, UnderWay>);

impl Switching {
    pub(super) fn is_under_way(&mut self, breaker: &PointId) -> bool {
        self.0.retain(|_, of| of.since.elapsed() < MOST);
        self.0.values().any(|of| of.breaker == *breaker)
    }

    pub(super) fn begin(
        &mut self,
        id: u64,
        breaker: PointId,
        answer: oneshot::Sender<Result<(), NotSwitched>>,
    ) {
        let since = Instant::now();
        self.0.insert(
            id,
            UnderWay {
                breaker,
                since,
                answer,
            },
        );
    }

    pub(super) fn end(&mut self, id: u64) -> Option<UnderWay> {
        self.0.remove(&id)
    }
}

impl Loop {
    /// Sends a breaker's operation to its device once it is on record; its end is its answer.
    pub(super) async fn switch(
        &mut self,
        command: SwitchCommand,
        check: bool,
        answer: oneshot::Sender<Result<(), NotSwitched>>,
    ) -> anyhow::Result<()> {
        let breaker = command.breaker.clone();
        let snapshot = Arc::clone(&self.published.borrow().snapshot);
        let decided = match self.switching.is_under_way(&breaker) {
            true => Err(NotSwitched::Busy),
            false => self.cycle.decide_switch(command, &snapshot, now_us()),
        };
        let operation = match decided {
            Ok(operation) if !check => operation,
            checked => {
                let _ = answer.send(checked.map(|_| ()));
                return Ok(());
            }
        };
        self.append(vec![operation.record]).await?;
        let id = operation.command.id;
        self.switching.begin(id, breaker, answer);
        if let Err(status) = self.field.command(&operation.device, operation.command) {
            self.ended(id, status);
        }
        Ok(())
    }

    /// A command has ended: a breaker's operation is answered, a setpoint is the next step's to judge.
    pub(super) fn ended(&mut self, id: u64, status: CommandStatus) {
        let Some(under_way) = self.switching.end(id) else {
            self.ended.push((id, status));
            return;
        };
        let failed = match status {
            CommandStatus::Done => None,
            CommandStatus::Rejected(why) => Some(why),
            CommandStatus::Unknown(why) => Some(format!("nobody knows whether it was: {why}")),
            CommandStatus::NotSent(why) => Some(format!("not sent: {why}")),
        };
        let breaker = &under_way.breaker;
        self.cycle.switched(breaker, failed.as_deref(), now_us());
        // Who asked may have gone.
        let _ = under_way
            .answer
            .send(failed.map_or(Ok(()), |why| Err(NotSwitched::Device(why))));
    }
}
