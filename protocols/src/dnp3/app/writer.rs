//! Writes the objects of one fragment, header by header, within its limit.

use super::{
    encode,
    value::{packed, time_octets},
    variations::{Layout, Variation},
};
use crate::dnp3::Sample;

/// The objects of a fragment under construction.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    limit: usize,
    run: Option<Run>,
}

/// The header that objects are being added to.
#[derive(Clone, Copy, Debug)]
struct Run {
    variation: Variation,
    /// Where its stop index or its count is.
    patch: usize,
    kind: RunKind,
    /// Objects so far.
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunKind {
    /// Qualifier 00 or 01: consecutive, from `next` on.
    Span { wide: bool, next: u32 },
    /// Qualifier 28.
    Indexed,
}

impl Writer {
    /// For at most `limit` octets.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            out: Vec::new(),
            limit,
            run: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Whether so many octets fit.
    pub(crate) fn has_room(&self, octets: usize) -> bool {
        self.out.len() + octets <= self.limit
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Appends octets as they are; whether there was room.
    pub(crate) fn raw(&mut self, octets: &[u8]) -> bool {
        self.run = None;
        let fits = self.has_room(octets.len());
        if fits {
            self.out.extend_from_slice(octets);
        }
        fits
    }

    /// Appends one time object: a header that counts one, and six octets.
    pub(crate) fn time(&mut self, group: u8, variation: u8, ms: u64) -> bool {
        let [a, b, c, d, e, f] = time_octets(ms);
        self.raw(&[group, variation, 0x07, 1, a, b, c, d, e, f])
    }

    /// Adds a present value, to the running header where it follows; whether there was room.
    pub(crate) fn value(&mut self, variation: &Variation, index: u16, sample: &Sample) -> bool {
        match variation.layout {
            Layout::Packed(bits) => self.bits(variation, bits, index, packed(sample.value)),
            _ => self.span(variation, index, |out| encode(variation, sample, 0, out)),
        }
    }

    /// Adds an octet string, as [`Self::value`].
    pub(crate) fn octets(&mut self, variation: &Variation, index: u16, octets: &[u8]) -> bool {
        self.span(variation, index, |out| out.extend_from_slice(octets))
    }

    /// Adds an event with its index; whether there was room.
    pub(crate) fn event(
        &mut self,
        variation: &Variation,
        index: u16,
        sample: &Sample,
        relative_to: u64,
    ) -> bool {
        self.indexed(variation, index, |out| {
            encode(variation, sample, relative_to, out)
        })
    }

    /// Adds an object with its index; whether there was room.
    pub(crate) fn indexed(
        &mut self,
        variation: &Variation,
        index: u16,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let size = 2 + variation.size().unwrap_or(0);
        let running = self
            .run
            .filter(|run| run.variation == *variation && run.kind == RunKind::Indexed);
        if !self.has_room(size + if running.is_some() { 0 } else { 5 }) {
            return false;
        }
        let mut run = running.unwrap_or_else(|| {
            self.out
                .extend([variation.group, variation.variation, 0x28, 0, 0]);
            Run {
                variation: *variation,
                patch: self.out.len() - 2,
                kind: RunKind::Indexed,
                count: 0,
            }
        });
        self.out.extend(index.to_le_bytes());
        append(&mut self.out);
        run.count += 1;
        // A fragment's octets bound the count well below 2¹⁶.
        self.patch(run.patch, &(run.count as u16).to_le_bytes());
        self.run = Some(run);
        true
    }

    fn bits(&mut self, variation: &Variation, bits: u8, index: u16, value: u8) -> bool {
        let per_octet = 8 / u32::from(bits);
        let running = self.running_span(variation, index);
        let position = running.map_or(0, |run| run.count) % per_octet;
        let header = if running.is_some() { 0 } else { 7 };
        if !self.has_room(header + usize::from(position == 0)) {
            return false;
        }
        let run = running.unwrap_or_else(|| self.open_span(variation, index));
        if position == 0 {
            self.out.push(0);
        }
        if let Some(octet) = self.out.last_mut() {
            *octet |= value << (position * u32::from(bits));
        }
        self.close_span(run, index);
        true
    }

    fn span(
        &mut self,
        variation: &Variation,
        index: u16,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let running = self.running_span(variation, index);
        let header = if running.is_some() { 0 } else { 7 };
        if !self.has_room(header + variation.size().unwrap_or(0)) {
            return false;
        }
        let run = running.unwrap_or_else(|| self.open_span(variation, index));
        append(&mut self.out);
        self.close_span(run, index);
        true
    }

    fn running_span(&self, variation: &Variation, index: u16) -> Option<Run> {
        self.run.filter(|run| {
            let follows = match run.kind {
                RunKind::Span { wide, next } => next == u32::from(index) && (wide || index <= 0xFF),
                RunKind::Indexed => false,
            };
            follows && run.variation == *variation
        })
    }

    fn open_span(&mut self, variation: &Variation, index: u16) -> Run {
        let wide = index > 0xFF;
        self.out
            .extend([variation.group, variation.variation, u8::from(wide)]);
        let [low, high] = index.to_le_bytes();
        let patch = if wide {
            self.out.extend([low, high, low, high]);
            self.out.len() - 2
        } else {
            self.out.extend([low, low]);
            self.out.len() - 1
        };
        let next = index.into();
        Run {
            variation: *variation,
            patch,
            kind: RunKind::Span { wide, next },
            count: 0,
        }
    }

    fn close_span(&mut self, mut run: Run, index: u16) {
        let wide = matches!(run.kind, RunKind::Span { wide: true, .. });
        let stop = index.to_le_bytes();
        self.patch(run.patch, if wide { &stop } else { &stop[..1] });
        run.count += 1;
        let next = u32::from(index) + 1;
        run.kind = RunKind::Span { wide, next };
        self.run = Some(run);
    }

    fn patch(&mut self, at: usize, octets: &[u8]) {
        self.out[at..at + octets.len()].copy_from_slice(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dnp3::{Flags, app::find},
        point::Value,
    };

    fn analog(value: f64) -> Sample {
        Sample {
            value: Value::Analog(value),
            flags: Flags::ONLINE,
            time: None,
        }
    }

    fn binary(state: bool) -> Sample {
        Sample {
            value: Value::Binary(state),
            ..analog(0.0)
        }
    }

    #[test]
    fn consecutive_values_share_a_header_and_wide_indices_get_a_wide_one() {
        let mut writer = Writer::new(2048);
        let short = find(30, 2).unwrap();
        for index in [0, 1, 3, 255, 256, 257] {
            assert!(writer.value(&short, index, &analog(f64::from(index))));
        }
        let expected = [
            &[30, 2, 0x00, 0, 1, 1, 0, 0, 1, 1, 0][..],
            &[30, 2, 0x00, 3, 3, 1, 3, 0],
            &[30, 2, 0x00, 255, 255, 1, 255, 0],
            &[30, 2, 0x01, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1],
        ];
        assert_eq!(writer.finish(), expected.concat());
    }

    #[test]
    fn bits_are_packed_from_the_least_significant_on() {
        let mut writer = Writer::new(2048);
        let packed = find(1, 1).unwrap();
        for index in 2..12 {
            assert!(writer.value(&packed, index, &binary(index % 3 == 0)));
        }
        // 3, 6 and 9 are set.
        assert_eq!(writer.finish(), [1, 1, 0x00, 2, 11, 0b1001_0010, 0]);
    }

    #[test]
    fn events_carry_their_indices_and_a_full_fragment_takes_no_more() {
        let mut writer = Writer::new(5 + 2 * 5);
        let short = find(32, 2).unwrap();
        assert!(writer.event(&short, 7, &analog(-1.0), 0));
        assert!(writer.event(&short, 300, &analog(1.0), 0));
        assert!(!writer.event(&short, 301, &analog(1.0), 0));
        assert!(!writer.value(&short, 1, &analog(1.0)));
        let expected = [32, 2, 0x28, 2, 0, 7, 0, 1, 0xFF, 0xFF, 44, 1, 1, 1, 0];
        assert_eq!(writer.finish(), expected);
    }
}
