//! The per-unit single-line equivalent of a network: what power flow, estimation and clearing
//! run on. Everything here is per unit on `S_BASE_VA` and the node's rated voltage.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_complex::Complex64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::build::BranchRow;
use super::{Connection, Id, Network, NetworkError, PhaseMask, S_BASE_VA, topology};

/// An end of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// From side.
    From,
    /// To side.
    To,
}

/// What a branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchKind {
    /// Line or cable.
    Line,
    /// Transformer.
    Transformer,
    /// Line whose phases differ.
    AsymLine,
    /// Connection without impedance.
    Link,
    /// Branch by its pi model.
    GenericBranch,
    /// Step-voltage regulator.
    StepVoltageRegulator,
    /// One arm of a three-winding transformer, from its side to its inner node.
    ThreeWinding,
}

impl BranchKind {
    /// Its component table in power-grid-model's JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Transformer => "transformer",
            Self::AsymLine => "asym_line",
            Self::Link => "link",
            Self::GenericBranch => "generic_branch",
            Self::StepVoltageRegulator => "step_voltage_regulator",
            Self::ThreeWinding => "three_winding_transformer",
        }
    }
}

/// Which phases are live at a branch's end when some are at the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coupling {
    /// Each of its phases by itself: conductors.
    Each,
    /// Its phases when all of them are: a winding between two phases.
    Together,
    /// All when any is, at both ends: windings that share a core or a neutral.
    Windings,
}

/// A branch as a two-port: `i_f = yff u_f + yft u_t`, `i_t = ytf u_f + ytt u_t`.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Component id.
    pub id: Id,
    /// What it is.
    pub kind: BranchKind,
    /// Phases it has.
    pub phases: PhaseMask,
    /// How they pass voltage on.
    pub coupling: Coupling,
    /// Angle by which the to side lags the from side under no load, rad.
    pub lag: f64,
    /// Node index, from side.
    pub from: usize,
    /// Node index, to side.
    pub to: usize,
    /// Connected at the from side.
    pub from_closed: bool,
    /// Connected at the to side.
    pub to_closed: bool,
    /// Two-port admittances; zero where the side is open.
    pub yff: Complex64,
    /// See `yff`.
    pub yft: Complex64,
    /// See `yff`.
    pub ytf: Complex64,
    /// See `yff`.
    pub ytt: Complex64,
    /// Rated current at either end; pu of the from node's, to node's base current.
    pub i_max: Option<[f64; 2]>,
    /// Rated apparent power (transformers).
    pub s_max: Option<f64>,
}

/// What an appliance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplianceKind {
    /// Load: powers load-positive in SI, stored here as generation-positive injections.
    Load,
    /// Generator or battery.
    Gen,
}

/// A load or generator at a node, with its specified power.
#[derive(Clone, Debug, PartialEq)]
pub struct Appliance {
    /// Component id.
    pub id: Id,
    /// What it is.
    pub kind: ApplianceKind,
    /// Node index.
    pub node: usize,
    /// Connected.
    pub closed: bool,
    /// How power follows voltage.
    pub load_kind: super::LoadKind,
    /// Between what it is connected.
    pub connection: Connection,
    /// Voltages outside of which it is an impedance.
    pub u_limits: (f64, f64),
    /// Specified power, generation-positive, at 1 pu voltage.
    pub s: Complex64,
}

/// A source: an ideal voltage behind an admittance.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceBehind {
    /// Component id.
    pub id: Id,
    /// Node index.
    pub node: usize,
    /// Connected.
    pub closed: bool,
    /// Ideal voltage.
    pub u_ref: Complex64,
    /// Admittance between the ideal voltage and the node.
    pub y: Complex64,
}

/// What an id belongs to, with its index in the grid's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Index into the nodes.
    Node(usize),
    /// Index into `branches`.
    Branch(usize),
    /// Index into the network's shunts.
    Shunt(usize),
    /// Index into `sources`.
    Source(usize),
    /// Index into `appliances`.
    Appliance(usize),
    /// Index into the network's three-winding transformers.
    ThreeWinding(usize),
}

/// Admittances, switch states and sources' strength of a grid as they were at some time: what
/// factors and bus admittances made from them are compared by, instead of value by value.
#[derive(Clone, Debug, Default)]
pub struct Revision(Arc<()>);

impl Revision {
    /// Whether nothing has changed between the two; of grids with other histories never.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The history of a grid is no part of what it is.
impl PartialEq for Revision {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The network as algorithms see it. Node `k` is the `k`-th of `Network::node`; after them comes an
/// inner node for each three-winding transformer, which has the transformer's id.
///
/// Values change through the `set_…` methods only, which keep the per-unit values, the energised
/// nodes and [`Grid::network`] in step; the tables never change their length or order.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Ids of the nodes.
    pub node_id: Vec<Id>,
    /// Rated voltages, V.
    pub u_rated: Vec<f64>,
    /// Nodes connected to a closed source through closed branches, by any phase.
    pub energised: Vec<bool>,
    /// Phases by which each node is.
    pub live: Vec<PhaseMask>,
    /// Phase of each node's voltage under no load, from the source's angle and the transformer
    /// clocks, rad; the natural flat start.
    pub clock_angle: Vec<f64>,
    /// Branches, in file order: lines, transformers, asymmetric lines, links, generic branches,
    /// step-voltage regulators, then the three arms of each three-winding transformer.
    pub branches: Vec<Branch>,
    /// Sum of shunt admittances at each node.
    pub y_shunt: Vec<Complex64>,
    /// Sources.
    pub sources: Vec<SourceBehind>,
    /// Loads, generators, loads by phase, generators by phase, in file order.
    pub appliances: Vec<Appliance>,
    pub(super) network: Network,
    pub(super) elements: BTreeMap<Id, Element>,
    pub(super) revision: Revision,
}

impl Grid {
    /// The per-unit equivalent of a network.
    ///
    /// # Errors
    /// Every impossible value, duplicate id and unknown node of the network at once.
    pub fn new(network: &Network) -> Result<Self, NetworkError> {
        let problems = network.problems();
        if !problems.is_empty() {
            return Err(NetworkError::Invalid(problems));
        }
        Ok(Self::build(network))
    }

    /// Index of a node the network's own checks have found.
    pub(crate) fn known_node(&self, id: Id) -> usize {
        self.index_of_node(id)
            .expect("a checked network refers to its own nodes only")
    }

    /// Which nodes are energised now, and at which no-load angle.
    pub(super) fn retrace(&mut self) {
        let (live, clock_angle) =
            topology::trace(self.node_id.len(), &self.branches, &self.sources);
        if live != self.live {
            self.revision = Revision::default();
        }
        self.energised = live.iter().map(|phases| phases.contains(&true)).collect();
        self.live = live;
        self.clock_angle = clock_angle;
    }

    /// The components in SI, as they are now.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Changes whenever an admittance, a switch state or a source's strength does; not with powers
    /// and reference voltages.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// What an id belongs to.
    #[must_use]
    pub fn element(&self, id: Id) -> Option<Element> {
        self.elements.get(&id).copied()
    }

    /// Index of a node.
    #[must_use]
    pub fn index_of_node(&self, id: Id) -> Option<usize> {
        match self.element(id) {
            Some(Element::Node(k)) => Some(k),
            _ => None,
        }
    }

    /// Index of a branch in `branches`; a three-winding transformer is none.
    #[must_use]
    pub fn index_of_branch(&self, id: Id) -> Option<usize> {
        match self.element(id) {
            Some(Element::Branch(k)) => Some(k),
            _ => None,
        }
    }

    /// Index in `branches` of the first of the three arms of a three-winding transformer.
    #[must_use]
    pub fn first_arm(&self, id: Id) -> Option<usize> {
        match self.element(id) {
            Some(Element::ThreeWinding(k)) => {
                Some(self.network.branch_index(BranchRow::ThreeWinding(k, 0)))
            }
            _ => None,
        }
    }

    /// Index of a load or generator in `appliances`.
    #[must_use]
    pub fn index_of_appliance(&self, id: Id) -> Option<usize> {
        match self.element(id) {
            Some(Element::Appliance(k)) => Some(k),
            _ => None,
        }
    }

    /// Index of a source in `sources`.
    #[must_use]
    pub fn index_of_source(&self, id: Id) -> Option<usize> {
        match self.element(id) {
            Some(Element::Source(k)) => Some(k),
            _ => None,
        }
    }

    /// Base current at a node, A.
    #[must_use]
    pub fn base_current_a(&self, node: usize) -> f64 {
        S_BASE_VA / (self.u_rated[node] * 3.0_f64.sqrt())
    }
}
