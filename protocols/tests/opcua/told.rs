//! Whom the library turns away, each on a socket: told with from where, who and why.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use opcua::{
    client::{Client, ClientBuilder, IdentityToken},
    crypto::SecurityPolicy,
    types::{EndpointDescription, UserTokenPolicy, UserTokenType},
};
use protocols::opcua::{client::ClientConfig, server::Audit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::ends::{LONG, Linked, Served, Site, link, serve};

/// From where, who and why.
type Told = (String, String, String);

async fn refusal(area: &mut Served) -> Told {
    match area
        .audited(|audit| matches!(audit, Audit::Refused { .. }))
        .await
    {
        Audit::Refused { from, who, reason } => (from, who, reason),
        _ => unreachable!(),
    }
}

/// What a secured connection's client sends in place of its message of this number; nothing more after none.
type Twist = Arc<dyn Fn(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + Sync>;

/// A net that twists what secured connections send.
async fn net(to: SocketAddr, twist: Twist) -> (SocketAddr, JoinHandle<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Where the first secured connection comes from, seen from the server.
    let from = tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(to).await.unwrap();
            let from = server.local_addr().unwrap();
            if through(client, server, &twist).await {
                return from;
            }
        }
    });
    (address, from)
}

/// Passes a connection to its end; whether it was secured.
async fn through(client: TcpStream, server: TcpStream, twist: &Twist) -> bool {
    let (mut from, mut to) = client.into_split();
    let (mut answers, mut sends) = server.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to).await });
    let mut secured = false;
    let mut number = 0;
    while let Some(frame) = read(&mut from).await {
        let of = SecurityPolicy::Basic256Sha256.to_uri().as_bytes();
        secured |= frame.windows(of.len()).any(|part| part == of);
        let twisted = if secured {
            twist(number, frame)
        } else {
            vec![frame]
        };
        number += 1;
        if twisted.is_empty() {
            break;
        }
        for frame in twisted {
            let _ = sends.write_all(&frame).await;
        }
    }
    drop(sends);
    let _ = back.await;
    secured
}

async fn read(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut frame = vec![0; 8];
    from.read_exact(&mut frame).await.ok()?;
    let length = u32::from_le_bytes(frame[4..8].try_into().unwrap());
    frame.resize(usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut frame[8..]).await.ok()?;
    Some(frame)
}

/// What is told of North's first secured connection through a net that twists it.
async fn twisted(twist: impl Fn(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> String {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let (address, from) = net(area.server.address(), Arc::new(twist)).await;
    let below = link(site.client_config(0, format!("opc.tcp://{address}")));
    let (seen_from, who, reason) = refusal(&mut area).await;
    let from = timeout(LONG, from).await.unwrap().unwrap();
    assert_eq!(seen_from, from.to_string(), "{reason}");
    assert_eq!(who, site.tenants[0].1.fingerprint.to_string(), "{reason}");
    end(&area, &below);
    reason
}

fn end(area: &Served, below: &Linked) {
    below.stop.cancel();
    area.stop.cancel();
}

/// Number 0 is the hello, 1 the opening of the channel, 2 asks for the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_twice_is_told() {
    let reason = twisted(|number, frame| match number {
        2 => vec![frame.clone(), frame],
        _ => vec![frame],
    });
    let reason = reason.await;
    assert!(reason.starts_with("BadSequenceNumberInvalid"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_changed_on_its_way_is_told() {
    let reason = twisted(|number, mut frame| {
        if number == 2 {
            let last = frame.len() - 1;
            frame[last] ^= 1;
        }
        vec![frame]
    });
    let reason = reason.await;
    assert!(reason.starts_with("BadSecurityChecksFailed"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_claims_to_have_no_end_is_told() {
    let reason = twisted(|number, mut frame| {
        if number == 2 {
            frame[4..8].fill(0xff);
        }
        vec![frame]
    });
    let reason = reason.await;
    let told = "a message of 4294967295 octets, where 8 to 65536 are taken";
    assert_eq!(reason, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_was_changed_on_its_way_is_told() {
    let reason = twisted(|number, mut frame| {
        if number == 1 {
            let last = frame.len() - 1;
            frame[last] ^= 1;
        }
        vec![frame]
    });
    let reason = reason.await;
    assert!(reason.starts_with("Bad"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_without_a_login_is_told() {
    let reason = twisted(|number, frame| match number {
        0..=2 => vec![frame],
        _ => Vec::new(),
    });
    assert_eq!(reason.await, "left without having logged in");
}

/// A hello for version 7, and one without security that asks for a session.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_as_far_as_a_certificate_is_told() {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let url = area.endpoint();
    let mut future = TcpStream::connect(area.server.address()).await.unwrap();
    future.write_all(&hello(7, &url)).await.unwrap();
    let (from, who, reason) = refusal(&mut area).await;
    assert_eq!(from, future.local_addr().unwrap().to_string());
    assert_eq!(who, "");
    assert!(
        reason.starts_with("BadProtocolVersionUnsupported"),
        "{reason}"
    );
    // The one who came is told too.
    assert_eq!(&read(&mut future).await.unwrap()[..3], b"ERR");

    let mut open = TcpStream::connect(area.server.address()).await.unwrap();
    open.write_all(&hello(0, &url)).await.unwrap();
    assert_eq!(&read(&mut open).await.unwrap()[..3], b"ACK");
    let mut opening = b"OPNF\0\0\0\0\0\0\0\0".to_vec();
    let policy = SecurityPolicy::None.to_uri();
    opening.extend(u32::try_from(policy.len()).unwrap().to_le_bytes());
    opening.extend(policy.as_bytes());
    opening.extend([0xff; 8]);
    opening.extend([1, 0, 0, 0, 1, 0, 0, 0]);
    // OpenSecureChannel with an empty header; version, to issue, no security, no nonce, a minute.
    opening.extend([1, 0, 0xbe, 0x01, 0, 0]);
    opening.extend([0; 16]);
    opening.extend([0xff; 4]);
    opening.extend([0; 7]);
    for number in [0, 0, 1, u32::MAX, 60_000] {
        opening.extend(number.to_le_bytes());
    }
    open.write_all(&with_length(opening)).await.unwrap();
    assert_eq!(&read(&mut open).await.unwrap()[..3], b"OPN");
    // CreateSession, of which the door looks at the type only.
    let mut asks = b"MSGF\0\0\0\0".to_vec();
    asks.extend([0; 16]);
    asks.extend([1, 0, 0xcd, 0x01, 0, 0, 0, 0]);
    open.write_all(&with_length(asks)).await.unwrap();
    let (from, _, reason) = refusal(&mut area).await;
    assert_eq!(from, open.local_addr().unwrap().to_string());
    assert_eq!(reason, "asked without security for what takes security");
    area.stop.cancel();
}

fn hello(version: u32, url: &str) -> Vec<u8> {
    let mut hello = b"HELF\0\0\0\0".to_vec();
    for number in [
        version,
        65_535,
        65_535,
        0,
        0,
        u32::try_from(url.len()).unwrap(),
    ] {
        hello.extend(number.to_le_bytes());
    }
    hello.extend(url.as_bytes());
    with_length(hello)
}

fn with_length(mut message: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    message[4..8].copy_from_slice(&length.to_le_bytes());
    message
}

/// The library's client with North's certificate, and what the server says of its endpoint.
async fn client(config: &ClientConfig) -> (Client, EndpointDescription) {
    let built = ClientBuilder::new()
        .application_name("north")
        .application_uri("urn:busbar:test:north")
        .product_uri("urn:busbar")
        .pki_dir(config.pki.folder.clone())
        .certificate_path("own/certificate.der")
        .private_key_path("own/key.pem")
        .trust_server_certs(false)
        .session_retry_limit(0)
        .session_timeout(60_000)
        .client();
    let client = built.unwrap();
    let asked = client.get_server_endpoints_from_url(config.endpoint.as_str());
    let mut endpoint = asked.await.unwrap().remove(0);
    endpoint.endpoint_url = config.endpoint.as_str().into();
    (client, endpoint)
}

/// Whether one logs in so; the session is left open.
async fn logs_in(
    config: &ClientConfig,
    identity: IdentityToken,
    policy: Option<UserTokenPolicy>,
) -> bool {
    let (mut client, mut endpoint) = client(config).await;
    if let Some(policy) = policy {
        endpoint.user_identity_tokens = Some(vec![policy]);
    }
    let opened = client.connect_to_endpoint_directly(endpoint, identity);
    let (session, events) = opened.unwrap();
    let mut events = events.spawn();
    let connected = tokio::select! {
        connected = timeout(LONG, session.wait_for_connection()) => connected.unwrap(),
        _ = &mut events => false,
    };
    events.abort();
    connected
}

fn named(config: &ClientConfig) -> IdentityToken {
    IdentityToken::UserName(config.user.clone(), config.password.clone().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_in_another_way_than_by_user_and_password_is_told() {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let config = site.client_config(0, area.endpoint());
    let policy = |id: &str, of| UserTokenPolicy {
        policy_id: id.into(),
        token_type: of,
        security_policy_uri: SecurityPolicy::Basic256Sha256.to_uri().into(),
        ..UserTokenPolicy::default()
    };
    let nameless = policy("anonymous", UserTokenType::Anonymous);
    assert!(!logs_in(&config, IdentityToken::Anonymous, Some(nameless)).await);
    let (_, who, reason) = refusal(&mut area).await;
    assert_eq!(who, site.tenants[0].1.fingerprint.to_string());
    assert_eq!(reason, "no login: it came without user and password");

    let other = policy("another policy", UserTokenType::UserName);
    assert!(!logs_in(&config, named(&config), Some(other)).await);
    let (_, _, reason) = refusal(&mut area).await;
    assert_eq!(reason, "no login: its user and password cannot be read");

    // A wrong password is told once, and now also from where.
    let mut wrong = config.clone();
    wrong.password = "south-word".to_owned();
    assert!(!logs_in(&wrong, named(&wrong), None).await);
    let (from, who, reason) = refusal(&mut area).await;
    assert!(from.starts_with("127.0.0.1:"), "{from:?}");
    assert_eq!(
        (who.as_str(), reason.as_str()),
        ("north-user", "wrong user or password")
    );
    assert!(logs_in(&config, named(&config), None).await);
    let next = area
        .audited(|audit| !matches!(audit, Audit::Missed { .. }))
        .await;
    assert!(matches!(next, Audit::Connected { .. }), "{next:?}");
    area.stop.cancel();
}

/// Twelve sessions whose connections are gone, for a minute: the thirteenth finds no place.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_too_many_is_told() {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let config = site.client_config(0, area.endpoint());
    for _ in 0..12 {
        assert!(logs_in(&config, named(&config), None).await);
        // Four connections of a certificate may be open.
        let gone = |audit: &Audit| matches!(audit, Audit::Disconnected { .. });
        timeout(Duration::from_secs(10), area.audited(gone))
            .await
            .unwrap();
    }
    assert!(!logs_in(&config, named(&config), None).await);
    let (from, who, reason) = refusal(&mut area).await;
    assert!(from.starts_with("127.0.0.1:"), "{from:?}");
    assert_eq!(who, site.tenants[0].1.fingerprint.to_string());
    assert_eq!(reason, "too many sessions");
    area.stop.cancel();
}
