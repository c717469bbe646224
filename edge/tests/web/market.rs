//! Orders, alarms and filters.

use edge::web::api::{
    AheadView, AwardView, CallView, ContractView, ReactiveView, ScheduleView, SettlementView,
};
use serde_json::{Value, json};

use super::{
    appliance::{Appliance, START, order},
    client::Client,
    shown::interval,
};

#[tokio::test]
async fn an_order_is_placed_shown_and_cancelled() {
    let appliance = Appliance::enrolled("order").await;
    let client = &appliance.client;
    let placed = client.post("/api/v1/market/orders", &order()).await;
    assert_eq!(placed.status, 201);
    assert_eq!(placed.json()["steps"], order()["steps"]);
    // The same moment in another notation.
    let path = "/api/v1/market/orders?interval=2026-06-21T14:00:00%2B02:00";
    let orders = client.get(path).await.json();
    assert_eq!(orders.as_array().unwrap().len(), 2);
    assert_eq!(orders[0]["id"], 2);
    let none = client
        .get("/api/v1/market/orders?interval=2026-06-21T12:00:10Z")
        .await;
    assert_eq!(none.json(), json!([]));
    let cancelled = client.delete("/api/v1/market/orders/2").await.json();
    assert_eq!(cancelled["state"], "cancelled");
    client
        .delete("/api/v1/market/orders/17")
        .await
        .refused(404, "unknown_order");
    client
        .delete("/api/v1/market/orders/1")
        .await
        .refused(409, "not_placed");
    client
        .delete("/api/v1/market/orders/-1")
        .await
        .refused(422, "invalid_path");
}

/// Prices are public; of all else a participant's program sees its own.
#[tokio::test]
async fn an_interval_shows_a_program_its_own() {
    let appliance = Appliance::enrolled("redacted").await;
    let token = json!({ "label": "robot" });
    let path = "/api/v1/market/participants/prosumers/tokens";
    let issued = appliance.client.post(path, &token).await.json();
    let bearer = format!("Bearer {}", issued["token"].as_str().unwrap());
    appliance.change(|now| {
        let mut of = interval(START, "settled");
        let award = |unit| AwardView {
            unit,
            p_w: 1e3,
            q_var: 0.0,
            offered_w: 1e3,
            bid_w: 0.0,
            energy_wh: 3,
        };
        let contract = |seller: &str, buyer: &str| ContractView {
            seller: seller.to_owned(),
            seller_unit: Some(101),
            seller_node: 7,
            buyer: buyer.to_owned(),
            buyer_unit: None,
            buyer_node: 1,
            energy_wh: 3,
            seller_price_per_mwh: 50.0,
            buyer_price_per_mwh: 50.0,
            received_micro: 150,
            paid_micro: 150,
            fee_micro: 0,
            distance_pu: None,
            bilateral: false,
            basis: None,
        };
        let row = |account: &str| SettlementView {
            account: account.to_owned(),
            unit: None,
            contracted_wh: 3,
            metered_wh: 3,
            reactive_varh: 0,
            quality: "metered".to_owned(),
            amount_micro: 150,
        };
        of.awards = vec![award(93), award(101)];
        let schedule = |unit| ScheduleView {
            order: 1,
            unit,
            p_w: vec![1e3],
            energy_wh: vec![2e3],
            value_per_mwh: vec![30.0],
        };
        of.ahead = Some(AheadView {
            intervals: 1,
            out_of_budget: false,
            gap: 0.0,
            schedules: vec![schedule(101), schedule(93)],
        });
        of.contracts = vec![
            contract("windpark", "upstream"),
            contract("windpark", "prosumers"),
            contract("prosumers", "upstream"),
        ];
        of.reactive = vec![ReactiveView {
            account: "windpark".to_owned(),
            unit: Some(101),
            node: 7,
            varh: 3,
            price_per_mvarh: 1.0,
            received_micro: 3,
        }];
        let call = |caller: &str, account: &str| CallView {
            order: 9,
            caller: caller.to_owned(),
            account: account.to_owned(),
            unit: Some(101),
            node: 7,
            energy_wh: -3,
            compensation_per_mwh: 80.0,
            received_micro: 240,
        };
        of.calls = vec![call("grid", "windpark"), call("grid", "prosumers")];
        of.settlement = vec![row("windpark"), row("prosumers"), row("network")];
        of.corrections = vec![row("windpark"), row("network")];
        now.intervals = std::sync::Arc::new(vec![std::sync::Arc::new(of)]);
    });
    let one = format!("/api/v1/market/intervals/{START}");
    let whole = appliance.client.get(&one).await.json();
    assert_eq!(whole["contracts"].as_array().unwrap().len(), 3);
    let stranger = Client::new(appliance.client.server);
    for path in [&*one, "/api/v1/market/intervals"] {
        let headers = [("authorization", &*bearer)];
        let seen = stranger.send("GET", path, &headers, "").await.json();
        let seen = if seen.is_array() { &seen[0] } else { &seen };
        assert_eq!(seen["prices"], whole["prices"]);
        assert_eq!(seen["awards"], json!([whole["awards"][0]]));
        let schedules = &whole["ahead"]["schedules"];
        assert_eq!(seen["ahead"]["schedules"], json!([schedules[1]]));
        let own = json!([whole["contracts"][1], whole["contracts"][2]]);
        assert_eq!(seen["contracts"], own);
        assert_eq!(seen["reactive"], json!([]));
        assert_eq!(seen["calls"], json!([whole["calls"][1]]));
        assert_eq!(seen["settlement"], json!([whole["settlement"][1]]));
        assert_eq!(seen["corrections"], json!([]));
        for hidden in ["cost_per_h", "import_w", "import_var"] {
            assert_eq!(seen[hidden], Value::Null, "{hidden}");
        }
    }
}

/// However late the loop may be: a value for what is owed yet would be lost.
#[tokio::test]
async fn a_value_is_taken_once_its_interval_is_over() {
    let appliance = Appliance::enrolled("owed").await;
    let client = &appliance.client;
    let json = [("content-type", "application/json")];
    let meter = json!({ "unit": 93 }).to_string();
    client
        .send("PUT", "/api/v1/market/meters/DE1", &json, meter)
        .await;
    let value = |start: &str| {
        json!([{ "meter": "DE1", "start": start, "length_s": 10, "delivered_wh": 5,
                 "quality": "metered" }])
    };
    let path = "/api/v1/market/meters/values";
    let running = edge::clock::now_us() / 10_000_000 * 10;
    let running = edge::clock::rfc3339_s(running);
    let early = client.post(path, &value(&running)).await;
    let words = early.refused(409, "too_early");
    assert!(words.contains(&running), "{words}");
    // The made-up loop delivers it since: it is over by the clock, and what it will be settled on.
    for over in ["2026-06-21T11:59:50Z", "2026-06-21T11:59:40Z"] {
        let taken = client.post(path, &value(over)).await;
        assert_eq!(taken.json()["taken"], 1, "{:?}", taken.body);
    }
}

#[tokio::test]
async fn what_the_loop_refuses_is_passed_on() {
    let appliance = Appliance::enrolled("refused").await;
    let at_node = |node: i32| {
        let mut order = order();
        order["node"] = json!(node);
        order
    };
    let client = &appliance.client;
    client
        .post("/api/v1/market/orders", &at_node(99))
        .await
        .refused(422, "node");
    client
        .post("/api/v1/market/orders", &at_node(9))
        .await
        .refused(409, "late");
}

/// What is wrong with a body is said with its place, and nothing reaches the loop.
#[tokio::test]
async fn malformed_orders_are_refused_with_the_place() {
    let appliance = Appliance::enrolled("malformed").await;
    let whole = order().to_string();
    let step = r#""quantity_w":50000"#;
    let price = r#""price_per_mwh":20.0"#;
    let with = |old: &str, new: &str| {
        assert!(whole.contains(old));
        whole.replace(old, new)
    };
    let rows = [
        (String::new(), "malformed_json", "line 1 column 0"),
        (whole[..20].to_owned(), "malformed_json", "line 1 column 20"),
        (whole.clone() + "x", "malformed_json", "trailing characters"),
        ("[]".to_owned(), "invalid_body", "struct NewOrder"),
        (
            with(price, r#""price_per_mwh":NaN"#),
            "malformed_json",
            "line 1 column",
        ),
        (
            with(price, r#""price_per_mwh":1e999"#),
            "malformed_json",
            "number out of range",
        ),
        (
            with(price, r#""price_per_mwh":-Infinity"#),
            "malformed_json",
            "line 1 column",
        ),
        (
            with(price, r#""price_per_mwh":null"#),
            "invalid_body",
            "steps[0].price_per_mwh",
        ),
        (
            with(step, r#""quantity_w":1.5"#),
            "invalid_body",
            "steps[0].quantity_w",
        ),
        (
            with(step, r#""quantity_w":99999999999999999999"#),
            "invalid_body",
            "steps[0].quantity_w",
        ),
        (
            with(step, r#""quantity_w":1,"quantity_w":2"#),
            "invalid_body",
            "duplicate field",
        ),
        (
            with(r#""node":3"#, r#""node":"3""#),
            "invalid_body",
            "node: invalid type",
        ),
        (
            with(r#""node":3"#, r#""node":3,"colour":1"#),
            "invalid_body",
            "unknown field `colour`",
        ),
        (
            with(r#""node":3,"#, ""),
            "invalid_body",
            "missing field `node`",
        ),
        ("[".repeat(60_000), "invalid_body", "[0]: invalid type"),
        (
            with(r#""a1""#, &"[".repeat(60_000)),
            "invalid_body",
            "client_id",
        ),
        (
            with(r#""a1""#, r#""\ud800""#),
            "malformed_json",
            "line 1 column",
        ),
    ];
    for (body, error, place) in rows {
        let shown: String = body.chars().take(300).collect();
        let answer = appliance
            .client
            .post_raw("/api/v1/market/orders", body)
            .await;
        let words = answer.refused(422, error);
        assert!(words.contains(place), "{shown}\n{words}");
    }
    let answer = appliance
        .client
        .post_raw("/api/v1/market/orders", vec![0xff; 8])
        .await;
    answer.refused(422, "malformed_json");
    assert_eq!(
        appliance.published.borrow().orders.len(),
        1,
        "nothing was placed"
    );
}

#[tokio::test]
async fn alarms_are_acknowledged_by_name() {
    let appliance = Appliance::enrolled("alarm").await;
    let client = &appliance.client;
    let seen = client
        .send("POST", "/api/v1/alarms/7/ack", &[], "")
        .await
        .json();
    assert_eq!(seen["acknowledged_by"], "ada");
    let unknown = client.send("POST", "/api/v1/alarms/99/ack", &[], "").await;
    unknown.refused(404, "unknown_alarm");
}

#[tokio::test]
async fn filters_select_and_refuse_what_they_do_not_know() {
    let appliance = Appliance::enrolled("filter").await;
    let client = &appliance.client;
    let ids = |answer: Value| -> Vec<String> {
        let entries = answer.as_array().unwrap().iter();
        entries.map(|entry| entry["id"].to_string()).collect()
    };
    let points = client.get("/api/v1/points?device=pv3").await.json();
    assert_eq!(ids(points), ["\"pv3/p\"", "\"pv3/q\""], "not those of pv33");
    let alarms = client.get("/api/v1/alarms?limit=1").await.json();
    assert_eq!(ids(alarms), ["8"]);
    let intervals = client.get("/api/v1/market/intervals?limit=1").await.json();
    assert_eq!(intervals[0]["start"], START);
    assert_eq!(intervals.as_array().unwrap().len(), 1);
    assert_eq!(
        client.get("/api/v1/dispatch?device=pv33").await.json(),
        json!([])
    );
    let words = client
        .get("/api/v1/points?device=pv")
        .await
        .refused(422, "unknown_device");
    assert!(words.contains("pv3, pv33"), "{words}");
    let words = client
        .get("/api/v1/points?devise=pv3")
        .await
        .refused(422, "invalid_query");
    assert!(words.contains("devise"), "{words}");
    for path in [
        "alarms?limit=-1",
        "alarms?limit=x",
        "status?x=1",
        "points?device=a&device=b",
    ] {
        client
            .get(&format!("/api/v1/{path}"))
            .await
            .refused(422, "invalid_query");
    }
    client
        .get("/api/v1/market/orders?interval=noon")
        .await
        .refused(422, "invalid_time");
    client
        .get("/api/v1/market/intervals/noon")
        .await
        .refused(422, "invalid_time");
    let unknown = client
        .get("/api/v1/market/intervals/2020-01-01T00:00:00Z")
        .await;
    unknown.refused(404, "unknown_interval");
    let found = client
        .get("/api/v1/market/intervals/2026-06-21T11:59:50Z")
        .await
        .json();
    assert_eq!(found["phase"], "delivering");
}
