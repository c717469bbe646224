//! `busbar-sim`: a simulated substation to try Busbar on.

use std::{
    env,
    io::{self, IsTerminal as _},
    path::Path,
    process::ExitCode,
};

use clap::Parser as _;
use sim_rtu::{
    cli::{Cli, Command},
    scenario::{self, Loaded},
    station::{self, Listen},
    substation::Substation,
    wholesale::{self, Config},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Exit status for a wrong scenario (`EX_CONFIG` of sysexits.h), as of a wrong site.
const CONFIG: u8 = 78;

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
        // A record that cannot be written (the journal is gone) must not end who writes it: saying so on
        // standard error would panic.
        .log_internal_errors(false)
        .init();
    match cli.command {
        Command::Check { scenario } => with_scenario(&scenario, |loaded| check(&loaded)),
        Command::Wholesale { config } => match Config::read(&config) {
            Ok(config) => done(wholesale(&config).await),
            Err(error) => {
                done(Err(error.into()));
                ExitCode::from(CONFIG)
            }
        },
        Command::Run {
            scenario,
            listen,
            control_port,
            lines,
            json,
        } => match load(&scenario) {
            Ok(loaded) => {
                let listen = Listen {
                    ip: listen,
                    control_port,
                    lines,
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

async fn wholesale(config: &Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let serve = wholesale::serve(config, stop.clone());
    tokio::pin!(serve);
    tokio::select! {
        ended = &mut serve => return ended,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    serve.await
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
