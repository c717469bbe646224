//! Server-side frames of Modbus RTU (MODBUS over Serial Line V1.02, 2.5.1): unit, PDU, CRC. The client's
//! are `tokio-modbus`'s.

use super::mbap::MAX_PDU;

/// Longest frame.
pub(super) const MAX_FRAME: usize = 1 + MAX_PDU + 2;

/// The CRC-16 of V1.02, 6.2.2: polynomial 0xA001 reflected, from all ones; low byte first on the wire.
pub(super) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => crc >> 1 ^ 0xA001,
        })
    })
}

/// What a server has received so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    /// The beginning of a frame.
    Part,
    /// A frame, and how long it is.
    Frame {
        unit: u8,
        pdu: &'a [u8],
        length: usize,
    },
    /// No frame: of another function, damaged, or not for servers. Only silence tells where the next
    /// one begins.
    Noise,
}

/// Reads the request at the beginning of `bytes`.
pub(super) fn request(bytes: &[u8]) -> Received<'_> {
    let Some(&function) = bytes.get(1) else {
        return Received::Part;
    };
    let body = match function {
        0x01..=0x06 => 4,
        // Address, count, count of bytes, these.
        0x0F | 0x10 => match bytes.get(6) {
            None => return Received::Part,
            Some(&count) => 5 + usize::from(count),
        },
        _ => return Received::Noise,
    };
    let end = 2 + body;
    let length = end + 2;
    if length > MAX_FRAME {
        return Received::Noise;
    }
    match (bytes.get(..end), bytes.get(end..length)) {
        (Some(frame), Some(sum)) if crc(frame).to_le_bytes() == sum => Received::Frame {
            unit: frame[0],
            pdu: &frame[1..],
            length,
        },
        (Some(_), Some(_)) => Received::Noise,
        _ => Received::Part,
    }
}

/// A PDU in its frame.
pub(super) fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(pdu.len() + 3);
    bytes.push(unit);
    bytes.extend(pdu);
    bytes.extend(crc(&bytes).to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The check value that CRC catalogues give for CRC-16/MODBUS, and the worked example of the
    /// MODBUS over Serial Line specification, 6.2.2: 02 07 is followed by 41 12.
    #[test]
    fn the_crc_is_that_of_the_specification() {
        assert_eq!(crc(b"123456789"), 0x4B37);
        assert_eq!(frame(0x02, &[0x07]), [0x02, 0x07, 0x41, 0x12]);
    }

    #[test]
    fn what_comes_is_a_frame_a_part_of_one_or_noise() {
        let read = [0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87];
        for cut in 0..read.len() {
            assert_eq!(request(&read[..cut]), Received::Part, "{cut}");
        }
        let whole = Received::Frame {
            unit: 0x11,
            pdu: &[0x03, 0x00, 0x6B, 0x00, 0x03],
            length: 8,
        };
        assert_eq!(request(&read), whole);
        let mut damaged = read;
        damaged[3] ^= 4;
        assert_eq!(request(&damaged), Received::Noise);
        assert_eq!(request(&[0x11, 0x2B]), Received::Noise);
        let write = frame(9, &[0x10, 0, 1, 0, 2, 4, 0, 10, 1, 2]);
        assert_eq!(request(&write[..12]), Received::Part);
        assert!(matches!(
            request(&write),
            Received::Frame {
                unit: 9,
                length: 13,
                ..
            }
        ));
        assert_eq!(request(&[9, 0x10, 0, 1, 0, 127, 254]), Received::Noise);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_a_frame_is_within_its_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Received::Frame { pdu, length, .. } = request(&bytes) {
                prop_assert!(length <= bytes.len() && pdu.len() + 3 == length);
            }
        }
    }
}
