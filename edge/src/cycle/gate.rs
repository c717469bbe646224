//! Gate closure: who takes part, the clearing and its contracts.

use solver::market::{
    Auction, AuctionResult, Contracts, LedgerEntry, Order, Phase, Rulebook, bilateral,
    clearing::{self, Status as ClearingStatus},
};

use super::{
    alarms::Severity,
    book::{Gate, Outcome},
    clearing::{Entry, case},
    step::{Cycle, MAX_AGE_US, remember},
};
use crate::{clock::rfc3339_s, store::Record, table::Snapshot};

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
        if usable || self.book.closed(next).is_some() {
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
        self.give_up_above(start, now_us, records);
    }

    pub(super) fn record(&mut self, entry: LedgerEntry, records: &mut Vec<Record>) {
        let record = Record::Market(entry);
        self.book.apply(&record);
        records.push(record);
    }

    fn clear(&mut self, start: i64, snapshot: &Snapshot, records: &mut Vec<Record>) {
        let now_us = snapshot.now_us;
        // What is on record as closed is cleared as it was closed, whatever is known since.
        if self.book.closed(start).is_none() && !self.close_gate(start, snapshot, records) {
            return;
        }
        if !self.close_above(start, now_us, records) {
            return;
        }
        let Some(gate) = self.book.closed(start).cloned() else {
            return;
        };
        let begun = (self.stopwatch)();
        let result = self.compute(&gate);
        let took_us = (self.stopwatch)() - begun;
        let (result, contracts) = match result {
            Ok(computed) => computed,
            Err(reason) => {
                self.fail_pending(start, &reason, now_us, records);
                return;
            }
        };
        self.judge_clearing(start, &result.clearing.status, now_us);
        self.record(
            LedgerEntry::Cleared {
                interval: start,
                clearing: Box::new(result.clearing),
                looked: result.looked.map(Box::new),
                without_calls: result.without_calls,
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
        self.book.timed(start, took_us);
        self.book.clearings += 1;
        remember(&mut self.clearing_us, took_us);
    }

    /// What comes of a closed gate.
    fn compute(&self, gate: &Gate) -> Result<(AuctionResult, Contracts), String> {
        let then = self.networks.grid(&gate.network);
        let grid = then.ok_or_else(|| format!("network {} is not known", gate.network))?;
        let rulebook = gate.rulebook.as_deref().cloned();
        let rulebook = rulebook.unwrap_or_else(|| self.rulebook());
        let cleared = gate.auction.clear(&grid, &rulebook);
        let result = cleared.map_err(|error| error.to_string())?;
        let contracts = gate.auction.contracts(&grid, &result, &rulebook);
        Ok((result, contracts))
    }

    /// Closes the gate: who can take part, with which orders, around the sound estimate. Without one
    /// it stays open.
    fn close_gate(&mut self, start: i64, snapshot: &Snapshot, records: &mut Vec<Record>) -> bool {
        let rulebook = self.rulebook();
        let Some(auction) = self.auction(start, snapshot, &rulebook) else {
            return false;
        };
        let number = start / i64::from(self.book.product.length_s);
        let (network, due) = self.networks.on_record(&self.feeder.grid, number);
        records.extend(due);
        let Auction {
            case,
            pairs,
            ahead,
            calls,
        } = auction;
        self.record(
            LedgerEntry::GateClosed {
                interval: start,
                network,
                rulebook: Some(Box::new(rulebook)),
                pairs,
                ahead: ahead.map(Box::new),
                calls: calls.map(Box::new),
                case: Box::new(case),
            },
            records,
        );
        true
    }

    fn auction(&self, start: i64, snapshot: &Snapshot, rulebook: &Rulebook) -> Option<Auction> {
        let sound = self.feeder.sound.as_ref()?;
        let able = self.able(start, snapshot);
        let mut next_id = self.book.next_order();
        let entered = self.enter(start, &able, snapshot.now_us, &mut next_id);
        let (plain, named): (Vec<Order>, Vec<Order>) = entered
            .orders
            .into_iter()
            .partition(|order| order.terms.counterparty.is_none());
        let registry = self.registry_of(&able);
        let grid = &self.feeder.grid;
        let agreed = bilateral(&named, &registry, grid, rulebook, &self.bounds, next_id);
        next_id.0 += u64::try_from(agreed.legs.len()).unwrap_or_default();
        let orders = plain.into_iter().chain(agreed.legs).collect();
        let case = case(Entry {
            site: &self.site,
            grid: &self.feeder.grid,
            found: &sound.found,
            held: able.held,
            units: able.units,
            orders,
            interval: start,
            price_max: self.bounds.price_max,
            next_id,
        });
        Some(Auction {
            case,
            pairs: agreed.pairs,
            ahead: entered.ahead,
            calls: entered.calls,
        })
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
                horizon_programmes: self.site.market.look_ahead_programmes,
                ..clearing::Options::default()
            },
            pricing: self.site.market.pricing,
            grid_fee: self.site.market.grid_fee,
            settled_above: match &self.site.above {
                Some(above) => above.aggregators.clone(),
                None => Vec::new(),
            },
        }
    }
}
