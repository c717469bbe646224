//! `busbar powerflow`: a network in power-grid-model's JSON solved, the answer in its JSON. Exit
//! status 0: every scenario solved; 1: one has no solution; 65: the input is wrong (`EX_DATAERR` of
//! sysexits.h).

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use solver::{
    network::{Grid, NetworkError, OnlyByPhase, pgm_json},
    powerflow::{
        AsymOutput, AsymPowerFlow, AsymTapSolver, Method, Options, PowerFlow, PowerFlowError,
        SymOutput, SymTapSolver, TapStrategy, change_taps, regulate,
    },
};

use super::{
    EX_DATAERR,
    batch::{Batch, BatchArguments},
    data, say_error,
};

#[derive(Args)]
pub(super) struct PowerFlowArguments {
    #[command(flatten)]
    batch: BatchArguments,
    /// How to iterate. Current injection is faster; where loads are heavy against the network's
    /// strength, or a regulator holds a voltage, Newton's takes over.
    #[arg(long, value_enum, default_value_t = MethodName::Newton)]
    method: MethodName,
    /// Which taps automatic tap changers choose; unless off, step-voltage regulators and switched
    /// capacitors are at work too.
    #[arg(long, value_enum, default_value_t = TapName::Off)]
    tap_changing: TapName,
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
    let mut batch = match arguments.batch.read(pgm_json::read) {
        Ok(batch) => batch,
        Err(exit) => return Ok(exit),
    };
    let solver = match Solver::new(&batch.grid, arguments.batch.asymmetric) {
        Ok(solver) => solver,
        Err(error) => return Ok(data::say_problems(&error)),
    };
    let solved = match solve(arguments, &mut batch, solver) {
        Ok(solved) => solved,
        Err(error) => {
            say_error(&format!("{error}; see --asymmetric"));
            return Ok(ExitCode::from(EX_DATAERR));
        }
    };
    let failed: Vec<String> = (solved.iter().enumerate())
        .filter_map(|(k, answer)| Some(format!("{}{}", batch.place(k), answer.as_ref().err()?)))
        .collect();
    failed.iter().for_each(|said| say_error(said));
    if batch.is_batch() && !failed.is_empty() {
        let (count, all) = (solved.len() - failed.len(), solved.len());
        say_error(&format!("{count} of {all} scenarios solved"));
    }
    if batch.is_batch() || failed.is_empty() {
        // A scenario without solution has no data.
        let answers = solved.into_iter().map(|answer| answer.unwrap_or(json!({})));
        arguments.batch.write(&batch, answers.collect())?;
    }
    Ok(match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// A data set.
type Data = serde_json::Result<Value>;

/// Each scenario's answer, or why it has none.
type Solved = Vec<Result<Value, PowerFlowError>>;

/// Solves each scenario, unless what hinders one hinders all.
fn solve(
    arguments: &PowerFlowArguments,
    batch: &mut Batch,
    mut solver: Solver,
) -> Result<Solved, OnlyByPhase> {
    batch.each(|grid, _| match solver.run(grid, arguments) {
        Err(PowerFlowError::OnlyByPhase(found)) => Err(found),
        answer => Ok(answer),
    })
}

impl Solver {
    fn new(grid: &Grid, by_phase: bool) -> Result<Self, NetworkError> {
        Ok(match by_phase {
            true => Self::ByPhase(Box::new(AsymPowerFlow::new(grid)?)),
            false => Self::Symmetric(Box::new(PowerFlow::new(grid))),
        })
    }

    fn run(
        &mut self,
        grid: &Grid,
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
            tolerance: arguments.batch.tolerance,
            ..Options::default()
        };
        let value = match strategy {
            None => self.as_it_is(grid, &options)?,
            // Taps move in a copy: the next scenario begins at the given ones.
            Some(strategy) => self.regulated(&mut grid.clone(), strategy, options)?,
        };
        Ok(value.expect("a data set holds plain numbers, which always serialise"))
    }

    fn as_it_is(&mut self, grid: &Grid, options: &Options) -> Result<Data, PowerFlowError> {
        Ok(match self {
            Self::Symmetric(solver) => {
                let solution = solver.run(grid, &[], None, options)?;
                serde_json::to_value(SymOutput::new(grid, &solution))
            }
            Self::ByPhase(solver) => {
                let solution = solver.run(grid, None, options)?;
                serde_json::to_value(AsymOutput::new(grid, solver.phases(), &solution))
            }
        })
    }

    fn regulated(
        &mut self,
        grid: &mut Grid,
        strategy: TapStrategy,
        options: Options,
    ) -> Result<Data, PowerFlowError> {
        Ok(match self {
            Self::Symmetric(solver) => {
                let mut taps = SymTapSolver {
                    solver: &mut *solver,
                    options,
                };
                let solution = change_taps(grid, strategy, &mut taps)?;
                serde_json::to_value(SymOutput::new(grid, &solution))
            }
            Self::ByPhase(solver) => {
                let mut taps = AsymTapSolver {
                    solver: &mut *solver,
                    options,
                };
                let solution = regulate(grid, strategy, &mut taps)?;
                serde_json::to_value(AsymOutput::new(grid, solver.phases(), &solution))
            }
        })
    }
}
