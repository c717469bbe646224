//! What DNP3 measures: kinds of points, their flags, and a value with both and its time.

use std::fmt;

use serde::Deserialize;

use crate::point::{DoublePoint, Timestamp, Value};

/// A kind of point, or of event: commands given to an output are events without a point of their
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Single-bit binary input, g1 and g2.
    Binary,
    /// Double-bit binary input, g3 and g4.
    DoubleBit,
    /// State of a binary output, g10 and g11.
    BinaryOutput,
    /// A command given to a binary output, g13.
    #[serde(skip)]
    BinaryCommand,
    /// Counter, g20 and g22.
    Counter,
    /// Frozen counter, g21 and g23.
    FrozenCounter,
    /// Analog input, g30 and g32.
    Analog,
    /// State of an analog output, g40 and g42.
    AnalogOutput,
    /// A command given to an analog output, g43.
    #[serde(skip)]
    AnalogCommand,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Binary,
        Self::DoubleBit,
        Self::BinaryOutput,
        Self::BinaryCommand,
        Self::Counter,
        Self::FrozenCounter,
        Self::Analog,
        Self::AnalogOutput,
        Self::AnalogCommand,
    ];

    /// The object group of its present value; none for commands.
    #[must_use]
    pub fn static_group(self) -> Option<u8> {
        Some(match self {
            Self::Binary => 1,
            Self::DoubleBit => 3,
            Self::BinaryOutput => 10,
            Self::Counter => 20,
            Self::FrozenCounter => 21,
            Self::Analog => 30,
            Self::AnalogOutput => 40,
            Self::BinaryCommand | Self::AnalogCommand => return None,
        })
    }

    /// The object group of its events.
    #[must_use]
    pub fn event_group(self) -> u8 {
        match self {
            Self::Binary => 2,
            Self::DoubleBit => 4,
            Self::BinaryOutput => 11,
            Self::BinaryCommand => 13,
            Self::Counter => 22,
            Self::FrozenCounter => 23,
            Self::Analog => 32,
            Self::AnalogOutput => 42,
            Self::AnalogCommand => 43,
        }
    }

    /// The kind whose present value is in `group`.
    #[must_use]
    pub fn of_static(group: u8) -> Option<Self> {
        let of = |kind: &Self| kind.static_group() == Some(group);
        Self::ALL.into_iter().find(of)
    }

    /// The kind whose events are in `group`.
    #[must_use]
    pub fn of_events(group: u8) -> Option<Self> {
        let of = |kind: &Self| kind.event_group() == group;
        Self::ALL.into_iter().find(of)
    }

    /// Whether a value of this kind is held like `value`.
    #[must_use]
    pub fn holds(self, value: Value) -> bool {
        matches!(
            (self, value),
            (
                Self::Binary | Self::BinaryOutput | Self::BinaryCommand,
                Value::Binary(_)
            ) | (Self::DoubleBit, Value::DoublePoint(_))
                | (Self::Counter | Self::FrozenCounter, Value::Counter(_))
                | (
                    Self::Analog | Self::AnalogOutput | Self::AnalogCommand,
                    Value::Analog(_)
                )
        )
    }

    /// The value of a point that nobody has measured yet.
    #[must_use]
    pub fn unmeasured(self) -> Value {
        match self {
            Self::Binary | Self::BinaryOutput | Self::BinaryCommand => Value::Binary(false),
            Self::DoubleBit => Value::DoublePoint(DoublePoint::Intermediate),
            Self::Counter | Self::FrozenCounter => Value::Counter(0),
            Self::Analog | Self::AnalogOutput | Self::AnalogCommand => Value::Analog(0.0),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binary => "binary input",
            Self::DoubleBit => "double-bit binary input",
            Self::BinaryOutput => "binary output",
            Self::BinaryCommand => "binary output command",
            Self::Counter => "counter",
            Self::FrozenCounter => "frozen counter",
            Self::Analog => "analog input",
            Self::AnalogOutput => "analog output",
            Self::AnalogCommand => "analog output command",
        })
    }
}

bitflags::bitflags! {
    /// The flag octet of an object without its state bits (Annex A). Bits 5 and 6 mean another
    /// thing in each kind.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Flags: u8 {
        /// The point is active and its value is valid.
        const ONLINE = 1;
        /// Not measured since the device restarted.
        const RESTART = 1 << 1;
        /// What the device gets it from does not answer; the value is the last one known.
        const COMM_LOST = 1 << 2;
        /// Overridden at another device.
        const REMOTE_FORCED = 1 << 3;
        /// Overridden at this device.
        const LOCAL_FORCED = 1 << 4;
        /// Binary inputs: changes too often.
        const CHATTER = 1 << 5;
        /// Analogs: beyond what can be measured or carried.
        const OVER_RANGE = 1 << 5;
        /// Counters: has rolled over (obsolete, not to be used).
        const ROLLOVER = 1 << 5;
        /// Analogs: the reference of the measurement is doubtful.
        const REFERENCE_ERR = 1 << 6;
        /// Counters: has jumped, do not compare with former values.
        const DISCONTINUITY = 1 << 6;
        /// The state of a single-bit point; never in a [`Sample`].
        const STATE = 1 << 7;
    }
}

/// A value as DNP3 carries it.
///
/// For commands (g13, g43) the flags hold the command's status instead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Of the type that [`Kind::holds`]. Counters are carried modulo 2³² or 2¹⁶.
    pub value: Value,
    /// Without state bits.
    pub flags: Flags,
    /// When it was measured; carried in milliseconds and only by variations with time.
    pub time: Option<Timestamp>,
}
