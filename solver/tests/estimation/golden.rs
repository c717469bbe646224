//! power-grid-model's own answers to state-estimation cases, `tests/cases/state_estimation`:
//! one folder a case with input, tolerances and expected output.

use std::path::Path;

use serde_json::Value;
use solver::estimation::{Estimate, Estimator, Kind, Options};

use super::case::Case;

struct Tolerance {
    rtol: f64,
    atol: Value,
}

impl Tolerance {
    fn holds(&self, attribute: &str, found: f64, expected: f64) -> bool {
        let named = self
            .atol
            .get(attribute)
            .or_else(|| self.atol.get("default"));
        let atol = named
            .unwrap_or(&self.atol)
            .as_f64()
            .expect("atol is a number");
        (found - expected).abs() <= atol + self.rtol * expected.abs()
    }
}

#[test]
fn cases_of_power_grid_model() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/state_estimation");
    let mut folders: Vec<_> = std::fs::read_dir(&root)
        .expect("the cases are part of the repository")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty());
    let mut failures = Vec::new();
    for folder in &folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        failures.extend(
            run(folder)
                .into_iter()
                .map(|failure| format!("{name}: {failure}")),
        );
    }
    assert!(
        failures.is_empty(),
        "{} differences\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn run(folder: &Path) -> Vec<String> {
    let case = Case::read(&folder.join("input.json"));
    let params = json(&folder.join("params.json"));
    // Expected answers have bad data as measured: nothing may be rejected.
    let options = Options {
        tolerance: 1e-11,
        max_rejected: 0,
        ..Options::default()
    };
    let estimate =
        match Estimator::new(&case.grid).run(&case.grid, &case.measurements, None, &options) {
            Ok(estimate) => estimate,
            Err(error) => return vec![error.to_string()],
        };
    if params.get("raises").is_some() {
        return if estimate.unobservable.is_empty() {
            vec!["should not be observable".into()]
        } else {
            vec![]
        };
    }
    let tolerance = Tolerance {
        rtol: params["rtol"].as_f64().unwrap(),
        atol: params["atol"].clone(),
    };
    let output = json(&folder.join("sym_output.json"));
    let mut failures = Vec::new();
    let mut check = |table: &str, id: i32, attribute: &str, found: Option<f64>| {
        let rows = output["data"][table].as_array().into_iter().flatten();
        for row in rows.filter(|row| row["id"] == id) {
            let Some(expected) = row.get(attribute).and_then(Value::as_f64) else {
                continue;
            };
            match found {
                Some(found) if tolerance.holds(attribute, found, expected) => {}
                _ => failures.push(format!(
                    "{table} {id} {attribute}: {found:?}, expected {expected}"
                )),
            }
        }
    };
    // Without a measured angle the frame is anybody's choice: ours has the sources at their own
    // angle, some answers come from a power flow behind the source's impedance.
    let measured_angle = case
        .measurements
        .iter()
        .any(|m| matches!(m.kind, Kind::VoltageAngle { .. }));
    let frame = if measured_angle {
        0.0
    } else {
        frame(&case, &estimate, &output)
    };
    for (node, u) in estimate.nodes.iter().zip(&estimate.u) {
        check("node", node.id, "u_pu", node.u.map(|_| u.norm()));
        check(
            "node",
            node.id,
            "u_angle",
            node.angle.map(|angle| angle.value + frame),
        );
        check("node", node.id, "p", node.p.map(|p| p.value));
        check("node", node.id, "q", node.q.map(|q| q.value));
    }
    for branch in &estimate.branches {
        for table in ["line", "transformer"] {
            for (end, side) in [(branch.from, "from"), (branch.to, "to")] {
                check(
                    table,
                    branch.id,
                    &format!("p_{side}"),
                    end.map(|e| e.p.value),
                );
                check(
                    table,
                    branch.id,
                    &format!("q_{side}"),
                    end.map(|e| e.q.value),
                );
                check(
                    table,
                    branch.id,
                    &format!("i_{side}"),
                    end.map(|e| e.i.value),
                );
            }
            check(table, branch.id, "loading", branch.loading);
        }
    }
    for appliance in &estimate.appliances {
        for table in ["sym_load", "sym_gen"] {
            check(table, appliance.id, "p", appliance.p.map(|p| p.value));
            check(table, appliance.id, "q", appliance.q.map(|q| q.value));
        }
    }
    for source in &estimate.sources {
        check("source", source.id, "p", source.p.map(|p| p.value));
        check("source", source.id, "q", source.q.map(|q| q.value));
    }
    assert!(estimate.gradient_norm < 1e-4, "{}", estimate.gradient_norm);
    failures
}

/// Expected minus estimated angle at the first source.
fn frame(case: &Case, estimate: &Estimate, output: &Value) -> f64 {
    let node = &estimate.nodes[case.grid.sources[0].node];
    let rows = output["data"]["node"].as_array().into_iter().flatten();
    let expected = rows
        .filter(|row| row["id"] == node.id)
        .find_map(|row| row["u_angle"].as_f64());
    expected.unwrap_or(0.0) - node.angle.map_or(0.0, |angle| angle.value)
}
