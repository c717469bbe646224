//! The shell around the substation: a Modbus TCP, DNP3, IEC 104 or IEC 61850 server per device, the control interface, and the
//! clock that drives the steps.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use protocols::{
    iec61850::server::Refusal,
    modbus::server::{ExceptionCode, Fault, RegisterServer, Registers, ServerConfig, Table},
};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    control,
    devices::{Order, Readings, dnp3::Dnp3Server, iec104::Iec104Server, iec61850::BayServer},
    lines::{SerialLine, Units},
    scenario::{Loaded, Speaks},
    substation::{BuildError, Substation, Truth},
};

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address of every server.
    pub ip: IpAddr,
    /// Port of the control interface; 0: any free one.
    pub control_port: u16,
    /// Folder of the serial lines' ports.
    pub lines: PathBuf,
}

/// Why a station did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The scenario cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A port is taken or the address is not of this machine.
    #[error(
        "{what} cannot listen on {address}: {error}; if another simulator runs, give this one \
         another loopback address, e.g. --listen 127.0.0.2"
    )]
    Bind {
        /// Whose server.
        what: String,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A serial line does not open.
    #[error("line at {}: {error}", .path.display())]
    Line {
        /// Where its port should be.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A substation and the clock it lives by.
#[derive(Debug)]
struct Core {
    substation: Mutex<Substation>,
    started: Instant,
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, Substation> {
        self.substation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// A device's side of its wire.
#[derive(Debug)]
struct Wire {
    core: Arc<Core>,
    device: usize,
}

impl Registers for Wire {
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        self.core.lock().read(self.device, table, address, count)
    }

    fn write(&self, table: Table, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        let now_s = self.core.now_s();
        let mut substation = self.core.lock();
        substation.write(self.device, table, address, values, now_s)
    }
}

impl Wire {
    fn order(&self, order: Order<'_>) -> Result<(), Refusal> {
        let now_s = self.core.now_s();
        self.core.lock().order(self.device, order, now_s)
    }
}

/// A device's server.
#[derive(Debug)]
struct Served {
    device: String,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Modbus(RegisterServer),
    Dnp3(Dnp3Server),
    Iec104(Iec104Server),
    Iec61850(BayServer),
}

impl Server {
    async fn bind(
        core: &Arc<Core>,
        device: usize,
        address: SocketAddr,
        speaks: Speaks,
    ) -> io::Result<Self> {
        let core = Arc::clone(core);
        let wire = Wire { core, device };
        match speaks {
            Speaks::Modbus => {
                let wire = Arc::new(wire);
                let server = RegisterServer::bind(address, wire, ServerConfig::default());
                server.await.map(Self::Modbus)
            }
            Speaks::Dnp3(link) => {
                let server =
                    Dnp3Server::bind(address, link, move |order| wire.order(order).is_ok());
                server.await.map(Self::Dnp3)
            }
            Speaks::Iec104(common_address) => {
                let order = move |order: Order<'_>| wire.order(order).is_ok();
                let server = Iec104Server::bind(address, common_address, order);
                server.await.map(Self::Iec104)
            }
            Speaks::Iec61850(ied) => {
                let server = BayServer::bind(address, &ied, move |order| wire.order(order));
                server.await.map(Self::Iec61850)
            }
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Modbus(server) => server.address(),
            Self::Dnp3(server) => server.address(),
            Self::Iec104(server) => server.address(),
            Self::Iec61850(server) => server.address(),
        }
    }

    fn set_fault(&self, fault: Fault) {
        match self {
            Self::Modbus(server) => server.set_fault(fault),
            Self::Dnp3(server) => server.set_fault(fault),
            Self::Iec104(server) => server.set_fault(fault),
            Self::Iec61850(server) => server.set_fault(fault),
        }
    }

    fn show(&self, readings: &Readings, unix_ms: i64) {
        match self {
            // It reads what it is asked for.
            Self::Modbus(_) => {}
            Self::Dnp3(server) => server.show(readings, unix_ms),
            Self::Iec104(server) => server.show(readings, unix_ms),
            Self::Iec61850(server) => server.show(readings, unix_ms),
        }
    }
}

/// A substation with its servers listening.
#[derive(Debug)]
pub struct Station {
    core: Arc<Core>,
    servers: Vec<Served>,
    lines: Vec<SerialLine>,
    step: Duration,
}

/// A running station; dropping it stops everything.
#[derive(Debug)]
pub struct Running {
    /// Base address of the control interface.
    pub control: SocketAddr,
    /// The station, for looking into it.
    pub station: Arc<Station>,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Builds the scenario's substation, starts its servers and lets time run.
///
/// # Errors
/// See [`StartError`].
pub async fn start(loaded: &Loaded, listen: Listen) -> Result<Running, StartError> {
    let substation = Substation::new(loaded, unix_ms())?;
    let core = Arc::new(Core {
        substation: Mutex::new(substation),
        started: Instant::now(),
    });
    let ders = loaded.scenario.der.iter();
    let ders = ders.map(|d| (&d.device, d.port, Speaks::Modbus));
    let rtus = loaded.scenario.rtu.iter();
    let rtus = rtus.map(|r| (&r.device, r.port, r.speaks()));
    let mut servers = Vec::new();
    for (index, (device, port, speaks)) in ders.chain(rtus).enumerate() {
        let address = SocketAddr::new(listen.ip, port);
        let server = Server::bind(&core, index, address, speaks).await;
        let server = server.map_err(|error| StartError::Bind {
            what: format!("device {device}"),
            address,
            error,
        })?;
        tracing::info!(device, %address, "device listens");
        servers.push(Served {
            device: device.clone(),
            server,
        });
    }
    let lines = lines(&core, loaded, &listen.lines)?;
    let address = SocketAddr::new(listen.ip, listen.control_port);
    let bind = |error| StartError::Bind {
        what: "the control interface".into(),
        address,
        error,
    };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let control = listener.local_addr().map_err(bind)?;
    let station = Arc::new(Station {
        core,
        servers,
        lines,
        step: Duration::from_millis(loaded.scenario.step_ms),
    });
    let stop = CancellationToken::new();
    tokio::spawn(
        stop.clone()
            .run_until_cancelled_owned(tick(Arc::clone(&station))),
    );
    let serve = control::serve(listener, Arc::clone(&station));
    tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
    tracing::info!(%control, "control interface listens");
    Ok(Running {
        control,
        station,
        stop,
    })
}

/// The serial lines that devices are on.
fn lines(core: &Arc<Core>, loaded: &Loaded, folder: &Path) -> Result<Vec<SerialLine>, StartError> {
    let mut lines: BTreeMap<&str, Units> = BTreeMap::new();
    for (device, der) in loaded.scenario.der.iter().enumerate() {
        if let Some(line) = &der.line {
            let core = Arc::clone(core);
            let wire: Arc<dyn Registers> = Arc::new(Wire { core, device });
            let units = lines.entry(&line.name).or_default();
            units.insert(line.unit, (device, wire));
        }
    }
    let open = |(name, units)| {
        let path = folder.join(name);
        let line = SerialLine::open(&path, units);
        tracing::info!(path = %path.display(), "line");
        line.map_err(|error| StartError::Line { path, error })
    };
    lines.into_iter().map(open).collect()
}

/// Steps at the scenario's pace; what the machine did not manage is one longer step.
async fn tick(station: Arc<Station>) {
    let mut ticks = interval(station.step);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let now_s = station.core.now_s();
        let unix_ms = unix_ms();
        station.core.lock().step(now_s, unix_ms);
        station.apply_faults();
        station.show(unix_ms);
    }
}

impl Station {
    /// The substation; held for as short as possible, since every server waits for it.
    pub fn substation(&self) -> MutexGuard<'_, Substation> {
        self.core.lock()
    }

    /// The physics now.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let now_s = self.core.now_s();
        self.core.lock().truth(now_s)
    }

    /// Makes the servers misbehave as the faults in force say.
    pub fn apply_faults(&self) {
        let substation = self.core.lock();
        for (index, served) in self.servers.iter().enumerate() {
            served.server.set_fault(substation.wire(index));
        }
        for line in &self.lines {
            line.set_faults(|device| substation.wire(device));
        }
    }

    /// Gives the servers that keep their own copy what was read.
    fn show(&self, unix_ms: i64) {
        let substation = self.core.lock();
        for (index, served) in self.servers.iter().enumerate() {
            if let Some(readings) = substation.readings(index) {
                served.server.show(readings, unix_ms);
            }
        }
    }

    /// Names and addresses of the devices.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        let servers = self.servers.iter();
        servers.map(|served| (served.device.as_str(), served.server.address()))
    }
}

fn unix_ms() -> i64 {
    // A clock before 1970 is set wrong; the history's times are then, too.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
