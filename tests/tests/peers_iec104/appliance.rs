//! The whole appliance under lib60870's master: a control centre interrogates it, takes a unit over and
//! gives it back, is refused what it may not do, and finds everything again after either side was away. The
//! simulator's physics says what came of it.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Stack, settled},
};
use serde_json::{Value as Json, json};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    peer::{PATIENCE, Peer},
    station::ask,
};

/// The wind farm: unit 101, the ninth of the site.
const WIND: (i64, u64) = (101, 8);
/// The appliance's common address.
const ADDRESS: u64 = 10;
/// Addresses of what is read here: analog and binary inputs, and binary outputs.
const ANALOGS: u64 = 300_000;
const BINARIES: u64 = 100_000;
const HELD: u64 = 400_000;
/// Devices and units of the site.
const DEVICES: u64 = 24;
const UNITS: u64 = 15;
/// Address of the wind farm's set point of active power, and of what takes it over.
const LIMIT: u64 = 700_000 + 2 * WIND.1;
const TAKE: u64 = 500_000 + WIND.1;

fn wind_w(stack: &Stack) -> Result<f64> {
    let truth = stack.truth()?;
    let mut units = truth["units"].as_array().into_iter().flatten();
    let found = units.find(|u| u["id"] == WIND.0).context("no wind farm")?;
    found["p_w"].as_f64().context("no power")
}

async fn until(stack: &Stack, limit_s: u64, is: impl Fn(f64) -> bool) -> Result<()> {
    let end = tokio::time::Instant::now() + Duration::from_secs(limit_s);
    while !is(wind_w(stack)?) {
        ensure!(tokio::time::Instant::now() < end, "{}", wind_w(stack)?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// What the control centre knows of the appliance: its points by their types as they are interrogated. The
/// list is that of `busbar points`, and the point that says that events were lost: lib60870's wrapper
/// passes over all of a frame that has an object it does not know.
fn known(stack: &Stack) -> Result<Json> {
    let listed = Command::new(stack.plan.bin.join("busbar"))
        .args(["points", "--json", "--site"])
        .arg(stack.site())
        .output()?;
    let rows: Vec<Json> = serde_json::from_slice(&listed.stdout)?;
    let of = |kinds: &[&str]| -> Vec<u64> {
        let is = |row: &&Json| row["kind"].as_str().is_some_and(|k| kinds.contains(&k));
        let ours = rows.iter().filter(is);
        ours.filter_map(|row| row["ioa"].as_u64()).collect()
    };
    let single = [vec![1], of(&["binary input", "binary output"])].concat();
    let types = json!({
        "M_ME_NC_1": of(&["analog input", "analog output"]),
        "M_DP_NA_1": of(&["double-bit input"]),
        "M_SP_NA_1": single,
    });
    Ok(json!({"address": ADDRESS, "points": types}))
}

async fn connected(stack: &Stack) -> Result<Peer> {
    let (host, known) = (stack.plan.ip.to_string(), known(stack)?.to_string());
    let mut peer = Peer::run("iec104_peers.py", &["master", &host, "2404", &known])?;
    peer.until(|line| line["state"] == "OPEN").await?;
    Ok(peer)
}

/// Everything, as interrogated: lines that tell of points.
async fn interrogated(peer: &mut Peer) -> Result<Vec<Json>> {
    let (ok, mut seen) = ask(peer, json!(["interrogate", ADDRESS, 20])).await?;
    ensure!(ok, "not answered: {seen:?}");
    // Its threads tell of values sometime after the frames.
    let last = [
        ANALOGS + 1,
        ANALOGS + 1000,
        BINARIES + 1000,
        HELD + UNITS - 1,
    ];
    let all = async {
        while !last.iter().all(|ioa| value(&seen, *ioa).is_some()) {
            seen.push(peer.next().await?);
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, all).await.context("not all was told")??;
    seen.extend(peer.finished().await?);
    Ok(seen)
}

/// What an address says, last.
fn value(seen: &[Json], ioa: u64) -> Option<&Json> {
    let mut of = seen.iter().filter(|line| line["point"] == ioa);
    of.next_back()
}

fn number(seen: &[Json], ioa: u64) -> Result<f64> {
    let line = value(seen, ioa).with_context(|| format!("no point {ioa}"))?;
    ensure!(line["quality"] == json!([]), "not good: {line}");
    line["value"].as_f64().context("no number")
}

async fn commanded(peer: &mut Peer, ioa: u64, kind: &str, value: Json) -> Result<bool> {
    let select = kind == "C_DC_NA_1";
    let command = json!(["command", ADDRESS, ioa, kind, value, select]);
    Ok(ask(peer, command).await?.0)
}

/// The same again where it was refused: on a machine that much else runs on, the loop may be later with its answer
/// than the station waits for it (5 s), and the station refuses then.
async fn accepted(peer: &mut Peer, ioa: u64, kind: &str, value: Json) -> Result<bool> {
    for _ in 0..4 {
        if commanded(peer, ioa, kind, value.clone()).await? {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(false)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_centre_reads_and_commands_the_appliance() -> Result<()> {
    let (mut stack, client) = spawn_blocking(|| settled("iec104-appliance")).await??;
    let mut peer = connected(&stack).await?;
    reads(&interrogated(&mut peer).await?, &client)?;

    // Nobody has said at what; then beyond nameplate; then well.
    let (take, limit) = ("C_DC_NA_1", "C_SE_NC_1");
    ensure!(
        !commanded(&mut peer, TAKE, take, json!("ON")).await?,
        "taken over at nothing"
    );
    ensure!(
        !commanded(&mut peer, LIMIT, limit, json!(8e6)).await?,
        "8 of 7.5 MW"
    );
    ensure!(
        accepted(&mut peer, LIMIT, limit, json!(1e6)).await?,
        "1 MW refused"
    );
    ensure!(wind_w(&stack)? > 3e6, "a preset alone did something");
    ensure!(
        accepted(&mut peer, TAKE, take, json!("ON")).await?,
        "not taken over: {}",
        stack.log("busbar")
    );
    until(&stack, 30, |w| w < 1.01e6).await?;
    held(&mut peer, Some(WIND.1)).await?;

    // The control centre is away, and the appliance is: what is held stays held.
    peer.stop().await?;
    let mut stack = spawn_blocking(move || {
        ensure!(stack.stop_edge()?.success(), "{}", stack.log("busbar"));
        stack.start_edge()?;
        Ok(stack)
    })
    .await??;
    let mut peer = connected(&stack).await?;
    held(&mut peer, Some(WIND.1)).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    until(&stack, 1, |w| w < 1.01e6).await?;

    // The appliance is killed under a connection; lib60870 comes back by itself.
    let stack = spawn_blocking(move || {
        stack.kill_edge()?;
        stack.start_edge()?;
        anyhow::Ok(stack)
    })
    .await??;
    peer.until(|l| l["state"].is_string() && l["state"] != "OPEN")
        .await?;
    peer.until(|line| line["state"] == "OPEN").await?;
    held(&mut peer, Some(WIND.1)).await?;

    ensure!(
        accepted(&mut peer, TAKE, "C_SC_NA_1", json!(false)).await?,
        "not given back"
    );
    held(&mut peer, None).await?;
    until(&stack, 60, |w| w > 3e6).await?;
    peer.stop().await
}

/// Waits until exactly this unit is said to be held.
async fn held(peer: &mut Peer, unit: Option<u64>) -> Result<()> {
    for _ in 0..50 {
        let seen = interrogated(peer).await?;
        let now: Vec<u64> = (0..UNITS)
            .filter(|k| value(&seen, HELD + k).is_some_and(|line| line["value"] == true))
            .collect();
        if now == Vec::from_iter(unit) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("not {unit:?} is held")
}

/// What the master read is what the API says.
fn reads(seen: &[Json], client: &Client) -> Result<()> {
    let (highest, lowest) = (number(seen, ANALOGS)?, number(seen, ANALOGS + 1)?);
    ensure!(
        lowest > 0.94 && highest < 1.06 && lowest < highest,
        "{lowest} {highest}"
    );
    let network = client.json("/api/v1/network")?;
    let state = client.json("/api/v1/network/state")?;
    let nodes = network["nodes"].as_array().context("no nodes")?;
    for (k, node) in (0..).zip(nodes) {
        let mut states = state["nodes"].as_array().into_iter().flatten();
        let now = states.find(|s| s["id"] == node["id"]).context("no state")?;
        let now = now["u_pu"].as_f64().context("no voltage")?;
        let read = number(seen, ANALOGS + 1000 + 2 * k)?;
        ensure!(
            (read - now).abs() < 0.01,
            "node {}: {read} {now}",
            node["id"]
        );
    }
    let on = |k: &u64| value(seen, BINARIES + 1000 + k).is_some_and(|line| line["value"] == true);
    let answering = (0..DEVICES).filter(on).count() as u64;
    ensure!(answering == DEVICES, "{answering} devices answer");
    Ok(())
}
