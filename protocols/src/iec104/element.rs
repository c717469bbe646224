//! Information objects in monitor direction (IEC 60870-5-101 clauses 7.2.6 and 7.3.1): a value with its
//! quality descriptor and, in the types with CP56Time2a, its time.

use super::{quality::Qds, time};
use crate::point::{DoublePoint, Quality, Timestamp, Value};

/// What kind of value a point has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Single-point information (M_SP).
    Single,
    /// Double-point information (M_DP).
    Double,
    /// Step position, -64 to 63 (M_ST).
    Step,
    /// 32 bits (M_BO), as a number.
    Bitstring,
    /// Measured value, normalized: -1 to 1-2⁻¹⁵ (M_ME_NA).
    Normalized,
    /// Measured value, scaled: an integer of 16 bits (M_ME_NB).
    Scaled,
    /// Measured value, short floating point (M_ME_NC).
    Float,
    /// Integrated totals: 32 bits that wrap (M_IT).
    Counter,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Single,
        Self::Double,
        Self::Step,
        Self::Bitstring,
        Self::Normalized,
        Self::Scaled,
        Self::Float,
        Self::Counter,
    ];

    /// The type identification of its objects, with CP56Time2a or without time.
    #[must_use]
    pub fn type_id(self, timed: bool) -> u8 {
        let [plain, with_time] = match self {
            Self::Single => [1, 30],
            Self::Double => [3, 31],
            Self::Step => [5, 32],
            Self::Bitstring => [7, 33],
            Self::Normalized => [9, 34],
            Self::Scaled => [11, 35],
            Self::Float => [13, 36],
            Self::Counter => [15, 37],
        };
        if timed { with_time } else { plain }
    }

    /// The kind and whether there is a time, of a type in monitor direction.
    #[must_use]
    pub fn of_type(type_id: u8) -> Option<(Self, bool)> {
        let both = Self::ALL
            .into_iter()
            .flat_map(|kind| [(kind, false), (kind, true)]);
        let mut both = both.filter(|(kind, timed)| kind.type_id(*timed) == type_id);
        both.next()
    }

    /// Whether it is a measured value.
    #[must_use]
    pub fn is_measured(self) -> bool {
        matches!(self, Self::Normalized | Self::Scaled | Self::Float)
    }

    /// Whether a point of this kind holds such a value.
    #[must_use]
    pub fn holds(self, value: Value) -> bool {
        match self {
            Self::Single => matches!(value, Value::Binary(_)),
            Self::Double => matches!(value, Value::DoublePoint(_)),
            Self::Bitstring | Self::Counter => matches!(value, Value::Counter(_)),
            _ => matches!(value, Value::Analog(_)),
        }
    }

    /// Octets of its value with its quality descriptor.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Single | Self::Double => 1,
            Self::Step => 2,
            Self::Normalized | Self::Scaled => 3,
            Self::Bitstring | Self::Float | Self::Counter => 5,
        }
    }

    /// What it holds before anything was measured.
    pub(super) fn unmeasured(self) -> Value {
        match self {
            Self::Single => Value::Binary(false),
            Self::Double => Value::DoublePoint(DoublePoint::Intermediate),
            Self::Bitstring | Self::Counter => Value::Counter(0),
            _ => Value::Analog(0.0),
        }
    }
}

/// A value as IEC 104 carries it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Of the type that [`Kind::holds`].
    pub value: Value,
    /// Without state bits.
    pub qds: Qds,
    /// When it was measured; carried in milliseconds and only by types with time.
    pub time: Option<Timestamp>,
}

impl Sample {
    /// A value and what speaks against it.
    #[must_use]
    pub fn new(kind: Kind, value: Value, quality: Quality, time: Option<Timestamp>) -> Self {
        let qds = Qds::from_quality(kind, quality);
        Self { value, qds, time }
    }
}

/// Reading number of a counter, bits 0 to 4 of its last octet: how often it was frozen.
pub(super) const READINGS: u8 = 1 << 5;

/// Appends value and quality descriptor; `reading` is a counter's. A number that the kind cannot
/// carry goes to the nearest one it can, with OV; no number is 0 and invalid.
pub(super) fn encode(kind: Kind, sample: &Sample, reading: u8, out: &mut Vec<u8>) {
    let qds = sample.qds & Qds::of(kind);
    let octet = qds.bits();
    match (kind, sample.value) {
        (Kind::Single, Value::Binary(on)) => out.push(octet | u8::from(on)),
        (Kind::Double, Value::DoublePoint(position)) => out.push(octet | double_bits(position)),
        (Kind::Bitstring, Value::Counter(bits)) => {
            out.extend((bits as u32).to_le_bytes());
            out.push(octet);
        }
        (Kind::Counter, Value::Counter(count)) => {
            // Modulo 2³², as it wraps.
            out.extend((count as u32).to_le_bytes());
            out.push(octet | (reading % READINGS));
        }
        (_, Value::Analog(value)) => analog(kind, value, qds, out),
        // The database holds no other.
        (kind, _) => {
            out.extend(vec![0; kind.size() - 1]);
            out.push(Qds::IV.bits());
        }
    }
}

fn analog(kind: Kind, value: f64, mut qds: Qds, out: &mut Vec<u8>) {
    let (low, high) = match kind {
        Kind::Step => (-64.0, 63.0),
        Kind::Normalized => (-1.0, 32_767.0 / 32_768.0),
        Kind::Scaled => (-32_768.0, 32_767.0),
        _ => (f64::from(f32::MIN), f64::from(f32::MAX)),
    };
    let within = value.clamp(low, high);
    if value.is_nan() {
        qds |= Qds::IV;
    } else if within != value {
        qds |= Qds::OV;
    }
    let number = if value.is_nan() { 0.0 } else { within };
    match kind {
        // Bit 7 is "transient", which we never are; two's complement in the rest.
        Kind::Step => out.push(number.round() as i8 as u8 & 0x7F),
        Kind::Normalized => out.extend(normalized(number).to_le_bytes()),
        Kind::Scaled => out.extend((number.round() as i16).to_le_bytes()),
        _ => out.extend((number as f32).to_le_bytes()),
    }
    out.push(qds.bits());
}

/// A fraction as 2⁻¹⁵ths.
pub(super) fn normalized(fraction: f64) -> i16 {
    // Casts saturate.
    (fraction * 32_768.0).round() as i16
}

/// Reads value, quality descriptor and, where `timed`, time. The octets have the kind's length.
pub(super) fn decode(kind: Kind, timed: bool, octets: &[u8]) -> Sample {
    let (object, rest) = octets.split_at(kind.size());
    let last = object[object.len() - 1];
    let mut qds = Qds::from_bits_truncate(last) & Qds::of(kind);
    let value = match (kind, object) {
        (Kind::Single, [siq]) => Value::Binary(siq & 1 != 0),
        (Kind::Double, [diq]) => Value::DoublePoint(double(*diq)),
        (Kind::Step, [vti, _]) => {
            if vti & 0x80 != 0 {
                // In transition: the position is not to be relied on.
                qds |= Qds::IV;
            }
            // Sign of seven bits.
            Value::Analog(f64::from((vti << 1) as i8 >> 1))
        }
        (Kind::Normalized, [a, b, _]) => {
            Value::Analog(f64::from(i16::from_le_bytes([*a, *b])) / 32_768.0)
        }
        (Kind::Scaled, [a, b, _]) => Value::Analog(f64::from(i16::from_le_bytes([*a, *b]))),
        (Kind::Float, [a, b, c, d, _]) => {
            let number = f32::from_le_bytes([*a, *b, *c, *d]);
            if !number.is_finite() {
                qds |= Qds::IV;
            }
            Value::Analog(f64::from(number))
        }
        (_, [a, b, c, d, _]) => Value::Counter(u32::from_le_bytes([*a, *b, *c, *d]).into()),
        _ => kind.unmeasured(),
    };
    let time = match <[u8; 7]>::try_from(rest) {
        Ok(octets) if timed => time::decode(octets),
        _ => None,
    };
    Sample { value, qds, time }
}

pub(super) fn double_bits(position: DoublePoint) -> u8 {
    match position {
        DoublePoint::Intermediate => 0,
        DoublePoint::Off => 1,
        DoublePoint::On => 2,
        DoublePoint::Bad => 3,
    }
}

pub(super) fn double(bits: u8) -> DoublePoint {
    match bits & 3 {
        0 => DoublePoint::Intermediate,
        1 => DoublePoint::Off,
        2 => DoublePoint::On,
        _ => DoublePoint::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(kind: Kind, value: Value, qds: Qds) -> Vec<u8> {
        let mut out = Vec::new();
        let sample = Sample {
            value,
            qds,
            time: None,
        };
        encode(kind, &sample, 3, &mut out);
        out
    }

    #[test]
    fn values_are_as_the_standard_draws_them() {
        let none = Qds::empty();
        let rows = [
            (Kind::Single, Value::Binary(true), Qds::SB, &[0x21][..]),
            (
                Kind::Double,
                Value::DoublePoint(DoublePoint::On),
                none,
                &[0x02],
            ),
            (
                Kind::Double,
                Value::DoublePoint(DoublePoint::Bad),
                Qds::IV,
                &[0x83],
            ),
            (Kind::Step, Value::Analog(-1.0), none, &[0x7F, 0]),
            (Kind::Step, Value::Analog(-64.0), Qds::BL, &[0x40, 0x10]),
            (
                Kind::Bitstring,
                Value::Counter(0x0102_0304),
                Qds::NT,
                &[4, 3, 2, 1, 0x40],
            ),
            (
                Kind::Normalized,
                Value::Analog(-0.5),
                none,
                &[0x00, 0xC0, 0],
            ),
            (Kind::Scaled, Value::Analog(-2.0), none, &[0xFE, 0xFF, 0]),
            // 1.0 is 3F800000h in IEEE 754.
            (
                Kind::Float,
                Value::Analog(1.0),
                Qds::OV,
                &[0, 0, 0x80, 0x3F, 1],
            ),
            (
                Kind::Counter,
                Value::Counter(4_000_000_000),
                none,
                &[0, 0x28, 0x6B, 0xEE, 3],
            ),
        ];
        for (kind, value, qds, expected) in rows {
            assert_eq!(octets(kind, value, qds), expected, "{kind:?} {value:?}");
            let time = None;
            assert_eq!(
                decode(kind, false, expected),
                Sample { value, qds, time },
                "{kind:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_carried_is_said() {
        let beyond = [
            (Kind::Step, 64.0, vec![63, 1]),
            (Kind::Normalized, 1.0, vec![0xFF, 0x7F, 1]),
            (Kind::Scaled, -40_000.0, vec![0x00, 0x80, 1]),
            (Kind::Float, 1e39, vec![0xFF, 0xFF, 0x7F, 0x7F, 1]),
            (Kind::Float, f64::NAN, vec![0, 0, 0, 0, 0x80]),
            (Kind::Scaled, f64::NEG_INFINITY, vec![0x00, 0x80, 1]),
        ];
        for (kind, value, expected) in beyond {
            assert_eq!(
                octets(kind, Value::Analog(value), Qds::empty()),
                expected,
                "{kind:?} {value}"
            );
        }
        assert_eq!(
            octets(Kind::Float, Value::Binary(true), Qds::empty()),
            [0, 0, 0, 0, 0x80]
        );
    }

    #[test]
    fn a_step_in_transition_and_a_number_that_is_none_are_invalid() {
        let step = decode(Kind::Step, false, &[0x85, 0]);
        assert_eq!((step.value, step.qds), (Value::Analog(5.0), Qds::IV));
        let nan = decode(Kind::Float, false, &[0, 0, 0xC0, 0x7F, 0]);
        assert_eq!(nan.qds, Qds::IV);
    }
}
