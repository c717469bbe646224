//! TLS against opendnp3: its master on our outstation, with the right certificate and with wrong ones.

#[path = "../../../protocols/tests/common/certificates.rs"]
mod certificates;

use anyhow::{Result, anyhow, ensure};
use certificates::Fixture;
use protocols::{
    dnp3::{
        link::LinkConfig,
        outstation::{
            OutstationConfig,
            server::{OutstationServer, ServerConfig},
        },
    },
    tls::{Fingerprint, TlsFiles},
};

use super::{outstation::points, peer::Peer};

fn master(port: u16, files: &TlsFiles) -> Result<Peer> {
    let (port, host) = (port.to_string(), "127.0.0.1");
    let [certificate, key, authorities] =
        [&files.certificate, &files.key, &files.authorities].map(|file| file.display().to_string());
    Peer::start(&[
        "master",
        &port,
        "1",
        "10",
        host,
        &certificate,
        &key,
        &authorities,
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn opendnp3_is_served_under_tls_with_its_own_certificate_only() -> Result<()> {
    let f = Fixture::new().map_err(|error| anyhow!(error))?;
    let end = |name: &str| f.end(name).map_err(|error| anyhow!(error));
    let (ours, theirs) = (end("outstation")?, end("master")?);
    let config = OutstationConfig {
        certificate: Some(Fingerprint::of_file(&theirs.certificate)?),
        ..OutstationConfig::new(LinkConfig::new(10, 1))
    };
    let bounds = ServerConfig {
        tls: Some(ours.server()?),
        ..ServerConfig::default()
    };
    let any = "127.0.0.1:0".parse()?;
    let (server, mut events) = OutstationServer::bind(any, &[config], &points(), bounds).await?;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let port = server.address().port();

    let stranger = f.stranger("stranger").map_err(|error| anyhow!(error))?;
    for wrong in [end("another")?, stranger] {
        let mut refused = master(port, &wrong)?;
        // It may have seen the connection open before it was refused; nothing was answered.
        let refusal = refused.until(|line| line["open"] == false || line["iin"].is_array());
        let seen = tokio::time::timeout(std::time::Duration::from_secs(3), refusal).await;
        let answered = |line: &serde_json::Value| line["iin"].is_array();
        ensure!(
            !matches!(seen, Ok(Ok(ref seen)) if seen.iter().any(answered)),
            "served"
        );
        drop(refused);
    }
    let mut right = master(port, &theirs)?;
    right.task("STARTUP_INTEGRITY_POLL").await?;
    right.stop().await
}
