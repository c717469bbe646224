//! Bad data: largest normalised residual, identification, and what to do about it.
//!
//! Abur and Gómez-Expósito, sections 5.5 to 5.7. Pseudo-measurements are guesses, so one the
//! meters contradict is no error: it is trusted less, and never outweighs a meter it is
//! (nearly) interchangeable with, unless that meter's value is a wrong sign or scale.

use super::Suspicion;
use super::equation::{Model, Row, State};
use super::factor::SelectedInverse;
use super::problem::Observation;

/// Below this fraction of its own variance a residual's variance is rounding: the measurement is
/// critical.
const CRITICAL: f64 = 1e-5;
/// Residuals within this fraction of the largest are candidates too: on noisy data the culprit
/// need not be the very largest.
const CANDIDATES: f64 = 0.9;
/// Residuals this close cannot be told apart at all.
const INTERCHANGEABLE: f64 = 0.999;
/// A value matches a suspected fault within this many standard deviations.
const MATCH_SIGMAS: f64 = 2.6;
/// Largest standard deviation, relative to the value, at which a sign is worth naming.
const SIGN_SPREAD: f64 = 0.3;
/// The same for a scale factor.
const SCALE_SPREAD: f64 = 0.1;

/// How an observation fits the state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    /// Value the state gives.
    pub(super) estimated: f64,
    /// Variance of that value.
    pub(super) variance: f64,
    /// Measured minus estimated.
    pub(super) residual: f64,
    /// Share of an error that shows in the residual, 0 to 1; none: critical. One for an
    /// observation that takes no part.
    pub(super) sensitivity: Option<f64>,
    /// Magnitude of the residual over its standard deviation; zero: critical.
    pub(super) normalised: f64,
}

impl Check {
    pub(super) fn new(
        model: Model<'_>,
        covariance: &SelectedInverse,
        observation: &Observation,
        state: &State,
        row: &mut Row,
    ) -> Self {
        let estimated = model.evaluate(observation.target, state, row);
        let variance = covariance.quadratic_form(&model.layout.pattern, row);
        let residual = observation.residual(estimated);
        let own = observation.sigma * observation.sigma;
        if !observation.used {
            let normalised = residual.abs() / (own + variance).sqrt();
            return Self {
                estimated,
                variance,
                residual,
                sensitivity: Some(1.0),
                normalised,
            };
        }
        let sensitivity = Some(1.0 - variance / own).filter(|&s| s > CRITICAL);
        let normalised =
            sensitivity.map_or(0.0, |s| residual.abs() / (observation.sigma * s.sqrt()));
        Self {
            estimated,
            variance,
            residual,
            sensitivity,
            normalised,
        }
    }
}

/// What to change before the next fit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    /// Give this pseudo-measurement that standard deviation, pu.
    Relax { at: usize, sigma: f64 },
    /// Leave this meter out; the others explain the data as well.
    Reject {
        at: usize,
        ambiguous_with: Vec<usize>,
    },
}

/// The most likely culprit among `checks`, one per observation, if any exceeds `threshold`.
pub(super) fn find(
    observations: &[Observation],
    checks: &[Check],
    threshold: f64,
) -> Option<Finding> {
    let mut order: Vec<usize> = (0..checks.len())
        .filter(|&at| observations[at].used && checks[at].normalised > threshold)
        .collect();
    order.sort_by(|&a, &b| checks[b].normalised.total_cmp(&checks[a].normalised));
    let largest = checks[*order.first()?].normalised;
    let close = |fraction: f64| {
        order
            .iter()
            .copied()
            .filter(move |&at| checks[at].normalised >= fraction * largest)
    };
    let reject = |at: usize| {
        let ambiguous_with = close(INTERCHANGEABLE)
            .filter(|&other| other != at && !observations[other].pseudo)
            .map(|other| observations[other].index)
            .collect();
        Finding::Reject { at, ambiguous_with }
    };
    let named = close(CANDIDATES).find(|&at| {
        !observations[at].pseudo
            && explained(&observations[at], &checks[at]) != Suspicion::GrossError
    });
    if let Some(at) = named {
        return Some(reject(at));
    }
    if let Some(at) = close(CANDIDATES).find(|&at| observations[at].pseudo) {
        let error = checks[at].residual.abs() / checks[at].sensitivity.unwrap_or(1.0);
        return Some(Finding::Relax {
            at,
            sigma: error.max(2.0 * observations[at].sigma),
        });
    }
    order.first().map(|&at| reject(at))
}

/// What the value of an observation that took part looks like, judged by the error its residual
/// implies (section 5.7: estimated error = residual / sensitivity).
fn explained(observation: &Observation, check: &Check) -> Suspicion {
    let Some(sensitivity) = check.sensitivity else {
        return Suspicion::GrossError;
    };
    let own = observation.sigma * observation.sigma;
    let without = observation.value - check.residual / sensitivity;
    suspect(observation, without, (own / sensitivity - own).max(0.0))
}

/// What a measured value looks like beside the estimate the other measurements give of it.
pub(super) fn suspect(observation: &Observation, estimated: f64, variance: f64) -> Suspicion {
    let value = observation.value;
    let own = observation.sigma * observation.sigma;
    let matches = |factor: f64, spread: f64| {
        let sigma = (own + factor * factor * variance).sqrt();
        (value - factor * estimated).abs() <= MATCH_SIGMAS * sigma && sigma <= spread * value.abs()
    };
    if matches(-1.0, SIGN_SPREAD) {
        return Suspicion::SignFlipped;
    }
    let factors = [1e-3, 1e-2, 1e-1, 1e1, 1e2, 1e3];
    let factor = factors
        .into_iter()
        .find(|&factor| matches(factor, SCALE_SPREAD));
    factor.map_or(Suspicion::GrossError, Suspicion::ScaleFactor)
}
