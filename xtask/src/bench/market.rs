//! `cargo xtask bench market`: clearing beside HiGHS on the linearised problem and beside pandapower's AC
//! optimal power flow, in one run.
//!
//! Both sides take turns on the same file, one thread each, from nothing each time; what counts is the
//! median time the process was on the processor.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use busbar_tests::stack::workspace;
use clap::Args;
use serde_json::{Value, json};

use super::worker::Worker;
use crate::{run::say, tools};

const PEERS: [&str; 2] = ["highspy==1.15.1", "pandapower==3.5.6"];

#[derive(Args)]
pub(super) struct Market {
    /// Also write what was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure each case 3 times instead of 7.
    #[arg(long)]
    quick: bool,
}

/// One side of a row.
#[derive(Clone, Debug)]
struct Side {
    what: String,
    /// What it said of its answer.
    answer: Value,
    /// On the processor, s, each sample.
    cpu: Vec<f64>,
    /// By the clock, s, each sample.
    wall: Vec<f64>,
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len() / 2)
        .copied()
        .unwrap_or(f64::INFINITY)
}

impl Side {
    fn ask(&mut self, worker: &mut Worker, case: &Value) -> Result<()> {
        let said = worker.ask(&json!({"do": "sample", "case": case}))?;
        let seconds = |name: &str| said[name].as_f64().context("no time was measured");
        self.cpu.push(seconds("seconds")?);
        self.wall.push(seconds("wall")?);
        Ok(())
    }

    fn cost(&self) -> f64 {
        self.answer["cost"].as_f64().unwrap_or(f64::NAN)
    }

    fn json(&self) -> Value {
        json!({"what": self.what, "answer": self.answer, "median_cpu_s": median(&self.cpu),
               "median_wall_s": median(&self.wall), "samples": self.cpu.len()})
    }
}

/// Two sides of one case.
struct Row {
    case: String,
    busbar: Side,
    peer: Side,
    /// Ratio aimed at, of Busbar's time to the peer's or, where `of_peer`, of the peer's to Busbar's.
    target: f64,
    of_peer: bool,
    /// Most relative difference of the costs, where both solve the same problem.
    same: Option<f64>,
}

impl Row {
    fn ratio(&self) -> f64 {
        let ratio = median(&self.busbar.cpu) / median(&self.peer.cpu);
        if self.of_peer { 1.0 / ratio } else { ratio }
    }

    fn line(&self) -> String {
        let ms = |side: &Side| format!("{:>10.2} ms  ", 1e3 * median(&side.cpu));
        let (ratio, target) = (self.ratio(), self.target);
        let (bound, is_met) = if self.of_peer {
            ("at least", ratio >= target)
        } else {
            ("at most", ratio <= target)
        };
        let verdict = if is_met { "" } else { "  missed" };
        format!(
            "{:<34}{}{}{:<24}{ratio:>8.2}  {bound} {target:>3.0}{verdict}",
            self.case,
            ms(&self.busbar),
            ms(&self.peer),
            self.peer.what
        )
    }

    /// Every interval is cleared to the optimum within its limits; the same problem has the same cost.
    fn agrees(&self) -> bool {
        let of = &self.busbar.answer;
        let most = |name: &str| of[name].as_f64().unwrap_or(f64::NAN);
        let holds = most("violation_u_pu") <= 1e-4 && most("violation_rating") <= 1e-3;
        let apart = (self.busbar.cost() / self.peer.cost() - 1.0).abs();
        of["optimal"] == of["intervals"] && holds && self.same.is_none_or(|same| apart <= same)
    }

    fn json(&self) -> Value {
        json!({"case": self.case, "busbar": self.busbar.json(), "peer": self.peer.json(),
               "ratio": self.ratio(), "target": self.target, "at_least": self.of_peer,
               "agrees": self.agrees()})
    }
}

/// The two programs.
struct Sides {
    busbar: Worker,
    peer: Worker,
    dir: PathBuf,
    samples: usize,
}

impl Market {
    pub(super) fn run(self) -> Result<()> {
        let python = tools::venv("bench-market", &PEERS)?;
        let target = super::built("market_bench")?;
        let dir = target.join("bench");
        fs::create_dir_all(&dir)?;
        let script = workspace().join("tests/peers/market_bench.py");
        let mut sides = Sides {
            busbar: Worker::start(&target.join("release/market_bench"), &[])?,
            peer: Worker::start(&python, &[&script])?,
            dir,
            samples: if self.quick { 3 } else { 7 },
        };
        let mut rows = Vec::new();
        for (nodes, orders, target) in [(500, 1000, 3.0), (2000, 5000, 4.0)] {
            rows.push(sides.linear(nodes, orders, target)?);
            show(&rows);
        }
        let single = rows[0].busbar.clone();
        rows.push(sides.horizon(single)?);
        show(&rows);
        for (name, stressed) in [("der_x5_load0.3", true), ("der_all", false)] {
            rows.push(sides.cigre(name, stressed)?);
            show(&rows);
        }
        self.report(&rows)
    }

    #[expect(clippy::print_stdout, reason = "the table is the bench's output")]
    fn report(&self, rows: &[Row]) -> Result<()> {
        println!(
            "\n{:<34}{:>13}  {:>13}  {:<24}{:>8}",
            "case", "Busbar", "beside", "", "ratio"
        );
        for row in rows {
            println!("{}", row.line());
        }
        println!(
            "\nMedian processor time of a cold solve, one thread. Costs per h (horizon: of all intervals):"
        );
        for row in rows {
            let (busbar, peer) = (&row.busbar, &row.peer);
            println!(
                "{:<34}{:>14.4}{:>14.4}  {}",
                row.case,
                busbar.cost(),
                peer.cost(),
                busbar.answer
            );
        }
        if let Some(file) = &self.json {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            let text = serde_json::to_string_pretty(&json!({ "rows": rows }))?;
            fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        let wrong = rows.iter().filter(|row| !row.agrees()).count();
        if wrong > 0 {
            bail!("{wrong} answers disagree");
        }
        Ok(())
    }
}

fn show(rows: &[Row]) {
    if let Some(row) = rows.last() {
        say(format_args!("{}", row.line()));
    }
}

impl Sides {
    fn generate(
        &mut self,
        nodes: u32,
        orders: u32,
        intervals: u32,
        batteries: u32,
    ) -> Result<PathBuf> {
        let file = self.dir.join(format!("market-{nodes}-{intervals}.json"));
        self.busbar.ask(
            &json!({"do": "generate", "nodes": nodes, "orders": orders, "seed": nodes,
            "intervals": intervals, "batteries": batteries, "file": file}),
        )?;
        Ok(file)
    }

    /// HiGHS by the faster of its methods.
    fn linear(&mut self, nodes: u32, orders: u32, target: f64) -> Result<Row> {
        let file = self.generate(nodes, orders, 1, 0)?;
        let (case, mut busbar) = load(&mut self.busbar, "Busbar", &json!({ "file": file }))?;
        let mut peers = Vec::new();
        for method in ["simplex", "ipm"] {
            let command = json!({"file": file, "method": method});
            peers.push(load(&mut self.peer, &format!("HiGHS, {method}"), &command)?);
        }
        for _ in 0..self.samples {
            busbar.ask(&mut self.busbar, &case)?;
            for (case, peer) in &mut peers {
                peer.ask(&mut self.peer, case)?;
            }
        }
        let fastest = peers.into_iter().map(|(_, peer)| peer);
        let fastest = fastest.min_by(|a, b| median(&a.cpu).total_cmp(&median(&b.cpu)));
        Ok(Row {
            case: format!("{nodes} buses, {orders} orders"),
            busbar,
            peer: fastest.context("HiGHS has methods")?,
            target,
            of_peer: false,
            same: None,
        })
    }

    /// Beside Busbar's own single interval.
    fn horizon(&mut self, mut single: Side) -> Result<Row> {
        let file = self.generate(500, 1000, 24, 20)?;
        let (case, mut busbar) = load(&mut self.busbar, "Busbar", &json!({ "file": file }))?;
        for _ in 0..self.samples.min(3) {
            busbar.ask(&mut self.busbar, &case)?;
        }
        "Busbar, one interval".clone_into(&mut single.what);
        Ok(Row {
            case: "500 buses, 24 intervals, 20 stores".to_owned(),
            busbar,
            peer: single,
            target: 20.0,
            of_peer: false,
            same: None,
        })
    }

    fn cigre(&mut self, name: &str, stressed: bool) -> Result<Row> {
        let data = |file: &str| workspace().join("solver/tests/data/opf").join(file);
        let file = data(&format!("cigre_mv_{name}.json"));
        let network: &Path = &data("cigre_mv_network.json");
        let command = json!({"file": file, "network": network});
        let (case, mut busbar) = load(&mut self.busbar, "Busbar", &command)?;
        let command = json!({"stressed": stressed, "method": "runopp"});
        let (asked, mut peer) = load(&mut self.peer, "pandapower's runopp", &command)?;
        for _ in 0..self.samples {
            busbar.ask(&mut self.busbar, &case)?;
            peer.ask(&mut self.peer, &asked)?;
        }
        Ok(Row {
            case: format!("CIGRE MV, {name}"),
            busbar,
            peer,
            target: 200.0,
            of_peer: true,
            same: Some(1e-4),
        })
    }
}

/// Loads a case into a worker and has it answered once.
fn load(worker: &mut Worker, what: &str, command: &Value) -> Result<(Value, Side)> {
    let mut command = command.clone();
    command["do"] = json!("load");
    let case = worker.ask(&command)?["case"].clone();
    let answer = worker.ask(&json!({"do": "answer", "case": case}))?;
    let what = what.to_owned();
    let side = Side {
        what,
        answer,
        cpu: Vec::new(),
        wall: Vec::new(),
    };
    Ok((case, side))
}
