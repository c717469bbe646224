//! `busbar estimate`: the state of a network from its sensors, power-grid-model's JSON in and out,
//! and a report of what was found. Exit status 0: every scenario solved and observable; 1: one did
//! not converge or is not observable; 65: the input is wrong (`EX_DATAERR` of sysexits.h).

mod places;
mod report;
mod summary;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::{Value, json};
use solver::{
    estimation::{
        Asym, AsymEstimateOutput, AsymEstimator, Estimate, EstimationError, Estimator, EstimatorOf,
        Form, Options, Readings, Sym, SymEstimateOutput,
    },
    network::{Grid, NetworkError, pgm_json},
};

use self::{places::Places, report::Outcome};
use super::{
    EX_DATAERR, EX_USAGE,
    batch::{Batch, BatchArguments},
    data, say_error,
};

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
    #[command(flatten)]
    batch: BatchArguments,
    /// Use every measurement, also those that can't be right.
    #[arg(long)]
    keep_bad_data: bool,
    /// Where the report goes: iterations, objective and chi-square test, bad data, suspected
    /// switches, what is not observable and what would help, critical measurements, the standard
    /// deviation of every voltage, flow and injection.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) fn estimate(arguments: &EstimateArguments) -> anyhow::Result<ExitCode> {
    let reports_to_standard = arguments.report.as_deref().is_some_and(data::is_standard);
    if reports_to_standard && arguments.batch.answers_to_standard() {
        say_error("answer and report can't both go to standard output: use --output FILE");
        return Ok(ExitCode::from(EX_USAGE));
    }
    let mut batch = match arguments.batch.read(pgm_json::read_measured) {
        Ok(batch) => batch,
        Err(exit) => return Ok(exit),
    };
    match solve(arguments, &mut batch) {
        Ok(solved) => write(arguments, &batch, solved),
        Err(Failure::Network(error)) => Ok(data::say_problems(&error)),
        Err(Failure::Measurement(error)) => {
            say_error(&error);
            Ok(ExitCode::from(EX_DATAERR))
        }
    }
}

/// Writes answer, report and summary.
fn write(
    arguments: &EstimateArguments,
    batch: &Batch,
    solved: Vec<(Value, Outcome)>,
) -> anyhow::Result<ExitCode> {
    let (answers, outcomes): (Vec<Value>, Vec<Outcome>) = solved.into_iter().unzip();
    let summary = summary::summary(&outcomes, batch.is_batch());
    let solved_all = outcomes.iter().all(Outcome::is_solved);
    if let Some(file) = &arguments.report {
        let reports = outcomes.into_iter().map(|o| o.report).collect();
        data::write(Some(file), &batch.document("estimation_report", reports))?;
    }
    if batch.is_batch() || answers.iter().any(|data| *data != json!({})) {
        arguments.batch.write(batch, answers)?;
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

/// Data set and report of every scenario.
fn solve(
    arguments: &EstimateArguments,
    batch: &mut Batch,
) -> Result<Vec<(Value, Outcome)>, Failure> {
    let mut options = Options {
        tolerance: arguments.batch.tolerance,
        ..Options::default()
    };
    if arguments.keep_bad_data {
        options.max_rejected = 0;
    }
    if arguments.batch.asymmetric {
        let output = |grid: &Grid, estimator: &AsymEstimator, estimate: &Estimate<Asym>| {
            serde_json::to_value(AsymEstimateOutput::new(grid, estimator.phases(), estimate))
        };
        let estimator = AsymEstimator::new(&batch.grid).map_err(Failure::Network)?;
        run(batch, estimator, &options, output)
    } else {
        let output = |grid: &Grid, _: &Estimator, estimate: &Estimate<Sym>| {
            serde_json::to_value(SymEstimateOutput::new(grid, estimate))
        };
        let estimator = Estimator::new(&batch.grid);
        run(batch, estimator, &options, output)
    }
}

fn run<F: Form>(
    batch: &mut Batch,
    mut estimator: EstimatorOf<F>,
    options: &Options,
    output: impl Fn(&Grid, &EstimatorOf<F>, &Estimate<F>) -> serde_json::Result<Value>,
) -> Result<Vec<(Value, Outcome)>, Failure> {
    let tables = places::tables(batch.grid.network());
    let is_batch = batch.is_batch();
    batch.each(|grid, k| {
        let readings = Readings::new::<F>(grid.network());
        let places = Places::new(&tables, &readings);
        match estimator.run(grid, &readings.measurements(), None, options) {
            Ok(estimate) => {
                let data = output(grid, &estimator, &estimate)
                    .expect("a data set holds plain numbers, which always serialise");
                let outcome = Outcome::estimated(grid, &places, &estimate, options);
                Ok((data, outcome))
            }
            Err(error @ EstimationError::NotConverged { .. }) => {
                Ok((json!({}), Outcome::not_converged(&places, &error)))
            }
            Err(error @ EstimationError::OnlyByPhase(_)) => {
                Err(Failure::Measurement(format!("{error}; see --asymmetric")))
            }
            Err(error) => {
                let k = is_batch.then_some(k);
                Err(Failure::Measurement(places.problem(k, &error)))
            }
        }
    })
}
