//! `cargo xtask demo --area`: wholesale, the market of an area and three substations on one machine, held at noon.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    area::{AGGREGATOR, AreaStack},
    http::Client,
    stack::wait,
};
use serde_json::Value;

use crate::run::{say, target};

/// How long the first interval that rests on an award may take: those whose gates were closed when the programs came up
/// have none, and each is settled an interval after it begins.
const FIRST_AWARD: Duration = Duration::from_secs(300);

/// Runs until `stopped`, or for `time` from the first settled interval on that rests on an award.
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
    println!(
        "  Waiting for the first exchange that rests on an award, {} s at most.",
        FIRST_AWARD.as_secs()
    );
    // Each interval is printed once it is settled: that is the progress.
    let first = wait(FIRST_AWARD, || {
        done() || (told.look(&area).is_ok() && told.by_award > 0)
    });
    ensure!(
        first,
        "within {} s {}; the area says:\n{}",
        FIRST_AWARD.as_secs(),
        told.so_far(),
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
    verify(&stack)?;
    println!("  {hashes} accounts have the same hash in both ledgers");
    verdict?;
    let (from, to) = told.range().context("no interval was settled")?;
    let invoice = stack.aggregated(&from, &to)?;
    println!("  {AGGREGATOR} has nothing in the substations, and one account in the area:");
    for line in invoice.lines() {
        println!("    {line}");
    }
    ensure!(hashes > 0, "no account was compared");
    say("all went well");
    Ok(())
}

/// Each level's ledger adds up.
#[expect(clippy::print_stdout, reason = "what passes is the demo's output")]
fn verify(stack: &AreaStack) -> Result<()> {
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
    /// Looks at the area, and prints intervals that are settled since.
    fn look(&mut self, area: &Client) -> Result<()> {
        let view = area.json("/api/v1/area")?;
        let above = area.json("/api/v1/market/above")?;
        self.take(&view, &above)
    }

    fn take(&mut self, view: &Value, above: &Value) -> Result<()> {
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
        Ok(())
    }

    /// What has come of it, in words.
    fn so_far(&self) -> String {
        match (self.settled, self.by_award) {
            (0, _) => "no interval was settled".to_owned(),
            (settled, 0) => format!("{settled} intervals were settled, no exchange by an award"),
            (settled, by_award) => {
                format!("{settled} intervals were settled, {by_award} exchanges by awards")
            }
        }
    }

    /// From the first of them to the end of the last.
    fn range(&self) -> Option<(String, String)> {
        let moments = |key: &str| {
            let all = self.intervals.iter().filter_map(|of| of[key].as_str());
            all.map(str::to_owned).collect::<BTreeSet<String>>()
        };
        Some((moments("start").pop_first()?, moments("end").pop_last()?))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An interval that was settled before there were offers for it is progress, and no reason to count the time.
    #[test]
    fn intervals_without_an_award_are_waited_through() {
        let interval = |start: &str, phase: &str, basis: &str| {
            json!({
                "start": start, "phase": phase, "exchange_w": -20_000.0, "limits": [],
                "deals": [{
                    "tenant": "north", "basis": basis, "closed_w": 0, "limits": [],
                    "award": { "exchange_w": 20_000, "price_per_mwh": 25.0 },
                }],
            })
        };
        let above = json!({ "intervals": [] });
        let mut told = Told::default();
        assert_eq!(told.so_far(), "no interval was settled");
        let first = interval("2026-11-23T10:00:00Z", "settled", "zero");
        let second = interval("2026-11-23T10:00:30Z", "cleared", "award");
        let view = json!({ "intervals": [second, first] });
        told.take(&view, &above).unwrap();
        told.take(&view, &above).unwrap();
        assert_eq!(
            (told.by_award, told.so_far().as_str()),
            (0, "1 intervals were settled, no exchange by an award")
        );
        let second = interval("2026-11-23T10:00:30Z", "settled", "award");
        told.take(&json!({ "intervals": [second, first] }), &above)
            .unwrap();
        assert_eq!(
            (told.by_award, told.so_far().as_str()),
            (1, "2 intervals were settled, 1 exchanges by awards")
        );
    }
}
