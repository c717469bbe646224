//! The market's clearing against pandapower's AC optimal power flow, live: random radial and weakly
//! meshed feeders on which voltages and currents bind. And the shipped examples and what comes of them
//! against the JSON Schemas, by a validator that is not ours.

#![expect(
    clippy::print_stdout,
    reason = "the distribution of the gaps is what it shows"
)]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use busbar_tests::{peer::Peer, stack::workspace};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use solver::{
    market::{
        Capability, Direction, Order, OrderId, Price, Step, Terms, Unit,
        clearing::{
            Case, CaseFile, Clearing, Controls, Interface, Limit, LimitSet, Names, NodePower,
            Options, ResultFile, Status, clear, explain, price_parts,
        },
    },
    network::{Grid, Id, pgm_json},
};

/// Feeders asked about; on some the peer does not converge.
const FEEDERS: u64 = 40;
/// As many have to be compared.
const COMPARED: usize = 30;
/// Relative difference of the objective.
const OBJECTIVE: f64 = 1e-4;
/// Relative difference of a price of active power, and that of reactive power against energy's.
const PRICE: f64 = 0.005;

/// A 20 kV feeder with more sun, or more load, than it carries.
fn feeder(seed: u64) -> (Value, Case) {
    let mut rng = StdRng::seed_from_u64(seed);
    let nodes: Id = rng.random_range(5..20);
    let mut lines = Vec::new();
    let mut line = |rng: &mut StdRng, from: Id, to: Id| {
        let km = rng.random_range(0.5..5.0);
        let id = 100 + lines.len();
        lines.push(json!({
            "id": id, "from_node": from, "to_node": to, "from_status": 1, "to_status": 1,
            "r1": 0.35 * km, "x1": 0.36 * km, "c1": 1e-8 * km, "tan1": 0.0,
            "i_n": rng.random_range(120.0..360.0),
        }));
    };
    for node in 1..nodes {
        let parent = rng.random_range((node - 3).max(0)..node);
        line(&mut rng, parent, node);
    }
    if seed.is_multiple_of(2) {
        line(&mut rng, nodes - 1, 1);
    }
    let rows: Vec<Value> = (0..nodes)
        .map(|id| json!({"id": id, "u_rated": 20e3}))
        .collect();
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": rows,
        "line": lines,
        // pandapower's external grid is ideal.
        "source": [{"id": 1000, "node": 0, "status": 1, "u_ref": rng.random_range(1.0..1.04), "sk": 1e15}],
    }});
    let mut fixed = Vec::new();
    for node in 1..nodes {
        let p_w = -rng.random_range(0.0..5e5);
        let (q_var, owner) = (0.3 * p_w, None);
        fixed.push(NodePower {
            node,
            p_w,
            q_var,
            owner,
        });
    }
    let price = Price(50_000_000);
    let mut case = Case {
        duration_s: 900,
        fixed,
        units: Vec::new(),
        orders: Vec::new(),
        limits: LimitSet {
            u_min_pu: 0.96,
            u_max_pu: 1.05,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        interface: vec![Interface {
            source: 1000,
            import_price: price,
            export_price: price,
            import_max_w: None,
            export_max_w: None,
        }],
        controls: Controls::default(),
        start: None,
    };
    for k in 0..rng.random_range(4..10) {
        let sells = rng.random_bool(if seed % 4 < 2 { 0.8 } else { 0.3 });
        let rated = f64::from(rng.random_range(5..60)) * 1e5;
        offer(
            &mut case,
            300 + k,
            rng.random_range(1..nodes),
            sells,
            rated,
            &mut rng,
        );
    }
    (network, case)
}

/// A unit with its order. Prices differ, so that the optimum is one.
fn offer(case: &mut Case, id: Id, node: Id, sells: bool, rated: f64, rng: &mut StdRng) {
    let (p_min_w, p_max_w) = if sells { (0.0, rated) } else { (-rated, 0.0) };
    case.units.push(Unit {
        id,
        participant: format!("p{id}"),
        node,
        capability: Capability {
            p_min_w,
            p_max_w,
            q_max_var: 0.3 * rated,
            s_max_va: None,
        },
        dispatchable: true,
    });
    let (direction, price) = if sells {
        (Direction::Sell, rng.random_range(5.0..48.0))
    } else {
        (Direction::Buy, rng.random_range(52.0..150.0))
    };
    case.orders.push(Order {
        id: OrderId(id as u64),
        client_id: id.to_string(),
        participant: format!("p{id}"),
        unit: id,
        interval: 0,
        direction,
        steps: vec![Step {
            quantity_w: rated as i64,
            price: Price((price * 1e6) as i64),
        }],
        terms: Terms::default(),
    });
}

/// How far apart two optima are.
#[derive(Debug)]
struct Apart {
    seed: u64,
    objective: f64,
    p: f64,
    q: f64,
}

fn compare(seed: u64, clearing: &Clearing, answer: &Value) -> Result<Apart> {
    let expected = answer["cost_per_h"].as_f64().context("a cost")?;
    let list = |name: &str| -> Result<Vec<f64>> {
        let values = answer[name].as_array().context("prices")?;
        values
            .iter()
            .map(|value| value.as_f64().context("a price"))
            .collect()
    };
    let (lam_p, lam_q) = (list("p_per_mwh")?, list("q_per_mvarh")?);
    let mut apart = Apart {
        seed,
        objective: (clearing.cost_per_h - expected) / expected.abs(),
        p: 0.0,
        q: 0.0,
    };
    for ((price, p), q) in clearing.prices.iter().zip(lam_p).zip(lam_q) {
        // Next to nothing, half a percent of it is less than either solver's tolerance.
        apart.p = apart.p.max((price.p_per_mwh - p).abs() / p.abs().max(10.0));
        apart.q = apart
            .q
            .max((price.q_per_mvarh - q).abs() / q.abs().max(50.0));
    }
    Ok(apart)
}

#[test]
fn optima_and_prices_are_pandapowers() -> Result<()> {
    let mut peer = Peer::running("market_peer.py")?;
    let (mut found, mut unsolved) = (Vec::new(), Vec::new());
    let (mut voltages, mut currents) = (0, 0);
    for seed in 1..=FEEDERS {
        let (network, case) = feeder(seed);
        let grid = Grid::new(&pgm_json::read(&network.to_string())?)?;
        let clearing = clear(&grid, &case, &Options::default())?;
        let answer = peer.ask(&json!({"optimum": {"network": network, "case": &case}}))?;
        if let Some(why) = answer.get("not_converged") {
            unsolved.push((seed, why.to_string(), clearing.status));
            continue;
        }
        ensure!(
            clearing.status == Status::Optimal,
            "seed {seed}: {:?}",
            clearing.status
        );
        let check = &clearing.ac_check;
        ensure!(
            check.violation_u_pu < 1e-4 && check.violation_rating < 1e-3,
            "seed {seed}: {check:?}"
        );
        let binds = |voltage: bool| {
            let limits = clearing.binding.iter().map(|of| of.limit);
            limits
                .into_iter()
                .any(|limit| matches!(limit, Limit::UMax { .. } | Limit::UMin { .. }) == voltage)
        };
        voltages += usize::from(binds(true));
        currents += usize::from(binds(false));
        found.push(compare(seed, &clearing, &answer)?);
    }
    report(&mut found, &unsolved, voltages, currents);
    ensure!(
        found.len() >= COMPARED,
        "{} compared: {unsolved:?}",
        found.len()
    );
    ensure!(
        voltages >= 15 && currents >= 15,
        "too few bind: {voltages} voltages, {currents} currents"
    );
    for apart in &found {
        let seed = apart.seed;
        ensure!(apart.objective.abs() < OBJECTIVE, "seed {seed}: {apart:?}");
        ensure!(apart.p < PRICE && apart.q < PRICE, "seed {seed}: {apart:?}");
    }
    Ok(())
}

fn report(
    found: &mut [Apart],
    unsolved: &[(u64, String, Status)],
    voltages: usize,
    currents: usize,
) {
    let row = |name: &str, of: &dyn Fn(&Apart) -> f64| {
        let mut values: Vec<f64> = found.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            values
                .get(((values.len() - 1) as f64 * share) as usize)
                .copied()
                .unwrap_or_default()
        };
        println!(
            "{name:<28}{:>11.1e}{:>11.1e}{:>11.1e}{:>11.1e}",
            at(0.0),
            at(0.5),
            at(0.9),
            at(1.0)
        );
    };
    println!(
        "{} feeders compared, {} not solved by the peer",
        found.len(),
        unsolved.len()
    );
    println!("a voltage binds on {voltages}, a current on {currents}");
    println!(
        "{:<28}{:>11}{:>11}{:>11}{:>11}",
        "apart", "least", "median", "90 %", "most"
    );
    row("objective (ours above)", &|of| of.objective);
    row("price of active power", &|of| of.p);
    row("price of reactive power", &|of| of.q);
}

#[test]
fn examples_and_results_are_what_the_schemas_say() -> Result<()> {
    let mut peer = Peer::running("market_peer.py")?;
    let read = |path: &Path| -> Result<Value> {
        Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
    };
    let schema = |name: &str| read(&workspace().join("solver/schema").join(name));
    let (cases, results) = (schema("market-case.json")?, schema("market-result.json")?);
    let mut examples = 0;
    for entry in std::fs::read_dir(workspace().join("docs/examples/market"))? {
        let document = read(&entry?.path())?;
        let file: CaseFile = serde_json::from_value(document.clone())?;
        let said = peer.ask(&json!({"schema": cases, "document": document}))?;
        ensure!(said["problems"] == json!([]), "{said}");
        let network = serde_json::to_string(&file.network.context("it is inside")?)?;
        let grid = Grid::new(&pgm_json::read(&network)?)?;
        let units: Vec<Id> = file.case.units.iter().map(|of| of.id).collect();
        let result = file.clear(&grid, &units, &Names::default())?;
        let said = peer.ask(&json!({"schema": results, "document": &result}))?;
        ensure!(said["problems"] == json!([]), "{said}");
        // Whatever is not in the schema is refused by it, as it is by the program.
        let mut wrong = document;
        wrong["case"]["unit"] = json!(1);
        let said = peer.ask(&json!({"schema": cases, "document": wrong}))?;
        ensure!(said["problems"] != json!([]), "an unknown field passes");
        examples += 1;
    }
    ensure!(examples > 0, "no example");
    Ok(())
}
