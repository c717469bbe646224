//! The machine: built from the record, in step with it.

use std::collections::{BTreeMap, BTreeSet};

use protocols::opcua::{
    Account,
    message::{Aggregated, Award, Basis, Closing, Down, Offer, Refused, Total, Up},
};
use solver::market::{Settlement, clearing::Interface};

use super::{
    Document, Entry, Terms,
    decide::{Last, by_award, by_fallback, unusable},
    passed,
};
use crate::{clock::US, store::Hash};

/// Awards of one interval that go on record; whoever sends more is not worth the space.
const AWARDS_MOST: usize = 16;

/// An interval, as far as the layer above is concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// What went up at gate closure.
    pub offer: Option<Offer>,
    /// What came down, each with why nothing comes of it; by rising sequence.
    pub awards: Vec<(Award, Option<String>)>,
    /// With what it was cleared for good.
    pub closing: Option<Closing>,
    /// What was metered; corrected, the latest.
    pub total: Option<Total>,
    /// What the layer above has answered, and why it did not take it.
    pub answered: BTreeMap<(Document, u32), Option<Refused>>,
    /// The hash that the layer above has of its account, and of which total.
    pub theirs: Option<(u32, Hash)>,
    /// Length, s.
    pub length_s: u32,
}

impl Interval {
    /// The award that its closing rests on.
    #[must_use]
    pub fn award(&self) -> Option<&Award> {
        let sequence = self.closing.as_ref()?.award?;
        let awards = self.awards.iter().map(|(award, _)| award);
        awards.into_iter().find(|award| award.sequence == sequence)
    }

    /// The interval's account, once it is metered.
    #[must_use]
    pub fn account<'d>(&'d self, tenant: &'d str) -> Option<Account<'d>> {
        let (closing, total) = (self.closing.as_ref()?, self.total.as_ref()?);
        Some(Account {
            tenant,
            interval: closing.interval,
            award: self.award(),
            closing,
            total,
        })
    }

    /// Whether the layer above has another account of it; none: it has not said.
    #[must_use]
    pub fn differs(&self, tenant: &str) -> Option<bool> {
        let account = self.account(tenant)?;
        let (sequence, theirs) = self.theirs?;
        (sequence == account.total.sequence).then(|| theirs != Hash(account.sha256()))
    }

    /// What the layer above has not answered, in the order it is sent. An offer that the closing has
    /// overtaken is of no use to anybody.
    fn unanswered(&self) -> impl Iterator<Item = Up> {
        let offer = self.offer.iter().filter(|_| self.closing.is_none());
        let offer = offer.cloned().map(Up::Offer);
        let closing = self.closing.iter().cloned().map(Up::Closing);
        let total = self.total.iter().cloned().map(Up::Total);
        let all = offer.chain(closing).chain(total);
        all.filter(|up| {
            !self
                .answered
                .contains_key(&(Document::of(up), up.sequence()))
        })
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    name: String,
    terms: Terms,
    intervals: BTreeMap<i64, Interval>,
    /// Those with something to send.
    unsent: BTreeSet<i64>,
    last: Option<Last>,
}

impl Tenant {
    /// A tenant by the name that the layer above knows it by, before any record.
    #[must_use]
    pub fn new(name: String, terms: Terms) -> Self {
        Self {
            name,
            terms,
            intervals: BTreeMap::new(),
            unsent: BTreeSet::new(),
            last: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Voltage behind the connection as it was last planned above, pu; none: the network's own.
    #[must_use]
    pub fn u_pu(&self) -> Option<f64> {
        self.last.as_ref()?.interface.u_pu
    }

    /// What it knows of an interval.
    #[must_use]
    pub fn interval(&self, start: i64) -> Option<&Interval> {
        self.intervals.get(&start)
    }

    /// All that it knows, oldest first.
    pub fn intervals(&self) -> impl DoubleEndedIterator<Item = (i64, &Interval)> {
        self.intervals.iter().map(|(&start, of)| (start, of))
    }

    /// Takes over an entry of the record; the same one again changes nothing.
    pub fn apply(&mut self, entry: &Entry) {
        let start = entry.interval();
        let interval = self.intervals.entry(start).or_default();
        match entry {
            Entry::Offered { offer, .. } => {
                interval.length_s = offer.length_s;
                interval.offer = Some(offer.clone());
            }
            Entry::Awarded { award, unused, .. } => {
                let known = |(of, _): &(Award, _)| of.sequence == award.sequence;
                if !interval.awards.iter().any(known) {
                    interval.awards.push((award.clone(), unused.clone()));
                }
            }
            Entry::Closed {
                closing,
                length_s,
                interface,
                ..
            } => {
                interval.length_s = *length_s;
                interval.closing = Some(closing.clone());
                let first = closing.basis == Basis::LastAward && self.last.is_none();
                // One that is called to mind again is not the last.
                let later = self.last.is_none_or(|last| last.interval <= start);
                if let Some(interface) = interface.first()
                    && (closing.basis == Basis::Award || first)
                    && later
                {
                    self.last = Some(Last {
                        interval: start,
                        exchange_w: closing.exchange_w,
                        price: closing.price,
                        interface: *interface,
                    });
                }
            }
            Entry::Totalled { total, .. } => interval.total = Some(total.clone()),
            Entry::Answered {
                document,
                sequence,
                refused,
                hash,
                ..
            } => {
                interval
                    .answered
                    .insert((*document, *sequence), refused.clone());
                if let Some(hash) = hash {
                    interval.theirs = Some((*sequence, *hash));
                }
            }
        }
        match interval.unanswered().next() {
            Some(_) => self.unsent.insert(start),
            None => self.unsent.remove(&start),
        };
    }

    /// Forgets what began before and has nothing left to be sent.
    pub fn forget_before(&mut self, oldest: i64) {
        let unsent = &self.unsent;
        let due = |of: &Interval| of.closing.is_some() && of.total.is_none();
        self.intervals
            .retain(|start, of| *start >= oldest || unsent.contains(start) || due(of));
    }

    /// Puts an offer on record; none: there is one, or the interval is closed.
    #[must_use]
    pub fn offered(&self, offer: Offer, at_us: i64) -> Option<Entry> {
        let known = self.intervals.get(&offer.interval);
        let done = known.is_some_and(|of| of.offer.is_some() || of.closing.is_some());
        (!done).then_some(Entry::Offered { at_us, offer })
    }

    /// Takes what came down. The same again, an older one, or one for an interval that is not known: none.
    #[must_use]
    pub fn received(&self, down: Down, at_us: i64) -> Option<Entry> {
        let Down::Award(award) = down;
        let interval = self.intervals.get(&award.interval)?;
        let newest = interval.awards.last().map(|(of, _)| of.sequence);
        if newest.is_some_and(|newest| award.sequence <= newest)
            || interval.awards.len() >= AWARDS_MOST
        {
            return None;
        }
        let unused = match &interval.closing {
            Some(_) => Some("late: the interval was closed already".to_owned()),
            None => unusable(&award, interval.offer.as_ref()),
        };
        Some(Entry::Awarded {
            at_us,
            award,
            unused,
        })
    }

    /// Closes an interval as soon as that can be done: by its award, or without one when it is time.
    /// None: it is closed, or there is time to wait. `site` has the terms without a market above.
    #[must_use]
    pub fn decide(&self, start: i64, length_s: u32, at_us: i64, site: &Interface) -> Option<Entry> {
        let interval = self.intervals.get(&start);
        if interval.is_some_and(|of| of.closing.is_some()) {
            return None;
        }
        let awards = interval.iter().flat_map(|of| &of.awards);
        let award = awards.rev().find(|(_, unused)| unused.is_none());
        let until_us = (start - i64::from(self.terms.award_s)).saturating_mul(US);
        let (closing, interface) = match award {
            Some((award, _)) => by_award(award, &self.terms, site),
            None if at_us < until_us => return None,
            None => {
                let offer = interval.and_then(|of| of.offer.as_ref());
                by_fallback(start, offer, self.last.as_ref(), &self.terms, site)
            }
        };
        Some(Entry::Closed {
            at_us,
            closing,
            length_s,
            interface: vec![interface],
        })
    }

    /// Closes an interval that cannot be cleared with nothing: whatever is exchanged is a deviation.
    #[must_use]
    pub fn give_up(&self, start: i64, length_s: u32, at_us: i64) -> Option<Entry> {
        let known = self.intervals.get(&start);
        let done = known.is_some_and(|of| of.closing.is_some());
        (!done).then(|| Entry::Closed {
            at_us,
            closing: Closing {
                interval: start,
                sequence: 1,
                basis: Basis::Zero,
                award: None,
                exchange_w: 0,
                price: 0,
            },
            length_s,
            interface: Vec::new(),
        })
    }

    /// Intervals that began without having been closed: nobody was there.
    pub fn overdue(&self, now_us: i64) -> impl Iterator<Item = i64> {
        let begun = self.intervals.range(..=now_us.div_euclid(US));
        begun
            .filter(|(_, of)| of.closing.is_none())
            .map(|(&start, _)| start)
    }

    /// Closed intervals that are not metered, and when each ends, s since 1970.
    pub fn unmetered(&self) -> impl Iterator<Item = (i64, i64)> {
        let due = self.intervals.iter();
        due.filter(|(_, of)| of.closing.is_some() && of.total.is_none())
            .map(|(&start, of)| (start, start.saturating_add(of.length_s.into())))
    }

    /// Puts what was metered of a closed interval on record: import-positive Wh, and whether that is a
    /// replaced value; none: the closing's energy is the replacement. With it goes what those come to that
    /// are settled above. The same again: nothing.
    #[must_use]
    pub fn totalled(
        &self,
        start: i64,
        metered: Option<(i64, bool)>,
        aggregators: Vec<Aggregated>,
        at_us: i64,
    ) -> Option<Entry> {
        let interval = self.intervals.get(&start)?;
        let closing = interval.closing.as_ref()?;
        let (wh, replaced) = metered.unwrap_or_else(|| {
            let as_closed = i128::from(closing.exchange_w) * i128::from(interval.length_s) / 3600;
            (i64::try_from(as_closed).unwrap_or_default(), true)
        });
        let before = interval.total.as_ref();
        let total = Total {
            interval: start,
            sequence: before.map_or(1, |of| of.sequence.saturating_add(1)),
            import_wh: wh.max(0),
            export_wh: wh.min(0).saturating_neg(),
            replaced,
            aggregators,
        };
        again(before, total, at_us)
    }

    /// The total that follows the one on record when a correction changes what passes up; none: there is no total
    /// yet, or it is the same.
    #[must_use]
    pub fn corrected<'s>(
        &self,
        start: i64,
        corrections: impl IntoIterator<Item = &'s Settlement>,
        at_us: i64,
    ) -> Option<Entry> {
        let before = self.intervals.get(&start)?.total.as_ref()?;
        let mut total = before.clone();
        total.sequence = before.sequence.saturating_add(1);
        for correction in corrections {
            passed::add(&mut total.aggregators, correction);
        }
        again(Some(before), total, at_us)
    }

    /// Takes the answer to a document; none: it is on record, or there is no such document. With a total
    /// comes the hash of the account that the layer above makes of the interval.
    #[must_use]
    pub fn answered(
        &self,
        up: &Up,
        answer: Result<Option<Hash>, Refused>,
        at_us: i64,
    ) -> Option<Entry> {
        let interval = self.intervals.get(&up.interval())?;
        let (refused, hash) = match answer {
            Ok(hash) => (None, hash),
            // It is sent again.
            Err(Refused::Unavailable { .. }) => return None,
            Err(refused) => (Some(refused), None),
        };
        interval.unanswered().find(|of| of == up)?;
        Some(Entry::Answered {
            at_us,
            interval: up.interval(),
            document: Document::of(up),
            sequence: up.sequence(),
            refused,
            hash,
        })
    }

    /// How many documents are not answered.
    #[must_use]
    pub fn unsent(&self) -> usize {
        let unsent = self.unsent.iter().filter_map(|of| self.intervals.get(of));
        unsent.map(|of| of.unanswered().count()).sum()
    }

    /// What is to be sent, in this order, at most so many: offers first, since a gate above does not wait,
    /// then closings, then totals, which may have to wait for the one above; each from the oldest on.
    #[must_use]
    pub fn outbox(&self, most: usize) -> Vec<Up> {
        let of = |document: Document| {
            let unsent = self.unsent.iter().filter_map(|of| self.intervals.get(of));
            let all = unsent.flat_map(Interval::unanswered);
            all.filter(move |up| Document::of(up) == document)
        };
        of(Document::Offer)
            .chain(of(Document::Closing))
            .chain(of(Document::Total))
            .take(most)
            .collect()
    }
}

/// A total for the record; none: the one before says the same.
fn again(before: Option<&Total>, total: Total, at_us: i64) -> Option<Entry> {
    let same = |of: &Total| {
        Total {
            sequence: total.sequence,
            ..of.clone()
        } == total
    };
    (!before.is_some_and(same)).then_some(Entry::Totalled { at_us, total })
}
