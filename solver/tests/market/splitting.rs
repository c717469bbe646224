//! Nobody gains by how an order is written: in one piece or in several, in whichever sequence.

use rand::{Rng, SeedableRng, rngs::StdRng};
use solver::{
    market::{
        Order, OrderId,
        clearing::{Case, Clearing, Options, Status, clear},
    },
    network::{Grid, Id},
};

use crate::random::sample;

/// What a unit earns an hour at its node's price.
fn earned(case: &Case, clearing: &Clearing, unit: Id) -> f64 {
    let node = case.units.iter().find(|of| of.id == unit).unwrap().node;
    let price = clearing.prices.iter().find(|of| of.node == node).unwrap();
    let award = clearing.awards.iter().find(|of| of.unit == unit).unwrap();
    price.p_per_mwh * award.p_w * 1e-6
}

/// The same order as several, each with a part of each step.
fn split(order: &Order, rng: &mut StdRng) -> Vec<Order> {
    let parts = rng.random_range(2..5);
    let mut orders: Vec<Order> = (0..parts)
        .map(|k| Order {
            // Some before, some after all others.
            id: OrderId(if k % 2 == 0 {
                10_000 + k
            } else {
                100 * order.id.0 + k
            }),
            client_id: format!("{}-{k}", order.client_id),
            ..order.clone()
        })
        .collect();
    for (s, step) in order.steps.iter().enumerate() {
        let mut left = step.quantity_w;
        for (k, of) in orders.iter_mut().enumerate() {
            let is_last = k + 1 == parts as usize;
            let own = if is_last {
                left
            } else {
                rng.random_range(1..=left - (parts as i64 - k as i64))
            };
            of.steps[s].quantity_w = own;
            left -= own;
        }
    }
    orders
}

#[test]
fn an_order_in_pieces_earns_what_it_earns_whole() {
    let mut compared = 0;
    for seed in 0..2000 {
        let mut rng = StdRng::seed_from_u64(!seed);
        let (network, mut case) = sample(seed);
        for order in &mut case.orders {
            order.id.0 *= 100;
        }
        let grid = Grid::new(&network).unwrap();
        let run = |case: &Case| clear(&grid, case, &Options::default()).unwrap();
        let whole = run(&case);
        let k = rng.random_range(0..case.orders.len());
        let order = case.orders.remove(k);
        let pieces = split(&order, &mut rng);
        case.orders.extend(pieces);
        let split = run(&case);
        if whole.status != Status::Optimal || split.status != Status::Optimal {
            assert_eq!(
                whole.status == Status::Optimal,
                split.status == Status::Optimal,
                "seed {seed}"
            );
            continue;
        }
        compared += 1;
        let (before, after) = (
            earned(&case, &whole, order.unit),
            earned(&case, &split, order.unit),
        );
        // 0.02 per MWh is what prices are good to (`PRICE_TOLERANCE` in properties.rs).
        let of = whole
            .awards
            .iter()
            .find(|of| of.unit == order.unit)
            .unwrap();
        let tolerance = 0.02 * of.p_w.abs() * 1e-6 + 1e-3;
        assert!(
            (before - after).abs() < tolerance,
            "seed {seed}: {before} {after}"
        );
        assert!(
            (whole.cost_per_h - split.cost_per_h).abs() < 1e-6 * whole.cost_per_h.abs().max(10.0),
            "seed {seed}"
        );
        // The others are not touched by it. At an optimum cost is flat: what is good to 1e-7 in cost is good
        // to the root of that in power.
        for (a, b) in whole.awards.iter().zip(&split.awards) {
            let tolerance = 5.0 + 3e-4 * a.p_w.abs();
            assert!(
                (a.p_w - b.p_w).abs() < tolerance,
                "seed {seed}: {a:?} {b:?}"
            );
        }
    }
    assert!(compared > 550, "{compared}");
}
