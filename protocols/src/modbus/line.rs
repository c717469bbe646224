//! A serial line with Modbus RTU on it (MODBUS over Serial Line V1.02, 2.5.1). One line, many
//! devices: their tasks take turns, a request at a time, and one that does not answer costs the
//! others its time-out.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context as Task, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    sync::Mutex,
    time::{Instant, sleep_until, timeout},
};
use tokio_modbus::{
    Request, Response, Slave,
    client::{Context, rtu},
    slave::SlaveContext as _,
};
use tokio_serial::{DataBits, SerialPortBuilderExt, SerialStream, StopBits};

pub use tokio_serial::Parity;

use super::client::{Answer, LinkError, call};

/// How a line is set. Eight data bits, as RTU has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineConfig {
    /// The port, e.g. `/dev/serial/by-id/…`.
    pub path: String,
    /// Bits per second.
    pub baud: u32,
    /// Parity; the standard's default is even.
    pub parity: Parity,
    /// Stop bits, 1 or 2: with even or odd parity 1, without 2 (V1.02, 2.5.1).
    pub stop_bits: u8,
    /// Pause before a request; at least [`Self::silence`].
    pub pause: Duration,
}

impl LineConfig {
    /// 19 200 bit/s, even parity, one stop bit (the standard's default), and no longer pauses than
    /// the standard's.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            baud: 19_200,
            parity: Parity::Even,
            stop_bits: 1,
            pause: Duration::ZERO,
        }
    }

    /// What separates two frames: 3.5 characters of 11 bits, beyond 19 200 bit/s 1.75 ms
    /// (V1.02, 2.5.1.1).
    #[must_use]
    pub fn silence(&self) -> Duration {
        match self.baud {
            0..=19_200 => Duration::from_secs_f64(3.5 * 11.0 / f64::from(self.baud.max(1))),
            _ => Duration::from_micros(1750),
        }
    }
}

/// After a failure a line is listened to until nothing came for so long: what a slow device still
/// says must not be taken for the next one's answer.
const QUIET: Duration = Duration::from_millis(50);
/// Nobody's answer is longer; what then still comes is noise, and no reason to wait.
const NOISE: Duration = Duration::from_secs(1);

/// A line, open as long as all goes well.
pub struct Line {
    config: LineConfig,
    port: Mutex<Port>,
}

struct Port {
    open: Option<Context>,
    /// When the line was busy last.
    busy: Instant,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Line").field(&self.config).finish()
    }
}

impl Line {
    /// A line that is opened when it is needed first.
    #[must_use]
    pub fn new(config: LineConfig) -> Self {
        let port = Port {
            open: None,
            busy: Instant::now(),
        };
        Self {
            config,
            port: Mutex::new(port),
        }
    }

    /// Opens the port, unless it is.
    pub(super) async fn open(&self) -> Result<(), LinkError> {
        let mut port = self.port.lock().await;
        port.open = Some(self.ready(&mut port).await?);
        Ok(())
    }

    /// Asks a device. What is on the line that answers another question (a device that was too slow,
    /// noise) makes it ask once more, when the line is quiet.
    pub(super) async fn call(
        &self,
        slave: Slave,
        request: Request<'_>,
        within: Duration,
    ) -> Answer<Response> {
        let mut port = self.port.lock().await;
        let again = request.clone().into_owned();
        match self.ask(&mut port, slave, request, within).await {
            Err(LinkError::Protocol(error)) => {
                tracing::debug!(line = self.config.path, %error, "asked again");
                self.ask(&mut port, slave, again, within).await
            }
            outcome => outcome,
        }
    }

    async fn ask(
        &self,
        port: &mut Port,
        slave: Slave,
        request: Request<'_>,
        within: Duration,
    ) -> Answer<Response> {
        let quiet = port.busy + self.config.silence().max(self.config.pause);
        // Out of its place until all went well: whoever gives up in between leaves a closed port,
        // not an answer to come.
        let mut context = self.ready(port).await?;
        sleep_until(quiet).await;
        context.set_slave(slave);
        let outcome = call(&mut context, request, within).await;
        port.busy = Instant::now();
        if outcome.is_ok() {
            port.open = Some(context);
        }
        outcome
    }

    async fn ready(&self, port: &mut Port) -> Result<Context, LinkError> {
        if let Some(context) = port.open.take() {
            return Ok(context);
        }
        let stream = self.stream().await.map_err(|error| LinkError::Connect {
            address: self.config.path.clone(),
            error,
        })?;
        Ok(rtu::attach(Undrained(stream)))
    }

    /// The port, opened, with nothing on the line any more.
    async fn stream(&self) -> io::Result<SerialStream> {
        let LineConfig {
            path,
            baud,
            parity,
            stop_bits,
            ..
        } = &self.config;
        let stop_bits = match stop_bits {
            2 => StopBits::Two,
            _ => StopBits::One,
        };
        let mut stream = tokio_serial::new(path, *baud)
            .data_bits(DataBits::Eight)
            .parity(*parity)
            .stop_bits(stop_bits)
            .open_native_async()?;
        let mut heard = [0; 256];
        let end = Instant::now() + NOISE;
        while let Ok(read) = timeout(QUIET, stream.read(&mut heard)).await {
            if read? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if Instant::now() > end {
                break;
            }
        }
        Ok(stream)
    }
}

/// A port that does not wait until the last bit is on the wire: the system's way to (`tcdrain`) keeps the thread,
/// and with it the tasks of other devices; the answer tells as well that the request went out.
#[derive(Debug)]
struct Undrained(SerialStream);

impl AsyncRead for Undrained {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, buffer)
    }
}

impl AsyncWrite for Undrained {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
