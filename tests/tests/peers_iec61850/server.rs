//! libiec61850's client on our server, with the simulator's bay controller.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result, ensure};
use busbar_tests::stack::workspace;
use protocols::{
    iec61850::server::{MmsServer, Refusal, Shown},
    point::{DoublePoint, Quality, TimeQuality, Timestamp, Value},
};
use serde_json::{Value as Json, json};

use super::{ask, dissect, peer::Peer, tape::tapped};

const TIME_MS: i64 = 1_700_000_000_123;

type Orders = Arc<Mutex<Vec<(String, Value, bool)>>>;

async fn ours() -> Result<(MmsServer, Orders)> {
    let scl = fs::read_to_string(workspace().join("sim-rtu/scl/bay.icd"))?;
    let orders = Orders::default();
    let kept = Arc::clone(&orders);
    let obey = Arc::new(move |(object, value, check): (&str, Value, bool)| {
        if let Ok(mut kept) = kept.lock() {
            kept.push((object.to_owned(), value, check));
        }
        match value {
            Value::Analog(beyond) if beyond > 16.0 => Err(Refusal::StepLimit),
            Value::Binary(true) => Err(Refusal::PositionReached),
            _ => Ok(()),
        }
    });
    let server = MmsServer::bind("127.0.0.1:0".parse()?, &scl, "BAY9", obey).await?;
    Ok((server, orders))
}

fn show(
    server: &MmsServer,
    reference: &str,
    value: Value,
    quality: Quality,
    at: i64,
) -> Result<()> {
    let shown = Shown {
        value,
        quality,
        time: Timestamp {
            unix_us: at * 1000,
            quality: TimeQuality::Source,
        },
    };
    let reference = reference.parse().map_err(anyhow::Error::msg)?;
    ensure!(server.show(&reference, shown), "{reference}");
    Ok(())
}

fn found(lines: &[Json], key: &str) -> Result<Json> {
    let line = lines.iter().find(|line| !line[key].is_null());
    line.cloned()
        .with_context(|| format!("no {key} in {lines:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn libiec61850_reads_and_operates_our_bay() -> Result<()> {
    let (server, orders) = ours().await?;
    let (good, position) = (Quality::GOOD, "LD0/XCBR1.Pos.stVal[ST]");
    show(
        &server,
        position,
        Value::DoublePoint(DoublePoint::On),
        good,
        TIME_MS,
    )?;
    show(
        &server,
        "LD0/MMXU1.TotW.mag.f[MX]",
        Value::Analog(-1.5e6),
        Quality::QUESTIONABLE,
        TIME_MS,
    )?;
    show(
        &server,
        "LD0/MMTR1.DmdWh.actVal[ST]",
        Value::Counter(1 << 40),
        good,
        TIME_MS,
    )?;
    let (port, tape) = tapped(server.address()).await?;
    let mut peer = Peer::run(
        "iec61850_peers.py",
        &["client", "127.0.0.1", &port.to_string()],
    )?;
    ensure!(peer.next().await?["connected"] == true);
    let devices = found(&ask(&mut peer, json!(["browse"])).await?, "devices")?;
    ensure!(devices["devices"] == json!(["BAY9LD0"]), "{devices}");
    for (reference, constraint, expected) in [
        ("XCBR1.Pos", "ST", json!(["10", "0000000000000", TIME_MS])),
        (
            "MMXU1.TotW",
            "MX",
            json!([[-1.5e6], "1100000000000", TIME_MS]),
        ),
        (
            "MMTR1.DmdWh",
            "ST",
            json!([1_i64 << 40, "0000000000000", TIME_MS]),
        ),
    ] {
        let asked = json!(["read", format!("BAY9LD0/{reference}"), constraint]);
        let read = found(&ask(&mut peer, asked).await?, "read")?;
        ensure!(read["value"] == expected, "{read}");
    }
    for (object, kind, value, done, cause) in [
        ("CSWI1.Pos", "boolean", json!(false), true, 0),
        // ADD_CAUSE_POSITION_REACHED, ADD_CAUSE_STEP_LIMIT.
        ("CSWI1.Pos", "boolean", json!(true), false, 5),
        ("ATCC1.TapPos", "int", json!(-3), true, 0),
        ("ATCC1.TapPos", "int", json!(99), false, 7),
    ] {
        let asked = json!(["operate", format!("BAY9LD0/{object}"), kind, value]);
        let operated = found(&ask(&mut peer, asked).await?, "operate")?;
        ensure!(operated["done"] == done, "{operated}");
        ensure!(done || operated["cause"] == cause, "{operated}");
    }
    let orders = orders
        .lock()
        .map_err(|_| anyhow::anyhow!("poisoned"))?
        .clone();
    let done: Vec<_> = orders.iter().filter(|(_, _, check)| !check).collect();
    let expected = [
        ("LD0/CSWI1.Pos".to_owned(), Value::Binary(false), false),
        ("LD0/ATCC1.TapPos".to_owned(), Value::Analog(-3.0), false),
    ];
    ensure!(done == expected.iter().collect::<Vec<_>>(), "{done:?}");

    let enabled = ask(
        &mut peer,
        json!(["reports", "BAY9LD0/LLN0.BR.brcbStatus01", ""]),
    )
    .await?;
    let enabled = found(&enabled, "enabled")?;
    ensure!(enabled["error"] == 0, "{enabled}");
    for (closed, at) in [(false, 1000), (true, 2000), (false, 3000)] {
        let (value, bits) = match closed {
            true => (DoublePoint::On, "10"),
            false => (DoublePoint::Off, "01"),
        };
        show(
            &server,
            position,
            Value::DoublePoint(value),
            good,
            TIME_MS + at,
        )?;
        let expected = json!([bits, "0000000000000", TIME_MS + at]);
        peer.until(|line| line["members"]["0"] == expected).await?;
    }
    drop(peer);
    let messages = dissect(&tape, "iec61850-our-server")?;
    ensure!(messages > 20, "{messages}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_beside_garbage_half_open_connections_and_a_flood() -> Result<()> {
    use tokio::{io::AsyncWriteExt as _, net::TcpStream};
    let (server, _) = ours().await?;
    show(
        &server,
        "LD0/XCBR1.Pos.stVal[ST]",
        Value::DoublePoint(DoublePoint::On),
        Quality::GOOD,
        TIME_MS,
    )?;
    let mut held = Vec::new();
    // TPKT and COTP with lengths that lie, a connection request cut short, noise.
    for octets in [
        &b"\x03\x00\xff\xff\x11\xe0\x00\x00\x00\x01\x00"[..],
        b"\x03\x00\x00\x04\xff\xff\xff\xff\xff\xff",
        b"\x03\x00\x00\x16\x11\xe0\x00\x00\x00\x01\x00\xc0\x01\x0d\xc2\x02",
        b"\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5",
        b"GET / HTTP/1.0\r\n\r\n",
        b"",
    ] {
        let mut stream = TcpStream::connect(server.address()).await?;
        // It may have been closed already: that is what it is there for.
        let _ = stream.write_all(octets).await;
        held.push(stream);
    }
    let port = server.address().port().to_string();
    let mut peer = Peer::run("iec61850_peers.py", &["client", "127.0.0.1", &port])?;
    ensure!(peer.next().await?["connected"] == true);
    // Ten times as many as it takes.
    for _ in 0..160 {
        if let Ok(stream) = TcpStream::connect(server.address()).await {
            held.push(stream);
        }
    }
    let asked = json!(["read", "BAY9LD0/XCBR1.Pos", "ST"]);
    let read = found(&ask(&mut peer, asked).await?, "read")?;
    ensure!(read["value"][0] == "10", "{read}");
    drop(held);
    peer.stop().await
}
