//! The market of an area by HTTP: its own loop, its server for tenants, and what each who asks gets to see.

use std::{fs, net::SocketAddr, path::Path};

use edge::{
    area::run,
    clock::{US, now_us, rfc3339_s},
    site::{self, AreaSite, Loaded},
    store::{Record, users::UserStore},
    web,
};
use protocols::opcua::{Pki, pki::Subject};
use serde_json::{Value, json};
use solver::market::{
    LedgerEntry, Money, Party, Price, Settlement, StatementLine, StatementReason,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    appliance::{PASSWORD, login},
    client::{Client, PATIENCE},
};

/// The area's example, in a folder of its own, serving at `serve`.
fn area(folder: &Path, serve: SocketAddr) -> AreaSite {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/area");
    fs::copy(example.join("network.json"), folder.join("network.json")).unwrap();
    let text = fs::read_to_string(example.join("site.toml")).unwrap();
    let listen = "listen = \"127.0.0.1:4840\"";
    assert!(text.contains(listen));
    let text = text.replace(listen, &format!("listen = \"{serve}\""));
    let aggregator = "\n[[aggregator]]\nname = \"flex-co\"\ntenants = [\"north\", \"south\"]\n";
    fs::write(folder.join("site.toml"), text + aggregator).unwrap();
    fs::create_dir(folder.join("secrets")).unwrap();
    for tenant in ["north", "south", "west"] {
        // Of nobody's password: nobody logs in here.
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$q80CC2cq4b1vTFkVtVyQMw";
        fs::write(folder.join(format!("secrets/{tenant}.hash")), hash).unwrap();
    }
    let subject = Subject {
        name: "area".to_owned(),
        uri: "urn:busbar:area".to_owned(),
        hosts: vec!["127.0.0.1".to_owned()],
    };
    Pki::new(folder.join("pki")).create(&subject, 2048).unwrap();
    match site::load_any(&folder.join("site.toml")) {
        Ok(Loaded::Area(site)) => *site,
        Ok(Loaded::Substation(_)) => panic!("a substation"),
        Err(problems) => panic!("{problems:?}"),
    }
}

fn party(name: &str) -> Party {
    Party::Participant(name.to_owned())
}

/// An interval in which north pays the aggregator 0.42 for 300 Wh.
fn settled() -> Record {
    let (north, flex) = (party("north"), party("flex-co"));
    let line = StatementLine {
        reason: StatementReason::SettledAbove,
        counterparty: north.clone(),
        unit: None,
        node: 2,
        energy_wh: 300,
        reactive_varh: 0,
        price: Price(0),
        received: Money(420_000),
        quality: None,
    };
    let mut settlement = Settlement {
        interval: 0,
        statements: Vec::new(),
    };
    let paid = line.other_side(flex.clone());
    settlement.credit(&flex, vec![line]);
    settlement.credit(&north, vec![paid]);
    Record::Market(LedgerEntry::Settled(settlement))
}

/// Asks until the answer is so.
async fn until(client: &Client, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    let asked = async {
        loop {
            let answer = client.get(path).await;
            if answer.status == 200 {
                let answer = answer.json();
                if is(&answer) {
                    return answer;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, asked).await.expect(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_area_shows_each_its_own_and_takes_calls() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serve = free.local_addr().unwrap();
    drop(free);
    let site = area(folder.path(), serve);
    let state = site.state_dir.clone();
    let stop = CancellationToken::new();
    let running = run::start(site, stop.clone()).await.unwrap();
    let users = UserStore::open(&state).unwrap();
    let code = users.enrolment_code().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut ada = Client::new(listener.local_addr().unwrap());
    let server = tokio::spawn(web::serve(
        listener,
        running.handle.clone(),
        users,
        stop.clone(),
    ));
    ada.get("/api/v1/area").await.refused(403, "not_enrolled");
    let enrolment = json!({ "code": code, "user": "ada", "password": PASSWORD });
    let answer = ada.post("/api/v1/enrol", &enrolment).await;
    ada.keep(&answer);
    let names = |view: &Value| {
        let tenants = view["tenants"].as_array().unwrap().iter();
        tenants
            .map(|of| of["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let seen = ada.get("/api/v1/area").await.json();
    assert_eq!(names(&seen), ["north", "south", "west"]);

    // Who knocks with anything else than OPC UA is turned away, shown and on record.
    let mut stranger = TcpStream::connect(serve).await.unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = timeout(PATIENCE, stranger.read_to_end(&mut Vec::new())).await;
    let refused = |view: &Value| {
        view["audit"]
            .as_array()
            .unwrap()
            .iter()
            .any(|of| of["what"] == "refused")
    };
    until(&ada, "/api/v1/area", refused).await;
    let record = ada.get("/api/v1/ledger/export").await;
    let record = String::from_utf8_lossy(&record.body).into_owned();
    let is_refusal =
        |line: &&str| line.contains(r#""record":"link""#) && line.contains(r#""event":"refused""#);
    let line = record
        .lines()
        .find(is_refusal)
        .unwrap_or_else(|| panic!("{record}"));
    assert!(line.contains("127.0.0.1:"), "{line}");

    // Its own certificate, and nobody's yet.
    let certificates = ada.get("/api/v1/market/certificates").await.json();
    assert_eq!(certificates.as_array().unwrap().len(), 1);
    let own = (
        &certificates[0]["link"],
        &certificates[0]["standing"],
        &certificates[0]["name"],
    );
    assert_eq!(own, (&json!("tenants"), &json!("own"), &json!("area")));
    let south = super::appliance::SOUTH;
    let body = json!({ "trusted": true, "pem": include_str!("south.pem") });
    let path = format!("/api/v1/market/certificates/tenants/{south}");
    let json_type = [("content-type", "application/json")];
    let judged = ada.send("PUT", &path, &json_type, body.to_string()).await;
    assert_eq!(judged.json()["standing"], "trusted");
    let record = ada.get("/api/v1/ledger/export").await;
    let record = String::from_utf8_lossy(&record.body).into_owned();
    let judged = record
        .lines()
        .find(|line| line.contains(r#""event":"judged""#));
    assert!(
        judged.is_some_and(|line| line.contains("user ada") && line.contains(south)),
        "{record}"
    );

    // A tenant's program sees its own, and calls on nobody.
    let issued = ada
        .post(
            "/api/v1/market/participants/north/tokens",
            &json!({ "label": "robot" }),
        )
        .await;
    let token = format!("Bearer {}", issued.json()["token"].as_str().unwrap());
    let program = Client::new(ada.server);
    let headers = [
        ("authorization", &*token),
        ("content-type", "application/json"),
    ];
    let seen = program
        .send("GET", "/api/v1/area", &headers, "")
        .await
        .json();
    assert_eq!(names(&seen), ["north"]);
    assert_eq!(seen["audit"], json!([]));
    let start = now_us().div_euclid(900 * US) * 900 + 1800;
    let path = |tenant: &str, start: i64| {
        format!("/api/v1/area/intervals/{}/calls/{tenant}", rfc3339_s(start))
    };
    let call = json!({ "exchange_w": -1_500_000 }).to_string();
    let asked = program
        .send("PUT", &path("north", start), &headers, call.clone())
        .await;
    asked.refused(403, "not_allowed");
    let put = async |tenant, start, call: String| {
        ada.send("PUT", &path(tenant, start), &json_type, call)
            .await
    };
    let called = put("north", start, call.clone()).await.json();
    assert_eq!(called["exchange_w"], -1_500_000);
    assert!(called["receipt"]["record"].is_u64(), "{called}");
    let again = put("north", start, call.clone()).await.json();
    assert_eq!(again["receipt"], Value::Null, "it is so already");
    put("nobody", start, call.clone())
        .await
        .refused(404, "unknown_tenant");
    put("north", start - 1800, call.clone())
        .await
        .refused(409, "late");
    put("north", start + 1, call.clone())
        .await
        .refused(422, "interval");
    let too_much = json!({ "exchange_w": 20_000_001 }).to_string();
    put("north", start, too_much).await.refused(422, "range");
    let deals = |view: &Value| {
        let intervals = view["intervals"].as_array().unwrap().iter();
        let deals = intervals.flat_map(|of| of["deals"].as_array().unwrap().clone());
        deals
            .filter(|of| !of["called_w"].is_null())
            .collect::<Vec<_>>()
    };
    let seen = until(&ada, "/api/v1/area", |view| !deals(view).is_empty()).await;
    let of: Vec<_> = deals(&seen)
        .iter()
        .map(|of| (of["tenant"].clone(), of["called_w"].clone()))
        .collect();
    assert_eq!(of, [(json!("north"), json!(-1_500_000))]);
    // Another tenant's program does not see it.
    let issued = ada
        .post(
            "/api/v1/market/participants/south/tokens",
            &json!({ "label": "robot" }),
        )
        .await;
    let token = format!("Bearer {}", issued.json()["token"].as_str().unwrap());
    let headers = [("authorization", &*token)];
    let seen = program
        .send("GET", "/api/v1/area", &headers, "")
        .await
        .json();
    assert_eq!(
        (names(&seen), deals(&seen).len()),
        (vec!["south".to_owned()], 0)
    );
    // An aggregator's sees its own invoice and what is public.
    let ledger = std::sync::Arc::clone(&running.handle.ledger);
    ledger.append(&[settled()], now_us(), false).unwrap();
    let issued = ada
        .post(
            "/api/v1/market/participants/flex-co/tokens",
            &json!({ "label": "robot" }),
        )
        .await;
    let token = format!("Bearer {}", issued.json()["token"].as_str().unwrap());
    let headers = [("authorization", &*token)];
    let get = async |path: &str| program.send("GET", path, &headers, "").await;
    let seen = get("/api/v1/area").await.json();
    assert_eq!((names(&seen), deals(&seen).len()), (Vec::new(), 0));
    assert!(!seen["intervals"].as_array().unwrap().is_empty());
    assert_eq!(seen["audit"], json!([]));
    let invoices = get("/api/v1/market/invoices").await.json();
    assert_eq!(invoices.as_array().unwrap().len(), 1);
    let line = &invoices[0]["lines"][0];
    assert_eq!(
        (&invoices[0]["account"], &invoices[0]["balance_micro"]),
        (&json!("flex-co"), &json!(420_000))
    );
    assert_eq!(
        (&line["reason"], &line["counterparty"]),
        (&json!("settled_above"), &json!("north"))
    );
    let accounts = get("/api/v1/market/accounts").await.json();
    assert_eq!(
        accounts,
        json!([{ "account": "flex-co", "balance_micro": 420_000 }])
    );
    get("/api/v1/market/invoices?participant=north")
        .await
        .refused(403, "not_yours");
    // What a substation has and an area has not is refused, not made up.
    let order = super::appliance::order();
    ada.post("/api/v1/market/orders", &order)
        .await
        .refused(422, "area");
    let mut nobody = Client::new(ada.server);
    let wrong = nobody
        .post("/api/v1/login", &login("ada", "wrong horse"))
        .await;
    assert_eq!(wrong.status, 401);
    nobody.cookie = None;
    nobody
        .get("/api/v1/area")
        .await
        .refused(401, "not_logged_in");

    stop.cancel();
    server.await.unwrap().unwrap();
    running.stopped().await.unwrap();
}
