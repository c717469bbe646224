//! Delivery and settlement of what was cleared.
//!
//! That an interval's delivery begins is on record before its first setpoint goes out. What did not
//! begin on time, because nobody was there to send it, is not begun late: devices are at their
//! fallback or on their way to it, and a contract for the whole interval can no longer be kept. It
//! is void, nobody owes anything for it. What did begin is settled, even if the appliance was
//! stopped meanwhile: leases are longer than an interval, so the devices went on without it.

use solver::market::{LedgerEntry, Product, settle};

use super::{
    alarms::Severity,
    book::{Delivery, Interval},
    step::Cycle,
};
use crate::{
    clock::{US, rfc3339_s},
    store::Record,
};

/// Delivery begins within this time of the interval's start, or not at all, µs.
const BEGIN_WITHIN_US: i64 = 3 * US;

impl Cycle {
    /// Begins the delivery of the running interval, and voids what did not begin in time.
    pub(super) fn deliver_due(&mut self, now_us: i64, records: &mut Vec<Record>) {
        let due: Vec<i64> = self
            .book
            .intervals
            .values()
            .filter(|i| i.owed().is_some() && i.delivery == Delivery::Due)
            .map(|i| i.start)
            .filter(|&start| now_us >= self.book.product.start_us(start))
            .collect();
        for interval in due {
            if now_us - self.book.product.start_us(interval) <= BEGIN_WITHIN_US {
                self.alarms.clear_quiet("not_delivered", 0, now_us);
                let at_us = now_us;
                self.record(LedgerEntry::Delivering { interval, at_us }, records);
                continue;
            }
            let reason = "the appliance was not running when delivery was to begin".to_owned();
            let text = format!("interval {} is void: {reason}", rfc3339_s(interval));
            let source = rfc3339_s(interval);
            self.alarms
                .raise(Severity::Warning, "not_delivered", &source, text, now_us);
            self.record(LedgerEntry::Voided { interval, reason }, records);
        }
    }

    /// Settles intervals that were delivered and whose meters had their time.
    pub(super) fn settle_due(&mut self, now_us: i64, records: &mut Vec<Record>) {
        let product = self.book.product;
        let over = |interval: &Interval| -> Option<(i64, i64)> {
            let cleared = interval.owed()?;
            // The site's intervals may have had another length before a restart.
            let length_s = cleared.case().duration_s;
            let own = Product {
                length_s,
                ..product
            };
            let begun = interval.delivery == Delivery::Begun;
            let due = begun && now_us >= own.settle_us(interval.start);
            due.then(|| (interval.start, own.end_us(interval.start)))
        };
        let due: Vec<_> = self.book.intervals.values().filter_map(over).collect();
        for (start, end_us) in due {
            let Some(cleared) = self.book.begun(start) else {
                continue;
            };
            let Some(contracts) = self.book.interval(start).contracts.clone() else {
                continue;
            };
            let over = (product.start_us(start), end_us);
            let meters = self.meters.read(cleared.case(), &self.node_of_source, over);
            let rulebook = cleared.gate.rulebook.as_deref().cloned();
            let rulebook = rulebook.unwrap_or_else(|| self.rulebook());
            let settlement = settle(start, &contracts, &meters, &rulebook.imbalance);
            self.record(
                LedgerEntry::Metered {
                    interval: start,
                    meters,
                },
                records,
            );
            self.record(LedgerEntry::Settled(settlement), records);
            self.book.settled += 1;
        }
    }
}
