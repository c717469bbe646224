//! A scenario: which network, what its loads and resources do over the day, which devices there are
//! and what goes wrong when. One TOML file; unknown keys are refused, and [`load`] reports every
//! problem of a readable file at once, each with its place.

mod check;
mod model;

use std::{
    fs,
    path::{Path, PathBuf},
};

use solver::network::{Grid, pgm_json};

pub use model::{
    Battery, Bay, ClockSpec, DerSpec, LineSpec, LinkAddresses, LoadSpec, RtuSpec, Scenario, Speaks,
    TimedFault,
};

use crate::profiles::Clock;

/// A scenario without problems, and what it refers to.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file's content.
    pub scenario: Scenario,
    /// Its clock.
    pub clock: Clock,
    /// Its network.
    pub grid: Grid,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A file cannot be read.
    #[error("{}: {error}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type; the text shows the place.
    #[error("{}: {error}", .path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What the parser says.
        error: Box<toml::de::Error>,
    },
    /// Everything that is wrong in a readable file.
    #[error("{}: {} problem(s)\n  {}", .path.display(), .problems.len(), .problems.join("\n  "))]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// One sentence each, with its place.
        problems: Vec<String>,
    },
}

/// Reads a scenario and its network.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load(path: &Path) -> Result<Loaded, ScenarioError> {
    let text = read(path)?;
    let scenario: Scenario = toml::from_str(&text).map_err(|error| ScenarioError::Syntax {
        path: path.to_owned(),
        error: Box::new(error),
    })?;
    let invalid = |problems| ScenarioError::Invalid {
        path: path.to_owned(),
        problems,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let network_path = folder.join(&scenario.network);
    let network = pgm_json::read(&read(&network_path)?).and_then(|network| Grid::new(&network));
    let grid = match network {
        Ok(grid) => grid,
        Err(error) => {
            let place = network_path.display();
            return Err(invalid(vec![format!("network {place}: {error}")]));
        }
    };
    let (clock, problems) = check::problems(&scenario, &grid);
    match clock {
        Some(clock) if problems.is_empty() => Ok(Loaded {
            scenario,
            clock,
            grid,
        }),
        _ => Err(invalid(problems)),
    }
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    fs::read_to_string(path).map_err(|error| ScenarioError::Read {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests;
