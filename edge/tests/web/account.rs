//! Enrolment, login, logout, roles.

use serde_json::json;

use super::{
    appliance::{Appliance, PASSWORD, login, order},
    client::Client,
};

#[tokio::test]
async fn enrolment_works_once_and_before_it_nothing_else_does() {
    let mut appliance = Appliance::new("enrol").await;
    let code = appliance.code.clone();
    let client = &mut appliance.client;
    let session = client.get("/api/v1/session").await.json();
    assert_eq!(
        session,
        json!({ "enrolled": false, "user": null, "role": null })
    );
    client
        .get("/api/v1/status")
        .await
        .refused(403, "not_enrolled");
    client
        .post("/api/v1/login", &login("ada", PASSWORD))
        .await
        .refused(403, "not_enrolled");

    let with = |code: &str| json!({ "code": code, "user": "ada", "password": PASSWORD });
    let wrong = client
        .post("/api/v1/enrol", &with("aaaaaaaaaaaaaaaaaaaaaaaaaa"))
        .await;
    wrong.refused(403, "wrong_code");
    let short = json!({ "code": code, "user": "ada", "password": "short" });
    let words = client
        .post("/api/v1/enrol", &short)
        .await
        .refused(422, "unfit_user");
    assert!(words.contains("10 characters"), "{words}");

    let enrolled = client.post("/api/v1/enrol", &with(&code)).await;
    assert_eq!(enrolled.status, 200);
    assert_eq!(
        enrolled.json(),
        json!({ "enrolled": true, "user": "ada", "role": "operator" })
    );
    client
        .post("/api/v1/enrol", &with(&code))
        .await
        .refused(409, "already_enrolled");
    client
        .get("/api/v1/status")
        .await
        .refused(401, "not_logged_in");
    client.keep(&enrolled);
    assert_eq!(client.get("/api/v1/status").await.status, 200);
}

#[tokio::test]
async fn the_cookie_is_unguessable_and_out_of_reach_of_scripts_and_foreign_pages() {
    let mut appliance = Appliance::enrolled("cookie").await;
    let client = &mut appliance.client;
    let again = client.post("/api/v1/login", &login("ada", PASSWORD)).await;
    let cookie = again.header("set-cookie");
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
    assert_eq!(
        pair.len(),
        "busbar_session=".len() + 52,
        "256 bit in base 32"
    );
    assert_ne!(Some(pair), client.cookie.as_deref(), "a new one each time");

    let out = client.send("POST", "/api/v1/logout", &[], "").await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    client
        .get("/api/v1/status")
        .await
        .refused(401, "not_logged_in");
    client.keep(&again);
    assert_eq!(client.get("/api/v1/session").await.json()["user"], "ada");
    client.cookie = Some("busbar_session=".to_owned());
    client
        .get("/api/v1/status")
        .await
        .refused(401, "not_logged_in");
}

#[tokio::test]
async fn a_viewer_looks_and_does_not_touch() {
    let appliance = Appliance::enrolled("viewer").await;
    let viewer = appliance.viewer().await;
    assert_eq!(viewer.get("/api/v1/points").await.status, 200);
    let words = viewer
        .post("/api/v1/market/orders", &order())
        .await
        .refused(403, "not_allowed");
    assert!(words.contains("bob"), "{words}");
    viewer
        .delete("/api/v1/market/orders/1")
        .await
        .refused(403, "not_allowed");
    let ack = viewer.send("POST", "/api/v1/alarms/7/ack", &[], "").await;
    ack.refused(403, "not_allowed");
    viewer
        .get("/api/v1/users")
        .await
        .refused(403, "not_allowed");
    let eve = json!({ "user": "eve", "password": PASSWORD, "role": "operator" });
    viewer
        .post("/api/v1/users", &eve)
        .await
        .refused(403, "not_allowed");
    assert_eq!(
        appliance.published.borrow().orders.len(),
        1,
        "nothing was placed"
    );

    appliance.client.post("/api/v1/users", &eve).await;
    let twice = appliance.client.post("/api/v1/users", &eve).await;
    twice.refused(409, "user_exists");
    let users = appliance.client.get("/api/v1/users").await.json();
    assert_eq!(users[1], json!({ "user": "bob", "role": "viewer" }));
}

#[tokio::test]
async fn a_new_password_ends_every_session_by_the_old_one() {
    let appliance = Appliance::enrolled("password").await;
    let bob = appliance.viewer().await;
    let elsewhere = {
        let mut client = Client::new(appliance.client.server);
        let answer = client.post("/api/v1/login", &login("bob", PASSWORD)).await;
        client.keep(&answer);
        client
    };
    let set = |password: &str, current: Option<&str>| match current {
        Some(current) => json!({ "password": password, "current": current }),
        None => json!({ "password": password }),
    };
    let own = "/api/v1/users/bob/password";
    for current in [None, Some("wrong password")] {
        let refused = bob.post(own, &set("another horse", current)).await;
        refused.refused(403, "wrong_password");
    }
    bob.post(own, &set("short", Some(PASSWORD)))
        .await
        .refused(422, "unfit_user");
    let others = bob
        .post(
            "/api/v1/users/ada/password",
            &set("another horse", Some(PASSWORD)),
        )
        .await;
    others.refused(403, "not_allowed");
    assert_eq!(
        bob.get("/api/v1/status").await.status,
        200,
        "nothing changed"
    );

    let done = bob.post(own, &set("another horse", Some(PASSWORD))).await;
    assert_eq!(done.status, 204, "{:?}", done.body);
    for client in [&bob, &elsewhere] {
        let ended = client.get("/api/v1/status").await;
        ended.refused(401, "not_logged_in");
    }
    let old = bob.post("/api/v1/login", &login("bob", PASSWORD)).await;
    old.refused(401, "wrong_login");
    let new = bob
        .post("/api/v1/login", &login("bob", "another horse"))
        .await;
    assert_eq!(new.status, 200);

    // An operator needs no password but its own session for somebody else's.
    let reset = appliance
        .client
        .post(own, &set("a third horse", None))
        .await;
    assert_eq!(reset.status, 204);
    let mut again = bob.clone();
    again.keep(&new);
    again
        .get("/api/v1/status")
        .await
        .refused(401, "not_logged_in");
    let nobody = appliance
        .client
        .post("/api/v1/users/nobody/password", &set("a third horse", None))
        .await;
    nobody.refused(404, "unknown_user");
    let own = appliance
        .client
        .post("/api/v1/users/ada/password", &set("a third horse", None))
        .await;
    own.refused(403, "wrong_password");
}

#[tokio::test]
async fn trying_out_ones_own_password_is_slowed_down() {
    let appliance = Appliance::enrolled("own-password").await;
    let guess = json!({ "password": "another horse", "current": "wrong password" });
    for _ in 0..5 {
        let path = "/api/v1/users/ada/password";
        let refused = appliance.client.post(path, &guess).await;
        // Enrolment has another bucket.
        refused.refused(403, "wrong_password");
    }
    let path = "/api/v1/users/ada/password";
    let limited = appliance.client.post(path, &guess).await;
    limited.refused(429, "too_many_attempts");
}

#[tokio::test]
async fn a_removed_user_is_out_at_once_and_somebody_is_left() {
    let appliance = Appliance::enrolled("remove").await;
    let bob = appliance.viewer().await;
    bob.delete("/api/v1/users/ada")
        .await
        .refused(403, "not_allowed");
    let client = &appliance.client;
    client
        .delete("/api/v1/users/nobody")
        .await
        .refused(404, "unknown_user");
    let last = client.delete("/api/v1/users/ada").await;
    let words = last.refused(409, "last_operator");
    assert!(words.contains("another operator"), "{words}");

    let gone = client.delete("/api/v1/users/bob").await;
    assert_eq!(gone.status, 200);
    assert_eq!(gone.json(), json!({ "user": "bob", "role": "viewer" }));
    bob.get("/api/v1/status")
        .await
        .refused(401, "not_logged_in");
    bob.post("/api/v1/login", &login("bob", PASSWORD))
        .await
        .refused(401, "wrong_login");

    let eve = json!({ "user": "eve", "password": PASSWORD, "role": "operator" });
    assert_eq!(client.post("/api/v1/users", &eve).await.status, 201);
    assert_eq!(client.delete("/api/v1/users/ada").await.status, 200);
    client
        .get("/api/v1/users")
        .await
        .refused(401, "not_logged_in");
}

#[tokio::test]
async fn guessing_is_slowed_down_per_user_and_address() {
    let appliance = Appliance::enrolled("guess").await;
    let mut guesser = Client::new(appliance.client.server);
    for user in ["ada", "nobody"] {
        for _ in 0..5 {
            let refused = guesser
                .post("/api/v1/login", &login(user, "wrong password"))
                .await;
            refused.refused(401, "wrong_login");
        }
        let limited = guesser.post("/api/v1/login", &login(user, PASSWORD)).await;
        limited.refused(429, "too_many_attempts");
        let wait: u64 = limited.header("retry-after").parse().unwrap();
        assert!((1..=31).contains(&wait), "{wait}");
    }
    guesser.from = "127.0.0.2";
    let elsewhere = guesser.post("/api/v1/login", &login("ada", PASSWORD)).await;
    assert_eq!(
        elsewhere.status, 200,
        "the user is not locked out elsewhere"
    );
}

#[tokio::test]
async fn enrolment_codes_cannot_be_tried_out() {
    let appliance = Appliance::new("codes").await;
    let wrong = json!({ "code": "x", "user": "ada", "password": PASSWORD });
    for _ in 0..5 {
        appliance
            .client
            .post("/api/v1/enrol", &wrong)
            .await
            .refused(403, "wrong_code");
    }
    let limited = appliance.client.post("/api/v1/enrol", &wrong).await;
    limited.refused(429, "too_many_attempts");
}

#[tokio::test]
async fn a_foreign_page_cannot_act_for_who_is_logged_in() {
    let appliance = Appliance::enrolled("foreign").await;
    let own = format!("http://{}", appliance.client.server);
    let json = ("content-type", "application/json");
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let headers = [json, ("origin", origin)];
        let body = order().to_string();
        let refused = appliance
            .client
            .send("POST", "/api/v1/market/orders", &headers, body)
            .await;
        refused.refused(403, "foreign_origin");
        let headers = [("origin", origin)];
        let refused = appliance
            .client
            .send("POST", "/api/v1/logout", &headers, "")
            .await;
        refused.refused(403, "foreign_origin");
    }
    let headers = [json, ("origin", &*own)];
    let body = order().to_string();
    let accepted = appliance
        .client
        .send("POST", "/api/v1/market/orders", &headers, body)
        .await;
    assert_eq!(accepted.status, 201);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let form = appliance
        .client
        .send("POST", "/api/v1/login", &form, "user=ada")
        .await;
    form.refused(415, "not_json");
}
