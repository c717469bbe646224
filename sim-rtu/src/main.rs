//! `busbar-sim`: a simulated substation to try Busbar on.

use std::{
    env,
    io::{self, IsTerminal as _},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use sim_rtu::{
    scenario::{self, Loaded},
    station::{self, Listen},
    substation::Substation,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit status for a wrong scenario (`EX_CONFIG` of sysexits.h), as of a wrong site.
const CONFIG: u8 = 78;

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
/// own Modbus TCP port.
///
/// Distributed energy resources speak SunSpec and obey nameplate, ramp and lease; remote terminal
/// units measure with the noise of their class. An HTTP control interface tells the truth that no
/// device tells, and makes things go wrong: ask it for `/`.
#[derive(Debug, Parser)]
#[command(name = "busbar-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
        /// Print one line of JSON on standard output when everything listens:
        /// {"ready":true,"control":"http://…"}.
        #[arg(long)]
        json: bool,
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

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Escape sequences are noise in a file.
        .with_ansi(colours && io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    match cli.command {
        Command::Check { scenario } => with_scenario(&scenario, |loaded| check(&loaded)),
        Command::Run {
            scenario,
            listen,
            control_port,
            json,
        } => match load(&scenario) {
            Ok(loaded) => {
                let listen = Listen {
                    ip: listen,
                    control_port,
                };
                done(run(&loaded, listen, json).await)
            }
            Err(code) => code,
        },
    }
}

fn with_scenario(path: &Path, then: impl FnOnce(Loaded) -> anyhow::Result<()>) -> ExitCode {
    load(path).map_or_else(|code| code, |loaded| done(then(loaded)))
}

#[expect(
    clippy::print_stderr,
    reason = "errors are for the person at the terminal"
)]
fn load(path: &Path) -> Result<Loaded, ExitCode> {
    scenario::load(path).map_err(|error| {
        eprintln!("{error}");
        ExitCode::from(CONFIG)
    })
}

#[expect(
    clippy::print_stderr,
    reason = "errors are for the person at the terminal"
)]
fn done(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("busbar-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the verdict is the command's output")]
fn check(loaded: &Loaded) -> anyhow::Result<()> {
    let scenario = &loaded.scenario;
    let substation = Substation::new(loaded, 0)?;
    println!(
        "{}: {} nodes, {} loads, {} DERs, {} RTUs, {} faults to come",
        scenario.name,
        loaded.grid.node_id.len(),
        loaded.grid.network().sym_load.len(),
        scenario.der.len(),
        scenario.rtu.len(),
        scenario.fault.len(),
    );
    if let Some(row) = substation.history().last() {
        println!(
            "at {} without control: {:.4} pu at node {} to {:.4} pu at node {}, branch {} at {:.0} %, \
             import {:.3} MW",
            row.sim_time,
            row.u_min,
            row.u_min_node,
            row.u_max,
            row.u_max_node,
            row.loading_branch,
            100.0 * row.loading_max,
            row.import_w / 1e6,
        );
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the line a script waits for")]
async fn run(loaded: &Loaded, listen: Listen, json: bool) -> anyhow::Result<()> {
    // Before anything listens: who sees a port open may send the signal.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = station::start(loaded, listen).await?;
    tracing::info!(scenario = loaded.scenario.name, "running");
    if json {
        let control = format!("http://{}", running.control);
        println!("{}", serde_json::json!({"ready": true, "control": control}));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    Ok(())
}
