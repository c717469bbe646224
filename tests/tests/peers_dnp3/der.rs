//! The feeder as one DER under opendnp3's master, by the indices of AN2018-001. The simulator's physics says what came
//! of it.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::stack::{Plan, Stack, wait};
use serde_json::{Value as Json, json};
use tokio::task::spawn_blocking;

use super::{
    events::online,
    peer::{Peer, values},
};

/// Indices of the application note.
const LIMIT: (u64, u64) = (17, 88);
const CHARGE: (u64, u64) = (18, 93);
const VOLT_VAR: u64 = 29;

fn started() -> Result<Stack> {
    let mut stack = Stack::start(Plan::for_test("dnp3-der", "noon")?)?;
    let site = fs::read_to_string(stack.site())?;
    let ip = stack.plan.ip;
    let with = site.replacen("[dnp3]\n", &format!("[dnp3]\nder = \"{ip}:20001\"\n"), 1);
    ensure!(with != site, "no [dnp3] in the example");
    fs::write(stack.site(), with)?;
    online(&mut stack, "bat5")?;
    Ok(stack)
}

/// Powers of the simulator's generators, and of its batteries, all together, W.
fn powers(stack: &Stack) -> Result<(f64, f64)> {
    let truth = stack.truth()?;
    let units = truth["units"].as_array().context("no units")?;
    let sum = |stores: bool| {
        let of = units.iter().filter(|u| u["soc"].is_number() == stores);
        of.filter_map(|u| u["p_w"].as_f64()).sum()
    };
    Ok((sum(false), sum(true)))
}

fn analog(seen: &[Json], index: u64) -> Result<f64> {
    let read = values(seen, "Group30Var5");
    let of = read.iter().rfind(|item| item[0] == index);
    let of = of.with_context(|| format!("no analog input {index}"))?;
    of[1].as_f64().context("no number")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feeder_as_one_der_is_limited_and_charges() -> Result<()> {
    let stack = spawn_blocking(started).await??;
    let host = stack.plan.ip.to_string();
    let mut peer = Peer::start(&["master", "20001", "1", "10", &host])?;
    let seen = peer.task("STARTUP_INTEGRITY_POLL").await?;
    let (nameplate, charging) = (analog(&seen, 4)?, analog(&seen, 5)?);
    ensure!(nameplate > 0.0 && charging < 0.0, "{nameplate} {charging}");
    let generators = nameplate + charging;
    let enable = |mode: u64, on: bool| {
        let code = if on { "LATCH_ON" } else { "LATCH_OFF" };
        json!(["operate", "select", mode, "crob", code, "NUL", 1, 100, 100])
    };
    let set = |setting: u64, value: f64| json!(["operate", "direct", setting, "f32", value]);
    // Not without a limit, not beyond, and not what there is not.
    for (command, answer) in [
        (enable(LIMIT.0, true), "BLOCKED"),
        (set(LIMIT.1, 1001.0), "OUT_OF_RANGE"),
        (enable(VOLT_VAR, true), "NOT_SUPPORTED"),
        (set(LIMIT.1, 50.0), "SUCCESS"),
        (enable(LIMIT.0, true), "SUCCESS"),
    ] {
        let status = peer.operate(command.clone()).await?;
        ensure!(status == answer, "{command}: {status}");
    }
    let limited = || {
        powers(&stack).is_ok_and(|(generated, stored)| {
            generated < 0.051 * generators && stored.abs() < 0.01 * -charging
        })
    };
    ensure!(
        wait(Duration::from_secs(60), limited),
        "{:?}",
        powers(&stack)?
    );
    // Batteries charge at a fifth of what they can.
    ensure!(peer.operate(set(CHARGE.1, -200.0)).await? == "SUCCESS");
    ensure!(peer.operate(enable(CHARGE.0, true)).await? == "SUCCESS");
    let charges = || {
        powers(&stack).is_ok_and(|(_, stored)| (stored - 0.2 * charging).abs() < -0.01 * charging)
    };
    ensure!(
        wait(Duration::from_secs(60), charges),
        "{:?}",
        powers(&stack)?
    );
    // What it says of itself.
    peer.tell(json!(["scan", [60, 1]])).await?;
    let seen = peer.task("USER_TASK").await?;
    let (generated, stored) = powers(&stack)?;
    let p = analog(&seen, 537)?;
    let truth = generated + stored;
    ensure!((p - truth).abs() < 0.02 * nameplate, "{p} {truth}");
    let modes = values(&seen, "Group10Var2");
    let on = |mode: u64| modes.iter().any(|item| item[0] == mode && item[1] == true);
    ensure!(on(LIMIT.0) && on(CHARGE.0) && !on(27), "{modes:?}");
    // Given back.
    for mode in [LIMIT.0, CHARGE.0] {
        ensure!(peer.operate(enable(mode, false)).await? == "SUCCESS");
    }
    let market = || powers(&stack).is_ok_and(|(generated, _)| generated > 0.2 * generators);
    ensure!(
        wait(Duration::from_secs(90), market),
        "{:?}",
        powers(&stack)?
    );
    peer.stop().await
}
