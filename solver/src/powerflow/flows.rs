//! What flows where, from node voltages.

use num_complex::Complex64;

use super::appliances::{self, Zip};
use super::case;
use super::output_rows::End;
use crate::network::{Branch, Grid, S_BASE_VA};

/// Flow in one branch; powers and currents enter the branch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BranchFlow {
    /// Power entering at the from side, pu.
    pub s_from: Complex64,
    /// Power entering at the to side, pu.
    pub s_to: Complex64,
    /// Current at the from side, pu of the from node's base current.
    pub i_from: f64,
    /// Current at the to side, pu of the to node's base current.
    pub i_to: f64,
    /// Current at the from side, A.
    pub i_from_a: f64,
    /// Current at the to side, A.
    pub i_to_a: f64,
    /// Lines: larger current over rated current. Transformers: larger apparent power over rated
    /// power. 0 for a line without a rating.
    pub loading: f64,
}

impl BranchFlow {
    /// Power entering at the from side, W and var.
    #[must_use]
    pub fn s_from_va(&self) -> Complex64 {
        self.s_from * S_BASE_VA
    }

    /// Power entering at the to side, W and var.
    #[must_use]
    pub fn s_to_va(&self) -> Complex64 {
        self.s_to * S_BASE_VA
    }

    /// Power lost in the branch, pu; the reactive part is what it consumes.
    #[must_use]
    pub fn loss(&self) -> Complex64 {
        self.s_from + self.s_to
    }
}

/// All flows of a grid, in the order of its tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Flows {
    /// Branches.
    pub branches: Vec<BranchFlow>,
    /// Sources, pu, generation-positive: what balances their node when nothing but the grid's
    /// appliances injects there. Exact also for a nearly ideal source.
    pub sources: Vec<Complex64>,
    /// Appliances, pu, generation-positive.
    pub appliances: Vec<Complex64>,
    /// Power each node delivers into its branches and shunts, pu: what sources and appliances
    /// together inject there.
    pub nodes: Vec<Complex64>,
}

impl Flows {
    /// Power lost in all branches, pu.
    #[must_use]
    pub fn loss(&self) -> Complex64 {
        self.branches.iter().map(BranchFlow::loss).sum()
    }

    /// Power all sources deliver, pu, generation-positive.
    #[must_use]
    pub fn supplied(&self) -> Complex64 {
        self.sources.iter().sum()
    }
}

/// Flows at these voltages, pu.
///
/// # Panics
/// When `u` does not have a voltage for each node of the grid.
#[must_use]
pub fn flows(grid: &Grid, u: &[Complex64]) -> Flows {
    let branches = grid
        .branches
        .iter()
        .map(|b| branch_flow(grid, b, u))
        .collect();
    let appliances = grid
        .appliances
        .iter()
        .map(|a| appliances::power(a, u[a.node].norm()))
        .collect();
    let nodes = node_currents(grid, u)
        .iter()
        .zip(u)
        .map(|(i, u)| u * i.conj())
        .collect();
    Flows {
        branches,
        sources: source_powers(grid, u, &[]),
        appliances,
        nodes,
    }
}

/// Currents entering a branch. From the voltages' difference: what a link carries would drown in
/// the rounding of its admittance times either voltage.
fn currents(b: &Branch, u_from: Complex64, u_to: Complex64) -> [Complex64; 2] {
    let difference = u_to - u_from;
    [
        (b.yff + b.yft) * u_from + b.yft * difference,
        (b.ytf + b.ytt) * u_to - b.ytf * difference,
    ]
}

/// Power and current entering a branch at its from and to side.
pub(super) fn ends(b: &Branch, u: &[Complex64]) -> [End<Complex64>; 2] {
    let (u_from, u_to) = (u[b.from], u[b.to]);
    let [i_from, i_to] = currents(b, u_from, u_to);
    let end = |u: Complex64, i: Complex64| End { s: u * i.conj(), i };
    [end(u_from, i_from), end(u_to, i_to)]
}

fn branch_flow(grid: &Grid, b: &Branch, u: &[Complex64]) -> BranchFlow {
    let [from, to] = ends(b, u);
    let (s_from, s_to) = (from.s, to.s);
    let (i_from, i_to) = (from.i.norm(), to.i.norm());
    let loading = match (b.i_max, b.s_max) {
        (Some([from, to]), _) => (i_from / from).max(i_to / to),
        (None, Some(s)) => s_from.norm().max(s_to.norm()) / s,
        (None, None) => 0.0,
    };
    BranchFlow {
        s_from,
        s_to,
        i_from,
        i_to,
        i_from_a: i_from * grid.base_current_a(b.from),
        i_to_a: i_to * grid.base_current_a(b.to),
        loading,
    }
}

/// Current that branches and shunts take from each node.
fn node_currents(grid: &Grid, u: &[Complex64]) -> Vec<Complex64> {
    let mut current: Vec<Complex64> = grid.y_shunt.iter().zip(u).map(|(y, u)| y * u).collect();
    for b in &grid.branches {
        let [from, to] = currents(b, u[b.from], u[b.to]);
        current[b.from] += from;
        current[b.to] += to;
    }
    current
}

/// What each source delivers, pu, generation-positive.
///
/// From the balance of its node, `injections` being constant powers on top of the grid's
/// appliances as in [`PowerFlow::run`](super::PowerFlow::run): `y (u_ref - u)` would lose all
/// digits for a nearly ideal source. Sources at one node share its current by admittance, plus
/// what flows between them.
///
/// # Panics
/// When `u` does not have a voltage for each node of the grid.
#[must_use]
pub fn source_powers(grid: &Grid, u: &[Complex64], injections: &[Complex64]) -> Vec<Complex64> {
    let place: Vec<usize> = (0..grid.node_id.len()).collect();
    let mut zip = vec![Zip::default(); place.len()];
    appliances::collect(grid, injections, &place, &mut zip);
    let y = || grid.sources.iter().map(|s| s.y);
    let mut all = Vec::new();
    case::combine(grid, &place, y(), &mut all);
    let current = node_currents(grid, u);
    let taken =
        |k: usize| (u[k] != Complex64::ZERO).then(|| current[k] - zip[k].injected(u[k], 1.0));
    let mut powers = Vec::with_capacity(grid.sources.len());
    case::source_powers(grid, &place, u, &all, y(), taken, &mut powers);
    powers
}
