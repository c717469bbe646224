//! Outstation sessions behind a TCP port (clause 13): one session per master, told apart by the
//! master's link address. A new connection of a master takes the place of its old one, which is
//! mostly a dead one. Connections are bounded in number, and in time until they say who they are.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ConfigProblem, Outstation, OutstationConfig, OutstationEvent, PointConfig};
use crate::{
    device::Clock,
    dnp3::{Iin, Kind, Now, Sample, app::CommandStatus, link::FrameParser},
    driver::{self, Shared},
    tcp,
    tls::{Fingerprint, Octets, TlsServer},
};

/// Bounds of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// With TLS, so.
    pub tls: Option<TlsServer>,
    /// Connections at a time; more are closed at once.
    pub max_connections: usize,
    /// A connection that has not sent a frame of a known master for so long is closed.
    pub identify_timeout: Duration,
    /// Where time stamps come from.
    pub clock: Clock,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 16,
            identify_timeout: Duration::from_secs(10),
            clock: crate::device::system_clock,
        }
    }
}

driver::session!(Outstation, OutstationEvent, OutstationEvent::LinkLost);

/// An event of a session: which of the sessions, and what.
pub type ServerEvent = (usize, OutstationEvent);

/// A running server; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct OutstationServer {
    address: SocketAddr,
    sessions: Vec<Arc<Shared<Outstation>>>,
    _stop: DropGuard,
}

/// Octets that a connection may send before a frame of a known master.
const MAX_UNIDENTIFIED: usize = 4096;

/// A connection and what was read from it.
type Incoming = (Box<dyn Octets>, Vec<u8>);

/// How a connection finds its session.
struct Door {
    sessions: Vec<DoorTo>,
    config: ServerConfig,
}

struct DoorTo {
    /// Outstation's and master's address.
    addresses: (u16, u16),
    from: Option<IpAddr>,
    certificate: Option<Fingerprint>,
    shared: Arc<Shared<Outstation>>,
    hand: mpsc::Sender<Incoming>,
}

impl OutstationServer {
    /// Listens on `address` (port 0: any free one) with a session for each master, all with the
    /// same points.
    ///
    /// # Errors
    /// The address cannot be bound, or the configuration is wrong ([`io::ErrorKind::InvalidInput`]).
    pub async fn bind(
        address: SocketAddr,
        masters: &[OutstationConfig],
        points: &[PointConfig],
        config: ServerConfig,
    ) -> io::Result<(Self, mpsc::Receiver<ServerEvent>)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let (tell, events) = mpsc::channel(256);
        let mut sessions = Vec::new();
        let mut doors = Vec::new();
        for (number, master) in masters.iter().enumerate() {
            let shared = shared(master, points, config.clock)?;
            let (hand, streams) = mpsc::channel(1);
            let run = run(number, Arc::clone(&shared), streams, tell.clone());
            tokio::spawn(stop.clone().run_until_cancelled_owned(run));
            doors.push(DoorTo {
                addresses: (master.link.local, master.link.remote),
                from: master.from,
                certificate: master.certificate,
                shared: Arc::clone(&shared),
                hand,
            });
            sessions.push(shared);
        }
        let door = Arc::new(Door {
            sessions: doors,
            config,
        });
        let accept = accept(listener, door, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        let server = Self {
            address,
            sessions,
            _stop: stop.drop_guard(),
        };
        Ok((server, events))
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A point's new value, for every master; whether there is such a point.
    pub fn update(&self, kind: Kind, index: u16, sample: Sample) -> bool {
        self.every(|session, now| session.update(kind, index, sample, now))
    }

    /// Sets an octet string, for every master; whether it was taken.
    pub fn set_octets(&self, index: u16, octets: &[u8]) -> bool {
        self.every(|session, _| session.set_octets(index, octets.to_vec()))
    }

    /// Acts on every session; whether all of them agreed.
    fn every(&self, mut act: impl FnMut(&mut Outstation, Now) -> bool) -> bool {
        let mut all = true;
        for shared in &self.sessions {
            all &= shared.with(&mut act);
        }
        all
    }

    /// Indications of the device, as [`Outstation::indicate`], for every master.
    pub fn indicate(&self, indications: Iin, set: bool) {
        for shared in &self.sessions {
            shared.with(|session, _| session.indicate(indications, set));
        }
    }

    /// Events were lost before they came here, as [`Outstation::events_lost`], for every master.
    pub fn events_lost(&self) {
        for shared in &self.sessions {
            shared.with(|session, _| session.events_lost());
        }
    }

    /// Answers commands, as [`Outstation::control_done`].
    pub fn control_done(&self, session: usize, id: u64, statuses: &[CommandStatus]) -> bool {
        self.sessions.get(session).is_some_and(|shared| {
            shared.with(|session, now| session.control_done(id, statuses, now))
        })
    }

    /// How long commands still wait for their answer, as [`Outstation::awaits`].
    #[must_use]
    pub fn awaits(&self, session: usize, id: u64) -> Option<Duration> {
        let shared = self.sessions.get(session)?;
        shared.with(|session, now| session.awaits(id, now))
    }
}

fn shared(
    master: &OutstationConfig,
    points: &[PointConfig],
    clock: Clock,
) -> io::Result<Arc<Shared<Outstation>>> {
    // The session's own clock starts with it: its first moment is zero.
    let zero = Now {
        mono: Duration::ZERO,
        unix_ms: 0,
    };
    let wrong = |problems: Vec<ConfigProblem>| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        io::Error::new(io::ErrorKind::InvalidInput, lines.join("; "))
    };
    let session = Outstation::new(master.clone(), points, zero).map_err(wrong)?;
    Ok(Arc::new(Shared::new(|_| session, clock)))
}

/// Serves a master's connections, one at a time, the newest first.
async fn run(
    number: usize,
    shared: Arc<Shared<Outstation>>,
    mut streams: mpsc::Receiver<Incoming>,
    tell: mpsc::Sender<ServerEvent>,
) {
    let mut next = streams.recv().await;
    while let Some((stream, first)) = next {
        next = tokio::select! {
            served = shared.serve(stream, &first, (number, &tell)) => {
                if let Err(error) = served {
                    tracing::debug!(session = number, %error, "dnp3 connection closed");
                }
                streams.recv().await
            }
            newer = streams.recv() => newer,
        };
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(door.config.max_connections));
    loop {
        let (stream, _) = tcp::accept(&listener).await;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!("dnp3 server is full");
            continue;
        };
        let door = Arc::clone(&door);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            let wait = door.config.identify_timeout;
            match timeout(wait, door.let_in(stream)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "dnp3 connection refused"),
                Err(_) => tracing::debug!("dnp3 connection did not say who it is"),
            }
            drop(place);
        }));
    }
}

impl Door {
    /// Hands a connection to the session of the master that its first frame names.
    async fn let_in(&self, stream: TcpStream) -> io::Result<()> {
        let peer = stream.peer_addr()?.ip().to_canonical();
        let mut known: Vec<&DoorTo> = self.sessions.iter().filter(|d| d.lets_in(peer)).collect();
        if known.is_empty() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut stream: Box<dyn Octets> = match &self.config.tls {
            None => Box::new(stream),
            Some(tls) => {
                let (stream, shown) = tls.accept(stream).await?;
                known.retain(|door| door.certificate.is_none_or(|wanted| wanted == shown));
                stream
            }
        };
        if known.is_empty() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if let [only] = &known[..]
            && !only.shared.with(|session, _| session.is_connected())
        {
            // It may be a master that waits for us to speak first.
            return only.hand(stream, Vec::new()).await;
        }
        let mut parser = FrameParser::default();
        let mut bytes = Vec::new();
        let mut buffer = [0; 512];
        while bytes.len() < MAX_UNIDENTIFIED {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&buffer[..count]);
            parser.push(&buffer[..count]);
            while let Some(frame) = parser.next() {
                let named = (frame.destination, frame.source);
                let of_master = |door: &&DoorTo| frame.from_master && door.addresses == named;
                if let Some(door) = known.iter().copied().find(of_master) {
                    return door.hand(stream, bytes).await;
                }
            }
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no known master",
        ))
    }
}

impl DoorTo {
    fn lets_in(&self, peer: IpAddr) -> bool {
        self.from.is_none_or(|from| from.to_canonical() == peer)
    }

    async fn hand(&self, stream: Box<dyn Octets>, first: Vec<u8>) -> io::Result<()> {
        let handed = self.hand.send((stream, first)).await;
        handed.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
