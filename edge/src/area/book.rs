//! What is known of each interval, made of the record, in step with it.

use std::collections::{BTreeMap, BTreeSet};

use protocols::opcua::{
    Account,
    message::{Award, Closing, Offer, Total, Up},
};
use solver::market::{
    LedgerEntry,
    clearing::{Case, Clearing},
};

use super::{Entry, Taken};
use crate::{
    above,
    store::{Hash, Record},
};

/// A tenant's part of an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deal {
    /// The latest offer.
    pub offer: Option<Offer>,
    /// What it is called for, whatever its curve would come to, W.
    pub called_w: Option<i64>,
    /// What was awarded.
    pub award: Option<Award>,
    /// Its word.
    pub closing: Option<Closing>,
    /// What was metered; corrected, the latest.
    pub total: Option<Total>,
    /// Of its account, once complete.
    pub hash: Option<Hash>,
}

impl Deal {
    /// The award that its closing rests on.
    #[must_use]
    pub fn rests_on(&self) -> Option<&Award> {
        let named = self.closing.as_ref()?.award?;
        self.award.as_ref().filter(|award| award.sequence == named)
    }

    /// Its account, once it is complete.
    #[must_use]
    pub fn account<'d>(&'d self, tenant: &'d str) -> Option<Account<'d>> {
        let (closing, total) = (self.closing.as_ref()?, self.total.as_ref()?);
        Some(Account {
            tenant,
            interval: closing.interval,
            award: self.rests_on(),
            closing,
            total,
        })
    }
}

/// An interval.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Tenants' parts, by name.
    pub deals: BTreeMap<String, Deal>,
    /// What it is cleared from, from the gate until it is cleared.
    pub case: Option<Box<Case>>,
    /// Whether its gate has closed.
    pub gate_closed: bool,
    /// With what tenants are in the case.
    pub taken: Vec<Taken>,
    /// Its result.
    pub clearing: Option<Box<Clearing>>,
    /// Whether the awards are on record.
    pub awarded: bool,
    /// Why there is no result.
    pub failed: Option<String>,
    /// What was exchanged with the grid above, Wh, import-positive, as last settled: with it the area's own
    /// participants were.
    pub exchanged_wh: Option<i64>,
}

impl Interval {
    /// Whether nothing more is decided on for it.
    #[must_use]
    pub fn decided(&self) -> bool {
        self.awarded || self.failed.is_some()
    }
}

/// All intervals that matter.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// By start.
    pub intervals: BTreeMap<i64, Interval>,
    /// Those whose exchange with the grid above is to be settled, or settled anew.
    pub(super) unexchanged: BTreeSet<i64>,
    /// What each tenant last said that it exchanges, W, and of which interval.
    last: BTreeMap<String, (i64, i64)>,
}

impl Book {
    /// Takes over a record; the same one again changes nothing.
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Market(entry) => self.market(entry),
            Record::Area(entry) => self.entry(entry),
            Record::Above(above::Entry::Closed {
                closing, interface, ..
            }) if !interface.is_empty() => {
                // It takes the place of what the gate closed with.
                let of = self.intervals.get_mut(&closing.interval);
                if let Some(case) = of.and_then(|of| of.case.as_mut()) {
                    case.interface.clone_from(interface);
                }
            }
            _ => {}
        }
    }

    fn market(&mut self, entry: &LedgerEntry) {
        match entry {
            LedgerEntry::GateClosed { interval, case, .. } => {
                let of = self.intervals.entry(*interval).or_default();
                of.gate_closed = true;
                of.case = Some(case.clone());
                self.unexchanged.insert(*interval);
            }
            LedgerEntry::Cleared {
                interval, clearing, ..
            } => {
                let of = self.intervals.entry(*interval).or_default();
                of.clearing = Some(clearing.clone());
            }
            LedgerEntry::ClearingFailed { interval, reason } => {
                let of = self.intervals.entry(*interval).or_default();
                of.gate_closed = true;
                of.failed = Some(reason.clone());
                of.case = None;
            }
            _ => {}
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let of = self.intervals.entry(entry.interval()).or_default();
        match entry {
            Entry::Submitted {
                tenant, document, ..
            } => {
                let deal = of.deals.entry(tenant.clone()).or_default();
                let said_w = match document {
                    Up::Offer(offer) => {
                        let said_w = offer.forecast_w;
                        deal.offer = Some(offer.clone());
                        said_w
                    }
                    Up::Closing(closing) => {
                        let said_w = closing.exchange_w;
                        deal.closing = Some(closing.clone());
                        said_w
                    }
                    Up::Total(total) => {
                        deal.total = Some(total.clone());
                        self.unexchanged.insert(total.interval);
                        return;
                    }
                };
                let interval = document.interval();
                let last = self
                    .last
                    .entry(tenant.clone())
                    .or_insert((interval, said_w));
                if interval >= last.0 {
                    *last = (interval, said_w);
                }
            }
            Entry::Called {
                tenant, exchange_w, ..
            } => of.deals.entry(tenant.clone()).or_default().called_w = *exchange_w,
            Entry::Gathered { tenants, .. } => of.taken.clone_from(tenants),
            Entry::Awarded { awards, .. } => {
                of.awarded = true;
                of.case = None;
                for given in awards {
                    let deal = of.deals.entry(given.tenant.clone()).or_default();
                    deal.award = Some(given.award.clone());
                }
            }
            Entry::Accounted { tenant, hash, .. } => {
                of.deals.entry(tenant.clone()).or_default().hash = Some(*hash);
            }
            Entry::Exchanged {
                interval,
                import_wh,
                ..
            } => {
                of.exchanged_wh = Some(*import_wh);
                self.unexchanged.remove(interval);
            }
        }
    }

    /// Forgets what began before.
    pub(super) fn forget_before(&mut self, oldest: i64) {
        self.intervals = self.intervals.split_off(&oldest);
        self.unexchanged = self.unexchanged.split_off(&oldest);
    }

    /// What a tenant last said that it exchanges, W: nothing, if it never has.
    #[must_use]
    pub fn last_w(&self, tenant: &str) -> i64 {
        self.last.get(tenant).map_or(0, |&(_, w)| w)
    }

    /// A tenant's part of an interval.
    #[must_use]
    pub fn deal(&self, start: i64, tenant: &str) -> Option<&Deal> {
        self.intervals.get(&start)?.deals.get(tenant)
    }
}
