//! Prints the DNP3 device profile: `cargo run -p busbar-protocols --example dnp3_profile >
//! docs/dnp3-profile.md`.

use std::io::{self, Write};

use protocols::dnp3::outstation::profile;

fn main() -> io::Result<()> {
    io::stdout().write_all(profile::markdown().as_bytes())
}
