//! `busbar run`: the appliance, until SIGTERM or Ctrl-C.

use std::{
    io::IsTerminal as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{check::load_any, say};
use crate::{
    area,
    northbound::{above, dnp3, iec104},
    run::{self, Running},
    site::{AreaSite, Loaded, Site},
    store::users::UserStore,
    web,
};

/// How often an appliance without a site looks for one.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct RunArguments {
    /// The site file.
    #[arg(long, value_name = "FILE")]
    site: PathBuf,
    /// Where there is no site file: serve a page here that says so, and start as soon as there is
    /// one.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "state")]
    unconfigured: Option<SocketAddr>,
    /// The state directory that the site file will name: the enrolment code is made there.
    #[arg(long, value_name = "DIR", requires = "unconfigured")]
    state: Option<PathBuf>,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let RunArguments {
        site: file,
        unconfigured,
        state,
    } = arguments;
    let missing = matches!(file.try_exists(), Ok(false));
    // What is wrong with a site is said plainly, before any log.
    let site = match (unconfigured, state) {
        (Some(address), Some(state)) if missing => Err((*address, state.as_path())),
        _ => match load_any(file) {
            Ok(site) => Ok(site),
            Err(exit) => return Ok(exit),
        },
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A record that cannot be written (the journal is gone) must not end who writes it: saying so on
        // standard error would panic.
        .log_internal_errors(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let site = match site {
        Ok(site) => site,
        Err((address, state)) => {
            if !runtime.block_on(commission(file, address, state))? {
                return Ok(ExitCode::SUCCESS);
            }
            match load_any(file) {
                Ok(site) => site,
                Err(exit) => return Ok(exit),
            }
        }
    };
    match site {
        Loaded::Substation(site) => runtime.block_on(serve(*site))?,
        Loaded::Area(site) => runtime.block_on(serve_area(*site))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for the site file. Nothing is polled, and nothing can be asked but the page. Whether the
/// file has come; otherwise, it was asked to stop.
async fn commission(file: &Path, address: SocketAddr, state: &Path) -> anyhow::Result<bool> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr()?;
    let users = UserStore::open(state)?;
    say(&format!(
        "there is no site yet: put it at {}; until then, http://{address}/ says what to do",
        file.display()
    ));
    if let Some(code) = users.enrolment_code() {
        say(&format!(
            "the first user enrols once, when there is a site, with the code {code}"
        ));
    }
    let stop = CancellationToken::new();
    let server = tokio::spawn(web::serve_unconfigured(
        listener,
        file.to_owned(),
        stop.clone(),
    ));
    let mut terminate = signal(SignalKind::terminate())?;
    // Not started by systemd: nobody to notify, and no error.
    let _ = sd_notify::notify(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status("unconfigured: there is no site file"),
    ]);
    let come = loop {
        tokio::select! {
            _ = terminate.recv() => break false,
            _ = tokio::signal::ctrl_c() => break false,
            () = tokio::time::sleep(LOOK) => {}
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        if file.exists() {
            tracing::info!(site = %file.display(), "there is a site now");
            break true;
        }
    };
    stop.cancel();
    server.await.context("the web server failed")?;
    Ok(come)
}

async fn serve(site: Site) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let address = site.web_listen;
    let state_dir = site.state_dir.clone();
    // Before anything is polled: two appliances on one address would both command the field.
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    let dnp3 = match &site.dnp3 {
        Some(config) => Some(
            dnp3::Station::bind(&site, config)
                .await
                .with_context(|| format!("DNP3 on {}", config.listen))?,
        ),
        None => None,
    };
    let der = site
        .dnp3
        .as_ref()
        .and_then(|config| Some((config, config.der?)));
    let der = match der {
        Some((config, listen)) => Some(
            dnp3::Station::bind_der(&site, config, listen)
                .await
                .with_context(|| format!("DNP3, as one DER, on {listen}"))?,
        ),
        None => None,
    };
    let iec104 = match &site.iec104 {
        Some(config) => Some(
            iec104::Station::bind(&site, config)
                .await
                .with_context(|| format!("IEC 104 on {}", config.listen))?,
        ),
        None => None,
    };
    let wire = match &site.above {
        Some(above) => Some(
            above::Wire::start(&site.name, above, &stop)
                .with_context(|| format!("the market above, {}", above.endpoint))?,
        ),
        None => None,
    };
    let running = run::start(site, stop.clone())?;
    if let Some(wire) = wire {
        tokio::spawn(wire.serve(running.handle.clone(), stop.clone()));
    }
    for station in [dnp3, der].into_iter().flatten() {
        tokio::spawn(station.serve(running.handle.clone(), stop.clone()));
    }
    if let Some(station) = iec104 {
        tokio::spawn(station.serve(running.handle.clone(), stop.clone()));
    }
    finish(running, listener, &state_dir, stop).await
}

/// The market of an area: no field, the rest alike.
async fn serve_area(site: AreaSite) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let state_dir = site.state_dir.clone();
    let listener = TcpListener::bind(site.web_listen)
        .await
        .with_context(|| format!("listening on {}", site.web_listen))?;
    let wire = match &site.above {
        Some(above) => Some(
            above::Wire::start(&site.name, above, &stop)
                .with_context(|| format!("the market above, {}", above.endpoint))?,
        ),
        None => None,
    };
    let running = area::run::start(site, stop.clone()).await?;
    if let Some(wire) = wire {
        tokio::spawn(wire.serve(running.handle.clone(), stop.clone()));
    }
    finish(running, listener, &state_dir, stop).await
}

/// Serves the web until asked to stop, then stops all.
async fn finish(
    running: Running,
    listener: TcpListener,
    state_dir: &Path,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let users = UserStore::open(state_dir)?;
    say(&format!("web interface: http://{address}/"));
    if let Some(code) = users.enrolment_code() {
        say(&format!(
            "no user yet; enrol the first one once at http://{address}/#/enrol?code={code}"
        ));
    }
    let server = tokio::spawn(web::serve(
        listener,
        running.handle.clone(),
        users,
        stop.clone(),
    ));
    let mut terminate = signal(SignalKind::terminate())?;
    // Not started by systemd: nobody to notify, and no error.
    let _ = sd_notify::notify(&[
        sd_notify::NotifyState::Ready,
        sd_notify::NotifyState::Status("running"),
    ]);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("stopping: asked to terminate"),
        _ = tokio::signal::ctrl_c() => tracing::info!("stopping: interrupted"),
        () = stop.cancelled() => tracing::error!("stopping: the loop has ended"),
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    stop.cancel();
    running.stopped().await?;
    server.await.context("the web server failed")?
}
