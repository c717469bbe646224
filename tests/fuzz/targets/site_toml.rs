//! Site files, of a substation and of an area, and profiles.

#![no_main]

use std::path::Path;

use edge::site::{parse, parse_area, profile::Profile};
use fuzz::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // Where it says so, files are read: those of the examples, and none that is a device.
    if text.contains("/dev") || text.contains("/proc") || text.contains("..") {
        return;
    }
    let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../edge/examples"));
    let sites = [
        parse(&examples.join("cigre-mv/site.toml"), text).err(),
        parse_area(&examples.join("area/site.toml"), text).err(),
    ];
    for problems in sites.into_iter().flatten() {
        assert!(
            !problems.is_empty(),
            "what is refused is refused for a reason"
        );
    }
    let _ = Profile::parse(text);
});
