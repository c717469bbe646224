//! power-grid-model's own answers to state-estimation cases, `tests/cases/state_estimation`: one
//! folder a case with input, tolerances and expected output, see `tests/cases/README.md`.

use std::path::Path;

use serde_json::{Map, Value};
use solver::estimation::{
    Asym, AsymEstimateOutput, AsymEstimator, Estimate, EstimationError, Estimator, Form, Options,
    Readings, Sym, SymEstimateOutput,
};
use solver::network::{Grid, Scenario, pgm_json};

/// Expected answers have bad data as measured: nothing may be rejected.
const OPTIONS: Options = Options {
    tolerance: 1e-11,
    max_iterations: 40,
    confidence: 0.99,
    max_rejected: 0,
};

#[test]
fn cases_of_power_grid_model() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/state_estimation");
    let mut folders: Vec<_> = std::fs::read_dir(&root)
        .expect("the cases are part of the repository")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let (mut failures, mut compared) = (Vec::new(), 0);
    for folder in &folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let mut case = Case::read(folder);
        case.run();
        if case.compared == 0 {
            case.failures.push("nothing to compare".into());
        }
        compared += case.compared;
        failures.extend(
            case.failures
                .iter()
                .map(|failure| format!("{name}: {failure}")),
        );
    }
    println!("{} cases, {compared} values compared", folders.len());
    let listed = failures.join("\n");
    assert!(
        failures.is_empty(),
        "{} differences\n{listed}",
        failures.len()
    );
    assert!(
        folders.len() >= FOLDERS && compared >= VALUES,
        "cases went missing"
    );
}

/// Cases and values there are at least.
const FOLDERS: usize = 31;
const VALUES: usize = 2800;

struct Case<'a> {
    folder: &'a Path,
    params: Value,
    network: solver::network::Network,
    compared: usize,
    failures: Vec<String>,
}

/// An answer in power-grid-model's form, or why there is none.
type Answer = Result<Value, String>;

impl<'a> Case<'a> {
    fn read(folder: &'a Path) -> Self {
        let text = std::fs::read_to_string(folder.join("input.json")).unwrap();
        let params = std::fs::read_to_string(folder.join("params.json")).unwrap();
        Self {
            folder,
            params: serde_json::from_str(&params).unwrap(),
            network: pgm_json::read_measured(&text).unwrap(),
            compared: 0,
            failures: Vec::new(),
        }
    }

    fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(name)).ok()
    }

    fn expected(&self, name: &str) -> Option<Value> {
        let document: Value = serde_json::from_str(&self.file(name)?).unwrap();
        Some(document["data"].clone())
    }

    fn run(&mut self) {
        let mut grid = Grid::new(&self.network).unwrap();
        let update = self.file("update_batch.json");
        let scenarios = update.map(|text| pgm_json::read_update(&text, &self.network).unwrap());
        for (form, answer) in [
            ("sym", symmetric as fn(&Grid) -> Answer),
            ("asym", by_phase),
        ] {
            if let Some(expected) = self.expected(&format!("{form}_output.json")) {
                self.check(&format!("{form} "), answer(&grid), &expected);
            }
            let batch = self.expected(&format!("{form}_output_batch.json"));
            if let (Some(Value::Array(expected)), Some(scenarios)) = (batch, &scenarios) {
                assert_eq!(expected.len(), scenarios.len());
                for (k, (scenario, expected)) in scenarios.iter().zip(&expected).enumerate() {
                    let answer = within(&mut grid, scenario, answer);
                    self.check(&format!("{form} scenario {k} "), answer, expected);
                }
            }
        }
    }

    fn check(&mut self, place: &str, answer: Answer, expected: &Value) {
        if self.params.get("raises").is_some() {
            self.compared += 1;
            if answer.is_ok() {
                self.failures.push(format!("{place}should have no answer"));
            }
            return;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(reason) => return self.failures.push(format!("{place}{reason}")),
        };
        // Some cases ask for no more than an answer.
        self.compared += 1;
        // Without a measured angle the frame is anybody's choice: ours has the sources at their own
        // angle, some answers come from a power flow behind the source's impedance.
        let frame = if self.angle_is_measured() {
            0.0
        } else {
            frame(&answer, expected)
        };
        for (table, rows) in expected.as_object().unwrap() {
            for row in rows.as_array().unwrap() {
                let found = answer[table].as_array().into_iter().flatten();
                let found = found
                    .filter_map(Value::as_object)
                    .find(|found| found["id"] == row["id"]);
                let place = format!("{place}{table} {}", row["id"]);
                match found {
                    None => self.failures.push(format!("{place}: no such row")),
                    Some(found) => self.row(&place, found, row.as_object().unwrap(), frame),
                }
            }
        }
    }

    fn row(
        &mut self,
        place: &str,
        found: &Map<String, Value>,
        expected: &Map<String, Value>,
        frame: f64,
    ) {
        for (attribute, expected) in expected {
            // An angle that is not measured is null there.
            if attribute == "id" || expected.is_null() {
                continue;
            }
            let turn = if attribute == "u_angle" { frame } else { 0.0 };
            let found = found.get(attribute).map(numbers).unwrap_or_default();
            let expected = numbers(expected);
            let alike = found.len() == expected.len()
                && found
                    .iter()
                    .zip(&expected)
                    .all(|(found, expected)| self.holds(attribute, found + turn, *expected));
            self.compared += expected.len();
            if !alike {
                let differ = format!("{place} {attribute}: {found:?}, expected {expected:?}");
                self.failures.push(differ);
            }
        }
    }

    /// Within the case's tolerances: for an attribute, for those of a pattern, by default.
    fn holds(&self, attribute: &str, found: f64, expected: f64) -> bool {
        let given = &self.params["atol"];
        let pattern = attribute
            .ends_with("_residual")
            .then(|| given.get(".+_residual"))
            .flatten();
        let atol = (given
            .get(attribute)
            .or(pattern)
            .or_else(|| given.get("default")))
        .unwrap_or(given);
        let (atol, rtol) = (
            atol.as_f64().unwrap(),
            self.params["rtol"].as_f64().unwrap(),
        );
        let difference = if attribute == "u_angle" {
            (found - expected).sin().abs()
        } else {
            (found - expected).abs()
        };
        difference <= atol + rtol * expected.abs()
    }

    fn angle_is_measured(&self) -> bool {
        let sym = &self.network.sym_voltage_sensor;
        let asym = &self.network.asym_voltage_sensor;
        sym.iter().any(|s| s.u_angle_measured.is_some())
            || asym.iter().any(|s| s.u_angle_measured.is_some())
            // Scenarios may bring one.
            || self.file("update_batch.json").is_some_and(|text| text.contains("u_angle_measured"))
    }
}

/// A number, or one for each phase.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap_or(f64::NAN)],
    }
}

/// Expected minus found angle at the first node there is in both.
fn frame(found: &Value, expected: &Value) -> f64 {
    let angle = |rows: &Value| Some(numbers(rows[0].get("u_angle")?)[0]);
    match (angle(&found["node"]), angle(&expected["node"])) {
        (Some(found), Some(expected)) => expected - found,
        _ => 0.0,
    }
}

fn within(grid: &mut Grid, scenario: &Scenario, answer: fn(&Grid) -> Answer) -> Answer {
    let mut change = scenario.clone();
    grid.exchange(&mut change).unwrap();
    let result = answer(grid);
    grid.exchange(&mut change).unwrap();
    result
}

fn symmetric(grid: &Grid) -> Answer {
    let readings = Readings::new::<Sym>(grid.network());
    let result = Estimator::new(grid).run(grid, &readings.measurements(), None, &OPTIONS);
    let estimate = observable(result)?;
    Ok(serde_json::to_value(SymEstimateOutput::new(grid, &estimate)).unwrap())
}

fn by_phase(grid: &Grid) -> Answer {
    let readings = Readings::new::<Asym>(grid.network());
    let mut estimator = AsymEstimator::new(grid).map_err(|error| error.to_string())?;
    let result = estimator.run(grid, &readings.measurements(), None, &OPTIONS);
    let estimate = observable(result)?;
    let output = AsymEstimateOutput::new(grid, estimator.phases(), &estimate);
    Ok(serde_json::to_value(output).unwrap())
}

fn observable<F: Form>(
    result: Result<Estimate<F>, EstimationError>,
) -> Result<Estimate<F>, String> {
    let estimate = result.map_err(|error| error.to_string())?;
    if !estimate.unobservable.is_empty() {
        return Err(format!(
            "nodes {:?} are not observable",
            estimate.unobservable
        ));
    }
    assert!(estimate.gradient_norm < 1e-4, "{}", estimate.gradient_norm);
    Ok(estimate)
}
