//! `busbar powerflow`: a network in power-grid-model's JSON solved, the answer in its JSON. Exit
//! status 0: solved; 1: no solution; 65: the input is wrong (`EX_DATAERR` of sysexits.h).

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use serde_json::Value;
use solver::{
    network::{Grid, NetworkError, pgm_json},
    powerflow::{
        AsymOutput, AsymPowerFlow, AsymTapSolver, Method, Options, PowerFlow, PowerFlowError,
        SymOutput, SymTapSolver, TapStrategy, change_taps, regulate,
    },
};

use super::{data, say_error};

#[derive(Args)]
pub(super) struct PowerFlowArguments {
    /// The network: an `input` data set; `-` is standard input.
    #[arg(value_name = "INPUT.json")]
    input: PathBuf,
    /// Scenarios, each a change to the network on its own: an `update` data set.
    #[arg(long, value_name = "BATCH.json")]
    update: Option<PathBuf>,
    /// By phase.
    #[arg(long)]
    asymmetric: bool,
    /// How to iterate. Current injection is faster; where loads are heavy against the network's
    /// strength, or a regulator holds a voltage, Newton's takes over.
    #[arg(long, value_enum, default_value_t = MethodName::Newton)]
    method: MethodName,
    /// Which taps automatic tap changers choose; unless off, step-voltage regulators and switched
    /// capacitors are at work too.
    #[arg(long, value_enum, default_value_t = TapName::Off)]
    tap_changing: TapName,
    /// Largest change of a voltage in the last iteration, pu.
    #[arg(long, default_value = "1e-8", value_parser = data::positive)]
    tolerance: f64,
    /// Where the answer goes; standard output without it, or with `-`.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum MethodName {
    Newton,
    Current,
}

#[derive(Clone, Copy, ValueEnum)]
enum TapName {
    Off,
    Any,
    Min,
    Max,
    FastAny,
}

/// A power flow of either kind.
enum Solver {
    Symmetric(Box<PowerFlow>),
    ByPhase(Box<AsymPowerFlow>),
}

pub(super) fn powerflow(arguments: &PowerFlowArguments) -> anyhow::Result<ExitCode> {
    let input = match data::read(&arguments.input) {
        Ok(input) => input,
        Err(exit) => return Ok(exit),
    };
    let update = match arguments.update.as_deref().map(data::read).transpose() {
        Ok(update) => update,
        Err(exit) => return Ok(exit),
    };
    let answer = match solve(arguments, &input, update.as_deref()) {
        Ok(answer) => answer,
        Err(Failure::Input(error)) => return Ok(data::say_problems(&error)),
        Err(Failure::Unsolved { scenario, error }) => {
            let place = scenario.map_or_else(String::new, |k| format!("scenario {k}: "));
            say_error(&format!("{place}{error}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let symmetry = if arguments.asymmetric {
        "asym_output"
    } else {
        "sym_output"
    };
    let document = serde_json::json!({
        "version": "1.0",
        "type": symmetry,
        "is_batch": arguments.update.is_some(),
        "attributes": {},
        "data": answer,
    });
    data::write(arguments.output.as_deref(), &document)?;
    Ok(ExitCode::SUCCESS)
}

/// Why there is no answer.
enum Failure {
    Input(NetworkError),
    Unsolved {
        scenario: Option<usize>,
        error: PowerFlowError,
    },
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Self::Input(error)
    }
}

/// The `data` of the output: of the input, or of each scenario.
fn solve(
    arguments: &PowerFlowArguments,
    input: &str,
    update: Option<&str>,
) -> Result<Value, Failure> {
    let network = pgm_json::read(input)?;
    let mut grid = Grid::new(&network)?;
    let mut solver = if arguments.asymmetric {
        Solver::ByPhase(Box::new(AsymPowerFlow::new(&grid)?))
    } else {
        Solver::Symmetric(Box::new(PowerFlow::new(&grid)))
    };
    let mut run = |grid: &mut Grid, scenario: Option<usize>| {
        solver
            .run(grid, arguments)
            .map_err(|error| Failure::Unsolved { scenario, error })
    };
    let Some(update) = update else {
        return run(&mut grid, None);
    };
    let scenarios = pgm_json::read_update(update, &network)?;
    let mut solved = Vec::with_capacity(scenarios.len());
    for (k, mut scenario) in scenarios.into_iter().enumerate() {
        let mut changed = grid.clone();
        changed
            .exchange(&mut scenario)
            .expect("the scenario was read for this network");
        solved.push(run(&mut changed, Some(k))?);
    }
    Ok(Value::Array(solved))
}

impl Solver {
    fn run(
        &mut self,
        grid: &mut Grid,
        arguments: &PowerFlowArguments,
    ) -> Result<Value, PowerFlowError> {
        let strategy = match arguments.tap_changing {
            TapName::Off => None,
            TapName::Any => Some(TapStrategy::Any),
            TapName::Min => Some(TapStrategy::Min),
            TapName::Max => Some(TapStrategy::Max),
            TapName::FastAny => Some(TapStrategy::FastAny),
        };
        let options = Options {
            method: match arguments.method {
                MethodName::Newton => Method::Newton,
                MethodName::Current => Method::Current,
            },
            tolerance: arguments.tolerance,
            ..Options::default()
        };
        let value = match self {
            Self::Symmetric(solver) => {
                let solution = match strategy {
                    None => solver.run(grid, &[], None, &options)?,
                    Some(strategy) => {
                        let mut taps = SymTapSolver {
                            solver: &mut *solver,
                            options,
                        };
                        change_taps(grid, strategy, &mut taps)?
                    }
                };
                serde_json::to_value(SymOutput::new(grid, &solution))
            }
            Self::ByPhase(solver) => {
                let solution = match strategy {
                    None => solver.run(grid, None, &options)?,
                    Some(strategy) => {
                        let mut taps = AsymTapSolver {
                            solver: &mut *solver,
                            options,
                        };
                        regulate(grid, strategy, &mut taps)?
                    }
                };
                serde_json::to_value(AsymOutput::new(grid, solver.phases(), &solution))
            }
        };
        Ok(value.expect("a data set holds plain numbers, which always serialise"))
    }
}
