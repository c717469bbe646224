//! asyncua as a tenant of our server.

use anyhow::{Context, Result, ensure};
use protocols::opcua::{
    Pki,
    message::{Down, Refused, Up},
    model::{METHODS, OBJECTS},
};
use serde_json::{Value as Json, json};

use crate::{
    ends::{Site, award, offer, receipt, serve, total},
    peer::Peer,
    total_arguments,
};

/// asyncua with a tenant's certificate, or whoever's.
pub(crate) fn tenant(endpoint: &str, own: &Pki, server: &Pki, policy: &str) -> Result<Peer> {
    let file = |pki: &Pki, name: &str| pki.folder.join("own").join(name).display().to_string();
    let (certificate, key) = (file(own, "certificate.der"), file(own, "key.pem"));
    let server = file(server, "certificate.der");
    Peer::run(
        "opcua_peers.py",
        &["tenant", endpoint, &certificate, &key, &server, policy],
    )
}

pub(crate) const SECURE: &str = "Basic256Sha256,SignAndEncrypt";

/// Tells it to do something, and gives what came of it.
pub(crate) async fn ask(peer: &mut Peer, command: Json) -> Result<Json> {
    let name = command[0].clone();
    peer.tell(command).await?;
    let seen = peer.until(|line| line["done"] == name).await?;
    seen.into_iter().next_back().context("nothing")
}

/// The same, where it has to succeed.
pub(crate) async fn done(peer: &mut Peer, command: Json) -> Result<Json> {
    let done = ask(peer, command.clone()).await?;
    ensure!(done["error"].is_null(), "{command}: {done}");
    Ok(done["result"].clone())
}

/// What a tenant that knows nothing but the standard sees below the folder.
fn tree() -> Vec<String> {
    let mut tree = vec!["north".to_owned()];
    for object in OBJECTS {
        tree.push(format!("/{}", object.name));
        tree.extend(
            object
                .variables
                .iter()
                .map(|field| format!("//{}", field.name)),
        );
    }
    for method in METHODS {
        tree.push(format!("/{}", method.name));
        tree.push("//InputArguments".to_owned());
        if !method.outputs.is_empty() {
            tree.push("//OutputArguments".to_owned());
        }
    }
    tree.sort();
    tree
}

/// The arguments of `SubmitBid` for [`offer`], written out by hand.
fn bid() -> Json {
    json!([
        "call",
        "north",
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
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncua_browses_watches_submits_and_gets_its_award() -> Result<()> {
    let site = Site::new(&["north", "south"]);
    let mut area = serve(site.server_config("127.0.0.1:0")).await;
    let mut north = tenant(&area.endpoint(), &site.tenants[0].0, &site.server, SECURE)?;
    let endpoints = done(&mut north, json!(["endpoints"])).await?;
    let policy = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256";
    assert_eq!(
        endpoints,
        json!([[policy, "SignAndEncrypt"]]),
        "and no other endpoint"
    );
    done(&mut north, json!(["connect", "north-user", "north-word"])).await?;
    let seen = done(&mut north, json!(["browse"])).await?;
    let mut seen: Vec<String> = serde_json::from_value(seen)?;
    seen.sort();
    assert_eq!(seen, tree(), "its own nodes and nobody else's");

    done(&mut north, json!(["watch", "north/Held/publication"])).await?;
    let first = json!({ "changed": "north/Held/publication", "value": 0 });
    north.until(|line| *line == first).await?;
    area.server.publish("north", &Down::Award(award(900, 2)));
    let next = json!({ "changed": "north/Held/publication", "value": 1 });
    north.until(|line| *line == next).await?;
    for (path, value) in [
        ("Award/timeInterval.start", json!(900)),
        ("Award/revisionNumber", json!(2)),
        ("Award/bid.revisionNumber", json!(3)),
        ("Award/quantity", json!(-415_000)),
        ("Award/price.amount", json!(81_250_000)),
        ("Award/reactive.quantity", json!(-2_000)),
        ("Award/gridFee.amount", json!(1_200_000)),
        ("Award/import.maximum", json!(1_500_000)),
        ("Award/export.maximum", json!(900_000)),
        ("Award/activation", json!(true)),
        ("Award/activation.quantity", json!(-380_000)),
        ("Award/limits", json!(["transformer 2 at 98 %"])),
        ("Award/voltage.quantity", json!([1_013_250])),
        ("Held/intervals", json!([900])),
        ("Held/revisions", json!([2])),
    ] {
        let read = done(&mut north, json!(["read", format!("north/{path}")])).await?;
        assert_eq!(read, value, "{path}");
    }
    let held = done(&mut north, json!(["call", "north", "GetAward", [900]])).await?;
    assert_eq!(held[0], json!(true));
    assert_eq!(held[4], json!(-415_000));
    let none = done(&mut north, json!(["call", "north", "GetAward", [1_800]])).await?;
    assert_eq!(none[0], json!(false));
    let write = ask(&mut north, json!(["write", "north/Award/quantity", 5])).await?;
    assert!(
        !write["error"].is_null(),
        "an award is not the tenant's to write: {write}"
    );

    submits(&mut north, &mut area).await?;
    north.stop().await?;
    area.stop.cancel();
    Ok(())
}

async fn submits(north: &mut Peer, area: &mut crate::ends::Served) -> Result<()> {
    north.tell(bid()).await?;
    let (tenant, document) = area.take(|document| Ok(receipt(document, None))).await;
    assert_eq!((tenant.as_str(), document), ("north", offer()));
    let answer = north.until(|line| line["done"] == "call").await?;
    assert_eq!(answer.last().unwrap()["result"], json!([0, 0, "", ""]));

    // The same revision with something else in it.
    let mut other = bid();
    other[3][8] = json!(1);
    north.tell(other).await?;
    area.take(|document| {
        let Up::Offer(other) = document else {
            panic!("{document:?}");
        };
        assert_eq!(other.forecast_w, 1);
        Err(Refused::Sequence {
            sequence: other.sequence,
            held: 3,
        })
    })
    .await;
    let answer = north.until(|line| line["done"] == "call").await?;
    let text = "sequence 3 is not above 3, and is not the same document";
    assert_eq!(answer.last().unwrap()["result"], json!([1, 3, text, ""]));

    let account = "0f".repeat(32);
    north
        .tell(json!(["call", "north", "SubmitTotal", total_arguments()]))
        .await?;
    let (_, document) = area
        .take(|document| Ok(receipt(document, Some(&account))))
        .await;
    assert_eq!(document, total());
    let answer = north.until(|line| line["done"] == "call").await?;
    assert_eq!(answer.last().unwrap()["result"], json!([0, 0, "", account]));

    // Corners that do not fit together never get to the market.
    let mut wrong = bid();
    wrong[3][4] = json!([1]);
    let answer = done(north, wrong).await?;
    assert_eq!(answer[0], json!(3), "{answer}");
    Ok(())
}
