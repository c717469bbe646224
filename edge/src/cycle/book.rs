//! The market's book: orders and intervals. Everything that happens here goes through
//! [`LedgerEntry`]s, so that a restart rebuilds the book by applying the ledger's.

use std::{collections::BTreeMap, sync::Arc};

use protocols::opcua::message::{Aggregated, Basis, Closing};
use solver::{
    market::{
        Auction, Call, Contracts, Direction, Kind, LedgerEntry, LookedAhead, Meter, Order, OrderId,
        Phase, Product, Rulebook, Settlement, Window,
        clearing::{Award, Case, Clearing, Interface},
        energy_wh,
    },
    network::Id,
};

use crate::{
    above::{Entry, passed},
    store::Record,
    web::api::IntervalView,
};

/// How many intervals that have ended are kept to be looked at.
pub(crate) const RECENT: i64 = 90;

/// Who placed an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlacedBy {
    Api,
    Agent,
}

/// An accepted order and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) order: Order,
    pub(super) by: PlacedBy,
    pub(super) cancelled: bool,
    /// W, once cleared; of a window, in the interval cleared last.
    pub(super) awarded_w: Option<f64>,
    /// Of a window: energy awarded in each interval, Wh.
    taken_wh: BTreeMap<i64, i64>,
    /// Of a call, once cleared: whether its unit keeps to it.
    pub(super) kept: Option<bool>,
}

impl Placed {
    fn window(&self) -> Option<Window> {
        match self.order.terms.kind {
            Kind::Window(window) => Some(window),
            _ => None,
        }
    }

    /// Of a window: energy awarded up to now, Wh.
    pub(super) fn taken_wh(&self) -> Option<i64> {
        let sum = || self.taken_wh.values().sum();
        self.window().map(|_| sum())
    }

    pub(super) fn call(&self) -> Option<Call> {
        match self.order.terms.kind {
            Kind::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Start of the last interval that it is about, or of the one after.
    pub(super) fn last(&self) -> i64 {
        let end = self.window().map(|of| of.end);
        let end = end.or(self.call().and_then(|of| of.end));
        end.unwrap_or(self.order.interval)
    }

    /// Whether it is about an interval.
    fn is_about(&self, start: i64) -> bool {
        match self.window() {
            Some(of) => {
                let left = self.taken_wh().is_none_or(|taken| taken < of.energy_wh);
                (self.order.interval..of.end).contains(&start) && left
            }
            None => match self.call().and_then(|of| of.end) {
                Some(end) => (self.order.interval..end).contains(&start),
                None => self.order.interval == start,
            },
        }
    }

    /// The order as it enters an interval's auction: of a window, what is left of it.
    pub(super) fn due(&self, start: i64) -> Order {
        let mut order = self.order.clone();
        if let Kind::Window(of) = &mut order.terms.kind {
            let before = self.taken_wh.range(..start);
            of.energy_wh -= before.map(|(_, wh)| wh).sum::<i64>();
        }
        order.interval = start;
        order
    }
}

/// How the clearing of an interval ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Its gate is open, or its clearing is still being tried.
    Pending,
    /// Cleared.
    Cleared(Arc<Cleared>),
    /// Not cleared, and why.
    Failed(String),
}

/// What became of a cleared interval's delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It has not begun.
    Due,
    /// Its setpoints went out.
    Begun,
    /// It did not begin in time, and why; nothing is owed.
    Void(String),
}

/// A cleared interval.
#[derive(Clone, Debug)]
pub(super) struct Cleared {
    pub(super) gate: Gate,
    pub(super) clearing: Clearing,
    pub(super) looked: Option<Box<LookedAhead>>,
    /// What called units would have been awarded without the calls.
    pub(super) without_calls: Vec<Award>,
    pub(super) took_us: i64,
}

impl Cleared {
    pub(super) fn case(&self) -> &Case {
        &self.gate.auction.case
    }
}

/// What an interval is cleared from.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) auction: Auction,
    /// None: by an early build.
    pub(super) rulebook: Option<Box<Rulebook>>,
    /// Digest.
    pub(super) network: String,
}

/// An interval.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    pub(super) start: i64,
    pub(super) outcome: Outcome,
    pub(super) delivery: Delivery,
    gate: Option<Gate>,
    /// On what its exchange with the market above rests, if there is one.
    pub(super) basis: Option<Basis>,
    pub(super) contracts: Option<Contracts>,
    /// What meters say of it, until it is settled.
    pub(super) metered: Option<Vec<Meter>>,
    pub(super) settlement: Option<Settlement>,
    /// What meters that say something else since have changed of it, oldest first.
    pub(super) corrections: Vec<Settlement>,
    /// Rendered once it no longer changes within a phase.
    pub(super) view: Option<(Phase, Arc<IntervalView>)>,
}

impl Interval {
    fn new(start: i64) -> Self {
        Self {
            start,
            outcome: Outcome::Pending,
            delivery: Delivery::Due,
            gate: None,
            basis: None,
            contracts: None,
            metered: None,
            settlement: None,
            corrections: Vec::new(),
            view: None,
        }
    }

    /// The clearing, while its contracts are neither settled nor void.
    pub(super) fn owed(&self) -> Option<&Arc<Cleared>> {
        match &self.outcome {
            Outcome::Cleared(cleared)
                if self.settlement.is_none() && !matches!(self.delivery, Delivery::Void(_)) =>
            {
                Some(cleared)
            }
            _ => None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) product: Product,
    pub(super) intervals: BTreeMap<i64, Interval>,
    pub(super) orders: BTreeMap<u64, Placed>,
    next_order: u64,
    pub(super) clearings: u64,
    pub(super) settled: u64,
}

impl Book {
    pub(super) fn new(product: Product) -> Self {
        Self {
            product,
            intervals: BTreeMap::new(),
            orders: BTreeMap::new(),
            next_order: 1,
            clearings: 0,
            settled: 0,
        }
    }

    /// Number of the next accepted order.
    pub(super) fn next_order(&self) -> OrderId {
        OrderId(self.next_order)
    }

    /// Start of the latest interval that is cleared or given up.
    pub(super) fn decided(&self) -> Option<i64> {
        let mut latest_first = self.intervals.iter().rev();
        let decided = latest_first.find(|(_, known)| !matches!(known.outcome, Outcome::Pending));
        decided.map(|(&start, _)| start)
    }

    /// Numbers of orders go on from here, or from where they have got to.
    pub(super) fn number_from(&mut self, next_order: u64) {
        self.next_order = self.next_order.max(next_order);
    }

    pub(super) fn interval(&mut self, start: i64) -> &mut Interval {
        self.intervals
            .entry(start)
            .or_insert_with(|| Interval::new(start))
    }

    /// The clearing of an interval whose delivery has begun.
    pub(super) fn begun(&self, start: i64) -> Option<Arc<Cleared>> {
        let interval = self.intervals.get(&start)?;
        match (&interval.outcome, &interval.delivery) {
            (Outcome::Cleared(cleared), Delivery::Begun) => Some(Arc::clone(cleared)),
            _ => None,
        }
    }

    /// What passes up of an interval for those that are settled above; none: it is still to be settled.
    pub(super) fn passed_up(&self, start: i64) -> Option<Vec<Aggregated>> {
        let Some(of) = self.intervals.get(&start) else {
            return Some(Vec::new());
        };
        let rulebook = of.owed().and_then(|owed| owed.gate.rulebook.as_ref());
        if rulebook.is_some_and(|of| !of.settled_above.is_empty()) {
            return None;
        }
        Some(passed::of(of.settlement.iter().chain(&of.corrections)))
    }

    /// What an interval that is not cleared yet was closed with.
    pub(super) fn closed(&self, start: i64) -> Option<&Gate> {
        self.intervals.get(&start)?.gate.as_ref()
    }

    /// Orders of participants, for the rules to look at: those that stand, and those that were
    /// cancelled.
    pub(super) fn placed(&self) -> (Vec<&Order>, Vec<&Order>) {
        let (mut standing, mut cancelled) = (Vec::new(), Vec::new());
        for placed in self.orders.values().filter(|p| p.by == PlacedBy::Api) {
            let side = match placed.cancelled {
                true => &mut cancelled,
                false => &mut standing,
            };
            side.push(&placed.order);
        }
        (standing, cancelled)
    }

    /// Orders of an interval that stand, calls apart.
    pub(super) fn orders_of(&self, start: i64) -> impl Iterator<Item = &Placed> {
        self.about(start).filter(|placed| placed.call().is_none())
    }

    /// Calls of units in an interval that stand, as they bind in it.
    pub(super) fn calls_of(&self, start: i64) -> impl Iterator<Item = Order> {
        let calls = self.about(start).filter(|placed| placed.call().is_some());
        calls.map(move |placed| placed.due(start))
    }

    fn about(&self, start: i64) -> impl Iterator<Item = &Placed> {
        self.orders
            .values()
            .filter(move |placed| placed.is_about(start) && !placed.cancelled)
    }

    /// Takes over what a record says. Used for what happens now and for what the ledger remembers.
    pub(super) fn apply(&mut self, record: &Record) {
        match record {
            Record::Market(entry) => self.apply_entry(entry),
            Record::OrderCancelled { order, .. } => {
                if let Some(placed) = self.orders.get_mut(&order.0) {
                    placed.cancelled = true;
                    let start = placed.order.interval;
                    self.interval(start).view = None;
                }
            }
            Record::OrderAmended { old, order, .. } => {
                match self.orders.get_mut(&old.0) {
                    Some(placed) if order.id != *old => placed.cancelled = true,
                    _ => {}
                }
                self.place(order.clone(), PlacedBy::Api);
            }
            Record::Above(Entry::Closed {
                closing, interface, ..
            }) => self.close_above(closing, interface),
            Record::Above(_)
            | Record::Area(_)
            | Record::Commanded { .. }
            | Record::Link { .. }
            | Record::Switched { .. }
            | Record::Started { .. }
            | Record::Network { .. }
            | Record::Registered { .. }
            | Record::MeterValues { .. }
            | Record::Checkpoint { .. } => {}
        }
    }

    fn apply_entry(&mut self, entry: &LedgerEntry) {
        match entry {
            LedgerEntry::OrderAccepted { order, .. } => self.place(order.clone(), PlacedBy::Api),
            LedgerEntry::OrderRejected { .. } => {}
            LedgerEntry::Metered { interval, meters } => {
                self.interval(*interval).metered = Some(meters.clone());
            }
            LedgerEntry::Resettled { correction, .. } => {
                // One long past is not shown any more.
                if let Some(interval) = self.intervals.get_mut(&correction.interval) {
                    interval.corrections.push(correction.clone());
                    interval.view = None;
                }
            }
            LedgerEntry::GateClosed {
                interval,
                case,
                rulebook,
                pairs,
                ahead,
                calls,
                network,
            } => {
                let auction = Auction {
                    case: (**case).clone(),
                    pairs: pairs.clone(),
                    ahead: ahead.as_deref().cloned(),
                    calls: calls.as_deref().cloned(),
                };
                self.place_agents(&auction);
                self.interval(*interval).gate = Some(Gate {
                    auction,
                    rulebook: rulebook.clone(),
                    network: network.clone(),
                });
            }
            LedgerEntry::Cleared {
                interval,
                clearing,
                looked,
                without_calls,
            } => self.cleared_now(*interval, clearing, looked.clone(), without_calls),
            LedgerEntry::ClearingFailed { interval, reason } => {
                let interval = self.interval(*interval);
                interval.outcome = Outcome::Failed(reason.clone());
                interval.view = None;
            }
            LedgerEntry::Contracted {
                interval,
                contracts,
            } => self.interval(*interval).contracts = Some(contracts.clone()),
            LedgerEntry::Delivering { interval, .. } => {
                let interval = self.interval(*interval);
                interval.delivery = Delivery::Begun;
                interval.view = None;
            }
            LedgerEntry::Voided { interval, reason } => self.void(*interval, reason),
            LedgerEntry::Settled(settlement) => {
                let interval = self.interval(settlement.interval);
                interval.settlement = Some(settlement.clone());
                interval.metered = None;
                interval.view = None;
            }
        }
    }

    /// Places what a gate closed with and nobody has placed: the agents' orders.
    fn place_agents(&mut self, auction: &Auction) {
        let is_leg = |id| {
            let mut pairs = auction.pairs.iter();
            pairs.any(|pair| pair.seller == id || pair.buyer == id)
        };
        let expected = auction.ahead.iter().flat_map(|ahead| &ahead.expected);
        for order in expected {
            self.next_order = self.next_order.max(order.id.0 + 1);
        }
        let case = &auction.case;
        for order in case.orders.iter().chain(must_serve(case)) {
            self.next_order = self.next_order.max(order.id.0 + 1);
            if !is_leg(order.id) && !self.orders.contains_key(&order.id.0) {
                self.place(order.clone(), PlacedBy::Agent);
            }
        }
    }

    /// An interval is cleared with the exchange's terms that it was closed with above, not those that its
    /// gate closed with.
    fn close_above(&mut self, closing: &Closing, interface: &[Interface]) {
        let Some(known) = self.intervals.get_mut(&closing.interval) else {
            return;
        };
        known.view = None;
        known.basis = Some(closing.basis);
        if let Some(gate) = known.gate.as_mut().filter(|_| !interface.is_empty()) {
            gate.auction.case.interface = interface.to_vec();
        }
    }

    fn void(&mut self, start: i64, reason: &str) {
        for placed in self.orders.values_mut() {
            if placed.taken_wh.remove(&start).is_some() || placed.order.interval == start {
                placed.awarded_w = Some(0.0);
                placed.kept = placed.kept.map(|_| false);
            }
        }
        let interval = self.interval(start);
        interval.delivery = Delivery::Void(reason.to_owned());
        interval.view = None;
    }

    /// Notes how long the clearing took, which no record says.
    pub(super) fn timed(&mut self, start: i64, took_us: i64) {
        if let Outcome::Cleared(cleared) = &mut self.interval(start).outcome {
            Arc::make_mut(cleared).took_us = took_us;
        }
    }

    fn place(&mut self, order: Order, by: PlacedBy) {
        self.next_order = self.next_order.max(order.id.0 + 1);
        self.interval(order.interval).view = None;
        self.orders.insert(
            order.id.0,
            Placed {
                order,
                by,
                cancelled: false,
                awarded_w: None,
                taken_wh: BTreeMap::new(),
                kept: None,
            },
        );
    }

    fn cleared_now(
        &mut self,
        start: i64,
        clearing: &Clearing,
        looked: Option<Box<LookedAhead>>,
        without_calls: &[Award],
    ) {
        for placed in self.orders.values_mut() {
            if placed.order.interval == start {
                placed.awarded_w = Some(0.0);
            }
            if placed.call().is_some() && placed.is_about(start) {
                let of_unit = |award: &&Award| award.unit == placed.order.unit;
                let award = clearing.awards.iter().find(of_unit);
                placed.awarded_w = Some(award.map_or(0.0, |award| award.p_w));
                let call = placed.call();
                placed.kept = Some(
                    award.is_some_and(|award| call.is_some_and(|call| call.allows(award.p_w))),
                );
            }
        }
        let interval = self.interval(start);
        interval.view = None;
        let Some(gate) = interval.gate.take() else {
            return;
        };
        let Auction { case, pairs, .. } = &gate.auction;
        for fill in &clearing.fills {
            if let Some(placed) = self.orders.get_mut(&fill.order.0) {
                placed.awarded_w = Some(fill.quantity_w);
                if placed.window().is_some() {
                    let wh = energy_wh(fill.quantity_w, case.duration_s);
                    placed.taken_wh.insert(start, wh);
                }
            }
        }
        for pair in pairs {
            for (leg, order) in [(pair.seller, pair.sale), (pair.buyer, pair.purchase)] {
                let fill = clearing.fills.iter().find(|fill| fill.order == leg);
                if let (Some(fill), Some(placed)) = (fill, self.orders.get_mut(&order.0)) {
                    *placed.awarded_w.get_or_insert(0.0) += fill.quantity_w;
                }
            }
        }
        for order in must_serve(case) {
            if let Some(placed) = self.orders.get_mut(&order.id.0) {
                let asked = order.steps.iter().map(|step| step.quantity_w);
                placed.awarded_w = Some(asked.sum::<i64>() as f64);
            }
        }
        self.interval(start).outcome = Outcome::Cleared(Arc::new(Cleared {
            gate,
            clearing: clearing.clone(),
            looked,
            without_calls: without_calls.to_vec(),
            took_us: 0,
        }));
    }

    /// Opens the intervals that take orders now and forgets those long past.
    pub(super) fn turn(&mut self, now_us: i64) {
        let product = self.product;
        for start in product.open_intervals(now_us) {
            self.interval(start);
        }
        self.interval(product.interval_of(now_us));
        let oldest = product.interval_of(now_us) - RECENT * i64::from(product.length_s);
        // After a long stop there may be older ones that somebody is owed for.
        self.intervals
            .retain(|&start, interval| start >= oldest || interval.owed().is_some());
        self.orders.retain(|_, placed| placed.last() >= oldest);
    }

    /// Power that orders of a unit offer and bid for in an interval, W.
    pub(super) fn asked_w(case: &Case, unit: Id) -> (f64, f64) {
        let mut asked = (0.0, 0.0);
        let is_active = |order: &&Order| order.terms.kind != Kind::Reactive;
        let own = case.orders.iter().filter(|order| order.unit == unit);
        for order in own.filter(is_active) {
            if let Kind::Storage(_) = order.terms.kind {
                let of = case.units.iter().find(|of| of.id == unit);
                return of.map_or(asked, |of| (of.capability.p_max_w, -of.capability.p_min_w));
            }
            let sum: i64 = order.steps.iter().map(|step| step.quantity_w).sum();
            match order.direction {
                Direction::Sell => asked.0 += sum as f64,
                Direction::Buy => asked.1 += sum as f64,
            }
        }
        asked
    }
}

/// Orders that a case serves without deciding on them.
fn must_serve(case: &Case) -> impl Iterator<Item = &Order> {
    let owners = case.fixed.iter().filter_map(|power| power.owner.as_ref());
    owners.filter_map(|owner| owner.order.as_ref())
}
