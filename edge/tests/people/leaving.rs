//! Participants and units that leave: what has to be done first, and what stays on record.

use edge::{
    participants::{Change, ParticipantRole},
    store::{Ledger, Record},
};
use serde_json::{Value, json};

use super::{
    bench::{Bench, START, US, ada},
    stack::{Stack, order},
};

const POOL: &str = "/api/v1/market/participants/pool";
const WIND: (&str, i32, i32) = ("pool", 101, 7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_leaves_nothing_open() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(dir.path()).await;
    let asked = json!({ "role": "aggregator", "units": [101] });
    stack.put("participants/pool", &asked).await;
    let der = json!({
        "participant": "pool", "name": "Roof", "kind": "pv", "node": 3, "p_rated_w": 9e3,
        "s_rated_va": 1e4, "p_min_w": 0.0, "p_max_w": 9e3, "q_max_var": 0.0,
    });
    stack.put("ders/9001", &der).await;
    stack.put("meters/DE1", &json!({ "unit": 9001 })).await;
    let (_, pool) = stack.program("pool").await;

    // Nobody without a user's role, and nothing that the site file says.
    let answer = pool.send("DELETE", "market/participants/pool", Value::Null);
    answer.await.refused(403, "not_allowed");
    let ada = &stack.ada;
    let windpark = ada.delete("/api/v1/market/participants/windpark").await;
    windpark.refused(409, "of_site");
    let turbine = ada.delete("/api/v1/market/ders/101").await;
    turbine.refused(409, "of_site");
    let nobody = ada.delete("/api/v1/market/participants/nobody").await;
    nobody.refused(404, "unknown_participant");
    let nothing = ada.delete("/api/v1/market/ders/9002").await;
    nothing.refused(404, "unit");

    // First the portfolio, then the orders.
    let words = ada.delete(POOL).await.refused(409, "portfolio");
    assert!(words.contains("101, 9001"), "{words}");
    let removed = ada.delete("/api/v1/market/ders/9001").await.json();
    assert_eq!(
        (&removed["unit"], &removed["meter"]),
        (&json!(9001), &json!("DE1"))
    );
    let gone = ada.delete("/api/v1/market/ders/9001").await;
    gone.refused(404, "unit");
    assert_eq!(ada.get("/api/v1/market/meters").await.json(), json!([]));
    let placed = pool
        .send("POST", "market/orders", order("w", WIND))
        .await
        .json();
    let back = json!({ "role": "producer", "units": [101] });
    stack
        .put("participants/windpark", &back)
        .await
        .refused(409, "standing_order");
    let cancel = format!("market/orders/{}", placed["id"]);
    pool.send("DELETE", &cancel, Value::Null).await;
    stack.put("participants/windpark", &back).await;

    let left = ada.delete(POOL).await.json();
    assert_eq!(left["participant"]["name"], "pool");
    assert_eq!(left["balance_micro"], 0);
    ada.delete(POOL).await.refused(404, "unknown_participant");
    ada.get(POOL).await.refused(404, "unknown_participant");
    pool.get("market/orders")
        .await
        .refused(401, "revoked_token");
    stack.stopped().await;

    // It is so after a restart, and who comes again has no token of before.
    let stack = Stack::start(dir.path()).await;
    stack
        .ada
        .get(POOL)
        .await
        .refused(404, "unknown_participant");
    stack
        .ada
        .delete("/api/v1/market/ders/9001")
        .await
        .refused(404, "unit");
    let again = stack
        .put("participants/pool", &json!({ "role": "consumer" }))
        .await
        .json();
    assert_eq!(again["units"], json!([]));
    let mut pool = pool;
    pool.client.server = stack.ada.server;
    pool.get("market/orders")
        .await
        .refused(401, "revoked_token");
    stack.stopped().await;
    let ledger = Ledger::open(dir.path()).unwrap();
    let mut left = Vec::new();
    for record in ledger.register().unwrap() {
        if let Record::Registered { by, change, .. } = record
            && let Change::ParticipantRemoved { .. } | Change::DerRemoved { .. } = change
        {
            left.push((by, change));
        }
    }
    let by = || "user ada".to_owned();
    let name = "pool".to_owned();
    let expected = [
        (by(), Change::DerRemoved { unit: 9001 }),
        (by(), Change::ParticipantRemoved { name }),
    ];
    assert_eq!(left, expected);
}

/// A caller of the DSO's stays until its calls are over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_stays_as_long_as_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::start(dir.path()).await;
    stack
        .put("participants/pool", &json!({ "role": "dso" }))
        .await;
    let mut call = order("c", WIND);
    call["steps"] = json!([]);
    call["kind"] = json!({ "of": "call", "p_max_w": 1000, "compensation_per_mwh": 5.0 });
    let placed = stack.ada.post("/api/v1/market/orders", &call).await;
    assert_eq!(placed.status, 201, "{:?}", placed.body);
    let words = stack.ada.delete(POOL).await.refused(409, "standing_order");
    assert!(words.contains("unit 101"), "{words}");
    let path = format!("/api/v1/market/orders/{}", placed.json()["id"]);
    stack.ada.delete(&path).await;
    assert_eq!(stack.ada.delete(POOL).await.status, 200);
    stack.stopped().await;
}

/// What was contracted with it is delivered and settled first.
#[test]
fn who_has_contracts_stays_until_they_are_settled() {
    let mut bench = Bench::new();
    let change = |bench: &mut Bench, change: Change| {
        let decided = bench
            .cycle
            .decide_change(change.clone(), &ada(), bench.now_us);
        if let Ok(Some(_)) = decided {
            bench.cycle.settle_change(&change, bench.now_us);
        }
        decided.map(|_| ()).map_err(|problem| problem.error)
    };
    let name = || "pool".to_owned();
    let role = ParticipantRole::Aggregator;
    assert_eq!(
        change(&mut bench, Change::Participant { name: name(), role }),
        Ok(())
    );
    let of = |participant: &str| Change::Assigned {
        participant: participant.to_owned(),
        units: vec![101],
    };
    assert_eq!(change(&mut bench, of("pool")), Ok(()));
    // The gate of the interval at 10 s closes at 7 s; it is settled at 22 s.
    while bench.now_us < (START + 9) * US {
        bench.tick();
    }
    assert_eq!(change(&mut bench, of("windpark")), Ok(()));
    let leave = || Change::ParticipantRemoved { name: name() };
    while bench.now_us < (START + 21) * US {
        assert_eq!(change(&mut bench, leave()), Err("contracted".to_owned()));
        bench.tick();
    }
    while bench.now_us < (START + 24) * US {
        bench.tick();
    }
    assert_eq!(change(&mut bench, leave()), Ok(()));
}
