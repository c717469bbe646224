//! Orders of two who name each other.

use super::*;

fn named(mut order: Order, counterparty: &str) -> Order {
    order.terms.counterparty = Some(counterparty.to_owned());
    order
}

fn agreed(orders: &[Order]) -> (Grid, Vec<Pair>, Vec<Order>) {
    let grid = feeder(3);
    let registry = Registry::new(
        0..3,
        [participant(1, 1), participant(2, 2), participant(3, 0)],
    );
    let rulebook = Rulebook {
        grid_fee: GridFee {
            per_pu: Price(2_000_000),
            ..GridFee::default()
        },
        ..Rulebook::default()
    };
    let made = bilateral(orders, &registry, &grid, &rulebook, &BOUNDS, OrderId(100));
    (grid, made.pairs, made.legs)
}

#[test]
fn who_name_each_other_match_where_prices_cross_by_more_than_the_fee() {
    let (_, pairs, legs) = agreed(&[
        named(order(1, 1, Direction::Sell, &[(100, 30), (100, 40)]), "p2"),
        named(order(2, 2, Direction::Buy, &[(50, 44), (200, 35)]), "p1"),
        // One-sided, and without a name.
        named(order(3, 3, Direction::Sell, &[(500, 1)]), "p2"),
        order(4, 3, Direction::Sell, &[(500, 1)]),
    ]);
    let pair = |n: u64, quantity_w, price, room| Pair {
        seller: OrderId(100 + 2 * n),
        buyer: OrderId(101 + 2 * n),
        sale: OrderId(1),
        purchase: OrderId(2),
        quantity_w,
        price: Price(price),
        fee: Price(2_000_000),
        room: Some(Price(room)),
    };
    // 1 pu apart, fee 2: 44 - 2 and 30 meet at 36; 35 - 2 and 30 at 31.5; 40 is above 33.
    assert_eq!(
        pairs,
        [
            pair(0, 50, 36_000_000, 12_000_000),
            pair(1, 50, 31_500_000, 3_000_000)
        ]
    );
    assert_eq!(legs.len(), 4);
    assert_eq!(legs[0].steps[0].price, BOUNDS.price_min);
    assert_eq!(legs[1].steps[0].price, BOUNDS.price_max);
    assert_eq!((legs[0].unit, legs[1].unit), (1, 2));
    // At 2 the fee is all there is between them; a micro less and there is no deal.
    for (bid, deals) in [(32_000_000, 1), (31_999_999, 0)] {
        let mut buy = named(order(2, 2, Direction::Buy, &[(50, 1)]), "p1");
        buy.steps[0].price = Price(bid);
        let sell = named(order(1, 1, Direction::Sell, &[(50, 30)]), "p2");
        assert_eq!(agreed(&[buy, sell]).1.len(), deals, "{bid}");
    }
}

#[test]
fn of_equal_prices_the_earlier_order_is_served_first() {
    let sell = |id| named(order(id, 1, Direction::Sell, &[(60, 30)]), "p2");
    let (_, pairs, _) = agreed(&[
        sell(7),
        sell(5),
        named(order(9, 2, Direction::Buy, &[(100, 50)]), "p1"),
    ]);
    let served: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.sale.0, pair.quantity_w))
        .collect();
    assert_eq!(served, [(5, 60), (7, 40)]);
}

#[test]
fn what_is_agreed_is_carried_and_contracted_at_its_price() {
    let (grid, pairs, legs) = agreed(&[
        named(order(1, 1, Direction::Sell, &[(1000, 60)]), "p2"),
        named(order(2, 2, Direction::Buy, &[(1000, 70)]), "p1"),
    ]);
    let mut case = empty_case();
    case.units = vec![participant(1, 1), participant(2, 2)];
    case.orders = legs;
    // Nobody would buy at 60 where the grid above sells at 50.
    case.orders.push(order(3, 1, Direction::Sell, &[(500, 10)]));
    let clearing = clear(&grid, &case, &Options::default()).unwrap();
    let made = contracts(&grid, &case, &clearing, &pairs, &Rulebook::default());
    let deal = &made.contracts[0];
    assert!(deal.bilateral && deal.energy_wh == 1000, "{deal:?}");
    assert_eq!(
        (deal.received.0, deal.paid.0, deal.fee.0),
        (64_000, 64_000, 2_000)
    );
    let of = |k: i32| made.delivered_wh(&Party::Participant(format!("p{k}")));
    assert_eq!((of(1), of(2)), (1500, -1000));
    assert!(made.contracts[1..].iter().all(|c| !c.bilateral));
}

#[test]
fn what_only_one_side_was_awarded_stays_at_the_agreed_price() {
    let (grid, pairs, legs) = agreed(&[
        named(order(1, 1, Direction::Sell, &[(1000, 30)]), "p2"),
        named(order(2, 2, Direction::Buy, &[(1000, 50)]), "p1"),
    ]);
    let mut case = empty_case();
    case.units = vec![participant(1, 1), participant(2, 2)];
    case.orders = legs;
    let mut cut = clearing(
        &grid,
        &[(1, 400.0), (2, -1000.0)],
        &[900.0, 900.0, 900.0],
        600.0,
    );
    let fill = |order: u64, quantity_w| Fill {
        order: OrderId(order),
        quantity_w,
    };
    cut.fills = vec![fill(100, 400.0), fill(101, 1000.0)];
    let made = contracts(&grid, &case, &cut, &pairs, &Rulebook::default());
    let price = pairs[0].price.0 / 1_000_000;
    let p2 = Party::Participant("p2".to_owned());
    assert_eq!(made.received(&p2).0, -1000 * price - 400 * 2);
    assert_eq!(made.delivered_wh(&p2), -1000);
}

/// A line between the two that carries 1200 W: seller 1 here; there buyer 2, a load of 2000 W, and a
/// plant that asks 80, so that one more MWh there costs 30 more than here, with the deal or without.
fn bottleneck(bid: i64) -> (Auction, Grid) {
    let (grid, pairs, legs) = agreed(&[
        named(order(1, 1, Direction::Sell, &[(1000, 55)]), "p2"),
        named(order(2, 2, Direction::Buy, &[(1000, bid)]), "p1"),
    ]);
    let mut case = empty_case();
    case.units = vec![participant(1, 1), participant(2, 2), participant(3, 2)];
    case.orders = legs;
    case.orders
        .push(order(3, 3, Direction::Sell, &[(5000, 80)]));
    case.fixed.push(NodePower {
        node: 2,
        p_w: -2000.0,
        q_var: 0.0,
        owner: None,
    });
    case.limits.branches.push(BranchLimit {
        branch: grid.branches[1].id,
        loading_max: 1200.0 / (3f64.sqrt() * 1e3 * 100.0),
    });
    let auction = Auction {
        case,
        pairs,
        ahead: None,
        calls: None,
    };
    (auction, grid)
}

/// What the two have between them decides: it pays for the bottleneck, half by either, or the deal is off.
#[test]
fn a_deal_pays_for_the_bottleneck_that_it_goes_through_or_is_off() {
    // The fee is 2 per MWh, so that there are 53 between ask and bid, or 13.
    for (bid, carried) in [(110, true), (70, false)] {
        let (auction, grid) = bottleneck(bid);
        for pricing in [Pricing::Nodal, Pricing::Uniform, Pricing::PayAsBid] {
            let rulebook = Rulebook {
                pricing,
                ..Rulebook::default()
            };
            let result = auction.clear(&grid, &rulebook).unwrap();
            let made = auction.contracts(&grid, &result, &rulebook);
            let clearing = result.clearing;
            let fills: Vec<_> = clearing.fills.iter().map(|fill| fill.order).collect();
            assert_eq!(fills, [OrderId(100), OrderId(101), OrderId(3)]);
            let price = |node: usize| clearing.prices[node].p_per_mwh;
            let spread = price(2) - price(1);
            // Up to 1200 W over 1 pu of resistance to node 1: 2 x 0.0012 of 50 more there.
            assert!((spread - 30.0).abs() < 0.2, "{spread}");
            let deal = made.contracts.iter().find(|c| c.bilateral);
            if pricing != Pricing::Nodal {
                // Who knows no congestion pays none.
                let deal = deal.unwrap();
                assert_eq!(deal.seller_price, deal.buyer_price);
                continue;
            }
            assert_eq!(deal.is_some(), carried, "{bid}");
            let sum: i64 = made.contracts.iter().map(|c| c.rent().0).sum();
            assert_eq!(made.rent.0, sum);
            let settled = settle(0, &made, &[], &rulebook.imbalance);
            assert_eq!(settled.sum(), Money(0));
            let network = settled.statements.last().unwrap();
            assert_eq!(
                (&network.party, network.balance),
                (&Party::Network, made.rent)
            );
            let Some(deal) = deal else { continue };
            // 55 asked, 108 bid after the fee: halfway is 81.5, and 15 less and more.
            let (seller, buyer) = (deal.seller_price.per_mwh(), deal.buyer_price.per_mwh());
            assert!(
                (seller - 66.5).abs() < 0.1 && (buyer - 96.5).abs() < 0.1,
                "{deal:?}"
            );
            assert!((buyer - seller - spread).abs() < 2e-6);
        }
    }
}

/// A deal that is off, with a store to be scheduled beside it: what is looked ahead at is the case without the
/// deal, and every order has its own fill.
#[test]
fn a_deal_is_off_with_intervals_ahead_in_view_too() {
    let (mut auction, grid) = bottleneck(70);
    let mut store = participant(4, 2);
    (store.capability.p_min_w, store.capability.p_max_w) = (-500.0, 500.0);
    auction.case.units.push(store);
    // Half a kWh, worth most while the plant asks 80: afterwards it asks 60.
    let mut storage = order(4, 4, Direction::Sell, &[]);
    storage.terms.kind = Kind::Storage(Storage {
        energy_wh: 500,
        energy_min_wh: 0,
        energy_max_wh: 500,
        charge_ppm: PPM,
        discharge_ppm: PPM,
        wear: Price(0),
        end_value: Price(0),
    });
    auction.case.orders.insert(0, storage);
    let ahead = Ahead {
        orders: vec![Vec::new(); 2],
        expected: vec![order(3, 3, Direction::Sell, &[(5000, 60)])],
    };
    auction.ahead = Some(ahead.clone());
    let rulebook = Rulebook {
        pricing: Pricing::Nodal,
        ..Rulebook::default()
    };
    let found = auction.clear(&grid, &rulebook).unwrap();
    let (clearing, looked) = (found.clearing, found.looked);
    let fills: Vec<_> = clearing
        .fills
        .iter()
        .map(|of| (of.order.0, of.quantity_w.round()))
        .collect();
    // 2000 W of load, 1200 W by the line, 500 W from the store.
    assert_eq!(fills[..3], [(4, 500.0), (100, 0.0), (101, 0.0)]);
    assert!(
        fills[3].0 == 3 && (fills[3].1 - 300.0).abs() < 10.0,
        "{fills:?}"
    );
    let mut without = auction.case.clone();
    without.orders.retain(|of| of.id.0 < 100);
    let cases = ahead.cases(&without);
    let expected = clear_horizon(&grid, &cases, &rulebook.clearing).unwrap();
    let looked = looked.unwrap();
    assert_eq!(looked.intervals, 3);
    assert_eq!(
        (&looked.stores, looked.cost),
        (&expected.stores, expected.cost)
    );
    assert_eq!(clearing.prices, expected.intervals[0].prices);
    // Carried, it is not off.
    let (mut carried, grid) = bottleneck(110);
    carried.case.units = auction.case.units.clone();
    carried
        .case
        .orders
        .insert(0, auction.case.orders[0].clone());
    carried.ahead = Some(ahead);
    let clearing = carried.clear(&grid, &rulebook).unwrap().clearing;
    assert!(clearing.fills[1].quantity_w > 999.0, "{:?}", clearing.fills);
}

/// Whatever prices are, nobody trades at a worse one than ordered, and a deal that relieves is paid for it.
#[test]
fn a_deal_is_never_worse_than_ordered() {
    let (auction, grid) = bottleneck(70);
    let pair = &auction.pairs[0];
    let room = pair.room.unwrap().0;
    assert_eq!((room, pair.fee.0), (13_000_000, 2_000_000));
    let case = &auction.case;
    for spread in [-40.0, -0.000_001, 0.0, 0.000_001, 5.0, 13.0, 500.0] {
        let mut made_up = clearing(
            &grid,
            &[(1, 1000.0), (2, -1000.0), (3, 0.0)],
            &[50.0, 50.0, 50.0 + spread],
            0.0,
        );
        let fill = |order: u64| Fill {
            order: OrderId(order),
            quantity_w: 1000.0,
        };
        made_up.fills = vec![fill(100), fill(101)];
        let made = contracts(&grid, case, &made_up, &auction.pairs, &Rulebook::default());
        let deal = made.contracts.iter().find(|c| c.bilateral).unwrap();
        let (seller, buyer) = (deal.seller_price.0, deal.buyer_price.0);
        assert!(
            seller >= 55_000_000 && buyer + pair.fee.0 <= 70_000_000,
            "{deal:?}"
        );
        let charged = ((spread * 1e6) as i64).min(room);
        assert!((buyer - seller - charged).abs() <= 1, "{spread}: {deal:?}");
    }
}
