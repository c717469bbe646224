//! The device profile says what the outstation does: each object with each function and qualifier.

use super::bench::*;
use crate::dnp3::{
    Iin,
    app::{FunctionCode, Layout, VARIATIONS, Variation},
    outstation::{OutstationConfig, OutstationEvent, UnsolicitedConfig, profile, support},
};

const QUALIFIERS: [u8; 8] = [0x00, 0x01, 0x06, 0x07, 0x08, 0x17, 0x28, 0x5B];

/// A header for one object, index 0 (7 for indications), with the object where there is one.
fn header(row: &Variation, function: FunctionCode, qualifier: u8) -> Vec<u8> {
    let index = if row.group == 80 { 7 } else { 0 };
    let octets = row.group == 110 && row.variation == 0;
    let variation = if octets { 3 } else { row.variation };
    let mut header = vec![row.group, variation, qualifier];
    header.extend(match qualifier {
        0x00 => vec![index, index],
        0x01 => vec![index, 0, index, 0],
        0x07 => vec![1],
        0x08 => vec![1, 0],
        0x17 => vec![1, index],
        0x28 => vec![1, 0, index, 0],
        0x5B => vec![1, 0, 0],
        _ => vec![],
    });
    if function != FunctionCode::Read && qualifier != 0x06 {
        let size = match row.layout {
            Layout::Packed(_) => 1,
            _ => row.size().unwrap_or(0),
        };
        header.extend(std::iter::repeat_n(0, size));
    }
    header
}

/// Whether the request is taken: no request error is indicated, or a command is told.
fn is_taken(function: FunctionCode, objects: &[u8]) -> bool {
    let config = OutstationConfig {
        unsolicited: Some(UnsolicitedConfig::default()),
        ..config()
    };
    let mut bench = Bench::new(config, &points());
    bench.outstation.set_octets(0, b"abc".to_vec());
    bench.send(&[0xD0, 0x00]);
    bench.received();
    bench.ask(&[0xC0, 0x18]);
    let function = function as u8;
    let answer = bench.ask(&[&[0xC1, function], objects].concat());
    let control = bench
        .events()
        .iter()
        .any(|event| matches!(event, OutstationEvent::Control(_)));
    let answered = answer.iter().any(|fragment| {
        let iin = Iin::from_octets([fragment[2], fragment[3]]);
        !iin.intersects(Iin::REQUEST_ERRORS)
    });
    control || answered
}

#[test]
fn every_object_is_taken_as_the_profile_says_and_not_otherwise() {
    use FunctionCode as F;
    let mut taken = 0;
    let mut wrong = Vec::new();
    for row in VARIATIONS {
        let claimed = support::requests(row);
        for function in [
            F::Read,
            F::Write,
            F::Select,
            F::ImmediateFreeze,
            F::FreezeClear,
            F::EnableUnsolicited,
            F::AssignClass,
            F::DirectOperate,
        ] {
            for qualifier in QUALIFIERS {
                let mut objects = header(row, function, qualifier);
                let assigned = function == F::AssignClass && row.group != 60;
                if assigned {
                    objects = [&[60, 2, 6], &objects[..]].concat();
                }
                let says = claimed.iter().any(|(functions, qualifiers)| {
                    functions.contains(&function) && qualifiers.contains(&qualifier)
                });
                let does = is_taken(function, &objects);
                let id = (row.group, row.variation);
                if does != says {
                    wrong.push(format!("{id:?} {function:?} {qualifier:#04x}: {does}"));
                }
                taken += usize::from(does);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(taken > 300, "{taken}");
}

#[test]
fn the_functions_are_those_that_are_known() {
    let mut bench = Bench::quiet();
    for code in 0..=255 {
        let claimed = profile::functions().any(|function| function as u8 == code);
        let answer = bench.ask(&[0xC1, code]);
        let unsupported = answer.iter().any(|fragment| fragment[3] & 1 != 0);
        // Restarts are refused here, and unsolicited responses switched off; a response is not
        // taken for a request.
        let refused = matches!(code, 13 | 14 | 20 | 21);
        let sent = matches!(code, 129 | 130);
        assert_eq!(unsupported, refused || !claimed && !sent, "{code}");
    }
}

#[test]
fn the_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/dnp3-profile.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == profile::markdown(),
        "docs/dnp3-profile.md is stale: run `cargo run -p busbar-protocols --example dnp3_profile > docs/dnp3-profile.md`"
    );
}
