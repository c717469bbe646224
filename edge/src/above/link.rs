//! The wire's end that the machine sees: what it tells, and how the link is.

use protocols::opcua::message::{Down, Refused, Up};

use crate::store::Hash;

/// What the wire tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The link stands.
    Linked {
        /// What we are called there.
        tenant: String,
        /// The clock there against ours, ms; positive where it is ahead.
        clock_ms: i64,
    },
    /// It does not.
    Lost {
        /// Why.
        reason: String,
    },
    /// A document came down.
    Down(Down),
    /// A document that went up is answered.
    Answer {
        /// Which.
        up: Up,
        /// With a total, the hash of the account above; or why it is not taken.
        answer: Result<Option<Hash>, Refused>,
    },
    /// So long our certificate is good.
    Certificate {
        /// Days; negative: it has ended.
        days_left: i64,
    },
}

/// How the link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// It stands.
    pub up: bool,
    /// Since when, UTC, µs since 1970.
    pub since_us: i64,
    /// Why it does not stand.
    pub reason: Option<String>,
    /// The clock above against ours, ms; positive where it is ahead.
    pub clock_ms: Option<i64>,
    /// So long our certificate is good, as far as that is known.
    pub certificate_days: Option<i64>,
}

impl Link {
    /// Not up yet.
    #[must_use]
    pub fn new(now_us: i64) -> Self {
        Self {
            up: false,
            since_us: now_us,
            reason: None,
            clock_ms: None,
            certificate_days: None,
        }
    }

    /// It stands.
    pub fn up(&mut self, now_us: i64) {
        if !self.up {
            self.since_us = now_us;
        }
        self.up = true;
        self.reason = None;
    }

    /// It does not stand.
    pub fn down(&mut self, reason: String, now_us: i64) {
        if self.up {
            self.since_us = now_us;
        }
        self.up = false;
        self.reason = Some(reason);
    }
}
