//! Busbar's side of `cargo xtask bench solver`: loads what it is told on standard input, one JSON
//! object a line, solves it, and answers with the time its own thread was on the processor.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, anyhow, bail};
use busbar_tests::grids::{Fictional, load_scenarios};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use solver::{
    network::{Grid, Scenario, pgm_json},
    powerflow::{
        AsymOutput, AsymPowerFlow, AsymSolution, Method, Options, PowerFlow, PowerFlowError,
        Solution, SymOutput,
    },
};

#[expect(clippy::print_stdout, reason = "the answers are this program's output")]
fn main() -> Result<()> {
    let mut cases: Vec<Case> = Vec::new();
    for line in io::stdin().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        let answer =
            obey(&command, &mut cases).unwrap_or_else(|e| json!({"error": format!("{e:#}")}));
        println!("{answer}");
    }
    Ok(())
}

fn obey(command: &Value, cases: &mut Vec<Case>) -> Result<Value> {
    match word(command, "do")? {
        "generate" => generate(command),
        "load" => {
            cases.push(Case::load(command)?);
            Ok(json!({"case": cases.len() - 1}))
        }
        "forget" => {
            cases.clear();
            Ok(json!({}))
        }
        "answer" => {
            let answers = named(command, cases)?.solve()?;
            let bytes: Vec<u8> = answers
                .iter()
                .flat_map(Answer::voltages)
                .flat_map(f64::to_le_bytes)
                .collect();
            fs::write(word(command, "file")?, bytes)?;
            Ok(json!({"scenarios": answers.len()}))
        }
        "sample" => {
            let case = named(command, cases)?;
            let start = cpu_seconds();
            let answers = case.solve()?;
            let count = answers.len();
            Ok(json!({"seconds": (cpu_seconds() - start) / count as f64}))
        }
        other => bail!("unknown command {other}"),
    }
}

fn named<'a>(command: &Value, cases: &'a mut [Case]) -> Result<&'a mut Case> {
    let index = number(command, "case")? as usize;
    cases.get_mut(index).context("no such case")
}

fn word<'a>(command: &'a Value, name: &str) -> Result<&'a str> {
    command[name].as_str().with_context(|| format!("no {name}"))
}

fn number(command: &Value, name: &str) -> Result<u64> {
    command[name].as_u64().with_context(|| format!("no {name}"))
}

fn read(command: &Value, name: &str) -> Result<String> {
    let path = Path::new(word(command, name)?);
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn generate(command: &Value) -> Result<Value> {
    let nodes = number(command, "nodes")? as usize;
    let seed = number(command, "seed")?;
    let meshed = command["meshed"] == true;
    let input = Fictional::of_size(nodes, meshed).input(seed);
    let scenarios = number(command, "scenarios")? as usize;
    fs::write(word(command, "input")?, input.input())?;
    fs::write(
        word(command, "update")?,
        load_scenarios(&input, scenarios, seed),
    )?;
    Ok(json!({"nodes": input.rows("node").len()}))
}

/// Seconds that this thread was on a processor.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// A network with its scenarios, ready to be solved again and again.
struct Case {
    grid: Grid,
    scenarios: Vec<Scenario>,
    options: Options,
    solver: Solver,
    /// Of each scenario, as far as they have been solved; written anew by each run.
    answers: Vec<Answer>,
}

enum Solver {
    Symmetric(Box<PowerFlow>, Solution),
    ByPhase(Box<AsymPowerFlow>, AsymSolution),
}

/// Everything that is known after a solution, of one scenario.
enum Answer {
    Symmetric(Box<SymOutput>),
    ByPhase(Box<AsymOutput>),
}

impl Case {
    fn load(command: &Value) -> Result<Self> {
        let network = pgm_json::read(&read(command, "input")?)?;
        let scenarios = pgm_json::read_update(&read(command, "update")?, &network)?;
        let grid = Grid::new(&network)?;
        let solver = if command["asymmetric"] == true {
            Solver::ByPhase(
                Box::new(AsymPowerFlow::new(&grid)?),
                AsymSolution::default(),
            )
        } else {
            Solver::Symmetric(Box::new(PowerFlow::new(&grid)), Solution::default())
        };
        let options = Options {
            method: match word(command, "method")? {
                "newton" => Method::Newton,
                "current" => Method::Current,
                method => bail!("no method {method}"),
            },
            tolerance: command["tolerance"].as_f64().context("no tolerance")?,
            max_iterations: 200,
        };
        Ok(Self {
            grid,
            scenarios,
            options,
            solver,
            answers: Vec::new(),
        })
    }

    /// Each scenario made, solved from a flat start with everything that follows, and undone. As
    /// the peer does, the answers take the place of those before them.
    fn solve(&mut self) -> Result<&[Answer]> {
        for (k, scenario) in self.scenarios.iter_mut().enumerate() {
            self.grid.exchange(scenario)?;
            if self.answers.len() == k {
                self.answers.push(self.solver.empty_answer());
            }
            let answer = &mut self.answers[k];
            let solved = self.solver.solve(&self.grid, &self.options, answer);
            self.grid.exchange(scenario)?;
            solved.map_err(|e| anyhow!(e))?;
        }
        Ok(&self.answers)
    }
}

impl Solver {
    fn empty_answer(&self) -> Answer {
        match self {
            Self::Symmetric(..) => Answer::Symmetric(Box::default()),
            Self::ByPhase(..) => Answer::ByPhase(Box::default()),
        }
    }

    fn solve(
        &mut self,
        grid: &Grid,
        options: &Options,
        answer: &mut Answer,
    ) -> Result<(), PowerFlowError> {
        match (self, answer) {
            (Self::Symmetric(solver, solution), Answer::Symmetric(output)) => {
                solver.run_into(grid, &[], None, options, solution)?;
                output.refresh(grid, solution);
            }
            (Self::ByPhase(solver, solution), Answer::ByPhase(output)) => {
                solver.run_into(grid, None, options, solution)?;
                output.refresh(grid, solver.phases(), solution);
            }
            _ => unreachable!("a solver's answers are of its own kind"),
        }
        Ok(())
    }
}

impl Answer {
    /// Of each node, each phase: magnitude, pu, and angle, rad.
    fn voltages(&self) -> Vec<f64> {
        match self {
            Self::Symmetric(output) => {
                let nodes = output.node.iter();
                nodes.flat_map(|n| [n.u_pu, n.u_angle]).collect()
            }
            Self::ByPhase(output) => {
                let nodes = output.node.iter();
                nodes
                    .flat_map(|n| [0, 1, 2].map(|p| [n.u_pu[p], n.u_angle[p]]))
                    .flatten()
                    .collect()
            }
        }
    }
}
