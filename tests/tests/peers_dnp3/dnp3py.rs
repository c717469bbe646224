//! dnp3py, a second stack that shares nothing with opendnp3: its master polls our outstation, our
//! master its outstation.

use anyhow::{Context, Result, ensure};
use protocols::{
    dnp3::{Iin, Kind},
    point::Value,
};
use serde_json::json;

use super::{master, outstation, peer::Peer};

#[tokio::test]
async fn dnp3py_polls_our_outstation() -> Result<()> {
    let ours = outstation::Ours::anywhere(&[outstation::config(10)]).await?;
    ours.measure_all()?;
    let mut peer = Peer::run("dnp3py_peers.py", &["master", &ours.port(), "10", "1"])?;
    let told = peer.next().await?;
    for (name, expected) in [
        (
            "binary",
            json!([[0, false], [1, true], [2, false], [3, true]]),
        ),
        (
            "double",
            json!([[0, "ON"], [1, "ON"], [2, "ON"], [3, "ON"]]),
        ),
        (
            "binary_output",
            json!([[0, false], [1, false], [2, true], [3, false]]),
        ),
        (
            "counter",
            json!([
                [0, 4_000_000_000_u32],
                [1, 4_000_000_001_u32],
                [2, 4_000_000_002_u32],
                [3, 4_000_000_003_u32]
            ]),
        ),
        (
            "analog",
            json!([[0, -1234.5], [1, -1233.5], [2, -1232.5], [3, -1231.5]]),
        ),
        (
            "analog_output",
            json!([[0, 0.0], [1, 0.25], [2, 0.5], [3, 0.75]]),
        ),
    ] {
        ensure!(told[name] == expected, "{name}: {told}");
    }
    peer.stop().await
}

#[tokio::test]
async fn our_master_polls_dnp3py() -> Result<()> {
    let mut peer = Peer::run("dnp3py_peers.py", &["outstation", "1", "10"])?;
    let port = peer.next().await?["port"].as_u64().context("no port")?;
    let mut ours = master::Ours::start(port, master::config());
    let at = |kind, index| {
        move |m: &protocols::dnp3::master::Measurement| {
            m.kind == kind && m.index == index && !m.event
        }
    };
    for index in 0..3_u16 {
        let number = f64::from(index);
        for (kind, expected) in [
            (Kind::Binary, Value::Binary(index == 1)),
            (Kind::Analog, Value::Analog(-1000.0 * number)),
            (
                Kind::Counter,
                Value::Counter(4_000_000_000 + u64::from(index)),
            ),
        ] {
            let found = ours.measured(at(kind, index)).await?;
            ensure!(found.sample.value == expected, "{found:?}");
        }
    }
    ours.indicated(Iin::DEVICE_RESTART, false).await?;
    // It wants its clock set, and gets it.
    ours.indicated(Iin::NEED_TIME, false).await?;
    peer.stop().await
}
