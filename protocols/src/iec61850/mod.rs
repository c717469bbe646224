//! IEC 61850 over MMS (IEC 61850-8-1): an IED as a southbound device, and a server for simulators. The crates
//! `iec61850-*` do the wire; nothing of theirs is seen outside.
//!
//! [`reference`] names attributes, [`map`] says which of them are points, `value` turns what comes into values
//! with quality and time. [`device`] is the task of one IED: `association` opens two associations to it, one for
//! `reports`, one for reads and commands (`control`), since waiting for reports holds an association.

mod association;
mod control;
pub mod device;
mod directory;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod map;
pub mod proposal;
mod quality;
pub mod reference;
mod reports;
pub mod server;
mod store;
mod value;

pub use map::{CommandSpec, Kind, ObjectMap, PointSpec};
pub use quality::Q;
pub use reference::Reference;
