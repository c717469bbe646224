//! IEC 60870-5-104:2006 (edition 2.0), our own stack, without IO: sessions take octets and the time
//! and give octets, the next time they want to be called, and events.
//!
//! From the wire up: [`apci`] (104, clause 5), `link` (its timers and windows), `asdu`, `element` and
//! `command` (101, clause 7), and on top the two stations, [`station`] (controlled) and [`master`]
//! (controlling), each with a TCP task around it, and [`device`], the master as a southbound device.

pub mod apci;
mod asdu;
mod command;
pub mod device;
mod element;
mod link;
pub mod map;
pub mod master;
mod quality;
pub mod station;
mod time;

pub use asdu::{BROADCAST, Cause, Header, MAX_IOA};
pub use command::{Command, CommandKind, CommandValue, ControlKind};
pub use element::{Kind, Sample};
pub use link::{LinkConfig, LinkError};
pub use quality::Qds;
