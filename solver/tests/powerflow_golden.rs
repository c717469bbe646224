//! Every folder of `tests/cases/power_flow`: `input.json` solved and compared with
//! `sym_output.json`, and each scenario of `update_batch.json` with `sym_output_batch.json`,
//! within the tolerances of `params.json`. Layout and origin: `tests/cases/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use solver::network::{Grid, UpdateError, pgm_json};
use solver::powerflow::{Options, PowerFlow, SymOutput};

/// Tight, so that a case's own tolerance is the reference's.
const OPTIONS: Options = Options {
    tolerance: 1e-10,
    max_iterations: 20,
};

#[test]
fn every_case_is_as_its_reference_has_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/power_flow");
    let mut folders: Vec<PathBuf> = fs::read_dir(&root)
        .expect("the cases are in the repository")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut failures = Vec::new();
    let mut values = 0;
    for folder in &folders {
        match run_case(folder) {
            Ok(compared) => values += compared,
            Err(differences) => {
                let name = folder.strip_prefix(&root).unwrap_or(folder).display();
                failures.push(format!("{name}:\n  {}", differences.join("\n  ")));
            }
        }
    }
    println!("{} cases, {values} values compared", folders.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(folders.len() >= 19 && values > 5000, "cases went missing");
}

/// Number of values compared, or what differs.
fn run_case(folder: &Path) -> Result<usize, Vec<String>> {
    let read = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        Some(serde_json::from_str::<Value>(&text).expect("cases are JSON"))
    };
    let params = read("params.json").expect("every case has params.json");
    let input = fs::read_to_string(folder.join("input.json")).expect("every case has input.json");
    let network = pgm_json::read(&input).map_err(|e| e.problems())?;
    let grid = Grid::new(&network).map_err(|e| e.problems())?;
    let mut solver = PowerFlow::new(&grid);
    let mut comparison = Comparison::new(&params);
    if let Some(expected) = read("sym_output.json") {
        comparison.solve("input", &grid, &mut solver, &expected["data"]);
    }
    if let Some(batch) = read("update_batch.json") {
        let scenarios = batch["data"].as_array().expect("a batch is an array");
        let expected = read("sym_output_batch.json").expect("a batch has its output");
        for (k, scenario) in scenarios.iter().enumerate() {
            let name = format!("scenario {k}");
            let mut updated = grid.clone();
            match update(&mut updated, scenario) {
                Ok(()) if params.get("raises").is_some() => {
                    comparison.failed(&name, "was accepted");
                }
                Ok(()) => comparison.solve(&name, &updated, &mut solver, &expected["data"][k]),
                Err(UpdateError::UnknownId { .. })
                    if params["raises"]["raises"] == "IDNotFound" =>
                {
                    comparison.compared += 1;
                }
                Err(error) => comparison.failed(&name, &error.to_string()),
            }
        }
    }
    if comparison.compared == 0 {
        comparison.failed("case", "nothing to compare");
    }
    if comparison.differences.is_empty() {
        return Ok(comparison.compared);
    }
    Err(comparison.differences)
}

/// Applies a scenario of an update data set through the grid's own methods. Rows without ids are
/// those of the input, in its order.
fn update(grid: &mut Grid, scenario: &Value) -> Result<(), UpdateError> {
    let input: Value = serde_json::to_value(grid.network()).expect("numbers serialise");
    for (component, rows) in scenario.as_object().expect("a scenario is an object") {
        for (k, row) in rows
            .as_array()
            .expect("a table is an array")
            .iter()
            .enumerate()
        {
            let id = row.get("id").unwrap_or(&input[component][k]["id"]);
            let id = i32::try_from(id.as_i64().expect("ids are numbers")).expect("32 bits");
            match component.as_str() {
                "line" | "transformer" => update_branch(grid, id, row)?,
                "sym_load" | "sym_gen" => update_appliance(grid, id, row)?,
                "source" => update_source(grid, id, row)?,
                "shunt" => grid.set_shunt_status(id, row["status"] == 1)?,
                other => panic!("the cases do not update {other}"),
            }
        }
    }
    Ok(())
}

fn update_branch(grid: &mut Grid, id: i32, row: &Value) -> Result<(), UpdateError> {
    let flag = |name: &str, now: bool| row[name].as_i64().map_or(now, |v| v == 1);
    let (from, to) = match grid.index_of_branch(id) {
        Some(k) => (grid.branches[k].from_closed, grid.branches[k].to_closed),
        None => (true, true),
    };
    grid.set_branch_status(id, flag("from_status", from), flag("to_status", to))?;
    match row["tap_pos"].as_i64() {
        Some(pos) => grid.set_tap(id, i8::try_from(pos).expect("8 bits")),
        None => Ok(()),
    }
}

fn update_appliance(grid: &mut Grid, id: i32, row: &Value) -> Result<(), UpdateError> {
    let now = grid.network().sym_load.iter().find(|l| l.id == id);
    let now = now.map(|l| (l.p_specified, l.q_specified)).or_else(|| {
        let now = grid.network().sym_gen.iter().find(|g| g.id == id);
        now.map(|g| (g.p_specified, g.q_specified))
    });
    let (p, q) = now.unwrap_or_default();
    let p = row["p_specified"].as_f64().unwrap_or(p);
    let q = row["q_specified"].as_f64().unwrap_or(q);
    grid.set_appliance(id, p, q)?;
    match row["status"].as_i64() {
        Some(status) => grid.set_appliance_status(id, status == 1),
        None => Ok(()),
    }
}

fn update_source(grid: &mut Grid, id: i32, row: &Value) -> Result<(), UpdateError> {
    let now = grid.network().source.iter().find(|s| s.id == id);
    let (u, angle) = now.map_or((1.0, 0.0), |s| (s.u_ref, s.u_ref_angle));
    let u = row["u_ref"].as_f64().unwrap_or(u);
    let angle = row["u_ref_angle"].as_f64().unwrap_or(angle);
    grid.set_source(id, u, angle)?;
    match row["status"].as_i64() {
        Some(status) => grid.set_source_status(id, status == 1),
        None => Ok(()),
    }
}

/// Compares output data sets, attribute by attribute.
struct Comparison<'a> {
    rtol: f64,
    atol: &'a Value,
    compared: usize,
    differences: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn new(params: &'a Value) -> Self {
        Self {
            rtol: params["rtol"].as_f64().expect("params.json has rtol"),
            atol: &params["atol"],
            compared: 0,
            differences: Vec::new(),
        }
    }

    fn failed(&mut self, scenario: &str, why: &str) {
        self.differences.push(format!("{scenario}: {why}"));
    }

    fn solve(&mut self, scenario: &str, grid: &Grid, solver: &mut PowerFlow, expected: &Value) {
        match solver.run(grid, &[], None, &OPTIONS) {
            Err(error) => self.failed(scenario, &error.to_string()),
            Ok(solution) => {
                let output = serde_json::to_value(SymOutput::new(grid, &solution))
                    .expect("numbers serialise");
                self.data(scenario, &output, expected);
            }
        }
    }

    fn data(&mut self, scenario: &str, output: &Value, expected: &Value) {
        for (component, rows) in expected.as_object().expect("output is an object") {
            for row in rows.as_array().expect("a table is an array") {
                let ours = output[component].as_array();
                let Some(ours) = ours.and_then(|r| r.iter().find(|o| o["id"] == row["id"])) else {
                    self.failed(scenario, &format!("no {component} {}", row["id"]));
                    continue;
                };
                for (attribute, value) in row.as_object().expect("a row is an object") {
                    let Some(value) = value.as_f64().filter(|_| attribute != "id") else {
                        continue;
                    };
                    let place = format!("{scenario}: {component} {} {attribute}", row["id"]);
                    self.value(&place, attribute, ours[attribute].as_f64(), value);
                }
            }
        }
    }

    fn value(&mut self, place: &str, attribute: &str, ours: Option<f64>, expected: f64) {
        self.compared += 1;
        let Some(ours) = ours else {
            self.differences.push(format!("{place} is absent"));
            return;
        };
        let atol = match self.atol {
            Value::Object(by_name) => by_name.get(attribute).unwrap_or(&by_name["default"]),
            number => number,
        };
        let atol = atol.as_f64().expect("tolerances are numbers");
        // Angles are equal also a whole turn apart.
        let distance = if attribute.ends_with("angle") {
            2.0 * ((ours - expected) / 2.0).sin().abs()
        } else {
            (ours - expected).abs()
        };
        if distance.is_nan() || distance > atol + self.rtol * expected.abs() {
            self.differences
                .push(format!("{place} is {ours}, not {expected}"));
        }
    }
}
