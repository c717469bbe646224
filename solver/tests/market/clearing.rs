//! Prices against finite differences; what cannot be met; what is refused.

use solver::{
    market::{
        Capability, Direction, Kind, Order, OrderId, Party, Price, Rulebook, Step, Terms, Unit,
        clearing::{
            BranchLimit, Case, Clearing, ClearingError, Limit, NodeLimit, NodePower, Options,
            Status, clear,
        },
        contracts,
    },
    network::Id,
};

use crate::{feeder, parts};

fn run(case: &Case) -> Clearing {
    clear(&feeder::network(), case, &Options::default()).unwrap()
}

/// Cost with more load at a node.
fn cost_with(case: &Case, node: Id, p_w: f64, q_var: f64) -> f64 {
    let mut case = case.clone();
    case.fixed.push(NodePower {
        node,
        p_w: -p_w,
        q_var: -q_var,
        owner: None,
    });
    let options = Options {
        tolerance: 1e-9,
        ..Options::default()
    };
    clear(&feeder::network(), &case, &options)
        .unwrap()
        .cost_per_h
}

#[test]
fn prices_are_what_a_little_more_load_costs() {
    let case = feeder::stressed().case;
    let clearing = run(&case);
    let price = |node: Id| *clearing.prices.iter().find(|at| at.node == node).unwrap();
    for node in [1, 2, 5, 7, 9, 11, 14] {
        let step = 5e3;
        let cost = cost_with(&case, node, step, 0.0) - cost_with(&case, node, -step, 0.0);
        let (slope, price) = (cost / (2.0 * step * 1e-6), price(node).p_per_mwh);
        assert!(
            (slope / price - 1.0).abs() < 0.01,
            "node {node}: {slope} against {price}"
        );
    }
    // Reactive power, where it is worth anything.
    for node in [1, 2, 3, 6] {
        let step = 2e4;
        let cost = cost_with(&case, node, 0.0, step) - cost_with(&case, node, 0.0, -step);
        let (slope, price) = (cost / (2.0 * step * 1e-6), price(node).q_per_mvarh);
        assert!(
            (slope / price - 1.0).abs() < 0.01,
            "node {node}: {slope} against {price}"
        );
    }
}

#[test]
fn a_shadow_price_is_what_relief_saves() {
    let mut case = feeder::stressed().case;
    let clearing = run(&case);
    let line = |branch: Id| move |limit: &Limit| matches!(*limit, Limit::Current { branch: id, .. } if id == branch);
    let shadow: f64 = clearing
        .binding
        .iter()
        .filter(|of| line(16)(&of.limit))
        .map(|of| of.shadow_price_per_h)
        .sum();
    // 0.1 A either way; much further on line 15, in series, takes over.
    let cost = |loading_max: f64, case: &mut Case| {
        case.limits.branches = vec![BranchLimit {
            branch: 16,
            loading_max,
        }];
        run(case).cost_per_h
    };
    let step = 0.1 / 145.0;
    let slope = (cost(1.0 - step, &mut case) - cost(1.0 + step, &mut case)) / 0.2;
    assert!(
        (slope / shadow - 1.0).abs() < 0.02,
        "{slope} against {shadow}"
    );
}

#[test]
fn an_impossible_voltage_limit_is_named() {
    let mut case = feeder::stressed().case;
    // The source holds 1.03 and nothing can pull node 1, behind a transformer, to 0.9.
    case.limits.nodes.push(NodeLimit {
        node: 1,
        u_min_pu: 0.85,
        u_max_pu: 0.9,
    });
    let clearing = run(&case);
    let Status::LeastViolation { violated, .. } = &clearing.status else {
        panic!("{:?}", clearing.status);
    };
    assert_eq!(violated.len(), 1, "{violated:?}");
    assert_eq!(violated[0].limit, Limit::UMax { node: 1 });
    assert!(violated[0].value > violated[0].bound, "{violated:?}");
    assert!(
        violated[0]
            .to_string()
            .starts_with("highest voltage at node 1")
    );
    // The others still hold, and the prices are still somebody's.
    assert!(
        clearing.ac_check.u_max_pu.1 < 1.0501,
        "{:?}",
        clearing.ac_check
    );
    assert!(
        clearing
            .prices
            .iter()
            .all(|price| price.p_per_mwh.abs() <= 50.0)
    );
}

#[test]
fn an_impossible_import_limit_is_named() {
    let mut case = feeder::der_all().case;
    case.interface[0].import_max_w = Some(1e6);
    let clearing = run(&case);
    let Status::LeastViolation { violated, .. } = &clearing.status else {
        panic!("{:?}", clearing.status);
    };
    assert_eq!(violated[0].limit, Limit::Import { source: 30 });
    assert!(violated[0].value > 40e6, "{violated:?}");
    assert_eq!(
        violated.len(),
        1,
        "what does harm is not given up for a contract: {violated:?}"
    );
}

#[test]
fn an_impossible_export_limit_is_named() {
    let mut case = exporting();
    case.units.clear();
    case.orders.clear();
    case.fixed.push(NodePower {
        node: 1,
        p_w: 5e6,
        q_var: 0.0,
        owner: None,
    });
    case.interface[0].export_max_w = Some(1e6);
    let clearing = run(&case);
    let Status::LeastViolation { violated, .. } = &clearing.status else {
        panic!("{:?}", clearing.status);
    };
    assert_eq!(violated.len(), 1, "{violated:?}");
    assert_eq!(violated[0].limit, Limit::Export { source: 30 });
    // 5 MW less what the network loses on the way.
    assert!((4.8e6..5e6).contains(&violated[0].value), "{violated:?}");
}

#[test]
fn an_import_limit_that_can_be_met_is_met() {
    let mut case = feeder::stressed().case;
    case.interface[0].import_max_w = Some(7.23e6);
    let clearing = run(&case);
    assert!(
        !matches!(clearing.status, Status::LeastViolation { .. }),
        "{:?}",
        clearing.status
    );
    assert!(
        clearing.exchange[0].p_w < 7.23e6 * 1.001,
        "{:?}",
        clearing.exchange
    );
    let limit = Limit::Import { source: 30 };
    assert!(
        clearing.binding.iter().any(|of| of.limit == limit),
        "{:?}",
        clearing.binding
    );
}

#[test]
fn a_budget_of_one_still_ends_with_a_checked_dispatch() {
    let options = Options {
        max_iterations: 1,
        ..Options::default()
    };
    let case = feeder::stressed().case;
    let clearing = clear(&feeder::network(), &case, &options).unwrap();
    assert_eq!(clearing.iterations, 1);
    assert_ne!(clearing.status, Status::Optimal);
    assert_eq!(clearing.awards.len(), case.units.len());
}

/// No programme, no promise: the record still has to be readable (JSON has no infinity).
#[test]
fn a_budget_of_nothing_ends_with_nothing_awarded() {
    let options = Options {
        max_iterations: 0,
        ..Options::default()
    };
    let case = feeder::stressed().case;
    let clearing = clear(&feeder::network(), &case, &options).unwrap();
    assert!(clearing.awards.iter().all(|award| award.p_w == 0.0));
    let Status::Feasible { gap_per_h } = clearing.status else {
        panic!("{:?}", clearing.status);
    };
    // It cannot promise less than what there is to gain: the optimum is 585.58 per h.
    assert!(gap_per_h.is_finite() && gap_per_h > clearing.cost_per_h - 585.58);
    let text = serde_json::to_string(&clearing).unwrap();
    assert_eq!(serde_json::from_str::<Clearing>(&text).unwrap(), clearing);
}

fn unit(id: Id, node: Id, p_min_w: f64, p_max_w: f64) -> Unit {
    parts::unit(id, "storage", node, (p_min_w, p_max_w))
}

fn order(id: u64, unit: Id, direction: Direction, steps: &[(i64, i64)]) -> Order {
    let steps = steps.iter().map(|&(quantity_w, price)| Step {
        quantity_w,
        price: Price(price * 1_000_000),
    });
    let of = self::unit(unit, 0, 0.0, 0.0);
    parts::order(id, &of, direction, steps.collect(), Kind::Energy)
}

/// A battery that has been ordered for at its nameplate and is nearly empty, or full, at the gate.
/// By hand: energy is worth about 50 per MWh everywhere, so that all of these would be taken.
#[test]
fn a_unit_is_awarded_no_more_than_it_can_do_now() {
    let mut case = feeder::der_all().case;
    case.units.extend([
        unit(301, 5, -100e3, 400e3),
        unit(302, 6, -100e3, 0.0),
        unit(303, 7, 0.0, 0.5),
    ]);
    case.orders.extend([
        order(301, 301, Direction::Sell, &[(300_000, 20), (300_000, 25)]),
        order(302, 301, Direction::Sell, &[(100_000, 25)]),
        order(303, 302, Direction::Buy, &[(70_000, 90), (200_000, 80)]),
        order(304, 302, Direction::Sell, &[(50_000, 1)]),
        order(305, 303, Direction::Sell, &[(i64::MAX, 1)]),
    ]);
    let clearing = run(&case);
    assert_eq!(clearing.status, Status::Optimal);
    let fill = |id| {
        let found = clearing.fills.iter().find(|of| of.order == OrderId(id));
        found.unwrap().quantity_w
    };
    // The better price whole; 100 kW are left for 400 kW at the other.
    for (id, expected) in [
        (301, 375e3),
        (302, 25e3),
        (303, 100e3),
        (304, 0.0),
        (305, 0.0),
    ] {
        assert!((fill(id) - expected).abs() < 1e-3, "{id}: {}", fill(id));
    }
    for (award, expected) in clearing.awards.iter().rev().zip([0.0, -100e3, 400e3]) {
        assert!((award.p_w - expected).abs() < 1e-3, "{award:?}");
    }
}

#[test]
fn who_takes_no_setpoints_is_asked_for_no_reactive_power() {
    let mut case = feeder::stressed().case;
    let wind = case.units.iter().position(|unit| unit.id == 101).unwrap();
    assert!(run(&case).awards[wind].q_var.abs() > 1e3);
    case.units[wind].dispatchable = false;
    assert_eq!(run(&case).awards[wind].q_var, 0.0);
}

/// No load, and the grid above pays 48 where it takes 50.
fn exporting() -> Case {
    let mut case = feeder::stressed().case;
    case.fixed.clear();
    case.interface[0].export_price = Price(48_000_000);
    case
}

#[test]
fn what_is_exported_earns_the_export_price() {
    let case = exporting();
    let clearing = run(&case);
    assert_eq!(clearing.status, Status::Optimal);
    let export_w = -clearing.exchange[0].p_w;
    assert!(export_w > 1e6, "{export_w}");
    let grid = feeder::network();
    let made = contracts(&grid, &case, &clearing, &[], &Rulebook::default());
    let bought_wh = -made.delivered_wh(&Party::Upstream);
    // 15 min of it, at 48 per MWh in micro-currency.
    assert!((bought_wh as f64 - export_w / 4.0).abs() <= 0.5);
    assert_eq!(-made.received(&Party::Upstream).0, 48 * bought_wh);
    let orders: f64 = (case.orders.iter().zip(&clearing.fills))
        .map(|(order, fill)| {
            (
                order.steps[0].price.per_mwh(),
                order,
                fill.quantity_w * 1e-6,
            )
        })
        .map(|(price, order, mw)| match order.direction {
            Direction::Sell => price * mw,
            Direction::Buy => -price * mw,
        })
        .sum();
    let cost = orders - 48e-6 * export_w;
    assert!((clearing.cost_per_h - cost).abs() < 1e-3, "{cost}");
}

#[test]
fn an_export_limit_that_can_be_met_is_met() {
    let mut case = exporting();
    case.interface[0].export_max_w = Some(1e6);
    let clearing = run(&case);
    assert_eq!(clearing.status, Status::Optimal);
    let export_w = -clearing.exchange[0].p_w;
    assert!((export_w / 1e6 - 1.0).abs() < 1e-3, "{export_w}");
    let limit = Limit::Export { source: 30 };
    assert!(
        clearing.binding.iter().any(|of| of.limit == limit),
        "{:?}",
        clearing.binding
    );
}

#[test]
fn without_orders_the_grid_above_serves_the_load() {
    let mut case = feeder::der_all().case;
    case.orders.clear();
    case.units.clear();
    let clearing = run(&case);
    let load: f64 = case.fixed.iter().map(|power| -power.p_w).sum();
    let import = clearing.exchange[0].p_w;
    assert!(
        (import - load - clearing.ac_check.losses_w).abs() < 5.0,
        "{import} {load}"
    );
    assert!((clearing.cost_per_h - 50e-6 * import).abs() < 1e-6);
}

#[test]
fn equal_orders_at_a_node_share_in_proportion() {
    let mut case = feeder::stressed().case;
    let wind = case.units.iter().position(|unit| unit.id == 101).unwrap();
    let mut twin = case.units[wind].clone();
    twin.id = 201;
    twin.capability.p_max_w = 2.5e6;
    case.units.push(twin);
    let order = case
        .orders
        .iter()
        .find(|order| order.unit == 101)
        .unwrap()
        .clone();
    case.orders.push(Order {
        id: OrderId(100),
        client_id: "twin".to_owned(),
        unit: 201,
        terms: Terms::default(),
        steps: vec![Step {
            quantity_w: 2_500_000,
            ..order.steps[0]
        }],
        ..order
    });
    let clearing = run(&case);
    let award = |unit: Id| {
        clearing
            .awards
            .iter()
            .find(|of| of.unit == unit)
            .unwrap()
            .p_w
    };
    assert!(award(101) > 1e6, "{}", award(101));
    assert!((award(101) / award(201) - 3.0).abs() < 1e-9);
}

#[test]
fn apparent_power_of_a_unit_and_of_a_transformer_hold() {
    let mut case = feeder::stressed().case;
    let wind = case.units.iter_mut().find(|unit| unit.id == 101).unwrap();
    wind.capability.s_max_va = Some(4e6);
    // Both transformers carry 6 MVA or so.
    case.limits.branches.push(BranchLimit {
        branch: 92,
        loading_max: 0.25,
    });
    let clearing = run(&case);
    let award = clearing.awards.iter().find(|of| of.unit == 101).unwrap();
    assert!(award.p_w.hypot(award.q_var) < 4e6 * 1.0001, "{award:?}");
    let tight = Limit::Apparent {
        branch: 92,
        side: solver::network::Side::From,
    };
    let Status::LeastViolation { violated, .. } = &clearing.status else {
        panic!("{:?}", clearing.status);
    };
    // Nothing sells behind transformer 92, so its load cannot be lowered.
    assert!(violated.iter().any(|of| of.limit == tight), "{violated:?}");
}

#[test]
fn a_load_behind_a_rating_is_curtailed_to_it() {
    let mut case = feeder::der_all().case;
    // 3 MW at node 14 would buy at 60; lines 25 and 26 carry 195 A, here limited to 50 A.
    case.units.push(Unit {
        id: 300,
        participant: "furnace".to_owned(),
        node: 14,
        capability: Capability {
            p_min_w: -3e6,
            p_max_w: 0.0,
            q_max_var: 0.0,
            s_max_va: None,
        },
        dispatchable: true,
    });
    case.orders.push(Order {
        id: OrderId(300),
        client_id: "heat".to_owned(),
        participant: "furnace".to_owned(),
        unit: 300,
        interval: 0,
        direction: Direction::Buy,
        terms: Terms::default(),
        steps: vec![Step {
            quantity_w: 3_000_000,
            price: Price(60_000_000),
        }],
    });
    case.limits.branches.push(BranchLimit {
        branch: 25,
        loading_max: 50.0 / 195.0,
    });
    let clearing = run(&case);
    assert_eq!(clearing.status, Status::Optimal);
    let award = clearing.awards.iter().find(|of| of.unit == 300).unwrap();
    assert!(award.p_w < -5e5 && award.p_w > -2.5e6, "{award:?}");
    let price = clearing
        .prices
        .iter()
        .find(|at| at.node == 14)
        .unwrap()
        .p_per_mwh;
    assert!(
        (price - 60.0).abs() < 0.01,
        "taken in part, it sets the price: {price}"
    );
}

#[test]
fn contradictions_are_refused_by_name() {
    let good = feeder::stressed().case;
    let grid = feeder::network();
    let refused = |change: &dyn Fn(&mut Case)| {
        let mut case = good.clone();
        change(&mut case);
        clear(&grid, &case, &Options::default()).unwrap_err()
    };
    assert_eq!(
        refused(&|case| case.units[2].node = 77),
        ClearingError::UnknownNode {
            what: "unit 95".to_owned(),
            node: 77
        }
    );
    assert_eq!(
        refused(&|case| case.orders[3].unit = 9),
        ClearingError::UnknownUnit {
            order: OrderId(4),
            unit: 9
        }
    );
    assert_eq!(
        refused(&|case| case.interface.clear()),
        ClearingError::NoInterface { source_id: 30 }
    );
    assert_eq!(
        refused(&|case| case.interface[0].source = 5),
        ClearingError::UnknownSource { source_id: 5 }
    );
    assert_eq!(
        refused(&|case| case.interface[0].export_price = Price(51_000_000)),
        ClearingError::Arbitrage {
            source_id: 30,
            export: 51.0,
            import: 50.0
        }
    );
    assert_eq!(
        refused(&|case| case.orders[1].id = OrderId(1)),
        ClearingError::Duplicate {
            what: "order",
            id: 1
        }
    );
    assert_eq!(
        refused(&|case| {
            for u_max_pu in [1.04, 1.2] {
                case.limits.nodes.push(NodeLimit {
                    node: 5,
                    u_min_pu: 0.95,
                    u_max_pu,
                });
            }
        }),
        ClearingError::Duplicate {
            what: "voltage limit of node",
            id: 5
        }
    );
    for text in [
        refused(&|case| case.fixed[0].p_w = f64::NAN).to_string(),
        refused(&|case| case.limits.u_max_pu = f64::INFINITY).to_string(),
        refused(&|case| case.orders[0].steps[0].quantity_w = -5).to_string(),
        refused(&|case| case.units[0].capability.q_max_var = -1.0).to_string(),
        refused(&|case| case.units[0].capability.p_min_w = 1.0).to_string(),
        refused(&|case| case.units[0].capability.p_max_w = f64::NAN).to_string(),
        refused(&|case| case.start = Some(Vec::new())).to_string(),
    ] {
        assert!(text.contains("it should be"), "{text}");
    }
    // ten times the published load: beyond what the lines can carry at any voltage
    let error = refused(&|case| {
        for power in &mut case.fixed {
            power.p_w *= 100.0;
        }
    });
    assert!(
        matches!(error, ClearingError::NoOperatingPoint { .. }),
        "{error}"
    );
}
