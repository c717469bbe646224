//! The feeder's three regulators, each of a phase of its own, and its capacitors, of three phases and of one.

use std::{fs, path::Path};

use serde_json::{Value, json};
use solver::market::clearing::{Case, Clearing, Controls, Options, Status, clear};

use super::{SOURCE, U_MAX, U_MIN, awards, case, cost, feeder, grid, solved_on};

const REGULATORS: [i64; 3] = [32, 33, 34];
/// Of three phases at 675, of phase c at 611.
const CAPACITORS: [i64; 2] = [36, 37];

/// The feeder with its regulators, at these positions and free to move by `steps` from there, and its capacitors
/// switched so.
fn regulated(taps: [i64; 3], steps: i64, capacitors: [i64; 2]) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/ieee/13/input.json");
    let whole: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut input = feeder();
    let row = |table: &str, id: i64| {
        let mut rows = whole["data"][table].as_array().unwrap().iter();
        rows.find(|row| row["id"] == id).unwrap().clone()
    };
    let data = input["data"].as_object_mut().unwrap();
    data["node"].as_array_mut().unwrap().push(row("node", 15));
    data["source"][0]["node"] = json!(15);
    let regulators = REGULATORS.into_iter().zip(taps).map(|(id, tap)| {
        let mut regulator = row("step_voltage_regulator", id);
        regulator["tap_pos"] = json!(tap);
        (regulator["tap_min"], regulator["tap_max"]) = (json!(tap - steps), json!(tap + steps));
        regulator
    });
    data.insert("step_voltage_regulator".to_owned(), regulators.collect());
    for shunt in data["shunt"].as_array_mut().unwrap() {
        let known = CAPACITORS.iter().position(|id| shunt["id"] == *id);
        shunt["status"] = json!(capacitors[known.unwrap()]);
    }
    input
}

fn controlled(transformers: &[i64], shunts: &[i64]) -> Case {
    let ids = |of: &[i64]| of.iter().map(|&id| id.try_into().unwrap()).collect();
    Case {
        controls: Controls {
            transformers: ids(transformers),
            shunts: ids(shunts),
            least_saving_per_h: 0.0,
        },
        ..case()
    }
}

fn cleared(input: &Value, case: &Case) -> Clearing {
    clear(&grid(input), case, &Options::default()).unwrap()
}

/// Where a clearing puts a control.
fn position(clearing: &Clearing, id: i64, before: i64) -> i64 {
    let mut moved = clearing.positions.iter();
    let found = moved.find(|of| i64::from(of.element) == id);
    found.map_or(before, |of| {
        assert_eq!(i64::from(of.from), before);
        i64::from(of.to)
    })
}

/// Awards, at the positions found, in a power flow by phase of a network that has them: every phase keeps its limits,
/// and the cost is what is said.
fn is_verified(input: Value, clearing: &Clearing) {
    assert_eq!(clearing.status, Status::Optimal);
    let awards = awards(clearing);
    let (_, output, import) = solved_on(input, &awards);
    for row in &output.node {
        for u in row.u_pu.iter().filter(|u| u.is_finite()) {
            assert!(*u < U_MAX + 1e-5 && *u > U_MIN - 1e-5, "{u} at {}", row.id);
        }
    }
    assert!((clearing.cost_per_h - cost(&awards, import)).abs() < 1e-3);
}

/// Regulators and capacitors, tried at every combination of positions one by one.
#[test]
fn no_position_costs_less() {
    let before = [1; 3];
    let input = regulated(before, 1, [1, 1]);
    let found = cleared(&input, &controlled(&REGULATORS, &CAPACITORS));
    let (mut least, mut at, mut still) = (f64::INFINITY, ([0; 3], [0; 2]), f64::INFINITY);
    for k in 0..108 {
        let taps = [k % 3, k / 3 % 3, k / 9 % 3];
        let capacitors = [k / 27 % 2, k / 54];
        let fixed = cleared(&regulated(taps, 0, capacitors), &case());
        if fixed.status == Status::Optimal && fixed.cost_per_h < least {
            (least, at) = (fixed.cost_per_h, (taps, capacitors));
        }
        if (taps, capacitors) == (before, [1, 1]) {
            still = fixed.cost_per_h;
        }
    }
    println!(
        "{} found, {least} the least of 108, at {at:?}; {still} as it is",
        found.cost_per_h
    );
    assert!(
        found.cost_per_h < least + 1e-4,
        "{} {least}",
        found.cost_per_h
    );
    assert!(
        found.cost_per_h > least - 1e-4,
        "{} {least}",
        found.cost_per_h
    );
    assert!(found.cost_per_h < still - 0.01);
    let taps = REGULATORS.map(|id| position(&found, id, 1));
    let capacitors = CAPACITORS.map(|id| position(&found, id, 1));
    is_verified(regulated(taps, 0, capacitors), &found);
}

/// With their whole range, each phase's regulator goes its own way.
#[test]
fn each_phase_has_a_tap_of_its_own() {
    let input = regulated([9, 6, 9], 25, [1, 1]);
    let still = cleared(&input, &case());
    let found = cleared(&input, &controlled(&REGULATORS, &[]));
    let taps: Vec<i64> = [9, 6, 9]
        .into_iter()
        .zip(REGULATORS)
        .map(|(now, id)| position(&found, id, now))
        .collect();
    println!(
        "{taps:?}: {} per h, {} as it is ({:?})",
        found.cost_per_h, still.cost_per_h, still.status
    );
    assert!(found.cost_per_h < still.cost_per_h - 0.1);
    assert!(taps.iter().any(|tap| *tap != taps[0]), "{taps:?}");
    is_verified(regulated([taps[0], taps[1], taps[2]], 0, [1, 1]), &found);
    // One step more or less of any of them saves nothing.
    for k in 0..3 {
        for step in [-1, 1] {
            let mut next = [taps[0], taps[1], taps[2]];
            next[k] += step;
            let fixed = cleared(&regulated(next, 0, [1, 1]), &case());
            assert!(
                found.cost_per_h < fixed.cost_per_h + 1e-4,
                "{next:?}: {}",
                fixed.cost_per_h
            );
        }
    }
    assert_eq!(found.exchange[0].source, SOURCE);
}
