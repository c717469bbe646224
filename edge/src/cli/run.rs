//! `busbar run`: the appliance, until SIGTERM or Ctrl-C.

use std::{io::IsTerminal as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{check::load, say};
use crate::{run, site::Site, store::users::UserStore, web};

pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let site = match load(file) {
        Ok(site) => site,
        Err(exit) => return Ok(exit),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(site))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(site: Site) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let address = site.web_listen;
    let state_dir = site.state_dir.clone();
    // Before anything is polled: two appliances on one address would both command the field.
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr()?;
    let running = run::start(site, stop.clone())?;
    let users = UserStore::open(&state_dir)?;
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
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
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
