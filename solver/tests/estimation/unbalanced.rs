//! Estimation by phase where phases differ: feeders with one and two phases, standard deviations,
//! gross errors and what cannot be observed of each phase.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;
use solver::estimation::{
    AsymEstimate, AsymEstimator, EstimationError, Estimator, Kind, Measurement, Options, Phase,
    Readings, Suspicion, Tracker,
};
use solver::network::{Grid, Side, pgm_json};
use solver::powerflow::{self, AsymOutput, AsymPowerFlow, Method};

use super::case::metered;
use super::feeder::noisy;

const PHASES: [Phase; 3] = [Phase::A, Phase::B, Phase::C];

/// A solved network.
struct Solved {
    grid: Grid,
    flow: AsymPowerFlow,
    u: Vec<[num_complex::Complex64; 3]>,
    output: AsymOutput,
}

impl Solved {
    fn new(json: &str) -> Self {
        let grid = Grid::new(&pgm_json::read(json).unwrap()).unwrap();
        let mut flow = AsymPowerFlow::new(&grid).unwrap();
        let options = powerflow::Options {
            tolerance: 1e-12,
            max_iterations: 50,
            method: Method::Newton,
        };
        let solution = flow.run(&grid, None, &options).unwrap();
        let output = AsymOutput::new(&grid, flow.phases(), &solution);
        Self {
            grid,
            flow,
            u: solution.u,
            output,
        }
    }

    fn run(
        &self,
        measurements: &[Measurement],
        options: &Options,
    ) -> Result<AsymEstimate, EstimationError> {
        AsymEstimator::new(&self.grid)
            .unwrap()
            .run(&self.grid, measurements, None, options)
    }

    fn estimate(&self, measurements: &[Measurement]) -> AsymEstimate {
        self.run(measurements, &Options::default()).unwrap()
    }

    /// The source's voltage phasor and what every node injects.
    fn injections(&self) -> Vec<Measurement> {
        let source = self.grid.sources[0].node;
        let mut all = Vec::new();
        for (k, node) in self.output.node.iter().enumerate() {
            if k == source {
                let angle = Kind::VoltageAngle { node: node.id };
                all.extend(each(angle, node.u_angle, 1e-4));
                all.extend(each(Kind::Voltage { node: node.id }, node.u, 1.0));
            } else {
                all.extend(each(Kind::NodeP { node: node.id }, node.p, 100.0));
                all.extend(each(Kind::NodeQ { node: node.id }, node.q, 100.0));
            }
        }
        all
    }
}

/// A measurement of each phase.
fn each(kind: Kind, values: [f64; 3], sigma: f64) -> impl Iterator<Item = Measurement> {
    PHASES
        .into_iter()
        .zip(values)
        .map(move |(phase, value)| Measurement {
            phase,
            ..metered(kind, value, sigma)
        })
}

/// The IEEE test feeders: phases that are not there take no part, the others come back.
#[test]
fn feeders_with_one_and_two_phases() {
    for feeder in ["4_dy", "13", "34", "37", "123"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ieee");
        let path = root.join(feeder).join("input.json");
        let solved = Solved::new(&std::fs::read_to_string(path).unwrap());
        let mut measurements = solved.injections();
        if feeder == "37" {
            // Its network floats: powers of the phases to ground fit another neutral as well.
            for node in &solved.output.node {
                measurements.extend(each(Kind::Voltage { node: node.id }, node.u, 1.0));
            }
        }
        let estimate = solved.estimate(&measurements);
        assert_eq!(estimate.unobservable, [0; 0], "{feeder}");
        assert_eq!(estimate.rejected, [], "{feeder}");
        let mut compared = 0;
        for (node, (found, expected)) in estimate.u.iter().zip(&solved.u).enumerate() {
            let live = solved.flow.phases().live_phases(node);
            for p in (0..3).filter(|&p| live[p]) {
                let difference = (found[p] - expected[p]).norm();
                assert!(
                    difference < 1e-6,
                    "{feeder} node {node} phase {p}: {difference}"
                );
                compared += 1;
            }
        }
        assert!(compared > 2 * estimate.u.len(), "{feeder}: {compared}");
    }
}

/// A feeder of three nodes whose lines couple the phases, or do not.
fn small(coupled: bool) -> Solved {
    let line = if coupled {
        r#""r1": 0.3, "x1": 0.4, "c1": 1e-7, "tan1": 0.0, "r0": 0.9, "x0": 1.3, "c0": 5e-8, "tan0": 0.0"#
    } else {
        r#""r1": 0.3, "x1": 0.4, "c1": 1e-7, "tan1": 0.0, "r0": 0.3, "x0": 0.4, "c0": 1e-7, "tan0": 0.0"#
    };
    Solved::new(&format!(
        r#"{{"version": "1.0", "type": "input", "is_batch": false, "attributes": {{}}, "data": {{
        "node": [{{"id": 1, "u_rated": 10e3}}, {{"id": 2, "u_rated": 10e3}}, {{"id": 3, "u_rated": 10e3}}],
        "line": [
          {{"id": 11, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1, {line}}},
          {{"id": 12, "from_node": 2, "to_node": 3, "from_status": 1, "to_status": 1, {line}}}],
        "source": [{{"id": 20, "node": 1, "status": 1, "u_ref": 1.02}}],
        "asym_load": [
          {{"id": 31, "node": 2, "status": 1, "type": 0,
           "p_specified": [4e5, 2e5, 3e5], "q_specified": [1e5, 5e4, 1e5]}},
          {{"id": 32, "node": 3, "status": 1, "type": 0,
           "p_specified": [1e5, 5e5, 2e5], "q_specified": [2e4, 1e5, 5e4]}}]
        }}}}"#
    ))
}

/// Meters at everything, more than is needed.
fn fully_metered(solved: &Solved) -> Vec<Measurement> {
    let mut all = Vec::new();
    for node in &solved.output.node {
        all.extend(each(Kind::Voltage { node: node.id }, node.u, 15.0));
    }
    for l in &solved.output.line {
        let branch = l.id;
        for (side, p, q) in [(Side::From, l.p_from, l.q_from), (Side::To, l.p_to, l.q_to)] {
            all.extend(each(Kind::BranchP { branch, side }, p, 3e3));
            all.extend(each(Kind::BranchQ { branch, side }, q, 3e3));
        }
    }
    for l in &solved.output.asym_load {
        let appliance = l.id;
        all.extend(each(Kind::ApplianceP { appliance }, l.p, 3e3));
        all.extend(each(Kind::ApplianceQ { appliance }, l.q, 3e3));
    }
    all
}

/// Mean square of error over standard deviation is one, and the objective is chi-square.
#[test]
fn standard_deviations_are_those_of_the_errors() {
    let solved = small(true);
    let plan = fully_metered(&solved);
    let mut random = StdRng::seed_from_u64(71);
    let (mut sums, mut objective, draws) = ([(0.0, 0.0); 3], 0.0, 150);
    for _ in 0..draws {
        let options = Options {
            max_rejected: 0,
            ..Options::default()
        };
        let estimate = solved.run(&noisy(&plan, &mut random), &options).unwrap();
        assert!(estimate.gradient_norm < 1e-4, "{}", estimate.gradient_norm);
        objective += estimate.objective / estimate.degrees_of_freedom as f64;
        let mut add = |at: usize, found: Option<solver::estimation::Quantity>, truth: f64| {
            let found = found.unwrap();
            let z = (found.value - truth) / found.sigma;
            sums[at] = (sums[at].0 + z * z, sums[at].1 + 1.0);
        };
        for p in 0..3 {
            for (found, truth) in estimate.nodes.iter().zip(&solved.output.node) {
                add(0, found.u[p], truth.u[p]);
            }
            for (found, truth) in estimate.branches.iter().zip(&solved.output.line) {
                add(1, found.from[p].map(|end| end.p), truth.p_from[p]);
                add(1, found.to[p].map(|end| end.i), truth.i_to[p]);
            }
            for (found, truth) in estimate.appliances.iter().zip(&solved.output.asym_load) {
                add(2, found.p[p], truth.p[p]);
            }
        }
    }
    for (sum, count) in sums {
        println!("mean square {:.3} of {count}", sum / count);
        assert!((sum / count - 1.0).abs() < 0.2, "{}", sum / count);
    }
    let mean = objective / f64::from(draws);
    assert!(
        (mean - 1.0).abs() < 0.1,
        "objective over degrees of freedom {mean}"
    );
}

#[test]
fn a_gross_error_is_named_with_its_phase() {
    let solved = small(true);
    let plan = fully_metered(&solved);
    let mut random = StdRng::seed_from_u64(72);
    for (kind, phase, at) in [
        (Kind::ApplianceP { appliance: 32 }, Phase::B, 1),
        (
            Kind::BranchP {
                branch: 11,
                side: Side::To,
            },
            Phase::C,
            2,
        ),
    ] {
        let mut measurements = noisy(&plan, &mut random);
        let wrong = measurements
            .iter()
            .position(|m| m.kind == kind && m.phase == phase)
            .unwrap();
        measurements[wrong].value *= -1.0;
        let estimate = solved.estimate(&measurements);
        let named: Vec<_> = estimate
            .rejected
            .iter()
            .map(|r| (r.index, r.phase, r.suspicion))
            .collect();
        assert_eq!(named, [(wrong, phase, Suspicion::SignFlipped)]);
        assert!(estimate.passed);
        assert_eq!(estimate.residuals[wrong], [None; 3]);
        assert!(estimate.residuals[wrong - at].iter().flatten().count() == 1);
    }
}

/// A symmetrical meter says the same of each phase: as such it is believed or rejected.
#[test]
fn a_symmetrical_meter_is_rejected_as_a_whole() {
    let solved = small(true);
    let mut measurements = fully_metered(&solved);
    let (index, node) = (measurements.len(), 2);
    let u = solved.output.node[1].u.iter().sum::<f64>() / 3.0_f64.sqrt();
    measurements.push(metered(Kind::Voltage { node }, u, 30.0));
    let estimate = solved.estimate(&measurements);
    assert_eq!(estimate.rejected, []);
    assert_eq!(estimate.residuals[index].iter().flatten().count(), 3);
    measurements[index].value = 1.1 * u;
    let estimate = solved.estimate(&measurements);
    assert_eq!(estimate.rejected.len(), 1);
    assert_eq!(estimate.rejected[0].index, index);
    assert_eq!(estimate.residuals[index], [None; 3]);
}

/// Without the meter of a load's phase c: where the phases are not coupled the others are still
/// known, and so is nothing of phase c beyond.
#[test]
fn what_is_not_observable_of_a_phase() {
    let solved = small(false);
    let mut plan = Vec::new();
    let source = &solved.output.node[0];
    plan.extend(each(Kind::Voltage { node: 1 }, source.u, 15.0));
    for l in &solved.output.asym_load {
        let appliance = l.id;
        plan.extend(each(Kind::ApplianceP { appliance }, l.p, 3e3));
        plan.extend(each(Kind::ApplianceQ { appliance }, l.q, 3e3));
    }
    assert_eq!(solved.estimate(&plan).unobservable, [0; 0]);
    let missing = Kind::ApplianceP { appliance: 32 };
    plan.retain(|m| !(m.kind == missing && m.phase == Phase::C));
    let estimate = solved.estimate(&plan);
    assert_eq!(estimate.unobservable, [2, 3]);
    let known = |values: &[Option<solver::estimation::Quantity>; 3]| values.map(|q| q.is_some());
    assert_eq!(known(&estimate.nodes[0].u), [true, true, true]);
    assert_eq!(known(&estimate.nodes[2].u), [true, true, false]);
    assert_eq!(known(&estimate.appliances[1].p), [true, true, false]);
    assert_eq!(known(&estimate.appliances[0].p), [true, true, true]);
    let flow = estimate.branches[1].from.map(|end| end.is_some());
    assert_eq!(flow, [true, true, false]);
    // With it, phases c are asked for and no other.
    assert!(!estimate.missing.is_empty());
}

/// An iteration that does not settle says where.
#[test]
fn no_convergence_names_a_node() {
    let solved = small(true);
    let options = Options {
        max_iterations: 1,
        max_rejected: 0,
        ..Options::default()
    };
    let error = solved.run(&fully_metered(&solved), &options).unwrap_err();
    let EstimationError::NotConverged {
        node,
        step,
        iterations,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(
        solved.grid.node_id.contains(&node) && iterations == 1 && step > 1e-4,
        "{node} {step}"
    );
}

/// What has not all its phases, or has them in different positions, has no positive sequence of
/// its own: an estimate without it would be one of another network.
#[test]
fn the_symmetric_estimate_names_what_it_cannot_take_in() {
    for (feeder, named) in [
        (
            "13",
            "asym_line 23 can only be computed by phase: it lacks phases",
        ),
        ("4_dy", ""),
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ieee");
        let json = std::fs::read_to_string(root.join(feeder).join("input.json")).unwrap();
        let grid = Grid::new(&pgm_json::read(&json).unwrap()).unwrap();
        let source = metered(
            Kind::Voltage {
                node: grid.node_id[grid.sources[0].node],
            },
            4160.0,
            10.0,
        );
        let options = Options::default();
        let run = Estimator::new(&grid).run(&grid, std::slice::from_ref(&source), None, &options);
        let tracker = Tracker::new(
            Estimator::new(&grid),
            &grid,
            &Readings::of(&[source]),
            &options,
        );
        let said = [run.err(), tracker.err()].map(|e| e.map(|e| e.to_string()).unwrap_or_default());
        assert_eq!(said, [named, named]);
    }
}
