//! Who trades with whom, at which price and fee: by hand, and on thousands of made-up clearings.

mod agreed;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use solver::{
    market::{
        Ahead, Auction, Bounds, Contracts, Direction, Distances, GridFee, Imbalance, Kind, Meter,
        MeterQuality, Money, Order, OrderId, PPM, Pair, Party, Place, Price, Pricing, Registry,
        Rulebook, StatementReason, Step, Storage, Unit, Window, bilateral,
        clearing::{
            Award, BranchLimit, Case, Clearing, Exchange, Fill, NodePower, NodePrice, Options,
            Owner, clear, clear_horizon,
        },
        contracts, energy_wh, settle,
    },
    network::{Grid, Id, Line, Network, Node, PhaseSet, Source},
};

use crate::parts;

const SOURCE: Id = 1000;
const BOUNDS: Bounds = Bounds {
    price_min: Price(-3_000_000_000),
    price_max: Price(3_000_000_000),
    max_steps: 4,
    max_orders: 50,
};

/// A line of so many ohm, all reactance or all resistance as its id is even or odd: only the
/// magnitude counts.
fn line(id: Id, from_node: Id, to_node: Id, ohm: f64) -> Line {
    let (r1, x1) = if id % 2 == 0 {
        (1e-9, ohm)
    } else {
        (ohm, 1e-9)
    };
    Line {
        id,
        from_node,
        to_node,
        from_status: 1,
        to_status: 1,
        r1,
        x1,
        c1: 0.0,
        tan1: 0.0,
        r0: None,
        x0: None,
        c0: None,
        tan0: None,
        i_n: Some(100.0),
        phases: PhaseSet::ABC,
    }
}

/// Nodes of 1 kV, so that on 1 MVA an ohm is a pu; the source at node 0.
fn network(nodes: i32, lines: Vec<Line>) -> Network {
    Network {
        node: (0..nodes).map(|id| Node { id, u_rated: 1e3 }).collect(),
        line: lines,
        source: vec![Source {
            id: SOURCE,
            node: 0,
            status: 1,
            u_ref: 1.0,
            u_ref_angle: 0.0,
            sk: 1e10,
            rx_ratio: 0.1,
            z01_ratio: None,
        }],
        ..Network::default()
    }
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() <= 1e-9 * expected.max(1.0))
}

#[test]
fn distance_is_the_resistance_between_two_nodes() {
    // 0 -1- 1 -2- 2, two lines of 6 and 3 from 2 to 3, a ring of equal lines 3 4 5, and 6 alone
    let mut lines = vec![
        line(10, 0, 1, 1.0),
        line(11, 1, 2, 2.0),
        line(12, 2, 3, 6.0),
        line(13, 2, 3, 3.0),
        line(14, 3, 4, 1.5),
        line(15, 4, 5, 1.5),
        line(16, 5, 3, 1.5),
        line(17, 5, 6, 1.0),
    ];
    lines[7].to_status = 0;
    let grid = Grid::new(&network(7, lines)).unwrap();
    let mut distances = Distances::new(&grid);
    for (a, b, expected) in [
        (0, 0, 0.0),
        (0, 1, 1.0),
        (2, 0, 3.0),
        (2, 3, 2.0),
        // 1.5 beside 3
        (3, 4, 1.0),
        (0, 5, 6.0),
    ] {
        assert!(near(distances.between(a, b), expected), "{a} {b}");
        assert_eq!(distances.between(a, b), distances.between(b, a));
    }
    assert_eq!(distances.between(0, 6), None);
    assert_eq!(distances.between(0, 99), None);
    // From 2 to 4 half of the distance: 2 of 3 on the double line, 1 of 3 on the ring. Of the double
    // line a third of the current is in the one of 6, so a third of its share.
    let mut loading = vec![0.0; grid.branches.len()];
    loading[2] = 0.9;
    let mean = distances.utilisation(2, 4, &loading);
    assert!((mean - 0.9 * 2.0 / 9.0).abs() < 1e-9, "{mean}");
    assert_eq!(distances.utilisation(0, 6, &loading), 0.0);
}

fn participant(id: i32, node: Id) -> Unit {
    parts::unit(id, &format!("p{id}"), node, (-1e6, 1e6))
}

fn order(id: u64, unit: i32, direction: Direction, steps: &[(i64, i64)]) -> Order {
    let steps = steps.iter().map(|&(quantity_w, price)| Step {
        quantity_w,
        price: Price(price * 1_000_000),
    });
    let of = participant(unit, 0);
    parts::order(id, &of, direction, steps.collect(), Kind::Energy)
}

/// A case of an hour, so that a W is a Wh.
fn empty_case() -> Case {
    Case {
        duration_s: 3600,
        limits: parts::within(0.5, 1.5),
        ..parts::empty(SOURCE, Price(50_000_000), Price(20_000_000))
    }
}

/// A clearing that awards this, whatever the network says.
fn clearing(grid: &Grid, awards: &[(Id, f64)], prices: &[f64], exchange_w: f64) -> Clearing {
    let idle = clear(grid, &empty_case(), &Options::default()).unwrap();
    let award = |&(unit, p_w): &(Id, f64)| Award {
        unit,
        p_w,
        q_var: 0.0,
    };
    let price = |(&node, &p_per_mwh): (&Id, &f64)| NodePrice {
        node,
        p_per_mwh,
        q_per_mvarh: 0.0,
    };
    Clearing {
        awards: awards.iter().map(award).collect(),
        prices: grid.node_id.iter().zip(prices).map(price).collect(),
        phase_prices: Vec::new(),
        exchange: vec![Exchange {
            source: SOURCE,
            node: 0,
            p_w: exchange_w,
            q_var: 0.0,
            price_per_mwh: 0.0,
        }],
        ..idle
    }
}

/// A feeder of lines of 1 pu, one after the other.
fn feeder(nodes: i32) -> Grid {
    let lines = (1..nodes).map(|k| line(100 + k, k - 1, k, 1.0)).collect();
    Grid::new(&network(nodes, lines)).unwrap()
}

type Row = (String, String, i64, i64, i64, i64);

fn rows(made: &Contracts) -> Vec<Row> {
    let name = |place: &Place| place.party.to_string();
    made.contracts
        .iter()
        .map(|c| {
            let money = (c.received.0, c.paid.0, c.fee.0);
            (
                name(&c.seller),
                name(&c.buyer),
                c.energy_wh,
                money.0,
                money.1,
                money.2,
            )
        })
        .collect()
}

#[test]
fn peers_trade_nearest_first_and_the_rest_goes_to_retailer_and_grid() {
    // Sellers at 1 and 3, buyers at 2 and 4, a load of nobody's at 4, 5 Wh lost.
    let grid = feeder(5);
    let mut case = empty_case();
    case.units = vec![
        participant(1, 1),
        participant(2, 2),
        participant(3, 3),
        participant(4, 4),
    ];
    case.fixed.push(NodePower {
        node: 4,
        p_w: -30.0,
        q_var: 0.0,
        owner: None,
    });
    let awards = [(1, 100.0), (2, -60.0), (3, 20.0), (4, -50.0)];
    let clearing = clearing(&grid, &awards, &[50.0, 40.0, 41.0, 42.0, 43.0], 25.0);
    let rulebook = Rulebook {
        grid_fee: GridFee {
            base: Price(1_000_000),
            per_pu: Price(2_000_000),
            utilisation: 0.0,
            most: Some(Price(6_000_000)),
        },
        ..Rulebook::default()
    };
    let made = contracts(&grid, &case, &clearing, &[], &rulebook);
    let row = |seller: &str, buyer: &str, wh: i64, sold_at: i64, bought_at: i64, fee: i64| {
        (
            seller.to_owned(),
            buyer.to_owned(),
            wh,
            wh * sold_at,
            wh * bought_at,
            wh * fee,
        )
    };
    assert_eq!(
        rows(&made),
        [
            // 1 pu apart: 1 to 2 before 3 to 2 and 3 to 4 by name; fee 1 + 2 × distance
            row("p1", "p2", 60, 40, 41, 3),
            row("p3", "p4", 20, 42, 43, 3),
            // 3 pu apart would be 7, but no more than 6 is charged
            row("p1", "p4", 30, 40, 43, 6),
            row("p1", "the residual supplier", 10, 40, 43, 6),
            row("the grid above", "the residual supplier", 20, 50, 43, 6),
            row("the grid above", "the network", 5, 50, 0, 0),
        ]
    );
    assert_eq!(made.losses_wh, 5);
    let rent = 60 * 4 + 20 * 4 + 30 * 9 + 10 * 9 - 20 - 250;
    assert_eq!(made.rent, Money(rent));
}

#[test]
fn the_grid_fee_of_exports_is_the_sellers() {
    let grid = feeder(3);
    let mut case = empty_case();
    case.units = vec![participant(1, 2)];
    let clearing = clearing(&grid, &[(1, 100.0)], &[20.0, 19.0, 18.0], -100.0);
    let rulebook = Rulebook {
        grid_fee: GridFee {
            per_pu: Price(1_000_000),
            ..GridFee::default()
        },
        ..Rulebook::default()
    };
    let made = contracts(&grid, &case, &clearing, &[], &rulebook);
    let p1 = Party::Participant("p1".to_owned());
    assert_eq!(made.received(&p1), Money(1800 - 200));
    assert_eq!(made.received(&Party::Upstream), Money(-2000));
    assert_eq!(made.rent, Money(400));
    let settlement = settle(0, &made, &[], &Imbalance::default());
    let statement = &settlement.statements[0];
    let lines: Vec<_> = statement
        .lines
        .iter()
        .map(|l| (l.reason, l.received.0))
        .collect();
    assert_eq!(lines[0], (StatementReason::Contract, 1800));
    assert_eq!(lines[1], (StatementReason::GridFee, -200));
    assert_eq!(statement.lines[0].counterparty, Party::Upstream);
}

#[test]
fn the_fee_rises_with_the_loading_of_the_way() {
    let grid = feeder(2);
    let mut case = empty_case();
    case.units = vec![participant(1, 1)];
    // 100 A at 1 kV are 173.2 kW: half of the rating is 86.6 kW, as good as without losses.
    let mut unit = case.clone();
    unit.orders = vec![order(1, 1, Direction::Buy, &[(86_600, 100)])];
    let at_half = clear(&grid, &unit, &Options::default()).unwrap();
    let cleared = Clearing {
        u: at_half.u,
        ..clearing(&grid, &[(1, -1000.0)], &[50.0, 50.0], 1000.0)
    };
    let rulebook = Rulebook {
        grid_fee: GridFee {
            per_pu: Price(1_000_000),
            utilisation: 2.0,
            ..GridFee::default()
        },
        ..Rulebook::default()
    };
    let made = contracts(&grid, &case, &cleared, &[], &rulebook);
    let fee = made.contracts[0].fee_per_mwh.per_mwh();
    // 1 pu × (1 + 2 × loading); the line drops a tenth of the voltage, so a little above half.
    assert!((fee - 2.0).abs() < 0.25, "{fee}");
    let loading = solver::powerflow::flows(&grid, &cleared.u).branches[0].loading;
    assert!(
        (fee - (1.0 + 2.0 * loading)).abs() < 1e-6,
        "{fee} {loading}"
    );
}

#[test]
fn the_pricing_rule_decides_who_trades_at_what() {
    let grid = feeder(3);
    let mut case = empty_case();
    case.units = vec![participant(1, 1), participant(2, 2)];
    case.orders = vec![
        order(1, 1, Direction::Sell, &[(60, 10), (60, 46)]),
        order(2, 2, Direction::Buy, &[(50, 80), (50, 48)]),
    ];
    case.fixed.push(NodePower {
        node: 2,
        p_w: -10.0,
        q_var: 0.0,
        owner: Some(Owner {
            unit: 3,
            participant: "p3".to_owned(),
            order: None,
        }),
    });
    let mut clearing = clearing(&grid, &[(1, 100.0), (2, -90.0)], &[45.0, 46.0, 48.0], 0.0);
    let fill = |order, quantity_w| Fill {
        order: OrderId(order),
        quantity_w,
    };
    clearing.fills = vec![fill(1, 100.0), fill(2, 90.0)];
    let made = |pricing| {
        let rulebook = Rulebook {
            pricing,
            ..Rulebook::default()
        };
        let made = contracts(&grid, &case, &clearing, &[], &rulebook);
        let of = |k: i32| made.received(&Party::Participant(format!("p{k}"))).0;
        assert_eq!(of(1) + of(2) + of(3) + made.rent.0, 0);
        [of(1), of(2), of(3)]
    };
    assert_eq!(made(Pricing::Nodal), [100 * 46, -90 * 48, -10 * 48]);
    // 45 where the grid is; who asks for 46 gets 46 for all it sells.
    assert_eq!(made(Pricing::Uniform), [100 * 46, -90 * 45, -10 * 45]);
    let (asked, bid) = (60 * 10 + 40 * 46, 50 * 80 + 40 * 48);
    let paid = made(Pricing::PayAsBid);
    assert_eq!(paid[0], asked);
    // 5920 / 90 per MWh has no whole number of micros: at most half a micro-currency off.
    assert!((paid[1] + bid).abs() <= 1, "{paid:?}");
    assert_eq!(paid[2], -10 * 48);
}

/// What is scheduled is fixed when its interval is cleared, so that the price there may be any: it is theirs where it is
/// better than ordered.
#[test]
fn windows_trade_at_no_price_worse_than_ordered() {
    let grid = feeder(3);
    let mut case = empty_case();
    case.units = vec![participant(1, 1), participant(2, 2)];
    let clearing = clearing(&grid, &[(1, 100.0), (2, -90.0)], &[45.0, 46.0, 48.0], 0.0);
    for (asked, bid, expected) in [(60, 40, [6000, -3600]), (20, 70, [4600, -4320])] {
        case.orders = vec![
            order(1, 1, Direction::Sell, &[(100, asked)]),
            order(2, 2, Direction::Buy, &[(90, bid)]),
        ];
        for of in &mut case.orders {
            let energy_wh = of.steps[0].quantity_w;
            of.terms.kind = Kind::Window(Window {
                end: 3600,
                energy_wh,
            });
        }
        let made = contracts(&grid, &case, &clearing, &[], &Rulebook::default());
        let of = |k: i32| made.received(&Party::Participant(format!("p{k}"))).0;
        assert_eq!([of(1), of(2)], expected);
    }
}

/// A random tree or ring with random awards, fixed powers and prices; nothing in it needs to be a
/// clearing that anybody would find.
fn sample(seed: u64) -> (Grid, Case, Clearing, Rulebook) {
    let mut rng = StdRng::seed_from_u64(seed);
    let nodes = rng.random_range(2..9);
    let mut lines: Vec<Line> = (1..nodes)
        .map(|k| {
            line(
                100 + k,
                rng.random_range(0..k),
                k,
                rng.random_range(0.01..2.0),
            )
        })
        .collect();
    if nodes > 3 && rng.random_bool(0.4) {
        lines.push(line(200, nodes - 1, 0, 1.0));
    }
    if rng.random_bool(0.2) {
        lines[0].from_status = 0;
    }
    let grid = Grid::new(&network(nodes, lines)).unwrap();
    let mut case = empty_case();
    case.duration_s = [10, 300, 900, 3600][rng.random_range(0..4)];
    let mut awards = Vec::new();
    for id in 1..rng.random_range(2..12) {
        let mut unit = participant(id, rng.random_range(0..nodes));
        unit.participant = format!("p{}", id % 4);
        case.units.push(unit);
        awards.push((id, rng.random_range(-1e5..1e5)));
        let direction = match awards.last() {
            Some((_, p_w)) if *p_w < 0.0 => Direction::Buy,
            _ => Direction::Sell,
        };
        let steps = [(rng.random_range(1..200_000), rng.random_range(-50..200))];
        let mut order = order(id as u64, id, direction, &steps);
        order.participant = format!("p{}", id % 4);
        case.orders.push(order);
    }
    for node in 0..nodes {
        let owner = rng.random_bool(0.5).then(|| Owner {
            unit: 500 + node,
            participant: format!("p{}", node % 5),
            order: None,
        });
        case.fixed.push(NodePower {
            node,
            p_w: rng.random_range(-5e4..1e4),
            q_var: 0.0,
            owner,
        });
    }
    let prices: Vec<f64> = (0..nodes)
        .map(|_| rng.random_range(-100.0..300.0))
        .collect();
    let mut cleared = clearing(&grid, &awards, &prices, rng.random_range(-2e5..2e5));
    cleared.fills = case
        .orders
        .iter()
        .zip(&awards)
        .map(|(order, (_, p_w))| Fill {
            order: order.id,
            quantity_w: p_w.abs().min(order.steps[0].quantity_w as f64),
        })
        .collect();
    let fee = |rng: &mut StdRng| Price(rng.random_range(0..20_000_000));
    let rulebook = Rulebook {
        pricing: [Pricing::Nodal, Pricing::Uniform, Pricing::PayAsBid][rng.random_range(0..3)],
        grid_fee: GridFee {
            base: fee(&mut rng),
            per_pu: fee(&mut rng),
            utilisation: rng.random_range(0.0..2.0),
            most: rng.random_bool(0.5).then(|| fee(&mut rng)),
        },
        imbalance: Imbalance {
            short_price: Price(rng.random_range(0..100_000_000)),
            long_price: Price(rng.random_range(-100_000_000..100_000_000)),
        },
        ..Rulebook::default()
    };
    (grid, case, cleared, rulebook)
}

/// Every party with a contract.
fn parties(made: &Contracts) -> Vec<Party> {
    let sides = made.contracts.iter().flat_map(|c| [&c.seller, &c.buyer]);
    let mut parties: Vec<Party> = sides.map(|place| place.party.clone()).collect();
    parties.sort();
    parties.dedup();
    parties.retain(|party| *party != Party::Network);
    parties
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn contracts_add_up_to_the_awards_and_close_to_the_rent(seed in any::<u64>()) {
        let (grid, case, clearing, rulebook) = sample(seed);
        let made = contracts(&grid, &case, &clearing, &[], &rulebook);
        let received: i64 = parties(&made).iter().map(|party| made.received(party).0).sum();
        prop_assert_eq!(received + made.rent.0, 0);
        for (unit, award) in case.units.iter().zip(&clearing.awards) {
            let place = Place {
                party: Party::Participant(unit.participant.clone()),
                unit: Some(unit.id),
                node: unit.node,
            };
            let delivered: i64 = made.contracts.iter().map(|c| c.delivered_wh(&place)).sum();
            prop_assert_eq!(delivered, energy_wh(award.p_w, case.duration_s));
        }
        let mut distances = Distances::new(&grid);
        let peers = |c: &&solver::market::Contract| {
            [&c.seller, &c.buyer].iter().all(|p| matches!(p.party, Party::Participant(_)))
        };
        let mut last = 0.0;
        for c in made.contracts.iter().filter(peers) {
            prop_assert!(c.energy_wh > 0 && c.fee >= Money(0));
            let far = distances.between(c.seller.node, c.buyer.node);
            prop_assert_eq!(c.distance_pu, far);
            prop_assert!(far.unwrap() >= last, "nearest first");
            last = far.unwrap();
        }
    }

    #[test]
    fn accounts_sum_to_nothing(seed in any::<u64>()) {
        let (grid, case, clearing, rulebook) = sample(seed);
        let made = contracts(&grid, &case, &clearing, &[], &rulebook);
        let mut rng = StdRng::seed_from_u64(!seed);
        let qualities = [MeterQuality::Metered, MeterQuality::Estimated, MeterQuality::Missing];
        let mut meters: Vec<Meter> = Vec::new();
        for of in made.contracts.iter().flat_map(|c| [&c.seller, &c.buyer]) {
            if of.party != Party::Network && rng.random_bool(0.8) {
                meters.push(Meter {
                    party: of.party.clone(),
                    unit: of.unit,
                    node: of.node,
                    delivered_wh: rng.random_range(-100_000..100_000),
                    quality: qualities[rng.random_range(0..3)],
                });
            }
        }
        let settlement = settle(0, &made, &meters, &rulebook.imbalance);
        prop_assert_eq!(settlement.sum(), Money(0));
        for statement in &settlement.statements {
            let lines: i64 = statement.lines.iter().map(|line| line.received.0).sum();
            prop_assert!(statement.party == Party::Network || lines == statement.balance.0);
        }
        // Without meters all are settled as contracted: each gets what its contracts say.
        let unmetered = settle(0, &made, &[], &rulebook.imbalance);
        for statement in &unmetered.statements {
            let expected = match statement.party {
                Party::Network => made.rent,
                ref party => made.received(party),
            };
            prop_assert_eq!(statement.balance, expected);
        }
    }
}
