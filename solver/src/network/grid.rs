//! The per-unit single-line equivalent of a network: what power flow, estimation and clearing
//! run on. Everything here is per unit on `S_BASE_VA` and the node's rated voltage.

use std::collections::BTreeMap;

use num_complex::Complex64;
use serde::{Deserialize, Serialize};

use super::{Id, Network, NetworkError, S_BASE_VA, Shunt, topology, two_port};

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
}

/// The network as algorithms see it. Node `k` is the `k`-th of `Network::node`.
///
/// Values change through the `set_…` methods only, which keep the per-unit values, the energised
/// nodes and [`Grid::network`] in step; the tables never change their length or order.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Ids of the nodes.
    pub node_id: Vec<Id>,
    /// Rated voltages, V.
    pub u_rated: Vec<f64>,
    /// Nodes connected to a closed source through closed branches.
    pub energised: Vec<bool>,
    /// Phase of each node's voltage under no load, from the source's angle and the transformer
    /// clocks, rad; the natural flat start.
    pub clock_angle: Vec<f64>,
    /// Branches: lines, then transformers, in file order.
    pub branches: Vec<Branch>,
    /// Sum of shunt admittances at each node.
    pub y_shunt: Vec<Complex64>,
    /// Sources.
    pub sources: Vec<SourceBehind>,
    /// Loads, then generators, in file order.
    pub appliances: Vec<Appliance>,
    pub(super) network: Network,
    pub(super) elements: BTreeMap<Id, Element>,
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
        let nodes = network.node.len();
        let mut grid = Self {
            node_id: network.node.iter().map(|n| n.id).collect(),
            u_rated: network.node.iter().map(|n| n.u_rated).collect(),
            energised: vec![false; nodes],
            clock_angle: vec![0.0; nodes],
            branches: Vec::with_capacity(network.line.len() + network.transformer.len()),
            y_shunt: vec![Complex64::ZERO; nodes],
            sources: Vec::with_capacity(network.source.len()),
            appliances: Vec::with_capacity(network.sym_load.len() + network.sym_gen.len()),
            network: network.clone(),
            elements: BTreeMap::new(),
        };
        for (k, &id) in grid.node_id.iter().enumerate() {
            grid.elements.insert(id, Element::Node(k));
        }
        grid.add_branches(network);
        grid.add_at_nodes(network);
        grid.retrace();
        Ok(grid)
    }

    /// Index of a node the network's own checks have found.
    pub(crate) fn known_node(&self, id: Id) -> usize {
        self.index_of_node(id)
            .expect("a checked network refers to its own nodes only")
    }

    fn add_branches(&mut self, network: &Network) {
        for l in &network.line {
            let (from, to) = (self.known_node(l.from_node), self.known_node(l.to_node));
            let i_max = l
                .i_n
                .map(|i| [i / self.base_current_a(from), i / self.base_current_a(to)]);
            self.add_branch(l.id, BranchKind::Line, from, to, i_max, None);
        }
        for t in &network.transformer {
            let (from, to) = (self.known_node(t.from_node), self.known_node(t.to_node));
            let s_max = Some(t.sn / S_BASE_VA);
            self.add_branch(t.id, BranchKind::Transformer, from, to, None, s_max);
        }
        for k in 0..self.branches.len() {
            self.recompute_branch(k);
        }
    }

    fn add_branch(
        &mut self,
        id: Id,
        kind: BranchKind,
        from: usize,
        to: usize,
        i_max: Option<[f64; 2]>,
        s_max: Option<f64>,
    ) {
        let at = Element::Branch(self.branches.len());
        self.elements.insert(id, at);
        self.branches.push(Branch {
            id,
            kind,
            from,
            to,
            from_closed: false,
            to_closed: false,
            yff: Complex64::ZERO,
            yft: Complex64::ZERO,
            ytf: Complex64::ZERO,
            ytt: Complex64::ZERO,
            i_max,
            s_max,
        });
    }

    /// Status and admittances of a branch from its component.
    pub(super) fn recompute_branch(&mut self, k: usize) {
        let lines = self.network.line.len();
        let branch = &mut self.branches[k];
        let (from, to) = (branch.from, branch.to);
        let (statuses, y) = if k < lines {
            let l = &self.network.line[k];
            (
                (l.from_status, l.to_status),
                two_port::line(l, self.u_rated[from]),
            )
        } else {
            let t = &self.network.transformer[k - lines];
            (
                (t.from_status, t.to_status),
                two_port::transformer(t, self.u_rated[from], self.u_rated[to]),
            )
        };
        branch.from_closed = statuses.0 != 0;
        branch.to_closed = statuses.1 != 0;
        [branch.yff, branch.yft, branch.ytf, branch.ytt] = y;
    }

    fn add_at_nodes(&mut self, network: &Network) {
        for (k, s) in network.shunt.iter().enumerate() {
            let node = self.known_node(s.node);
            self.elements.insert(s.id, Element::Shunt(k));
            let y = self.shunt_admittance(s, node);
            self.y_shunt[node] += y;
        }
        for (k, s) in network.source.iter().enumerate() {
            self.elements.insert(s.id, Element::Source(k));
            self.sources.push(SourceBehind {
                id: s.id,
                node: self.known_node(s.node),
                closed: s.status != 0,
                u_ref: Complex64::from_polar(s.u_ref, s.u_ref_angle),
                y: two_port::source_admittance(s),
            });
        }
        for l in &network.sym_load {
            let s = -Complex64::new(l.p_specified, l.q_specified) / S_BASE_VA;
            self.add_appliance(l.id, ApplianceKind::Load, l.node, l.status, l.kind, s);
        }
        for g in &network.sym_gen {
            let s = Complex64::new(g.p_specified, g.q_specified) / S_BASE_VA;
            self.add_appliance(g.id, ApplianceKind::Gen, g.node, g.status, g.kind, s);
        }
    }

    fn add_appliance(
        &mut self,
        id: Id,
        kind: ApplianceKind,
        node: Id,
        status: i8,
        load_kind: super::LoadKind,
        s: Complex64,
    ) {
        let at = Element::Appliance(self.appliances.len());
        self.elements.insert(id, at);
        self.appliances.push(Appliance {
            id,
            kind,
            node: self.known_node(node),
            closed: status != 0,
            load_kind,
            s,
        });
    }

    /// Which nodes are energised now, and at which no-load angle.
    pub(super) fn retrace(&mut self) {
        let lag = |k: usize| match k.checked_sub(self.network.line.len()) {
            None => 0.0,
            Some(t) => two_port::clock_lag(&self.network.transformer[t]),
        };
        let (energised, clock_angle) =
            topology::trace(self.node_id.len(), &self.branches, &self.sources, lag);
        self.energised = energised;
        self.clock_angle = clock_angle;
    }

    /// The components in SI, as they are now.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
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

    /// Index of a line or transformer in `branches`.
    #[must_use]
    pub fn index_of_branch(&self, id: Id) -> Option<usize> {
        match self.element(id) {
            Some(Element::Branch(k)) => Some(k),
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

    /// Admittance of a shunt at a node, pu; zero when it is disconnected.
    pub(crate) fn shunt_admittance(&self, shunt: &Shunt, node: usize) -> Complex64 {
        two_port::shunt(shunt, self.u_rated[node])
    }

    /// Base current at a node, A.
    #[must_use]
    pub fn base_current_a(&self, node: usize) -> f64 {
        S_BASE_VA / (self.u_rated[node] * 3.0_f64.sqrt())
    }
}
