//! Units: the loads, generators and batteries that take part, and what each can do.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::Id;

/// What a unit can do at its connection point; powers generation-positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// Lowest active power, W; negative where it can consume or charge.
    pub p_min_w: f64,
    /// Highest active power, W.
    pub p_max_w: f64,
    /// Reactive power, either sign, var.
    pub q_max_var: f64,
    /// Apparent power, VA; none: reactive power does not take from active power.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s_max_va: Option<f64>,
}

/// A load, generator or battery that takes part in the market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Id of the appliance in the network.
    pub id: Id,
    /// Whose it is.
    pub participant: String,
    /// Its node.
    pub node: Id,
    /// What it can do.
    pub capability: Capability,
    /// Whether it takes setpoints. One that does not has no orders of its own.
    pub dispatchable: bool,
}

/// Who and what is registered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Flexibility nodes.
    pub nodes: BTreeSet<Id>,
    /// Units by id.
    pub units: BTreeMap<Id, Unit>,
    /// Participants that run the network, and may call units.
    pub callers: BTreeSet<String>,
}

impl Registry {
    /// A registry of these units at these nodes, which nobody may call.
    #[must_use]
    pub fn new(nodes: impl IntoIterator<Item = Id>, units: impl IntoIterator<Item = Unit>) -> Self {
        Self {
            nodes: nodes.into_iter().collect(),
            units: units.into_iter().map(|unit| (unit.id, unit)).collect(),
            callers: BTreeSet::new(),
        }
    }

    /// Units of a participant at a node, by id.
    pub fn units_at(&self, participant: &str, node: Id) -> impl Iterator<Item = &Unit> {
        self.units
            .values()
            .filter(move |unit| unit.node == node && unit.participant == participant)
    }
}
