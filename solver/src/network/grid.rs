//! The per-unit single-line equivalent of a network: what power flow, estimation and clearing
//! run on. Everything here is per unit on `S_BASE_VA` and the node's rated voltage.

use num_complex::Complex64;
use serde::{Deserialize, Serialize};

use super::Id;

/// An end of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
}

/// A branch as a two-port: `i_f = yff u_f + yft u_t`, `i_t = ytf u_f + ytt u_t`.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Component id.
    pub id: Id,
    /// What it is.
    pub kind: BranchKind,
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

/// The network as algorithms see it. Node `k` is the `k`-th of `Network::node`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Ids of the nodes.
    pub node_id: Vec<Id>,
    /// Rated voltages, V.
    pub u_rated: Vec<f64>,
    /// Nodes connected to a closed source through closed branches.
    pub energised: Vec<bool>,
    /// Phase of each node's voltage under no load, from transformer clocks, rad; the natural flat start.
    pub clock_angle: Vec<f64>,
    /// Branches: lines, then transformers, in file order.
    pub branches: Vec<Branch>,
    /// Sum of shunt admittances at each node.
    pub y_shunt: Vec<Complex64>,
    /// Sources.
    pub sources: Vec<SourceBehind>,
    /// Loads, then generators, in file order.
    pub appliances: Vec<Appliance>,
}
