//! The command line of `busbar-sim`, for the program and for its manuals.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::{Parser, Subcommand};

const RUN_EXAMPLE: &str = "\
Example:
  busbar-sim run --scenario sim-rtu/scenarios/noon.toml
  curl http://127.0.0.1:15900/          what the control interface can do
  curl http://127.0.0.1:15900/truth     how the feeder really stands
The keys of a scenario are in docs/simulator.md.";

const CHECK_EXAMPLE: &str = "\
Example:
  busbar-sim check --scenario sim-rtu/scenarios/day.toml
The keys of a scenario are in docs/simulator.md.";

/// A simulated substation: a feeder whose physics is a real power flow, with every device on its
/// own TCP port (Modbus or DNP3), the batteries on a serial line besides.
///
/// Distributed energy resources speak SunSpec and obey nameplate, ramp and lease; remote terminal
/// units measure with the noise of their class. An HTTP control interface tells the truth that no
/// device tells, and makes things go wrong: ask it for `/`.
#[derive(Debug, Parser)]
#[command(name = "busbar-sim", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario until Ctrl-C or SIGTERM.
    #[command(after_help = RUN_EXAMPLE)]
    Run {
        /// Scenario file (TOML).
        #[arg(long, value_name = "FILE")]
        scenario: PathBuf,
        /// Address of all servers. Several simulators run side by side on 127.0.0.1, 127.0.0.2, …
        /// Nothing here asks for a password: keep it on loopback.
        #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
        listen: IpAddr,
        /// Port of the control interface; 0 takes any free one.
        #[arg(long, value_name = "PORT", default_value_t = 15_900)]
        control_port: u16,
        /// Folder of the serial lines' ports, made if missing.
        #[arg(long, value_name = "DIR", default_value = "lines")]
        lines: PathBuf,
        /// Print one line of JSON on standard output when everything listens:
        /// {"ready":true,"control":"http://…"}.
        #[arg(long)]
        json: bool,
    },
    /// Run a wholesale market that an area can be a tenant of, over OPC UA, until Ctrl-C or SIGTERM: a price by
    /// time of day, awards from each tenant's own curve at it.
    Wholesale {
        /// Configuration (TOML); its keys are in docs/simulator.md.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a scenario, name everything wrong with it (exit status 78), and say how the feeder
    /// stands at its start when nobody controls it.
    #[command(after_help = CHECK_EXAMPLE)]
    Check {
        /// Scenario file (TOML).
        #[arg(long, value_name = "FILE")]
        scenario: PathBuf,
    },
}
