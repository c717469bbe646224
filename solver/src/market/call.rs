//! Demand-response calls: what they make of an interval's case, and what is paid for them.
//!
//! A call bounds a unit's active power. What the unit may not do is taken from its capability; what it
//! has to do at least (a floor above nothing, a cap below) it runs whatever the price, beginning with
//! what its own orders ask the best price for, and like everything that must run or be served the
//! network cuts it last. A store or window that has to do something does that and no more in the
//! interval, as far as its energy goes.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Call, Capability, Direction, Kind, Money, Order, OrderId, PPM, Party, Place, Price, Step,
    Storage, Terms, Window, amount,
    auction::is_scheduled,
    clearing::{Award, Case, Clearing, Fill},
    energy_wh,
};
use crate::network::Id;

/// Power that counts as none, W: less is the optimiser's last digits.
const NOTHING_W: f64 = 1e-3;

/// The calls that an interval is cleared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// What must run asks: the market's lowest price.
    pub must_run: Price,
    /// What must be served bids: the market's highest price.
    pub must_serve: Price,
    /// At most one of a unit, as they bind now.
    pub orders: Vec<Order>,
    /// Those of each later interval that is in view.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<Vec<Order>>,
}

/// What is paid for a call that bound: from the account of who called to the unit's owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallContract {
    /// The call.
    pub order: OrderId,
    /// Who called, and pays.
    pub caller: Party,
    /// Whose unit was called, and where it is.
    pub called: Place,
    /// What it delivers by the call less what it would have delivered without, Wh.
    pub energy_wh: i64,
    /// Per MWh of that, whichever way it goes.
    pub compensation: Price,
    /// What its owner receives.
    pub received: Money,
}

impl Calls {
    /// Whether awards keep to all of them already.
    pub(super) fn are_kept(&self, case: &Case, awards: &[Award]) -> bool {
        self.orders.iter().all(|call| is_kept(case, call, awards))
    }

    /// Awards of the units that are called now.
    pub(super) fn of_called(&self, awards: &[Award]) -> Vec<Award> {
        let called = |award: &&Award| self.orders.iter().any(|call| call.unit == award.unit);
        awards.iter().filter(called).copied().collect()
    }

    /// Puts the calls of later intervals into these, the first of which is the one that is cleared.
    pub(super) fn bind_later(&self, cases: &mut [Case]) {
        let Some((first, later)) = cases.split_first_mut() else {
            return;
        };
        let scheduled = first.orders.iter().filter(|order| is_scheduled(order));
        let scheduled = scheduled.map(|order| order.unit).collect();
        for (case, orders) in later.iter_mut().zip(&self.later) {
            *case = Called::new(case, orders, self, &scheduled).case;
        }
    }

    /// What a unit was called to, in a sentence; nothing where it was not. `without` are awards without
    /// the calls.
    #[must_use]
    pub fn sentence(&self, unit: Id, without: &[Award]) -> Option<String> {
        let order = self.orders.iter().find(|order| order.unit == unit)?;
        let call = call_of(order)?;
        let award = without.iter().find(|award| award.unit == unit)?;
        Some(format!(
            "called by {} {}, at {:.2} per MWh; without that it would have been awarded {:.0} W",
            order.participant,
            call.bounds_in_words(),
            call.compensation.per_mwh(),
            award.p_w
        ))
    }
}

impl Call {
    /// Lowest and highest power that it leaves to a unit, W, within what the unit can do: what it
    /// cannot do it is not held to.
    #[must_use]
    pub fn range_w(&self, of: &Capability) -> (f64, f64) {
        // Not `clamp`: nothing here has looked yet at what is handed in.
        let within = |power_w: i64| (power_w as f64).min(of.p_max_w).max(of.p_min_w);
        (
            self.p_min_w.map_or(of.p_min_w, within),
            self.p_max_w.map_or(of.p_max_w, within),
        )
    }

    /// Whether it allows a power, to the watt.
    #[must_use]
    pub fn allows(&self, power_w: f64) -> bool {
        let least = self.p_min_w.map_or(f64::NEG_INFINITY, |w| w as f64);
        let most = self.p_max_w.map_or(f64::INFINITY, |w| w as f64);
        (least - 1.0..=most + 1.0).contains(&power_w)
    }

    /// In words, for a sentence that begins with whom it calls.
    fn bounds_in_words(&self) -> String {
        match (self.p_min_w, self.p_max_w) {
            (Some(least), Some(most)) if least == most => format!("to {most} W"),
            (Some(least), Some(most)) => format!("to between {least} W and {most} W"),
            (Some(least), None) => format!("to at least {least} W"),
            (None, Some(most)) => format!("to at most {most} W"),
            (None, None) => "to nothing in particular".to_owned(),
        }
    }
}

/// The call that an order is.
fn call_of(order: &Order) -> Option<Call> {
    match order.terms.kind {
        Kind::Call(call) => Some(call),
        _ => None,
    }
}

/// Whether awards keep to a call already. One of a unit that takes no part asks for nothing.
fn is_kept(case: &Case, order: &Order, awards: &[Award]) -> bool {
    let unit = case.units.iter().find(|unit| unit.id == order.unit);
    let award = awards.iter().find(|award| award.unit == order.unit);
    let (Some(call), Some(unit), Some(award)) = (call_of(order), unit, award) else {
        return true;
    };
    let (low, high) = call.range_w(&unit.capability);
    (low - NOTHING_W..=high + NOTHING_W).contains(&award.p_w)
}

/// A case with calls in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// It.
    pub case: Case,
    musts: Vec<Must>,
}

/// What a called unit has to do: an order of the called case that nobody placed.
#[derive(Clone, Debug, PartialEq)]
struct Must {
    order: OrderId,
    /// Orders that it takes the place of as far as that: their power, with the sign of their fill, W.
    parts: Vec<(OrderId, f64)>,
}

impl Called {
    /// A case with calls in it, of which those of units that are `scheduled` over several intervals bound what they
    /// can do, perhaps to what they have to.
    #[must_use]
    pub fn new(case: &Case, orders: &[Order], calls: &Calls, scheduled: &BTreeSet<Id>) -> Self {
        let mut called = Self {
            case: case.clone(),
            musts: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for order in orders {
            let unit = called.case.units.iter_mut().find(|of| of.id == order.unit);
            let (Some(call), Some(unit)) = (call_of(order), unit) else {
                continue;
            };
            if !seen.insert(order.unit) {
                continue;
            }
            let (low, high) = call.range_w(&unit.capability);
            if scheduled.contains(&order.unit) {
                // A schedule keeps to it.
                (unit.capability.p_min_w, unit.capability.p_max_w) = (low, high);
                continue;
            }
            unit.capability.p_min_w = low.min(0.0);
            unit.capability.p_max_w = high.max(0.0);
            if low > 0.0 {
                called.must(order, Direction::Sell, (low, high), calls.must_run);
            } else if high < 0.0 {
                called.must(order, Direction::Buy, (-high, -low), calls.must_serve);
            }
        }
        called
    }

    /// The unit has to deliver (take) the least of a range of power, and may do as much as the most.
    fn must(&mut self, call: &Order, direction: Direction, range_w: (f64, f64), price: Price) {
        let (least_w, most_w) = (range_w.0.floor() as i64, range_w.1.floor() as i64);
        let own = |order: &Order| order.unit == call.unit;
        let scheduled = self.case.orders.iter().position(|order| {
            own(order) && matches!(order.terms.kind, Kind::Storage(_) | Kind::Window(_))
        });
        let (quantity_w, parts) = match scheduled {
            Some(at) => {
                let order = self.case.orders.remove(at);
                scheduled_part(&order, direction, least_w, self.case.duration_s)
            }
            None => (
                least_w,
                cut(
                    &mut self.case.orders,
                    call.unit,
                    direction,
                    (least_w, most_w),
                ),
            ),
        };
        if quantity_w < 1 {
            return;
        }
        // Never seen outside of this clearing; ids of accepted orders count up from one.
        let id = OrderId(u64::MAX - self.musts.len() as u64);
        self.case.orders.push(Order {
            id,
            client_id: String::new(),
            participant: call.participant.clone(),
            unit: call.unit,
            interval: call.interval,
            direction,
            steps: vec![Step { quantity_w, price }],
            terms: Terms {
                must: true,
                ..Terms::default()
            },
        });
        self.musts.push(Must { order: id, parts });
    }

    /// Brings a clearing of the called case into the form of one of the case without calls: what a
    /// unit had to do fills its own orders first.
    pub fn restore(&self, case: &Case, clearing: &mut Clearing) {
        let fills = clearing.fills.iter();
        let mut taken: BTreeMap<OrderId, f64> =
            fills.map(|fill| (fill.order, fill.quantity_w)).collect();
        for Must { order, parts } in &self.musts {
            let mut left_w = taken.remove(order).unwrap_or(0.0);
            for (own, part_w) in parts {
                let of_it_w = left_w.min(part_w.abs());
                left_w -= of_it_w;
                *taken.entry(*own).or_insert(0.0) += of_it_w * part_w.signum();
            }
        }
        clearing.fills = filled(case, &taken);
    }
}

/// Fills of a case's orders; one that was not cleared is not taken.
pub(super) fn filled(case: &Case, taken: &BTreeMap<OrderId, f64>) -> Vec<Fill> {
    let orders = case.orders.iter();
    let fill = |order: &Order| Fill {
        order: order.id,
        quantity_w: taken.get(&order.id).copied().unwrap_or(0.0),
    };
    orders.map(fill).collect()
}

/// Takes the first `least` watts of a unit's curve out of its orders, and what is beyond the `most`;
/// the best prices are the first, of equal ones the order accepted first.
fn cut(
    orders: &mut [Order],
    unit: Id,
    direction: Direction,
    (least_w, most_w): (i64, i64),
) -> Vec<(OrderId, f64)> {
    let own = |order: &Order| {
        order.unit == unit && order.direction == direction && order.terms.kind.is_energy()
    };
    let mut steps: Vec<(Price, OrderId, usize, &mut Step)> = Vec::new();
    for order in orders.iter_mut().filter(|order| own(order)) {
        let id = order.id;
        let each = order.steps.iter_mut().enumerate();
        steps.extend(each.map(|(k, step)| (step.price, id, k, step)));
    }
    steps.sort_by_key(|&(price, id, k, _)| match direction {
        Direction::Sell => (price, id, k),
        Direction::Buy => (Price(price.0.saturating_neg()), id, k),
    });
    let (mut least_w, mut most_w) = (least_w, most_w);
    let mut parts = Vec::new();
    for (_, id, _, step) in steps {
        let asked_w = step.quantity_w.min(most_w);
        let part_w = asked_w.min(least_w);
        if part_w > 0 {
            parts.push((id, part_w as f64));
        }
        least_w -= part_w;
        most_w -= asked_w;
        step.quantity_w = asked_w - part_w;
    }
    for order in orders.iter_mut().filter(|order| own(order)) {
        order.steps.retain(|step| step.quantity_w > 0);
    }
    parts
}

/// What a store or window does of what it has to, W, and what of it fills its own order.
fn scheduled_part(
    order: &Order,
    direction: Direction,
    least_w: i64,
    duration_s: u32,
) -> (i64, Vec<(OrderId, f64)>) {
    let hours = f64::from(duration_s) / 3600.0;
    let most_w = |energy_wh: f64| (energy_wh / hours).max(0.0).floor() as i64;
    match order.terms.kind {
        Kind::Storage(of) => {
            let Storage {
                energy_wh,
                energy_min_wh,
                energy_max_wh,
                ..
            } = of;
            let share = |ppm: u32| f64::from(ppm) / f64::from(PPM);
            let (energy_wh, sign) = match direction {
                Direction::Sell => {
                    let above = energy_wh.saturating_sub(energy_min_wh) as f64;
                    (above * share(of.discharge_ppm), 1.0)
                }
                Direction::Buy => {
                    let below = energy_max_wh.saturating_sub(energy_wh) as f64;
                    (below / share(of.charge_ppm), -1.0)
                }
            };
            let quantity_w = least_w.min(most_w(energy_wh));
            (quantity_w, vec![(order.id, sign * quantity_w as f64)])
        }
        Kind::Window(Window { energy_wh, .. }) if order.direction == direction => {
            let asked_w: i64 = order.steps.iter().map(|step| step.quantity_w).sum();
            let quantity_w = least_w.min(asked_w).min(most_w(energy_wh as f64));
            (quantity_w, vec![(order.id, quantity_w as f64)])
        }
        _ => (least_w, Vec::new()),
    }
}

/// What is paid for calls: nothing for one that the unit would have kept to anyway. `without` are the
/// units' awards without the calls.
pub(super) fn call_contracts(
    case: &Case,
    calls: &Calls,
    clearing: &Clearing,
    without: &[Award],
) -> Vec<CallContract> {
    let paid = calls.orders.iter().filter_map(|order| {
        let call = call_of(order)?;
        if is_kept(case, order, without) {
            return None;
        }
        let unit = case.units.iter().find(|unit| unit.id == order.unit)?;
        let of_unit = |awards: &[Award]| {
            let award = awards.iter().find(|award| award.unit == order.unit)?;
            Some(energy_wh(award.p_w, case.duration_s))
        };
        let change_wh = of_unit(&clearing.awards)?.saturating_sub(of_unit(without)?);
        (change_wh != 0).then(|| CallContract {
            order: order.id,
            caller: Party::Participant(order.participant.clone()),
            called: Place {
                party: Party::Participant(unit.participant.clone()),
                unit: Some(unit.id),
                node: unit.node,
            },
            energy_wh: change_wh,
            compensation: call.compensation,
            received: amount(change_wh.saturating_abs(), call.compensation),
        })
    });
    paid.collect()
}
