//! An RTU over DNP3. The layout is `edge/profiles/dnp3-rtu.toml`, the file that the appliance reads such
//! devices by, so that it exists once. Breakers make events, with the time of the step that saw them;
//! numbers are read.

use std::{
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
    point::{TimeQuality, Timestamp},
};
use tokio::sync::mpsc;

use super::{Order, Readings, layout, relay::Relay};
use crate::scenario::LinkAddresses;

/// Points of the device model `dnp3-rtu`.
///
/// # Errors
/// The file in the repository is not what it should be.
pub fn map() -> Result<PointMap, toml::de::Error> {
    layout(include_str!("../../../edge/profiles/dnp3-rtu.toml"), "dnp3")
}

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
        let map = map().map_err(io::Error::other)?;
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
