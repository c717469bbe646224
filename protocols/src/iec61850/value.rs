//! What attributes mean: values, quality and time (UtcTime, 8-1, 8.1.3.7).

use iec61850_model::MmsValue;

use super::{
    map::{Kind, PointSpec},
    quality::Q,
};
use crate::point::{DoublePoint, Quality, TimeQuality, Timestamp, Value};

/// The value of an attribute, and what speaks against it by itself; `None`: the attribute is nothing of this
/// kind.
pub(super) fn value(spec: &PointSpec, raw: &MmsValue) -> Option<(Value, Quality)> {
    let good = |value| Some((value, Quality::GOOD));
    match (spec.kind, raw) {
        (Kind::Analog, raw) => {
            let number = number(raw)? * spec.scale + spec.offset;
            let quality = match number.is_finite() {
                true => Quality::GOOD,
                false => Quality::INVALID,
            };
            Some((Value::Analog(number), quality))
        }
        (Kind::Counter, raw) => {
            let count = match raw {
                MmsValue::Unsigned(count) => *count,
                // Counters of IEC 61850 are signed and count up all the same.
                MmsValue::Integer(count) => u64::try_from(*count).ok()?,
                _ => return None,
            };
            if spec.scale == 1.0 {
                return good(Value::Counter(count));
            }
            good(Value::Counter((count as f64 * spec.scale).round() as u64))
        }
        (Kind::Binary, MmsValue::Boolean(on)) => good(Value::Binary(*on)),
        (Kind::Double, raw) => {
            let double = match contacts(raw)? {
                (false, false) => DoublePoint::Intermediate,
                (false, true) => DoublePoint::Off,
                (true, false) => DoublePoint::On,
                (true, true) => DoublePoint::Bad,
            };
            good(Value::DoublePoint(double))
        }
        (Kind::Closed, raw) => good(Value::Binary(contacts(raw)?.0)),
        (Kind::Open, raw) => good(Value::Binary(contacts(raw)?.1)),
        (Kind::Binary, _) => None,
    }
}

fn number(raw: &MmsValue) -> Option<f64> {
    Some(match raw {
        MmsValue::Integer(number) => *number as f64,
        MmsValue::Unsigned(number) => *number as f64,
        MmsValue::Float32(number) => f64::from(*number),
        MmsValue::Float64(number) => *number,
        _ => return None,
    })
}

/// Closed and open contact of a Dbpos: intermediate 00, off 01, on 10, bad 11.
fn contacts(raw: &MmsValue) -> Option<(bool, bool)> {
    match raw {
        MmsValue::BitString { padding: 6, data } if data.len() == 1 => {
            Some((data[0] & 0x80 != 0, data[0] & 0x40 != 0))
        }
        _ => None,
    }
}

/// What a quality attribute says against the value; `None`: it is none.
pub(super) fn quality(raw: &MmsValue) -> Option<Quality> {
    let MmsValue::BitString { data, .. } = raw else {
        return None;
    };
    let [high, low] = **data else { return None };
    let bits = u16::from_be_bytes([high, low]);
    Some(Q::from_bits_truncate(bits).quality())
}

/// What a server shows of a quality.
pub(super) fn quality_attribute(quality: Quality) -> MmsValue {
    let bits = Q::from_quality(quality).bits();
    MmsValue::BitString {
        padding: 3,
        data: bits.to_be_bytes().to_vec(),
    }
}

const CLOCK_FAILURE: u8 = 0x40;
const NOT_SYNCHRONISED: u8 = 0x20;
/// Accuracy unspecified: 31; ours is 10 bits, about a millisecond.
const ACCURACY: u8 = 10;

/// A time attribute; `None`: it is none, or was never set.
pub(super) fn time(raw: &MmsValue) -> Option<Timestamp> {
    let MmsValue::UtcTime([a, b, c, d, e, f, g, flags]) = *raw else {
        return None;
    };
    let seconds = u32::from_be_bytes([a, b, c, d]);
    let fraction = u32::from_be_bytes([0, e, f, g]);
    if seconds == 0 && fraction == 0 {
        return None;
    }
    // To the nearest: the fraction of a whole number of milliseconds is cut off, not rounded, by many.
    let us = (i64::from(fraction) * 1_000_000 + (1 << 23)) >> 24;
    let unix_us = i64::from(seconds) * 1_000_000 + us;
    let quality = match flags & (CLOCK_FAILURE | NOT_SYNCHRONISED) {
        0 => TimeQuality::Source,
        _ => TimeQuality::Unsynchronised,
    };
    Some(Timestamp { unix_us, quality })
}

/// What a server shows of a time; seconds wrap in 2106.
pub(super) fn time_attribute(time: Timestamp) -> MmsValue {
    let seconds = (time.unix_us.div_euclid(1_000_000) as u32).to_be_bytes();
    let us = time.unix_us.rem_euclid(1_000_000);
    let fraction = ((((us << 24) + 500_000) / 1_000_000).min(0xFF_FFFF) as u32).to_be_bytes();
    let flags = match time.quality {
        TimeQuality::Source => ACCURACY,
        TimeQuality::Unsynchronised | TimeQuality::Received => ACCURACY | NOT_SYNCHRONISED,
    };
    let [a, b, c, d] = seconds;
    let [_, e, f, g] = fraction;
    MmsValue::UtcTime([a, b, c, d, e, f, g, flags])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind, scale: f64, raw: MmsValue) -> Option<(Value, Quality)> {
        let spec = PointSpec {
            name: "p".into(),
            reference: "L/M.D.a[MX]".parse().unwrap(),
            kind,
            scale,
            offset: 0.0,
            unit: String::new(),
        };
        value(&spec, &raw)
    }

    fn dbpos(bits: u8) -> MmsValue {
        MmsValue::BitString {
            padding: 6,
            data: vec![bits << 6],
        }
    }

    fn bits(bits: u16) -> MmsValue {
        MmsValue::BitString {
            padding: 3,
            data: bits.to_be_bytes().to_vec(),
        }
    }

    #[test]
    fn values_by_kind() {
        let good = |value| Some((value, Quality::GOOD));
        let analog = |raw| of(Kind::Analog, 1000.0, raw);
        assert_eq!(
            analog(MmsValue::Float32(-1.5)),
            good(Value::Analog(-1500.0))
        );
        assert_eq!(analog(MmsValue::Integer(-3)), good(Value::Analog(-3000.0)));
        assert_eq!(analog(MmsValue::Boolean(true)), None);
        let (_, quality) = analog(MmsValue::Float32(f32::NAN)).unwrap();
        assert_eq!(quality, Quality::INVALID);
        let counter = |raw| of(Kind::Counter, 10.0, raw);
        assert_eq!(counter(MmsValue::Integer(7)), good(Value::Counter(70)));
        assert_eq!(counter(MmsValue::Integer(-7)), None);
        let positions = [
            (0b00, DoublePoint::Intermediate, false, false),
            (0b01, DoublePoint::Off, false, true),
            (0b10, DoublePoint::On, true, false),
            (0b11, DoublePoint::Bad, true, true),
        ];
        for (raw, double, closed, open) in positions {
            let double = good(Value::DoublePoint(double));
            assert_eq!(of(Kind::Double, 1.0, dbpos(raw)), double);
            assert_eq!(
                of(Kind::Closed, 1.0, dbpos(raw)),
                good(Value::Binary(closed))
            );
            assert_eq!(of(Kind::Open, 1.0, dbpos(raw)), good(Value::Binary(open)));
        }
        assert_eq!(of(Kind::Double, 1.0, MmsValue::Integer(2)), None);
        assert_eq!(of(Kind::Double, 1.0, bits(0)), None);
    }

    #[test]
    fn qualities_come_as_the_standard_codes_them() {
        let q = Quality::QUESTIONABLE;
        let rows = [
            (0b0000_0000_0000_0000, Quality::GOOD),
            (0b0100_0000_0000_0000, Quality::INVALID),
            (0b1000_0000_0000_0000, Quality::INVALID),
            (0b1100_0000_0000_0000, q),
            (0b1110_0000_0000_0000, q | Quality::OUT_OF_RANGE),
            (0b1101_0000_0000_0000, q | Quality::OUT_OF_RANGE),
            (0b0000_1000_0000_0000, q),
            (0b0000_0100_0000_0000, q),
            (0b0100_0010_0000_0000, q | Quality::INVALID),
            (0b1100_0001_0000_0000, q | Quality::OLD),
            (0b0000_0000_1000_0000, q),
            (0b0000_0000_0100_0000, q),
            (0b0000_0000_0010_0000, Quality::SUBSTITUTED),
            (0b0000_0000_0001_0000, Quality::TEST),
            (0b0000_0000_0000_1000, Quality::BLOCKED),
        ];
        for (raw, expected) in rows {
            assert_eq!(quality(&bits(raw)), Some(expected), "{raw:#018b}");
        }
        assert_eq!(quality(&MmsValue::Integer(0)), None);
    }

    #[test]
    fn nothing_bad_looks_good() {
        for bits in 1..1 << 10 {
            let bad = Quality::from_bits_retain(bits);
            let back = quality(&quality_attribute(bad)).unwrap();
            assert_ne!(back, Quality::GOOD, "{bad:?}");
        }
        let good = quality_attribute(Quality::GOOD);
        assert_eq!(quality(&good), Some(Quality::GOOD));
    }

    #[test]
    fn times_keep_their_milliseconds() {
        // 2023-11-14T22:13:20.123Z: 0.123 * 2^24 = 2063597.57, cut off.
        let raw = MmsValue::UtcTime([0x65, 0x53, 0xF1, 0x00, 0x1F, 0x7C, 0xED, 0x0A]);
        let read = time(&raw).unwrap();
        assert_eq!(read.unix_us, 1_700_000_000_123_000);
        assert_eq!(read.quality, TimeQuality::Source);
        for us in [0, 1, 999, 123_000, 500_000, 999_000, 999_999] {
            let at = Timestamp {
                unix_us: 1_700_000_000_000_000 + us,
                quality: TimeQuality::Unsynchronised,
            };
            assert_eq!(time(&time_attribute(at)), Some(at));
        }
        assert_eq!(time(&MmsValue::UtcTime([0; 8])), None);
    }
}
