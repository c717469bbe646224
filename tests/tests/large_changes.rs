//! On the way from one dispatch to the next: orders that turn generators and batteries over from
//! interval to interval, between devices of different speeds, and the feeder within its limits all
//! the way, in the simulator's physics.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Plan, Stack, wait},
    truth::{Row, extremes, rows},
};
use serde_json::{Value, json};

/// Intervals that take part.
const ROUNDS: usize = 4;
const DAY_MS: i64 = 86_400_000;
const INTERVAL_MS: i64 = 10_000;

/// Units that turn over, and what each is ordered to do in turns: direction, W. The wind farm
/// (101), the diesel at the same feeder's other end (103), both batteries.
const TURNS: [[(i64, &str, i64); 4]; 2] = [
    [
        (101, "sell", 1_500_000),
        (103, "sell", 1_550_000),
        (106, "sell", 600_000),
        (107, "sell", 200_000),
    ],
    [
        (101, "sell", 7_500_000),
        (103, "sell", 1),
        (106, "buy", 600_000),
        (107, "buy", 200_000),
    ],
];

#[test]
fn large_changes_stay_within_limits_on_the_way() -> Result<()> {
    let mut stack = Stack::start(Plan::for_test("large-changes", "noon")?)?;
    // The wind farm may rise as fast as its device can, ten times as fast as in the example.
    let site = fs::read_to_string(stack.site())?;
    let fast = site.replace("ramp_w_per_s = 150000\n", "ramp_w_per_s = 1500000\n");
    ensure!(fast != site, "the example's wind farm has another ramp");
    fs::write(stack.site(), fast)?;
    stack.start_edge()?;
    let client = stack.login()?;

    // The first intervals find the feeder uncontrolled.
    let mut starts = Vec::new();
    // Between a gate and the next start one less is open.
    let enough = wait(Duration::from_secs(15), || {
        starts = open_intervals(&client).unwrap_or_default();
        starts.len() >= 2 + ROUNDS
    });
    ensure!(enough, "only {starts:?} are open");
    let starts = &starts[2..2 + ROUNDS];
    for (k, start) in starts.iter().enumerate() {
        place(&client, start, TURNS[k % 2])?;
    }
    let last = &starts[ROUNDS - 1];
    let ended = || find(&client, last).is_ok_and(|i| i["phase"] == "settled");
    ensure!(
        wait(Duration::from_secs(150), ended),
        "the last round is not settled: {}",
        find(&client, last)?
    );

    let history = rows(&stack.control.json("/history")?);
    for start in starts {
        let interval = find(&client, start)?;
        let wind = interval["awards"].as_array().into_iter().flatten();
        let wind = wind.clone().find(|a| a["unit"] == 101);
        let wind_w = wind.and_then(|a| a["p_w"].as_f64());
        let at = extremes(&of(&history, start)?, 0).context("no history")?;
        println!(
            "{start}: wind {:.2} MW, {:.4} to {:.4} pu, loading {:.4}",
            wind_w.unwrap_or_default() * 1e-6,
            at.u_min,
            at.u_max,
            at.loading_max
        );
        ensure!(
            at.u_max <= 1.052 && at.u_min >= 0.948,
            "voltage left its band: {at:?}"
        );
        ensure!(at.loading_max <= 1.0, "a branch is overloaded: {at:?}");
    }
    large_indeed(&client, starts)
}

/// The awards did turn over.
fn large_indeed(client: &Client, starts: &[String]) -> Result<()> {
    for (unit, least_w) in [(101, 2e6), (103, 1e6), (106, 1e6)] {
        let mut awards = Vec::new();
        for start in starts {
            let interval = find(client, start)?;
            let rows = interval["awards"].as_array().context("no awards")?;
            let row = rows.iter().find(|a| a["unit"] == unit);
            awards.push(row.and_then(|a| a["p_w"].as_f64()).context("no award")?);
        }
        let turned = awards.windows(2).all(|w| (w[1] - w[0]).abs() > least_w);
        ensure!(turned, "unit {unit} was awarded {awards:?}");
    }
    Ok(())
}

/// The rows of the interval that begins at `start`.
fn of(history: &[Row], start: &str) -> Result<Vec<Row>> {
    let part = |range| -> Result<i64> {
        let text: &str = start.get(range).context("no time")?;
        Ok(text.parse()?)
    };
    let begin_ms = 1000 * (3600 * part(11..13)? + 60 * part(14..16)? + part(17..19)?);
    let within = |r: &&Row| (r.t_unix_ms - begin_ms).rem_euclid(DAY_MS) < INTERVAL_MS;
    Ok(history.iter().filter(within).copied().collect())
}

fn find(client: &Client, start: &str) -> Result<Value> {
    client.json(&format!("/api/v1/market/intervals/{start}"))
}

fn open_intervals(client: &Client) -> Result<Vec<String>> {
    let intervals = client.json("/api/v1/market/intervals")?;
    let all = intervals.as_array().into_iter().flatten();
    let mut open: Vec<String> = all
        .filter(|i| i["phase"] == "open")
        .filter_map(|i| i["start"].as_str().map(str::to_owned))
        .collect();
    open.sort();
    Ok(open)
}

fn place(client: &Client, start: &str, turn: [(i64, &str, i64); 4]) -> Result<()> {
    let network = client.json("/api/v1/network")?;
    for (id, direction, quantity_w) in turn {
        let mut units = network["units"].as_array().into_iter().flatten();
        let unit = units
            .find(|u| u["id"] == id)
            .with_context(|| format!("no unit {id}"))?;
        // Before everybody else, as far as limits let it.
        let price = if direction == "sell" { -100 } else { 1000 };
        let order = json!({
            "client_id": format!("turn-{id}-{start}"), "node": unit["node"], "unit": id,
            "participant": unit["participant"], "interval": start, "direction": direction,
            "steps": [{"quantity_w": quantity_w, "price_per_mwh": price}],
        });
        let answer = client.post("/api/v1/market/orders", &order)?;
        ensure!(
            answer.status == 201,
            "{order}: {} {}",
            answer.status,
            answer.body
        );
    }
    Ok(())
}
