//! Links without impedance: their nodes are one, and what they carry follows from the balance.

use num_complex::Complex64;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use solver::network::{Grid, pgm_json};
use solver::powerflow::{
    AsymOutput, AsymPowerFlow, Options, PowerFlow, SymOutput, SymTapSolver, TapStrategy,
    change_taps,
};

const OPTIONS: Options = Options {
    method: solver::powerflow::Method::Newton,
    tolerance: 1e-11,
    max_iterations: 30,
};

fn grid(data: &Value) -> Grid {
    let file = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {},
        "data": data});
    let network = pgm_json::read(&file.to_string()).expect("a network");
    Grid::new(&network).expect("a grid")
}

fn node(id: i32) -> Value {
    json!({"id": id, "u_rated": 10e3})
}

fn link(id: i32, from: i32, to: i32) -> Value {
    json!({"id": id, "from_node": from, "to_node": to, "from_status": 1, "to_status": 1})
}

fn line(id: i32, from: i32, to: i32) -> Value {
    json!({"id": id, "from_node": from, "to_node": to, "from_status": 1, "to_status": 1,
        "r1": 0.4, "x1": 0.3, "c1": 2e-7, "tan1": 0.0, "r0": 1.2, "x0": 0.9, "c0": 1e-7,
        "tan0": 0.0, "i_n": 400.0})
}

fn load(id: i32, at: i32, p: f64, q: f64) -> Value {
    json!({"id": id, "node": at, "status": 1, "type": 0, "p_specified": p, "q_specified": q})
}

/// A source behind a line to a busbar of five sections, 2 to 6: 2-3-4-5 a ring by four links, 6 on the
/// end of one; loads at 3, 4 and 6, a line on from 4 to 7.
fn busbar() -> Value {
    json!({
        "node": (1..=7).map(node).collect::<Value>(),
        "line": [line(10, 1, 2), line(11, 4, 7)],
        "link": [link(21, 2, 3), link(22, 3, 4), link(23, 5, 4), link(24, 5, 2), link(25, 4, 6)],
        "source": [{"id": 30, "node": 1, "status": 1, "u_ref": 1.02}],
        "shunt": [{"id": 31, "node": 5, "status": 1, "g1": 0.0, "b1": -2e-4, "g0": 0.0, "b0": -2e-4}],
        "sym_load": [load(40, 3, 1.2e6, 0.3e6), load(41, 4, 0.4e6, 0.1e6), load(42, 6, 0.6e6, 0.2e6),
            load(43, 7, 0.8e6, 0.1e6)],
    })
}

fn solve(grid: &Grid) -> SymOutput {
    let merged = grid.merged();
    let solution = PowerFlow::new(&merged.grid)
        .run(&merged.grid, &[], None, &OPTIONS)
        .expect("a solution");
    SymOutput::of_merged(grid, &merged, &solution)
}

fn solve_by_phase(grid: &Grid) -> AsymOutput {
    let merged = grid.merged();
    let mut solver = AsymPowerFlow::new(&merged.grid).expect("data by phase");
    let solution = solver
        .run(&merged.grid, None, &OPTIONS)
        .expect("a solution");
    AsymOutput::of_merged(grid, &merged, solver.phases(), &solution)
}

fn close(found: f64, expected: f64, within: f64) {
    assert!(
        (found - expected).abs() <= within,
        "{found} is not {expected}"
    );
}

/// By hand: in a ring of equal links, what enters at one node and leaves at another shares the two
/// ways in inverse proportion to their numbers of links.
#[test]
fn a_ring_of_links_shares_as_equal_impedances_do() {
    let out = solve(&grid(&busbar()));
    let at = |id: i32| out.node.iter().find(|n| n.id == id).unwrap();
    for id in 3..=6 {
        assert_eq!((at(id).u_pu, at(id).u_angle), (at(2).u_pu, at(2).u_angle));
    }
    let s = |id: i32| {
        let l = out.link.iter().find(|l| l.id == id).unwrap();
        close(l.p_to, -l.p_from, 1e-6);
        close(l.q_to, -l.q_from, 1e-6);
        close(l.s_from, l.p_from.hypot(l.q_from), 1e-6);
        close(l.i_from, l.s_from / (3.0_f64.sqrt() * at(2).u), 1e-9);
        assert_eq!((l.loading, l.energized), (0.0, 1));
        Complex64::new(l.p_from, l.q_from)
    };
    // What leaves the ring: at 3 its load, at 4 its own load, the line on and what 6 takes, at 5 the
    // shunt.
    let on = out.line.iter().find(|l| l.id == 11).unwrap();
    let of_3 = Complex64::new(1.2e6, 0.3e6);
    let of_4 = Complex64::new(1e6 + on.p_from, 0.3e6 + on.q_from);
    let of_5 = Complex64::new(0.0, out.shunt[0].q);
    let by_hand = [
        (21, 0.75 * of_3 + 0.5 * of_4 + 0.25 * of_5),
        (22, -0.25 * of_3 + 0.5 * of_4 + 0.25 * of_5),
        (23, 0.25 * of_3 + 0.5 * of_4 - 0.25 * of_5),
        (24, -0.25 * of_3 - 0.5 * of_4 - 0.75 * of_5),
        (25, Complex64::new(0.6e6, 0.2e6)),
    ];
    for (id, expected) in by_hand {
        assert!(
            (s(id) - expected).norm() < 1e-3,
            "{id}: {} {expected}",
            s(id)
        );
    }
    // Nodes say what stands at them, not what the group has.
    close(at(3).p, -1.2e6, 1e-3);
    close(at(5).p, 0.0, 1e-3);
    close(at(5).q, 0.0, 1e-3);
    close(at(1).p, out.source[0].p, 1e-3);
    close(at(2).q, 0.0, 1e-3);
}

/// With links of 1e6 S the same comes out but for what these let fall, also by phase.
#[test]
fn is_the_limit_of_links_of_almost_no_impedance() {
    let mut rng = StdRng::seed_from_u64(31);
    let mut rings = 0;
    for _ in 0..60 {
        let nodes = rng.random_range(3..25);
        let mut data = json!({"node": (1..=nodes).map(node).collect::<Value>(),
            "source": [{"id": 900, "node": 1, "status": 1, "u_ref": 1.01}]});
        let (mut lines, mut links, mut loads) = (vec![], vec![], vec![]);
        for k in 2..nodes + rng.random_range(2..6) {
            let (from, to) = (rng.random_range(1..k.min(nodes + 1)), k.min(nodes));
            let to = if k > nodes {
                rng.random_range(1..=nodes)
            } else {
                to
            };
            if rng.random_bool(0.5) && from != to {
                rings += i32::from(k > nodes);
                links.push(link(100 + k, from, to));
            } else {
                lines.push(line(200 + k, from, to));
            }
        }
        for k in 1..=nodes {
            let of_phase = |rng: &mut StdRng| [0; 3].map(|_| rng.random_range(0.0..3e4));
            let (p, q) = (of_phase(&mut rng), of_phase(&mut rng));
            loads.push(
                json!({"id": 300 + k, "node": k, "status": 1, "type": 0, "p_specified": p,
                "q_specified": q}),
            );
        }
        // A line from a node to itself is not accepted.
        lines.retain(|l| l["from_node"] != l["to_node"]);
        data["line"] = lines.into();
        data["link"] = links.into();
        data["asym_load"] = loads.into();
        let grid = grid(&data);
        let (ideal, stiff) = (solve(&grid), SymOutput::solve(&grid, &OPTIONS).unwrap());
        for (a, b) in ideal.node.iter().zip(&stiff.node) {
            close(a.u_pu, b.u_pu, 2e-8);
            close(a.u_angle, b.u_angle, 2e-8);
            close(a.p, b.p, 0.1);
        }
        for (a, b) in ideal.link.iter().zip(&stiff.link) {
            close(a.p_from, b.p_from, 5.0);
            close(a.q_to, b.q_to, 5.0);
        }
        for (a, b) in ideal.line.iter().zip(&stiff.line) {
            close(a.p_from, b.p_from, 5.0);
            close(a.loading, b.loading, 1e-5);
        }
        let mut solver = AsymPowerFlow::new(&grid).unwrap();
        let solution = solver.run(&grid, None, &OPTIONS).unwrap();
        let stiff = AsymOutput::new(&grid, solver.phases(), &solution);
        let ideal = solve_by_phase(&grid);
        for (a, b) in ideal.node.iter().zip(&stiff.node) {
            for p in 0..3 {
                close(a.u_pu[p], b.u_pu[p], 2e-8);
                close(a.q[p], b.q[p], 0.1);
            }
        }
        for (a, b) in ideal.link.iter().zip(&stiff.link) {
            for p in 0..3 {
                close(a.p_from[p], b.p_from[p], 5.0);
                close(a.i_to[p], b.i_to[p], 1e-3);
            }
        }
    }
    assert!(rings > 10, "{rings} links closed a way round");
}

/// What is open parts the nodes, and what is not energised carries nothing.
#[test]
fn open_links_merge_nothing() {
    let mut data = busbar();
    data["link"][4]["to_status"] = 0.into();
    let out = solve(&grid(&data));
    let (six, end) = (&out.node[5], &out.link[4]);
    assert_eq!((six.energized, six.u_pu, six.p), (0, 0.0, 0.0));
    assert_eq!((end.p_from, end.q_to, end.i_from), (0.0, 0.0, 0.0));
    // Behind an open line the group is dead, its links too.
    data["line"][0]["to_status"] = 0.into();
    let out = solve(&grid(&data));
    assert!(
        out.node[1..]
            .iter()
            .all(|n| n.energized == 0 && n.u_pu == 0.0)
    );
    assert!(
        out.link
            .iter()
            .all(|l| l.energized == 0 && l.i_from == 0.0 && l.p_to == 0.0)
    );
}

/// A link of one phase, and one between nodes rated differently, stay what they are.
#[test]
fn some_links_stay_of_almost_no_impedance() {
    let mut data = busbar();
    data["link"][4]["phases"] = "ab".into();
    data["sym_load"].as_array_mut().unwrap().remove(2);
    data["asym_load"] = json!([{"id": 50, "node": 6, "status": 1, "type": 0, "phases": "ab",
        "p_specified": [2e5, 1e5, 0.0], "q_specified": [0.0, 0.0, 0.0]}]);
    let out = solve_by_phase(&grid(&data));
    let (four, six, l) = (&out.node[3], &out.node[5], &out.link[4]);
    assert!(six.u_pu[2].is_nan() && l.p_from[2].is_nan());
    close(l.p_from[0], 2e5, 1e-2);
    close(six.u_pu[0], four.u_pu[0], 1e-7);
    assert!(six.u_pu[0] < four.u_pu[0]);
    // Per unit a link is between equal voltages, whatever the ratings: 400 V against 10 kV.
    let mut data = busbar();
    data["node"][5]["u_rated"] = 400.0.into();
    let grid = grid(&data);
    let out = solve(&grid);
    let stiff = SymOutput::solve(&grid, &OPTIONS).unwrap();
    close(out.node[5].u, stiff.node[5].u, 1e-4);
    assert!(out.node[5].u_pu < out.node[3].u_pu);
}

/// Taps move in the merged grid; the answer has them.
#[test]
fn taps_are_as_the_merged_grid_has_them() {
    let mut data = busbar();
    data["node"]
        .as_array_mut()
        .unwrap()
        .extend([node(8), json!({"id": 9, "u_rated": 400.0})]);
    data["link"].as_array_mut().unwrap().push(link(26, 7, 8));
    data["transformer"] = json!([{"id": 60, "from_node": 8, "to_node": 9, "from_status": 1,
        "to_status": 1, "u1": 10e3, "u2": 400.0, "sn": 1e6, "uk": 0.06, "pk": 8e3, "i0": 0.002,
        "p0": 1e3, "winding_from": 2, "winding_to": 1, "clock": 5, "tap_side": 0, "tap_pos": 5,
        "tap_min": -5, "tap_max": 5, "tap_size": 200.0}]);
    data["sym_load"]
        .as_array_mut()
        .unwrap()
        .push(load(61, 9, 4e5, 1e5));
    data["transformer_tap_regulator"] = json!([{"id": 62, "regulated_object": 60, "status": 1,
        "control_side": 1, "u_set": 400.0, "u_band": 12.0}]);
    let grid = grid(&data);
    let mut merged = grid.merged();
    let mut solver = PowerFlow::new(&merged.grid);
    let mut taps = SymTapSolver {
        solver: &mut solver,
        options: OPTIONS,
    };
    let solution = change_taps(&mut merged.grid, TapStrategy::Any, &mut taps).unwrap();
    let out = SymOutput::of_merged(&grid, &merged, &solution);
    let position = out.transformer_tap_regulator[0].tap_pos;
    assert!(position < 5, "{position}");
    let low = out.node.iter().find(|n| n.id == 9).unwrap();
    assert!((394.0..=406.0).contains(&low.u), "{}", low.u);
    // The same with links of 1e6 S.
    let mut stiff = grid.clone();
    let mut solver = PowerFlow::new(&stiff);
    let mut taps = SymTapSolver {
        solver: &mut solver,
        options: OPTIONS,
    };
    let solution = change_taps(&mut stiff, TapStrategy::Any, &mut taps).unwrap();
    let expected = SymOutput::new(&stiff, &solution);
    assert_eq!(expected.transformer_tap_regulator[0].tap_pos, position);
    close(low.u, expected.node[8].u, 1e-4);
}
