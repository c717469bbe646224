//! What an interval's exchange with the grid above came to, and what it costs.

use std::sync::Arc;

use protocols::opcua::message::Aggregated;
use solver::{
    market::{LedgerEntry, Price, Settlement, energy_wh},
    network::Id,
};

use super::{Deal, Entry, Interval, Market, Setup, Step, settle};
use crate::{above, clock::US, store::Record};

impl Market {
    /// Settles what the area exchanged with the grid above, where all that it is made up of is there, or has
    /// been waited for long enough; and anew where some of it has changed since.
    pub(super) fn exchange(&mut self, now_us: i64, step: &mut Step) {
        let patience_us = i64::from(self.setup.patience_s) * US;
        let due: Vec<i64> = self.book.unexchanged.iter().copied().collect();
        for start in due {
            let Some(interval) = self.book.intervals.get(&start) else {
                continue;
            };
            let end_us = self.setup.product.settle_us(start);
            let missing = self.missing(interval);
            if now_us < end_us || (!missing.is_empty() && now_us < end_us + patience_us) {
                continue;
            }
            let import_wh = self.import_wh(interval);
            let before = interval.exchanged_wh;
            let setup = Arc::clone(&self.setup);
            let first = before.is_none();
            let agreed = self.agreed(start);
            let upstream = |wh: i64| settle::upstream(&setup, start, wh, agreed);
            let priced = |unit: Id| own_award(interval, unit, &setup);
            let own = settle::own(&setup, start, priced);
            let aggregators = passed_up(&setup, start, interval, &own);
            let own = first.then_some(own);
            let was = before.map(upstream);
            let above = settle::entry(was.as_ref(), upstream(import_wh), Vec::new());
            let own = own.filter(|of| !of.statements.is_empty());
            let settled = own.map(LedgerEntry::Settled).into_iter().chain(above);
            let records: Vec<Record> = settled.map(Record::Market).collect();
            for record in records {
                self.put(step, record);
            }
            let exchanged = Entry::Exchanged {
                interval: start,
                import_wh,
                missing,
            };
            self.put(step, Record::Area(exchanged));
            let above = self.above.as_ref();
            let metered = Some((import_wh, true));
            let total = above.and_then(|of| of.totalled(start, metered, aggregators, now_us));
            if let Some(entry) = total {
                self.put(step, Record::Above(entry));
            }
        }
    }

    /// What was agreed on with the market above: energy, import-positive Wh, its price and fee. There being
    /// one and nothing agreed: nothing, at nothing.
    fn agreed(&self, start: i64) -> Option<(i64, Price, Price)> {
        let of = self.above.as_ref()?.interval(start);
        let award = of.and_then(above::Interval::award);
        Some(award.map_or((0, Price(0), Price(0)), |award| {
            let exchange_w = award.called_w.unwrap_or(award.exchange_w);
            let wh = energy_wh(exchange_w as f64, self.setup.product.length_s);
            (wh, Price(award.price), Price(award.grid_fee))
        }))
    }

    /// Tenants that have not said what was metered.
    fn missing(&self, interval: &Interval) -> Vec<String> {
        let tenants = self.setup.tenants.iter().map(|of| &of.name);
        let silent = tenants.filter(|name| {
            let deal = interval.deals.get(*name);
            deal.is_none_or(|deal| deal.total.is_none())
        });
        silent.cloned().collect()
    }

    /// Energy taken from the grid above, Wh: of tenants as metered, else as closed, else as awarded; of own
    /// participants as awarded; losses as cleared.
    fn import_wh(&self, interval: &Interval) -> i64 {
        let length_s = self.setup.product.length_s;
        let of_deal = |deal: &Deal| {
            let closed = deal.closing.as_ref().map(|of| of.exchange_w);
            let awarded = deal.award.as_ref().map(|of| of.exchange_w);
            match &deal.total {
                Some(total) => total.import_wh.saturating_sub(total.export_wh),
                None => energy_wh(closed.or(awarded).unwrap_or(0) as f64, length_s),
            }
        };
        let tenants: i64 = interval.deals.values().map(of_deal).sum();
        let clearing = interval.clearing.as_deref();
        let own = self.setup.participants.iter().filter_map(|of| {
            let mut awards = clearing?.awards.iter();
            awards.find(|award| award.unit == of.unit.id)
        });
        let own: i64 = own.map(|award| energy_wh(award.p_w, length_s)).sum();
        let losses = clearing.map_or(0, |of| energy_wh(of.ac_check.losses_w, length_s));
        tenants.saturating_sub(own).saturating_add(losses)
    }
}

/// What passes up of an interval with the area's own total: of its tenants' aggregators, and of its own participants.
fn passed_up(setup: &Setup, start: i64, of: &Interval, own: &Settlement) -> Vec<Aggregated> {
    if setup.rulebook.settled_above.is_empty() {
        return Vec::new();
    }
    let metered = setup.tenants.iter().filter_map(|tenant| {
        let deal = of.deals.get(&tenant.name)?;
        let complete = deal.total.is_some();
        complete.then(|| settle::tenant(setup, start, tenant, deal))
    });
    let metered: Vec<Settlement> = metered.collect();
    above::passed::of(metered.iter().chain([own]))
}

/// What an own participant's unit was awarded, W generation-positive, and the price at its node.
fn own_award(interval: &Interval, unit: Id, setup: &Setup) -> Option<(f64, Price)> {
    let clearing = interval.clearing.as_deref()?;
    let award = clearing.awards.iter().find(|of| of.unit == unit)?;
    let of = setup.participants.iter().find(|of| of.unit.id == unit)?;
    let price = clearing.prices.iter().find(|at| at.node == of.unit.node)?;
    Some((
        award.p_w,
        Price((price.p_per_mwh * 1e6).round_ties_even() as i64),
    ))
}
