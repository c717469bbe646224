//! Our client on libiec61850's server.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use protocols::point::{Action, Cause, CommandStatus, DoublePoint, Quality, TimeQuality, Value};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use super::{ask, dissect, ied::Ours, libiec61850, tape::tapped};

/// 2023-11-14T22:13:20.123Z.
const TIME_MS: i64 = 1_700_000_000_123;

fn rejected(cause: Cause, why: &str) -> CommandStatus {
    CommandStatus::Rejected(cause.because(format!("the IED refused it: {why}")))
}

#[tokio::test]
async fn values_qualities_and_times_come_as_libiec61850_sets_them() -> Result<()> {
    let (mut peer, port) = libiec61850(&[]).await?;
    ask(
        &mut peer,
        json!(["set", "XCBR1.Pos.stVal", "dbpos", 2, TIME_MS]),
    )
    .await?;
    ask(
        &mut peer,
        json!(["set", "MMXU1.PhV.phsB.cVal.mag.f", "float", 230.5, TIME_MS]),
    )
    .await?;
    let target = SocketAddr::from(([127, 0, 0, 1], port));
    let (port, tape) = tapped(target).await?;
    let mut ours = Ours::start(port, None)?;
    ours.online().await?;
    let on = ours
        .until("position", Value::DoublePoint(DoublePoint::On))
        .await?;
    ensure!(on.time.unix_us == TIME_MS * 1000, "{on:?}");
    ensure!(
        on.time.quality == TimeQuality::Source && on.quality.is_good(),
        "{on:?}"
    );
    ours.until("u", Value::Analog(230.5)).await?;
    ours.until("closed", Value::Binary(true)).await?;
    // What no report carries is read.
    ours.until("set", Value::Analog(0.0)).await?;

    // Validity 11, questionable, and out of range: as libiec61850 numbers the bits, from the lowest.
    let questionable = 0b1011;
    for (time, value) in [(1, 12.5), (2, -3.25)] {
        let set = json!([
            "set",
            "MMXU1.TotW.mag.f",
            "float",
            value,
            TIME_MS + time,
            questionable
        ]);
        ask(&mut peer, set).await?;
        let update = ours.until("w", Value::Analog(value * 1000.0)).await?;
        let expected = Quality::QUESTIONABLE | Quality::OUT_OF_RANGE;
        ensure!(update.quality == expected, "{update:?}");
        ensure!(update.time.unix_us == (TIME_MS + time) * 1000, "{update:?}");
    }
    ask(
        &mut peer,
        json!([
            "set",
            "MMTR1.SupWh.actVal",
            "int64",
            5_000_000_000_i64,
            TIME_MS
        ]),
    )
    .await?;
    ours.until("wh", Value::Counter(5_000_000_000)).await?;
    // Its members are attributes, not the whole object.
    ask(
        &mut peer,
        json!(["set", "GGIO1.Ind1.stVal", "boolean", true, TIME_MS + 7]),
    )
    .await?;
    let ind = ours.until("ind", Value::Binary(true)).await?;
    ensure!(ind.quality.is_good() && ind.time.unix_us > 0, "{ind:?}");

    drop(ours);
    peer.stop().await?;
    let messages = dissect(&tape, "iec61850-our-client")?;
    ensure!(messages > 30, "{messages}");
    Ok(())
}

#[tokio::test]
async fn commands_of_every_control_model_are_carried_out_or_refused_with_their_cause() -> Result<()>
{
    let (mut peer, port) = libiec61850(&[]).await?;
    let mut ours = Ours::start(port, None)?;
    ours.online().await?;
    for (point, value, name, raw) in [
        ("direct", Value::Binary(true), "GGIO1.SPCSO1", json!(true)),
        ("selected", Value::Binary(true), "GGIO1.SPCSO2", json!(true)),
        (
            "enhanced",
            Value::Binary(false),
            "GGIO1.SPCSO3",
            json!(false),
        ),
        (
            "switch",
            Value::DoublePoint(DoublePoint::On),
            "CSWI1.Pos",
            json!(true),
        ),
        ("whole", Value::Analog(-7.0), "GGIO1.ISCSO1", json!(-7)),
        ("float", Value::Analog(2.5), "GGIO1.AnOut1", json!(2.5)),
    ] {
        let done = ours.command(point, value).await?;
        ensure!(done == CommandStatus::Done, "{point}: {done:?}");
        let told = peer.until(|line| line["operated"] == name).await?;
        let last = told.last().cloned().unwrap_or_default();
        ensure!(last["value"] == raw && last["category"] == 3, "{last}");
    }
    ensure!(ours.command("set", Value::Analog(9.0)).await? == CommandStatus::Done);
    ours.until("set", Value::Analog(4.5)).await?;

    // In two steps: libiec61850 has it selected meanwhile, and not afterwards.
    for (point, value) in [
        ("selected", Value::Binary(false)),
        ("switch", Value::Binary(false)),
    ] {
        let gone = ours.act(point, Action::Operate(value)).await?;
        ensure!(
            matches!(&gone, CommandStatus::Rejected(_)),
            "{point}: {gone:?}"
        );
        for action in [Action::Select(value), Action::Operate(value)] {
            let done = ours.act(point, action).await?;
            ensure!(done == CommandStatus::Done, "{point} {action:?}: {done:?}");
        }
        peer.until(|line| line["operated"].is_string()).await?;
    }

    // Refused by the check, at the selection or the operation.
    ask(
        &mut peer,
        json!(["refuse", "CSWI1.Pos", "BLOCKED_BY_INTERLOCKING"]),
    )
    .await?;
    let refused = ours.command("switch", Value::Binary(false)).await?;
    let why = "not selected: the IED refused it: blocked by interlocking";
    ensure!(
        refused == CommandStatus::Rejected(Cause::Blocked.because(why)),
        "{refused:?}"
    );
    ask(
        &mut peer,
        json!(["refuse", "GGIO1.SPCSO3", "BLOCKED_BY_MODE"]),
    )
    .await?;
    let refused = ours.command("enhanced", Value::Binary(true)).await?;
    ensure!(
        refused == rejected(Cause::Blocked, "blocked by mode"),
        "{refused:?}"
    );
    // Accepted, and then not done: a negative command termination.
    ask(&mut peer, json!(["refuse", "GGIO1.SPCSO3", null])).await?;
    ask(
        &mut peer,
        json!(["fail", "GGIO1.SPCSO3", "TIME_LIMIT_OVER"]),
    )
    .await?;
    let failed = ours.command("enhanced", Value::Binary(true)).await?;
    ensure!(
        failed == rejected(Cause::Other, "time limit over"),
        "{failed:?}"
    );
    // What is not there, or takes nothing like that.
    for (point, value) in [
        ("missing", Value::Binary(true)),
        ("direct", Value::Analog(1.0)),
        ("whole", Value::Analog(1e12)),
        ("nothing", Value::Binary(true)),
    ] {
        let status = ours.command(point, value).await?;
        ensure!(
            matches!(status, CommandStatus::Rejected(_)),
            "{point}: {status:?}"
        );
    }
    // And it goes on.
    ensure!(ours.command("direct", Value::Binary(false)).await? == CommandStatus::Done);
    peer.stop().await
}

/// A wire that can be cut: true lets through.
async fn cuttable(target: SocketAddr) -> Result<(u16, watch::Sender<bool>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (through, open) = watch::channel(true);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut open = open.clone();
            if !*open.borrow() {
                continue;
            }
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(target).await else {
                    return;
                };
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = open.wait_for(|open| !open) => {}
                }
            });
        }
    });
    Ok((port, through))
}

#[tokio::test]
async fn no_event_of_an_outage_is_lost_and_a_restarted_server_is_found_again() -> Result<()> {
    let (mut peer, server) = libiec61850(&[]).await?;
    let (port, through) = cuttable(SocketAddr::from(([127, 0, 0, 1], server))).await?;
    let mut ours = Ours::start(port, None)?;
    ours.online().await?;
    let mut time = TIME_MS;
    let mut set = async |peer: &mut super::Peer, closed: bool| {
        time += 1000;
        let value = if closed { 2 } else { 1 };
        ask(
            peer,
            json!(["set", "XCBR1.Pos.stVal", "dbpos", value, time]),
        )
        .await
    };
    set(&mut peer, true).await?;
    ours.until("closed", Value::Binary(true)).await?;
    let before = ours.seen.len();
    through.send(false)?;
    ours.offline().await?;
    for closed in [false, true, false, true, false] {
        set(&mut peer, closed).await?;
    }
    sleep(Duration::from_millis(300)).await;
    through.send(true)?;
    ours.online().await?;
    set(&mut peer, true).await?;
    let last = ours.until("closed", Value::Binary(true));
    last.await?;
    while ours
        .seen
        .last()
        .is_none_or(|u| u.time.unix_us < (TIME_MS + 7000) * 1000)
    {
        ours.until("closed", Value::Binary(true)).await?;
    }
    let mut states = Vec::new();
    for update in &ours.seen[before..] {
        let state = (update.value, update.time.unix_us / 1000 - TIME_MS);
        if update.point.name() == "closed" && states.last() != Some(&state) {
            states.push(state);
        }
    }
    // Interrogations may repeat what was known before the outage.
    states.retain(|(_, at)| *at > 1000);
    let expected = [
        (false, 2),
        (true, 3),
        (false, 4),
        (true, 5),
        (false, 6),
        (true, 7),
    ];
    let expected = expected.map(|(closed, at)| (Value::Binary(closed), at * 1000));
    ensure!(states == expected, "{states:?}");

    peer.stop().await?;
    ours.offline().await?;
    let arguments = [server.to_string()];
    let (mut again, _) = libiec61850(&arguments.each_ref().map(String::as_str)).await?;
    ask(
        &mut again,
        json!(["set", "GGIO1.Ind1.stVal", "boolean", true, TIME_MS]),
    )
    .await?;
    ours.online().await?;
    ours.until("ind", Value::Binary(true)).await?;
    again.stop().await
}

#[tokio::test]
async fn the_latest_of_what_a_babbling_server_says_arrives() -> Result<()> {
    let (mut peer, port) = libiec61850(&[]).await?;
    let mut ours = Ours::start(port, None)?;
    ours.online().await?;
    let listening = tokio::spawn(async move {
        ours.until("w", Value::Analog(2_000_000.0)).await?;
        anyhow::Ok(ours)
    });
    for value in 1..=2000 {
        let set = json!(["set", "MMXU1.TotW.mag.f", "float", value, TIME_MS + value]);
        ask(&mut peer, set).await?;
    }
    let ours = listening.await??;
    let values: Vec<f64> = ours
        .seen
        .iter()
        .filter(|u| u.point.name() == "w")
        .filter_map(|u| match u.value {
            Value::Analog(value) => Some(value),
            _ => None,
        })
        .collect();
    ensure!(values.is_sorted(), "in order");
    peer.stop().await
}
