//! Busbar's side of `cargo xtask bench market`: clears what it is told on standard input, one JSON object
//! a line, and answers with the time its process was on the processor.

use std::{fs, io, path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use busbar_tests::grids::{MarketSize, market_case};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use solver::{
    market::clearing::{Case, Clearing, Options, Status, clear, clear_horizon},
    network::{Grid, pgm_json},
};

#[expect(clippy::print_stdout, reason = "the answers are this program's output")]
fn main() -> Result<()> {
    let mut cases: Vec<Loaded> = Vec::new();
    for line in io::stdin().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let answer =
            obey(&command, &mut cases).unwrap_or_else(|e| json!({"error": format!("{e:#}")}));
        println!("{answer}");
    }
    Ok(())
}

fn obey(command: &Value, cases: &mut Vec<Loaded>) -> Result<Value> {
    let named = || -> Result<&Loaded> {
        let index = number(command, "case")?;
        cases.get(index).context("no such case")
    };
    match word(command, "do")? {
        "generate" => {
            let size = MarketSize {
                nodes: number(command, "nodes")?,
                orders: number(command, "orders")?,
                intervals: number(command, "intervals")?,
                batteries: number(command, "batteries")?,
            };
            let case = market_case(size, number(command, "seed")? as u64);
            fs::write(word(command, "file")?, case.to_string())?;
            Ok(json!({}))
        }
        "load" => {
            cases.push(Loaded::read(command)?);
            Ok(json!({"case": cases.len() - 1}))
        }
        "answer" => Ok(named()?.clear()?.report()),
        "sample" => {
            let case = named()?;
            let (cpu, wall) = (cpu_seconds(), Instant::now());
            case.clear()?;
            Ok(json!({"seconds": cpu_seconds() - cpu, "wall": wall.elapsed().as_secs_f64()}))
        }
        other => bail!("unknown command {other}"),
    }
}

/// A case on its network; several where a horizon is cleared.
struct Loaded {
    grid: Grid,
    cases: Vec<Case>,
}

/// What comes of it.
struct Cleared {
    intervals: Vec<Clearing>,
    cost: f64,
    rounds: u32,
}

impl Loaded {
    /// A case file, or one with its network in another.
    fn read(command: &Value) -> Result<Self> {
        let file: Value = serde_json::from_str(&read(word(command, "file")?)?)?;
        let network = match command["network"].as_str() {
            Some(path) => read(path)?,
            None => file["network"].to_string(),
        };
        let first: Case = serde_json::from_value(file["case"].clone())?;
        let later = file["later"].as_array().into_iter().flatten();
        let later = later.map(|case| Ok(serde_json::from_value(case.clone())?));
        Ok(Self {
            grid: Grid::new(&pgm_json::read(&network)?)?,
            cases: std::iter::once(Ok(first))
                .chain(later)
                .collect::<Result<_>>()?,
        })
    }

    /// Everything, prices and the independent power flow included.
    fn clear(&self) -> Result<Cleared> {
        let options = Options::default();
        if let [case] = &self.cases[..] {
            let clearing = clear(&self.grid, case, &options)?;
            let cost = clearing.cost_per_h;
            return Ok(Cleared {
                intervals: vec![clearing],
                cost,
                rounds: 0,
            });
        }
        let found = clear_horizon(&self.grid, &self.cases, &options)?;
        Ok(Cleared {
            intervals: found.intervals,
            cost: found.cost,
            rounds: found.rounds,
        })
    }
}

impl Cleared {
    fn report(&self) -> Value {
        let all = || self.intervals.iter();
        let most = |of: &dyn Fn(&Clearing) -> f64| all().map(of).fold(0.0, f64::max);
        json!({
            "cost": self.cost,
            "optimal": all().filter(|of| of.status == Status::Optimal).count(),
            "intervals": self.intervals.len(),
            "binding": all().map(|of| of.binding.len()).sum::<usize>(),
            "programmes": all().map(|of| of.iterations).sum::<u32>(),
            "rounds": self.rounds,
            "violation_u_pu": most(&|of| of.ac_check.violation_u_pu),
            "violation_rating": most(&|of| of.ac_check.violation_rating),
        })
    }
}

fn word<'a>(command: &'a Value, name: &str) -> Result<&'a str> {
    command[name].as_str().with_context(|| format!("no {name}"))
}

fn number(command: &Value, name: &str) -> Result<usize> {
    let number = command[name]
        .as_u64()
        .with_context(|| format!("no {name}"))?;
    Ok(usize::try_from(number)?)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(Path::new(path)).with_context(|| format!("reading {path}"))
}

/// Seconds that this process was on a processor.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}
