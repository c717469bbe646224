//! Objects as nobody should send them, for the sessions' property tests.

use proptest::prelude::*;

use super::VARIATIONS;

/// Headers of objects there are, with any qualifier and rest.
pub(crate) fn objects() -> impl Strategy<Value = Vec<u8>> {
    let qualifiers = prop::sample::select(&[0_u8, 1, 2, 6, 7, 8, 9, 0x17, 0x28, 0x39, 0x5B][..]);
    let rest = prop::collection::vec(0_u8..4, 0..24);
    let header = (0..VARIATIONS.len(), qualifiers, rest).prop_map(|(row, qualifier, rest)| {
        let row = &VARIATIONS[row];
        let mut octets = vec![row.group, row.variation, qualifier];
        octets.extend(rest);
        octets
    });
    prop::collection::vec(header, 0..6).prop_map(|headers| headers.concat())
}
