//! One calculation on one network: who reaches the same answer, and how fast.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::worker::Worker;

/// Largest change of a voltage in the last iteration, pu, on both sides.
const TOLERANCE: f64 = 1e-8;
/// The answer to compare with is the peer's own at this tolerance.
const REFERENCE_TOLERANCE: f64 = 1e-12;
/// Voltages closer than this to the reference are the same, pu. A method that converges by a factor an
/// iteration stops farther from its answer than the last step was long.
const SAME: f64 = 1e-7;
/// Samples that decide which method is the fastest.
const TRIALS: usize = 3;

/// How much more than the smallest objective anybody reaches an estimate's may be, relative.
const SAME_OBJECTIVE: f64 = 1e-6;

/// What is calculated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Calculation {
    /// Power flow, symmetric.
    PfSym,
    /// Power flow by phase.
    PfAsym,
    /// Power flow by phase of a feeder that power-grid-model cannot describe, beside OpenDSS: the
    /// voltages and nothing else.
    PfFeeder,
    /// State estimation, symmetric, each from a flat start.
    SeSym,
    /// State estimation by phase, each from a flat start.
    SeFlat,
    /// State estimation by phase, each from the last one's voltages.
    SeTracking,
}

impl Calculation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PfSym => "power flow, symmetric",
            Self::PfAsym => "power flow, asymmetric",
            Self::PfFeeder => "power flow, 1-3 phases",
            Self::SeSym => "estimation, symmetric",
            Self::SeFlat => "estimation, asym., flat",
            Self::SeTracking => "estimation, asym., tracking",
        }
    }

    /// The ratio that is aimed at.
    pub(super) fn target(self) -> f64 {
        match self {
            Self::PfSym => 0.5,
            Self::PfAsym | Self::SeSym => 0.35,
            Self::PfFeeder => 1.0 / 3.0,
            Self::SeFlat => 0.15,
            Self::SeTracking => 0.05,
        }
    }

    pub(super) fn estimates(self) -> bool {
        matches!(self, Self::SeSym | Self::SeFlat | Self::SeTracking)
    }

    /// Each scenario is a second after the one before it.
    pub(super) fn tracks(self) -> bool {
        self == Self::SeTracking
    }

    pub(super) fn asymmetric(self) -> bool {
        !matches!(self, Self::PfSym | Self::SeSym)
    }

    /// The peer's method whose answer, at [`REFERENCE_TOLERANCE`], is what a power flow is compared with.
    fn reference(self) -> &'static str {
        match self {
            Self::PfFeeder => "opendss_normal",
            _ => "newton_raphson",
        }
    }

    fn busbar_methods(self) -> &'static [&'static str] {
        match self {
            Self::PfSym | Self::PfAsym | Self::PfFeeder => &["newton", "current"],
            Self::SeSym | Self::SeFlat => &["flat"],
            Self::SeTracking => &["tracking"],
        }
    }

    fn peer_methods(self) -> &'static [&'static str] {
        match self {
            Self::SeSym | Self::SeFlat | Self::SeTracking => {
                &["newton_raphson", "iterative_linear"]
            }
            Self::PfSym | Self::PfAsym => &["newton_raphson", "iterative_current"],
            Self::PfFeeder => &["opendss_normal", "opendss_newton"],
        }
    }
}

/// A calculation on a network of which the files are written.
pub(super) struct Case<'a> {
    pub(super) calculation: Calculation,
    pub(super) input: &'a Path,
    pub(super) update: &'a Path,
    /// For the answers.
    pub(super) dir: &'a Path,
    pub(super) samples: usize,
}

/// A method of one side.
#[derive(Clone, Debug, Default)]
pub(super) struct Method {
    pub(super) name: &'static str,
    /// Largest distance of a voltage from the reference, pu, or of an objective from the best,
    /// relative; not a number without an answer.
    pub(super) distance: f64,
    /// Largest distance that is still the same answer.
    same: f64,
    /// Why there is no answer.
    pub(super) error: Option<String>,
    /// Seconds a scenario.
    pub(super) samples: Vec<f64>,
    case: u64,
    /// Voltages, or objectives.
    answer: Vec<f64>,
}

/// Methods of both sides.
pub(super) struct Measured {
    pub(super) busbar: Vec<Method>,
    pub(super) peer: Vec<Method>,
}

impl Method {
    pub(super) fn is_right(&self) -> bool {
        self.distance <= self.same
    }

    /// Median of the samples; infinite without any.
    pub(super) fn seconds(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
            .get(sorted.len() / 2)
            .copied()
            .unwrap_or(f64::INFINITY)
    }

    fn sample(&mut self, worker: &mut Worker) -> Result<()> {
        let answer = worker.ask(&json!({"do": "sample", "case": self.case}))?;
        self.samples
            .push(answer["seconds"].as_f64().context("no time was measured")?);
        Ok(())
    }
}

/// The fastest that reaches the answer.
pub(super) fn fastest(methods: &[Method]) -> Option<&Method> {
    let right = methods.iter().filter(|m| m.is_right());
    right.min_by(|a, b| a.seconds().total_cmp(&b.seconds()))
}

impl Measured {
    /// Both sides have an answer, and every answer of ours is right.
    pub(super) fn agrees(&self) -> bool {
        fastest(&self.peer).is_some() && self.busbar.iter().all(Method::is_right)
    }

    pub(super) fn ratio(&self) -> Option<f64> {
        Some(fastest(&self.busbar)?.seconds() / fastest(&self.peer)?.seconds())
    }
}

impl Case<'_> {
    pub(super) fn measure(&self, busbar: &mut Worker, peer: &mut Worker) -> Result<Measured> {
        for worker in [&mut *busbar, &mut *peer] {
            worker.ask(&json!({"do": "forget"}))?;
        }
        let mut measured = Measured {
            busbar: self
                .calculation
                .busbar_methods()
                .iter()
                .map(|m| self.prepare(busbar, m))
                .collect(),
            peer: self
                .calculation
                .peer_methods()
                .iter()
                .map(|m| self.prepare(peer, m))
                .collect(),
        };
        if self.calculation.estimates() {
            self.judge(busbar, &mut measured)?;
            judge_objectives(&mut measured);
        } else {
            let reference =
                self.prepare_at(peer, self.calculation.reference(), REFERENCE_TOLERANCE);
            for method in measured.busbar.iter_mut().chain(&mut measured.peer) {
                method.distance = distance(&method.answer, &reference.answer);
                method.same = SAME;
            }
        }
        for round in 0..self.samples {
            for (methods, worker) in [
                (&mut measured.busbar, &mut *busbar),
                (&mut measured.peer, &mut *peer),
            ] {
                let best = fastest(methods).map(|m| m.name);
                for method in methods.iter_mut().filter(|m| m.is_right()) {
                    if round < TRIALS || Some(method.name) == best {
                        method.sample(worker)?;
                    }
                }
            }
        }
        Ok(measured)
    }

    /// Where a method's answer goes.
    fn file(&self, method: &str) -> PathBuf {
        self.dir.join(format!("{method}.answer"))
    }

    /// The objective of each estimate, by one code for all.
    fn judge(&self, busbar: &mut Worker, measured: &mut Measured) -> Result<()> {
        for method in measured.busbar.iter_mut().chain(&mut measured.peer) {
            if method.error.is_none() {
                let file = self.file(method.name);
                let judged = busbar.ask(&json!({
                    "do": "judge", "case": 0, "file": file, "input": self.input,
                }))?;
                let objectives = judged["objectives"].as_array().into_iter().flatten();
                method.answer = objectives.filter_map(Value::as_f64).collect();
            }
        }
        Ok(())
    }

    fn prepare(&self, worker: &mut Worker, name: &'static str) -> Method {
        self.prepare_at(worker, name, TOLERANCE)
    }

    fn prepare_at(&self, worker: &mut Worker, name: &'static str, tolerance: f64) -> Method {
        let mut method = Method {
            name,
            distance: f64::NAN,
            ..Method::default()
        };
        match self.answer(worker, name, tolerance) {
            Ok((case, answer)) => (method.case, method.answer) = (case, answer),
            Err(error) => method.error = Some(format!("{error:#}")),
        }
        method
    }

    /// The loaded case, and magnitudes and angles of all voltages, or the objective, of all scenarios.
    fn answer(&self, worker: &mut Worker, method: &str, tolerance: f64) -> Result<(u64, Vec<f64>)> {
        let calculation = if self.calculation.estimates() {
            "state_estimation"
        } else {
            "power_flow"
        };
        let loaded = worker.ask(&json!({
            "do": "load", "input": self.input, "update": self.update, "method": method,
            "calculation": calculation, "asymmetric": self.calculation.asymmetric(),
            "tolerance": tolerance,
            "voltages_only": self.calculation == Calculation::PfFeeder,
        }))?;
        let case = loaded["case"].as_u64().context("it was not loaded")?;
        let file = self.file(method);
        worker.ask(&json!({
            "do": "answer", "case": case, "file": file, "asymmetric": self.calculation.asymmetric(),
        }))?;
        if self.calculation.estimates() {
            // Judged once there is a case of ours that knows the meters.
            return Ok((case, Vec::new()));
        }
        let bytes = fs::read(&file)?;
        ensure!(bytes.len().is_multiple_of(16), "an answer of odd length");
        let numbers = bytes.as_chunks::<8>().0.iter();
        Ok((case, numbers.map(|&b| f64::from_le_bytes(b)).collect()))
    }
}

/// How far the objective of each method is above the smallest of all, in its worst scenario.
fn judge_objectives(measured: &mut Measured) {
    let all = || measured.busbar.iter().chain(&measured.peer);
    let scenarios = all().map(|m| m.answer.len()).max().unwrap_or(0);
    let best: Vec<f64> = (0..scenarios)
        .map(|k| {
            let reached = all().filter_map(|m| m.answer.get(k));
            reached.copied().fold(f64::INFINITY, f64::min)
        })
        .collect();
    for method in measured.busbar.iter_mut().chain(&mut measured.peer) {
        method.same = SAME_OBJECTIVE;
        if method.answer.len() == scenarios && scenarios > 0 {
            let excess = method.answer.iter().zip(&best).map(|(a, b)| a / b - 1.0);
            method.distance = excess.fold(0.0, worse);
        }
    }
}

/// The larger one; not a number if either is.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Largest distance of two voltages, each of magnitude and angle.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() || found.is_empty() {
        return f64::NAN;
    }
    let pairs = found
        .as_chunks::<2>()
        .0
        .iter()
        .zip(expected.as_chunks::<2>().0);
    let apart = pairs.map(|(&[u, angle], &[v, other])| {
        // |u e^ja - v e^jb|, without the rounding of the angles' cosines.
        let across = 2.0 * (u * v).sqrt() * ((angle - other) / 2.0).sin();
        (u - v).hypot(across)
    });
    apart.fold(0.0, worse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_of_voltages_is_that_of_phasors() {
        let found = [1.0, 0.0, 2.0, std::f64::consts::PI];
        let expected = [1.0, 0.1, 2.0, -std::f64::consts::PI + 1e-9];
        let by_hand = 2.0 * 0.05_f64.sin();
        assert!((distance(&found, &expected) - by_hand).abs() < 1e-9);
        assert!(distance(&found, &expected[..2]).is_nan());
        assert!(distance(&[f64::NAN, 0.0], &[1.0, 0.0]).is_nan());
    }
}
