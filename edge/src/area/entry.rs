//! What goes on record besides the market's own entries.

use protocols::opcua::message::{Award, Up};
use serde::{Deserialize, Serialize};

use crate::store::Hash;

/// One entry of the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A tenant's document was taken.
    Submitted {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// Whose.
        tenant: String,
        /// It.
        document: Up,
    },
    /// An operator calls on a tenant for an exchange, to balance the grid above, whatever its curve would come to.
    Called {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// Start of the interval.
        interval: i64,
        /// Whom.
        tenant: String,
        /// For what, W; none: not any more.
        exchange_w: Option<i64>,
        /// Who calls.
        by: String,
    },
    /// With what each tenant is in the case whose gate closed just before.
    Gathered {
        /// Start of the interval.
        interval: i64,
        /// One per tenant, in the case's order.
        tenants: Vec<Taken>,
    },
    /// What was awarded.
    Awarded {
        /// Start of the interval.
        interval: i64,
        /// One per tenant.
        awards: Vec<Given>,
    },
    /// A tenant's interval is complete, or has another total now.
    Accounted {
        /// Start of the interval.
        interval: i64,
        /// Whose.
        tenant: String,
        /// Number of its total.
        sequence: u32,
        /// Of its account.
        hash: Hash,
    },
    /// What the area exchanged with the grid above: made up of its tenants' totals, its own participants'
    /// awards and the clearing's losses.
    Exchanged {
        /// Start of the interval.
        interval: i64,
        /// Import-positive, Wh.
        import_wh: i64,
        /// Tenants that had not said what was metered by then.
        missing: Vec<String>,
    },
}

/// A tenant in a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// Who.
    pub tenant: String,
    /// Sequence number of its offer; none: it had made none, and stands in with `expected_w`.
    pub offer: Option<u32>,
    /// What it is expected to exchange without an award, W.
    pub expected_w: i64,
}

/// An award, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Whose.
    pub tenant: String,
    /// It.
    pub award: Award,
}

impl Entry {
    /// Start of the interval that it is about.
    #[must_use]
    pub fn interval(&self) -> i64 {
        match self {
            Self::Submitted { document, .. } => document.interval(),
            Self::Called { interval, .. }
            | Self::Gathered { interval, .. }
            | Self::Awarded { interval, .. }
            | Self::Accounted { interval, .. }
            | Self::Exchanged { interval, .. } => *interval,
        }
    }
}
