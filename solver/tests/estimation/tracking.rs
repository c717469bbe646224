//! Tracking against the estimator, run by run.

use std::f64::consts::FRAC_PI_2;

use num_complex::Complex64;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use solver::estimation::{
    AngleFrame, AsymEstimateOutput, AsymEstimator, AsymTracker, Estimate, Estimator, Form, Kind,
    Measurement, Options, Origin, Phase, Readings, Start, SymEstimateOutput, Tracker, TrackerOf,
};
use solver::network::{Grid, Network, S_BASE_VA, Side};
use solver::powerflow::{self, AsymOutput, PowerFlow, SymOutput};

use super::random;

const OPTIONS: Options = Options {
    tolerance: 1e-11,
    max_iterations: 40,
    confidence: 0.99,
    max_rejected: 0,
};

/// A random grid, and what its meters say at the power flow of its loads times `level`, with
/// noise that differs by phase.
fn network(seed: u64) -> Network {
    let mut random = StdRng::seed_from_u64(seed);
    let mut network = random::network(&mut random, 40, 4, 1);
    for l in &mut network.line {
        (l.r0, l.x0) = (Some(3.0 * l.r1), Some(3.0 * l.x1));
        (l.c0, l.tan0) = (Some(l.c1), Some(0.0));
    }
    let mut beside = network.source[0].clone();
    beside.id = 9_000;
    beside.sk *= 0.5;
    network.source.push(beside);
    network
}

fn meters(network: &Network, level: f64, phases: &[Phase], seed: u64) -> Vec<Measurement> {
    let mut network = network.clone();
    for l in &mut network.sym_load {
        l.p_specified *= level;
        l.q_specified *= level;
    }
    let grid = Grid::new(&network).unwrap();
    let solved = PowerFlow::new(&grid)
        .run(&grid, &[], None, &powerflow::Options::default())
        .unwrap();
    let flows = powerflow::flows(&grid, &solved.u);
    let mut random = StdRng::seed_from_u64(seed);
    let mut all = Vec::new();
    let mut meter = |kind: Kind, value: f64, sigma: f64, of_phase: f64| {
        for &phase in phases {
            let share = if phase == Phase::Sym { 1.0 } else { of_phase };
            all.push(Measurement {
                kind,
                phase,
                value: share * (value + sigma * random.random_range(-1.5..1.5)),
                sigma: share * sigma,
                origin: Origin::Metered,
            });
        }
    };
    for (k, &node) in grid.node_id.iter().enumerate().step_by(5) {
        let u = solved.u[k].norm() * 20e3;
        meter(Kind::Voltage { node }, u, 40.0, 1.0 / 3.0_f64.sqrt());
    }
    for (k, b) in grid.branches.iter().enumerate().step_by(4) {
        let (branch, side) = (b.id, Side::From);
        let s = flows.branches[k].s_from * S_BASE_VA;
        meter(Kind::BranchP { branch, side }, s.re, 5e3, 1.0 / 3.0);
        meter(Kind::BranchQ { branch, side }, s.im, 5e3, 1.0 / 3.0);
    }
    for (a, s) in grid.appliances.iter().zip(&flows.appliances) {
        let sign = match a.kind {
            solver::network::ApplianceKind::Load => -S_BASE_VA,
            solver::network::ApplianceKind::Gen => S_BASE_VA,
        };
        let appliance = a.id;
        meter(Kind::ApplianceP { appliance }, sign * s.re, 1e4, 1.0 / 3.0);
        meter(Kind::ApplianceQ { appliance }, sign * s.im, 1e4, 1.0 / 3.0);
    }
    for (source, s) in grid.sources.iter().zip(&solved.sources) {
        let (source, s) = (source.id, s * S_BASE_VA);
        meter(Kind::SourceP { source }, s.re, 2e4, 1.0 / 3.0);
        meter(Kind::SourceQ { source }, s.im, 2e4, 1.0 / 3.0);
    }
    if phases != [Phase::Sym] {
        return all;
    }
    let base_a = S_BASE_VA / (3.0_f64.sqrt() * 20e3);
    for (k, b) in grid.branches.iter().enumerate().step_by(7) {
        let (u, s) = (solved.u[b.from], flows.branches[k].s_from);
        let (global, local) = ((s / u).conj(), s / u.norm());
        for (frame, i) in [(AngleFrame::Global, global), (AngleFrame::Local, local)] {
            // Along and across: one of them alone has two answers.
            for turn in [0.3, 0.3 + FRAC_PI_2] {
                let direction = i.arg() + turn;
                let kind = Kind::CurrentAlong {
                    branch: b.id,
                    side: Side::From,
                    frame,
                    direction,
                };
                let along = (i * Complex64::cis(-direction)).re;
                meter(kind, along * base_a, 0.5, 1.0);
            }
        }
    }
    all
}

fn same<F: Form, const P: usize, const B: usize>(
    grid: &Grid,
    tracker: &TrackerOf<F, P, B>,
    estimate: &Estimate<F>,
) {
    let tracked = tracker.tracked();
    let close = |a: Complex64, b: Complex64| (a - b).norm() < 1e-7;
    for (node, u) in tracked.u.iter().enumerate() {
        for (p, u) in u.iter().enumerate() {
            assert!(close(*u, *F::phase(&estimate.u[node], p)), "{node} {p}");
        }
    }
    let base = S_BASE_VA / P as f64;
    for (k, b) in grid.branches.iter().enumerate() {
        for p in 0..P {
            let from = F::phase(&estimate.branches[k].from, p);
            let expected = from
                .as_ref()
                .map(|e| Complex64::new(e.p.value, e.q.value) / base);
            let found = tracker.branch(k)[0].s[p];
            assert!(close(found, expected.unwrap()), "branch {} {p}", b.id);
        }
    }
    for (k, a) in grid.appliances.iter().enumerate() {
        let estimate = &estimate.appliances[k];
        for p in 0..P {
            let (re, im) = (F::phase(&estimate.p, p), F::phase(&estimate.q, p));
            let expected = Complex64::new(re.unwrap().value, im.unwrap().value) / base;
            let sign = match a.kind {
                solver::network::ApplianceKind::Load => -1.0,
                solver::network::ApplianceKind::Gen => 1.0,
            };
            assert!(
                close(sign * tracked.appliances[k][p], expected),
                "{} {p}",
                a.id
            );
        }
    }
    for (found, estimate) in tracked.sources.iter().zip(&estimate.sources) {
        for (p, found) in found.iter().enumerate() {
            let (re, im) = (F::phase(&estimate.p, p), F::phase(&estimate.q, p));
            let expected = Complex64::new(re.unwrap().value, im.unwrap().value) / base;
            assert!(close(*found, expected), "source {} {p}", estimate.id);
        }
    }
    assert!((tracker.objective(grid) / estimate.objective - 1.0).abs() < 1e-6);
    assert_eq!(tracked.degrees_of_freedom, estimate.degrees_of_freedom);
    assert_eq!(tracked.chi_square_threshold, estimate.chi_square_threshold);
}

/// Rows of data sets: powers by 1 W, currents and voltages by a thousandth, ratios and angles by a
/// millionth.
fn same_rows(name: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert!(found.keys().eq(expected.keys()), "{name}");
            for (name, found) in found {
                same_rows(name, found, &expected[name]);
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(expected) {
                same_rows(name, found, expected);
            }
        }
        _ => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            let most = match name.split('_').next().unwrap() {
                "p" | "q" | "s" => 1.0,
                "i" => 1e-3,
                "u" if name == "u" => 1e-3,
                _ => 1e-6,
            };
            let distance = (found - expected).abs();
            assert!(distance < most, "{name}: {found} {expected}");
        }
    }
}

fn same_data(found: &impl serde::Serialize, expected: &impl serde::Serialize) {
    let [found, expected] = [serde_json::to_value(found), serde_json::to_value(expected)];
    same_rows("", &found.unwrap(), &expected.unwrap());
}

/// Loads rise, switches open, a meter falls silent, another is more exact: each time as the estimator says.
#[test]
fn follows_the_estimator() {
    for seed in 0..3 {
        let network = network(seed);
        let mut grid = Grid::new(&network).unwrap();
        let first = meters(&network, 1.0, &[Phase::Sym], seed);
        let mut readings = Readings::of(&first);
        let mut tracker = Tracker::new(Estimator::new(&grid), &grid, &readings, &OPTIONS).unwrap();
        let mut output = SymOutput::default();
        for (k, level) in [1.0, 1.02, 0.97, 0.6].into_iter().enumerate() {
            let mut measured = meters(&network, level, &[Phase::Sym], 100 + k as u64);
            if k == 2 {
                measured[3].value = f64::NAN;
            }
            if k == 3 {
                measured[1].sigma *= 0.2;
            }
            let start = if k == 1 { Start::Flat } else { Start::Last };
            readings.take(&measured);
            let tracked = tracker.run(&grid, &readings, start).unwrap();
            assert!(!tracked.orthogonal && tracked.gradient_norm < 1e-4);
            let estimate = Estimator::new(&grid).run(&grid, &measured, None, &OPTIONS);
            let estimate = estimate.unwrap();
            same(&grid, &tracker, &estimate);
            tracker.put_out(&grid, &mut output);
            let expected = SymEstimateOutput::new(&grid, &estimate);
            same_data(&output, &expected.components);
        }
        // The last line closes a ring: nobody is left without.
        let last = grid.branches.last().unwrap().id;
        grid.set_branch_status(last, false, false).unwrap();
        let measured = meters(&network, 0.6, &[Phase::Sym], 200);
        readings.take(&measured);
        tracker.run(&grid, &readings, Start::Last).unwrap();
        let estimate = Estimator::new(&grid).run(&grid, &measured, None, &OPTIONS);
        same(&grid, &tracker, &estimate.unwrap());
    }
}

#[test]
fn follows_the_estimator_by_phase() {
    let phases = [Phase::A, Phase::B, Phase::C];
    let network = network(7);
    let grid = Grid::new(&network).unwrap();
    let first = meters(&network, 1.0, &phases, 7);
    let estimator = AsymEstimator::new(&grid).unwrap();
    let mut readings = Readings::of(&first);
    let mut tracker = AsymTracker::new(estimator, &grid, &readings, &OPTIONS).unwrap();
    let mut output = AsymOutput::default();
    for (k, level) in [1.0, 1.03, 0.9].into_iter().enumerate() {
        let measured = meters(&network, level, &phases, 300 + k as u64);
        readings.take(&measured);
        let tracked = tracker.run(&grid, &readings, Start::Last).unwrap();
        assert!(!tracked.orthogonal && tracked.gradient_norm < 1e-4);
        let mut estimator = AsymEstimator::new(&grid).unwrap();
        let estimate = estimator.run(&grid, &measured, None, &OPTIONS).unwrap();
        same(&grid, &tracker, &estimate);
        tracker.put_out(&grid, &mut output);
        let expected = AsymEstimateOutput::new(&grid, estimator.phases(), &estimate);
        same_data(&output, &expected.components);
    }
}
