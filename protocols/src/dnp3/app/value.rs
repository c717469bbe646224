//! Values of points in and out of objects (Annex A).

use super::variations::{Layout, Number, Stamp, Variation};
use crate::{
    dnp3::{Flags, Sample},
    point::{DoublePoint, TimeQuality, Timestamp, Value},
};

/// The greatest time that 48 bits hold.
const MAX_TIME_MS: u64 = (1 << 48) - 1;

/// Milliseconds of a time stamp, as carried.
pub(crate) fn time_to(time: Timestamp) -> u64 {
    let ms = u64::try_from(time.unix_us / 1000).unwrap_or(0);
    ms.min(MAX_TIME_MS)
}

/// The time stamp of milliseconds as carried.
pub(crate) fn time_from(ms: u64, quality: TimeQuality) -> Timestamp {
    // 48 bits of milliseconds are less than 59 bits of microseconds.
    let unix_us = (ms.min(MAX_TIME_MS) * 1000) as i64;
    Timestamp { unix_us, quality }
}

/// Six octets.
pub(crate) fn time_octets(ms: u64) -> [u8; 6] {
    let [octets @ .., _, _] = ms.min(MAX_TIME_MS).to_le_bytes();
    octets
}

/// Milliseconds of six octets.
pub(crate) fn time_of(octets: &[u8]) -> Option<u64> {
    let &[a, b, c, d, e, f] = octets else {
        return None;
    };
    Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

fn bits_of(double: DoublePoint) -> u8 {
    match double {
        DoublePoint::Intermediate => 0,
        DoublePoint::Off => 1,
        DoublePoint::On => 2,
        DoublePoint::Bad => 3,
    }
}

/// The state that two bits say.
pub(crate) fn double_of(bits: u8) -> DoublePoint {
    match bits & 3 {
        0 => DoublePoint::Intermediate,
        1 => DoublePoint::Off,
        2 => DoublePoint::On,
        _ => DoublePoint::Bad,
    }
}

/// The bits of a value in a packed object.
pub(crate) fn packed(value: Value) -> u8 {
    match value {
        Value::Binary(state) => state.into(),
        Value::DoublePoint(double) => bits_of(double),
        Value::Analog(_) | Value::Counter(_) => 0,
    }
}

/// Appends the object of a point's variation. `relative_to`: the common time of occurrence, ms.
///
/// What an integer or single precision cannot hold is limited, with OVER_RANGE; no number (NaN) is
/// 0 where there is none, and not ONLINE.
pub(crate) fn encode(variation: &Variation, sample: &Sample, relative_to: u64, out: &mut Vec<u8>) {
    let Layout::Point {
        flags: has_flags,
        number,
        stamp,
    } = variation.layout
    else {
        return;
    };
    let (octets, size, mut flags) = encode_number(number, sample);
    match (number, sample.value) {
        (Number::State, value) => flags = flags & 0x7F | packed(value) << 7,
        (Number::DoubleState, value) => flags = flags & 0x3F | packed(value) << 6,
        _ => {}
    }
    if has_flags {
        out.push(flags);
    }
    out.extend_from_slice(&octets[..size]);
    let ms = sample.time.map_or(0, time_to);
    match stamp {
        Stamp::None => {}
        Stamp::Absolute => out.extend(time_octets(ms)),
        Stamp::Relative => {
            let since = ms.saturating_sub(relative_to).min(0xFFFF);
            out.extend((since as u16).to_le_bytes());
        }
    }
}

/// Octets of the number, how many, and the flag octet with what the number's limits add.
fn encode_number(number: Number, sample: &Sample) -> ([u8; 8], usize, u8) {
    let mut octets = [0; 8];
    let mut flags = sample.flags;
    let size = number.size();
    match (number, sample.value) {
        // Modulo: a master reckons with a counter that rolls over.
        (Number::U16 | Number::U32, Value::Counter(count)) => octets = count.to_le_bytes(),
        (Number::I16, Value::Analog(value)) => {
            let limited = limit(value, i16::MIN.into(), i16::MAX.into(), &mut flags);
            octets[..2].copy_from_slice(&(limited.round() as i16).to_le_bytes());
        }
        (Number::I32, Value::Analog(value)) => {
            let limited = limit(value, i32::MIN.into(), i32::MAX.into(), &mut flags);
            octets[..4].copy_from_slice(&(limited.round() as i32).to_le_bytes());
        }
        (Number::F32, Value::Analog(value)) => {
            let max = f64::from(f32::MAX);
            let limited = if value.is_nan() {
                flags -= Flags::ONLINE;
                value
            } else {
                limit(value, -max, max, &mut flags)
            };
            octets[..4].copy_from_slice(&(limited as f32).to_le_bytes());
        }
        (Number::F64, Value::Analog(value)) => {
            if value.is_nan() {
                flags -= Flags::ONLINE;
            }
            octets = value.to_le_bytes();
        }
        _ => {}
    }
    (octets, size, flags.bits())
}

/// Limits a value, which what comes behind the rounding to an integer must fit.
fn limit(value: f64, min: f64, max: f64, flags: &mut Flags) -> f64 {
    if value.is_nan() {
        *flags -= Flags::ONLINE;
        return 0.0;
    }
    let limited = value.clamp(min, max);
    if limited != value {
        *flags |= Flags::OVER_RANGE;
    }
    limited
}

/// A point's object. `common`: the time of occurrence that relative times count from, if one came
/// before. `None`: not an object of a point, or of another length than its variation's.
pub(crate) fn decode(
    variation: &Variation,
    object: &[u8],
    quality: TimeQuality,
    common: Option<Timestamp>,
) -> Option<Sample> {
    let Layout::Point {
        flags: has_flags,
        number,
        stamp,
    } = variation.layout
    else {
        return None;
    };
    if variation.size() != Some(object.len()) {
        return None;
    }
    let (octet, rest) = if has_flags {
        let (&octet, rest) = object.split_first()?;
        (octet, rest)
    } else {
        (Flags::ONLINE.bits(), object)
    };
    let (octets, time) = rest.split_at(number.size());
    let value = match number {
        Number::State => Value::Binary(octet & 0x80 != 0),
        Number::DoubleState => Value::DoublePoint(double_of(octet >> 6)),
        Number::U16 => Value::Counter(u16::from_le_bytes(octets.try_into().ok()?).into()),
        Number::U32 => Value::Counter(u32::from_le_bytes(octets.try_into().ok()?).into()),
        Number::I16 => Value::Analog(i16::from_le_bytes(octets.try_into().ok()?).into()),
        Number::I32 => Value::Analog(i32::from_le_bytes(octets.try_into().ok()?).into()),
        Number::F32 => Value::Analog(f32::from_le_bytes(octets.try_into().ok()?).into()),
        Number::F64 => Value::Analog(f64::from_le_bytes(octets.try_into().ok()?)),
    };
    let state_bits = match number {
        Number::State => 0x80,
        Number::DoubleState => 0xC0,
        _ => 0,
    };
    let time = match stamp {
        Stamp::None => None,
        Stamp::Absolute => Some(time_from(time_of(time)?, quality)),
        Stamp::Relative => {
            let since = u16::from_le_bytes(time.try_into().ok()?);
            common.map(|common| Timestamp {
                unix_us: common.unix_us + i64::from(since) * 1000,
                ..common
            })
        }
    };
    let flags = Flags::from_bits_retain(octet & !state_bits);
    Some(Sample { value, flags, time })
}

#[cfg(test)]
mod tests;
