//! The bay controllers over IEC 61850, by the appliance's own client.

mod common;

use std::time::Duration;

use common::noon;
use protocols::point::{Action, Cause, CommandStatus, TimeQuality, Update, Value};
use tokio::time::sleep;

/// Changes of the breaker's contact, each once: whether closed, and when (ms).
fn changes(seen: &[Update]) -> Vec<(bool, i64)> {
    let mut changes: Vec<(bool, i64)> = Vec::new();
    for update in seen {
        let Value::Binary(closed) = update.value else {
            continue;
        };
        if update.point.name() != "bay1_closed" {
            continue;
        }
        assert_eq!(update.time.quality, TimeQuality::Source, "{update:?}");
        let change = (closed, update.time.unix_us / 1000);
        if changes.last() != Some(&change) {
            changes.push(change);
        }
    }
    changes
}

#[tokio::test]
async fn a_bay_is_read_its_tap_changer_moved_and_its_breaker_operated() {
    let stand = noon().await;
    let mut bay = stand.bay(15_221, "BAYT2");
    bay.until_value("bay1_u", |u| (u / 113_300.0 - 1.0).abs() < 0.01)
        .await;
    assert_eq!(bay.value("bay1_closed"), 1.0);
    assert_eq!(bay.value("bay1_open"), 0.0);
    let truth = stand.running.station.truth();
    let flow = truth.branches.iter().find(|b| b.id == 92).unwrap();
    assert!(
        (bay.value("bay1_p") - flow.p_from_w).abs() < 50e3,
        "{flow:?}"
    );
    assert!(
        (bay.value("bay1_q") - flow.q_from_var).abs() < 50e3,
        "{flow:?}"
    );
    assert!(bay.value("bay1_i") > 0.0);
    bay.until_value("bay1_energy_in", |wh| wh > 0.0).await;

    let up = Action::Write(Value::Analog(1.0));
    assert_eq!(bay.command("bay1_tap", up).await, CommandStatus::Done);
    bay.until_value("bay1_tap", |tap| tap == 1.0).await;
    let beyond = Action::Write(Value::Analog(99.0));
    let refused = bay.command("bay1_tap", beyond).await;
    let why = "the IED refused it: step limit";
    let why = Cause::OutOfRange.because(why);
    assert_eq!(refused, CommandStatus::Rejected(why));
    let unfit = bay.command("bay1_tap", Action::Write(Value::Analog(500.0)));
    assert!(matches!(unfit.await, CommandStatus::Rejected(_)));

    let breaker = |closed| Action::Write(Value::Binary(closed));
    let reached = bay.command("bay1_breaker", breaker(true)).await;
    let why = "not selected: the IED refused it: position reached";
    let why = Cause::AlreadyThere.because(why);
    assert_eq!(reached, CommandStatus::Rejected(why));
    assert_eq!(
        bay.command("bay1_breaker", breaker(false)).await,
        CommandStatus::Done
    );
    bay.until_value("bay1_closed", |closed| closed == 0.0).await;
    assert_eq!(bay.value("bay1_open"), 1.0);
    bay.until_value("bay1_i", |i| i < 1.0).await;
    assert_eq!(
        bay.command("bay1_breaker", breaker(true)).await,
        CommandStatus::Done
    );
    bay.until_value("bay1_closed", |closed| closed == 1.0).await;
    let changes = changes(&bay.seen);
    let states: Vec<bool> = changes.iter().map(|c| c.0).collect();
    assert_eq!(states, [true, false, true]);
    assert!(changes.is_sorted_by_key(|c| c.1));
}

#[tokio::test]
async fn what_the_breaker_did_during_an_outage_comes_afterwards_in_order() {
    let stand = noon().await;
    let mut bay = stand.bay(15_222, "BAYT2MV");
    bay.until_online().await;
    bay.until_value("bay1_closed", |closed| closed == 1.0).await;
    let device = {
        let substation = stand.running.station.substation();
        substation
            .devices()
            .position(|name| name == "bay-t2-mv")
            .unwrap()
    };
    let id = stand
        .fault(r#"{"device": "bay-t2-mv", "kind": "gone"}"#)
        .await;
    bay.until_offline().await;
    for closed in [0.0, 1.0, 0.0, 1.0, 0.0] {
        {
            let mut substation = stand.running.station.substation();
            substation
                .order(device, ("bay1_breaker", closed, false), 0.0)
                .unwrap();
        }
        // Two steps of the physics: the bay has seen it.
        sleep(Duration::from_millis(600)).await;
    }
    let (status, _) = stand.http("DELETE", &format!("/faults/{id}"), "").await;
    assert_eq!(status, 204);
    bay.until_online().await;
    bay.until_value("bay1_closed", |closed| closed == 0.0).await;
    let changes = changes(&bay.seen);
    let states: Vec<bool> = changes.iter().map(|c| c.0).collect();
    assert_eq!(
        states,
        [true, false, true, false, true, false],
        "{changes:?}"
    );
    assert!(changes.is_sorted_by(|a, b| a.1 + 300 < b.1), "{changes:?}");
}

#[tokio::test]
async fn faults_of_the_wire_are_seen_and_end() {
    let stand = noon().await;
    let mut bay = stand.bay(15_221, "BAYT2");
    bay.until_online().await;
    for kind in [r#""gone""#, r#""garbage""#, r#""slow", "value": 3.0"#] {
        let body = format!(r#"{{"device": "bay-t2", "kind": {kind}}}"#);
        let id = stand.fault(&body).await;
        let why = bay.until_offline().await;
        println!("{kind}: {why}");
        let (status, _) = stand.http("DELETE", &format!("/faults/{id}"), "").await;
        assert_eq!(status, 204);
        bay.until_online().await;
    }
}
