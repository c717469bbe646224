//! The machine: see the module above.

use std::sync::Arc;

use protocols::opcua::message::{Award, Closing, Offer, Receipt, Refused, State, Total, Up};
use solver::{
    market::{Auction, LedgerEntry, Price, clearing::Case, energy_wh},
    network::{Grid, Id, NetworkError, pgm_json},
};

use super::{Book, Deal, Entry, Interval, Setup, Taken, check, settle};
use crate::{
    above::{self, Event},
    clock::US,
    store::{Hash, Record},
};

/// Documents are taken for so many intervals ahead.
const AHEAD: i64 = 16;
/// Intervals that are kept in mind: for so long a tenant that was cut off can bring what it owes.
pub(super) const KEPT: i64 = 700;

/// What a step comes to. Records go on record before awards go out.
#[derive(Debug, Default)]
pub struct Step {
    /// In order.
    pub records: Vec<Record>,
    /// Whether there are awards among them.
    pub awarded: bool,
    now_us: i64,
}

/// See the module above.
#[derive(Debug)]
pub struct Market {
    pub(super) setup: Arc<Setup>,
    pub(super) grid: Grid,
    /// Names the network.
    pub(super) network: Hash,
    network_json: String,
    pub(super) book: Book,
    /// Its own part in the market above.
    above: Option<above::Tenant>,
    oldest: i64,
}

impl Market {
    /// A market that knows nothing yet.
    ///
    /// # Errors
    /// Its network cannot be used.
    pub fn new(setup: Arc<Setup>) -> Result<Self, NetworkError> {
        let grid = Grid::new(&setup.network)?;
        let network_json = pgm_json::write(grid.network());
        let above = setup.above.clone();
        let above = above.map(|(name, terms)| above::Tenant::new(name, terms));
        Ok(Self {
            network: Hash::of(network_json.as_bytes()),
            setup,
            grid,
            network_json,
            book: Book::default(),
            above,
            oldest: i64::MIN,
        })
    }

    /// What it is.
    #[must_use]
    pub fn setup(&self) -> &Arc<Setup> {
        &self.setup
    }

    /// What it knows.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Its part in the market above.
    #[must_use]
    pub fn above(&self) -> Option<&above::Tenant> {
        self.above.as_ref()
    }

    /// Takes over a record that is on disk already; after the last of them, [`Market::resume`].
    pub fn restore(&mut self, record: &Record) {
        self.apply(record);
    }

    fn apply(&mut self, record: &Record) {
        self.book.apply(record);
        if let (Some(above), Record::Above(entry)) = (&mut self.above, record) {
            above.apply(entry);
        }
    }

    /// Takes what the market above says; what of it goes on record is taken over already.
    pub fn hear(&mut self, event: Event, now_us: i64) -> Option<Record> {
        let above = self.above.as_ref()?;
        let entry = match event {
            Event::Down(down) => above.received(down, now_us),
            Event::Answer { up, answer } => above.answered(&up, answer, now_us),
            Event::Linked { .. } | Event::Lost { .. } | Event::Certificate { .. } => None,
        };
        let record = Record::Above(entry?);
        self.apply(&record);
        Some(record)
    }

    /// After a restart: of what is older than this nothing is complete.
    pub fn resume(&mut self, now_us: i64) {
        self.forget(now_us);
    }

    fn forget(&mut self, now_us: i64) {
        let length = i64::from(self.setup.product.length_s);
        self.oldest = self.setup.product.interval_of(now_us) - KEPT * length;
        self.book.forget_before(self.oldest);
        if let Some(above) = &mut self.above {
            above.forget_before(self.oldest);
        }
    }

    /// Awards of intervals that have not ended, oldest first: whoever comes back finds them.
    pub fn open_awards(&self, now_us: i64) -> impl Iterator<Item = (String, Award)> + '_ {
        let current = self.setup.product.interval_of(now_us);
        let open = self.book.intervals.range(current..);
        open.flat_map(|(_, of)| &of.deals)
            .filter_map(|(tenant, deal)| Some((tenant.clone(), deal.award.clone()?)))
    }

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
            Up::Total(new) => total(deal, new, now_us)?,
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
            let settled = |deal: &Deal| settle::tenant(&setup, start, of, deal);
            let was = before.total.is_some().then(|| settled(&before));
            let meters = after.total.iter().flat_map(|new| settle::meters(of, new));
            let entry = settle::entry(was.as_ref(), settled(after), meters.collect());
            records.extend(entry.map(Record::Market));
            if let (Some(account), Some(new)) = (after.account(tenant), &after.total) {
                let hash = account.hash();
                receipt.account = Some(hash.to_string());
                records.push(Record::Area(Entry::Accounted {
                    interval: start,
                    tenant: tenant.to_owned(),
                    sequence: new.sequence,
                    hash,
                }));
            }
        }
        for record in &records[1..] {
            self.apply(record);
        }
        Ok((records, receipt))
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

    /// Does what is due. A gate that closed while nobody was there is left closed: nothing is awarded for
    /// an interval that has begun.
    #[must_use]
    pub fn step(&mut self, now_us: i64) -> Step {
        self.forget(now_us);
        let product = self.setup.product;
        let length = i64::from(product.length_s);
        let mut step = Step {
            now_us,
            ..Step::default()
        };
        let mut start = product.interval_of(now_us) + length;
        while product.gate_closure_us(start) <= now_us {
            if !self.is(start, |of| of.gate_closed) {
                self.close_gate(start, now_us, &mut step);
            }
            start += length;
        }
        let pending = self.book.intervals.iter();
        let pending = pending.filter(|(_, of)| of.case.is_some() && !of.decided());
        let pending: Vec<i64> = pending.map(|(&start, _)| start).collect();
        for start in pending {
            self.decide(start, now_us, &mut step);
        }
        self.give_up_overdue(now_us, &mut step);
        self.exchange(now_us, &mut step);
        step
    }

    fn is(&self, start: i64, what: impl Fn(&Interval) -> bool) -> bool {
        self.book.intervals.get(&start).is_some_and(what)
    }

    fn put(&mut self, step: &mut Step, record: Record) {
        self.apply(&record);
        step.records.push(record);
    }

    fn close_gate(&mut self, start: i64, now_us: i64, step: &mut Step) {
        let taken = self.gather(start);
        match self.area(start, &taken) {
            Ok(area) => {
                step.records.push(Record::Network {
                    digest: self.network,
                    json: self.network_json.clone(),
                });
                let offer = self.own_offer(start, &area.case);
                let gate = self.gate_entry(start, area.case);
                self.put(step, Record::Market(gate));
                let gathered = Entry::Gathered {
                    interval: start,
                    tenants: taken,
                };
                self.put(step, Record::Area(gathered));
                let offered = offer.and_then(|offer| self.above.as_ref()?.offered(offer, now_us));
                if let Some(entry) = offered {
                    self.put(step, Record::Above(entry));
                }
            }
            Err(error) => self.fail(start, error.to_string(), step),
        }
    }

    /// Closes towards the market above, with nothing, what began while nobody was there.
    fn give_up_overdue(&mut self, now_us: i64, step: &mut Step) {
        let above = self.above.as_ref();
        let overdue: Vec<i64> = above.map_or_else(Vec::new, |of| of.overdue(now_us).collect());
        let length_s = self.setup.product.length_s;
        for start in overdue {
            let above = self.above.as_ref();
            if let Some(entry) = above.and_then(|of| of.give_up(start, length_s, now_us)) {
                self.put(step, Record::Above(entry));
            }
        }
    }

    /// What the area's own exchange is worth to it; none: there is nobody above, or no curve.
    fn own_offer(&self, start: i64, case: &Case) -> Option<Offer> {
        self.above.as_ref()?;
        let options = &self.setup.rulebook.clearing;
        let state = State {
            observed: 1.0,
            ..State::default()
        };
        let offer = above::offer(&self.grid, case, options, (start, 1), state);
        offer
            .inspect_err(|reason| tracing::warn!(start, reason, "nothing is offered above"))
            .ok()
    }

    /// Closes an interval towards the market above. Whether it can be cleared: there is nobody above, or it
    /// is closed.
    fn close_above(&mut self, start: i64, now_us: i64, step: &mut Step) -> bool {
        let Some(above) = &self.above else {
            return true;
        };
        if above.interval(start).is_some_and(|of| of.closing.is_some()) {
            return true;
        }
        let length_s = self.setup.product.length_s;
        match above.decide(start, length_s, now_us, &self.setup.interface()) {
            Some(entry) => {
                self.put(step, Record::Above(entry));
                true
            }
            None => false,
        }
    }

    fn fail(&mut self, interval: i64, reason: String, step: &mut Step) {
        tracing::error!(interval, reason, "the interval is not cleared");
        let failed = LedgerEntry::ClearingFailed { interval, reason };
        self.put(step, Record::Market(failed));
        let length_s = self.setup.product.length_s;
        let closed = self
            .above
            .as_ref()
            .and_then(|above| above.give_up(interval, length_s, step.now_us));
        if let Some(entry) = closed {
            self.put(step, Record::Above(entry));
        }
    }

    /// Clears an interval whose gate is closed.
    fn decide(&mut self, start: i64, now_us: i64, step: &mut Step) {
        if now_us >= self.setup.product.start_us(start) {
            let reason = "it began before it was cleared".to_owned();
            return self.fail(start, reason, step);
        }
        if !self.close_above(start, now_us, step) {
            return;
        }
        let Some(interval) = self.book.intervals.get(&start) else {
            return;
        };
        let taken: Vec<Taken> = interval.taken.clone();
        let (Some(case), Ok(area)) = (&interval.case, self.area(start, &taken)) else {
            return self.fail(start, "its case is none".to_owned(), step);
        };
        // A restart may have come between gate and clearing: what was on record then is cleared.
        let clearing = match &interval.clearing {
            Some(clearing) => clearing.clone(),
            None => {
                let auction = Auction {
                    case: (**case).clone(),
                    pairs: Vec::new(),
                    ahead: None,
                    calls: None,
                };
                match auction.clear(&self.grid, &self.setup.rulebook) {
                    Ok(result) => Box::new(result.clearing),
                    Err(error) => return self.fail(start, error.to_string(), step),
                }
            }
        };
        let awards = self.awards(start, &area, &taken, &clearing);
        if interval.clearing.is_none() {
            let cleared = LedgerEntry::Cleared {
                interval: start,
                clearing,
                looked: None,
                without_calls: Vec::new(),
            };
            self.put(step, Record::Market(cleared));
        }
        self.put(step, Record::Area(awards));
        step.awarded = true;
    }

    /// Settles what the area exchanged with the grid above, where all that it is made up of is there, or has
    /// been waited for long enough; and anew where some of it has changed since.
    fn exchange(&mut self, now_us: i64, step: &mut Step) {
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
            let own = first.then(|| {
                let priced = |unit: Id| own_award(interval, unit, &setup);
                settle::own(&setup, start, priced)
            });
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
            let total = above.and_then(|of| of.totalled(start, Some((import_wh, true)), now_us));
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

fn total(deal: &Deal, new: &Total, now_us: i64) -> Result<bool, Refused> {
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
