//! Calls: what they make of a case, by hand; what is paid for them; and what holds of any.

mod any;

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use solver::{
    market::{
        Ahead, Auction, Call, Called, Calls, Direction, Imbalance, Kind, Meter, MeterQuality,
        Money, Order, OrderId, PPM, Party, Price, Rulebook, StatementReason, Step, Storage, Terms,
        Unit, Window,
        clearing::{BranchLimit, Case, Fill, Status},
        settle,
    },
    network::{Grid, Id, pgm_json},
};

use crate::{parts, random};

const UNIT: Id = 300;
const MUST_RUN: Price = Price(-3_000_000_000);
const MUST_SERVE: Price = Price(3_000_000_000);

fn price(per_mwh: i64) -> Price {
    Price(per_mwh * 1_000_000)
}

fn order(id: u64, direction: Direction, steps: &[(i64, i64)], kind: Kind) -> Order {
    Order {
        id: OrderId(id),
        client_id: id.to_string(),
        participant: "owner".to_owned(),
        unit: UNIT,
        interval: 0,
        direction,
        steps: steps
            .iter()
            .map(|&(quantity_w, per_mwh)| Step {
                quantity_w,
                price: price(per_mwh),
            })
            .collect(),
        terms: Terms {
            kind,
            ..Terms::default()
        },
    }
}

fn energy(id: u64, direction: Direction, steps: &[(i64, i64)]) -> Order {
    order(id, direction, steps, Kind::Energy)
}

fn call(unit: Id, (p_min_w, p_max_w): (Option<i64>, Option<i64>), per_mwh: i64) -> Order {
    let kind = Kind::Call(Call {
        p_min_w,
        p_max_w,
        compensation: price(per_mwh),
        end: None,
    });
    Order {
        participant: "grid".to_owned(),
        unit,
        ..order(
            900 + u64::from(unit.unsigned_abs()),
            Direction::Sell,
            &[],
            kind,
        )
    }
}

fn calls(orders: Vec<Order>) -> Calls {
    Calls {
        must_run: MUST_RUN,
        must_serve: MUST_SERVE,
        orders,
        later: Vec::new(),
    }
}

/// An ideal source and a node next to it, with 5 MW of load and one unit; a quarter of an hour.
fn case(able: (f64, f64), orders: Vec<Order>) -> Case {
    Case {
        fixed: vec![parts::fixed(1, -5e6, 0.0)],
        units: vec![parts::unit(UNIT, "owner", 1, able)],
        orders,
        limits: parts::within(0.9, 1.1),
        ..parts::empty(1000, price(50), price(50))
    }
}

/// What is lost on the way is far below what is compared.
fn grid() -> Grid {
    let network = json!({"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 0, "u_rated": 20e3}, {"id": 1, "u_rated": 20e3}],
        "line": [{"id": 10, "from_node": 0, "to_node": 1, "from_status": 1, "to_status": 1,
            "r1": 1e-5, "x1": 1e-4, "c1": 0.0, "tan1": 0.0, "i_n": 150.0}],
        "source": [{"id": 1000, "node": 0, "status": 1, "u_ref": 1.0, "sk": 1e15}],
    }});
    Grid::new(&pgm_json::read(&network.to_string()).unwrap()).unwrap()
}

fn store(energy_wh: i64) -> Kind {
    Kind::Storage(Storage {
        energy_wh,
        energy_min_wh: 100,
        energy_max_wh: 1000,
        charge_ppm: PPM / 2,
        discharge_ppm: PPM / 10 * 9,
        wear: Price(0),
        end_value: price(50),
    })
}

/// What becomes of the unit: capability, what it has to do, steps that are left of its orders.
type Becomes = ((f64, f64), Option<(Direction, i64)>, Vec<Vec<i64>>);

fn becomes(case: &Case, bounds: (Option<i64>, Option<i64>)) -> (Called, Becomes) {
    let calls = calls(vec![call(UNIT, bounds, 0)]);
    let called = Called::new(case, &calls.orders, &calls, &BTreeSet::new());
    let of = &called.case.units[0].capability;
    let (mut must, mut left) = (None, Vec::new());
    for order in &called.case.orders {
        if order.terms.must {
            let expected = match order.direction {
                Direction::Sell => MUST_RUN,
                Direction::Buy => MUST_SERVE,
            };
            assert_eq!(order.steps[0].price, expected);
            must = Some((order.direction, order.steps[0].quantity_w));
        } else {
            left.push(order.steps.iter().map(|step| step.quantity_w).collect());
        }
    }
    let becomes = ((of.p_min_w, of.p_max_w), must, left);
    (called, becomes)
}

#[test]
fn a_call_takes_from_what_a_unit_can_do_and_makes_must_run_of_the_rest() {
    use Direction::{Buy, Sell};
    let sells = [
        energy(1, Sell, &[(1000, 30), (500, 40)]),
        energy(2, Sell, &[(800, 20)]),
    ];
    let both = [
        energy(1, Sell, &[(2000, 30)]),
        energy(2, Buy, &[(900, 20), (900, 10)]),
    ];
    let (generator, battery) = ((0.0, 3000.0), (-3000.0, 3000.0));
    let all = vec![vec![1000, 500], vec![800]];
    for (able, orders, bounds, expected) in [
        // A cap only takes from the capability.
        (
            generator,
            &sells,
            (None, Some(1500)),
            ((0.0, 1500.0), None, all.clone()),
        ),
        (
            generator,
            &sells,
            (Some(0), Some(0)),
            ((0.0, 0.0), None, all),
        ),
        // A floor is served from the best prices first; the rest is offered as before.
        (
            generator,
            &sells,
            (Some(1200), None),
            (
                (0.0, 3000.0),
                Some((Sell, 1200)),
                vec![vec![600, 500], vec![]],
            ),
        ),
        // A fixed power leaves nothing to offer.
        (
            generator,
            &sells,
            (Some(1200), Some(1200)),
            ((0.0, 1200.0), Some((Sell, 1200)), vec![vec![], vec![]]),
        ),
        // And is asked for whether or not anything was offered, as far as the unit can.
        (
            generator,
            &sells,
            (Some(9000), None),
            ((0.0, 3000.0), Some((Sell, 3000)), vec![vec![], vec![]]),
        ),
        // A battery that has to charge does not sell, and bids for more up to the floor.
        (
            battery,
            &both,
            (Some(-1500), Some(-1000)),
            (
                (-1500.0, 0.0),
                Some((Buy, 1000)),
                vec![vec![2000], vec![500]],
            ),
        ),
        (
            battery,
            &both,
            (Some(-500), Some(700)),
            ((-500.0, 700.0), None, vec![vec![2000], vec![900, 900]]),
        ),
    ] {
        let case = case(able, orders.to_vec());
        assert_eq!(becomes(&case, bounds).1, expected, "{able:?} {bounds:?}");
    }
}

#[test]
fn a_called_store_or_window_stays_within_its_bounds() {
    use Direction::{Buy, Sell};
    let window = Kind::Window(Window {
        end: 9000,
        energy_wh: 200,
    });
    let battery = (-3000.0, 3000.0);
    for (of, bounds, expected) in [
        // 500 Wh above its least at 90 % are 1800 W for a quarter of an hour.
        (
            order(1, Sell, &[], store(600)),
            (Some(2500), None),
            ((0.0, 3000.0), Some((Sell, 1800)), vec![]),
        ),
        (
            order(1, Sell, &[], store(600)),
            (Some(700), None),
            ((0.0, 3000.0), Some((Sell, 700)), vec![]),
        ),
        (
            order(1, Sell, &[], store(100)),
            (Some(700), None),
            ((0.0, 3000.0), None, vec![]),
        ),
        // Room for 400 Wh, of which half arrives: 3200 W.
        (
            order(1, Sell, &[], store(600)),
            (None, Some(-2000)),
            ((-3000.0, 0.0), Some((Buy, 2000)), vec![]),
        ),
        (
            order(1, Sell, &[], store(900)),
            (None, Some(-2000)),
            ((-3000.0, 0.0), Some((Buy, 800)), vec![]),
        ),
        // What is not forced goes on to be scheduled, within the call.
        (
            order(1, Sell, &[], store(600)),
            (None, Some(700)),
            ((-3000.0, 700.0), None, vec![vec![]]),
        ),
        // 200 Wh in a quarter of an hour, at most 700 W at once; none of it where it is the other way.
        (
            order(1, Buy, &[(2000, 9)], window),
            (None, Some(-1500)),
            ((-3000.0, 0.0), Some((Buy, 800)), vec![]),
        ),
        (
            order(1, Buy, &[(700, 9)], window),
            (None, Some(-1500)),
            ((-3000.0, 0.0), Some((Buy, 700)), vec![]),
        ),
        (
            order(1, Sell, &[(700, 9)], window),
            (None, Some(-1500)),
            ((-3000.0, 0.0), Some((Buy, 1500)), vec![]),
        ),
    ] {
        let case = case(battery, vec![of.clone()]);
        assert_eq!(becomes(&case, bounds).1, expected, "{of:?} {bounds:?}");
    }
}

#[test]
fn what_a_unit_has_to_do_fills_its_own_orders() {
    let sells = vec![
        energy(1, Direction::Sell, &[(1000, 100)]),
        energy(2, Direction::Sell, &[(800, 90)]),
    ];
    for (floor, expected) in [
        (700, [0.0, 700.0]),
        (1000, [200.0, 800.0]),
        (2500, [1000.0, 800.0]),
    ] {
        let case = case((0.0, 3000.0), sells.clone());
        let (result, _) = cleared(case, (Some(floor), None), 60);
        let fills: Vec<f64> = result
            .clearing
            .fills
            .iter()
            .map(|of| of.quantity_w)
            .collect();
        for (fill, expected) in fills.iter().zip(expected) {
            assert!((fill - expected).abs() < 1e-6, "{floor}: {fills:?}");
        }
        let award = result.clearing.awards[0].p_w;
        assert!((award - floor as f64).abs() < 1e-6, "{award}");
    }
    // A store's fill is negative where it charges.
    let case = case(
        (-3000.0, 3000.0),
        vec![order(1, Direction::Sell, &[], store(600))],
    );
    let (result, _) = cleared(case, (None, Some(-2000)), 60);
    let [Fill { quantity_w, .. }] = result.clearing.fills[..] else {
        panic!("{:?}", result.clearing.fills);
    };
    assert!((quantity_w + 2000.0).abs() < 1e-6, "{quantity_w}");
}

fn cleared(
    case: Case,
    bounds: (Option<i64>, Option<i64>),
    per_mwh: i64,
) -> (solver::market::AuctionResult, solver::market::Contracts) {
    let scheduled = case
        .orders
        .iter()
        .any(|of| matches!(of.terms.kind, Kind::Storage(_)));
    let auction = Auction {
        case,
        pairs: Vec::new(),
        ahead: scheduled.then(Ahead::default),
        calls: Some(calls(vec![call(UNIT, bounds, per_mwh)])),
    };
    let (grid, rulebook) = (grid(), Rulebook::default());
    let result = auction.clear(&grid, &rulebook).unwrap();
    let contracts = auction.contracts(&grid, &result, &rulebook);
    (result, contracts)
}

/// By hand: 50 per MWh from above, a quarter of an hour. 2 MW at 10 are taken whole, a megawatt at 100 is not.
#[test]
fn the_difference_is_paid_by_who_called() {
    for (asked, bounds, energy_wh, received) in [
        // From 500 kWh to 125 kWh.
        (10, (None, Some(500_000)), -375_000, 30 * 375_000),
        // From nothing to 100 kWh.
        (100, (Some(400_000), None), 100_000, 30 * 100_000),
        // It does so anyway.
        (10, (Some(400_000), None), 0, 0),
        (100, (None, Some(500_000)), 0, 0),
        (10, (None, Some(2_000_000)), 0, 0),
    ] {
        let sells = energy(1, Direction::Sell, &[(2_000_000, asked)]);
        let (result, made) = cleared(case((0.0, 2e6), vec![sells]), bounds, 30);
        assert_eq!(result.clearing.status, Status::Optimal);
        let (owner, dso) = (
            Party::Participant("owner".to_owned()),
            Party::Participant("grid".to_owned()),
        );
        let paid: Vec<(i64, i64)> = made
            .calls
            .iter()
            .map(|c| (c.energy_wh, c.received.0))
            .collect();
        let expected = (energy_wh != 0).then_some((energy_wh, received));
        assert_eq!(paid, expected.into_iter().collect::<Vec<_>>(), "{bounds:?}");
        assert_eq!(made.received(&dso), Money(-received));
        let award = &result.clearing.awards[0];
        let meters = [Meter {
            party: owner.clone(),
            unit: Some(UNIT),
            node: 1,
            delivered_wh: (award.p_w / 4.0).round() as i64,
            quality: MeterQuality::Metered,
        }];
        let settlement = settle(0, &made, &meters, &Imbalance::default());
        assert_eq!(settlement.sum(), Money(0));
        let of = |party: &Party| settlement.statements.iter().find(|of| of.party == *party);
        let balance = |party: &Party| of(party).map_or(Money(0), |of| of.balance);
        assert_eq!(balance(&owner), made.received(&owner));
        assert_eq!(balance(&dso), Money(-received));
        let lines = of(&owner)
            .iter()
            .flat_map(|of| &of.lines)
            .filter(|l| l.reason == StatementReason::Call)
            .count();
        assert_eq!(lines, usize::from(energy_wh != 0));
    }
}

/// The cheap unit may no longer serve all of the load, so the dear one does: of its own accord, whatever it is
/// called to besides.
#[test]
fn what_other_calls_change_is_not_paid_for() {
    let mut case = case(
        (0.0, 2e6),
        vec![energy(1, Direction::Sell, &[(2_000_000, 10)])],
    );
    case.fixed[0].p_w = -1.5e6;
    case.interface[0].export_price = Price(0);
    case.units.push(Unit {
        id: 301,
        ..case.units[0].clone()
    });
    case.orders.push(Order {
        unit: 301,
        ..energy(2, Direction::Sell, &[(2_000_000, 40)])
    });
    let auction = Auction {
        case,
        pairs: Vec::new(),
        ahead: None,
        calls: Some(calls(vec![
            call(UNIT, (None, Some(500_000)), 30),
            call(301, (Some(0), Some(2_000_000)), 70),
        ])),
    };
    let (grid, rulebook) = (grid(), Rulebook::default());
    let result = auction.clear(&grid, &rulebook).unwrap();
    let dear = result.clearing.awards[1].p_w;
    assert!((dear - 1e6).abs() < 1e3, "{dear}");
    let made = auction.contracts(&grid, &result, &rulebook);
    let [paid] = &made.calls[..] else {
        panic!("{:?}", made.calls);
    };
    assert_eq!(paid.called.unit, Some(UNIT));
    // From 1.5 MW and what is lost on the way to 0.5 MW.
    assert!((paid.energy_wh + 250_000).abs() <= 100, "{paid:?}");
}

/// 150 A at 20 kV are 5.196 MW. With 5 MW of load taken away a generator may feed that much and no more,
/// whatever it is called to: limits go before floors.
#[test]
fn what_the_network_cannot_carry_is_not_called_for() {
    let mut case = case((0.0, 9e6), Vec::new());
    case.fixed.clear();
    case.limits.branches = vec![BranchLimit {
        branch: 10,
        loading_max: 1.0,
    }];
    let (result, made) = cleared(case, (Some(8_000_000), None), 30);
    assert_eq!(result.clearing.status, Status::Optimal, "{result:?}");
    let award = result.clearing.awards[0].p_w;
    assert!((award - 3f64.sqrt() * 20e3 * 150.0).abs() < 5e3, "{award}");
    assert_eq!(
        made.calls[0].energy_wh,
        (award / 4.0).round_ties_even() as i64
    );
}

/// So is what it has to give then: empty, it charges now for what it has to, and at no price that would pay.
#[test]
fn a_store_charges_for_a_later_call() {
    let kind = Kind::Storage(Storage {
        energy_min_wh: 0,
        energy_wh: 0,
        energy_max_wh: 1000,
        charge_ppm: PPM,
        discharge_ppm: PPM,
        wear: price(1),
        end_value: Price(0),
    });
    for (least_w, expected_w) in [(0, 0.0), (1500, -1500.0)] {
        let auction = Auction {
            case: case(
                (-2000.0, 2000.0),
                vec![order(1, Direction::Sell, &[], kind)],
            ),
            pairs: Vec::new(),
            ahead: Some(Ahead {
                orders: vec![Vec::new()],
                expected: Vec::new(),
            }),
            calls: Some(Calls {
                later: vec![vec![call(UNIT, (Some(least_w), None), 10)]],
                ..calls(Vec::new())
            }),
        };
        let result = auction.clear(&grid(), &Rulebook::default()).unwrap();
        let award = result.clearing.awards[0].p_w;
        assert!((award - expected_w).abs() < 1.0, "{least_w}: {award}");
        let looked = result.looked.unwrap();
        assert!(
            looked.stores[0].p_w[1] >= least_w as f64 - 1.0,
            "{looked:?}"
        );
    }
}

/// A later interval's cap is in view: the store that may not deliver then does so now.
#[test]
fn calls_of_later_intervals_are_in_view() {
    let kind = Kind::Storage(Storage {
        energy_min_wh: 0,
        energy_wh: 500,
        energy_max_wh: 1000,
        charge_ppm: PPM,
        discharge_ppm: PPM,
        wear: price(1),
        end_value: Price(0),
    });
    // An expensive generator offers nothing but for the later interval, in which energy is worth more.
    for (bounds, expected_w) in [((None, Some(2000)), 0.0), ((None, Some(0)), 2000.0)] {
        let mut now = case(
            (-2000.0, 2000.0),
            vec![order(1, Direction::Sell, &[], kind)],
        );
        now.units.push(Unit {
            id: 301,
            ..now.units[0].clone()
        });
        now.units[1].capability.p_min_w = -3000.0;
        let buys = Order {
            unit: 301,
            ..energy(2, Direction::Buy, &[(3000, 80)])
        };
        now.interface[0].import_max_w = Some(5_001_000.0);
        let ahead = Ahead {
            orders: vec![vec![buys]],
            expected: Vec::new(),
        };
        let auction = Auction {
            case: now,
            pairs: Vec::new(),
            ahead: Some(ahead),
            calls: Some(Calls {
                later: vec![vec![call(UNIT, bounds, 10)]],
                ..calls(Vec::new())
            }),
        };
        let result = auction.clear(&grid(), &Rulebook::default()).unwrap();
        let award = result.clearing.awards[0].p_w;
        assert!((award - expected_w).abs() < 1.0, "{bounds:?}: {award}");
        assert_eq!(result.without_calls, []);
    }
}
