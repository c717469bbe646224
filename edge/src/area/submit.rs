//! What comes from outside: tenants' documents, and an operator's calls.

use std::sync::Arc;

use protocols::opcua::message::{Closing, Offer, Receipt, Refused, Total, Up};

use super::{
    Deal, Entry, Market, Setup, Tenant, check,
    market::{AHEAD, KEPT},
    settle,
};
use crate::{
    clock::US,
    store::{Hash, Record},
};

/// Why a tenant cannot be called on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uncalled {
    /// There is none of that name.
    #[error("there is no such tenant")]
    Tenant,
    /// None starts then, or it is too far away.
    #[error("no interval starts then, or it is too far ahead")]
    Interval,
    /// Its gate is closed.
    #[error("the interval's gate is closed")]
    Late,
    /// The connection does not carry it.
    #[error("its connection carries {least_w} to {most_w} W")]
    Range {
        /// Most export, negative, W.
        least_w: i64,
        /// Most import, W.
        most_w: i64,
    },
}

impl Market {
    /// Takes a document: what goes on record, and once it is there, the answer. The same one again: nothing
    /// more goes on record.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn submit(
        &mut self,
        tenant: &str,
        document: Up,
        now_us: i64,
    ) -> Result<(Vec<Record>, Receipt), Refused> {
        let setup = Arc::clone(&self.setup);
        let Some(of) = setup.tenant(tenant) else {
            let what = format!("there is no tenant {tenant}");
            return Err(Refused::Invalid { what });
        };
        let start = document.interval();
        self.is_interval(start, now_us)?;
        let none = Deal::default();
        let deal = self.book.deal(start, tenant).unwrap_or(&none);
        let same = match &document {
            Up::Offer(new) => self.offer(deal, new, now_us)?,
            Up::Closing(new) => closing(deal, new)?,
            Up::Total(new) => total(&setup, tenant, (deal, new), now_us)?,
        };
        let mut receipt = Receipt {
            interval: start,
            sequence: document.sequence(),
            account: None,
        };
        if same {
            if matches!(document, Up::Total(_)) {
                receipt.account = deal.hash.map(|hash| hash.to_string());
            }
            return Ok((Vec::new(), receipt));
        }
        let before = deal.clone();
        let is_total = matches!(document, Up::Total(_));
        let mut records = vec![Record::Area(Entry::Submitted {
            at_us: now_us,
            tenant: tenant.to_owned(),
            document,
        })];
        self.apply(&records[0]);
        if is_total && let Some(after) = self.book.deal(start, tenant) {
            let (settled, hash) = accounted(&setup, (start, of), &before, after);
            receipt.account = hash.map(|hash| hash.to_string());
            records.extend(settled);
        }
        for record in &records[1..] {
            self.apply(record);
        }
        Ok((records, receipt))
    }

    /// Calls on a tenant for an exchange, which the interval is then cleared with; none: not any more. What goes on
    /// record; none: it is so already.
    ///
    /// # Errors
    /// Why it cannot be called for.
    pub fn call(
        &mut self,
        (tenant, start): (&str, i64),
        exchange_w: Option<i64>,
        by: String,
        now_us: i64,
    ) -> Result<Option<Record>, Uncalled> {
        let setup = Arc::clone(&self.setup);
        let of = setup.tenant(tenant).ok_or(Uncalled::Tenant)?;
        if self.is_interval(start, now_us).is_err() {
            return Err(Uncalled::Interval);
        }
        let closed = now_us >= setup.product.gate_closure_us(start);
        if closed || self.is(start, |of| of.gate_closed) {
            return Err(Uncalled::Late);
        }
        let (least_w, most_w) = (-of.export_max_w, of.import_max_w);
        if exchange_w.is_some_and(|w| !(least_w..=most_w).contains(&w)) {
            return Err(Uncalled::Range { least_w, most_w });
        }
        if self.book.deal(start, tenant).and_then(|of| of.called_w) == exchange_w {
            return Ok(None);
        }
        let record = Record::Area(Entry::Called {
            at_us: now_us,
            interval: start,
            tenant: tenant.to_owned(),
            exchange_w,
            by,
        });
        self.apply(&record);
        Ok(Some(record))
    }

    fn is_interval(&self, start: i64, now_us: i64) -> Result<(), Refused> {
        let product = &self.setup.product;
        let length = i64::from(product.length_s);
        let invalid = |what: String| Err(Refused::Invalid { what });
        if !product.is_start(start) {
            return invalid(format!("no interval starts at {start}"));
        }
        if start > product.interval_of(now_us) + AHEAD * length {
            return invalid(format!("interval {start} is too far ahead"));
        }
        if start < self.oldest {
            return Err(Refused::Late {
                interval: start,
                closed: start + KEPT * length,
            });
        }
        Ok(())
    }

    /// Whether it is there already.
    fn offer(&self, deal: &Deal, new: &Offer, now_us: i64) -> Result<bool, Refused> {
        if is_held(deal.offer.as_ref(), new, |of| of.sequence)? {
            return Ok(true);
        }
        let closed_us = self.setup.product.gate_closure_us(new.interval);
        let known = self.book.intervals.get(&new.interval);
        if now_us >= closed_us || known.is_some_and(|of| of.gate_closed) {
            return Err(Refused::Late {
                interval: new.interval,
                closed: closed_us.div_euclid(US),
            });
        }
        check::offer(new, self.setup.product.length_s).map_err(|what| Refused::Invalid { what })?;
        Ok(false)
    }
}

/// What goes on record with a total: what a tenant's interval is settled as, or what changes of that, and the hash of its
/// account.
fn accounted(
    setup: &Setup,
    (start, of): (i64, &Tenant),
    before: &Deal,
    after: &Deal,
) -> (Vec<Record>, Option<Hash>) {
    let settled = |deal: &Deal| settle::tenant(setup, start, of, deal);
    let was = before.total.is_some().then(|| settled(before));
    let meters = after.total.iter().flat_map(|new| settle::meters(of, new));
    let entry = settle::entry(was.as_ref(), settled(after), meters.collect());
    let mut records: Vec<Record> = entry.map(Record::Market).into_iter().collect();
    let account = after.account(&of.name).zip(after.total.as_ref());
    let hash = account.map(|(account, new)| {
        let hash = Hash(account.sha256());
        records.push(Record::Area(Entry::Accounted {
            interval: start,
            tenant: of.name.clone(),
            sequence: new.sequence,
            hash,
        }));
        hash
    });
    (records, hash)
}

fn closing(deal: &Deal, new: &Closing) -> Result<bool, Refused> {
    if is_held(deal.closing.as_ref(), new, |of| of.sequence)? {
        return Ok(true);
    }
    // The tenant's word: there is one.
    if let Some(held) = &deal.closing {
        return Err(Refused::Sequence {
            sequence: new.sequence,
            held: held.sequence,
        });
    }
    check::closing(new, deal.award.as_ref()).map_err(|what| Refused::Invalid { what })?;
    Ok(false)
}

fn total(
    setup: &Setup,
    tenant: &str,
    (deal, new): (&Deal, &Total),
    now_us: i64,
) -> Result<bool, Refused> {
    if is_held(deal.total.as_ref(), new, |of| of.sequence)? {
        return Ok(true);
    }
    check::total(new).map_err(|what| Refused::Invalid { what })?;
    if new.interval.saturating_mul(US) > now_us {
        let what = "the interval has not begun".to_owned();
        return Err(Refused::Invalid { what });
    }
    if deal.closing.is_none() {
        let reason = "the interval's closing is not here yet".to_owned();
        return Err(Refused::Unavailable { reason });
    }
    // It is sent again, so that nothing is lost until the site file is put right.
    let mut names = new.aggregators.iter().map(|of| &of.name);
    if let Some(name) = names.find(|name| !setup.aggregates(tenant, name)) {
        let reason = format!("the area's site file has no aggregator {name} with tenant {tenant}");
        return Err(Refused::Unavailable { reason });
    }
    Ok(false)
}

/// Whether a document is the one that is held; a lower number, or the same with other content, is refused.
fn is_held<T: PartialEq>(
    held: Option<&T>,
    new: &T,
    sequence: impl Fn(&T) -> u32,
) -> Result<bool, Refused> {
    match held {
        Some(held) if held == new => Ok(true),
        Some(held) if sequence(new) <= sequence(held) => Err(Refused::Sequence {
            sequence: sequence(new),
            held: sequence(held),
        }),
        _ => Ok(false),
    }
}
