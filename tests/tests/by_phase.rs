//! A feeder whose phases differ, over real sockets: the sun of single phases would lift one of them beyond its
//! limit; the market holds it there, in the simulator's own physics, settles, and the record says the same again.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    stack::{self, Plan, Stack, wait, workspace},
    truth::{Row, extremes, rows},
};
use serde_json::Value;

/// As the limits of the site are, and what meters and loads do within an interval.
const U_MAX_PU: f64 = 1.05 + 0.002;

#[test]
fn the_market_holds_each_phase() -> Result<()> {
    let mut stack = Stack::start(Plan::for_test("by-phase", "ieee13")?)?;
    take_over_site(&stack)?;
    let before = phase_c_of_13(&stack.truth()?)?;
    ensure!(
        before > 1.0525,
        "the noon does not strain phase c: {before}"
    );
    stack.start_edge()?;
    let client = stack.login()?;
    let third = stack::third_interval(&client)?;
    let cleared = || -> Result<Value> {
        let all = client.json("/api/v1/market/intervals")?;
        let mut all = all.as_array().context("no intervals")?.iter();
        let settled = |i: &&Value| i["phase"] == "settled" && i["binding"][0]["phase"].is_string();
        all.find(settled).cloned().context("none settled")
    };
    ensure!(
        wait(Duration::from_secs(90), || cleared().is_ok()),
        "{}",
        stack.log("busbar")
    );
    let of = cleared()?;
    println!("{}", of["binding"][0]["text"]);
    ensure!(of["status"] == "optimal", "{of}");
    ensure!(
        of["phase_prices"]
            .as_array()
            .is_some_and(|all| !all.is_empty()),
        "{of}"
    );

    // In the physics, which the appliance never sees, in every phase, over at least two intervals.
    let seen = || -> Result<Row> {
        let at = extremes(&rows(&stack.control.json("/history")?), third).context("no history")?;
        ensure!(at.t_unix_ms >= third + 25_000, "too little history");
        Ok(at)
    };
    wait(Duration::from_secs(60), || seen().is_ok());
    let at = seen()?;
    println!(
        "{before:.4} pu without, {:.4} to {:.4} pu with the market",
        at.u_min, at.u_max
    );
    ensure!(at.u_max <= U_MAX_PU && at.u_min >= 0.948, "{at:?}");

    // As estimated from the wire: node 13's one phase, near what it is.
    let state = client.json("/api/v1/network/state")?;
    let estimated = of_node(&state["nodes"], 13)?["phases"].clone();
    ensure!(
        estimated.as_array().map(Vec::len) == Some(1) && estimated[0]["phase"] == "c",
        "{estimated}"
    );
    let (u, truth) = (
        estimated[0]["u_pu"].as_f64(),
        phase_c_of_13(&stack.truth()?)?,
    );
    ensure!(
        u.is_some_and(|u| (u - truth).abs() < 0.005),
        "{u:?}, it is {truth}"
    );

    stack.stop_edge()?;
    let replay = Command::new(stack.plan.bin.join("busbar"))
        .args(["replay", "--state"])
        .arg(stack.plan.dir.join("state"))
        .output()?;
    let said = String::from_utf8_lossy(&replay.stdout).into_owned();
    println!("{said}");
    ensure!(
        replay.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&replay.stderr)
    );
    Ok(())
}

/// The example by phase, moved to the plan's addresses.
fn take_over_site(stack: &Stack) -> Result<()> {
    let (plan, example) = (&stack.plan, workspace().join("edge/examples/ieee13"));
    fs::copy(example.join("network.json"), plan.dir.join("network.json"))?;
    let site = fs::read_to_string(example.join("site.toml"))?;
    let web = "listen = \"127.0.0.1:8081\"";
    ensure!(site.contains(web), "the example's web server moved");
    let site = site
        .replace(
            web,
            &format!("listen = \"{}:{}\"", plan.web_ip, plan.web_port),
        )
        .replace("127.0.0.1:", &format!("{}:", plan.ip));
    fs::write(stack.site(), site)?;
    Ok(())
}

fn of_node(nodes: &Value, id: i64) -> Result<&Value> {
    let mut nodes = nodes.as_array().into_iter().flatten();
    nodes.find(|node| node["id"] == id).context("no such node")
}

fn phase_c_of_13(truth: &Value) -> Result<f64> {
    let node = of_node(&truth["nodes"], 13)?;
    node["u_phases_pu"][2].as_f64().context("no phase c")
}
