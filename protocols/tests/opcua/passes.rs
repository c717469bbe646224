//! What passes between two ends that trust each other.

use protocols::opcua::{
    client::{Event, SubmitError},
    message::{Down, Refused},
    server::{Audit, Request},
};

use crate::ends::{LONG, Site, award, closing, link, offer, receipt, serve, total};

#[tokio::test(flavor = "multi_thread")]
async fn documents_pass_both_ways_as_they_are() {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    // Given before the tenant comes: it is not missed.
    area.server.publish("north", &Down::Award(award(900, 1)));
    let mut below = link(site.client_config(0, area.endpoint()));
    let mut first = vec![below.event().await, below.event().await];
    first.sort_by_key(|event| matches!(event, Event::Down(_)));
    let Event::Connected { tenant, clock_ms } = &first[0] else {
        panic!("{first:?}");
    };
    assert_eq!(tenant, "north");
    // One machine has one clock; the notification is on its way for less than five seconds.
    assert!((-5_000..=1_000).contains(clock_ms), "{clock_ms}");
    assert_eq!(first[1], Event::Down(Down::Award(award(900, 1))));
    let came = area
        .audited(|audit| matches!(audit, Audit::Connected { .. }))
        .await;
    let Audit::Connected { tenant, from } = came else {
        unreachable!();
    };
    assert_eq!(tenant, "north");
    assert!(from.starts_with("127.0.0.1:"), "{from}");

    let account = "5e".repeat(32);
    for (document, account) in [
        (offer(), None),
        (closing(Some(7)), None),
        (closing(None), None),
        (total(), Some(account.as_str())),
    ] {
        let client = below.client.clone();
        let sent = document.clone();
        let answer = tokio::spawn(async move { client.submit(&sent).await });
        let (tenant, came) = area.take(|document| Ok(receipt(document, account))).await;
        assert_eq!((tenant.as_str(), &came), ("north", &document));
        assert_eq!(answer.await.unwrap(), Ok(receipt(&document, account)));
    }

    // Two intervals at once, one of them corrected: each is given, none twice.
    for (interval, sequence) in [(1_800, 1), (2_700, 1), (1_800, 2), (1_800, 2), (1_800, 1)] {
        area.server
            .publish("north", &Down::Award(award(interval, sequence)));
    }
    area.server.publish("south", &Down::Award(award(3_600, 1)));
    let mut given = Vec::new();
    while !given.contains(&(1_800, 2)) || !given.contains(&(2_700, 1)) {
        let event = below.until(|event| matches!(event, Event::Down(_))).await;
        let Event::Down(Down::Award(came)) = event else {
            unreachable!();
        };
        assert_eq!(came, award(came.interval, came.sequence));
        assert!(
            !given.contains(&(came.interval, came.sequence)),
            "twice: {came:?}"
        );
        given.push((came.interval, came.sequence));
    }

    let client = below.client.clone();
    let told = tokio::spawn(async move { client.acknowledge(1_800, 2).await });
    match tokio::time::timeout(LONG, area.requests.recv())
        .await
        .unwrap()
        .unwrap()
    {
        Request::Acknowledged {
            tenant,
            interval,
            sequence,
        } => {
            assert_eq!((tenant.as_str(), interval, sequence), ("north", 1_800, 2));
        }
        other => panic!("{other:?}"),
    }
    told.await.unwrap().unwrap();

    below.stop.cancel();
    let gone = area
        .audited(|audit| matches!(audit, Audit::Disconnected { .. }))
        .await;
    assert!(matches!(gone, Audit::Disconnected { tenant, .. } if tenant == "north"));
    area.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_a_document_is_told_as_it_was_meant() {
    let site = Site::new(&["north"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let mut below = link(site.client_config(0, area.endpoint()));
    below.connected().await;
    for refused in [
        Refused::Sequence {
            sequence: 3,
            held: 4,
        },
        Refused::Late {
            interval: 1_700_000_100,
            closed: 1_700_000_040,
        },
        Refused::Invalid {
            what: "prices rise".to_owned(),
        },
        Refused::Unavailable {
            reason: "disk full".to_owned(),
        },
    ] {
        let client = below.client.clone();
        let answer = tokio::spawn(async move { client.submit(&offer()).await });
        area.take(|_| Err(refused.clone())).await;
        assert_eq!(answer.await.unwrap(), Err(SubmitError::Refused(refused)));
    }
    // The one behind drops it: that is no receipt.
    let client = below.client.clone();
    let answer = tokio::spawn(async move { client.submit(&offer()).await });
    drop(
        tokio::time::timeout(LONG, area.requests.recv())
            .await
            .unwrap(),
    );
    let answer = answer.await.unwrap();
    assert!(
        matches!(
            answer,
            Err(SubmitError::Refused(Refused::Unavailable { .. }))
        ),
        "{answer:?}"
    );
    area.stop.cancel();
}
