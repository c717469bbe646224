//! Who enters the auction of an interval with which orders: participants' as they stand, and agents'
//! for units without one.

use std::collections::BTreeMap;

use protocols::point::PointId;
use solver::{
    market::{
        Accepted, Ahead, Calls, Direction, Kind, Order, OrderId, Registry, Storage,
        Unit as MarketUnit, rules,
    },
    network::Id,
};

use super::{
    hold,
    step::{Cycle, market_unit},
};
use crate::{
    agents::{self, Knowledge},
    clock::US,
    site::{Battery, Unit},
    table::Snapshot,
};

/// Units that answer and obey.
#[derive(Debug, Default)]
pub(super) struct Able {
    pub(super) units: Vec<MarketUnit>,
    /// What each can do in the interval, W.
    ranges: BTreeMap<Id, (f64, f64)>,
    /// What is expected to be in each battery at the interval's start, Wh.
    energies: BTreeMap<Id, f64>,
    /// Where units that are held will be, W and var; they take no part.
    pub(super) held: BTreeMap<Id, (f64, f64)>,
}

impl Able {
    /// A call of a unit that takes part: nobody is held to power that sun, wind or charge do not give.
    fn can(&self, mut order: Order) -> Option<Order> {
        let (low, high) = self.ranges.get(&order.unit).copied()?;
        if let Kind::Call(of) = &mut order.terms.kind {
            of.p_min_w = of.p_min_w.map(|w| w.min((high.max(0.0)).floor() as i64));
            of.p_max_w = of.p_max_w.map(|w| w.max((low.min(0.0)).ceil() as i64));
        }
        Some(order)
    }
}

/// Orders of an interval and those after it.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) orders: Vec<Order>,
    pub(super) ahead: Option<Ahead>,
    pub(super) calls: Option<Calls>,
}

impl Cycle {
    /// Units that answer and obey, with what each can do in the interval.
    pub(super) fn able(&self, start: i64, snapshot: &Snapshot) -> Able {
        let mut able = Able::default();
        for unit in &self.site.units {
            let point = |name| snapshot.good(&PointId::new(&unit.device, name));
            let estimated = self.feeder.sound.as_ref().and_then(|s| {
                let k = self.feeder.grid.index_of_appliance(unit.id)?;
                s.estimate().appliances.get(k)?.p
            });
            let Some(p) = estimated else { continue };
            let dead = !self.feeder.feeds(unit);
            if dead || !snapshot.online(&unit.device) || self.dispatch.disobeys(unit.id) {
                continue;
            }
            let known = Knowledge {
                p_w: p.value,
                limit_w: self.dispatch.limit_w(unit.id).or(point("p_limit")),
                soc: point("soc"),
            };
            let range = agents::range_w(unit, &known, self.site.market.interval_s);
            if let Some((_, held)) = hold::in_force(&self.holds, unit.id) {
                let power = (held.at.p_w.clamp(range.0, range.1), held.at.q_var);
                able.held.insert(unit.id, power);
                continue;
            }
            let mut of = market_unit(unit);
            if let Some(battery) = unit.battery {
                let Some(soc) = known.soc else { continue };
                let energy = self.energy_at(start, unit, &battery, soc, p.value, snapshot.now_us);
                able.energies.insert(unit.id, energy);
                // Nobody's order can take out what is not in it. A store's says itself what is.
                if !self.is_offered_as_store(start, unit.id, &battery) {
                    of.capability.p_min_w = range.0;
                    of.capability.p_max_w = range.1;
                }
            }
            able.ranges.insert(unit.id, range);
            able.units.push(of);
        }
        able
    }

    /// By its participant; or by its agent, where nobody has ordered its active power.
    fn is_offered_as_store(&self, start: i64, unit: Id, battery: &Battery) -> bool {
        let own = self.book.orders_of(start).map(|placed| &placed.order);
        let mut own = own
            .filter(|order| order.unit == unit && order.terms.kind != Kind::Reactive)
            .peekable();
        match own.peek() {
            Some(_) => own.any(is_store),
            None => battery.storage.is_some(),
        }
    }

    /// What a battery will hold when an interval starts, Wh: what it holds now, less what it was
    /// awarded to deliver, or else delivers now, until then.
    fn energy_at(
        &self,
        start: i64,
        unit: &Unit,
        battery: &Battery,
        soc: f64,
        p_w: f64,
        now_us: i64,
    ) -> f64 {
        let current = self.book.product.interval_of(now_us);
        let awarded = self.book.begun(current).and_then(|cleared| {
            let mut awards = cleared.clearing.awards.iter();
            awards.find(|award| award.unit == unit.id).map(|of| of.p_w)
        });
        let hours = (self.book.product.start_us(start) - now_us) as f64 / US as f64 / 3600.0;
        let now_wh = soc.clamp(0.0, 1.0) * battery.energy_wh;
        let then_wh = now_wh - awarded.unwrap_or(p_w) * hours.max(0.0);
        then_wh.clamp(0.0, battery.energy_wh)
    }

    /// Orders that take part.
    pub(super) fn enter(
        &self,
        start: i64,
        able: &Able,
        now_us: i64,
        next_id: &mut OrderId,
    ) -> Entered {
        let standing: Vec<Order> = self.book.orders_of(start).map(|of| of.due(start)).collect();
        let standing: Vec<Order> = standing
            .into_iter()
            .filter_map(|order| self.as_it_is(order, able))
            .collect();
        let mut orders = within_capability(&standing, &able.units);
        let mut expected = Vec::new();
        for order in self.agents_orders(start, able, now_us, next_id) {
            let of_it = |own: &Order| own.unit == order.unit && own.terms.kind != Kind::Reactive;
            if !standing.iter().any(of_it) {
                orders.extend(self.as_it_is(order.clone(), able));
            }
            expected.push(order);
        }
        let is_scheduled =
            |order: &Order| matches!(order.terms.kind, Kind::Storage(_) | Kind::Window(_));
        let ahead = orders.iter().any(is_scheduled).then(|| Ahead {
            orders: self.later_orders(start, &able.units, now_us),
            expected,
        });
        let calls = self.calls(start, able, ahead.is_some(), now_us);
        Entered {
            orders,
            ahead,
            calls,
        }
    }

    /// Calls of units that take part, as they are able to follow them; those of later intervals where
    /// these are in view.
    fn calls(&self, start: i64, able: &Able, in_view: bool, now_us: i64) -> Option<Calls> {
        let of = |start: i64| -> Vec<Order> {
            let calls = self.book.calls_of(start);
            calls.filter_map(|order| able.can(order)).collect()
        };
        let open = self.book.product.open_intervals(now_us);
        let later = open.filter(|&later| in_view && later > start).map(of);
        let mut calls = Calls {
            must_run: self.bounds.price_min,
            must_serve: self.bounds.price_max,
            orders: of(start),
            later: later.collect(),
        };
        if calls.later.iter().all(Vec::is_empty) {
            calls.later.clear();
        }
        let are_none = calls.orders.is_empty() && calls.later.is_empty();
        (!are_none).then_some(calls)
    }

    /// What stands for each open interval after one.
    fn later_orders(&self, start: i64, units: &[MarketUnit], now_us: i64) -> Vec<Vec<Order>> {
        let open = self.book.product.open_intervals(now_us);
        let later = open.filter(|&later| later > start).map(|later| {
            let own = self.book.orders_of(later);
            let own = own.filter(|placed| placed.order.interval == later);
            let own: Vec<Order> = own.map(|placed| placed.order.clone()).collect();
            within_capability(&own, units)
        });
        later.collect()
    }

    fn agents_orders(
        &self,
        start: i64,
        able: &Able,
        now_us: i64,
        next_id: &mut OrderId,
    ) -> Vec<Order> {
        let mut orders = Vec::new();
        for unit in &self.site.units {
            let Some(&range) = able.ranges.get(&unit.id) else {
                continue;
            };
            for request in agents::orders(unit, range, start) {
                // Agents order in the gate's last moment, with what is known then.
                let closing_us = self.book.product.gate_closure_us(start) - 1;
                let context = rules::Context {
                    next_id: *next_id,
                    ..self.context(&[], &[], now_us.min(closing_us))
                };
                match rules::accept(&request, &context) {
                    Ok(Accepted::New(order) | Accepted::Repeated(order)) => {
                        next_id.0 += 1;
                        orders.push(order);
                    }
                    Err(rejection) => {
                        tracing::warn!(unit = unit.id, %rejection, "agent's order refused");
                    }
                }
            }
        }
        orders
    }

    /// What a battery holds and may hold is its own to say, not its order's.
    fn as_it_is(&self, mut order: Order, able: &Able) -> Option<Order> {
        if let Kind::Storage(of) = order.terms.kind {
            let energy_wh = *able.energies.get(&order.unit)?;
            let battery = self
                .site
                .units
                .iter()
                .find(|u| u.id == order.unit)?
                .battery?;
            let share_wh = |soc: f64| (soc * battery.energy_wh) as i64;
            let least = of.energy_min_wh.max(share_wh(battery.soc_min));
            order.terms.kind = Kind::Storage(Storage {
                energy_wh: energy_wh as i64,
                energy_min_wh: least,
                energy_max_wh: of.energy_max_wh.min(share_wh(battery.soc_max)).max(least),
                ..of
            });
        }
        Some(order)
    }

    /// Those that take part, for what two agree on.
    pub(super) fn registry_of(&self, able: &Able) -> Registry {
        Registry::new(self.registry.nodes.iter().copied(), able.units.clone())
    }
}

fn is_store(order: &Order) -> bool {
    matches!(order.terms.kind, Kind::Storage(_))
}

/// Orders as far as their units can serve them now: a battery may hold less than its nameplate
/// promises. The first accepted is served first, its steps in the curve's order; what is cut off is
/// not awarded.
fn within_capability(standing: &[Order], units: &[MarketUnit]) -> Vec<Order> {
    let mut left: BTreeMap<(Id, Direction, bool), i64> = BTreeMap::new();
    for MarketUnit { id, capability, .. } in units {
        let most = |watts: f64| watts.max(0.0).floor() as i64;
        for (direction, reactive, watts) in [
            (Direction::Sell, false, capability.p_max_w),
            (Direction::Buy, false, -capability.p_min_w),
            (Direction::Sell, true, capability.q_max_var),
            (Direction::Buy, true, capability.q_max_var),
        ] {
            left.insert((*id, direction, reactive), most(watts));
        }
    }
    let mut served = Vec::new();
    for order in standing {
        if is_store(order) && units.iter().any(|unit| unit.id == order.unit) {
            served.push(order.clone());
            continue;
        }
        let reactive = order.terms.kind == Kind::Reactive;
        let Some(left) = left.get_mut(&(order.unit, order.direction, reactive)) else {
            continue;
        };
        let mut order = order.clone();
        for step in &mut order.steps {
            step.quantity_w = step.quantity_w.min(*left);
            *left -= step.quantity_w;
        }
        order.steps.retain(|step| step.quantity_w > 0);
        if !order.steps.is_empty() {
            served.push(order);
        }
    }
    served
}

#[cfg(test)]
mod tests {
    use solver::market::{Capability, Price, Step, Terms};

    use super::*;

    #[test]
    fn orders_are_cut_to_what_a_battery_holds_in_order_of_acceptance() {
        let unit = MarketUnit {
            id: 106,
            participant: "p".to_owned(),
            node: 5,
            capability: Capability {
                p_min_w: -50.5,
                p_max_w: 250.9,
                q_max_var: 0.0,
                s_max_va: None,
            },
            dispatchable: true,
        };
        let order = |id, unit, direction, quantities: &[i64]| Order {
            id: OrderId(id),
            client_id: id.to_string(),
            participant: "p".to_owned(),
            unit,
            interval: 0,
            direction,
            terms: Terms::default(),
            steps: quantities
                .iter()
                .map(|&quantity_w| Step {
                    quantity_w,
                    price: Price(1),
                })
                .collect(),
        };
        let standing = [
            order(1, 106, Direction::Sell, &[100, 100]),
            order(2, 106, Direction::Buy, &[80]),
            order(3, 106, Direction::Sell, &[40, 40]),
            order(4, 106, Direction::Sell, &[10]),
            order(5, 999, Direction::Sell, &[10]),
        ];
        let served = within_capability(&standing, &[unit]);
        assert_eq!(
            served,
            [
                order(1, 106, Direction::Sell, &[100, 100]),
                order(2, 106, Direction::Buy, &[50]),
                order(3, 106, Direction::Sell, &[40, 10]),
            ]
        );
    }
}
