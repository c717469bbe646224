//! Who is turned away, and that it is told.

use protocols::opcua::{Pki, client::Event, message::Down, pki::Trust, server::Audit};
use tokio::{io::AsyncReadExt as _, net::TcpStream, task::JoinSet, time::timeout};

use crate::ends::{BITS, LONG, Served, Site, award, link, serve, subject};

async fn refusal(area: &mut Served) -> (String, String) {
    match area
        .audited(|audit| matches!(audit, Audit::Refused { .. }))
        .await
    {
        Audit::Refused { who, reason, .. } => (who, reason),
        _ => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_told() {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let mut config = site.client_config(0, area.endpoint());
    config.password = "south-word".to_owned();
    let mut below = link(config);
    below.lost().await;
    let (who, reason) = refusal(&mut area).await;
    assert_eq!(
        (who.as_str(), reason.as_str()),
        ("north-user", "wrong user or password")
    );
    area.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_user_comes_to_nothing_with_its_own_certificate() {
    let site = Site::new(&["north", "south"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    area.server.publish("north", &Down::Award(award(900, 1)));
    // North's user and password, South's certificate.
    let mut config = site.client_config(0, area.endpoint());
    config.pki = site.tenants[1].0.clone();
    let mut below = link(config);
    let reason = below.lost().await;
    assert!(reason.contains("no tenant"), "{reason}");
    let (who, reason) = refusal(&mut area).await;
    assert_eq!(who, "north");
    assert!(reason.contains("another certificate"), "{reason}");
    below.stop.cancel();
    // Each with its own comes to its own.
    for (tenant, name) in [(0, "north"), (1, "south")] {
        let mut own = link(site.client_config(tenant, area.endpoint()));
        let event = own.connected().await;
        assert!(matches!(event, Event::Connected { tenant, .. } if tenant == name));
        own.stop.cancel();
    }
    area.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_trusts_is_refused_kept_and_can_be_trusted() {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let certificate = &site.tenants[0].1;
    site.server.reject(certificate).unwrap();
    let mut below = link(site.client_config(0, area.endpoint()));
    below.lost().await;
    let (who, reason) = refusal(&mut area).await;
    assert_eq!(who, certificate.fingerprint.to_string());
    assert!(reason.contains("not among the trusted"), "{reason}");
    let kept = site.server.list().unwrap();
    assert_eq!(kept, [(Trust::Rejected, certificate.clone())]);
    // From now on, without a restart.
    site.server.trust(certificate).unwrap();
    below.connected().await;
    area.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_the_client_does_not_trust_learns_no_password() {
    let site = Site::new(&["north"]);
    let impostor = Pki::new(site.folder.path().join("impostor"));
    impostor.create(&subject("area"), BITS).unwrap();
    impostor.trust(&site.tenants[0].1).unwrap();
    let mut config = site.server_config("127.0.0.1:0");
    config.pki = impostor;
    config.verify = std::sync::Arc::new(|_, _| panic!("a password has come"));
    let area = serve(config).await;
    let mut below = link(site.client_config(0, area.endpoint()));
    let reason = below.lost().await;
    assert!(reason.contains("not among the trusted"), "{reason}");
    area.stop.cancel();
}

/// A flood of connections that say nothing takes a bounded number of places, for a bounded time.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_are_bounded() {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let mut silent = Vec::new();
    for _ in 0..80 {
        silent.push(TcpStream::connect(area.server.address()).await.unwrap());
    }
    let mut ends = JoinSet::new();
    for (k, mut stream) in silent.into_iter().enumerate() {
        ends.spawn(async move {
            let ended = stream.read(&mut [0]).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
            k
        });
    }
    // 64 may be open: those that came after them are the first to be closed.
    let mut closed = Vec::new();
    for _ in 0..16 {
        let end = timeout(LONG, ends.join_next()).await.unwrap();
        closed.push(end.unwrap().unwrap());
    }
    closed.sort_unstable();
    assert_eq!(closed, Vec::from_iter(64..80));
    let (_, reason) = refusal(&mut area).await;
    assert!(reason.contains("too many"), "{reason}");
    // Without their doing anything their places come back.
    let mut below = link(site.client_config(0, area.endpoint()));
    below.connected().await;
    while let Some(end) = timeout(LONG, ends.join_next()).await.unwrap() {
        end.unwrap();
    }
    area.stop.cancel();
}
