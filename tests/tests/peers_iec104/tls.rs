//! TLS against lib60870: its master on our station, with the right certificate and with wrong ones.

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

use super::{
    peer::Peer,
    station::{Ours, ask, config},
};

fn master(port: u16, files: &TlsFiles) -> Result<Peer> {
    let port = port.to_string();
    let [certificate, key, authorities] =
        [&files.certificate, &files.key, &files.authorities].map(|file| file.display().to_string());
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
        let mut refused = master(port, &wrong)?;
        let started = refused.until(|line| line["state"] == "OPEN");
        let started = tokio::time::timeout(Duration::from_secs(3), started).await;
        ensure!(started.is_err(), "served: {started:?}");
    }
    let mut right = master(port, &theirs)?;
    right.until(|line| line["state"] == "OPEN").await?;
    let (ok, seen) = ask(&mut right, json!(["interrogate", 3, 20])).await?;
    ensure!(ok, "{seen:?}");
    right.stop().await
}
