//! What the ledger takes, gives back and cannot do.

use serde::{Deserialize, Serialize};
use solver::{
    market::{LedgerEntry, Order, OrderId},
    network::Id,
};

use super::{Fault, Hash, PublicKey};
use crate::{above, area, links, metering, participants::Change};

/// One entry of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// What the market puts on record.
    Market(LedgerEntry),
    /// An order was cancelled before its gate closed.
    OrderCancelled {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// Which.
        order: OrderId,
        /// By whom; none on records of early builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// An order was replaced before its gate closed.
    OrderAmended {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// Which.
        old: OrderId,
        /// By what; with the same number where it keeps its place in time.
        order: Order,
        /// By whom; none on records of early builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Who takes part has changed.
    Registered {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// Who has changed it.
        by: String,
        /// What has changed.
        change: Change,
    },
    /// Values of meters came from outside; what they changed is on record after it.
    MeterValues {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// Who gave them.
        by: String,
        /// They.
        values: Vec<metering::Value>,
    },
    /// A unit was taken over, or given back.
    Commanded {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// By whom; on records of early builds always a control centre.
        #[serde(default)]
        holder: Holder,
        /// Which master, or which user.
        by: String,
        /// Which unit.
        unit: Id,
        /// What it is held at; none: given back.
        hold: Option<Hold>,
    },
    /// A breaker is to be operated; it is sent once this is on record.
    Switched {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// By whom.
        holder: Holder,
        /// Which master, or which user.
        by: String,
        /// Which, by its command: `ied5/bay1_breaker`.
        breaker: String,
        /// Closed, or else opened.
        close: bool,
    },
    /// What passes between the market and the one above.
    Above(above::Entry),
    /// What the market of an area puts on record besides.
    Area(area::Entry),
    /// Somebody came to a link between markets, or what is trusted there has changed.
    Link {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// What.
        event: links::Event,
    },
    /// The appliance started.
    Started {
        /// Its version: results may differ between versions.
        version: String,
        /// What it signs with from here on.
        key: PublicKey,
    },
    /// A network that gates are closed on, by its digest.
    Network {
        /// SHA-256 of `json`.
        digest: Hash,
        /// The network, power-grid-model JSON.
        json: String,
    },
    /// The chain up to the record before this one is signed.
    Checkpoint {
        /// By whose key.
        key: PublicKey,
        /// Ed25519, hexadecimal.
        signature: String,
    },
}

/// Who may hold a unit; the first outranks the second.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// The DSO's control centre.
    #[default]
    Scada,
    /// A person at the appliance.
    Operator,
}

/// What a unit is held at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Limit of a generator, set value of a battery, generation-positive, W.
    pub p_w: f64,
    /// Generation-positive, var.
    pub q_var: f64,
    /// Ends by itself then, UTC, µs since 1970.
    pub until_us: i64,
}

/// What one gets for a record: proof of what was on record before it, once the chain is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Number of the record.
    pub number: u64,
    /// Hash of the chain up to and with it.
    pub hash: Hash,
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has it open.
    #[error("{0} is in use: a busbar runs on this state directory")]
    InUse(String),
    /// It cannot be opened, read or written.
    #[error("{file}: {reason}")]
    Storage {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// It is of a version that came after this one.
    #[error(
        "{file} has format {found}, written by a newer Busbar; this one knows formats up to {known}: \
         start the newer one, or give this one a state directory of its own"
    )]
    Newer {
        /// The file.
        file: String,
        /// Its format.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// A record in a form that this program does not know, though its bytes are as they were written.
    #[error(
        "{file}: record {number} is intact, but of another build of Busbar, and this one cannot \
         resume from it ({reason}); `busbar ledger verify` and `export` still work on it: keep the \
         state directory, and give this build a new one"
    )]
    Record {
        /// The file.
        file: String,
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// Its content is not what was written.
    #[error("{file} is damaged or was tampered with: {fault}; see `busbar ledger verify`")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        fault: Fault,
    },
    /// A running account is not what was settled.
    #[error(
        "{file}: the account of {party} says {account} micro-currency, what is on record sums to {record}"
    )]
    Account {
        /// The file.
        file: String,
        /// Whose.
        party: String,
        /// Sum of the settlements and corrections on record.
        record: i128,
        /// What the running account says.
        account: i128,
    },
    /// Settlements on record make money or lose it.
    #[error("{file}: all that is settled on record sums to {total} micro-currency, not to nothing")]
    Unbalanced {
        /// The file.
        file: String,
        /// The sum.
        total: i128,
    },
    /// The key cannot be read or made.
    #[error("{file}: {reason}")]
    Key {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
}
