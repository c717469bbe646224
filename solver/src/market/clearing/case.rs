//! What a clearing is computed from.

use num_complex::Complex64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    market::{Order, OrderId, Price, Unit},
    network::Id,
};

/// Power at a node that is not in the market; generation-positive, so loads are negative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePower {
    /// Node.
    pub node: Id,
    /// Active power, W.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
    /// Whose it is, and pays or is paid for it; none: the residual supplier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// Who answers for a power that the market does not decide on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Load or generator.
    pub unit: Id,
    /// Participant.
    pub participant: String,
    /// The must-serve order behind it: served whatever the price, so not optimised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// The exchange with the grid above at one source, metered at the source's node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The source in the network.
    pub source: Id,
    /// Paid for energy taken.
    pub import_price: Price,
    /// Received for energy given; not above `import_price`.
    pub export_price: Price,
    /// Most power taken, W; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_max_w: Option<f64>,
    /// Most power given, W; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_max_w: Option<f64>,
    /// What is agreed on with the grid above; `import_price` and `export_price` then are of what is taken
    /// or given beyond it, the limits of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Scheduled>,
    /// Voltage behind the source's impedance as the grid above plans it, pu; none: the network's `u_ref`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_pu: Option<f64>,
}

/// An exchange that is agreed on with the grid above, as its award of a layer above is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scheduled {
    /// Exchange, W; positive where the grid above delivers.
    pub exchange_w: f64,
    /// Its price.
    pub price: Price,
    /// Reactive exchange that is to go with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reactive: Option<ScheduledReactive>,
}

/// A reactive exchange that the grid above counts on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduledReactive {
    /// Exchange, var; positive where the grid above delivers.
    pub q_var: f64,
    /// What a deviation, either way, counts in the clearing and its cost, per Mvarh; not negative. Nobody
    /// is settled by it.
    pub weight: Price,
}

/// Voltage limits of one node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeLimit {
    /// Node.
    pub node: Id,
    /// Lowest voltage, pu.
    pub u_min_pu: f64,
    /// Highest voltage, pu.
    pub u_max_pu: f64,
}

/// Loading limit of one branch; of each arm, for a three-winding transformer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BranchLimit {
    /// Branch.
    pub branch: Id,
    /// Highest loading, 1 being its rating.
    pub loading_max: f64,
}

/// What the network has to keep to. Ratings are the network's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSet {
    /// Lowest voltage of nodes not named in `nodes`, pu.
    pub u_min_pu: f64,
    /// Highest voltage of nodes not named in `nodes`, pu.
    pub u_max_pu: f64,
    /// Nodes with limits of their own, e.g. tightened by the estimate's uncertainty.
    #[serde(default)]
    pub nodes: Vec<NodeLimit>,
    /// Branches with limits of their own; all others may be loaded to their rating.
    #[serde(default)]
    pub branches: Vec<BranchLimit>,
}

/// What may be moved in steps; positions and their ranges are the network's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Controls {
    /// Transformers (also of three windings) whose tap changers, and step-voltage regulators whose taps may be
    /// moved.
    pub transformers: Vec<Id>,
    /// Shunts that may be switched.
    pub shunts: Vec<Id>,
    /// What a step or a switching has to save, currency per h, to be worth its wear.
    pub least_saving_per_h: f64,
}

impl Controls {
    /// Whether there is none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.transformers.is_empty() && self.shunts.is_empty()
    }
}

/// A phase.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Phase a.
    A,
    /// Phase b.
    B,
    /// Phase c.
    C,
}

impl PhaseName {
    /// In the order of all that is by phase.
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// Its place among them.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// `a`, `b` or `c`.
    #[must_use]
    pub fn letter(self) -> &'static str {
        ["a", "b", "c"][self.index()]
    }
}

/// A unit of one phase, to ground.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitPhase {
    /// Unit of the case.
    pub unit: Id,
    /// Its phase.
    pub phase: PhaseName,
}

/// Power of one phase, to ground, that is not in the market; generation-positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhasePower {
    /// Node.
    pub node: Id,
    /// Phase.
    pub phase: PhaseName,
    /// Active power, W.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
    /// Load or generator that it is a part of, where this is by how much its phase differs from an equal
    /// share: its total then is in the case's `fixed`, with its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Id>,
}

/// Voltage limits of one phase of a node, in place of the node's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseLimit {
    /// Node.
    pub node: Id,
    /// Phase.
    pub phase: PhaseName,
    /// Lowest voltage to ground, pu.
    pub u_min_pu: f64,
    /// Highest voltage to ground, pu.
    pub u_max_pu: f64,
}

/// What is not alike in the phases. Units and powers that are not named here are shared alike by the
/// phases that are live at their node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ByPhase {
    /// Units of one phase.
    pub units: Vec<UnitPhase>,
    /// Powers of one phase, besides the case's `fixed`.
    pub fixed: Vec<PhasePower>,
    /// Phases with limits of their own, e.g. tightened by the estimate's uncertainty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<PhaseLimit>,
}

/// What the voltage behind a unit's connection is worth to it, being a market of its own below: a convex cost, by
/// corners, of `|u + z (s/u)*|` with the node's voltage `u`, the power `s` that the unit takes, and the
/// impedance `z` of the grid above as that market sees it. Not by phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoltageWorth {
    /// The unit; its node is where it is connected.
    pub unit: Id,
    /// Power of it that is in `fixed`, W, generation-positive.
    pub p_w: f64,
    /// Reactive power of it that is in `fixed`, var, generation-positive.
    pub q_var: f64,
    /// Resistance of the grid above, ohm at the node's rated voltage.
    pub r_ohm: f64,
    /// Reactance of it, ohm.
    pub x_ohm: f64,
    /// By rising voltage, two or more; beyond its ends the cost goes on as straight as there.
    pub corners: Vec<VoltageCorner>,
}

/// A corner of what a voltage costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoltageCorner {
    /// Voltage behind the impedance, pu.
    pub u_pu: f64,
    /// Cost there, currency per h.
    pub cost_per_h: f64,
}

/// One interval to clear: everything but the network.
///
/// The appliances of the network are not looked at: what draws or feeds power is in `fixed`
/// or in `units`, never in both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Length of the interval, s.
    pub duration_s: u32,
    /// Power that the market does not decide on, taken as constant; nodes not named have none.
    pub fixed: Vec<NodePower>,
    /// Units. One without orders is awarded no active power, but may give reactive power.
    pub units: Vec<Unit>,
    /// Orders of the units. Their sequence does not matter. What a unit cannot serve within its
    /// capability is not taken: its worst prices, equal ones alike.
    pub orders: Vec<Order>,
    /// Network limits.
    pub limits: LimitSet,
    /// One per source that is connected.
    pub interface: Vec<Interface>,
    /// Taps and capacitors that may be moved.
    #[serde(default, skip_serializing_if = "Controls::are_none")]
    pub controls: Controls,
    /// Clear by phase: limits hold for the voltage of each phase to ground and the current of each
    /// conductor; ratings of transformers for each phase's third.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_phase: Option<ByPhase>,
    /// What voltages are worth to markets below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voltages: Vec<VoltageWorth>,
    /// Where to start: node voltages in pu, in the network's order (by phase three a node); none: from a
    /// flat start.
    #[serde(default)]
    #[schemars(with = "Option<Vec<[f64; 2]>>")]
    pub start: Option<Vec<Complex64>>,
}

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Most convex programmes to solve, over all tightenings.
    pub max_iterations: u32,
    /// Relative change of cost below which the result counts as optimal.
    pub tolerance: f64,
    /// Voltage excess that counts as none, pu.
    pub tolerance_u_pu: f64,
    /// Excess of a rating or an interface limit that counts as none, relative to it.
    pub tolerance_rating: f64,
    /// Most convex programmes of intervals to solve for a horizon; the clearing that is begun is ended.
    pub horizon_programmes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_iterations: 60,
            tolerance: 1e-7,
            tolerance_u_pu: 1e-4,
            tolerance_rating: 1e-3,
            horizon_programmes: 10_000,
        }
    }
}

/// Why there is no clearing at all.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClearingError {
    /// A node that the network has not.
    #[error("{what} names node {node}, which the network has not")]
    UnknownNode {
        /// What names it.
        what: String,
        /// The node.
        node: Id,
    },
    /// A branch that the network has not.
    #[error("a limit names branch {branch}, which the network has not")]
    UnknownBranch {
        /// The branch.
        branch: Id,
    },
    /// A source that the network has not, or that is not connected.
    #[error("interface names source {source_id}, which is not a connected source of the network")]
    UnknownSource {
        /// The source.
        source_id: Id,
    },
    /// A tap changer or capacitor that the network has not.
    #[error("controls name {what} {id}, which the network has not")]
    UnknownControl {
        /// What it should be.
        what: &'static str,
        /// Its id.
        id: Id,
    },
    /// A connected source without prices.
    #[error("source {source_id} is connected but has no interface, so its energy has no price")]
    NoInterface {
        /// The source.
        source_id: Id,
    },
    /// Two ideal sources at one node: how they share is undefined.
    #[error(
        "sources {first} and {second} are both ideal and at node {node}: how they share is undefined"
    )]
    SourcesInParallel {
        /// One.
        first: Id,
        /// The other.
        second: Id,
        /// Their node.
        node: Id,
    },
    /// No source is connected.
    #[error("no source is connected, so no node has a voltage")]
    NoSource,
    /// An order of a unit that is not in the case.
    #[error("order {order} is for unit {unit}, which is not in the case")]
    UnknownUnit {
        /// The order.
        order: OrderId,
        /// The unit.
        unit: Id,
    },
    /// The same id twice.
    #[error("{what} {id} is there twice")]
    Duplicate {
        /// What it is.
        what: &'static str,
        /// The id.
        id: i64,
    },
    /// A phase that its node has not, or that is not live there.
    #[error("{what} is of phase {phase:?}, which is not live at node {node}")]
    NoPhase {
        /// What names it.
        what: String,
        /// The phase.
        phase: PhaseName,
        /// The node.
        node: Id,
    },
    /// The network lacks what is needed by phase.
    #[error("the network cannot be cleared by phase: {reason}")]
    NoPhases {
        /// What it lacks.
        reason: String,
    },
    /// A figure that makes no sense.
    #[error("{what} is {value}; it should be {expected}")]
    BadValue {
        /// What it is.
        what: String,
        /// What it was.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },
    /// Exporting would earn more than importing costs: cost has no lower bound.
    #[error(
        "source {source_id}: export price {export} per MWh is above import price {import} per MWh, so that buying to sell has no end"
    )]
    Arbitrage {
        /// The source.
        source_id: Id,
        /// Export price.
        export: f64,
        /// Import price.
        import: f64,
    },
    /// No AC power flow at any of the starting awards.
    #[error(
        "the AC power flow has no solution with the units at zero, at half nor at full orders ({reason}): the power outside the market is more than the network can carry"
    )]
    NoOperatingPoint {
        /// What the power flow said at zero.
        reason: String,
    },
}
