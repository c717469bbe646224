//! DNP3 (IEEE 1815-2012), our own stack, without IO: sessions take octets and the time and give
//! octets, the next time they want to be called, and events.
//!
//! From the wire up: [`link`] (clause 9), `transport` (clause 8), [`app`] (clause 4, Annex A),
//! and on top the two sessions, [`outstation`] and [`master`], each with a TCP task around it
//! (clause 13). [`device`] is an outstation on a site, whose points a [`map`] names.

pub mod app;
pub mod device;
pub mod link;
pub mod map;
pub mod master;
mod measurement;
pub mod outstation;
mod quality;
mod transport;

pub use app::Iin;
pub use measurement::{Flags, Kind, Sample};

pub use crate::driver::Now;
