//! tshark looks at what our outstation and our master say to opendnp3's: nothing malformed, no
//! wrong check, and the functions that were used.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use protocols::{
    dnp3::{
        Flags, Kind, Sample,
        outstation::{OutstationEvent, server::OutstationServer},
    },
    point::Value,
};
use serde_json::json;

use super::{
    master,
    outstation::{self, online},
    peer::Peer,
    tape::{Tape, captured, tapped, tshark},
};

/// Function codes of the fragments, after tshark has found nothing wrong with any frame.
fn dissect(tape: &Tape, name: &str, we_are_master: bool) -> Result<Vec<u8>> {
    let capture = captured(tape, name, 20_000)?;
    let tshark = |arguments: &[&str]| tshark(&capture, arguments);
    // An expert severity of 0x600000 or more is a warning or an error. Only what we sent:
    // opendnp3's outstation sends g50v4, which tshark does not know and takes for malformed.
    let wrong = format!(
        "dnp3.ctl.dir == {} && (_ws.malformed || dnp3.hdr.CRC.incorrect \
         || dnp3.data_chunk.CRC.incorrect || _ws.expert.severity >= 0x600000)",
        u8::from(we_are_master)
    );
    let found = tshark(&["-Y", &wrong, "-V"])?;
    ensure!(found.is_empty(), "{found}");
    let functions = tshark(&["-T", "fields", "-E", "occurrence=a", "-e", "dnp3.al.func"])?;
    let codes = functions.split([',', '\n']).filter(|code| !code.is_empty());
    let codes: Vec<u8> = codes.map(str::parse).collect::<Result<_, _>>()?;
    Ok(codes)
}

/// Whether the functions that were to be used were.
fn contains(codes: &[u8], wanted: &[u8]) -> Result<()> {
    for code in wanted {
        ensure!(codes.contains(code), "no function {code} in {codes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn tshark_finds_nothing_wrong_with_our_outstation() -> Result<()> {
    let mut ours = outstation::Ours::anywhere(&[outstation::config(10)]).await?;
    ours.measure_all()?;
    ensure!(ours.server.set_octets(3, b"busbar"));
    let (port, tape) = tapped(ours.server.address()).await?;
    let mut peer = Peer::start(&["master", &port.to_string(), "10", "1"])?;
    peer.task("ENABLE_UNSOLICITED").await?;
    outage(&ours.server);
    peer.until(|line| line["values"] == "Group2Var2" && line["unsolicited"] == true)
        .await?;
    for row in protocols::dnp3::app::VARIATIONS {
        if Kind::of_static(row.group).is_some() {
            peer.tell(json!(["scan", [row.group, row.variation]]))
                .await?;
            peer.task("USER_TASK").await?;
        }
    }
    let trip = json!([
        "operate", "select", 1, "crob", "PULSE_ON", "TRIP", 1, 250, 0
    ]);
    let answers = async {
        for _ in 0..2 {
            let request = loop {
                if let (_, OutstationEvent::Control(request)) = ours.event().await? {
                    break request;
                }
            };
            let success = protocols::dnp3::app::CommandStatus::Success;
            ours.server.control_done(0, request.id, &[success]);
        }
        Ok(())
    };
    let (status, ()) = tokio::try_join!(peer.operate(trip), answers)?;
    ensure!(status == "SUCCESS", "{status}");
    peer.stop().await?;
    // Confirm, read, write, select, operate, enable, disable; responses of both kinds.
    contains(
        &dissect(&tape, "our-outstation", false)?,
        &[0, 1, 2, 3, 4, 20, 21, 129, 130],
    )
}

/// A breaker opens, a voltage goes.
fn outage(server: &OutstationServer) {
    server.update(Kind::Binary, 1, online(Value::Binary(false)));
    let flags = Flags::COMM_LOST;
    let gone = Sample {
        flags,
        ..online(Value::Analog(0.0))
    };
    server.update(Kind::Analog, 1, gone);
}

#[tokio::test]
async fn tshark_finds_nothing_wrong_with_our_master() -> Result<()> {
    let (peer, port) = master::peer(&[]).await?;
    let target = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?));
    let (port, tape) = tapped(target).await?;
    let mut ours = master::Ours::start(port.into(), master::config());
    master::exercise(&mut ours).await?;
    peer.stop().await?;
    // As above; freeze, restart, assign class, record time, and without an answer.
    contains(
        &dissect(&tape, "our-master", true)?,
        &[0, 1, 2, 3, 4, 5, 6, 7, 13, 20, 21, 22, 24, 129, 130],
    )
}
