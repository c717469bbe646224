//! What a clearing says.

use std::fmt;

use num_complex::Complex64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PhaseName;
use crate::{
    market::OrderId,
    network::{Id, Side},
};

/// How a clearing ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Status {
    /// Converged; every limit holds.
    Optimal,
    /// Every limit holds, but there may be a better dispatch: the last step still promised to
    /// improve cost, or the awards are those of the curtailment order.
    Feasible {
        /// Improvement promised by the last step, currency per h. Where none was promised: what
        /// all power in play is worth at the highest price.
        gap_per_h: f64,
    },
    /// No dispatch found that holds every limit; this one violates least.
    LeastViolation {
        /// The limits that it does not hold.
        violated: Vec<Binding>,
        /// Whether the awards are those of the curtailment order rather than of an optimum.
        curtailed: bool,
    },
}

/// What a unit is awarded; generation-positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Award {
    /// Unit.
    pub unit: Id,
    /// Active power, W.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
}

/// How much of an order was taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fill {
    /// Order.
    pub order: OrderId,
    /// Power taken, W (var, of reactive power), in the order's direction.
    pub quantity_w: f64,
}

/// Exchange with the grid above; positive where the grid above delivers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exchange {
    /// Source.
    pub source: Id,
    /// Its node.
    pub node: Id,
    /// Active power, W.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
    /// What one more MWh from there costs, before its limits: the import price, the export price,
    /// or between them where nothing flows.
    pub price_per_mwh: f64,
}

/// Price at a node: the cost of one more unit of load there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodePrice {
    /// Node.
    pub node: Id,
    /// Of active power, currency per MWh.
    pub p_per_mwh: f64,
    /// Of reactive power, currency per Mvarh.
    pub q_per_mvarh: f64,
}

/// Price at a node of power in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhasePrice {
    /// Node.
    pub node: Id,
    /// Phase.
    pub phase: PhaseName,
    /// Of active power, currency per MWh.
    pub p_per_mwh: f64,
    /// Of reactive power, currency per Mvarh.
    pub q_per_mvarh: f64,
}

/// A limit of the network or the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "limit", rename_all = "snake_case")]
pub enum Limit {
    /// Highest voltage at a node, pu.
    UMax {
        /// Node.
        node: Id,
    },
    /// Lowest voltage at a node, pu.
    UMin {
        /// Node.
        node: Id,
    },
    /// Rated current of a branch at an end, A.
    Current {
        /// Branch.
        branch: Id,
        /// End.
        side: Side,
    },
    /// Rated apparent power of a transformer at an end, VA.
    Apparent {
        /// Branch.
        branch: Id,
        /// End.
        side: Side,
    },
    /// Most power taken from the grid above, W.
    Import {
        /// Source.
        source: Id,
    },
    /// Most power given to the grid above, W.
    Export {
        /// Source.
        source: Id,
    },
}

impl Limit {
    /// Unit of bound, value and of what the shadow price is per.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self {
            Self::UMax { .. } | Self::UMin { .. } => "pu",
            Self::Current { .. } => "A",
            Self::Apparent { .. } => "VA",
            Self::Import { .. } | Self::Export { .. } => "W",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |side: &Side| match side {
            Side::From => "from",
            Side::To => "to",
        };
        match self {
            Self::UMax { node } => write!(f, "highest voltage at node {node}"),
            Self::UMin { node } => write!(f, "lowest voltage at node {node}"),
            Self::Current { branch, side } => {
                write!(
                    f,
                    "rated current of branch {branch} at its {} side",
                    end(side)
                )
            }
            Self::Apparent { branch, side } => {
                write!(
                    f,
                    "rated power of transformer {branch} at its {} side",
                    end(side)
                )
            }
            Self::Import { source } => write!(f, "import limit at source {source}"),
            Self::Export { source } => write!(f, "export limit at source {source}"),
        }
    }
}

/// A limit that holds the dispatch back, or that is violated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Binding {
    /// Which.
    pub limit: Limit,
    /// By phase: of which, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
    /// The limit, in [`Limit::unit`].
    pub bound: f64,
    /// Where the network is, in [`Limit::unit`].
    pub value: f64,
    /// What relaxing the limit by one unit would save, currency per h; not negative.
    pub shadow_price_per_h: f64,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.limit.unit();
        let phase = match self.phase {
            Some(PhaseName::A) => ", phase a",
            Some(PhaseName::B) => ", phase b",
            Some(PhaseName::C) => ", phase c",
            None => "",
        };
        write!(
            f,
            "{}{phase}: {:.6} {unit} of {:.6} {unit}; one more {unit} is worth {:.4} per h",
            self.limit, self.value, self.bound, self.shadow_price_per_h
        )
    }
}

/// What the independent AC power flow says of the awards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AcCheck {
    /// Lowest voltage, pu, and its node.
    pub u_min_pu: (Id, f64),
    /// Highest voltage, pu, and its node.
    pub u_max_pu: (Id, f64),
    /// Highest loading, 1 being the rating, and its branch; none where no branch has a rating.
    pub worst_loading: Option<(Id, f64)>,
    /// Greatest excess over a voltage limit, pu.
    pub violation_u_pu: f64,
    /// Greatest excess over a rating or interface limit, relative to it.
    pub violation_rating: f64,
    /// Greatest difference between a node's awarded and its computed power, W or var.
    pub power_gap_w: f64,
    /// Difference between the exchange that the last convex programme counted on and this, W.
    pub model_gap_w: f64,
    /// Losses, W.
    pub losses_w: f64,
}

/// A limit that was tightened because the AC check exceeded it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tightened {
    /// Which.
    pub limit: Limit,
    /// By phase: of which, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
    /// By how much, in [`Limit::unit`].
    pub by: f64,
}

/// Where a tap changer or capacitor is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// Transformer or shunt.
    pub element: Id,
    /// Where it was.
    pub from: i8,
    /// Tap position; of a shunt, 1 is connected.
    pub to: i8,
}

/// What came of the voltage behind a unit's connection, see [`VoltageWorth`](super::VoltageWorth).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VoltagePrice {
    /// Unit.
    pub unit: Id,
    /// The voltage, pu.
    pub u_pu: f64,
    /// What another pu of it would cost, currency per h.
    pub slope_per_h: f64,
    /// What a MWh is worth to the unit: the price at its node without what its own power makes of the voltage
    /// there, since that is not what it is behind.
    pub p_per_mwh: f64,
    /// The same of reactive power, per Mvarh.
    pub q_per_mvarh: f64,
}

/// The result of a clearing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clearing {
    /// How it ended.
    pub status: Status,
    /// One per unit, in the case's order.
    pub awards: Vec<Award>,
    /// One per order, in the case's order.
    pub fills: Vec<Fill>,
    /// One per interface, in the case's order.
    pub exchange: Vec<Exchange>,
    /// One per node, in the network's order; nothing at nodes without voltage.
    pub prices: Vec<NodePrice>,
    /// By phase: those of each live phase. A node's is that of power shared alike by its phases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phase_prices: Vec<PhasePrice>,
    /// Limits with a shadow price, dearest first.
    pub binding: Vec<Binding>,
    /// Cost per hour at order and interface prices: what is sold less what is bought.
    pub cost_per_h: f64,
    /// What the AC power flow says.
    pub ac_check: AcCheck,
    /// Node voltages of that power flow, pu, in the network's order (by phase three a node); nothing where not
    /// energised.
    #[schemars(with = "Vec<[f64; 2]>")]
    pub u: Vec<Complex64>,
    /// Tap changers and capacitors that are moved; prices are those after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<Position>,
    /// Convex programmes solved, for all positions that were tried.
    pub iterations: u32,
    /// Limits that were tightened.
    pub tightened: Vec<Tightened>,
    /// Voltages that are worth something, in the case's order; not those at nodes without voltage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voltages: Vec<VoltagePrice>,
}
