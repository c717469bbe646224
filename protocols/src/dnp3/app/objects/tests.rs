use proptest::prelude::*;

use super::*;

type Found = Result<((u8, u8), Range), ParseError>;

fn ids(headers: Headers<'_>) -> Vec<Found> {
    let id = |header: ObjectHeader<'_>| (header.id(), header.range);
    headers.map(|header| header.map(id)).collect()
}

#[test]
fn an_integrity_poll_is_four_headers() {
    let bytes = [60, 2, 6, 60, 3, 6, 60, 4, 6, 60, 1, 6];
    let expected = [2, 3, 4, 1].map(|variation| Ok(((60, variation), Range::All)));
    assert_eq!(ids(Headers::of_read(&bytes)), expected);
}

#[test]
fn every_range_is_read() {
    let bytes = [
        &[30, 0, 0x00, 1, 5][..],
        &[30, 1, 0x01, 0, 1, 0xFF, 1],
        &[30, 2, 0x02, 1, 0, 0, 0, 2, 0, 0, 0],
        &[60, 2, 0x07, 9],
        &[2, 0, 0x08, 0x34, 0x12],
        &[1, 2, 0x17, 2, 4, 9],
        &[1, 2, 0x28, 1, 0, 0x34, 0x12],
        &[110, 0, 0x06],
    ]
    .concat();
    let span = |start, stop| Range::Span { start, stop };
    let expected = [
        Ok(((30, 0), span(1, 5))),
        Ok(((30, 1), span(256, 511))),
        Ok(((30, 2), span(1, 2))),
        Ok(((60, 2), Range::Count(9))),
        Ok(((2, 0), Range::Count(0x1234))),
        Ok(((1, 2), Range::Count(2))),
        Ok(((1, 2), Range::Count(1))),
        Ok(((110, 0), Range::All)),
    ];
    assert_eq!(ids(Headers::of_read(&bytes)), expected);
}

/// Found by `cargo xtask test fuzz`: an outstation that counts up to the highest index there is.
#[test]
fn the_highest_index_is_the_last() {
    let last = [0xFF; 4];
    let bytes = [
        &[30, 2, 0x02][..],
        &last,
        &last,
        &[1, 7, 8],
        &[1, 1, 0x02],
        &[0xFE, 0xFF, 0xFF, 0xFF],
        &last,
        &[0b10],
    ]
    .concat();
    let items: Vec<Vec<(u32, Item<'_>)>> = Headers::new(&bytes)
        .map(|header| header.unwrap().items().collect())
        .collect();
    assert_eq!(items[0], [(u32::MAX, Item::Octets(&[1, 7, 8]))]);
    let packed = [(u32::MAX - 1, Item::Packed(0)), (u32::MAX, Item::Packed(1))];
    assert_eq!(items[1], packed);
    // All there are, asked for.
    let bytes = [&[1, 1, 0x02][..], &[0; 4], &last].concat();
    let header = Headers::of_read(&bytes).next().unwrap().unwrap();
    assert_eq!(header.items().count(), 0);
}

#[test]
fn objects_come_with_their_indices() {
    let bytes = [
        &[1, 1, 0x00, 3, 12, 0b1000_0001, 0b10][..],
        &[3, 1, 0x00, 0, 4, 0b11_10_01_00, 0b10],
        &[30, 2, 0x17, 2, 7, 1, 2, 3, 9, 4, 5, 6],
        &[30, 4, 0x01, 0xFF, 0, 0, 1, 0xAA, 0, 0xBB, 0],
        &[20, 6, 0x28, 1, 0, 2, 1, 0xCC, 0],
        &[110, 3, 0x00, 5, 5, b'a', b'b', b'c'],
        &[50, 1, 0x07, 1, 1, 2, 3, 4, 5, 6],
    ]
    .concat();
    let items: Vec<Vec<(u32, Item<'_>)>> = Headers::new(&bytes)
        .map(|header| header.unwrap().items().collect())
        .collect();
    let bits = |start: u32, bits: &[u8]| -> Vec<_> {
        (start..)
            .zip(bits.iter().map(|&bit| Item::Packed(bit)))
            .collect()
    };
    assert_eq!(items[0], bits(3, &[1, 0, 0, 0, 0, 0, 0, 1, 0, 1]));
    assert_eq!(items[1], bits(0, &[0, 1, 2, 3, 2]));
    assert_eq!(
        items[2],
        [(7, Item::Octets(&[1, 2, 3])), (9, Item::Octets(&[4, 5, 6]))]
    );
    assert_eq!(
        items[3],
        [
            (255, Item::Octets(&[0xAA, 0])),
            (256, Item::Octets(&[0xBB, 0]))
        ]
    );
    assert_eq!(items[4], [(258, Item::Octets(&[0xCC, 0]))]);
    assert_eq!(items[5], [(5, Item::Octets(b"abc"))]);
    assert_eq!(items[6], [(0, Item::Octets(&[1, 2, 3, 4, 5, 6]))]);
}

#[test]
fn what_is_wrong_is_named_and_ends_the_fragment() {
    let unknown = |group, variation| ParseError::UnknownObject { group, variation };
    for (bytes, error) in [
        (&[30][..], ParseError::Truncated),
        (&[30, 1, 0x00, 1], ParseError::Truncated),
        (&[30, 1, 0x00, 0, 0, 1, 2, 3, 4], ParseError::Truncated),
        (&[1, 1, 0x00, 0, 8, 0xFF], ParseError::Truncated),
        (&[30, 1, 0x00, 2, 1], ParseError::Range),
        (&[30, 7, 0x06], unknown(30, 7)),
        (&[70, 1, 0x5B, 1], unknown(70, 1)),
        (&[110, 0, 0x00, 0, 0], unknown(110, 0)),
        (&[30, 1, 0x5B, 1], ParseError::Qualifier(0x5B)),
        (&[30, 1, 0x16], ParseError::Qualifier(0x16)),
        (&[30, 1, 0x10, 0, 0], ParseError::Qualifier(0x10)),
        (&[1, 1, 0x17, 1, 0, 1], ParseError::Qualifier(0x17)),
        // As many as 32 bits count, and no octet behind.
        (
            &[30, 1, 0x09, 0xFF, 0xFF, 0xFF, 0xFF],
            ParseError::Truncated,
        ),
        (
            &[30, 1, 0x02, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
            ParseError::Truncated,
        ),
        (
            &[1, 1, 0x02, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
            ParseError::Truncated,
        ),
    ] {
        assert_eq!(ids(Headers::new(bytes)), [Err(error)], "{bytes:02x?}");
    }
}

#[test]
fn a_header_without_objects_has_no_items_however_high_it_counts() {
    let bytes = [
        60, 2, 0x09, 0xFF, 0xFF, 0xFF, 0xFF, 60, 2, 0x02, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
    ];
    for header in Headers::new(&bytes) {
        assert_eq!(header.unwrap().items().count(), 0);
    }
}

proptest! {
    #[test]
    fn any_octets_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn headers_that_look_right_are_taken(
        parts in prop::collection::vec(
            (0..crate::dnp3::app::VARIATIONS.len(), prop::sample::select(&[0_u8, 1, 2, 6, 7, 8, 9, 0x17, 0x28, 0x39][..]), prop::collection::vec(0_u8..20, 0..30)),
            0..8,
        ),
    ) {
        let mut bytes = Vec::new();
        for (row, qualifier, rest) in parts {
            let row = &crate::dnp3::app::VARIATIONS[row];
            bytes.extend([row.group, row.variation, qualifier]);
            bytes.extend(rest);
        }
        check(&bytes);
    }
}

/// No header gives more objects than there are octets to hold them.
fn check(bytes: &[u8]) {
    for headers in [Headers::new(bytes), Headers::of_read(bytes)] {
        for header in headers.flatten() {
            let items = header.items().count();
            assert!(items <= 8 * header.data.len(), "{header:?}");
        }
    }
}
