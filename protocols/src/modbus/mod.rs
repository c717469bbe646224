//! Modbus TCP (MODBUS Application Protocol V1.1b3, Messaging on TCP/IP Implementation Guide V1.0b)
//! and SunSpec on top of it: devices that poll, and servers for the simulator's side of the wire.

mod client;
pub mod device;
pub mod map;
mod mbap;
pub mod plan;
pub mod server;
pub mod sunspec;
mod supervise;

pub use client::{Link, LinkError};
