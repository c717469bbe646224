//! What follows from the voltages where closed links have no impedance: the nodes of a grid from
//! those of its [`Merged`] one, and what the links carry from the balance of each node.
//!
//! Where links make a ring no law says how they share a current. The shares of smallest squares'
//! sum are given, which is what links of one and the same impedance carry, however small that is:
//! the differences of potentials whose Laplacian gives what each node has over.

use num_complex::Complex64;

use super::asym::AsymSolution;
use super::output::{AsymOutput, SymOutput};
use super::output_rows::{End, Quantity, Solved};
use super::{Output, Solution, asym_output, output};
use crate::network::{Grid, Merged, PhaseGrid, PhaseMask};
use crate::sparse::Lu;

const ONE: Complex64 = Complex64::new(1.0, 0.0);

impl SymOutput {
    /// The data set of a grid from the solution of its merged one. `merged` is of `grid` as it is now,
    /// but for taps that have been changed there.
    ///
    /// # Panics
    /// When they are not of the same grid.
    #[must_use]
    pub fn of_merged(grid: &Grid, merged: &Merged, solution: &Solution) -> Self {
        let solved = output::Single {
            grid: &merged.grid,
            solution,
        };
        let mut output = Self::default();
        output.fill_expanded(grid, merged, &solved);
        output.fill_regulators(grid, solution);
        output
    }
}

impl AsymOutput {
    /// As the symmetric one; `phases` is what the merged grid has by phase.
    ///
    /// # Panics
    /// When they are not of the same grid.
    #[must_use]
    pub fn of_merged(
        grid: &Grid,
        merged: &Merged,
        phases: &PhaseGrid,
        solution: &AsymSolution,
    ) -> Self {
        let solved = asym_output::ByPhase {
            grid: &merged.grid,
            phases,
            solution,
        };
        let mut output = Self::default();
        output.fill_expanded(grid, merged, &solved);
        output
    }
}

impl<V> Output<V> {
    fn fill_expanded<Q, S>(&mut self, grid: &Grid, merged: &Merged, solved: &S)
    where
        Q: Quantity<Real = V>,
        S: Solved<Q>,
    {
        self.fill(grid, &Expanded::new(grid, merged, solved));
        self.fill_taps(&merged.grid);
    }
}

/// A solution of the merged grid as one of the original.
struct Expanded<'a, Q, S> {
    merged: &'a Merged,
    solved: &'a S,
    u: Vec<Q>,
    /// Power that the shunts of each node take.
    shunts: Vec<Q>,
    /// By branch: what enters it at its ends, where it is merged.
    links: Vec<Option<[End<Q>; 2]>>,
}

impl<'a, Q: Quantity, S: Solved<Q>> Expanded<'a, Q, S> {
    fn new(grid: &Grid, merged: &'a Merged, solved: &'a S) -> Self {
        let nodes = &merged.node;
        let u: Vec<Q> = nodes.iter().map(|&k| solved.u()[k]).collect();
        let zero = Q::of(|_| Complex64::ZERO);
        let mut shunts = vec![zero; nodes.len()];
        for (k, s) in grid.network().shunt.iter().enumerate() {
            let node = grid.known_node(s.node);
            shunts[node] = sum(&shunts[node], &solved.shunt(k, nodes[node]), 1.0);
        }
        let mut expanded = Self {
            merged,
            solved,
            u,
            shunts,
            links: vec![None; grid.branches.len()],
        };
        expanded.links = expanded.share(grid, &expanded.over(grid));
        expanded
    }

    /// Power that each node has for its merged links.
    fn over(&self, grid: &Grid) -> Vec<Q> {
        let mut over: Vec<Q> = (self.shunts.iter())
            .map(|s| Q::of(|p| -s.phasors()[p]))
            .collect();
        let mut add = |node: usize, s: &Q, sign| over[node] = sum(&over[node], s, sign);
        for (k, s) in grid.sources.iter().enumerate() {
            add(s.node, &self.solved.source(k), 1.0);
        }
        for (k, a) in grid.appliances.iter().enumerate() {
            add(a.node, &self.solved.appliance(k), 1.0);
        }
        // Merged links are open there.
        for (k, b) in grid.branches.iter().enumerate() {
            let [from, to] = self.solved.ends(k);
            add(b.from, &from.s, -1.0);
            add(b.to, &to.s, -1.0);
        }
        over
    }

    /// What enters each merged link at its ends.
    fn share(&self, grid: &Grid, over: &[Q]) -> Vec<Option<[End<Q>; 2]>> {
        let mut ends = vec![None; grid.branches.len()];
        let potentials = potentials(grid, self.merged, over);
        for &k in &self.merged.links {
            let b = &grid.branches[k];
            let at = |node: usize, p: usize| potentials[p][node];
            let s = Q::of(|p| at(b.from, p) - at(b.to, p));
            let i = Q::of(|p| {
                let u = self.u[b.from].phasors()[p];
                let live = u != Complex64::ZERO;
                let i = if live { s.phasors()[p] / u } else { u };
                i.conj()
            });
            let back = |q: &Q| Q::of(|p| -q.phasors()[p]);
            ends[k] = Some([
                End { s, i },
                End {
                    s: back(&s),
                    i: back(&i),
                },
            ]);
        }
        ends
    }
}

/// By phase: potentials of the nodes, whose differences are the powers of the merged links. The first
/// node of each group is at zero.
fn potentials<Q: Quantity>(grid: &Grid, merged: &Merged, over: &[Q]) -> Vec<Vec<Complex64>> {
    let mut is_first = vec![true; over.len()];
    let mut seen = vec![false; merged.grid.node_id.len()];
    for (first, &node) in is_first.iter_mut().zip(&merged.node) {
        *first = !std::mem::replace(&mut seen[node], true);
    }
    let ends = |&k: &usize| (grid.branches[k].from, grid.branches[k].to);
    let free: Vec<(usize, usize)> = (merged.links.iter().map(ends))
        .filter(|&(from, to)| from != to && !is_first[from] && !is_first[to])
        .collect();
    let mut laplacian = Lu::<Complex64>::new(over.len(), &free);
    let mut add = |row, column, value: Complex64| {
        let slot = laplacian.slot(row, column);
        laplacian.add(slot.expect("the pattern has every link"), &value);
    };
    for (node, _) in is_first.iter().enumerate().filter(|(_, first)| **first) {
        add(node, node, ONE);
    }
    for (from, to) in merged.links.iter().map(ends).filter(|(a, b)| a != b) {
        for (own, other) in [(from, to), (to, from)] {
            if !is_first[own] {
                add(own, own, ONE);
                if !is_first[other] {
                    add(own, other, -ONE);
                }
            }
        }
    }
    laplacian
        .factor()
        .expect("every node of a group is connected to its first");
    let phases = over.first().map_or(0, |q| q.phasors().len());
    let solve = |p: usize| {
        let of = |(q, &first): (&Q, &bool)| {
            if first {
                Complex64::ZERO
            } else {
                q.phasors()[p]
            }
        };
        let mut x: Vec<Complex64> = over.iter().zip(&is_first).map(of).collect();
        laplacian.solve(&mut x);
        x
    };
    (0..phases).map(solve).collect()
}

fn sum<Q: Quantity>(a: &Q, b: &Q, sign: f64) -> Q {
    Q::of(|p| a.phasors()[p] + sign * b.phasors()[p])
}

impl<Q: Quantity, S: Solved<Q>> Solved<Q> for Expanded<'_, Q, S> {
    fn u(&self) -> &[Q] {
        &self.u
    }
    fn ends(&self, branch: usize) -> [End<Q>; 2] {
        self.links[branch].unwrap_or_else(|| self.solved.ends(branch))
    }
    fn shunts_at(&self, node: usize) -> Q {
        self.shunts[node]
    }
    fn shunt(&self, shunt: usize, node: usize) -> Q {
        self.solved.shunt(shunt, self.merged.node[node])
    }
    fn source(&self, source: usize) -> Q {
        self.solved.source(source)
    }
    fn appliance(&self, appliance: usize) -> Q {
        self.solved.appliance(appliance)
    }
    fn phases_of(&self, node: usize) -> PhaseMask {
        self.solved.phases_of(self.merged.node[node])
    }
}
