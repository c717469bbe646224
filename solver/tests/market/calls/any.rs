//! What holds of any calls.

use super::*;

/// Calls of some units to anything that they can do.
fn random_calls(case: &Case, rng: &mut StdRng) -> Vec<Order> {
    let mut orders = Vec::new();
    for unit in &case.units {
        if rng.random_bool(0.5) {
            continue;
        }
        let of = &unit.capability;
        let mut draw = || rng.random_range(of.p_min_w as i64..=of.p_max_w as i64);
        let (a, b) = (draw(), draw());
        let bounds = match rng.random_range(0..4) {
            0 => (None, Some(a)),
            1 => (Some(a), None),
            2 => (Some(a.min(b)), Some(a.max(b))),
            _ => (Some(a), Some(a)),
        };
        orders.push(call(unit.id, bounds, rng.random_range(0..200)));
    }
    orders
}

fn of_sample(seed: u64) -> (Grid, Auction) {
    let (network, case) = random::sample(seed);
    let mut rng = StdRng::seed_from_u64(!seed);
    let orders = random_calls(&case, &mut rng);
    let auction = Auction {
        case,
        pairs: Vec::new(),
        ahead: None,
        calls: Some(calls(orders)),
    };
    (Grid::new(&network).unwrap(), auction)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn awards_keep_to_calls_and_all_accounts_sum_to_zero(seed in any::<u64>()) {
        let (grid, auction) = of_sample(seed);
        let rulebook = Rulebook::default();
        let result = auction.clear(&grid, &rulebook).unwrap();
        let clearing = &result.clearing;
        let calls = &auction.calls.as_ref().unwrap().orders;
        for order in calls {
            let award = clearing.awards.iter().find(|of| of.unit == order.unit).unwrap();
            let Kind::Call(call) = order.terms.kind else { unreachable!() };
            let (low, high) = (call.p_min_w.unwrap_or(i64::MIN), call.p_max_w.unwrap_or(i64::MAX));
            // Between the call and nothing it is where the network carries no more.
            let least = (low as f64).min(0.0);
            let most = (high as f64).max(0.0);
            prop_assert!(award.p_w >= least - 0.01 && award.p_w <= most + 0.01, "{award:?} {call:?}");
            let is_within = award.p_w >= low as f64 - 1.0 && award.p_w <= high as f64 + 1.0;
            let is_held_back = !clearing.binding.is_empty() || clearing.status != Status::Optimal;
            prop_assert!(is_within || is_held_back, "{award:?} {call:?}");
        }
        let fills = clearing.fills.iter().map(|of| of.order);
        let orders = auction.case.orders.iter().map(|of| of.id);
        prop_assert!(fills.eq(orders));
        for (order, fill) in auction.case.orders.iter().zip(&clearing.fills) {
            let asked: i64 = order.steps.iter().map(|step| step.quantity_w).sum();
            prop_assert!((-0.01..=asked as f64 + 0.01).contains(&fill.quantity_w), "{order:?} {fill:?}");
        }
        let made = auction.contracts(&grid, &result, &rulebook);
        for of in &made.calls {
            let order = calls.iter().find(|order| order.id == of.order).unwrap();
            let Kind::Call(call) = order.terms.kind else { unreachable!() };
            let paid = i128::from(of.energy_wh.abs()) * i128::from(call.compensation.0) / 1_000_000;
            prop_assert_eq!(i128::from(of.received.0), paid);
        }
        let settlement = settle(0, &made, &[], &Imbalance::default());
        prop_assert_eq!(settlement.sum(), Money(0));
        let dso = Party::Participant("grid".to_owned());
        let of_dso = settlement.statements.iter().find(|of| of.party == dso);
        let paid: i64 = made.calls.iter().map(|of| of.received.0).sum();
        prop_assert_eq!(of_dso.map_or(0, |of| of.balance.0), -paid);
    }

    #[test]
    fn a_call_that_does_not_bind_changes_nothing_and_costs_nothing(seed in any::<u64>()) {
        let (grid, mut auction) = of_sample(seed);
        let rulebook = Rulebook::default();
        let called = auction.calls.take();
        let plain = auction.clear(&grid, &rulebook).unwrap();
        let mut called = called.unwrap();
        for order in &mut called.orders {
            let award = plain.clearing.awards.iter().find(|of| of.unit == order.unit).unwrap();
            if let Kind::Call(of) = &mut order.terms.kind {
                of.p_min_w = of.p_min_w.map(|_| award.p_w.floor() as i64);
                of.p_max_w = of.p_max_w.map(|_| award.p_w.ceil() as i64);
            }
        }
        auction.calls = Some(called);
        let result = auction.clear(&grid, &rulebook).unwrap();
        prop_assert_eq!(&result.clearing, &plain.clearing);
        let made = auction.contracts(&grid, &result, &rulebook);
        prop_assert_eq!(&made.calls, &Vec::new());
        prop_assert_eq!(made, auction.contracts(&grid, &plain, &rulebook));
    }
}
