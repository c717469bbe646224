//! What answers where a link leads, before it has shown any certificate, cannot make a client keep much.

use std::{fs, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::ends::{LONG, Site, link};

/// Most that this process has kept in memory so far, bytes.
fn most_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}

/// Why a client loses a link to what `serve` does with its first connection; it may take 100 MB for it.
async fn lost<F>(serve: impl FnOnce(TcpStream) -> F) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let site = Site::new(&["north"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("opc.tcp://{}", listener.local_addr().unwrap());
    let before = most_memory();
    let mut below = link(site.client_config(0, url));
    let (stream, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
    let served = tokio::spawn(serve(stream));
    let reason = below.lost().await;
    timeout(LONG, served).await.unwrap().unwrap();
    below.stop.cancel();
    let taken = most_memory() - before;
    assert!(taken < 100_000_000, "{taken} bytes for {reason}");
    reason
}

async fn read(from: &mut TcpStream) -> Vec<u8> {
    let mut frame = vec![0; 8];
    from.read_exact(&mut frame).await.unwrap();
    let length = u32::from_le_bytes(frame[4..8].try_into().unwrap());
    frame.resize(usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut frame[8..]).await.unwrap();
    frame
}

fn with_length(mut message: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    message[4..8].copy_from_slice(&length.to_le_bytes());
    message
}

fn acknowledge() -> Vec<u8> {
    let mut acknowledge = b"ACKF\0\0\0\0".to_vec();
    for number in [0_u32, 65_535, 65_535, 0, 0] {
        acknowledge.extend(number.to_le_bytes());
    }
    with_length(acknowledge)
}

/// A message that claims 4 GB, and comes until the client has had enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_end_is_not_kept() {
    let reason = lost(|mut stream| async move {
        read(&mut stream).await;
        stream.write_all(&acknowledge()).await.unwrap();
        read(&mut stream).await;
        stream.write_all(b"OPNF\xff\xff\xff\xff").await.unwrap();
        let mut given = 8_u64;
        let part = vec![0; 1 << 20];
        while given < 1 << 30 && stream.write_all(&part).await.is_ok() {
            given += part.len() as u64;
        }
        assert!(given < 1 << 29, "{given} bytes were taken");
    });
    let reason = reason.await;
    let told = "the server sends a message of 4294967295 octets";
    assert!(reason.contains(told), "{reason}");
}

/// An opened channel, in whose answer's header an `Argument` claims a hundred million dimensions, 400 MB.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nothing_here_takes_is_not_filled_up() {
    let reason = lost(|mut stream| async move {
        read(&mut stream).await;
        stream.write_all(&acknowledge()).await.unwrap();
        let opening = read(&mut stream).await;
        let policy = u32::from_le_bytes(opening[12..16].try_into().unwrap());
        let headers = 12 + 4 + usize::try_from(policy).unwrap() + 8;
        // Its headers come back as they came, with the channel 1; then OpenSecureChannelResponse, its header.
        let mut answer = opening[..headers + 8].to_vec();
        answer[8] = 1;
        answer.extend([1, 0, 0xc1, 0x01]);
        answer.extend([0; 17]);
        answer.extend([0xff; 4]);
        // The body of an Argument: no name, no type, its rank, no dimensions, no description.
        answer.extend([1, 0, 0x2A, 0x01, 1, 30, 0, 0, 0]);
        answer.extend([0; 6]);
        answer.extend(100_000_000_i32.to_le_bytes());
        answer.extend([0; 60]);
        stream.write_all(&with_length(answer)).await.unwrap();
        // Until the client goes.
        while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {}
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    let reason = reason.await;
    assert!(reason.contains("BadEncodingLimitsExceeded"), "{reason}");
}
