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
    /// What a closed link is: 1e6 S, as in power-grid-model, or ideally no impedance at all. Then the
    /// nodes that it connects have one voltage, and what it carries follows from the balance of
    /// powers; links that make a ring share it as equal impedances would.
    #[arg(long, value_enum, default_value_t = LinksName::Stiff)]
    links: LinksName,
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

#[derive(Clone, Copy, ValueEnum)]
enum LinksName {
    Stiff,
    Ideal,
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

impl PowerFlowArguments {
    fn strategy(&self) -> Option<TapStrategy> {
        match self.tap_changing {
            TapName::Off => None,
            TapName::Any => Some(TapStrategy::Any),
            TapName::Min => Some(TapStrategy::Min),
            TapName::Max => Some(TapStrategy::Max),
            TapName::FastAny => Some(TapStrategy::FastAny),
        }
    }

    fn options(&self) -> Options {
        Options {
            method: match self.method {
                MethodName::Newton => Method::Newton,
                MethodName::Current => Method::Current,
            },
            tolerance: self.batch.tolerance,
            ..Options::default()
        }
    }
}

/// Solves a grid with links of no impedance. Which nodes are one may be otherwise in each scenario, so
/// each has a solver of its own.
fn solve_merged(grid: &Grid, arguments: &PowerFlowArguments) -> Result<Value, PowerFlowError> {
    let (options, strategy) = (arguments.options(), arguments.strategy());
    let mut merged = grid.merged();
    let solver = Solver::new(&merged.grid, arguments.batch.asymmetric);
    let value = match solver.expect("the network that it is made of has been accepted") {
        Solver::Symmetric(mut solver) => {
            let solution = match strategy {
                None => solver.run(&merged.grid, &[], None, &options)?,
                Some(strategy) => {
                    let solver = &mut *solver;
                    let mut taps = SymTapSolver { solver, options };
                    change_taps(&mut merged.grid, strategy, &mut taps)?
                }
            };
            serde_json::to_value(SymOutput::of_merged(grid, &merged, &solution))
        }
        Solver::ByPhase(mut solver) => {
            let solution = match strategy {
                None => solver.run(&merged.grid, None, &options)?,
                Some(strategy) => {
                    let solver = &mut *solver;
                    let mut taps = AsymTapSolver { solver, options };
                    regulate(&mut merged.grid, strategy, &mut taps)?
                }
            };
            let phases = solver.phases();
            serde_json::to_value(AsymOutput::of_merged(grid, &merged, phases, &solution))
        }
    };
    Ok(value.expect("a data set holds plain numbers, which always serialise"))
}

/// Solves each scenario, unless what hinders one hinders all.
fn solve(
    arguments: &PowerFlowArguments,
    batch: &mut Batch,
    mut solver: Solver,
) -> Result<Solved, OnlyByPhase> {
    let mut run = |grid: &Grid| match arguments.links {
        LinksName::Stiff => solver.run(grid, arguments),
        LinksName::Ideal => solve_merged(grid, arguments),
    };
    batch.each(|grid, _| match run(grid) {
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
        let options = arguments.options();
        let value = match arguments.strategy() {
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
