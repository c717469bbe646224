//! IEC 60870-5-104 and Modbus under TLS over real sockets: who shows the right certificate is served,
//! nobody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

#[path = "common/certificates.rs"]
mod certificates;

use std::{sync::Arc, time::Duration};

use certificates::Fixture;
use protocols::{
    device::{DeviceEvent, DeviceState, Ports, system_clock},
    iec104::{
        Kind, Sample,
        master::{MasterConfig, MasterEvent, client::MasterClient},
        station::{GroupConfig, PointConfig, StationConfig, server::StationServer},
    },
    modbus::{
        Link, Way, device,
        map::RegisterMap,
        server::{ExceptionCode, RegisterServer, Registers, ServerConfig, Table},
    },
    point::{DeviceId, Quality, Value},
    tcp::{ClientConfig, ClientEvent},
    tls::{Fingerprint, TlsClient, TlsFiles},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

/// A station with two masters, each behind its own certificate; the first is `one`.
async fn station(files: &TlsFiles, masters: &[&TlsFiles]) -> StationServer {
    let group = |files: &&TlsFiles| GroupConfig {
        certificate: Some(Fingerprint::of_file(&files.certificate).unwrap()),
        ..GroupConfig::default()
    };
    let config = StationConfig {
        points: vec![PointConfig::new(7, Kind::Float)],
        groups: masters.iter().map(group).collect(),
        ..StationConfig::new(3)
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let tls = Some(files.server().unwrap());
    let (server, mut events) = StationServer::bind(any, config, tls, system_clock)
        .await
        .unwrap();
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    server.update(
        7,
        Sample::new(Kind::Float, Value::Analog(42.0), Quality::GOOD, None),
    );
    server
}

/// What a master reads, or why there is no connection.
async fn interrogate(server: &StationServer, tls: Option<TlsClient>) -> Result<Value, String> {
    let client = ClientConfig {
        tls,
        ..ClientConfig::new(server.address().to_string())
    };
    let (_client, mut events) = MasterClient::start(client, MasterConfig::new(3));
    let answer = async {
        loop {
            match events.recv().await.unwrap().1 {
                ClientEvent::Session(MasterEvent::Measurements(measured)) => {
                    return Ok(measured[0].sample.value);
                }
                ClientEvent::Disconnected { error, .. } => return Err(error),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, answer).await.unwrap()
}

#[tokio::test]
async fn a_104_master_is_known_by_its_certificate() {
    let f = Fixture::new().unwrap();
    let [ours, first, second] = ["station", "first", "second"].map(|name| f.end(name).unwrap());
    let server = station(&ours, &[&first, &second]).await;
    let tls = |files: &TlsFiles| Some(files.client("127.0.0.1").unwrap());
    for (group, files) in [&first, &second].into_iter().enumerate() {
        let client = ClientConfig {
            tls: tls(files),
            ..ClientConfig::new(server.address().to_string())
        };
        let (_client, mut events) = MasterClient::start(client, MasterConfig::new(3));
        let started = async {
            while !matches!(
                events.recv().await.unwrap().1,
                ClientEvent::Session(MasterEvent::Measurements(_))
            ) {}
        };
        timeout(PATIENCE, started).await.unwrap();
        assert!(server.is_active(group) && !server.is_active(1 - group));
    }
    // Of the same authority, but nobody's; of another authority; and none at all.
    let another = f.end("another").unwrap();
    assert!(interrogate(&server, tls(&another)).await.is_err());
    let stranger = f.stranger("stranger").unwrap();
    assert!(interrogate(&server, tls(&stranger)).await.is_err());
    assert!(interrogate(&server, None).await.is_err(), "without TLS");
    let read = interrogate(&server, tls(&first)).await;
    assert_eq!(read, Ok(Value::Analog(42.0)));
}

#[tokio::test]
async fn a_104_master_does_not_speak_with_a_station_that_is_not_the_one() {
    let f = Fixture::new().unwrap();
    let master = f.end("master").unwrap();
    let server = station(&f.stranger("false").unwrap(), &[&master]).await;
    let tls = Some(master.client("127.0.0.1").unwrap());
    let error = interrogate(&server, tls).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

struct FortyTwo;

impl Registers for FortyTwo {
    fn read(&self, _: Table, _: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        Ok(vec![42; count.into()])
    }

    fn write(&self, _: Table, _: u16, _: &[u16]) -> Result<(), ExceptionCode> {
        Err(ExceptionCode::IllegalFunction)
    }
}

/// What the Modbus device task reads, or why it is offline.
async fn poll(way: Way) -> Result<Value, String> {
    let map = "[[point]]\nname = \"a\"\ntable = \"holding\"\naddress = 0";
    let map: RegisterMap = toml::from_str(map).unwrap();
    let (tell, mut events) = mpsc::channel(16);
    let (_commands, commands) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let ports = Ports {
        device: DeviceId::new("d"),
        events: tell,
        commands,
        stop: stop.clone(),
    };
    let config = device::ModbusConfig {
        link: Link {
            connect_timeout: Duration::from_secs(5),
            ..Link::by(way)
        },
        map,
    };
    tokio::spawn(device::run(config, ports));
    let _stop = stop.drop_guard();
    let answer = async {
        loop {
            match events.recv().await.unwrap().1 {
                DeviceEvent::Updates(updates) => return Ok(updates[0].value),
                DeviceEvent::State(DeviceState::Offline { error, .. }) => return Err(error),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, answer).await.unwrap()
}

#[tokio::test]
async fn modbus_is_read_under_tls_by_who_shows_a_good_certificate() {
    let f = Fixture::new().unwrap();
    let bind = async |files: &TlsFiles| {
        let config = ServerConfig {
            tls: Some(files.server().unwrap()),
            ..ServerConfig::default()
        };
        let any = "127.0.0.1:0".parse().unwrap();
        RegisterServer::bind(any, Arc::new(FortyTwo), config)
            .await
            .unwrap()
    };
    let server = bind(&f.end("server").unwrap()).await;
    let address = server.address().to_string();
    let by = |name: &TlsFiles| Way::Tls(address.clone(), name.client("127.0.0.1").unwrap());
    let (client, stranger) = (f.end("client").unwrap(), f.stranger("stranger").unwrap());
    assert_eq!(poll(by(&client)).await, Ok(Value::Analog(42.0)));
    assert!(poll(by(&stranger)).await.is_err(), "of another authority");
    assert!(
        poll(Way::Tcp(address.clone())).await.is_err(),
        "without TLS"
    );
    // The server is not the one it says it is.
    let false_one = bind(&f.stranger("false").unwrap()).await;
    let way = Way::Tls(
        false_one.address().to_string(),
        client.client("127.0.0.1").unwrap(),
    );
    let error = poll(way).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}
