//! The register server against clients that are none.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{ANY_PORT, PATIENCE, serve};
use protocols::modbus::{
    server::{Fault, RegisterServer, ServerConfig},
    sunspec::Image,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

fn image() -> Arc<Mutex<Image>> {
    Arc::new(Mutex::new(Image::new(40_000, &[1]).unwrap()))
}

/// Reads the SunSpec mark: a request of another transaction each time.
async fn ask(stream: &mut TcpStream, transaction: u8) -> std::io::Result<Vec<u8>> {
    // transaction | protocol | length | unit | read holding | 40000 | 2 registers
    let request = [0, transaction, 0, 0, 0, 6, 1, 0x03, 0x9C, 0x40, 0, 2];
    stream.write_all(&request).await?;
    let mut answer = vec![0; 13];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    Ok(answer)
}

async fn assert_serves(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for transaction in [7, 8] {
        let answer = ask(&mut stream, transaction).await.unwrap();
        let expected = [
            0,
            transaction,
            0,
            0,
            0,
            7,
            1,
            0x03,
            4,
            b'S',
            b'u',
            b'n',
            b'S',
        ];
        assert_eq!(answer, expected);
    }
}

/// Whether the server closes the connection, whatever it sends before.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .is_ok()
}

#[tokio::test]
async fn garbage_closes_its_own_connection_only() {
    let image = image();
    let server = serve(&image).await;
    let rows: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: rtu\r\n\r\n",
        &[0xFF; 600],
        // No length, no function, a length beyond 254, another protocol.
        &[0, 1, 0, 0, 0, 0, 1, 0x03],
        &[0, 1, 0, 0, 0, 1, 1, 0x03],
        &[0, 1, 0, 0, 0xFF, 0xFF, 1, 0x03],
        &[0, 1, 0, 9, 0, 6, 1, 0x03, 0, 0, 0, 1],
    ];
    for bytes in rows {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        // The server may hang up before it has everything.
        let _ = stream.write_all(bytes).await;
        assert!(is_closed(&mut stream).await, "{bytes:?}");
        assert_serves(server.address()).await;
    }
}

#[tokio::test]
async fn half_a_request_keeps_its_place_for_the_idle_time_only() {
    let config = ServerConfig {
        max_connections: 2,
        idle_timeout: Duration::from_millis(300),
        ..ServerConfig::default()
    };
    let address = ANY_PORT.parse().unwrap();
    let server = RegisterServer::bind(address, image(), config)
        .await
        .unwrap();
    let mut half = TcpStream::connect(server.address()).await.unwrap();
    half.write_all(&[0, 1, 0, 0, 0, 6, 1, 0x03]).await.unwrap();
    let mut mute = TcpStream::connect(server.address()).await.unwrap();
    // Both places may be taken now: a third is closed, or served when one of them was not yet.
    let mut third = TcpStream::connect(server.address()).await.unwrap();
    let _ = ask(&mut third, 1).await;
    assert!(is_closed(&mut half).await);
    assert!(is_closed(&mut mute).await);
    assert_serves(server.address()).await;
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let config = ServerConfig {
        max_connections: 2,
        ..ServerConfig::default()
    };
    let address = ANY_PORT.parse().unwrap();
    let server = RegisterServer::bind(address, image(), config)
        .await
        .unwrap();
    let mut first = TcpStream::connect(server.address()).await.unwrap();
    let mut second = TcpStream::connect(server.address()).await.unwrap();
    // An answer proves that the place is taken.
    ask(&mut first, 1).await.unwrap();
    ask(&mut second, 1).await.unwrap();
    let mut third = TcpStream::connect(server.address()).await.unwrap();
    assert!(is_closed(&mut third).await);
    ask(&mut first, 2).await.unwrap();
    drop(second);
    // Its place is free as soon as the server has noticed.
    timeout(PATIENCE, async {
        loop {
            let mut next = TcpStream::connect(server.address()).await.unwrap();
            if ask(&mut next, 3).await.is_ok() {
                return;
            }
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn faults_come_and_go() {
    let image = image();
    let server = serve(&image).await;
    let mut open = TcpStream::connect(server.address()).await.unwrap();
    ask(&mut open, 1).await.unwrap();
    server.set_fault(Fault::Gone);
    assert!(is_closed(&mut open).await);
    let mut refused = TcpStream::connect(server.address()).await.unwrap();
    assert!(is_closed(&mut refused).await);

    server.set_fault(Fault::Garbage);
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    assert_eq!(ask(&mut stream, 1).await.unwrap(), [0xA5; 13]);

    server.set_fault(Fault::Slow(Duration::from_millis(50)));
    assert_serves(server.address()).await;
    server.set_fault(Fault::None);
    assert_serves(server.address()).await;

    // An answer held back for an hour comes when the fault ends.
    server.set_fault(Fault::Slow(Duration::from_secs(3600)));
    let mut held = TcpStream::connect(server.address()).await.unwrap();
    let (answer, ()) = tokio::join!(ask(&mut held, 9), async {
        // The request must be waiting by then; were it not, it would be answered at once.
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.set_fault(Fault::None);
    });
    answer.unwrap();

    let address = server.address();
    drop(server);
    timeout(PATIENCE, async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
