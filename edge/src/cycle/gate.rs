//! Gate closure: who takes part, the clearing and its contracts.

use std::collections::BTreeMap;

use protocols::point::PointId;
use solver::{
    market::{
        Accepted, Direction, Kind, LedgerEntry, Order, OrderId, Pair, Phase, Registry, Rulebook,
        Unit as MarketUnit, bilateral,
        clearing::{self, Case, Status as ClearingStatus, clear},
        contracts, rules,
    },
    network::{Id, pgm_json},
};

use super::{
    alarms::Severity,
    book::Outcome,
    clearing::{Entry, case},
    explain,
    step::{Cycle, MAX_AGE_US, market_unit, remember},
};
use crate::{
    agents::{self, Knowledge},
    clock::rfc3339_s,
    store::{Hash, Record},
    table::Snapshot,
};

impl Cycle {
    /// Clears the interval whose gate has closed, if it is not cleared yet.
    pub(super) fn clear_due(&mut self, snapshot: &Snapshot, records: &mut Vec<Record>) {
        let now_us = snapshot.now_us;
        let product = self.book.product;
        let current = product.interval_of(now_us);
        let next = current + i64::from(product.length_s);
        // One that began before it could be cleared is lost; nothing stale is dispatched.
        self.fail_pending(
            current,
            "it was not cleared before it began",
            now_us,
            records,
        );
        let phase = product.phase(next, now_us);
        let pending = matches!(self.book.interval(next).outcome, Outcome::Pending);
        if !pending || !matches!(phase, Phase::GateClosed | Phase::Cleared) {
            return;
        }
        let usable = self
            .feeder
            .sound
            .as_ref()
            .is_some_and(|sound| now_us - sound.now_us <= MAX_AGE_US);
        if usable {
            self.clear(next, snapshot, records);
        } else if phase == Phase::Cleared {
            let error = self.feeder.error.as_deref();
            let reason = format!(
                "no usable estimate at gate closure: {}",
                error.unwrap_or("the last one is too old")
            );
            self.fail_pending(next, &reason, now_us, records);
        }
    }

    fn fail_pending(&mut self, start: i64, reason: &str, now_us: i64, records: &mut Vec<Record>) {
        if !matches!(self.book.interval(start).outcome, Outcome::Pending) {
            return;
        }
        // What ran when the appliance started was nobody's to clear.
        if self.book.product.gate_closure_us(start) >= self.started_us {
            self.alarms.raise(
                Severity::Critical,
                "clearing_failed",
                &rfc3339_s(start),
                format!("interval {} was not cleared: {reason}", rfc3339_s(start)),
                now_us,
            );
        }
        self.record(
            LedgerEntry::ClearingFailed {
                interval: start,
                reason: reason.to_owned(),
            },
            records,
        );
    }

    pub(super) fn record(&mut self, entry: LedgerEntry, records: &mut Vec<Record>) {
        let record = Record::Market(entry);
        self.book.apply(&record);
        records.push(record);
    }

    fn clear(&mut self, start: i64, snapshot: &Snapshot, records: &mut Vec<Record>) {
        let now_us = snapshot.now_us;
        let rulebook = self.rulebook();
        let Some((case, pairs)) = self.close_gate(start, snapshot, &rulebook) else {
            return;
        };
        let network = self.network_on_record(records);
        self.record(
            LedgerEntry::GateClosed {
                interval: start,
                network: network.to_string(),
                rulebook: Some(Box::new(rulebook.clone())),
                pairs: pairs.clone(),
                case: Box::new(case.clone()),
            },
            records,
        );
        let begun = (self.stopwatch)();
        let result = clear(&self.feeder.grid, &case, &rulebook.clearing);
        let took_us = (self.stopwatch)() - begun;
        let clearing = match result {
            Ok(clearing) => clearing,
            Err(error) => {
                self.fail_pending(start, &error.to_string(), now_us, records);
                return;
            }
        };
        self.judge_clearing(start, &clearing.status, now_us);
        let contracts = contracts(&self.feeder.grid, &case, &clearing, &pairs, &rulebook);
        let parts = explain::parts(&self.feeder.grid, &case, &clearing);
        self.record(
            LedgerEntry::Cleared {
                interval: start,
                clearing: Box::new(clearing),
            },
            records,
        );
        self.record(
            LedgerEntry::Contracted {
                interval: start,
                contracts,
            },
            records,
        );
        self.book.timed(start, took_us, parts);
        self.book.clearings += 1;
        remember(&mut self.clearing_us, took_us);
    }

    /// The case of an interval: who can take part, with which orders, around the sound estimate.
    fn close_gate(
        &self,
        start: i64,
        snapshot: &Snapshot,
        rulebook: &Rulebook,
    ) -> Option<(Case, Vec<Pair>)> {
        let sound = self.feeder.sound.as_ref()?;
        let (units, ranges) = self.able(snapshot);
        let mut next_id = self.book.next_order();
        let orders = self.collect(start, &units, &ranges, snapshot.now_us, &mut next_id);
        let (plain, named): (Vec<Order>, Vec<Order>) = orders
            .into_iter()
            .partition(|order| order.terms.counterparty.is_none());
        let able = Registry::new(self.registry.nodes.iter().copied(), units.clone());
        let agreed = bilateral(
            &named,
            &able,
            &self.feeder.grid,
            rulebook,
            &self.bounds,
            next_id,
        );
        next_id.0 += u64::try_from(agreed.legs.len()).unwrap_or_default();
        let orders = plain.into_iter().chain(agreed.legs).collect();
        let case = case(Entry {
            site: &self.site,
            grid: &self.feeder.grid,
            estimate: &sound.estimate,
            units,
            orders,
            interval: start,
            price_max: self.bounds.price_max,
            next_id,
        });
        Some((case, agreed.pairs))
    }

    fn judge_clearing(&mut self, start: i64, status: &ClearingStatus, now_us: i64) {
        self.alarms.clear_quiet("clearing_failed", 0, now_us);
        let ClearingStatus::LeastViolation { violated, .. } = status else {
            self.alarms.clear("limit_violated", "market", now_us);
            return;
        };
        let named: Vec<String> = violated.iter().map(|v| v.limit.to_string()).collect();
        let text = format!(
            "no dispatch keeps every limit in interval {}: {}",
            rfc3339_s(start),
            named.join("; ")
        );
        self.alarms
            .raise(Severity::Critical, "limit_violated", "market", text, now_us);
    }

    pub(super) fn rulebook(&self) -> Rulebook {
        Rulebook {
            imbalance: self.site.market.imbalance,
            // What the margin leaves to the meters' errors is not the optimiser's to use up.
            clearing: clearing::Options {
                tolerance_u_pu: 1e-5,
                tolerance_rating: 1e-5,
                ..clearing::Options::default()
            },
            pricing: self.site.market.pricing,
            grid_fee: self.site.market.grid_fee,
        }
    }

    /// The digest of the network with its switch and tap positions; it goes on record the first time.
    fn network_on_record(&mut self, records: &mut Vec<Record>) -> Hash {
        let json = pgm_json::write(self.feeder.grid.network());
        let digest = Hash::of(json.as_bytes());
        if self.networks.insert(digest) {
            records.push(Record::Network { digest, json });
        }
        digest
    }

    /// Units that answer and obey, with what each can do in the interval, W.
    fn able(&self, snapshot: &Snapshot) -> (Vec<MarketUnit>, BTreeMap<Id, (f64, f64)>) {
        let mut units = Vec::new();
        let mut ranges = BTreeMap::new();
        for unit in &self.site.units {
            let point = |name| snapshot.good(&PointId::new(&unit.device, name));
            let estimated = self.feeder.sound.as_ref().and_then(|s| {
                let k = self.feeder.grid.index_of_appliance(unit.id)?;
                s.estimate.appliances.get(k)?.p
            });
            let Some(p) = estimated else { continue };
            if !snapshot.online(&unit.device) || self.dispatch.disobeys(unit.id) {
                continue;
            }
            let known = Knowledge {
                p_w: p.value,
                limit_w: self.dispatch.limit_w(unit.id).or(point("p_limit")),
                soc: point("soc"),
            };
            if unit.battery.is_some() && known.soc.is_none() {
                continue;
            }
            let range = agents::range_w(unit, &known, self.site.market.interval_s);
            let mut able = market_unit(unit);
            if unit.battery.is_some() {
                // Nobody's order can take out what is not in it.
                able.capability.p_min_w = range.0;
                able.capability.p_max_w = range.1;
            }
            ranges.insert(unit.id, range);
            units.push(able);
        }
        (units, ranges)
    }

    /// Orders that take part: participants' as they stand, and agents' for units without one.
    fn collect(
        &self,
        start: i64,
        units: &[MarketUnit],
        ranges: &BTreeMap<Id, (f64, f64)>,
        now_us: i64,
        next_id: &mut OrderId,
    ) -> Vec<Order> {
        let standing: Vec<Order> = self
            .book
            .orders_of(start)
            .map(|placed| placed.order.clone())
            .collect();
        let mut orders = within_capability(&standing, units);
        for unit in &self.site.units {
            let Some(&range) = ranges.get(&unit.id) else {
                continue;
            };
            // Who orders reactive power alone leaves active power to its agent.
            let is_active = |order: &Order| order.terms.kind != Kind::Reactive;
            if standing
                .iter()
                .any(|order| order.unit == unit.id && is_active(order))
            {
                continue;
            }
            for request in agents::orders(unit, range, start) {
                let context = rules::Context {
                    registry: &self.registry,
                    product: &self.book.product,
                    bounds: &self.bounds,
                    standing: &[],
                    cancelled: &[],
                    // Agents order in the gate's last moment, with what is known then.
                    now_us: now_us.min(self.book.product.gate_closure_us(start) - 1),
                    next_id: *next_id,
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
    use solver::market::{Capability, OrderId, Price, Step, Terms};

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
