//! TCP around the sessions without IO, with TLS or without, written once for every protocol: to connect
//! and connect again, and to accept.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    device::Clock,
    driver::{Now, Session, Shared},
    tls::{Octets, TlsClient},
};

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the other is, and how patiently it is tried.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Host and port.
    pub address: String,
    /// With TLS, so.
    pub tls: Option<TlsClient>,
    /// How long a connection may take to open, handshake included.
    pub connect_timeout: Duration,
    /// Between attempts: this at first, twice as long each time, up to [`Self::max_retry`].
    pub min_retry: Duration,
    /// Between attempts at most.
    pub max_retry: Duration,
    /// Where the other's time comes from.
    pub clock: Clock,
}

impl ClientConfig {
    /// With usual times, without TLS.
    #[must_use]
    pub fn new(address: String) -> Self {
        Self {
            address,
            tls: None,
            connect_timeout: Duration::from_secs(5),
            min_retry: Duration::from_secs(1),
            max_retry: Duration::from_secs(30),
            clock: crate::device::system_clock,
        }
    }
}

/// What a client tells.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent<E> {
    /// It tries to connect.
    Connecting,
    /// Of its session.
    Session(E),
    /// There is no connection: why, and when it tries again.
    Disconnected {
        /// In words.
        error: String,
        /// Until then.
        retry_in: Duration,
    },
}

impl<E> From<E> for ClientEvent<E> {
    fn from(event: E) -> Self {
        Self::Session(event)
    }
}

/// What comes of a client's connection: its number, always 0, and what.
pub type ClientEvents<E> = mpsc::Receiver<(usize, ClientEvent<E>)>;

/// A session that connects, and connects again for ever; dropping it closes its connection.
#[derive(Debug)]
pub(crate) struct Client<S> {
    shared: Arc<Shared<S>>,
    _stop: DropGuard,
}

impl<S: Session> Client<S> {
    /// Starts the session that `make` makes.
    pub(crate) fn start(
        config: ClientConfig,
        make: impl FnOnce(Now) -> S,
    ) -> (Self, ClientEvents<S::Event>) {
        let (tell, events) = mpsc::channel(256);
        let shared = Arc::new(Shared::new(make, config.clock));
        let stop = CancellationToken::new();
        let run = run(config, Arc::clone(&shared), tell);
        tokio::spawn(stop.clone().run_until_cancelled_owned(run));
        let client = Self {
            shared,
            _stop: stop.drop_guard(),
        };
        (client, events)
    }

    /// Acts on the session.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut S, Now) -> R) -> R {
        self.shared.with(act)
    }
}

async fn run<S: Session>(
    config: ClientConfig,
    shared: Arc<Shared<S>>,
    tell: mpsc::Sender<(usize, ClientEvent<S::Event>)>,
) {
    let mut wait = config.min_retry;
    loop {
        // Nobody listens any more when the owner goes: then there is nobody to tell.
        let _ = tell.send((0, ClientEvent::Connecting)).await;
        let connecting = connect(&config.address, config.tls.as_ref(), config.connect_timeout);
        let error = match connecting.await {
            Ok(stream) => {
                let served = shared.serve(stream, &[], (0, &tell)).await;
                if shared.with(|session, _| session.take_answered()) {
                    wait = config.min_retry;
                }
                served.map_or_else(
                    |error| error.to_string(),
                    |()| "the connection was closed".to_owned(),
                )
            }
            Err(error) => error.to_string(),
        };
        tracing::debug!(error, address = config.address, "not connected");
        let retry_in = wait;
        let disconnected = ClientEvent::Disconnected { error, retry_in };
        let _ = tell.send((0, disconnected)).await;
        shared.idle(wait, (0, &tell)).await;
        wait = (2 * wait).min(config.max_retry);
    }
}

/// Opens a connection, with TLS if there is some.
///
/// # Errors
/// It does not open, the handshake fails, or not in time ([`io::ErrorKind::TimedOut`]).
pub(crate) async fn connect(
    address: &str,
    tls: Option<&TlsClient>,
    within: Duration,
) -> io::Result<Box<dyn Octets>> {
    let connecting = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match tls {
            Some(tls) => tls.connect(stream).await,
            None => Ok(Box::new(stream) as Box<dyn Octets>),
        }
    };
    timeout(within, connecting).await?
}

/// The next connection. One that cannot be accepted is passed over: being out of file descriptors,
/// mostly, it is tried again a little later.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, peer)| stream.set_nodelay(true).map(|()| (stream, peer)))
        {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
