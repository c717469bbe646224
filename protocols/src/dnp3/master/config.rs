//! How a master deals with an outstation.

use std::time::Duration;

use crate::dnp3::link::LinkConfig;

/// How the outstation's clock is set when it asks for it (clause 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSync {
    /// Not at all.
    Never,
    /// By a recorded time: for networks whose delay varies.
    Lan,
    /// By a measured delay: for serial lines.
    Delay,
}

/// An outstation, and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AssociationConfig {
    /// Our address and the outstation's, and the link layer.
    pub link: LinkConfig,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// After a request that failed, until the next attempt.
    pub retry_delay: Duration,
    /// How often everything is read, beside at the beginning and after restarts and overflows;
    /// `None`: not.
    pub integrity_every: Option<Duration>,
    /// How often events are read; `None`: when the outstation says that it has some.
    pub events_every: Option<Duration>,
    /// How long nothing is asked while commands are selected, see [`super::Select::Only`].
    pub select_hold: Duration,
    /// Classes of events that the outstation shall send by itself.
    pub unsolicited: [bool; 3],
    /// How its clock is set.
    pub time_sync: TimeSync,
    /// Events of binary and of double-bit inputs are asked for with their time (g2v2, g4v2) wherever events
    /// are read: for outstations that send them without when not asked. What it sends by itself is as it
    /// likes.
    pub ask_times: [bool; 2],
}

impl AssociationConfig {
    /// Everything each hour, events unsolicited, time over LAN.
    #[must_use]
    pub fn new(link: LinkConfig) -> Self {
        Self {
            link,
            response_timeout: Duration::from_secs(5),
            retry_delay: Duration::from_secs(5),
            integrity_every: Some(Duration::from_secs(3600)),
            events_every: None,
            // A little longer than most outstations keep a selection.
            select_hold: Duration::from_secs(12),
            unsolicited: [true; 3],
            time_sync: TimeSync::Lan,
            ask_times: [false; 2],
        }
    }
}
