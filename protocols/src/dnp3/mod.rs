//! DNP3 (IEEE 1815-2012), our own stack, without IO: sessions take octets and the time and give
//! octets, the next time they want to be called, and events.
//!
//! From the wire up: [`link`] (clause 9), `transport` (clause 8), [`app`] (clause 4, Annex A),
//! and on top the two sessions, [`outstation`] and [`master`], each with a TCP task around it
//! (clause 13).

pub mod app;
mod driver;
pub mod link;
pub mod master;
mod measurement;
pub mod outstation;
mod quality;
mod transport;

use std::time::Duration;

pub use app::Iin;
pub use measurement::{Flags, Kind, Sample};

/// The moment of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed moment, never going back: what timers run by.
    pub mono: Duration,
    /// Milliseconds since 1970-01-01T00:00:00Z, as far as we know: what time stamps are made of.
    pub unix_ms: u64,
}
