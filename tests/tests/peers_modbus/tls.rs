//! Modbus under TLS against pymodbus and OpenSSL, both ways, with the right certificate and with a wrong one.

#[path = "../../../protocols/tests/common/certificates.rs"]
mod certificates;

use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use certificates::Fixture;
use protocols::{
    modbus::{
        Way, device,
        map::RegisterMap,
        server::{ExceptionCode, RegisterServer, Registers, ServerConfig, Table},
    },
    tls::{TlsError, TlsFiles},
};
use serde_json::json;

use super::{Ours, PeerServer, STATION, ask, link, polls_and_commands};

struct Counting;

impl Registers for Counting {
    fn read(&self, _: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        Ok((address..).take(count.into()).collect())
    }

    fn write(&self, _: Table, _: u16, _: &[u16]) -> Result<(), ExceptionCode> {
        Err(ExceptionCode::IllegalFunction)
    }
}

fn texts(files: &TlsFiles) -> [String; 3] {
    [&files.certificate, &files.key, &files.authorities].map(|file| file.display().to_string())
}

#[tokio::test]
async fn pymodbus_reads_our_server_under_tls_with_a_good_certificate_only() -> Result<()> {
    let f = Fixture::new().map_err(|error| anyhow!(error))?;
    let end = |name: &str| f.end(name).map_err(|error| anyhow!(error));
    let config = ServerConfig {
        tls: Some(end("server")?.server()?),
        ..ServerConfig::default()
    };
    let server = RegisterServer::bind("127.0.0.1:0".parse()?, Arc::new(Counting), config).await?;
    let port = server.address().port().to_string();
    let stranger = f.stranger("stranger").map_err(|error| anyhow!(error))?;
    for (files, served) in [(end("client")?, true), (stranger, false)] {
        let [certificate, key, authorities] = texts(&files);
        let read = ask(&["read-tls", &port, &certificate, &key, &authorities]).await?;
        let answered = read["registers"] == json!([0, 1, 2, 3]);
        ensure!(
            answered == served && served == read["error"].is_null(),
            "{read}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn we_poll_and_command_pymodbus_under_tls_if_both_certificates_are_good() -> Result<()> {
    let f = Fixture::new().map_err(|error| anyhow!(error))?;
    let end = |name: &str| f.end(name).map_err(|error| anyhow!(error));
    let [certificate, key, authorities] = texts(&end("server")?);
    let files = ["station-tls", &certificate, &key, &authorities];
    let peer = PeerServer::start(&files).await?;
    let way =
        |files: &TlsFiles| Ok::<_, TlsError>(Way::Tls(peer.address(), files.client("127.0.0.1")?));
    let stranger = f.stranger("stranger").map_err(|error| anyhow!(error))?;
    let config = device::ModbusConfig {
        link: link(way(&stranger)?),
        map: toml::from_str::<RegisterMap>(STATION)?,
    };
    let mut refused = Ours::start(|ports| device::run(config, ports));
    let read = refused.poll().await;
    ensure!(read.is_err_and(|error| error.to_string().starts_with("offline")));
    let way = way(&end("client")?)?;
    polls_and_commands(peer, way).await
}
