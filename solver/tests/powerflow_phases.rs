//! One- and two-phase branches, deltas, regulators and switched capacitors against what follows by
//! hand, or from the same thing built otherwise.

use std::f64::consts::PI;

use num_complex::Complex64;
use serde_json::{Value, json};
use solver::network::{Grid, Network, OnlyByPhase, Phases, pgm_json};
use solver::powerflow::{
    AsymOutput, AsymPowerFlow, AsymTapSolver, Method, Options, PowerFlow, PowerFlowError,
    TapStrategy, regulate,
};

const EXACT: Options = exact(Method::Newton);

const fn exact(method: Method) -> Options {
    Options {
        method,
        tolerance: 1e-12,
        max_iterations: 200,
    }
}

fn network(data: &Value) -> Network {
    let document = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": data});
    pgm_json::read(&document.to_string()).expect("these networks are right")
}

fn grid(data: &Value) -> Grid {
    Grid::new(&network(data)).expect("these networks are right")
}

/// Voltages and output; both methods have to agree.
fn solve(grid: &Grid) -> (Vec<Phases>, AsymOutput) {
    let mut solver = AsymPowerFlow::new(grid).expect("by phase");
    let current = solver
        .run(grid, None, &exact(Method::Current))
        .expect("light loads");
    let newton = solver.run(grid, None, &EXACT).expect("light loads");
    for (a, b) in current.u.iter().flatten().zip(newton.u.iter().flatten()) {
        assert!(
            (a - b).norm() < 1e-10,
            "{a} by current injection, {b} by Newton"
        );
    }
    let output = AsymOutput::new(grid, solver.phases(), &newton);
    (newton.u, output)
}

fn source(u_ref: f64) -> Value {
    json!([{"id": 90, "node": 1, "status": 1, "u_ref": u_ref, "sk": 1e20}])
}

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
        "{found}, by hand {expected}"
    );
}

/// 30 kW between a and b at 400 V are 75 A, 30 degrees ahead of phase a's voltage.
#[test]
fn a_delta_leg_takes_its_power_from_two_phases() {
    for (kind, u, part) in [(0, 1.0, 1.0), (0, 0.9, 1.0), (1, 0.9, 0.81), (2, 0.9, 0.9)] {
        let (_, output) = solve(&grid(&json!({
            "node": [{"id": 1, "u_rated": 400.0}],
            "source": source(u),
            "asym_load": [{"id": 2, "node": 1, "status": 1, "type": kind, "connection": "delta",
                "p_specified": [30e3, 0.0, 0.0], "q_specified": [0.0, 0.0, 0.0]}],
        })));
        let load = &output.asym_load[0];
        let i = 75.0 * part / u;
        near(load.i[0], i);
        near(load.i[1], i);
        near(load.i[2], 0.0);
        let apparent = 400.0 * u / 3.0_f64.sqrt() * i;
        for (p, turn) in [(0, -PI / 6.0), (1, PI / 6.0)] {
            near(load.p[p], apparent * turn.cos());
            near(load.q[p], apparent * turn.sin());
        }
        near(output.source[0].p.iter().sum(), 30e3 * part);
    }
}

/// A balanced load is the same in wye and in delta.
#[test]
fn a_balanced_delta_is_a_wye() {
    let of = |connection: &str, kind: i32| {
        solve(&grid(&json!({
            "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}],
            "line": [{"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1, "r1": 2.0, "x1": 3.0,
                "c1": 1e-8, "tan1": 0.0, "r0": 4.0, "x0": 9.0, "c0": 1e-8, "tan0": 0.0}],
            "source": source(1.0),
            "sym_load": [{"id": 4, "node": 2, "status": 1, "type": kind, "connection": connection,
                "p_specified": 1e6, "q_specified": 3e5}],
        })))
        .0
    };
    for kind in 0..3 {
        for (a, b) in of("wye", kind)
            .iter()
            .flatten()
            .zip(of("delta", kind).iter().flatten())
        {
            assert!((a - b).norm() < 1e-11, "type {kind}: {a}, {b}");
        }
    }
}

/// A divider: the load's impedance behind the conductor's.
#[test]
fn one_phase_has_one_phase() {
    let (u, output) = solve(&grid(&json!({
        "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}],
        "asym_line": [{"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1, "phases": "b",
            "r_bb": 1.0, "x_bb": 2.0, "c_bb": 0.0}],
        "source": source(1.0),
        "asym_load": [{"id": 4, "node": 2, "status": 1, "type": 1, "p_specified": [0.0, 4e5, 0.0],
            "q_specified": [0.0, 3e5, 0.0]}],
    })));
    let rated = 10e3 / 3.0_f64.sqrt();
    let load = rated * rated / Complex64::new(4e5, -3e5);
    let expected =
        Complex64::from_polar(1.0, -2.0 * PI / 3.0) * load / (load + Complex64::new(1.0, 2.0));
    assert!(
        (u[1][1] - expected).norm() < 1e-9,
        "{}, by hand {expected}",
        u[1][1]
    );
    let node = &output.node[1];
    assert!(node.u_pu[0].is_nan() && node.u_pu[2].is_nan() && node.energized == 1);
    let line = &output.asym_line[0];
    assert!(line.i_to[0].is_nan() && line.i_to[1] > 0.0);
    let json: Value = serde_json::from_str(&output.to_json()).expect("it is JSON");
    assert!(json["data"]["node"][1]["u_pu"][0].is_null());
}

const ALL: [&str; 3] = ["a", "b", "c"];

/// Three switches by phase, and a line beyond them of these phases.
fn switched(open: Option<&str>, phases: &str) -> Value {
    let links: Vec<Value> = (ALL.iter().enumerate())
        .map(|(k, p)| {
            json!({"id": 10 + k, "from_node": 1, "to_node": 2, "phases": p,
            "from_status": 1, "to_status": i32::from(open != Some(*p))})
        })
        .collect();
    let mut line = json!({"id": 20, "from_node": 2, "to_node": 3, "from_status": 1, "to_status": 1, "phases": phases});
    for entry in ["aa", "ba", "bb", "ca", "cb", "cc"] {
        if entry.chars().all(|p| phases.contains(p)) {
            let own = entry.chars().all(|p| entry.starts_with(p));
            let (r, x, c) = if own {
                (0.5, 1.0, 4e-8)
            } else {
                (0.15, 0.4, 0.0)
            };
            line[format!("r_{entry}")] = json!(r);
            line[format!("x_{entry}")] = json!(x);
            line[format!("c_{entry}")] = json!(c);
        }
    }
    let at = |p: &str, power: f64| if phases.contains(p) { power } else { 0.0 };
    let powers = |power: f64| json!(ALL.map(|p| at(p, power)));
    json!({
        "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}, {"id": 3, "u_rated": 10e3}],
        "link": links,
        "asym_line": [line],
        "source": source(1.0),
        "asym_load": [{"id": 30, "node": 3, "status": 1, "type": 0, "p_specified": powers(4e5), "q_specified": powers(1e5)}],
    })
}

/// Beyond an open switch of phase a the rest is as with a line that never had it.
#[test]
fn a_phase_switched_off_is_dead_by_itself() {
    let (u, output) = solve(&grid(&switched(Some("a"), "abc")));
    let (without, _) = solve(&grid(&switched(Some("a"), "bc")));
    for node in [1, 2] {
        assert_eq!(u[node][0], Complex64::new(0.0, 0.0));
        for p in [1, 2] {
            assert!((u[node][p] - without[node][p]).norm() < 1e-10);
        }
    }
    assert_eq!((output.node[2].energized, output.node[2].u_pu[0]), (1, 0.0));
    assert_eq!(
        (output.asym_load[0].p[0], output.asym_line[0].i_to[0]),
        (0.0, 0.0)
    );
    near(output.asym_load[0].p[1], 4e5);
}

/// A switch operation is followed by the structures that are there: no new solver, and the answer
/// of a new one.
#[test]
fn a_switch_operation_needs_no_new_structure() {
    let mut grid = grid(&switched(None, "abc"));
    let mut solver = AsymPowerFlow::new(&grid).expect("by phase");
    let operations = [
        (10, false),
        (12, false),
        (10, true),
        (11, false),
        (12, true),
        (11, true),
    ];
    for method in [Method::Newton, Method::Current] {
        for (link, closed) in operations {
            grid.set_branch_status(link, true, closed)
                .expect("there is such a link");
            let kept = solver
                .run(&grid, None, &exact(method))
                .expect("light loads");
            let fresh = AsymPowerFlow::new(&grid)
                .map(|mut new| new.run(&grid, None, &exact(method)))
                .expect("by phase")
                .expect("light loads");
            let of = (link - 10) as usize;
            assert_eq!(grid.live[2][of], closed);
            assert_eq!(solver.phases().live_phases(2)[of], closed);
            assert_eq!(solver.phases().phases_of(2), [true; 3]);
            for (a, b) in kept.u.iter().flatten().zip(fresh.u.iter().flatten()) {
                assert!((a - b).norm() < 1e-12, "link {link}: {a}, {b}");
            }
        }
        assert_eq!(grid.live[2], [true; 3]);
    }
}

/// Windings share a core: with one phase of the delta open, the other side has all three.
#[test]
fn a_delta_feeds_back_into_an_open_phase() {
    let mut data = switched(Some("a"), "abc");
    let nodes = data["node"].as_array_mut().expect("nodes");
    nodes.push(json!({"id": 4, "u_rated": 400.0}));
    data["transformer"] = json!([{"id": 40, "from_node": 3, "to_node": 4, "from_status": 1, "to_status": 1,
        "u1": 10e3, "u2": 400.0, "sn": 1e6, "uk": 0.05, "pk": 1e4, "i0": 0.0, "p0": 0.0, "winding_from": 2,
        "winding_to": 1, "clock": 1, "tap_side": 0, "tap_min": 0, "tap_max": 0, "tap_size": 0.0}]);
    data["asym_load"] = json!([]);
    data["sym_load"] = json!([{"id": 41, "node": 4, "status": 1, "type": 1, "p_specified": 3e5, "q_specified": 0.0}]);
    let grid = grid(&data);
    // Also the conductor of that phase, up to the open switch.
    assert_eq!((grid.live[1], grid.live[2]), ([true; 3], [true; 3]));
    // What floats has no admittance for current injection to work against.
    let mut solver = AsymPowerFlow::new(&grid).expect("by phase");
    let solution = solver.run(&grid, None, &EXACT);
    let u = solution.expect("light loads").u;
    // By hand: the loads of the windings ab and ca are in series between b and c, the corner a is
    // halfway, and each of the two has half of what the winding bc has.
    let magnitudes: Vec<f64> = u[3].iter().map(|u| u.norm()).collect();
    let mut sorted = magnitudes.clone();
    sorted.sort_by(f64::total_cmp);
    for (found, expected) in sorted.iter().zip([0.5, 0.5, 1.0]) {
        assert!((found - expected).abs() < 0.02, "{magnitudes:?}");
    }
}

/// The voltages at the relays, worked out from the output, are in their bands.
#[test]
fn regulators_rest_within_their_bands() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/cases/ieee/123/input.json"
    );
    let text = std::fs::read_to_string(file).expect("the case is in the repository");
    let mut network = pgm_json::read(&text).expect("the case is right");
    for start in [-16, 0, 16] {
        for r in &mut network.step_voltage_regulator {
            r.tap_pos = start;
        }
        let mut grid = Grid::new(&network).expect("the case is right");
        let mut solver = AsymPowerFlow::new(&grid).expect("by phase");
        let mut taps = AsymTapSolver {
            solver: &mut solver,
            options: Options::default(),
        };
        let solution = regulate(&mut grid, TapStrategy::Any, &mut taps).expect("they come to rest");
        let output = AsymOutput::new(&grid, solver.phases(), &solution);
        for (r, row) in grid
            .network()
            .step_voltage_regulator
            .iter()
            .zip(&output.step_voltage_regulator)
        {
            assert_eq!(r.tap_pos, row.tap_pos);
            let p = r.phases.iter().next().expect("it has a phase");
            let node = grid.index_of_node(r.to_node).expect("it is there");
            let u = Complex64::from_polar(output.node[node].u[p], output.node[node].u_angle[p]);
            // Power enters the branch.
            let i = -(Complex64::new(row.branch.p_to[p], row.branch.q_to[p]) / u).conj();
            let z = Complex64::new(r.r_compensation, r.x_compensation);
            let relay = (u / r.pt_ratio.unwrap() - z * i / r.ct_rating.unwrap()).norm();
            let miss = (relay - r.u_set.unwrap()).abs();
            let in_band = miss <= 0.5 * r.u_band.unwrap() + 1e-9;
            assert!(
                in_band || r.tap_pos == r.tap_max,
                "regulator {}: {relay} V at tap {}",
                r.id,
                r.tap_pos
            );
        }
    }
}

/// Kersting, section 7.4: ten steps up are 1.0625 of the source side's voltage in type A, and
/// 1 / 0.9375 of it in type B.
#[test]
fn types_a_and_b_differ() {
    for (kind, ratio) in [("a", 1.0625), ("b", 1.0 / 0.9375)] {
        let (u, _) = solve(&grid(&json!({
            "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}],
            "step_voltage_regulator": [{"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
                "regulator_type": kind, "tap_pos": 10}],
            "source": source(1.0),
        })));
        for p in 0..3 {
            near(u[1][p].norm(), ratio);
        }
    }
}

fn with_capacitor(u_on: f64, u_off: f64) -> Grid {
    grid(&json!({
        "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}],
        "asym_line": [{"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1, "phases": "ac",
            "r_aa": 2.0, "x_aa": 8.0, "r_ca": 0.0, "x_ca": 0.0, "r_cc": 2.0, "x_cc": 8.0,
            "c_aa": 0.0, "c_ca": 0.0, "c_cc": 0.0}],
        "source": source(1.0),
        "asym_load": [{"id": 4, "node": 2, "status": 1, "type": 0, "p_specified": [1e5, 0.0, 1e5], "q_specified": [3e5, 0.0, 3e5]}],
        "shunt": [{"id": 5, "node": 2, "status": 0, "g1": 0.0, "b1": 0.01, "phases": "ac", "u_on": u_on, "u_off": u_off}],
    }))
}

#[test]
fn capacitors_are_switched_by_their_voltage() {
    let run = |grid: &mut Grid| {
        let mut solver = AsymPowerFlow::new(grid).expect("by phase");
        let mut taps = AsymTapSolver {
            solver: &mut solver,
            options: exact(Method::Current),
        };
        regulate(grid, TapStrategy::Any, &mut taps)
    };
    let before = solve(&with_capacitor(1.0, 2e4)).0[1][0].norm() * 10e3;
    let mut low = with_capacitor(before + 50.0, 11e3);
    let after = run(&mut low).expect("it rests").u[1][0].norm() * 10e3;
    assert_eq!(low.network().shunt[0].status, 1);
    assert!(after > before + 300.0, "{before} V, then {after} V");
    let mut high = with_capacitor(before - 50.0, 11e3);
    run(&mut high).expect("it rests");
    assert_eq!(high.network().shunt[0].status, 0);
    // The two thresholds are within what switching changes.
    let mut hunting = with_capacitor(before + 50.0, before + 100.0);
    assert_eq!(
        run(&mut hunting).unwrap_err(),
        PowerFlowError::TapsNotSettled { regulator: 5 }
    );
}

/// Below `u_min` the load is the impedance that takes its power there.
#[test]
fn a_load_becomes_an_impedance_at_low_voltage() {
    for (u, part) in [
        (0.97, 1.0),
        (0.9, (0.9_f64 / 0.95).powi(2)),
        (1.2, (1.2_f64 / 1.1).powi(2)),
    ] {
        let (_, output) = solve(&grid(&json!({
            "node": [{"id": 1, "u_rated": 400.0}],
            "source": source(u),
            "sym_load": [{"id": 2, "node": 1, "status": 1, "type": 0, "p_specified": 3e3, "q_specified": 6e2,
                "u_min": 0.95, "u_max": 1.1}],
        })));
        near(output.sym_load[0].p[2], 1e3 * part);
        near(output.sym_load[0].q[2], 2e2 * part);
    }
}

#[test]
fn the_symmetric_power_flow_names_what_it_cannot_compute() {
    let grid = grid(&switched(None, "abc"));
    let error = PowerFlow::new(&grid)
        .run(&grid, &[], None, &EXACT)
        .unwrap_err();
    assert_eq!(
        error,
        PowerFlowError::OnlyByPhase(OnlyByPhase {
            component: "link",
            id: 10,
            reason: "it lacks phases",
        })
    );
}

/// Two nodes, `branch` between them, 100 kW and 40 kvar of phase b at the second.
fn with_branch(table: &str, branch: &Value, u: f64) -> Vec<Phases> {
    let mut data = json!({
        "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": u}],
        "source": source(1.0),
        "asym_load": [{"id": 4, "node": 2, "status": 1, "type": 0, "p_specified": [0.0, 1e5, 0.0],
            "q_specified": [0.0, 4e4, 0.0]}],
    });
    data[table] = json!([branch]);
    solve(&grid(&data)).0
}

/// One unit of a bank of three has a third of its power and losses.
#[test]
fn a_transformer_of_one_phase_is_a_third_of_three() {
    let of = |phases: &str, part: f64| {
        let transformer = json!({"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
            "phases": phases, "u1": 10e3, "u2": 400.0, "sn": 6e5 * part, "uk": 0.05, "pk": 6e3 * part,
            "i0": 0.01, "p0": 1.5e3 * part, "winding_from": 1, "winding_to": 1, "clock": 0, "tap_side": 0,
            "tap_pos": 1, "tap_min": -2, "tap_max": 2, "tap_size": 250.0});
        with_branch("transformer", &transformer, 400.0)[1][1]
    };
    let (bank, unit) = (of("abc", 1.0), of("b", 1.0 / 3.0));
    assert!((bank - unit).norm() < 1e-11, "{bank}, {unit}");
    assert!(bank.norm() < 0.98, "it is loaded: {bank}");
}

/// Without capacitance, a conductor that carries nothing is as if it were not there.
#[test]
fn a_line_by_sequences_may_lack_phases() {
    let of = |phases: &str| {
        let line = json!({"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
            "phases": phases, "r1": 2.0, "x1": 3.0, "c1": 0.0, "tan1": 0.0, "r0": 5.0, "x0": 9.0, "c0": 0.0, "tan0": 0.0});
        with_branch("line", &line, 10e3)[1]
    };
    let all = of("abc");
    for (phases, has) in [("b", [1, 1]), ("bc", [1, 2]), ("ba", [0, 1])] {
        let u = of(phases);
        for p in has {
            assert!(
                (u[p] - all[p]).norm() < 1e-11,
                "{phases}: {} and {}",
                u[p],
                all[p]
            );
        }
    }
    assert!(
        (all[1].norm() - 1.0).abs() > 1e-3,
        "it is loaded: {}",
        all[1]
    );
}

/// A shunt in delta is a load in delta that is an impedance.
#[test]
fn a_delta_of_capacitors_is_a_delta_of_impedances() {
    let of = |table: &str, row: &Value| {
        let mut data = json!({
            "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}],
            "line": [{"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1, "r1": 2.0, "x1": 3.0,
                "c1": 1e-8, "tan1": 0.0, "r0": 4.0, "x0": 9.0, "c0": 1e-8, "tan0": 0.0}],
            "source": source(1.0),
        });
        data[table] = json!([row]);
        solve(&grid(&data)).0
    };
    for (phases, legs) in [
        ("abc", [1.0, 1.0, 1.0]),
        ("ca", [0.0, 0.0, 1.0]),
        ("ab", [1.0, 0.0, 0.0]),
    ] {
        // 2 mS at 10 kV: 200 kvar a leg.
        let shunt = of(
            "shunt",
            &json!({"id": 5, "node": 2, "status": 1, "g1": 0.0, "b1": 2e-3, "phases": phases, "connection": "delta"}),
        );
        let load = of(
            "asym_load",
            &json!({"id": 5, "node": 2, "status": 1, "type": 1, "connection": "delta",
            "p_specified": [0.0, 0.0, 0.0], "q_specified": legs.map(|leg| -2e5 * leg)}),
        );
        for (a, b) in shunt.iter().flatten().zip(load.iter().flatten()) {
            assert!((a - b).norm() < 1e-10, "{phases}: {a}, {b}");
        }
    }
}

/// With one of its two phases open, a regulator between them passes neither.
#[test]
fn a_regulator_between_phases_needs_both() {
    let mut data = switched(Some("a"), "abc");
    let nodes = data["node"].as_array_mut().expect("nodes");
    nodes.push(json!({"id": 4, "u_rated": 10e3}));
    let unit = |id: i32, phases: &str| {
        json!({"id": id, "from_node": 3, "to_node": 4, "from_status": 1, "to_status": 1, "phases": phases,
            "connection": "delta", "tap_pos": 8, "x": 0.001})
    };
    data["step_voltage_regulator"] = json!([unit(50, "ab"), unit(51, "cb")]);
    data["link"].as_array_mut().expect("links").push(
        json!({"id": 52, "from_node": 3, "to_node": 4, "phases": "b", "from_status": 1, "to_status": 1}),
    );
    let grid = grid(&data);
    assert_eq!(grid.live[3], [false, true, true]);
    let (u, _) = solve(&grid);
    assert_eq!(u[3][0], Complex64::new(0.0, 0.0));
    near(
        (u[3][2] - u[3][1]).norm(),
        1.05 * (u[2][2] - u[2][1]).norm(),
    );
    near(u[3][1].norm(), u[2][1].norm());
    data["step_voltage_regulator"] = json!([unit(50, "ab")]);
    data["link"].as_array_mut().expect("links").pop();
    assert_eq!(self::grid(&data).live[3], [false; 3]);
}

/// Laterals of one and two phases on a trunk of three, with every kind of load, one lateral switched
/// off and on again: current injection, which then has a factor of single phases, as Newton.
#[test]
fn laterals_of_few_phases_solve_alike_by_both_methods() {
    let line = |id: usize, from: usize, to: usize, phases: &str| {
        let mut row = json!({"id": id, "from_node": from, "to_node": to, "from_status": 1,
                             "to_status": 1, "i_n": 100.0, "phases": phases});
        for (i, p) in phases.char_indices() {
            for q in phases[..=i].chars() {
                let (r, x, c) = if p == q {
                    (0.3, 0.6, 2e-8)
                } else {
                    (0.1, 0.2, -4e-9)
                };
                row[format!("r_{p}{q}")] = json!(r);
                row[format!("x_{p}{q}")] = json!(x);
                row[format!("c_{p}{q}")] = json!(c);
            }
        }
        row
    };
    let (mut nodes, mut lines) = (vec![], vec![line(100, 1, 2, "abc"), line(101, 2, 3, "abc")]);
    let mut loads = vec![];
    for (k, phases) in ["a", "b", "c", "ab", "ac", "bc", "a", "c"]
        .iter()
        .enumerate()
    {
        let (near, far) = (10 + 2 * k, 11 + 2 * k);
        lines.push(line(110 + 2 * k, 2 + k % 2, near, phases));
        lines.push(line(111 + 2 * k, near, far, &phases[..1]));
        nodes.extend([near, far]);
        let of =
            |at: &str, p: f64| ["a", "b", "c"].map(|name| if at.contains(name) { p } else { 0.0 });
        loads.push(json!({"id": 200 + 2 * k, "node": far, "status": 1, "type": k % 3,
                          "p_specified": of(&phases[..1], 5e4), "q_specified": of(&phases[..1], 2e4)}));
        let leg = match *phases {
            "ab" => [6e4, 0.0, 0.0],
            "bc" => [0.0, 6e4, 0.0],
            "ac" => [0.0, 0.0, 6e4],
            _ => continue,
        };
        loads.push(
            json!({"id": 201 + 2 * k, "node": near, "status": 1, "type": (k + 1) % 3,
                          "connection": "delta", "p_specified": leg, "q_specified": leg}),
        );
    }
    nodes.extend([1, 2, 3]);
    let nodes: Vec<Value> = (nodes.iter())
        .map(|id| json!({"id": id, "u_rated": 12.47e3}))
        .collect();
    let data = json!({
        "node": nodes, "asym_line": lines, "asym_load": loads,
        "source": [{"id": 90, "node": 1, "status": 1, "u_ref": 1.02, "sk": 1e8}],
        "shunt": [{"id": 91, "node": 10, "status": 1, "phases": "a", "g1": 0.0, "b1": 1e-3}],
    });
    let network = network(&data);
    let mut grid = Grid::new(&network).expect("the network is right");
    let mut solver = AsymPowerFlow::new(&grid).expect("by phase");
    let mut found = Vec::new();
    for state in [1, 0, 1] {
        let update = json!({"version": "1.0", "type": "update", "is_batch": true, "attributes": {},
                            "data": [{"asym_line": [{"id": 116, "from_status": state}]}]});
        let update = pgm_json::read_update(&update.to_string(), &network);
        for scenario in &mut update.expect("the update is right") {
            grid.exchange(scenario).expect("the line is there");
        }
        let mut run = |method| {
            let solution = solver.run(&grid, None, &exact(method));
            solution.expect("light loads").u
        };
        let (current, newton) = (run(Method::Current), run(Method::Newton));
        for (a, b) in current.iter().flatten().zip(newton.iter().flatten()) {
            assert!(
                (a - b).norm() < 1e-10,
                "{a} by current injection, {b} by Newton"
            );
        }
        found.push(current);
    }
    assert_eq!(found[0], found[2]);
    // Nodes 16 and 17 are those of the lateral that was off.
    assert!(found[1][6..8].iter().flatten().all(|u| u.norm() == 0.0));
    assert!((found[0][6][0] - found[0][16][0]).norm() > 1e-3);
}
