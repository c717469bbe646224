//! What is too large, too slow, unknown or impossible; headers; health.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    appliance::{Appliance, order},
    client::{Client, PATIENCE},
};

#[tokio::test]
async fn a_body_of_10_mb_gets_an_answer_and_changes_nothing() {
    let appliance = Appliance::enrolled("large").await;
    let body = vec![b' '; 10_000_000];
    let refused = appliance
        .client
        .post_raw("/api/v1/market/orders", body)
        .await;
    let words = refused.refused(413, "body_too_large");
    assert!(words.contains("65536"), "{words}");
    assert_eq!(appliance.published.borrow().orders.len(), 1);
    let mut fits = order().to_string();
    fits.extend(std::iter::repeat_n(' ', 65_536 - fits.len()));
    let accepted = appliance
        .client
        .post_raw("/api/v1/market/orders", fits.clone())
        .await;
    assert_eq!(accepted.status, 201);
    fits.push(' ');
    let refused = appliance
        .client
        .post_raw("/api/v1/market/orders", fits)
        .await;
    refused.refused(413, "body_too_large");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_with_security_headers() {
    let appliance = Appliance::enrolled("unknown").await;
    for path in [
        "/api/v1/nothing",
        "/api",
        "/nothing",
        "/../etc/passwd",
        "/assets/",
        "/%2e%2e",
    ] {
        appliance.client.get(path).await.refused(404, "not_found");
    }
    appliance
        .client
        .post("/nothing", &order())
        .await
        .refused(404, "not_found");
    let wrong = appliance.client.delete("/api/v1/market/orders").await;
    wrong.refused(405, "wrong_method");
    assert_eq!(wrong.header("allow"), "GET,HEAD,POST");
    assert_eq!(wrong.header("x-content-type-options"), "nosniff");
    assert_eq!(wrong.header("referrer-policy"), "no-referrer");
    assert_eq!(wrong.header("x-frame-options"), "DENY");
    assert_eq!(wrong.header("cache-control"), "no-store");
    let policy = wrong.header("content-security-policy");
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
}

#[tokio::test]
async fn the_root_is_the_ui_or_says_that_it_was_not_built() {
    let appliance = Appliance::new("root").await;
    let root = appliance.client.get("/").await;
    assert_eq!(root.status, 200);
    let text = String::from_utf8_lossy(&root.body);
    let page = root.header("content-type").starts_with("text/html");
    assert!(page || text.contains("without its web UI"), "{text}");
    if page {
        assert_eq!(root.header("cache-control"), "no-cache");
        let known = [("if-none-match", root.header("etag"))];
        let again = appliance.client.send("GET", "/", &known, "").await;
        assert_eq!(again.status, 304);
    }
}

#[tokio::test]
async fn health_says_whether_the_loop_lives_and_nothing_else() {
    let mut appliance = Appliance::enrolled("health").await;
    let healthy = appliance.client.get("/healthz").await;
    assert_eq!(
        (healthy.status.as_u16(), &healthy.body[..]),
        (200, &b"ok"[..])
    );
    appliance.loop_crashes().await;
    let ill = async {
        loop {
            let answer = appliance.client.get("/healthz").await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let ill = timeout(PATIENCE, ill).await.unwrap();
    ill.refused(503, "loop_stopped");
    let refused = appliance
        .client
        .post("/api/v1/market/orders", &order())
        .await;
    refused.refused(503, "loop_stopped");
    assert_eq!(refused.header("retry-after"), "2");
    let last = appliance.client.get("/api/v1/status").await;
    assert_eq!(last.status, 200, "the last state can still be read");
}

/// Garbage is not HTTP, so it gets no `Problem`; the server goes on.
#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let appliance = Appliance::enrolled("garbage").await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5_000));
    let lies = "POST /api/v1/login HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n";
    let both = "POST /api/v1/login HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\
                transfer-encoding: chunked\r\n\r\nzz\r\n";
    for bytes in [
        "\0\x01\x02\r\n\r\n",
        "\x16\x03\x01\x02\0\x01",
        &long,
        &many,
        lies,
        both,
    ] {
        let mut stream = TcpStream::connect(appliance.client.server).await.unwrap();
        // The server may close before it has read everything.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = vec![];
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{answer}");
    }
    assert_eq!(appliance.client.get("/api/v1/status").await.status, 200);
}

/// Whether the server keeps this connection open: it answers a request on it.
async fn served(stream: &mut TcpStream) -> bool {
    let ask = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = [0];
    let answered = async {
        stream.write_all(ask).await.ok()?;
        let read = stream.read(&mut first).await.ok()?;
        Some(read == 1)
    };
    timeout(PATIENCE, answered).await.unwrap() == Some(true)
}

async fn connected(client: &Client) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from = SocketAddr::new(client.from.parse().unwrap(), 0);
    socket.bind(from).unwrap();
    socket.connect(client.server).await.unwrap()
}

#[tokio::test]
async fn one_address_cannot_take_every_connection() {
    let appliance = Appliance::enrolled("address").await;
    let mut client = Client::new(appliance.client.server);
    let mut held = vec![];
    for _ in 0..128 {
        let mut stream = connected(&client).await;
        assert!(served(&mut stream).await, "{}", held.len());
        held.push(stream);
    }
    assert!(!served(&mut connected(&client).await).await);
    client.from = "127.0.0.3";
    assert!(served(&mut connected(&client).await).await, "another one");
    client.from = "127.0.0.1";
    drop(held);
    let free = async { while !served(&mut connected(&client).await).await {} };
    timeout(PATIENCE, free).await.unwrap();
}

#[tokio::test]
async fn stopping_finishes_what_was_asked() {
    let mut appliance = Appliance::enrolled("stop").await;
    // An idle connection does not keep the server.
    let _idle = TcpStream::connect(appliance.client.server).await.unwrap();
    appliance.client.get("/api/v1/status").await;
    appliance.stopped().await;
    assert!(TcpStream::connect(appliance.client.server).await.is_err());
}
