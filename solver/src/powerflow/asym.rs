//! Power flow by phase: Newton-Raphson on the balance of currents in rectangular coordinates, and
//! the same iteration with the network's own factor, which is current injection.
//!
//! Unknowns per node are the real and imaginary parts of the three voltages, equations those of
//! the currents: 6 by 6 blocks of which only the diagonal ones change (Garcia et al., "Three-phase
//! power flow calculations using the current injection method", IEEE Trans. Power Systems, 2000).
//! A factor is kept as long as the steps shrink fast enough with it; current injection keeps it
//! from run to run, as long as neither taps nor switch states change.

use num_complex::Complex64;

use super::asym_injection::Injections;
use super::asym_output::ends;
use super::asym_sources::{Thevenin, thevenin};
use super::structure::{YBus, add};
use super::{Method, Options, PowerFlowError, node_id, worse};
use crate::network::{
    Grid, Id, Matrix3, NetworkError, PhaseGrid, Phases, S_BASE_VA, Side, balanced,
};
use crate::sparse::{Block, BlockLu, Slot};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// A new factor when a step is more than this of the one before.
const SLOW: f64 = 0.05;

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Not energised: voltage zero.
    Dead,
    /// Solved for.
    Free,
    /// At a nearly ideal source.
    Stiff,
}

/// A solved power flow by phase.
#[derive(Clone, Debug, PartialEq)]
pub struct AsymSolution {
    /// Voltages of each node, pu; zero where it is not energised.
    pub u: Vec<Phases>,
    /// What each source of the grid delivers, pu of a phase's base, generation-positive.
    pub sources: Vec<Phases>,
    /// Iterations needed.
    pub iterations: usize,
}

/// A power flow by phase of one structure, run with whatever values and switch states.
#[derive(Clone, Debug)]
pub struct AsymPowerFlow {
    phases: PhaseGrid,
    y: YBus<Matrix3>,
    /// Slot in the factor of each entry of `y`.
    slot: Vec<Slot>,
    lu: BlockLu<6>,
    injections: Injections,
    source: Vec<Option<Thevenin>>,
    role: Vec<Role>,
    u: Vec<Phases>,
    step: Vec<[f64; 6]>,
    /// Admittances and roles that current injection's factor was made from.
    factored: Option<(Vec<Matrix3>, Vec<Role>)>,
}

impl AsymPowerFlow {
    /// Order and workspace for a grid's nodes and branches. Values and switch states may change
    /// afterwards, nodes and branch ends may not.
    ///
    /// # Errors
    /// Everything of the network that lacks zero-sequence data.
    pub fn new(grid: &Grid) -> Result<Self, NetworkError> {
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
        Ok(Self {
            phases: PhaseGrid::new(grid)?,
            y,
            slot,
            lu,
            injections: Injections::new(grid),
            source: vec![None; n],
            role: vec![Role::Dead; n],
            u: vec![[ZERO; 3]; n],
            step: vec![[0.0; 6]; n],
            factored: None,
        })
    }

    /// Solves for the node voltages. `start` is where to start from, pu, such as the last
    /// solution; without it, and where it is zero, from a flat start at the no-load angles.
    ///
    /// # Errors
    /// No solution, with the node where it fails; or arguments that do not fit the grid.
    pub fn run(
        &mut self,
        grid: &Grid,
        start: Option<&[Phases]>,
        method: Method,
        options: &Options,
    ) -> Result<AsymSolution, PowerFlowError> {
        if !self.y.fits(grid) {
            return Err(PowerFlowError::OtherGrid);
        }
        let start = start.unwrap_or(&[]);
        check_start(grid, start)?;
        self.regulated(grid)?;
        self.prepare(grid);
        self.start(grid, start);
        let mut fresh = method == Method::Newton || !self.keep_factor();
        let mut last = f64::INFINITY;
        for iteration in 1..=options.max_iterations {
            if fresh {
                self.factor(grid, method, iteration)?;
            }
            let change = self.iterate(grid, iteration)?;
            if change < options.tolerance {
                return Ok(AsymSolution {
                    u: self.u.clone(),
                    sources: self.source_powers(grid),
                    iterations: iteration,
                });
            }
            fresh = method == Method::Newton && (iteration == 1 || change > SLOW * last);
            last = change;
        }
        let (node, mismatch_w, u_pu) = self.worst(grid);
        Err(PowerFlowError::NotConverged {
            iterations: options.max_iterations,
            node,
            mismatch_w,
            u_pu,
        })
    }

    /// What the last run's grid has by phase.
    #[must_use]
    pub fn phases(&self) -> &PhaseGrid {
        &self.phases
    }

    /// Refuses what only the symmetric power flow computes.
    fn regulated(&self, grid: &Grid) -> Result<(), PowerFlowError> {
        let mut regulators = grid
            .network()
            .voltage_regulator
            .iter()
            .filter(|r| r.status != 0);
        let held = regulators.find_map(|r| {
            let a = &grid.appliances[grid.index_of_appliance(r.regulated_object)?];
            (a.closed && grid.energised[a.node]).then_some(a.node)
        });
        match held {
            None => Ok(()),
            Some(node) => Err(PowerFlowError::Regulation {
                node: grid.node_id[node],
                reason: "voltage regulators are computed by the symmetric power flow only",
            }),
        }
    }

    /// Current entering a branch at an end, pu, in a solution of the last run's grid.
    pub(super) fn current(
        &self,
        grid: &Grid,
        solution: &AsymSolution,
        end: (usize, Side),
    ) -> Phases {
        let b = &grid.branches[end.0];
        let [from, to] = ends(
            &self.phases.branches[end.0],
            &solution.u[b.from],
            &solution.u[b.to],
        );
        if end.1 == Side::From { from.i } else { to.i }
    }

    /// Values of this run: admittances, injections, sources and the nodes' roles.
    fn prepare(&mut self, grid: &Grid) {
        self.phases.follow(grid);
        self.y.assemble(&self.phases);
        self.injections.follow(grid, &self.phases);
        thevenin(grid, &self.phases, &mut self.source);
        for i in 0..self.role.len() {
            let others = &self.y.value[self.y.diagonal[i]];
            self.role[i] = match &self.source[i] {
                _ if !grid.energised[i] => Role::Dead,
                Some(s) if s.is_stiff(others) => Role::Stiff,
                _ => Role::Free,
            };
        }
    }

    fn start(&mut self, grid: &Grid, start: &[Phases]) {
        for (i, u) in self.u.iter_mut().enumerate() {
            let live = self.phases.live_phases(i);
            let usable = |u: &&Phases| u.iter().zip(live).all(|(u, live)| !live || *u != ZERO);
            let given = start.get(i).filter(usable);
            *u = match (self.role[i], &self.source[i], given) {
                (Role::Dead, ..) => [ZERO; 3],
                (Role::Stiff, Some(s), _) => s.u,
                (_, _, Some(given)) => *given,
                _ => balanced(Complex64::from_polar(1.0, grid.clock_angle[i])),
            };
            for (u, _) in u.iter_mut().zip(live).filter(|(_, live)| !live) {
                *u = ZERO;
            }
        }
        self.settle_sources();
    }

    /// Whether current injection's factor is still that of the network.
    fn keep_factor(&mut self) -> bool {
        let sources = &self.source;
        let y = &self.y;
        let own = |i: usize| sources[i].map_or(Matrix3::ZERO, |s| s.y);
        let Some((values, roles)) = &mut self.factored else {
            let mut values = y.value.clone();
            values.extend((0..self.role.len()).map(own));
            self.factored = Some((values, self.role.clone()));
            return false;
        };
        let entries = y.value.len();
        let same = *roles == self.role
            && values[..entries] == y.value
            && values[entries..]
                .iter()
                .enumerate()
                .all(|(i, v)| *v == own(i));
        if !same {
            roles.copy_from_slice(&self.role);
            values[..entries].copy_from_slice(&y.value);
            for (i, value) in values[entries..].iter_mut().enumerate() {
                *value = own(i);
            }
        }
        same
    }

    /// Factors the derivative of the current balance; for current injection, of its linear part.
    fn factor(
        &mut self,
        grid: &Grid,
        method: Method,
        iteration: usize,
    ) -> Result<(), PowerFlowError> {
        if method == Method::Newton {
            self.factored = None;
        }
        self.lu.clear();
        for i in 0..self.role.len() {
            if self.role[i] != Role::Free {
                let block = self.lu.block_mut(self.slot[self.y.diagonal[i]]);
                for (k, row) in block.iter_mut().enumerate() {
                    row[k] = 1.0;
                }
                continue;
            }
            for (entry, _) in self.y.row(i) {
                *self.lu.block_mut(self.slot[entry]) = real(&self.y.value[entry]);
            }
            let block = self.lu.block_mut(self.slot[self.y.diagonal[i]]);
            if let Some(source) = &self.source[i] {
                let own = real(&source.y);
                for (row, own) in block.iter_mut().zip(&own) {
                    for (value, own) in row.iter_mut().zip(own) {
                        *value += own;
                    }
                }
            }
            if method == Method::Newton {
                self.injections.subtract_slope(i, &self.u[i], block);
            }
        }
        self.lu.factor().map_err(|singular| {
            let (worst, mismatch_w, _) = self.worst(grid);
            self.factored = None;
            PowerFlowError::Singular {
                node: grid.node_id[singular.row],
                iteration,
                worst,
                mismatch_w,
            }
        })
    }

    /// One step with the present factor; the largest change of a voltage, pu.
    fn iterate(&mut self, grid: &Grid, iteration: usize) -> Result<f64, PowerFlowError> {
        for i in 0..self.role.len() {
            self.step[i] = [0.0; 6];
            if self.role[i] == Role::Free {
                let missing = self.missing(i);
                for (p, current) in missing.iter().enumerate() {
                    self.step[i][p] = current.re;
                    self.step[i][p + 3] = current.im;
                }
            }
        }
        self.lu.solve(&mut self.step);
        let mut change: f64 = 0.0;
        for (u, step) in self.u.iter_mut().zip(&self.step) {
            for (p, u) in u.iter_mut().enumerate() {
                let du = Complex64::new(step[p], step[p + 3]);
                *u += du;
                change = worse(change, du.norm());
            }
        }
        change = worse(change, self.settle_sources());
        if change.is_finite() {
            return Ok(change);
        }
        self.factored = None;
        let at = self.u.iter().position(|u| u.iter().any(|u| !u.is_finite()));
        Err(PowerFlowError::NotConverged {
            iterations: iteration,
            node: node_id(grid, at.unwrap_or(0)),
            mismatch_w: f64::INFINITY,
            u_pu: f64::NAN,
        })
    }

    /// Sets the nodes at nearly ideal sources from the current they deliver; the largest change.
    fn settle_sources(&mut self) -> f64 {
        let mut change: f64 = 0.0;
        for i in 0..self.role.len() {
            if let (Role::Stiff, Some(s)) = (self.role[i], &self.source[i]) {
                let drop = s.z.apply(&self.taken(i));
                for p in 0..3 {
                    let u = s.u[p] - drop[p];
                    change = worse(change, (u - self.u[i][p]).norm());
                    self.u[i][p] = u;
                }
            }
        }
        change
    }

    /// Current that everything but the sources takes at a node.
    fn taken(&self, i: usize) -> Phases {
        let mut current = self.y.current(i, &self.u);
        let injected = self.injections.current(i, &self.u[i]);
        for (current, injected) in current.iter_mut().zip(&injected) {
            *current -= injected;
        }
        current
    }

    /// Current that is missing at a node.
    fn missing(&self, i: usize) -> Phases {
        let mut missing = self.taken(i).map(|i| -i);
        if let Some(s) = &self.source[i] {
            let difference = [0, 1, 2].map(|p| s.u[p] - self.u[i][p]);
            add(&mut missing, &s.y.apply(&difference));
        }
        missing
    }

    /// Node with the largest mismatch of apparent power, W, and its least voltage, pu.
    fn worst(&self, grid: &Grid) -> (Id, f64, f64) {
        let mut worst = (0, 0.0);
        for i in (0..self.role.len()).filter(|&i| self.role[i] == Role::Free) {
            let missing = self.missing(i);
            let powers = missing
                .iter()
                .zip(&self.u[i])
                .map(|(i, u)| (u * i.conj()).norm());
            let mismatch: f64 = powers.sum();
            if mismatch > worst.1 {
                worst = (i, mismatch);
            }
        }
        let (i, mismatch) = worst;
        let u = self.u.get(i).unwrap_or(&[ZERO; 3]);
        let u_pu = u.iter().map(|u| u.norm()).fold(f64::INFINITY, f64::min);
        (node_id(grid, i), mismatch * S_BASE_VA / 3.0, u_pu)
    }

    /// What each source delivers, from the balance of its node: see
    /// [`source_powers`](super::source_powers).
    fn source_powers(&self, grid: &Grid) -> Vec<Phases> {
        let own = |(s, y): (&crate::network::SourceBehind, &Matrix3)| {
            let Some(all) = self.source[s.node].as_ref().filter(|_| s.closed) else {
                return [ZERO; 3];
            };
            if self.role[s.node] == Role::Dead {
                return [ZERO; 3];
            }
            let current = all.share(&self.taken(s.node), y, s.u_ref);
            [0, 1, 2].map(|p| self.u[s.node][p] * current[p].conj())
        };
        grid.sources
            .iter()
            .zip(&self.phases.sources)
            .map(own)
            .collect()
    }
}

/// A complex matrix as a real one on real and imaginary parts.
fn real(y: &Matrix3) -> Block<6> {
    let mut block = [[0.0; 6]; 6];
    for i in 0..3 {
        for j in 0..3 {
            let y = y.0[i][j];
            block[i][j] = y.re;
            block[i][j + 3] = -y.im;
            block[i + 3][j] = y.im;
            block[i + 3][j + 3] = y.re;
        }
    }
    block
}

fn check_start(grid: &Grid, start: &[Phases]) -> Result<(), PowerFlowError> {
    let (what, nodes, len) = ("start", grid.node_id.len(), start.len());
    if len != nodes && len != 0 {
        return Err(PowerFlowError::Length { what, len, nodes });
    }
    match start.iter().position(|u| u.iter().any(|u| !u.is_finite())) {
        None => Ok(()),
        Some(i) => Err(PowerFlowError::NotFinite {
            what,
            node: grid.node_id[i],
        }),
    }
}
