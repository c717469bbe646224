//! `cargo xtask bench`: the market (see there), and here `solver`: power flow and estimation beside
//! power-grid-model (and OpenDSS), in one run.
//!
//! Both read the same JSON and solve the same scenarios to the same tolerance, each in one thread,
//! taking turns; what counts is the time its thread was on the processor, per scenario. On either
//! side the fastest method that reaches the same answer counts.

mod area;
mod field;
mod market;
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

/// Phases of all buses of the feeder that OpenDSS solves too, as those of the IEEE 8500-node test
/// feeder are counted.
const FEEDER: usize = 8500;

/// Arguments of `bench`.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Power flow and state estimation beside power-grid-model and OpenDSS; peers come from PyPI. Exit status 1 when answers disagree.
    Solver(Solver),
    /// The market's clearing beside HiGHS and pandapower; peers come from PyPI. Exit status 1 when answers disagree.
    Market(market::Market),
    /// The market of an area with more and more tenants: time on the processor of an interval, and its growth.
    Area(area::Area),
    /// The field under load: missed polls, time on the processor per point beside the same loop on C libmodbus, latency
    /// from a device to the control centre. Exit status 1 when something was missed.
    Field(field::Field),
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

/// Who calculates, and where the files are.
struct Sides {
    busbar: Worker,
    pgm: Worker,
    dss: Worker,
    dir: PathBuf,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        match self.what {
            What::Solver(solver) => solver.run(),
            What::Market(market) => market.run(),
            What::Area(area) => area.run(),
            What::Field(field) => field.run(),
        }
    }
}

/// Builds a program of the bench; the target folder that it is in.
fn built(program: &str) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "-p", "busbar-tests"]);
    run(build.args(["--features", "grids", "--bin", program]))?;
    Ok(std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from))
}

impl Solver {
    fn run(self) -> Result<()> {
        let python = tools::venv("bench", &PEERS)?;
        let target = built("solver_bench")?;
        // Its own: two may run at once. What fails leaves it behind, to be looked at.
        let dir = target.join("bench").join(std::process::id().to_string());
        fs::create_dir_all(&dir)?;
        let peer = |script: &str| {
            let script = workspace().join("tests/peers").join(script);
            Worker::start(&python, &[&script])
        };
        let mut sides = Sides {
            busbar: Worker::start(&target.join("release/solver_bench"), &[])?,
            pgm: peer("pgm_bench.py")?,
            dss: peer("dss_bench.py")?,
            dir,
        };
        let mut rows = Vec::new();
        for &nodes in &self.sizes {
            for meshed in [false, true] {
                for calculation in self.calculations() {
                    if calculation != Calculation::PfFeeder {
                        rows.push(self.row(&mut sides, calculation, nodes, meshed)?);
                    }
                }
            }
        }
        if self.calculations().any(|c| c == Calculation::PfFeeder) {
            rows.push(self.row(&mut sides, Calculation::PfFeeder, FEEDER, false)?);
        }
        fs::remove_dir_all(&sides.dir)?;
        self.report(&rows)
    }

    /// One calculation on one network, made for it.
    fn row(
        &self,
        sides: &mut Sides,
        calculation: Calculation,
        nodes: usize,
        meshed: bool,
    ) -> Result<Row> {
        let estimates = calculation.estimates();
        let feeder = calculation == Calculation::PfFeeder;
        let [input, update] = ["input.json", "update.json"].map(|name| sides.dir.join(name));
        let made = sides.busbar.ask(&json!({
            "do": "generate", "nodes": nodes, "meshed": meshed, "meters": estimates,
            "asymmetric": calculation.asymmetric(), "walk": calculation.tracks(), "feeder": feeder,
            "scenarios": scenarios(nodes, estimates), "seed": nodes, "input": input,
            "update": update,
        }))?;
        let nodes = made["nodes"].as_u64().context("no node was made")?;
        let shape = if meshed { "meshed" } else { "radial" };
        say(format_args!(
            "{}, {nodes} nodes, {shape}",
            calculation.name()
        ));
        let case = Case {
            calculation,
            input: &input,
            update: &update,
            dir: &sides.dir,
            samples: if self.quick { 5 } else { 21 },
        };
        let peer = if feeder {
            &mut sides.dss
        } else {
            &mut sides.pgm
        };
        let row = Row {
            nodes,
            meshed,
            calculation,
            measured: case.measure(&mut sides.busbar, peer)?,
        };
        say(format_args!("  {}", row.line()));
        Ok(row)
    }

    fn calculations(&self) -> impl Iterator<Item = Calculation> {
        let all = Calculation::value_variants().iter().copied();
        all.filter(|c| self.only.is_empty() || self.only.contains(c))
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
