//! A Modbus TCP server on registers that somebody else owns: a simulated device's side of the wire,
//! with the misbehaviour that a field shows (gone, silent, slow, babbling) on demand.
//!
//! Connections are bounded in number and idle time, frames in length; whatever is not Modbus closes
//! its connection and nothing else. The unit identifier is echoed, not looked at: a server is a device.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};
pub use tokio_modbus::ExceptionCode;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use super::mbap::Table;
use super::mbap::{self, HEADER, Header, Request};
use crate::{
    tcp,
    tls::{Octets, TlsServer},
};

/// Registers behind a server. Called from the connections' tasks: answer at once.
pub trait Registers: Send + Sync + 'static {
    /// `count` elements of `table` from `address` on; bits are 0 or 1.
    ///
    /// # Errors
    /// The exception to answer with.
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode>;

    /// Writes `values` from `address` on; bits are 0 or 1.
    ///
    /// # Errors
    /// The exception to answer with; nothing was written then.
    fn write(&self, table: Table, address: u16, values: &[u16]) -> Result<(), ExceptionCode>;
}

/// Bounds of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// With TLS, so; who shows a good certificate may read and write everything.
    pub tls: Option<TlsServer>,
    /// Connections served at a time; more are closed at once.
    pub max_connections: usize,
    /// A connection without a whole request for so long is closed.
    pub idle_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 8,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// How a server misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Every connection, open or new, is closed at once.
    Gone,
    /// Connections are accepted and requests read, but none is answered.
    Silent,
    /// Every answer is held back for so long.
    Slow(Duration),
    /// Every request is answered with bytes that are no Modbus frame.
    Garbage,
}

/// A running server; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct RegisterServer {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    _stop: DropGuard,
}

/// What every connection of a server shares.
pub(super) struct Shared<R> {
    pub(super) registers: Arc<R>,
    pub(super) config: ServerConfig,
    pub(super) stop: CancellationToken,
    pub(super) fault: watch::Receiver<Fault>,
    pub(super) places: Arc<Semaphore>,
}

impl RegisterServer {
    /// Listens on `address` (port 0: any free one) and serves until dropped.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind<R: Registers>(
        address: SocketAddr,
        registers: Arc<R>,
        config: ServerConfig,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let (fault, faults) = watch::channel(Fault::None);
        let shared = Arc::new(Shared {
            registers,
            places: Arc::new(Semaphore::new(config.max_connections)),
            config,
            stop: stop.clone(),
            fault: faults,
        });
        tokio::spawn(
            stop.clone()
                .run_until_cancelled_owned(accept(listener, shared)),
        );
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

    /// Misbehaves in this way from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn accept<R: Registers>(listener: TcpListener, shared: Arc<Shared<R>>) {
    loop {
        let (stream, _) = tcp::accept(&listener).await;
        if *shared.fault.borrow() == Fault::Gone {
            continue;
        }
        let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
            tracing::debug!("modbus server is full");
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut fault = shared.fault.clone();
            tokio::select! {
                () = shared.stop.cancelled() => {}
                // The sender lives as long as the server.
                _ = fault.wait_for(|fault| *fault == Fault::Gone) => {}
                result = let_in(stream, &shared) => if let Err(error) = result {
                    tracing::debug!(%error, "modbus connection closed");
                }
            }
            drop(place);
        });
    }
}

async fn let_in<R: Registers>(stream: TcpStream, shared: &Shared<R>) -> io::Result<()> {
    let Some(tls) = &shared.config.tls else {
        return serve(stream, shared).await;
    };
    let handshake = timeout(shared.config.idle_timeout, tls.accept(stream));
    let (stream, _) = handshake.await??;
    serve(stream, shared).await
}

/// Answers requests until the client goes, idles or talks nonsense.
pub(super) async fn serve<R: Registers>(
    mut stream: impl Octets,
    shared: &Shared<R>,
) -> io::Result<()> {
    let mut faults = shared.fault.clone();
    loop {
        let read = timeout(shared.config.idle_timeout, request(&mut stream));
        let (header, pdu) = read.await.map_err(|_| io::ErrorKind::TimedOut)??;
        let fault = *shared.fault.borrow();
        let answer = match fault {
            Fault::Silent => continue,
            // Neither protocol id nor length are those of a frame.
            Fault::Garbage => vec![0xA5; 23],
            Fault::None | Fault::Gone | Fault::Slow(_) => {
                mbap::frame(header, &handle(&*shared.registers, &pdu))
            }
        };
        if let Fault::Slow(delay) = fault {
            // Over at once with the fault: a place must not stay taken for an answer nobody awaits.
            let _ = timeout(delay, faults.wait_for(|now| *now != fault)).await;
        }
        let write = timeout(shared.config.idle_timeout, stream.write_all(&answer));
        write.await.map_err(|_| io::ErrorKind::TimedOut)??;
        // TLS may keep what it has taken.
        stream.flush().await?;
    }
}

async fn request(stream: &mut impl Octets) -> io::Result<(Header, Vec<u8>)> {
    let mut bytes = [0; HEADER];
    stream.read_exact(&mut bytes).await?;
    let header = Header::decode(bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a modbus frame"))?;
    let mut pdu = vec![0; header.pdu];
    stream.read_exact(&mut pdu).await?;
    Ok((header, pdu))
}

/// The answer's PDU to a request's.
pub(super) fn handle<R: Registers + ?Sized>(registers: &R, pdu: &[u8]) -> Vec<u8> {
    let outcome = Request::decode(pdu).and_then(|request| {
        let values = match &request {
            &Request::Read {
                table,
                address,
                count,
            } => {
                let values = registers.read(table, address, count)?;
                if values.len() != usize::from(count) {
                    return Err(ExceptionCode::ServerDeviceFailure);
                }
                values
            }
            Request::Write {
                table,
                address,
                values,
            } => {
                registers.write(*table, *address, values)?;
                Vec::new()
            }
        };
        Ok(mbap::answer(pdu, &request, &values))
    });
    outcome.unwrap_or_else(|code| {
        let function = pdu.first().copied().unwrap_or_default();
        mbap::refusal(function, code)
    })
}
