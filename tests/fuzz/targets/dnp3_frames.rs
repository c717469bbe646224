//! However the octets of a stream are cut, an outstation does the same.

#![no_main]

use fuzz::{begin, dnp3, fuzz_target, steps};
use protocols::dnp3::{
    Kind,
    link::LinkConfig,
    outstation::{Class, Outstation, OutstationConfig, PointConfig},
};

fn outstation() -> Outstation {
    let config = OutstationConfig {
        unsolicited: None,
        ..OutstationConfig::new(LinkConfig::new(1, 10))
    };
    let points = Kind::ALL.map(|kind| PointConfig::new(kind, 0, Some(Class::One)));
    let mut outstation = Outstation::new(config, &points, begin()).expect("a good configuration");
    outstation.connected(begin());
    outstation
}

fn sent(outstation: &mut Outstation) -> Vec<u8> {
    std::iter::from_fn(|| outstation.poll_transmit())
        .flatten()
        .collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, script)) = input.split_first() else {
        return;
    };
    let (mut stream, mut sequence) = (Vec::new(), 0);
    for step in steps(script).take(50) {
        match step.kind % 4 {
            0 => stream.extend(dnp3::fragment(0xC4, 1, 10, step.octets, &mut sequence)),
            1 => stream.extend(dnp3::frame(
                step.at(0),
                1,
                10,
                step.octets.get(1..).unwrap_or_default(),
            )),
            2 => stream.extend(step.octets),
            // A frame with an octet that is not as it was sent.
            _ => {
                let mut frame = dnp3::frame(0xC4, 1, 10, step.octets);
                let place = usize::from(step.at(0)) % frame.len();
                frame[place] ^= 1 << (step.at(1) % 8);
                stream.extend(frame);
            }
        }
    }
    let (mut whole, mut pieces) = (outstation(), outstation());
    whole.handle_input(&stream, begin());
    for piece in stream.chunks(usize::from(*cut).max(1)) {
        pieces.handle_input(piece, begin());
    }
    assert_eq!(sent(&mut whole), sent(&mut pieces));
    assert_eq!(whole.statistics(), pieces.statistics());
});
