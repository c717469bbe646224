//! Taps and capacitors: against every position cleared by hand.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use solver::{
    market::clearing::{
        Case, Clearing, ClearingError, Controls, NodeLimit, Options, Position, Status, clear,
        price_parts,
    },
    network::{Grid, Id, pgm_json},
};

use crate::random;

/// 110 kV, transformers each with taps of 1.5 % on the 20 kV side's voltage, feeders behind them, and a
/// capacitor on each.
fn network(transformers: Id, tap_max: i8) -> Value {
    let mut node = vec![json!({"id": 0, "u_rated": 110e3})];
    let (mut transformer, mut line, mut shunt) = (Vec::new(), Vec::new(), Vec::new());
    for k in 0..transformers {
        let (bus, end) = (10 + 2 * k, 11 + 2 * k);
        node.push(json!({"id": bus, "u_rated": 20e3}));
        node.push(json!({"id": end, "u_rated": 20e3}));
        transformer.push(json!({
            "id": 100 + k, "from_node": 0, "to_node": bus, "from_status": 1, "to_status": 1,
            "u1": 110e3, "u2": 20e3, "sn": 25e6, "uk": 0.12, "pk": 25e3, "i0": 0.0, "p0": 0.0,
            "winding_from": 2, "winding_to": 1, "clock": 5, "tap_side": 0, "tap_pos": 0,
            "tap_min": -tap_max, "tap_max": tap_max, "tap_nom": 0, "tap_size": 1650.0,
        }));
        line.push(json!({
            "id": 200 + k, "from_node": bus, "to_node": end, "from_status": 1, "to_status": 1,
            "r1": 2.0, "x1": 1.8, "c1": 1e-7, "tan1": 0.0, "i_n": 400.0,
        }));
        shunt.push(json!({
            "id": 300 + k, "node": end, "status": 0, "g1": 0.0, "b1": 2e-3, "g0": 0.0, "b0": 0.0,
        }));
    }
    json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": node, "transformer": transformer, "line": line, "shunt": shunt,
        "source": [{"id": 1000, "node": 0, "status": 1, "u_ref": 1.04, "sk": 2e9, "rx_ratio": 0.1}],
    }})
}

fn grid(network: &Value) -> Grid {
    Grid::new(&pgm_json::read(&network.to_string()).unwrap()).unwrap()
}

/// Sun at the end of each feeder, more than its voltage bears.
fn case(transformers: Id, p_w: &[i64]) -> Case {
    let (_, mut case) = random::sample(1);
    let (unit, order) = (case.units[0].clone(), case.orders[0].clone());
    case.units.clear();
    case.orders.clear();
    case.fixed.clear();
    case.interface[0].export_price = case.interface[0].import_price;
    for (k, &p_w) in (0..transformers).zip(p_w) {
        let id = 400 + k;
        let direction = if p_w > 0 { "sell" } else { "buy" };
        let price = if p_w > 0 { 10_000_000 } else { 90_000_000 };
        let mut own: Value = serde_json::to_value(&unit).unwrap();
        own["id"] = json!(id);
        own["node"] = json!(11 + 2 * k);
        own["capability"] =
            json!({"p_min_w": p_w.min(0) as f64, "p_max_w": p_w.max(0) as f64, "q_max_var": 0.0});
        case.units.push(serde_json::from_value(own).unwrap());
        let mut own: Value = serde_json::to_value(&order).unwrap();
        own["id"] = json!(k + 1);
        own["unit"] = json!(id);
        own["direction"] = json!(direction);
        own["steps"] = json!([{"quantity_w": p_w.abs(), "price": price}]);
        case.orders.push(serde_json::from_value(own).unwrap());
    }
    case
}

fn limit(case: &mut Case, node: Id, u_min_pu: f64, u_max_pu: f64) {
    case.limits.nodes.push(NodeLimit {
        node,
        u_min_pu,
        u_max_pu,
    });
}

fn run(grid: &Grid, case: &Case) -> Clearing {
    clear(grid, case, &Options::default()).unwrap()
}

#[test]
fn one_tap_saves_a_curtailment() {
    let mut grid = grid(&network(1, 5));
    let mut case = case(1, &[8_000_000]);
    let fixed = run(&grid, &case);
    assert!(fixed.awards[0].p_w < 7.5e6, "{:?}", fixed.awards);
    case.controls.transformers = vec![100];
    let moved = run(&grid, &case);
    assert_eq!(moved.status, Status::Optimal);
    assert!(
        (moved.awards[0].p_w - 8e6).abs() < 1.0,
        "{:?}",
        moved.awards
    );
    assert!(moved.cost_per_h < fixed.cost_per_h - 1.0);
    assert!(moved.ac_check.u_max_pu.1 <= 1.0501);
    // The best of all positions, each cleared by itself.
    let [
        Position {
            element: 100,
            from: 0,
            to,
        },
    ] = moved.positions[..]
    else {
        panic!("{:?}", moved.positions);
    };
    case.controls = Controls::default();
    let mut costs = Vec::new();
    for position in -5..=5 {
        grid.set_tap(100, position).unwrap();
        let here = run(&grid, &case);
        if here.status == Status::Optimal {
            costs.push((here.cost_per_h, position));
        }
        if position == to {
            assert_eq!(
                here.prices, moved.prices,
                "priced at the position it is moved to"
            );
        }
    }
    let best = costs.iter().map(|of| of.0).fold(f64::INFINITY, f64::min);
    assert!((moved.cost_per_h - best).abs() < 1e-3, "{costs:?}");
}

/// Parts of a price are those of the network as it is moved.
#[test]
fn parts_follow_the_taps() {
    let grid = grid(&network(1, 5));
    let mut case = case(1, &[12_000_000]);
    case.controls.transformers = vec![100];
    limit(&mut case, 11, 0.95, 1.02);
    let clearing = run(&grid, &case);
    assert!(!clearing.positions.is_empty());
    let rest = |clearing: &Clearing| {
        let parts = price_parts(&grid, &case, clearing).unwrap();
        parts
            .iter()
            .map(|of| of.rest_p_per_mwh.abs())
            .fold(0.0, f64::max)
    };
    assert!(rest(&clearing) < 5e-4, "{}", rest(&clearing));
    let mut forgotten = clearing;
    forgotten.positions.clear();
    assert!(rest(&forgotten) > 1e-2, "{}", rest(&forgotten));
}

/// A load that its voltage forbids to serve whole, and a capacitor that lifts it.
#[test]
fn a_capacitor_lifts_a_voltage() {
    let grid = grid(&network(1, 5));
    let mut case = case(1, &[-7_000_000]);
    limit(&mut case, 11, 1.02, 1.05);
    let without = run(&grid, &case);
    assert!(without.awards[0].p_w > -6.9e6, "{:?}", without.awards);
    case.controls.shunts = vec![300];
    let with = run(&grid, &case);
    assert_eq!(
        with.positions,
        [Position {
            element: 300,
            from: 0,
            to: 1
        }]
    );
    assert!(with.awards[0].p_w < without.awards[0].p_w - 1e5);
    // Unless its wear is dearer than what it saves.
    let saved = without.cost_per_h - with.cost_per_h;
    case.controls.least_saving_per_h = saved + 1.0;
    assert_eq!(run(&grid, &case).positions, []);
    case.controls.least_saving_per_h = saved - 1.0;
    assert_eq!(run(&grid, &case).positions, with.positions);
}

/// Where all are many, the search by sensitivities: never worse than not moving, and where feeders are
/// all but alone, as good as each feeder's best.
#[test]
fn many_taps_are_moved_by_sensitivities() {
    let mut rng = StdRng::seed_from_u64(5);
    let feeders = 4;
    let (mut gained, mut left) = (0.0, 0.0);
    for _ in 0..4 {
        let grid = grid(&network(feeders, 4));
        let p_w: Vec<i64> = (0..feeders)
            .map(|_| rng.random_range(-9_000_000..11_000_000))
            .collect();
        let mut case = case(feeders, &p_w);
        case.limits.u_min_pu = 0.99;
        let still = run(&grid, &case);
        case.controls.transformers = (100..100 + feeders).collect();
        let moved = run(&grid, &case);
        assert!(moved.cost_per_h <= still.cost_per_h + 1e-6);
        gained += still.cost_per_h - moved.cost_per_h;
        // By hand: one feeder after the other, at every position.
        let mut at = grid.clone();
        case.controls = Controls::default();
        let mut best = still.cost_per_h;
        for id in 100..100 + feeders {
            let mut kept = 0;
            for position in -4..=4 {
                at.set_tap(id, position).unwrap();
                let here = run(&at, &case);
                if here.status == Status::Optimal && here.cost_per_h < best {
                    (best, kept) = (here.cost_per_h, position);
                }
            }
            at.set_tap(id, kept).unwrap();
        }
        left += moved.cost_per_h - best;
    }
    assert!(gained > 10.0, "{gained}");
    assert!(left < 0.02 * gained, "{left} of {gained} not found");
}

/// A base that keeps no limit is left for one that does.
#[test]
fn a_violation_is_moved_away_from() {
    let grid = grid(&network(1, 15));
    let mut case = case(1, &[5_000_000]);
    case.units[0].dispatchable = false;
    case.orders.clear();
    limit(&mut case, 10, 0.9, 0.97);
    limit(&mut case, 11, 0.9, 0.97);
    let still = run(&grid, &case);
    assert!(matches!(still.status, Status::LeastViolation { .. }));
    case.controls.transformers = vec![100];
    let moved = run(&grid, &case);
    assert_eq!(moved.status, Status::Optimal, "{:?}", moved.positions);
}

#[test]
fn controls_that_are_not_there_are_refused() {
    let grid = grid(&network(1, 5));
    let mut case = case(1, &[1_000_000]);
    case.controls.transformers = vec![300];
    let refused = |case: &Case| clear(&grid, case, &Options::default()).unwrap_err();
    assert_eq!(
        refused(&case),
        ClearingError::UnknownControl {
            what: "transformer",
            id: 300
        }
    );
    case.controls.transformers = vec![100, 100];
    assert_eq!(
        refused(&case),
        ClearingError::Duplicate {
            what: "control",
            id: 100
        }
    );
    case.controls.transformers = Vec::new();
    case.controls.shunts = vec![7];
    assert_eq!(
        refused(&case),
        ClearingError::UnknownControl {
            what: "shunt",
            id: 7
        }
    );
}
