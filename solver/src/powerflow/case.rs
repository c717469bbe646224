//! One run of a power flow, of either kind, by rows in elimination order: how each takes part, the
//! sources, the voltages so far.
//!
//! A source enters as its admittance to a known voltage. Where that admittance is so large that
//! `y (u_ref - u)` has no digits left (a nearly ideal source), the node's voltage is instead set
//! from the current the rest of the network takes, `u = u_ref - i / y`, once an iteration.

use super::structure::{Admittance, YBus};
use super::{PowerFlowError, node_id};
use crate::network::{Grid, Id, Revision, S_BASE_VA};
use crate::sparse::Singular;

/// Source admittance, pu, from which a node may count as nearly ideal: 1e-8 pu of power is then
/// no longer resolved by the difference of two voltages near 1 pu.
const STIFF_Y: f64 = 1e8;
/// And only when it dwarfs what else is connected, so that the outer correction contracts.
const STIFF_RATIO: f64 = 1e3;

/// How a row takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Not energised: voltage zero.
    Dead,
    /// Solved for.
    Free,
    /// Solved for, its magnitude held by a regulator instead of its reactive power.
    Held,
    /// At a nearly ideal source: its voltage follows from the current it delivers.
    Stiff,
}

impl Role {
    pub(super) fn is_solved(self) -> bool {
        matches!(self, Self::Free | Self::Held)
    }
}

/// The sources of one row as one (Thévenin).
#[derive(Clone, Copy, Debug)]
pub(super) struct Thevenin<E: Admittance> {
    pub(super) row: usize,
    pub(super) y: E,
    z: E::Pivot,
    /// Ideal voltage.
    pub(super) u: E::Vector,
}

impl<E: Admittance> Thevenin<E> {
    pub(super) fn new(row: usize, y: E, u: E::Vector) -> Self {
        let z = y.pivot().unwrap_or(E::IDENTITY_PIVOT);
        Self { row, y, z, u }
    }

    /// Takes in one more source.
    fn join(&mut self, y: &E, u: &E::Vector) {
        let mut all = self.y;
        all.add(y);
        // u + (y_all)⁻¹ y (u_other - u)
        let mut shift = E::ZERO_VECTOR;
        y.subtract_apply(&E::difference(&self.u, u), &mut shift);
        *self = Self::new(self.row, all, self.u);
        E::solve(&self.z, &mut shift);
        self.u = E::sum(&self.u, &shift);
    }

    fn is_stiff(&self, others: &E) -> bool {
        self.y.size() >= STIFF_Y.max(STIFF_RATIO * others.size())
    }

    /// Voltage at the row when this current is taken from the source.
    fn behind(&self, mut taken: E::Vector) -> E::Vector {
        E::solve(&self.z, &mut taken);
        E::difference(&self.u, &taken)
    }

    /// What one of its sources, of admittance `y` and ideal voltage `u_ref`, adds to the current
    /// `taken` from all of them: shared by admittance, plus what flows between them.
    pub(super) fn share(&self, mut taken: E::Vector, y: &E, u_ref: &E::Vector) -> E::Vector {
        E::solve(&self.z, &mut taken);
        let beyond = E::difference(&E::difference(&self.u, u_ref), &taken);
        let mut share = E::ZERO_VECTOR;
        y.subtract_apply(&beyond, &mut share);
        share
    }
}

/// The closed sources, of admittances `y`, combined by the row at their node's `place`.
pub(super) fn combine<E: Admittance>(
    grid: &Grid,
    place: &[usize],
    y: impl Iterator<Item = E>,
    out: &mut Vec<Thevenin<E>>,
) {
    out.clear();
    for (s, y) in grid.sources.iter().zip(y).filter(|(s, _)| s.closed) {
        let (row, u) = (place[s.node], E::balanced(s.u_ref));
        match out.iter_mut().find(|other| other.row == row) {
            Some(other) => other.join(&y, &u),
            None => out.push(Thevenin::new(row, y, u)),
        }
    }
}

/// What each source of the grid, of admittance `y`, delivers at the voltages `u` by rows, when
/// `taken` is what everything else takes at a row that is energised.
pub(super) fn source_powers<E: Admittance>(
    grid: &Grid,
    place: &[usize],
    u: &[E::Vector],
    combined: &[Thevenin<E>],
    y: impl Iterator<Item = E>,
    taken: impl Fn(usize) -> Option<E::Vector>,
    out: &mut Vec<E::Vector>,
) {
    out.clear();
    for (s, y) in grid.sources.iter().zip(y) {
        let row = place[s.node];
        let all = combined.iter().find(|all| all.row == row && s.closed);
        let power = all.zip(all.and_then(|_| taken(row))).map(|(all, taken)| {
            let current = all.share(taken, &y, &E::balanced(s.u_ref));
            E::power(&u[row], &current)
        });
        out.push(power.unwrap_or(E::ZERO_VECTOR));
    }
}

/// The data of a run.
#[derive(Clone, Debug)]
pub(super) struct Case<E: Admittance> {
    pub(super) y: YBus<E>,
    pub(super) role: Vec<Role>,
    pub(super) sources: Vec<Thevenin<E>>,
    pub(super) u: Vec<E::Vector>,
    /// What `y` is of.
    pub(super) revision: Option<Revision>,
}

impl<E: Admittance> Case<E> {
    pub(super) fn new(y: YBus<E>) -> Self {
        let n = y.diagonal.len();
        Self {
            y,
            role: vec![Role::Dead; n],
            sources: Vec::new(),
            u: vec![E::ZERO_VECTOR; n],
            revision: None,
        }
    }

    /// Refuses a grid of other nodes or branches; whether anything but powers and reference
    /// voltages has changed since the last run.
    pub(super) fn is_new(&self, grid: &Grid) -> Result<bool, PowerFlowError> {
        let same = |own: &Revision| own.is(grid.revision());
        if self.revision.as_ref().is_some_and(same) {
            return Ok(false);
        }
        if !self.y.fits(grid) {
            return Err(PowerFlowError::OtherGrid);
        }
        Ok(true)
    }

    /// Takes over the sources, whose admittances are `y`, and which rows take part how; `held`
    /// tells the nodes of voltage regulators.
    pub(super) fn follow_sources(
        &mut self,
        grid: &Grid,
        y: impl Iterator<Item = E>,
        held: impl Fn(usize) -> bool,
    ) {
        combine(grid, self.y.pattern.place(), y, &mut self.sources);
        for (role, &node) in self.role.iter_mut().zip(self.y.pattern.order()) {
            *role = if !grid.energised[node] {
                Role::Dead
            } else if held(node) {
                Role::Held
            } else {
                Role::Free
            };
        }
        for s in &self.sources {
            if s.is_stiff(&self.y.diagonal[s.row]) && self.role[s.row] != Role::Dead {
                self.role[s.row] = Role::Stiff;
            }
        }
    }

    /// Starts from these voltages by node, `flat` where they are not all there.
    pub(super) fn start_from(&mut self, start: &[E::Vector], flat: impl Fn(usize) -> E::Vector) {
        for (k, &node) in self.y.pattern.order().iter().enumerate() {
            self.u[k] = match self.role[k] {
                Role::Dead => E::ZERO_VECTOR,
                _ => E::started(start.get(node), &flat(node)),
            };
        }
        for s in self
            .sources
            .iter()
            .filter(|s| self.role[s.row] == Role::Stiff)
        {
            self.u[s.row] = s.u;
        }
    }

    /// Current that everything but the sources takes at a row; `injected` is what appliances
    /// inject.
    pub(super) fn taken(
        &self,
        k: usize,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) -> E::Vector {
        E::difference(&self.y.current(k, &self.u), &injected(k, &self.u[k]))
    }

    /// Sets what the balance of currents misses at each row that is solved for.
    pub(super) fn missing(
        &self,
        out: &mut [E::Vector],
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) {
        for (k, (out, u)) in out.iter_mut().zip(&self.u).enumerate() {
            *out = injected(k, u);
        }
        self.y.subtract_currents(&self.u, out);
        for s in &self.sources {
            if self.role[s.row].is_solved() {
                let difference = E::difference(&self.u[s.row], &s.u);
                s.y.subtract_apply(&difference, &mut out[s.row]);
            } else {
                out[s.row] = E::ZERO_VECTOR;
            }
        }
    }

    /// Sets the rows at nearly ideal sources from the current they deliver; the largest change.
    pub(super) fn settle_sources(
        &mut self,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) -> f64 {
        let mut change = Largest::default();
        for s in 0..self.sources.len() {
            let row = self.sources[s].row;
            if self.role[row] == Role::Stiff {
                let u = self.sources[s].behind(self.taken(row, &injected));
                change.add(E::largest_sqr(&E::difference(&u, &self.u[row])));
                self.u[row] = u;
            }
        }
        change.root()
    }

    /// Sets what each source of the grid delivers; `y` are their admittances.
    pub(super) fn source_powers(
        &self,
        grid: &Grid,
        y: impl Iterator<Item = E>,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
        out: &mut Vec<E::Vector>,
    ) {
        let live = |k: usize| self.role[k] != Role::Dead;
        let taken = |k: usize| live(k).then(|| self.taken(k, &injected));
        let place = self.y.pattern.place();
        source_powers(grid, place, &self.u, &self.sources, y, taken, out);
    }

    /// Puts the voltages in the order of the nodes.
    pub(super) fn voltages(&self, out: &mut Vec<E::Vector>) {
        out.clear();
        out.extend(self.y.pattern.place().iter().map(|&k| self.u[k]));
    }

    /// Node with the largest mismatch of apparent power, W, and its least voltage, pu.
    pub(super) fn worst(
        &self,
        grid: &Grid,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) -> (Id, f64, f64) {
        let mut worst = (0, 0.0);
        for k in (0..self.role.len()).filter(|&k| self.role[k].is_solved()) {
            let mut missing = E::difference(&E::ZERO_VECTOR, &self.taken(k, &injected));
            if let Some(s) = self.sources.iter().find(|s| s.row == k) {
                s.y.subtract_apply(&E::difference(&self.u[k], &s.u), &mut missing);
            }
            let power = E::power(&self.u[k], &missing);
            let mismatch = match self.role[k] {
                Role::Held => E::active(&power),
                _ => E::magnitudes(&power),
            };
            if mismatch > worst.1 {
                worst = (k, mismatch);
            }
        }
        let (k, mismatch) = worst;
        let u_pu = self.u.get(k).map_or(0.0, |u| E::least_sqr(u).sqrt());
        let node = self.y.pattern.order().get(k).copied().unwrap_or(0);
        (node_id(grid, node), mismatch * S_BASE_VA / E::PHASES, u_pu)
    }

    /// The run did not get to steps as small as wanted.
    pub(super) fn not_converged(
        &self,
        grid: &Grid,
        iterations: usize,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) -> PowerFlowError {
        let (node, mismatch_w, u_pu) = self.worst(grid, injected);
        PowerFlowError::NotConverged {
            iterations,
            node,
            mismatch_w,
            u_pu,
        }
    }

    /// A factor of this iteration does not exist.
    pub(super) fn singular(
        &self,
        grid: &Grid,
        singular: Singular,
        iteration: usize,
        injected: impl Fn(usize, &E::Vector) -> E::Vector,
    ) -> PowerFlowError {
        let (worst, mismatch_w, _) = self.worst(grid, injected);
        PowerFlowError::Singular {
            node: grid.node_id[singular.row],
            iteration,
            worst,
            mismatch_w,
        }
    }

    /// The run ended with voltages that are no numbers.
    pub(super) fn diverged(&self, grid: &Grid, iterations: usize) -> PowerFlowError {
        let finite = |u: &E::Vector| (E::magnitudes(u)).is_finite();
        let k = self.u.iter().position(|u| !finite(u)).unwrap_or(0);
        let node = self.y.pattern.order().get(k).copied().unwrap_or(0);
        PowerFlowError::NotConverged {
            iterations,
            node: node_id(grid, node),
            mismatch_w: f64::INFINITY,
            u_pu: f64::NAN,
        }
    }
}

/// The largest of squares that may be not a number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Largest {
    most: f64,
    sum: f64,
}

impl Largest {
    pub(super) fn add(&mut self, square: f64) {
        self.most = self.most.max(square);
        // Keeps what `max` drops.
        self.sum += square;
    }

    /// Not a number if any is not finite.
    pub(super) fn root(self) -> f64 {
        if self.sum.is_finite() {
            self.most.sqrt()
        } else {
            f64::NAN
        }
    }
}
