//! Bad data: largest normalised residual, identification, and what to do about it.
//!
//! Abur and Gómez-Expósito, sections 5.5 to 5.7. Pseudo-measurements are guesses, so one the
//! meters contradict is no error: it is trusted less, and never outweighs a meter it is
//! (nearly) interchangeable with, unless that meter's value is a wrong sign or scale, or the guess
//! would have to be out of this world.

use super::Suspicion;
use super::covariance::Covariance;
use super::equation::{Model, Row, State};
use super::factor::Factor;
use super::problem::Observation;

/// Below this fraction of its own variance a residual's variance is rounding: the measurement is
/// critical.
const CRITICAL: f64 = 1e-5;
/// Residuals this close differ by rounding only.
const EQUAL: f64 = 0.999;
/// A load this many standard deviations from its guess is not to be believed: one of 30 times a
/// guess of a third.
const ABSURD_GUESS: f64 = 100.0;
/// Twice the logarithm of 100: leaving a meter out lowers the objective by its squared normalised
/// residual, so between two that differ by this the odds are a hundred to one.
const TELLING_DROP: f64 = 9.21;
/// A value matches a suspected fault within this many standard deviations.
const MATCH_SIGMAS: f64 = 3.0;
/// Largest standard deviation, relative to the value, at which a sign is worth naming.
const SIGN_SPREAD: f64 = 0.3;
/// The same for a scale factor, once the value is known to be bad.
const SCALE_SPREAD: f64 = 0.1;
/// And to tell by it which of several is bad.
const TELLING_SCALE_SPREAD: f64 = 0.05;

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
    /// Checks an observation at `state`, or at what a linear step from there leads to.
    pub(super) fn new(
        model: Model<'_>,
        covariance: &Covariance,
        observation: &Observation,
        state: &State,
        step: Option<&[f64]>,
        row: &mut Row,
    ) -> Self {
        let mut estimated = model.evaluate(observation.target, state, row);
        if let Some(step) = step {
            estimated += row.iter().map(|&(column, h)| h * step[column]).sum::<f64>();
        }
        let variance = covariance.of(&model.layout.pattern, row);
        Self::of(observation, estimated, variance)
    }

    /// Checks an observation beside an estimate of this variance, of which it is a part if it is used.
    fn of(observation: &Observation, estimated: f64, variance: f64) -> Self {
        let residual = observation.residual(estimated);
        let own = observation.sigma * observation.sigma;
        let (sensitivity, normalised) = if observation.used {
            let sensitivity = Some(1.0 - variance / own).filter(|&s| s > CRITICAL);
            let deviation = sensitivity.map(|s| observation.sigma * s.sqrt());
            let normalised = deviation.map_or(0.0, |deviation| residual.abs() / deviation);
            (sensitivity, normalised)
        } else {
            (Some(1.0), residual.abs() / (own + variance).sqrt())
        };
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
    /// Leave this meter out.
    Reject { at: usize },
}

/// The most likely culprit among `checks`, one per observation, if any exceeds `threshold`.
pub(super) fn find(
    observations: &[Observation],
    checks: &[Check],
    threshold: f64,
) -> Option<Finding> {
    let suspects =
        (0..checks.len()).filter(|&at| observations[at].used && checks[at].normalised > threshold);
    let largest = suspects
        .clone()
        .map(|at| checks[at].normalised)
        .reduce(f64::max)?;
    let mut close: Vec<usize> = suspects
        .filter(|&at| as_likely(checks[at].normalised, largest))
        .collect();
    close.sort_by(|&a, &b| checks[b].normalised.total_cmp(&checks[a].normalised));
    let meters = || close.iter().copied().filter(|&at| !observations[at].pseudo);
    let guesses = || close.iter().copied().filter(|&at| observations[at].pseudo);

    let looks = |at: usize| explained(&observations[at], &checks[at], TELLING_SCALE_SPREAD);
    let named = meters()
        .find(|&at| looks(at) == Suspicion::SignFlipped)
        .or_else(|| meters().find(|&at| looks(at) != Suspicion::GrossError));
    if let Some(at) = named {
        return Some(Finding::Reject { at });
    }
    // How far off each must be, in its own standard deviations, to explain the residual alone.
    let off = |at: usize| implied_error(&checks[at]).abs() / observations[at].given_sigma;
    let likeliest = |a: &usize, b: &usize| off(*a).total_cmp(&off(*b));
    let no_meter = meters().next().is_none();
    let guess = guesses()
        .min_by(likeliest)
        .filter(|&guess| no_meter || off(guess) <= ABSURD_GUESS);
    match guess {
        Some(at) => {
            let sigma = implied_error(&checks[at])
                .abs()
                .max(2.0 * observations[at].sigma);
            Some(Finding::Relax { at, sigma })
        }
        None => {
            // Of equals the one that looks like something, or is least off.
            let worst = meters().next()?;
            let equal = |at: &usize| checks[*at].normalised >= EQUAL * checks[worst].normalised;
            let equals = || meters().filter(equal);
            let looks = |at: &usize| {
                explained(&observations[*at], &checks[*at], SCALE_SPREAD) != Suspicion::GrossError
            };
            let at = equals()
                .find(looks)
                .or_else(|| equals().min_by(likeliest))?;
            Some(Finding::Reject { at })
        }
    }
}

/// Error of the measurement that its residual implies if it is the only one (section 5.7).
fn implied_error(check: &Check) -> f64 {
    check.residual / check.sensitivity.unwrap_or(1.0)
}

/// Whether the data alone do not tell which of two normalised residuals is of the bad one.
fn as_likely(normalised: f64, largest: f64) -> bool {
    normalised >= EQUAL * largest || largest.powi(2) - normalised.powi(2) <= TELLING_DROP
}

/// Meters in use that may be the bad one as well as that of the observation at `at`: about as
/// likely, and without them its residual would be within `threshold`.
pub(super) fn interchangeable(
    model: Model<'_>,
    factor: &Factor,
    observations: &[Observation],
    checks: &[Check],
    threshold: f64,
    state: &State,
    at: usize,
) -> Vec<usize> {
    let mut row = Row::new();
    model.evaluate(observations[at].target, state, &mut row);
    let covariance = factor.covariance_with(&model.layout.pattern, &row);
    let deviation = |k: usize| {
        let sensitivity = checks[k].sensitivity;
        sensitivity.map(|s| observations[k].sigma * s.sqrt())
    };
    let Some(own_deviation) = deviation(at) else {
        return Vec::new();
    };
    let own = observations[at].index;
    let largest = checks[at].normalised;
    let mut others: Vec<usize> = (0..checks.len())
        .filter(|&k| {
            let other = &observations[k];
            other.index != own && other.used && !other.pseudo
        })
        .filter(|&k| as_likely(checks[k].normalised, largest))
        .filter(|&k| {
            let Some(deviation) = deviation(k) else {
                return false;
            };
            model.evaluate(observations[k].target, state, &mut row);
            let between: f64 = row.iter().map(|&(column, h)| h * covariance[column]).sum();
            let same_sign = checks[k].residual.signum() * checks[at].residual.signum();
            let correlation = -same_sign * between / (deviation * own_deviation);
            explains(correlation, checks[k].normalised, largest, threshold)
        })
        .map(|k| observations[k].index)
        .collect();
    others.dedup();
    others
}

/// Whether a meter left out would bring another's normalised residual, `largest`, below the
/// threshold; its own is `normalised`, of the same sign. What is left is that of a normal variable
/// given another; critical pairs leave zero of zero.
fn explains(correlation: f64, normalised: f64, largest: f64, threshold: f64) -> bool {
    let left = largest - correlation * normalised;
    let variance = (1.0 - correlation * correlation).max(0.0);
    left.abs() <= threshold * variance.sqrt() + (1.0 - EQUAL) * largest
}

/// What the value of an observation that took part looks like, judged by the error its residual
/// implies.
fn explained(observation: &Observation, check: &Check, scale_spread: f64) -> Suspicion {
    let Some(sensitivity) = check.sensitivity else {
        return Suspicion::GrossError;
    };
    let own = observation.sigma * observation.sigma;
    let without = observation.value - implied_error(check);
    let variance = (own / sensitivity - own).max(0.0);
    compare(observation, without, variance, scale_spread)
}

/// What a measured value looks like beside the estimate the other measurements give of it.
pub(super) fn suspect(observation: &Observation, estimated: f64, variance: f64) -> Suspicion {
    compare(observation, estimated, variance, SCALE_SPREAD)
}

fn compare(
    observation: &Observation,
    estimated: f64,
    variance: f64,
    scale_spread: f64,
) -> Suspicion {
    let value = observation.value;
    let own = observation.sigma * observation.sigma;
    let matches = |factor: f64, spread: f64| {
        // A meter's noise is scaled along with its value.
        let sigma = (own * f64::max(1.0, factor * factor) + factor * factor * variance).sqrt();
        (value - factor * estimated).abs() <= MATCH_SIGMAS * sigma && sigma <= spread * value.abs()
    };
    if matches(-1.0, SIGN_SPREAD) {
        return Suspicion::SignFlipped;
    }
    let factors = [1e-3, 1e-2, 1e-1, 1e1, 1e2, 1e3];
    let factor = factors
        .into_iter()
        .find(|&factor| matches(factor, scale_spread));
    factor.map_or(Suspicion::GrossError, Suspicion::ScaleFactor)
}

#[cfg(test)]
mod tests {
    use super::super::equation::What;
    use super::*;

    fn meter(value: f64, sigma: f64, used: bool) -> Observation {
        Observation {
            index: 0,
            target: What::Magnitude(0).of(0),
            value,
            sigma,
            given_sigma: sigma,
            unit: 1.0,
            share: 1.0,
            zero: 0.0,
            pseudo: false,
            used,
        }
    }

    /// A meter in use pulls the estimate to itself, one left out adds its variance to the estimate's.
    #[test]
    fn residuals_are_measured_by_their_own_deviation() {
        // Of a variance of 4, 0.75 in the estimate: 3.25 are left.
        let check = Check::of(&meter(10.0, 2.0, true), 7.0, 0.75);
        assert!((check.normalised - 3.0 / 3.25_f64.sqrt()).abs() < 1e-12);
        assert_eq!(check.sensitivity, Some(0.8125));
        let check = Check::of(&meter(10.0, 2.0, false), 7.0, 0.75);
        assert!((check.normalised - 3.0 / 4.75_f64.sqrt()).abs() < 1e-12);
        // All of it in the estimate: critical, whatever it says.
        let check = Check::of(&meter(10.0, 2.0, true), 10.0, 4.0);
        assert_eq!((check.sensitivity, check.normalised), (None, 0.0));
    }

    /// With correlation 0.6, leaving out a meter of residual 7.9 leaves 7.9 - 0.6 * 7.9 = 3.16 of the
    /// other one, of which the deviation is 0.8 then.
    #[test]
    fn what_is_left_is_measured_by_what_varies_then() {
        assert!(explains(0.6, 7.9, 7.9, 4.0));
        assert!(!explains(0.6, 7.9, 7.9, 3.8));
        assert!(!explains(-0.6, 7.9, 7.9, 4.0));
        // One and the same: nothing is left, nothing varies.
        assert!(explains(1.0, 7.9, 7.9, 4.0));
    }

    /// The others say -96.5 exactly, the meter 100 ± 1: 3.5 standard deviations from its sign turned.
    /// Where they say it to ± 1 that is 2.5.
    #[test]
    fn a_sign_is_turned_as_far_as_the_others_tell() {
        let looks = |sensitivity: f64| {
            let meter = meter(100.0, 1.0, true);
            let check = Check {
                estimated: 0.0,
                variance: 0.0,
                residual: 196.5 * sensitivity,
                sensitivity: Some(sensitivity),
                normalised: 0.0,
            };
            explained(&meter, &check, SCALE_SPREAD)
        };
        assert_eq!(looks(1.0), Suspicion::GrossError);
        assert_eq!(looks(0.5), Suspicion::SignFlipped);
    }
}
