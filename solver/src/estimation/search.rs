//! The search for a state that all measurements in use agree with: fit, look for bad data, fit again
//! until clean.

use super::bad_data::{self, Check, Finding};
use super::constraints::{Constraints, set_references};
use super::covariance::Covariance;
use super::equation::{Model, Row, State};
use super::factor::Pivot;
use super::fast::Fast;
use super::hints;
use super::problem::Observation;
use super::statistics::largest_normal_quantile;
use super::wls::{self, Fit, Wls};
use super::{EstimationError, Missing, Options};

/// A meter found bad: which observation, and what showed it.
pub(super) struct Found {
    pub(super) at: usize,
    pub(super) normalised_residual: f64,
    pub(super) threshold: f64,
    pub(super) ambiguous_with: Vec<usize>,
}

/// The last fit.
pub(super) struct Clean {
    pub(super) fit: Fit,
    pub(super) constraints: Constraints,
    pub(super) covariance: Covariance,
    pub(super) checks: Vec<Check>,
    pub(super) threshold: f64,
    pub(super) degrees_of_freedom: usize,
}

pub(super) struct Search<'a> {
    pub(super) model: Model<'a>,
    pub(super) options: &'a Options,
    pub(super) observations: Vec<Observation>,
    pub(super) state: State,
    pub(super) wls: Wls,
    pub(super) found: Vec<Found>,
    /// Observations given a second chance; they get no third.
    pub(super) readmitted: Vec<usize>,
    pub(super) iterations: usize,
}

impl Search<'_> {
    /// Fits until nothing is left to change, first without currents: their direction comes from
    /// the state, and a power of the wrong sign would turn them along.
    pub(super) fn until_clean(&mut self) -> Result<Clean, EstimationError> {
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
    pub(super) fn with_what_is_missing(&self, mut error: EstimationError) -> EstimationError {
        if let EstimationError::NotConverged { missing, .. } = &mut error {
            let constraints = Constraints::new(self.model, &self.observations);
            let parts = self.missing(&constraints, &[]);
            missing.extend(parts.into_iter().flat_map(|part| part.sensors));
        }
        error
    }

    /// What was rejected so far.
    pub(super) fn suspects(&self) -> Vec<usize> {
        let found = self.found.iter();
        found
            .map(|found| self.observations[found.at].index)
            .collect()
    }

    /// What to measure in addition.
    pub(super) fn missing(
        &self,
        constraints: &Constraints,
        unobservable: &[usize],
    ) -> Vec<Missing> {
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
        set_references(model, &constraints, &mut self.state);
        let fast = match model.layout.phases {
            1 => self.approach::<1, 4>(&constraints),
            _ => self.approach::<3, 12>(&constraints),
        };
        let before = self.state.clone();
        let fit = self.wls.fit(
            model,
            &constraints,
            &self.observations,
            &mut self.state,
            self.options,
        );
        self.iterations += fast + fit.iterations;
        // A value out of this world can lead the iteration anywhere. The linear problem around the
        // start always has an answer, and shows which value it is.
        let step = fit.failure.is_some().then(|| {
            self.state = before;
            self.linear_step(&constraints)
        });
        let covariance = Covariance::new(&self.wls.factor, &model.layout.pattern);
        let checks = self.checks(&covariance, step.as_deref());
        let testable = (self.observations.iter().zip(&checks))
            .filter(|(o, check)| o.used && check.sensitivity.is_some())
            .count();
        Clean {
            degrees_of_freedom: self.degrees_of_freedom(&constraints),
            threshold: largest_normal_quantile(1.0 - self.options.confidence, testable),
            fit,
            constraints,
            covariance,
            checks,
        }
    }

    /// From the present state to where the linear problem around it has its optimum.
    fn linear_step(&mut self, constraints: &Constraints) -> Vec<f64> {
        let used = wls::by_falling_weight(constraints, &self.observations);
        self.wls
            .linearise(self.model, constraints, &used, &self.state, |_| true);
        self.wls.linear_step(self.model)
    }

    /// Measurements beyond those that determine the state.
    fn degrees_of_freedom(&self, constraints: &Constraints) -> usize {
        let used = self.observations.iter().filter(|o| o.used).count();
        // Balances that are not eliminated determine something each, and so does what is expected.
        let used = used + constraints.expected.len() + self.wls.weighted;
        let pivots = self.wls.factor.pivots().iter();
        let determining = pivots.filter(|&&p| p == Pivot::Finite).count();
        used.saturating_sub(determining)
    }

    /// How each observation fits the state, or what a step from there leads to.
    fn checks(&self, covariance: &Covariance, step: Option<&[f64]>) -> Vec<Check> {
        let mut row = Row::new();
        let check = |o| Check::new(self.model, covariance, o, &self.state, step, &mut row);
        self.observations.iter().map(check).collect()
    }

    /// Changes what takes part; false if nothing is to be changed.
    fn change(&mut self, clean: &Clean) -> bool {
        match bad_data::find(&self.observations, &clean.checks, clean.threshold) {
            Some(Finding::Relax { at, sigma }) => {
                self.observations[at].sigma = sigma;
                true
            }
            Some(Finding::Reject { .. }) if self.found.len() >= self.options.max_rejected => false,
            Some(Finding::Reject { at }) => {
                self.reject(at, clean);
                true
            }
            None => clean.fit.failure.is_none() && self.readmit(clean),
        }
    }

    /// Leaves a meter out.
    fn reject(&mut self, at: usize, clean: &Clean) {
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
}
