//! Server-side frames of Modbus TCP (MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3)
//! and the requests and answers in them (MODBUS Application Protocol V1.1b3, chapter 6): bytes to
//! requests and answers to bytes, no IO.
//! The client's frames are `tokio-modbus`'s, so the two check each other in every test.

use tokio_modbus::ExceptionCode;

/// Length of the header before the PDU: transaction, protocol, length, unit.
pub(super) const HEADER: usize = 7;
/// Longest PDU (V1.1b3, chapter 4.1).
pub(super) const MAX_PDU: usize = 253;
/// Most registers in one read.
pub(super) const MAX_READ_REGISTERS: u16 = 125;
/// Most registers in one write.
pub(super) const MAX_WRITE_REGISTERS: u16 = 123;
/// Most bits in one read.
pub(super) const MAX_READ_BITS: u16 = 2000;
/// Most bits in one write.
pub(super) const MAX_WRITE_BITS: u16 = 1968;

/// The four tables of a Modbus server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Bits to read and write.
    Coil,
    /// Bits to read.
    Discrete,
    /// Registers to read.
    Input,
    /// Registers to read and write.
    Holding,
}

impl Table {
    /// Whether it holds bits, not registers.
    #[must_use]
    pub fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }

    /// Whether a client may write to it.
    #[must_use]
    pub fn is_writable(self) -> bool {
        matches!(self, Self::Coil | Self::Holding)
    }
}

/// What comes before a PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) transaction: u16,
    pub(super) unit: u8,
    /// Length of the PDU that follows.
    pub(super) pdu: usize,
}

impl Header {
    /// `None`: not Modbus TCP, or a length no PDU has. Nothing after it can be trusted.
    pub(super) fn decode(bytes: [u8; HEADER]) -> Option<Self> {
        let [t0, t1, p0, p1, l0, l1, unit] = bytes;
        // The length counts the unit identifier.
        let pdu = usize::from(u16::from_be_bytes([l0, l1])).checked_sub(1)?;
        ([p0, p1] == [0, 0] && (1..=MAX_PDU).contains(&pdu)).then_some(Self {
            transaction: u16::from_be_bytes([t0, t1]),
            unit,
            pdu,
        })
    }
}

/// A request. Bits are 0 or 1, one per element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Read {
        table: Table,
        address: u16,
        count: u16,
    },
    Write {
        table: Table,
        address: u16,
        values: Vec<u16>,
    },
}

impl Request {
    /// A request from a PDU, or the exception to answer it with.
    pub(super) fn decode(pdu: &[u8]) -> Result<Self, ExceptionCode> {
        let (&function, body) = pdu.split_first().ok_or(ExceptionCode::IllegalFunction)?;
        let read = |table, most| read(table, most, body);
        match function {
            0x01 => read(Table::Coil, MAX_READ_BITS),
            0x02 => read(Table::Discrete, MAX_READ_BITS),
            0x03 => read(Table::Holding, MAX_READ_REGISTERS),
            0x04 => read(Table::Input, MAX_READ_REGISTERS),
            0x05 => write_coil(body),
            0x06 => match *body {
                [a0, a1, v0, v1] => Ok(Self::Write {
                    table: Table::Holding,
                    address: u16::from_be_bytes([a0, a1]),
                    values: vec![u16::from_be_bytes([v0, v1])],
                }),
                _ => Err(ExceptionCode::IllegalDataValue),
            },
            0x0F => write_coils(body),
            0x10 => write_registers(body),
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }
}

fn span(body: &[u8], most: u16) -> Result<(u16, u16, &[u8]), ExceptionCode> {
    let [a0, a1, c0, c1, rest @ ..] = body else {
        return Err(ExceptionCode::IllegalDataValue);
    };
    let address = u16::from_be_bytes([*a0, *a1]);
    let count = u16::from_be_bytes([*c0, *c1]);
    if !(1..=most).contains(&count) {
        return Err(ExceptionCode::IllegalDataValue);
    }
    if u32::from(address) + u32::from(count) > 0x1_0000 {
        return Err(ExceptionCode::IllegalDataAddress);
    }
    Ok((address, count, rest))
}

fn read(table: Table, most: u16, body: &[u8]) -> Result<Request, ExceptionCode> {
    match span(body, most)? {
        (address, count, []) => Ok(Request::Read {
            table,
            address,
            count,
        }),
        _ => Err(ExceptionCode::IllegalDataValue),
    }
}

fn write_coil(body: &[u8]) -> Result<Request, ExceptionCode> {
    let (address, value) = match *body {
        [a0, a1, 0xFF, 0x00] => ([a0, a1], 1),
        [a0, a1, 0x00, 0x00] => ([a0, a1], 0),
        _ => return Err(ExceptionCode::IllegalDataValue),
    };
    Ok(Request::Write {
        table: Table::Coil,
        address: u16::from_be_bytes(address),
        values: vec![value],
    })
}

fn write_coils(body: &[u8]) -> Result<Request, ExceptionCode> {
    let (address, count, rest) = span(body, MAX_WRITE_BITS)?;
    let bytes = usize::from(count.div_ceil(8));
    let (&stated, packed) = rest.split_first().ok_or(ExceptionCode::IllegalDataValue)?;
    if usize::from(stated) != bytes || packed.len() != bytes {
        return Err(ExceptionCode::IllegalDataValue);
    }
    let bit = |i: u16| u16::from(packed[usize::from(i / 8)] >> (i % 8) & 1);
    Ok(Request::Write {
        table: Table::Coil,
        address,
        values: (0..count).map(bit).collect(),
    })
}

fn write_registers(body: &[u8]) -> Result<Request, ExceptionCode> {
    let (address, count, rest) = span(body, MAX_WRITE_REGISTERS)?;
    let bytes = usize::from(count) * 2;
    let (&stated, packed) = rest.split_first().ok_or(ExceptionCode::IllegalDataValue)?;
    if usize::from(stated) != bytes || packed.len() != bytes {
        return Err(ExceptionCode::IllegalDataValue);
    }
    let (pairs, _) = packed.as_chunks::<2>();
    Ok(Request::Write {
        table: Table::Holding,
        address,
        values: pairs.iter().map(|&pair| u16::from_be_bytes(pair)).collect(),
    })
}

/// The answer's PDU to `pdu` (already found to be `request`): for a read its `values`, for a write
/// the echo of address and value or count.
pub(super) fn answer(pdu: &[u8], request: &Request, values: &[u16]) -> Vec<u8> {
    let function = pdu.first().copied().unwrap_or_default();
    let mut body = vec![function];
    match request {
        Request::Read { table, .. } if table.is_bits() => {
            let packed = values.chunks(8).map(|bits| {
                bits.iter()
                    .enumerate()
                    .fold(0u8, |byte, (i, &bit)| byte | u8::from(bit != 0) << i)
            });
            body.push(values.len().div_ceil(8) as u8);
            body.extend(packed);
        }
        Request::Read { .. } => {
            body.push((values.len() * 2) as u8);
            body.extend(values.iter().flat_map(|value| value.to_be_bytes()));
        }
        // Functions 5, 6, 15 and 16 all answer with the request's first five bytes.
        Request::Write { .. } => body.extend(pdu.iter().skip(1).take(4)),
    }
    body
}

/// The answer's PDU that refuses a request of a function.
pub(super) fn refusal(function: u8, code: ExceptionCode) -> Vec<u8> {
    vec![function | 0x80, code.into()]
}

/// A PDU in its frame.
pub(super) fn frame(header: Header, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + pdu.len());
    bytes.extend(header.transaction.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((pdu.len() as u16 + 1).to_be_bytes());
    bytes.push(header.unit);
    bytes.extend(pdu);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Answers a whole frame from a server whose every element is `0x0102` (a bit: 1), as the
    /// server does; `None`: not a frame.
    fn exchange(bytes: &[u8]) -> Option<Vec<u8>> {
        let (header, pdu) = bytes.split_first_chunk::<HEADER>()?;
        let header = Header::decode(*header)?;
        assert_eq!(header.pdu, pdu.len());
        let answer = match Request::decode(pdu) {
            Ok(request) => {
                let values = match &request {
                    Request::Read { table, count, .. } if table.is_bits() => {
                        vec![1; usize::from(*count)]
                    }
                    Request::Read { count, .. } => vec![0x0102; usize::from(*count)],
                    Request::Write { .. } => Vec::new(),
                };
                answer(pdu, &request, &values)
            }
            Err(code) => refusal(pdu[0], code),
        };
        Some(frame(header, &answer))
    }

    /// Requests and answers of V1.1b3 chapter 6, one per function served, then the refusals.
    #[test]
    fn frames() {
        #[rustfmt::skip]
        let rows: &[(&str, &[u8], &[u8])] = &[
            // transaction | protocol | length | unit | function, …
            ("read coils 0x0013, 10 of them: two bytes, six bits of padding",
             &[0, 1, 0, 0, 0, 6, 1, 0x01, 0x00, 0x13, 0x00, 0x0A],
             &[0, 1, 0, 0, 0, 5, 1, 0x01, 0x02, 0xFF, 0x03]),
            ("read discrete inputs 0x00C4, 1",
             &[0, 2, 0, 0, 0, 6, 1, 0x02, 0x00, 0xC4, 0x00, 0x01],
             &[0, 2, 0, 0, 0, 4, 1, 0x02, 0x01, 0x01]),
            ("read holding registers 0x006B, 3",
             &[0, 3, 0, 0, 0, 6, 1, 0x03, 0x00, 0x6B, 0x00, 0x03],
             &[0, 3, 0, 0, 0, 9, 1, 0x03, 0x06, 1, 2, 1, 2, 1, 2]),
            ("read input register 0xFFFF, the last one",
             &[0, 4, 0, 0, 0, 6, 0xFF, 0x04, 0xFF, 0xFF, 0x00, 0x01],
             &[0, 4, 0, 0, 0, 5, 0xFF, 0x04, 0x02, 1, 2]),
            ("write coil 0x00AC on: echo",
             &[0, 5, 0, 0, 0, 6, 1, 0x05, 0x00, 0xAC, 0xFF, 0x00],
             &[0, 5, 0, 0, 0, 6, 1, 0x05, 0x00, 0xAC, 0xFF, 0x00]),
            ("write register 1 := 3: echo",
             &[0, 6, 0, 0, 0, 6, 1, 0x06, 0x00, 0x01, 0x00, 0x03],
             &[0, 6, 0, 0, 0, 6, 1, 0x06, 0x00, 0x01, 0x00, 0x03]),
            ("write 10 coils at 0x0013: address and count",
             &[0, 7, 0, 0, 0, 9, 1, 0x0F, 0x00, 0x13, 0x00, 0x0A, 0x02, 0xCD, 0x01],
             &[0, 7, 0, 0, 0, 6, 1, 0x0F, 0x00, 0x13, 0x00, 0x0A]),
            ("write 2 registers at 1: address and count",
             &[0, 8, 0, 0, 0, 11, 1, 0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0A, 0x01, 0x02],
             &[0, 8, 0, 0, 0, 6, 1, 0x10, 0x00, 0x01, 0x00, 0x02]),
            ("function 0x2B is not served: illegal function",
             &[0, 9, 0, 0, 0, 5, 1, 0x2B, 0x0E, 0x01, 0x00],
             &[0, 9, 0, 0, 0, 3, 1, 0xAB, 0x01]),
            ("126 registers: illegal data value",
             &[0, 10, 0, 0, 0, 6, 1, 0x03, 0x00, 0x00, 0x00, 0x7E],
             &[0, 10, 0, 0, 0, 3, 1, 0x83, 0x03]),
            ("no register at all: illegal data value",
             &[0, 11, 0, 0, 0, 6, 1, 0x03, 0x00, 0x00, 0x00, 0x00],
             &[0, 11, 0, 0, 0, 3, 1, 0x83, 0x03]),
            ("beyond 65535: illegal data address",
             &[0, 12, 0, 0, 0, 6, 1, 0x03, 0xFF, 0xFF, 0x00, 0x02],
             &[0, 12, 0, 0, 0, 3, 1, 0x83, 0x02]),
            ("a coil is FF00 or 0000: illegal data value",
             &[0, 13, 0, 0, 0, 6, 1, 0x05, 0x00, 0xAC, 0x12, 0x34],
             &[0, 13, 0, 0, 0, 3, 1, 0x85, 0x03]),
            ("byte count against register count: illegal data value",
             &[0, 14, 0, 0, 0, 9, 1, 0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0A],
             &[0, 14, 0, 0, 0, 3, 1, 0x90, 0x03]),
        ];
        for (what, request, expected) in rows {
            assert_eq!(exchange(request).as_deref(), Some(*expected), "{what}");
        }
    }

    #[test]
    fn what_is_no_header() {
        for (what, header) in [
            ("another protocol", [0, 1, 0, 1, 0, 6, 1]),
            ("no unit identifier", [0, 1, 0, 0, 0, 0, 1]),
            ("no function", [0, 1, 0, 0, 0, 1, 1]),
            ("longer than a PDU may be", [0, 1, 0, 0, 0, 255, 1]),
            ("much longer", [0, 1, 0, 0, 0xFF, 0xFF, 1]),
        ] {
            assert_eq!(Header::decode(header), None, "{what}");
        }
        assert!(Header::decode([0, 1, 0, 0, 0, 254, 1]).is_some());
    }

    proptest! {
        #[test]
        fn written_registers_arrive(
            address in 0u16..=0xFF00,
            values in prop::collection::vec(any::<u16>(), 1..=123),
        ) {
            let mut pdu = vec![0x10];
            pdu.extend(address.to_be_bytes());
            pdu.extend((values.len() as u16).to_be_bytes());
            pdu.push(values.len() as u8 * 2);
            pdu.extend(values.iter().flat_map(|v| v.to_be_bytes()));
            let expected = Request::Write { table: Table::Holding, address, values };
            prop_assert_eq!(Request::decode(&pdu), Ok(expected));
        }

        #[test]
        fn written_coils_arrive(
            address in 0u16..=0xF000,
            bits in prop::collection::vec(0u16..=1, 1..=1968),
        ) {
            let mut pdu = vec![0x0F];
            pdu.extend(address.to_be_bytes());
            pdu.extend((bits.len() as u16).to_be_bytes());
            pdu.push(bits.len().div_ceil(8) as u8);
            pdu.extend(bits.chunks(8).map(|byte| {
                byte.iter().rev().fold(0u8, |acc, &bit| acc << 1 | bit as u8)
            }));
            let expected = Request::Write { table: Table::Coil, address, values: bits };
            prop_assert_eq!(Request::decode(&pdu), Ok(expected));
        }

        #[test]
        fn no_bytes_panic_and_no_answer_is_too_long(
            pdu in prop::collection::vec(any::<u8>(), 1..=MAX_PDU),
            function in 0u8..=0x18,
        ) {
            for first in [pdu[0], function] {
                let mut frame = vec![0, 1, 0, 0, 0, pdu.len() as u8 + 1, 1, first];
                frame.extend(&pdu[1..]);
                let answer = exchange(&frame).unwrap();
                prop_assert!(answer.len() <= HEADER + MAX_PDU);
            }
        }
    }
}
