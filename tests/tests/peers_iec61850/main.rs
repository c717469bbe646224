//! IEC 61850 against libiec61850 (`tests/peers/iec61850_peers.py`): our client on its server, its client on
//! ours, tshark looking on.

mod client;
mod ied;
#[path = "../peers_dnp3/peer.rs"]
#[expect(dead_code, reason = "some of it is opendnp3's")]
mod peer;
mod server;
#[path = "../peers_dnp3/tape.rs"]
mod tape;
mod tls;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value as Json;

use peer::Peer;
use tape::{Tape, captured, tshark};

/// Tells the peer to do something; what happened until it had done it.
async fn ask(peer: &mut Peer, what: Json) -> Result<Vec<Json>> {
    let name = what[0].clone();
    peer.tell(what).await?;
    peer.until(|line| line["done"] == name).await
}

/// libiec61850's server, and its port.
async fn libiec61850(arguments: &[&str]) -> Result<(Peer, u16)> {
    let mut peer = Peer::run("iec61850_peers.py", &[&["server"], arguments].concat())?;
    let started = peer.next().await?;
    let port = started["port"].as_u64().context("no port")?;
    Ok((peer, u16::try_from(port)?))
}

/// Nothing that went over a wire is malformed or worse than a note; how many MMS messages tshark knew.
fn dissect(tape: &Tape, name: &str) -> Result<usize> {
    let capture = captured(tape, name, 102)?;
    let wrong = "_ws.malformed || _ws.expert.severity >= 0x600000";
    let found = tshark(&capture, &["-Y", wrong, "-V"])?;
    ensure!(found.is_empty(), "{found}");
    Ok(tshark(&capture, &["-Y", "mms"])?.lines().count())
}
