//! Doors for `tests/fuzz`, in its builds only: servers and devices on any octets, without a socket or a line.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{
    client::{Client, LinkError},
    device::RegisterSession,
    line_server::{self, Unit},
    map::RegisterMap,
    server::{self, Fault, Registers, ServerConfig, Shared},
    sunspec::device::SunspecSession,
    supervise::Session,
};
use crate::{
    device::system_clock,
    point::{Command, DeviceId, Update},
    tls::Octets,
};

/// Serves a connection as [`server::RegisterServer`] does, to its end.
///
/// # Errors
/// Why it ended.
pub async fn serve_tcp<R: Registers>(stream: impl Octets, registers: Arc<R>) -> io::Result<()> {
    let (_sender, fault) = watch::channel(Fault::None);
    let shared = Shared {
        registers,
        config: ServerConfig::default(),
        stop: CancellationToken::new(),
        fault,
        places: Arc::new(Semaphore::new(1)),
    };
    server::serve(stream, &shared).await
}

/// Serves a line with one unit, 1, to its end.
///
/// # Errors
/// Why it ended.
pub async fn serve_line(port: impl Octets, registers: Arc<dyn Registers>) -> io::Result<()> {
    let (_sender, fault) = watch::channel(Fault::None);
    let unit = Unit { registers, fault };
    line_server::serve(port, BTreeMap::from([(1, unit)])).await
}

/// What is polled: SunSpec without a map, else what is in it.
pub enum Polled {
    /// A SunSpec device.
    Sunspec,
    /// A device of a profile.
    Map(RegisterMap),
}

/// Learns what a device has, polls it, gives it commands, until it fails; the updates of the last poll.
///
/// # Errors
/// Why it failed.
pub async fn poll(
    stream: Box<dyn Octets>,
    rtu_frames: bool,
    polled: Polled,
    commands: &[Command],
) -> Result<Vec<Update>, LinkError> {
    let client = Client::attached(stream, rtu_frames, Duration::from_secs(1));
    let device = DeviceId::new("device");
    match polled {
        Polled::Sunspec => run(SunspecSession::new(device, system_clock), client, commands).await,
        Polled::Map(map) => {
            let session = RegisterSession::new(map, &device, system_clock);
            run(session, client, commands).await
        }
    }
}

async fn run(
    mut session: impl Session,
    mut client: Client,
    commands: &[Command],
) -> Result<Vec<Update>, LinkError> {
    session.open(&mut client).await?;
    session.poll(&mut client).await?;
    for command in commands {
        session.command(&mut client, command).await?;
    }
    session.poll(&mut client).await
}
