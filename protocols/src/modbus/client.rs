//! One connection to a Modbus server, by TCP or on a serial line: every request has a time-out, and
//! every error but an exception answer means that the connection must be dropped.
//!
//! `tokio-modbus` has no time-outs, and a late answer makes the request after it fail; nor does it
//! check in release builds that an answer has the length asked for. Both are done here.

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_modbus::{
    Error, ExceptionCode, Request, Response, Slave,
    client::{Client as _, Context, rtu, tcp},
};

use super::{line::Line, mbap::Table, plan::Span};
use crate::{
    device::Clock,
    tcp::connect,
    tls::{Octets, TlsClient},
};

/// What a Modbus device hangs on.
#[derive(Clone, Debug)]
pub enum Way {
    /// Modbus TCP at `host:port`: a device, or a gateway that speaks it.
    Tcp(String),
    /// Modbus TCP at `host:port` under TLS (MODBUS/TCP Security Protocol Specification), mutual.
    Tls(String, TlsClient),
    /// RTU frames over TCP at `host:port`: a converter that passes bytes on.
    RtuOverTcp(String),
    /// A serial line, which other devices may share.
    Serial(Arc<Line>),
}

/// How to reach a Modbus device, and how patiently.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where it is.
    pub way: Way,
    /// Unit identifier; by TCP 255 means the server itself, lower ones matter behind a gateway. On a
    /// line 1 to 247.
    pub unit: u8,
    /// Time for a connection to open.
    pub connect_timeout: Duration,
    /// Time for an answer to come; then the connection is dropped.
    pub request_timeout: Duration,
    /// Time between the beginnings of two polls.
    pub poll_interval: Duration,
    /// Wait after the first failure; doubles with every further one.
    pub retry_min: Duration,
    /// Longest wait after a failure.
    pub retry_max: Duration,
    /// Source of receive times.
    pub clock: Clock,
}

impl Link {
    /// A link by Modbus TCP to `host:port` with unit 1, time-outs of one second, a poll every second, and retries after 0.25 s
    /// to 5 s.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self::by(Way::Tcp(address.into()))
    }

    /// The same, another way.
    #[must_use]
    pub fn by(way: Way) -> Self {
        Self {
            way,
            unit: 1,
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
            poll_interval: Duration::from_secs(1),
            retry_min: Duration::from_millis(250),
            retry_max: Duration::from_secs(5),
            clock: crate::device::system_clock,
        }
    }
}

/// Why a connection had to be dropped.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection did not open.
    #[error("no connection to {address} within {} ms", .within.as_millis())]
    ConnectTimeout {
        /// Where to.
        address: String,
        /// How long it was tried.
        within: Duration,
    },
    /// The connection was refused.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The device closed the connection.
    #[error("the device closed the connection")]
    Closed,
    /// The connection broke, or what came is no Modbus frame.
    #[error("transport: {0}")]
    Transport(io::Error),
    /// A frame came, but not the answer to what was asked.
    #[error("not an answer to the request: {0}")]
    Protocol(String),
    /// The device answers, but is not a SunSpec device.
    #[error("no SunSpec device: {0}")]
    NotSunspec(String),
}

/// An answer: what was asked for, or the exception the device gave instead.
pub(super) type Answer<T> = Result<Result<T, ExceptionCode>, LinkError>;

/// An open connection, or a place on a line.
pub(super) struct Client {
    wire: Wire,
    timeout: Duration,
}

enum Wire {
    Own(Context),
    Shared {
        line: Arc<Line>,
        slave: Slave,
        /// It answered the last request.
        answered: bool,
    },
}

impl Client {
    pub(super) async fn connect(link: &Link) -> Result<Self, LinkError> {
        let slave = Slave(link.unit);
        let wire = match &link.way {
            Way::Tcp(address) => {
                Wire::Own(tcp::attach_slave(open(address, None, link).await?, slave))
            }
            Way::Tls(address, tls) => Wire::Own(tcp::attach_slave(
                open(address, Some(tls), link).await?,
                slave,
            )),
            Way::RtuOverTcp(address) => {
                Wire::Own(rtu::attach_slave(open(address, None, link).await?, slave))
            }
            Way::Serial(line) => {
                line.open().await?;
                Wire::Shared {
                    line: Arc::clone(line),
                    slave,
                    answered: false,
                }
            }
        };
        Ok(Self {
            wire,
            timeout: link.request_timeout,
        })
    }

    /// On a connection that is open.
    #[cfg(fuzzing)]
    pub(super) fn attached(stream: Box<dyn Octets>, rtu_frames: bool, timeout: Duration) -> Self {
        let context = match rtu_frames {
            true => rtu::attach_slave(stream, Slave(1)),
            false => tcp::attach_slave(stream, Slave(1)),
        };
        let wire = Wire::Own(context);
        Self { wire, timeout }
    }

    /// Reads a span; bits are 0 or 1.
    pub(super) async fn read(&mut self, span: Span) -> Answer<Vec<u16>> {
        let Span {
            table,
            address,
            count,
        } = span;
        let request = match table {
            Table::Coil => Request::ReadCoils(address, count),
            Table::Discrete => Request::ReadDiscreteInputs(address, count),
            Table::Input => Request::ReadInputRegisters(address, count),
            Table::Holding => Request::ReadHoldingRegisters(address, count),
        };
        let values = match self.ask(request).await? {
            Err(exception) => return Ok(Err(exception)),
            Ok(Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words)) => {
                words
            }
            Ok(Response::ReadCoils(mut bits) | Response::ReadDiscreteInputs(mut bits)) => {
                // Bits come in whole bytes.
                let padding = bits.len().wrapping_sub(usize::from(count));
                if padding < 8 {
                    bits.truncate(count.into());
                }
                bits.into_iter().map(u16::from).collect()
            }
            Ok(other) => return Err(unexpected(&other)),
        };
        if values.len() != usize::from(count) {
            let text = format!("{} elements for {count} asked", values.len());
            return Err(LinkError::Protocol(text));
        }
        Ok(Ok(values))
    }

    /// Writes registers in one request (function 16).
    pub(super) async fn write_registers(&mut self, address: u16, words: &[u16]) -> Answer<()> {
        let request = Request::WriteMultipleRegisters(address, Cow::Borrowed(words));
        let expected = Response::WriteMultipleRegisters(address, words.len() as u16);
        self.write(request, expected).await
    }

    /// Writes one register (function 6).
    pub(super) async fn write_register(&mut self, address: u16, word: u16) -> Answer<()> {
        let request = Request::WriteSingleRegister(address, word);
        let expected = Response::WriteSingleRegister(address, word);
        self.write(request, expected).await
    }

    /// Writes one coil (function 5).
    pub(super) async fn write_coil(&mut self, address: u16, on: bool) -> Answer<()> {
        let request = Request::WriteSingleCoil(address, on);
        let expected = Response::WriteSingleCoil(address, on);
        self.write(request, expected).await
    }

    async fn write(&mut self, request: Request<'_>, expected: Response) -> Answer<()> {
        match self.call(request).await? {
            Err(exception) => Ok(Err(exception)),
            Ok(echo) if echo == expected => Ok(Ok(())),
            Ok(other) => Err(unexpected(&other)),
        }
    }

    /// Reads. Lines lose a frame now and then: whoever answered the last time is asked twice before it counts
    /// as gone. What is written is not repeated, since it may have been carried out.
    async fn ask(&mut self, request: Request<'_>) -> Answer<Response> {
        let forgiven = matches!(self.wire, Wire::Shared { answered: true, .. });
        match self.call(request.clone()).await {
            Err(LinkError::Timeout(_)) if forgiven => self.call(request).await,
            outcome => outcome,
        }
    }

    async fn call(&mut self, request: Request<'_>) -> Answer<Response> {
        match &mut self.wire {
            Wire::Own(context) => call(context, request, self.timeout).await,
            Wire::Shared {
                line,
                slave,
                answered,
            } => {
                let outcome = line.call(*slave, request, self.timeout).await;
                *answered = outcome.is_ok();
                outcome
            }
        }
    }
}

async fn open(
    address: &str,
    tls: Option<&TlsClient>,
    link: &Link,
) -> Result<Box<dyn Octets>, LinkError> {
    let opened = connect(address, tls, link.connect_timeout).await;
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => LinkError::ConnectTimeout {
            address: address.to_owned(),
            within: link.connect_timeout,
        },
        _ => LinkError::Connect {
            address: address.to_owned(),
            error,
        },
    })
}

/// One request and its answer.
pub(super) async fn call(
    context: &mut Context,
    request: Request<'_>,
    within: Duration,
) -> Answer<Response> {
    match timeout(within, context.call(request)).await {
        Err(_) => Err(LinkError::Timeout(within)),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Protocol(error))) => Err(LinkError::Protocol(error.to_string())),
        // The library reports the end of the stream as the last system error, i.e. by chance.
        Ok(Err(Error::Transport(error))) => Err(match error.raw_os_error() {
            Some(0) => LinkError::Closed,
            _ => LinkError::Transport(error),
        }),
    }
}

fn unexpected(response: &Response) -> LinkError {
    LinkError::Protocol(format!("{response:?}"))
}
