//! ASDUs (IEC 60870-5-101 clause 7.1 and 7.2, with the field lengths that IEC 60870-5-104 fixes: cause
//! two octets, common address two, information object address three).

use thiserror::Error;

use super::{
    apci::MAX_ASDU,
    command::{CommandKind, Request},
    element::{self, Kind, Sample},
    time,
};

/// The common address of all stations.
pub const BROADCAST: u16 = 0xFFFF;
/// The highest information object address.
pub const MAX_IOA: u32 = 0xFF_FFFF;

const HEADER: usize = 6;
const IOA: usize = 3;
const TIME: usize = 7;

/// Causes of transmission (table 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cause(pub u8);

impl Cause {
    /// Periodic.
    pub const PERIODIC: Self = Self(1);
    /// Background scan.
    pub const BACKGROUND: Self = Self(2);
    /// Spontaneous.
    pub const SPONTANEOUS: Self = Self(3);
    /// Initialised.
    pub const INITIALISED: Self = Self(4);
    /// Request or requested.
    pub const REQUEST: Self = Self(5);
    /// Activation.
    pub const ACTIVATION: Self = Self(6);
    /// Confirmation of an activation.
    pub const ACTIVATION_CON: Self = Self(7);
    /// Deactivation.
    pub const DEACTIVATION: Self = Self(8);
    /// Confirmation of a deactivation.
    pub const DEACTIVATION_CON: Self = Self(9);
    /// Termination of an activation.
    pub const TERMINATION: Self = Self(10);
    /// Return information caused by a remote command.
    pub const REMOTE: Self = Self(11);
    /// Interrogated by station interrogation; those by group 1 to 16 follow.
    pub const INTERROGATED: Self = Self(20);
    /// Requested by general counter request; those by group 1 to 4 follow.
    pub const COUNTERS: Self = Self(37);
    /// No such type.
    pub const UNKNOWN_TYPE: Self = Self(44);
    /// No such cause.
    pub const UNKNOWN_CAUSE: Self = Self(45);
    /// No such common address.
    pub const UNKNOWN_ADDRESS: Self = Self(46);
    /// No such information object address.
    pub const UNKNOWN_OBJECT: Self = Self(47);

    /// Whether it answers an interrogation, of the station or a group.
    #[must_use]
    pub fn is_interrogated(self) -> bool {
        (20..=36).contains(&self.0)
    }
}

/// What an ASDU begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type identification.
    pub type_id: u8,
    /// Why it is sent.
    pub cause: Cause,
    /// P/N: a negative confirmation.
    pub negative: bool,
    /// T: not to act on the process.
    pub test: bool,
    /// Which controlling station it comes from, and the answer goes to; 0: not used.
    pub originator: u8,
    /// Which station it is of, or for.
    pub address: u16,
}

impl Header {
    /// A positive header of our own accord.
    #[must_use]
    pub fn new(type_id: u8, cause: Cause, address: u16) -> Self {
        Self {
            type_id,
            cause,
            negative: false,
            test: false,
            originator: 0,
            address,
        }
    }

    /// The header of an answer to this one.
    #[must_use]
    pub fn answer(self, cause: Cause, negative: bool) -> Self {
        Self {
            cause,
            negative,
            ..self
        }
    }

    /// An ASDU with this header of `count` objects, each with its address.
    pub(super) fn join(self, count: u8, objects: &[u8]) -> Vec<u8> {
        let cause =
            (self.cause.0 & 0x3F) | (u8::from(self.negative) << 6) | (u8::from(self.test) << 7);
        let [low, high] = self.address.to_le_bytes();
        let header = [
            self.type_id,
            count & 0x7F,
            cause,
            self.originator,
            low,
            high,
        ];
        [&header, objects].concat()
    }
}

/// Why an ASDU cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum AsduError {
    /// The octets do not fit the type and the number of objects.
    #[error("a malformed ASDU of type {0}")]
    Malformed(u8),
    /// A type that this stack does not know; to be answered with cause 44.
    #[error("an ASDU of type {}", .0.type_id)]
    UnknownType(Header),
}

/// What an ASDU holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// Values, each with the address of its object.
    Measured(Kind, Vec<(u32, Sample)>),
    /// M_EI: a station has come up.
    Initialised,
    /// A command or a request.
    Request(Request),
}

/// An ASDU.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asdu {
    pub(super) header: Header,
    pub(super) body: Body,
}

/// Type identification of "end of initialisation".
pub(super) const END_OF_INIT: u8 = 70;

impl Asdu {
    /// # Errors
    /// The octets fit no type, or the type is not known.
    pub(super) fn decode(octets: &[u8]) -> Result<Self, AsduError> {
        let type_id = octets.first().copied().unwrap_or(0);
        let malformed = AsduError::Malformed(type_id);
        let Some((&[_, vsq, cause, originator, low, high], rest)) = octets.split_first_chunk()
        else {
            return Err(malformed);
        };
        let header = Header {
            type_id,
            cause: Cause(cause & 0x3F),
            negative: cause & 0x40 != 0,
            test: cause & 0x80 != 0,
            originator,
            address: u16::from_le_bytes([low, high]),
        };
        let (sequence, count) = (vsq & 0x80 != 0, usize::from(vsq & 0x7F));
        let body = if let Some((kind, timed)) = Kind::of_type(type_id) {
            let objects = measured(kind, timed, sequence, count, rest);
            Body::Measured(kind, objects.ok_or(malformed)?)
        } else if type_id == END_OF_INIT && !sequence && count == 1 && rest.len() == IOA + 1 {
            Body::Initialised
        } else if let Some(kind) = CommandKind::of_type(type_id) {
            let single = !sequence && count == 1;
            let read = (single.then_some(rest)).and_then(|rest| {
                let (ioa, object) = rest.split_first_chunk()?;
                Request::decode(kind, address(*ioa), object)
            });
            Body::Request(read.ok_or(malformed)?)
        } else {
            return Err(AsduError::UnknownType(header));
        };
        Ok(Self { header, body })
    }
}

fn measured(
    kind: Kind,
    timed: bool,
    sequence: bool,
    count: usize,
    rest: &[u8],
) -> Option<Vec<(u32, Sample)>> {
    let size = kind.size() + if timed { TIME } else { 0 };
    let read = |octets: &[u8]| element::decode(kind, timed, octets);
    if count == 0 {
        return None;
    }
    if !sequence {
        if rest.len() != count * (IOA + size) {
            return None;
        }
        let objects = rest.chunks_exact(IOA + size).filter_map(|object| {
            let (ioa, value) = object.split_first_chunk()?;
            Some((address(*ioa), read(value)))
        });
        return Some(objects.collect());
    }
    let (first, rest) = rest.split_first_chunk()?;
    let first = address(*first);
    // The last object's address is to be an address too.
    if rest.len() != count * size || first as usize + count - 1 > MAX_IOA as usize {
        return None;
    }
    let objects = rest.chunks_exact(size).zip(first..);
    Some(objects.map(|(value, ioa)| (ioa, read(value))).collect())
}

fn address(octets: [u8; IOA]) -> u32 {
    u32::from_le_bytes([octets[0], octets[1], octets[2], 0])
}

/// The octets of an address.
pub(super) fn address_octets(ioa: u32) -> [u8; IOA] {
    let [a, b, c, _] = ioa.to_le_bytes();
    [a, b, c]
}

/// Objects of one kind on their way into an ASDU.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    kind: Kind,
    timed: bool,
    count: u8,
    octets: Vec<u8>,
}

impl Objects {
    pub(super) fn new(kind: Kind, timed: bool) -> Self {
        Self {
            kind,
            timed,
            count: 0,
            octets: Vec::new(),
        }
    }

    /// How many objects of a kind fit an ASDU.
    pub(super) fn capacity(kind: Kind, timed: bool) -> usize {
        (MAX_ASDU - HEADER) / (IOA + kind.size() + if timed { TIME } else { 0 })
    }

    /// Adds an object; not more of them than [`Self::capacity`]. One without a time says that its
    /// time is invalid, if there is to be one.
    pub(super) fn push(&mut self, ioa: u32, sample: &Sample, reading: u8) {
        self.octets.extend(address_octets(ioa));
        element::encode(self.kind, sample, reading, &mut self.octets);
        if self.timed {
            let unknown = crate::point::Timestamp {
                unix_us: 0,
                quality: crate::point::TimeQuality::Unsynchronised,
            };
            self.octets
                .extend(time::encode(sample.time.unwrap_or(unknown)));
        }
        self.count += 1;
    }

    /// The ASDU, with this header but for its type.
    pub(super) fn finish(self, header: Header) -> Vec<u8> {
        let type_id = self.kind.type_id(self.timed);
        Header { type_id, ..header }.join(self.count, &self.octets)
    }

    /// The ASDU, sent of our own accord.
    pub(super) fn spontaneous(self, address: u16) -> Vec<u8> {
        self.finish(Header::new(0, Cause::SPONTANEOUS, address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        iec104::Qds,
        point::{Timestamp, Value},
    };

    #[test]
    fn objects_come_back() {
        // M_ME_TF_1 with two objects, spontaneous, common address 3.
        let time = Some(time::decode([0x9B, 0x4E, 13, 22, 0x4E, 11, 23]).unwrap());
        let sample = |value| Sample {
            value: Value::Analog(value),
            qds: Qds::SB,
            time,
        };
        let mut objects = Objects::new(Kind::Float, true);
        objects.push(300_001, &sample(1.0), 0);
        objects.push(7, &sample(-2.0), 0);
        let octets = objects.spontaneous(3);
        let expected = [
            &[36, 2, 3, 0, 3, 0][..],
            &[
                0xE1, 0x93, 0x04, 0, 0, 0x80, 0x3F, 0x20, 0x9B, 0x4E, 13, 22, 0x4E, 11, 23,
            ],
            &[
                7, 0, 0, 0, 0, 0, 0xC0, 0x20, 0x9B, 0x4E, 13, 22, 0x4E, 11, 23,
            ],
        ];
        assert_eq!(octets, expected.concat());
        let asdu = Asdu::decode(&octets).unwrap();
        assert_eq!(asdu.header, Header::new(36, Cause::SPONTANEOUS, 3));
        let values = vec![(300_001, sample(1.0)), (7, sample(-2.0))];
        assert_eq!(asdu.body, Body::Measured(Kind::Float, values));
    }

    #[test]
    fn a_sequence_counts_its_addresses() {
        let octets = [1, 0x83, 20, 0, 1, 0, 0xFE, 0xFF, 0x00, 1, 0, 0x81];
        let Body::Measured(Kind::Single, values) = Asdu::decode(&octets).unwrap().body else {
            panic!("no single points");
        };
        let seen: Vec<_> = values
            .iter()
            .map(|(ioa, s)| (*ioa, s.value, s.qds))
            .collect();
        let expected = [
            (0xFFFE, Value::Binary(true), Qds::empty()),
            (0xFFFF, Value::Binary(false), Qds::empty()),
            (0x1_0000, Value::Binary(true), Qds::IV),
        ];
        assert_eq!(seen, expected);
        let beyond = [1, 0x83, 20, 0, 1, 0, 0xFE, 0xFF, 0xFF, 1, 0, 1];
        assert_eq!(Asdu::decode(&beyond), Err(AsduError::Malformed(1)));
    }

    #[test]
    fn what_does_not_fit_is_malformed() {
        for octets in [
            &[][..],
            &[1, 1, 3, 0, 1],
            // No objects, one too few, one octet too many.
            &[1, 0, 3, 0, 1, 0],
            &[1, 2, 3, 0, 1, 0, 1, 0, 0, 1],
            &[1, 1, 3, 0, 1, 0, 1, 0, 0, 1, 9],
            // Two commands in one.
            &[45, 2, 6, 0, 1, 0, 1, 0, 0, 1, 2, 0, 0, 1],
        ] {
            let found = Asdu::decode(octets);
            assert!(
                matches!(found, Err(AsduError::Malformed(_))),
                "{octets:?}: {found:?}"
            );
        }
        let unknown = Asdu::decode(&[127, 1, 6, 5, 1, 0, 0, 0, 0]);
        let Err(AsduError::UnknownType(header)) = unknown else {
            panic!("{unknown:?}");
        };
        assert_eq!((header.type_id, header.originator), (127, 5));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..MAX_ASDU)) {
            let _ = Asdu::decode(&octets);
        }

        #[test]
        fn any_float_comes_back(ioa in 0..=MAX_IOA, value: f32, unix_ms in 0..3_000_000_000_000_i64) {
            prop_assume!(value.is_finite());
            let sample = Sample {
                value: Value::Analog(value.into()),
                qds: Qds::empty(),
                time: Some(Timestamp {
                    unix_us: unix_ms * 1000,
                    quality: crate::point::TimeQuality::Source,
                }),
            };
            let mut objects = Objects::new(Kind::Float, true);
            objects.push(ioa, &sample, 0);
            let read = Asdu::decode(&objects.spontaneous(1)).unwrap();
            prop_assert_eq!(read.body, Body::Measured(Kind::Float, vec![(ioa, sample)]));
        }
    }
}
