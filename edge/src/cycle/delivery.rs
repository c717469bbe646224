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
    metering::Value,
    store::Record,
    web::api::Problem,
};

/// Meters are read by then after an interval's end, µs.
const METERED_WITHIN_US: i64 = 2 * US;
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

    /// Puts on record what was metered of intervals that were delivered.
    pub(super) fn meter_due(&mut self, now_us: i64, records: &mut Vec<Record>) {
        let due = self.delivered(|own, of| {
            of.metered.is_none() && now_us >= own.end_us(of.start) + METERED_WITHIN_US
        });
        for (start, own) in due {
            let Some(cleared) = self.book.begun(start) else {
                continue;
            };
            let over = (own.start_us(start), own.end_us(start));
            let meters = self.meters.read(cleared.case(), &self.node_of_source, over);
            let interval = start;
            self.record(LedgerEntry::Metered { interval, meters }, records);
        }
    }

    /// Settles intervals that were metered and whose values from outside had their time.
    pub(super) fn settle_due(&mut self, now_us: i64, records: &mut Vec<Record>) {
        let due = self.delivered(|own, of| now_us >= own.settle_us(of.start));
        for (start, _) in due {
            let Some(cleared) = self.book.begun(start) else {
                continue;
            };
            let interval = self.book.interval(start);
            let Some((contracts, meters)) =
                interval.contracts.as_ref().zip(interval.metered.as_ref())
            else {
                continue;
            };
            let settlement = match cleared.gate.rulebook.as_deref() {
                Some(rulebook) => rulebook.settle(start, contracts, meters),
                None => settle(start, contracts, meters, &self.site.market.imbalance),
            };
            self.record(LedgerEntry::Settled(settlement), records);
            self.book.settled += 1;
        }
    }

    /// Starts of the intervals that were delivered and are not settled, of which something holds, with their
    /// product: the site's intervals may have had another length before a restart.
    fn delivered(&self, holds: impl Fn(&Product, &Interval) -> bool) -> Vec<(i64, Product)> {
        let delivered = |of: &Interval| -> Option<(i64, Product)> {
            let cleared = of.owed()?;
            let own = Product {
                length_s: cleared.case().duration_s,
                ..self.book.product
            };
            (of.delivery == Delivery::Begun && holds(&own, of)).then_some((of.start, own))
        };
        self.book.intervals.values().filter_map(delivered).collect()
    }

    /// Whether values of meters may go on record with what they change, which was made of the record a moment
    /// ago.
    ///
    /// # Errors
    /// An interval within their time is not metered yet, or was settled meanwhile.
    pub fn may_correct(&self, values: &[Value], changes: &[LedgerEntry]) -> Result<(), Problem> {
        let over = |start: i64| {
            let mut times = values
                .iter()
                .map(|of| of.start..of.start + i64::from(of.length_s));
            times.any(|time| time.contains(&start))
        };
        let mut intervals = self.book.intervals.values();
        let unread =
            intervals.find(|of| of.owed().is_some() && of.metered.is_none() && over(of.start));
        let overtaken = changes.iter().find_map(|change| match change {
            LedgerEntry::Metered { interval, .. } => {
                let known = self.book.intervals.get(interval);
                known
                    .is_none_or(|of| of.owed().is_none())
                    .then_some(*interval)
            }
            _ => None,
        });
        let Some(start) = unread.map(|of| of.start).or(overtaken) else {
            return Ok(());
        };
        let interval = rfc3339_s(start);
        Err(Problem {
            error: "too_early".to_owned(),
            message: format!("the interval of {interval} is being metered or settled"),
            accepted: Some("the same once it is".to_owned()),
        })
    }
}
