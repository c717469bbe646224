//! A wire that is listened to, and what tshark makes of what went over it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What went over a wire: whether the master sent it, and the octets.
pub(crate) type Tape = Arc<Mutex<Vec<(bool, Vec<u8>)>>>;

/// A port that leads to `target`, and what goes through it.
pub(crate) async fn tapped(target: SocketAddr) -> Result<(u16, Tape)> {
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

/// A capture file of a tape, as if the outstation had listened on `port`.
pub(crate) fn captured(tape: &Tape, name: &str, port: u16) -> Result<PathBuf> {
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
        .args(["-q", "-D", "-T", &format!("50000,{port}")])
        .args([&text, &capture]))?;
    Ok(capture)
}

/// What tshark says of a capture.
pub(crate) fn tshark(capture: &Path, arguments: &[&str]) -> Result<String> {
    run(Command::new("tshark")
        .arg("-r")
        .arg(capture)
        .args(arguments))
}
