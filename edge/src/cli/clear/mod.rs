//! `busbar clear`: a market case cleared offline, so that anybody can check a result. Exit status
//! 0: optimal; 1: no solution, or one that is not known to be the best, or that does not keep every
//! limit; 2: wrong usage; 65: the input is wrong, and it is said what and where.

mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use solver::{
    market::clearing::{CaseFile, ClearingError, Names, Status},
    network::{Grid, Id, pgm_json},
};

use super::{EX_DATAERR, EX_USAGE, data, say, say_error};

const EXAMPLES: &str = "\
The case is a file as docs/market-case.md describes it: a network, what draws and feeds power, units
with their orders, limits and prices.

Examples:
  busbar clear feeder.json
      Awards, prices, limits that bind, as a table.
  busbar clear feeder.json --explain 31 --output result.json
      Why unit 31 got what it got; all of the result to a file.

Exit status: 0 optimal, 1 no solution, not known to be optimal, or a limit not kept, 2 wrong usage,
65 wrong input.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ClearArguments {
    /// The case; `-` is standard input.
    #[arg(value_name = "CASE.json")]
    case: PathBuf,
    /// Explain the award of a unit; may be given several times.
    #[arg(long, value_name = "UNIT")]
    explain: Vec<Id>,
    /// Where the result goes, as JSON.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The result to standard output as JSON, instead of the table.
    #[arg(long)]
    json: bool,
}

pub(super) fn clear(arguments: &ClearArguments) -> anyhow::Result<ExitCode> {
    if arguments.json && arguments.output.is_some() {
        say_error("the result goes to standard output (--json) or to a file (--output), not both");
        return Ok(ExitCode::from(EX_USAGE));
    }
    let (file, grid) = match read(arguments) {
        Ok(read) => read,
        Err(exit) => return Ok(exit),
    };
    let unknown = arguments.explain.iter();
    let mut unknown = unknown.filter(|&&id| file.case.units.iter().all(|unit| unit.id != id));
    if let Some(id) = unknown.next() {
        say_error(&format!("--explain {id}: the case has no unit {id}"));
        return Ok(ExitCode::from(EX_USAGE));
    }
    let result = match file.clear(&grid, &arguments.explain, &Names::default()) {
        Ok(result) => result,
        Err(error @ ClearingError::NoOperatingPoint { .. }) => {
            say_error(&error.to_string());
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => {
            say_error(&format!("{}: case: {error}", arguments.case.display()));
            return Ok(ExitCode::from(EX_DATAERR));
        }
    };
    let is_standard = arguments.output.as_deref().is_some_and(data::is_standard);
    if arguments.json || arguments.output.is_some() {
        data::write(arguments.output.as_deref(), &serde_json::to_value(&result)?)?;
    }
    if !arguments.json && !is_standard {
        say(table::table(&file.case, &result).trim_end());
    }
    Ok(match result.clearing.status {
        Status::Optimal => ExitCode::SUCCESS,
        Status::Feasible { .. } | Status::LeastViolation { .. } => ExitCode::FAILURE,
    })
}

/// Case and network; says what is wrong with them.
fn read(arguments: &ClearArguments) -> Result<(CaseFile, Grid), ExitCode> {
    let refuse = |problem: &str| {
        say_error(&format!("{}: {problem}", arguments.case.display()));
        ExitCode::from(EX_DATAERR)
    };
    let text = data::read(&arguments.case)?;
    let mut json = serde_json::Deserializer::from_str(&text);
    let file: CaseFile = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => refuse(&error.inner().to_string()),
            path => refuse(&format!("{path}: {}", error.inner())),
        }
    })?;
    json.end()
        .map_err(|error| refuse(&format!("after the case: {error}")))?;
    let network = match (&file.network, &file.network_file) {
        (Some(network), None) => {
            serde_json::to_string(network).expect("what was read as JSON is written as JSON")
        }
        (None, Some(name)) => {
            let folder = arguments.case.parent();
            data::read(&folder.map_or_else(|| PathBuf::from(name), |folder| folder.join(name)))?
        }
        (Some(_), Some(_)) => {
            return Err(refuse("network and network_file: one of them, not both"));
        }
        (None, None) => return Err(refuse("neither network nor network_file is given")),
    };
    let grid = pgm_json::read(&network).and_then(|network| Grid::new(&network));
    let grid = grid.map_err(|error| data::say_problems(&error))?;
    Ok((file, grid))
}
