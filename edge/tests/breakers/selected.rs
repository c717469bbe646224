//! A selection by the control centre is one of the device: made there, and operated, given back or lost there.

use std::time::Duration;

use protocols::{
    dnp3::{app::CommandStatus, master::Select},
    iec104::master::{Outcome, Request},
};
use tokio::time::{sleep, timeout};

use super::{
    Appliance, by_operator,
    centre::{self, command},
    devices::Heard,
    stands,
};
use edge::cycle::NotSwitched;

/// Breakers by the protocols of their devices.
const BREAKERS: [(&str, &str); 4] = [
    ("rtu3/bay1_breaker", "modbus"),
    ("rtu-main/bay1_breaker", "dnp3"),
    ("rtu10/bay1_breaker", "iec104"),
    ("bay-t2/bay1_breaker", "iec61850"),
];

/// A master selects: whether it was confirmed.
async fn select(all: &mut Appliance, origin: &str, output: u16, close: bool) -> bool {
    let ioa = 500_000 + u32::from(output);
    match origin {
        "dnp3" => all.dnp3.ask(Select::Only, output, close).await == CommandStatus::Success,
        _ => all.iec104.ask(Request::Select(command(ioa, close))).await == Outcome::Done,
    }
}

/// It operates what it has selected.
async fn operate(all: &mut Appliance, origin: &str, output: u16, close: bool) -> bool {
    let ioa = 500_000 + u32::from(output);
    let execute = Request::Command {
        command: command(ioa, close),
        select: false,
    };
    match origin {
        "dnp3" => all.dnp3.ask(Select::Selected, output, close).await == CommandStatus::Success,
        _ => all.iec104.ask(execute).await == Outcome::Done,
    }
}

/// It gives it back: over DNP3 by another request.
async fn give_back(all: &mut Appliance, origin: &str, output: u16, close: bool) {
    let ioa = 500_000 + u32::from(output);
    match origin {
        "dnp3" => all.dnp3.release().await,
        _ => {
            let cancel = Request::Cancel(command(ioa, close));
            assert_eq!(all.iec104.ask(cancel).await, Outcome::Done);
        }
    }
}

/// What a device hears of a step; Modbus has no selection, and IEC 61850's server does not tell of its end.
fn heard(protocol: &str, what: &'static str) -> Option<&'static str> {
    match (protocol, what) {
        ("modbus", "select" | "deselect") | ("iec61850", "deselect") => None,
        _ => Some(what),
    }
}

async fn hears(all: &mut Appliance, protocol: &str, what: &'static str, close: bool) {
    if let Some(what) = heard(protocol, what) {
        let expected = match (protocol, what) {
            // It is asked once more when it comes to it.
            ("iec61850", "operate") => Heard::of(["select", "operate"], close),
            _ => Heard::of([what], close),
        };
        assert_eq!(all.devices.until(protocol, what).await, expected);
    }
    all.devices.quiet();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selection_is_one_at_the_device_until_it_is_operated_or_given_back() {
    let mut all = Appliance::start().await;
    let handle = all.running.handle.clone();
    for (breaker, protocol) in BREAKERS {
        let output = all.output(breaker);
        stands(&handle, breaker, true).await;
        for (origin, other, close) in [("dnp3", "iec104", false), ("iec104", "dnp3", true)] {
            // Selected, and given back.
            assert!(select(&mut all, origin, output, close).await, "{breaker}");
            hears(&mut all, protocol, "select", close).await;
            // While it is one's, it is nobody else's.
            assert!(!select(&mut all, other, output, close).await);
            let operator = by_operator(&handle, breaker, close).await;
            assert_eq!(operator, Err(NotSwitched::Selected));
            all.devices.quiet();
            give_back(&mut all, origin, output, close).await;
            hears(&mut all, protocol, "deselect", close).await;
            // Selected by the other, and operated. Where no device tells that it was given back, it may not be yet.
            let untold = heard(protocol, "deselect").is_none();
            let free = async {
                while !select(&mut all, other, output, close).await {
                    assert!(untold, "{breaker}");
                    sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(super::PATIENCE, free).await.expect(breaker);
            hears(&mut all, protocol, "select", close).await;
            assert!(operate(&mut all, other, output, close).await, "{breaker}");
            hears(&mut all, protocol, "operate", close).await;
            stands(&handle, breaker, close).await;
        }
    }
    drop(handle);
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selection_goes_with_either_connection() {
    let mut all = Appliance::start().await;
    let handle = all.running.handle.clone();
    // The control centre's.
    for (breaker, protocol) in [BREAKERS[1], BREAKERS[2]] {
        let output = all.output(breaker);
        stands(&handle, breaker, true).await;
        assert!(select(&mut all, "dnp3", output, false).await);
        hears(&mut all, protocol, "select", false).await;
        all.dnp3 = centre::Dnp3::start(all.ports[0], 1);
        hears(&mut all, protocol, "deselect", false).await;
        assert!(select(&mut all, "iec104", output, false).await);
        hears(&mut all, protocol, "select", false).await;
        all.iec104 = centre::Iec104::start(all.ports[1]);
        hears(&mut all, protocol, "deselect", false).await;
    }
    // The device's.
    let (breaker, protocol) = BREAKERS[2];
    let output = all.output(breaker);
    assert!(select(&mut all, "iec104", output, false).await);
    hears(&mut all, protocol, "select", false).await;
    all.devices.restart_iec104().await;
    let mut published = handle.published.clone();
    let down = published.wait_for(|now| {
        let links = &now.snapshot.links;
        links
            .iter()
            .any(|(id, link)| id.as_str() == "rtu10" && !link.online())
    });
    timeout(super::PATIENCE, down).await.unwrap().unwrap();
    let up = published.wait_for(|now| {
        let links = &now.snapshot.links;
        links
            .iter()
            .any(|(id, link)| id.as_str() == "rtu10" && link.online())
    });
    timeout(super::PATIENCE, up).await.unwrap().unwrap();
    assert!(!operate(&mut all, "iec104", output, false).await);
    all.devices.quiet();
    drop((handle, published));
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_device_says_to_a_selection_is_the_answer() {
    let mut all = Appliance::start().await;
    let handle = all.running.handle.clone();
    all.devices.refuse(true);
    for (breaker, why) in [
        ("rtu10/bay1_breaker", CommandStatus::DownstreamFail),
        // "Blocked by process".
        ("bay-t2/bay1_breaker", CommandStatus::Blocked),
    ] {
        let output = all.output(breaker);
        stands(&handle, breaker, true).await;
        assert_eq!(all.dnp3.ask(Select::Only, output, false).await, why);
        assert!(!select(&mut all, "iec104", output, false).await);
    }
    // Nothing is selected by that.
    all.devices.refuse(false);
    let (breaker, protocol) = BREAKERS[3];
    assert_eq!(by_operator(&handle, breaker, false).await, Ok(()));
    assert_eq!(
        all.devices.heard(protocol).await,
        Heard::operated(protocol, false)
    );
    drop(handle);
    all.stop().await;
}
