//! Orders, as a participant places them.

use std::{fmt, iter::Sum, ops::Neg};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Terms;
use crate::network::Id;

/// Money in micro-currency.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Money(pub i64);

impl Sum for Money {
    /// Exact as long as the sum is within range, in whatever order; at the end of the range beyond.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        let total: i128 = amounts.map(|money| i128::from(money.0)).sum();
        Self(total.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }
}

impl Neg for Money {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// A price in micro-currency per MWh.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Price(pub i64);

impl Price {
    /// The price in currency per MWh.
    #[must_use]
    pub fn per_mwh(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// Sequence number of an accepted order; the lower one has time priority.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct OrderId(pub u64);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether energy is offered or asked for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Delivers energy to the grid (generation, discharge) for at least the price.
    Sell,
    /// Takes energy from the grid (consumption, charge) for at most the price.
    Buy,
}

/// One step of a price-quantity curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Mean power over the interval that this step adds, W, above zero.
    pub quantity_w: i64,
    /// Limit price of this step, micro-currency per MWh.
    pub price: Price,
}

/// An accepted order for one interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// Given on acceptance.
    pub id: OrderId,
    /// The participant's own id for it; the same one twice is the same order.
    pub client_id: String,
    /// Who placed it.
    pub participant: String,
    /// The flexibility's unit: a load or generator of the network.
    pub unit: Id,
    /// Start of the interval, UTC, seconds since 1970.
    pub interval: i64,
    /// Offer or bid.
    pub direction: Direction,
    /// The curve: prices rise for `Sell`, fall for `Buy`.
    pub steps: Vec<Step>,
    /// What it says beyond its curve.
    #[serde(default, skip_serializing_if = "Terms::are_plain")]
    pub terms: Terms,
}

/// An order as it arrives, before any rule has seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// The participant's own id for it; the same one twice is the same order.
    pub client_id: String,
    /// Who places it.
    pub participant: String,
    /// The flexibility node.
    pub node: Id,
    /// The unit; may be left out where the participant has one unit at the node.
    #[serde(default)]
    pub unit: Option<Id>,
    /// Start of the interval, UTC, seconds since 1970.
    pub interval: i64,
    /// Offer or bid.
    pub direction: Direction,
    /// The curve: prices rise for `Sell`, fall for `Buy`.
    pub steps: Vec<Step>,
    /// What it says beyond its curve.
    #[serde(default, skip_serializing_if = "Terms::are_plain")]
    pub terms: Terms,
}
