//! Breakers operated by the control centre or by an operator.
//!
//! An operation is over in a moment: nobody holds a breaker, and who operates it next is obeyed, whoever
//! it was before. While one is under way, or somebody has selected it, any other of the same breaker is refused.

use protocols::point::{Action, Command, DeviceId, PointId, Rejection, Value};

use super::{alarms::Severity, step::Cycle};
use crate::{
    clock::US,
    site::Breaker,
    store::{Holder, Record},
    table::Snapshot,
    web::api::{BreakerView, Problem},
};

/// An operation that has not reached its device by then is not sent any more, µs: nobody waits for it longer.
const EXPIRES_US: i64 = 10 * US;

/// What a control centre or an operator wants of a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchCommand {
    /// Who.
    pub holder: Holder,
    /// Which master, or which user.
    pub by: String,
    /// The breaker, by its command: `ied5/bay1_breaker`.
    pub breaker: PointId,
    /// Closed, or else opened.
    pub close: bool,
}

/// What of an operation is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchStep {
    /// Nothing: would it be tried?
    Check,
    /// The breaker is selected, at its device too.
    Select,
    /// It is operated, as the same one selected it before.
    Operate,
    /// It is operated, by its device's own procedure.
    Direct,
    /// It will not be operated: its selection, if it still stands, is given back.
    Deselect,
}

/// What is to be put on record, if it is, and then sent.
#[derive(Clone, Debug)]
pub struct Operation {
    /// For the ledger: what is operated.
    pub record: Option<Record>,
    /// To whom,
    pub device: DeviceId,
    /// and what.
    pub command: Command,
}

/// Why a breaker was not operated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSwitched {
    /// There is none of this name, or none that can be operated.
    #[error("there is no such breaker that can be operated")]
    Unknown,
    /// Its device does not answer.
    #[error("the breaker's device does not answer")]
    Offline,
    /// It is as asked already.
    #[error("it is in that position already")]
    AlreadyThere,
    /// Another operation of it is under way.
    #[error("another operation of it is under way")]
    Busy,
    /// Somebody else has selected it.
    #[error("it is selected by somebody else")]
    Selected,
    /// It is to be operated as selected, and is not selected, or not any more.
    #[error("it is not selected")]
    NotSelected,
    /// The device refused, or nobody knows what became of it.
    #[error("{0}")]
    Device(Rejection),
}

impl From<NotSwitched> for Problem {
    fn from(not: NotSwitched) -> Self {
        let (error, accepted) = match not {
            NotSwitched::Unknown => ("unknown_breaker", Some("a breaker that is listed")),
            NotSwitched::Offline => ("device_offline", Some("one whose device answers")),
            NotSwitched::AlreadyThere => ("already_there", None),
            NotSwitched::Busy | NotSwitched::Selected => ("busy", None),
            NotSwitched::NotSelected => ("not_selected", None),
            NotSwitched::Device(_) => ("not_done", None),
        };
        Self {
            error: error.to_owned(),
            message: not.to_string(),
            accepted: accepted.map(str::to_owned),
        }
    }
}

impl Cycle {
    /// Decides on a step of an operation; its record has to be durable before it is sent.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide_switch(
        &mut self,
        command: SwitchCommand,
        step: SwitchStep,
        snapshot: &Snapshot,
        now_us: i64,
    ) -> Result<Operation, NotSwitched> {
        let SwitchCommand {
            holder,
            by,
            breaker,
            close,
        } = command;
        let mut devices = self.site.devices.iter();
        let found = devices.find_map(|device| {
            let mut breakers = device.breakers();
            let found = breakers.find(|of| of.command == breaker)?;
            Some((device.id.clone(), found))
        });
        let (device, of) = found.ok_or(NotSwitched::Unknown)?;
        if !snapshot.online(&device) {
            return Err(NotSwitched::Offline);
        }
        if step != SwitchStep::Deselect && is_closed(&of, snapshot) == Some(close) {
            return Err(NotSwitched::AlreadyThere);
        }
        let value = Value::Binary(close);
        let (action, operates) = match step {
            SwitchStep::Check | SwitchStep::Direct => (Action::Write(value), true),
            SwitchStep::Operate => (Action::Operate(value), true),
            SwitchStep::Select => (Action::Select(value), false),
            SwitchStep::Deselect => (Action::Cancel(value), false),
        };
        let command = Command {
            id: self.dispatch.next_id(),
            point: of.command,
            action,
            origin: holder.into(),
            expires_unix_us: now_us.saturating_add(EXPIRES_US),
        };
        let record = operates.then(|| Record::Switched {
            at_us: now_us,
            holder,
            by,
            breaker: breaker.to_string(),
            close,
        });
        Ok(Operation {
            record,
            device,
            command,
        })
    }

    /// Takes over how an operation ended.
    pub fn switched(&mut self, breaker: &PointId, failed: Option<&str>, now_us: i64) {
        let code = "switch_failed";
        match failed {
            None => self.alarms.clear(code, breaker.as_str(), now_us),
            Some(why) => {
                let text = format!("{breaker} was not operated: {why}");
                let severity = Severity::Warning;
                self.alarms
                    .raise(severity, code, breaker.as_str(), text, now_us);
            }
        }
    }

    pub(super) fn breakers_view(&self, snapshot: &Snapshot) -> Vec<BreakerView> {
        let view = |of: Breaker| BreakerView {
            closed: is_closed(&of, snapshot),
            breaker: of.command.to_string(),
        };
        self.site.breakers().map(view).collect()
    }
}

/// A breaker's position, if its contacts agree and nothing speaks against them.
fn is_closed(of: &Breaker, snapshot: &Snapshot) -> Option<bool> {
    let contact = |id: &PointId| {
        let point = snapshot.points.get(id)?;
        match point.value {
            Value::Binary(made) if point.quality.is_good() => Some(made),
            _ => None,
        }
    };
    let closed = contact(&of.closed)?;
    (contact(&of.open)? != closed).then_some(closed)
}
