//! The once-a-second case: the same meters, new values.
//!
//! Order, equations and factor are kept from run to run, and each begins where the last ones
//! ended; a run allocates nothing unless switches, taps or the meters that answer change. What a
//! tracker says is the optimum, by the same criterion as the [`Estimator`](super::Estimator)'s, but
//! it looks neither for bad data nor at observability: the chi-square test tells when to ask that.

use num_complex::Complex64;

use super::constraints::{Constraints, set_references};
use super::equation::{Model, State};
use super::fast::Fast;
use super::problem::{self, Observation, Scale};
use super::statistics::chi_square_quantile;
use super::wls::Wls;
use super::{Asym, EstimationError, EstimatorOf, Form, Options, Readings, Sym};
use crate::network::{Grid, PhaseGrid, Revision};

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At no load.
    Flat,
    /// Where the last runs ended.
    Last,
}

/// Estimates the positive sequence again and again.
pub type Tracker = TrackerOf<Sym, 1, 4>;

/// Estimates the phases a, b, c again and again.
pub type AsymTracker = TrackerOf<Asym, 3, 12>;

/// See [`Tracker`] and [`AsymTracker`]: `P` phases, blocks of `B = 4 P`.
pub struct TrackerOf<F: Form, const P: usize, const B: usize> {
    estimator: EstimatorOf<F>,
    options: Options,
    /// Of the readings and of the grid that it is prepared for.
    readings: Revision,
    revision: Revision,
    /// As prepared; `values` are those of now.
    observations: Vec<Observation>,
    scales: Vec<Scale>,
    values: Vec<f64>,
    constraints: Constraints,
    fast: Fast<P, B>,
    /// Voltages of the sources.
    references: Vec<Complex64>,
    flat: State,
    /// The fast fit began at `flat` last time.
    began_flat: bool,
    tracked: Tracked<P>,
    wls: Option<Wls>,
}

/// Power and current entering a branch at one end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackedEnd<const P: usize> {
    /// Power of each phase, pu.
    pub s: [Complex64; P],
    /// Current of each phase, pu.
    pub i: [Complex64; P],
}

/// The state found, in the order of the grid's tables. Per unit of a phase: powers on
/// `S_BASE_VA / P`, generation-positive.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracked<const P: usize> {
    /// Node voltages; zero where not energised.
    pub u: Vec<[Complex64; P]>,
    /// What sources and appliances inject at each node.
    pub nodes: Vec<[Complex64; P]>,
    /// Loads and generators.
    pub appliances: Vec<[Complex64; P]>,
    /// Sources.
    pub sources: Vec<[Complex64; P]>,
    /// The objective, see [`TrackerOf::objective`], exceeds it with `1 - confidence` on clean data.
    pub chi_square_threshold: f64,
    /// Measurements beyond what the state needs, if it is observable.
    pub degrees_of_freedom: usize,
    /// Steps taken.
    pub iterations: usize,
    /// Newton decrement at the end.
    pub gradient_norm: f64,
    /// Found by the orthogonal fit, as the fast one did not converge.
    pub orthogonal: bool,
}

impl AsymTracker {
    /// What the last run's grid has by phase.
    #[must_use]
    pub fn phases(&self) -> &PhaseGrid {
        self.estimator.phases()
    }
}

impl<F: Form, const P: usize, const B: usize> TrackerOf<F, P, B> {
    /// Prepares for a grid, by its estimator, and readings of these kinds, places and standard
    /// deviations.
    ///
    /// # Errors
    /// As [`EstimatorOf::run`], but for convergence.
    pub fn new(
        mut estimator: EstimatorOf<F>,
        grid: &Grid,
        readings: &Readings,
        options: &Options,
    ) -> Result<Self, EstimationError> {
        let measurements = readings.measurements();
        let (observations, _) = problem::observe(estimator.follow(grid)?, &measurements)?;
        let model = estimator.model(grid);
        let constraints = Constraints::new(model, &observations);
        let fast = Fast::new(model, &constraints, &observations);
        let flat = flat(model, &constraints, &observations);
        let none = [Complex64::ZERO; P];
        let nodes = grid.node_id.len();
        let tracked = Tracked {
            u: vec![none; nodes],
            nodes: vec![none; nodes],
            appliances: vec![none; grid.appliances.len()],
            sources: vec![none; grid.sources.len()],
            chi_square_threshold: 0.0,
            degrees_of_freedom: 0,
            iterations: 0,
            gradient_norm: f64::NAN,
            orthogonal: false,
        };
        let mut tracker = Self {
            estimator,
            options: options.clone(),
            readings: readings.revision().clone(),
            scales: observations.iter().map(Observation::scale).collect(),
            values: observations.iter().map(|o| o.value).collect(),
            observations,
            constraints,
            fast,
            revision: grid.revision().clone(),
            references: grid.sources.iter().map(|s| s.u_ref).collect(),
            flat,
            began_flat: true,
            tracked,
            wls: None,
        };
        tracker.count(grid);
        tracker.fast.start(&tracker.flat);
        Ok(tracker)
    }

    /// The most likely state given these readings. They are prepared for anew where anything but values is
    /// not as in the last run.
    ///
    /// # Errors
    /// As [`EstimatorOf::run`].
    pub fn run(
        &mut self,
        grid: &Grid,
        readings: &Readings,
        start: Start,
    ) -> Result<&Tracked<P>, EstimationError> {
        if self.changed(grid, readings) {
            self.prepare(grid, readings, start)?;
        } else if start == Start::Flat {
            if !std::mem::replace(&mut self.began_flat, true) {
                self.fast.start(&self.flat);
            }
            self.fast.restart();
        } else {
            self.fast.follow();
        }
        let scales = self.values.iter_mut().zip(&self.scales);
        self.fast.values(scales.map(|(value, scale)| {
            *value = scale.of(readings.values());
            *value
        }));
        let fit = self
            .fast
            .fit(self.options.tolerance, self.options.max_iterations);
        self.tracked.orthogonal = fit.is_err();
        match fit {
            Ok(outcome) => {
                self.tracked.iterations = outcome.iterations;
                self.tracked.gradient_norm = outcome.gradient_norm;
            }
            Err(_) => self.orthogonal(grid)?,
        }
        self.report(grid);
        Ok(&self.tracked)
    }

    /// Sum of the squares of residuals over standard deviations, of the last run and its grid.
    #[must_use]
    pub fn objective(&self, grid: &Grid) -> f64 {
        let model = self.estimator.model(grid);
        let now = self.observations.iter().zip(self.values.iter().copied());
        let expected = self.constraints.expected.iter().map(|o| (o, o.value));
        now.chain(expected)
            .map(|(o, value)| {
                let residual = o.residual_of(value, self.value(model, o));
                (residual / o.sigma).powi(2)
            })
            .sum()
    }

    /// What the last run found.
    #[must_use]
    pub fn tracked(&self) -> &Tracked<P> {
        &self.tracked
    }

    /// What enters a branch of the grid at its ends, from and to, by the last run.
    #[must_use]
    #[inline]
    pub fn branch(&self, k: usize) -> [TrackedEnd<P>; 2] {
        let ends = self.fast.augmented.branch(k);
        ends.map(|(s, i)| TrackedEnd { s, i })
    }

    /// Switches, taps, or more of the readings than their values are not as in the last run.
    fn changed(&self, grid: &Grid, readings: &Readings) -> bool {
        !self.revision.is(grid.revision())
            || !self.readings.is(readings.revision())
            || !(self.references.iter().zip(&grid.sources)).all(|(u, s)| *u == s.u_ref)
    }

    fn prepare(
        &mut self,
        grid: &Grid,
        readings: &Readings,
        start: Start,
    ) -> Result<(), EstimationError> {
        let measurements = readings.measurements();
        let (observations, _) = problem::observe(self.estimator.follow(grid)?, &measurements)?;
        let model = self.estimator.model(grid);
        self.observations = observations;
        self.scales.clear();
        self.scales
            .extend(self.observations.iter().map(Observation::scale));
        self.values.clear();
        self.values
            .extend(self.observations.iter().map(|o| o.value));
        self.constraints = Constraints::new(model, &self.observations);
        self.flat = flat(model, &self.constraints, &self.observations);
        let mut state = self.flat.clone();
        if start == Start::Last {
            for (u, last) in state.u.iter_mut().zip(self.tracked.u.as_flattened()) {
                if last.norm() > 0.1 && *u != Complex64::ZERO {
                    *u = *last;
                }
            }
            set_references(model, &self.constraints, &mut state);
        }
        self.fast = Fast::new(model, &self.constraints, &self.observations);
        self.fast.start(&state);
        self.began_flat = start == Start::Flat;
        self.readings = readings.revision().clone();
        self.revision = grid.revision().clone();
        self.references.clear();
        self.references.extend(grid.sources.iter().map(|s| s.u_ref));
        self.wls = None;
        self.count(grid);
        Ok(())
    }

    /// Degrees of freedom: what is measured and what holds anyway, less what is sought.
    fn count(&mut self, grid: &Grid) {
        let model = self.estimator.model(grid);
        let live = |node: usize, phase: usize| model.is_live(node, phase);
        let mut sought = 0_usize;
        for node in 0..grid.node_id.len() {
            sought += 2 * model.phases().filter(|&phase| live(node, phase)).count();
        }
        for a in 0..model.layout.appliances {
            let of_phase = |&phase: &usize| problem::appliance_is_live(model, a, phase);
            sought += 2 * model.phases().filter(of_phase).count();
        }
        for &(node, angle, magnitude) in &self.constraints.references {
            let phases = model.phases().filter(|&phase| live(node, phase)).count();
            sought -= phases * (usize::from(angle) + usize::from(magnitude));
        }
        sought -= self.fast.injections.indistinct();
        let told = self.observations.len() + self.constraints.zero.len();
        let degrees = told.saturating_sub(sought);
        self.tracked.degrees_of_freedom = degrees;
        self.tracked.chi_square_threshold =
            chi_square_quantile(1.0 - self.options.confidence, degrees);
    }

    /// The slow and sure way, from a flat start.
    fn orthogonal(&mut self, grid: &Grid) -> Result<(), EstimationError> {
        for (o, &value) in self.observations.iter_mut().zip(&self.values) {
            o.value = value;
        }
        let model = self.estimator.model(grid);
        let mut state = self.flat.clone();
        let wls = self.wls.get_or_insert_with(|| Wls::new(model));
        let fit = wls.fit(
            model,
            &self.constraints,
            &self.observations,
            &mut state,
            &self.options,
        );
        self.fast.start(&state);
        self.began_flat = false;
        self.fast.evaluate();
        self.tracked.iterations = fit.iterations;
        self.tracked.gradient_norm = fit.gradient_norm;
        match fit.failure {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn report(&mut self, grid: &Grid) {
        let tracked = &mut self.tracked;
        let model = self.estimator.model(grid);
        for node in 0..tracked.u.len() {
            tracked.u[node] = *self.fast.augmented.u(node);
            tracked.nodes[node] = self.fast.augmented.injection(node);
            if let Some(first) = model.layout.first_source[node] {
                tracked.sources[first] = tracked.nodes[node];
            }
        }
        let nodes = &tracked.nodes;
        let shares = self.fast.injections.appliances(|node| nodes[node]);
        for (unit, s) in shares.enumerate() {
            match unit.checked_sub(grid.appliances.len()) {
                None => tracked.appliances[unit] = s,
                Some(shared) => tracked.sources[model.layout.shared[shared]] = s,
            }
            if let Some(first) = model.layout.first_source[model.layout.node_of(grid, unit)] {
                for (first, s) in tracked.sources[first].iter_mut().zip(s) {
                    *first -= s;
                }
            }
        }
    }

    /// What an observation should be.
    fn value(&self, model: Model<'_>, o: &Observation) -> f64 {
        use super::AngleFrame::{Global, Local};
        use super::equation::What;
        let p = o.target.phase;
        let tracked = &self.tracked;
        let end = |branch: usize, side| {
            let [from, to] = self.branch(branch);
            if side == crate::network::Side::From {
                from
            } else {
                to
            }
        };
        match o.target.what {
            What::Magnitude(node) => tracked.u[node][p].norm(),
            What::Angle(node) => tracked.u[node][p].arg(),
            What::VoltageAlong(node, direction) => {
                (tracked.u[node][p] * Complex64::cis(-direction)).re
            }
            What::Branch(branch, side, part) => part.of(end(branch, side).s[p]),
            What::Current(branch, side) => end(branch, side).i[p].norm(),
            What::CurrentAlong(branch, side, Global, direction) => {
                (end(branch, side).i[p] * Complex64::cis(-direction)).re
            }
            What::CurrentAlong(branch, side, Local, direction) => {
                let b = &model.grid.branches[branch];
                let node = if side == crate::network::Side::From {
                    b.from
                } else {
                    b.to
                };
                let turned = end(branch, side).s[p] * Complex64::cis(-direction);
                turned.re / tracked.u[node][p].norm()
            }
            What::Appliance(a, part) => match a.checked_sub(tracked.appliances.len()) {
                None => part.of(tracked.appliances[a][p]),
                Some(shared) => part.of(tracked.sources[model.layout.shared[shared]][p]),
            },
            What::Shunt(shunt, part) => {
                let node = model
                    .grid
                    .known_node(model.grid.network().shunt[shunt].node);
                let y = &model.admittances.shunt(shunt)[P * p..][..P];
                let i: Complex64 = y.iter().zip(&tracked.u[node]).map(|(y, u)| y * u).sum();
                part.of(tracked.u[node][p] * i.conj())
            }
            What::Injection(node, part) => part.of(tracked.nodes[node][p]),
            What::Infeed(node, part) => (model.layout.first_source[node])
                .map_or(0.0, |first| part.of(tracked.sources[first][p])),
        }
    }
}

fn flat(model: Model<'_>, constraints: &Constraints, observations: &[Observation]) -> State {
    let mut state = problem::initial_state(model, observations, None);
    set_references(model, constraints, &mut state);
    state
}
