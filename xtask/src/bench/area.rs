//! `cargo xtask bench area`: the market of an area with more and more tenants, in one process.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::run::{cargo, run, target};

#[derive(Args)]
pub(super) struct Area {
    /// Numbers of tenants.
    #[arg(long, value_delimiter = ',', default_values_t = [25, 50, 100, 200, 400])]
    tenants: Vec<usize>,
}

impl Area {
    pub(super) fn run(self) -> Result<()> {
        let mut build = cargo();
        build.args(["build", "--release", "-p", "busbar-tests"]);
        run(build.args(["--features", "area", "--bin", "area_bench"]))?;
        let mut bench = Command::new(target().join("release/area_bench"));
        run(bench.args(self.tenants.iter().map(ToString::to_string)))
    }
}
