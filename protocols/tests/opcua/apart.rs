//! When one of the ends goes, or the net between them.

use protocols::opcua::{
    client::{Event, SubmitError},
    message::Down,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::ends::{Site, award, link, offer, receipt, serve};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_late_goes_and_comes_back_is_found_each_time() {
    let site = Site::new(&["north"]);
    // A port that is free, for a server that is not there yet.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut below = link(site.client_config(0, format!("opc.tcp://{address}")));
    below.lost().await;
    assert!(matches!(
        below.client.submit(&offer()).await,
        Err(SubmitError::Link(_))
    ));

    let area = serve(site.server_config(&address.to_string())).await;
    area.server.publish("north", &Down::Award(award(900, 1)));
    below
        .until(|event| *event == Event::Down(Down::Award(award(900, 1))))
        .await;

    area.stop.cancel();
    below.lost().await;
    // The new one has the old award from its records, and a new one that was made meanwhile.
    let mut area = loop {
        if TcpListener::bind(address).await.is_ok() {
            break serve(site.server_config(&address.to_string())).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    for interval in [900, 1_800] {
        area.server
            .publish("north", &Down::Award(award(interval, 1)));
    }
    let next = below.until(|event| matches!(event, Event::Down(_))).await;
    assert_eq!(
        next,
        Event::Down(Down::Award(award(1_800, 1))),
        "and the old one not again"
    );
    // Publications go on after the reconnect.
    area.server.publish("north", &Down::Award(award(2_700, 1)));
    let next = below.until(|event| matches!(event, Event::Down(_))).await;
    assert_eq!(next, Event::Down(Down::Award(award(2_700, 1))));
    let client = below.client.clone();
    let answer = tokio::spawn(async move { client.submit(&offer()).await });
    let (_, document) = area.take(|document| Ok(receipt(document, None))).await;
    assert_eq!(answer.await.unwrap(), Ok(receipt(&document, None)));
    area.stop.cancel();
}

/// A net that can be made to pass nothing, without closing anything.
async fn net(to: std::net::SocketAddr) -> (std::net::SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (pass, passes) = watch::channel(true);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(to).await.unwrap();
            let (client, server) = (client.into_split(), server.into_split());
            for (mut from, mut to) in [(client.0, server.1), (server.0, client.1)] {
                let mut passes = passes.clone();
                tokio::spawn(async move {
                    let mut octets = vec![0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut octets).await {
                        let _ = passes.wait_for(|passes| *passes).await;
                        if to.write_all(&octets[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, pass)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_net_that_swallows_everything_is_noticed_and_survived() {
    let site = Site::new(&["north"]);
    let area = serve(site.server_config("127.0.0.1:0")).await;
    let (address, pass) = net(area.server.address()).await;
    let mut below = link(site.client_config(0, format!("opc.tcp://{address}")));
    below.connected().await;
    pass.send(false).unwrap();
    area.server.publish("north", &Down::Award(award(900, 1)));
    below.lost().await;
    assert!(matches!(
        below.client.submit(&offer()).await,
        Err(SubmitError::Link(_))
    ));
    pass.send(true).unwrap();
    below
        .until(|event| *event == Event::Down(Down::Award(award(900, 1))))
        .await;
    area.stop.cancel();
}
