//! The power flow by phase.

use num_complex::Complex64;

use super::asym_injection::Injections;
use super::asym_newton::AsymNewton;
use super::asym_output::ends;
use super::case::Case;
use super::current::Current;
use super::factor::{Blocks, SinglePhases};
use super::structure::YBus;
use super::{Method, Options, PowerFlowError, worse};
use crate::network::{Grid, Matrix3, NetworkError, PhaseGrid, Phases, Sequences, Side, balanced};
use crate::sparse::Singular;

/// A new factor when a step is more than this of the one before.
const SLOW: f64 = 0.05;

/// A solved power flow by phase.
#[derive(Clone, Debug, Default, PartialEq)]
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
    case: Case<Matrix3>,
    /// By rows.
    injections: Injections,
    /// Constant powers besides the grid's own, by node; none, or of all.
    powers: Vec<Phases>,
    newton: Option<Box<AsymNewton>>,
    current: Option<Box<ByCurrent>>,
}

impl AsymPowerFlow {
    /// Order and workspace for a grid's nodes and branches. Values and switch states may change
    /// afterwards, nodes and branch ends may not.
    ///
    /// # Errors
    /// Everything of the network that lacks zero-sequence data.
    pub fn new(grid: &Grid) -> Result<Self, NetworkError> {
        let phases = PhaseGrid::new(grid)?;
        let y = YBus::new(grid);
        Ok(Self {
            phases,
            injections: Injections::new(grid),
            powers: Vec::new(),
            case: Case::new(y),
            newton: None,
            current: None,
        })
    }

    /// Solves for the node voltages. `start` is where to start from, pu, such as the last
    /// solution; where it is zero, from a flat start at the no-load angles. Without it Newton
    /// starts flat, current injection from the voltages without load.
    ///
    /// # Errors
    /// No solution, with the node where it fails; or arguments that do not fit the grid.
    pub fn run(
        &mut self,
        grid: &Grid,
        start: Option<&[Phases]>,
        options: &Options,
    ) -> Result<AsymSolution, PowerFlowError> {
        let mut solution = AsymSolution::default();
        self.run_into(grid, start, options, &mut solution)?;
        Ok(solution)
    }

    /// The same with constant powers from the phases to ground at each node besides the grid's own, pu of a
    /// phase's base, generation-positive.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn run_with(
        &mut self,
        grid: &Grid,
        powers: &[Phases],
        start: Option<&[Phases]>,
        options: &Options,
    ) -> Result<AsymSolution, PowerFlowError> {
        self.powers.clear();
        self.powers.extend_from_slice(powers);
        let mut solution = AsymSolution::default();
        let result = self.run_into(grid, start, options, &mut solution);
        self.powers.clear();
        result.map(|()| solution)
    }

    /// The same into a solution that is there already: a repeated solve allocates nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run); the solution is then as it was.
    pub fn run_into(
        &mut self,
        grid: &Grid,
        start: Option<&[Phases]>,
        options: &Options,
        solution: &mut AsymSolution,
    ) -> Result<(), PowerFlowError> {
        let new = self.case.is_new(grid)?;
        let start = start.unwrap_or(&[]);
        check_start(grid, start)?;
        regulated(grid)?;
        self.prepare(grid, new);
        let by_current = match options.method {
            Method::Current => self.run_current(grid, start, options),
            Method::Newton => None,
        };
        let iterations = match by_current {
            Some(iterations) => iterations,
            None => self.run_newton(grid, start, options)?,
        };
        let Self {
            case,
            injections,
            phases,
            ..
        } = self;
        let injected = |k: usize, u: &Phases| injections.current(k, u);
        let y = phases.sources.iter().copied();
        case.source_powers(grid, y, injected, &mut solution.sources);
        case.voltages(&mut solution.u);
        solution.iterations = iterations;
        Ok(())
    }

    /// What the last run's grid has by phase.
    #[must_use]
    pub fn phases(&self) -> &PhaseGrid {
        &self.phases
    }

    /// Current entering a branch at an end, pu, in a solution of the last run's grid.
    pub(crate) fn current(
        &self,
        grid: &Grid,
        solution: &AsymSolution,
        end: (usize, Side),
    ) -> Phases {
        let b = &grid.branches[end.0];
        let [from, to] = ends(&self.phases, end.0, &solution.u[b.from], &solution.u[b.to]);
        if end.1 == Side::From { from.i } else { to.i }
    }

    /// Values of this run: admittances, injections, sources and the rows' roles.
    fn prepare(&mut self, grid: &Grid, new: bool) {
        let Self {
            case,
            injections,
            phases,
            powers,
            ..
        } = self;
        phases.follow(grid);
        if new {
            case.y.assemble(phases);
            case.revision = Some(grid.revision().clone());
        }
        injections.follow(grid, phases, case.y.pattern.place());
        injections.add(powers, case.y.pattern.place());
        case.follow_sources(grid, phases.sources.iter().copied(), |_| false);
    }

    fn run_current(&mut self, grid: &Grid, start: &[Phases], options: &Options) -> Option<usize> {
        let Self {
            phases,
            case,
            injections,
            current,
            ..
        } = self;
        let injected = |k: usize, u: &Phases| injections.current(k, u);
        if !start.is_empty() {
            case.start_from(start, |node| flat(grid, phases, node));
        }
        let current =
            current.get_or_insert_with(|| Box::new(ByCurrent::new(grid, phases, &case.y)));
        current.solve(case, start.is_empty(), options, injected)
    }

    fn run_newton(
        &mut self,
        grid: &Grid,
        start: &[Phases],
        options: &Options,
    ) -> Result<usize, PowerFlowError> {
        let Self {
            phases,
            case,
            injections,
            newton,
            ..
        } = self;
        let newton = newton.get_or_insert_with(|| Box::new(AsymNewton::new(&case.y)));
        let injected = |k: usize, u: &Phases| injections.current(k, u);
        case.start_from(start, |node| flat(grid, phases, node));
        case.settle_sources(injected);
        let (mut last, mut fresh) = (f64::INFINITY, true);
        for iteration in 1..=options.max_iterations {
            if fresh {
                let factored = newton.factor(case, injections);
                factored.map_err(|s: Singular| case.singular(grid, s, iteration, injected))?;
            }
            let change = newton.iterate(case, injections);
            let change = worse(change, case.settle_sources(injected));
            if change < options.tolerance {
                return Ok(iteration);
            }
            if !change.is_finite() {
                return Err(case.diverged(grid, iteration));
            }
            fresh = iteration == 1 || change > SLOW * last;
            last = change;
        }
        Err(case.not_converged(grid, options.max_iterations, injected))
    }
}

/// Current injection with the smallest factor that a network has.
#[derive(Clone, Debug)]
struct ByCurrent {
    /// Where nothing couples the sequences.
    sequences: Current<Matrix3, Blocks<Sequences>>,
    /// Where most nodes have not all phases.
    phases: Option<Current<Matrix3, SinglePhases>>,
    nodes: Option<Current<Matrix3, Blocks<Matrix3>>>,
}

impl ByCurrent {
    fn new(grid: &Grid, phases: &PhaseGrid, y: &YBus<Matrix3>) -> Self {
        let n = y.diagonal.len();
        let single = SinglePhases::new(grid, phases, y);
        Self {
            sequences: Current::new(Blocks::new(y), n),
            phases: single.map(|single| Current::new(single, n)),
            nodes: None,
        }
    }

    /// As [`Current::solve`]; also none where the network without its loads is singular.
    fn solve(
        &mut self,
        case: &mut Case<Matrix3>,
        from_no_load: bool,
        options: &Options,
        injected: impl Fn(usize, &Phases) -> Phases + Copy,
    ) -> Option<usize> {
        if self.sequences.factor(case) {
            return self.sequences.solve(case, from_no_load, options, injected);
        }
        if let Some(phases) = &mut self.phases
            && phases.factor(case)
        {
            return phases.solve(case, from_no_load, options, injected);
        }
        let new = || Current::new(Blocks::new(&case.y), case.u.len());
        let nodes = self.nodes.get_or_insert_with(new);
        if !nodes.factor(case) {
            return None;
        }
        nodes.solve(case, from_no_load, options, injected)
    }
}

/// A node's voltages at its no-load angle; zero where it has none.
fn flat(grid: &Grid, phases: &PhaseGrid, node: usize) -> Phases {
    let u = balanced(Complex64::from_polar(1.0, grid.clock_angle[node]));
    let live = phases.live_phases(node);
    [0, 1, 2].map(|p| if live[p] { u[p] } else { Complex64::ZERO })
}

/// Refuses what only the symmetric power flow computes.
fn regulated(grid: &Grid) -> Result<(), PowerFlowError> {
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
