//! Frames of the FT3 format: a header block of eight octets and blocks of up to sixteen octets of
//! user data, each followed by its check; found in a stream of any quality.

use super::{MAX_USER_DATA, crc::crc};

const START: [u8; 2] = [0x05, 0x64];
/// Header with its check.
const HEADER: usize = 10;
/// Octets that the length field counts beside the user data: control, destination, source.
const COUNTED: usize = 5;
const BLOCK: usize = 16;

const DIR: u8 = 0x80;
const PRM: u8 = 0x40;
const FCB: u8 = 0x20;
const FCV: u8 = 0x10;

/// What a frame is for; the first five are sent by the primary, the others answer them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    ResetLink,
    TestLink { fcb: bool },
    ConfirmedData { fcb: bool },
    UnconfirmedData,
    RequestStatus,
    Ack { busy: bool },
    Nack { busy: bool },
    Status { busy: bool },
    NotSupported { busy: bool },
}

impl Function {
    fn control(self) -> u8 {
        let with = |bit: u8, set: bool| if set { bit } else { 0 };
        match self {
            Self::ResetLink => PRM,
            Self::TestLink { fcb } => PRM | FCV | 2 | with(FCB, fcb),
            Self::ConfirmedData { fcb } => PRM | FCV | 3 | with(FCB, fcb),
            Self::UnconfirmedData => PRM | 4,
            Self::RequestStatus => PRM | 9,
            Self::Ack { busy } => with(FCV, busy),
            Self::Nack { busy } => 1 | with(FCV, busy),
            Self::Status { busy } => 11 | with(FCV, busy),
            Self::NotSupported { busy } => 15 | with(FCV, busy),
        }
    }

    fn from_control(control: u8) -> Option<Self> {
        let fcb = control & FCB != 0;
        let counted = control & FCV != 0;
        Some(match (control & PRM != 0, control & 0x0F, counted) {
            (true, 0, false) => Self::ResetLink,
            (true, 2, true) => Self::TestLink { fcb },
            (true, 3, true) => Self::ConfirmedData { fcb },
            (true, 4, false) => Self::UnconfirmedData,
            (true, 9, false) => Self::RequestStatus,
            (false, 0, busy) => Self::Ack { busy },
            (false, 1, busy) => Self::Nack { busy },
            (false, 11, busy) => Self::Status { busy },
            (false, 14 | 15, busy) => Self::NotSupported { busy },
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Whether the master sent it (DIR).
    pub(crate) from_master: bool,
    pub(crate) function: Function,
    pub(crate) destination: u16,
    pub(crate) source: u16,
    /// At most [`MAX_USER_DATA`] octets.
    pub(crate) data: Vec<u8>,
}

impl Frame {
    pub(crate) fn encode(&self) -> Vec<u8> {
        debug_assert!(self.data.len() <= MAX_USER_DATA);
        let mut bytes = Vec::with_capacity(total(self.data.len()));
        let direction = if self.from_master { DIR } else { 0 };
        bytes.extend(START);
        bytes.push((COUNTED + self.data.len()) as u8);
        bytes.push(direction | self.function.control());
        bytes.extend(self.destination.to_le_bytes());
        bytes.extend(self.source.to_le_bytes());
        bytes.extend(crc(&bytes));
        for block in self.data.chunks(BLOCK) {
            bytes.extend(block);
            bytes.extend(crc(block));
        }
        bytes
    }
}

/// Length of a frame with so many octets of user data.
fn total(data: usize) -> usize {
    HEADER + data + 2 * data.div_ceil(BLOCK)
}

/// What a parser has thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParserStatistics {
    /// Octets that belonged to no frame.
    pub skipped: u64,
    /// Headers or blocks whose check was wrong.
    pub crc_errors: u64,
    /// Frames with a control octet that nothing defines.
    pub unknown: u64,
}

/// Finds frames in a stream. Holds less than one frame between calls.
#[derive(Clone, Debug, Default)]
pub struct FrameParser {
    buffer: Vec<u8>,
    position: usize,
    statistics: ParserStatistics,
}

enum Step {
    Frame(Frame),
    Skip(usize),
    More,
}

impl FrameParser {
    /// Takes in what arrived; call [`Self::next`] until it gives nothing.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.position);
        self.position = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets a half frame, as after a new connection.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.position = 0;
    }

    /// What was thrown away so far.
    #[must_use]
    pub fn statistics(&self) -> ParserStatistics {
        self.statistics
    }

    /// The next whole frame.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            match self.step() {
                Step::Frame(frame) => return Some(frame),
                Step::Skip(octets) => {
                    self.position += octets;
                    self.statistics.skipped += octets as u64;
                }
                Step::More => return None,
            }
        }
    }

    fn step(&mut self) -> Step {
        let bytes = &self.buffer[self.position..];
        let Some(start) = bytes.windows(2).position(|pair| pair == START) else {
            // The last octet may be the first of a start.
            return match bytes {
                [.., last] if *last == START[0] && bytes.len() > 1 => Step::Skip(bytes.len() - 1),
                [only] if *only == START[0] => Step::More,
                [] => Step::More,
                _ => Step::Skip(bytes.len()),
            };
        };
        if start > 0 {
            return Step::Skip(start);
        }
        if bytes.len() < HEADER {
            return Step::More;
        }
        let (header, check) = bytes[..HEADER].split_at(HEADER - 2);
        let length = usize::from(header[2]);
        if crc(header) != check || length < COUNTED {
            self.statistics.crc_errors += 1;
            return Step::Skip(START.len());
        }
        let total = total(length - COUNTED);
        if bytes.len() < total {
            return Step::More;
        }
        let mut data = Vec::with_capacity(length - COUNTED);
        for block in bytes[HEADER..total].chunks(BLOCK + 2) {
            let (block, check) = block.split_at(block.len() - 2);
            if crc(block) != check {
                self.statistics.crc_errors += 1;
                // A true frame may begin inside what only looked like this one.
                return Step::Skip(START.len());
            }
            data.extend_from_slice(block);
        }
        let Some(function) = Function::from_control(header[3]) else {
            self.statistics.unknown += 1;
            return Step::Skip(total);
        };
        let frame = Frame {
            from_master: header[3] & DIR != 0,
            function,
            destination: u16::from_le_bytes([header[4], header[5]]),
            source: u16::from_le_bytes([header[6], header[7]]),
            data,
        };
        self.position += total;
        Step::Frame(frame)
    }
}

#[cfg(test)]
mod tests;
