//! The network's admittances in flat arrays, by phase: one phase from the grid's positive
//! sequence, or three from a [`PhaseGrid`]. Per unit of a phase.

use num_complex::Complex64;

use crate::network::{Grid, Matrix3, PhaseGrid, Side};

/// Square blocks over the phases, by rows, in the order of the grid's tables.
#[derive(Default)]
pub(super) struct Admittances {
    phases: usize,
    /// Four blocks a branch: `yff`, `yft`, `ytf`, `ytt`.
    branches: Vec<Complex64>,
    /// Sum of the shunts of each node.
    nodes: Vec<Complex64>,
    /// Each of the network's shunts.
    shunts: Vec<Complex64>,
    /// Phases that are there and connected to a source, all of a node in a row.
    live: Vec<bool>,
}

impl Admittances {
    /// Takes over the values of the grid as they are now.
    pub(super) fn follow(&mut self, grid: &Grid, by_phase: Option<&PhaseGrid>) {
        for values in [&mut self.branches, &mut self.nodes, &mut self.shunts] {
            values.clear();
        }
        self.live.clear();
        match by_phase {
            None => self.follow_sequence(grid),
            Some(by_phase) => self.follow_phases(by_phase),
        }
    }

    fn follow_sequence(&mut self, grid: &Grid) {
        self.phases = 1;
        let branches = grid.branches.iter();
        self.branches
            .extend(branches.flat_map(|b| [b.yff, b.yft, b.ytf, b.ytt]));
        self.nodes.extend(&grid.y_shunt);
        let shunts = grid.network().shunt.iter();
        self.live.extend(&grid.energised);
        self.shunts
            .extend(shunts.map(|s| grid.shunt_admittance(s, grid.known_node(s.node))));
    }

    fn follow_phases(&mut self, by_phase: &PhaseGrid) {
        self.phases = 3;
        let flat = |m: &Matrix3| m.0.into_iter().flatten();
        let branches = by_phase.branches.iter();
        let blocks = branches.flat_map(|b| [b.yff, b.yft, b.ytf, b.ytt]);
        self.branches.extend(blocks.flat_map(|y| flat(&y)));
        self.nodes.extend(by_phase.y_shunt.iter().flat_map(flat));
        let nodes = 0..by_phase.y_shunt.len();
        self.live
            .extend(nodes.flat_map(|node| by_phase.live_phases(node)));
        self.shunts.extend(by_phase.shunts.iter().flat_map(flat));
    }

    /// Own and mutual admittance of a branch seen from one end.
    pub(super) fn port(&self, branch: usize, side: Side) -> (&[Complex64], &[Complex64]) {
        let size = self.phases * self.phases;
        let block = |k: usize| &self.branches[size * (4 * branch + k)..][..size];
        match side {
            Side::From => (block(0), block(1)),
            Side::To => (block(3), block(2)),
        }
    }

    /// A phase of a node is there and connected to a source.
    pub(super) fn is_live(&self, node: usize, phase: usize) -> bool {
        self.live[self.phases * node + phase]
    }

    /// Sum of the shunts of a node.
    pub(super) fn node(&self, node: usize) -> &[Complex64] {
        let size = self.phases * self.phases;
        &self.nodes[size * node..][..size]
    }

    /// A shunt of the network.
    pub(super) fn shunt(&self, shunt: usize) -> &[Complex64] {
        let size = self.phases * self.phases;
        &self.shunts[size * shunt..][..size]
    }
}
