//! Horizons on a network that loses nothing, against what HiGHS says they cost at least
//! (`tests/data/horizon/highs.py`).

use serde::Deserialize;
use solver::{
    market::{
        Direction, Kind, Step, Storage, Window,
        clearing::{ByPhase, Case, PhaseName, Status, UnitPhase},
    },
    network::Id,
};

use super::{HOUR, copper_plate, order, price, run, unit};
use crate::parts;

/// kW, kWh, per MWh.
#[derive(Deserialize)]
struct Drawn {
    import: Vec<f64>,
    export: Vec<f64>,
    load: Vec<f64>,
    import_max: Option<f64>,
    offers: Vec<(i64, f64)>,
    stores: Vec<DrawnStore>,
    windows: Vec<DrawnWindow>,
    cost: f64,
}

#[derive(Deserialize)]
struct DrawnStore {
    take: f64,
    give: f64,
    energy: i64,
    energy_min: i64,
    energy_max: i64,
    charge_ppm: u32,
    discharge_ppm: u32,
    wear: f64,
    end_value: f64,
}

#[derive(Deserialize)]
struct DrawnWindow {
    first: usize,
    last: usize,
    power: i64,
    energy: i64,
    price: f64,
}

fn step(kw: i64, per_mwh: f64) -> Vec<Step> {
    vec![Step {
        quantity_w: 1000 * kw,
        price: price(per_mwh),
    }]
}

fn cases(of: &Drawn) -> Vec<Case> {
    let mut cases: Vec<Case> = (0..of.import.len())
        .map(|t| {
            let mut case = Case {
                duration_s: HOUR,
                fixed: vec![parts::fixed(1, -1e3 * of.load[t], 0.0)],
                limits: parts::within(0.9, 1.1),
                ..parts::empty(1000, price(of.import[t]), price(of.export[t]))
            };
            case.interface[0].import_max_w = of.import_max.map(|kw| 1e3 * kw);
            let (kw, at) = of.offers[t];
            case.units.push(unit(40, 1, 0.0, 1e3 * kw as f64));
            let offer = order(400, 40, Direction::Sell, step(kw, at), Kind::Energy);
            case.orders.push(offer);
            case
        })
        .collect();
    for (k, store) in of.stores.iter().enumerate() {
        let id = 50 + k as Id;
        let kind = Kind::Storage(Storage {
            energy_wh: 1000 * store.energy,
            energy_min_wh: 1000 * store.energy_min,
            energy_max_wh: 1000 * store.energy_max,
            charge_ppm: store.charge_ppm,
            discharge_ppm: store.discharge_ppm,
            wear: price(store.wear),
            end_value: price(store.end_value),
        });
        for case in &mut cases {
            case.units
                .push(unit(id, 1, -1e3 * store.take, 1e3 * store.give));
        }
        let store = order(500 + k as u64, id, Direction::Sell, Vec::new(), kind);
        cases[0].orders.push(store);
    }
    for (k, window) in of.windows.iter().enumerate() {
        let id = 60 + k as Id;
        let kind = Kind::Window(Window {
            end: i64::from(HOUR) * (window.last as i64 + 1),
            energy_wh: 1000 * window.energy,
        });
        for case in &mut cases {
            case.units
                .push(unit(id, 1, -1e3 * window.power as f64, 0.0));
        }
        let steps = step(window.power, window.price);
        let mut bid = order(600 + k as u64, id, Direction::Buy, steps, kind);
        bid.interval = i64::from(HOUR) * window.first as i64;
        cases[window.first].orders.push(bid);
    }
    cases
}

/// The same by phase, stores and windows being of one phase each. Where nothing is lost, it makes no difference of
/// which.
fn of_single_phases(mut cases: Vec<Case>) -> Vec<Case> {
    for case in &mut cases {
        let units = case.units.iter().map(|unit| unit.id).enumerate();
        let of_one = units.filter(|(_, unit)| *unit >= 50);
        let units = of_one.map(|(k, unit)| UnitPhase {
            unit,
            phase: PhaseName::ALL[k % 3],
        });
        case.by_phase = Some(ByPhase {
            units: units.collect(),
            ..ByPhase::default()
        });
    }
    cases
}

#[test]
fn costs_are_those_of_a_linear_programme() {
    let [least, median, most] = above(|cases| cases);
    println!("cost above HiGHS's, relative: {least:.1e} to {most:.1e}, median {median:.1e}");
    // No promise of less than 5e-5 is followed (`PROMISE`); orders within 1e-5 of full or empty are made so.
    assert!(least > -1e-5 && most < 1e-4, "{least} {most}");
}

#[test]
fn costs_by_phase_are_those_of_a_linear_programme() {
    let [least, median, most] = above(of_single_phases);
    println!("cost above HiGHS's, relative: {least:.1e} to {most:.1e}, median {median:.1e}");
    assert!(least > -1e-5 && most < 1e-4, "{least} {most}");
}

/// Cost above the least there is, relative: least, median and most of all horizons drawn.
fn above(change: impl Fn(Vec<Case>) -> Vec<Case>) -> [f64; 3] {
    let drawn: Vec<Drawn> =
        serde_json::from_str(include_str!("../../data/horizon/highs.json")).unwrap();
    let mut above = Vec::new();
    for (k, of) in drawn.iter().enumerate() {
        let found = run(&copper_plate(), &change(cases(of)));
        let is_optimal = |of: &&_| matches!(of, Status::Optimal);
        let statuses = found.intervals.iter().map(|of| &of.status);
        assert_eq!(statuses.filter(is_optimal).count(), of.import.len(), "{k}");
        above.push((found.cost - of.cost) / (of.cost.abs() + 10.0));
    }
    above.sort_by(f64::total_cmp);
    [0, above.len() / 2, above.len() - 1].map(|k| above[k])
}
