//! The grid from a network's components, and a branch, appliance or shunt of it anew when its
//! component has changed.

use std::collections::BTreeMap;

use num_complex::Complex64;

use super::{
    Appliance, ApplianceKind, Branch, BranchKind, Connection, Coupling, Element, Grid, Id,
    LoadKind, Network, Revision, S_BASE_VA, Shunt, Source, SourceBehind, two_port,
};

/// What of its network a branch of the grid is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BranchRow {
    Line(usize),
    Transformer(usize),
    AsymLine(usize),
    Link(usize),
    GenericBranch(usize),
    StepVoltageRegulator(usize),
    /// Transformer and side, both from 0.
    ThreeWinding(usize, usize),
}

/// A load or generator of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApplianceRow {
    SymLoad(usize),
    SymGen(usize),
    AsymLoad(usize),
    AsymGen(usize),
}

impl Network {
    /// What the `k`-th branch of the grid is.
    pub(super) fn branch_row(&self, mut k: usize) -> BranchRow {
        for (len, row) in [
            (self.line.len(), BranchRow::Line as fn(usize) -> BranchRow),
            (self.transformer.len(), BranchRow::Transformer),
            (self.asym_line.len(), BranchRow::AsymLine),
            (self.link.len(), BranchRow::Link),
            (self.generic_branch.len(), BranchRow::GenericBranch),
            (
                self.step_voltage_regulator.len(),
                BranchRow::StepVoltageRegulator,
            ),
        ] {
            if k < len {
                return row(k);
            }
            k -= len;
        }
        BranchRow::ThreeWinding(k / 3, k % 3)
    }

    /// Index in the grid's branches; of a three-winding transformer's first arm.
    pub(super) fn branch_index(&self, row: BranchRow) -> usize {
        let transformers = self.line.len();
        let asym_lines = transformers + self.transformer.len();
        let links = asym_lines + self.asym_line.len();
        let generic = links + self.link.len();
        let regulators = generic + self.generic_branch.len();
        let arms = regulators + self.step_voltage_regulator.len();
        match row {
            BranchRow::Line(k) => k,
            BranchRow::Transformer(k) => transformers + k,
            BranchRow::AsymLine(k) => asym_lines + k,
            BranchRow::Link(k) => links + k,
            BranchRow::GenericBranch(k) => generic + k,
            BranchRow::StepVoltageRegulator(k) => regulators + k,
            BranchRow::ThreeWinding(k, side) => arms + 3 * k + side,
        }
    }

    /// What the `k`-th appliance of the grid is.
    pub(super) fn appliance_row(&self, mut k: usize) -> ApplianceRow {
        for (len, row) in [
            (
                self.sym_load.len(),
                ApplianceRow::SymLoad as fn(usize) -> ApplianceRow,
            ),
            (self.sym_gen.len(), ApplianceRow::SymGen),
            (self.asym_load.len(), ApplianceRow::AsymLoad),
        ] {
            if k < len {
                return row(k);
            }
            k -= len;
        }
        ApplianceRow::AsymGen(k)
    }

    /// Index in the grid's appliances.
    pub(super) fn appliance_index(&self, row: ApplianceRow) -> usize {
        let gens = self.sym_load.len();
        let asym_loads = gens + self.sym_gen.len();
        let asym_gens = asym_loads + self.asym_load.len();
        match row {
            ApplianceRow::SymLoad(k) => k,
            ApplianceRow::SymGen(k) => gens + k,
            ApplianceRow::AsymLoad(k) => asym_loads + k,
            ApplianceRow::AsymGen(k) => asym_gens + k,
        }
    }
}

/// The complex power of active and reactive power, pu.
fn power(p: f64, q: f64) -> Complex64 {
    Complex64::new(p, q) / S_BASE_VA
}

/// The three phases' sum, pu.
fn total(p: [f64; 3], q: [f64; 3]) -> Complex64 {
    power(p.iter().sum(), q.iter().sum())
}

impl Grid {
    /// The grid of a network that has been checked.
    pub(super) fn build(network: &Network) -> Self {
        let inner = network.three_winding_transformer.iter();
        let mut grid = Self {
            node_id: network.node.iter().map(|n| n.id).collect(),
            u_rated: network.node.iter().map(|n| n.u_rated).collect(),
            energised: Vec::new(),
            live: Vec::new(),
            clock_angle: Vec::new(),
            branches: Vec::new(),
            y_shunt: Vec::new(),
            sources: Vec::new(),
            appliances: Vec::new(),
            network: network.clone(),
            elements: BTreeMap::new(),
            revision: Revision::default(),
        };
        for (k, &id) in grid.node_id.iter().enumerate() {
            grid.elements.insert(id, Element::Node(k));
        }
        for (k, t) in inner.enumerate() {
            grid.elements.insert(t.id, Element::ThreeWinding(k));
            grid.node_id.push(t.id);
            let u_rated = grid.u_rated[grid.known_node(t.node_1)];
            grid.u_rated.push(u_rated);
        }
        let nodes = grid.node_id.len();
        grid.y_shunt = vec![Complex64::ZERO; nodes];
        grid.add_branches(network);
        grid.add_at_nodes(network);
        grid.retrace();
        grid
    }

    fn add_branches(&mut self, network: &Network) {
        for l in &network.line {
            self.add_branch(
                l.id,
                BranchKind::Line,
                (l.from_node, l.to_node),
                l.i_n,
                None,
            );
        }
        for t in &network.transformer {
            let kind = BranchKind::Transformer;
            self.add_branch(t.id, kind, (t.from_node, t.to_node), None, Some(t.sn));
        }
        for l in &network.asym_line {
            self.add_branch(
                l.id,
                BranchKind::AsymLine,
                (l.from_node, l.to_node),
                l.i_n,
                None,
            );
        }
        for l in &network.link {
            self.add_branch(l.id, BranchKind::Link, (l.from_node, l.to_node), None, None);
        }
        for b in &network.generic_branch {
            let kind = BranchKind::GenericBranch;
            self.add_branch(b.id, kind, (b.from_node, b.to_node), None, b.sn);
        }
        for r in &network.step_voltage_regulator {
            let kind = BranchKind::StepVoltageRegulator;
            self.add_branch(r.id, kind, (r.from_node, r.to_node), r.i_n, None);
        }
        for (k, t) in network.three_winding_transformer.iter().enumerate() {
            let sides = [(t.node_1, t.sn_1), (t.node_2, t.sn_2), (t.node_3, t.sn_3)];
            for (node, sn) in sides {
                let kind = BranchKind::ThreeWinding;
                self.add_branch(t.id, kind, (node, node), None, Some(sn));
                if let Some(arm) = self.branches.last_mut() {
                    arm.to = network.node.len() + k;
                }
            }
            self.elements.insert(t.id, Element::ThreeWinding(k));
        }
        for k in 0..self.branches.len() {
            let (phases, coupling) = network.branch_phases(k);
            (self.branches[k].phases, self.branches[k].coupling) = (phases, coupling);
            self.recompute_branch(k);
        }
    }

    /// A branch without its admittances; ratings in A and VA.
    fn add_branch(
        &mut self,
        id: Id,
        kind: BranchKind,
        (from, to): (Id, Id),
        i_n: Option<f64>,
        sn: Option<f64>,
    ) {
        let (from, to) = (self.known_node(from), self.known_node(to));
        let at = Element::Branch(self.branches.len());
        self.elements.insert(id, at);
        let base = [self.base_current_a(from), self.base_current_a(to)];
        self.branches.push(Branch {
            id,
            kind,
            phases: [true; 3],
            coupling: Coupling::Each,
            lag: 0.0,
            from,
            to,
            from_closed: false,
            to_closed: false,
            yff: Complex64::ZERO,
            yft: Complex64::ZERO,
            ytf: Complex64::ZERO,
            ytt: Complex64::ZERO,
            i_max: i_n.map(|i| base.map(|base| i / base)),
            s_max: sn.map(|sn| sn / S_BASE_VA),
        });
    }

    /// Status and admittances of a branch from its component; whether a switch state changed.
    pub(super) fn recompute_branch(&mut self, k: usize) -> bool {
        let branch = &self.branches[k];
        let (u_from, u_to) = (self.u_rated[branch.from], self.u_rated[branch.to]);
        let network = &self.network;
        let (from_status, to_status, lag, pi) = match network.branch_row(k) {
            BranchRow::Line(k) => {
                let l = &network.line[k];
                let pi = two_port::line(l, u_from, network.frequency());
                (l.from_status, l.to_status, 0.0, pi)
            }
            BranchRow::Transformer(k) => {
                let t = &network.transformer[k];
                let pi = two_port::transformer(t, u_from, u_to);
                (t.from_status, t.to_status, two_port::clock_lag(t), pi)
            }
            BranchRow::AsymLine(k) => {
                let l = &network.asym_line[k];
                let pi = two_port::asym_line(l, u_from, network.frequency());
                (l.from_status, l.to_status, 0.0, pi)
            }
            BranchRow::Link(k) => {
                let l = &network.link[k];
                (l.from_status, l.to_status, 0.0, two_port::link())
            }
            BranchRow::GenericBranch(k) => {
                let b = &network.generic_branch[k];
                let pi = two_port::generic_branch(b, u_to);
                (b.from_status, b.to_status, b.theta.unwrap_or(0.0), pi)
            }
            BranchRow::StepVoltageRegulator(k) => {
                let r = &network.step_voltage_regulator[k];
                let pi = two_port::step_voltage_regulator(r, u_from);
                (r.from_status, r.to_status, 0.0, pi)
            }
            BranchRow::ThreeWinding(k, side) => {
                let arm = &network.three_winding_transformer[k].arms()[side];
                let pi = two_port::transformer(arm, u_from, u_to);
                (arm.from_status, arm.to_status, two_port::clock_lag(arm), pi)
            }
        };
        let closed = (from_status != 0, to_status != 0);
        self.revision = Revision::default();
        let branch = &mut self.branches[k];
        let switched = closed != (branch.from_closed, branch.to_closed);
        (branch.from_closed, branch.to_closed) = closed;
        branch.lag = lag;
        [branch.yff, branch.yft, branch.ytf, branch.ytt] = pi.two_port(closed.0, closed.1);
        switched
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
            self.sources.push(source_behind(s, self.known_node(s.node)));
        }
        for l in &network.sym_load {
            self.add_appliance(
                l.id,
                ApplianceKind::Load,
                l.node,
                (l.kind, l.connection, u_limits(l.u_min, l.u_max)),
            );
        }
        for g in &network.sym_gen {
            self.add_appliance(
                g.id,
                ApplianceKind::Gen,
                g.node,
                (g.kind, g.connection, u_limits(g.u_min, g.u_max)),
            );
        }
        for l in &network.asym_load {
            self.add_appliance(
                l.id,
                ApplianceKind::Load,
                l.node,
                (l.kind, l.connection, u_limits(l.u_min, l.u_max)),
            );
        }
        for g in &network.asym_gen {
            self.add_appliance(
                g.id,
                ApplianceKind::Gen,
                g.node,
                (g.kind, g.connection, u_limits(g.u_min, g.u_max)),
            );
        }
        for k in 0..self.appliances.len() {
            self.recompute_appliance(k);
        }
    }

    fn add_appliance(
        &mut self,
        id: Id,
        kind: ApplianceKind,
        node: Id,
        (load_kind, connection, u_limits): (LoadKind, Connection, (f64, f64)),
    ) {
        let at = Element::Appliance(self.appliances.len());
        self.elements.insert(id, at);
        self.appliances.push(Appliance {
            id,
            kind,
            node: self.known_node(node),
            closed: false,
            load_kind,
            connection,
            u_limits,
            s: Complex64::ZERO,
        });
    }

    /// Status and power of an appliance from its component.
    pub(super) fn recompute_appliance(&mut self, k: usize) {
        let network = &self.network;
        let (status, s) = match network.appliance_row(k) {
            ApplianceRow::SymLoad(k) => {
                let l = &network.sym_load[k];
                (l.status, -power(l.p_specified, l.q_specified))
            }
            ApplianceRow::SymGen(k) => {
                let g = &network.sym_gen[k];
                (g.status, power(g.p_specified, g.q_specified))
            }
            ApplianceRow::AsymLoad(k) => {
                let l = &network.asym_load[k];
                (l.status, -total(l.p_specified, l.q_specified))
            }
            ApplianceRow::AsymGen(k) => {
                let g = &network.asym_gen[k];
                (g.status, total(g.p_specified, g.q_specified))
            }
        };
        let appliance = &mut self.appliances[k];
        (appliance.closed, appliance.s) = (status != 0, s);
    }

    /// A source from its component.
    pub(super) fn recompute_source(&mut self, k: usize) {
        let source = source_behind(&self.network.source[k], self.sources[k].node);
        let before = std::mem::replace(&mut self.sources[k], source);
        if (before.closed, before.y) != (self.sources[k].closed, self.sources[k].y) {
            self.revision = Revision::default();
        }
    }

    /// Shunts at a node, summed afresh, so that one switched often leaves no rounding behind.
    pub(super) fn recompute_shunts(&mut self, node: Id) {
        let k = self.known_node(node);
        let at_node = self.network.shunt.iter().filter(|s| s.node == node);
        self.y_shunt[k] = at_node.map(|s| self.shunt_admittance(s, k)).sum();
        self.revision = Revision::default();
    }

    /// Admittance of a shunt at a node, pu; zero when it is disconnected.
    pub(crate) fn shunt_admittance(&self, shunt: &Shunt, node: usize) -> Complex64 {
        two_port::shunt(shunt, self.u_rated[node])
    }
}

fn u_limits(u_min: Option<f64>, u_max: Option<f64>) -> (f64, f64) {
    (u_min.unwrap_or(0.0), u_max.unwrap_or(f64::INFINITY))
}

fn source_behind(s: &Source, node: usize) -> SourceBehind {
    SourceBehind {
        id: s.id,
        node,
        closed: s.status != 0,
        u_ref: Complex64::from_polar(s.u_ref, s.u_ref_angle),
        y: two_port::source_admittance(s),
    }
}
