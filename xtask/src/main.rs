//! `cargo xtask`: everything a developer or CI does with the project, one thin file per verb.

mod bench;
mod deb;
mod demo;
mod fuzz;
mod packages;
mod run;
mod test;
mod tools;
mod ui;
mod yocto;

use clap::{Parser, Subcommand};

/// Busbar's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure the project beside its peers.
    Bench(bench::Bench),
    /// Build the Debian packages, reproducibly, with their bill of materials and hashes.
    Deb(deb::Deb),
    /// Build everything, then run the simulated substation and the appliance until Ctrl-C.
    Demo(demo::Demo),
    /// Set up and run the project's tests: all of them, or the steps named.
    Test(test::Test),
    /// Write what the Yocto recipe needs of Cargo.lock and Cargo.toml.
    YoctoCrates(yocto::Crates),
    /// Build the web UI into web-ui/dist, where the appliance's build embeds it.
    Ui,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {
        Verb::Bench(bench) => bench.run(),
        Verb::Deb(deb) => deb.run(),
        Verb::Demo(demo) => demo.run(),
        Verb::Test(test) => test.run(),
        Verb::YoctoCrates(crates) => crates.run(),
        Verb::Ui => ui::build(),
    }
}
