//! Frames of IEC 104: what is read is written the same way, however its octets are cut.

#![no_main]

use fuzz::fuzz_target;
use protocols::iec104::apci::{Apdu, FrameError, FrameParser};

fn frames(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> (Vec<Apdu>, Option<FrameError>) {
    let (mut parser, mut seen) = (FrameParser::default(), Vec::new());
    for piece in pieces {
        parser.push(piece.as_ref());
        loop {
            match parser.take() {
                Ok(Some(frame)) => seen.push(frame),
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
            }
        }
    }
    (seen, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, octets)) = input.split_first() else {
        return;
    };
    let whole = frames(std::iter::once(octets));
    assert_eq!(whole, frames(octets.chunks(usize::from(*cut).max(1))));
    let written: Vec<u8> = whole.0.iter().flat_map(Apdu::encode).collect();
    assert_eq!(written, octets[..written.len()]);
});
