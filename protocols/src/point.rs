//! What every protocol maps to: a point is a value with its quality and its time, and it never
//! travels without them. Powers are in W and var; their sign convention is the point's own and is
//! stated where the point is declared.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// Name of a device on a site, e.g. `pv3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// A device id from its name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a point, unique on a site: `device/point`, e.g. `pv3/p`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PointId(Arc<str>);

impl PointId {
    /// The point `name` of `device`.
    #[must_use]
    pub fn new(device: &DeviceId, name: &str) -> Self {
        Self(format!("{device}/{name}").into())
    }

    /// A point id from its full text, `device/point`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.into())
    }

    /// The full text, `device/point`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the device's name; the full text where there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, name)| name)
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Position of a switch as two contacts report it (IEC 61850 Dpos, DNP3 g3, IEC 104 DIQ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoublePoint {
    /// Neither end contact made.
    Intermediate,
    /// Open.
    Off,
    /// Closed.
    On,
    /// Both contacts made: a fault of the indication.
    Bad,
}

/// What a point holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A measured or set quantity in SI units. NaN, and then of bad quality, where the source gave
    /// no number.
    Analog(f64),
    /// A single indication.
    Binary(bool),
    /// A switch position.
    DoublePoint(DoublePoint),
    /// A register that only counts up (until it wraps), e.g. Wh.
    Counter(u64),
}

bitflags::bitflags! {
    /// Why a value should not be taken at face value; empty means good.
    ///
    /// The union of what the protocols can say: IEC 61850-7-3 `Quality`, DNP3 flags, IEC 60870-5
    /// quality descriptors.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Quality: u16 {
        /// The source says the value must not be used.
        const INVALID = 1;
        /// The source doubts the value.
        const QUESTIONABLE = 1 << 1;
        /// Not refreshed within the time its source promised.
        const OLD = 1 << 2;
        /// The link to the source is down; the value is the last one known.
        const COMM_LOST = 1 << 3;
        /// Outside what the source can measure.
        const OUT_OF_RANGE = 1 << 4;
        /// Typed in by a person or set by a program in place of the measurement.
        const SUBSTITUTED = 1 << 5;
        /// The source restarted and has not measured since.
        const RESTART = 1 << 6;
        /// The source blocked updating.
        const BLOCKED = 1 << 7;
        /// From a source in test mode.
        const TEST = 1 << 8;
        /// Repeats exactly although its noise says that it should not.
        const FROZEN = 1 << 9;
    }
}

impl Quality {
    /// Nothing speaks against the value.
    pub const GOOD: Self = Self::empty();

    /// Whether nothing speaks against the value.
    #[must_use]
    pub fn is_good(self) -> bool {
        self.is_empty()
    }

    /// The names of the flags that are set, lower case, e.g. `["old", "comm_lost"]`.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        self.iter_names()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect()
    }
}

/// How far a time stamp can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeQuality {
    /// Stamped by the source, whose clock is synchronised.
    Source,
    /// Stamped by the source, whose clock may be wrong.
    Unsynchronised,
    /// Stamped by us on receipt, because the protocol carries no time.
    Received,
}

/// A moment, UTC, in microseconds since 1970, and how far to trust it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub unix_us: i64,
    /// How far to trust it.
    pub quality: TimeQuality,
}

impl Timestamp {
    /// A time stamp given by us on receipt.
    #[must_use]
    pub fn received(unix_us: i64) -> Self {
        Self {
            unix_us,
            quality: TimeQuality::Received,
        }
    }
}

/// One new value of one point, as a device delivers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Which point.
    pub point: PointId,
    /// Its value.
    pub value: Value,
    /// What speaks against the value.
    pub quality: Quality,
    /// When the source measured it (or, `Received`, when we got it).
    pub time: Timestamp,
}

/// Who wants it, in the order of who wins: the first outranks the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The DSO's control centre.
    Scada,
    /// A person at the appliance.
    Operator,
    /// The appliance's own limits.
    Safety,
    /// The market's award.
    Market,
}

/// Active power asked of a DER, generation-positive, in W.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivePower {
    /// No more than this (a curtailable generator delivers what it can below).
    Limit(f64),
    /// Exactly this (a battery; negative charges).
    Set(f64),
}

/// What a DER shall do, for how long, and what it does when nobody renews it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DerSetpoint {
    /// Active power, generation-positive.
    pub p: ActivePower,
    /// Reactive power, generation-positive, var.
    pub q_var: f64,
    /// The device falls back by itself when this has passed without a renewal.
    pub lease: Duration,
    /// Rate at which the device may move its active power, W/s; `None`: as fast as it can.
    pub ramp_w_per_s: Option<f64>,
    /// What it falls back to.
    pub fallback: DerFallback,
}

/// What a DER falls back to when its setpoint's lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DerFallback {
    /// Active power, generation-positive (limit or set value as in the setpoint).
    pub p: ActivePower,
    /// Reactive power, generation-positive, var.
    pub q_var: f64,
}

/// What to do at a point or device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Write one value to a writable point: by the device's own procedure, with a selection if it wants one.
    Write(Value),
    /// Only make this value ready to be written: select it at the device. One that knows no selection says
    /// whether it could be written. It lasts until it is operated, given back or replaced, the device's time is over,
    /// or the connection goes.
    Select(Value),
    /// Write what was selected before.
    Operate(Value),
    /// Give a selection back.
    Cancel(Value),
    /// Operate a DER as a whole; the command's point is the device's `control`.
    Der(DerSetpoint),
}

/// An order to a device. One that cannot be carried out before `expires` is dropped and reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Counts up within one run of the appliance; the answer carries it.
    pub id: u64,
    /// What is commanded.
    pub point: PointId,
    /// What it shall do.
    pub action: Action,
    /// Who wants it.
    pub origin: Origin,
    /// Not to be sent after this moment (UTC, microseconds since 1970).
    pub expires_unix_us: i64,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandStatus {
    /// Written, and the device acknowledged it.
    Done,
    /// Refused by the device or by us before sending.
    Rejected(Rejection),
    /// Sent, but no answer came: it may or may not have been carried out.
    Unknown(String),
    /// Not sent: it had expired, or the device was not connected.
    NotSent(String),
}

/// Why a command was refused: what all protocols have a word for, and the words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The reason, as far as the device gave one.
    pub cause: Cause,
    /// For a person.
    pub text: String,
}

/// Reasons for a refusal (AddCause of IEC 61850-7-2, status codes of DNP3 commands, causes of IEC 60870-5-104).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// None of the others, or none was given.
    Other,
    /// There is no such command, or not this value of it.
    NotSupported,
    /// It was not selected, or too long ago.
    NotSelected,
    /// Another command is being carried out there.
    Busy,
    /// Somebody else has selected it.
    Taken,
    /// It is as asked already.
    AlreadyThere,
    /// It is switched to local control.
    Local,
    /// Interlocked, or otherwise blocked.
    Blocked,
    /// We may not.
    NotAllowed,
    /// Beyond what it takes.
    OutOfRange,
}

impl Cause {
    /// With words.
    #[must_use]
    pub fn because(self, text: impl Into<String>) -> Rejection {
        Rejection {
            cause: self,
            text: text.into(),
        }
    }
}

impl<T: Into<String>> From<T> for Rejection {
    fn from(text: T) -> Self {
        Cause::Other.because(text)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
