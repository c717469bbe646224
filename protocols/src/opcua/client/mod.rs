//! The lower layer's end: a task that keeps a session with the layer above, gives what comes down, and
//! passes up what it is asked to.
//!
//! Whatever goes wrong on a session, it is given up and another one is opened: what the library does to
//! repair a session leaves it without publications (async-opcua 0.19).

mod link;
mod task;
mod wire;

pub use task::MarketClient;

use std::fmt;

use super::{
    Pki,
    message::{Down, Refused},
};

/// What a client is.
#[derive(Clone)]
pub struct ClientConfig {
    /// `opc.tcp://host:port`.
    pub endpoint: String,
    /// What it is called.
    pub name: String,
    /// Its certificate and which servers it trusts.
    pub pki: Pki,
    /// The user that it logs in as.
    pub user: String,
    /// The user's password.
    pub password: String,
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("endpoint", &self.endpoint)
            .field("name", &self.name)
            .field("pki", &self.pki)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What happens on the link.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// There is a session: what waits can be sent.
    Connected {
        /// What we are called there.
        tenant: String,
        /// Its clock against ours, ms; positive where its is ahead.
        clock_ms: i64,
    },
    /// There is none any more, or none could be had; it is tried again.
    Lost {
        /// Why.
        reason: String,
    },
    /// A document came. One may come again after a reconnect.
    Down(Down),
    /// Our certificate nears its end.
    Expires {
        /// In so many days; negative once it is over.
        days: i64,
    },
}

/// Why a document was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The layer above does not want it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nothing is known of what became of it: send it again.
    #[error("not delivered: {0}")]
    Link(String),
}
