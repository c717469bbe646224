use proptest::prelude::*;

use super::*;

fn parse(bytes: &[u8]) -> (Vec<Frame>, ParserStatistics) {
    let mut parser = FrameParser::default();
    parser.push(bytes);
    let frames = std::iter::from_fn(|| parser.next()).collect();
    (frames, parser.statistics())
}

/// Reset link, master 1024 to outstation 1 (from opendnp3's published tests).
const RESET: [u8; 10] = [0x05, 0x64, 0x05, 0xC0, 0x01, 0x00, 0x00, 0x04, 0xE9, 0x21];

/// An integrity poll as confirmed user data with FCB set (from opendnp3's published tests).
const INTEGRITY: [u8; 27] = [
    0x05, 0x64, 0x14, 0xF3, 0x01, 0x00, 0x00, 0x04, 0x0A, 0x3B, // header
    0xC0, 0xC3, 0x01, 0x3C, 0x02, 0x06, 0x3C, 0x03, 0x06, 0x3C, 0x04, 0x06, 0x3C, 0x01,
    0x06, //
    0x9A, 0x12,
];

fn integrity() -> Frame {
    Frame {
        from_master: true,
        function: Function::ConfirmedData { fcb: true },
        destination: 1,
        source: 1024,
        data: INTEGRITY[10..25].to_vec(),
    }
}

#[test]
fn published_frames_are_read_and_written() {
    let reset = Frame {
        from_master: true,
        function: Function::ResetLink,
        destination: 1,
        source: 1024,
        data: Vec::new(),
    };
    for (bytes, frame) in [(&RESET[..], reset), (&INTEGRITY[..], integrity())] {
        assert_eq!(frame.encode(), bytes);
        assert_eq!(parse(bytes), (vec![frame], ParserStatistics::default()));
    }
}

#[test]
fn a_frame_is_found_octet_by_octet_and_between_noise() {
    let mut parser = FrameParser::default();
    let mut found = Vec::new();
    let noise = [0x05, 0x05, 0x64, 0x00, 0x64, 0x05];
    let stream = [&noise[..], &INTEGRITY, &noise, &INTEGRITY, &[0x05]].concat();
    for byte in stream {
        parser.push(&[byte]);
        found.extend(std::iter::from_fn(|| parser.next()));
        assert!(parser.buffer.len() <= 292);
    }
    assert_eq!(found, [integrity(), integrity()]);
}

#[test]
fn a_wrong_check_costs_its_frame_only() {
    for position in 0..INTEGRITY.len() {
        let mut damaged = INTEGRITY;
        damaged[position] ^= 0x10;
        let (frames, _) = parse(&[&damaged[..], &INTEGRITY].concat());
        assert_eq!(frames, [integrity()], "octet {position}");
    }
}

#[test]
fn lengths_that_cannot_be_and_unknown_functions_are_no_frames() {
    // Length 4, less than the header counts; its check is right.
    let mut short = vec![0x05, 0x64, 0x04, 0xC0, 0x01, 0x00, 0x00, 0x04];
    short.extend(crc(&short));
    let (frames, statistics) = parse(&short);
    assert!(frames.is_empty());
    assert_eq!(statistics.crc_errors, 1);
    // Primary function 7 is not defined; user data with FCV where it must not be.
    for control in [0xC7, 0xD4] {
        let mut unknown = vec![0x05, 0x64, 0x05, control, 0x01, 0x00, 0x00, 0x04];
        unknown.extend(crc(&unknown));
        let (frames, statistics) = parse(&unknown);
        assert!(frames.is_empty());
        assert_eq!(statistics.unknown, 1);
    }
}

fn functions() -> impl Strategy<Value = Function> {
    let fcb = any::<bool>();
    prop_oneof![
        Just(Function::ResetLink),
        Just(Function::UnconfirmedData),
        Just(Function::RequestStatus),
        fcb.prop_map(|fcb| Function::TestLink { fcb }),
        fcb.prop_map(|fcb| Function::ConfirmedData { fcb }),
        fcb.prop_map(|busy| Function::Ack { busy }),
        fcb.prop_map(|busy| Function::Nack { busy }),
        fcb.prop_map(|busy| Function::Status { busy }),
        fcb.prop_map(|busy| Function::NotSupported { busy }),
    ]
}

proptest! {
    #[test]
    fn any_frame_survives(
        from_master: bool,
        function in functions(),
        destination: u16,
        source: u16,
        data in prop::collection::vec(any::<u8>(), 0..=MAX_USER_DATA),
    ) {
        let frame = Frame { from_master, function, destination, source, data };
        let (frames, statistics) = parse(&frame.encode());
        prop_assert_eq!(frames, vec![frame]);
        prop_assert_eq!(statistics, ParserStatistics::default());
    }

    #[test]
    fn any_octets_are_taken_and_little_is_held(
        chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0x05), Just(0x64), any::<u8>()], 0..100), 0..10),
    ) {
        let mut parser = FrameParser::default();
        for chunk in chunks {
            parser.push(&chunk);
            while parser.next().is_some() {}
            prop_assert!(parser.buffer.len() - parser.position < 292);
        }
    }
}
