//! One device that never answers and one that answers after 3 s: the others' polls do not move.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Plan, Stack, wait},
};
use serde_json::json;

/// Polls done and the median duration of a poll, ms, by device.
fn polls(client: &Client) -> Result<BTreeMap<String, (i64, f64, f64)>> {
    let devices = client.json("/api/v1/devices")?;
    let devices = devices.as_array().context("no devices")?;
    let row = |d: &serde_json::Value| {
        let (ms, late) = (d["poll_ms"].as_f64()?, d["late_ms"].as_f64()?);
        Some((
            d["id"].as_str()?.to_owned(),
            (d["polls"].as_i64()?, ms, late),
        ))
    };
    Ok(devices.iter().filter_map(row).collect())
}

#[test]
fn a_dead_and_a_slow_device_delay_no_other() -> Result<()> {
    const WINDOW: Duration = Duration::from_secs(15);
    let mut stack = Stack::start(Plan::for_test("slow-devices", "noon")?)?;
    stack.start_edge()?;
    let client = stack.login()?;
    let all = || polls(&client).is_ok_and(|p| p.len() >= 24 && p.values().all(|v| v.0 > 3));
    ensure!(
        wait(Duration::from_secs(30), all),
        "not every device is polled: {:?}",
        polls(&client)?
    );

    let start = polls(&client)?;
    thread::sleep(WINDOW);
    let healthy = polls(&client)?;
    stack.fault(&json!({"device": "pv4", "kind": "gone"}))?;
    stack.fault(&json!({"device": "rtu5", "kind": "slow", "value": 3.0}))?;
    let offline = || {
        let devices = client.json("/api/v1/devices").unwrap_or_default();
        let mut sick = devices.as_array().cloned().unwrap_or_default();
        sick.retain(|d| d["id"] == "pv4" || d["id"] == "rtu5");
        sick.len() == 2
            && sick
                .iter()
                .all(|d| d["state"] != "online" && !d["error"].is_null())
    };
    ensure!(
        wait(Duration::from_secs(30), offline),
        "the two sick devices are not offline"
    );
    let sick_start = polls(&client)?;
    thread::sleep(WINDOW);
    let sick = polls(&client)?;

    println!("device: polls in 15 s, median ms, latest start ms: all healthy | one dead, one slow");
    for (device, before) in &healthy {
        if device == "pv4" || device == "rtu5" {
            continue;
        }
        let n = before.0 - start[device].0;
        let after = sick.get(device).context("a device vanished")?;
        let m = after.0 - sick_start[device].0;
        println!(
            "{device:>10}: {n:3} {:6.2} {:6.2} | {m:3} {:6.2} {:6.2}",
            before.1, before.2, after.1, after.2
        );
        ensure!(
            (n - m).abs() <= 2 && m >= 13,
            "{device} was polled {m} times instead of {n}"
        );
    }
    Ok(())
}
