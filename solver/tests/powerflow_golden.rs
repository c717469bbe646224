//! Every folder of `tests/cases/power_flow`: `input.json` solved and compared with
//! `sym_output.json`, and each scenario of `update_batch.json` with `sym_output_batch.json`,
//! within the tolerances of `params.json`. Layout and origin: `tests/cases/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use solver::network::{Fault, Grid, NetworkError, Scenario, pgm_json};
use solver::powerflow::{
    AsymOutput, AsymPowerFlow, AsymTapSolver, Method, Options, PowerFlow, PowerFlowError,
    SymOutput, SymTapSolver, TapStrategy, change_taps,
};

/// Tight, so that a case's own tolerance is the reference's.
const OPTIONS: Options = Options {
    method: Method::Newton,
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
    assert!(folders.len() >= 62 && values > 20000, "cases went missing");
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
    let mut grid = Grid::new(&network).map_err(|e| e.problems())?;
    let mut comparison = Comparison::new(&params);
    let mut scenarios = None;
    if let Ok(batch) = fs::read_to_string(folder.join("update_batch.json")) {
        match pgm_json::read_update(&batch, &network) {
            Ok(_) if params["raises"]["raises"] == "IDNotFound" => {
                comparison.failed("batch", "was accepted");
            }
            Ok(read) => scenarios = Some(read),
            Err(NetworkError::Invalid(problems)) if params["raises"]["raises"] == "IDNotFound" => {
                let unknown = problems.iter().all(|p| p.fault == Fault::UnknownId);
                assert!(unknown, "{problems:?}");
                comparison.compared += 1;
            }
            Err(error) => comparison.failed("batch", &error.to_string()),
        }
    }
    // Current injection where the reference converges with it.
    let methods = params["calculation_method"].to_string();
    let current = methods
        .contains("iterative_current")
        .then_some(Method::Current);
    for (symmetry, method) in [
        ("sym", Some(Method::Newton)),
        ("sym", current),
        ("asym", Some(Method::Newton)),
        ("asym", current),
    ] {
        let single = read(&format!("{symmetry}_output.json"));
        let batch = read(&format!("{symmetry}_output_batch.json"));
        let mut solver = match (symmetry, method) {
            (_, None) => continue,
            ("sym", Some(method)) => Solver::Symmetric(Box::new(PowerFlow::new(&grid)), method),
            (_, Some(_)) if single.is_none() && batch.is_none() => continue,
            (_, Some(method)) => {
                let solver = AsymPowerFlow::new(&grid).map_err(|e| e.problems())?;
                Solver::ByPhase(Box::new(solver), method)
            }
        };
        if let Some(expected) = single {
            comparison.solve("input", &mut grid, &mut solver, &expected["data"]);
        }
        if let (Some(expected), Some(scenarios)) = (batch, &mut scenarios) {
            comparison.batch(&mut grid, &mut solver, scenarios, &expected["data"]);
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

/// A power flow, symmetric or by phase.
enum Solver {
    Symmetric(Box<PowerFlow>, Method),
    ByPhase(Box<AsymPowerFlow>, Method),
}

impl Solver {
    /// The output data set; the grid's taps are moved where there is a strategy.
    fn solve(
        &mut self,
        grid: &mut Grid,
        strategy: Option<TapStrategy>,
    ) -> Result<Value, PowerFlowError> {
        let output = match self {
            Self::Symmetric(solver, method) => {
                let options = Options {
                    method: *method,
                    max_iterations: if *method == Method::Newton { 20 } else { 200 },
                    ..OPTIONS
                };
                let solution = match strategy {
                    None => solver.run(grid, &[], None, &options)?,
                    Some(strategy) => {
                        change_taps(grid, strategy, &mut SymTapSolver { solver, options })?
                    }
                };
                serde_json::to_value(SymOutput::new(grid, &solution))
            }
            Self::ByPhase(solver, method) => {
                // The last steps shrink by a factor only, not quadratically.
                let options = Options {
                    method: *method,
                    tolerance: 1e-12,
                    max_iterations: 200,
                };
                let solution = match strategy {
                    None => solver.run(grid, None, &options)?,
                    Some(strategy) => {
                        let mut solver = AsymTapSolver { solver, options };
                        change_taps(grid, strategy, &mut solver)?
                    }
                };
                serde_json::to_value(AsymOutput::new(grid, solver.phases(), &solution))
            }
        };
        Ok(output.expect("numbers serialise"))
    }
}

/// The symmetric output data set where closed links make one node.
fn merged(grid: &Grid) -> Result<Value, PowerFlowError> {
    let merged = grid.merged();
    let solution = PowerFlow::new(&merged.grid).run(&merged.grid, &[], None, &OPTIONS)?;
    let output = SymOutput::of_merged(grid, &merged, &solution);
    Ok(serde_json::to_value(output).expect("numbers serialise"))
}

/// Compares output data sets, attribute by attribute.
struct Comparison<'a> {
    rtol: f64,
    atol: &'a Value,
    strategy: Option<TapStrategy>,
    /// Links have no impedance.
    merges: bool,
    /// The error power-grid-model answers with.
    raises: Option<&'a str>,
    compared: usize,
    differences: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn new(params: &'a Value) -> Self {
        Self {
            rtol: params["rtol"].as_f64().expect("params.json has rtol"),
            atol: &params["atol"],
            strategy: params["tap_changing_strategy"].as_str().map(|s| match s {
                "any_valid_tap" => TapStrategy::Any,
                "min_voltage_tap" => TapStrategy::Min,
                "max_voltage_tap" => TapStrategy::Max,
                "fast_any_tap" => TapStrategy::FastAny,
                other => panic!("there is no strategy {other}"),
            }),
            merges: params["links"] == "ideal",
            raises: params["raises"]["raises"].as_str(),
            compared: 0,
            differences: Vec::new(),
        }
    }

    fn expects(&self, error: &PowerFlowError) -> bool {
        match error {
            PowerFlowError::TapsNotSettled { .. } => self.raises == Some("MaxIterationReached"),
            PowerFlowError::Regulation { .. } => {
                self.raises == Some("UnsupportedVoltageRegulatorSourceCombinationError")
            }
            _ => false,
        }
    }

    fn failed(&mut self, scenario: &str, why: &str) {
        self.differences.push(format!("{scenario}: {why}"));
    }

    fn solve(&mut self, scenario: &str, grid: &mut Grid, solver: &mut Solver, expected: &Value) {
        let before = grid.clone();
        let solved = match self.merges {
            true => merged(grid),
            false => solver.solve(grid, self.strategy),
        };
        grid.clone_from(&before);
        match solved {
            Err(error) if self.expects(&error) => self.compared += 1,
            _ if self.raises.is_some() => self.failed(scenario, "was solved"),
            Err(error) => self.failed(scenario, &error.to_string()),
            Ok(output) => self.data(scenario, &output, expected),
        }
    }

    /// Each scenario on its own, made and unmade on one grid.
    fn batch(
        &mut self,
        grid: &mut Grid,
        solver: &mut Solver,
        scenarios: &mut [Scenario],
        expected: &Value,
    ) {
        let before = grid.clone();
        for (k, scenario) in scenarios.iter_mut().enumerate() {
            grid.exchange(scenario)
                .expect("it was read for this network");
            self.solve(&format!("scenario {k}"), grid, solver, &expected[k]);
            grid.exchange(scenario)
                .expect("what was made can be unmade");
        }
        assert_eq!(*grid, before);
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
                    let place = format!("{scenario}: {component} {} {attribute}", row["id"]);
                    if let Some(phases) = value.as_array() {
                        for (k, value) in phases.iter().enumerate() {
                            let value = value.as_f64().expect("phases are numbers");
                            let place = format!("{place} {}", ["a", "b", "c"][k]);
                            self.value(&place, attribute, ours[attribute][k].as_f64(), value);
                        }
                    } else if let Some(value) = value.as_f64().filter(|_| attribute != "id") {
                        self.value(&place, attribute, ours[attribute].as_f64(), value);
                    }
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
