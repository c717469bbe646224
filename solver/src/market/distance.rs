//! Electrical distance: the resistance distance (Klein and Randic, "Resistance distance", J. Math.
//! Chem. 12, 1993) on the network's series impedances by magnitude, pu on 1 MVA. Along a radial
//! feeder it is the impedance of the way between two nodes; where ways are in parallel, that of all
//! of them together. Independent of load, of the sequence of components and of who trades.

use std::collections::BTreeMap;

use num_complex::Complex64;

use crate::{
    network::{Branch, BranchKind, Grid, Id, S_BASE_VA},
    sparse::Lu,
};

/// Distances are given on this power, VA.
const BASE_VA: f64 = 1e6;
/// And rounded to this, pu.
const STEP_PU: f64 = 1e-9;

/// A closed branch: its ends, its admittance by magnitude, and its index in the grid.
struct Edge {
    from: usize,
    to: usize,
    g: f64,
    branch: usize,
}

/// Distances between the nodes of a grid as it is switched.
pub struct Distances<'g> {
    grid: &'g Grid,
    edges: Vec<Edge>,
    island: Vec<usize>,
    /// The Laplacian, each island's first node tied to ground; none where it cannot be factored.
    lu: Option<Lu<Complex64>>,
    /// Solutions for a unit fed in at a node, by node.
    columns: BTreeMap<usize, Vec<f64>>,
}

impl<'g> Distances<'g> {
    /// Of this grid.
    #[must_use]
    pub fn new(grid: &'g Grid) -> Self {
        let edges: Vec<Edge> = grid
            .branches
            .iter()
            .enumerate()
            .filter(|(_, b)| b.from_closed && b.to_closed && b.from != b.to)
            .map(|(branch, b)| Edge {
                from: b.from,
                to: b.to,
                g: b.yft.norm() * share(b),
                branch,
            })
            .filter(|edge| edge.g.is_finite() && edge.g > 0.0)
            .collect();
        let nodes = grid.node_id.len();
        let island = islands(nodes, &edges);
        Self {
            lu: laplacian(nodes, &edges, &island),
            grid,
            edges,
            island,
            columns: BTreeMap::new(),
        }
    }

    /// Distance between two nodes, pu on 1 MVA; none where they are not connected, or not there.
    pub fn between(&mut self, a: Id, b: Id) -> Option<f64> {
        let (a, b) = (self.grid.index_of_node(a)?, self.grid.index_of_node(b)?);
        if self.island[a] != self.island[b] {
            return None;
        }
        if a == b {
            return Some(0.0);
        }
        // Summed alike from either end.
        let (a, b) = (a.min(b), a.max(b));
        self.solve(a)?;
        self.solve(b)?;
        let (of_a, of_b) = (&self.columns[&a], &self.columns[&b]);
        let distance = (of_a[a] - of_a[b]) + (of_b[b] - of_b[a]);
        // So that what is as far by the network is as far by the numbers, and names decide.
        let pu = (distance * BASE_VA / S_BASE_VA / STEP_PU).round() * STEP_PU;
        Some(pu.max(0.0))
    }

    /// Mean loading of the branches between two nodes, each counted by its share in their distance;
    /// `loading` is by the grid's branches, 1 being the rating. Nothing where there is no distance.
    pub fn utilisation(&mut self, a: Id, b: Id, loading: &[f64]) -> f64 {
        let known = self.between(a, b).filter(|&distance| distance > 0.0);
        let (Some(_), Some(a), Some(b)) = (
            known,
            self.grid.index_of_node(a),
            self.grid.index_of_node(b),
        ) else {
            return 0.0;
        };
        let (a, b) = (a.min(b), a.max(b));
        let (of_a, of_b) = (&self.columns[&a], &self.columns[&b]);
        let (mut all, mut loaded) = (0.0, 0.0);
        for edge in &self.edges {
            let Edge {
                from,
                to,
                g,
                branch,
            } = *edge;
            let drop = (of_a[from] - of_b[from]) - (of_a[to] - of_b[to]);
            let share = g * drop * drop;
            all += share;
            loaded += share * loading.get(branch).copied().unwrap_or(0.0);
        }
        if all > 0.0 { loaded / all } else { 0.0 }
    }

    /// Sees to it that a node's column is there.
    fn solve(&mut self, node: usize) -> Option<()> {
        if !self.columns.contains_key(&node) {
            let mut rhs = vec![Complex64::ZERO; self.island.len()];
            rhs[node] = Complex64::ONE;
            self.lu.as_mut()?.solve(&mut rhs);
            let column = rhs.iter().map(|value| value.re).collect();
            self.columns.insert(node, column);
        }
        Some(())
    }
}

/// What a branch of fewer phases has of the admittance between nodes, on the power of all three: branches of single
/// phases side by side are one of three. Series admittances of lines by phase and powers of transformers
/// have it in them.
fn share(branch: &Branch) -> f64 {
    match branch.kind {
        BranchKind::Line | BranchKind::Link | BranchKind::StepVoltageRegulator => {
            let phases = branch.phases.iter().filter(|has| **has).count();
            phases as f64 / 3.0
        }
        _ => 1.0,
    }
}

/// The first node of each node's island.
fn islands(nodes: usize, edges: &[Edge]) -> Vec<usize> {
    let mut first: Vec<usize> = (0..nodes).collect();
    fn root(first: &mut [usize], mut node: usize) -> usize {
        while first[node] != node {
            first[node] = first[first[node]];
            node = first[node];
        }
        node
    }
    for edge in edges {
        let (a, b) = (root(&mut first, edge.from), root(&mut first, edge.to));
        first[a.max(b)] = a.min(b);
    }
    (0..nodes).map(|node| root(&mut first, node)).collect()
}

fn laplacian(nodes: usize, edges: &[Edge], island: &[usize]) -> Option<Lu<Complex64>> {
    let pairs: Vec<(usize, usize)> = edges.iter().map(|e| (e.from, e.to)).collect();
    let mut lu = Lu::<Complex64>::new(nodes, &pairs);
    let mut add = |row, column, value: f64| -> Option<()> {
        let slot = lu.slot(row, column)?;
        lu.add(slot, &Complex64::from(value));
        Some(())
    };
    for edge in edges {
        add(edge.from, edge.from, edge.g)?;
        add(edge.to, edge.to, edge.g)?;
        add(edge.from, edge.to, -edge.g)?;
        add(edge.to, edge.from, -edge.g)?;
    }
    for (node, &first) in island.iter().enumerate() {
        if node == first {
            add(node, node, 1.0)?;
        }
    }
    lu.factor().ok()?;
    Some(lu)
}
