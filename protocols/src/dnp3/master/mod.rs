//! The master: asks outstations (IEEE 1815-2012 clauses 4 and 10). One or more outstations on a
//! channel, one request on its way at a time, so that it serves a serial line as well.
//!
//! [`Master`] is the session, without IO; [`client`] runs one over TCP.

mod agenda;
mod association;
pub mod client;
mod config;
mod decode;
mod jobs;
mod request;
mod session;

pub use config::{AssociationConfig, TimeSync};
pub use request::{Outcome, ReadHeader, ReadRange, Request, Select};
pub use session::Master;

use std::time::Duration;

use super::{Iin, Kind, Sample};

/// A value that an outstation has sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// The point's kind.
    pub kind: Kind,
    /// The point's index.
    pub index: u16,
    /// Value, flags, and the time where the outstation sent one.
    pub sample: Sample,
    /// Whether it is an event; else it is a present value.
    pub event: bool,
}

/// What a session tells the one who runs it.
#[derive(Clone, Debug, PartialEq)]
pub enum MasterEvent {
    /// Values of one fragment, in the order in which they were sent.
    Measurements {
        /// The outstation's address.
        outstation: u16,
        /// At least one.
        measurements: Vec<Measurement>,
    },
    /// An octet string (g110, or g111 where it is an event).
    Octets {
        /// The outstation's address.
        outstation: u16,
        /// The string's index.
        index: u16,
        /// The string.
        octets: Vec<u8>,
        /// Whether it is an event.
        event: bool,
    },
    /// The outstation's indications have changed.
    Indications {
        /// The outstation's address.
        outstation: u16,
        /// All of them now.
        iin: Iin,
    },
    /// The outstation answers, or does not answer any more.
    Online {
        /// The outstation's address.
        outstation: u16,
        /// Whether it answers.
        online: bool,
    },
    /// A request ended.
    Done {
        /// What [`Master::request`] gave.
        id: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// Everything, or all events, have been read, in their time.
    Polled {
        /// The outstation's address.
        outstation: u16,
        /// From the request to the end of the answer.
        took: Duration,
        /// How late the request was sent.
        late: Duration,
    },
    /// No outstation of the channel answers any more: the connection is to be closed.
    LinkLost,
}
