//! Estimation by phase of exact measurements: power-grid-model's power flow of unbalanced networks
//! must come back, whatever kind of sensor tells it.

use std::path::Path;

use serde_json::{Map, Value, json};
use solver::estimation::{
    Asym, AsymEstimate, AsymEstimateOutput, AsymEstimator, Estimator, Options, Readings, Sym,
};
use solver::network::{Grid, balanced, pgm_json};

/// A network with power-grid-model's answer to it, and sensors that say the same.
struct Exact {
    input: Value,
    answer: Value,
    next_id: i64,
}

const TERMINALS: [(&str, i64, &str); 11] = [
    ("line", 0, "_from"),
    ("line", 1, "_to"),
    ("asym_line", 0, "_from"),
    ("asym_line", 1, "_to"),
    ("link", 0, "_from"),
    ("transformer", 0, "_from"),
    ("transformer", 1, "_to"),
    ("three_winding_transformer", 6, "_1"),
    ("three_winding_transformer", 7, "_2"),
    ("three_winding_transformer", 8, "_3"),
    ("generic_branch", 0, "_from"),
];

const APPLIANCES: [(&str, i64); 4] = [
    ("sym_load", 4),
    ("asym_load", 4),
    ("sym_gen", 5),
    ("asym_gen", 5),
];

impl Exact {
    fn read(case: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/power_flow");
        let json = |name: &str| -> Value {
            let text = std::fs::read_to_string(root.join(case).join(name)).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        Self {
            input: json("input.json"),
            answer: json("asym_output.json")["data"].clone(),
            next_id: 1_000_000,
        }
    }

    fn rows(&self, table: &str) -> Vec<Map<String, Value>> {
        let rows = self.answer[table].as_array().into_iter().flatten();
        rows.map(|row| row.as_object().unwrap().clone()).collect()
    }

    fn add(&mut self, table: &str, mut sensor: Value) {
        sensor["id"] = self.next_id.into();
        self.next_id += 1;
        let data = self.input["data"].as_object_mut().unwrap();
        let rows = data.entry(table).or_insert_with(|| json!([]));
        rows.as_array_mut().unwrap().push(sensor);
    }

    /// Voltage phasors at some nodes, magnitudes at the others.
    fn voltages(&mut self, phasor: impl Fn(usize) -> bool) {
        for (k, row) in self.rows("node").into_iter().enumerate() {
            let mut sensor = json!({
                "measured_object": row["id"], "u_measured": row["u"], "u_sigma": 1.0,
            });
            if phasor(k) {
                sensor["u_angle_measured"] = row["u_angle"].clone();
            }
            self.add("asym_voltage_sensor", sensor);
        }
    }

    fn power(&mut self, row: &Map<String, Value>, terminal: i64, suffix: &str) {
        let (p, q) = (&row[&format!("p{suffix}")], &row[&format!("q{suffix}")]);
        let sensor = json!({
            "measured_object": row["id"], "measured_terminal_type": terminal,
            "p_measured": p, "q_measured": q, "power_sigma": 100.0,
        });
        self.add("asym_power_sensor", sensor);
    }

    fn branch_powers(&mut self) {
        for (table, terminal, suffix) in TERMINALS {
            for row in self.rows(table) {
                self.power(&row, terminal, suffix);
            }
        }
    }

    fn injections(&mut self) {
        for (table, terminal) in APPLIANCES {
            for row in self.rows(table) {
                self.power(&row, terminal, "");
            }
        }
    }

    fn nodes(&mut self) {
        for row in self.rows("node") {
            self.power(&row, 9, "");
        }
    }

    fn shunts(&mut self) {
        for row in self.rows("shunt") {
            self.power(&row, 3, "");
        }
    }

    fn sources(&mut self) {
        for row in self.rows("source") {
            self.power(&row, 2, "");
        }
    }

    /// Current phasors at every end that carries a current, against the local voltage or not.
    fn currents(&mut self, local: bool) {
        let ends: Vec<_> = TERMINALS.into_iter().collect();
        for (table, terminal, suffix) in ends {
            for row in self.rows(table) {
                let node = self.node_of(table, &row["id"], suffix);
                let numbers = |value: &Value| -> Vec<f64> {
                    value
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|v| v.as_f64().unwrap())
                        .collect()
                };
                let p = numbers(&row[&format!("p{suffix}")]);
                let q = numbers(&row[&format!("q{suffix}")]);
                let theta = numbers(&node["u_angle"]);
                let turn = |k: usize| {
                    let lag = q[k].atan2(p[k]);
                    if local { lag } else { theta[k] - lag }
                };
                let sensor = json!({
                    "measured_object": row["id"], "measured_terminal_type": terminal,
                    "angle_measurement_type": i64::from(!local),
                    "i_measured": row[&format!("i{suffix}")], "i_sigma": 0.5,
                    "i_angle_measured": [turn(0), turn(1), turn(2)], "i_angle_sigma": 0.01,
                });
                self.add("asym_current_sensor", sensor);
            }
        }
    }

    fn node_of(&self, table: &str, id: &Value, suffix: &str) -> Map<String, Value> {
        let rows = self.input["data"][table].as_array().unwrap();
        let branch = rows.iter().find(|row| row["id"] == *id).unwrap();
        let attribute = match suffix {
            "_from" => "from_node".to_owned(),
            "_to" => "to_node".to_owned(),
            side => format!("node{side}"),
        };
        let node = &branch[attribute];
        self.rows("node")
            .into_iter()
            .find(|row| row["id"] == *node)
            .unwrap()
    }

    fn estimate(&self) -> (AsymEstimate, Value) {
        let network = pgm_json::read(&self.input.to_string()).unwrap();
        let grid = Grid::new(&network).unwrap();
        let readings = Readings::new::<Asym>(&network);
        let mut estimator = AsymEstimator::new(&grid).unwrap();
        let options = Options {
            tolerance: 1e-11,
            ..Options::default()
        };
        let estimate = estimator
            .run(&grid, &readings.measurements(), None, &options)
            .unwrap();
        let output = AsymEstimateOutput::new(&grid, estimator.phases(), &estimate);
        (estimate, serde_json::to_value(output).unwrap())
    }

    /// The estimate is power-grid-model's power flow, as far as its digits go.
    fn check(&self, tables: &[&str]) {
        let (estimate, output) = self.estimate();
        assert_eq!(estimate.unobservable, [0; 0]);
        assert_eq!(estimate.rejected, []);
        assert!(estimate.objective < 1e-6, "{}", estimate.objective);
        let mut compared = 0;
        for table in tables {
            for row in self.rows(table) {
                let found = output[table].as_array().unwrap();
                let found = found.iter().find(|found| found["id"] == row["id"]).unwrap();
                for (attribute, expected) in &row {
                    compared += 1;
                    let place = format!("{table} {} {attribute}", row["id"]);
                    close(&place, &found[attribute], expected);
                }
            }
        }
        assert!(compared >= 70, "{compared}");
    }
}

fn close(place: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{place}");
            for (found, expected) in found.iter().zip(expected) {
                close(place, found, expected);
            }
        }
        _ => {
            let found = found.as_f64().unwrap_or(f64::NAN);
            let expected = expected.as_f64().unwrap();
            let attribute = place.rsplit(' ').next().unwrap();
            // A link's flow is known to a few hundredths of a watt.
            let within = match attribute.chars().next().unwrap() {
                'p' | 'q' | 's' if attribute != "pf" => 0.1,
                'i' => 1e-5,
                _ => 1e-7,
            };
            let holds = (found - expected).abs() <= within + 5e-7 * expected.abs();
            assert!(holds, "{place}: {found}, expected {expected}");
        }
    }
}

const COMPARED: [&str; 6] = [
    "node",
    "line",
    "asym_line",
    "transformer",
    "asym_load",
    "shunt",
];
const THREE_WINDING: [&str; 5] = [
    "node",
    "line",
    "three_winding_transformer",
    "asym_load",
    "shunt",
];

#[test]
fn voltages_and_powers_of_appliances() {
    for (case, tables) in [
        ("mixed-by-phase", &COMPARED[..]),
        ("three-winding-transformer", &THREE_WINDING),
    ] {
        let mut exact = Exact::read(case);
        exact.voltages(|k| k == 0);
        exact.injections();
        exact.sources();
        exact.check(tables);
    }
}

#[test]
fn powers_of_branches_nodes_and_shunts() {
    for (case, tables) in [
        ("mixed-by-phase", &COMPARED[..]),
        ("three-winding-transformer", &THREE_WINDING),
    ] {
        let mut exact = Exact::read(case);
        exact.voltages(|k| k == 0);
        exact.branch_powers();
        exact.nodes();
        exact.shunts();
        exact.injections();
        exact.check(tables);
    }
}

#[test]
fn current_phasors_against_either_angle() {
    for local in [true, false] {
        let mut exact = Exact::read("three-winding-transformer");
        exact.voltages(|k| k == 0);
        exact.currents(local);
        exact.injections();
        exact.check(&THREE_WINDING);
    }
}

/// What has no value, no standard deviation or an infinite one is no measurement; the two parts of
/// a power may be as exact as they like.
#[test]
fn sensors_that_say_nothing() {
    let text = r#"{"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 1, "u_rated": 10e3}],
        "source": [{"id": 2, "node": 1, "status": 1}],
        "sym_load": [{"id": 3, "node": 1, "status": 1, "type": 4}],
        "sym_voltage_sensor": [
          {"id": 10, "measured_object": 1, "u_measured": 10e3, "u_sigma": "inf"},
          {"id": 11, "measured_object": 1, "u_sigma": 5.0},
          {"id": 12, "measured_object": 1, "u_measured": 10e3},
          {"id": 13, "measured_object": 1, "u_measured": 10e3, "u_sigma": 5.0}],
        "sym_power_sensor": [
          {"id": 20, "measured_object": 3, "measured_terminal_type": 4,
           "p_measured": 1e3, "q_measured": 2e2, "p_sigma": "inf", "q_sigma": 7.0, "power_sigma": 1.0},
          {"id": 21, "measured_object": 3, "measured_terminal_type": 4,
           "p_measured": 1e3, "q_measured": 2e2, "power_sigma": 10.0}]
        }}"#;
    let readings = Readings::new::<Asym>(&pgm_json::read_measured(text).unwrap());
    assert_eq!(readings.sensors(), [13, 20, 21, 21]);
    let sigmas: Vec<f64> = readings.measurements().iter().map(|m| m.sigma).collect();
    let shared = 10.0 / 2.0_f64.sqrt();
    for (found, expected) in sigmas.iter().zip([5.0, 7.0, shared, shared]) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

/// Phasors of symmetrical sensors: each phase gets what the symmetrical estimator gets, turned.
#[test]
fn symmetrical_phasors_are_of_each_phase() {
    for frame in [0, 1] {
        let text = format!(
            r#"{{"version": "1.0", "type": "input", "is_batch": false, "attributes": {{}}, "data": {{
            "node": [{{"id": 1, "u_rated": 10e3}}, {{"id": 2, "u_rated": 10e3}}],
            "line": [{{"id": 3, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
              "r1": 0.8, "x1": 1.5, "c1": 4e-7, "tan1": 0.0, "r0": 2.4, "x0": 5.5, "c0": 2e-7, "tan0": 0.0}}],
            "source": [{{"id": 4, "node": 1, "status": 1, "u_ref": 1.0}}],
            "sym_load": [{{"id": 5, "node": 2, "status": 1, "type": 0}}],
            "sym_voltage_sensor": [
              {{"id": 10, "measured_object": 1, "u_measured": 10.2e3, "u_angle_measured": 0.1, "u_sigma": 10}},
              {{"id": 11, "measured_object": 1, "u_measured": 10.19e3, "u_angle_measured": 0.101, "u_sigma": 20}}],
            "sym_current_sensor": [
              {{"id": 12, "measured_object": 3, "measured_terminal_type": 1, "angle_measurement_type": {frame},
                "i_measured": 60, "i_sigma": 1, "i_angle_measured": -2.9, "i_angle_sigma": 0.02}}]
            }}}}"#
        );
        let network = pgm_json::read(&text).unwrap();
        let grid = Grid::new(&network).unwrap();
        let options = Options::default();
        let readings = Readings::new::<Sym>(&network);
        let one = Estimator::new(&grid)
            .run(&grid, &readings.measurements(), None, &options)
            .unwrap();
        let readings = Readings::new::<Asym>(&network);
        let mut estimator = AsymEstimator::new(&grid).unwrap();
        let three = estimator
            .run(&grid, &readings.measurements(), None, &options)
            .unwrap();
        assert!(one.rejected.is_empty() && three.rejected.is_empty());
        for (one, three) in one.u.iter().zip(&three.u) {
            for (found, expected) in three.iter().zip(balanced(*one)) {
                assert!(
                    (found - expected).norm() < 1e-9,
                    "{frame}: {found} {expected}"
                );
            }
        }
        let flow = one.branches[0].to.unwrap();
        assert!((flow.i.value - 60.0).abs() < 0.1, "{}", flow.i.value);
    }
}
