//! `cargo xtask demo --area`: wholesale, the market of an area and three substations on one machine, held at noon.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use busbar_tests::{area::AreaStack, http::Client, stack::wait};
use serde_json::Value;

use crate::run::{say, target};

/// Runs until `stopped`, or for `time` from the first settled interval on.
#[expect(clippy::print_stdout, reason = "what passes is the demo's output")]
pub(super) fn run(port: u16, time: Option<Duration>, stopped: &AtomicBool) -> Result<()> {
    let target = target();
    let mut stack = AreaStack::start(target.join("demo-area"), target.join("release"), port)?;
    let area = stack.login()?;
    println!("\n  The area's market:  {}", stack.area_url());
    for (name, of) in &stack.substations {
        println!("  Substation {name:<6}  {}", of.url());
    }
    println!(
        "  Intervals of {} s. Exchanges in MW, positive where energy is taken from the layer above.\n",
        busbar_tests::area::INTERVAL_S
    );
    let mut told = Told::default();
    let done = || stopped.load(Ordering::Relaxed);
    let first = wait(Duration::from_secs(240), || {
        done() || told.look(&area).unwrap_or(0) > 0
    });
    ensure!(
        first,
        "no interval was settled within 240 s; the area says:\n{}",
        stack.log("area")
    );
    let begun = Instant::now();
    while !done() && time.is_none_or(|time| begun.elapsed() < time) {
        stack.all_run()?;
        told.look(&area)?;
        thread::sleep(Duration::from_secs(1));
    }
    let verdict = told.verdict();
    let hashes = told.hashes(&stack)?;
    stack.stop()?;
    for level in ["area", "north", "south", "west"] {
        let state = stack.dir.join(level).join("state");
        let said = stack.busbar(
            &["ledger", "verify", "--state", &state.display().to_string()],
            None,
        )?;
        println!(
            "  ledger of {level}: {}",
            said.lines().last().unwrap_or_default()
        );
    }
    println!("  {hashes} accounts have the same hash in both ledgers");
    verdict?;
    ensure!(hashes > 0, "no account was compared");
    say("all went well");
    Ok(())
}

/// What was seen of the area's intervals.
#[derive(Default)]
struct Told {
    printed: BTreeSet<String>,
    settled: usize,
    /// Intervals in which one tenant gave, another took, and some went up.
    neighbours: usize,
    by_award: usize,
    intervals: Vec<Value>,
}

impl Told {
    /// Prints intervals that are settled since; how many are.
    fn look(&mut self, area: &Client) -> Result<usize> {
        let view = area.json("/api/v1/area")?;
        let above = area.json("/api/v1/market/above")?;
        let all = view["intervals"].as_array().context("no intervals")?;
        for interval in all.iter().rev() {
            let start = interval["start"].as_str().unwrap_or_default().to_owned();
            if interval["phase"] != "settled" || !self.printed.insert(start) {
                continue;
            }
            self.settled += 1;
            let agreed = above["intervals"].as_array().into_iter().flatten();
            let agreed = agreed
                .into_iter()
                .find(|of| of["start"] == interval["start"]);
            print(interval, agreed)?;
            let deals = interval["deals"].as_array().context("no deals")?;
            let awarded = |deal: &Value| deal["award"]["exchange_w"].as_i64().unwrap_or(0);
            let gives = deals.iter().any(|deal| awarded(deal) < -10_000);
            let takes = deals.iter().any(|deal| awarded(deal) > 10_000);
            let up_w = interval["exchange_w"].as_f64().unwrap_or(0.0);
            self.neighbours += usize::from(gives && takes && up_w < -10_000.0);
            self.by_award += deals.iter().filter(|deal| deal["basis"] == "award").count();
            self.intervals.push(interval.clone());
        }
        Ok(self.settled)
    }

    fn verdict(&self) -> Result<()> {
        ensure!(self.settled > 0, "no interval was settled");
        ensure!(self.by_award > 0, "no exchange rests on an award");
        ensure!(
            self.neighbours > 0,
            "in no interval did a surplus serve a neighbour and then wholesale"
        );
        Ok(())
    }

    /// Accounts that a substation and the area have the same hash of; an error if one differs.
    fn hashes(&self, stack: &AreaStack) -> Result<usize> {
        let mut same = 0;
        for (name, of) in &stack.substations {
            let view = of.login()?.json("/api/v1/market/above")?;
            for theirs in view["intervals"].as_array().into_iter().flatten() {
                let ours = self
                    .intervals
                    .iter()
                    .find(|of| of["start"] == theirs["start"]);
                let deals = ours.and_then(|of| of["deals"].as_array());
                let deal = deals.and_then(|of| of.iter().find(|of| of["tenant"] == **name));
                let Some(hash) = deal.and_then(|of| of["hash"].as_str()) else {
                    continue;
                };
                ensure!(
                    theirs["hash"] == hash,
                    "{name} has another account of {}",
                    theirs["start"]
                );
                same += 1;
            }
        }
        Ok(same)
    }
}

/// An interval in a line: what each tenant exchanges at what price and on what that rests, what wholesale does;
/// then the limits that bind, the area's own and its tenants'.
#[expect(clippy::print_stdout, reason = "what passes is the demo's output")]
fn print(interval: &Value, agreed: Option<&Value>) -> Result<()> {
    let exchange = |w: &Value, price: &Value| match (w.as_f64(), price.as_f64()) {
        (Some(w), Some(price)) => format!("{:+.2} at {price:.2}", w / 1e6),
        (Some(w), None) => format!("{:+.2}", w / 1e6),
        (None, _) => "-".to_owned(),
    };
    let deals = interval["deals"].as_array().context("no deals")?;
    let each = deals.iter().map(|deal| {
        let award = &deal["award"];
        let said = match deal["basis"].as_str() {
            Some("award") => exchange(&award["exchange_w"], &award["price_per_mwh"]),
            basis => format!(
                "{} ({})",
                exchange(&deal["closed_w"], &Value::Null),
                basis.unwrap_or("silent")
            ),
        };
        format!("{} {said}", deal["tenant"].as_str().unwrap_or("?"))
    });
    let each: Vec<String> = each.collect();
    let up = exchange(
        &interval["exchange_w"],
        agreed.map_or(&Value::Null, |of| &of["price_per_mwh"]),
    );
    let basis = agreed.and_then(|of| of["basis"].as_str()).unwrap_or("none");
    let up = match basis {
        "award" => up,
        basis => format!("{up} ({basis})"),
    };
    let start = interval["start"].as_str().unwrap_or_default();
    println!(
        "  {}  {}   wholesale {up}",
        start.get(11..19).unwrap_or(start),
        each.join("   ")
    );
    let own = interval["limits"].as_array().into_iter().flatten();
    for limit in own {
        println!("            area: {}", limit.as_str().unwrap_or_default());
    }
    for deal in deals {
        for limit in deal["limits"].as_array().into_iter().flatten() {
            let tenant = deal["tenant"].as_str().unwrap_or("?");
            println!(
                "            {tenant}: {}",
                limit.as_str().unwrap_or_default()
            );
        }
    }
    Ok(())
}
