//! The answer of a search.

use super::bad_data::{self, Check};
use super::constraints::Constraints;
use super::equation::Row;
use super::factor::{Pivot, SelectedInverse};
use super::problem::Observation;
use super::report::Report;
use super::search::{Clean, Search};
use super::statistics::chi_square_quantile;
use super::wls;
use super::{Estimate, Form, Quantity, Rejected, Relaxed, Residual, Unused};

impl Search<'_> {
    /// The estimate of a clean state.
    pub(super) fn estimate<F: Form>(
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
        let objective = self.objective(&clean);
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
            relaxed: self.relaxed(),
            critical: self.critical(&clean),
            unused,
            iterations: self.iterations,
            gradient_norm: clean.fit.gradient_norm,
        }
    }

    /// Observations in use, and how they fit.
    fn used<'b>(&'b self, clean: &'b Clean) -> impl Iterator<Item = (&'b Observation, &'b Check)> {
        let all = self.observations.iter().zip(&clean.checks);
        all.filter(|(o, _)| o.used)
    }

    /// Sum of the squares of residuals over standard deviations.
    fn objective(&self, clean: &Clean) -> f64 {
        let mut row = Row::new();
        let mut off = |o: &Observation| {
            o.residual(self.model.evaluate(o.target, &self.state, &mut row)) / o.sigma
        };
        self.used(clean)
            .map(|(o, check)| (check.residual / o.sigma).powi(2))
            .chain(clean.constraints.expected.iter().map(|o| off(o).powi(2)))
            .sum()
    }

    /// Meters of which an error shows nowhere.
    fn critical(&self, clean: &Clean) -> Vec<usize> {
        let mut critical: Vec<usize> = self
            .used(clean)
            .filter(|(o, check)| !o.pseudo && check.sensitivity.is_none())
            .map(|(o, _)| o.index)
            .collect();
        critical.dedup();
        critical
    }

    /// Guesses that are trusted less than they were given.
    fn relaxed(&self) -> Vec<Relaxed> {
        (self.observations.iter())
            .filter(|o| o.used && o.sigma > o.given_sigma)
            .map(|o| Relaxed {
                index: o.index,
                sigma: o.sigma * o.unit.abs(),
            })
            .collect()
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
        for (o, check) in self.used(clean) {
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
