//! The whole appliance under opendnp3's master: a control centre reads it, takes a unit over and
//! gives it back, and is refused what it may not do. The simulator's physics says what came of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Stack, settled, wait},
};
use serde_json::{Value as Json, json};
use tokio::task::spawn_blocking;

use super::peer::{Peer, values};

/// The wind farm: unit 101, the ninth of the site.
const WIND: (i64, u64) = (101, 8);
/// The output of the site's first breaker that can be operated: of a bay controller over IEC 61850.
const BREAKER: u64 = 10_000;

fn number(items: &[Json], index: u64) -> Result<f64> {
    let mut of = items.iter().filter(|item| item[0] == index);
    let last = of
        .next_back()
        .with_context(|| format!("no point {index}"))?;
    ensure!(last[2] == 1, "not online: {last}");
    last[1].as_f64().context("no number")
}

fn wind(stack: &Stack) -> Result<Json> {
    let truth = stack.truth()?;
    let mut units = truth["units"].as_array().into_iter().flatten();
    let found = units.find(|u| u["id"] == WIND.0);
    Ok(found.context("no wind farm")?.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_centre_reads_and_commands_the_appliance() -> Result<()> {
    let (stack, client) = spawn_blocking(|| settled("dnp3-appliance")).await??;
    let host = stack.plan.ip.to_string();
    let mut peer = Peer::start(&["master", "20000", "1", "10", &host])?;
    let seen = peer.task("STARTUP_INTEGRITY_POLL").await?;
    reads(&seen, &client)?;

    // Nobody has said at what; then beyond nameplate; then well.
    let take = json!([
        "operate", "select", WIND.1, "crob", "LATCH_ON", "NUL", 1, 100, 100
    ]);
    ensure!(
        peer.operate(take.clone()).await? == "BLOCKED",
        "taken over at nothing"
    );
    let limit = |w: f64| json!(["operate", "direct", 2 * WIND.1, "f32", w]);
    ensure!(
        peer.operate(limit(8e6)).await? == "OUT_OF_RANGE",
        "8 of 7.5 MW"
    );
    ensure!(peer.operate(limit(1e6)).await? == "SUCCESS", "1 MW refused");
    ensure!(
        wind(&stack)?["p_w"].as_f64() > Some(3e6),
        "a preset alone did something"
    );
    ensure!(peer.operate(take).await? == "SUCCESS", "not taken over");
    let obeys = |stack: &Stack| wind(stack).is_ok_and(|w| w["p_w"].as_f64() < Some(1.01e6));
    ensure!(
        wait(Duration::from_secs(30), || obeys(&stack)),
        "{}",
        wind(&stack)?
    );
    peer.tell(json!(["scan", [10, 2]])).await?;
    let mut held = values(&peer.task("USER_TASK").await?, "Group10Var2");
    held.retain(|item| item[0].as_u64() < Some(BREAKER));
    ensure!(
        held.iter().all(|item| item[1] == (item[0] == WIND.1)) && held.len() == 15,
        "{held:?}"
    );
    // Renewed through several intervals.
    tokio::time::sleep(Duration::from_secs(25)).await;
    ensure!(obeys(&stack), "{}", wind(&stack)?);
    let dispatch = client.json("/api/v1/dispatch")?;
    let row = dispatch
        .as_array()
        .into_iter()
        .flatten()
        .find(|r| r["unit"] == WIND.0);
    ensure!(
        row.context("no setpoint")?["origin"] == "scada",
        "{dispatch}"
    );

    let back = json!([
        "operate",
        "direct",
        WIND.1,
        "crob",
        "LATCH_OFF",
        "NUL",
        1,
        100,
        100
    ]);
    ensure!(peer.operate(back).await? == "SUCCESS", "not given back");
    let market = || wind(&stack).is_ok_and(|w| w["p_w"].as_f64() > Some(3e6));
    ensure!(wait(Duration::from_secs(60), market), "{}", wind(&stack)?);
    peer.stop().await
}

/// The breaker of a bay controller, which wants it selected, with enhanced security: opened by the control centre
/// over DNP3, closed again by an operator.
#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_is_operated_by_the_control_centre_and_by_an_operator() -> Result<()> {
    let (stack, client) = spawn_blocking(|| settled("dnp3-breaker")).await??;
    let host = stack.plan.ip.to_string();
    let mut peer = Peer::start(&["master", "20000", "1", "10", &host])?;
    peer.task("STARTUP_INTEGRITY_POLL").await?;
    let first = || -> Result<(String, Json)> {
        let all = client.json("/api/v1/breakers")?;
        let name = all[0]["breaker"].as_str().context("no breaker")?.to_owned();
        Ok((name, all[0]["closed"].clone()))
    };
    let breaker = first()?.0;
    ensure!(breaker == "bay-t2/bay1_breaker", "{breaker}");
    let operate = |how: &str, code: &str, trip_close: &str| {
        json!([
            "operate", how, BREAKER, "crob", code, trip_close, 1, 100, 100
        ])
    };
    let stands = |as_closed: bool| {
        wait(Duration::from_secs(30), || {
            first().is_ok_and(|(_, closed)| closed == as_closed)
        })
    };
    ensure!(stands(true), "{:?}", first()?);
    let done = peer.operate(operate("select", "PULSE_ON", "TRIP")).await?;
    ensure!(done == "SUCCESS", "{done}");
    ensure!(stands(false), "{:?}", first()?);
    let again = peer.operate(operate("direct", "PULSE_ON", "TRIP")).await?;
    ensure!(again == "ALREADY_COMPLETE", "{again}");
    let close = json!({ "breaker": breaker, "closed": true });
    let answer = client.post("/api/v1/breakers", &close)?;
    ensure!(answer.status == 200 && answer.body == close, "{answer:?}");
    ensure!(stands(true), "{:?}", first()?);
    peer.stop().await
}

/// What the master read is what the API says.
fn reads(seen: &[Json], client: &Client) -> Result<()> {
    let analogs = values(seen, "Group30Var5");
    let (highest, lowest) = (number(&analogs, 0)?, number(&analogs, 1)?);
    ensure!(
        lowest > 0.94 && highest < 1.06 && lowest < highest,
        "{lowest} {highest}"
    );
    let network = client.json("/api/v1/network")?;
    let state = client.json("/api/v1/network/state")?;
    for (k, node) in network["nodes"]
        .as_array()
        .context("no nodes")?
        .iter()
        .enumerate()
    {
        let mut states = state["nodes"].as_array().into_iter().flatten();
        let now = states.find(|s| s["id"] == node["id"]).context("no state")?;
        let now = now["u_pu"].as_f64().context("no voltage")?;
        let read = number(&analogs, 1000 + 2 * k as u64)?;
        ensure!(
            (read - now).abs() < 0.01,
            "node {}: {read} {now}",
            node["id"]
        );
    }
    let positions = values(seen, "Group3Var2");
    ensure!(!positions.is_empty(), "no breakers");
    let online = values(seen, "Group1Var2");
    let devices = online
        .iter()
        .filter(|i| i[0].as_u64() >= Some(1000) && i[1] == true);
    ensure!(devices.count() == 24, "{online:?}");
    Ok(())
}
