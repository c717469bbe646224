//! Modbus by TCP (MODBUS Application Protocol V1.1b3, Messaging on TCP/IP Implementation Guide V1.0b)
//! and on serial lines (MODBUS over Serial Line V1.02), and SunSpec on top of it: devices that poll, and servers for the simulator's side of the wire.

mod client;
pub mod device;
#[cfg(fuzzing)]
pub mod fuzz;
mod line;
mod line_server;
pub mod map;
mod mbap;
pub mod plan;
mod rtu;
pub mod scan;
pub mod server;
pub mod sunspec;
mod supervise;

pub use client::{Link, LinkError, Way};
pub use line::{Line, LineConfig, Parity};
pub use line_server::LineServer;
