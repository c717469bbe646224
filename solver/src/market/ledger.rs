//! What the market puts on record. The record's order, chain and signature are the store's.

use serde::{Deserialize, Serialize};

use super::{
    Ahead, Calls, Contracts, GridFee, Imbalance, LookedAhead, Meter, NewOrder, Order, Pair,
    Pricing, Rejection, Settlement,
    clearing::{Award, Case, Clearing, Options},
};

/// What a site chose of the market's rules: with network and case, all that an interval's results
/// are computed from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rulebook {
    /// Of the clearing.
    pub clearing: Options,
    /// Prices of deviations.
    pub imbalance: Imbalance,
    /// At which price awards are traded.
    pub pricing: Pricing,
    /// What the use of the network costs.
    pub grid_fee: GridFee,
    /// Participants that are settled in the market above: what they come to here passes up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settled_above: Vec<String>,
}

/// One entry of the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum LedgerEntry {
    /// An order was accepted.
    OrderAccepted {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// It.
        order: Order,
        /// Who placed it: a user or a participant's token; none on records of early builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// An order was refused.
    OrderRejected {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// As it came; boxed, as rejections are rare.
        request: Box<NewOrder>,
        /// Why.
        rejection: Rejection,
        /// Who sent it; none on records of early builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The gate closed: everything that the clearing is computed from.
    GateClosed {
        /// Start of the interval.
        interval: i64,
        /// Names the network as it stands, switch and tap positions included (a digest by the
        /// caller).
        network: String,
        /// What the site chose; none on records of early builds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rulebook: Option<Box<Rulebook>>,
        /// What participants agreed on with each other; their legs are among the case's orders.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pairs: Vec<Pair>,
        /// What is looked ahead at, where there are stores or windows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ahead: Option<Box<Ahead>>,
        /// Calls of the DSO, where there are any; units and orders are as without them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        calls: Option<Box<Calls>>,
        /// All else; boxed since it dwarfs the other entries.
        case: Box<Case>,
    },
    /// The interval was cleared.
    Cleared {
        /// Start of the interval.
        interval: i64,
        /// Its result.
        clearing: Box<Clearing>,
        /// What looking ahead found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        looked: Option<Box<LookedAhead>>,
        /// What called units would have been awarded without the calls.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        without_calls: Vec<Award>,
    },
    /// The interval could not be cleared; devices keep to their fallback.
    ClearingFailed {
        /// Start of the interval.
        interval: i64,
        /// Why.
        reason: String,
    },
    /// Contracts were made.
    Contracted {
        /// Start of the interval.
        interval: i64,
        /// They.
        contracts: Contracts,
    },
    /// Delivery began: the interval's setpoints may go out from here on. A cleared interval
    /// without this entry was never delivered.
    Delivering {
        /// Start of the interval.
        interval: i64,
        /// When, UTC, µs since 1970.
        at_us: i64,
    },
    /// A cleared interval was not delivered: its contracts are void, nobody owes anything.
    Voided {
        /// Start of the interval.
        interval: i64,
        /// Why.
        reason: String,
    },
    /// Meters were read.
    Metered {
        /// Start of the interval.
        interval: i64,
        /// What they said.
        meters: Vec<Meter>,
    },
    /// The interval was settled.
    Settled(Settlement),
    /// A settled interval's meters say something else now: what that changes.
    Resettled {
        /// What they say now: those that changed, each in place of the one of its party, unit and node.
        meters: Vec<Meter>,
        /// Only what changes, to be added to what was settled before.
        correction: Settlement,
    },
}
