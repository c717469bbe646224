//! The IEEE distribution test feeders of `tests/cases/ieee` against OpenDSS, by phase. Origin:
//! `tests/cases/README.md`.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

use serde_json::Value;
use solver::network::{Grid, Network, pgm_json};
use solver::powerflow::{
    AsymOutput, AsymPowerFlow, AsymSolution, AsymTapSolver, Method, Options, TapStrategy, regulate,
};

const FEEDERS: [&str; 6] = ["4_yy", "4_dy", "13", "34", "37", "123"];

/// With the taps where OpenDSS has them, pu.
const TAPS_FIXED: f64 = 1e-4;

/// With regulators free, pu: a step of theirs.
const TAPS_FREE: f64 = 0.00625;

fn read(feeder: &str, file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ieee");
    fs::read_to_string(root.join(feeder).join(file)).expect("the cases are in the repository")
}

fn network(feeder: &str) -> Network {
    pgm_json::read(&read(feeder, "input.json")).unwrap_or_else(|e| panic!("{feeder}: {e}"))
}

fn options(method: Method) -> Options {
    Options {
        method,
        tolerance: 1e-10,
        max_iterations: if method == Method::Newton { 20 } else { 1000 },
    }
}

/// Voltages of each node by phase, magnitude and angle; none where a node lacks the phase.
type Voltages = Vec<[Option<(f64, f64)>; 3]>;

fn of_opendss(feeder: &str) -> Voltages {
    let expected: Value =
        serde_json::from_str(&read(feeder, "asym_output.json")).expect("references are JSON");
    let nodes = expected["data"]["node"]
        .as_array()
        .expect("one row per node");
    let value =
        |node: &Value, p: usize| Some((node["u_pu"][p].as_f64()?, node["u_angle"][p].as_f64()?));
    (nodes.iter())
        .map(|node| [0, 1, 2].map(|p| value(node, p)))
        .collect()
}

fn ours(grid: &Grid, solver: &mut AsymPowerFlow, method: Method) -> Voltages {
    let solution = solver
        .run(grid, None, &options(method))
        .expect("the feeders converge");
    voltages(grid, solver, &solution)
}

fn voltages(grid: &Grid, solver: &AsymPowerFlow, solution: &AsymSolution) -> Voltages {
    let output = AsymOutput::new(grid, solver.phases(), solution);
    let value = |u: f64, angle: f64| u.is_finite().then_some((u, angle));
    (output.node.iter())
        .map(|n| [0, 1, 2].map(|p| value(n.u_pu[p], n.u_angle[p])))
        .collect()
}

/// Largest difference of a magnitude, pu, and of an angle, rad; the phases have to be the same.
fn difference(feeder: &str, a: &Voltages, b: &Voltages) -> (f64, f64, usize) {
    assert_eq!(a.len(), b.len(), "{feeder}");
    let (mut magnitude, mut angle, mut count) = (0.0_f64, 0.0_f64, 0);
    for (node, (a, b)) in a.iter().zip(b).enumerate() {
        for (a, b) in a.iter().zip(b) {
            assert_eq!(a.is_some(), b.is_some(), "{feeder}, node {}", node + 1);
            if let (Some(a), Some(b)) = (a, b) {
                magnitude = magnitude.max((a.0 - b.0).abs());
                let turn = (a.1 - b.1).rem_euclid(TAU);
                angle = angle.max(turn.min(TAU - turn));
                count += 1;
            }
        }
    }
    (magnitude, angle, count)
}

#[test]
fn with_taps_fixed_every_voltage_is_that_of_opendss() {
    let mut compared = 0;
    for feeder in FEEDERS {
        let expected = of_opendss(feeder);
        let grid = Grid::new(&network(feeder)).unwrap();
        let mut solver = AsymPowerFlow::new(&grid).unwrap();
        for method in [Method::Newton, Method::Current] {
            let found = ours(&grid, &mut solver, method);
            let (magnitude, angle, count) = difference(feeder, &found, &expected);
            println!(
                "IEEE {feeder}, {method:?}: {count} voltages within {magnitude:.1e} pu, {angle:.1e} rad"
            );
            assert!(
                magnitude < TAPS_FIXED && angle < TAPS_FIXED,
                "IEEE {feeder}, {method:?}: {magnitude:.2e} pu, {angle:.2e} rad"
            );
            compared += count;
        }
    }
    assert_eq!(compared, 2 * (12 + 12 + 41 + 95 + 117 + 278));
}

/// From the neutral position, where OpenDSS's regulators begin too.
#[test]
fn with_regulators_free_every_voltage_is_within_a_step_of_opendss() {
    let mut regulators = 0;
    for feeder in ["13", "34", "37", "123"] {
        let expected = of_opendss(feeder);
        let mut network = network(feeder);
        let of_opendss: Vec<i8> = (network.step_voltage_regulator.iter())
            .map(|r| r.tap_pos)
            .collect();
        for r in &mut network.step_voltage_regulator {
            r.tap_pos = 0;
        }
        for method in [Method::Newton, Method::Current] {
            let mut grid = Grid::new(&network).unwrap();
            let mut solver = AsymPowerFlow::new(&grid).unwrap();
            let mut taps = AsymTapSolver {
                solver: &mut solver,
                options: options(method),
            };
            let solution = regulate(&mut grid, TapStrategy::Any, &mut taps).unwrap();
            let found = voltages(&grid, &solver, &solution);
            let (magnitude, angle, _) = difference(feeder, &found, &expected);
            let rows = &grid.network().step_voltage_regulator;
            let positions: Vec<i8> = rows.iter().map(|r| r.tap_pos).collect();
            println!(
                "IEEE {feeder}, {method:?}: {positions:?} {of_opendss:?}, {magnitude:.1e} pu, {angle:.1e} rad"
            );
            assert!(
                magnitude < TAPS_FREE,
                "IEEE {feeder}, {method:?}: {magnitude:.2e} pu"
            );
            regulators += positions.len();
        }
    }
    assert_eq!(regulators, 2 * (3 + 6 + 2 + 7));
}
