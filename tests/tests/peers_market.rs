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
        Capability, Direction, Kind, Order, OrderId, PPM, Price, Step, Storage, Terms, Unit,
        Window,
        clearing::{
            Case, CaseFile, Clearing, Controls, Interface, Limit, LimitSet, Names, NodePower,
            Options, Status, clear, clear_horizon,
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
            scheduled: None,
            u_pu: None,
        }],
        controls: Controls::default(),
        by_phase: None,
        voltages: Vec::new(),
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

/// Horizons compared.
const HORIZONS: u64 = 60;

/// Stores, windows and orders at one node next to an ideal source, and the same as the peer takes it.
fn horizon(seed: u64) -> (Vec<Case>, Value) {
    let mut rng = StdRng::seed_from_u64(seed);
    let count = rng.random_range(2..25);
    let duration_s = [300, 900, 3600][rng.random_range(0..3)];
    let hours = f64::from(duration_s) / 3600.0;
    let price = |per_mwh: f64| Price((per_mwh * 1e6).round() as i64);
    let mut cases = Vec::new();
    let mut asked = json!({"hours": vec![hours; count], "load": [], "import": [], "export": [],
        "orders": [], "stores": [], "windows": []});
    let mut add = |table: &str, value: Value| {
        if let Some(rows) = asked[table].as_array_mut() {
            rows.push(value);
        }
    };
    let mut number = 0;
    let mut order = |unit: Id, interval: usize, direction, steps, kind| {
        number += 1;
        Order {
            id: OrderId(number),
            client_id: number.to_string(),
            participant: "p".to_owned(),
            unit,
            interval: interval as i64 * i64::from(duration_s),
            direction,
            steps,
            terms: Terms {
                kind,
                ..Terms::default()
            },
        }
    };
    let step = |mw: f64, per_mwh: f64| {
        vec![Step {
            quantity_w: (mw * 1e6).round() as i64,
            price: price(per_mwh),
        }]
    };
    let round = |x: f64| (x * 1e3).round() / 1e3;
    let able: Vec<f64> = (0..6).map(|_| round(rng.random_range(0.1..3.0))).collect();
    for t in 0..count {
        let (load, import) = (
            round(rng.random_range(0.0..4.0)),
            round(rng.random_range(10.0..120.0)),
        );
        let export = round(import * rng.random_range(0.3..1.0));
        add("load", json!(load));
        add("import", json!(import));
        add("export", json!(export));
        let units = able.iter().zip(500..).map(|(&mw, id)| Unit {
            id,
            participant: "p".to_owned(),
            node: 1,
            capability: Capability {
                p_min_w: -1e6 * mw,
                p_max_w: 1e6 * mw,
                q_max_var: 0.0,
                s_max_va: None,
            },
            dispatchable: true,
        });
        let mut orders = Vec::new();
        for (unit, direction, sign) in [(500, Direction::Sell, 1.0), (501, Direction::Buy, -1.0)] {
            let (mw, limit) = (
                able[unit as usize - 500],
                round(rng.random_range(10.0..120.0)),
            );
            add(
                "orders",
                json!({"interval": t, "sign": sign, "power": mw, "price": limit}),
            );
            orders.push(order(unit, t, direction, step(mw, limit), Kind::Energy));
        }
        cases.push(Case {
            duration_s,
            fixed: vec![NodePower {
                node: 1,
                p_w: -1e6 * load,
                q_var: 0.0,
                owner: None,
            }],
            units: units.collect(),
            orders,
            limits: LimitSet {
                u_min_pu: 0.5,
                u_max_pu: 1.5,
                nodes: Vec::new(),
                branches: Vec::new(),
            },
            interface: vec![Interface {
                source: 1000,
                import_price: price(import),
                export_price: price(export),
                import_max_w: None,
                export_max_w: None,
                scheduled: None,
                u_pu: None,
            }],
            controls: Controls::default(),
            by_phase: None,
            voltages: Vec::new(),
            start: None,
        });
    }
    for unit in [502, 503] {
        let mw = able[unit as usize - 500];
        let most = round(mw * hours * rng.random_range(0.5..6.0));
        let (least, energy) = (round(0.2 * most), round(most * rng.random_range(0.2..1.0)));
        let (charge, discharge) = (
            rng.random_range(800_000..=PPM),
            rng.random_range(800_000..=PPM),
        );
        let (wear, end_value) = (
            round(rng.random_range(0.0..10.0)),
            round(rng.random_range(0.0..80.0)),
        );
        add(
            "stores",
            json!({"take": mw, "give": mw, "energy": energy.max(least), "energy_min": least, "energy_max": most,
            "charge": f64::from(charge) / 1e6, "discharge": f64::from(discharge) / 1e6, "wear": wear, "end_value": end_value}),
        );
        let wh = |mwh: f64| (mwh * 1e6).round() as i64;
        let of = Storage {
            energy_wh: wh(energy.max(least)),
            energy_min_wh: wh(least),
            energy_max_wh: wh(most),
            charge_ppm: charge,
            discharge_ppm: discharge,
            wear: price(wear),
            end_value: price(end_value),
        };
        cases[0].orders.push(order(
            unit,
            0,
            Direction::Sell,
            Vec::new(),
            Kind::Storage(of),
        ));
    }
    for (unit, direction, sign) in [(504, Direction::Buy, -1.0), (505, Direction::Sell, 1.0)] {
        let mw = able[unit as usize - 500];
        let first = rng.random_range(0..count);
        let last = rng.random_range(first..count);
        let (limit, energy) = (
            round(rng.random_range(10.0..120.0)),
            round(mw * hours * rng.random_range(0.3..4.0)).max(0.001),
        );
        add(
            "windows",
            json!({"first": first, "last": last, "sign": sign, "power": mw, "price": limit, "energy": energy}),
        );
        let end = (last as i64 + 1) * i64::from(duration_s);
        let of = Window {
            end,
            energy_wh: (energy * 1e6).round() as i64,
        };
        let of = order(unit, first, direction, step(mw, limit), Kind::Window(of));
        cases[first].orders.push(of);
    }
    (cases, asked)
}

/// Where the network neither loses nor limits anything, the horizon's optimum is that of a plain linear
/// programme.
#[test]
fn a_horizon_without_limits_costs_what_highs_says() -> Result<()> {
    let mut peer = Peer::running("market_peer.py")?;
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 0, "u_rated": 20e3}, {"id": 1, "u_rated": 20e3}],
        "line": [{"id": 10, "from_node": 0, "to_node": 1, "from_status": 1, "to_status": 1,
            "r1": 1e-5, "x1": 1e-4, "c1": 0.0, "tan1": 0.0}],
        "source": [{"id": 1000, "node": 0, "status": 1, "u_ref": 1.0, "sk": 1e15}],
    }});
    let grid = Grid::new(&pgm_json::read(&network.to_string())?)?;
    let (mut furthest, mut rounds): (f64, u32) = (0.0, 0);
    for seed in 1..=HORIZONS {
        let (cases, asked) = horizon(seed);
        let found = clear_horizon(&grid, &cases, &Options::default())?;
        let answer = peer.ask(&json!({"horizon": asked}))?;
        let expected = answer["cost"]
            .as_f64()
            .with_context(|| format!("seed {seed}: {answer}"))?;
        // Of all that is paid, either way.
        let hours = f64::from(cases[0].duration_s) / 3600.0;
        let turnover: f64 = found
            .intervals
            .iter()
            .map(|of| hours * of.cost_per_h.abs())
            .sum();
        let apart = (found.cost - expected).abs() / turnover.max(expected.abs());
        furthest = furthest.max(apart);
        rounds = rounds.max(found.rounds);
        ensure!(
            apart < 1e-5,
            "seed {seed}: {} against {expected}, {apart:e}",
            found.cost
        );
    }
    println!("{HORIZONS} horizons, furthest cost {furthest:.1e} of turnover, most rounds {rounds}");
    Ok(())
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
        let network = serde_json::to_string(&file.network.as_ref().context("it is inside")?)?;
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
