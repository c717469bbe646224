//! One weighted least-squares fit: Gauss-Newton with equality constraints and a line search.
//!
//! Abur and Gómez-Expósito, sections 2.5, 3.2 and 3.3. The line search is on the L1 merit
//! function with the penalty of Nocedal and Wright, "Numerical Optimization" (2006), section 18.3.

use super::constraints::Constraints;
use super::equation::{Model, Row, State, Target, What};
use super::factor::{Factor, Weight};
use super::problem::{self, Observation};
use super::{EstimationError, Options};
use crate::network::Side;

/// Steps below this, pu and rad, are taken whole: the problem is as good as linear there, and
/// the merit function no longer resolves the gain.
const WHOLE_STEP: f64 = 1e-3;
/// No step is longer than this, pu and rad.
const LONGEST_STEP: f64 = 0.5;
/// Newton decrement below which the gradient counts as zero, standard deviations.
const GRADIENT_TOLERANCE: f64 = 1e-4;
/// A step no larger than this that does not shrink is rounding, once the gradient is zero: that of
/// voltages times the admittance of a link, which other meters are far less exact than.
const ROUNDED: f64 = 1e-7;
/// Admittance from which on a branch is a link or as good as one, pu.
const STIFF: f64 = 1e6;
/// How much more the balance of a node without appliances, but with such branches, counts than any
/// meter. Eliminated exactly it would be solved for whatever comes first in the order, perhaps the
/// far end of a long line beside a link, and lose eight digits; the power of an appliance is always
/// good to solve for.
const AS_GOOD_AS_EXACT: f64 = 1e8;
/// A decrement that shrinks no more than this has reached rounding, which is above the tolerance
/// where very exact meters sit on very short lines.
const STAGNATION: f64 = 0.5;

/// Linearised equations, constraints first, then measurements by falling weight.
#[derive(Default)]
struct Linearisation {
    entries: Row,
    rows: Vec<Linearised>,
}

struct Linearised {
    start: usize,
    rhs: f64,
    weight: Weight,
    /// It holds at the solution, whatever is measured.
    is_constraint: bool,
}

impl Linearisation {
    fn push(&mut self, row: &[(usize, f64)], rhs: f64, weight: Weight, is_constraint: bool) {
        self.rows.push(Linearised {
            start: self.entries.len(),
            rhs,
            weight,
            is_constraint,
        });
        self.entries.extend_from_slice(row);
    }

    fn row(&self, k: usize) -> &[(usize, f64)] {
        let end = self
            .rows
            .get(k + 1)
            .map_or(self.entries.len(), |next| next.start);
        &self.entries[self.rows[k].start..end]
    }

    /// Half the objective, the constraints' violation; and along `step`, the slope and the
    /// curvature of the former.
    fn along(&self, step: &[f64]) -> Descent {
        let mut descent = Descent {
            slope: 0.0,
            curvature: 0.0,
            half: 0.0,
            violation: 0.0,
        };
        for (k, linearised) in self.rows.iter().enumerate() {
            if linearised.is_constraint {
                descent.violation += linearised.rhs.abs();
                continue;
            }
            if let Weight::Finite(w) = linearised.weight {
                let row = self.row(k).iter();
                let change: f64 = row.map(|&(column, h)| h * step[column]).sum();
                descent.half += 0.5 * w * linearised.rhs * linearised.rhs;
                descent.slope -= w * linearised.rhs * change;
                descent.curvature += w * change * change;
            }
        }
        descent
    }
}

struct Descent {
    slope: f64,
    curvature: f64,
    half: f64,
    violation: f64,
}

/// How a fit ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    pub(super) iterations: usize,
    /// Newton decrement at the last linearisation.
    pub(super) gradient_norm: f64,
    /// Why it did not converge.
    pub(super) failure: Option<EstimationError>,
}

/// Workspace of the fits.
pub(super) struct Wls {
    pub(super) factor: Factor,
    linearisation: Linearisation,
    /// Constraints that take part with a finite weight.
    pub(super) weighted: usize,
    row: Row,
    step: Vec<f64>,
}

impl Wls {
    pub(super) fn new(model: Model<'_>) -> Self {
        Self {
            factor: Factor::new(&model.layout.pattern, rank(model)),
            linearisation: Linearisation::default(),
            weighted: 0,
            row: Row::new(),
            step: vec![0.0; model.layout.pattern.len()],
        }
    }

    /// Moves `state` to the optimum.
    pub(super) fn fit(
        &mut self,
        model: Model<'_>,
        constraints: &Constraints,
        observations: &[Observation],
        state: &mut State,
        options: &Options,
    ) -> Fit {
        let used = by_falling_weight(constraints, observations);
        let mut trial = state.clone();
        let mut penalty = 0.0;
        let mut last_size = f64::INFINITY;
        let mut fit = Fit {
            iterations: 0,
            gradient_norm: f64::INFINITY,
            failure: None,
        };
        for iteration in 1..=options.max_iterations {
            fit.iterations = iteration;
            self.linearise(model, constraints, &used, state, |_| true);
            self.factor.solve(&model.layout.pattern, &mut self.step);
            let (node, size) = self.largest_voltage_step(model);
            let descent = self.linearisation.along(&self.step);
            let before = std::mem::replace(&mut fit.gradient_norm, descent.curvature.sqrt());
            fit.failure = Some(EstimationError::NotConverged {
                iterations: iteration,
                node: model.grid.node_id.get(node).copied().unwrap_or_default(),
                step: size,
                missing: Vec::new(),
            });
            if !size.is_finite() {
                return fit;
            }
            let length = if size < WHOLE_STEP {
                1.0
            } else {
                let merit = Merit {
                    model,
                    constraints,
                    used: &used,
                };
                self.search(&merit, &descent, &mut penalty, state, &mut trial, size)
            };
            state.moved(model.layout, &self.step, length, &mut trial);
            std::mem::swap(state, &mut trial);
            let zero = fit.gradient_norm < GRADIENT_TOLERANCE;
            let still = zero || fit.gradient_norm > STAGNATION * before;
            let last_size = std::mem::replace(&mut last_size, size);
            let rounded = zero && size < ROUNDED && size >= last_size;
            if size < options.tolerance && still || rounded {
                fit.failure = None;
                return fit;
            }
        }
        fit
    }

    /// Factorises the equations linearised at `state`, with the observations selected.
    pub(super) fn linearise(
        &mut self,
        model: Model<'_>,
        constraints: &Constraints,
        observations: &[&Observation],
        state: &State,
        select: impl Fn(&Observation) -> bool,
    ) {
        let linearisation = &mut self.linearisation;
        linearisation.entries.clear();
        linearisation.rows.clear();
        for &column in &constraints.fixed {
            linearisation.push(&[(column, 1.0)], 0.0, Weight::Exact, true);
        }
        self.weighted = 0;
        let heaviest = observations.first().map_or(1.0, |o| o.weight());
        for &target in &constraints.zero {
            let value = model.evaluate(target, state, &mut self.row);
            let weight = match is_stiff(model, target) && !problem::takes_up(model, target) {
                false => Weight::Exact,
                true => Weight::Finite(AS_GOOD_AS_EXACT * heaviest),
            };
            self.weighted += usize::from(weight != Weight::Exact);
            linearisation.push(&self.row, -value, weight, true);
        }
        for observation in observations.iter().filter(|o| select(o)) {
            let value = model.evaluate(observation.target, state, &mut self.row);
            let weight = Weight::Finite(observation.weight());
            linearisation.push(&self.row, observation.residual(value), weight, false);
        }
        self.factor.clear();
        for (k, linearised) in linearisation.rows.iter().enumerate() {
            let row = linearisation.row(k);
            self.factor.add(row, linearised.rhs, linearised.weight);
        }
        self.factor.factorise(&model.layout.pattern);
    }

    /// Solution of the equations linearised last.
    pub(super) fn linear_step(&self, model: Model<'_>) -> Vec<f64> {
        let mut step = vec![0.0; self.step.len()];
        self.factor.solve(&model.layout.pattern, &mut step);
        step
    }

    fn largest_voltage_step(&self, model: Model<'_>) -> (usize, f64) {
        let mut largest = (0, 0.0_f64);
        for node in 0..model.grid.node_id.len() {
            for phase in model.phases() {
                for column in [model.layout.theta(node, phase), model.layout.v(node, phase)] {
                    let size = self.step[column].abs();
                    if size > largest.1 || size.is_nan() {
                        largest = (node, size);
                    }
                }
            }
        }
        largest
    }

    /// Length of the step that lowers the merit function (Armijo's rule, halving).
    fn search(
        &self,
        merit: &Merit<'_>,
        descent: &Descent,
        penalty: &mut f64,
        state: &State,
        trial: &mut State,
        size: f64,
    ) -> f64 {
        if descent.violation > 0.0 {
            let needed = (descent.slope + 0.5 * descent.curvature) / (0.5 * descent.violation);
            *penalty = penalty.max(needed);
        }
        let before = descent.half + *penalty * descent.violation;
        let slope = descent.slope - *penalty * descent.violation;
        let mut length = (LONGEST_STEP / size).min(1.0);
        let mut row = Row::new();
        for _ in 0..12 {
            state.moved(merit.model.layout, &self.step, length, trial);
            if merit.of(trial, *penalty, &mut row) <= before + 1e-4 * length * slope {
                break;
            }
            length *= 0.5;
        }
        length
    }
}

/// Which fraction of a row is still information. A line beside links, and the power of an appliance
/// there, are 1e9 times smaller than the sum of those, and determine all the same; where there are
/// none, what is as small comes from losses and charging, and tells nothing.
pub(super) fn rank(model: Model<'_>) -> f64 {
    let branches = 0..model.grid.branches.len();
    let mut stiff = branches.map(|branch| is_stiff_port(model, branch, Side::From));
    match stiff.any(|stiff| stiff) {
        true => 1e-12,
        false => 1e-9,
    }
}

fn is_stiff_port(model: Model<'_>, branch: usize, side: Side) -> bool {
    let (own, _) = model.admittances.port(branch, side);
    own.iter().any(|y| y.norm() > STIFF)
}

/// The node of this balance has a link, or a branch as good as one.
fn is_stiff(model: Model<'_>, balance: Target) -> bool {
    let What::Infeed(node, _) = balance.what else {
        return false;
    };
    let mut incident = model.layout.incident[node].iter();
    incident.any(|&(branch, side)| is_stiff_port(model, branch, side))
}

/// Used observations and what is expected anyway, heaviest first: rotations lose least that way
/// (Björck, 1996, section 4.4).
pub(super) fn by_falling_weight<'a>(
    constraints: &'a Constraints,
    observations: &'a [Observation],
) -> Vec<&'a Observation> {
    let all = observations.iter().chain(&constraints.expected);
    let mut used: Vec<&Observation> = all.filter(|o| o.used).collect();
    used.sort_by(|a, b| a.sigma.total_cmp(&b.sigma));
    used
}

struct Merit<'a> {
    model: Model<'a>,
    constraints: &'a Constraints,
    used: &'a [&'a Observation],
}

impl Merit<'_> {
    fn of(&self, state: &State, penalty: f64, row: &mut Row) -> f64 {
        let mut evaluate = |target: Target| self.model.evaluate(target, state, row);
        let violation: f64 = self
            .constraints
            .zero
            .iter()
            .map(|&target| evaluate(target).abs())
            .sum();
        let half: f64 = (self.used.iter())
            .map(|o| 0.5 * o.weight() * o.residual(evaluate(o.target)).powi(2))
            .sum();
        half + penalty * violation
    }
}
