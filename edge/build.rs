//! Has the crate rebuilt when the web UI it embeds was built anew. Makes nothing itself.

use std::path::Path;

fn main() {
    // Cargo takes a missing path for an ever-changing one and would rebuild each time.
    let dist = "../web-ui/dist";
    let watched = if Path::new(dist).exists() {
        dist
    } else {
        "../web-ui"
    };
    println!("cargo::rerun-if-changed={watched}");
}
