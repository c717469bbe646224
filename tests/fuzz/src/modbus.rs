//! A tokio of one thread whose time goes by itself whenever all wait, and frames of Modbus with right checks.

use std::{cell::RefCell, future::Future, sync::Mutex};

use protocols::modbus::{
    server::{ExceptionCode, Registers, Table},
    sunspec::Image,
};
use tokio::runtime::{Builder, Runtime};

/// Runs to its end what waits for nothing but time and itself.
pub fn run<T>(task: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: RefCell<Runtime> = RefCell::new(
            Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime without IO needs nothing"),
        );
    }
    RUNTIME.with_borrow(|runtime| runtime.block_on(task))
}

/// A frame of RTU: unit, PDU, the CRC of MODBUS over Serial Line V1.02, 6.2.2.
pub fn rtu(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = [&[unit], pdu].concat();
    let mut crc = 0xFFFF_u16;
    for octet in &frame {
        crc ^= u16::from(*octet);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xA001 } else { 0 };
        }
    }
    frame.extend(crc.to_le_bytes());
    frame
}

/// A frame of Modbus TCP.
pub fn tcp(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = (pdu.len() + 1) as u16;
    let [t, l] = [transaction.to_be_bytes(), length.to_be_bytes()];
    [&[t[0], t[1], 0, 0, l[0], l[1], unit], pdu].concat()
}

/// A SunSpec device's registers, and bits where it has none.
#[derive(Debug)]
pub struct Device(Mutex<Image>);

impl Device {
    pub fn new() -> Self {
        let image = Image::new(40_000, &[1, 103, 120, 121, 123, 701, 702, 704, 713, 802]);
        Self(Mutex::new(image.expect("models that there are")))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Image) -> T) -> T {
        act(&mut self.0.lock().expect("no panic goes on"))
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

impl Registers for Device {
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        match table {
            Table::Coil | Table::Discrete => Ok(vec![address & 1; count.into()]),
            _ => self.with(|image| image.read(address, count)),
        }
    }

    fn write(&self, table: Table, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        match table {
            Table::Coil | Table::Discrete => Ok(()),
            _ => self.with(|image| image.write(address, values)),
        }
    }
}
