//! The outstation: a station that a SCADA master polls (IEEE 1815-2012 clauses 4, 10, 14, subset
//! level 3), one session per master with its own events, classes and dead bands.
//!
//! [`Outstation`] is the session, without IO; [`server`] runs sessions behind a TCP port;
//! [`profile`] prints the device profile.

mod buffer;
mod config;
mod control;
mod database;
pub mod profile;
mod read;
mod requests;
pub mod server;
mod session;
mod support;
mod unsolicited;

pub use config::{
    Class, ConfigProblem, OutstationConfig, PointConfig, RestartPolicy, UnsolicitedConfig,
};
pub use control::{ControlOperation, ControlRequest};
pub use session::Outstation;

use super::{Kind, app::OutputCommand};

/// What a session tells the one who runs it.
#[derive(Clone, Debug, PartialEq)]
pub enum OutstationEvent {
    /// Commands. To be answered with [`Outstation::control_done`], but for
    /// [`ControlOperation::DirectOperateNoResponse`].
    Control(ControlRequest),
    /// Commands that were selected will not be operated: the time is over, another request took their place, or the
    /// connection is gone.
    Deselected(Vec<(u16, OutputCommand)>),
    /// The master says that it is this time now, milliseconds since 1970.
    TimeWritten {
        /// Milliseconds since 1970-01-01T00:00:00Z at the moment of the call that gave this event.
        unix_ms: u64,
    },
    /// The master asks for a restart, which is allowed and has been acknowledged.
    Restart {
        /// Cold: everything; warm: the application only.
        cold: bool,
    },
    /// Counters of this session were frozen.
    Frozen {
        /// How many.
        counters: usize,
        /// Whether they count from zero now.
        cleared: bool,
    },
    /// The master put a point in another class.
    ClassAssigned {
        /// The point's kind.
        kind: Kind,
        /// The point's index.
        index: u16,
        /// Its class now; `None`: no events.
        class: Option<Class>,
    },
    /// The master does not answer any more: the connection is to be closed.
    LinkLost,
}
