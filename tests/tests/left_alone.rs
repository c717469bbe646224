//! `kill -9` of the appliance: the devices fall back by themselves, and the restarted appliance
//! goes on without losing an accepted order or dispatching anything stale.

#![expect(clippy::print_stdout, reason = "a system test shows its figures")]

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Plan, Stack, wait},
};
use serde_json::{Value, json};

/// Lease of a setpoint in the example site, s.
const LEASE_S: f64 = 15.0;
/// Poll period in the example site, s.
const POLL_S: f64 = 1.0;

fn units(truth: &Value) -> impl Iterator<Item = &Value> {
    truth["units"].as_array().into_iter().flatten()
}

fn controlled(stack: &Stack) -> Result<Vec<i64>> {
    let truth = stack.truth()?;
    let held = units(&truth).filter(|u| u["controlled"] == true);
    Ok(held.filter_map(|u| u["id"].as_i64()).collect())
}

#[test]
fn killed_devices_fall_back_and_the_restart_loses_nothing() -> Result<()> {
    let mut stack = Stack::start(Plan::for_test("left-alone", "noon")?)?;
    stack.start_edge()?;
    let client = stack.login()?;
    let all = units(&stack.truth()?).count();
    ensure!(
        wait(Duration::from_secs(60), || controlled(&stack)
            .is_ok_and(|c| c.len() == all)),
        "not every unit is under control after 60 s: {:?} of {all}",
        controlled(&stack)?
    );

    let order = place_order(&client)?;
    let fallbacks = client.json("/api/v1/dispatch")?;
    let killed = Instant::now();
    stack.kill_edge()?;
    ensure!(
        wait(Duration::from_secs(60), || controlled(&stack)
            .is_ok_and(|c| c.is_empty())),
        "still controlled 60 s after kill -9: {:?}",
        controlled(&stack)?
    );
    let fell_back = killed.elapsed().as_secs_f64();
    println!(
        "every device left alone {fell_back:.1} s after kill -9 (lease {LEASE_S} s + poll {POLL_S} s)"
    );
    ensure!(
        fell_back <= LEASE_S + POLL_S + 1.0,
        "fell back only after {fell_back:.1} s"
    );
    at_fallback(&stack, &fallbacks)?;

    let restarted = Instant::now();
    stack.start_edge()?;
    let client = stack.login()?;
    let online = || {
        let devices = client.json("/api/v1/devices").unwrap_or_default();
        let mut list = devices.as_array().into_iter().flatten().peekable();
        list.peek().is_some() && list.all(|d| d["state"] == "online" && d["polls"] != 0)
    };
    ensure!(
        wait(Duration::from_secs(20), online),
        "not polling 20 s after the restart"
    );
    println!(
        "polling every device {:.2} s after the restart",
        restarted.elapsed().as_secs_f64()
    );

    let orders = client.json("/api/v1/market/orders")?;
    let kept = orders
        .as_array()
        .into_iter()
        .flatten()
        .any(|o| o["id"] == order["id"]);
    ensure!(kept, "order {order} was lost: {orders}");
    nothing_stale(&stack, &client)
}

/// An order of a unit for the last open interval.
fn place_order(client: &Client) -> Result<Value> {
    let intervals = client.json("/api/v1/market/intervals")?;
    let open = intervals
        .as_array()
        .into_iter()
        .flatten()
        .filter(|i| i["phase"] == "open");
    let start = open
        .filter_map(|i| i["start"].as_str())
        .max()
        .context("no open interval")?;
    let network = client.json("/api/v1/network")?;
    let unit = network["units"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|u| u["id"] == 101);
    let unit = unit.context("no unit 101")?;
    let order = json!({
        "client_id": "kept-over-kill-9", "node": unit["node"], "unit": 101,
        "participant": unit["participant"], "interval": start, "direction": "sell",
        "steps": [{"quantity_w": 1_000_000, "price_per_mwh": 25.0}],
    });
    let answer = client.post("/api/v1/market/orders", &order)?;
    ensure!(
        answer.status == 201,
        "{order} was not accepted: {} {}",
        answer.status,
        answer.body
    );
    Ok(answer.body)
}

/// Whether a unit of the truth is held at its fallback, or released where its device knows no other
/// (SunSpec 123), and delivers no more than that.
fn falls_back(unit: &Value, dispatched: &Value) -> bool {
    let (Some(fallback), Some(p)) = (dispatched["fallback_p_w"].as_f64(), unit["p_w"].as_f64())
    else {
        return false;
    };
    // The devices' setting has a grid of 0.01 % of nameplate; the largest is 7.5 MW.
    let near = |w: f64| (w - fallback).abs() <= 750.0;
    let held = match (unit["limit_w"].as_f64(), unit["set_w"].as_f64()) {
        (Some(limit), _) => near(limit),
        (None, Some(set)) => near(set) && near(p),
        (None, None) => matches!(unit["id"].as_i64(), Some(94 | 100)),
    };
    held && p <= fallback + 750.0
}

/// Fallbacks take effect at once; powers follow at each device's own ramp.
fn at_fallback(stack: &Stack, dispatched: &Value) -> Result<()> {
    let of = |unit: &Value| {
        let mut rows = dispatched.as_array().into_iter().flatten();
        rows.find(|row| row["unit"] == unit["id"])
            .cloned()
            .unwrap_or_default()
    };
    let reached = || {
        stack
            .truth()
            .is_ok_and(|t| units(&t).all(|u| falls_back(u, &of(u))))
    };
    if !wait(Duration::from_secs(30), reached) {
        let truth = stack.truth()?;
        let not: Vec<_> = units(&truth).filter(|u| !falls_back(u, &of(u))).collect();
        anyhow::bail!("not at their fallback: {not:?} of {dispatched}");
    }
    thread::sleep(Duration::from_secs(1));
    let truth = stack.truth()?;
    let u_max = truth["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|n| n["u_pu"].as_f64());
    let u_max = u_max.fold(0.0, f64::max);
    println!("highest voltage with every device at its fallback: {u_max:.4} pu");
    ensure!(u_max <= 1.052, "the fallback is not a safe state: {u_max}");
    Ok(())
}

/// Whatever is dispatched after the restart belongs to an interval that has not ended.
fn nothing_stale(stack: &Stack, client: &Client) -> Result<()> {
    let mut seen = 0;
    for _ in 0..30 {
        let status = client.json("/api/v1/status")?;
        let dispatch = client.json("/api/v1/dispatch")?;
        for row in dispatch.as_array().into_iter().flatten() {
            seen += 1;
            let (interval, now) = (row["interval"].as_str(), status["interval"].as_str());
            ensure!(interval >= now, "stale: {row} while {now:?} is delivered");
        }
        thread::sleep(Duration::from_secs(1));
    }
    ensure!(
        seen > 0,
        "nothing was dispatched in 30 s after the restart:\n{}",
        stack.log("busbar")
    );
    Ok(())
}
