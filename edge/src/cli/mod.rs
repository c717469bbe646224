//! The command line. Exit status 0: done; 1: failed; 2: wrong usage; 78: the configuration is
//! wrong (`EX_CONFIG` of sysexits.h).

mod check;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Exit status for a wrong configuration.
const EX_CONFIG: u8 = 78;

/// Polls a feeder's devices, estimates its state, clears a local market within its limits, and
/// dispatches and settles the result.
#[derive(Parser)]
#[command(name = "busbar", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Check a site file: every problem at once, each with its place.
    Check {
        /// The site file.
        #[arg(long, value_name = "FILE")]
        site: PathBuf,
    },
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Check { site } => check::check(&site),
    };
    result.unwrap_or_else(|error| {
        say_error(&format!("busbar: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Prints what the program was asked for.
#[expect(clippy::print_stdout, reason = "the command line's own answer")]
fn say(text: &str) {
    println!("{text}");
}

/// Prints what went wrong.
#[expect(clippy::print_stderr, reason = "the command line's own answer")]
fn say_error(text: &str) {
    eprintln!("{text}");
}
