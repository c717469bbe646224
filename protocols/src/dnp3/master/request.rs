//! What can be asked of an outstation, and the fragments that ask it.

use std::time::Duration;

use super::Measurement;
use crate::dnp3::{
    Kind,
    app::{
        CommandStatus, FunctionCode, Headers, Iin, Item, Layout, MAX_FRAGMENT, OutputCommand,
        Writer, find, time_octets,
    },
    outstation::Class,
};

/// Which objects of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadRange {
    /// All.
    All,
    /// From the first index to the second.
    Span(u16, u16),
    /// So many events.
    Count(u16),
}

/// A header of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadHeader {
    /// Object group.
    pub group: u8,
    /// Variation; 0: as the outstation likes.
    pub variation: u8,
    /// Which objects.
    pub range: ReadRange,
}

/// Whether outputs are selected before they are operated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// Select, then operate if all were accepted.
    BeforeOperate,
    /// Operate at once.
    Direct,
    /// Operate at once, without an answer.
    DirectNoResponse,
    /// Only select. Nothing else is asked of the outstation until they are operated or released, or
    /// [`super::AssociationConfig::select_hold`] is over: the operate has to be the next request.
    Only,
    /// Operate what was only selected.
    Selected,
}

/// What is asked of an outstation.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Objects; their values come as [`super::MasterEvent::Measurements`].
    Read(Vec<ReadHeader>),
    /// Commands to outputs.
    Operate(Select, Vec<(u16, OutputCommand)>),
    /// Commands that were only selected will not be operated. The protocol has no request that says so; the next one,
    /// a read of events, ends the selection.
    Release,
    /// Counters are frozen: all, or those from the first to the second index.
    Freeze {
        /// Which; `None`: all.
        range: Option<(u16, u16)>,
        /// Whether they start from zero.
        clear: bool,
    },
    /// Points are put in a class: all of the kind, or those from the first to the second index.
    AssignClass {
        /// The points' kind; one that has present values.
        kind: Kind,
        /// Which; `None`: all.
        range: Option<(u16, u16)>,
        /// The class; `None`: no events.
        class: Option<Class>,
    },
    /// Dead bands of analog inputs.
    DeadBands(Vec<(u16, f32)>),
    /// Unsolicited responses of these classes, and of no other.
    Unsolicited([bool; 3]),
    /// The clock, as the configuration says, or over LAN.
    SyncTime,
    /// A restart.
    Restart {
        /// Cold: everything; warm: the application only.
        cold: bool,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Answered, with these indications; what of them is a request error was none of ours.
    Done(Iin),
    /// Not sent: the commands are not selected, or not any more.
    NotSelected,
    /// Refused as a whole, with these indications.
    Refused(Iin),
    /// What became of each command, in the order of the request.
    Commands(Vec<CommandStatus>),
    /// It restarts, and is back after this.
    Restarting(Duration),
    /// Sent; no answer was asked for.
    Sent,
    /// Sent, but no answer came: it may or may not have been carried out.
    NoAnswer,
    /// The answer was not one to this request.
    BadAnswer,
    /// Not sent: too many requests wait, there is no such outstation, or the request is too long
    /// or impossible.
    NotSent,
    /// Not sent, or not answered, when the connection went.
    Disconnected,
}

fn raw(header: ReadHeader) -> Vec<u8> {
    let ReadHeader {
        group,
        variation,
        range,
    } = header;
    let mut out = vec![group, variation];
    match range {
        ReadRange::All => out.push(0x06),
        ReadRange::Span(start, stop) => {
            out.push(0x01);
            out.extend(start.to_le_bytes());
            out.extend(stop.to_le_bytes());
        }
        ReadRange::Count(count) => {
            out.push(0x08);
            out.extend(count.to_le_bytes());
        }
    }
    out
}

fn all(group: u8, variation: u8) -> Vec<u8> {
    let range = ReadRange::All;
    raw(ReadHeader {
        group,
        variation,
        range,
    })
}

fn ranged(group: u8, range: Option<(u16, u16)>) -> Vec<u8> {
    raw(ReadHeader {
        group,
        variation: 0,
        range: range.map_or(ReadRange::All, |(start, stop)| ReadRange::Span(start, stop)),
    })
}

/// Headers of these classes of events.
pub(super) fn classes(classes: [bool; 3]) -> Vec<u8> {
    let wanted = (2..).zip(classes).filter(|(_, wanted)| *wanted);
    wanted
        .flat_map(|(variation, _)| all(60, variation))
        .collect()
}

/// All events; those of binary and double-bit inputs with time where it is asked for.
pub(super) fn events(ask_times: [bool; 2]) -> Vec<u8> {
    let groups = [2, 4].into_iter().zip(ask_times);
    let asked = groups.filter(|(_, ask)| *ask);
    let mut headers: Vec<u8> = asked.flat_map(|(group, _)| all(group, 2)).collect();
    headers.extend(classes([true; 3]));
    headers
}

/// All events, then everything.
pub(super) fn integrity(ask_times: [bool; 2]) -> Vec<u8> {
    [events(ask_times), all(60, 1)].concat()
}

/// Clears the indication of a restart.
pub(super) const CLEAR_RESTART: [u8; 6] = [80, 1, 0x00, 7, 7, 0];

/// A time: g50v1, or g50v3 where the outstation has recorded its own.
pub(super) fn time(recorded: bool, unix_ms: u64) -> Vec<u8> {
    let mut out = vec![50, if recorded { 3 } else { 1 }, 0x07, 1];
    out.extend(time_octets(unix_ms));
    out
}

/// The objects of commands; `None`: they do not fit a fragment, or there are none.
pub(super) fn commands(commands: &[(u16, OutputCommand)]) -> Option<Vec<u8>> {
    let mut writer = Writer::new(MAX_FRAGMENT - 2);
    for (index, command) in commands {
        let (group, number) = command.variation();
        let variation = find(group, number)?;
        let fits = writer.indexed(&variation, *index, |out| command.encode(out));
        if !fits {
            return None;
        }
    }
    (!writer.is_empty()).then(|| writer.finish())
}

/// Statuses of an answer that repeats the request's objects.
pub(super) fn statuses(request: &[u8], answer: &[u8]) -> Option<Vec<CommandStatus>> {
    if request.len() != answer.len() {
        return None;
    }
    let mut expected = request.to_vec();
    let mut statuses = Vec::new();
    for header in Headers::new(request) {
        for end in header.ok()?.ends() {
            expected[end - 1] = answer[end - 1];
            statuses.push(CommandStatus::from_code(answer[end - 1]));
        }
    }
    (expected == answer).then_some(statuses)
}

/// The delay of g52, if there is one.
pub(super) fn delay(objects: &[u8]) -> Option<Duration> {
    let header = Headers::new(objects).next()?.ok()?;
    let (_, Item::Octets(octets)) = header.items().next()? else {
        return None;
    };
    let count = u16::from_le_bytes(octets.try_into().ok()?);
    match (header.variation.layout, header.id()) {
        (Layout::Delay, (52, 1)) => Some(Duration::from_secs(count.into())),
        (Layout::Delay, _) => Some(Duration::from_millis(count.into())),
        _ => None,
    }
}

impl Request {
    /// The function and the objects of a request of one step; `None`: impossible.
    pub(super) fn fragment(&self) -> Option<(FunctionCode, Vec<u8>)> {
        use FunctionCode as F;
        let (function, objects) = match self {
            Self::Read(headers) => (F::Read, headers.iter().copied().flat_map(raw).collect()),
            Self::Operate(select, list) => {
                let function = match select {
                    Select::BeforeOperate | Select::Only => F::Select,
                    Select::Selected => F::Operate,
                    Select::Direct => F::DirectOperate,
                    Select::DirectNoResponse => F::DirectOperateNoResponse,
                };
                (function, commands(list)?)
            }
            // What is asked instead.
            Self::Release => (F::Read, classes([true; 3])),
            Self::Freeze { range, clear } => {
                let function = if *clear {
                    F::FreezeClear
                } else {
                    F::ImmediateFreeze
                };
                (function, ranged(20, *range))
            }
            Self::AssignClass { kind, range, class } => {
                let variation = class.map_or(1, |class| class as u8 + 1);
                let points = ranged(kind.static_group()?, *range);
                (F::AssignClass, [all(60, variation), points].concat())
            }
            Self::DeadBands(bands) => {
                let mut writer = Writer::new(MAX_FRAGMENT - 2);
                let variation = find(34, 3)?;
                for (index, band) in bands {
                    let octets = band.to_le_bytes();
                    if !writer.indexed(&variation, *index, |out| out.extend(octets)) {
                        return None;
                    }
                }
                (F::Write, writer.finish())
            }
            Self::Unsolicited(wanted) if *wanted == [false; 3] => {
                (F::DisableUnsolicited, classes([true; 3]))
            }
            Self::Unsolicited(wanted) => (F::EnableUnsolicited, classes(*wanted)),
            Self::SyncTime => (F::RecordCurrentTime, Vec::new()),
            Self::Restart { cold: true } => (F::ColdRestart, Vec::new()),
            Self::Restart { cold: false } => (F::WarmRestart, Vec::new()),
        };
        (objects.len() <= MAX_FRAGMENT - 2).then_some((function, objects))
    }
}

impl Request {
    /// The same without an answer, for everyone; `None`: there is no such thing.
    pub(super) fn unanswered(&self) -> Option<(FunctionCode, Vec<u8>)> {
        use FunctionCode as F;
        let (function, objects) = self.fragment()?;
        let unanswered = match function {
            F::Select | F::DirectOperate => F::DirectOperateNoResponse,
            F::ImmediateFreeze => F::ImmediateFreezeNoResponse,
            F::FreezeClear => F::FreezeClearNoResponse,
            F::DirectOperateNoResponse
            | F::Write
            | F::EnableUnsolicited
            | F::DisableUnsolicited => function,
            _ => return None,
        };
        Some((unanswered, objects))
    }
}

impl Measurement {
    /// What its flags say, as [`crate::point::Quality`].
    #[must_use]
    pub fn quality(&self) -> crate::point::Quality {
        self.sample.flags.quality(self.kind)
    }
}
