//! The appliance as a whole, without a field: its loop goes on whatever is asked of it, and what it
//! accepted is there after a restart.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

#[path = "bench/mod.rs"]
mod bench;

use std::{fs, path::Path, time::Duration};

use bench::silent;
use edge::{
    clock::{now_us, rfc3339_s},
    cycle::HoldCommand,
    published::{Asker, Handle, OrderAsk, Request},
    run::{Running, start},
    store::{Holder, Record},
    web::api::{NewOrder, OrderKind, OrderStep, OrderView, Problem},
};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

fn run(state_dir: &Path) -> (Running, CancellationToken) {
    let stop = CancellationToken::new();
    (start(silent(state_dir), stop.clone()).unwrap(), stop)
}

fn order(client_id: &str, quantity_w: i64) -> NewOrder {
    let next = (now_us() / 1_000_000 / 900 + 3) * 900;
    NewOrder {
        client_id: client_id.to_owned(),
        node: 7,
        unit: Some(101),
        participant: "windpark".to_owned(),
        interval: rfc3339_s(next),
        direction: "sell".to_owned(),
        steps: vec![OrderStep {
            quantity_w,
            price_per_mwh: 30.0,
        }],
        kind: OrderKind::default(),
        must: false,
        counterparty: None,
    }
}

async fn place(handle: &Handle, order: NewOrder) -> Result<OrderView, Problem> {
    let (answer, answered) = oneshot::channel();
    let by = Asker::User("ada".to_owned());
    let request = Request::Order {
        ask: OrderAsk::Place(order),
        by,
        answer,
    };
    handle.requests.send(request).await.unwrap();
    timeout(PATIENCE, answered).await.unwrap().unwrap()
}

/// Each step writes the status file anew, and nothing else does.
async fn steps(state_dir: &Path, count: usize) {
    let read = || fs::read_to_string(state_dir.join("status.json")).unwrap_or_default();
    for _ in 0..count {
        let before = read();
        let changed = async {
            while read() == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, changed)
            .await
            .expect("the loop still steps");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_does_not_hold_up_the_loop() {
    let dir = tempfile::tempdir().unwrap();
    let (running, stop) = run(dir.path());
    steps(dir.path(), 1).await;
    // Without waiting for answers, so that there is always another request.
    let flood: Vec<_> = (0..2)
        .map(|_| {
            let requests = running.handle.requests.clone();
            tokio::spawn(async move {
                loop {
                    let (answer, _) = oneshot::channel();
                    let request = Request::Order {
                        ask: OrderAsk::Place(order("negative", -1)),
                        by: Asker::User("eve".to_owned()),
                        answer,
                    };
                    if requests.send(request).await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    // At 0.2 s each; where requests go first, a step comes about each 10 s by luck.
    let stepped = timeout(PATIENCE, steps(dir.path(), 20)).await;
    stepped.expect("the loop steps in time");
    for task in flood {
        task.abort();
    }
    stop.cancel();
    running.stopped().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_asker_has_gone_is_not_done() {
    let dir = tempfile::tempdir().unwrap();
    let (running, stop) = run(dir.path());
    let requests = running.handle.requests.clone();
    // Giving back is taken whether or not the unit's device answers.
    let give_back = |by: &str, answer| Request::Command {
        command: HoldCommand {
            holder: Holder::Scada,
            by: by.to_owned(),
            unit: 101,
            hold: None,
            lasts: Duration::ZERO,
        },
        check: false,
        answer,
    };
    let (answer, gone) = oneshot::channel();
    drop(gone);
    requests.send(give_back("gone", answer)).await.unwrap();
    let (answer, answered) = oneshot::channel();
    requests.send(give_back("there", answer)).await.unwrap();
    let answered = timeout(PATIENCE, answered).await.unwrap().unwrap();
    assert_eq!(answered, Ok(()));
    let records = running.handle.ledger.recent(i64::from(u16::MAX)).unwrap();
    let commanded = records
        .records
        .into_iter()
        .filter_map(|record| match record {
            Record::Commanded { by, .. } => Some(by),
            _ => None,
        });
    assert_eq!(commanded.collect::<Vec<_>>(), ["there"]);
    drop(requests);
    stop.cancel();
    running.stopped().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_order_outlives_a_restart_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (running, stop) = run(dir.path());
    let first = place(&running.handle, order("a", 1000)).await.unwrap();
    let second = place(&running.handle, order("b", 2000)).await.unwrap();
    let refused = place(&running.handle, order("c", -1)).await.unwrap_err();
    assert_eq!(refused.error, "quantity");
    stop.cancel();
    running.stopped().await.unwrap();

    let (running, stop) = run(dir.path());
    let orders = running.handle.published.borrow().orders.clone();
    let ids: Vec<u64> = orders.iter().map(|order| order.id).collect();
    assert_eq!(ids, [second.id, first.id]);
    let again = place(&running.handle, order("a", 1000)).await.unwrap();
    assert_eq!(again.id, first.id, "known by its client id");
    let third = place(&running.handle, order("c", 3000)).await.unwrap();
    assert!(third.id > second.id);
    stop.cancel();
    running.stopped().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_outlive_a_restart_as_ones_of_the_past() {
    let dir = tempfile::tempdir().unwrap();
    let (running, stop) = run(dir.path());
    // Nobody answers.
    let standing = async {
        loop {
            let alarms = running.handle.published.borrow().alarms.clone();
            if let Some(alarm) = alarms.iter().find(|a| a.code == "device_offline") {
                return alarm.clone();
            }
            steps(dir.path(), 1).await;
        }
    };
    let before = timeout(PATIENCE, standing).await.unwrap();
    assert_eq!(before.cleared, None);
    let (answer, answered) = oneshot::channel();
    let seen = Request::AcknowledgeAlarm {
        id: before.id,
        user: "ada".to_owned(),
        answer,
    };
    running.handle.requests.send(seen).await.unwrap();
    answered.await.unwrap().unwrap();
    steps(dir.path(), 2).await;
    stop.cancel();
    running.stopped().await.unwrap();

    let (running, stop) = run(dir.path());
    let alarms = running.handle.published.borrow().alarms.clone();
    let after = alarms.iter().find(|a| a.id == before.id).unwrap();
    assert_eq!(
        (&after.source, &after.since),
        (&before.source, &before.since)
    );
    assert_eq!(after.acknowledged_by.as_deref(), Some("ada"));
    assert!(after.cleared.is_some(), "it did not stand through the stop");
    stop.cancel();
    running.stopped().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ledger.redb"), b"this is no ledger").unwrap();
    let stop = CancellationToken::new();
    let error = start(silent(dir.path()), stop.clone()).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("ledger.redb"), "{text}");
    stop.cancel();
}
