//! Three RTUs with a breaker each, which say what they hear of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use protocols::{
    device::system_clock,
    dnp3::{
        Flags, Kind, Sample,
        app::{CommandStatus, OutputCommand},
        link::LinkConfig,
        outstation::{
            Class, ControlOperation, OutstationConfig, OutstationEvent, PointConfig,
            server::{OutstationServer, ServerConfig},
        },
    },
    iec104::{self, CommandValue, ControlKind, station},
    modbus::server::{ExceptionCode, RegisterServer, Registers, ServerConfig as Bounds, Table},
    point::{Quality, TimeQuality, Timestamp, Value},
};
use tokio::{sync::mpsc, time::timeout};

use super::PATIENCE;

/// What a device heard until it operated: whether it was selected, or operated, and to close.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard(Vec<(&'static str, bool)>);

impl Heard {
    /// What there is to hear when a breaker is operated over a protocol.
    pub(crate) fn operated(protocol: &str, close: bool) -> Self {
        let select = (protocol != "modbus").then_some(("select", close));
        Self(select.into_iter().chain([("operate", close)]).collect())
    }
}

type Told = (&'static str, &'static str, bool);

/// The RTUs.
pub(crate) struct Devices {
    pub(crate) modbus: RegisterServer,
    pub(crate) dnp3: SocketAddr,
    pub(crate) iec104: SocketAddr,
    told: mpsc::UnboundedReceiver<Told>,
    refuses: Arc<AtomicBool>,
}

/// The Modbus one: contacts are discrete inputs 0 and 1, the breaker coil 0.
struct Breaker {
    closed: AtomicBool,
    tell: mpsc::UnboundedSender<Told>,
}

impl Registers for Breaker {
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let closed = u16::from(self.closed.load(Ordering::SeqCst));
        let bit = |at: u16| match (table, at) {
            (Table::Discrete | Table::Coil, 0) => closed,
            (Table::Discrete, 1) => 1 - closed,
            _ => 0,
        };
        Ok((address..address + count).map(bit).collect())
    }

    fn write(&self, table: Table, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        let (Table::Coil, 0, &[bit]) = (table, address, values) else {
            return Err(ExceptionCode::IllegalDataAddress);
        };
        self.closed.store(bit == 1, Ordering::SeqCst);
        let _ = self.tell.send(("modbus", "operate", bit == 1));
        Ok(())
    }
}

fn now() -> Option<Timestamp> {
    Some(Timestamp {
        unix_us: system_clock(),
        quality: TimeQuality::Source,
    })
}

impl Devices {
    pub(crate) async fn start() -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let breaker = Arc::new(Breaker {
            closed: AtomicBool::new(true),
            tell: tell.clone(),
        });
        let refuses = Arc::new(AtomicBool::new(false));
        Self {
            modbus: RegisterServer::bind(any, breaker, Bounds::default())
                .await
                .unwrap(),
            dnp3: dnp3(any, tell.clone()).await,
            iec104: iec104(any, tell, Arc::clone(&refuses)).await,
            told,
            refuses,
        }
    }

    /// Everything that a device heard until it operated; others heard nothing.
    pub(crate) async fn heard(&mut self, protocol: &str) -> Heard {
        let mut heard = Vec::new();
        loop {
            let told = timeout(PATIENCE, self.told.recv()).await.unwrap();
            let (by, what, close) = told.unwrap();
            assert_eq!(by, protocol);
            heard.push((what, close));
            if what == "operate" {
                return Heard(heard);
            }
        }
    }

    /// The IEC 104 one refuses from now on, or not.
    pub(crate) fn refuse(&self, all: bool) {
        self.refuses.store(all, Ordering::SeqCst);
    }
}

async fn dnp3(any: SocketAddr, tell: mpsc::UnboundedSender<Told>) -> SocketAddr {
    let points = [
        PointConfig::new(Kind::Binary, 0, Some(Class::One)),
        PointConfig::new(Kind::Binary, 1, Some(Class::One)),
        PointConfig::new(Kind::BinaryOutput, 0, None),
    ];
    let master = OutstationConfig::new(LinkConfig::new(10, 1));
    let bound = OutstationServer::bind(any, &[master], &points, ServerConfig::default()).await;
    let (server, mut events) = bound.unwrap();
    let address = server.address();
    let show = move |server: &OutstationServer, closed: bool| {
        for (kind, index, on) in [
            (Kind::Binary, 0, closed),
            (Kind::Binary, 1, !closed),
            (Kind::BinaryOutput, 0, closed),
        ] {
            let sample = Sample {
                value: Value::Binary(on),
                flags: Flags::ONLINE,
                time: now(),
            };
            server.update(kind, index, sample);
        }
    };
    show(&server, true);
    tokio::spawn(async move {
        while let Some((session, event)) = events.recv().await {
            let OutstationEvent::Control(request) = event else {
                continue;
            };
            let &[(0, OutputCommand::Crob(crob))] = &request.commands[..] else {
                panic!("{request:?}");
            };
            let close = crob.state().unwrap();
            let what = match request.operation {
                ControlOperation::Select => "select",
                _ => "operate",
            };
            let _ = tell.send(("dnp3", what, close));
            if what == "operate" {
                show(&server, close);
            }
            server.control_done(session, request.id, &[CommandStatus::Success]);
        }
    });
    address
}

async fn iec104(
    any: SocketAddr,
    tell: mpsc::UnboundedSender<Told>,
    refuses: Arc<AtomicBool>,
) -> SocketAddr {
    use station::{
        CommandConfig, ControlAnswer, ControlOperation, GroupConfig, PointConfig, SelectMode,
        StationConfig, StationEvent, server::StationServer,
    };
    let config = StationConfig {
        points: [1008, 1009]
            .map(|ioa| PointConfig::new(ioa, iec104::Kind::Single))
            .to_vec(),
        commands: vec![CommandConfig {
            ioa: 1102,
            kind: ControlKind::Double,
            select: SelectMode::Required,
        }],
        groups: vec![GroupConfig::default()],
        ..StationConfig::new(COMMON_ADDRESS)
    };
    let bound = StationServer::bind(any, config, None, system_clock).await;
    let (server, mut events) = bound.unwrap();
    let address = server.address();
    let show = move |server: &StationServer, closed: bool| {
        for (ioa, on) in [(1008, closed), (1009, !closed)] {
            let value = Value::Binary(on);
            let sample = iec104::Sample::new(iec104::Kind::Single, value, Quality::GOOD, now());
            server.update(ioa, sample);
        }
    };
    show(&server, true);
    tokio::spawn(async move {
        while let Some((_, event)) = events.recv().await {
            let StationEvent::Control(request) = event else {
                continue;
            };
            let CommandValue::Double(close) = request.command.value else {
                panic!("{request:?}");
            };
            if refuses.load(Ordering::SeqCst) {
                server.answer(request.id, ControlAnswer::Refused);
                continue;
            }
            let what = match request.operation {
                ControlOperation::Check => "select",
                _ => "operate",
            };
            let _ = tell.send(("iec104", what, close));
            if what == "operate" {
                show(&server, close);
            }
            server.answer(request.id, ControlAnswer::Done);
        }
    });
    address
}

/// As in the example's site file.
const COMMON_ADDRESS: u16 = 10;
