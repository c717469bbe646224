//! tshark looks at what our station and our master say to lib60870's: nothing malformed, and the
//! types that were used.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use protocols::{
    iec104::{Qds, station::ControlAnswer},
    point::Value,
};
use serde_json::json;

use super::{
    master,
    station::{self, TIME_MS, ask, points},
    tape::{Tape, captured, tapped, tshark},
};

/// Types of the ASDUs, after tshark has found nothing wrong with any frame.
fn dissect(tape: &Tape, name: &str) -> Result<Vec<u8>> {
    let capture = captured(tape, name, 2404)?;
    // An expert severity of 0x600000 or more is a warning or an error.
    let wrong = "_ws.malformed || _ws.expert.severity >= 0x600000";
    let found = tshark(&capture, &["-Y", wrong, "-V"])?;
    ensure!(found.is_empty(), "{found}");
    let fields = [
        "-T",
        "fields",
        "-E",
        "occurrence=a",
        "-e",
        "iec60870_asdu.typeid",
    ];
    let types = tshark(&capture, &fields)?;
    let types = types.split([',', '\n']).filter(|one| !one.is_empty());
    Ok(types.map(str::parse).collect::<Result<_, _>>()?)
}

fn contains(types: &[u8], wanted: &[u8]) -> Result<()> {
    for one in wanted {
        ensure!(types.contains(one), "no type {one} in {types:?}");
    }
    Ok(())
}

#[tokio::test]
async fn tshark_finds_nothing_wrong_with_our_station() -> Result<()> {
    let mut ours = station::Ours::anywhere(station::config()).await?;
    let (port, tape) = tapped(ours.server.address()).await?;
    let mut peer = station::master(port, "plain")?;
    peer.until(|line| line["state"] == "OPEN").await?;
    ours.measure_all()?;
    for (ioa, _, value, _) in points() {
        ours.measure(ioa, value, Qds::IV, TIME_MS)?;
    }
    ours.measure(1, Value::Binary(false), Qds::NT, TIME_MS)?;
    for asked in [
        json!(["interrogate", 3, 20]),
        json!(["counters", 3, 5, 0]),
        json!(["read", 3, 7]),
        json!(["clock", 3]),
        json!(["test", 3, true]),
        json!(["interrogate", 4, 20]),
    ] {
        ask(&mut peer, asked).await?;
    }
    let command = json!(["command", 3, 106, "C_SE_NC_1", 0.5, false]);
    tokio::try_join!(ask(&mut peer, command), ours.control(ControlAnswer::Done))?;
    peer.stop().await?;
    contains(
        &dissect(&tape, "iec104-our-station")?,
        &[
            1, 3, 5, 7, 9, 11, 13, 15, 30, 31, 32, 33, 34, 35, 36, 37, 50, 70, 100, 101, 102, 103,
            107,
        ],
    )
}

#[tokio::test]
async fn tshark_finds_nothing_wrong_with_our_master() -> Result<()> {
    let (peer, port) = master::peer(&[]).await?;
    let target = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?));
    let (port, tape) = tapped(target).await?;
    let mut ours = master::Ours::start(port.into());
    ours.interrogated().await?;
    master::exercise(&mut ours).await?;
    peer.stop().await?;
    contains(
        &dissect(&tape, "iec104-our-master")?,
        &[46, 100, 101, 102, 103, 107],
    )
}
