//! Stores and windows over several intervals: by hand, and what holds of any.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use solver::{
    market::{
        Capability, Direction, Kind, Order, OrderId, PPM, Price, Step, Storage, Terms, Unit,
        Window,
        clearing::{
            Case, ClearingError, Controls, Horizon, Interface, LimitSet, NodePower, Options,
            Status, clear_horizon,
        },
    },
    network::{Grid, Id, Network, pgm_json},
};

use crate::random;

const HOUR: u32 = 3600;

/// An ideal source and a node next to it: what is lost on the way is far below what is compared.
fn copper_plate() -> Grid {
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 0, "u_rated": 20e3}, {"id": 1, "u_rated": 20e3}],
        "line": [{"id": 10, "from_node": 0, "to_node": 1, "from_status": 1, "to_status": 1,
            "r1": 1e-5, "x1": 1e-4, "c1": 0.0, "tan1": 0.0}],
        "source": [{"id": 1000, "node": 0, "status": 1, "u_ref": 1.0, "sk": 1e15}],
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
        fixed: vec![NodePower {
            node: 1,
            p_w: -5e6,
            q_var: 0.0,
            owner: None,
        }],
        units: Vec::new(),
        orders: Vec::new(),
        limits: LimitSet {
            u_min_pu: 0.9,
            u_max_pu: 1.1,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        interface: vec![Interface {
            source: 1000,
            import_price: price(of),
            export_price: price(of),
            import_max_w: None,
            export_max_w: None,
            scheduled: None,
        }],
        controls: Controls::default(),
        by_phase: None,
        start: None,
    };
    prices.iter().map(hour).collect()
}

fn unit(id: Id, node: Id, p_min_w: f64, p_max_w: f64) -> Unit {
    Unit {
        id,
        participant: format!("p{id}"),
        node,
        capability: Capability {
            p_min_w,
            p_max_w,
            q_max_var: 0.0,
            s_max_va: None,
        },
        dispatchable: true,
    }
}

fn order(id: u64, unit: Id, direction: Direction, steps: Vec<Step>, kind: Kind) -> Order {
    Order {
        id: OrderId(id),
        client_id: id.to_string(),
        participant: format!("p{unit}"),
        unit,
        interval: 0,
        direction,
        steps,
        terms: Terms {
            kind,
            ..Terms::default()
        },
    }
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
    near(&short[..2], &[1e6, 0.0], 10.0);
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

/// Random feeders over six intervals with two stores: never out of their bounds, never worse than
/// without them, and every interval's clearing is a clearing.
#[test]
fn stores_stay_in_their_bounds_and_never_cost_anything() {
    let mut gained = 0;
    for seed in 0..25 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (network, first) = random::sample(seed);
        let grid = Grid::new(&network).unwrap();
        let mut cases = vec![first; 6];
        for case in &mut cases {
            let factor = rng.random_range(0.2..1.8);
            for power in &mut case.fixed {
                power.p_w *= factor;
                power.q_var *= factor;
            }
            let import = rng.random_range(20..90);
            case.interface[0].import_price = Price(import * 1_000_000);
            case.interface[0].export_price = Price(import * 800_000);
        }
        let without = run(&grid, &cases);
        let nodes = network.node.len() as Id;
        for (id, number) in [(70, 700), (71, 701)] {
            let node = rng.random_range(1..nodes);
            let p = rng.random_range(1e5..2e6);
            for case in &mut cases {
                case.units.push(unit(id, node, -p, 0.7 * p));
            }
            let most = rng.random_range(10_000..3_000_000);
            let least = rng.random_range(0..most / 2);
            let of = Storage {
                energy_wh: rng.random_range(0..3_000_000),
                energy_min_wh: least,
                energy_max_wh: most,
                charge_ppm: rng.random_range(700_000..=PPM),
                discharge_ppm: rng.random_range(700_000..=PPM),
                wear: Price(rng.random_range(0..20_000_000)),
                end_value: Price(rng.random_range(0..60_000_000)),
            };
            let kind = Kind::Storage(of);
            cases[0]
                .orders
                .push(order(number, id, Direction::Sell, Vec::new(), kind));
        }
        let with = run(&grid, &cases);
        let mut idle = 0.0;
        for store in &with.stores {
            let placed = cases[0]
                .orders
                .iter()
                .find(|of| of.id == store.order)
                .unwrap();
            let Kind::Storage(of) = placed.terms.kind else {
                unreachable!()
            };
            let able = cases[0]
                .units
                .iter()
                .find(|unit| unit.id == store.unit)
                .unwrap()
                .capability;
            let mut energy = of.energy_wh as f64;
            idle -= of.end_value.per_mwh() * energy * 1e-6;
            for (p_w, after) in store.p_w.iter().zip(&store.energy_wh) {
                assert!(
                    (able.p_min_w..=able.p_max_w).contains(p_w),
                    "seed {seed}: {p_w}"
                );
                // By hand, in the quarter of an hour that an interval lasts.
                let expected = if *p_w > 0.0 {
                    energy - 0.25 * p_w / (f64::from(of.discharge_ppm) / 1e6)
                } else {
                    energy - 0.25 * p_w * (f64::from(of.charge_ppm) / 1e6)
                };
                assert!((expected - after).abs() < 1e-3, "seed {seed}: {store:?}");
                let low = (of.energy_min_wh as f64).min(energy);
                let high = (of.energy_max_wh as f64).max(energy);
                assert!(
                    (low - 1e-6..=high + 1e-6).contains(after),
                    "seed {seed}: {store:?}"
                );
                energy = *after;
            }
        }
        let violated = |of: &Horizon| {
            let all = of.intervals.iter();
            all.filter(|of| matches!(of.status, Status::LeastViolation { .. }))
                .count()
        };
        assert!(violated(&with) <= violated(&without), "seed {seed}");
        if violated(&without) == 0 {
            assert!(
                with.cost <= without.cost + idle + 1e-3,
                "seed {seed}: {} {}",
                with.cost,
                without.cost
            );
            gained += usize::from(with.cost < without.cost + idle - 0.01);
        }
        assert_eq!(run(&grid, &cases), with, "the same again");
    }
    assert!(gained > 15, "{gained}");
}

#[test]
fn contradictions_are_refused_by_name() {
    let grid = copper_plate();
    let refused = |change: &dyn Fn(&mut Vec<Case>)| {
        let mut cases = hours(&[20.0, 60.0]);
        with_store(&mut cases, 1, plain());
        change(&mut cases);
        clear_horizon(&grid, &cases, &Options::default())
            .unwrap_err()
            .to_string()
    };
    let storage = |of: Storage| {
        move |cases: &mut Vec<Case>| cases[0].orders[0].terms.kind = Kind::Storage(of)
    };
    for (text, expected) in [
        (refused(&|cases| cases.clear()), "number of intervals is 0"),
        (
            refused(&|cases| *cases = vec![cases[0].clone(); 97]),
            "number of intervals is 97",
        ),
        (
            refused(&storage(Storage {
                charge_ppm: 0,
                ..plain()
            })),
            "charge efficiency of order 500 is 0",
        ),
        (
            refused(&storage(Storage {
                discharge_ppm: PPM + 1,
                ..plain()
            })),
            "discharge efficiency of order 500",
        ),
        (
            refused(&storage(Storage {
                energy_max_wh: -1,
                ..plain()
            })),
            "most energy of order 500 is -1",
        ),
        (
            refused(&|cases| cases[1].units.clear()),
            "order 500 is for unit 50",
        ),
        (
            refused(&|cases| {
                let order = cases[0].orders.remove(0);
                cases[1].orders.push(order);
            }),
            "interval of order 500 is 1",
        ),
        (
            refused(&|cases| {
                let mut second = cases[0].orders[0].clone();
                second.id = OrderId(501);
                cases[0].orders.push(second);
            }),
            "storage or window order of unit 50 is there twice",
        ),
        (
            refused(&|cases| {
                let window = Window {
                    end: 7200,
                    energy_wh: 0,
                };
                let steps = vec![Step {
                    quantity_w: 1,
                    price: Price(0),
                }];
                cases
                    .iter_mut()
                    .for_each(|of| of.units.push(unit(60, 1, -1.0, 1.0)));
                let of = order(600, 60, Direction::Buy, steps, Kind::Window(window));
                cases[0].orders.push(of);
            }),
            "energy of order 600 is 0",
        ),
        (
            refused(&|cases| {
                let steps = vec![Step {
                    quantity_w: 1,
                    price: Price(0),
                }];
                let of = order(600, 50, Direction::Buy, steps, Kind::Energy);
                cases[1].orders.push(of);
            }),
            "unit (scheduled by order 500) of order 600 is 50",
        ),
    ] {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
    let unknown = |cases: &mut Vec<Case>| cases[1].fixed[0].node = 9;
    let mut cases = hours(&[20.0, 60.0]);
    unknown(&mut cases);
    let error = clear_horizon(&grid, &cases, &Options::default()).unwrap_err();
    assert!(
        matches!(error, ClearingError::UnknownNode { node: 9, .. }),
        "{error}"
    );
}

/// Figures at the ends of their range: an answer or a refusal, no panic, and in its bounds.
#[test]
fn absurd_stores_and_windows_end_in_an_answer_or_a_refusal() {
    let grid = copper_plate();
    let ends = [i64::MIN, -1, 0, 1, 1_000_000, i64::MAX];
    let mut answered = 0;
    for (k, &at) in ends.iter().enumerate() {
        for which in 0..8 {
            let mut cases = hours(&[20.0, 60.0, -30.0]);
            let mut of = plain();
            match which {
                0 => of.energy_wh = at,
                1 => of.energy_min_wh = at,
                2 => of.energy_max_wh = at,
                3 => of.wear = Price(at),
                4 => of.end_value = Price(at),
                _ => {}
            }
            with_store(&mut cases, 1, of);
            for case in &mut cases {
                case.units.push(unit(60, 1, -1e6, 1e6));
                if which == 5 {
                    case.units[0].capability.p_max_w = (at as f64).max(0.0);
                    case.units[0].capability.s_max_va = Some((at as f64).max(0.0));
                }
            }
            let kind = Kind::Window(Window {
                end: if which == 6 { at } else { 7200 },
                energy_wh: if which == 7 { at } else { 1_000_000 },
            });
            let steps = vec![Step {
                quantity_w: 500_000,
                price: Price(30_000_000),
            }];
            let mut window = order(600, 60, Direction::Buy, steps, kind);
            window.interval = if which == 6 {
                ends[ends.len() - 1 - k]
            } else {
                0
            };
            cases[0].orders.push(window);
            let Ok(found) = clear_horizon(&grid, &cases, &Options::default()) else {
                continue;
            };
            answered += 1;
            assert!(found.cost.is_finite(), "{which} {at}");
            let bought: f64 = found.windows[0].p_w.iter().map(|p| -p).sum();
            assert!(
                (0.0..=1_000_000.5f64.max(at as f64)).contains(&bought),
                "{which} {at}"
            );
            let store = &found.stores[0];
            assert!(
                store.p_w.iter().all(|p| p.abs() <= 1e6 || which == 5),
                "{which} {at}"
            );
        }
    }
    assert!(answered > 30, "{answered}");
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
