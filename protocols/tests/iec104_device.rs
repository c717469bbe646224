//! An RTU over IEC 104 as a device, and our own station behind a port: values, commands, restarts of the
//! station, and connections of masters that do not behave.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{ANY_PORT, PATIENCE, Running};
use protocols::{
    device::{DeviceEvent, system_clock},
    iec104::{
        CommandValue, ControlKind, Kind, Sample,
        device::{Iec104Config, run},
        map::ObjectMap,
        master::MasterConfig,
        station::{
            CommandConfig, ControlAnswer, ControlOperation, GroupConfig, PointConfig, SelectMode,
            StationConfig, StationEvent, server::StationServer,
        },
    },
    point::{Action, CommandStatus, Quality, TimeQuality, Timestamp, Value},
    tcp::ClientConfig,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const MAP: &str = r#"
    [[point]]
    name = "u"
    ioa = 10
    kind = "float"
    unit = "V"
    [[point]]
    name = "closed"
    ioa = 1
    kind = "single"
    [[point]]
    name = "absent"
    ioa = 99
    kind = "float"
    [[command]]
    name = "breaker"
    ioa = 1000
    kind = "double"
    select = true
    [[command]]
    name = "p_set"
    ioa = 1001
    kind = "float"
    scale = 1000.0
"#;

fn station() -> StationConfig {
    let command = |ioa, kind, select| CommandConfig { ioa, kind, select };
    StationConfig {
        points: vec![
            PointConfig::new(1, Kind::Single),
            PointConfig::new(10, Kind::Float),
        ],
        commands: vec![
            command(1000, ControlKind::Double, SelectMode::Required),
            command(1001, ControlKind::Float, SelectMode::Optional),
        ],
        groups: vec![GroupConfig {
            max_connections: 2,
            ..GroupConfig::default()
        }],
        ..StationConfig::new(5)
    }
}

/// A station that carries out every command but set points above 5, and notes what it did.
async fn serve(address: &str) -> std::sync::Arc<StationServer> {
    let address: SocketAddr = address.parse().unwrap();
    let (server, mut events) = StationServer::bind(address, station(), None, system_clock)
        .await
        .unwrap();
    let server = std::sync::Arc::new(server);
    let ours = std::sync::Arc::downgrade(&server);
    tokio::spawn(async move {
        while let Some((_, event)) = events.recv().await {
            let (StationEvent::Control(request), Some(server)) = (event, ours.upgrade()) else {
                continue;
            };
            let refused =
                matches!(request.command.value, CommandValue::Float(value) if value > 5.0);
            if let CommandValue::Double(on) = request.command.value
                && request.operation == ControlOperation::Execute
            {
                measure(&server, 1, Kind::Single, Value::Binary(on));
            }
            let answer = if refused {
                ControlAnswer::Refused
            } else {
                ControlAnswer::Done
            };
            server.answer(request.id, answer);
        }
    });
    server
}

fn measure(server: &StationServer, ioa: u32, kind: Kind, value: Value) {
    let time = Timestamp {
        unix_us: 1_700_000_000_123_000,
        quality: TimeQuality::Source,
    };
    let sample = Sample::new(kind, value, Quality::GOOD, Some(time));
    assert!(server.update(ioa, sample));
}

fn start(address: SocketAddr) -> Running {
    let map: ObjectMap = toml::from_str(MAP).unwrap();
    assert_eq!(map.problems(), Vec::<String>::new());
    let config = Iec104Config {
        client: ClientConfig {
            min_retry: Duration::from_millis(20),
            max_retry: Duration::from_millis(100),
            ..ClientConfig::new(address.to_string())
        },
        master: MasterConfig {
            interrogate_every: Some(Duration::from_millis(50)),
            ..MasterConfig::new(5)
        },
        map,
    };
    Running::start("rtu", |ports| run(config, ports))
}

#[tokio::test]
async fn values_and_commands_go_both_ways() {
    let server = serve(ANY_PORT).await;
    measure(&server, 10, Kind::Float, Value::Analog(11_500.0));
    let mut rtu = start(server.address());
    rtu.until_online().await;
    assert_eq!(rtu.analog("u"), 11_500.0);
    // Never measured, and never there.
    assert_eq!(rtu.quality("closed"), Quality::INVALID | Quality::OLD);
    assert!(!rtu.last.contains_key("absent"));
    let write = |value| Action::Write(value);
    let done = rtu.command("rtu/breaker", write(Value::Binary(true))).await;
    assert_eq!(done, CommandStatus::Done);
    let closed = |event| match event {
        DeviceEvent::Updates(updates) => updates
            .into_iter()
            .find(|u| u.point.name() == "closed" && u.time.quality == TimeQuality::Source),
        _ => None,
    };
    // By itself, with the source's time.
    measure(&server, 1, Kind::Single, Value::Binary(false));
    let update = rtu.until(closed).await;
    assert_eq!(update.time.unix_us, 1_700_000_000_123_000);
    let done = rtu
        .command("rtu/p_set", write(Value::Analog(4_000.0)))
        .await;
    assert_eq!(done, CommandStatus::Done);
    for (point, value) in [
        ("rtu/p_set", Value::Analog(6_000.0)),
        ("rtu/p_set", Value::Binary(true)),
        ("rtu/u", Value::Analog(1.0)),
    ] {
        let refused = rtu.command(point, write(value)).await;
        assert!(
            matches!(refused, CommandStatus::Rejected(_)),
            "{point} {refused:?}"
        );
    }
    let late = rtu
        .command_expiring("rtu/breaker", write(Value::Binary(true)), 0)
        .await;
    assert!(matches!(late, CommandStatus::NotSent(_)), "{late:?}");
}

#[tokio::test]
async fn a_station_that_restarts_is_interrogated_again() {
    let server = serve(ANY_PORT).await;
    let address = server.address();
    measure(&server, 10, Kind::Float, Value::Analog(1.0));
    let mut rtu = start(address);
    rtu.until_online().await;
    drop(server);
    rtu.until_offline().await;
    let down = rtu
        .command("rtu/breaker", Action::Write(Value::Binary(true)))
        .await;
    assert!(matches!(down, CommandStatus::NotSent(_)), "{down:?}");
    let server = serve(&address.to_string()).await;
    measure(&server, 10, Kind::Float, Value::Analog(2.0));
    rtu.until_online().await;
    assert_eq!(rtu.analog("u"), 2.0);
    // A station of another address never answers.
    let other = Iec104Config {
        client: ClientConfig::new(server.address().to_string()),
        master: MasterConfig {
            answer_timeout: Duration::from_millis(100),
            ..MasterConfig::new(6)
        },
        map: toml::from_str("").unwrap(),
    };
    let mut other = Running::start("other", |ports| run(other, ports));
    let online = async { other.until_online().await };
    assert!(timeout(Duration::from_millis(500), online).await.is_err());
}

#[tokio::test]
async fn those_who_misbehave_do_not_keep_a_master_out() {
    let server = serve(ANY_PORT).await;
    let address = server.address();
    measure(&server, 10, Kind::Float, Value::Analog(1.0));
    let mut idle = Vec::new();
    for number in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        idle.push(stream);
    }
    let mut rtu = start(address);
    rtu.until_online().await;
    assert_eq!(rtu.analog("u"), 1.0);
    // Of the group's two places one is the master's: all but one of the others have been closed.
    let closed = async {
        let mut open = 0;
        for stream in &mut idle {
            let mut buffer = [0; 64];
            let read = timeout(Duration::from_millis(50), stream.read(&mut buffer)).await;
            // A reset is an error, an orderly end reads nothing; only a wait means open.
            open += usize::from(read.is_err());
        }
        open
    };
    assert!(timeout(PATIENCE, closed).await.unwrap() <= 1);
    // And the master in use is not the one that goes when more come.
    let _more = [
        TcpStream::connect(address).await.unwrap(),
        TcpStream::connect(address).await.unwrap(),
    ];
    measure(&server, 1, Kind::Single, Value::Binary(true));
    rtu.until(|event| match event {
        DeviceEvent::State(state) => panic!("{state:?}"),
        DeviceEvent::Updates(updates) => updates
            .iter()
            .any(|u| u.point.name() == "closed" && u.time.quality == TimeQuality::Source)
            .then_some(()),
        _ => None,
    })
    .await;
}
