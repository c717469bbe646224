//! A controlled station behind a TCP port (clause 5): connections are told apart by where they come from,
//! and are bounded in number for each master.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ControlAnswer, Station, StationConfig, StationEvent};
use crate::{
    device::Clock,
    driver::{self, Now, Session, Shared},
    iec104::Sample,
};

/// An event: of which group, and what.
pub type ServerEvent = (usize, StationEvent);

/// One connection's view of the station.
#[derive(Debug)]
struct Wire {
    station: Arc<Mutex<Station>>,
    connection: u64,
}

impl Wire {
    fn station(&self) -> MutexGuard<'_, Station> {
        lock(&self.station)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // It is whole after each of its steps.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session for Wire {
    type Event = StationEvent;

    // The station knows it since it was accepted.
    fn connected(&mut self, _: Now) {}
    fn disconnected(&mut self, _: Now) {
        self.station().disconnected(self.connection);
    }
    fn handle_input(&mut self, bytes: &[u8], now: Now) {
        self.station().handle_input(self.connection, bytes, now);
    }
    fn handle_timeout(&mut self, now: Now) {
        self.station().handle_timeout(self.connection, now);
    }
    fn poll_timeout(&self) -> Option<Duration> {
        self.station().poll_timeout(self.connection)
    }
    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.station().poll_transmit(self.connection)
    }
    fn poll_event(&mut self) -> Option<StationEvent> {
        self.station().poll_event(self.connection)
    }
    fn ends_connection(event: &StationEvent) -> bool {
        matches!(event, StationEvent::Closed(_))
    }
}

/// What the port's task and the owner share.
#[derive(Debug)]
struct Inner {
    station: Arc<Mutex<Station>>,
    wires: Mutex<BTreeMap<u64, Arc<Shared<Wire>>>>,
    /// Where each group connects from.
    from: Vec<Vec<IpAddr>>,
    start: Instant,
    clock: Clock,
}

impl Inner {
    /// Acts on the station, and lets every connection look at what came of it.
    fn with<R>(&self, act: impl FnOnce(&mut Station, Now) -> R) -> R {
        let now = driver::now(self.start, self.clock);
        let result = act(&mut lock(&self.station), now);
        for wire in lock(&self.wires).values() {
            wire.wake();
        }
        result
    }

    /// Makes room for a connection, and for others of its group if need be.
    fn admit(&self, connection: u64, group: usize) -> Arc<Shared<Wire>> {
        self.with(|station, now| {
            if let Some(surplus) = station.surplus(group) {
                station.replace(surplus);
            }
            station.connected(connection, group, now);
        });
        let wire = Wire {
            station: Arc::clone(&self.station),
            connection,
        };
        let shared = Arc::new(Shared::since(self.start, |_| wire, self.clock));
        lock(&self.wires).insert(connection, Arc::clone(&shared));
        shared
    }

    /// The group of a connection from there.
    fn group(&self, peer: IpAddr) -> Option<usize> {
        let peer = peer.to_canonical();
        let takes =
            |from: &Vec<IpAddr>| from.is_empty() || from.iter().any(|ip| ip.to_canonical() == peer);
        self.from.iter().position(takes)
    }
}

/// A running server; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct StationServer {
    address: SocketAddr,
    inner: Arc<Inner>,
    _stop: DropGuard,
}

impl StationServer {
    /// Listens on `address` (port 0: any free one).
    ///
    /// # Errors
    /// The address cannot be bound, or the configuration is wrong ([`io::ErrorKind::InvalidInput`]).
    pub async fn bind(
        address: SocketAddr,
        config: StationConfig,
        clock: Clock,
    ) -> io::Result<(Self, mpsc::Receiver<ServerEvent>)> {
        let from = config
            .groups
            .iter()
            .map(|group| group.from.clone())
            .collect();
        let wrong = |problems: Vec<String>| {
            io::Error::new(io::ErrorKind::InvalidInput, problems.join("; "))
        };
        let station = Station::new(config).map_err(wrong)?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            station: Arc::new(Mutex::new(station)),
            wires: Mutex::default(),
            from,
            start: Instant::now(),
            clock,
        });
        let stop = CancellationToken::new();
        let (tell, events) = mpsc::channel(256);
        let accept = accept(listener, Arc::clone(&inner), tell, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        let server = Self {
            address,
            inner,
            _stop: stop.drop_guard(),
        };
        Ok((server, events))
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A point's new value, as [`Station::update`].
    pub fn update(&self, ioa: u32, sample: Sample) -> bool {
        self.inner
            .with(|station, now| station.update(ioa, sample, now))
    }

    /// Changes were lost, as [`Station::events_lost`].
    pub fn events_lost(&self) {
        self.inner.with(Station::events_lost);
    }

    /// Answers a command, as [`Station::answer`].
    pub fn answer(&self, id: u64, answer: ControlAnswer) {
        self.inner
            .with(|station, now| station.answer(id, answer, now));
    }

    /// Whether data transfer of a group is started.
    #[must_use]
    pub fn is_active(&self, group: usize) -> bool {
        lock(&self.inner.station).is_active(group)
    }
}

async fn accept(
    listener: TcpListener,
    inner: Arc<Inner>,
    tell: mpsc::Sender<ServerEvent>,
    stop: CancellationToken,
) {
    let mut connection = 0;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: there is nothing to do but try again later.
                tracing::warn!(%error, "iec104 server cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(group) = inner.group(peer.ip()) else {
            tracing::debug!(%peer, "iec104 connection refused");
            continue;
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        connection += 1;
        let shared = inner.admit(connection, group);
        let serve = serve(
            Arc::clone(&inner),
            shared,
            stream,
            (connection, group),
            tell.clone(),
        );
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
    }
}

async fn serve(
    inner: Arc<Inner>,
    shared: Arc<Shared<Wire>>,
    stream: TcpStream,
    (connection, group): (u64, usize),
    tell: mpsc::Sender<ServerEvent>,
) {
    let served = shared.serve(stream, &[], (group, &tell)).await;
    lock(&inner.wires).remove(&connection);
    if let Err(error) = served {
        tracing::debug!(group, %error, "iec104 connection closed");
    }
}
