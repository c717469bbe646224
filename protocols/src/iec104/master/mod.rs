//! The controlling station: what polls and commands an RTU (IEC 60870-5-104 clauses 5 and 7).
//!
//! [`Master`] is the session with one station on one connection, without IO; [`client`] connects it,
//! and connects again for ever. It starts data transfer, sets the clock if that is wanted,
//! interrogates, and then listens to what comes spontaneously.

pub mod client;
mod request;
mod session;

use std::time::Duration;

pub use request::{Outcome, Request};
pub use session::Master;

use super::{Cause, Kind, LinkConfig, LinkError, Sample};

/// How a master deals with its station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasterConfig {
    /// The station's common address.
    pub address: u16,
    /// Our originator address; 0: none.
    pub originator: u8,
    /// Windows and timers.
    pub link: LinkConfig,
    /// Whether its clock is set after each connect and with each interrogation.
    pub clock_sync: bool,
    /// How often everything is interrogated, beside at the beginning; none: not.
    pub interrogate_every: Option<Duration>,
    /// Whether counters are read with it.
    pub counters: bool,
    /// Whether process commands end with a termination. Stations that only confirm are common; then the
    /// confirmation is the end.
    pub termination: bool,
    /// How long a confirmation, and then the termination, may take.
    pub answer_timeout: Duration,
}

impl MasterConfig {
    /// Everything each quarter of an hour, with counters; the clock not set.
    #[must_use]
    pub fn new(address: u16) -> Self {
        Self {
            address,
            originator: 0,
            link: LinkConfig::default(),
            clock_sync: false,
            interrogate_every: Some(Duration::from_secs(900)),
            counters: true,
            termination: true,
            answer_timeout: Duration::from_secs(10),
        }
    }
}

/// A value that came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Its address.
    pub ioa: u32,
    /// Its kind.
    pub kind: Kind,
    /// Value, quality descriptor and time.
    pub sample: Sample,
    /// Why it came.
    pub cause: Cause,
}

/// What a master tells.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterEvent {
    /// Data transfer has started.
    Started,
    /// Values, in their order.
    Measurements(Vec<Measurement>),
    /// The station has come up anew; it is being interrogated.
    Initialised,
    /// An interrogation of our own accord has ended. The first after a connect shows that the station
    /// answers.
    Interrogated {
        /// Whether it was answered to its end.
        complete: bool,
        /// How long it took.
        took: Duration,
    },
    /// What became of a request.
    Done {
        /// The request's.
        id: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// The connection is to be closed.
    Closed(LinkError),
}
