//! Commands to outputs: control relay output blocks (g12v1) and analog outputs (g41).

use super::variations::Number;

/// What became of a command (Annex A, control status codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommandStatus {
    /// Accepted, begun or queued.
    Success,
    /// The operate came too late after the select.
    Timeout,
    /// An operate without a matching select.
    NoSelect,
    /// Something is wrong with the command's format.
    FormatError,
    /// The point has no such operation.
    NotSupported,
    /// The point is being operated already.
    AlreadyActive,
    /// Hardware trouble.
    HardwareError,
    /// The local/remote switch stands on local.
    Local,
    /// Too many commands in one request.
    TooManyOperations,
    /// The master may not do this.
    NotAuthorized,
    /// Inhibited by a local automatism.
    AutomationInhibit,
    /// The device cannot do so much at a time.
    ProcessingLimited,
    /// The value is beyond what the point takes.
    OutOfRange,
    /// A device below stands on local.
    DownstreamLocal,
    /// It is as asked already.
    AlreadyComplete,
    /// Specifically blocked.
    Blocked,
    /// Cancelled.
    Cancelled,
    /// Another master has the device.
    BlockedOtherMaster,
    /// A device below failed.
    DownstreamFail,
    /// A code that has no meaning yet, or 127.
    Other(u8),
}

impl CommandStatus {
    const KNOWN: [Self; 19] = [
        Self::Success,
        Self::Timeout,
        Self::NoSelect,
        Self::FormatError,
        Self::NotSupported,
        Self::AlreadyActive,
        Self::HardwareError,
        Self::Local,
        Self::TooManyOperations,
        Self::NotAuthorized,
        Self::AutomationInhibit,
        Self::ProcessingLimited,
        Self::OutOfRange,
        Self::DownstreamLocal,
        Self::AlreadyComplete,
        Self::Blocked,
        Self::Cancelled,
        Self::BlockedOtherMaster,
        Self::DownstreamFail,
    ];

    /// The code on the wire, seven bits.
    #[must_use]
    pub fn code(self) -> u8 {
        let known = Self::KNOWN.iter().position(|&status| status == self);
        match (known, self) {
            (Some(code), _) => code as u8,
            (None, Self::Other(code)) => code & 0x7F,
            (None, _) => 127,
        }
    }

    /// The status of a code; the eighth bit is not looked at.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        let code = code & 0x7F;
        let known = Self::KNOWN.get(usize::from(code)).copied();
        known.unwrap_or(Self::Other(code))
    }
}

/// What a relay shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationType {
    /// Nothing.
    Nul,
    /// On for a time.
    PulseOn,
    /// Off for a time.
    PulseOff,
    /// On, and stay.
    LatchOn,
    /// Off, and stay.
    LatchOff,
    /// A code without a meaning.
    Other(u8),
}

/// Which of a pair of relays is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TripClose {
    /// Not a pair.
    Nul,
    /// The closing one.
    Close,
    /// The tripping one.
    Trip,
    /// A code without a meaning.
    Reserved,
}

/// A control relay output block, without its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crob {
    /// What the relay shall do.
    pub operation: OperationType,
    /// Which of a pair.
    pub trip_close: TripClose,
    /// Cancel what is under way.
    pub clear: bool,
    /// How often; 0: not at all.
    pub count: u8,
    /// How long on, ms.
    pub on_ms: u32,
    /// How long off, ms.
    pub off_ms: u32,
}

impl Crob {
    /// Latch on or off, once.
    #[must_use]
    pub fn latch(on: bool) -> Self {
        let operation = if on {
            OperationType::LatchOn
        } else {
            OperationType::LatchOff
        };
        Self {
            operation,
            trip_close: TripClose::Nul,
            clear: false,
            count: 1,
            on_ms: 0,
            off_ms: 0,
        }
    }

    /// A pulse on the closing or the tripping relay of a breaker.
    #[must_use]
    pub fn breaker(close: bool, on_ms: u32) -> Self {
        let trip_close = if close {
            TripClose::Close
        } else {
            TripClose::Trip
        };
        Self {
            operation: OperationType::PulseOn,
            trip_close,
            on_ms,
            ..Self::latch(true)
        }
    }

    /// The state that the output takes or that is asked of it, if the command says so.
    #[must_use]
    pub fn state(&self) -> Option<bool> {
        match (self.trip_close, self.operation) {
            (TripClose::Close, OperationType::PulseOn) => Some(true),
            (TripClose::Trip, OperationType::PulseOn) => Some(false),
            (TripClose::Nul, OperationType::LatchOn | OperationType::PulseOn) => Some(true),
            (TripClose::Nul, OperationType::LatchOff | OperationType::PulseOff) => Some(false),
            _ => None,
        }
    }

    fn decode(bytes: &[u8; 10]) -> Self {
        let [code, count, on @ .., a, b, c, d] = *bytes;
        Self {
            operation: match code & 0x0F {
                0 => OperationType::Nul,
                1 => OperationType::PulseOn,
                2 => OperationType::PulseOff,
                3 => OperationType::LatchOn,
                4 => OperationType::LatchOff,
                other => OperationType::Other(other),
            },
            trip_close: match code >> 6 {
                0 => TripClose::Nul,
                1 => TripClose::Close,
                2 => TripClose::Trip,
                _ => TripClose::Reserved,
            },
            // Bit 4, queue, is obsolete.
            clear: code & 0x20 != 0,
            count,
            on_ms: u32::from_le_bytes(on),
            off_ms: u32::from_le_bytes([a, b, c, d]),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let operation = match self.operation {
            OperationType::Nul => 0,
            OperationType::PulseOn => 1,
            OperationType::PulseOff => 2,
            OperationType::LatchOn => 3,
            OperationType::LatchOff => 4,
            OperationType::Other(code) => code & 0x0F,
        };
        let trip_close = match self.trip_close {
            TripClose::Nul => 0,
            TripClose::Close => 1,
            TripClose::Trip => 2,
            TripClose::Reserved => 3,
        };
        out.extend([
            operation | u8::from(self.clear) << 5 | trip_close << 6,
            self.count,
        ]);
        out.extend(self.on_ms.to_le_bytes());
        out.extend(self.off_ms.to_le_bytes());
    }
}

/// A value for an analog output, as it travels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnalogCommand {
    /// g41v1.
    I32(i32),
    /// g41v2.
    I16(i16),
    /// g41v3.
    F32(f32),
    /// g41v4.
    F64(f64),
}

impl AnalogCommand {
    /// The value.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::I32(value) => value.into(),
            Self::I16(value) => value.into(),
            Self::F32(value) => value.into(),
            Self::F64(value) => value,
        }
    }
}

/// A command to an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OutputCommand {
    /// To a binary output.
    Crob(Crob),
    /// To an analog output.
    Analog(AnalogCommand),
}

impl OutputCommand {
    /// Group and variation.
    pub(crate) fn variation(self) -> (u8, u8) {
        match self {
            Self::Crob(_) => (12, 1),
            Self::Analog(AnalogCommand::I32(_)) => (41, 1),
            Self::Analog(AnalogCommand::I16(_)) => (41, 2),
            Self::Analog(AnalogCommand::F32(_)) => (41, 3),
            Self::Analog(AnalogCommand::F64(_)) => (41, 4),
        }
    }

    /// Appends the object with a status of zero.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Crob(crob) => crob.encode(out),
            Self::Analog(AnalogCommand::I32(value)) => out.extend(value.to_le_bytes()),
            Self::Analog(AnalogCommand::I16(value)) => out.extend(value.to_le_bytes()),
            Self::Analog(AnalogCommand::F32(value)) => out.extend(value.to_le_bytes()),
            Self::Analog(AnalogCommand::F64(value)) => out.extend(value.to_le_bytes()),
        }
        out.push(CommandStatus::Success.code());
    }

    /// A control relay output block and its status.
    pub(crate) fn decode_crob(object: &[u8]) -> Option<(Self, CommandStatus)> {
        let (&status, bytes) = object.split_last()?;
        let crob = Crob::decode(bytes.try_into().ok()?);
        Some((Self::Crob(crob), CommandStatus::from_code(status)))
    }

    /// An analog output and its status.
    pub(crate) fn decode_analog(number: Number, object: &[u8]) -> Option<(Self, CommandStatus)> {
        let (&status, bytes) = object.split_last()?;
        let command = match number {
            Number::I32 => AnalogCommand::I32(i32::from_le_bytes(bytes.try_into().ok()?)),
            Number::I16 => AnalogCommand::I16(i16::from_le_bytes(bytes.try_into().ok()?)),
            Number::F32 => AnalogCommand::F32(f32::from_le_bytes(bytes.try_into().ok()?)),
            Number::F64 => AnalogCommand::F64(f64::from_le_bytes(bytes.try_into().ok()?)),
            _ => return None,
        };
        Some((Self::Analog(command), CommandStatus::from_code(status)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_is_read_octet_by_octet() {
        // Trip, pulse on, clear; twice; 1000 ms on, 258 ms off; status 4.
        let object = [0xA1, 2, 0xE8, 3, 0, 0, 2, 1, 0, 0, 4];
        let (command, status) = OutputCommand::decode_crob(&object).unwrap();
        let expected = Crob {
            clear: true,
            count: 2,
            off_ms: 258,
            ..Crob::breaker(false, 1000)
        };
        assert_eq!(command, OutputCommand::Crob(expected));
        assert_eq!(status, CommandStatus::NotSupported);
    }

    #[test]
    fn setpoints_are_read_octet_by_octet() {
        let decode = |number, object: &[u8]| OutputCommand::decode_analog(number, object).unwrap();
        let analog = |command| (OutputCommand::Analog(command), CommandStatus::Success);
        // 0xC0200000 is -2.5 in single, 0xC004… in double precision.
        assert_eq!(
            decode(Number::I32, &[0xFE, 0xFF, 0xFF, 0xFF, 0]),
            analog(AnalogCommand::I32(-2))
        );
        assert_eq!(
            decode(Number::I16, &[0x00, 0x80, 0]),
            analog(AnalogCommand::I16(i16::MIN))
        );
        assert_eq!(
            decode(Number::F32, &[0, 0, 0x20, 0xC0, 0]),
            analog(AnalogCommand::F32(-2.5))
        );
        assert_eq!(
            decode(Number::F64, &[0, 0, 0, 0, 0, 0, 0x04, 0xC0, 0]),
            analog(AnalogCommand::F64(-2.5))
        );
        assert_eq!(OutputCommand::decode_analog(Number::I32, &[0; 4]), None);
        assert_eq!(OutputCommand::decode_crob(&[0; 10]), None);
    }

    proptest! {
        #[test]
        fn blocks_survive_but_for_the_obsolete_bit(object: [u8; 10]) {
            let (command, _) = OutputCommand::decode_crob(&[&object[..], &[0]].concat()).unwrap();
            let mut out = Vec::new();
            command.encode(&mut out);
            let mut expected = object.to_vec();
            expected[0] &= !0x10;
            expected.push(0);
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn every_status_code_survives(code: u8) {
            prop_assert_eq!(CommandStatus::from_code(code).code(), code & 0x7F);
        }
    }
}
