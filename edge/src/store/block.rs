//! A minute of one point's values as bytes.
//!
//! Per value a LEB128 number `delta_ms << 2 | code` (time since the value before, or since the
//! minute's begin), then by code: 0 nothing (value and quality as before), 1 the value as `f32`
//! where that is exact, 2 as `f64`, 3 the quality's 16 bits and the value as `f64`. Little endian.

use protocols::point::Quality;

/// A value of the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Milliseconds since 1970.
    pub(super) unix_ms: i64,
    pub(super) value: f64,
    pub(super) quality: Quality,
}

/// Writes a minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    last: Option<Sample>,
}

impl Encoder {
    pub(super) fn push(&mut self, minute_begin_ms: i64, sample: Sample) {
        let before = self.last.unwrap_or(Sample {
            unix_ms: minute_begin_ms,
            value: f64::NAN,
            quality: Quality::GOOD,
        });
        let delta = u64::try_from(sample.unix_ms - before.unix_ms).unwrap_or(0);
        let exact_f32 = f64::from(sample.value as f32).to_bits() == sample.value.to_bits();
        let code = if sample.quality != before.quality {
            3
        } else if self.last.is_some() && sample.value.to_bits() == before.value.to_bits() {
            0
        } else if exact_f32 {
            1
        } else {
            2
        };
        varint(delta << 2 | code, &mut self.bytes);
        match code {
            0 => {}
            1 => self
                .bytes
                .extend_from_slice(&(sample.value as f32).to_le_bytes()),
            2 => self.bytes.extend_from_slice(&sample.value.to_le_bytes()),
            _ => {
                let quality = sample.quality.bits().to_le_bytes();
                self.bytes.extend_from_slice(&quality);
                self.bytes.extend_from_slice(&sample.value.to_le_bytes());
            }
        }
        self.last = Some(Sample {
            // A value that came before the last one is noted at the last one's time.
            unix_ms: before.unix_ms + i64::try_from(delta).unwrap_or(0),
            ..sample
        });
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a minute; stops at the first byte that makes no sense.
pub(super) fn decode(minute_begin_ms: i64, mut bytes: &[u8]) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut last = Sample {
        unix_ms: minute_begin_ms,
        value: f64::NAN,
        quality: Quality::GOOD,
    };
    while let Some(head) = take_varint(&mut bytes) {
        let Some(next) = decode_one(last, head, &mut bytes) else {
            break;
        };
        samples.push(next);
        last = next;
    }
    samples
}

fn decode_one(last: Sample, head: u64, bytes: &mut &[u8]) -> Option<Sample> {
    let mut next = last;
    next.unix_ms = last.unix_ms.checked_add(i64::try_from(head >> 2).ok()?)?;
    match head & 3 {
        0 => {}
        1 => next.value = f32::from_le_bytes(take(bytes)?).into(),
        2 => next.value = f64::from_le_bytes(take(bytes)?),
        _ => {
            next.quality = Quality::from_bits_truncate(u16::from_le_bytes(take(bytes)?));
            next.value = f64::from_le_bytes(take(bytes)?);
        }
    }
    Some(next)
}

fn varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let [byte] = take(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_and_back(rows in prop::collection::vec((0_i64..5000, any::<f64>(), 0_u16..1024), 0..60)) {
            let begin = 1_800_000_000_000;
            let mut at = begin;
            let mut encoder = Encoder::default();
            let mut samples = Vec::new();
            for (delta, value, quality) in rows {
                at += delta;
                let quality = Quality::from_bits_truncate(quality);
                let sample = Sample { unix_ms: at, value, quality };
                encoder.push(begin, sample);
                samples.push(sample);
            }
            let back = decode(begin, encoder.bytes());
            prop_assert_eq!(back.len(), samples.len());
            for (a, b) in back.iter().zip(&samples) {
                prop_assert_eq!((a.unix_ms, a.value.to_bits(), a.quality), (b.unix_ms, b.value.to_bits(), b.quality));
            }
        }

        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            decode(0, &bytes);
        }
    }

    #[test]
    fn a_minute_of_a_noisy_meter_is_small() {
        let mut encoder = Encoder::default();
        for k in 0..60_i64 {
            let sample = Sample {
                unix_ms: 1000 * k + 40,
                value: f64::from(20_000.0_f32 + k as f32 * 0.37),
                quality: Quality::GOOD,
            };
            encoder.push(0, sample);
        }
        assert!(encoder.bytes().len() <= 60 * 6, "{}", encoder.bytes().len());
    }
}
