//! What is on disk: minutes of the historian, rows and exports of the ledger, records, values of meters.

#![no_main]

use edge::{
    metering::parse,
    store::{Record, fuzz as door, ledger::verify_export},
};
use fuzz::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((what, bytes)) = input.split_first() else {
        return;
    };
    match what % 5 {
        // No value without an octet of its own.
        0 => assert!(door::minute(bytes) <= bytes.len()),
        1 => {
            door::row(bytes);
        }
        2 => {
            let _ = verify_export(bytes, &[]);
        }
        3 => {
            if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
                let written = serde_json::to_vec(&record).expect("what was read can be written");
                serde_json::from_slice::<Record>(&written).expect("what was written can be read");
            }
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                let _ = parse(text);
            }
        }
    }
});
