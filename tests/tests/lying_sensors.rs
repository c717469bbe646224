//! A frozen, a sign-flipped and a ten-sigma measurement are each named as bad data, and the
//! market's result stays AC-feasible, by its own check and in the simulator's physics.

#![expect(clippy::print_stdout, reason = "a system test shows its figures")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Plan, Stack, wait},
    truth::{extremes, rows},
};
use serde_json::{Value, json};

/// Whether a point is among the rejected, and why.
fn rejected(client: &Client, point: &str) -> Option<Value> {
    let state = client.json("/api/v1/network/state").ok()?;
    state["rejected"]
        .as_array()?
        .iter()
        .find(|r| r["point"] == point)
        .cloned()
}

/// Whether bad data at a point stands as an alarm.
fn standing_alarm(client: &Client, point: &str) -> bool {
    let alarms = client.json("/api/v1/alarms").unwrap_or_default();
    let mut list = alarms.as_array().into_iter().flatten();
    list.any(|a| a["code"] == "bad_data" && a["source"] == point && a["cleared"].is_null())
}

#[test]
fn lies_are_named_and_the_market_stays_feasible() -> Result<()> {
    let mut stack = Stack::start(Plan::for_test("lying-sensors", "noon")?)?;
    stack.start_edge()?;
    let client = stack.login()?;
    let awarded = || {
        let dispatch = client.json("/api/v1/dispatch").unwrap_or_default();
        dispatch.as_array().is_some_and(|rows| !rows.is_empty())
    };
    ensure!(
        wait(Duration::from_secs(60), awarded),
        "nothing is dispatched after 60 s"
    );

    let lies = [
        ("rtu8", "bay1_u", "frozen", json!({"kind": "frozen"})),
        ("rtu3", "bay2_p", "sign_flipped", json!({"kind": "sign"})),
        (
            "rtu10",
            "bay1_u",
            "gross_error",
            json!({"kind": "spike", "value": 10.0}),
        ),
    ];
    for (device, point, reason, fault) in lies {
        let mut body = fault;
        body["device"] = device.into();
        body["point"] = point.into();
        stack.fault(&body)?;
        let name = format!("{device}/{point}");
        let named = || rejected(&client, &name).is_some_and(|r| r["reason"] == reason);
        ensure!(
            wait(Duration::from_secs(60), named),
            "{name} is not called {reason}; the state says {}",
            client.json("/api/v1/network/state")?["rejected"]
        );
        let found = rejected(&client, &name).context("gone again")?;
        println!("{name}: {}", found["text"]);
        let alarmed = || standing_alarm(&client, &name);
        ensure!(
            wait(Duration::from_secs(20), alarmed),
            "no standing alarm for {name}: {}",
            client.json("/api/v1/alarms")?
        );
    }
    stays_feasible(&stack, &client)
}

/// Three more intervals with all three lies standing.
fn stays_feasible(stack: &Stack, client: &Client) -> Result<()> {
    let since = rows(&stack.control.json("/history")?)
        .last()
        .context("no history")?
        .t_unix_ms;
    let cleared = |intervals: &Value| {
        let list = intervals.as_array().into_iter().flatten();
        list.filter(|i| !i["ac_check"].is_null())
            .filter_map(|i| i["start"].as_str())
            .max()
            .map(str::to_owned)
    };
    let first = cleared(&client.json("/api/v1/market/intervals")?);
    let mut checks = Vec::new();
    ensure!(
        wait(Duration::from_secs(90), || {
            let intervals = client.json("/api/v1/market/intervals").unwrap_or_default();
            let list = intervals.as_array().into_iter().flatten();
            checks = list
                .filter(|i| i["start"].as_str().map(str::to_owned) > first)
                .filter(|i| !i["ac_check"].is_null())
                .map(|i| i["ac_check"].clone())
                .collect();
            checks.len() >= 3
        }),
        "fewer than three intervals cleared in 90 s: {checks:?}"
    );
    ensure!(
        checks.iter().all(|c| c["ok"] == true),
        "a result is not AC-feasible: {checks:?}"
    );
    let worst = extremes(&rows(&stack.control.json("/history")?), since).context("no history")?;
    println!(
        "with three lies standing: up to {:.4} pu, loading {:.4}",
        worst.u_max, worst.loading_max
    );
    ensure!(
        worst.u_max <= 1.052 && worst.u_min >= 0.948,
        "voltage left its band: {worst:?}"
    );
    ensure!(
        worst.loading_max <= 1.0,
        "a branch is overloaded: {worst:?}"
    );
    Ok(())
}
