//! Information objects in control direction (IEC 60870-5-101 clauses 7.2.6.15 to 7.2.6.40 and 7.3.2 to
//! 7.3.4): process commands, and requests of the system.

use super::{
    asdu::{Header, address_octets},
    element, time,
};
use crate::point::{DoublePoint, Timestamp};

/// Kinds of process commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlKind {
    /// Single command (C_SC).
    Single,
    /// Double command (C_DC).
    Double,
    /// Regulating step command (C_RC).
    Step,
    /// Set point, normalized (C_SE_NA).
    Normalized,
    /// Set point, scaled (C_SE_NB).
    Scaled,
    /// Set point, short floating point (C_SE_NC).
    Float,
}

impl ControlKind {
    const ALL: [Self; 6] = [
        Self::Single,
        Self::Double,
        Self::Step,
        Self::Normalized,
        Self::Scaled,
        Self::Float,
    ];

    /// The type identification, with CP56Time2a or without time.
    #[must_use]
    pub fn type_id(self, timed: bool) -> u8 {
        // Both rows are in the same order.
        let row = if timed { 58 } else { 45 };
        row + self as u8
    }

    /// Octets of its value with its qualifier.
    fn size(self) -> usize {
        match self {
            Self::Single | Self::Double | Self::Step => 1,
            Self::Normalized | Self::Scaled => 3,
            Self::Float => 5,
        }
    }
}

/// Kinds of requests in control direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandKind {
    /// A process command, with a time or without.
    Control(ControlKind, bool),
    /// C_IC_NA_1.
    Interrogation,
    /// C_CI_NA_1.
    Counters,
    /// C_RD_NA_1.
    Read,
    /// C_CS_NA_1.
    Clock,
    /// C_TS_NA_1 of IEC 101, which some masters send, and C_TS_TA_1.
    Test {
        /// With a time.
        timed: bool,
    },
    /// C_RP_NA_1.
    Reset,
}

impl CommandKind {
    /// The type identification.
    #[must_use]
    pub fn type_id(self) -> u8 {
        match self {
            Self::Control(kind, timed) => kind.type_id(timed),
            Self::Interrogation => 100,
            Self::Counters => 101,
            Self::Read => 102,
            Self::Clock => 103,
            Self::Test { timed: false } => 104,
            Self::Reset => 105,
            Self::Test { timed: true } => 107,
        }
    }

    pub(super) fn is_timed_control(self) -> bool {
        matches!(self, Self::Control(_, true))
    }

    pub(super) fn of_type(type_id: u8) -> Option<Self> {
        let controls = ControlKind::ALL
            .into_iter()
            .flat_map(|kind| [false, true].map(|timed| Self::Control(kind, timed)));
        let system = [
            Self::Interrogation,
            Self::Counters,
            Self::Read,
            Self::Clock,
            Self::Test { timed: false },
            Self::Test { timed: true },
            Self::Reset,
        ];
        let mut all = controls.chain(system);
        all.find(|kind| kind.type_id() == type_id)
    }

    /// Octets of its object behind the address.
    fn size(self) -> usize {
        match self {
            Self::Control(kind, timed) => kind.size() + if timed { 7 } else { 0 },
            Self::Interrogation | Self::Counters | Self::Reset => 1,
            Self::Read => 0,
            Self::Clock => 7,
            Self::Test { timed } => 2 + if timed { 7 } else { 0 },
        }
    }
}

/// What a process command is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CommandValue {
    /// On or off.
    Single(bool),
    /// Close or open.
    Double(bool),
    /// Higher or lower.
    Step(bool),
    /// A set value as a fraction of its range.
    Normalized(f64),
    /// A set value in the station's unit.
    Scaled(i16),
    /// A set value.
    Float(f32),
}

impl CommandValue {
    /// Its kind.
    #[must_use]
    pub fn kind(self) -> ControlKind {
        match self {
            Self::Single(_) => ControlKind::Single,
            Self::Double(_) => ControlKind::Double,
            Self::Step(_) => ControlKind::Step,
            Self::Normalized(_) => ControlKind::Normalized,
            Self::Scaled(_) => ControlKind::Scaled,
            Self::Float(_) => ControlKind::Float,
        }
    }
}

/// A process command.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Command {
    /// Which object.
    pub ioa: u32,
    /// What it is to do.
    pub value: CommandValue,
    /// QU (0 to 31: short, long, persistent pulse) or QL (0 to 127).
    pub qualifier: u8,
    /// When it was given; none: it carries no time.
    pub time: Option<Timestamp>,
}

impl Command {
    /// A command without a time and with qualifier 0, "no additional definition".
    #[must_use]
    pub fn new(ioa: u32, value: CommandValue) -> Self {
        Self {
            ioa,
            value,
            qualifier: 0,
            time: None,
        }
    }

    /// The request, to select or to execute.
    pub(super) fn request(&self, select: bool) -> Request {
        let kind = CommandKind::Control(self.value.kind(), self.time.is_some());
        let select = u8::from(select) << 7;
        let discrete = |state: u8| vec![state | ((self.qualifier & 0x1F) << 2) | select];
        let set = |octets: &[u8]| [octets, &[(self.qualifier & 0x7F) | select]].concat();
        let mut object = match self.value {
            CommandValue::Single(on) => discrete(on.into()),
            CommandValue::Double(on) | CommandValue::Step(on) => discrete(1 + u8::from(on)),
            CommandValue::Normalized(value) => set(&element::normalized(value).to_le_bytes()),
            CommandValue::Scaled(value) => set(&value.to_le_bytes()),
            CommandValue::Float(value) => set(&value.to_le_bytes()),
        };
        if let Some(time) = self.time {
            object.extend(time::encode(time));
        }
        Request {
            kind,
            ioa: self.ioa,
            object,
        }
    }
}

/// An object in control direction, as its octets; answers mirror them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) kind: CommandKind,
    pub(super) ioa: u32,
    /// Of the kind's size.
    object: Vec<u8>,
}

impl Request {
    /// One of an own making.
    ///
    /// # Panics
    /// In debug builds, if the object does not have the kind's size.
    pub(super) fn new(kind: CommandKind, ioa: u32, object: Vec<u8>) -> Self {
        debug_assert_eq!(object.len(), kind.size());
        Self { kind, ioa, object }
    }

    /// None: the octets do not fit.
    pub(super) fn decode(kind: CommandKind, ioa: u32, object: &[u8]) -> Option<Self> {
        (object.len() == kind.size()).then(|| Self {
            kind,
            ioa,
            object: object.to_vec(),
        })
    }

    /// The first octet: the qualifier of an interrogation, counter interrogation or reset.
    pub(super) fn qualifier(&self) -> u8 {
        self.object.first().copied().unwrap_or(0)
    }

    /// The time of a clock synchronisation or a process command with time; none: there is none, or it
    /// is no time.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let last = self.object.last_chunk()?;
        time::decode(*last)
    }

    /// With another time.
    pub(super) fn at(mut self, time: Timestamp) -> Self {
        if let Some(last) = self.object.last_chunk_mut() {
            *last = time::encode(time);
        }
        self
    }

    /// S/E: whether it selects only.
    pub(super) fn selects(&self) -> bool {
        let CommandKind::Control(kind, _) = self.kind else {
            return false;
        };
        self.object[kind.size() - 1] & 0x80 != 0
    }

    /// What a process command asks for; none: it is not one, or its state is one that the standard
    /// does not permit.
    pub(super) fn command(&self) -> Option<Command> {
        let CommandKind::Control(kind, timed) = self.kind else {
            return None;
        };
        let object = &self.object[..kind.size()];
        let last = object[object.len() - 1];
        let two = match element::double(last) {
            DoublePoint::Off => Some(false),
            DoublePoint::On => Some(true),
            DoublePoint::Intermediate | DoublePoint::Bad => None,
        };
        let value = match (kind, object) {
            (ControlKind::Single, _) => CommandValue::Single(last & 1 != 0),
            (ControlKind::Double, _) => CommandValue::Double(two?),
            (ControlKind::Step, _) => CommandValue::Step(two?),
            (ControlKind::Normalized, [a, b, _]) => {
                CommandValue::Normalized(f64::from(i16::from_le_bytes([*a, *b])) / 32_768.0)
            }
            (ControlKind::Scaled, [a, b, _]) => CommandValue::Scaled(i16::from_le_bytes([*a, *b])),
            (_, [a, b, c, d, _]) => {
                let number = f32::from_le_bytes([*a, *b, *c, *d]);
                CommandValue::Float(number.is_finite().then_some(number)?)
            }
            _ => return None,
        };
        let discrete = kind.size() == 1;
        let qualifier = if discrete {
            (last >> 2) & 0x1F
        } else {
            last & 0x7F
        };
        Some(Command {
            ioa: self.ioa,
            value,
            qualifier,
            time: if timed { self.time() } else { None },
        })
    }

    /// The ASDU with this object.
    pub(super) fn asdu(&self, header: Header) -> Vec<u8> {
        header.join(1, &[&address_octets(self.ioa), &self.object[..]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_as_the_standard_draws_them() {
        let rows = [
            (CommandValue::Single(true), 1, true, 45, &[0x85][..]),
            (CommandValue::Double(false), 0, false, 46, &[0x01]),
            (CommandValue::Step(true), 0, true, 47, &[0x82]),
            (
                CommandValue::Normalized(-0.5),
                0,
                false,
                48,
                &[0x00, 0xC0, 0],
            ),
            (CommandValue::Scaled(-2), 0, true, 49, &[0xFE, 0xFF, 0x80]),
            (
                CommandValue::Float(1.0),
                5,
                false,
                50,
                &[0, 0, 0x80, 0x3F, 5],
            ),
        ];
        for (value, qualifier, select, type_id, octets) in rows {
            let command = Command {
                qualifier,
                ..Command::new(9, value)
            };
            let request = command.request(select);
            assert_eq!(request.kind.type_id(), type_id);
            assert_eq!(request.object, octets, "{value:?}");
            assert_eq!(request.selects(), select);
            assert_eq!(request.command(), Some(command));
            assert_eq!(CommandKind::of_type(type_id), Some(request.kind));
        }
    }

    #[test]
    fn states_that_are_not_permitted_ask_for_nothing() {
        for (type_id, object) in [
            (46, vec![0]),
            (46, vec![3]),
            (47, vec![0x83]),
            (50, vec![0, 0, 0xC0, 0x7F, 0]),
        ] {
            let kind = CommandKind::of_type(type_id).unwrap();
            let request = Request::decode(kind, 1, &object).unwrap();
            assert_eq!(request.command(), None, "{type_id} {object:?}");
        }
        assert_eq!(
            Request::decode(CommandKind::Interrogation, 0, &[20, 0]),
            None
        );
    }
}
