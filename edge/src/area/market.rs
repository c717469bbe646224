//! The machine: see the module above.

use std::sync::Arc;

use protocols::opcua::message::{Award, Offer, Refused, State};
use solver::{
    market::{Auction, LedgerEntry, clearing::Case},
    network::{Grid, NetworkError, pgm_json},
};

use super::{Book, Entry, Interval, Setup, Taken};
use crate::{
    above::{self, Event},
    store::{Hash, Record},
};

/// Documents are taken for so many intervals ahead.
pub(super) const AHEAD: i64 = 16;
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
    pub(super) above: Option<above::Tenant>,
    pub(super) oldest: i64,
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

    pub(super) fn apply(&mut self, record: &Record) {
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
            Event::Answer { up, answer } => {
                if let Err(Refused::Unavailable { reason }) = &answer {
                    let interval = up.interval();
                    tracing::warn!(interval, reason, "the market above cannot keep it yet");
                }
                above.answered(&up, answer, now_us)
            }
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

    pub(super) fn is(&self, start: i64, what: impl Fn(&Interval) -> bool) -> bool {
        self.book.intervals.get(&start).is_some_and(what)
    }

    pub(super) fn put(&mut self, step: &mut Step, record: Record) {
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
        let u_pu = self.above.as_ref()?.u_pu();
        let options = &self.setup.rulebook.clearing;
        let state = State {
            observed: 1.0,
            ..State::default()
        };
        let offer = above::offer(&self.grid, case, u_pu, options, (start, 1), state);
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
}
