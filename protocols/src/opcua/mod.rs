//! The link between two layers of the market, over OPC UA (IEC 62541): the lower layer is always the
//! client, so that nothing opens a port towards it. A substation is a tenant of an area, an area of a
//! wider area or of the wholesale market; all of them pass the same documents.

mod account;
mod bounds;
pub mod client;
mod codec;
#[cfg(fuzzing)]
pub mod fuzz;
mod lengths;
pub mod message;
pub mod model;
pub mod nodeset;
pub mod pki;
pub mod server;

pub use account::Account;

use std::path::PathBuf;

/// Where an end keeps its certificate, its key and whom it trusts.
///
/// `own/certificate.der` and `own/key.pem` (mode 600) are its own, `trusted/` and `rejected/` hold
/// certificates of others, DER or PEM, one a file. An engineer moves them from one to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pki {
    /// The folder that these are in, mode 700.
    pub folder: PathBuf,
}

/// Why an end does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file is missing, or is not what it should be.
    #[error("{}: {reason}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// It cannot listen there.
    #[error("cannot listen at {address}: {reason}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The configuration makes no sense.
    #[error("{0}")]
    Config(String),
}
