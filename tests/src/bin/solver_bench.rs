//! Busbar's side of `cargo xtask bench solver`: loads what it is told on standard input, one JSON
//! object a line, solves it, and answers with the time its own thread was on the processor.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, bail};
use busbar_tests::grids::{
    self, Course, Data, Fictional, Meters, load_scenarios, objective, readings,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use solver::{
    estimation::{
        Asym, AsymEstimator, EstimationError, Estimator, EstimatorOf, Form,
        Options as EstimationOptions, Readings, Start, Sym, TrackerOf,
    },
    network::{Grid, Scenario, pgm_json},
    powerflow::{
        AsymOutput, AsymPowerFlow, AsymSolution, Method, Options, PowerFlow, Solution, SymOutput,
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

/// Scenarios of an estimation that are judged.
const JUDGED: usize = 2;

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
        "answer" => answer(command, named(command, cases)?),
        "judge" => judge(command, named(command, cases)?),
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

/// Voltages of a power flow, or outputs of an estimation, to a file.
fn answer(command: &Value, case: &mut Case) -> Result<Value> {
    let estimates = !case.metered.is_empty();
    let answers = case.solve()?;
    let bytes = if estimates {
        let judged = answers.iter().take(JUDGED).map(Answer::output);
        let outputs: Vec<Value> = judged.collect::<Result<_>>()?;
        json!({ "data": outputs }).to_string().into_bytes()
    } else {
        let voltages = answers.iter().flat_map(Answer::voltages);
        voltages.flat_map(f64::to_le_bytes).collect()
    };
    fs::write(word(command, "file")?, bytes)?;
    Ok(json!({"scenarios": answers.len()}))
}

/// The objective of anybody's estimates.
fn judge(command: &Value, case: &Case) -> Result<Value> {
    let data = Data::read(&read(command, "input")?)?;
    let outputs: Value = serde_json::from_str(&read(command, "file")?)?;
    let outputs = outputs["data"].as_array().context("no output")?;
    let objectives: Vec<f64> = (outputs.iter().zip(&case.metered))
        .map(|(output, read)| objective(&data, read, output))
        .collect();
    Ok(json!({"objectives": objectives}))
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
    let (mut input, nodes) = if command["feeder"] == true {
        grids::feeder(nodes, seed)
    } else {
        let input = Fictional::of_size(nodes, meshed).input(seed);
        let nodes = input.rows("node").len();
        (input, nodes)
    };
    let scenarios = number(command, "scenarios")? as usize;
    let course = if command["walk"] == true {
        Course::Walk
    } else {
        Course::Redrawn
    };
    let mut update = load_scenarios(&input, scenarios, seed, course);
    if command["meters"] == true {
        update = add_meters(&mut input, &update, seed, command["asymmetric"] == true)?;
    }
    fs::write(word(command, "input")?, input.input())?;
    fs::write(word(command, "update")?, update)?;
    Ok(json!({ "nodes": nodes }))
}

/// Meters, with what they read around the power flows of the scenarios; as many as a distribution
/// system operator with a meter at every connection has: voltages at all nodes, symmetric ones
/// also flows at a tenth of the ends of branches. With flows by phase power-grid-model's Newton-Raphson
/// finds its matrix singular in many scenarios, and there would be nothing to compare with.
fn add_meters(input: &mut Data, update: &str, seed: u64, by_phase: bool) -> Result<String> {
    let network = pgm_json::read(&input.input())?;
    let grid = Grid::new(&network)?;
    let mut flows = Case {
        solver: Solver::of_flow(&grid, by_phase, "newton", 1e-10)?,
        grid,
        scenarios: pgm_json::read_update(update, &network)?,
        answers: Vec::new(),
        metered: Vec::new(),
    };
    let outputs = flows.solve()?.iter().map(Answer::output);
    let outputs: Vec<Value> = outputs.collect::<Result<_>>()?;
    let meters = Meters {
        by_phase,
        voltages: 1.0,
        flows: if by_phase { 0.0 } else { 0.1 },
        injections: 0.0,
        currents: 0.0,
        // Else both take the angles between the sources' phases for more or less exact.
        angle: by_phase,
    };
    meters.add(input, outputs.first().context("no scenario")?, seed);
    Ok(readings(input, &outputs, seed))
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
    solver: Solver,
    /// Of each scenario, as far as they have been solved; written anew by each run.
    answers: Vec<Answer>,
    /// Of an estimation: what the meters read in each scenario, by which it is judged.
    metered: Vec<Value>,
}

enum Solver {
    Symmetric(Box<PowerFlow>, Options, Solution),
    ByPhase(Box<AsymPowerFlow>, Options, AsymSolution),
    /// By phase, and nothing that follows from the voltages.
    Voltages(Box<AsymPowerFlow>, Options),
    SymmetricTracker(Box<Tracking<Sym, 1, 4>>),
    TrackerByPhase(Box<Tracking<Asym, 3, 12>>),
}

/// The same meters again and again.
struct Tracking<F: Form, const P: usize, const B: usize> {
    tracker: TrackerOf<F, P, B>,
    start: Start,
    readings: Readings,
}

/// Everything that is known after a solution, of one scenario.
enum Answer {
    Symmetric(Box<SymOutput>),
    ByPhase(Box<AsymOutput>),
    Voltages(AsymSolution),
}

impl Case {
    fn load(command: &Value) -> Result<Self> {
        let update = read(command, "update")?;
        let network = pgm_json::read(&read(command, "input")?)?;
        let mut scenarios = pgm_json::read_update(&update, &network)?;
        let mut grid = Grid::new(&network)?;
        let method = word(command, "method")?;
        let asymmetric = command["asymmetric"] == true;
        let tolerance = command["tolerance"].as_f64().context("no tolerance")?;
        let mut metered = Vec::new();
        let solver = if word(command, "calculation")? == "state_estimation" {
            let mut update: Value = serde_json::from_str(&update)?;
            metered = serde_json::from_value(update["data"].take())?;
            // A tracker is prepared for meters that read something.
            let first = scenarios.first_mut().context("no scenario")?;
            grid.exchange(first)?;
            let solver = Solver::of_estimation(&grid, asymmetric, method, tolerance)?;
            grid.exchange(first)?;
            solver
        } else {
            let solver = Solver::of_flow(&grid, asymmetric, method, tolerance)?;
            match solver {
                Solver::ByPhase(solver, options, _) if command["voltages_only"] == true => {
                    Solver::Voltages(solver, options)
                }
                solver => solver,
            }
        };
        Ok(Self {
            grid,
            scenarios,
            solver,
            answers: Vec::new(),
            metered,
        })
    }

    /// Each scenario made, solved with everything that follows, and undone. As the peer does, the
    /// answers take the place of those before them.
    fn solve(&mut self) -> Result<&[Answer]> {
        for (k, scenario) in self.scenarios.iter_mut().enumerate() {
            self.grid.exchange(scenario)?;
            if self.answers.len() == k {
                self.answers.push(self.solver.empty_answer());
            }
            let (before, now) = self.answers.split_at_mut(k);
            let solved = self.solver.solve(&self.grid, before.last(), &mut now[0]);
            self.grid.exchange(scenario)?;
            solved?;
        }
        Ok(&self.answers)
    }
}

impl<F: Form, const P: usize, const B: usize> Tracking<F, P, B> {
    fn new(
        estimator: EstimatorOf<F>,
        grid: &Grid,
        method: &str,
        tolerance: f64,
    ) -> Result<Box<Self>> {
        let readings = Readings::new::<F>(grid.network());
        let options = EstimationOptions {
            tolerance,
            ..EstimationOptions::default()
        };
        Ok(Box::new(Self {
            tracker: TrackerOf::new(estimator, grid, &readings, &options)?,
            start: match method {
                "flat" => Start::Flat,
                "tracking" => Start::Last,
                method => bail!("no method {method}"),
            },
            readings,
        }))
    }

    fn run(&mut self, grid: &Grid) -> Result<(), EstimationError> {
        self.readings.refresh::<F>(grid.network());
        self.tracker.run(grid, &self.readings, self.start)?;
        Ok(())
    }
}

impl Solver {
    fn of_flow(grid: &Grid, asymmetric: bool, method: &str, tolerance: f64) -> Result<Self> {
        let options = Options {
            method: match method {
                "newton" => Method::Newton,
                "current" => Method::Current,
                method => bail!("no method {method}"),
            },
            tolerance,
            max_iterations: 200,
        };
        Ok(if asymmetric {
            let solver = Box::new(AsymPowerFlow::new(grid)?);
            Self::ByPhase(solver, options, AsymSolution::default())
        } else {
            Self::Symmetric(Box::new(PowerFlow::new(grid)), options, Solution::default())
        })
    }

    fn of_estimation(grid: &Grid, asymmetric: bool, method: &str, tolerance: f64) -> Result<Self> {
        Ok(if asymmetric {
            let estimator = AsymEstimator::new(grid)?;
            Self::TrackerByPhase(Tracking::new(estimator, grid, method, tolerance)?)
        } else {
            let estimator = Estimator::new(grid);
            Self::SymmetricTracker(Tracking::new(estimator, grid, method, tolerance)?)
        })
    }

    fn empty_answer(&self) -> Answer {
        match self {
            Self::Symmetric(..) | Self::SymmetricTracker(_) => Answer::Symmetric(Box::default()),
            Self::ByPhase(..) | Self::TrackerByPhase(_) => Answer::ByPhase(Box::default()),
            Self::Voltages(..) => Answer::Voltages(AsymSolution::default()),
        }
    }

    fn solve(&mut self, grid: &Grid, last: Option<&Answer>, answer: &mut Answer) -> Result<()> {
        match (self, answer) {
            (Self::Symmetric(solver, options, solution), Answer::Symmetric(output)) => {
                solver.run_into(grid, &[], None, options, solution)?;
                output.refresh(grid, solution);
            }
            (Self::ByPhase(solver, options, solution), Answer::ByPhase(output)) => {
                solver.run_into(grid, None, options, solution)?;
                output.refresh(grid, solver.phases(), solution);
            }
            (Self::Voltages(solver, options), Answer::Voltages(solution)) => {
                // Where it ended last, as OpenDSS does.
                let start = match last {
                    Some(Answer::Voltages(last)) => Some(&last.u[..]),
                    _ => None,
                };
                solver.run_into(grid, start, options, solution)?;
            }
            (Self::SymmetricTracker(tracking), Answer::Symmetric(output)) => {
                tracking.run(grid)?;
                tracking.tracker.put_out(grid, output);
            }
            (Self::TrackerByPhase(tracking), Answer::ByPhase(output)) => {
                tracking.run(grid)?;
                tracking.tracker.put_out(grid, output);
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
            Self::Voltages(solution) => {
                // A phase that a node does not have is at none.
                let phases = solution.u.iter().flatten().filter(|u| u.norm_sqr() > 0.0);
                phases.flat_map(|u| [u.norm(), u.arg()]).collect()
            }
        }
    }

    fn output(&self) -> Result<Value> {
        Ok(match self {
            Self::Symmetric(output) => serde_json::to_value(output),
            Self::ByPhase(output) => serde_json::to_value(output),
            Self::Voltages(_) => bail!("only the voltages are known"),
        }?)
    }
}
