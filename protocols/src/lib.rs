//! Wires to points and back: every field protocol Busbar speaks, on one common model of points,
//! commands and qualities. Knows nothing of networks or markets.

pub mod device;
pub mod dnp3;
mod driver;
pub mod iec104;
pub mod iec61850;
pub mod modbus;
pub mod opcua;
pub mod point;
pub mod tcp;
pub mod tls;
