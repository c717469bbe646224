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
    let pair = |n: u64, quantity_w, price| Pair {
        seller: OrderId(100 + 2 * n),
        buyer: OrderId(101 + 2 * n),
        sale: OrderId(1),
        purchase: OrderId(2),
        quantity_w,
        price: Price(price),
        fee: Price(2_000_000),
    };
    // 1 pu apart, fee 2: 44 - 2 and 30 meet at 36; 35 - 2 and 30 at 31.5; 40 is above 33.
    assert_eq!(pairs, [pair(0, 50, 36_000_000), pair(1, 50, 31_500_000)]);
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
