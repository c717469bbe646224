//! `busbar estimate`: the state of a network from its sensors, power-grid-model's JSON in and out,
//! and a report of what was found. Exit status 0: every scenario solved and observable; 1: one did
//! not converge or is not observable; 65: the input is wrong (`EX_DATAERR` of sysexits.h).

mod places;
mod report;
mod summary;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};
use solver::{
    estimation::{
        Asym, AsymEstimateOutput, AsymEstimator, Estimate, EstimationError, Estimator, EstimatorOf,
        Form, Options, Readings, Sym, SymEstimateOutput,
    },
    network::{Grid, Network, NetworkError, Scenario, pgm_json},
};

use self::{places::Places, report::Outcome};
use super::{EX_DATAERR, data, say_error};

/// Scenarios from which on progress is shown.
const LONG_BATCH: usize = 100;

const EXAMPLES: &str = "\
Each sensor of the network is a measurement. Bad data is rejected, the worst first, until the rest
agrees; what is not observable is null in the answer, and the report names sensors that would help.

Examples:
  busbar estimate grid.json --output state.json --report report.json
      The state to one file, what was found to another, a summary to the terminal.
  busbar estimate grid.json --update day.json --asymmetric --output states.json
      Every scenario of a batch, by phase.
  generate | busbar estimate - --report report.json | consume
      From standard input to standard output.

Exit status: 0 solved, 1 without a solution (no convergence, or not all of it observable),
2 wrong usage, 65 wrong input.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EstimateArguments {
    /// The network with its sensors: an `input` data set; `-` is standard input.
    #[arg(value_name = "INPUT.json")]
    input: PathBuf,
    /// Scenarios, each a change to the network and its sensors on its own: an `update` data set.
    #[arg(long, value_name = "BATCH.json")]
    update: Option<PathBuf>,
    /// By phase.
    #[arg(long)]
    asymmetric: bool,
    /// Largest change of a voltage in the last iteration, pu.
    #[arg(long, default_value = "1e-8", value_parser = data::positive)]
    tolerance: f64,
    /// Use every measurement, also those that can't be right.
    #[arg(long)]
    keep_bad_data: bool,
    /// Where the answer goes; standard output without it, or with `-`.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where the report goes: iterations, objective and chi-square test, bad data, suspected
    /// switches, what is not observable and what would help, critical measurements, the standard
    /// deviation of every voltage, flow and injection.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What comes of all scenarios.
struct Solved {
    output: Vec<Value>,
    outcomes: Vec<Outcome>,
}

pub(super) fn estimate(arguments: &EstimateArguments) -> anyhow::Result<ExitCode> {
    let standard = |file: &Option<PathBuf>| file.as_deref().is_some_and(data::is_standard);
    if arguments.update.as_ref() == Some(&arguments.input) && standard(&arguments.update) {
        say_error("the network and its scenarios can't both come from standard input");
        return Ok(ExitCode::from(super::EX_USAGE));
    }
    if standard(&arguments.report) && (arguments.output.is_none() || standard(&arguments.output)) {
        say_error("answer and report can't both go to standard output: use --output FILE");
        return Ok(ExitCode::from(super::EX_USAGE));
    }
    let input = match data::read(&arguments.input) {
        Ok(input) => input,
        Err(exit) => return Ok(exit),
    };
    let update = match arguments.update.as_deref().map(data::read).transpose() {
        Ok(update) => update,
        Err(exit) => return Ok(exit),
    };
    let solved = match solve(arguments, &input, update.as_deref()) {
        Ok(solved) => solved,
        Err(Failure::Network(error)) => return Ok(data::say_problems(&error)),
        Err(Failure::Measurement(error)) => {
            say_error(&error);
            return Ok(ExitCode::from(EX_DATAERR));
        }
    };
    let form = match arguments.asymmetric {
        true => "asym_output",
        false => "sym_output",
    };
    write(arguments, form, solved)
}

/// Writes answer, report and summary.
fn write(arguments: &EstimateArguments, form: &str, solved: Solved) -> anyhow::Result<ExitCode> {
    let is_batch = arguments.update.is_some();
    let document = |kind: &str, mut scenarios: Vec<Value>| {
        let data = match is_batch {
            true => Value::Array(scenarios),
            false => scenarios.pop().unwrap_or_default(),
        };
        json!({
            "version": "1.0", "type": kind, "is_batch": is_batch, "attributes": {}, "data": data,
        })
    };
    let summary = summary::summary(&solved.outcomes, is_batch);
    let solved_all = solved.outcomes.iter().all(Outcome::is_solved);
    if let Some(file) = &arguments.report {
        let reports = solved.outcomes.into_iter().map(|o| o.report).collect();
        data::write(Some(file), &document("estimation_report", reports))?;
    }
    let any = solved.output.iter().any(|data| *data != json!({}));
    if any || is_batch {
        data::write(arguments.output.as_deref(), &document(form, solved.output))?;
    }
    say_error(summary.trim_end());
    Ok(match solved_all {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What is wrong with the input.
enum Failure {
    Network(NetworkError),
    Measurement(String),
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Self::Network(error)
    }
}

fn solve(
    arguments: &EstimateArguments,
    input: &str,
    update: Option<&str>,
) -> Result<Solved, Failure> {
    let network = pgm_json::read_measured(input)?;
    let grid = Grid::new(&network)?;
    let scenarios = match update {
        Some(update) => pgm_json::read_update(update, &network)?,
        None => vec![Scenario::default()],
    };
    let mut options = Options {
        tolerance: arguments.tolerance,
        ..Options::default()
    };
    if arguments.keep_bad_data {
        options.max_rejected = 0;
    }
    let run = Run {
        network: &network,
        grid: &grid,
        options,
        is_batch: update.is_some(),
    };
    if arguments.asymmetric {
        let output = |grid: &Grid, estimator: &AsymEstimator, estimate: &Estimate<Asym>| {
            serde_json::to_value(AsymEstimateOutput::new(grid, estimator.phases(), estimate))
        };
        run.all(AsymEstimator::new(&grid)?, scenarios, output)
    } else {
        let output = |grid: &Grid, _: &Estimator, estimate: &Estimate<Sym>| {
            serde_json::to_value(SymEstimateOutput::new(grid, estimate))
        };
        run.all(Estimator::new(&grid), scenarios, output)
    }
}

struct Run<'a> {
    network: &'a Network,
    grid: &'a Grid,
    options: Options,
    is_batch: bool,
}

impl Run<'_> {
    fn all<F: Form>(
        &self,
        mut estimator: EstimatorOf<F>,
        scenarios: Vec<Scenario>,
        output: impl Fn(&Grid, &EstimatorOf<F>, &Estimate<F>) -> serde_json::Result<Value>,
    ) -> Result<Solved, Failure> {
        let count = scenarios.len();
        let mut solved = Solved {
            output: Vec::with_capacity(count),
            outcomes: Vec::with_capacity(count),
        };
        let tables = places::tables(self.network);
        let mut grid = self.grid.clone();
        for (k, mut scenario) in scenarios.into_iter().enumerate() {
            progress(k, count);
            let exchange = |grid: &mut Grid, scenario: &mut Scenario| {
                let exchanged = grid.exchange(scenario);
                exchanged.expect("the scenario was read for this network");
            };
            exchange(&mut grid, &mut scenario);
            let readings = Readings::new::<F>(grid.network());
            let places = Places::new(&tables, &readings);
            let (data, outcome) =
                match estimator.run(&grid, &readings.measurements, None, &self.options) {
                    Ok(estimate) => (
                        output(&grid, &estimator, &estimate)
                            .expect("a data set holds plain numbers, which always serialise"),
                        Outcome::estimated(&grid, &places, &estimate, &self.options),
                    ),
                    Err(error @ EstimationError::NotConverged { .. }) => {
                        (json!({}), Outcome::not_converged(&places, &error))
                    }
                    Err(error) => {
                        let k = self.is_batch.then_some(k);
                        return Err(Failure::Measurement(places.problem(k, &error)));
                    }
                };
            solved.output.push(data);
            solved.outcomes.push(outcome);
            exchange(&mut grid, &mut scenario);
        }
        progress(count, count);
        Ok(solved)
    }
}

/// Shows how far a long batch is, to someone who looks.
fn progress(done: usize, count: usize) {
    if count < LONG_BATCH || !io::stderr().is_terminal() {
        return;
    }
    if done == count {
        let _ = write!(io::stderr(), "\r\x1b[K");
    } else if done.is_multiple_of(count / LONG_BATCH) {
        let _ = write!(io::stderr(), "\rscenario {done} of {count}");
    }
}
