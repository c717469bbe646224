//! Stores and windows over several intervals: by hand, and what holds of any.

use serde_json::json;
use solver::{
    market::{
        Direction, Kind, Order, PPM, Price, Step, Storage, Unit, Window,
        clearing::{Case, Horizon, Options, Status, clear_horizon},
    },
    network::{Grid, Id, Network, pgm_json},
};

mod highs;
mod hostile;
mod random_stores;

use crate::{parts, random};

const HOUR: u32 = 3600;

/// An ideal source and a node next to it: what is lost on the way is far below what is compared.
fn copper_plate() -> Grid {
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 0, "u_rated": 20e3}, {"id": 1, "u_rated": 20e3}],
        "line": [{"id": 10, "from_node": 0, "to_node": 1, "from_status": 1, "to_status": 1,
            "r1": 1e-5, "x1": 1e-4, "c1": 0.0, "tan1": 0.0, "r0": 1e-5, "x0": 1e-4, "c0": 0.0, "tan0": 0.0}],
        "source": [{"id": 1000, "node": 0, "status": 1, "u_ref": 1.0, "sk": 1e15, "z01_ratio": 1.0}],
    }});
    Grid::new(&pgm_json::read(&network.to_string()).unwrap()).unwrap()
}

fn price(per_mwh: f64) -> Price {
    Price((per_mwh * 1e6) as i64)
}

/// Hours with 5 MW of load at these prices of energy from above.
fn hours(prices: &[f64]) -> Vec<Case> {
    let hour = |&of: &f64| Case {
        duration_s: HOUR,
        fixed: vec![parts::fixed(1, -5e6, 0.0)],
        limits: parts::within(0.9, 1.1),
        ..parts::empty(1000, price(of), price(of))
    };
    prices.iter().map(hour).collect()
}

fn unit(id: Id, node: Id, p_min_w: f64, p_max_w: f64) -> Unit {
    parts::unit(id, &format!("p{id}"), node, (p_min_w, p_max_w))
}

fn order(id: u64, unit: Id, direction: Direction, steps: Vec<Step>, kind: Kind) -> Order {
    let of = self::unit(unit, 0, 0.0, 0.0);
    parts::order(id, &of, direction, steps, kind)
}

/// 2 MWh, 1 MW either way, empty, lossless, worth nothing at the end.
fn plain() -> Storage {
    Storage {
        energy_wh: 0,
        energy_min_wh: 0,
        energy_max_wh: 2_000_000,
        charge_ppm: PPM,
        discharge_ppm: PPM,
        wear: Price(0),
        end_value: Price(0),
    }
}

fn with_store(cases: &mut [Case], node: Id, of: Storage) {
    for case in cases.iter_mut() {
        case.units.push(unit(50, node, -1e6, 1e6));
    }
    let kind = Kind::Storage(of);
    cases[0]
        .orders
        .push(order(500, 50, Direction::Sell, Vec::new(), kind));
}

fn run(grid: &Grid, cases: &[Case]) -> Horizon {
    clear_horizon(grid, cases, &Options::default()).unwrap()
}

fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!(
            (a - b).abs() < tolerance,
            "{found:?}, expected {expected:?}"
        );
    }
}

#[test]
fn a_store_buys_low_and_sells_high() {
    let mut cases = hours(&[20.0, 25.0, 60.0, 55.0]);
    with_store(&mut cases, 1, plain());
    let found = run(&copper_plate(), &cases);
    let store = &found.stores[0];
    near(&store.p_w, &[-1e6, -1e6, 1e6, 1e6], 10.0);
    near(&store.energy_wh, &[1e6, 2e6, 1e6, 0.0], 20.0);
    // 5 MW of load throughout; bought for 45, sold for 115.
    let expected = 5.0 * 160.0 + 45.0 - 115.0;
    assert!((found.cost - expected).abs() < 0.01, "{}", found.cost);
    // One more MWh in it would not have to be bought at 25, or one less not be sold at 55; later on, one
    // more could not be sold at all.
    let ranges = [(25.0, 55.0), (25.0, 55.0), (0.0, 55.0), (0.0, 55.0)];
    for (value, range) in store.value_per_mwh.iter().zip(ranges) {
        assert!((range.0 - 0.1..=range.1 + 0.1).contains(value), "{store:?}");
    }
    // Awards, fills and exchange of each interval have it in them.
    for (clearing, p_w) in found.intervals.iter().zip(&store.p_w) {
        assert_eq!(clearing.status, Status::Optimal);
        assert_eq!(clearing.awards[0].p_w, *p_w);
        assert!((clearing.exchange[0].p_w - (5e6 - p_w)).abs() < 100.0);
    }
    assert!((found.intervals[0].fills[0].quantity_w + 1e6).abs() < 10.0);
}

/// 0.9 each way: of 2 MWh taken 1.8 are stored and 1.62 given.
#[test]
fn efficiency_and_wear_decide_whether_it_pays() {
    let of = Storage {
        charge_ppm: 900_000,
        discharge_ppm: 900_000,
        ..plain()
    };
    let mut cases = hours(&[20.0, 20.0, 60.0, 60.0]);
    with_store(&mut cases, 1, of);
    let found = run(&copper_plate(), &cases);
    let expected = 5.0 * 160.0 + 2.0 * 20.0 - 1.62 * 60.0;
    assert!((found.cost - expected).abs() < 0.01, "{}", found.cost);
    let given: f64 = found.stores[0].p_w.iter().filter(|p| **p > 0.0).sum();
    assert!((given - 1.62e6).abs() < 50.0, "{given}");
    // To give 1 MWh, 1.235 are taken for 24.69; so wear of 35 pays and of 36 does not.
    for (wear, pays) in [(35, true), (36, false)] {
        let wear = Price(wear * 1_000_000);
        let mut cases = hours(&[20.0, 20.0, 60.0, 60.0]);
        with_store(&mut cases, 1, Storage { wear, ..of });
        let found = run(&copper_plate(), &cases);
        let moved = found.stores[0].p_w.iter().map(|p| p.abs()).sum::<f64>();
        assert_eq!(moved > 1e6, pays, "{:?}", found.stores);
        assert!(pays || moved < 100.0, "{moved}");
    }
    // What is left is worth something: then it keeps what it can't sell for more.
    let end_value = price(70.0);
    let mut cases = hours(&[20.0, 20.0, 60.0, 60.0]);
    with_store(
        &mut cases,
        1,
        Storage {
            end_value,
            ..plain()
        },
    );
    let found = run(&copper_plate(), &cases);
    near(&found.stores[0].energy_wh[3..], &[2e6], 20.0);
}

/// A car that needs 3 MWh, at up to 2 MW, from the second hour to the end of the fourth, for at most 50.
#[test]
fn flexible_energy_takes_the_cheapest_hours_of_its_window() {
    let mut cases = hours(&[10.0, 40.0, 30.0, 45.0, 5.0]);
    for case in &mut cases {
        case.units.push(unit(60, 1, -3e6, 0.0));
    }
    let step = |price_per_mwh: f64| {
        vec![Step {
            quantity_w: 2_000_000,
            price: price(price_per_mwh),
        }]
    };
    let window = |energy_wh| {
        let end = 4 * i64::from(HOUR);
        Kind::Window(Window { end, energy_wh })
    };
    let mut of = order(600, 60, Direction::Buy, step(50.0), window(3_000_000));
    of.interval = i64::from(HOUR);
    cases[1].orders.push(of);
    let found = run(&copper_plate(), &cases);
    near(&found.windows[0].p_w, &[0.0, -1e6, -2e6, 0.0, 0.0], 10.0);
    // At 35 it takes only the third hour.
    cases[1].orders[0].steps = step(35.0);
    let found = run(&copper_plate(), &cases);
    near(&found.windows[0].p_w, &[0.0, 0.0, -2e6, 0.0, 0.0], 10.0);
    assert!(found.intervals[2].fills.is_empty() && found.intervals[1].fills.len() == 1);
}

/// What it has to give in a cheap hour it buys before, where that costs least; and what it cannot have, it need not give.
#[test]
fn a_store_has_in_time_what_it_has_to_give_or_room_for_what_it_has_to_take() {
    let prices = [40.0, 50.0, 25.0, 60.0];
    let found = |must: &[(usize, f64, f64)], energy_wh: i64| {
        let mut cases = hours(&prices);
        with_store(
            &mut cases,
            1,
            Storage {
                energy_wh,
                ..plain()
            },
        );
        for &(t, p_min_w, p_max_w) in must {
            let of = &mut cases[t].units[0].capability;
            (of.p_min_w, of.p_max_w) = (p_min_w, p_max_w);
        }
        let found = run(&copper_plate(), &cases);
        assert!(
            found
                .intervals
                .iter()
                .all(|of| of.status == Status::Optimal)
        );
        found.stores[0].p_w.clone()
    };
    near(&found(&[], 0), &[-1e6, 1e6, -1e6, 1e6], 10.0);
    near(&found(&[(2, 1e6, 1e6)], 0), &[-1e6, -1e6, 1e6, 1e6], 10.0);
    near(
        &found(&[(2, 0.4e6, 1e6)], 0),
        &[-1e6, -0.4e6, 0.4e6, 1e6],
        10.0,
    );
    // Empty, it has nothing to give at first; full, no room.
    near(&found(&[(0, 1e6, 1e6)], 0), &[0.0, 0.0, -1e6, 1e6], 10.0);
    near(
        &found(&[(0, -1e6, -1e6)], 2_000_000),
        &[0.0, 1e6, 0.0, 1e6],
        10.0,
    );
    // The dearest hour is when it has to take: it sells before, and what is in it then stays.
    near(
        &found(&[(3, -1e6, -1e6)], 2_000_000),
        &[1e6, 1e6, 0.0, -1e6],
        10.0,
    );
    // Two hours of 1 MW need 2 MWh, of which there is one in it and one to be had.
    near(
        &found(&[(1, 1e6, 1e6), (2, 1e6, 1e6)], 1_000_000),
        &[-1e6, 1e6, 1e6, 0.0],
        10.0,
    );
    // A MWh less is to be had: the first of them has it.
    let short = found(&[(0, 1e6, 1e6), (1, 1e6, 1e6)], 1_000_000);
    near(&short, &[1e6, 0.0, -1e6, 1e6], 10.0);
}

/// Losses on the way go by the square of what flows, R P² / U²: a MWh is taken where the load is least and given
/// where it is most, until what flows is alike. (5 + c)² + (4.5 + d)² is least with c = d - 0.5.
#[test]
fn losses_spread_what_a_store_does() {
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 0, "u_rated": 20e3}, {"id": 1, "u_rated": 20e3}],
        "line": [{"id": 10, "from_node": 0, "to_node": 1, "from_status": 1, "to_status": 1,
            "r1": 4.0, "x1": 0.1, "c1": 0.0, "tan1": 0.0}],
        "source": [{"id": 1000, "node": 0, "status": 1, "u_ref": 1.0, "sk": 1e15}],
    }});
    let grid = Grid::new(&pgm_json::read(&network.to_string()).unwrap()).unwrap();
    let mut cases = hours(&[20.0, 20.0, 60.0, 60.0]);
    for case in [1, 3] {
        cases[case].fixed[0].p_w = -4.5e6;
    }
    let energy_max_wh = 1_000_000;
    with_store(
        &mut cases,
        1,
        Storage {
            energy_max_wh,
            ..plain()
        },
    );
    let found = run(&grid, &cases);
    // What promises less than 5e-5 of the cost, 0.04 of 800, is not followed: 0.04 = 60 R/U² (2 d²/2) at d = 0.18 MW.
    // All of it in one hour would be 0.25 MW off.
    near(
        &found.stores[0].p_w,
        &[-0.25e6, -0.75e6, 0.75e6, 0.25e6],
        0.18e6,
    );
}

/// A line that sun at noon would overload: what the store takes then is not curtailed.
#[test]
fn a_store_behind_a_bottleneck_saves_curtailment() {
    let (mut network, _) = random::sample(1);
    network = Network {
        node: network.node[..2].to_vec(),
        line: vec![network.line[0].clone()],
        source: network.source.clone(),
        ..Network::default()
    };
    network.line[0].i_n = Some(100.0);
    let grid = Grid::new(&network).unwrap();
    let mut cases = hours(&[50.0; 4]);
    for (t, case) in cases.iter_mut().enumerate() {
        case.fixed[0].p_w = -1e5;
        case.units.push(unit(40, 1, 0.0, 9e6));
        let sun = [1_000_000, 5_000_000, 5_000_000, 100_000][t];
        let steps = vec![Step {
            quantity_w: sun,
            price: Price(0),
        }];
        case.orders
            .push(order(t as u64, 40, Direction::Sell, steps, Kind::Energy));
    }
    let without = run(&grid, &cases);
    let curtailed = |found: &Horizon| {
        let sold = found.intervals.iter().flat_map(|of| &of.fills);
        11.1e6
            - sold
                .filter(|of| of.order.0 < 4)
                .map(|of| of.quantity_w)
                .sum::<f64>()
    };
    assert!(curtailed(&without) > 2e6, "{}", curtailed(&without));
    with_store(&mut cases, 1, plain());
    let with = run(&grid, &cases);
    // 1 MWh of the two hours' surplus: what can be sold in the last one.
    assert!(
        (curtailed(&without) - curtailed(&with) - 1e6).abs() < 5e4,
        "{}",
        curtailed(&with)
    );
    assert!(
        without.cost - with.cost > 45.0,
        "{} {}",
        without.cost,
        with.cost
    );
    for clearing in &with.intervals {
        assert_eq!(clearing.status, Status::Optimal);
        assert!(clearing.ac_check.violation_rating < 1e-3);
    }
}

/// As many programmes as it takes to clear each interval once: nothing less is a look ahead.
#[test]
fn a_budget_too_small_to_look_ahead_leaves_the_one_interval() {
    let grid = copper_plate();
    let mut cases = hours(&[20.0, 60.0, 30.0, 80.0]);
    with_store(&mut cases, 1, plain());
    let within = |horizon_programmes| {
        let options = Options {
            horizon_programmes,
            ..Options::default()
        };
        clear_horizon(&grid, &cases, &options).unwrap()
    };
    let all = within(10_000);
    assert_eq!((all.intervals.len(), all.out_of_budget), (4, false));
    let alone = clear_horizon(&grid, &cases[..1], &Options::default()).unwrap();
    let short = within(1);
    assert!(short.out_of_budget);
    assert_eq!(short.intervals, alone.intervals);
    assert_eq!(short.stores, alone.stores);
    // With each more there is a better schedule or the same, and the end of it is that without a bound.
    let (mut before, mut looked) = (f64::INFINITY, 0);
    for budget in 1..200 {
        let found = within(budget);
        if found.intervals.len() < 4 {
            assert!(before.is_infinite(), "{budget}");
            continue;
        }
        looked += usize::from(found.out_of_budget);
        assert!(found.cost <= before, "{budget}");
        before = found.cost;
        if !found.out_of_budget {
            assert_eq!(found, all);
            break;
        }
    }
    assert!(looked > 0);
    assert_eq!(before, all.cost);
}
