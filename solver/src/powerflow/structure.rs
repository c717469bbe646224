//! The bus admittance matrix: its pattern, from the branches whatever their state, and its values.
//! Rows are in elimination order, the order the factors work in, from end to end.

use std::sync::Arc;

use num_complex::Complex64;

use super::case::Role;
use crate::network::{Grid, Matrix3, PhaseGrid, Phases, Sequences, balanced};
use crate::sparse::{Entry, Lu, Pattern};

/// An admittance, or one over the phases; its vectors are voltages, currents and powers.
pub(super) trait Admittance: Entry {
    /// Number of phases.
    const PHASES: f64;
    /// `a + b`.
    fn sum(a: &Self::Vector, b: &Self::Vector) -> Self::Vector;
    /// `a - b`.
    fn difference(a: &Self::Vector, b: &Self::Vector) -> Self::Vector;
    /// `u conj(i)`.
    fn power(u: &Self::Vector, i: &Self::Vector) -> Self::Vector;
    /// Largest square of a magnitude.
    fn largest_sqr(x: &Self::Vector) -> f64;
    /// Least square of a magnitude, but for zeros.
    fn least_sqr(x: &Self::Vector) -> f64;
    /// The voltages given, if they are there wherever the flat ones are.
    fn started(given: Option<&Self::Vector>, flat: &Self::Vector) -> Self::Vector;
    /// Sum of the magnitudes.
    fn magnitudes(x: &Self::Vector) -> f64;
    /// Magnitude of the sum's real part.
    fn active(x: &Self::Vector) -> f64;
    /// Largest own admittance of a phase.
    fn size(&self) -> f64;
    /// The phases of a balanced quantity given for phase a.
    fn balanced(a: Complex64) -> Self::Vector;
}

impl Admittance for Complex64 {
    const PHASES: f64 = 1.0;
    fn sum(a: &Self, b: &Self) -> Self {
        a + b
    }
    fn difference(a: &Self, b: &Self) -> Self {
        a - b
    }
    fn power(u: &Self, i: &Self) -> Self {
        u * i.conj()
    }
    fn largest_sqr(x: &Self) -> f64 {
        x.norm_sqr()
    }
    fn least_sqr(x: &Self) -> f64 {
        x.norm_sqr()
    }
    fn started(given: Option<&Self>, flat: &Self) -> Self {
        *given.filter(|u| **u != Self::ZERO).unwrap_or(flat)
    }
    fn magnitudes(x: &Self) -> f64 {
        x.norm()
    }
    fn active(x: &Self) -> f64 {
        x.re.abs()
    }
    fn size(&self) -> f64 {
        self.norm()
    }
    fn balanced(a: Complex64) -> Self {
        a
    }
}

impl Admittance for Matrix3 {
    const PHASES: f64 = 3.0;
    fn sum(a: &Phases, b: &Phases) -> Phases {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
    }
    fn difference(a: &Phases, b: &Phases) -> Phases {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
    }
    fn power(u: &Phases, i: &Phases) -> Phases {
        [u[0] * i[0].conj(), u[1] * i[1].conj(), u[2] * i[2].conj()]
    }
    fn largest_sqr(x: &Phases) -> f64 {
        x[0].norm_sqr().max(x[1].norm_sqr()).max(x[2].norm_sqr())
    }
    fn least_sqr(x: &Phases) -> f64 {
        let least = x.iter().map(|x| x.norm_sqr()).filter(|&x| x > 0.0);
        let least = least.fold(f64::INFINITY, f64::min);
        if least.is_finite() { least } else { 0.0 }
    }
    fn started(given: Option<&Phases>, flat: &Phases) -> Phases {
        let live = [0, 1, 2].map(|p| flat[p] != Complex64::ZERO);
        let given = given.filter(|u| (0..3).all(|p| !live[p] || u[p] != Complex64::ZERO));
        let u = given.unwrap_or(flat);
        [0, 1, 2].map(|p| if live[p] { u[p] } else { Complex64::ZERO })
    }
    fn magnitudes(x: &Phases) -> f64 {
        x.iter().map(|x| x.norm()).sum()
    }
    fn active(x: &Phases) -> f64 {
        (x[0].re + x[1].re + x[2].re).abs()
    }
    fn size(&self) -> f64 {
        (0..3).map(|p| self.0[p][p].norm()).fold(0.0, f64::max)
    }
    fn balanced(a: Complex64) -> Phases {
        balanced(a)
    }
}

/// What a factor of admittances is made of: they themselves, or something that does the same to
/// other components of a voltage.
pub(super) trait Kernel<E: Admittance>: Entry<Vector = E::Vector> {
    /// An admittance; none when it is not of this kind.
    fn of(y: &E) -> Option<Self>;
    /// Components of a voltage or current.
    fn split(x: &E::Vector) -> E::Vector;
    /// What has these components.
    fn join(x: &E::Vector) -> E::Vector;
}

impl<E: Admittance> Kernel<E> for E {
    fn of(y: &E) -> Option<Self> {
        Some(*y)
    }
    fn split(x: &E::Vector) -> E::Vector {
        *x
    }
    fn join(x: &E::Vector) -> E::Vector {
        *x
    }
}

impl Kernel<Matrix3> for Sequences {
    fn of(y: &Matrix3) -> Option<Self> {
        Self::of(y)
    }
    #[inline]
    fn split(x: &Phases) -> Phases {
        Self::split(x)
    }
    #[inline]
    fn join(x: &Phases) -> Phases {
        Self::join(x)
    }
}

/// An edge of the network's graph: two rows that at least one branch connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The later row; the earlier one is the row whose range the edge is in.
    pub(super) later: u32,
    /// Block of the factor's pattern.
    pub(super) block: u32,
}

/// Where a branch is in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: u32,
    to: u32,
    /// None from a node to itself.
    edge: Option<u32>,
}

/// The bus admittance matrix.
#[derive(Clone, Debug)]
pub(super) struct YBus<E> {
    pub(super) pattern: Arc<Pattern>,
    /// Edges to later rows of row `k` are `start[k]..start[k + 1]`.
    pub(super) start: Vec<usize>,
    pub(super) edge: Vec<Edge>,
    /// Entry at the earlier row and later column of each edge.
    pub(super) upper: Vec<E>,
    /// Entry at the later row and earlier column of each edge.
    pub(super) lower: Vec<E>,
    pub(super) diagonal: Vec<E>,
    /// Sum of each row: what is left of its branches when all voltages are alike. Differences of
    /// voltages times the other entries then give currents without the rounding of large
    /// admittances, such as links', that cancel.
    pub(super) total: Vec<E>,
    span: Vec<Span>,
    /// Edges to earlier rows, and those rows: `earlier_start[k]..earlier_start[k + 1]`.
    earlier_start: Vec<usize>,
    earlier: Vec<(u32, u32)>,
    /// Blocks of the pattern that are no edge's.
    pub(super) fill_in: Vec<u32>,
}

/// Numbers of rows and edges as they are stored.
fn index(at: usize) -> u32 {
    u32::try_from(at).expect("a network has fewer than 2^32 nodes and branches: it fits in memory")
}

/// Where each of `n` rows begins in a list sorted by them, and where it ends.
fn starts(n: usize, rows: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut start = vec![0; n + 1];
    for row in rows {
        start[row + 1] += 1;
    }
    for k in 0..n {
        start[k + 1] += start[k];
    }
    start
}

/// Blocks of the pattern that are no edge's.
fn beside(pattern: &Pattern, edges: &[Edge]) -> Vec<u32> {
    let mut is_edge = vec![false; pattern.fill()];
    for e in edges {
        is_edge[e.block as usize] = true;
    }
    (0..is_edge.len())
        .filter(|&b| !is_edge[b])
        .map(index)
        .collect()
}

impl Edge {
    /// That of two rows, the earlier one first.
    fn new(pattern: &Pattern, (row, later): (usize, usize)) -> Self {
        let block = pattern.block(row, later);
        Self {
            later: index(later),
            block: index(block.expect("the factor's pattern covers the branches it was made for")),
        }
    }
}

impl<E: Admittance> YBus<E> {
    /// The pattern, ordered; no values yet.
    pub(super) fn new(grid: &Grid) -> Self {
        let ends: Vec<(usize, usize)> = grid.branches.iter().map(|b| (b.from, b.to)).collect();
        let pattern = Arc::new(Pattern::new(grid.node_id.len(), &ends));
        let n = pattern.rows();
        let place = pattern.place();
        let rows = || grid.branches.iter().map(|b| (place[b.from], place[b.to]));
        let ordered = |(from, to): (usize, usize)| (from.min(to), from.max(to));
        let mut pairs: Vec<(usize, usize)> = rows().map(ordered).collect();
        pairs.retain(|(row, later)| row != later);
        pairs.sort_unstable();
        pairs.dedup();
        let span = rows().map(|(from, to)| Span {
            from: index(from),
            to: index(to),
            edge: pairs.binary_search(&ordered((from, to))).ok().map(index),
        });
        let edge: Vec<Edge> = pairs
            .iter()
            .map(|&pair| Edge::new(&pattern, pair))
            .collect();
        // By later row; edges of a row stay in the order of their earlier rows.
        let mut by_later: Vec<usize> = (0..edge.len()).collect();
        by_later.sort_by_key(|&e| edge[e].later);
        let earlier = by_later.iter().map(|&e| (index(e), index(pairs[e].0)));
        Self {
            earlier: earlier.collect(),
            earlier_start: starts(n, pairs.iter().map(|pair| pair.1)),
            fill_in: beside(&pattern, &edge),
            start: starts(n, pairs.iter().map(|pair| pair.0)),
            upper: vec![E::ZERO; pairs.len()],
            lower: vec![E::ZERO; pairs.len()],
            diagonal: vec![E::ZERO; n],
            total: vec![E::ZERO; n],
            span: span.collect(),
            edge,
            pattern,
        }
    }

    /// Whether the pattern is this grid's.
    pub(super) fn fits(&self, grid: &Grid) -> bool {
        let place = self.pattern.place();
        grid.node_id.len() == place.len()
            && grid.branches.len() == self.span.len()
            && grid.branches.iter().zip(&self.span).all(|(b, span)| {
                (place.get(b.from), place.get(b.to))
                    == (Some(&(span.from as usize)), Some(&(span.to as usize)))
            })
    }

    /// Values: shunts by node, branches as `yff, yft, ytf, ytt`.
    fn fill(&mut self, shunts: &[E], branches: impl Iterator<Item = [E; 4]>) {
        self.upper.fill(E::ZERO);
        self.lower.fill(E::ZERO);
        for (k, &node) in self.pattern.order().iter().enumerate() {
            (self.diagonal[k], self.total[k]) = (shunts[node], shunts[node]);
        }
        for (span, [yff, yft, ytf, ytt]) in self.span.iter().zip(branches) {
            let (from, to) = (span.from as usize, span.to as usize);
            self.diagonal[from].add(&yff);
            self.diagonal[to].add(&ytt);
            self.total[from].add(&yff);
            self.total[from].add(&yft);
            self.total[to].add(&ytt);
            self.total[to].add(&ytf);
            let (up, down) = if from < to { (yft, ytf) } else { (ytf, yft) };
            match span.edge {
                Some(edge) => {
                    self.upper[edge as usize].add(&up);
                    self.lower[edge as usize].add(&down);
                }
                None => {
                    self.diagonal[from].add(&up);
                    self.diagonal[from].add(&down);
                }
            }
        }
    }

    /// Current that branches and shunts take from a row.
    pub(super) fn current(&self, k: usize, u: &[E::Vector]) -> E::Vector {
        let own = u[k];
        let mut opposite = E::ZERO_VECTOR;
        self.total[k].subtract_apply(&own, &mut opposite);
        for e in self.start[k]..self.start[k + 1] {
            let difference = E::difference(&u[self.edge[e].later as usize], &own);
            self.upper[e].subtract_apply(&difference, &mut opposite);
        }
        for &(e, row) in &self.earlier[self.earlier_start[k]..self.earlier_start[k + 1]] {
            let difference = E::difference(&u[row as usize], &own);
            self.lower[e as usize].subtract_apply(&difference, &mut opposite);
        }
        E::difference(&E::ZERO_VECTOR, &opposite)
    }

    /// Makes a factor's matrix this one plus `own` on the diagonal; rows that are not solved for
    /// become the identity's.
    ///
    /// None when an entry is not of the factor's kind.
    pub(super) fn load<K: Kernel<E>>(
        &self,
        lu: &mut Lu<K>,
        role: &[Role],
        own: impl Fn(usize) -> K,
    ) -> Option<()> {
        let (diagonal, upper, lower) = lu.triangles();
        for &block in &self.fill_in {
            (upper[block as usize], lower[block as usize]) = (K::ZERO, K::ZERO);
        }
        let entry = |row: usize, y: &E| {
            let solved = role[row].is_solved();
            if solved { K::of(y) } else { Some(K::ZERO) }
        };
        for k in 0..self.diagonal.len() {
            diagonal[k] = K::IDENTITY;
            if role[k].is_solved() {
                diagonal[k] = K::of(&self.diagonal[k])?;
                diagonal[k].add(&own(k));
            }
            for e in self.start[k]..self.start[k + 1] {
                let Edge { later, block } = self.edge[e];
                upper[block as usize] = entry(k, &self.upper[e])?;
                lower[block as usize] = entry(later as usize, &self.lower[e])?;
            }
        }
        Some(())
    }

    /// Subtracts the currents that branches and shunts take from every row.
    pub(super) fn subtract_currents(&self, u: &[E::Vector], from: &mut [E::Vector]) {
        for (k, total) in self.total.iter().enumerate() {
            let own = u[k];
            total.subtract_apply(&own, &mut from[k]);
            for e in self.start[k]..self.start[k + 1] {
                let later = self.edge[e].later as usize;
                self.upper[e].subtract_apply(&E::difference(&u[later], &own), &mut from[k]);
                self.lower[e].subtract_apply(&E::difference(&own, &u[later]), &mut from[later]);
            }
        }
    }
}

impl YBus<Complex64> {
    /// Values of branches and shunts as they are now; rows that are not energised stay zero.
    pub(super) fn assemble(&mut self, grid: &Grid) {
        let branches = grid.branches.iter();
        self.fill(
            &grid.y_shunt,
            branches.map(|b| [b.yff, b.yft, b.ytf, b.ytt]),
        );
    }
}

impl YBus<Matrix3> {
    /// Values of branches and shunts as they are now; rows that are not energised stay zero.
    pub(super) fn assemble(&mut self, grid: &PhaseGrid) {
        let branches = grid.branches.iter();
        self.fill(
            &grid.y_shunt,
            branches.map(|b| [b.yff, b.yft, b.ytf, b.ytt]),
        );
    }
}
