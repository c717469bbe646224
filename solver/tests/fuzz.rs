//! Broken and hostile input: cases of the repository, changed at random (seeded) by bytes and by
//! structure, read and, when they still are networks, solved and estimated. Whatever comes in,
//! nothing panics and what is answered is finite.
//!
//! `BUSBAR_SEED` starts elsewhere, `BUSBAR_FUZZ` says how many mutants there are.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use solver::estimation::{self, AsymEstimator, Estimator, Readings};
use solver::network::{Grid, pgm_json};
use solver::powerflow::{self, AsymPowerFlow, PowerFlow};

/// Larger cases take too long to be changed often.
const LARGEST: usize = 20_000;

/// Numbers that are at the edge of something.
const EDGES: [f64; 14] = [
    0.0,
    -1.0,
    1.0,
    1e-300,
    1e300,
    -1e300,
    1e-9,
    1e9,
    2.5,
    127.0,
    128.0,
    -129.0,
    2_147_483_648.0,
    12.0,
];

/// Input and update texts of the cases.
fn corpus() -> Vec<(String, Option<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    let mut folders = Vec::new();
    for kind in ["power_flow", "state_estimation", "ieee"] {
        let entries = fs::read_dir(root.join(kind)).expect("the cases are in the repository");
        folders.extend(entries.map(|e| e.expect("readable").path()));
    }
    folders.sort();
    let read = |path: &Path| fs::read_to_string(path).ok().filter(|t| t.len() < LARGEST);
    folders
        .iter()
        .filter_map(|f| {
            Some((
                read(&f.join("input.json"))?,
                read(&f.join("update_batch.json")),
            ))
        })
        .collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn nothing_panics_on_changed_cases() {
    let corpus = corpus();
    assert!(corpus.len() > 50, "cases went missing");
    let first = number("BUSBAR_SEED", 1);
    let (mut read, mut solved, mut estimated) = (0, 0, 0);
    let mut updated = BTreeSet::new();
    let mut failed = Vec::new();
    for seed in first..first + number("BUSBAR_FUZZ", 6000) {
        let mut random = StdRng::seed_from_u64(seed);
        let (input, update) = corpus.choose(&mut random).unwrap();
        let (mut input, mut update) = (input.clone(), update.clone());
        if random.random_bool(0.2) {
            input = metered_by_phase(&input);
        }
        if random.random_bool(0.3) {
            update = Some(update_of(&input, &mut random));
        }
        match &mut update {
            Some(update) if random.random_bool(0.5) => mutate(update, &mut random),
            _ => mutate(&mut input, &mut random),
        }
        match catch_unwind(AssertUnwindSafe(|| run(&input, update.as_deref()))) {
            Ok(reached) => {
                read += usize::from(reached.read);
                solved += usize::from(reached.solved);
                estimated += usize::from(reached.estimated);
                updated.extend(reached.updated);
            }
            Err(_) => {
                let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
                fs::write(dir.join(format!("fuzz-{seed}-input.json")), &input).unwrap();
                let update = update.unwrap_or_default();
                fs::write(dir.join(format!("fuzz-{seed}-update.json")), update).unwrap();
                failed.push(seed);
            }
        }
    }
    println!("{read} read, {solved} solved, {estimated} estimated");
    assert!(
        failed.is_empty(),
        "seeds {failed:?} panic; inputs are in the target directory"
    );
    // Mutants that nobody reads would prove nothing.
    assert!(
        read > 1000 && solved > 500 && estimated > 100,
        "{read} {solved} {estimated}"
    );
    // All there are but faults, of which nothing is computed.
    assert!(updated.len() >= 22, "{updated:?}");
}

/// The same with its sensors by phase.
fn metered_by_phase(input: &str) -> String {
    let mut document: Value = serde_json::from_str(input).expect("cases are JSON");
    let Some(data) = document["data"].as_object_mut() else {
        return input.to_owned();
    };
    for (of, by_phase) in [("power", true), ("current", false), ("voltage", false)] {
        let Some(Value::Array(rows)) = data.remove(&format!("sym_{of}_sensor")) else {
            continue;
        };
        let rows = rows.into_iter().map(|mut row| {
            for (name, value) in row.as_object_mut().into_iter().flatten() {
                let each = name.ends_with("_measured") || (by_phase && name.len() == 7);
                if each && value.is_number() {
                    *value = json!([value.clone(), value.clone(), value.clone()]);
                }
            }
            row
        });
        let table = data.entry(format!("asym_{of}_sensor")).or_insert(json!([]));
        if let Value::Array(table) = table {
            table.extend(rows);
        }
    }
    document.to_string()
}

/// A batch of two scenarios, each of some attributes of some components as they are.
fn update_of(input: &str, random: &mut StdRng) -> String {
    let document: Value = serde_json::from_str(input).expect("cases are JSON");
    let mut scenario = || {
        let mut changes = Map::new();
        for (table, rows) in document["data"].as_object().into_iter().flatten() {
            let row = rows.as_array().and_then(|rows| rows.choose(random));
            let Some(row) = row.and_then(Value::as_object) else {
                continue;
            };
            let mut change = Map::new();
            change.insert("id".to_owned(), row["id"].clone());
            let names: Vec<&String> = row.keys().collect();
            let name = *names.choose(random).expect("an id at least");
            change.insert(name.clone(), row[name].clone());
            if random.random_bool(0.3) {
                changes.insert(table.clone(), json!([change]));
            }
        }
        Value::Object(changes)
    };
    let data = [scenario(), scenario()];
    json!({
        "version": "1.0", "type": "update", "is_batch": true, "attributes": {}, "data": data,
    })
    .to_string()
}

#[derive(Default)]
struct Reached {
    read: bool,
    solved: bool,
    estimated: bool,
    /// Kinds of the components that were changed.
    updated: BTreeSet<String>,
}

fn run(input: &str, update: Option<&str>) -> Reached {
    let mut reached = Reached::default();
    let network = match pgm_json::read(input) {
        Ok(network) => network,
        Err(error) => {
            assert!(!error.problems().is_empty());
            return reached;
        }
    };
    let Ok(mut grid) = Grid::new(&network) else {
        return reached;
    };
    reached.read = true;
    let again = pgm_json::read(&pgm_json::write(&network));
    assert_eq!(again.as_ref(), Ok(&network), "written and read");
    solve(&grid, &mut reached);
    let scenarios = update.and_then(|text| pgm_json::read_update(text, &network).ok());
    for mut scenario in scenarios.into_iter().flatten().take(2) {
        if grid.exchange(&mut scenario).is_ok() {
            let kind = |change| format!("{change:?}").split('(').next().map(str::to_owned);
            (reached.updated).extend(scenario.changes.iter().filter_map(kind));
            solve(&grid, &mut reached);
        }
        let _ = grid.exchange(&mut scenario);
    }
    reached
}

/// By every method there is; an answer is finite.
fn solve(grid: &Grid, reached: &mut Reached) {
    let options = powerflow::Options::default();
    if let Ok(solution) = PowerFlow::new(grid).run(grid, &[], None, &options) {
        assert!(solution.u.iter().all(|u| u.is_finite()));
        reached.solved = true;
    }
    if let Ok(mut solver) = AsymPowerFlow::new(grid)
        && let Ok(solution) = solver.run(grid, None, &options)
    {
        assert!(solution.u.iter().flatten().all(|u| u.is_finite()));
    }
    let options = estimation::Options::default();
    let measured = Readings::new::<estimation::Sym>(grid.network());
    if measured.measurements().is_empty() {
        return;
    }
    if let Ok(estimate) = Estimator::new(grid).run(grid, &measured.measurements(), None, &options) {
        assert!(estimate.u.iter().all(|u| u.is_finite()));
        reached.estimated = true;
    }
    if let Ok(mut estimator) = AsymEstimator::new(grid) {
        let measured = Readings::new::<estimation::Asym>(grid.network());
        if let Ok(estimate) = estimator.run(grid, &measured.measurements(), None, &options) {
            assert!(estimate.u.iter().flatten().all(|u| u.is_finite()));
        }
    }
}

fn mutate(text: &mut String, random: &mut StdRng) {
    if random.random_bool(0.15) {
        return mutate_bytes(text, random);
    }
    let mut document: Value = serde_json::from_str(text).expect("cases are JSON");
    for _ in 0..random.random_range(1..4) {
        mutate_value(&mut document, random);
    }
    *text = document.to_string();
}

/// Bytes changed, taken out, or doubled.
fn mutate_bytes(text: &mut String, random: &mut StdRng) {
    let mut bytes = std::mem::take(text).into_bytes();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..bytes.len().max(1)).min(bytes.len());
        match random.random_range(0..4) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, *b"{}[],:\"0-e\\".choose(random).expect("not empty")),
            _ => bytes.truncate(at.max(1)),
        }
    }
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

/// Goes down at random, and changes what it comes to.
fn mutate_value(value: &mut Value, random: &mut StdRng) {
    match value {
        Value::Object(map) if !map.is_empty() && random.random_bool(0.97) => {
            let names: Vec<String> = map.keys().cloned().collect();
            let name = names.choose(random).expect("not empty");
            if random.random_bool(0.04) {
                return mutate_map(map, name, random);
            }
            mutate_value(&mut map[name], random);
        }
        Value::Array(list) if !list.is_empty() && random.random_bool(0.97) => {
            let at = random.random_range(0..list.len());
            match random.random_range(0..40) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                _ => mutate_value(&mut list[at], random),
            }
        }
        Value::Number(number) if random.random_bool(0.6) => {
            let near = number.as_f64().unwrap_or(0.0);
            *value = match random.random_range(0..4) {
                0 => json!(-near),
                1 => json!(near * 10.0_f64.powi(random.random_range(-12..12))),
                2 => json!((near as i64).saturating_add(random.random_range(-2..3))),
                _ => json!(random.random_range(0..20)),
            };
        }
        other => {
            *other = match random.random_range(0..8) {
                0 => Value::Null,
                1 => json!("inf"),
                2 => json!([]),
                3 => json!({}),
                4 => json!(true),
                5 => json!([1.0, -1.0, 0.0]),
                _ => json!(EDGES.choose(random).expect("not empty")),
            };
        }
    }
}

fn mutate_map(map: &mut Map<String, Value>, name: &str, random: &mut StdRng) {
    let Some(value) = map.remove(name) else {
        return;
    };
    match random.random_range(0..3) {
        0 => {}
        1 => drop(map.insert(format!("{name}x"), value)),
        _ => {
            let other = ["node", "line", "source", "id", "data", "sym_load"].choose(random);
            map.insert((*other.expect("not empty")).to_owned(), value);
        }
    }
}
