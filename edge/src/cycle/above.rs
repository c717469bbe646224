//! The market above, around the machine of [`crate::above`]: what is offered is computed here, and what comes
//! of an award.

use std::collections::{BTreeMap, BTreeSet};

use protocols::opcua::message::{Basis, Offer, Refused, State, Up};
use solver::market::{LedgerEntry, Settlement};

use super::{
    alarms::Severity,
    book::{Gate, RECENT},
    step::Cycle,
};
use crate::{
    above::{Document, Entry, Event, Link, Tenant, offer},
    clock::rfc3339_s,
    site::Above,
    store::Record,
};

/// What alarms about it are from.
const SOURCE: &str = "market above";
/// Documents that are handed to the wire at once.
const OUTBOX: usize = 64;
/// A certificate is alarmed so long before its end, days.
const CERTIFICATE_DAYS: i64 = 30;
/// Clocks further apart are alarmed, ms: gates and awards have that much less time.
const CLOCK_MS: i64 = 1000;

/// The market above as the loop knows it.
#[derive(Debug)]
pub(super) struct Upwards {
    pub(super) tenant: Tenant,
    pub(super) link: Link,
    /// The interval for which there is no offer, since its curve could not be computed.
    without: Option<i64>,
}

impl Upwards {
    pub(super) fn new(site: &Above, now_us: i64) -> Self {
        Self {
            tenant: Tenant::new(site.tenant.clone(), site.terms.clone()),
            link: Link::new(now_us),
            without: None,
        }
    }
}

impl Cycle {
    /// Takes what the wire has to say; what is to be put on record before [`Cycle::restore`] takes it over.
    pub fn hear(&mut self, event: Event, now_us: i64) -> Option<Record> {
        let above = self.above.as_mut()?;
        let entry = match event {
            Event::Linked { tenant, clock_ms } => {
                above.link.up(now_us);
                above.link.clock_ms = Some(clock_ms);
                self.alarms.clear("market_link", SOURCE, now_us);
                self.judge_link(&tenant, clock_ms, now_us);
                None
            }
            Event::Lost { reason } => {
                above.link.down(reason.clone(), now_us);
                let text = format!("no link to the market above: {reason}");
                let alarms = &mut self.alarms;
                alarms.raise(Severity::Warning, "market_link", SOURCE, text, now_us);
                None
            }
            Event::Certificate { days_left } => {
                above.link.certificate_days = Some(days_left);
                self.judge_certificate(days_left, now_us);
                None
            }
            Event::Down(down) => above.tenant.received(down, now_us),
            Event::Answer { up, answer } => {
                let entry = above.tenant.answered(&up, answer.clone(), now_us);
                self.judge_answer(&up, answer.err(), now_us);
                entry
            }
        };
        entry.map(Record::Above)
    }

    /// Whether a document has to wait until somebody above has put something right.
    fn judge_answer(&mut self, up: &Up, refused: Option<Refused>, now_us: i64) {
        const CODE: &str = "document_waits";
        let document = Document::of(up);
        match refused {
            Some(Refused::Unavailable { reason }) => {
                let interval = rfc3339_s(up.interval());
                let text = format!(
                    "the market above cannot keep our {document} for {interval} yet: {reason}"
                );
                let alarms = &mut self.alarms;
                alarms.raise(Severity::Warning, CODE, SOURCE, text, now_us);
            }
            _ if document == Document::Total && !self.older_total_waits(up.interval()) => {
                self.alarms.clear(CODE, SOURCE, now_us);
            }
            _ => {}
        }
    }

    fn older_total_waits(&self, start: i64) -> bool {
        let outbox = self.outbox();
        let mut totals = outbox.iter().filter(|up| matches!(up, Up::Total(_)));
        totals.any(|up| up.interval() < start)
    }

    /// Whether both ends mean the same tenant, and the same time.
    fn judge_link(&mut self, tenant: &str, clock_ms: i64, now_us: i64) {
        let ours = self.above.as_ref().map(|above| above.tenant.name());
        let named = ours.filter(|ours| *ours != tenant).map(|ours| {
            format!(
                "the market above calls us {tenant}, the site file {ours}: no account will agree"
            )
        });
        let late = (clock_ms.abs() >= CLOCK_MS).then(|| {
            let seconds = clock_ms as f64 / 1000.0;
            format!("the clock of the market above is {seconds:+.1} s from ours")
        });
        for (code, wrong) in [("market_tenant", named), ("market_clock", late)] {
            match wrong {
                Some(text) => {
                    let alarms = &mut self.alarms;
                    alarms.raise(Severity::Warning, code, SOURCE, text, now_us);
                }
                None => self.alarms.clear(code, SOURCE, now_us),
            }
        }
    }

    fn judge_certificate(&mut self, days_left: i64, now_us: i64) {
        const CODE: &str = "market_certificate";
        if days_left >= CERTIFICATE_DAYS {
            self.alarms.clear(CODE, SOURCE, now_us);
            return;
        }
        let severity = match days_left {
            ..1 => Severity::Critical,
            _ => Severity::Warning,
        };
        let text = match days_left {
            ..1 => "our certificate for the market above has ended".to_owned(),
            _ => format!("our certificate for the market above ends in {days_left} days"),
        };
        self.alarms.raise(severity, CODE, SOURCE, text, now_us);
    }

    /// Takes over what the record says of the market above.
    pub(super) fn apply_above(&mut self, entry: &Entry) {
        let Some(above) = &mut self.above else { return };
        above.tenant.apply(entry);
        let start = entry.interval();
        let Some(of) = above.tenant.interval(start) else {
            return;
        };
        match entry {
            Entry::Closed { at_us, closing, .. } => {
                let unawarded = closing.basis != Basis::Award;
                let text = format!(
                    "no award for the interval {}: it is closed by the site's fallback, {} W",
                    rfc3339_s(start),
                    closing.exchange_w
                );
                match unawarded {
                    true => {
                        let alarms = &mut self.alarms;
                        alarms.raise(Severity::Warning, "no_award", SOURCE, text, *at_us);
                    }
                    false => self.alarms.clear("no_award", SOURCE, *at_us),
                }
            }
            Entry::Answered {
                at_us,
                document,
                refused,
                ..
            } => {
                let source = rfc3339_s(start);
                if of.differs(above.tenant.name()) == Some(true) {
                    let text =
                        format!("the market above has another account of the interval {source}");
                    let alarms = &mut self.alarms;
                    alarms.raise(Severity::Critical, "account_differs", &source, text, *at_us);
                }
                if let Some(refused) = refused {
                    let text =
                        format!("the market above refuses our {document} for {source}: {refused}");
                    let alarms = &mut self.alarms;
                    alarms.raise(Severity::Warning, "document_refused", SOURCE, text, *at_us);
                }
            }
            _ => {}
        }
    }

    pub(super) fn record_above(&mut self, entry: Entry, records: &mut Vec<Record>) {
        self.apply_above(&entry);
        let record = Record::Above(entry);
        self.book.apply(&record);
        records.push(record);
    }

    /// Offers an interval whose gate has closed, and closes it as soon as that can be done. Whether it is
    /// closed: cleared it can be then.
    pub(super) fn close_above(
        &mut self,
        start: i64,
        now_us: i64,
        records: &mut Vec<Record>,
    ) -> bool {
        let (Some(above), Some(gate)) = (&self.above, self.book.closed(start)) else {
            return true;
        };
        let known = above.tenant.interval(start);
        if known.is_some_and(|of| of.closing.is_some()) {
            return true;
        }
        // An island has nothing to offer; that nothing is connected, the clearing says.
        let Some(site) = gate.auction.case.interface.first().copied() else {
            return true;
        };
        let length_s = gate.auction.case.duration_s;
        if known.is_none_or(|of| of.offer.is_none()) && above.without != Some(start) {
            let offer = self.offer(start, gate);
            self.put_offer(start, offer, now_us, records);
        }
        let decided = self.above.as_ref().and_then(|above| {
            let tenant = &above.tenant;
            tenant.decide(start, length_s, now_us, &site)
        });
        match decided {
            Some(entry) => {
                self.record_above(entry, records);
                true
            }
            None => false,
        }
    }

    fn put_offer(
        &mut self,
        start: i64,
        offer: Result<Offer, String>,
        now_us: i64,
        records: &mut Vec<Record>,
    ) {
        const CODE: &str = "no_offer";
        let Some(above) = &mut self.above else { return };
        match offer {
            Ok(offer) => {
                let entry = above.tenant.offered(offer, now_us);
                self.alarms.clear(CODE, SOURCE, now_us);
                if let Some(entry) = entry {
                    self.record_above(entry, records);
                }
            }
            Err(reason) => {
                above.without = Some(start);
                let text = format!("nothing is offered for {}: {reason}", rfc3339_s(start));
                let alarms = &mut self.alarms;
                alarms.raise(Severity::Warning, CODE, SOURCE, text, now_us);
            }
        }
    }

    /// What the exchange is worth to what the gate closed with.
    fn offer(&self, start: i64, gate: &Gate) -> Result<Offer, String> {
        let grid = self.networks.grid(&gate.network);
        let grid = grid.ok_or_else(|| format!("network {} is not known", gate.network))?;
        let rulebook = gate.rulebook.as_deref().cloned();
        let options = rulebook.unwrap_or_else(|| self.rulebook()).clearing;
        offer(
            &grid,
            &gate.auction.case,
            self.above.as_ref().and_then(|above| above.tenant.u_pu()),
            &options,
            (start, 1),
            self.state(),
        )
    }

    /// How well the feeder is known.
    fn state(&self) -> State {
        let Some(sound) = &self.feeder.sound else {
            return State::default();
        };
        let (mut seen, mut live, mut sigma_max_pu) = (0_usize, 0_usize, 0.0_f64);
        for (node, u_rated) in sound.estimate().nodes.iter().zip(&self.feeder.grid.u_rated) {
            live += usize::from(node.energised);
            if let Some(u) = node.u.filter(|_| node.energised) {
                seen += 1;
                sigma_max_pu = sigma_max_pu.max(u.sigma / u_rated);
            }
        }
        State {
            observed: seen as f64 / live.max(1) as f64,
            sigma_max_pu,
            ..State::default()
        }
    }

    /// Closes an interval that cannot be cleared with nothing.
    pub(super) fn give_up_above(&mut self, start: i64, now_us: i64, records: &mut Vec<Record>) {
        let length_s = self.book.product.length_s;
        let entry = self
            .above
            .as_ref()
            .and_then(|above| above.tenant.give_up(start, length_s, now_us));
        if let Some(entry) = entry {
            self.record_above(entry, records);
        }
    }

    /// Closes those with nothing that began while nobody was there.
    pub(super) fn give_up_overdue(&mut self, now_us: i64, records: &mut Vec<Record>) {
        let above = self.above.as_ref();
        let overdue: Vec<i64> =
            above.map_or_else(Vec::new, |above| above.tenant.overdue(now_us).collect());
        for start in overdue {
            self.give_up_above(start, now_us, records);
        }
    }

    /// Puts on record what was exchanged in closed intervals, when meters had their time.
    pub(super) fn total_due(&mut self, now_us: i64, records: &mut Vec<Record>) {
        let Some(above) = &self.above else { return };
        let product = self.book.product;
        let delay_s = i64::from(product.settle_delay_s);
        let due = above
            .tenant
            .unmetered()
            .filter(|&(_, end)| now_us >= product.start_us(end.saturating_add(delay_s)));
        let due: Vec<(i64, i64)> = due.collect();
        for (start, end) in due {
            let over = (product.start_us(start), product.start_us(end));
            let metered = self.meters.exchanged(over);
            let Some(aggregators) = self.book.passed_up(start) else {
                continue;
            };
            let above = self.above.as_ref();
            let entry =
                above.and_then(|above| above.tenant.totalled(start, metered, aggregators, now_us));
            if let Some(entry) = entry {
                self.record_above(entry, records);
            }
        }
    }

    /// Intervals among these corrections of which something passes up, but what passed between the markets is not
    /// in mind any more: it is to be read of the record, for [`Cycle::remember_above`].
    #[must_use]
    pub fn forgotten_above(&self, corrections: &[LedgerEntry]) -> BTreeSet<i64> {
        let Some(above) = &self.above else {
            return BTreeSet::new();
        };
        let starts = passing_up(corrections).map(|of| of.interval);
        starts
            .filter(|start| above.tenant.interval(*start).is_none())
            .collect()
    }

    /// Calls an interval to mind again.
    pub fn remember_above(&mut self, records: &[Record]) {
        let Some(above) = &mut self.above else { return };
        for record in records {
            if let Record::Above(entry) = record {
                above.tenant.apply(entry);
            }
        }
    }

    /// The totals that go up with corrections: what they change for those that are settled above.
    #[must_use]
    pub fn corrected_totals(&self, corrections: &[LedgerEntry], now_us: i64) -> Vec<Record> {
        let Some(above) = &self.above else {
            return Vec::new();
        };
        let mut by_interval: BTreeMap<i64, Vec<&Settlement>> = BTreeMap::new();
        for correction in passing_up(corrections) {
            let of = by_interval.entry(correction.interval).or_default();
            of.push(correction);
        }
        let totals = by_interval.into_iter().filter_map(|(start, of)| {
            let entry = above.tenant.corrected(start, of, now_us)?;
            Some(Record::Above(entry))
        });
        totals.collect()
    }

    /// As long as intervals are shown.
    pub(super) fn forget_above(&mut self, now_us: i64) {
        let product = self.book.product;
        let oldest = product.interval_of(now_us) - RECENT * i64::from(product.length_s);
        if let Some(above) = &mut self.above {
            above.tenant.forget_before(oldest);
        }
    }

    /// What is to be sent up.
    pub(super) fn outbox(&self) -> Vec<Up> {
        let above = self.above.as_ref();
        above.map_or_else(Vec::new, |above| above.tenant.outbox(OUTBOX))
    }
}

/// Corrections of which something passes up.
fn passing_up(corrections: &[LedgerEntry]) -> impl Iterator<Item = &Settlement> {
    let corrections = corrections.iter().filter_map(|entry| match entry {
        LedgerEntry::Resettled { correction, .. } => Some(correction),
        _ => None,
    });
    corrections.filter(|of| !of.passed_up().is_empty())
}
