//! Power flow against power-grid-model, live (`tests/peers/pgm_peer.py`): random networks of every
//! component, each as it is and changed by a batch, symmetric and by phase, by every method.
//!
//! `BUSBAR_SEED` starts elsewhere than at 1. A network with a difference is left in the target
//! directory, its seed is printed.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use busbar_tests::{
    differential::Differential,
    grids::{Random, numbers, scenarios},
    peer::Peer,
};
use serde_json::{Value, json};
use solver::{
    network::{Grid, pgm_json},
    powerflow::{AsymOutput, AsymPowerFlow, Method, Options, PowerFlow, PowerFlowError, SymOutput},
};

/// Networks of a run, half of them symmetric and half by phase.
const NETWORKS: u64 = 300;
/// Scenarios of each, the first without changes.
const SCENARIOS: usize = 3;
/// Furthest apart that two voltages may be, pu.
const VOLTAGE: f64 = 1e-8;
/// Furthest apart that powers and currents may be, relative to the largest of their table.
const RELATIVE: f64 = 1e-6;
/// The same where there are links: what they and their neighbours carry comes from differences of
/// voltages that agree in twelve digits.
const RELATIVE_WITH_LINKS: f64 = 1e-3;

/// Voltages of a network that somebody runs, pu. Beyond them, constant powers have several solutions
/// or none at all, and which one is found is chance.
const RUNNABLE: std::ops::RangeInclusive<f64> = 0.7..=1.3;
/// Far below what is compared.
const TOLERANCE: f64 = 1e-11;
/// Its links round so coarsely that its steps come to rest no lower in many a network.
const PEER_TOLERANCE: f64 = 1e-10;

/// One network as both sides get it.
struct Question {
    by_phase: bool,
    input: String,
    update: String,
}

impl Question {
    fn of_seed(seed: u64) -> Self {
        let by_phase = seed.is_multiple_of(2);
        let random = Random {
            by_phase,
            zones: 5,
            nodes: 12,
            sources_apart: false,
        };
        let input = random.input(seed);
        let update = scenarios(&input, SCENARIOS, seed);
        Self {
            by_phase,
            input: input.input(),
            update,
        }
    }

    /// Whether power-grid-model finds another answer when the components come in another order.
    fn depends_on_order(&self, peer: &mut Peer, expected: &Value) -> Result<bool> {
        let mut input: Value = serde_json::from_str(&self.input)?;
        for rows in input["data"]
            .as_object_mut()
            .into_iter()
            .flat_map(|d| d.values_mut())
        {
            rows.as_array_mut().context("rows")?.reverse();
        }
        let reversed = Self {
            by_phase: self.by_phase,
            input: input.to_string(),
            update: self.update.clone(),
        };
        let mut answer = reversed.ask(peer, "newton_raphson")?;
        let scenarios = answer["output"].as_array_mut().into_iter().flatten();
        let mut furthest: f64 = 0.0;
        for (found, expected) in scenarios.zip(expected["output"].as_array().into_iter().flatten())
        {
            let found = found["node"].as_array_mut().into_iter().flatten().rev();
            for (found, expected) in found.zip(expected["node"].as_array().into_iter().flatten()) {
                furthest = furthest.max(apart(found, expected)?);
            }
        }
        Ok(furthest > VOLTAGE / 10.0)
    }

    fn ask(&self, peer: &mut Peer, method: &str) -> Result<Value> {
        peer.ask(&json!({
            "calculation": "power_flow", "symmetric": !self.by_phase, "method": method,
            "tolerance": PEER_TOLERANCE, "input": self.input, "update": self.update,
        }))
    }

    /// Our own output of each scenario.
    fn solve(&self, method: Method) -> Result<Vec<Result<Value, PowerFlowError>>> {
        let network = pgm_json::read(&self.input)?;
        let batch = pgm_json::read_update(&self.update, &network)?;
        let mut grid = Grid::new(&network)?;
        let mut symmetric = PowerFlow::new(&grid);
        let mut asymmetric = if self.by_phase {
            Some(AsymPowerFlow::new(&grid)?)
        } else {
            None
        };
        let options = Options {
            method,
            tolerance: TOLERANCE,
            max_iterations: 300,
        };
        let mut outputs = Vec::new();
        for mut scenario in batch {
            grid.exchange(&mut scenario)?;
            let output = match &mut asymmetric {
                Some(solver) => solver.run(&grid, None, &options).map(|solution| {
                    serde_json::to_value(AsymOutput::new(&grid, solver.phases(), &solution))
                }),
                None => symmetric
                    .run(&grid, &[], None, &options)
                    .map(|solution| serde_json::to_value(SymOutput::new(&grid, &solution))),
            };
            outputs.push(match output {
                Ok(output) => Ok(output?),
                Err(error) => Err(error),
            });
            grid.exchange(&mut scenario)?;
        }
        Ok(outputs)
    }
}

/// What became of the scenarios of a run.
#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    values: usize,
    unsolved_by_peer: usize,
    unsolved_by_both: usize,
    extreme: usize,
    inexact_peer: usize,
    refused_by_peer: BTreeMap<String, usize>,
    largest: f64,
}

#[test]
fn random_networks_as_power_grid_model_solves_them() -> Result<()> {
    let mut peer = Peer::start()?;
    let mut tally = Tally::default();
    let mut differential = Differential::new("pgm", env!("CARGO_TARGET_TMPDIR"));
    for seed in Differential::seeds(NETWORKS)? {
        let question = Question::of_seed(seed);
        if let Err(error) = compare(&question, &mut peer, &mut tally) {
            let expected = question.ask(&mut peer, "newton_raphson")?;
            if question.depends_on_order(&mut peer, &expected)? {
                tally.inexact_peer += 1;
                continue;
            }
            differential.note(seed, &question.input, &question.update, &error)?;
        }
    }
    println!("{tally:?}");
    differential.finish()?;
    // Networks that nobody can solve, or the peer itself not well enough, would prove nothing.
    let networks = NETWORKS as usize;
    ensure!(tally.compared >= 2 * networks, "{tally:?}");
    ensure!(tally.inexact_peer <= networks / 50, "{tally:?}");
    Ok(())
}

fn compare(question: &Question, peer: &mut Peer, tally: &mut Tally) -> Result<()> {
    let expected = question.ask(peer, "newton_raphson")?;
    if let Some(error) = expected["error"].as_str() {
        let what = error.lines().next().unwrap_or_default();
        let what: String = what.chars().filter(|c| !c.is_ascii_digit()).collect();
        *tally.refused_by_peer.entry(what).or_default() += 1;
        return Ok(());
    }
    let methods = [Method::Newton, Method::Current];
    // Current injection must converge where power-grid-model's does, which takes a voltage that is
    // not a number for converged.
    let current = question.ask(peer, "iterative_current")?;
    let relative = if question.input.contains("\"link\"") {
        RELATIVE_WITH_LINKS
    } else {
        RELATIVE
    };
    for method in methods {
        let found = question.solve(method)?;
        for (k, found) in found.iter().enumerate() {
            let scenario = k.to_string();
            let peer_failed = !expected["failed"][&scenario].is_null();
            let excused = method == Method::Current
                && !(current["failed"][&scenario].is_null() && runnable(&current["output"][k]));
            if !peer_failed && !runnable(&expected["output"][k]) {
                tally.extreme += 1;
                continue;
            }
            match found {
                Err(_) if peer_failed || excused => tally.unsolved_by_both += 1,
                Err(error) => bail!("scenario {k}, {method:?}: {error}"),
                Ok(_) if peer_failed => tally.unsolved_by_peer += 1,
                Ok(found) => {
                    let apart = Tables {
                        found,
                        relative,
                        tally: &mut *tally,
                    };
                    apart
                        .compare(&expected["output"][k])
                        .map_err(|e| anyhow!("scenario {k}, {method:?}: {e:#}"))?;
                    tally.compared += 1;
                }
            }
        }
    }
    Ok(())
}

/// Compares output data sets.
struct Tables<'a> {
    found: &'a Value,
    relative: f64,
    tally: &'a mut Tally,
}

impl Tables<'_> {
    fn compare(mut self, expected: &Value) -> Result<()> {
        let tables = expected.as_object().context("an output has tables")?;
        for (component, rows) in tables {
            let rows = rows.as_array().context("a table has rows")?;
            let own = self.found[component]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            ensure!(own.len() == rows.len(), "{component}: {} rows", own.len());
            for (own, expected) in own.iter().zip(rows) {
                let place = || format!("{component} {}", expected["id"]);
                ensure!(own["id"] == expected["id"], "{}: not in order", place());
                if component == "node" {
                    self.voltages(own, expected).with_context(place)?;
                }
            }
            self.others(component, own, rows)?;
        }
        Ok(())
    }

    fn voltages(&mut self, own: &Value, expected: &Value) -> Result<()> {
        let apart = apart(own, expected)?;
        self.tally.largest = self.tally.largest.max(apart);
        self.tally.values += 1;
        ensure!(
            apart <= VOLTAGE,
            "{apart:.1e} pu apart: {own}, expected {expected}"
        );
        Ok(())
    }

    /// Powers, currents, loadings and states.
    fn others(&mut self, component: &str, own: &[Value], expected: &[Value]) -> Result<()> {
        let largest = |is_one: fn(&str) -> bool| {
            let rows = expected.iter().filter_map(Value::as_object).flatten();
            rows.filter(|(name, _)| is_one(name.as_str()))
                .flat_map(|(_, value)| numbers(value))
                .fold(1.0, |a: f64, b| a.max(b.abs()))
        };
        let is_current = |name: &str| name == "i" || name.starts_with("i_");
        let floor = if component == "link" { 100.0 } else { 1.0 };
        let power = largest(|name| name.starts_with(['p', 'q', 's'])).max(floor);
        let (current, loading) = (largest(is_current), largest(|name| name.starts_with('l')));
        for (own, expected) in own.iter().zip(expected) {
            for (name, value) in expected.as_object().into_iter().flatten() {
                let scale = match name.as_str() {
                    "id" | "energized" => 0.0,
                    // Angles of nothing; voltages are compared as phasors.
                    "pf" | "u_pu" | "u" | "u_angle" => continue,
                    "loading" | "loading_1" | "loading_2" | "loading_3" => loading,
                    name if is_current(name) => current,
                    _ => power,
                };
                let bound = self.relative * scale;
                let (a, b) = (numbers(&own[name]), numbers(value));
                let same =
                    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= bound);
                self.tally.values += b.len();
                ensure!(
                    same,
                    "{component} {}, {name}: {}, expected {value}",
                    own["id"],
                    own[name]
                );
            }
        }
        Ok(())
    }
}

/// Distance of two nodes' voltages, pu, that of the phases farthest apart.
fn apart(own: &Value, expected: &Value) -> Result<f64> {
    let [u, v] = [own, expected].map(|row| numbers(&row["u_pu"]));
    let [a, b] = [own, expected].map(|row| numbers(&row["u_angle"]));
    let same = u.len() == v.len() && a.len() == b.len() && u.len() == a.len();
    ensure!(same, "{own}, expected {expected}");
    let distance = |p: usize| {
        let across = 2.0 * (u[p] * v[p]).abs().sqrt() * ((a[p] - b[p]) / 2.0).sin();
        (u[p] - v[p]).hypot(across)
    };
    Ok((0..u.len()).map(distance).fold(0.0, f64::max))
}

/// All energised nodes have usual voltages.
fn runnable(output: &Value) -> bool {
    let mut nodes = output["node"].as_array().into_iter().flatten();
    nodes.all(|n| {
        let u = numbers(&n["u_pu"]);
        n["energized"] == 0 || !u.is_empty() && u.iter().all(|u| RUNNABLE.contains(u))
    })
}
