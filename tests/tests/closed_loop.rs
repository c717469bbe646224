//! The main job, measured in the simulator's own physics: at the stressed noon the feeder leaves
//! its limits without Busbar, and keeps them with it, at close to the optimal cost.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    stack::{self, Plan, Stack},
    truth::{extremes, rows},
};
use serde_json::Value;

/// AC optimum of this moment, per hour: pandapower 3.5.6 `runopp` on the same net, costs and limits.
const OPTIMUM_PER_H: f64 = 585.58;

/// Price of the grid above, per MWh.
const GRID_PRICE: f64 = 50.0;

/// Price of a unit, per MWh: generators 93 to 105 from 20 to 45, batteries 30.
fn price(unit: i64) -> f64 {
    if unit <= 105 {
        20.0 + 25.0 * (unit - 93) as f64 / 12.0
    } else {
        30.0
    }
}

fn cost_per_h(truth: &Value) -> Option<f64> {
    let mut cost = GRID_PRICE * truth["source"]["p_w"].as_f64()? * 1e-6;
    for unit in truth["units"].as_array()? {
        cost += price(unit["id"].as_i64()?) * unit["p_w"].as_f64()? * 1e-6;
    }
    Some(cost)
}

#[test]
fn the_loop_closes_within_limits_at_near_optimal_cost() -> Result<()> {
    let mut stack = Stack::start(Plan::for_test("closed-loop", "noon")?)?;
    thread::sleep(Duration::from_secs(5));
    let before = extremes(&rows(&stack.control.json("/history")?), 0).context("no history")?;
    println!(
        "without Busbar: highest {:.4} pu, loading {:.3}",
        before.u_max, before.loading_max
    );
    ensure!(
        before.u_max > 1.10 && before.loading_max > 1.0,
        "the noon is not stressed: {before:?}"
    );

    stack.start_edge()?;
    let client = stack.login()?;
    let third = stack::third_interval(&client)?;
    let mut costs = Vec::new();
    for _ in 0..30 {
        thread::sleep(Duration::from_secs(1));
        costs.push(cost_per_h(&stack.truth()?).context("the truth lacks a power")?);
    }
    let after = extremes(&rows(&stack.control.json("/history")?), third).context("no history")?;
    let mean = costs.iter().sum::<f64>() / costs.len() as f64;
    println!(
        "with Busbar, from the third interval: {:.4} to {:.4} pu, loading {:.4}; cost {mean:.2} per h, \
         {:+.2} % of the optimum {OPTIMUM_PER_H}",
        after.u_min,
        after.u_max,
        after.loading_max,
        100.0 * (mean / OPTIMUM_PER_H - 1.0)
    );
    ensure!(
        after.u_max <= 1.052 && after.u_min >= 0.948,
        "voltage left its band: {after:?}"
    );
    ensure!(
        after.loading_max <= 1.0,
        "a branch is overloaded: {after:?}"
    );
    ensure!(
        (mean / OPTIMUM_PER_H - 1.0).abs() < 0.03,
        "cost {mean} is not within 3 %"
    );

    let intervals = client.json("/api/v1/market/intervals")?;
    let settled = intervals
        .as_array()
        .into_iter()
        .flatten()
        .find(|i| i["phase"] == "settled");
    let settled = settled.context("no interval is settled")?;
    accounts_close(settled)?;
    loads_pay(&client, settled)
}

/// Each load bids by its agent and pays for what it takes.
fn loads_pay(client: &busbar_tests::http::Client, interval: &Value) -> Result<()> {
    let orders = client.json("/api/v1/market/orders")?;
    let network = client.json("/api/v1/network")?;
    let units = network["units"].as_array().context("no units")?;
    let loads: Vec<&Value> = units.iter().filter(|u| u["kind"] == "load").collect();
    ensure!(loads.len() == 18, "{} loads", loads.len());
    for load in loads {
        let id = &load["id"];
        let bid = orders.as_array().into_iter().flatten().any(|o| {
            o["unit"] == *id && o["interval"] == interval["start"] && o["direction"] == "buy"
        });
        ensure!(bid, "no bid of load {id}");
        let lines = interval["settlement"].as_array().context("no settlement")?;
        let line = lines.iter().find(|l| l["unit"] == *id);
        let line = line.with_context(|| format!("load {id} is not settled: {interval}"))?;
        ensure!(
            line["account"] == load["participant"],
            "{line} is not {load}'s"
        );
        ensure!(
            line["amount_micro"].as_i64() < Some(0),
            "load {id} did not pay: {line}"
        );
    }
    Ok(())
}

/// What everybody receives and pays comes to nothing, to the micro-unit.
fn accounts_close(interval: &Value) -> Result<()> {
    let lines = interval["settlement"].as_array().context("no settlement")?;
    let amounts: Vec<i64> = lines
        .iter()
        .filter_map(|l| l["amount_micro"].as_i64())
        .collect();
    ensure!(
        amounts.len() == lines.len() && amounts.len() > 10,
        "incomplete: {interval}"
    );
    ensure!(
        amounts.iter().any(|&a| a != 0),
        "nobody paid anything: {interval}"
    );
    ensure!(
        amounts.iter().sum::<i64>() == 0,
        "accounts do not close: {interval}"
    );
    Ok(())
}
