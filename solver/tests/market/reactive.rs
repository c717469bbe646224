//! Reactive power with a price.

use solver::{
    market::{
        Contracts, Direction, Kind, Meter, MeterQuality, Money, Order, OrderId, Party, Place,
        Price, Pricing, ReactiveContract, Rulebook, StatementReason, Step, Terms,
        clearing::{Case, Clearing, Names, Options, Status, Verdict, clear, explain, price_parts},
        contracts, settle,
    },
    network::Id,
};

use crate::feeder;

fn offer(id: u64, unit: Id, direction: Direction, steps: &[(i64, i64)]) -> Order {
    let step = |&(quantity_w, price): &(i64, i64)| Step {
        quantity_w,
        price: Price(price),
    };
    Order {
        id: OrderId(id),
        client_id: id.to_string(),
        participant: "q".to_owned(),
        unit,
        interval: 0,
        direction,
        steps: steps.iter().map(step).collect(),
        terms: Terms {
            kind: Kind::Reactive,
            ..Terms::default()
        },
    }
}

fn run(case: &Case) -> Clearing {
    clear(&feeder::network(), case, &Options::default()).unwrap()
}

/// Only the wind farm has reactive power, and little.
fn scarce() -> Case {
    let mut case = feeder::stressed().case;
    for unit in &mut case.units {
        unit.capability.q_max_var = if unit.id == 101 { 300e3 } else { 0.0 };
    }
    case
}

fn q_of(clearing: &Clearing, unit: Id) -> f64 {
    let award = clearing.awards.iter().find(|of| of.unit == unit);
    award.unwrap().q_var
}

/// Wind at node 7, the only unit with reactive power here, holds its voltage down by all it can absorb.
/// At a price it absorbs only what saves more than that, and cost goes up by the bill.
#[test]
fn a_price_for_reactive_power_is_weighed_against_what_it_saves() {
    let free = scarce();
    let without = run(&free);
    let taken = q_of(&without, 101);
    assert!((taken + 300e3).abs() < 1.0, "{taken}");
    let worth = without.prices.iter().find(|at| at.node == 7).unwrap();
    assert!(worth.q_per_mvarh < -0.1, "{worth:?}");
    let with = |price: i64| {
        let mut case = free.clone();
        let steps = [(5_000_000, price)];
        case.orders.push(offer(900, 101, Direction::Sell, &steps));
        case.orders.push(offer(901, 101, Direction::Buy, &steps));
        (run(&case), case)
    };
    let (cheap, case) = with(1_000);
    assert_eq!(cheap.status, Status::Optimal);
    assert!(
        (q_of(&cheap, 101) - taken).abs() < 1e3,
        "{}",
        q_of(&cheap, 101)
    );
    let fill = |clearing: &Clearing, id: u64| {
        let fill = clearing.fills.iter().find(|of| of.order == OrderId(id));
        fill.unwrap().quantity_w
    };
    assert!((fill(&cheap, 901) + q_of(&cheap, 101)).abs() < 1.0);
    assert_eq!(fill(&cheap, 900), 0.0);
    let bill = 0.001 * -q_of(&cheap, 101) * 1e-6;
    assert!((cheap.cost_per_h - without.cost_per_h - bill).abs() < 1e-3);
    let parts = price_parts(&feeder::network(), &case, &cheap).unwrap();
    let why = explain(&case, &cheap, &parts, 101, &Names::default()).unwrap();
    let verdict = |id: u64| {
        let order = why
            .orders
            .iter()
            .find(|of| of.order == OrderId(id))
            .unwrap();
        (order.reactive, order.steps[0].verdict)
    };
    assert_eq!(verdict(900), (true, Verdict::OutOfTheMoney));
    // Capability ends before the offer does.
    assert_eq!(verdict(901), (true, Verdict::BeyondCapability));

    let (dear, _) = with(1_000_000_000);
    assert_eq!(dear.status, Status::Optimal);
    assert!(q_of(&dear, 101).abs() < 1e3, "{}", q_of(&dear, 101));
    assert!(dear.cost_per_h > cheap.cost_per_h + 0.1);
}

/// What it takes of one curve is the cheaper step first, whichever way it goes.
#[test]
fn the_cheaper_step_is_taken_first() {
    let mut case = scarce();
    let unit = case.units.iter_mut().find(|unit| unit.id == 101).unwrap();
    unit.capability.q_max_var = 600e3;
    let steps = [(200_000, 1_000), (200_000, 2_000)];
    case.orders.push(offer(900, 101, Direction::Buy, &steps));
    let clearing = run(&case);
    assert!((q_of(&clearing, 101) + 400e3).abs() < 1.0);
    let unit = case.units.iter_mut().find(|unit| unit.id == 101).unwrap();
    unit.capability.q_max_var = 300e3;
    let clearing = run(&case);
    assert!((q_of(&clearing, 101) + 300e3).abs() < 1.0);
    let bill = 0.2 * 0.001 + 0.1 * 0.002;
    let mut free = case.clone();
    free.orders.pop();
    let free = run(&free).cost_per_h;
    assert!((clearing.cost_per_h - free - bill).abs() < 1e-3, "{free}");
}

/// What the wind farm is paid for its 300 kvar over 15 min, 75 000 varh, at each pricing rule.
#[test]
fn reactive_power_that_was_ordered_is_paid_for_and_never_read_as_energy() {
    let mut case = scarce();
    let free = contracts_of(&case, Pricing::Nodal);
    assert_eq!(
        free.1.reactive,
        [],
        "what is given without an order has no price"
    );
    let steps = [(200_000, 1_000), (200_000, 2_000)];
    case.orders.push(offer(900, 101, Direction::Buy, &steps));
    let expected = |price: i64| ReactiveContract {
        seller: Place {
            party: Party::Participant("wka-7".to_owned()),
            unit: Some(101),
            node: 7,
        },
        varh: -75_000,
        price: Price(price),
        // Per Mvarh, and the wind farm gives 0.075 of them; half to even.
        received: Money((0.075 * price as f64).round_ties_even() as i64),
    };
    for pricing in [Pricing::Nodal, Pricing::Uniform, Pricing::PayAsBid] {
        let (clearing, made) = contracts_of(&case, pricing);
        let nodal = clearing.prices.iter().find(|at| at.node == 7).unwrap();
        let price = match pricing {
            Pricing::Nodal => (-nodal.q_per_mvarh * 1e6).round_ties_even() as i64,
            // Reactive power is worth nothing at the source, so who was taken gets what it asked for.
            Pricing::Uniform => 2_000,
            // 200 kvar at 1000 and 100 kvar at 2000.
            Pricing::PayAsBid => 1_333,
        };
        assert_eq!(made.reactive, [expected(price)], "{pricing:?}");
        assert!(pricing != Pricing::Nodal || price > 100_000, "{price}");
        let energy: i64 = made.delivered_wh(&made.reactive[0].seller.party);
        assert_eq!(energy, free.1.delivered_wh(&made.reactive[0].seller.party));
        let meter = Meter {
            party: made.reactive[0].seller.party.clone(),
            unit: Some(101),
            node: 7,
            delivered_wh: energy,
            quality: MeterQuality::Metered,
        };
        let settled = settle(0, &made, &[meter], &Rulebook::default().imbalance);
        assert_eq!(settled.sum(), Money(0));
        let network = settled.statements.last().unwrap();
        assert_eq!(
            (&network.party, network.balance),
            (&Party::Network, made.rent)
        );
        let lines = settled.statements.iter().flat_map(|of| &of.lines);
        let of_it: Vec<_> = lines
            .filter(|line| line.reason == StatementReason::Reactive)
            .map(|line| (line.energy_wh, line.reactive_varh, line.received))
            .collect();
        assert_eq!(of_it, [(0, -75_000, made.reactive[0].received)]);
    }
}

fn contracts_of(case: &Case, pricing: Pricing) -> (Clearing, Contracts) {
    let clearing = run(case);
    let rulebook = Rulebook {
        pricing,
        ..Rulebook::default()
    };
    let made = contracts(&feeder::network(), case, &clearing, &[], &rulebook);
    (clearing, made)
}
