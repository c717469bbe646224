//! The controlled station: what a control centre interrogates and commands (IEC 60870-5-104
//! clauses 5, 7 and 10; procedures of IEC 60870-5-5).
//!
//! Masters are redundancy groups: several connections of which one has data transfer started. Each
//! group has events, frozen counters and an interrogation state of its own, and its events are kept
//! until they are acknowledged, over a switch to another connection and over an outage.
//! [`Station`] is all sessions, without IO; [`server`] runs them behind a TCP port.

mod config;
mod control;
mod database;
mod group;
mod interrogate;
pub mod server;
mod session;

pub use config::{CommandConfig, GroupConfig, PointConfig, SelectMode, StationConfig};
pub use control::{ControlAnswer, ControlOperation, ControlRequest};
pub use session::Station;

use super::{Command, LinkError};

/// What the station tells the one who runs it.
#[derive(Clone, Debug, PartialEq)]
pub enum StationEvent {
    /// A command, to be answered with [`Station::answer`].
    Control(ControlRequest),
    /// A command that was selected will not be executed: it was cancelled or replaced, its time is over, or data
    /// transfer is.
    Deselected(Command),
    /// A command was not carried out nor answered because it was given too long ago.
    TooOld {
        /// The object.
        ioa: u32,
        /// Since it was given, milliseconds; negative: from the future.
        age_ms: i64,
    },
    /// The master says that it is this time now.
    TimeWritten {
        /// Milliseconds since 1970-01-01T00:00:00Z.
        unix_ms: u64,
    },
    /// The master asks for a reset of the process, which is allowed and has been confirmed.
    Reset {
        /// Qualifier: 1 general, 2 of pending information with time.
        qualifier: u8,
    },
    /// Data transfer of the group has started on this connection, or stopped.
    Transfer {
        /// Whether it has started.
        started: bool,
    },
    /// The connection is to be closed.
    Closed(LinkError),
}
