//! `cargo xtask bench solver`: the solver beside power-grid-model (and OpenDSS), in one run.
//!
//! Both read the same JSON and solve the same scenarios to the same tolerance, each in one thread,
//! taking turns; what counts is the time its thread was on the processor, per scenario. On either
//! side the fastest method that reaches the same answer counts.

mod measure;
mod table;
mod worker;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use busbar_tests::stack::workspace;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use self::{
    measure::{Calculation, Case},
    table::Row,
    worker::Worker,
};
use crate::{
    run::{cargo, run, say},
    tools,
};

/// Python packages of the peers; the newest of power-grid-model for Python 3.11.
const PEERS: [&str; 2] = ["power-grid-model==1.12.110", "dss-python==0.15.7"];

/// Scenarios of a batch: enough that what a call costs does not count. An estimation takes longer.
fn scenarios(nodes: usize, estimates: bool) -> usize {
    let enough = if estimates { 20_000 } else { 100_000 };
    (enough / nodes.max(1)).clamp(20, 200)
}

/// Arguments of `bench`.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Power flow and state estimation beside power-grid-model; peers come from PyPI. Exit status 1 when answers disagree.
    Solver(Solver),
}

#[derive(Args)]
struct Solver {
    /// Also write what was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// About how many nodes the networks have.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000])]
    sizes: Vec<usize>,
    /// Measure each batch 5 times instead of 21.
    #[arg(long)]
    quick: bool,
    /// Only these calculations.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Calculation>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self.what {
            What::Solver(solver) => solver.run(),
        }
    }
}

impl Solver {
    fn run(self) -> Result<()> {
        let python = tools::venv("bench", &PEERS)?;
        run(cargo().args([
            "build",
            "--release",
            "-p",
            "busbar-tests",
            "--features",
            "grids",
            "--bin",
            "solver_bench",
        ]))?;
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| workspace().join("target"), PathBuf::from);
        let dir = target.join("bench");
        fs::create_dir_all(&dir)?;
        let mut busbar = Worker::start(&target.join("release/solver_bench"), &[])?;
        let script = workspace().join("tests/peers/pgm_bench.py");
        let mut pgm = Worker::start(&python, &[&script])?;

        let mut rows = Vec::new();
        for &nodes in &self.sizes {
            for meshed in [false, true] {
                let shape = if meshed { "meshed" } else { "radial" };
                for calculation in self.calculations() {
                    let estimates = calculation.estimates();
                    let [input, update] = ["input.json", "update.json"].map(|name| dir.join(name));
                    let made = busbar.ask(&json!({
                        "do": "generate", "nodes": nodes, "meshed": meshed, "meters": estimates,
                        "asymmetric": calculation.asymmetric(), "walk": calculation.tracks(),
                        "scenarios": scenarios(nodes, estimates), "seed": nodes, "input": input,
                        "update": update,
                    }))?;
                    let nodes = made["nodes"].as_u64().context("no node was made")?;
                    say(format_args!(
                        "{}, {nodes} nodes, {shape}",
                        calculation.name()
                    ));
                    let case = Case {
                        calculation,
                        input: &input,
                        update: &update,
                        dir: &dir,
                        samples: if self.quick { 5 } else { 21 },
                    };
                    let measured = case.measure(&mut busbar, &mut pgm)?;
                    let row = Row {
                        nodes,
                        meshed,
                        calculation,
                        measured,
                    };
                    say(format_args!("  {}", row.line()));
                    rows.push(row);
                }
            }
        }
        self.report(&rows)
    }

    fn calculations(&self) -> Vec<Calculation> {
        let all = Calculation::value_variants().iter().copied();
        all.filter(|c| self.only.is_empty() || self.only.contains(c))
            .collect()
    }

    fn report(&self, rows: &[Row]) -> Result<()> {
        table::print(rows);
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(&table::json(rows))?;
            fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        let wrong = rows.iter().filter(|row| !row.measured.agrees()).count();
        if wrong > 0 {
            bail!("{wrong} answers disagree");
        }
        Ok(())
    }
}
