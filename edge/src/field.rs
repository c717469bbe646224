//! The field: one supervised task per device, so that a dead, slow or babbling device delays no
//! other (each has its own connection, its own command queue and its own task).
//!
//! A task that panics is a bug, and a bug in one device's code must not stop the others: it is
//! logged and started again, later each time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protocols::{
    device::{DeviceEvent, DeviceState, Ports, system_clock},
    dnp3::{self, Kind, link::LinkConfig, map::PointMap, master::AssociationConfig},
    iec104, iec61850,
    modbus::{self, Line, Link, Way},
    point::{Command, CommandStatus, DeviceId},
    tcp::ClientConfig,
    tls::{TlsClient, TlsError},
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::site::{Device, Outstation, Place, Wire};

/// Commands that may wait for one device; more are refused, since they would come late anyway.
const COMMAND_QUEUE: usize = 8;
/// First wait before a task that panicked is started again; doubles up to the longest.
const RESTART_MIN: Duration = Duration::from_millis(500);
const RESTART_MAX: Duration = Duration::from_secs(60);

/// The running device tasks.
#[derive(Debug)]
pub struct Field {
    commands: BTreeMap<DeviceId, mpsc::Sender<Command>>,
    supervisors: JoinSet<()>,
}

impl Field {
    /// Starts a task for each device. They end when `stop` fires.
    #[must_use]
    pub fn start(
        devices: &[Device],
        events: &mpsc::Sender<(DeviceId, DeviceEvent)>,
        stop: &CancellationToken,
    ) -> Self {
        let mut commands = BTreeMap::new();
        let mut supervisors = JoinSet::new();
        // What shares a line takes turns on it.
        let mut lines = BTreeMap::new();
        for device in devices {
            let (sender, receiver) = mpsc::channel(COMMAND_QUEUE);
            commands.insert(device.id.clone(), sender);
            supervisors.spawn(supervise(
                device.clone(),
                way(&device.place, &mut lines),
                events.clone(),
                receiver,
                stop.clone(),
            ));
        }
        Self {
            commands,
            supervisors,
        }
    }

    /// Hands a command to its device without waiting.
    ///
    /// # Errors
    /// The device does not exist, its task is down or its queue is full: `NotSent`, and why.
    pub fn command(&self, device: &DeviceId, command: Command) -> Result<(), CommandStatus> {
        let Some(sender) = self.commands.get(device) else {
            return Err(CommandStatus::NotSent(format!(
                "there is no device {device}"
            )));
        };
        sender.try_send(command).map_err(|error| {
            let why = match error {
                mpsc::error::TrySendError::Full(_) => "the device is still busy with earlier ones",
                mpsc::error::TrySendError::Closed(_) => "the device's task is not running",
            };
            CommandStatus::NotSent(why.to_owned())
        })
    }

    /// Waits until every task has ended, after `stop` has fired.
    pub async fn ended(mut self) {
        while let Some(ended) = self.supervisors.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a device's supervisor did not end well");
            }
        }
    }
}

/// Keeps one device's task running.
async fn supervise(
    device: Device,
    way: Way,
    events: mpsc::Sender<(DeviceId, DeviceEvent)>,
    mut commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
) {
    let mut wait = RESTART_MIN;
    while !stop.is_cancelled() {
        let (sender, receiver) = mpsc::channel(COMMAND_QUEUE);
        let ports = Ports {
            device: device.id.clone(),
            events: events.clone(),
            commands: receiver,
            stop: stop.clone(),
        };
        let started = Instant::now();
        let task = start(&device, way.clone(), ports);
        let Err(error) = forward(&mut commands, &sender, task).await else {
            return;
        };
        // One that ran for a while has earned a quick restart.
        if started.elapsed() > RESTART_MAX {
            wait = RESTART_MIN;
        }
        tracing::error!(device = %device.id, %error, retry_in = ?wait, "device task failed");
        let offline = DeviceEvent::State(DeviceState::Offline {
            error: format!("internal error: {error}"),
            retry_in: wait,
        });
        // A closed channel means that the appliance is stopping.
        let _ = events.send((device.id.clone(), offline)).await;
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        wait = (wait * 2).min(RESTART_MAX);
    }
}

/// How a device is reached by Modbus.
fn way(place: &Place, lines: &mut BTreeMap<String, Arc<Line>>) -> Way {
    match place {
        Place::Tcp(address) => Way::Tcp(address.to_string()),
        Place::RtuOverTcp(address) => Way::RtuOverTcp(address.to_string()),
        Place::Line { line, config } => {
            let open = || Arc::new(Line::new(config.clone()));
            Way::Serial(Arc::clone(lines.entry(line.clone()).or_insert_with(open)))
        }
    }
}

fn start(device: &Device, way: Way, ports: Ports) -> JoinHandle<()> {
    let tls = match tls(device) {
        Ok(tls) => tls,
        Err(error) => return tokio::spawn(unusable(ports, error)),
    };
    let way = match (way, tls.clone()) {
        (Way::Tcp(address), Some(tls)) => Way::Tls(address, tls),
        (way, _) => way,
    };
    match device.wire.clone() {
        Wire::Sunspec { unit_id } => {
            let link = link(device, way, unit_id);
            let config = modbus::sunspec::device::SunspecConfig { link };
            tokio::spawn(modbus::sunspec::device::run(config, ports))
        }
        Wire::Modbus { unit_id, map } => {
            let link = link(device, way, unit_id);
            let config = modbus::device::ModbusConfig { link, map };
            tokio::spawn(modbus::device::run(config, ports))
        }
        Wire::Dnp3 { outstation, map } => {
            let config = dnp3::device::Dnp3Config {
                client: client(device, tls),
                association: association(device, &outstation, &map),
                map,
            };
            tokio::spawn(dnp3::device::run(config, ports))
        }
        Wire::Iec104 { rtu, map } => {
            let config = iec104::device::Iec104Config {
                client: client(device, tls),
                master: iec104::master::MasterConfig {
                    clock_sync: rtu.clock_sync,
                    interrogate_every: Some(device.poll),
                    answer_timeout: device.timeout,
                    ..iec104::master::MasterConfig::new(rtu.address)
                },
                map,
            };
            tokio::spawn(iec104::device::run(config, ports))
        }
        Wire::Iec61850 { ied, map } => {
            let place = iec61850::device::Place {
                address: device.place.to_string(),
                tls,
                timeout: device.timeout,
            };
            let config = iec61850::device::Iec61850Config {
                poll: device.poll,
                ..iec61850::device::Iec61850Config::new(place, ied.name, map)
            };
            tokio::spawn(iec61850::device::run(config, ports))
        }
    }
}

fn link(device: &Device, way: Way, unit: u8) -> Link {
    Link {
        unit,
        connect_timeout: device.timeout,
        request_timeout: device.timeout,
        poll_interval: device.poll,
        clock: system_clock,
        ..Link::by(way)
    }
}

/// The site's check has read the files; they may have changed since.
fn tls(device: &Device) -> Result<Option<TlsClient>, TlsError> {
    let tls = device.tls.as_ref();
    tls.map(|(files, name)| files.client(name)).transpose()
}

/// A device that cannot be asked: says so, and waits for the end.
async fn unusable(ports: Ports, error: TlsError) {
    let offline = DeviceEvent::State(DeviceState::Offline {
        error: error.to_string(),
        retry_in: Duration::MAX,
    });
    let _ = ports.events.send((ports.device.clone(), offline)).await;
    ports.stop.cancelled().await;
}

fn client(device: &Device, tls: Option<TlsClient>) -> ClientConfig {
    ClientConfig {
        tls,
        connect_timeout: device.timeout,
        ..ClientConfig::new(device.place.to_string())
    }
}

fn association(device: &Device, outstation: &Outstation, map: &PointMap) -> AssociationConfig {
    let has = |kind| map.points.iter().any(|point| point.kind == kind);
    let everything = outstation.integrity <= device.poll;
    AssociationConfig {
        response_timeout: device.timeout,
        retry_delay: device.poll,
        integrity_every: Some(outstation.integrity),
        // Reading everything reads the events too.
        events_every: (!everything).then_some(device.poll),
        unsolicited: [outstation.unsolicited; 3],
        time_sync: outstation.time_sync,
        ask_times: [Kind::Binary, Kind::DoubleBit].map(|kind| outstation.ask_times && has(kind)),
        ..AssociationConfig::new(LinkConfig::new(outstation.master, outstation.address))
    }
}

/// Passes commands on until the task ends. The queue outlives the task: a command that comes while
/// it is down waits for its successor, or expires there.
async fn forward(
    commands: &mut mpsc::Receiver<Command>,
    to: &mpsc::Sender<Command>,
    mut task: JoinHandle<()>,
) -> Result<(), tokio::task::JoinError> {
    loop {
        tokio::select! {
            ended = &mut task => return ended,
            Some(command) = commands.recv() => {
                // Fails only when the task is ending, which the other arm sees next.
                let _ = to.send(command).await;
            }
        }
    }
}
