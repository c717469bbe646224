//! Orders with a named counterparty: matched before the clearing, with each other only.
//!
//! 1. A sale and a purchase of two participants that name each other, for the same interval, match
//!    where the buyer pays at least what the seller asks and the grid fee between them, which is
//!    that of an idle grid: known before anybody knows the flows.
//! 2. Best price first on either side (steps in turn), then time. The price is halfway between what
//!    the seller asks and what the buyer bids after the fee, rounded down.
//! 3. What is matched enters the clearing as must-run and must-serve: the network carries it unless
//!    it cannot, whatever the nodal prices. What is not matched is not taken.
//! 4. It is contracted at the agreed price and pays the fee, and nothing for congestion.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Bounds, Direction, Order, OrderId, Price, Registry, Rulebook, Step, distance::Distances,
};
use crate::network::{Grid, Id};

/// What two orders agreed on. An order may agree with several, each at a price of its own; there is
/// one leg in the clearing for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The leg that delivers: an order of the clearing.
    pub seller: OrderId,
    /// The leg that takes.
    pub buyer: OrderId,
    /// The order that it is a part of.
    pub sale: OrderId,
    /// The order that it is a part of.
    pub purchase: OrderId,
    /// Power, W.
    pub quantity_w: i64,
    /// Paid by the buyer to the seller.
    pub price: Price,
    /// Grid fee, paid by the buyer.
    pub fee: Price,
}

/// What is matched, and the legs that enter the clearing in the orders' place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bilateral {
    /// What is matched.
    pub pairs: Vec<Pair>,
    /// Two for each pair, seller's first.
    pub legs: Vec<Order>,
}

/// What is left of a step.
struct Left<'a> {
    order: &'a Order,
    price: Price,
    quantity_w: i64,
}

/// Sales and purchases of a couple.
type Sides<'a> = (Vec<Left<'a>>, Vec<Left<'a>>);

/// Matches the orders that name a counterparty; others are not looked at. `next` numbers the legs.
#[must_use]
pub fn bilateral(
    orders: &[Order],
    registry: &Registry,
    grid: &Grid,
    rulebook: &Rulebook,
    bounds: &Bounds,
    mut next: OrderId,
) -> Bilateral {
    let mut couples: BTreeMap<(&str, &str), Sides<'_>> = BTreeMap::new();
    for order in orders {
        let Some(counterparty) = order.terms.counterparty.as_deref() else {
            continue;
        };
        let own = order.participant.as_str();
        let lefts = order.steps.iter().map(|step| Left {
            order,
            price: step.price,
            quantity_w: step.quantity_w,
        });
        match order.direction {
            Direction::Sell => couples
                .entry((own, counterparty))
                .or_default()
                .0
                .extend(lefts),
            Direction::Buy => couples
                .entry((counterparty, own))
                .or_default()
                .1
                .extend(lefts),
        }
    }
    let mut distances = Distances::new(grid);
    let node = |unit: Id| registry.units.get(&unit).map(|unit| unit.node);
    let mut made = Bilateral::default();
    for (sales, purchases) in couples.values_mut() {
        sales.sort_by_key(|left| (left.price, left.order.id));
        purchases.sort_by_key(|left| (Price(left.price.0.saturating_neg()), left.order.id));
        for purchase in purchases {
            for sale in sales.iter_mut() {
                let (Some(from), Some(to)) = (node(sale.order.unit), node(purchase.order.unit))
                else {
                    continue;
                };
                if distances.between(from, to).is_none() {
                    continue;
                }
                let fee = rulebook.grid_fee.of(&mut distances, from, to, &[]);
                let most = purchase.price.0.saturating_sub(fee.0);
                let quantity_w = sale.quantity_w.min(purchase.quantity_w);
                if quantity_w <= 0 || most < sale.price.0 {
                    continue;
                }
                sale.quantity_w -= quantity_w;
                purchase.quantity_w -= quantity_w;
                let halfway = (i128::from(most) + i128::from(sale.price.0)).div_euclid(2);
                let pair = Pair {
                    seller: next,
                    buyer: OrderId(next.0 + 1),
                    sale: sale.order.id,
                    purchase: purchase.order.id,
                    quantity_w,
                    // Between two prices, so within their range.
                    price: Price(halfway as i64),
                    fee,
                };
                made.legs
                    .push(leg(sale.order, pair.seller, quantity_w, bounds.price_min));
                made.legs.push(leg(
                    purchase.order,
                    pair.buyer,
                    quantity_w,
                    bounds.price_max,
                ));
                made.pairs.push(pair);
                next = OrderId(next.0 + 2);
            }
        }
    }
    made
}

fn leg(order: &Order, id: OrderId, quantity_w: i64, price: Price) -> Order {
    Order {
        id,
        steps: vec![Step { quantity_w, price }],
        ..order.clone()
    }
}
