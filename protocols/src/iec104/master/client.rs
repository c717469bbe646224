//! A master session over TCP: connects, and connects again for ever (clause 9, t0).

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Master, MasterConfig, MasterEvent, Request};
use crate::{
    device::Clock,
    driver::{Now, Session, Shared},
};

/// Where the station is.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Host and port.
    pub address: String,
    /// How long a connection may take to open (t0).
    pub connect_timeout: Duration,
    /// Between attempts: this at first, twice as long each time, up to [`Self::max_retry`].
    pub min_retry: Duration,
    /// Between attempts at most.
    pub max_retry: Duration,
    /// Where the station's time comes from.
    pub clock: Clock,
}

impl ClientConfig {
    /// With the standard's t0 and usual times.
    #[must_use]
    pub fn new(address: String) -> Self {
        Self {
            address,
            connect_timeout: Duration::from_secs(30),
            min_retry: Duration::from_secs(1),
            max_retry: Duration::from_secs(30),
            clock: crate::device::system_clock,
        }
    }
}

impl Session for Master {
    type Event = ClientEvent;

    fn connected(&mut self, now: Now) {
        self.connected(now);
    }
    fn disconnected(&mut self, now: Now) {
        self.disconnected(now);
    }
    fn handle_input(&mut self, bytes: &[u8], now: Now) {
        self.handle_input(bytes, now);
    }
    fn handle_timeout(&mut self, now: Now) {
        self.handle_timeout(now);
    }
    fn poll_timeout(&self) -> Option<Duration> {
        self.poll_timeout()
    }
    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.poll_transmit()
    }
    fn poll_event(&mut self) -> Option<ClientEvent> {
        self.poll_event().map(ClientEvent::Session)
    }
    fn ends_connection(event: &ClientEvent) -> bool {
        matches!(event, ClientEvent::Session(MasterEvent::Closed(_)))
    }
}

/// What a client tells.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// It tries to connect.
    Connecting,
    /// Of its session.
    Session(MasterEvent),
    /// There is no connection: why, and when it tries again.
    Disconnected {
        /// In words.
        error: String,
        /// Until then.
        retry_in: Duration,
    },
}

/// A running master; dropping it closes its connection.
#[derive(Debug)]
pub struct MasterClient {
    shared: Arc<Shared<Master>>,
    _stop: DropGuard,
}

impl MasterClient {
    /// Connects to a station until dropped. Events carry the number 0.
    #[must_use]
    pub fn start(
        config: ClientConfig,
        master: MasterConfig,
    ) -> (Self, mpsc::Receiver<(usize, ClientEvent)>) {
        let (tell, events) = mpsc::channel(256);
        let shared = Arc::new(Shared::new(|_| Master::new(master), config.clock));
        let stop = CancellationToken::new();
        let run = run(config, Arc::clone(&shared), tell);
        tokio::spawn(stop.clone().run_until_cancelled_owned(run));
        let client = Self {
            shared,
            _stop: stop.drop_guard(),
        };
        (client, events)
    }

    /// Asks something of the station, as [`Master::request`]. The answer's event may come before
    /// this returns.
    pub fn request(&self, request: Request) -> u64 {
        self.shared.with(|master, now| master.request(request, now))
    }
}

async fn run(
    config: ClientConfig,
    shared: Arc<Shared<Master>>,
    tell: mpsc::Sender<(usize, ClientEvent)>,
) {
    let mut wait = config.min_retry;
    loop {
        let _ = tell.send((0, ClientEvent::Connecting)).await;
        let error = match connect(&config).await {
            Ok(stream) => {
                let served = shared.serve(stream, &[], (0, &tell)).await;
                served.map_or_else(
                    |error| error.to_string(),
                    |()| "the connection was closed".into(),
                )
            }
            Err(error) => error.to_string(),
        };
        if shared.with(|master, _| master.take_answered()) {
            wait = config.min_retry;
        }
        let retry_in = wait;
        let _ = tell
            .send((0, ClientEvent::Disconnected { error, retry_in }))
            .await;
        shared.idle(wait, (0, &tell)).await;
        wait = (2 * wait).min(config.max_retry);
    }
}

async fn connect(config: &ClientConfig) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(&config.address);
    let stream = timeout(config.connect_timeout, connecting).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
