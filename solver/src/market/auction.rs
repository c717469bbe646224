//! What an interval is cleared from once its gate has closed, and how: the one way to its result,
//! for the appliance as for whoever computes it again from the record.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Called, Calls, Contracts, Kind, Order, OrderId, Pair, Rulebook,
    call::{call_contracts, filled},
    clearing::{
        Award, Case, Clearing, ClearingError, Interface, Options, StoreSchedule, WindowSchedule,
        clear, clear_horizon,
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
    /// Calls of the DSO; none: there are none. Units and orders are as without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Calls>,
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

/// What an auction comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct AuctionResult {
    /// The interval's clearing.
    pub clearing: Clearing,
    /// What looking ahead found.
    pub looked: Option<LookedAhead>,
    /// What called units would have been awarded without the calls.
    pub without_calls: Vec<Award>,
}

type Cleared = (Clearing, Option<LookedAhead>);

impl Auction {
    /// Clears the interval, without its calls first. Where some unit does not keep to its call already,
    /// it is cleared again with them, and that binds.
    ///
    /// # Errors
    /// As of [`clear`] and [`clear_horizon`].
    pub fn clear(&self, grid: &Grid, rulebook: &Rulebook) -> Result<AuctionResult, ClearingError> {
        let without = self.clear_called(false, grid, rulebook)?;
        let awards = &without.0.awards;
        let called = self.calls.as_ref();
        let without_calls = called.map_or_else(Vec::new, |calls| calls.of_called(awards));
        let (clearing, looked) = match self
            .calls
            .iter()
            .all(|calls| calls.are_kept(&self.case, awards))
        {
            true => without,
            false => self.clear_called(true, grid, rulebook)?,
        };
        Ok(AuctionResult {
            clearing,
            looked,
            without_calls,
        })
    }

    /// With or without the interval's calls. Deals between two that congestion makes dearer than they
    /// have room for are taken out, all such at once, and it is cleared again, [`ROUNDS`] times at
    /// most; what is beyond their room then the network bears.
    fn clear_called(
        &self,
        called: bool,
        grid: &Grid,
        rulebook: &Rulebook,
    ) -> Result<Cleared, ClearingError> {
        let mut off: BTreeSet<OrderId> = BTreeSet::new();
        let mut found = self.clear_without(&off, called, grid, &rulebook.clearing)?;
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
            found = self.clear_without(&off, called, grid, &rulebook.clearing)?;
        }
        Ok(found)
    }

    /// Clears it without some orders, which are awarded nothing.
    fn clear_without(
        &self,
        off: &BTreeSet<OrderId>,
        called: bool,
        grid: &Grid,
        options: &Options,
    ) -> Result<Cleared, ClearingError> {
        let mut case = self.case.clone();
        case.orders.retain(|order| !off.contains(&order.id));
        let calls = self.calls.as_ref().filter(|_| called);
        let with = calls.map(|calls| Called::new(&case, &calls.orders, calls, &BTreeSet::new()));
        let now = with.as_ref().map_or(&case, |with| &with.case);
        let (mut clearing, looked) = self.clear_ahead(&case, now, grid, options)?;
        match &with {
            Some(with) => with.restore(&self.case, &mut clearing),
            None => {
                let fills = clearing.fills.iter();
                let taken = fills.map(|fill| (fill.order, fill.quantity_w)).collect();
                clearing.fills = filled(&self.case, &taken);
            }
        }
        Ok((clearing, looked))
    }

    /// Clears the interval as it is `now`, with those after it in view, which are as the plain `case`.
    fn clear_ahead(
        &self,
        case: &Case,
        now: &Case,
        grid: &Grid,
        options: &Options,
    ) -> Result<Cleared, ClearingError> {
        let Some(ahead) = &self.ahead else {
            return Ok((clear(grid, now, options)?, None));
        };
        let mut cases = ahead.cases(case);
        cases[0] = now.clone();
        if let Some(calls) = &self.calls {
            calls.bind_later(&mut cases);
        }
        let mut found = clear_horizon(grid, &cases, options)?;
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

    /// Contracts of its result.
    #[must_use]
    pub fn contracts(&self, grid: &Grid, of: &AuctionResult, rulebook: &Rulebook) -> Contracts {
        let calls = self
            .calls
            .as_ref()
            .map(|calls| call_contracts(&self.case, calls, &of.clearing, &of.without_calls));
        Contracts {
            calls: calls.unwrap_or_default(),
            ..contracts(grid, &self.case, &of.clearing, &self.pairs, rulebook)
        }
    }
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
            let usual = self.expected.iter().filter(|order| {
                !is_scheduled(order)
                    && !scheduled.contains(&order.unit)
                    && !orders_active(order.unit)
            });
            let usual: Vec<Order> = usual.cloned().collect();
            own.extend(usual);
            Case {
                orders: own,
                start: None,
                interface: first.interface.iter().map(expected).collect(),
                ..first.clone()
            }
        });
        std::iter::once(first.clone()).chain(later).collect()
    }
}

/// An interface in a later interval, of which nothing is agreed on yet: the grid above is expected to take
/// and give at the price of this interval's award.
fn expected(interface: &Interface) -> Interface {
    let price = interface.scheduled.map(|of| of.price);
    Interface {
        import_price: price.unwrap_or(interface.import_price),
        export_price: price.unwrap_or(interface.export_price),
        scheduled: None,
        ..*interface
    }
}

/// Whether an order is decided over several intervals.
pub(super) fn is_scheduled(order: &Order) -> bool {
    matches!(order.terms.kind, Kind::Storage(_) | Kind::Window(_))
}
