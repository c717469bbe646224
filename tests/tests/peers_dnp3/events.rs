//! A breaker operation from end to end: opendnp3's outstation is an RTU of the appliance's, opendnp3's
//! master the control centre above, a second control centre may only read, and lib60870's master is a
//! third, by IEC 60870-5-104. Each operation is seen once, in order, with the RTU's time, by all of them and
//! the historian.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Plan, Stack, wait},
};
use serde_json::{Value as Json, json};
use tokio::task::spawn_blocking;

use super::peer::Peer;

/// A site whose `rtu8` is the outstation at `port`, and that two control centres poll.
fn started(port: u64) -> Result<(Stack, Client)> {
    let mut stack = Stack::start(Plan::for_test("dnp3-events", "noon")?)?;
    let site = fs::read_to_string(stack.site())?;
    let rtu = format!(
        "profile = \"generic-rtu\"\naddress = \"{}:15208\"\nunit_id = 1\n",
        stack.plan.ip
    );
    let ours = format!(
        "profile = \"dnp3-rtu\"\naddress = \"127.0.0.1:{port}\"\nlink_address = 10\nmaster_address = 1\n\
         integrity_s = 3600\nask_times = true\nunsolicited = false\n"
    );
    let second = "[[dnp3.master]]\nname = \"reader\"\naddress = 2\nip = \"127.0.0.1\"\ncommands = false\n\n\
                  [estimation]\n";
    ensure!(site.contains(&rtu), "the example's rtu8 moved:\n{site}");
    let site = site
        .replace(&rtu, &ours)
        .replacen("[estimation]\n", second, 1);
    fs::write(stack.site(), site)?;
    let client = online(&mut stack, "rtu8")?;
    Ok((stack, client))
}

/// Starts the appliance and waits for a device.
pub(super) fn online(stack: &mut Stack, device: &str) -> Result<Client> {
    stack.start_edge()?;
    let client = stack.login()?;
    let online = || is(&client, device, "online");
    ensure!(
        wait(Duration::from_secs(30), online),
        "{}",
        stack.log("busbar")
    );
    Ok(client)
}

/// Whether a device is in this state.
fn is(client: &Client, device: &str, state: &str) -> bool {
    let all = client.json("/api/v1/devices").unwrap_or_default();
    let mut all = all.as_array().into_iter().flatten();
    all.any(|d| d["id"] == device && d["state"] == state)
}

/// Index of a point that a control centre sees.
pub(super) fn index(stack: &Stack, name: &str) -> Result<u64> {
    let listed = Command::new(stack.plan.bin.join("busbar"))
        .args(["points", "--json", "--site"])
        .arg(stack.site())
        .output()?;
    let rows: Vec<Json> = serde_json::from_slice(&listed.stdout)?;
    let row = rows.iter().find(|row| row["name"] == name);
    row.and_then(|row| row["index"].as_u64())
        .with_context(|| format!("no point {name}"))
}

/// Both contacts of the first bay, at a moment.
fn contacts(closed: bool, unix_ms: u64) -> [Json; 2] {
    [
        json!(["binary", 0, closed, 1, unix_ms]),
        json!(["binary", 1, !closed, 1, unix_ms]),
    ]
}

/// Positions of a breaker that a master saw as events, with their times.
fn positions(seen: &[Json], breaker: u64) -> Vec<(String, u64)> {
    let events = seen.iter().filter(|line| line["values"] == "Group4Var2");
    let items = events.filter_map(|line| line["items"].as_array()).flatten();
    let ours =
        items.filter(|item| item[0] == breaker && item[2].as_u64().is_some_and(|f| f & 1 == 1));
    ours.filter_map(|item| Some((item[1].as_str()?.to_owned(), item[3].as_u64()?)))
        .collect()
}

/// Positions of a breaker that came to lib60870's master by themselves, of objects of M_DP_TB_1: address,
/// value with quality, time (milliseconds of the minute, minute, hour and more).
fn positions_104(seen: &[Json], breaker: u64) -> Vec<(u64, u64, u64)> {
    let frames = seen.iter().filter(|line| line["frame"] == "M_DP_TB_1");
    let octets = frames.filter_map(|frame| frame["objects"].as_array());
    let octets: Vec<Vec<u64>> = octets
        .map(|octets| octets.iter().filter_map(Json::as_u64).collect())
        .collect();
    let objects = octets.iter().flat_map(|octets| octets.chunks_exact(11));
    let ours = objects.filter(|o| o[0] + 256 * o[1] + 65_536 * o[2] == 200_000 + breaker);
    ours.map(|o| (o[3], o[4] + 256 * o[5], o[6])).collect()
}

/// The same of what is expected, in UTC.
fn as_104((position, unix_ms): &(String, u64)) -> (u64, u64, u64) {
    let value = match position.as_str() {
        "DETERMINED_ON" => 2,
        _ => 1,
    };
    (value, unix_ms % 60_000, unix_ms / 60_000 % 60)
}

pub(super) async fn until_seen_104(
    master: &mut Peer,
    breaker: u64,
    expected: &[(String, u64)],
) -> Result<()> {
    let expected: Vec<_> = expected.iter().map(as_104).collect();
    let mut seen = Vec::new();
    // The position at the beginning is an event for who was not there yet.
    let new = |seen: &[Json]| {
        let all = positions_104(seen, breaker);
        let first = all.iter().position(|position| *position == expected[0]);
        first.map_or(Vec::new(), |first| all[first..].to_vec())
    };
    while new(&seen).len() < expected.len() {
        seen.push(master.next().await?);
    }
    seen.extend(master.finished().await?);
    ensure!(
        new(&seen) == expected,
        "{:?}",
        positions_104(&seen, breaker)
    );
    Ok(())
}

pub(super) async fn until_seen(
    master: &mut Peer,
    breaker: u64,
    expected: &[(String, u64)],
) -> Result<()> {
    let mut seen = Vec::new();
    while positions(&seen, breaker).len() < expected.len() {
        seen.push(
            master
                .next()
                .await
                .with_context(|| json!(seen).to_string())?,
        );
    }
    let positions = positions(&seen, breaker);
    ensure!(
        positions == expected,
        "{positions:?} instead of {expected:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_operates_twice_within_a_step_is_seen_twice() -> Result<()> {
    let mut rtu = Peer::start(&["outstation", "10", "1"])?;
    let port = rtu.next().await?["port"].as_u64().context("no port")?;
    let begin_ms = 1_700_000_000_000;
    let tell = |rows: Vec<Json>| Json::Array([vec![json!("update")], rows].concat());
    rtu.tell(tell(contacts(true, begin_ms).to_vec())).await?;
    rtu.finished().await?;
    let (mut stack, client) = spawn_blocking(move || started(port)).await??;
    let breaker = index(&stack, "rtu8/bay1: breaker")?;
    let host = stack.plan.ip.to_string();
    let mut masters = Vec::new();
    for address in ["1", "2"] {
        let mut master = Peer::start(&["master", "20000", address, "10", &host])?;
        master.task("STARTUP_INTEGRITY_POLL").await?;
        // Everything is quiet: what comes now is new.
        master
            .tell(json!(["scan", [60, 2], [60, 3], [60, 4]]))
            .await?;
        master.task("USER_TASK").await?;
        masters.push(master);
    }

    let mut third = Peer::run("iec104_peers.py", &["master", &host, "2404", "timed"])?;
    third.until(|line| line["state"] == "OPEN").await?;

    // One message of the RTU: open, and 37 ms later closed again.
    let twice = [
        contacts(false, begin_ms + 5_000),
        contacts(true, begin_ms + 5_037),
    ]
    .concat();
    rtu.tell(tell(twice)).await?;
    let expected = [
        ("DETERMINED_OFF".to_owned(), begin_ms + 5_000),
        ("DETERMINED_ON".to_owned(), begin_ms + 5_037),
    ];
    for master in &mut masters {
        until_seen(master, breaker, &expected).await?;
    }
    until_seen_104(&mut third, breaker, &expected).await?;
    third.stop().await?;

    // Who may only read is refused.
    let limit = json!(["operate", "direct", 16, "f32", 1e6]);
    ensure!(masters[1].operate(limit.clone()).await? == "NOT_AUTHORIZED");
    ensure!(masters[0].operate(limit).await? == "SUCCESS");

    // The RTU goes; the device is said to be offline, and comes back by itself.
    rtu.stop().await?;
    let offline = || is(&client, "rtu8", "offline");
    ensure!(wait(Duration::from_secs(30), offline), "still online");
    let mut rtu = Peer::start(&["outstation", "10", "1", &port.to_string()])?;
    rtu.next().await?;
    rtu.tell(tell(contacts(false, begin_ms + 9_000).to_vec()))
        .await?;
    let online = || is(&client, "rtu8", "online");
    ensure!(wait(Duration::from_secs(60), online), "does not come back");
    for master in masters {
        master.stop().await?;
    }
    rtu.stop().await?;
    spawn_blocking(move || on_record(&mut stack, "rtu8/bay1_closed", &expected)).await?
}

/// The historian has the operations, once, in order.
pub(super) fn on_record(stack: &mut Stack, point: &str, expected: &[(String, u64)]) -> Result<()> {
    ensure!(stack.stop_edge()?.success(), "{}", stack.log("busbar"));
    let listed = Command::new(stack.plan.bin.join("busbar"))
        .args(["events", "--state"])
        .arg(stack.plan.dir.join("state"))
        .output()?;
    ensure!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let text = String::from_utf8(listed.stdout)?;
    let mut seen = Vec::new();
    for line in text.lines() {
        let event: Json = serde_json::from_str(line)?;
        let changed = &event["event"]["changed"];
        let time_us = changed["time"]["unix_us"].as_u64().unwrap_or_default();
        let ours = changed["point"] == point && changed["quality"] == json!([]);
        if ours && expected.iter().any(|(_, ms)| ms * 1000 == time_us) {
            seen.push((changed["value"]["binary"].clone(), time_us / 1000));
        }
    }
    let operations = expected
        .iter()
        .map(|(p, ms)| (json!(p == "DETERMINED_ON"), *ms));
    ensure!(seen == operations.collect::<Vec<_>>(), "{text}");
    Ok(())
}
