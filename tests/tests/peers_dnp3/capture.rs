//! tshark looks at what our outstation and our master say to opendnp3's: nothing malformed, no
//! wrong check, and the functions that were used.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use protocols::{
    dnp3::{
        Flags, Kind, Sample,
        outstation::{OutstationEvent, server::OutstationServer},
    },
    point::Value,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    master,
    outstation::{self, online},
    peer::Peer,
};

/// What went over a wire: whether the master sent it, and the octets.
type Tape = Arc<Mutex<Vec<(bool, Vec<u8>)>>>;

/// A port that leads to `target`, and what goes through it.
async fn tapped(target: SocketAddr) -> Result<(u16, Tape)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let tape = Tape::default();
    let recording = Arc::clone(&tape);
    tokio::spawn(async move {
        while let Ok((master, _)) = listener.accept().await {
            let Ok(outstation) = TcpStream::connect(target).await else {
                continue;
            };
            let (from_master, to_master) = master.into_split();
            let (from_outstation, to_outstation) = outstation.into_split();
            tokio::spawn(copy(
                from_master,
                to_outstation,
                true,
                Arc::clone(&recording),
            ));
            tokio::spawn(copy(
                from_outstation,
                to_master,
                false,
                Arc::clone(&recording),
            ));
        }
    });
    Ok((port, tape))
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, by_master: bool, tape: Tape) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Ok(mut tape) = tape.lock() {
            tape.push((by_master, buffer[..count].to_vec()));
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| {
        format!("{command:?} does not start; `apt-get install tshark` brings it")
    })?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Function codes of the fragments, after tshark has found nothing wrong with any frame.
fn dissect(tape: &Tape, name: &str, we_are_master: bool) -> Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (text, capture) = (
        folder.join(format!("{name}.txt")),
        folder.join(format!("{name}.pcap")),
    );
    let mut dump = String::new();
    for (by_master, octets) in &*tape.lock().map_err(|_| anyhow::anyhow!("poisoned"))? {
        // Inbound comes from the first port below.
        dump += if *by_master { "I\n000000" } else { "O\n000000" };
        for octet in octets {
            dump += &format!(" {octet:02x}");
        }
        dump += "\n";
    }
    std::fs::write(&text, dump)?;
    run(Command::new("text2pcap")
        .args(["-q", "-D", "-T", "50000,20000"])
        .args([&text, &capture]))?;
    let tshark = |arguments: &[&str]| {
        run(Command::new("tshark")
            .arg("-r")
            .arg(&capture)
            .args(arguments))
    };
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
