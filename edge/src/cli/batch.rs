//! A network and its scenarios from data sets, one after the other through a calculation, and what
//! comes of them as a data set: what `powerflow` and `estimate` share.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};
use solver::network::{Grid, Network, NetworkError, Scenario, pgm_json};

use super::{EX_USAGE, data, say_error};

/// Scenarios from which on progress is shown.
const LONG_BATCH: usize = 100;

#[derive(Args)]
pub(super) struct BatchArguments {
    /// The network: an `input` data set; `-` is standard input.
    #[arg(value_name = "INPUT.json")]
    input: PathBuf,
    /// Scenarios, each a change to the network on its own: an `update` data set. One without
    /// solution is named, and stops none of the others.
    #[arg(long, value_name = "BATCH.json")]
    update: Option<PathBuf>,
    /// By phase.
    #[arg(long)]
    pub(super) asymmetric: bool,
    /// Largest change of a voltage in the last iteration, pu.
    #[arg(long, default_value = "1e-8", value_parser = data::positive)]
    pub(super) tolerance: f64,
    /// Where the answer goes; standard output without it, or with `-`.
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

impl BatchArguments {
    /// The answer goes to standard output.
    pub(super) fn answers_to_standard(&self) -> bool {
        self.output.as_deref().is_none_or(data::is_standard)
    }

    /// Reads the files, the network by `read`; says what is wrong with them.
    pub(super) fn read(
        &self,
        read: fn(&str) -> Result<Network, NetworkError>,
    ) -> Result<Batch, ExitCode> {
        let standard = |file: &PathBuf| data::is_standard(file);
        if standard(&self.input) && self.update.as_ref().is_some_and(standard) {
            say_error("the network and its scenarios can't both come from standard input");
            return Err(ExitCode::from(EX_USAGE));
        }
        let input = data::read(&self.input)?;
        let update = self.update.as_deref().map(data::read).transpose()?;
        Batch::new(&input, update.as_deref(), read).map_err(|error| data::say_problems(&error))
    }

    /// Writes the answer to each scenario, or that to the network as it is.
    pub(super) fn write(&self, batch: &Batch, answers: Vec<Value>) -> anyhow::Result<()> {
        let kind = match self.asymmetric {
            true => "asym_output",
            false => "sym_output",
        };
        data::write(self.output.as_deref(), &batch.document(kind, answers))
    }
}

/// A network and what is asked of it.
pub(super) struct Batch {
    pub(super) grid: Grid,
    /// None: the network as it is.
    scenarios: Option<Vec<Scenario>>,
}

impl Batch {
    fn new(
        input: &str,
        update: Option<&str>,
        read: fn(&str) -> Result<Network, NetworkError>,
    ) -> Result<Self, NetworkError> {
        let network = read(input)?;
        let grid = Grid::new(&network)?;
        let scenarios = update.map(|update| pgm_json::read_update(update, &network));
        Ok(Self {
            grid,
            scenarios: scenarios.transpose()?,
        })
    }

    /// There are scenarios.
    pub(super) fn is_batch(&self) -> bool {
        self.scenarios.is_some()
    }

    /// Where something is, in words: the scenario.
    pub(super) fn place(&self, scenario: usize) -> String {
        match self.is_batch() {
            true => format!("scenario {scenario}: "),
            false => String::new(),
        }
    }

    /// Gives the network of each scenario, and its number, to `run`, until that refuses.
    pub(super) fn each<T, E>(
        &mut self,
        mut run: impl FnMut(&Grid, usize) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let Some(scenarios) = &mut self.scenarios else {
            return Ok(vec![run(&self.grid, 0)?]);
        };
        let count = scenarios.len();
        let mut all = Vec::with_capacity(count);
        for (k, scenario) in scenarios.iter_mut().enumerate() {
            progress(k, count);
            let mut exchange = |grid: &mut Grid| {
                let exchanged = grid.exchange(scenario);
                exchanged.expect("the scenario was read for this network");
            };
            exchange(&mut self.grid);
            let result = run(&self.grid, k);
            exchange(&mut self.grid);
            all.push(result?);
        }
        progress(count, count);
        Ok(all)
    }

    /// A data set of each scenario's data, or of the only one.
    pub(super) fn document(&self, kind: &str, mut scenarios: Vec<Value>) -> Value {
        let data = match self.is_batch() {
            true => Value::Array(scenarios),
            false => scenarios.pop().unwrap_or_default(),
        };
        json!({
            "version": "1.0", "type": kind, "is_batch": self.is_batch(), "attributes": {},
            "data": data,
        })
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
