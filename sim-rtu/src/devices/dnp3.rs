//! An RTU over DNP3. The layout is `edge/profiles/dnp3-rtu.toml`, the file that the appliance reads such
//! devices by, so that it exists once. Breakers make events, with the time of the step that saw them;
//! numbers are read.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use protocols::{
    dnp3::{
        Flags, Kind, Sample,
        app::{CommandStatus, OutputCommand},
        link::LinkConfig,
        map::PointMap,
        outstation::{
            Class, ControlOperation, ControlRequest, OutstationConfig, OutstationEvent,
            PointConfig,
            server::{OutstationServer, ServerConfig},
        },
    },
    modbus::server::Fault,
    point::{TimeQuality, Timestamp, Value},
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::relay::Relay;
use crate::{meters::Accuracy, scenario::LinkAddresses};

const PROFILE: &str = include_str!("../../../edge/profiles/dnp3-rtu.toml");

/// The device model's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is, for people.
    pub description: String,
    /// Accuracy of the meters, by quantity.
    pub accuracy: BTreeMap<String, Accuracy>,
    /// Points.
    pub dnp3: PointMap,
}

impl Profile {
    /// The device model `dnp3-rtu`.
    ///
    /// # Errors
    /// The file in the repository is not what it should be.
    pub fn of_the_repository() -> Result<Self, toml::de::Error> {
        toml::from_str(PROFILE)
    }
}

/// What an RTU shows, by the points' names.
pub type Readings = BTreeMap<String, Value>;

/// What a master asks of the RTU: a point, the value that it shall get, and whether only to say if it
/// would.
pub type Order<'a> = (&'a str, f64, bool);

/// A server of an RTU.
#[derive(Debug)]
pub struct Dnp3Server {
    map: PointMap,
    server: Arc<OutstationServer>,
    relay: Relay,
}

impl Dnp3Server {
    /// Listens on `address`; `order` carries out what masters ask, and says whether it did.
    ///
    /// # Errors
    /// The address cannot be bound, or the repository's own file is broken.
    pub async fn bind(
        address: SocketAddr,
        link: LinkAddresses,
        order: impl Fn(Order<'_>) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let map = Profile::of_the_repository().map_err(io::Error::other)?.dnp3;
        let mut points = Vec::new();
        for point in &map.points {
            let class = (point.kind == Kind::Binary).then_some(Class::One);
            points.push(PointConfig::new(point.kind, point.index, class));
            let output = |index| PointConfig::new(Kind::AnalogOutput, index, None);
            points.extend(point.output.map(output));
        }
        let master = OutstationConfig::new(LinkConfig::new(link.address, link.master));
        // Only the relay is to be reached from outside.
        let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let bounds = ServerConfig::default();
        let (server, events) = OutstationServer::bind(inside, &[master], &points, bounds).await?;
        let relay = Relay::bind(address, server.address()).await?;
        let server = Arc::new(server);
        tokio::spawn(obey(Arc::downgrade(&server), events, map.clone(), order));
        Ok(Self { map, server, relay })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// How it misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.relay.set_fault(fault);
    }

    /// Shows what was read at `unix_ms`.
    pub fn show(&self, readings: &Readings, unix_ms: i64) {
        let time = Timestamp {
            unix_us: unix_ms * 1000,
            quality: TimeQuality::Source,
        };
        for point in &self.map.points {
            let Some(value) = readings.get(&point.name) else {
                continue;
            };
            let sample = Sample {
                value: point.carried(*value),
                flags: Flags::ONLINE,
                time: Some(time),
            };
            self.server.update(point.kind, point.index, sample);
        }
    }
}

async fn obey(
    server: std::sync::Weak<OutstationServer>,
    mut events: mpsc::Receiver<(usize, OutstationEvent)>,
    map: PointMap,
    order: impl Fn(Order<'_>) -> bool,
) {
    while let Some((session, event)) = events.recv().await {
        let OutstationEvent::Control(request) = event else {
            continue;
        };
        let statuses = statuses(&request, &map, &order);
        let Some(server) = server.upgrade() else {
            return;
        };
        if request.operation != ControlOperation::DirectOperateNoResponse {
            server.control_done(session, request.id, &statuses);
        }
    }
}

fn statuses(
    request: &ControlRequest,
    map: &PointMap,
    order: impl Fn(Order<'_>) -> bool,
) -> Vec<CommandStatus> {
    let check = request.operation == ControlOperation::Select;
    let one = |(index, command): &(u16, OutputCommand)| {
        let point = map.points.iter().find(|p| p.output == Some(*index));
        let (Some(point), OutputCommand::Analog(value)) = (point, command) else {
            return CommandStatus::NotSupported;
        };
        match order((&point.name, value.value(), check)) {
            true => CommandStatus::Success,
            false => CommandStatus::OutOfRange,
        }
    };
    request.commands.iter().map(one).collect()
}
