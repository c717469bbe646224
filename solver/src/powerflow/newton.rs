//! Newton-Raphson in polar form with relative voltage steps.
//!
//! Unknowns per node are `(dθ, dU/U)`, equations the balance of P and Q: 2 by 2 blocks on the
//! pattern of the bus admittance matrix (Tinney and Hart, 1967; Monticelli, 1999, chapter 4).
//! A source enters as its admittance to a known voltage. Where that admittance is so large that
//! `y (u_ref - u)` has no digits left (a nearly ideal source), the node's voltage is instead set
//! from the current the rest of the network takes, `u = u_ref - i / y`, once an iteration.

use num_complex::Complex64;

use super::appliances::{self, Zip};
use super::flows::{Thevenin, source_powers, thevenin};
use super::regulation::Regulation;
use super::structure::YBus;
use super::{Options, PowerFlowError, STIFF_RATIO, STIFF_Y, Solution, node_id, worse};
use crate::network::{Grid, Id, S_BASE_VA};
use crate::sparse::{BlockLu, Singular, Slot};

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Not energised: voltage zero.
    Dead,
    /// Solved for.
    Free,
    /// Solved for, its magnitude held by a regulator instead of its reactive power.
    Held,
    /// At a nearly ideal source.
    Stiff,
}

impl Role {
    fn is_solved(self) -> bool {
        matches!(self, Self::Free | Self::Held)
    }
}

/// A power flow of one structure, run with whatever values and switch states.
#[derive(Clone, Debug)]
pub struct PowerFlow {
    y: YBus,
    /// Slot in the factor of each entry of `y`.
    slot: Vec<Slot>,
    lu: BlockLu<2>,
    zip: Vec<Zip>,
    source: Vec<Option<Thevenin>>,
    role: Vec<Role>,
    regulation: Regulation,
    u: Vec<Complex64>,
    /// Mismatch, then step.
    step: Vec<[f64; 2]>,
    /// What of the network keeps it from being computed with its phases alike.
    only_by_phase: Option<(&'static str, Id)>,
}

impl PowerFlow {
    /// Order and workspace for a grid's nodes and branches. Values and switch states may change
    /// afterwards, nodes and branch ends may not.
    #[must_use]
    pub fn new(grid: &Grid) -> Self {
        let n = grid.node_id.len();
        let y = YBus::new(grid);
        let lu = BlockLu::new(n, y.edges());
        let slot = (0..n)
            .flat_map(|row| y.row(row).map(move |(_, column)| (row, column)))
            .map(|(row, column)| {
                lu.slot(row, column)
                    .expect("the factor's pattern covers the matrix it was made for")
            })
            .collect();
        Self {
            y,
            slot,
            lu,
            zip: vec![Zip::default(); n],
            source: vec![None; n],
            role: vec![Role::Dead; n],
            regulation: Regulation::default(),
            u: vec![Complex64::ZERO; n],
            step: vec![[0.0; 2]; n],
            only_by_phase: grid.network().only_by_phase(),
        }
    }

    /// Solves for the node voltages.
    ///
    /// `injections` are constant powers per node on top of the grid's own appliances, pu,
    /// generation-positive; empty for none. `start` is where to start from, pu, such as the last
    /// solution; a node whose start is zero starts flat, at its no-load angle.
    ///
    /// # Errors
    /// No solution, with the node where it fails; or arguments that do not fit the grid.
    pub fn run(
        &mut self,
        grid: &Grid,
        injections: &[Complex64],
        start: Option<&[Complex64]>,
        options: &Options,
    ) -> Result<Solution, PowerFlowError> {
        if !self.y.fits(grid) {
            return Err(PowerFlowError::OtherGrid);
        }
        if let Some((component, id)) = self.only_by_phase {
            return Err(PowerFlowError::OnlyByPhase { component, id });
        }
        check(grid, "injections", injections)?;
        if let Some(start) = start {
            check(grid, "start", start)?;
        }
        self.prepare(grid, injections)?;
        match start {
            Some(start) if !start.is_empty() => self.start_from(grid, start),
            _ => self.start_linear(grid),
        }
        self.settle_sources();
        let mut iterations = 0;
        loop {
            iterations += self.converge(grid, options)?;
            if !self.stop_at_limits() {
                break;
            }
        }
        let sources = source_powers(grid, &self.u, injections);
        let appliances = self
            .regulation
            .powers(grid, &self.u, |node| self.held_q(node));
        Ok(Solution {
            u: self.u.clone(),
            sources,
            appliances,
            regulators: self.regulation.states(grid),
            iterations,
        })
    }

    /// Iterates until the steps are small; how often.
    fn converge(&mut self, grid: &Grid, options: &Options) -> Result<usize, PowerFlowError> {
        for iteration in 1..=options.max_iterations {
            let change = self.iterate(grid, iteration)?;
            if change < options.tolerance {
                return Ok(iteration);
            }
        }
        let (node, mismatch_w, u_pu) = self.worst(grid);
        Err(PowerFlowError::NotConverged {
            iterations: options.max_iterations,
            node,
            mismatch_w,
            u_pu,
        })
    }

    /// Reactive power the regulators of a node supply, pu.
    fn held_q(&self, i: usize) -> f64 {
        let stopped = self.regulation.hold[i].is_some_and(|h| h.limit != 0);
        let q = (self.u[i] * self.taken(i).conj()).im;
        if stopped { q + self.zip[i].power.im } else { q }
    }

    /// Frees the voltages that would need more reactive power than there is; whether there are any.
    fn stop_at_limits(&mut self) -> bool {
        let mut stopped = false;
        for i in 0..self.role.len() {
            if self.role[i] != Role::Held {
                continue;
            }
            if let Some(limit) = self.regulation.stop(i, self.held_q(i)) {
                self.zip[i].power.im += limit;
                self.role[i] = Role::Free;
                stopped = true;
            }
        }
        stopped
    }

    /// Values of this run: admittances, injections, sources and the nodes' roles.
    fn prepare(&mut self, grid: &Grid, injections: &[Complex64]) -> Result<(), PowerFlowError> {
        self.y.assemble(grid);
        appliances::collect(grid, injections, &mut self.zip);
        self.regulation.follow(grid, &mut self.zip)?;
        thevenin(grid, &mut self.source);
        for i in 0..self.role.len() {
            let others = self.y.value[self.y.diagonal[i]].norm();
            let stiff = |s: &Thevenin| s.y.norm() >= STIFF_Y.max(STIFF_RATIO * others);
            self.role[i] = match &self.source[i] {
                _ if !grid.energised[i] => Role::Dead,
                Some(s) if stiff(s) => Role::Stiff,
                None if self.regulation.hold[i].is_some() => Role::Held,
                _ => Role::Free,
            };
        }
        Ok(())
    }

    fn start_from(&mut self, grid: &Grid, start: &[Complex64]) {
        for (i, u) in self.u.iter_mut().enumerate() {
            *u = match (self.role[i], &self.source[i]) {
                (Role::Dead, _) => Complex64::ZERO,
                (Role::Stiff, Some(s)) => s.u,
                _ if start[i] == Complex64::ZERO => Complex64::from_polar(1.0, grid.clock_angle[i]),
                _ => start[i],
            };
        }
    }

    /// Voltages of the network with loads and generators as impedances of their rated power.
    fn start_linear(&mut self, grid: &Grid) {
        self.lu.clear();
        for i in 0..self.role.len() {
            let mut current = Complex64::ZERO;
            match (self.role[i], &self.source[i]) {
                (Role::Dead, _) => self.pin(i),
                (Role::Stiff, Some(s)) => {
                    current = s.u;
                    self.pin(i);
                }
                (_, source) => {
                    let mut own = -self.zip[i].rated().conj();
                    if let Some(s) = source {
                        own += s.y;
                        current = s.y * s.u;
                    }
                    for (entry, column) in self.y.row(i) {
                        let mut y = self.y.value[entry];
                        if column == i {
                            y += own;
                        }
                        *self.lu.block_mut(self.slot[entry]) = [[y.re, -y.im], [y.im, y.re]];
                    }
                }
            }
            self.step[i] = [current.re, current.im];
        }
        // Impedances that happen to cancel need not stop the power flow itself.
        let solved = self.lu.factor().is_ok();
        if solved {
            self.lu.solve(&mut self.step);
        }
        for (i, &[re, im]) in self.step.iter().enumerate() {
            let u = Complex64::new(re, im);
            // A voltage without a magnitude has no direction to start from either.
            let usable = solved && u.is_finite() && u.norm() > 0.05;
            self.u[i] = match self.role[i] {
                Role::Free | Role::Held if !usable => {
                    Complex64::from_polar(1.0, grid.clock_angle[i])
                }
                _ => u,
            };
        }
    }

    /// Makes a row's step its right-hand side.
    fn pin(&mut self, row: usize) {
        *self.lu.block_mut(self.slot[self.y.diagonal[row]]) = [[1.0, 0.0], [0.0, 1.0]];
    }

    /// One iteration; the largest change of a voltage, pu.
    fn iterate(&mut self, grid: &Grid, iteration: usize) -> Result<f64, PowerFlowError> {
        self.lu.clear();
        for i in 0..self.role.len() {
            if self.role[i].is_solved() {
                self.linearise(i);
            } else {
                self.pin(i);
                self.step[i] = [0.0; 2];
            }
        }
        self.lu
            .factor()
            .map_err(|singular| self.singular(grid, singular, iteration))?;
        self.lu.solve(&mut self.step);
        let mut change: f64 = 0.0;
        for (i, &[angle, relative]) in self.step.iter().enumerate() {
            if self.role[i].is_solved() {
                let before = self.u[i];
                self.u[i] = before * Complex64::from_polar(1.0 + relative, angle);
                change = worse(change, (self.u[i] - before).norm());
            }
        }
        change = worse(change, self.settle_sources());
        if change.is_finite() {
            return Ok(change);
        }
        Err(PowerFlowError::NotConverged {
            iterations: iteration,
            node: self.first_not_finite(grid),
            mismatch_w: f64::INFINITY,
            u_pu: f64::NAN,
        })
    }

    /// Sets the nodes at nearly ideal sources from the current they deliver; the largest change.
    fn settle_sources(&mut self) -> f64 {
        let mut change: f64 = 0.0;
        for i in 0..self.role.len() {
            if let (Role::Stiff, Some(s)) = (self.role[i], self.source[i]) {
                let before = self.u[i];
                self.u[i] = s.u - self.taken(i) / s.y;
                change = worse(change, (self.u[i] - before).norm());
            }
        }
        change
    }

    /// Row of the Jacobian of (calculated - specified) power, and specified - calculated.
    fn linearise(&mut self, i: usize) {
        let u = self.u[i];
        let magnitude = u.norm();
        let mut current = self.y.total[i] * u;
        for (entry, column) in self.y.row(i) {
            if column != i {
                let y = self.y.value[entry];
                let a = u * (y * self.u[column]).conj();
                current += y * (self.u[column] - u);
                *self.lu.block_mut(self.slot[entry]) = [[a.im, a.re], [-a.re, a.im]];
            }
        }
        let mut s = u * current.conj();
        let own = self.y.diagonal[i];
        let mut y_own = self.y.value[own];
        if let Some(source) = self.source[i] {
            y_own += source.y;
            s += u * (source.y * (u - source.u)).conj();
        }
        let a = y_own.conj() * u.norm_sqr();
        let slope = self.zip[i].slope(magnitude);
        *self.lu.block_mut(self.slot[own]) = [
            [a.im - s.im, a.re + s.re - slope.re],
            [s.re - a.re, a.im + s.im - slope.im],
        ];
        let mismatch = self.zip[i].at(magnitude) - s;
        self.step[i] = [mismatch.re, mismatch.im];
        if let (Role::Held, Some(hold)) = (self.role[i], &self.regulation.hold[i]) {
            for (entry, column) in self.y.row(i) {
                let magnitude = if column == i { magnitude } else { 0.0 };
                self.lu.block_mut(self.slot[entry])[1] = [0.0, magnitude];
            }
            self.step[i][1] = hold.u_ref - magnitude;
        }
    }

    /// Current that everything but the sources takes at a node.
    fn taken(&self, i: usize) -> Complex64 {
        let u = self.u[i];
        self.y.current(i, &self.u) - (self.zip[i].at(u.norm()) / u).conj()
    }

    /// Node with the largest mismatch of apparent power, W, and its voltage, pu.
    fn worst(&self, grid: &Grid) -> (Id, f64, f64) {
        let mut worst = (0, 0.0);
        for i in 0..self.role.len() {
            if !self.role[i].is_solved() {
                continue;
            }
            let from_source = match self.source[i] {
                Some(s) => s.y * (s.u - self.u[i]),
                None => Complex64::ZERO,
            };
            let mismatch = self.u[i] * (from_source - self.taken(i)).conj();
            let mismatch = match self.role[i] {
                Role::Held => mismatch.re.abs(),
                _ => mismatch.norm(),
            };
            if mismatch > worst.1 {
                worst = (i, mismatch);
            }
        }
        let (i, mismatch) = worst;
        let u_pu = self.u.get(i).map_or(0.0, |u| u.norm());
        (node_id(grid, i), mismatch * S_BASE_VA, u_pu)
    }

    fn first_not_finite(&self, grid: &Grid) -> Id {
        let at = self.u.iter().position(|u| !u.is_finite());
        node_id(grid, at.unwrap_or(0))
    }

    fn singular(&self, grid: &Grid, singular: Singular, iteration: usize) -> PowerFlowError {
        let (worst, mismatch_w, _) = self.worst(grid);
        PowerFlowError::Singular {
            node: grid.node_id[singular.row],
            iteration,
            worst,
            mismatch_w,
        }
    }
}

fn check(grid: &Grid, what: &'static str, values: &[Complex64]) -> Result<(), PowerFlowError> {
    let nodes = grid.node_id.len();
    let len = values.len();
    if len != nodes && len != 0 {
        return Err(PowerFlowError::Length { what, len, nodes });
    }
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(PowerFlowError::NotFinite {
            what,
            node: grid.node_id[i],
        }),
    }
}
