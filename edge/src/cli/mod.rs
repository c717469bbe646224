//! The command line. Exit status 0: done; 1: failed; 2: wrong usage; 65: the input is wrong
//! (`EX_DATAERR` of sysexits.h); 78: the configuration is wrong (`EX_CONFIG`).

mod backup;
mod batch;
mod check;
mod clear;
mod data;
mod estimate;
mod events;
mod explain;
mod invoice;
mod ledger;
mod password;
mod pki;
mod points;
mod ports;
mod powerflow;
mod run;
mod scan;
mod status;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};

/// Exit status for wrong usage.
const EX_USAGE: u8 = 2;

/// Exit status for a wrong input file.
const EX_DATAERR: u8 = 65;

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
    /// Run the appliance. Logs go to standard error; RUST_LOG chooses how much.
    Run(run::RunArguments),
    /// Check a site file: every problem at once, each with its place. Exit status 78 if any.
    Check {
        /// The site file.
        #[arg(long, value_name = "FILE")]
        site: PathBuf,
    },
    /// Say how the running appliance is. Exit status 1 if it does not run, or not as asked.
    Status(status::StatusArguments),
    /// List the TCP ports that the appliance opens to its network, for a firewall. Those on the
    /// loopback interface are not.
    Ports {
        /// The site file.
        #[arg(long, value_name = "FILE")]
        site: PathBuf,
    },
    /// List the points that a control centre reads and commands by DNP3. They follow from the site
    /// file alone.
    Points {
        /// The site file.
        #[arg(long, value_name = "FILE")]
        site: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Solve a network's power flow, from and to power-grid-model's JSON. Exit status 1 without a
    /// solution, 65 if the input is wrong.
    Powerflow(powerflow::PowerFlowArguments),
    /// Estimate a network's state from its sensors, from and to power-grid-model's JSON. Exit status
    /// 1 without a solution, 65 if the input is wrong.
    Estimate(estimate::EstimateArguments),
    /// The record of everything the market did: check it, export it.
    Ledger {
        #[command(subcommand)]
        verb: ledger::LedgerVerb,
    },
    /// Compute again from the record what it says was computed, and compare bit for bit. Exit status
    /// 1 if anything differs. The moments choose intervals by their start.
    Replay(ledger::Range),
    /// Clear a market case: awards, prices and what they are made of, checked by an AC power flow.
    /// Exit status 1 if not optimal, 65 if the case is wrong.
    Clear(clear::ClearArguments),
    /// Why a unit was awarded what it was in an interval, from the record of a stopped appliance. Exit
    /// status 1 if that is not on record.
    Explain(explain::ExplainArguments),
    /// What each party owes or is owed, from the settlements on record.
    Invoice {
        #[command(flatten)]
        of: ledger::Range,
        /// Of this participant only.
        #[arg(long, value_name = "NAME")]
        participant: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look what is there, and propose tables for the site file.
    Scan {
        #[command(subcommand)]
        verb: scan::ScanVerb,
    },
    /// List what the historian of a stopped appliance has of switching: every change of a binary or
    /// double-point value in order, with its source's time, one JSON object a line, the last one last.
    Events {
        /// The state directory.
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        last: usize,
    },
    /// Keep what a stopped appliance cannot do without, as one file: site, ledger and its key, users.
    /// The history is not in it.
    Backup(backup::BackupArguments),
    /// Put a backup back, once all of it is checked. Exit status 65 if it is damaged; then, and where
    /// something is there already, nothing is changed.
    Restore(backup::RestoreArguments),
    /// The certificates of the link between markets: make one, say whose are trusted.
    Pki {
        #[command(subcommand)]
        verb: pki::PkiVerb,
    },
    /// Read a password from standard input and print its hash, for a tenant in the site file of an area.
    HashPassword,
    /// Print the OpenAPI document of the HTTP interface.
    Openapi,
}

/// Everything the command line takes, for manuals and completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Check { site } => check::check(&site),
        Verb::Status(arguments) => status::status(&arguments),
        Verb::Ports { site } => ports::ports(&site),
        Verb::Scan { verb } => scan::scan(verb),
        Verb::Points { site, json } => points::points(&site, json),
        Verb::Powerflow(arguments) => powerflow::powerflow(&arguments),
        Verb::Estimate(arguments) => estimate::estimate(&arguments),
        Verb::Ledger { verb } => ledger::ledger(verb),
        Verb::Replay(range) => ledger::replay(&range),
        Verb::Clear(arguments) => clear::clear(&arguments),
        Verb::Explain(arguments) => explain::explain(&arguments),
        Verb::Invoice {
            of,
            participant,
            json,
        } => invoice::invoice(&of, participant.as_deref(), json),
        Verb::Events { state, last } => events::events(&state, last),
        Verb::Backup(arguments) => backup::backup(&arguments),
        Verb::Restore(arguments) => backup::restore(&arguments),
        Verb::Pki { verb } => pki::pki(verb),
        Verb::HashPassword => password::password(),
        Verb::Openapi => openapi(),
    };
    result.unwrap_or_else(|error| {
        say_error(&format!("busbar: {error:#}"));
        ExitCode::FAILURE
    })
}

fn openapi() -> anyhow::Result<ExitCode> {
    say(&crate::web::openapi().to_pretty_json()?);
    Ok(ExitCode::SUCCESS)
}

/// Prints what the program was asked for. Nobody may be there to read it: that stops nothing.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints what went wrong.
fn say_error(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
