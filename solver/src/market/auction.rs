//! What an interval is cleared from once its gate has closed, and how: the one way to its result,
//! for the appliance as for whoever computes it again from the record.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Contracts, Kind, Order, OrderId, Pair, Rulebook,
    clearing::{
        Case, Clearing, ClearingError, Fill, Options, StoreSchedule, WindowSchedule, clear,
        clear_horizon,
    },
    contracts,
};
use crate::network::{Grid, Id};

/// Times that an interval is cleared again without deals that congestion makes too dear.
const ROUNDS: usize = 3;
/// A price this little above another counts as equal to it: a hundredth of the currency per MWh.
const EQUAL_PRICE: i64 = 10_000;

/// All but network and rulebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auction {
    /// The interval itself.
    pub case: Case,
    /// What participants agreed on with each other; their legs are among the case's orders.
    pub pairs: Vec<Pair>,
    /// What is looked ahead at for stores and windows; none: there is no such order.
    pub ahead: Option<Ahead>,
}

/// Intervals after the one that is cleared, in sequence. All but orders is expected to stay as it is:
/// loads, what units can do, limits, prices of the grid above.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ahead {
    /// Orders that stand for each.
    pub orders: Vec<Vec<Order>>,
    /// Expected of a unit in each interval for which it has no order.
    pub expected: Vec<Order>,
}

/// What looking ahead found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookedAhead {
    /// Intervals that were looked at, the one that was cleared included. One, although there were
    /// more: the budget of programmes was not enough to clear each of them once.
    pub intervals: usize,
    /// Whether the budget ended the search: there may be better schedules.
    pub out_of_budget: bool,
    /// By number of the order.
    pub stores: Vec<StoreSchedule>,
    /// By number of the order.
    pub windows: Vec<WindowSchedule>,
    /// Cost of all intervals with wear, less what is left in the stores, currency.
    pub cost: f64,
    /// What the last programme over the intervals still promised, currency.
    pub gap: f64,
}

impl Auction {
    /// Clears the interval. Deals between two that congestion makes dearer than they have room for
    /// are taken out, all such at once, and it is cleared again, [`ROUNDS`] times at most; what is
    /// beyond their room then the network bears.
    ///
    /// # Errors
    /// As of [`clear`] and [`clear_horizon`].
    pub fn clear(
        &self,
        grid: &Grid,
        rulebook: &Rulebook,
    ) -> Result<(Clearing, Option<LookedAhead>), ClearingError> {
        let mut off: BTreeSet<OrderId> = BTreeSet::new();
        let mut found = self.clear_without(&off, grid, &rulebook.clearing)?;
        for _ in 0..ROUNDS {
            let before = off.len();
            for pair in &self.pairs {
                let costs = pair.congestion(&self.case, &found.0, rulebook.pricing);
                // A clearing's prices are as exact as its tolerance.
                let most = pair.room.map(|room| room.0.saturating_add(EQUAL_PRICE));
                if costs.is_some_and(|costs| most.is_some_and(|most| costs.0 > most)) {
                    off.extend([pair.seller, pair.buyer]);
                }
            }
            if off.len() == before {
                break;
            }
            found = self.clear_without(&off, grid, &rulebook.clearing)?;
        }
        Ok(found)
    }

    /// Clears it without some orders, which are awarded nothing.
    fn clear_without(
        &self,
        off: &BTreeSet<OrderId>,
        grid: &Grid,
        options: &Options,
    ) -> Result<(Clearing, Option<LookedAhead>), ClearingError> {
        if off.is_empty() {
            return clear_ahead(grid, &self.case, self.ahead.as_ref(), options);
        }
        let mut case = self.case.clone();
        case.orders.retain(|order| !off.contains(&order.id));
        let (mut clearing, looked) = clear_ahead(grid, &case, self.ahead.as_ref(), options)?;
        let mut fills = std::mem::take(&mut clearing.fills).into_iter();
        clearing.fills = self
            .case
            .orders
            .iter()
            .filter_map(|order| match off.contains(&order.id) {
                true => Some(Fill {
                    order: order.id,
                    quantity_w: 0.0,
                }),
                false => fills.next(),
            })
            .collect();
        Ok((clearing, looked))
    }

    /// Contracts of its clearing.
    #[must_use]
    pub fn contracts(&self, grid: &Grid, clearing: &Clearing, rulebook: &Rulebook) -> Contracts {
        contracts(grid, &self.case, clearing, &self.pairs, rulebook)
    }
}

fn clear_ahead(
    grid: &Grid,
    case: &Case,
    ahead: Option<&Ahead>,
    options: &Options,
) -> Result<(Clearing, Option<LookedAhead>), ClearingError> {
    let Some(ahead) = ahead else {
        return Ok((clear(grid, case, options)?, None));
    };
    let mut found = clear_horizon(grid, &ahead.cases(case), options)?;
    let intervals = found.intervals.len();
    // A horizon has at least the one interval.
    let clearing = found.intervals.swap_remove(0);
    let looked = LookedAhead {
        intervals,
        out_of_budget: found.out_of_budget,
        stores: found.stores,
        windows: found.windows,
        cost: found.cost,
        gap: found.gap,
    };
    Ok((clearing, Some(looked)))
}

impl Ahead {
    /// The interval with those after it.
    #[must_use]
    pub fn cases(&self, first: &Case) -> Vec<Case> {
        let scheduled: Vec<Id> = first
            .orders
            .iter()
            .filter(|order| is_scheduled(order))
            .map(|order| order.unit)
            .collect();
        let later = self.orders.iter().map(|orders| {
            // What is agreed between two, and windows that begin later, are not known well enough.
            let own = orders.iter().filter(|order| {
                !is_scheduled(order)
                    && !scheduled.contains(&order.unit)
                    && order.terms.counterparty.is_none()
            });
            let mut own: Vec<Order> = own.cloned().collect();
            let orders_active = |unit: Id| {
                own.iter()
                    .any(|o| o.unit == unit && o.terms.kind.is_energy())
            };
            let expected = self.expected.iter().filter(|order| {
                !is_scheduled(order)
                    && !scheduled.contains(&order.unit)
                    && !orders_active(order.unit)
            });
            let expected: Vec<Order> = expected.cloned().collect();
            own.extend(expected);
            Case {
                orders: own,
                start: None,
                ..first.clone()
            }
        });
        std::iter::once(first.clone()).chain(later).collect()
    }
}

/// Whether an order is decided over several intervals.
pub(super) fn is_scheduled(order: &Order) -> bool {
    matches!(order.terms.kind, Kind::Storage(_) | Kind::Window(_))
}
