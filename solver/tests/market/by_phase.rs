//! Clearing by phase: the lines, transformer and loads of the IEEE 13-node feeder below its regulators,
//! with single-phase sun behind which a phase voltage binds.

use std::{fs, path::Path};

use serde_json::{Value, json};
use solver::{
    market::{
        Capability, Direction, Order, OrderId, Price, Step, Terms, Unit,
        clearing::{
            ByPhase, Case, Clearing, ClearingError, Controls, Interface, Limit, LimitSet,
            NodePower, Options, PhaseName, PhasePower, Status, UnitPhase, clear,
        },
    },
    network::{Grid, Id, pgm_json},
    powerflow::{AsymOutput, AsymPowerFlow, Options as FlowOptions},
};

use PhaseName::{A, B, C};

mod contracts;
mod controls;
mod horizon;

const U_MAX: f64 = 1.05;
const U_MIN: f64 = 0.95;
/// Share of the feeder's load at noon.
const LOAD: f64 = 0.3;
const SOURCE: Id = 17;
const IMPORT: f64 = 50.0;
const EXPORT: f64 = 15.0;

/// Unit, node, phase (none: all three), W, per MWh.
const SUN: [(Id, Id, Option<PhaseName>, i64, f64); 8] = [
    (501, 13, Some(C), 400_000, 10.0),
    (502, 14, Some(A), 250_000, 11.0),
    (503, 11, Some(A), 150_000, 12.0),
    (504, 11, Some(B), 450_000, 13.0),
    (505, 11, Some(C), 250_000, 14.0),
    (506, 9, Some(B), 400_000, 12.5),
    (507, 16, None, 300_000, 16.0),
    (508, 6, None, 500_000, 18.0),
];

/// Where there is one: unit, node, phase.
const STORES: [(Id, Id, PhaseName); 3] = [(601, 11, A), (602, 11, B), (603, 11, C)];

/// Tables of the feeder without appliances, its switch 671-692 included: 0.1 microohm.
fn feeder() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ieee/13/input.json");
    let mut input: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let data = input["data"].as_object_mut().unwrap();
    for table in ["step_voltage_regulator", "sym_load", "asym_load"] {
        data.remove(table);
    }
    let without = |table: &Value, ids: &[i64]| -> Value {
        let rows = table.as_array().unwrap().iter();
        rows.filter(|row| !ids.contains(&row["id"].as_i64().unwrap()))
            .cloned()
            .collect()
    };
    data["node"] = without(&data["node"], &[1, 15]);
    data["transformer"] = without(&data["transformer"], &[31]);
    data["shunt"] = without(&data["shunt"], &[30]);
    data["source"] = json!([{"id": SOURCE, "node": 2, "status": 1, "u_ref": 1.03, "sk": 2e8,
        "rx_ratio": 0.25, "z01_ratio": 1.0}]);
    input
}

/// The same with so many metres of the line to 675 in place of the switch.
fn with_line_for_switch(metres: f64) -> Value {
    let mut input = feeder();
    let lines = input["data"]["asym_line"].as_array_mut().unwrap();
    let line = lines.iter().find(|row| row["id"] == 25).unwrap().clone();
    let switch = lines.iter_mut().find(|row| row["id"] == 29).unwrap();
    for (name, value) in line.as_object().unwrap() {
        if ["r_", "x_", "c_"].iter().any(|kind| name.starts_with(kind)) {
            // Which is 500 ft.
            switch[name] = json!(value.as_f64().unwrap() * metres / 152.4);
        }
    }
    input
}

fn grid(input: &Value) -> Grid {
    Grid::new(&pgm_json::read(&input.to_string()).unwrap()).unwrap()
}

/// The feeder's loads at noon, constant power to ground: node, phase, W, var.
fn loads() -> Vec<PhasePower> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ieee/13/input.json");
    let input: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut loads = Vec::new();
    let mut add = |node: &Value, phase: usize, p: f64, q: f64| {
        loads.push(PhasePower {
            node: node.as_i64().unwrap() as Id,
            phase: PhaseName::ALL[phase],
            p_w: -LOAD * p,
            q_var: -LOAD * q,
            unit: None,
        });
    };
    for row in input["data"]["asym_load"].as_array().unwrap() {
        let power = |name: &str, p: usize| row[name][p].as_f64().unwrap();
        for p in 0..3 {
            let (active, reactive) = (power("p_specified", p), power("q_specified", p));
            if row["connection"] == "delta" {
                // A leg's power, half to each of its phases.
                add(&row["node"], p, 0.5 * active, 0.5 * reactive);
                add(&row["node"], (p + 1) % 3, 0.5 * active, 0.5 * reactive);
            } else {
                add(&row["node"], p, active, reactive);
            }
        }
    }
    for row in input["data"]["sym_load"].as_array().unwrap() {
        for p in 0..3 {
            let third = |name: &str| row[name].as_f64().unwrap() / 3.0;
            add(&row["node"], p, third("p_specified"), third("q_specified"));
        }
    }
    loads.retain(|of| of.p_w != 0.0);
    loads
}

fn price(per_mwh: f64) -> Price {
    Price((per_mwh * 1e6).round() as i64)
}

fn case() -> Case {
    let unit = |&(id, node, _, w, _): &(Id, Id, Option<PhaseName>, i64, f64)| Unit {
        id,
        participant: "sun".to_owned(),
        node,
        capability: Capability {
            p_min_w: 0.0,
            p_max_w: w as f64,
            q_max_var: 0.1 * w as f64,
            s_max_va: None,
        },
        dispatchable: true,
    };
    let order =
        |&(unit, _, _, quantity_w, per_mwh): &(Id, Id, Option<PhaseName>, i64, f64)| Order {
            id: OrderId(unit as u64),
            client_id: unit.to_string(),
            participant: "sun".to_owned(),
            unit,
            interval: 0,
            direction: Direction::Sell,
            steps: vec![Step {
                quantity_w,
                price: price(per_mwh),
            }],
            terms: Terms::default(),
        };
    let tied = SUN.iter().filter_map(|&(unit, _, phase, ..)| {
        let phase = phase?;
        Some(UnitPhase { unit, phase })
    });
    Case {
        duration_s: 900,
        fixed: Vec::new(),
        units: SUN.iter().map(unit).collect(),
        orders: SUN.iter().map(order).collect(),
        limits: LimitSet {
            u_min_pu: U_MIN,
            u_max_pu: U_MAX,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        interface: vec![Interface {
            source: SOURCE,
            import_price: price(IMPORT),
            export_price: price(EXPORT),
            import_max_w: None,
            export_max_w: None,
            scheduled: None,
            u_pu: None,
        }],
        controls: Controls::default(),
        voltages: Vec::new(),
        by_phase: Some(ByPhase {
            units: tied.collect(),
            fixed: loads(),
            limits: Vec::new(),
        }),
        start: None,
    }
}

/// Voltages of live phases, and the power taken from above, W, of awards in a power flow by phase of a
/// network in which they are loads and generators of its own.
fn flow(awards: &[(Id, f64, f64)]) -> (Vec<(Id, usize, f64)>, f64) {
    let (grid, output, import) = solved(awards);
    let nodes = output.node.iter().zip(&grid.node_id);
    let u = nodes.flat_map(|(row, &node)| (0..3).map(move |p| (node, p, row.u_pu[p])));
    (u.filter(|of| of.2.is_finite()).collect(), import)
}

/// Current of each conductor of a line in it, A, the greater of its ends'.
fn currents(awards: &[(Id, f64, f64)], line: Id) -> [f64; 3] {
    let (grid, output, _) = solved(awards);
    let lines = &grid.network().asym_line;
    let of = &output.asym_line[lines.iter().position(|of| of.id == line).unwrap()];
    [0, 1, 2].map(|p| of.i_from[p].max(of.i_to[p]))
}

fn solved(awards: &[(Id, f64, f64)]) -> (Grid, AsymOutput, f64) {
    solved_on(feeder(), awards)
}

fn solved_on(mut input: Value, awards: &[(Id, f64, f64)]) -> (Grid, AsymOutput, f64) {
    let mut rows = Vec::new();
    let mut add = |node: Id, phases: &[PhaseName], p: f64, q: f64| {
        let each = |x: f64| {
            let share = x / phases.len() as f64;
            PhaseName::ALL.map(|phase| if phases.contains(&phase) { share } else { 0.0 })
        };
        rows.push(
            json!({"id": 1000 + rows.len(), "node": node, "status": 1, "type": 0,
            "p_specified": each(p), "q_specified": each(q)}),
        );
    };
    for of in loads() {
        add(of.node, &[of.phase], of.p_w, of.q_var);
    }
    for &(unit, p, q) in awards {
        let (node, phase) = match STORES.iter().find(|of| of.0 == unit) {
            Some(&(_, node, phase)) => (node, Some(phase)),
            None => {
                let &(_, node, phase, ..) = SUN.iter().find(|of| of.0 == unit).unwrap();
                (node, phase)
            }
        };
        match phase {
            Some(phase) => add(node, &[phase], p, q),
            None => add(node, &[A, B, C], p, q),
        }
    }
    input["data"]["asym_gen"] = json!(rows);
    let grid = grid(&input);
    let mut solver = AsymPowerFlow::new(&grid).unwrap();
    let solution = solver.run(&grid, None, &FlowOptions::default()).unwrap();
    let output = AsymOutput::new(&grid, solver.phases(), &solution);
    let import: f64 = solution.sources[0].iter().map(|s| s.re).sum();
    (grid, output, import / 3.0 * 1e6)
}

fn awards(clearing: &Clearing) -> Vec<(Id, f64, f64)> {
    let awards = clearing.awards.iter();
    awards.map(|of| (of.unit, of.p_w, of.q_var)).collect()
}

/// Cost per h of awards, by that power flow.
fn cost(awards: &[(Id, f64, f64)], import_w: f64) -> f64 {
    let sold = awards.iter().map(|&(unit, p, _)| {
        let of = SUN.iter().find(|of| of.0 == unit).unwrap();
        p * 1e-6 * of.4
    });
    let above = if import_w > 0.0 { IMPORT } else { EXPORT };
    sold.sum::<f64>() + import_w * 1e-6 * above
}

fn highest(u: &[(Id, usize, f64)]) -> (Id, usize, f64) {
    let mut all = u.iter().copied();
    let first = all.next().unwrap();
    all.fold(first, |most, of| if of.2 > most.2 { of } else { most })
}

#[test]
fn a_phase_voltage_binds_and_holds() {
    let clearing = clear(&grid(&feeder()), &case(), &Options::default()).unwrap();
    assert_eq!(clearing.status, Status::Optimal);
    let (u, import) = flow(&awards(&clearing));
    let most = highest(&u);
    assert!((most.2 - U_MAX).abs() < 1e-5, "{most:?}");
    let least = u.iter().map(|of| of.2).fold(2.0, f64::min);
    assert!(least > U_MIN, "{least}");
    let bound: Vec<_> = clearing
        .binding
        .iter()
        .map(|of| (of.limit, of.phase))
        .collect();
    let (node, phase) = (most.0, Some(PhaseName::ALL[most.1]));
    assert!(
        bound.contains(&(Limit::UMax { node }, phase)),
        "{bound:?} {most:?}"
    );
    assert!((clearing.exchange[0].p_w - import).abs() < 10.0, "{import}");
    assert!((clearing.cost_per_h - cost(&awards(&clearing), import)).abs() < 1e-3);
    assert!(
        clearing.ac_check.power_gap_w < 1.0,
        "{:?}",
        clearing.ac_check
    );
    assert!(
        clearing.ac_check.model_gap_w < 100.0,
        "{:?}",
        clearing.ac_check
    );
}

/// A switch has all but no impedance; what it costs is what is left of the cost as a line in its place gets
/// shorter, and so are the prices on either side of it.
#[test]
fn a_switch_is_a_line_without_length() {
    let cleared = |input: &Value| clear(&grid(input), &case(), &Options::default()).unwrap();
    let switch = cleared(&feeder());
    assert_eq!(switch.status, Status::Optimal);
    let [one, two] = [1.0, 2.0].map(|metres| cleared(&with_line_for_switch(metres)));
    let without = 2.0 * one.cost_per_h - two.cost_per_h;
    assert!(
        (switch.cost_per_h - without).abs() < 1e-5,
        "{} {without}",
        switch.cost_per_h
    );
    assert!((one.cost_per_h - switch.cost_per_h).abs() > 1e-5);
    let at = |node, phase| {
        let of = |p: &&solver::market::clearing::PhasePrice| (p.node, p.phase) == (node, phase);
        switch.phase_prices.iter().find(of).unwrap().p_per_mwh
    };
    for phase in PhaseName::ALL {
        assert!((at(5, phase) - at(10, phase)).abs() < 1e-3, "{phase:?}");
    }
}

/// A conductor's rating that binds: its current is at it, every other one's is below, and one more ampere is
/// worth what it saves.
#[test]
fn a_rating_of_a_phase_binds_and_is_priced() {
    // Of the line from 632 to 671, whose phase b carries the most.
    let (line, rated) = (20, 55.0);
    let case = || {
        let mut case = case();
        // Voltage would bind first.
        case.limits.u_max_pu = 1.2;
        case
    };
    let rated_at = |amperes: f64| {
        let mut input = feeder();
        let lines = input["data"]["asym_line"].as_array_mut().unwrap();
        lines.iter_mut().find(|row| row["id"] == line).unwrap()["i_n"] = json!(amperes);
        clear(&grid(&input), &case(), &Options::default()).unwrap()
    };
    let free = clear(&grid(&feeder()), &case(), &Options::default()).unwrap();
    let bound = rated_at(rated);
    assert_eq!(bound.status, Status::Optimal);
    let now = currents(&awards(&bound), line);
    let most = now.iter().copied().fold(0.0, f64::max);
    let before = currents(&awards(&free), line);
    println!(
        "{before:?} {now:?} {} {}",
        free.cost_per_h, bound.cost_per_h
    );
    assert!((most - rated).abs() < 0.01, "{now:?}");
    assert!(before.iter().any(|i| *i > rated + 1.0), "{before:?}");
    assert!(bound.cost_per_h > free.cost_per_h + 0.01);
    let is_own = |limit: Limit| matches!(limit, Limit::Current { branch, .. } if branch == line);
    let shadows: Vec<_> = bound.binding.iter().filter(|of| is_own(of.limit)).collect();
    assert!(!shadows.is_empty(), "{:?}", bound.binding);
    for of in &shadows {
        let phase = of.phase.unwrap() as usize;
        assert!((now[phase] - rated).abs() < 0.05, "{of:?} {now:?}");
    }
    let worth: f64 = shadows.iter().map(|of| of.shadow_price_per_h).sum();
    let saved = (rated_at(rated - 0.5).cost_per_h - rated_at(rated + 0.5).cost_per_h) / 1.0;
    assert!((worth - saved).abs() < 0.02 * saved, "{worth} {saved}");
}

/// A unit that is taken in part sets the price of its own phase, and phases have prices of their own.
#[test]
fn partly_taken_units_set_the_price_of_their_phase() {
    let clearing = clear(&grid(&feeder()), &case(), &Options::default()).unwrap();
    let mut set = 0;
    for (of, award) in SUN.iter().zip(&clearing.awards) {
        let share = award.p_w / of.3 as f64;
        let found = match of.2 {
            Some(phase) => {
                let at =
                    |p: &&solver::market::clearing::PhasePrice| (p.node, p.phase) == (of.1, phase);
                clearing.phase_prices.iter().find(at).unwrap().p_per_mwh
            }
            None => {
                clearing
                    .prices
                    .iter()
                    .find(|p| p.node == of.1)
                    .unwrap()
                    .p_per_mwh
            }
        };
        if share > 0.01 && share < 0.99 {
            set += 1;
            assert!((found - of.4).abs() < 0.01, "{of:?}: {found}");
        } else if share >= 0.99 {
            assert!(found > of.4 - 0.01, "{of:?}: {found}");
        } else {
            assert!(found < of.4 + 0.01, "{of:?}: {found}");
        }
    }
    assert!(set > 0, "{:?}", clearing.awards);
}

/// A little more load in one phase costs what the price of that phase says.
#[test]
fn phase_prices_are_what_a_little_more_load_costs() {
    let grid = grid(&feeder());
    let options = Options {
        tolerance: 1e-9,
        ..Options::default()
    };
    let base = clear(&grid, &case(), &options).unwrap();
    let mut apart = 0;
    for (node, phase) in [(11, A), (11, B), (11, C), (13, C), (14, A), (9, B), (5, A)] {
        let at = |w: f64, var: f64| {
            let mut case = case();
            let fixed = &mut case.by_phase.as_mut().unwrap().fixed;
            fixed.push(PhasePower {
                node,
                phase,
                p_w: -w,
                q_var: -var,
                unit: None,
            });
            clear(&grid, &case, &options).unwrap().cost_per_h
        };
        let of = |p: &&solver::market::clearing::PhasePrice| (p.node, p.phase) == (node, phase);
        let price = base.phase_prices.iter().find(of).unwrap();
        let by_p = (at(500.0, 0.0) - at(-500.0, 0.0)) / 1e-3;
        let by_q = (at(0.0, 500.0) - at(0.0, -500.0)) / 1e-3;
        let near = |found: f64, price: f64| (found - price).abs() < 0.01 * price.abs().max(1.0);
        assert!(near(by_p, price.p_per_mwh), "{price:?}: {by_p}");
        assert!(near(by_q, price.q_per_mvarh), "{price:?}: {by_q}");
        apart += u32::from((price.p_per_mwh - base.exchange[0].price_per_mwh).abs() > 1.0);
    }
    assert!(apart > 0, "no phase has a price of its own");
}

/// The positive-sequence model of the feeder: mean self less mean mutual impedance of what phases a line
/// has, and a third of a single-phase capacitor.
fn balanced() -> Value {
    let mut input = feeder();
    let data = input["data"].as_object_mut().unwrap();
    let lines = data.remove("asym_line").unwrap();
    let line = |row: &Value| {
        let mean = |kind: &str| {
            let of = |names: &[&str]| {
                let names = names.iter();
                let values = names.filter_map(|n| row[format!("{kind}_{n}")].as_f64());
                let values: Vec<f64> = values.collect();
                let count = values.len().max(1) as f64;
                values.iter().sum::<f64>() / count
            };
            of(&["aa", "bb", "cc"]) - of(&["ba", "ca", "cb"])
        };
        json!({"id": row["id"], "from_node": row["from_node"], "to_node": row["to_node"],
            "from_status": 1, "to_status": 1, "r1": mean("r"), "x1": mean("x"), "c1": mean("c"), "tan1": 0.0})
    };
    let lines: Vec<Value> = lines.as_array().unwrap().iter().map(line).collect();
    data.insert("line".to_owned(), json!(lines));
    for shunt in data["shunt"].as_array_mut().unwrap() {
        let single = shunt.as_object_mut().unwrap().remove("phases").is_some();
        if single {
            shunt["b1"] = json!(shunt["b1"].as_f64().unwrap() / 3.0);
        }
    }
    input
}

/// Clearing the balanced model with its limits drawn in until every phase keeps them costs more.
#[test]
fn by_phase_is_cheaper_than_a_balanced_model_made_safe() {
    let clearing = clear(&grid(&feeder()), &case(), &Options::default()).unwrap();
    let (_, import) = flow(&awards(&clearing));
    let by_phase = cost(&awards(&clearing), import);
    let mut case = case();
    for of in case.by_phase.take().unwrap().fixed {
        let PhasePower {
            node, p_w, q_var, ..
        } = of;
        let owner = None;
        case.fixed.push(NodePower {
            node,
            p_w,
            q_var,
            owner,
        });
    }
    let grid = grid(&balanced());
    let mut first = None;
    for step in 0..200 {
        case.limits.u_max_pu = U_MAX - 5e-4 * f64::from(step);
        let balanced = clear(&grid, &case, &Options::default()).unwrap();
        let (u, import) = flow(&awards(&balanced));
        let most = highest(&u).2;
        first = first.or(Some(most));
        if most <= U_MAX + 1e-4 {
            let safe = cost(&awards(&balanced), import);
            // As it is, it is not safe.
            assert!(first.unwrap() > U_MAX + 1e-3, "{first:?}");
            assert!(by_phase < safe - 0.01 * safe.abs(), "{by_phase} {safe}");
            println!(
                "by phase {by_phase:.4} per h; balanced, up to {:.4} pu, {safe:.4}; untightened it leads to {:.4} pu",
                case.limits.u_max_pu,
                first.unwrap()
            );
            return;
        }
    }
    panic!("the balanced model is never safe");
}

#[test]
fn what_is_not_by_phase_is_refused() {
    let grid = grid(&feeder());
    let clear = |case: &Case| clear(&grid, case, &Options::default());
    let phases = |case: &mut Case, change: &dyn Fn(&mut ByPhase)| {
        change(case.by_phase.as_mut().unwrap());
    };
    let mut wrong = case();
    // Node 13 has phase c alone.
    phases(&mut wrong, &|of| of.units[0].phase = A);
    assert!(matches!(
        clear(&wrong),
        Err(ClearingError::NoPhase {
            phase: A,
            node: 13,
            ..
        })
    ));
    let mut wrong = case();
    phases(&mut wrong, &|of| of.fixed[0].node = 99);
    assert!(matches!(
        clear(&wrong),
        Err(ClearingError::UnknownNode { node: 99, .. })
    ));
    let mut wrong = case();
    phases(&mut wrong, &|of| of.units.push(of.units[0]));
    assert!(matches!(
        clear(&wrong),
        Err(ClearingError::Duplicate { id: 501, .. })
    ));
    let mut wrong = case();
    phases(&mut wrong, &|of| of.units[0].unit = 77);
    assert!(matches!(clear(&wrong), Err(ClearingError::BadValue { .. })));
    let mut wrong = case();
    phases(&mut wrong, &|of| of.fixed[0].p_w = f64::NAN);
    assert!(matches!(clear(&wrong), Err(ClearingError::BadValue { .. })));
    let mut wrong = case();
    wrong.controls.shunts = vec![35];
    assert!(matches!(
        clear(&wrong),
        Err(ClearingError::UnknownControl {
            what: "shunt",
            id: 35
        })
    ));
    let mut wrong = case();
    wrong.controls.transformers = vec![36];
    assert!(matches!(
        clear(&wrong),
        Err(ClearingError::UnknownControl { id: 36, .. })
    ));
}
