//! Our master commands opendnp3's outstation: outputs, time, freezes, classes, restarts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use protocols::{
    device::system_clock,
    dnp3::{
        Iin, Kind,
        app::{AnalogCommand, CommandStatus, Crob, OutputCommand},
        master::{AssociationConfig, Outcome, ReadHeader, ReadRange, Request, Select, TimeSync},
        outstation::Class,
    },
    point::Value,
};
use serde_json::{Value as Json, json};

use super::master::{TIME_MS, both, config};

#[tokio::test]
async fn commands_are_accepted_and_refused() -> Result<()> {
    let (mut peer, mut ours) = both(config()).await?;
    let close = OutputCommand::Crob(Crob::breaker(true, 150));
    let is_command = |line: &Json| !line["operate"].is_null() || !line["select"].is_null();

    let outcome = ours
        .ask(Request::Operate(Select::BeforeOperate, vec![(3, close)]))
        .await?;
    ensure!(
        outcome == Outcome::Commands(vec![CommandStatus::Success]),
        "{outcome:?}"
    );
    let select = peer.until(is_command).await?.pop().context("nothing")?;
    ensure!(
        select["select"] == json!(["PULSE_ON", "CLOSE", 1, 150]) && select["index"] == 3,
        "{select}"
    );
    let operate = peer.until(is_command).await?.pop().context("nothing")?;
    ensure!(
        operate["operate"] == select["select"] && operate["how"] == "SelectBeforeOperate",
        "{operate}"
    );

    // Two in one request; refused when selected: not operated.
    peer.tell(json!(["answer", "LOCAL", "SUCCESS"])).await?;
    peer.finished().await?;
    let two = vec![(0, close), (1, OutputCommand::Crob(Crob::latch(false)))];
    let outcome = ours
        .ask(Request::Operate(Select::BeforeOperate, two.clone()))
        .await?;
    ensure!(
        outcome == Outcome::Commands(vec![CommandStatus::Local; 2]),
        "{outcome:?}"
    );
    peer.tell(json!(["answer", "SUCCESS", "OUT_OF_RANGE"]))
        .await?;
    let between = peer.finished().await?;
    ensure!(
        between.iter().all(|line| line["operate"].is_null()),
        "{between:?}"
    );
    // Directly, refused; accepted in every variation.
    let outcome = ours.ask(Request::Operate(Select::Direct, two)).await?;
    ensure!(
        outcome == Outcome::Commands(vec![CommandStatus::OutOfRange; 2]),
        "{outcome:?}"
    );
    peer.tell(json!(["answer", "SUCCESS", "SUCCESS"])).await?;
    peer.finished().await?;
    for (command, name, value) in [
        (AnalogCommand::I16(-7), "AnalogOutputInt16", json!(-7)),
        (
            AnalogCommand::I32(70_000),
            "AnalogOutputInt32",
            json!(70_000),
        ),
        (AnalogCommand::F32(2.5), "AnalogOutputFloat32", json!(2.5)),
        (AnalogCommand::F64(0.1), "AnalogOutputDouble64", json!(0.1)),
    ] {
        let list = vec![(2, OutputCommand::Analog(command))];
        for select in [
            Select::Direct,
            Select::BeforeOperate,
            Select::DirectNoResponse,
        ] {
            let outcome = ours.ask(Request::Operate(select, list.clone())).await?;
            let expected = match select {
                Select::DirectNoResponse => Outcome::Sent,
                _ => Outcome::Commands(vec![CommandStatus::Success]),
            };
            ensure!(outcome == expected, "{name}: {outcome:?}");
            let told = peer.until(|line| !line["operate"].is_null()).await?;
            let operate = told.last().context("nothing")?;
            ensure!(operate["operate"] == json!([name, value]), "{operate}");
            ensure!(operate["index"] == 2, "{operate}");
        }
    }
    peer.stop().await
}

#[tokio::test]
async fn time_freezes_classes_and_restarts() -> Result<()> {
    for time_sync in [TimeSync::Lan, TimeSync::Delay] {
        let (mut peer, mut ours) = both(AssociationConfig {
            time_sync,
            ..config()
        })
        .await?;
        let outcome = ours.ask(Request::SyncTime).await?;
        ensure!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        let told = peer.until(|line| !line["time"].is_null()).await?;
        let ms = told.last().context("nothing")?["time"]
            .as_i64()
            .context("no time")?;
        let off = system_clock() / 1000 - ms;
        ensure!(off.abs() < 5000, "{off} ms off");
        // When it asks for it.
        peer.tell(json!(["need_time"])).await?;
        peer.tell(json!(["update", ["analog", 1, 3.0, 1, TIME_MS]]))
            .await?;
        peer.until(|line| !line["time"].is_null()).await?;
        ours.indicated(Iin::NEED_TIME, false).await?;
        peer.stop().await?;
    }
    let (mut peer, mut ours) = both(config()).await?;
    peer.tell(json!([
        "update",
        ["counter", 1, 42, 1, TIME_MS],
        ["counter", 2, 43, 1, TIME_MS]
    ]))
    .await?;
    ours.measured(|m| m.event && m.kind == Kind::Counter && m.index == 2)
        .await?;
    let freeze = Request::Freeze {
        range: Some((1, 1)),
        clear: false,
    };
    let outcome = ours.ask(freeze).await?;
    ensure!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    ours.seen.clear();
    let frozen = ReadHeader {
        group: 21,
        variation: 0,
        range: ReadRange::All,
    };
    ours.ask(Request::Read(vec![frozen])).await?;
    let present = ours.present(Kind::FrozenCounter);
    ensure!(
        present[1].1 == Value::Counter(42) && present[2].1 == Value::Counter(0),
        "{present:?}"
    );

    let assign = Request::AssignClass {
        kind: Kind::Analog,
        range: Some((1, 2)),
        class: Some(Class::Three),
    };
    let outcome = ours.ask(assign).await?;
    ensure!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    let told = peer.until(|line| !line["assigned"].is_null()).await?;
    let expected = json!({"assigned": "AnalogInput", "clazz": "Class3", "start": 1, "stop": 2});
    ensure!(told.last() == Some(&expected), "{told:?}");

    let outcome = ours.ask(Request::Restart { cold: true }).await?;
    ensure!(
        outcome == Outcome::Restarting(Duration::from_secs(65)),
        "{outcome:?}"
    );
    let outcome = ours.ask(Request::Restart { cold: false }).await?;
    ensure!(
        matches!(outcome, Outcome::Refused(iin) if iin.contains(Iin::NO_FUNC_CODE_SUPPORT)),
        "{outcome:?}"
    );
    // It says that it has restarted: it is read anew and told again.
    ours.seen.clear();
    peer.tell(json!(["restarted"])).await?;
    peer.tell(json!(["update", ["analog", 1, 9.0, 1, TIME_MS]]))
        .await?;
    ours.measured(|m| m.kind == Kind::AnalogOutput && m.index == 4 && !m.event)
        .await?;
    ours.indicated(Iin::DEVICE_RESTART, false).await?;
    let unknown = ReadHeader {
        group: 20,
        variation: 1,
        range: ReadRange::Span(3, 9),
    };
    let outcome = ours.ask(Request::Read(vec![unknown])).await?;
    ensure!(
        matches!(outcome, Outcome::Refused(iin) if iin.contains(Iin::PARAMETER_ERROR)),
        "{outcome:?}"
    );
    peer.stop().await
}
