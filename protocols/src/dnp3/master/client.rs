//! A master session over TCP: connects, and connects again for ever (clause 13).

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{AssociationConfig, Master, MasterEvent, Request};
use crate::{
    device::Clock,
    dnp3::Now,
    driver::{Session, Shared},
    tls::{Octets, TlsClient},
};

/// Where the outstations are.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Host and port.
    pub address: String,
    /// With TLS, so.
    pub tls: Option<TlsClient>,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// Between attempts: this at first, twice as long each time, up to [`Self::max_retry`].
    pub min_retry: Duration,
    /// Between attempts at most.
    pub max_retry: Duration,
    /// Where the outstations' time comes from.
    pub clock: Clock,
}

impl ClientConfig {
    /// With usual times.
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

impl Session for Master {
    type Event = MasterEvent;

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
    fn poll_event(&mut self) -> Option<MasterEvent> {
        self.poll_event()
    }
    fn ends_connection(event: &MasterEvent) -> bool {
        *event == MasterEvent::LinkLost
    }
}

/// A running master; dropping it closes its connection.
#[derive(Debug)]
pub struct MasterClient {
    shared: Arc<Shared<Master>>,
    _stop: DropGuard,
}

impl MasterClient {
    /// Connects to these outstations behind one address, until dropped. Events carry the number 0.
    #[must_use]
    pub fn start(
        config: ClientConfig,
        outstations: &[AssociationConfig],
    ) -> (Self, mpsc::Receiver<(usize, MasterEvent)>) {
        let (tell, events) = mpsc::channel(256);
        let shared = Arc::new(Shared::new(
            |now| Master::new(outstations, now),
            config.clock,
        ));
        let stop = CancellationToken::new();
        let run = run(config, Arc::clone(&shared), tell);
        tokio::spawn(stop.clone().run_until_cancelled_owned(run));
        let client = Self {
            shared,
            _stop: stop.drop_guard(),
        };
        (client, events)
    }

    /// Asks something of an outstation, as [`Master::request`]. The answer's event may come before
    /// this returns.
    pub fn request(&self, outstation: u16, request: Request) -> u64 {
        let ask = |master: &mut Master, now| master.request(outstation, request, now);
        self.shared.with(ask)
    }
}

async fn run(
    config: ClientConfig,
    shared: Arc<Shared<Master>>,
    tell: mpsc::Sender<(usize, MasterEvent)>,
) {
    let mut wait = config.min_retry;
    loop {
        let served = match connect(&config).await {
            Ok(stream) => {
                wait = config.min_retry;
                shared.serve(stream, &[], (0, &tell)).await
            }
            Err(error) => Err(error),
        };
        let error = match served {
            Ok(()) => "the connection was closed".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::debug!(error, address = config.address, "dnp3 not connected");
        let retry_in = wait;
        let unconnected = MasterEvent::Unconnected { error, retry_in };
        // Nobody listens any more when the owner goes: then there is nobody to tell.
        let _ = tell.send((0, unconnected)).await;
        shared.idle(wait, (0, &tell)).await;
        wait = (2 * wait).min(config.max_retry);
    }
}

async fn connect(config: &ClientConfig) -> io::Result<Box<dyn Octets>> {
    let connecting = async {
        let stream = TcpStream::connect(&config.address).await?;
        stream.set_nodelay(true)?;
        match &config.tls {
            Some(tls) => tls.connect(stream).await,
            None => Ok(Box::new(stream) as Box<dyn Octets>),
        }
    };
    timeout(config.connect_timeout, connecting).await?
}
