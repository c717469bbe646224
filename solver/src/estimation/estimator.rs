//! The estimator: fit, look for bad data, fit again until clean, report.

use std::marker::PhantomData;

use num_complex::Complex64;

use super::admittances::Admittances;
use super::bad_data::{self, Check, Finding};
use super::covariance::Covariance;
use super::equation::{Model, Row, State};
use super::factor::{Pivot, SelectedInverse};
use super::fast::Fast;
use super::hints;
use super::layout::Layout;
use super::problem::{self, Constraints, Observation};
use super::report::Report;
use super::start;
use super::statistics::{chi_square_quantile, largest_normal_quantile};
use super::switches;
use super::wls::{self, Fit, Wls};
use super::{
    Asym, Estimate, EstimationError, Form, Measurement, Missing, Options, Quantity, Rejected,
    Relaxed, Residual, Sym, Unused,
};
use crate::network::{Grid, NetworkError, OnlyByPhase, PhaseGrid};

/// Estimates the state of one network, as often as wanted: see [`Estimator`] and
/// [`AsymEstimator`].
///
/// Holds what follows from the branches alone, open or closed; switching, taps and measurements
/// may differ from run to run.
pub struct EstimatorOf<F: Form> {
    layout: Layout,
    by_phase: Option<PhaseGrid>,
    admittances: Admittances,
    /// What of the network keeps it from being estimated with its phases alike.
    only_by_phase: Option<OnlyByPhase>,
    form: PhantomData<F>,
}

/// Estimates the positive sequence.
pub type Estimator = EstimatorOf<Sym>;

/// Estimates the phases a, b, c.
pub type AsymEstimator = EstimatorOf<Asym>;

impl Estimator {
    /// Prepares for a grid.
    #[must_use]
    pub fn new(grid: &Grid) -> Self {
        Self::prepared(grid, None)
    }
}

impl AsymEstimator {
    /// Prepares for a grid.
    ///
    /// # Errors
    /// Everything of the network that lacks zero-sequence data.
    pub fn new(grid: &Grid) -> Result<Self, NetworkError> {
        Ok(Self::prepared(grid, Some(PhaseGrid::new(grid)?)))
    }

    /// What the last run's grid has by phase.
    #[must_use]
    pub fn phases(&self) -> &PhaseGrid {
        let by_phase = self.by_phase.as_ref();
        by_phase.expect("made from the phases of a grid")
    }
}

impl<F: Form> EstimatorOf<F> {
    fn prepared(grid: &Grid, by_phase: Option<PhaseGrid>) -> Self {
        let only_by_phase = match by_phase {
            None => grid.network().only_by_phase(),
            Some(_) => None,
        };
        Self {
            layout: Layout::new(grid, F::PHASES),
            by_phase,
            only_by_phase,
            admittances: Admittances::default(),
            form: PhantomData,
        }
    }

    /// Takes over the grid as it is now.
    ///
    /// # Errors
    /// A grid other than that of `new`, or one whose phases are not alike for the positive
    /// sequence.
    pub(super) fn follow<'a>(&'a mut self, grid: &'a Grid) -> Result<Model<'a>, EstimationError> {
        if let Some(found) = self.only_by_phase {
            return Err(EstimationError::OnlyByPhase(found));
        }
        if !self.layout.fits(grid) {
            return Err(EstimationError::OtherGrid {
                found_nodes: grid.node_id.len(),
                found_branches: grid.branches.len(),
                found_appliances: grid.appliances.len(),
            });
        }
        if let Some(by_phase) = &mut self.by_phase {
            by_phase.follow(grid);
        }
        self.admittances.follow(grid, self.by_phase.as_ref());
        Ok(self.model(grid))
    }

    /// The grid as it was followed last.
    pub(super) fn model<'a>(&'a self, grid: &'a Grid) -> Model<'a> {
        Model {
            grid,
            layout: &self.layout,
            admittances: &self.admittances,
        }
    }

    /// The most likely state given `measurements`, bad data rejected. Where another state of a
    /// switch explains what is bad, that of a network switched so.
    ///
    /// `start` are node voltages, pu, in grid order, from where to begin: best a former estimate.
    /// A load or generator that is not measured is estimated from the rest, as far as that goes.
    ///
    /// # Errors
    /// A grid other than that of `new`, or one that is [only by phase](OnlyByPhase) for the
    /// positive sequence; measurements of unknown components, single phases of the positive
    /// sequence, impossible standard deviations, no convergence.
    pub fn run(
        &mut self,
        grid: &Grid,
        measurements: &[Measurement],
        start: Option<&[F::Of<Complex64>]>,
        options: &Options,
    ) -> Result<Estimate<F>, EstimationError> {
        match self.run_as_modelled(grid, measurements, start, options) {
            Ok(modelled) => Ok(switches::explain(
                self,
                grid,
                measurements,
                start,
                options,
                modelled,
            )),
            Err(failed) => {
                switches::explain_failure(self, grid, measurements, start, options, failed)
            }
        }
    }

    /// The most likely state with every switch as it is in the grid.
    pub(super) fn run_as_modelled(
        &mut self,
        grid: &Grid,
        measurements: &[Measurement],
        start: Option<&[F::Of<Complex64>]>,
        options: &Options,
    ) -> Result<Estimate<F>, Failed> {
        if let Some(u) = start.filter(|u| u.len() != grid.node_id.len()) {
            let (found, expected) = (u.len(), grid.node_id.len());
            return Err(EstimationError::StartLength { found, expected }.into());
        }
        let model = self.follow(grid)?;
        let (observations, unused) = problem::observe(model, measurements)?;
        let start: Option<Vec<Complex64>> = start.map(|u| {
            let phases = |u| model.phases().map(move |phase| *F::phase(u, phase));
            u.iter().flat_map(phases).collect()
        });
        let mut search = Search {
            model,
            options,
            state: problem::initial_state(model, &observations, start.as_deref()),
            observations,
            wls: Wls::new(model),
            found: Vec::new(),
            readmitted: Vec::new(),
            iterations: 0,
        };
        if start.is_none() {
            let factor = &mut search.wls.factor;
            start::linear(model, &search.observations, factor, &mut search.state);
        }
        let clean = search.until_clean();
        let clean = clean.map_err(|error| Failed {
            error: search.with_what_is_missing(error),
            suspects: search.suspects(),
        })?;
        Ok(search.estimate(clean, measurements.len(), unused))
    }
}

/// Why there is no estimate, and what looked bad on the way: positions in the measurements.
pub(super) struct Failed {
    pub(super) error: EstimationError,
    pub(super) suspects: Vec<usize>,
}

impl From<EstimationError> for Failed {
    fn from(error: EstimationError) -> Self {
        Self {
            error,
            suspects: Vec::new(),
        }
    }
}

/// A meter found bad: which observation, and what showed it.
struct Found {
    at: usize,
    normalised_residual: f64,
    threshold: f64,
    ambiguous_with: Vec<usize>,
}

/// The last fit.
struct Clean {
    fit: Fit,
    constraints: Constraints,
    covariance: Covariance,
    checks: Vec<Check>,
    threshold: f64,
    degrees_of_freedom: usize,
}

struct Search<'a> {
    model: Model<'a>,
    options: &'a Options,
    observations: Vec<Observation>,
    state: State,
    wls: Wls,
    found: Vec<Found>,
    /// Observations given a second chance; they get no third.
    readmitted: Vec<usize>,
    iterations: usize,
}

impl Search<'_> {
    /// Fits until nothing is left to change, first without currents: their direction comes from
    /// the state, and a power of the wrong sign would turn them along.
    fn until_clean(&mut self) -> Result<Clean, EstimationError> {
        let currents: Vec<usize> = (0..self.observations.len())
            .filter(|&at| self.observations[at].is_current())
            .collect();
        for &at in &currents {
            self.observations[at].used = false;
        }
        let clean = self.until_settled()?;
        if currents.is_empty() {
            return Ok(clean);
        }
        for &at in &currents {
            self.observations[at].used = true;
        }
        self.until_settled()
    }

    /// The reason why a fit fails can be that it has nothing to rest on.
    fn with_what_is_missing(&self, mut error: EstimationError) -> EstimationError {
        if let EstimationError::NotConverged { missing, .. } = &mut error {
            let constraints = Constraints::new(self.model, &self.observations);
            let parts = self.missing(&constraints, &[]);
            missing.extend(parts.into_iter().flat_map(|part| part.sensors));
        }
        error
    }

    /// What was rejected so far.
    fn suspects(&self) -> Vec<usize> {
        let found = self.found.iter();
        found
            .map(|found| self.observations[found.at].index)
            .collect()
    }

    /// What to measure in addition.
    fn missing(&self, constraints: &Constraints, unobservable: &[usize]) -> Vec<Missing> {
        let known: Vec<&Observation> = (self.observations.iter())
            .filter(|o| o.used && !o.is_current())
            .collect();
        hints::missing(self.model, constraints, &known, unobservable)
    }

    fn until_settled(&mut self) -> Result<Clean, EstimationError> {
        // Each round but the last relaxes, rejects or readmits something; the bound only guards
        // against a long dance between them.
        let mut rounds = self.observations.len() + 2 * self.options.max_rejected;
        loop {
            let clean = self.fit();
            if rounds == 0 || !self.change(&clean) {
                return match clean.fit.failure {
                    Some(failure) => Err(failure),
                    None => Ok(clean),
                };
            }
            rounds -= 1;
        }
    }

    /// Brings the state to the optimum the fast way, if that goes: the orthogonal fit then only
    /// confirms it. Iterations it took.
    fn approach<const P: usize, const B: usize>(&mut self, constraints: &Constraints) -> usize {
        let mut fast = Fast::<P, B>::new(self.model, constraints, &self.observations);
        fast.values(self.observations.iter().map(|o| o.value));
        fast.start(&self.state);
        match fast.fit(self.options.tolerance, self.options.max_iterations) {
            Ok(outcome) => {
                fast.finish(&mut self.state);
                outcome.iterations
            }
            Err(stuck) => stuck.iterations,
        }
    }

    fn fit(&mut self) -> Clean {
        let model = self.model;
        let constraints = Constraints::new(model, &self.observations);
        problem::set_references(model, &constraints, &mut self.state);
        let fast = match model.layout.phases {
            1 => self.approach::<1, 4>(&constraints),
            _ => self.approach::<3, 12>(&constraints),
        };
        self.iterations += fast;
        let before = self.state.clone();
        let fit = self.wls.fit(
            model,
            &constraints,
            &self.observations,
            &mut self.state,
            self.options,
        );
        self.iterations += fit.iterations;
        // A value out of this world can lead the iteration anywhere. The linear problem around the
        // start always has an answer, and shows which value it is.
        let step = fit.failure.is_some().then(|| {
            self.state = before;
            let used = wls::by_falling_weight(&constraints, &self.observations);
            self.wls
                .linearise(model, &constraints, &used, &self.state, |_| true);
            self.wls.linear_step(model)
        });
        let used = self.observations.iter().filter(|o| o.used).count();
        // Balances that are not eliminated determine something each, and so does what is expected.
        let used = used + constraints.expected.len() + self.wls.weighted;
        let determining = self
            .wls
            .factor
            .pivots()
            .iter()
            .filter(|&&p| p == Pivot::Finite)
            .count();
        let covariance = Covariance::new(&self.wls.factor, &model.layout.pattern);
        let mut row = Row::new();
        let checks: Vec<Check> = (self.observations.iter())
            .map(|o| {
                Check::new(
                    model,
                    &covariance,
                    o,
                    &self.state,
                    step.as_deref(),
                    &mut row,
                )
            })
            .collect();
        let testable = (self.observations.iter().zip(&checks))
            .filter(|(o, check)| o.used && check.sensitivity.is_some())
            .count();
        let threshold = largest_normal_quantile(1.0 - self.options.confidence, testable);
        Clean {
            fit,
            constraints,
            covariance,
            checks,
            threshold,
            degrees_of_freedom: used.saturating_sub(determining),
        }
    }

    /// Changes what takes part; false if nothing is to be changed.
    fn change(&mut self, clean: &Clean) -> bool {
        match bad_data::find(&self.observations, &clean.checks, clean.threshold) {
            Some(Finding::Relax { at, sigma }) => {
                self.observations[at].sigma = sigma;
                true
            }
            Some(Finding::Reject { at }) => {
                if self.found.len() >= self.options.max_rejected {
                    return false;
                }
                let ambiguous_with = bad_data::interchangeable(
                    self.model,
                    &self.wls.factor,
                    &self.observations,
                    &clean.checks,
                    clean.threshold,
                    &self.state,
                    at,
                );
                self.set_used(at, false);
                // What the bad meter may have pushed the guesses to is forgotten.
                for observation in &mut self.observations {
                    observation.sigma = observation.given_sigma;
                }
                self.found.push(Found {
                    at,
                    normalised_residual: clean.checks[at].normalised,
                    threshold: clean.threshold,
                    ambiguous_with,
                });
                true
            }
            None => clean.fit.failure.is_none() && self.readmit(clean),
        }
    }

    /// Takes back the best of the rejected that the clean state finds nothing wrong with: with
    /// several errors a good meter can look the worst for a while.
    fn readmit(&mut self, clean: &Clean) -> bool {
        let fits = (self.found.iter().enumerate())
            .map(|(place, found)| (place, clean.checks[found.at].normalised))
            .filter(|&(place, normalised)| {
                normalised <= clean.threshold && !self.readmitted.contains(&self.found[place].at)
            })
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((place, _)) = fits else { return false };
        let at = self.found.remove(place).at;
        self.set_used(at, true);
        self.readmitted.push(at);
        true
    }

    /// Takes a meter in or out, all its phases.
    fn set_used(&mut self, at: usize, used: bool) {
        let index = self.observations[at].index;
        for observation in self.observations.iter_mut().filter(|o| o.index == index) {
            observation.used = used;
        }
    }

    fn estimate<F: Form>(
        mut self,
        clean: Clean,
        measurements: usize,
        unused: Vec<Unused>,
    ) -> Estimate<F> {
        let undetermined = self.undetermined(&clean.constraints, |o| !o.is_current());
        let incomplete = self.wls.factor.pivots().contains(&Pivot::Free)
            || clean.constraints.assumed.contains(&true);
        let undetermined_by_meters =
            self.undetermined(&clean.constraints, |o| !o.is_current() && !o.pseudo);
        let report = Report {
            model: self.model,
            state: &self.state,
            covariance: &clean.covariance,
            undetermined: &undetermined,
            undetermined_by_meters: &undetermined_by_meters,
            assumed: &clean.constraints.assumed,
        };
        let grid = self.model.grid;
        let nodes = 0..grid.node_id.len();
        let unobservable: Vec<usize> = (nodes.clone())
            .filter(|&node| grid.energised[node] && !report.node_is_observable(node))
            .collect();
        let missing = match incomplete {
            true => self.missing(&clean.constraints, &unobservable),
            false => Vec::new(),
        };
        let used = || {
            self.observations
                .iter()
                .zip(&clean.checks)
                .filter(|(o, _)| o.used)
        };
        let mut row = Row::new();
        let mut off = |o: &Observation| {
            o.residual(self.model.evaluate(o.target, &self.state, &mut row)) / o.sigma
        };
        let objective = used()
            .map(|(o, check)| (check.residual / o.sigma).powi(2))
            .chain(clean.constraints.expected.iter().map(|o| off(o).powi(2)))
            .sum();
        let mut critical: Vec<usize> = used()
            .filter(|(o, check)| !o.pseudo && check.sensitivity.is_none())
            .map(|(o, _)| o.index)
            .collect();
        critical.dedup();
        let degrees_of_freedom = clean.degrees_of_freedom;
        let chi_square_threshold =
            chi_square_quantile(1.0 - self.options.confidence, degrees_of_freedom);
        Estimate {
            u: nodes
                .clone()
                .map(|node| F::of(|phase| self.state.u[self.model.at(node, phase)]))
                .collect(),
            nodes: report.nodes::<F>(),
            branches: report.branches::<F>(),
            appliances: report.appliances::<F>(&self.observations),
            sources: report.sources::<F>(),
            unobservable: (unobservable.iter())
                .map(|&node| grid.node_id[node])
                .collect(),
            missing,
            objective,
            degrees_of_freedom,
            chi_square_threshold,
            passed: degrees_of_freedom == 0 || objective <= chi_square_threshold,
            residual_threshold: clean.threshold,
            residuals: self.residuals::<F>(&clean, measurements),
            rejected: self.rejected(&clean, &report),
            suspected_switch: None,
            relaxed: used()
                .filter(|(o, _)| o.sigma > o.given_sigma)
                .map(|(o, _)| Relaxed {
                    index: o.index,
                    sigma: o.sigma * o.unit.abs(),
                })
                .collect(),
            critical,
            unused,
            iterations: self.iterations,
            gradient_norm: clean.fit.gradient_norm,
        }
    }

    /// What the selected observations leave undetermined at the state found.
    fn undetermined(
        &mut self,
        constraints: &Constraints,
        select: impl Fn(&Observation) -> bool,
    ) -> SelectedInverse {
        let used = wls::by_falling_weight(constraints, &self.observations);
        self.wls
            .linearise(self.model, constraints, &used, &self.state, select);
        self.wls.factor.undetermined(&self.model.layout.pattern)
    }

    fn residuals<F: Form>(
        &self,
        clean: &Clean,
        measurements: usize,
    ) -> Vec<F::Of<Option<Residual>>> {
        let mut residuals = vec![F::of(|_| None); measurements];
        for (o, check) in self
            .observations
            .iter()
            .zip(&clean.checks)
            .filter(|(o, _)| o.used)
        {
            let sign = o.unit.signum();
            let residual = F::phase_mut(&mut residuals[o.index], o.target.phase);
            *residual = Some(Residual {
                residual: check.residual * o.unit,
                normalised: check
                    .sensitivity
                    .map(|_| check.normalised * sign * check.residual.signum()),
                detectable: check
                    .sensitivity
                    .map(|s| clean.threshold * o.sigma * o.unit.abs() / s.sqrt()),
            });
        }
        residuals
    }

    fn rejected(&self, clean: &Clean, report: &Report<'_>) -> Vec<Rejected> {
        (self.found.iter())
            .map(|found| {
                let (o, check) = (&self.observations[found.at], &clean.checks[found.at]);
                Rejected {
                    index: o.index,
                    phase: self.model.phase(o.target.phase),
                    measured: o.value * o.unit,
                    estimated: report.is_observable(o.target).then(|| Quantity {
                        value: check.estimated * o.unit,
                        sigma: check.variance.sqrt() * o.unit.abs(),
                    }),
                    normalised_residual: found.normalised_residual,
                    threshold: found.threshold,
                    suspicion: bad_data::suspect(o, check.estimated, check.variance),
                    ambiguous_with: found.ambiguous_with.clone(),
                }
            })
            .collect()
    }
}
