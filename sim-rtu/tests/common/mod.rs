//! A station on a loopback address of its own, its control interface, and the appliance's own
//! device tasks as clients.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "every test binary uses a part of this"
)]

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use protocols::{
    device::{DeviceEvent, DeviceState, Ports, system_clock},
    dnp3::{self, link::LinkConfig, master::AssociationConfig},
    iec104::{self, master::MasterConfig},
    iec61850,
    modbus::{Line, LineConfig, Link, Way, device, map::RegisterMap, sunspec},
    point::{Action, Command, CommandStatus, DeviceId, Origin, PointId, Update, Value},
    tcp::ClientConfig,
};
use serde_json::Value as Json;
use sim_rtu::{
    devices, scenario,
    station::{self, Listen, Running},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Long enough for any machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running noon and its address.
pub(crate) struct Stand {
    pub(crate) running: Running,
    pub(crate) ip: IpAddr,
}

/// Folder of a stand's serial lines.
fn lines(ip: IpAddr) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lines-{ip}"))
}

/// The shipped noon on an address that no other test of this machine uses now.
pub(crate) async fn noon() -> Stand {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let pid = std::process::id();
    let ip = IpAddr::V4(Ipv4Addr::new(
        127,
        120 + (pid >> 8) as u8 % 100,
        pid as u8,
        NEXT.fetch_add(1, Ordering::Relaxed),
    ));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let loaded = scenario::load(&folder.join("noon.toml")).unwrap();
    let listen = Listen {
        ip,
        control_port: 0,
        lines: lines(ip),
    };
    let running = station::start(&loaded, listen).await.unwrap();
    Stand { running, ip }
}

impl Stand {
    /// A request to the control interface: status and body.
    pub(crate) async fn http(&self, method: &str, path: &str, body: &str) -> (u16, Json) {
        let exchange = async {
            let mut stream = TcpStream::connect(self.running.control).await.unwrap();
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(PATIENCE, exchange).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Json::Null))
    }

    pub(crate) async fn fault(&self, body: &str) -> u64 {
        let (status, answer) = self.http("POST", "/faults", body).await;
        assert_eq!(status, 201, "{body}: {answer}");
        answer["id"].as_u64().unwrap()
    }

    /// The physics of one unit.
    pub(crate) async fn unit(&self, id: i64) -> Json {
        let (_, truth) = self.http("GET", "/truth", "").await;
        let mut units = truth["units"].as_array().unwrap().iter();
        units.find(|unit| unit["id"] == id).unwrap().clone()
    }

    /// Waits until a unit's truth is as wanted.
    pub(crate) async fn until_unit(&self, id: i64, wanted: impl Fn(&Json) -> bool) -> Json {
        timeout(PATIENCE, async {
            loop {
                let unit = self.unit(id).await;
                if wanted(&unit) {
                    return unit;
                }
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .unwrap()
    }

    fn link(&self, port: u16) -> Link {
        quick(Way::Tcp(SocketAddr::new(self.ip, port).to_string()))
    }

    /// The name of a serial line's port.
    pub(crate) fn port_of(&self, line: &str) -> PathBuf {
        lines(self.ip).join(line)
    }

    /// A serial line.
    pub(crate) fn line(&self, line: &str) -> Way {
        let port = self.port_of(line);
        let config = LineConfig::new(port.to_str().unwrap());
        Way::Serial(Arc::new(Line::new(config)))
    }

    /// The appliance's SunSpec client on a device of a line.
    pub(crate) fn sunspec_on(&self, line: &Way, unit: u8) -> Client {
        let link = Link {
            unit,
            ..quick(line.clone())
        };
        Client::start(|ports| sunspec::device::run(sunspec::device::SunspecConfig { link }, ports))
    }

    /// The appliance's SunSpec client on a device.
    pub(crate) fn sunspec(&self, port: u16) -> Client {
        let link = self.link(port);
        Client::start(|ports| sunspec::device::run(sunspec::device::SunspecConfig { link }, ports))
    }

    /// The appliance's Modbus client on an RTU.
    pub(crate) fn rtu(&self, port: u16, map: RegisterMap) -> Client {
        let link = self.link(port);
        Client::start(|ports| device::run(device::ModbusConfig { link, map }, ports))
    }

    /// The appliance's DNP3 master on the main RTU.
    pub(crate) fn main_rtu(&self) -> Client {
        let poll = Duration::from_millis(100);
        let address = SocketAddr::new(self.ip, 15_200).to_string();
        let config = dnp3::device::Dnp3Config {
            client: ClientConfig {
                min_retry: poll,
                max_retry: poll,
                ..ClientConfig::new(address)
            },
            association: AssociationConfig {
                response_timeout: Duration::from_secs(1),
                retry_delay: poll,
                integrity_every: Some(poll),
                ..AssociationConfig::new(LinkConfig::new(1, 10))
            },
            map: devices::dnp3::map().unwrap(),
        };
        Client::start(|ports| dnp3::device::run(config, ports))
    }

    /// The appliance's IEC 104 master on the feeder RTU.
    pub(crate) fn feeder_rtu(&self) -> Client {
        let poll = Duration::from_millis(100);
        let address = SocketAddr::new(self.ip, 15_210).to_string();
        let config = iec104::device::Iec104Config {
            client: ClientConfig {
                min_retry: poll,
                max_retry: poll,
                ..ClientConfig::new(address)
            },
            master: MasterConfig {
                answer_timeout: Duration::from_secs(1),
                interrogate_every: Some(poll),
                ..MasterConfig::new(10)
            },
            map: devices::iec104::map().unwrap(),
        };
        Client::start(|ports| iec104::device::run(config, ports))
    }

    /// The appliance's IEC 61850 client on a bay controller.
    pub(crate) fn bay(&self, port: u16, ied: &str) -> Client {
        let place = iec61850::device::Place {
            address: SocketAddr::new(self.ip, port).to_string(),
            tls: None,
            timeout: Duration::from_secs(1),
        };
        let map = devices::iec61850::map().unwrap();
        let quick = Duration::from_millis(100);
        let config = iec61850::device::Iec61850Config {
            poll: 2 * quick,
            min_retry: quick,
            max_retry: quick,
            ..iec61850::device::Iec61850Config::new(place, ied.to_owned(), map)
        };
        Client::start(|ports| iec61850::device::run(config, ports))
    }
}

fn quick(way: Way) -> Link {
    Link {
        poll_interval: Duration::from_millis(50),
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(100),
        ..Link::by(way)
    }
}

/// A device task and the values it brought.
pub(crate) struct Client {
    events: mpsc::Receiver<(DeviceId, DeviceEvent)>,
    commands: mpsc::Sender<Command>,
    last: HashMap<String, Update>,
    /// Everything that came, in order.
    pub(crate) seen: Vec<Update>,
    _stop: DropGuard,
}

impl Client {
    fn start<F>(run: impl FnOnce(Ports) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (event_tx, events) = mpsc::channel(64);
        let (commands, command_rx) = mpsc::channel(16);
        let stop = CancellationToken::new();
        tokio::spawn(run(Ports {
            device: DeviceId::new("d"),
            events: event_tx,
            commands: command_rx,
            stop: stop.clone(),
        }));
        Self {
            events,
            commands,
            last: HashMap::new(),
            seen: Vec::new(),
            _stop: stop.drop_guard(),
        }
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(DeviceEvent) -> Option<T>) -> T {
        timeout(PATIENCE, async {
            loop {
                let (_, event) = self.events.recv().await.unwrap();
                if let DeviceEvent::Updates(updates) = &event {
                    for update in updates {
                        self.seen.push(update.clone());
                        let name = update.point.name().to_owned();
                        self.last.insert(name, update.clone());
                    }
                }
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        })
        .await
        .unwrap()
    }

    /// Waits for a whole poll that began after this call.
    pub(crate) async fn poll(&mut self) {
        for _ in 0..2 {
            self.until(|event| matches!(event, DeviceEvent::Polled { .. }).then_some(()))
                .await;
        }
    }

    /// Waits until polls see `point` as wanted.
    pub(crate) async fn until_value(&mut self, point: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        timeout(PATIENCE, async {
            loop {
                self.poll().await;
                let value = self.value(point);
                if wanted(value) {
                    return value;
                }
            }
        })
        .await
        .unwrap()
    }

    pub(crate) async fn until_online(&mut self) {
        self.until(|event| (event == DeviceEvent::State(DeviceState::Online)).then_some(()))
            .await;
    }

    /// Waits for the device to be offline; the reason.
    pub(crate) async fn until_offline(&mut self) -> String {
        self.until(|event| match event {
            DeviceEvent::State(DeviceState::Offline { error, .. }) => Some(error),
            _ => None,
        })
        .await
    }

    pub(crate) async fn command(&mut self, point: &str, action: Action) -> CommandStatus {
        let command = Command {
            id: 1,
            point: PointId::new(&DeviceId::new("d"), point),
            action,
            origin: Origin::Market,
            expires_unix_us: system_clock() + 60_000_000,
        };
        self.commands.send(command).await.unwrap();
        self.until(|event| match event {
            DeviceEvent::CommandDone { status, .. } => Some(status),
            _ => None,
        })
        .await
    }

    /// Last value of a point; NaN while it has none.
    pub(crate) fn value(&self, point: &str) -> f64 {
        match self.last.get(point).map(|update| update.value) {
            Some(Value::Analog(value)) => value,
            Some(Value::Counter(count)) => count as f64,
            Some(Value::Binary(on)) => f64::from(u8::from(on)),
            _ => f64::NAN,
        }
    }
}
