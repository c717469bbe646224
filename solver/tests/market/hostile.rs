//! Whatever it is given, it ends with a dispatch that an AC power flow has seen, and says what that is.

use rand::{Rng, SeedableRng, rngs::StdRng};
use solver::{
    market::{
        Direction, OrderId, Price,
        clearing::{
            BranchLimit, Case, Clearing, Limit, NodeLimit, NodePower, Options, Status, clear,
        },
    },
    network::Grid,
};

use crate::{feeder, random};

/// Cleared, and what holds of every clearing.
fn run(grid: &Grid, case: &Case) -> Clearing {
    let options = Options::default();
    let clearing = clear(grid, case, &options).unwrap();
    assert!(clearing.iterations <= options.max_iterations);
    let check = &clearing.ac_check;
    let holds = check.violation_u_pu <= 1e-4 && check.violation_rating <= 1e-3;
    match &clearing.status {
        Status::Optimal => assert!(holds),
        Status::Feasible { gap_per_h } => assert!(holds && gap_per_h.is_finite()),
        Status::LeastViolation { violated, .. } => {
            assert!(!holds && !violated.is_empty());
            for of in violated {
                let beyond = match of.limit {
                    Limit::UMin { .. } => of.value < of.bound,
                    _ => of.value > of.bound,
                };
                assert!(beyond, "{of}");
            }
        }
    }
    for (unit, award) in case.units.iter().zip(&clearing.awards) {
        let of = &unit.capability;
        assert!(
            (of.p_min_w - 1.0..=of.p_max_w + 1.0).contains(&award.p_w),
            "{award:?}"
        );
        assert!(award.q_var.abs() <= of.q_max_var + 1.0, "{award:?}");
    }
    // JSON has no infinity and no "not a number".
    let text = serde_json::to_string(&clearing).unwrap();
    assert_eq!(serde_json::from_str::<Clearing>(&text).unwrap(), clearing);
    clearing
}

#[test]
fn a_band_of_no_width_ends_with_what_it_cannot_keep() {
    let mut case = feeder::stressed().case;
    case.limits.u_min_pu = 1.03;
    case.limits.u_max_pu = 1.03;
    let clearing = run(&feeder::network(), &case);
    let Status::LeastViolation { violated, .. } = &clearing.status else {
        panic!("{:?}", clearing.status);
    };
    assert!(violated.iter().all(|of| of.bound == 1.03), "{violated:?}");
}

#[test]
fn limits_that_cross_end_with_what_they_cannot_keep() {
    let mut case = feeder::stressed().case;
    case.limits.nodes.push(NodeLimit {
        node: 5,
        u_min_pu: 1.04,
        u_max_pu: 1.0,
    });
    let clearing = run(&feeder::network(), &case);
    assert!(matches!(clearing.status, Status::LeastViolation { .. }));
}

#[test]
fn no_branch_may_carry_anything() {
    let mut case = feeder::stressed().case;
    for branch in [15, 16] {
        case.limits.branches.push(BranchLimit {
            branch,
            loading_max: 0.0,
        });
    }
    let clearing = run(&feeder::network(), &case);
    // Their charge alone is more than nothing.
    assert!(matches!(clearing.status, Status::LeastViolation { .. }));
}

/// Units and loads at a node without voltage get nothing and disturb nobody.
#[test]
fn an_island_without_a_source_gets_nothing() {
    let case = feeder::stressed().case;
    let mut grid = feeder::network();
    let whole = run(&grid, &case);
    let at_7 = |node: usize| grid.node_id[node] == 7;
    let branches = grid.branches.iter();
    let cut = branches.filter(|of| at_7(of.from) || at_7(of.to));
    let cut: Vec<i32> = cut.map(|of| of.id).collect();
    for id in cut {
        grid.set_branch_status(id, false, false).unwrap();
    }
    let node_7 = grid.node_id.iter().position(|&id| id == 7).unwrap();
    assert!(!grid.energised[node_7]);
    let clearing = run(&grid, &case);
    assert_eq!(clearing.status, Status::Optimal);
    let wind = clearing.awards.iter().find(|of| of.unit == 101).unwrap();
    assert_eq!((wind.p_w, wind.q_var), (0.0, 0.0));
    assert_eq!(clearing.prices[node_7].p_per_mwh, 0.0);
    assert_eq!(clearing.u[node_7].norm(), 0.0);
    assert!(clearing.cost_per_h > whole.cost_per_h);
}

#[test]
fn prices_as_high_as_they_get_and_all_alike() {
    let grid = feeder::network();
    let normal = feeder::stressed().case;
    // ±3000 per MWh is what the market's rules admit; a case may hold anything.
    for price in [3_000, 1_000_000, -3_000, 0] {
        let mut case = normal.clone();
        for order in &mut case.orders {
            order.steps[0].price = Price(price * 1_000_000);
        }
        let clearing = run(&grid, &case);
        assert!(clearing.cost_per_h.is_finite(), "{price}");
        if price == 3_000 {
            let sold: f64 = clearing.awards.iter().map(|of| of.p_w.max(0.0)).sum();
            assert!(
                sold < 1.0,
                "nobody buys at 3000 what the grid has at 50: {sold}"
            );
        }
    }
    // One that is paid to run beside one that pays anything.
    let mut case = normal;
    for (k, order) in case.orders.iter_mut().enumerate() {
        let sells = order.direction == Direction::Sell;
        let price = if (k % 2 == 0) == sells { -3_000 } else { 3_000 };
        order.steps[0].price = Price(price * 1_000_000);
    }
    run(&grid, &case);
}

#[test]
fn nothing_to_clear_is_cleared() {
    let mut case = feeder::stressed().case;
    case.units.clear();
    case.orders.clear();
    case.fixed.clear();
    let clearing = run(&feeder::network(), &case);
    assert_eq!(clearing.status, Status::Optimal);
    assert!(clearing.awards.is_empty() && clearing.fills.is_empty());
}

/// The programme of greatest welfare gets stuck or is cut short anywhere: what is awarded is safe or
/// named all the same, whatever the budget.
#[test]
fn whatever_the_budget_it_ends_safe() {
    for seed in 0..40 {
        let (network, case) = random::sample(seed);
        let grid = Grid::new(&network).unwrap();
        let best = run(&grid, &case);
        for max_iterations in [0, 1, 2, 3] {
            let options = Options {
                max_iterations,
                ..Options::default()
            };
            let clearing = clear(&grid, &case, &options).unwrap();
            assert!(clearing.iterations <= max_iterations);
            if let (Status::Feasible { gap_per_h }, Status::Optimal) =
                (&clearing.status, &best.status)
            {
                let left = clearing.cost_per_h - best.cost_per_h;
                assert!(left > -1e-2, "seed {seed}: better than the best by {left}");
                if max_iterations == 0 {
                    assert!(left <= *gap_per_h, "seed {seed}: {left} of {gap_per_h}");
                }
            }
        }
    }
}

/// Figures far from what anybody has, of either size: no panic, no hang, no infinity.
#[test]
fn absurd_figures_end_in_an_answer_or_a_refusal() {
    let (mut cleared, mut refused) = (0, 0);
    for seed in 0..300 {
        let (network, mut case) = random::sample(seed);
        let mut rng = StdRng::seed_from_u64(!seed);
        let factor = 10f64.powi(rng.random_range(-9..9));
        match rng.random_range(0..7) {
            0 => case.fixed.iter_mut().for_each(|of| of.p_w *= factor),
            1 => case
                .units
                .iter_mut()
                .for_each(|of| of.capability.q_max_var *= factor),
            2 => case.units.iter_mut().for_each(|of| {
                of.capability.p_max_w *= factor;
                of.capability.p_min_w *= factor;
            }),
            3 => case.orders.iter_mut().for_each(|of| {
                of.steps[0].quantity_w = (of.steps[0].quantity_w as f64 * factor) as i64 + 1;
            }),
            4 => case.orders.iter_mut().for_each(|of| {
                of.steps[0].price = Price((of.steps[0].price.0 as f64 * factor) as i64);
            }),
            5 => case.limits.u_max_pu *= factor,
            _ => case.interface[0].import_max_w = Some(1e5 * factor),
        }
        case.fixed.push(NodePower {
            node: 1,
            p_w: 0.0,
            q_var: -factor,
            owner: None,
        });
        let order = case.orders[0].clone();
        case.orders.push(solver::market::Order {
            id: OrderId(9_000),
            ..order
        });
        match clear(&Grid::new(&network).unwrap(), &case, &Options::default()) {
            Ok(clearing) => {
                cleared += 1;
                let text = serde_json::to_string(&clearing).unwrap();
                let read = serde_json::from_str::<Clearing>(&text);
                assert_eq!(read.ok().as_ref(), Some(&clearing), "seed {seed}");
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(
        cleared > 200 && refused > 5,
        "{cleared} cleared, {refused} refused"
    );
}
