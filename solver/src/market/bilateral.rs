//! Orders with a named counterparty: matched before the clearing, with each other only.
//!
//! 1. A sale and a purchase of two participants that name each other, for the same interval, match
//!    where the buyer pays at least what the seller asks and the grid fee between them, which is
//!    that of an idle grid: known before anybody knows the flows.
//! 2. Best price first on either side (steps in turn), then time. The price is halfway between what
//!    the seller asks and what the buyer bids after the fee, rounded down.
//! 3. What is matched enters the clearing as must-run and must-serve: the network carries it unless
//!    it cannot, whatever the nodal prices. What is not matched is not taken.
//! 4. Where everybody trades at the price of its node, so do they: what one more MWh there costs more
//!    than here is charged half to either (or, where less, credited), as the holder of a financial
//!    transmission right would be paid (Hogan, "Contract networks for electric power
//!    transmission", 1992). Where that is more than the two have left between what the one asks and
//!    the other bids after the fee, the deal is off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Bounds, Direction, Order, OrderId, Price, Pricing, Registry, Rulebook, Step,
    clearing::{Case, Clearing, Status},
    distance::Distances,
    pricing::Prices,
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
    /// What the buyer bids after the fee less what the seller asks: most that congestion may cost.
    /// None on records of early builds, whose deals paid none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Price>,
}

impl Pair {
    /// What carrying it from node to node costs per MWh by the prices of a clearing; none where
    /// they say nothing, or nobody trades at them.
    pub(super) fn congestion(
        &self,
        case: &Case,
        clearing: &Clearing,
        pricing: Pricing,
    ) -> Option<Price> {
        let says_something = !matches!(clearing.status, Status::LeastViolation { .. });
        if self.room.is_none() || pricing != Pricing::Nodal || !says_something {
            return None;
        }
        let prices = Prices::new(pricing, case, clearing);
        let of = |leg| {
            let order = case.orders.iter().find(|order| order.id == leg)?;
            let unit = case.units.iter().find(|unit| unit.id == order.unit)?;
            Some(prices.here(unit.id, unit.node))
        };
        let (here, there) = (of(self.seller)?, of(self.buyer)?);
        Some(Price(there.0.saturating_sub(here.0)))
    }

    /// What the seller receives and the buyer pays per MWh, fee apart: neither is worse than ordered.
    pub(super) fn prices(&self, congestion: Option<Price>) -> (Price, Price) {
        let (Some(room), Some(congestion)) = (self.room, congestion) else {
            return (self.price, self.price);
        };
        let charged = congestion.0.min(room.0);
        // Rounded as the price halfway is, so that at most the seller gets what it asks.
        let of_seller = charged.div_euclid(2);
        (
            Price(self.price.0.saturating_sub(of_seller)),
            Price(self.price.0.saturating_add(charged - of_seller)),
        )
    }
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
    let mut couples = couples(orders);
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
                let Some(pair) = deal(sale, purchase, fee, next) else {
                    continue;
                };
                let quantity_w = pair.quantity_w;
                for (of, id, price) in [
                    (&mut *sale, pair.seller, bounds.price_min),
                    (&mut *purchase, pair.buyer, bounds.price_max),
                ] {
                    of.quantity_w -= quantity_w;
                    made.legs.push(leg(of.order, id, quantity_w, price));
                }
                made.pairs.push(pair);
                next = OrderId(next.0 + 2);
            }
        }
    }
    made
}

/// Steps by who sells to whom.
fn couples(orders: &[Order]) -> BTreeMap<(&str, &str), Sides<'_>> {
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
    couples
}

/// What two steps agree on, if anything.
fn deal(sale: &Left<'_>, purchase: &Left<'_>, fee: Price, next: OrderId) -> Option<Pair> {
    let most = purchase.price.0.saturating_sub(fee.0);
    let quantity_w = sale.quantity_w.min(purchase.quantity_w);
    if quantity_w <= 0 || most < sale.price.0 {
        return None;
    }
    let halfway = (i128::from(most) + i128::from(sale.price.0)).div_euclid(2);
    Some(Pair {
        seller: next,
        buyer: OrderId(next.0 + 1),
        sale: sale.order.id,
        purchase: purchase.order.id,
        quantity_w,
        // Between two prices, so within their range.
        price: Price(halfway as i64),
        fee,
        room: Some(Price(most.saturating_sub(sale.price.0))),
    })
}

fn leg(order: &Order, id: OrderId, quantity_w: i64, price: Price) -> Order {
    Order {
        id,
        steps: vec![Step { quantity_w, price }],
        ..order.clone()
    }
}
