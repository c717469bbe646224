//! Commands (clause 4.4.4): select before operate, direct operate with and without an answer. What
//! becomes of a command is decided outside; the answer waits for it.

use std::time::Duration;

use super::{
    Outstation, OutstationEvent, requests::indication, session::Solicited, support::check,
};
use crate::{
    dnp3::{
        Flags, Kind, Now, Sample,
        app::{
            CommandStatus, FunctionCode, Headers, Iin, Item, Layout, ObjectHeader, OutputCommand,
            next_sequence,
        },
    },
    point::Value,
};

/// What is to be done with commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlOperation {
    /// Made ready, not carried out: may it be?
    Select,
    /// Carried out, as selected before.
    Operate,
    /// Carried out.
    DirectOperate,
    /// Carried out; nobody waits for the answer.
    DirectOperateNoResponse,
}

/// Commands of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlRequest {
    /// Counts up within the session; the answer carries it.
    pub id: u64,
    /// What is to be done.
    pub operation: ControlOperation,
    /// Indices of the outputs and their commands. The outputs exist.
    pub commands: Vec<(u16, OutputCommand)>,
}

/// What was selected.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    objects: Vec<u8>,
    commands: Vec<(u16, OutputCommand)>,
    /// The sequence number that the operate must have.
    sequence: u8,
    deadline: Duration,
    /// Its end has been told: its time is over.
    over: bool,
}

impl Selected {
    /// When its time is over; none: it is.
    pub(super) fn ends(&self) -> Option<Duration> {
        // Until its deadline, that included, it may be operated.
        (!self.over).then(|| self.deadline + Duration::from_millis(1))
    }
}

/// A request whose commands are being decided on.
#[derive(Clone, Debug)]
pub(super) struct PendingControl {
    id: u64,
    function: FunctionCode,
    sequence: u8,
    objects: Vec<u8>,
    entries: Vec<Entry>,
    pub(super) deadline: Duration,
}

/// A command of a request, and what is known of its fate.
#[derive(Clone, Copy, Debug)]
struct Entry {
    index: u32,
    command: OutputCommand,
    /// Decided here already.
    status: Option<CommandStatus>,
}

impl Outstation {
    /// Select, operate, or direct operate.
    pub(super) fn command(
        &mut self,
        function: FunctionCode,
        sequence: u8,
        objects: &[u8],
        now: Now,
    ) {
        let fits = objects.len() <= self.config.max_fragment - 4;
        let entries = self.entries(objects);
        let mut entries = match entries {
            // The answer repeats the request.
            Ok(_) if !fits => return self.respond(sequence, &[], Iin::PARAMETER_ERROR, now),
            Ok(entries) => entries,
            Err(errors) => return self.respond(sequence, &[], errors, now),
        };
        if function == FunctionCode::Operate
            && let Err(status) = self.check_selected(sequence, objects, now)
        {
            for entry in &mut entries {
                entry.status = Some(status);
            }
        }
        let operation = match function {
            FunctionCode::Select => ControlOperation::Select,
            FunctionCode::Operate => ControlOperation::Operate,
            _ => ControlOperation::DirectOperate,
        };
        self.control_id += 1;
        let pending = PendingControl {
            id: self.control_id,
            function,
            sequence,
            objects: objects.to_vec(),
            entries,
            deadline: now.mono + self.config.control_timeout,
        };
        let commands = pending.undecided();
        if commands.is_empty() {
            return self.finish_control(pending, &[], now);
        }
        self.tell(OutstationEvent::Control(ControlRequest {
            id: pending.id,
            operation,
            commands,
        }));
        self.solicited = Solicited::Control(pending);
    }

    /// Direct operate without an answer.
    pub(super) fn operate_unanswered(&mut self, objects: &[u8]) {
        let Ok(entries) = self.entries(objects) else {
            return;
        };
        let commands = undecided(&entries);
        if !commands.is_empty() {
            self.control_id += 1;
            self.tell(OutstationEvent::Control(ControlRequest {
                id: self.control_id,
                operation: ControlOperation::DirectOperateNoResponse,
                commands,
            }));
        }
    }

    /// What became of the commands of a [`ControlRequest`], in its order; those without a status
    /// count as [`CommandStatus::HardwareError`]. An answer that comes too late is dropped. Whether a selection
    /// stands now, whose end will be told: of a select it does not if any command of the request was refused, or if
    /// nobody waits for the answer any more.
    pub fn control_done(&mut self, id: u64, statuses: &[CommandStatus], now: Now) -> bool {
        if let Solicited::Control(pending) = &self.solicited
            && pending.id == id
        {
            let pending = pending.clone();
            self.finish_control(pending, statuses, now);
            let stands = self.selected.is_some();
            self.pump(now);
            return stands;
        }
        false
    }

    /// How long a [`ControlRequest`] still waits for its answer: carried out later it would contradict the error that
    /// its master has got by then. None: it has timed out, the master has asked for something else or is gone, it is
    /// answered, or it asked for no answer.
    #[must_use]
    pub fn awaits(&self, id: u64, now: Now) -> Option<Duration> {
        let Solicited::Control(pending) = &self.solicited else {
            return None;
        };
        let left = pending.deadline.checked_sub(now.mono)?;
        (pending.id == id && !left.is_zero()).then_some(left)
    }

    /// Ends a selection that will not be operated.
    pub(super) fn deselect(&mut self) {
        if let Some(selected) = self.selected.take().filter(|selected| !selected.over) {
            self.tell(OutstationEvent::Deselected(selected.commands));
        }
    }

    /// The time of a selection is over; an operate that comes yet is told so.
    pub(super) fn selection_timeout(&mut self, now: Now) {
        let over = |selected: &&mut Selected| selected.ends().is_some_and(|end| now.mono >= end);
        if let Some(selected) = self.selected.as_mut().filter(over) {
            selected.over = true;
            let commands = selected.commands.clone();
            self.tell(OutstationEvent::Deselected(commands));
        }
    }

    /// Nobody has decided in time.
    pub(super) fn control_timed_out(&mut self, now: Now) {
        if let Solicited::Control(pending) = &self.solicited {
            let pending = pending.clone();
            self.finish_control(pending, &[], now);
        }
    }

    /// The commands of a request, with what is wrong with them from the beginning.
    fn entries(&self, objects: &[u8]) -> Result<Vec<Entry>, Iin> {
        let mut entries = Vec::new();
        for header in Headers::new(objects) {
            let header = header.map_err(indication)?;
            // All four ways to command take the same objects.
            check(FunctionCode::Operate, &header)?;
            for (index, item) in header.items() {
                let (command, _) = decode(&header, item).ok_or(Iin::PARAMETER_ERROR)?;
                let kind = match command {
                    OutputCommand::Crob(_) => Kind::BinaryOutput,
                    OutputCommand::Analog(_) => Kind::AnalogOutput,
                };
                let point = u16::try_from(index).ok();
                let exists = point.is_some_and(|index| self.database.get(kind, index).is_some());
                let status = if entries.len() >= self.config.max_controls {
                    Some(CommandStatus::TooManyOperations)
                } else if !exists {
                    Some(CommandStatus::NotSupported)
                } else {
                    None
                };
                entries.push(Entry {
                    index,
                    command,
                    status,
                });
            }
        }
        if entries.is_empty() {
            return Err(Iin::PARAMETER_ERROR);
        }
        Ok(entries)
    }

    /// An operate must follow its select at once, be the same, and in time.
    fn check_selected(
        &mut self,
        sequence: u8,
        objects: &[u8],
        now: Now,
    ) -> Result<(), CommandStatus> {
        let selected = self.selected.as_ref().ok_or(CommandStatus::NoSelect)?;
        let status = if selected.sequence != sequence || selected.objects != objects {
            CommandStatus::NoSelect
        } else if now.mono > selected.deadline {
            CommandStatus::Timeout
        } else {
            self.selected = None;
            return Ok(());
        };
        self.deselect();
        Err(status)
    }

    fn finish_control(&mut self, pending: PendingControl, statuses: &[CommandStatus], now: Now) {
        let mut given = statuses.iter().copied();
        let decided: Vec<CommandStatus> = pending
            .entries
            .iter()
            .map(|entry| {
                let outside = || given.next().unwrap_or(CommandStatus::HardwareError);
                entry.status.unwrap_or_else(outside)
            })
            .collect();
        let all = decided
            .iter()
            .all(|&status| status == CommandStatus::Success);
        self.selected = (all && pending.function == FunctionCode::Select).then(|| Selected {
            objects: pending.objects.clone(),
            commands: pending.undecided(),
            sequence: next_sequence(pending.sequence),
            deadline: now.mono + self.config.select_timeout,
            over: false,
        });
        if pending.function != FunctionCode::Select {
            self.record_commands(&pending.entries, &decided, now);
        }
        let echo = echo(&pending.objects, &decided);
        self.respond(pending.sequence, &echo, Iin::empty(), now);
    }

    /// Events of the commands, where the outputs have them.
    fn record_commands(&mut self, entries: &[Entry], decided: &[CommandStatus], now: Now) {
        for (entry, status) in entries.iter().zip(decided) {
            let (kind, value) = match entry.command {
                OutputCommand::Crob(crob) => match crob.state() {
                    Some(state) => (Kind::BinaryCommand, Value::Binary(state)),
                    None => continue,
                },
                OutputCommand::Analog(analog) => {
                    (Kind::AnalogCommand, Value::Analog(analog.value()))
                }
            };
            // An index beyond 16 bits is no point's.
            let index = u16::try_from(entry.index).unwrap_or(u16::MAX);
            let flags = Flags::from_bits_retain(status.code());
            let time = Some(self.stamp(now));
            let sample = Sample { value, flags, time };
            let event = self.database.command_event(kind, index, sample);
            self.record(event, now);
        }
    }
}

impl PendingControl {
    fn undecided(&self) -> Vec<(u16, OutputCommand)> {
        undecided(&self.entries)
    }
}

fn undecided(entries: &[Entry]) -> Vec<(u16, OutputCommand)> {
    let open = entries.iter().filter(|entry| entry.status.is_none());
    open.filter_map(|entry| Some((u16::try_from(entry.index).ok()?, entry.command)))
        .collect()
}

/// A command and the status that came with it.
fn decode(header: &ObjectHeader<'_>, item: Item<'_>) -> Option<(OutputCommand, CommandStatus)> {
    match (header.variation.layout, item) {
        (Layout::Crob, Item::Octets(object)) => OutputCommand::decode_crob(object),
        (Layout::Setpoint(number), Item::Octets(object)) => {
            OutputCommand::decode_analog(number, object)
        }
        _ => None,
    }
}

/// The request's objects with their statuses: the same octets but for these.
fn echo(objects: &[u8], decided: &[CommandStatus]) -> Vec<u8> {
    let mut echo = objects.to_vec();
    let headers = Headers::new(objects).flatten();
    for (end, status) in headers.flat_map(|header| header.ends()).zip(decided) {
        echo[end - 1] = status.code();
    }
    echo
}
