//! What a participant's program may do, and what not.

use edge::store::{Ledger, Record};
use serde_json::{Value, json};
use solver::market::LedgerEntry;

use super::{
    client::Client,
    stack::{Program, Stack, order},
};

const WIND: (&str, i32, i32) = ("windpark", 101, 7);
const PV: (&str, i32, i32) = ("prosumers", 93, 3);

fn ids(orders: &Value) -> Vec<u64> {
    let orders = orders.as_array().unwrap().iter();
    orders.map(|order| order["id"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_sees_and_touches_what_is_its_participants() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(dir.path()).await;
    let (_, wind) = stack.program("windpark").await;
    let (pv_id, pv) = stack.program("prosumers").await;
    let orders = "market/orders";

    let placed = wind.send("POST", orders, order("w1", WIND)).await;
    assert_eq!(placed.status, 201, "{:?}", placed.body);
    let its = placed.json()["id"].as_u64().unwrap();
    let others = pv.send("POST", orders, order("p1", PV)).await.json();
    let others = others["id"].as_u64().unwrap();

    // For another, in its own name with another's unit, and under a false name.
    let refused = wind.send("POST", orders, order("w2", PV)).await;
    let words = refused.refused(403, "not_yours");
    assert!(words.contains("windpark"), "{words}");
    let disguised = order("w2", ("windpark", PV.1, PV.2));
    wind.send("POST", orders, disguised)
        .await
        .refused(422, "unit");

    assert_eq!(ids(&wind.get(orders).await.json()), [its]);
    assert_eq!(ids(&pv.get(orders).await.json()), [others]);
    assert_eq!(
        ids(&stack.ada.get("/api/v1/market/orders").await.json()).len(),
        2
    );

    // Another's order is neither amended nor cancelled, whoever it is said to be of.
    let path = format!("{orders}/{others}");
    for body in [order("p1", PV), order("p1", WIND), order("w1", WIND)] {
        wind.send("PUT", &path, body)
            .await
            .refused(403, "not_yours");
    }
    wind.send("DELETE", &path, Value::Null)
        .await
        .refused(403, "not_yours");
    let before = pv.get(orders).await.json();
    assert_eq!(before[0]["state"], "accepted");

    let mut cheaper = order("w1", WIND);
    cheaper["steps"][0]["quantity_w"] = json!(500);
    let own = format!("{orders}/{its}");
    let amended = wind.send("PUT", &own, cheaper).await;
    assert_eq!(amended.json()["steps"][0]["quantity_w"], 500);
    let cancelled = wind.send("DELETE", &own, Value::Null).await;
    assert_eq!(cancelled.json()["state"], "cancelled");

    // Registration: its own only, and nothing to change but its own tokens.
    let own = wind.get("market/participants").await.json();
    assert_eq!(own.as_array().unwrap().len(), 1);
    assert_eq!(own[0]["name"], "windpark");
    wind.get("market/participants/prosumers")
        .await
        .refused(403, "not_yours");
    wind.send("DELETE", &format!("market/tokens/{pv_id}"), Value::Null)
        .await
        .refused(403, "not_yours");
    wind.get("market/intervals/2020-01-01T00:00:00Z/explain/93")
        .await
        .refused(403, "not_yours");
    stack.stopped().await;
}

/// Everything that is not meant for programs is closed to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_users_is_not_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(dir.path()).await;
    let (_, wind) = stack.program("windpark").await;
    let document = stack.ada.get("/api/openapi.json").await.json();
    let mut closed = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schemes = operation["security"].as_array().unwrap();
            if schemes
                .iter()
                .any(|of| of == &json!({}) || of.get("token").is_some())
            {
                continue;
            }
            let path = path.trim_start_matches("/api/v1/");
            let path = path.replace("{id}", "1").replace("{unit}", "9001");
            let method = method.to_uppercase();
            let answer = wind.send(&method, &path, json!({})).await;
            answer.refused(403, "not_allowed");
            closed += 1;
        }
    }
    assert!(closed >= 15, "{closed}");
    // A program that also has somebody's cookie is still a program.
    let mut both = wind;
    both.client = stack.ada.clone();
    both.get("users").await.refused(403, "not_allowed");
    stack.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_when_it_is_revoked_or_expires_and_not_with_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(dir.path()).await;
    let (id, wind) = stack.program("windpark").await;
    let (_, pv) = stack.program("prosumers").await;
    let participant = "/api/v1/market/participants/windpark";
    let shown = stack.ada.get(participant).await;
    let text = String::from_utf8_lossy(&shown.body).into_owned();
    assert!(
        !text.contains("busbar_"),
        "the secret is shown once: {text}"
    );
    assert_eq!(shown.json()["tokens"][0]["last_used"], Value::Null);
    assert_eq!(wind.get("market/orders").await.status, 200);
    let used = stack.ada.get(participant).await.json();
    assert!(used["tokens"][0]["last_used"].is_string(), "{used}");

    let past = json!({ "label": "late", "expires": "2020-01-01T00:00:00Z" });
    let path = format!("{participant}/tokens");
    stack.ada.post(&path, &past).await.refused(422, "expires");
    let soon = edge::clock::rfc3339(edge::clock::now_us() + 1_500_000);
    let asked = json!({ "label": "brief", "expires": soon });
    let brief = stack.ada.post(&path, &asked).await.json();
    let brief = Program {
        client: Client::new(stack.ada.server),
        token: brief["token"].as_str().unwrap().to_owned(),
    };

    let revoked = stack
        .ada
        .delete(&format!("/api/v1/market/tokens/{id}"))
        .await;
    assert_eq!(revoked.json()["revoked"], true);
    wind.get("market/orders")
        .await
        .refused(401, "revoked_token");
    wind.send("POST", "market/orders", order("w", WIND))
        .await
        .refused(401, "revoked_token");
    let again = stack
        .ada
        .delete(&format!("/api/v1/market/tokens/{id}"))
        .await;
    assert_eq!(again.status, 200, "once is enough");
    stack.stopped().await;

    let mut stack = Stack::start(dir.path()).await;
    let at = |program: &Program| Program {
        client: Client::new(stack.ada.server),
        token: program.token.clone(),
    };
    let (wind, pv, brief) = (at(&wind), at(&pv), at(&brief));
    wind.get("market/orders")
        .await
        .refused(401, "revoked_token");
    assert_eq!(pv.get("market/orders").await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    brief
        .get("market/orders")
        .await
        .refused(401, "expired_token");
    let used = stack.ada.get(participant).await.json();
    assert!(
        used["tokens"][0]["last_used"].is_string() || used["tokens"][1]["last_used"].is_string()
    );
    stack.ada.cookie = None;
    stack.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_tokens_open_nothing_and_are_slowed_down() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(dir.path()).await;
    let (id, wind) = stack.program("windpark").await;
    let hash = edge::store::Hash::of(wind.token.as_bytes()).to_string();
    let long = "busbar_".to_owned() + &"a".repeat(20_000);
    let mut other = wind.token.clone();
    other.replace_range(58.., "a");
    other += "b";
    for token in [
        "",
        " ",
        "busbar_",
        &id,
        &hash,
        &long,
        &other,
        "é",
        "../../windpark",
        "' or 1=1",
        &wind.token[..58],
        &wind.token.to_uppercase(),
    ] {
        let hostile = Program {
            client: Client::new(stack.ada.server),
            token: token.to_owned(),
        };
        let answer = hostile.get("market/orders").await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        let expected = ["wrong_token", "not_logged_in", "too_many_attempts"];
        assert!(expected.contains(&&*error), "{token}: {error}");
    }
    let guess = Program {
        client: Client::new(stack.ada.server),
        token: "busbar_guess".to_owned(),
    };
    let mut slowed = false;
    for _ in 0..10 {
        slowed |= guess.get("market/orders").await.status == 429;
    }
    assert!(slowed);
    // Who has a token that is good is not held up by who guesses, at the same address.
    assert_eq!(wind.get("market/orders").await.status, 200);
    let mut busy = 0;
    for _ in 0..400 {
        busy += u32::from(wind.get("market/orders").await.status == 429);
    }
    assert!(busy > 0, "a program that never stops asking is slowed down");
    stack.stopped().await;
}

/// Everything is on record, by whom, and no secret with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_what_is_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(dir.path()).await;
    let (id, wind) = stack.program("windpark").await;
    let own = wind.send("POST", "market/orders", order("w1", WIND)).await;
    assert_eq!(own.status, 201);
    let path = "/api/v1/market/orders";
    let for_it = stack.ada.post(path, &order("w2", WIND)).await;
    assert_eq!(for_it.status, 201);
    stack
        .ada
        .delete(&format!("{path}/{}", for_it.json()["id"]))
        .await;
    stack.stopped().await;

    let ledger = Ledger::open(dir.path()).unwrap();
    let mut found = Vec::new();
    for row in ledger.rows(0).unwrap() {
        let row = row.unwrap();
        assert!(!row.json.contains(&wind.token), "{}", row.json);
        match row.record().unwrap() {
            Record::Registered { by, .. } => found.push(("registered", by)),
            Record::Market(LedgerEntry::OrderAccepted { by, .. }) => {
                found.push(("placed", by.unwrap()));
            }
            Record::OrderCancelled { by, .. } => found.push(("cancelled", by.unwrap())),
            _ => {}
        }
    }
    let program = format!("token {id} of windpark");
    let ada = || "user ada".to_owned();
    let expected = [
        ("registered", ada()),
        ("placed", program),
        ("placed", ada()),
        ("cancelled", ada()),
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn portfolios_are_handed_over_and_stay_so() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(dir.path()).await;
    let (_, wind) = stack.program("windpark").await;
    let placed = wind
        .send("POST", "market/orders", order("w1", WIND))
        .await
        .json();
    let aggregator = json!({ "role": "aggregator", "units": [101] });
    let refused = stack.put("participants/pool", &aggregator).await;
    let words = refused.refused(409, "standing_order");
    assert!(words.contains("unit 101"), "{words}");
    let cancel = format!("market/orders/{}", placed["id"]);
    wind.send("DELETE", &cancel, Value::Null).await;
    let pool = stack.put("participants/pool", &aggregator).await.json();
    assert_eq!(pool["units"][0]["unit"], 101);
    let der = json!({
        "participant": "pool", "name": "Roof", "kind": "pv", "node": 3, "p_rated_w": 9e3,
        "s_rated_va": 1e4, "p_min_w": 0.0, "p_max_w": 9e3, "q_max_var": 0.0,
    });
    let roof = stack.put("ders/9001", &der).await.json();
    assert_eq!(roof["dispatchable"], false, "{roof}");
    stack.put("ders/101", &der).await.refused(422, "unit");
    stack.put("ders/x", &der).await.refused(422, "invalid_path");
    let meter = stack
        .put("meters/DE1", &json!({ "unit": 9001 }))
        .await
        .json();
    assert_eq!(meter["participant"], "pool");
    stack.stopped().await;

    let stack = Stack::start(dir.path()).await;
    let (_, pool) = stack.program("pool").await;
    let (_, wind) = stack.program("windpark").await;
    let orders = "market/orders";
    wind.send("POST", orders, order("w2", WIND))
        .await
        .refused(422, "unit");
    let now = pool
        .send("POST", orders, order("w2", ("pool", 101, 7)))
        .await;
    assert_eq!(now.status, 201, "{:?}", now.body);
    let roof = order("r", ("pool", 9001, 3));
    pool.send("POST", orders, roof)
        .await
        .refused(422, "dispatchable");
    let network = stack.ada.get("/api/v1/network").await.json();
    let units = network["units"].as_array().unwrap();
    let wind = units.iter().find(|unit| unit["id"] == 101).unwrap();
    assert_eq!(wind["participant"], "pool");
    stack.stopped().await;
}
