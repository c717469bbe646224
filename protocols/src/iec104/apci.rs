//! Frames (IEC 60870-5-104 clause 5): start octet, length, four octets of control field, and in
//! I frames an ASDU.

use thiserror::Error;

/// Octets of an ASDU at most: 253 of an APDU's length, less the control field.
pub const MAX_ASDU: usize = 249;
/// Sequence numbers count modulo this.
pub const SEQUENCES: u16 = 1 << 15;

const START: u8 = 0x68;
const MIN_LENGTH: u8 = 4;
const MAX_LENGTH: u8 = 253;

/// What a U frame says, one of them only (figure 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Control {
    /// Data transfer is to start.
    StartAct = 0x07,
    /// It has started.
    StartCon = 0x0B,
    /// Data transfer is to stop.
    StopAct = 0x13,
    /// It has stopped.
    StopCon = 0x23,
    /// Is there anybody?
    TestAct = 0x43,
    /// There is.
    TestCon = 0x83,
}

impl Control {
    const ALL: [Self; 6] = [
        Self::StartAct,
        Self::StartCon,
        Self::StopAct,
        Self::StopCon,
        Self::TestAct,
        Self::TestCon,
    ];
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apdu {
    /// Numbered, with an ASDU, acknowledging all before `receive`.
    I {
        /// Its own number.
        send: u16,
        /// The number that is expected next from the other.
        receive: u16,
        /// The ASDU's octets.
        asdu: Vec<u8>,
    },
    /// Acknowledges all before `receive`.
    S {
        /// The number that is expected next from the other.
        receive: u16,
    },
    /// Starts, stops, tests.
    U(Control),
}

/// Why a connection cannot go on: there is no way to find the next frame, or to trust it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Not 68h.
    #[error("a frame begins with {0:02X}h")]
    Start(u8),
    /// Less than a control field, or more than 253.
    #[error("a frame of length {0}")]
    Length(u8),
    /// A control field that no frame has.
    #[error("a control field {0:02X?}")]
    Control([u8; 4]),
}

impl Apdu {
    /// The frame's octets. The ASDU has at most [`MAX_ASDU`] octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let numbers = |send: u16, receive: u16| {
            let [s, r] = [(send << 1).to_le_bytes(), (receive << 1).to_le_bytes()];
            [s[0], s[1], r[0], r[1]]
        };
        let (control, asdu) = match self {
            Self::I {
                send,
                receive,
                asdu,
            } => (numbers(*send, *receive), &asdu[..]),
            Self::S { receive } => {
                let [_, _, low, high] = numbers(0, *receive);
                ([1, 0, low, high], &[][..])
            }
            Self::U(control) => ([*control as u8, 0, 0, 0], &[][..]),
        };
        debug_assert!(asdu.len() <= MAX_ASDU, "{} octets of ASDU", asdu.len());
        // Not more than 253.
        let length = (control.len() + asdu.len()) as u8;
        [&[START, length], &control[..], asdu].concat()
    }

    fn decode(control: [u8; 4], asdu: &[u8]) -> Result<Self, FrameError> {
        let wrong = Err(FrameError::Control(control));
        let number = |low: u8, high: u8| u16::from_le_bytes([low, high]) >> 1;
        let receive = number(control[2], control[3]);
        let even = control[2] & 1 == 0;
        match control[0] & 3 {
            0 | 2 if even => Ok(Self::I {
                send: number(control[0], control[1]),
                receive,
                asdu: asdu.to_vec(),
            }),
            1 if even && control[..2] == [1, 0] && asdu.is_empty() => Ok(Self::S { receive }),
            3 if control[1..] == [0; 3] && asdu.is_empty() => {
                let known = |known: &Control| *known as u8 == control[0];
                let known = Control::ALL.into_iter().find(known);
                known.map_or(wrong, |control| Ok(Self::U(control)))
            }
            _ => wrong,
        }
    }
}

/// Finds frames in what arrives.
#[derive(Clone, Debug, Default)]
pub struct FrameParser {
    /// What is not a whole frame yet; never more than what was pushed since the last [`Self::take`].
    bytes: Vec<u8>,
}

impl FrameParser {
    /// Takes in what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame; none: not all of it has arrived.
    ///
    /// # Errors
    /// What arrived is no frame: the connection is to be closed.
    pub fn take(&mut self) -> Result<Option<Apdu>, FrameError> {
        match self.bytes[..] {
            [start, ..] if start != START => return Err(FrameError::Start(start)),
            [_, length, ..] if !(MIN_LENGTH..=MAX_LENGTH).contains(&length) => {
                return Err(FrameError::Length(length));
            }
            _ => {}
        }
        let [_, length, a, b, c, d, rest @ ..] = &self.bytes[..] else {
            return Ok(None);
        };
        let size = usize::from(length - MIN_LENGTH);
        let Some(asdu) = rest.get(..size) else {
            return Ok(None);
        };
        let frame = Apdu::decode([*a, *b, *c, *d], asdu)?;
        self.bytes.drain(..6 + size);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<Apdu>, FrameError> {
        let mut parser = FrameParser::default();
        parser.push(bytes);
        parser.take()
    }

    #[test]
    fn frames_are_as_the_standard_draws_them() {
        // Figures 5 to 8: numbers from bit 1 on, low octet first.
        let i = Apdu::I {
            send: 0x1234,
            receive: 0x7FFF,
            asdu: vec![1, 2, 3],
        };
        let rows = [
            (i, &[0x68, 7, 0x68, 0x24, 0xFE, 0xFF, 1, 2, 3][..]),
            (Apdu::S { receive: 5 }, &[0x68, 4, 1, 0, 10, 0]),
            (Apdu::U(Control::StartAct), &[0x68, 4, 0x07, 0, 0, 0]),
            (Apdu::U(Control::StopCon), &[0x68, 4, 0x23, 0, 0, 0]),
            (Apdu::U(Control::TestCon), &[0x68, 4, 0x83, 0, 0, 0]),
        ];
        for (frame, octets) in rows {
            assert_eq!(frame.encode(), octets);
            assert_eq!(parse(octets), Ok(Some(frame)));
            for cut in 0..octets.len() {
                assert_eq!(parse(&octets[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(parse(&[0x05]), Err(FrameError::Start(5)));
        assert_eq!(parse(&[0x68, 3]), Err(FrameError::Length(3)));
        assert_eq!(parse(&[0x68, 254]), Err(FrameError::Length(254)));
        for control in [
            // Two functions at once, none, a U frame with a number, an odd number, an S frame
            // with an octet too many.
            [0x47, 0, 0, 0],
            [0x03, 0, 0, 0],
            [0x07, 0, 2, 0],
            [0x00, 0, 1, 0],
            [0x01, 2, 0, 0],
        ] {
            let octets = [&[0x68, 4], &control[..]].concat();
            assert_eq!(parse(&octets), Err(FrameError::Control(control)));
        }
        let long = [0x68, 5, 1, 0, 0, 0, 9];
        assert!(parse(&long).is_err());
    }

    #[test]
    fn frames_come_in_any_pieces() {
        let frames = [
            Apdu::U(Control::TestAct),
            Apdu::I {
                send: 0,
                receive: 0,
                asdu: vec![7; MAX_ASDU],
            },
            Apdu::S { receive: 1 },
        ];
        let octets: Vec<u8> = frames.iter().flat_map(Apdu::encode).collect();
        for size in [1, 2, 7, 100, 1000] {
            let mut parser = FrameParser::default();
            let mut seen = Vec::new();
            for piece in octets.chunks(size) {
                parser.push(piece);
                while let Some(frame) = parser.take().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames);
        }
    }
}
