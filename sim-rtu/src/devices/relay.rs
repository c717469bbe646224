//! A wire with faults, for servers that know none: what a client sends goes to the server behind, and what
//! that answers comes late, not at all or as nonsense.

use std::{io, net::SocketAddr, sync::Arc};

use protocols::{modbus::server::Fault, tcp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 16;

/// A running relay; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    _stop: DropGuard,
}

impl Relay {
    /// Listens on `address` in front of the server at `behind`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(address: SocketAddr, behind: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (fault, faults) = watch::channel(Fault::None);
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, behind, faults, stop.clone()));
        Ok(Self {
            address,
            fault,
            _stop: stop.drop_guard(),
        })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.fault.send_if_modified(|now| {
            let new = *now != fault;
            *now = fault;
            new
        });
    }
}

async fn accept(
    listener: TcpListener,
    behind: SocketAddr,
    faults: watch::Receiver<Fault>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let client = tokio::select! {
            () = stop.cancelled() => return,
            (client, _) = tcp::accept(&listener) => client,
        };
        let place = Arc::clone(&places).try_acquire_owned();
        let (Ok(place), false) = (place, *faults.borrow() == Fault::Gone) else {
            continue;
        };
        let (stop, mut gone, faults) = (stop.clone(), faults.clone(), faults.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                // The sender lives as long as the relay.
                _ = gone.wait_for(|fault| *fault == Fault::Gone) => {}
                ended = relay(client, behind, faults) => if let Err(error) = ended {
                    tracing::debug!(%error, "relayed connection closed");
                }
            }
            drop(place);
        });
    }
}

async fn relay(
    client: TcpStream,
    behind: SocketAddr,
    faults: watch::Receiver<Fault>,
) -> io::Result<()> {
    let server = TcpStream::connect(behind).await?;
    server.set_nodelay(true)?;
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // The end of either direction is the end of both.
    tokio::select! {
        done = copy(&mut from_client, &mut to_server) => done.map(|_| ()),
        done = answers(from_server, to_client, faults) => done,
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let fault = *faults.borrow();
        match fault {
            Fault::Silent => continue,
            Fault::Garbage => buffer[..count].fill(0xA5),
            Fault::Slow(delay) => {
                // Over at once with the fault.
                let _ = timeout(delay, faults.wait_for(|now| *now != fault)).await;
            }
            Fault::None | Fault::Gone => {}
        }
        to.write_all(&buffer[..count]).await?;
    }
}
