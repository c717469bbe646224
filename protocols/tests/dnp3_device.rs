//! The task of a DNP3 device against our own outstation over a real socket; opendnp3's is in
//! `tests/tests/peers_dnp3/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod common;

use std::time::Duration;

use common::{ANY_PORT, Running};
use protocols::{
    device::{DeviceEvent, system_clock},
    dnp3::{
        Flags, Kind, Sample,
        app::{CommandStatus as Answer, OutputCommand},
        device::{self, Dnp3Config},
        link::LinkConfig,
        map::{Operation, PointMap, PointSpec},
        master::AssociationConfig,
        outstation::{
            Class, ControlOperation, OutstationConfig, OutstationEvent, PointConfig,
            server::{OutstationServer, ServerConfig, ServerEvent},
        },
    },
    point::{Action, Cause, CommandStatus, Quality, TimeQuality, Timestamp, Value},
    tcp::ClientConfig,
};
use tokio::{sync::mpsc, time::sleep};

const POLL: Duration = Duration::from_millis(50);

fn spec(name: &str, kind: Kind, index: u16) -> PointSpec {
    PointSpec {
        name: name.to_owned(),
        kind,
        index,
        scale: 1.0,
        offset: 0.0,
        unit: String::new(),
        output: None,
        operation: None,
    }
}

fn map() -> PointMap {
    let tap = PointSpec {
        output: Some(3),
        operation: Some(Operation::I16),
        ..spec("tap", Kind::Analog, 1)
    };
    let power = PointSpec {
        scale: 1000.0,
        ..spec("p", Kind::Analog, 0)
    };
    PointMap {
        direct: false,
        points: vec![power, tap, spec("closed", Kind::Binary, 0)],
    }
}

async fn outstation(address: &str) -> (OutstationServer, mpsc::Receiver<ServerEvent>) {
    let points = [
        PointConfig::new(Kind::Analog, 0, None),
        PointConfig::new(Kind::Analog, 1, None),
        PointConfig::new(Kind::Binary, 0, Some(Class::One)),
        PointConfig::new(Kind::AnalogOutput, 3, None),
    ];
    let master = OutstationConfig::new(LinkConfig::new(10, 1));
    let address = address.parse().unwrap();
    let bounds = ServerConfig::default();
    OutstationServer::bind(address, &[master], &points, bounds)
        .await
        .unwrap()
}

fn start(address: String, integrity: Duration) -> Running {
    let association = AssociationConfig {
        response_timeout: Duration::from_millis(500),
        retry_delay: POLL,
        integrity_every: Some(integrity),
        events_every: (integrity > POLL).then_some(POLL),
        ..AssociationConfig::new(LinkConfig::new(1, 10))
    };
    let client = ClientConfig {
        min_retry: POLL,
        max_retry: POLL,
        ..ClientConfig::new(address)
    };
    let map = map();
    let config = Dnp3Config {
        client,
        association,
        map,
    };
    Running::start("rtu", |ports| device::run(config, ports))
}

fn at(unix_ms: i64, value: Value) -> Sample {
    Sample {
        value,
        flags: Flags::ONLINE,
        time: Some(Timestamp {
            unix_us: unix_ms * 1000,
            quality: TimeQuality::Source,
        }),
    }
}

#[tokio::test]
async fn values_come_with_quality_and_events_in_order_with_the_sources_time() {
    let (server, _events) = outstation(ANY_PORT).await;
    server.update(Kind::Analog, 0, at(1, Value::Analog(2.5)));
    let mut device = start(server.address().to_string(), POLL);
    device.until_online().await;
    device.poll().await;
    assert_eq!(device.analog("p"), 2500.0);
    // Nobody has measured it since the restart.
    assert_eq!(device.last["tap"].quality, Quality::RESTART);
    let begin_ms = system_clock() / 1000;
    for k in 0..3 {
        server.update(Kind::Binary, 0, at(begin_ms + k, Value::Binary(k % 2 == 0)));
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let DeviceEvent::Updates(updates) = device.event().await else {
            continue;
        };
        let breaker = updates.iter().filter(|u| u.point.name() == "closed");
        let by_source = breaker.filter(|u| u.time.quality == TimeQuality::Source);
        seen.extend(by_source.map(|u| (u.value, u.time.unix_us / 1000 - begin_ms)));
    }
    let [on, off] = [true, false].map(Value::Binary);
    assert_eq!(seen, [(on, 0), (off, 1), (on, 2)]);
}

#[tokio::test]
async fn commands_are_selected_then_operated_and_their_status_comes_back() {
    let (server, mut events) = outstation(ANY_PORT).await;
    let mut device = start(server.address().to_string(), POLL);
    device.until_online().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((session, event)) = events.recv().await {
            let OutstationEvent::Control(request) = event else {
                continue;
            };
            let too_much = |(_, command): &(u16, OutputCommand)| match command {
                OutputCommand::Analog(value) if value.value() > 9.0 => Answer::OutOfRange,
                _ => Answer::Success,
            };
            let statuses: Vec<Answer> = request.commands.iter().map(too_much).collect();
            let _ = tell.send((request.operation, request.commands.clone()));
            server.control_done(session, request.id, &statuses);
        }
    });
    let write = |value| Action::Write(Value::Analog(value));
    let done = device.command("rtu/tap", write(-2.0)).await;
    assert_eq!(done, CommandStatus::Done);
    for operation in [ControlOperation::Select, ControlOperation::Operate] {
        let (operated, commands) = told.recv().await.unwrap();
        assert_eq!(operated, operation);
        let [(3, OutputCommand::Analog(value))] = commands[..] else {
            panic!("{commands:?}");
        };
        assert_eq!(value.value(), -2.0);
    }
    let refused = device.command("rtu/tap", write(10.0)).await;
    assert!(
        matches!(&refused, CommandStatus::Rejected(why) if why.cause == Cause::OutOfRange),
        "{refused:?}"
    );
    assert_eq!(told.recv().await.unwrap().0, ControlOperation::Select);
    let impossible = device.command("rtu/p", write(1.0)).await;
    assert!(matches!(impossible, CommandStatus::Rejected(_)));
    let nowhere = device.command("rtu/x", write(1.0)).await;
    assert!(matches!(nowhere, CommandStatus::Rejected(_)));
    let late = device.command_expiring("rtu/tap", write(1.0), 0).await;
    assert!(matches!(late, CommandStatus::NotSent(_)));
    assert!(told.try_recv().is_err(), "something was sent all the same");
}

/// However slow the machine: no read of events comes between, or the operate would not be the next request.
#[tokio::test]
async fn a_selection_is_kept_at_the_outstation_until_it_is_operated_or_given_back() {
    let (server, mut events) = outstation(ANY_PORT).await;
    let mut device = start(server.address().to_string(), Duration::from_millis(20));
    device.until_online().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((session, event)) = events.recv().await {
            let OutstationEvent::Control(request) = event else {
                continue;
            };
            let _ = tell.send(request.operation);
            server.control_done(session, request.id, &[Answer::Success]);
        }
    });
    let value = Value::Analog(-2.0);
    let mut ask = async |action| device.command("rtu/tap", action).await;
    assert_eq!(ask(Action::Select(value)).await, CommandStatus::Done);
    // Polls of events are due all the while.
    sleep(Duration::from_millis(200)).await;
    assert_eq!(ask(Action::Operate(value)).await, CommandStatus::Done);
    // Used up; given back; never there: nothing of it is operated.
    let not_selected =
        |status| matches!(status, CommandStatus::Rejected(why) if why.cause == Cause::NotSelected);
    assert!(not_selected(ask(Action::Operate(value)).await));
    assert_eq!(ask(Action::Select(value)).await, CommandStatus::Done);
    assert_eq!(ask(Action::Cancel(value)).await, CommandStatus::Done);
    assert!(not_selected(ask(Action::Operate(value)).await));
    assert_eq!(ask(Action::Select(value)).await, CommandStatus::Done);
    assert!(not_selected(ask(Action::Operate(Value::Analog(1.0))).await));
    let mut operations = Vec::new();
    while let Ok(operation) = told.try_recv() {
        operations.push(operation);
    }
    use ControlOperation::{Operate, Select};
    assert_eq!(operations, [Select, Operate, Select, Select]);
}

#[tokio::test]
async fn a_device_that_goes_is_said_to_and_comes_back() {
    let (server, events) = outstation(ANY_PORT).await;
    let address = server.address().to_string();
    let mut device = start(address.clone(), Duration::from_secs(3600));
    device.until_online().await;
    device.poll().await;
    drop((server, events));
    // Then, why it does not come back.
    while !device.until_offline().await.contains("refused") {}
    let offline = device
        .command("rtu/tap", Action::Write(Value::Analog(1.0)))
        .await;
    assert!(matches!(offline, CommandStatus::NotSent(_)));
    let (server, _events) = outstation(&address).await;
    server.update(Kind::Analog, 0, at(1, Value::Analog(7.0)));
    device.last.clear();
    device.until_online().await;
    device.poll().await;
    // It is asked for everything again, though that is due once an hour only.
    assert_eq!(device.analog("p"), 7000.0);
}
