//! One device that never answers, one that answers after three seconds and one that babbles,
//! beside two healthy ones: the healthy ones' polls do not move.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use edge::{
    field::Field,
    site::{self, Device},
};
use protocols::{
    device::{DeviceEvent, DeviceState},
    modbus::server::{ExceptionCode, Fault, RegisterServer, Registers, ServerConfig, Table},
    point::{Action, Command, CommandStatus, DeviceId, Origin, PointId, Value},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

struct Zeros;

impl Registers for Zeros {
    fn read(&self, _: Table, _: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        Ok(vec![0; count.into()])
    }

    fn write(&self, _: Table, _: u16, _: &[u16]) -> Result<(), ExceptionCode> {
        Ok(())
    }
}

async fn server(fault: Fault) -> (RegisterServer, SocketAddr) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = RegisterServer::bind(any, Arc::new(Zeros), ServerConfig::default())
        .await
        .unwrap();
    server.set_fault(fault);
    let address = server.address();
    (server, address)
}

fn rtu(name: &str, address: SocketAddr) -> Device {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let site = site::load(&file).unwrap();
    let mut device = site
        .devices
        .into_iter()
        .find(|d| d.id.as_str() == "rtu3")
        .unwrap();
    device.id = DeviceId::new(name);
    device.place = site::Place::Tcp(address);
    device.poll = Duration::from_millis(200);
    device
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_a_slow_and_a_babbling_device_delay_no_other() {
    let faults = [
        ("healthy1", Fault::None),
        ("dead", Fault::Gone),
        ("slow", Fault::Slow(Duration::from_secs(3))),
        ("babbling", Fault::Garbage),
        ("healthy2", Fault::None),
    ];
    let mut servers = Vec::new();
    let mut devices = Vec::new();
    for (name, fault) in faults {
        let (server, address) = server(fault).await;
        servers.push(server);
        devices.push(rtu(name, address));
    }
    let stop = CancellationToken::new();
    let (events, mut received) = mpsc::channel(64);
    let field = Field::start(&devices, &events, &stop);
    let begun = Instant::now();
    let mut polls = [0_u32; 2];
    let mut late = Duration::ZERO;
    let mut offline = std::collections::BTreeSet::new();
    while polls.iter().any(|&n| n < 25) || offline.len() < 3 {
        let event = tokio::time::timeout(Duration::from_secs(60), received.recv()).await;
        let (device, event) = event.unwrap().unwrap();
        match event {
            DeviceEvent::Polled { late: by, .. } => {
                let healthy = ["healthy1", "healthy2"];
                let k = healthy.iter().position(|name| *name == device.as_str());
                polls[k.expect("only healthy devices end a poll")] += 1;
                late = late.max(by);
            }
            DeviceEvent::State(DeviceState::Offline { .. }) => {
                assert!(!device.as_str().starts_with("healthy"), "{device} offline");
                offline.insert(device);
            }
            _ => {}
        }
    }
    println!(
        "{polls:?} polls of the healthy in {:.1} s, none later than {late:?}; {offline:?} offline",
        begun.elapsed().as_secs_f64()
    );
    // A slow device would hold them up by 3 s, or by its time-out of 1 s.
    assert!(late < Duration::from_secs(1), "{late:?}");

    // A command to a healthy device is carried out, one to the dead one is not, one to an unknown
    // one does not even leave.
    let command = |id, device: &str| Command {
        id,
        point: PointId::new(&DeviceId::new(device), "bay1_tap"),
        action: Action::Write(Value::Analog(1.0)),
        origin: Origin::Operator,
        expires_unix_us: i64::MAX,
    };
    for (id, name) in [(1, "healthy1"), (2, "dead")] {
        field
            .command(&DeviceId::new(name), command(id, name))
            .unwrap();
    }
    assert!(matches!(
        field.command(&DeviceId::new("nobody"), command(3, "nobody")),
        Err(CommandStatus::NotSent(_))
    ));
    let mut ends = std::collections::BTreeMap::new();
    while ends.len() < 2 {
        let event = tokio::time::timeout(Duration::from_secs(60), received.recv()).await;
        if let DeviceEvent::CommandDone { id, status } = event.unwrap().unwrap().1 {
            ends.insert(id, status);
        }
    }
    assert_eq!(ends[&1], CommandStatus::Done);
    assert!(matches!(ends[&2], CommandStatus::NotSent(_)), "{ends:?}");
    stop.cancel();
    drop(received);
    field.ended().await;
}
