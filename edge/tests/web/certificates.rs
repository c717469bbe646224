//! Whom the link to the market above trusts, by HTTP.

use serde_json::{Value, json};

use super::appliance::{Appliance, SOUTH};

const PATH: &str = "/api/v1/market/certificates";

#[tokio::test]
async fn an_operator_trusts_and_turns_away_and_a_viewer_looks() {
    let appliance = Appliance::enrolled("certificates").await;
    let (ada, bob) = (&appliance.client, appliance.viewer().await);
    let standing = async || {
        let seen = bob.get(PATH).await.json();
        let one = &seen[0];
        assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
        assert_eq!(one["sha256"], SOUTH);
        assert_eq!(one["names"], json!(["urn:busbar:south", "localhost"]));
        assert_eq!(
            (&one["name"], &one["key_bits"]),
            (&json!("south"), &json!(2048))
        );
        one["standing"].as_str().unwrap().to_owned()
    };
    assert_eq!(standing().await, "rejected");
    let path = format!("{PATH}/above/{SOUTH}");
    let headers = [("content-type", "application/json")];
    let put = async |by: &super::client::Client, path: &str, body: Value| {
        by.send("PUT", path, &headers, body.to_string()).await
    };
    let trust = json!({ "trusted": true });
    put(&bob, &path, trust.clone())
        .await
        .refused(403, "not_allowed");
    assert_eq!(standing().await, "rejected");
    let trusted = put(ada, &path, trust.clone()).await;
    assert_eq!(trusted.json()["standing"], "trusted");
    assert_eq!(standing().await, "trusted");
    // As often as it is asked for.
    put(ada, &path, trust.clone()).await;
    assert_eq!(standing().await, "trusted");
    put(ada, &path, json!({ "trusted": false })).await;
    assert_eq!(standing().await, "rejected");

    // One that was never seen comes with the request, and is what it says.
    let other = "00".repeat(32);
    let unknown = format!("{PATH}/above/{other}");
    put(ada, &unknown, trust.clone())
        .await
        .refused(404, "unknown_certificate");
    let pem = include_str!("south.pem");
    let with = |pem: &str| json!({ "trusted": true, "pem": pem });
    let words = put(ada, &unknown, with(pem))
        .await
        .refused(422, "certificate");
    assert!(words.contains(SOUTH), "{words}");
    put(ada, &path, with("no certificate"))
        .await
        .refused(422, "certificate");
    put(ada, &format!("{PATH}/tenants/{SOUTH}"), trust.clone())
        .await
        .refused(404, "unknown_link");
    put(ada, &format!("{PATH}/above/..%2fown"), trust)
        .await
        .refused(422, "invalid_path");
    assert_eq!(standing().await, "rejected");
    assert_eq!(
        put(ada, &path, with(pem)).await.json()["standing"],
        "trusted"
    );
}
