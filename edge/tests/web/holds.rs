//! Operators hold units; viewers look on.

use serde_json::{Value, json};

use super::{
    appliance::Appliance,
    client::{Answer, Client},
};

const HOLD: &str = "/api/v1/units/93/hold";

async fn put(client: &Client, path: &str, body: &Value) -> Answer {
    let json = [("content-type", "application/json")];
    client.send("PUT", path, &json, body.to_string()).await
}

#[tokio::test]
async fn an_operator_holds_a_unit_and_gives_it_back() {
    let appliance = Appliance::enrolled("holds").await;
    let client = &appliance.client;
    assert_eq!(client.get("/api/v1/holds").await.json(), json!([]));
    let held = put(client, HOLD, &json!({ "p_w": 20e3, "lasts_s": 900 })).await;
    assert_eq!(held.status, 200, "{:?}", held.body);
    let expected = json!({
        "unit": 93, "origin": "operator", "by": "user ada", "p_w": 20e3, "q_var": 0.0,
        "until": "in 900 s", "in_force": true,
    });
    assert_eq!(held.json(), expected);
    assert_eq!(client.get("/api/v1/holds").await.json(), json!([expected]));
    let back = client.delete(HOLD).await;
    assert_eq!(back.status, 200);
    assert_eq!(back.json(), json!([]));
}

#[tokio::test]
async fn what_cannot_be_held_is_refused_with_the_reason() {
    let appliance = Appliance::enrolled("holds-refused").await;
    let viewer = appliance.viewer().await;
    let hold = json!({ "p_w": 20e3, "q_var": 1e3, "lasts_s": 60 });
    for (client, path, body, status, error) in [
        (&viewer, HOLD, hold.clone(), 403, "not_allowed"),
        (
            &appliance.client,
            "/api/v1/units/9/hold",
            hold.clone(),
            404,
            "unknown_unit",
        ),
        (
            &appliance.client,
            "/api/v1/units/x/hold",
            hold.clone(),
            422,
            "invalid_path",
        ),
        (
            &appliance.client,
            HOLD,
            json!({ "p_w": 1e6, "lasts_s": 60 }),
            422,
            "out_of_range",
        ),
        (
            &appliance.client,
            HOLD,
            json!({ "p_w": 1e3, "lasts_s": 9 }),
            422,
            "lasts_s",
        ),
        (
            &appliance.client,
            HOLD,
            json!({ "p_w": 1e3, "lasts_s": 86_401 }),
            422,
            "lasts_s",
        ),
        (
            &appliance.client,
            HOLD,
            json!({ "p_w": 1e3 }),
            422,
            "invalid_body",
        ),
        (
            &appliance.client,
            HOLD,
            json!({ "p_w": 1e3, "lasts_s": 60, "q": 1 }),
            422,
            "invalid_body",
        ),
    ] {
        let answer = put(client, path, &body).await;
        let told: Value = answer.json();
        assert_eq!(answer.status, status, "{path} {body}");
        assert_eq!(told["error"], error, "{path} {body}");
    }
    assert_eq!(viewer.delete(HOLD).await.status, 403);
    assert_eq!(viewer.get("/api/v1/holds").await.json(), json!([]));
}

#[tokio::test]
async fn an_operator_opens_a_breaker() {
    const BREAKERS: &str = "/api/v1/breakers";
    let appliance = Appliance::enrolled("breakers").await;
    let (client, viewer) = (&appliance.client, appliance.viewer().await);
    let listed = json!([{ "breaker": "rtu1/bay1_breaker", "closed": true }]);
    assert_eq!(viewer.get(BREAKERS).await.json(), listed);
    let open = json!({ "breaker": "rtu1/bay1_breaker", "closed": false });
    let close = json!({ "breaker": "rtu1/bay1_breaker", "closed": true });
    let unknown = json!({ "breaker": "rtu1/bay2_breaker", "closed": true });
    let done = client.post(BREAKERS, &open).await;
    assert_eq!(done.status, 200, "{:?}", done.body);
    assert_eq!(done.json(), open);
    for (client, body, status, error) in [
        (&viewer, &open, 403, "not_allowed"),
        (client, &close, 409, "already_there"),
        (client, &unknown, 404, "unknown_breaker"),
    ] {
        let answer = client.post(BREAKERS, body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.json()["error"], error, "{body}");
    }
}
