//! SCL files, and the profile's tables that come of them.

#![no_main]

use fuzz::fuzz_target;
use protocols::iec61850::{ObjectMap, proposal};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(map) = toml::from_str::<ObjectMap>(text) {
        let _ = map.problems();
    }
    for proposal in proposal::of_scl(text).unwrap_or_default() {
        assert_eq!(
            proposal.map.problems(),
            [""; 0],
            "what is proposed can be used"
        );
    }
});
