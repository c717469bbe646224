//! Bad input gets a clear error that says what and where, and changes nothing.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Plan, Stack, wait},
};
use serde_json::{Value, json};

#[test]
fn a_broken_site_names_every_problem_and_exits_78() -> Result<()> {
    let stack = Stack::start(Plan::for_test("broken-site", "noon")?)?;
    let site = fs::read_to_string(stack.site())?;
    let broken = site
        .replacen("poll_s", "pol_s", 1)
        .replacen("id = 101", "id = 999", 1)
        .replacen("u_max_pu = 1.05", "u_max_pu = 0.90", 1);
    ensure!(
        broken != site,
        "the example site no longer has what this test breaks"
    );
    fs::write(stack.site(), broken)?;
    let output = Command::new(stack.plan.bin.join("busbar"))
        .args(["check", "--site"])
        .arg(stack.site())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    ensure!(output.status.code() == Some(78), "exit {:?}", output.status);
    for named in ["pol_s", "999", "u_max_pu"] {
        ensure!(text.contains(named), "`{named}` is not named");
    }
    let run = Command::new(stack.plan.bin.join("busbar"))
        .args(["run", "--site"])
        .arg(stack.site())
        .output()?;
    ensure!(
        run.status.code() == Some(78),
        "`run` started on a broken site: {:?}",
        run.status
    );
    Ok(())
}

fn manual_orders(client: &Client) -> Result<Vec<Value>> {
    let orders = client.json("/api/v1/market/orders")?;
    let orders = orders.as_array().context("no list")?;
    Ok(orders
        .iter()
        .filter(|o| o["placed_by"] == "api")
        .cloned()
        .collect())
}

#[test]
fn bad_orders_are_refused_in_words_and_change_nothing() -> Result<()> {
    let mut stack = Stack::start(Plan::for_test("bad-orders", "noon")?)?;
    stack.start_edge()?;
    let client = stack.login()?;
    let open = || -> Option<String> {
        let intervals = client.json("/api/v1/market/intervals").ok()?;
        let list = intervals.as_array()?;
        list.iter()
            .filter(|i| i["phase"] == "open")
            .filter_map(|i| i["start"].as_str())
            .max()
            .map(str::to_owned)
    };
    ensure!(
        wait(Duration::from_secs(20), || open().is_some()),
        "no open interval"
    );
    let interval = open().context("no open interval")?;
    let network = client.json("/api/v1/network")?;
    let wind = network["units"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|u| u["id"] == 101);
    let good = json!({
        "client_id": "good", "node": 7, "unit": 101, "participant": wind.context("no wind")?["participant"],
        "interval": interval, "direction": "sell",
        "steps": [{"quantity_w": 100_000, "price_per_mwh": 30.0}],
    });
    let with = |key: &str, value: Value| {
        let mut order = good.clone();
        order["client_id"] = format!("bad-{key}").into();
        order[key] = value;
        order
    };
    let step = |q: Value, p: Value| json!([{"quantity_w": q, "price_per_mwh": p}]);
    let bad = [
        with("node", json!(4711)),
        with("unit", json!(4711)),
        with("participant", json!("nobody")),
        with("direction", json!("steal")),
        with("interval", json!("yesterday")),
        with("interval", json!("2020-01-01T00:00:00Z")),
        with("steps", json!([])),
        with("steps", step(json!(-5), json!(30.0))),
        with("steps", step(json!(0), json!(30.0))),
        with("steps", step(json!(99_000_000), json!(30.0))),
        with("steps", step(json!(100), json!(1e12))),
        with("colour", json!("red")),
    ];
    for order in &bad {
        let answer = client.post("/api/v1/market/orders", order)?;
        let message = answer.body["message"].as_str().unwrap_or_default();
        println!("{} {}: {message}", answer.status, answer.body["error"]);
        ensure!(
            (400..500).contains(&answer.status),
            "{order}: {} {}",
            answer.status,
            answer.body
        );
        ensure!(!message.is_empty(), "{order} is refused without a word");
    }
    let raw = good.to_string();
    for (what, body) in [
        ("NaN", raw.replace("30.0", "NaN")),
        ("infinity", raw.replace("30.0", "1e999")),
        ("not JSON", "{".into()),
        ("10 MB", format!("\"{}\"", "x".repeat(10_000_000))),
    ] {
        // A server that stops reading may close before the whole body is sent.
        match client.post_raw("/api/v1/market/orders", "application/json", body.as_bytes()) {
            Ok(answer) => {
                println!("{what}: {} {}", answer.status, answer.body["message"]);
                ensure!(
                    (400..500).contains(&answer.status),
                    "{what}: {}",
                    answer.status
                );
            }
            Err(error) => ensure!(what == "10 MB", "{what}: {error:#}"),
        }
    }
    ensure!(
        manual_orders(&client)?.is_empty(),
        "a bad order left something behind"
    );

    let first = client.post("/api/v1/market/orders", &good)?;
    let again = client.post("/api/v1/market/orders", &good)?;
    ensure!(
        first.status == 201 && first.body["id"] == again.body["id"],
        "{first:?} {again:?}"
    );
    ensure!(
        manual_orders(&client)?.len() == 1,
        "the same order twice is two orders"
    );
    ensure!(stack.edge_runs()?, "the appliance ended");
    Ok(())
}
