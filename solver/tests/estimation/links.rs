//! Links, of an admittance 1e6 times that of lines: what is connected by them is estimated as if it
//! stood at one node, standard deviations too.

use serde_json::{Value, json};
use solver::estimation::{
    Asym, AsymEstimator, Estimate, Estimator, Form, Options, Quantity, Readings, Residual, Sym,
};
use solver::network::{Grid, pgm_json};

/// Loads of the hub.
const LOADS: i32 = 12;

/// A line to a hub, from there one to a far end; loads of 0.1 MW, each measured, as is what the
/// source feeds in.
fn network(hub: impl Fn(i32) -> i32) -> Value {
    let line = |id: i32, from: i32, to: i32, r1: f64| {
        json!({"id": id, "from_node": from, "to_node": to, "from_status": 1, "to_status": 1,
            "r1": r1, "x1": 0.4, "c1": 1e-7, "tan1": 0.0, "r0": 3.0 * r1, "x0": 1.2, "c0": 1e-7,
            "tan0": 0.0, "i_n": 400.0})
    };
    let loads = (0..LOADS).map(|k| {
        json!({"id": 100 + k, "node": hub(k), "status": 1, "type": 0, "p_specified": 0.0,
            "q_specified": 0.0})
    });
    let far = json!({"id": 199, "node": 3, "status": 1, "type": 0, "p_specified": 0.0,
        "q_specified": 0.0});
    let sensor = |id: i32, object: i32, terminal: i32, p: f64, sigma: f64| {
        json!({"id": id, "measured_object": object, "measured_terminal_type": terminal,
            "p_measured": p, "q_measured": 0.2 * p, "power_sigma": sigma})
    };
    let mut sensors: Vec<Value> = (0..LOADS)
        .map(|k| sensor(200 + k, 100 + k, 4, 1e5 + 300.0 * f64::from(k % 5), 1e3))
        .collect();
    sensors.push(sensor(299, 199, 4, 4e5, 2e3));
    sensors.push(sensor(300, 20, 2, 1.63e6, 1e4));
    json!({
        "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 10e3}, {"id": 3, "u_rated": 10e3}],
        "line": [line(10, 1, 2, 0.5), line(11, 2, 3, 2.0)],
        "source": [{"id": 20, "node": 1, "status": 1, "u_ref": 1.0}],
        "sym_load": loads.chain([far]).collect::<Value>(),
        "sym_voltage_sensor": [{"id": 400, "measured_object": 1, "u_measured": 10.05e3,
            "u_sigma": 10.0}],
        "sym_power_sensor": sensors,
    })
}

fn push(data: &mut Value, table: &str, rows: impl Iterator<Item = Value>) {
    let place = &mut data[table];
    let mut all = place.as_array().cloned().unwrap_or_default();
    all.extend(rows);
    *place = all.into();
}

fn link(id: i32, from: i32, to: i32) -> Value {
    json!({"id": id, "from_node": from, "to_node": to, "from_status": 1, "to_status": 1})
}

/// Each load at a node of its own, linked to the hub.
fn star() -> Value {
    let mut data = network(|k| 30 + k);
    let node = |k| json!({"id": 30 + k, "u_rated": 10e3});
    push(&mut data, "node", (0..LOADS).map(node));
    let links = (0..LOADS).map(|k| link(60 + k, 2, 30 + k));
    push(&mut data, "link", links);
    data
}

/// All loads at the end of a chain of links, between nodes that have nothing, closed to a ring.
fn ring() -> Value {
    let mut data = network(|_| 32);
    let node = |k| json!({"id": 30 + k, "u_rated": 10e3});
    push(&mut data, "node", (0..4).map(node));
    let ends = [(2, 30), (30, 31), (31, 32), (32, 33), (33, 2)];
    let links = (60..).zip(ends).map(|(id, (from, to))| link(id, from, to));
    push(&mut data, "link", links);
    // The line to the far end begins elsewhere in the ring.
    data["line"][1]["from_node"] = json!(31);
    data
}

fn grid(data: &Value) -> Grid {
    let json = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {},
        "data": data});
    Grid::new(&pgm_json::read_measured(&json.to_string()).unwrap()).unwrap()
}

fn same(found: Option<Quantity>, expected: Option<Quantity>, place: &str) {
    let (found, expected) = (found.unwrap(), expected.unwrap());
    let apart = (found.value - expected.value).abs();
    // The links take up to 3 W, and 1e-8 of a voltage.
    let near = apart < 3.0_f64.min(1e-7 * expected.value.abs().max(1e7));
    assert!(near, "{place}: {found:?}, expected {expected:?}");
    let sigma = (found.sigma / expected.sigma - 1.0).abs();
    assert!(sigma < 1e-5, "{place}: {found:?}, expected {expected:?}");
}

/// `near`: how far normalised residuals may be apart.
fn compare<F: Form>(found: &Estimate<F>, expected: &Estimate<F>, near: f64) {
    assert!((found.objective / expected.objective - 1.0).abs() < 1e-4);
    assert_eq!(found.degrees_of_freedom, expected.degrees_of_freedom);
    for phase in 0..F::PHASES {
        for k in 0..3 {
            let [u, v] = [found, expected].map(|e| *F::phase(&e.nodes[k].u, phase));
            same(u, v, &format!("u {k}"));
        }
        for (a, b) in found.appliances.iter().zip(&expected.appliances) {
            same(
                *F::phase(&a.p, phase),
                *F::phase(&b.p, phase),
                &format!("p {}", a.id),
            );
            same(
                *F::phase(&a.q, phase),
                *F::phase(&b.q, phase),
                &format!("q {}", a.id),
            );
        }
        let flow = |e: &Estimate<F>| F::phase(&e.branches[0].from, phase).map(|end| end.p);
        same(flow(found), flow(expected), "flow");
    }
    let normalised = |e: &Estimate<F>| -> Vec<f64> {
        let of_phase =
            |r: &F::Of<Option<Residual>>| F::phase(r, 0).and_then(|r| r.normalised).unwrap_or(0.0);
        e.residuals.iter().map(of_phase).collect()
    };
    for (a, b) in normalised(found).iter().zip(normalised(expected)) {
        assert!(
            (a - b).abs() < near,
            "normalised residual {a}, expected {b}"
        );
    }
}

fn options() -> Options {
    Options {
        max_rejected: 0,
        ..Options::default()
    }
}

fn symmetric(data: &Value) -> Estimate<Sym> {
    let grid = grid(data);
    let measured = Readings::new::<Sym>(grid.network());
    let run = Estimator::new(&grid).run(&grid, &measured.measurements(), None, &options());
    run.unwrap()
}

fn by_phase(data: &Value) -> Estimate<Asym> {
    let grid = grid(data);
    let measured = Readings::new::<Asym>(grid.network());
    let mut estimator = AsymEstimator::new(&grid).unwrap();
    estimator
        .run(&grid, &measured.measurements(), None, &options())
        .unwrap()
}

#[test]
fn what_is_linked_is_as_at_one_node() {
    let expected = network(|_| 2);
    for linked in [star(), ring()] {
        compare(&symmetric(&linked), &symmetric(&expected), 1e-3);
        compare(&by_phase(&linked), &by_phase(&expected), 1e-3);
    }
}

/// What a link carries is what the load behind it takes, and as sure.
fn carry_the_loads<F: Form>(found: &Estimate<F>) {
    for k in 0..LOADS {
        let link = found.branches.iter().find(|of| of.id == 60 + k).unwrap();
        let load = found.appliances.iter().find(|of| of.id == 100 + k).unwrap();
        for phase in 0..F::PHASES {
            let [from, to] = [&link.from, &link.to].map(|end| F::phase(end, phase));
            let (from, to) = (from.as_ref().unwrap(), to.as_ref().unwrap());
            let back = Quantity {
                value: -to.p.value,
                ..to.p
            };
            let (p, q) = (*F::phase(&load.p, phase), *F::phase(&load.q, phase));
            same(Some(from.p), p, &format!("link {k}"));
            same(Some(from.q), q, &format!("link {k}, q"));
            same(Some(back), p, &format!("link {k}, to"));
        }
    }
}

/// Meters at links in place of those at the loads behind them.
#[test]
fn a_meter_at_a_link_is_one_of_what_is_behind_it() {
    let expected = network(|_| 2);
    let mut linked = star();
    for sensor in linked["sym_power_sensor"].as_array_mut().unwrap() {
        let load = sensor["measured_object"].as_i64().unwrap() - 100;
        if !(0..i64::from(LOADS)).contains(&load) {
            continue;
        }
        sensor["measured_object"] = json!(60 + load);
        sensor["measured_terminal_type"] = json!(0);
    }
    let (found, found_by_phase) = (symmetric(&linked), by_phase(&linked));
    // A link's flow is 1.4e8 pu times the last digits of voltages: to within the 3 W that `same` allows it, of meters
    // of 707 W (236 W a phase).
    compare(&found, &symmetric(&expected), 3.0 / 707.0);
    compare(&found_by_phase, &by_phase(&expected), 3.0 / 236.0);
    carry_the_loads(&found);
    carry_the_loads(&found_by_phase);
}
