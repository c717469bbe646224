//! What an order says beyond its curve: whether price matters, with whom, and what the curve is of.
//!
//! Everything is an integer, so that an order is the same order again when it is read back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Price;

/// Whole parts of an efficiency: 1 is a million.
pub const PPM: u32 = 1_000_000;

/// Terms of an order; the default is a plain offer or bid for energy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Must-run (`Sell`) or must-serve (`Buy`): taken whatever the price, curtailed last. Such an
    /// order carries the market's lowest (highest) price in its steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub must: bool,
    /// Trades with this participant only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// What the curve is of.
    #[serde(default, skip_serializing_if = "Kind::is_energy")]
    pub kind: Kind,
}

impl Terms {
    /// Whether it is a plain offer or bid.
    #[must_use]
    pub fn are_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// What a curve is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Mean active power over the interval.
    #[default]
    Energy,
    /// Reactive power: quantities in var, prices per Mvarh. `Sell` injects, `Buy` absorbs; the unit
    /// is paid at least the price for either, so prices rise in both directions.
    Reactive,
    /// A store over the horizon; the steps are empty, the power is the unit's capability.
    Storage(Storage),
    /// Energy at any time within a window; one step, of the most power and the limit price.
    Window(Window),
    /// A call by the DSO: bounds on anybody's unit's power; the steps are empty. Stands beside the
    /// unit's orders, not among a case's.
    Call(Call),
}

impl Kind {
    /// Whether it is the plain kind.
    #[must_use]
    pub fn is_energy(&self) -> bool {
        *self == Self::Energy
    }
}

/// What a store offers to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Energy in it at the start of the order's interval, Wh.
    pub energy_wh: i64,
    /// Least energy in it at any interval's end, Wh.
    pub energy_min_wh: i64,
    /// Most energy in it at any interval's end, Wh.
    pub energy_max_wh: i64,
    /// Stored of what is taken from the grid, millionths.
    pub charge_ppm: u32,
    /// Given to the grid of what is taken out of store, millionths.
    pub discharge_ppm: u32,
    /// Cost of wear, per MWh given to the grid.
    pub wear: Price,
    /// What a MWh left in it at the horizon's end is worth.
    pub end_value: Price,
}

/// When flexible energy is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// End, UTC, seconds since 1970; the order's interval is the first of the window.
    pub end: i64,
    /// Energy over the whole window, Wh, above zero; all of it or less, never more.
    pub energy_wh: i64,
}

/// A demand-response call: a cap, a floor, or both, which may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Least power, W, generation-positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_min_w: Option<i64>,
    /// Most power, W, generation-positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_max_w: Option<i64>,
    /// Paid by the DSO for each MWh that the unit gives more, or less, than it would have.
    pub compensation: Price,
    /// End of the last interval it is for, UTC, seconds since 1970; none: it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}
