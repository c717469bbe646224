//! A controlled station behind a TCP port (clause 5): connections are told apart by where they come from
//! and, with TLS, by their certificates, and are bounded in number for each master.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{Instant, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ControlAnswer, Station, StationConfig, StationEvent};
use crate::{
    device::Clock,
    driver::{self, Now, Session, Shared},
    iec104::Sample,
    tcp,
    tls::{Fingerprint, Octets, TlsServer},
};

/// Handshakes under way at a time; more connections are closed at once.
const MAX_HANDSHAKES: usize = 16;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

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

/// Where a group connects from, from anywhere if empty, and the certificate it has to show.
type Known = (Vec<IpAddr>, Option<Fingerprint>);

/// What the port's task and the owner share.
#[derive(Debug)]
struct Inner {
    station: Arc<Mutex<Station>>,
    wires: Mutex<BTreeMap<u64, Arc<Shared<Wire>>>>,
    /// Who connects: where each group is, and what certificate it shows.
    groups: Vec<Known>,
    tls: Option<TlsServer>,
    handshakes: Semaphore,
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

    /// Groups that may connect from there.
    fn of_place(&self, peer: IpAddr) -> impl Iterator<Item = (usize, Option<Fingerprint>)> {
        let peer = peer.to_canonical();
        let takes = move |from: &[IpAddr]| {
            from.is_empty() || from.iter().any(|ip| ip.to_canonical() == peer)
        };
        let groups = self.groups.iter().enumerate();
        groups.filter_map(move |(k, (from, shown))| takes(from).then_some((k, *shown)))
    }

    /// The group of a connection, and what it speaks over.
    async fn let_in(
        &self,
        stream: TcpStream,
        peer: IpAddr,
    ) -> io::Result<(usize, Box<dyn Octets>)> {
        let stranger = || io::ErrorKind::PermissionDenied;
        let first = self.of_place(peer).next().ok_or_else(stranger)?;
        let Some(tls) = &self.tls else {
            return Ok((first.0, Box::new(stream)));
        };
        let _place = self.handshakes.try_acquire().map_err(io::Error::other)?;
        let (stream, shown) = timeout(HANDSHAKE, tls.accept(stream)).await??;
        let mut groups = self.of_place(peer);
        let ours = groups.find(|(_, wanted)| wanted.is_none_or(|wanted| wanted == shown));
        Ok((ours.ok_or_else(stranger)?.0, stream))
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
    /// Listens on `address` (port 0: any free one), with TLS if there is some.
    ///
    /// # Errors
    /// The address cannot be bound, or the configuration is wrong ([`io::ErrorKind::InvalidInput`]).
    pub async fn bind(
        address: SocketAddr,
        config: StationConfig,
        tls: Option<TlsServer>,
        clock: Clock,
    ) -> io::Result<(Self, mpsc::Receiver<ServerEvent>)> {
        let groups = config.groups.iter();
        let groups = groups.map(|group| (group.from.clone(), group.certificate));
        let groups = groups.collect();
        let wrong = |problems: Vec<String>| {
            io::Error::new(io::ErrorKind::InvalidInput, problems.join("; "))
        };
        let station = Station::new(config).map_err(wrong)?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            station: Arc::new(Mutex::new(station)),
            wires: Mutex::default(),
            groups,
            tls,
            handshakes: Semaphore::new(MAX_HANDSHAKES),
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
    pub fn answer(&self, id: u64, answer: ControlAnswer) -> bool {
        self.inner
            .with(|station, now| station.answer(id, answer, now))
    }

    /// How long a command still waits for its answer, as [`Station::awaits`].
    #[must_use]
    pub fn awaits(&self, id: u64) -> Option<Duration> {
        self.inner.with(|station, now| station.awaits(id, now))
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
    for connection in 1.. {
        let (stream, peer) = tcp::accept(&listener).await;
        let (inner, tell) = (Arc::clone(&inner), tell.clone());
        let serve = async move {
            match inner.let_in(stream, peer.ip()).await {
                Ok((group, stream)) => serve(&inner, stream, (connection, group), &tell).await,
                Err(error) => tracing::debug!(%peer, %error, "iec104 connection refused"),
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve));
    }
}

async fn serve(
    inner: &Inner,
    stream: Box<dyn Octets>,
    (connection, group): (u64, usize),
    tell: &mpsc::Sender<ServerEvent>,
) {
    let shared = inner.admit(connection, group);
    let served = shared.serve(stream, &[], (group, tell)).await;
    lock(&inner.wires).remove(&connection);
    if let Err(error) = served {
        tracing::debug!(group, %error, "iec104 connection closed");
    }
}
