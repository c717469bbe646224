//! An exchange that is agreed on with the grid above: what is beyond it is at the interface's prices.

use solver::{
    market::{
        Ahead, Direction, Imbalance, Kind, Money, Party, Price, Rulebook, Step,
        clearing::{
            Case, Clearing, Interface, NodePower, Options, Scheduled, ScheduledReactive, Status,
            clear,
        },
        contracts, settle,
    },
    network::{Grid, Id},
};

use crate::{feeder, parts, random};

fn agreed(exchange_w: f64, price: i64) -> Scheduled {
    Scheduled {
        exchange_w,
        price: Price(price * 1_000_000),
        reactive: None,
    }
}

fn run(grid: &Grid, case: &Case) -> Clearing {
    let options = Options {
        tolerance: 1e-9,
        ..Options::default()
    };
    clear(grid, case, &options).unwrap()
}

/// The stressed feeder, with an exchange agreed on at 30, more at 70, less at 10.
fn kinked(exchange_w: f64) -> Case {
    let mut case = feeder::stressed().case;
    case.interface[0].import_price = Price(70_000_000);
    case.interface[0].export_price = Price(10_000_000);
    case.interface[0].scheduled = Some(agreed(exchange_w, 30));
    case
}

#[test]
fn nothing_agreed_on_is_as_it_was_and_is_not_written() {
    let case = feeder::stressed().case;
    let text = serde_json::to_string(&case.interface[0]).unwrap();
    assert!(!text.contains("scheduled"), "{text}");
    assert_eq!(
        serde_json::from_str::<Interface>(&text).unwrap(),
        case.interface[0]
    );
    // Nothing at a price is agreed on: the same but for the last digits.
    let mut nothing = case.clone();
    nothing.interface[0].scheduled = Some(agreed(0.0, 30));
    let grid = feeder::network();
    assert_eq!(run(&grid, &nothing), run(&grid, &case));
}

#[test]
fn what_is_agreed_on_is_kept_where_the_spread_is_wide() {
    let grid = feeder::network();
    let free = run(&grid, &feeder::stressed().case);
    let exchange_w = free.exchange[0].p_w.round() + 2e5;
    let case = kinked(exchange_w);
    let of = run(&grid, &case);
    assert_eq!(of.status, Status::Optimal);
    assert!(
        (of.exchange[0].p_w - exchange_w).abs() < 20.0,
        "{:?}",
        of.exchange
    );
    let price = of.exchange[0].price_per_mwh;
    assert!(price > 10.5 && price < 69.5, "{price}");
    // Cost is that of the orders, and of what is agreed on.
    let orders: f64 = case
        .orders
        .iter()
        .zip(&of.fills)
        .map(|(order, fill)| {
            let mut left = fill.quantity_w;
            let sign = if order.direction == Direction::Sell {
                1.0
            } else {
                -1.0
            };
            order
                .steps
                .iter()
                .map(|step| {
                    let taken = left.clamp(0.0, step.quantity_w as f64);
                    left -= taken;
                    sign * taken * 1e-6 * step.price.per_mwh()
                })
                .sum::<f64>()
        })
        .sum();
    let expected = orders + exchange_w * 1e-6 * 30.0;
    assert!(
        (of.cost_per_h - expected).abs() < 2e-3,
        "{} {expected}",
        of.cost_per_h
    );
}

/// At the kink and on either side of it.
#[test]
fn prices_are_what_a_little_more_load_costs() {
    let grid = feeder::network();
    let free = run(&grid, &feeder::stressed().case).exchange[0].p_w;
    for exchange_w in [free - 4e6, free + 2e5, free + 4e6] {
        let case = kinked(exchange_w);
        let of = run(&grid, &case);
        let cost = |node: Id, p_w: f64| {
            let mut case = case.clone();
            let (q_var, owner) = (0.0, None);
            case.fixed.push(NodePower {
                node,
                p_w,
                q_var,
                owner,
            });
            run(&grid, &case).cost_per_h
        };
        for node in [1, 5, 7, 14] {
            let step = 5e3;
            let slope = (cost(node, -step) - cost(node, step)) / (2.0 * step * 1e-6);
            let price = of
                .prices
                .iter()
                .find(|at| at.node == node)
                .unwrap()
                .p_per_mwh;
            assert!(
                (slope - price).abs() < 0.02 * price.abs().max(5.0),
                "{exchange_w}, node {node}: {slope} {price}"
            );
        }
    }
}

/// 100 kW are agreed on at 30, 80 kW are needed: 20 kW go back at 20; 150 kW: 50 kW more at 50.
#[test]
fn by_hand() {
    let (network, mut case) = random::sample(1);
    let grid = Grid::new(&network).unwrap();
    case.units.clear();
    case.orders.clear();
    case.limits.u_min_pu = 0.5;
    case.interface[0].import_price = Price(50_000_000);
    case.interface[0].export_price = Price(20_000_000);
    case.interface[0].scheduled = Some(agreed(1e5, 30));
    case.duration_s = 3600;
    let node = network.source[0].node;
    for (load_w, beyond) in [(8e4, -0.02 * 20.0), (1.5e5, 0.05 * 50.0)] {
        case.fixed = vec![NodePower {
            node,
            p_w: -load_w,
            q_var: 0.0,
            owner: None,
        }];
        let of = run(&grid, &case);
        // What else flows are the cables' losses.
        let lost = of.ac_check.losses_w;
        assert!(lost > 0.0 && lost < 1e3, "{lost}");
        let price = if beyond < 0.0 { 20.0 } else { 50.0 };
        let expected = 3.0 + beyond + price * lost * 1e-6;
        assert!(
            (of.cost_per_h - expected).abs() < 1e-6,
            "{} {expected}",
            of.cost_per_h
        );
        let made = contracts(&grid, &case, &of, &[], &Rulebook::default());
        // An hour, in millionths; energy is rounded to whole Wh.
        let received = made.received(&Party::Upstream).0 as f64;
        assert!(
            (received - 1e6 * expected).abs() <= price,
            "{received} {expected}"
        );
        let delivered = made.delivered_wh(&Party::Upstream) as f64;
        assert!((delivered - load_w - lost).abs() <= 1.0, "{delivered}");
        let settled = settle(0, &made, &[], &Imbalance::default());
        assert_eq!(settled.sum(), Money(0));
        let upstream = settled
            .statements
            .iter()
            .find(|of| of.party == Party::Upstream)
            .unwrap();
        assert_eq!(upstream.balance, made.received(&Party::Upstream));
    }
}

/// What goes back to the grid above from where it came uses no network, and pays no fee.
#[test]
fn what_is_not_taken_pays_no_grid_fee() {
    let (network, mut case) = random::sample(1);
    let grid = Grid::new(&network).unwrap();
    case.units.clear();
    case.orders.clear();
    case.fixed.clear();
    case.limits.u_min_pu = 0.5;
    case.interface[0].scheduled = Some(agreed(1e5, 30));
    let of = run(&grid, &case);
    let mut rulebook = Rulebook::default();
    rulebook.grid_fee.base = Price(5_000_000);
    let made = contracts(&grid, &case, &of, &[], &rulebook);
    let back = made
        .contracts
        .iter()
        .find(|of| of.seller.party == Party::Upstream && of.buyer.party == Party::Upstream);
    let back = back.unwrap();
    assert!(back.energy_wh > 24_000 && back.fee == Money(0), "{back:?}");
}

/// The limits of an interface are those of all that is exchanged, not of what is beyond.
#[test]
fn limits_are_of_the_whole_exchange() {
    let grid = feeder::network();
    let mut case = feeder::stressed().case;
    let free = run(&grid, &case).exchange[0].p_w;
    assert!(free > 1e6, "{free}");
    case.interface[0].scheduled = Some(agreed(free, 30));
    case.interface[0].import_max_w = Some(free - 1e4);
    let of = run(&grid, &case);
    assert_eq!(of.status, Status::Optimal);
    assert!(
        (of.exchange[0].p_w - (free - 1e4)).abs() < 20.0,
        "{}",
        of.exchange[0].p_w
    );
}

/// A limit that keeps from what is agreed on: the next W that it let through would be worth what a deviation costs.
#[test]
fn an_exchange_that_a_limit_holds_is_priced_as_a_deviation() {
    let grid = feeder::network();
    let free = run(&grid, &feeder::stressed().case).exchange[0].p_w;
    let mut case = kinked(free);
    case.interface[0].import_max_w = Some(free - 1e4);
    let price = run(&grid, &case).exchange[0].price_per_mwh;
    assert!((price - 10.0).abs() < 0.01, "{price}");
    // 1 MW at 20 is agreed on to be half of it exported, 300 kW can be: the rest would be bought back at 50.
    let (network, mut case) = random::sample(1);
    let grid = Grid::new(&network).unwrap();
    let node = network.source[0].node;
    case.units = vec![parts::unit(1, "p", node, (0.0, 1e6))];
    let steps = vec![Step {
        quantity_w: 1_000_000,
        price: Price(20_000_000),
    }];
    case.orders = vec![parts::order(
        1,
        &case.units[0],
        Direction::Sell,
        steps,
        Kind::Energy,
    )];
    case.fixed.clear();
    case.limits.u_min_pu = 0.5;
    case.limits.u_max_pu = 1.5;
    case.interface[0].import_price = Price(50_000_000);
    case.interface[0].export_price = Price(10_000_000);
    case.interface[0].scheduled = Some(agreed(-5e5, 30));
    case.interface[0].export_max_w = Some(3e5);
    let of = run(&grid, &case);
    assert!((of.exchange[0].p_w + 3e5).abs() < 20.0, "{:?}", of.exchange);
    let price = of.exchange[0].price_per_mwh;
    assert!((price - 50.0).abs() < 0.01, "{price}");
    let here = of.prices.iter().find(|at| at.node == node).unwrap();
    assert!((here.p_per_mwh - 20.0).abs() < 0.01, "{here:?}");
}

#[test]
fn reactive_exchange_is_as_agreed_on_where_units_can() {
    let grid = feeder::network();
    let mut case = feeder::der_all().case;
    let of = run(&grid, &case);
    let (p, q) = (of.exchange[0].p_w, of.exchange[0].q_var);
    let can: f64 = case.units.iter().map(|of| of.capability.q_max_var).sum();
    assert!(can > 1e5, "{can}");
    let mut with = |q_var: f64| {
        let reactive = ScheduledReactive {
            q_var,
            weight: Price(100_000_000),
        };
        case.interface[0].scheduled = Some(Scheduled {
            reactive: Some(reactive),
            ..agreed(p, 30)
        });
        run(&grid, &case)
    };
    for wanted in [q + 0.3 * can, q + 0.6 * can] {
        let of = with(wanted);
        assert_eq!(of.status, Status::Optimal);
        assert!(
            (of.exchange[0].q_var - wanted).abs() < 100.0,
            "{} {wanted}",
            of.exchange[0].q_var
        );
    }
    // Beyond what they can within the limits, as near as they come, and the rest is weighed.
    let of = with(q + 9.0 * can);
    let (reached, left) = (of.exchange[0].q_var, q + 9.0 * can - of.exchange[0].q_var);
    assert!(reached > q + can && left > 6.0 * can, "{reached} {left}");
    let plain = with(reached).cost_per_h;
    assert!(
        (of.cost_per_h - plain - 100.0 * left * 1e-6).abs() < 1.0,
        "{} {plain}",
        of.cost_per_h
    );
}

/// Nothing is agreed on for later intervals yet: the grid above is expected to take and give at the award's
/// price.
#[test]
fn later_intervals_are_at_the_awards_price() {
    let case = kinked(1e6);
    let ahead = Ahead {
        orders: vec![Vec::new()],
        expected: Vec::new(),
    };
    let cases = ahead.cases(&case);
    assert_eq!(cases[0], case);
    let later = cases[1].interface[0];
    let price = Price(30_000_000);
    assert_eq!(
        (later.import_price, later.export_price, later.scheduled),
        (price, price, None)
    );
    let plain = feeder::stressed().case;
    assert_eq!(ahead.cases(&plain)[1].interface, plain.interface);
}
