//! The symmetric power flow: one phase for all.

use num_complex::Complex64;

use super::appliances::{self, Zip};
use super::case::{Case, Role};
use super::current::Current;
use super::factor::Blocks;
use super::newton::Newton;
use super::regulation::Regulation;
use super::structure::YBus;
use super::{Method, Options, PowerFlowError, Solution, worse};
use crate::network::{Grid, OnlyByPhase, SourceBehind};

/// A power flow of one structure, run with whatever values and switch states.
#[derive(Clone, Debug)]
pub struct PowerFlow {
    case: Case<Complex64>,
    /// By rows.
    zip: Vec<Zip>,
    regulation: Regulation,
    newton: Option<Box<Newton>>,
    current: Option<Box<Current<Complex64, Blocks<Complex64>>>>,
    /// What of the network keeps it from being computed with its phases alike.
    only_by_phase: Option<OnlyByPhase>,
}

/// Admittances of the sources.
fn admittances(grid: &Grid) -> impl Iterator<Item = Complex64> {
    grid.sources.iter().map(|s: &SourceBehind| s.y)
}

impl PowerFlow {
    /// Order and workspace for a grid's nodes and branches. Values and switch states may change
    /// afterwards, nodes and branch ends may not.
    #[must_use]
    pub fn new(grid: &Grid) -> Self {
        let y = YBus::new(grid);
        Self {
            zip: vec![Zip::default(); y.diagonal.len()],
            case: Case::new(y),
            regulation: Regulation::default(),
            newton: None,
            current: None,
            only_by_phase: (grid.network().only_by_phase())
                .or_else(|| grid.network().voltage_limited()),
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
        let mut solution = Solution::default();
        self.run_into(grid, injections, start, options, &mut solution)?;
        Ok(solution)
    }

    /// The same into a solution that is there already: a repeated solve allocates nothing, as
    /// long as no regulator holds a voltage.
    ///
    /// # Errors
    /// As [`run`](Self::run); the solution is then as it was.
    pub fn run_into(
        &mut self,
        grid: &Grid,
        injections: &[Complex64],
        start: Option<&[Complex64]>,
        options: &Options,
        solution: &mut Solution,
    ) -> Result<(), PowerFlowError> {
        let new = self.case.is_new(grid)?;
        if let Some(found) = self.only_by_phase {
            return Err(PowerFlowError::OnlyByPhase(found));
        }
        check(grid, "injections", injections)?;
        let start = start.unwrap_or(&[]);
        check(grid, "start", start)?;
        self.prepare(grid, new, injections)?;
        let holds = self.case.role.contains(&Role::Held);
        let by_current = match options.method {
            Method::Current if !holds => self.run_current(grid, start, options),
            _ => None,
        };
        let iterations = match by_current {
            Some(iterations) => iterations,
            None => self.run_newton(grid, start, options)?,
        };
        let Self { case, zip, .. } = self;
        let injected = |k: usize, u: &Complex64| zip[k].injected(*u, 1.0);
        case.source_powers(grid, admittances(grid), injected, &mut solution.sources);
        case.voltages(&mut solution.u);
        let place = self.case.y.pattern.place();
        self.regulation.powers(
            grid,
            &solution.u,
            |node| self.held_q(place[node]),
            &mut solution.appliances,
        );
        self.regulation.states(grid, &mut solution.regulators);
        solution.iterations = iterations;
        Ok(())
    }

    fn run_current(
        &mut self,
        grid: &Grid,
        start: &[Complex64],
        options: &Options,
    ) -> Option<usize> {
        let Self {
            case, zip, current, ..
        } = self;
        let current = current
            .get_or_insert_with(|| Box::new(Current::new(Blocks::new(&case.y), case.u.len())));
        if !current.factor(case) {
            return None;
        }
        let injected = |k: usize, u: &Complex64| zip[k].injected(*u, 1.0);
        if !start.is_empty() {
            case.start_from(start, |node| {
                Complex64::from_polar(1.0, grid.clock_angle[node])
            });
        }
        current.solve(case, start.is_empty(), options, injected)
    }

    fn run_newton(
        &mut self,
        grid: &Grid,
        start: &[Complex64],
        options: &Options,
    ) -> Result<usize, PowerFlowError> {
        let Self {
            case, zip, newton, ..
        } = self;
        let newton = newton.get_or_insert_with(|| Box::new(Newton::new(&case.y)));
        if start.is_empty() {
            newton.start(case, zip, grid);
        } else {
            case.start_from(start, |node| {
                Complex64::from_polar(1.0, grid.clock_angle[node])
            });
        }
        case.settle_sources(|k, u| zip[k].injected(*u, 1.0));
        let mut iterations = 0;
        loop {
            iterations += self.converge(grid, options)?;
            if !self.stop_at_limits() {
                return Ok(iterations);
            }
        }
    }

    /// Newton iterations until the steps are small; how often.
    fn converge(&mut self, grid: &Grid, options: &Options) -> Result<usize, PowerFlowError> {
        let Self {
            case,
            zip,
            newton,
            regulation,
            ..
        } = self;
        let newton = newton.get_or_insert_with(|| Box::new(Newton::new(&case.y)));
        let injected = |k: usize, u: &Complex64| zip[k].injected(*u, 1.0);
        for iteration in 1..=options.max_iterations {
            let change = newton
                .iterate(case, zip, regulation)
                .map_err(|singular| case.singular(grid, singular, iteration, injected))?;
            let change = worse(change, case.settle_sources(injected));
            if change < options.tolerance {
                return Ok(iteration);
            }
            if !change.is_finite() {
                return Err(case.diverged(grid, iteration));
            }
        }
        Err(case.not_converged(grid, options.max_iterations, injected))
    }

    /// Reactive power the regulators of a row supply, pu.
    fn held_q(&self, k: usize) -> f64 {
        let taken = self.case.taken(k, |k, u| self.zip[k].injected(*u, 1.0));
        let q = (self.case.u[k] * taken.conj()).im;
        let node = self.case.y.pattern.order()[k];
        let stopped = self.regulation.hold[node].is_some_and(|h| h.limit != 0);
        if stopped { q + self.zip[k].power.im } else { q }
    }

    /// Frees the voltages that would need more reactive power than there is; whether there are any.
    fn stop_at_limits(&mut self) -> bool {
        let mut stopped = false;
        for k in 0..self.case.role.len() {
            if self.case.role[k] != Role::Held {
                continue;
            }
            let node = self.case.y.pattern.order()[k];
            if let Some(limit) = self.regulation.stop(node, self.held_q(k)) {
                self.zip[k].power.im += limit;
                self.case.role[k] = Role::Free;
                stopped = true;
            }
        }
        stopped
    }

    /// Values of this run: admittances, injections, sources and the rows' roles.
    fn prepare(
        &mut self,
        grid: &Grid,
        new: bool,
        injections: &[Complex64],
    ) -> Result<(), PowerFlowError> {
        let Self {
            case,
            zip,
            regulation,
            ..
        } = self;
        if new {
            case.y.assemble(grid);
            case.revision = Some(grid.revision().clone());
        }
        let place = case.y.pattern.place();
        appliances::collect(grid, injections, place, zip);
        regulation.follow(grid, place, zip)?;
        case.follow_sources(grid, admittances(grid), |node| regulation.holds(node));
        Ok(())
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
