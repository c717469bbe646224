//! A bay controller over IEC 61850: the model is `sim-rtu/scl/bay.icd`, and which attribute is which reading says
//! `edge/profiles/iec61850-bay.toml`, the file that the appliance reads such devices by.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use protocols::{
    iec61850::{
        Kind, ObjectMap, Reference,
        server::{MmsServer, Refusal, Shown},
    },
    modbus::server::Fault,
    point::{DoublePoint, Quality, TimeQuality, Timestamp, Value},
};

use super::{Order, Readings, layout, relay::Relay};

const PROFILE: &str = include_str!("../../../edge/profiles/iec61850-bay.toml");
const MODEL: &str = include_str!("../../scl/bay.icd");

/// Where else the breaker's contact that is made when closed shows.
const FOLLOWS: [(&str, bool); 2] = [
    ("LD0/CSWI1.Pos.stVal[ST]", true),
    ("LD0/DRCS1.ECPConn.stVal[ST]", false),
];

/// The layout of the device model `iec61850-bay`.
///
/// # Errors
/// The file in the repository is not what it should be.
pub fn map() -> Result<ObjectMap, toml::de::Error> {
    layout(PROFILE, "iec61850")
}

/// A bay controller's server.
#[derive(Debug)]
pub struct BayServer {
    map: ObjectMap,
    /// Where the breaker's position shows too, and whether as a position.
    follows: Vec<(Reference, bool)>,
    server: MmsServer,
    relay: Relay,
}

impl BayServer {
    /// Listens on `address` as the IED of this name; `order` carries out what clients order of a point of the
    /// profile, or says that it would.
    ///
    /// # Errors
    /// The address cannot be bound, or the repository's own files are broken.
    pub async fn bind(
        address: SocketAddr,
        ied: &str,
        order: impl Fn(Order<'_>) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let map = map().map_err(io::Error::other)?;
        let commands = map.commands.clone();
        let obey = move |(object, value, check): (&str, Value, bool)| {
            let mut commands = commands.iter();
            let command = commands.find(|command| command.reference.to_string() == object);
            let value = match value {
                Value::Analog(number) => number,
                Value::Binary(on) => f64::from(u8::from(on)),
                _ => return Err(Refusal::NotSupported),
            };
            order((&command.ok_or(Refusal::NotSupported)?.name, value, check))
        };
        // Only the relay is to be reached from outside.
        let inside = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = MmsServer::bind(inside, MODEL, ied, Arc::new(obey)).await?;
        let relay = Relay::bind(address, server.address()).await?;
        let follows = FOLLOWS.iter().map(|(text, position)| {
            let reference = text.parse().map_err(io::Error::other)?;
            Ok((reference, *position))
        });
        Ok(Self {
            follows: follows.collect::<io::Result<_>>()?,
            map,
            server,
            relay,
        })
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
        let show = |reference: &Reference, value| {
            let shown = Shown {
                value,
                quality: Quality::GOOD,
                time: Timestamp {
                    unix_us: unix_ms * 1000,
                    quality: TimeQuality::Source,
                },
            };
            if !self.server.show(reference, shown) {
                tracing::debug!(%reference, "not in the model");
            }
        };
        for point in &self.map.points {
            let Some(value) = readings.get(&point.name) else {
                continue;
            };
            match (point.kind, value) {
                (Kind::Closed, &Value::Binary(closed)) => {
                    let position = match closed {
                        true => DoublePoint::On,
                        false => DoublePoint::Off,
                    };
                    show(&point.reference, Value::DoublePoint(position));
                    for (reference, as_position) in &self.follows {
                        show(
                            reference,
                            match as_position {
                                true => Value::DoublePoint(position),
                                false => Value::Binary(closed),
                            },
                        );
                    }
                }
                // The other contact of the same position.
                (Kind::Open, _) => {}
                (_, value) => show(&point.reference, *value),
            }
        }
    }
}
