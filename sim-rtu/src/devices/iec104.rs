//! An RTU over IEC 60870-5-104. The layout is `edge/profiles/iec104-rtu.toml`, the file that the appliance
//! reads such devices by, so that it exists once. Breakers and tap changers tell their changes by
//! themselves, with the time of the step that saw them; numbers are interrogated.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Weak},
};

use protocols::{
    device::system_clock,
    iec104::{
        Kind, Sample,
        map::ObjectMap,
        station::{
            CommandConfig, ControlAnswer, ControlOperation, ControlRequest, GroupConfig,
            PointConfig, SelectMode, StationConfig, StationEvent,
            server::{ServerEvent, StationServer},
        },
    },
    modbus::server::Fault,
    point::{Quality, TimeQuality, Timestamp, Value},
};
use tokio::sync::mpsc;

use super::{Order, Readings, layout, relay::Relay};

/// Points of the device model `iec104-rtu`.
///
/// # Errors
/// The file in the repository is not what it should be.
pub fn map() -> Result<ObjectMap, toml::de::Error> {
    layout(
        include_str!("../../../edge/profiles/iec104-rtu.toml"),
        "iec104",
    )
}

/// A server of an RTU.
#[derive(Debug)]
pub struct Iec104Server {
    map: ObjectMap,
    server: Arc<StationServer>,
    relay: Relay,
}

impl Iec104Server {
    /// Listens on `address` as the station of this common address; `order` carries out what masters
    /// ask, and says whether it did.
    ///
    /// # Errors
    /// The address cannot be bound, or the repository's own file is broken.
    pub async fn bind(
        address: SocketAddr,
        common_address: u16,
        order: impl Fn(Order<'_>) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let map = map().map_err(io::Error::other)?;
        let config = station(common_address, &map);
        // Only the relay is to be reached from outside.
        let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (server, events) = StationServer::bind(inside, config, None, system_clock).await?;
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
            let carried = point.carried(*value);
            let sample = Sample::new(point.kind, carried, Quality::GOOD, Some(time));
            self.server.update(point.ioa, sample);
        }
    }
}

fn station(common_address: u16, map: &ObjectMap) -> StationConfig {
    let points = map.points.iter().map(|point| PointConfig {
        dead_band: match point.kind {
            Kind::Normalized | Kind::Scaled | Kind::Float | Kind::Counter => f64::INFINITY,
            _ => 0.0,
        },
        ..PointConfig::new(point.ioa, point.kind)
    });
    let commands = map.commands.iter().map(|command| CommandConfig {
        ioa: command.ioa,
        kind: command.kind,
        select: match command.select {
            true => SelectMode::Required,
            false => SelectMode::Optional,
        },
    });
    StationConfig {
        points: points.collect(),
        commands: commands.collect(),
        groups: vec![GroupConfig::default()],
        ..StationConfig::new(common_address)
    }
}

async fn obey(
    server: Weak<StationServer>,
    mut events: mpsc::Receiver<ServerEvent>,
    map: ObjectMap,
    order: impl Fn(Order<'_>) -> bool,
) {
    while let Some((_, event)) = events.recv().await {
        let StationEvent::Control(request) = event else {
            continue;
        };
        let answer = match obeyed(&request, &map, &order) {
            true => ControlAnswer::Done,
            false => ControlAnswer::Refused,
        };
        let Some(server) = server.upgrade() else {
            return;
        };
        server.answer(request.id, answer);
    }
}

fn obeyed(request: &ControlRequest, map: &ObjectMap, order: impl Fn(Order<'_>) -> bool) -> bool {
    let ioa = request.command.ioa;
    // The station has refused what is not in the map.
    let command = map.commands.iter().find(|command| command.ioa == ioa);
    let value = command.map(|command| (command, command.value(request.command.value)));
    let Some((command, Value::Analog(value))) = value else {
        return false;
    };
    let check = matches!(
        request.operation,
        ControlOperation::Check | ControlOperation::Select
    );
    order((&command.name, value, check))
}
