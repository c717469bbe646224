//! The transport function (IEEE 1815-2012 clause 8): fragments of the application layer cut into
//! segments that fit a frame, and put together again.

use super::link::MAX_USER_DATA;

const FIN: u8 = 0x80;
const FIR: u8 = 0x40;
const SEQUENCE: u8 = 0x3F;

/// Cuts a fragment into segments; `sequence` is the next segment's number and counts on.
pub(crate) fn segments(fragment: &[u8], sequence: &mut u8) -> Vec<Vec<u8>> {
    let chunks = fragment.chunks(MAX_USER_DATA - 1);
    let last = chunks.len().saturating_sub(1);
    chunks
        .enumerate()
        .map(|(number, chunk)| {
            let first = if number == 0 { FIR } else { 0 };
            let final_ = if number == last { FIN } else { 0 };
            let mut segment = Vec::with_capacity(1 + chunk.len());
            segment.push(first | final_ | *sequence);
            segment.extend_from_slice(chunk);
            *sequence = (*sequence + 1) & SEQUENCE;
            segment
        })
        .collect()
}

/// Puts fragments together. Holds at most one fragment of the length it was made for.
#[derive(Clone, Debug)]
pub(crate) struct Reassembler {
    limit: usize,
    /// What has come so far and the number the next segment must have.
    partial: Option<(Vec<u8>, u8)>,
}

impl Reassembler {
    /// For fragments of up to `limit` octets; longer ones are dropped.
    pub(crate) fn new(limit: usize) -> Self {
        let partial = None;
        Self { limit, partial }
    }

    /// Forgets a half fragment.
    pub(crate) fn clear(&mut self) {
        self.partial = None;
    }

    /// Takes in a segment; gives the fragment that it completes. A segment out of order ends the
    /// fragment it interrupts.
    pub(crate) fn push(&mut self, segment: &[u8]) -> Option<Vec<u8>> {
        let (&header, data) = segment.split_first()?;
        let sequence = header & SEQUENCE;
        let mut fragment = match self.partial.take() {
            _ if header & FIR != 0 => Vec::new(),
            Some((fragment, next)) if sequence == next => fragment,
            _ => return None,
        };
        if fragment.len() + data.len() > self.limit {
            return None;
        }
        fragment.extend_from_slice(data);
        if header & FIN != 0 {
            return Some(fragment);
        }
        self.partial = Some((fragment, (sequence + 1) & SEQUENCE));
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_wrap_at_64_and_mark_both_ends() {
        let mut sequence = 63;
        let cut = segments(&[7; 600], &mut sequence);
        let headers: Vec<u8> = cut.iter().map(|segment| segment[0]).collect();
        assert_eq!(headers, [0x40 | 63, 0, 0x80 | 1]);
        let lengths: Vec<usize> = cut.iter().map(Vec::len).collect();
        assert_eq!(lengths, [250, 250, 600 - 2 * 249 + 1]);
        assert_eq!(sequence, 2);
    }

    #[test]
    fn a_lost_repeated_or_early_segment_costs_its_fragment_only() {
        let mut sequence = 0;
        let first = segments(&[1; 600], &mut sequence);
        let second = segments(&[2; 300], &mut sequence);
        let mut reassembler = Reassembler::new(2048);
        for segment in [&first[0], &first[2], &first[1], &first[2]] {
            assert_eq!(reassembler.push(segment), None);
        }
        assert_eq!(reassembler.push(&second[1]), None);
        assert_eq!(reassembler.push(&first[0]), None);
        assert_eq!(reassembler.push(&second[0]), None);
        assert_eq!(reassembler.push(&second[1]), Some(vec![2; 300]));
        assert_eq!(reassembler.push(&[]), None);
    }

    #[test]
    fn longer_than_agreed_is_dropped() {
        let mut sequence = 0;
        let mut reassembler = Reassembler::new(500);
        let long = segments(&[1; 501], &mut sequence);
        assert!(long.iter().all(|s| reassembler.push(s).is_none()));
        let fits = segments(&[1; 500], &mut sequence);
        let last = fits.iter().filter_map(|s| reassembler.push(s)).last();
        assert_eq!(last, Some(vec![1; 500]));
    }

    proptest! {
        #[test]
        fn any_fragment_survives(fragment in prop::collection::vec(any::<u8>(), 1..2048), start in 0_u8..64) {
            let mut sequence = start;
            let mut reassembler = Reassembler::new(2048);
            let whole: Vec<_> = segments(&fragment, &mut sequence)
                .iter()
                .filter_map(|segment| reassembler.push(segment))
                .collect();
            prop_assert_eq!(whole, vec![fragment]);
        }

        #[test]
        fn never_holds_more_than_its_limit(segments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..250), 0..50)) {
            let mut reassembler = Reassembler::new(600);
            for segment in segments {
                if let Some(fragment) = reassembler.push(&segment) {
                    prop_assert!(fragment.len() <= 600);
                }
                let held = reassembler.partial.as_ref().map_or(0, |(held, _)| held.len());
                prop_assert!(held <= 600);
            }
        }
    }
}
