//! Devices on a serial line: a simulated bus's side of the wire. The line's other end is a
//! pseudo-terminal of its own, so that a desk needs no hardware.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_serial::{SerialPort, SerialStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    rtu::{self, Received},
    server::{Fault, Registers, handle},
};
use crate::tls::Octets;

/// The rest of a frame does not come any more: what came of it is noise.
const SILENCE: Duration = Duration::from_millis(20);

/// A running line; dropping it takes the port away.
#[derive(Debug)]
pub struct LineServer {
    path: String,
    faults: BTreeMap<u8, watch::Sender<Fault>>,
    _stop: DropGuard,
}

/// A device on the line.
pub(super) struct Unit {
    pub(super) registers: Arc<dyn Registers>,
    pub(super) fault: watch::Receiver<Fault>,
}

impl LineServer {
    /// Opens a pseudo-terminal and serves `units`, by unit identifier, at its other end.
    ///
    /// # Errors
    /// The system gives no pseudo-terminal.
    pub fn open(units: BTreeMap<u8, Arc<dyn Registers>>) -> io::Result<Self> {
        let (near, far) = SerialStream::pair()?;
        let path = far
            .name()
            .ok_or_else(|| io::Error::other("the pseudo-terminal has no name"))?;
        let mut faults = BTreeMap::new();
        let with_fault = units.into_iter().map(|(unit, registers)| {
            let (sender, fault) = watch::channel(Fault::None);
            faults.insert(unit, sender);
            (unit, Unit { registers, fault })
        });
        let units = with_fault.collect();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            // Kept open: without anyone at the far end, reading the near one fails.
            let _far = far;
            if let Err(error) = serve(near, units).await {
                tracing::warn!(%error, "modbus line closed");
            }
        }));
        Ok(Self {
            path,
            faults,
            _stop: stop.drop_guard(),
        })
    }

    /// The port to open.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A unit misbehaves in this way from now on. On a line, gone is as silent.
    pub fn set_fault(&self, unit: u8, fault: Fault) {
        if let Some(sender) = self.faults.get(&unit) {
            sender.send_replace(fault);
        }
    }
}

pub(super) async fn serve(mut port: impl Octets, units: BTreeMap<u8, Unit>) -> io::Result<()> {
    let mut received = Vec::new();
    let mut chunk = [0; rtu::MAX_FRAME];
    loop {
        let read = if received.is_empty() {
            port.read(&mut chunk).await?
        } else if let Ok(read) = timeout(SILENCE, port.read(&mut chunk)).await {
            read?
        } else {
            received.clear();
            continue;
        };
        received.extend_from_slice(&chunk[..read]);
        loop {
            match rtu::request(&received) {
                Received::Part => break,
                Received::Noise => {
                    // Until the silence after it; bounded, should none come.
                    received.truncate(rtu::MAX_FRAME);
                    break;
                }
                Received::Frame { unit, pdu, length } => {
                    if let Some(to) = units.get(&unit) {
                        answer(&mut port, to, unit, pdu).await?;
                    }
                    received.drain(..length);
                }
            }
        }
    }
}

async fn answer(port: &mut impl Octets, to: &Unit, unit: u8, pdu: &[u8]) -> io::Result<()> {
    let fault = *to.fault.borrow();
    let answer = match fault {
        Fault::Silent | Fault::Gone => return Ok(()),
        Fault::Garbage => vec![0xA5; 23],
        Fault::None | Fault::Slow(_) => rtu::frame(unit, &handle(&*to.registers, pdu)),
    };
    if let Fault::Slow(delay) = fault {
        // As a device does that thinks: the line hears nothing meanwhile.
        sleep(delay).await;
    }
    port.write_all(&answer).await
}
