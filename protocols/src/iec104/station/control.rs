//! Process commands: select and execute, confirmation and termination, who may (IEC 60870-5-5
//! clause 6.8).

use std::time::Duration;

use super::{
    SelectMode, StationEvent,
    session::{Connection, Station, stamp},
};
use crate::{
    driver::Now,
    iec104::{Cause, Command, ControlKind, Header, command::Request},
};

/// Objects that a connection may have selected; more selections are refused.
pub(super) const MAX_SELECTED: usize = 16;
/// Commands of a connection that may wait for an answer; more are refused.
const MAX_PENDING: usize = 16;

/// A selected object.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    ioa: u32,
    /// As it was selected, without its time: the execution is to be the same.
    pub(super) command: Command,
    pub(super) until: Duration,
}

/// A command under way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) connection: u64,
    pub(super) deadline: Duration,
    header: Header,
    request: Request,
    command: Command,
    /// Confirmed, and to be terminated.
    confirmed: bool,
}

/// What is wanted of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlOperation {
    /// Only whether it would be done: a test.
    Check,
    /// To be made ready. It stands if [`Station::answer`] says so, until it is executed or
    /// [`StationEvent::Deselected`].
    Select,
    /// To do it, without a selection.
    Execute,
    /// To do what was selected before.
    ExecuteSelected,
}

/// A command, to be answered with [`Station::answer`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControlRequest {
    /// The answer carries it.
    pub id: u64,
    /// What is wanted.
    pub operation: ControlOperation,
    /// The command.
    pub command: Command,
    /// The originator address, 0 where masters do not use it.
    pub originator: u8,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlAnswer {
    /// It is not done: a negative confirmation.
    Refused,
    /// It is being done: a confirmation, and a further answer follows.
    Accepted,
    /// It is done, or would be: a confirmation, if there was none, and of an execution the termination.
    Done,
}

impl Station {
    pub(super) fn control(
        &mut self,
        id: u64,
        header: Header,
        kind: ControlKind,
        request: Request,
        now: Now,
    ) {
        let mut known = self.config.commands.iter();
        let known = known.find(|c| c.ioa == request.ioa && c.kind == kind);
        let Some(mode) = known.map(|known| known.select) else {
            let unknown = header.answer(Cause::UNKNOWN_OBJECT, true);
            return self.respond(id, &request, unknown);
        };
        if header.cause == Cause::DEACTIVATION {
            let was = self.end_selection(id, request.ioa, now);
            return self.confirm(id, header, &request, was);
        }
        if self.too_old(id, &request, now) {
            // No answer: it would come as late as the command did.
            return;
        }
        let Some(command) = request.command() else {
            return self.confirm(id, header, &request, false);
        };
        let busy = self.pending.values().filter(|p| p.connection == id).count() >= MAX_PENDING;
        let operation = if busy {
            None
        } else if request.selects() {
            let may = self.may_select(id, request.ioa, now);
            may.then_some(ControlOperation::Select)
        } else {
            match self.deselect(id, request.ioa, now) {
                Some(selected) if selected == timeless(command) => {
                    Some(ControlOperation::ExecuteSelected)
                }
                Some(other) => {
                    self.tell_deselected(id, other);
                    None
                }
                None => {
                    let may = mode == SelectMode::Optional && !self.is_selected(request.ioa, now);
                    may.then_some(ControlOperation::Execute)
                }
            }
        };
        match operation {
            None => self.confirm(id, header, &request, false),
            Some(_) if header.test => {
                self.ask(id, (header, ControlOperation::Check), request, command, now);
            }
            Some(operation) => self.ask(id, (header, operation), request, command, now),
        }
    }

    fn ask(
        &mut self,
        connection: u64,
        (header, operation): (Header, ControlOperation),
        request: Request,
        command: Command,
        now: Now,
    ) {
        self.control_id += 1;
        let id = self.control_id;
        let originator = header.originator;
        let pending = Pending {
            connection,
            deadline: now.mono + self.config.control_timeout,
            header,
            request,
            command,
            confirmed: false,
        };
        self.pending.insert(id, pending);
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.tell(StationEvent::Control(ControlRequest {
                id,
                operation,
                command,
                originator,
            }));
        }
    }

    /// Says what becomes of a command. One that has timed out, or whose connection is gone, is not
    /// known any more. Whether a selection stands now, of a command that was to be selected.
    pub fn answer(&mut self, id: u64, answer: ControlAnswer, now: Now) -> bool {
        let Some(mut pending) = self.pending.remove(&id) else {
            return false;
        };
        let mut stands = false;
        let Pending {
            connection,
            header,
            ref request,
            command,
            confirmed,
            ..
        } = pending;
        let positive = answer != ControlAnswer::Refused;
        if !confirmed {
            self.confirm(connection, header, request, positive);
        }
        let executes = !request.selects();
        if request.selects() && positive && !header.test {
            let until = now.mono + self.config.select_timeout;
            stands = self.select(connection, command, until);
        }
        if executes && (answer == ControlAnswer::Done || (confirmed && !positive)) {
            let ended = header.answer(Cause::TERMINATION, !positive);
            self.respond(connection, request, ended);
        }
        if executes && answer == ControlAnswer::Accepted {
            pending.confirmed = true;
            pending.deadline = now.mono + self.config.control_timeout;
            self.pending.insert(id, pending);
        }
        self.pump_all(now);
        stands
    }

    /// How long a command still waits for an answer: carried out later it would contradict the refusal that its
    /// master has got by then. None: it has timed out, its connection is gone, or it is answered.
    #[must_use]
    pub fn awaits(&self, id: u64, now: Now) -> Option<Duration> {
        let left = self.pending.get(&id)?.deadline.checked_sub(now.mono)?;
        (!left.is_zero()).then_some(left)
    }

    /// Commands that were not answered in time are refused, those not ended have failed.
    pub(super) fn control_timeouts(&mut self, connection: u64, now: Now) {
        let late = |(id, pending): (&u64, &Pending)| {
            (pending.connection == connection && now.mono >= pending.deadline).then_some(*id)
        };
        let late: Vec<u64> = self.pending.iter().filter_map(late).collect();
        for id in late {
            self.answer(id, ControlAnswer::Refused, now);
        }
    }

    fn too_old(&mut self, id: u64, request: &Request, now: Now) -> bool {
        let timed = request.kind.is_timed_control();
        let Some(limit) = self.config.max_command_age.filter(|_| timed) else {
            return false;
        };
        let now_us = stamp(now).unix_us;
        let age_ms = request
            .time()
            .map_or(i64::MAX, |time| (now_us - time.unix_us) / 1000);
        let old = u128::from(age_ms.unsigned_abs()) > limit.as_millis();
        if old && let Some(connection) = self.connections.get_mut(&id) {
            let ioa = request.ioa;
            connection.tell(StationEvent::TooOld { ioa, age_ms });
        }
        old
    }

    /// Whether anybody has the object selected.
    fn is_selected(&self, ioa: u32, now: Now) -> bool {
        let mut all = self.connections.values().flat_map(|c| &c.selected);
        all.any(|selected| selected.ioa == ioa && now.mono < selected.until)
    }

    fn may_select(&mut self, id: u64, ioa: u32, now: Now) -> bool {
        // A new selection of the same master takes the place of its old one.
        self.end_selection(id, ioa, now);
        self.selections_timeout(id, now);
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        connection.selected.len() < MAX_SELECTED && !self.is_selected(ioa, now)
    }

    fn select(&mut self, id: u64, command: Command, until: Duration) -> bool {
        let room = |connection: &&mut Connection| connection.selected.len() < MAX_SELECTED;
        let Some(connection) = self.connections.get_mut(&id).filter(room) else {
            return false;
        };
        connection.selected.push(Selected {
            ioa: command.ioa,
            command: timeless(command),
            until,
        });
        true
    }

    /// Ends the connection's selection of an object, and says so; whether there was one.
    fn end_selection(&mut self, id: u64, ioa: u32, now: Now) -> bool {
        let ended = self.deselect(id, ioa, now);
        ended.map(|ended| self.tell_deselected(id, ended)).is_some()
    }

    fn tell_deselected(&mut self, id: u64, command: Command) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.tell(StationEvent::Deselected(command));
        }
    }

    /// Ends the selections of a connection whose time is over.
    pub(super) fn selections_timeout(&mut self, id: u64, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let over = |selected: &mut Selected| now.mono >= selected.until;
        let ended: Vec<Selected> = connection.selected.extract_if(.., over).collect();
        for ended in ended {
            connection.tell(StationEvent::Deselected(ended.command));
        }
    }

    /// Ends the connection's selection of an object; what was selected, if it still was.
    fn deselect(&mut self, id: u64, ioa: u32, now: Now) -> Option<Command> {
        let selected = &mut self.connections.get_mut(&id)?.selected;
        let at = selected.iter().position(|selected| selected.ioa == ioa)?;
        if now.mono >= selected[at].until {
            self.selections_timeout(id, now);
            return None;
        }
        Some(selected.swap_remove(at).command)
    }
}

fn timeless(command: Command) -> Command {
    Command {
        time: None,
        ..command
    }
}
