//! Batteries that ran all noon are empty: within one interval 800 kW are gone, wind takes their
//! place, and reactive power turns round with it. The feeder keeps its limits on the way.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    stack::{self, Plan, Stack, scenario_file, wait, workspace},
    truth::{extremes, rows},
};
use serde_json::Value;

const BATTERY: i64 = 106;
const FULL_W: f64 = 590e3;

#[test]
fn batteries_that_run_empty_leave_the_feeder_within_limits() -> Result<()> {
    let mut plan = Plan::for_test("batteries-run-empty", "day")?;
    plan.scenario = shortly_before()?;
    let mut stack = Stack::start(plan)?;
    stack.start_edge()?;
    let client = stack.login()?;
    let third = stack::third_interval(&client)?;
    let intervals = || -> Result<Vec<(String, String, f64)>> {
        let all = client.json("/api/v1/market/intervals")?;
        let mut rows = Vec::new();
        for interval in all.as_array().context("no intervals")? {
            let Some(p_w) = award(interval) else { continue };
            let text = |key: &str| interval[key].as_str().unwrap_or_default().to_owned();
            rows.push((text("start"), text("phase"), p_w));
        }
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(rows)
    };
    let emptied = |rows: &[(String, String, f64)]| {
        rows.windows(2)
            .find(|w| w[0].2 > FULL_W && w[1].2 < 0.5 * FULL_W && w[1].1 == "settled")
            .map(|w| w[1].0.clone())
    };
    let done = || intervals().is_ok_and(|rows| emptied(&rows).is_some());
    ensure!(
        wait(Duration::from_secs(180), done),
        "no battery was emptied: {:?}",
        intervals()?
    );

    let all = intervals()?;
    let history = rows(&stack.control.json("/history")?);
    let at = extremes(&history, third).context("no history")?;
    println!(
        "emptied in {:?}: {:.4} to {:.4} pu, loading {:.4}",
        emptied(&all),
        at.u_min,
        at.u_max,
        at.loading_max
    );
    ensure!(
        at.u_max <= 1.052 && at.u_min >= 0.948,
        "voltage left its band: {at:?}"
    );
    ensure!(at.loading_max <= 1.0, "a branch is overloaded: {at:?}");
    Ok(())
}

fn award(interval: &Value) -> Option<f64> {
    let mut awards = interval["awards"].as_array()?.iter();
    awards.find(|a| a["unit"] == BATTERY)?["p_w"].as_f64()
}

/// The day, with little left in the batteries.
fn shortly_before() -> Result<std::path::PathBuf> {
    let day = fs::read_to_string(scenario_file("day"))?;
    let network = workspace().join("sim-rtu/data/cigre_mv.json");
    let changed = day
        .replace("../data/cigre_mv.json", &network.display().to_string())
        .replace("soc = 0.6", "soc = 0.2")
        .replace("start = \"11:30\"", "start = \"12:15\"");
    ensure!(changed.matches("soc = 0.2").count() == 2, "the day changed");
    let file = std::env::temp_dir().join(format!("busbar-empty-{}.toml", std::process::id()));
    fs::write(&file, changed)?;
    Ok(file)
}
