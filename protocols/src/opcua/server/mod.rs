//! The upper layer's end: a server with a tenant's part of the address space for each tenant.
//!
//! In front is the [`door`], then the library's secure channel and session, then the [`guard`] with user
//! and password, then the [`nodes`] of the tenant, which look at its certificate. Whom any of them turns away is told,
//! the library's refusals as far as they show ([`connection`]).

mod audit;
mod connection;
mod door;
mod frame;
mod guard;
mod nodes;
mod space;
mod start;

pub use start::MarketServer;

use std::{fmt, net::SocketAddr, sync::Arc};

use tokio::sync::oneshot;

use super::{
    Pki,
    message::{Receipt, Refused, Up},
};
use crate::tls::Fingerprint;

/// What a server is.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How tenants reach it from outside, `opc.tcp://host:port`; by default what it listens at.
    pub endpoint: Option<String>,
    /// What it is called.
    pub name: String,
    /// Its certificate and whom it trusts.
    pub pki: Pki,
    /// Whom it serves.
    pub tenants: Vec<Tenant>,
    /// Whether this is the password of this user. It may take its time: it is called off the runtime.
    pub verify: Verify,
}

/// Whether this is the password of this user.
pub type Verify = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("listen", &self.listen)
            .field("name", &self.name)
            .field("pki", &self.pki)
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

/// One of those it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Of it: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// The user that it comes as; nobody else's.
    pub user: String,
    /// Its certificates: while one is renewed, the old and the new.
    pub certificates: Vec<Fingerprint>,
}

/// What a tenant asks.
#[derive(Debug)]
pub enum Request {
    /// To take a document.
    Submit {
        /// Who.
        tenant: String,
        /// What.
        document: Up,
        /// Where the answer goes, once the document is on record. Dropped without one: the tenant is told
        /// that it is not kept.
        answer: oneshot::Sender<Result<Receipt, Refused>>,
    },
    /// It has an award on record.
    Acknowledged {
        /// Who.
        tenant: String,
        /// Start of the award's interval.
        interval: i64,
        /// Its number.
        sequence: u32,
    },
}

/// What is to be told about who comes and goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audit {
    /// A tenant has logged in.
    Connected {
        /// Who.
        tenant: String,
        /// From where.
        from: String,
    },
    /// Its connection has ended.
    Disconnected {
        /// Whose.
        tenant: String,
        /// From where.
        from: String,
    },
    /// Somebody was turned away.
    Refused {
        /// From where; empty where that is not known.
        from: String,
        /// As whom it came, as far as it said: a tenant, a user or a certificate's fingerprint.
        who: String,
        /// Why.
        reason: String,
    },
    /// Our certificate nears its end.
    Expires {
        /// In so many days; negative once it is over.
        days: i64,
    },
    /// So many were not told: nobody listened.
    Missed {
        /// How many.
        count: u64,
    },
}

/// Of how many intervals the awards can be had.
pub const HELD: usize = 16;
