//! Three RTUs and a bay controller with a breaker each, which say what they hear of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
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
    iec61850::server::{MmsServer, Order, Refusal, Shown},
    modbus::server::{ExceptionCode, RegisterServer, Registers, ServerConfig as Bounds, Table},
    point::{DoublePoint, Quality, TimeQuality, Timestamp, Value},
};
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, error::TryRecvError},
    },
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::PATIENCE;

/// What a device heard until it operated: whether it was selected, or operated, and to close.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard(Vec<(&'static str, bool)>);

impl Heard {
    /// What there is to hear when a breaker is operated over a protocol.
    pub(crate) fn operated(protocol: &str, close: bool) -> Self {
        match protocol {
            "modbus" => Self::of(["operate"], close),
            // It is asked once more when it comes to it.
            "iec61850" => Self::of(["select", "select", "operate"], close),
            _ => Self::of(["select", "operate"], close),
        }
    }

    /// What there is to hear of these.
    pub(crate) fn of<const N: usize>(what: [&'static str; N], close: bool) -> Self {
        Self(what.map(|what| (what, close)).to_vec())
    }
}

type Told = (&'static str, &'static str, bool);

/// The RTUs.
pub(crate) struct Devices {
    pub(crate) modbus: RegisterServer,
    pub(crate) dnp3: SocketAddr,
    pub(crate) iec104: SocketAddr,
    pub(crate) iec61850: SocketAddr,
    task104: JoinHandle<()>,
    tell: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
    refuses: Arc<AtomicBool>,
    /// As long as it is locked, the IEC 104 one does not say that it has done what it heard.
    pub(crate) busy: Arc<Mutex<()>>,
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
        let busy = Arc::default();
        let says = (Arc::clone(&refuses), Arc::clone(&busy));
        let (iec104, task104) = iec104(any, tell.clone(), says).await;
        Self {
            modbus: RegisterServer::bind(any, breaker, Bounds::default())
                .await
                .unwrap(),
            dnp3: dnp3(any, tell.clone()).await,
            iec61850: iec61850(any, tell.clone(), Arc::clone(&refuses)).await,
            iec104,
            task104,
            tell,
            told,
            refuses,
            busy,
        }
    }

    /// Everything that a device heard until it operated; others heard nothing.
    pub(crate) async fn heard(&mut self, protocol: &str) -> Heard {
        self.until(protocol, "operate").await
    }

    /// The same until it hears this.
    pub(crate) async fn until(&mut self, protocol: &str, last: &str) -> Heard {
        let mut heard = Vec::new();
        loop {
            let told = timeout(PATIENCE, self.told.recv()).await.unwrap();
            let (by, what, close) = told.unwrap();
            assert_eq!(by, protocol);
            heard.push((what, close));
            if what == last {
                return Heard(heard);
            }
        }
    }

    /// Nobody has heard anything since.
    pub(crate) fn quiet(&mut self) {
        assert_eq!(self.told.try_recv(), Err(TryRecvError::Empty));
    }

    /// The IEC 104 one goes, and comes back closed.
    pub(crate) async fn restart_iec104(&mut self) {
        self.task104.abort();
        let _ = (&mut self.task104).await;
        while std::net::TcpListener::bind(self.iec104).is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        let says = (Arc::clone(&self.refuses), Arc::clone(&self.busy));
        let again = iec104(self.iec104, self.tell.clone(), says);
        (_, self.task104) = again.await;
    }

    /// The IEC 104 and IEC 61850 ones refuse from now on, or not.
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
            let (commands, request) = match event {
                OutstationEvent::Control(request) => (request.commands.clone(), Some(request)),
                OutstationEvent::Deselected(commands) => (commands, None),
                _ => continue,
            };
            let &[(0, OutputCommand::Crob(crob))] = &commands[..] else {
                panic!("{commands:?}");
            };
            let close = crob.state().unwrap();
            let Some(request) = request else {
                let _ = tell.send(("dnp3", "deselect", close));
                continue;
            };
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
    (refuses, busy): (Arc<AtomicBool>, Arc<Mutex<()>>),
) -> (SocketAddr, JoinHandle<()>) {
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
        // A selection that ends is given back.
        select_timeout: 2 * PATIENCE,
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
    let task = tokio::spawn(async move {
        while let Some((_, event)) = events.recv().await {
            let (command, request) = match event {
                StationEvent::Control(request) => (request.command, Some(request)),
                StationEvent::Deselected(command) => (command, None),
                _ => continue,
            };
            let CommandValue::Double(close) = command.value else {
                panic!("{command:?}");
            };
            let Some(request) = request else {
                let _ = tell.send(("iec104", "deselect", close));
                continue;
            };
            if refuses.load(Ordering::SeqCst) {
                server.answer(request.id, ControlAnswer::Refused);
                continue;
            }
            let what = match request.operation {
                ControlOperation::Select => "select",
                _ => "operate",
            };
            let _ = tell.send(("iec104", what, close));
            if what == "operate" {
                show(&server, close);
            }
            drop(busy.lock().await);
            server.answer(request.id, ControlAnswer::Done);
        }
    });
    (address, task)
}

/// The simulator's bay controller, as the example has two; its breaker is selected first, with enhanced security.
async fn iec61850(
    any: SocketAddr,
    tell: mpsc::UnboundedSender<Told>,
    refuses: Arc<AtomicBool>,
) -> SocketAddr {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../sim-rtu/scl/bay.icd");
    let scl = std::fs::read_to_string(file).unwrap();
    let (operate, mut operated) = mpsc::unbounded_channel();
    let obey = move |(object, value, check): Order<'_>| {
        let ("LD0/CSWI1.Pos", Value::Binary(close)) = (object, value) else {
            return Err(Refusal::NotSupported);
        };
        if refuses.load(Ordering::SeqCst) {
            return Err(Refusal::BlockedByProcess);
        }
        let what = if check { "select" } else { "operate" };
        let _ = tell.send(("iec61850", what, close));
        if !check {
            let _ = operate.send(close);
        }
        Ok(())
    };
    let bound = MmsServer::bind(any, &scl, "BAYT2", Arc::new(obey)).await;
    let server = bound.unwrap();
    let address = server.address();
    let show = move |server: &MmsServer, closed: bool| {
        let position = match closed {
            true => DoublePoint::On,
            false => DoublePoint::Off,
        };
        let shown = Shown {
            value: Value::DoublePoint(position),
            quality: Quality::GOOD,
            time: now().unwrap(),
        };
        let position = "LD0/XCBR1.Pos.stVal[ST]".parse().unwrap();
        assert!(server.show(&position, shown));
    };
    show(&server, true);
    tokio::spawn(async move {
        while let Some(closed) = operated.recv().await {
            show(&server, closed);
        }
    });
    address
}

/// As in the example's site file.
const COMMON_ADDRESS: u16 = 10;
