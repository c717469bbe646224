//! What every southbound connection promises, whatever its protocol.
//!
//! A device is one task, started with [`Ports`] and a configuration. It connects, reads, reports
//! and reconnects for ever until `stop` fires; it never panics on what comes from the wire, and it
//! never waits for any other device.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::point::{Command, CommandStatus, DeviceId, Update};

/// What a device task reports.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceEvent {
    /// The connection's state changed.
    State(DeviceState),
    /// New values. A poll's values come in one event.
    Updates(Vec<Update>),
    /// One poll cycle ended; `took` is from the first request to the last answer.
    Polled {
        /// How long the poll took.
        took: Duration,
        /// How late it began after its appointed time.
        late: Duration,
    },
    /// What the device said of itself (SunSpec common model, ratings). Sent after each connect.
    Described(Description),
    /// A command ended.
    CommandDone {
        /// [`Command::id`].
        id: u64,
        /// How it ended.
        status: CommandStatus,
    },
}

/// State of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Opening the connection or discovering what is there.
    Connecting,
    /// Answers.
    Online,
    /// Does not answer, or answers nonsense: why, and when it is tried again.
    Offline {
        /// What went wrong, for a person.
        error: String,
        /// Time until the next attempt.
        retry_in: Duration,
    },
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware version.
    pub version: String,
    /// Protocol-level contents, e.g. SunSpec model ids in order.
    pub models: Vec<u16>,
    /// Nameplate active power, W.
    pub p_rated_w: Option<f64>,
    /// Nameplate apparent power, VA.
    pub s_rated_va: Option<f64>,
    /// Nameplate reactive power, var, symmetrical.
    pub q_rated_var: Option<f64>,
}

/// A device task's connections to the appliance.
#[derive(Debug)]
pub struct Ports {
    /// Whose task it is; stamped on every event.
    pub device: DeviceId,
    /// Where events go. A full channel makes the device wait, and only this device.
    pub events: mpsc::Sender<(DeviceId, DeviceEvent)>,
    /// Commands to carry out.
    pub commands: mpsc::Receiver<Command>,
    /// Ends the task.
    pub stop: CancellationToken,
}

/// Where a device task takes the time of receipt from: UTC, microseconds since 1970. A function, so
/// that a test can stand in for it.
pub type Clock = fn() -> i64;

/// The system's clock.
#[must_use]
pub fn system_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 has lost its battery; 0 shows that well enough.
    since.map_or(0, |since| since.as_micros() as i64)
}
