//! tshark looks at what our server says to pysunspec2's client, and our client to pymodbus's server.

use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use protocols::modbus::{
    Way,
    server::{RegisterServer, ServerConfig},
};

use super::{
    PeerServer, full_image, polls_and_commands, reads_and_writes,
    tape::{Tape, captured, tapped, tshark},
};

/// Function codes, after tshark has found nothing wrong with any frame.
fn dissect(tape: &Tape, name: &str) -> Result<Vec<u8>> {
    let capture = captured(tape, name, 502)?;
    let wrong = "_ws.malformed || _ws.expert.severity >= 0x600000";
    let found = tshark(&capture, &["-Y", wrong, "-V"])?;
    ensure!(found.is_empty(), "{found}");
    let codes = tshark(&capture, &["-T", "fields", "-e", "modbus.func_code"])?;
    let codes = codes.split([',', '\n']).filter(|one| !one.is_empty());
    Ok(codes.map(str::parse).collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn tshark_finds_nothing_wrong_with_our_server() -> Result<()> {
    let image = Arc::new(Mutex::new(full_image()?));
    let address = "127.0.0.1:0".parse()?;
    let server = RegisterServer::bind(address, Arc::clone(&image), ServerConfig::default()).await?;
    let (port, tape) = tapped(server.address()).await?;
    let port = port.to_string();
    reads_and_writes(&image, ["scan", "write"], ["127.0.0.1", &port]).await?;
    let codes = dissect(&tape, "modbus-our-server")?;
    ensure!([3, 16].iter().all(|code| codes.contains(code)), "{codes:?}");
    Ok(())
}

#[tokio::test]
async fn tshark_finds_nothing_wrong_with_our_client() -> Result<()> {
    let server = PeerServer::start(&["station"]).await?;
    let (port, tape) = tapped(format!("127.0.0.1:{}", server.port).parse()?).await?;
    polls_and_commands(server, Way::Tcp(format!("127.0.0.1:{port}"))).await?;
    let codes = dissect(&tape, "modbus-our-client")?;
    ensure!(
        [1, 2, 3, 4].iter().all(|code| codes.contains(code)),
        "{codes:?}"
    );
    Ok(())
}
