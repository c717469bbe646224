//! Columns of the estimation problem: which unknown stands where, and the pattern of the
//! triangular factor, fixed by the grid's branches whether open or closed.
//!
//! Unknowns are, by phase, the active and reactive power of every appliance and the change of angle
//! and the relative change of magnitude of every node's voltage. The power of a source is what its
//! node injects less its appliances; of several sources at a node, that holds for the first, and the
//! others are unknowns as appliances are, after them. Appliances come first: each
//! couples only to the voltages around its node. Nodes follow by minimum degree on the graph of
//! nodes that share a balance equation (George and Liu, 1981), all phases of a node together;
//! appliances add no fill.

use std::collections::BTreeSet;

use super::equation::{Part, What};
use crate::network::{Grid, Side};
use crate::sparse::{Ties, minimum_degree};

/// Pattern of a strictly upper triangular matrix, by rows, columns ascending.
pub(super) struct Pattern {
    start: Vec<usize>,
    column: Vec<usize>,
}

impl Pattern {
    /// Number of unknowns.
    pub(super) fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// Number of entries.
    pub(super) fn entries(&self) -> usize {
        self.column.len()
    }

    /// Places of row `k`'s entries.
    pub(super) fn row(&self, k: usize) -> std::ops::Range<usize> {
        self.start[k]..self.start[k + 1]
    }

    /// Column of the entry at `place`.
    pub(super) fn column(&self, place: usize) -> usize {
        self.column[place]
    }

    /// Columns of row `k`.
    pub(super) fn columns(&self, k: usize) -> &[usize] {
        &self.column[self.row(k)]
    }

    /// Place of the entry at row `k`, column `j > k`.
    pub(super) fn place(&self, k: usize, j: usize) -> Option<usize> {
        self.columns(k)
            .binary_search(&j)
            .ok()
            .map(|offset| self.start[k] + offset)
    }
}

/// Which unknown stands where, and what meets at each node.
pub(super) struct Layout {
    /// Pattern of the factor.
    pub(super) pattern: Pattern,
    /// Branch ends at each node.
    pub(super) incident: Vec<Vec<(usize, Side)>>,
    /// Appliances at each node, sources that are unknowns included.
    pub(super) appliances_at: Vec<Vec<usize>>,
    /// Sources that are unknowns, after the grid's appliances.
    pub(super) shared: Vec<usize>,
    /// By source, its place among the appliances; none for the first of a node.
    unit_of_source: Vec<Option<usize>>,
    /// By node, its first source.
    pub(super) first_source: Vec<Option<usize>>,
    /// Phases: one (the positive sequence) or three.
    pub(super) phases: usize,
    pub(super) appliances: usize,
    /// Place of each node in the elimination order.
    rank: Vec<usize>,
    /// Ends of the branches, to recognise the grid.
    ends: Vec<(usize, usize)>,
}

impl Layout {
    pub(super) fn new(grid: &Grid, phases: usize) -> Self {
        let nodes = grid.node_id.len();
        let mut incident = vec![Vec::new(); nodes];
        for (index, branch) in grid.branches.iter().enumerate() {
            incident[branch.from].push((index, Side::From));
            incident[branch.to].push((index, Side::To));
        }
        let mut appliances_at = vec![Vec::new(); nodes];
        for (index, appliance) in grid.appliances.iter().enumerate() {
            appliances_at[appliance.node].push(index);
        }
        let mut shared = Vec::new();
        let mut first_source = vec![None; nodes];
        let mut unit_of_source = vec![None; grid.sources.len()];
        for (index, source) in grid.sources.iter().enumerate() {
            if first_source[source.node].is_none() {
                first_source[source.node] = Some(index);
                continue;
            }
            let unit = grid.appliances.len() + shared.len();
            unit_of_source[index] = Some(unit);
            appliances_at[source.node].push(unit);
            shared.push(index);
        }
        let neighbourhood: Vec<Vec<usize>> = (0..nodes)
            .map(|node| {
                let ends = incident[node].iter().map(|&(b, _)| &grid.branches[b]);
                let set: BTreeSet<usize> =
                    ends.flat_map(|b| [b.from, b.to]).chain([node]).collect();
                set.into_iter().collect()
            })
            .collect();
        let elimination = minimum_degree(nodes, &pairs(&neighbourhood), Ties::ByRow);
        let mut rank = vec![0; nodes];
        for (place, &node) in elimination.order.iter().enumerate() {
            rank[node] = place;
        }
        let mut layout = Self {
            pattern: Pattern {
                start: vec![0],
                column: Vec::new(),
            },
            incident,
            appliances_at,
            phases,
            appliances: grid.appliances.len() + shared.len(),
            shared,
            unit_of_source,
            first_source,
            rank,
            ends: grid.branches.iter().map(|b| (b.from, b.to)).collect(),
        };
        layout.pattern = layout.scalar_pattern(grid, &neighbourhood, &elimination.later);
        layout
    }

    /// Column of the active power of an appliance's phase.
    pub(super) fn p(&self, appliance: usize, phase: usize) -> usize {
        2 * (self.phases * appliance + phase)
    }

    /// Column of the reactive power of an appliance's phase.
    pub(super) fn q(&self, appliance: usize, phase: usize) -> usize {
        self.p(appliance, phase) + 1
    }

    /// Column of the angle of a phase's voltage at a node.
    pub(super) fn theta(&self, node: usize, phase: usize) -> usize {
        2 * (self.phases * (self.appliances + self.rank[node]) + phase)
    }

    /// Column of the relative magnitude of a phase's voltage at a node.
    pub(super) fn v(&self, node: usize, phase: usize) -> usize {
        self.theta(node, phase) + 1
    }

    /// First of the voltages' columns; those before it are of powers.
    pub(super) fn first_voltage(&self) -> usize {
        2 * self.phases * self.appliances
    }

    /// Node of an appliance, or of a source among them.
    pub(super) fn node_of(&self, grid: &Grid, appliance: usize) -> usize {
        match appliance.checked_sub(grid.appliances.len()) {
            None => grid.appliances[appliance].node,
            Some(shared) => grid.sources[self.shared[shared]].node,
        }
    }

    /// It is switched on.
    pub(super) fn is_closed(&self, grid: &Grid, appliance: usize) -> bool {
        match appliance.checked_sub(grid.appliances.len()) {
            None => grid.appliances[appliance].closed,
            Some(shared) => grid.sources[self.shared[shared]].closed,
        }
    }

    /// The power of a source.
    pub(super) fn of_source(&self, grid: &Grid, source: usize, part: Part) -> What {
        match self.unit_of_source[source] {
            Some(unit) => What::Appliance(unit, part),
            None => What::Infeed(grid.sources[source].node, part),
        }
    }

    /// The node's first source is there and switched on: [`What::Infeed`] need not be zero.
    pub(super) fn feeds(&self, grid: &Grid, node: usize) -> bool {
        self.first_source[node].is_some_and(|source| grid.sources[source].closed)
    }

    /// Columns of a node's voltage.
    fn voltage(&self, node: usize) -> std::ops::Range<usize> {
        let first = self.theta(node, 0);
        first..first + 2 * self.phases
    }

    /// The grid has the nodes, branches and appliances this layout was made of.
    pub(super) fn fits(&self, grid: &Grid) -> bool {
        self.incident.len() == grid.node_id.len()
            && self.ends.len() == grid.branches.len()
            && self.appliances == grid.appliances.len() + self.shared.len()
            && self.unit_of_source.len() == grid.sources.len()
            && (grid.sources.iter().enumerate()).all(|(k, source)| match self.unit_of_source[k] {
                Some(unit) => self.appliances_at[source.node].contains(&unit),
                None => self.first_source[source.node] == Some(k),
            })
            && self
                .ends
                .iter()
                .zip(&grid.branches)
                .all(|(&ends, b)| ends == (b.from, b.to))
            && (grid.appliances.iter().enumerate())
                .all(|(index, appliance)| self.appliances_at[appliance.node].contains(&index))
    }

    fn scalar_pattern(
        &self,
        grid: &Grid,
        neighbourhood: &[Vec<usize>],
        later: &[Vec<usize>],
    ) -> Pattern {
        let mut start = vec![0];
        let mut column = Vec::new();
        let mut close_row = |column: &mut Vec<usize>| {
            let from = start.last().copied().unwrap_or(0);
            column[from..].sort_unstable();
            start.push(column.len());
        };
        for index in 0..self.appliances {
            let node = self.node_of(grid, index);
            let others = self.appliances_at[node]
                .iter()
                .filter(|&&other| other > index);
            for phase in 0..self.phases {
                for of_part in [Self::p, Self::q] {
                    column.extend(others.clone().map(|&other| of_part(self, other, phase)));
                    for &node in &neighbourhood[node] {
                        column.extend(self.voltage(node));
                    }
                    close_row(&mut column);
                }
            }
        }
        let size = 2 * self.phases;
        for (place, later) in later.iter().enumerate() {
            let first = |place: usize| size * (self.appliances + place);
            let own = first(place)..first(place) + size;
            for k in own.clone() {
                column.extend(k + 1..own.end);
                for &other in later {
                    column.extend(first(other)..first(other) + size);
                }
                close_row(&mut column);
            }
        }
        Pattern { start, column }
    }
}

/// Edges of the graph in which each of `cliques` is mutually coupled.
fn pairs(cliques: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for clique in cliques {
        for (at, &node) in clique.iter().enumerate() {
            pairs.extend(clique[..at].iter().map(|&other| (other, node)));
        }
    }
    pairs
}

#[cfg(test)]
impl Pattern {
    /// Everything coupled to everything.
    pub(super) fn full(n: usize) -> Self {
        let mut pattern = Self {
            start: vec![0],
            column: Vec::new(),
        };
        for k in 0..n {
            pattern.column.extend(k + 1..n);
            pattern.start.push(pattern.column.len());
        }
        pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimation::tests_support::three_bus;

    /// What couples in a balance equation is coupled in the pattern, and so is what elimination
    /// of a row couples: the two conditions the factorisation rests on.
    #[test]
    fn pattern_is_closed_under_elimination() {
        for phases in [1, 3] {
            check(phases);
        }
    }

    fn check(phases: usize) {
        let grid = three_bus();
        let layout = Layout::new(&grid, phases);
        let pattern = &layout.pattern;
        let unknowns = 2 * phases * (grid.appliances.len() + grid.node_id.len());
        assert_eq!(pattern.len(), unknowns);
        let coupled = |i: usize, j: usize| i == j || pattern.place(i.min(j), i.max(j)).is_some();
        for k in 0..pattern.len() {
            for &i in pattern.columns(k) {
                assert!(pattern.columns(k).iter().all(|&j| coupled(i, j)), "{k}");
            }
        }
        for node in 0..grid.node_id.len() {
            for phase in 0..phases {
                let mut together: Vec<usize> = (layout.incident[node].iter())
                    .flat_map(|&(b, _)| [grid.branches[b].from, grid.branches[b].to])
                    .flat_map(|n| layout.voltage(n))
                    .collect();
                let appliances = layout.appliances_at[node].iter();
                together.extend(appliances.map(|&a| layout.q(a, phase)));
                for &i in &together {
                    assert!(together.iter().all(|&j| coupled(i, j)));
                }
            }
        }
    }
}
