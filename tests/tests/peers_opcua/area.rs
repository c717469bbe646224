//! Our client, asyncua as the area.

use anyhow::Result;
use protocols::opcua::{
    Pki,
    client::{Event, SubmitError},
    message::Down,
};
use serde_json::json;

use crate::{
    ends::{BITS, Site, award, closing, link, offer, receipt, subject, total},
    peer::Peer,
    tenant::done,
    total_arguments,
};

async fn area(site: &Site, port: u16) -> Result<Peer> {
    let file = |pki: &Pki, name: &str| pki.folder.join("own").join(name).display().to_string();
    let (certificate, key) = (
        file(&site.server, "certificate.der"),
        file(&site.server, "key.pem"),
    );
    let client = file(&site.tenants[0].0, "certificate.der");
    let port = port.to_string();
    let mut area = Peer::run(
        "opcua_peers.py",
        &["area", &port, &certificate, &key, &client],
    )?;
    area.until(|line| line["started"] == port.as_str()).await?;
    Ok(area)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_serves_asyncua_as_the_area_and_survives_its_restart() -> Result<()> {
    let site = Site::new(&["north"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = free.local_addr()?.port();
    drop(free);
    let mut above = area(&site, port).await?;
    let mut below = link(site.client_config(0, format!("opc.tcp://127.0.0.1:{port}")));
    let connected = below.connected().await;
    assert!(matches!(connected, Event::Connected { tenant, .. } if tenant == "north"));

    let account = "a1".repeat(32);
    let called = [
        json!([
            "SubmitBid",
            [
                1_700_000_100,
                900,
                3,
                [-2_000_000, -150_000, 1_750_000],
                [140_000_000, 90_000_000, 0],
                [12_000, -7, 0],
                -300_000,
                250_000,
                -420_000,
                0.875,
                0.0031,
                ["line 7 at 100 %", "node 4: 1.05 pu"],
                false,
                [980_000, 1_000_000, 1_020_000],
                [0, 12_500_000, 60_000_001],
                0.4,
                1.25,
            ]
        ]),
        json!([
            "SubmitClosing",
            [1_700_000_100, 1, 0, [7], -415_000, 81_250_000]
        ]),
        json!([
            "SubmitClosing",
            [1_700_000_100, 1, 2, [], -415_000, 81_250_000]
        ]),
        json!(["SubmitTotal", total_arguments()]),
    ];
    for (document, called) in [offer(), closing(Some(7)), closing(None), total()]
        .iter()
        .zip(called)
    {
        let account = (called[0] == "SubmitTotal").then_some(account.as_str());
        assert_eq!(
            below.client.submit(document).await,
            Ok(receipt(document, account))
        );
        let seen = above.until(|line| !line["called"].is_null()).await?;
        let last = seen.last().unwrap();
        assert_eq!(json!([last["called"], last["values"]]), called);
    }
    // As `ends::award` has it, in the order of the information model.
    let words = |interval: i64| {
        json!([
            "award",
            interval,
            2,
            3,
            -415_000,
            81_250_000,
            -2_000,
            1_200_000,
            1_500_000,
            900_000,
            true,
            -380_000,
            ["transformer 2 at 98 %"],
            [1_013_250]
        ])
    };
    done(&mut above, words(900)).await?;
    let came = below.until(|event| matches!(event, Event::Down(_))).await;
    assert_eq!(came, Event::Down(Down::Award(award(900, 2))));
    below.client.acknowledge(900, 2).await?;
    let seen = above.until(|line| line["called"] == "Acknowledge").await?;
    assert_eq!(seen.last().unwrap()["values"], json!([900, 2]));

    above.stop().await?;
    below.lost().await;
    assert!(matches!(
        below.client.submit(&offer()).await,
        Err(SubmitError::Link(_))
    ));
    let mut above = area(&site, port).await?;
    for interval in [900, 1_800] {
        done(&mut above, words(interval)).await?;
    }
    let came = below.until(|event| matches!(event, Event::Down(_))).await;
    assert_eq!(
        came,
        Event::Down(Down::Award(award(1_800, 2))),
        "and the old one not again"
    );
    assert_eq!(
        below.client.submit(&offer()).await,
        Ok(receipt(&offer(), None))
    );
    above.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_logs_in_to_no_asyncua_that_it_does_not_trust() -> Result<()> {
    let mut site = Site::new(&["north"]);
    site.server = Pki::new(site.folder.path().join("impostor"));
    site.server.create(&subject("area"), BITS)?;
    let free = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = free.local_addr()?.port();
    drop(free);
    let above = area(&site, port).await?;
    let mut below = link(site.client_config(0, format!("opc.tcp://127.0.0.1:{port}")));
    let reason = below.lost().await;
    assert!(reason.contains("not among the trusted"), "{reason}");
    above.stop().await
}
