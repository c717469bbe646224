//! TLS against lib60870, with the right certificate and with wrong ones: its master, through OpenSSL, on our
//! station; our master on its station, with its own TLS.

#[path = "../../../protocols/tests/common/certificates.rs"]
mod certificates;

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use certificates::Fixture;
use protocols::{
    iec104::station::GroupConfig,
    tls::{Fingerprint, TlsFiles},
};
use serde_json::json;
use tokio::time::timeout;

use super::{
    master,
    peer::Peer,
    station::{Ours, ask, config},
};

fn texts(files: &TlsFiles) -> [String; 3] {
    [&files.certificate, &files.key, &files.authorities].map(|file| file.display().to_string())
}

fn their_master(port: u16, files: &TlsFiles) -> Result<Peer> {
    let port = port.to_string();
    let [certificate, key, authorities] = texts(files);
    let arguments = [
        "master",
        "127.0.0.1",
        &port,
        "plain",
        &certificate,
        &key,
        &authorities,
    ];
    Peer::run("iec104_peers.py", &arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn lib60870_is_served_under_tls_with_its_own_certificate_only() -> Result<()> {
    let f = Fixture::new().map_err(|error| anyhow!(error))?;
    let end = |name: &str| f.end(name).map_err(|error| anyhow!(error));
    let theirs = end("master")?;
    let station = protocols::iec104::station::StationConfig {
        groups: vec![GroupConfig {
            certificate: Some(Fingerprint::of_file(&theirs.certificate)?),
            ..GroupConfig::default()
        }],
        ..config()
    };
    let tls = Some(end("station")?.server()?);
    let ours = Ours::secured("127.0.0.1:0".parse()?, station, tls).await?;
    ours.measure_all()?;
    let port = ours.server.address().port();
    let stranger = f.stranger("stranger").map_err(|error| anyhow!(error))?;
    for wrong in [end("another")?, stranger] {
        let mut refused = their_master(port, &wrong)?;
        let started = refused.until(|line| line["state"] == "OPEN");
        let started = timeout(Duration::from_secs(3), started).await;
        ensure!(started.is_err(), "served: {started:?}");
    }
    let mut right = their_master(port, &theirs)?;
    right.until(|line| line["state"] == "OPEN").await?;
    let (ok, seen) = ask(&mut right, json!(["interrogate", 3, 20])).await?;
    ensure!(ok, "{seen:?}");
    right.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn our_master_reads_lib60870_under_tls_with_a_good_certificate_only() -> Result<()> {
    let f = Fixture::new().map_err(|error| anyhow!(error))?;
    let end = |name: &str| f.end(name).map_err(|error| anyhow!(error));
    let [certificate, key, authorities] = texts(&end("station")?);
    let (peer, port) = master::peer(&["0", &certificate, &key, &authorities]).await?;
    let stranger = f.stranger("stranger").map_err(|error| anyhow!(error))?;
    let start = |files: &TlsFiles| -> Result<master::Ours> {
        Ok(master::Ours::secured(
            port,
            Some(files.client("127.0.0.1")?),
        ))
    };
    let mut refused = start(&stranger)?;
    let interrogated = timeout(Duration::from_secs(3), refused.interrogated()).await;
    ensure!(!matches!(interrogated, Ok(Ok(()))), "served");
    start(&end("master")?)?.interrogated().await?;
    peer.stop().await
}
