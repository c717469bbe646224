//! The loop's state, and one step of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use protocols::{
    device::DeviceState,
    point::{Command, CommandStatus, DeviceId, PointId},
};
use solver::{
    market::{Bounds, Capability, Price, Product, Registry, Unit as MarketUnit},
    network::{Id, NetworkError},
};

use super::{
    above::Upwards,
    alarms::{Alarms, Severity},
    book::Book,
    dispatch::{Asked, Dispatch},
    feeder::Feeder,
    hold::{Holds, Kept, with_kept},
    meters::Meters,
    networks::Networks,
    view,
};
use crate::{
    clock::US,
    participants::Register,
    published::Published,
    site::{Site, Unit},
    store::Record,
    table::Snapshot,
    web::api::{AlarmView, NetworkView},
};

/// Oldest estimate that a clearing may rest on, µs.
pub const MAX_AGE_US: i64 = 3 * US;
/// Widest price of an order, currency per MWh.
const PRICE_BOUND: i64 = 3000 * 1_000_000;
/// Longest curve of an order.
const MAX_STEPS: usize = 20;
/// Most orders of a unit for one interval.
const MAX_ORDERS: usize = 50;
/// A point is alarmed as bad data from this many estimates in a row on: one alone may be a step
/// that not every device has seen yet.
const BAD_TIMES: u32 = 3;
/// And no longer when it was believed for this long, µs.
const BAD_QUIET_US: i64 = 5 * US;

/// What goes into a step.
#[derive(Debug)]
pub struct Input {
    /// The point table; its moment is now.
    pub snapshot: Arc<Snapshot>,
    /// Commands that ended since the last step.
    pub done: Vec<(u64, CommandStatus)>,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

/// What comes out of a step.
#[derive(Debug)]
pub struct Output {
    /// For the field, once the records are durable: that delivery begins is one of them.
    pub commands: Vec<(DeviceId, Command)>,
    /// For the ledger, in order.
    pub records: Vec<Record>,
    /// For the servers.
    pub published: Arc<Published>,
}

/// State of the loop.
pub struct Cycle {
    pub(super) site: Arc<Site>,
    pub(super) stopwatch: fn() -> i64,
    pub(super) started_us: i64,
    pub(super) registry: Registry,
    /// Who takes part.
    pub(super) register: Arc<Register>,
    /// The network as shown.
    pub(super) network: Arc<NetworkView>,
    pub(super) bounds: Bounds,
    pub(super) node_of: BTreeMap<Id, Id>,
    pub(super) node_of_source: BTreeMap<Id, Id>,
    pub(super) point_units: BTreeMap<PointId, String>,
    pub(super) feeder: Feeder,
    pub(super) book: Book,
    pub(super) dispatch: Dispatch,
    pub(super) meters: Meters,
    pub(super) alarms: Alarms,
    /// Units that the control centre or an operator holds.
    pub(super) holds: Holds,
    /// What units were held at that were given back.
    pub(super) kept: BTreeMap<Id, Kept>,
    pub(super) networks: Networks,
    /// The market above, if there is one.
    pub(super) above: Option<Upwards>,
    /// Refused orders that are not on record yet.
    pub(super) refused: Vec<Record>,
    pub(super) estimation_us: VecDeque<i64>,
    pub(super) clearing_us: VecDeque<i64>,
    /// Updates counted at past snapshots.
    pub(super) updates: VecDeque<(i64, u64)>,
}

impl Cycle {
    /// The loop's state at the start, before any record of the ledger.
    ///
    /// `stopwatch` counts µs and is only used for the figures shown; nothing depends on it.
    ///
    /// # Errors
    /// The network contradicts itself.
    pub fn new(site: Arc<Site>, now_us: i64, stopwatch: fn() -> i64) -> Result<Self, NetworkError> {
        let market = &site.market;
        let product = Product {
            length_s: market.interval_s,
            gate_lead_s: market.gate_s,
            // Late enough for a second try, early enough to be sent on time.
            publish_lead_s: market.gate_s.min(1),
            settle_delay_s: market.settle_s,
            horizon: market.horizon,
        };
        let units = site.units.iter().map(market_unit);
        let nodes = site.network.node.iter().map(|node| node.id);
        let feeder = Feeder::new(&site)?;
        Ok(Self {
            registry: Registry::new(nodes, units),
            register: Arc::new(Register::new(&site)),
            network: Arc::new(view::network(&site)),
            bounds: Bounds {
                price_min: Price(-PRICE_BOUND),
                price_max: Price(PRICE_BOUND),
                max_steps: MAX_STEPS,
                max_orders: MAX_ORDERS,
            },
            node_of: site.units.iter().map(|u| (u.id, u.node)).collect(),
            node_of_source: site.network.source.iter().map(|s| (s.id, s.node)).collect(),
            point_units: view::point_units(&site),
            feeder,
            book: Book::new(product),
            dispatch: Dispatch::default(),
            meters: Meters::new(&site),
            alarms: Alarms::new(now_us),
            holds: Holds::new(),
            kept: BTreeMap::new(),
            networks: Networks::default(),
            above: site.above.as_ref().map(|of| Upwards::new(of, now_us)),
            refused: Vec::new(),
            estimation_us: VecDeque::new(),
            clearing_us: VecDeque::new(),
            updates: VecDeque::new(),
            started_us: now_us,
            stopwatch,
            site,
        })
    }

    /// The timeline.
    #[must_use]
    pub fn product(&self) -> Product {
        self.book.product
    }

    /// Points that carry noise, for the table to tell frozen ones.
    #[must_use]
    pub fn noisy(&self) -> Vec<PointId> {
        self.feeder.plan.noisy().collect()
    }

    /// Takes over what the ledger remembers.
    pub fn restore(&mut self, record: &Record) {
        self.networks.restore(record);
        match record {
            Record::Registered { at_us, change, .. } => self.settle_change(change, *at_us),
            Record::Commanded {
                at_us,
                holder,
                by,
                unit,
                hold,
            } => self.commanded((*unit, *holder), by, hold.as_ref(), *at_us),
            record => {
                if let Record::Above(entry) = record {
                    self.apply_above(entry);
                }
                self.book.apply(record);
            }
        }
    }

    /// No order gets a number below this.
    pub fn number_from(&mut self, next_order: u64) {
        self.book.number_from(next_order);
    }

    /// Takes over an alarm of an earlier run, the oldest first.
    pub fn restore_alarm(&mut self, alarm: AlarmView) {
        self.alarms.restore(alarm, self.started_us);
    }

    /// Raises an alarm about something outside the loop, e.g. the store.
    pub fn alarm(&mut self, code: &'static str, source: &str, text: String, now_us: i64) {
        self.alarms
            .raise(Severity::Warning, code, source, text, now_us);
    }

    /// One step.
    pub fn step(&mut self, input: Input) -> Output {
        let Input {
            snapshot,
            done,
            rss_bytes,
        } = input;
        let now_us = snapshot.now_us;
        let site = Arc::clone(&self.site);
        let mut records = std::mem::take(&mut self.refused);
        self.book.turn(now_us);
        self.forget_above(now_us);
        self.end_holds(now_us);
        self.links(&snapshot);
        self.fallbacks(&snapshot);
        for (source, text) in self.feeder.follow(&site, &snapshot) {
            self.alarms.raise(
                Severity::Warning,
                "impossible_position",
                &source,
                text,
                now_us,
            );
        }
        self.alarms
            .clear_quiet("impossible_position", BAD_QUIET_US, now_us);
        self.feeder.estimate(&site, &snapshot, self.stopwatch);
        self.judge_estimate(now_us);
        self.meters
            .note(&site, &snapshot, self.feeder.last.as_ref());
        self.dispatch.done(&site, &done, &mut self.alarms, now_us);
        let product = self.book.product;
        self.dispatch
            .verify(&site, &product, &snapshot, &mut self.alarms);
        self.clear_due(&snapshot, &mut records);
        self.give_up_overdue(now_us, &mut records);
        self.deliver_due(now_us, &mut records);
        let commands = self.send(&snapshot);
        self.meter_due(now_us, &mut records);
        self.settle_due(now_us, &mut records);
        self.total_due(now_us, &mut records);
        Output {
            commands,
            records,
            published: Arc::new(self.publish(&snapshot, rss_bytes)),
        }
    }

    fn links(&mut self, snapshot: &Snapshot) {
        let now_us = snapshot.now_us;
        for (id, link) in &snapshot.links {
            match &link.state {
                DeviceState::Online => {
                    self.alarms.clear("device_offline", id.as_str(), now_us);
                }
                DeviceState::Offline { error, .. } => self.alarms.raise(
                    Severity::Warning,
                    "device_offline",
                    id.as_str(),
                    format!("{id} does not answer: {error}"),
                    now_us,
                ),
                DeviceState::Connecting => {}
            }
        }
    }

    /// A generator whose device can only revert to "unlimited" (SunSpec model 123 without 704)
    /// does not fall back to what the site file says.
    fn fallbacks(&mut self, snapshot: &Snapshot) {
        for unit in &self.site.units {
            let link = snapshot.links.get(&unit.device);
            let Some(description) = link.and_then(|link| link.description.as_ref()) else {
                continue;
            };
            let reverts = description.models.contains(&704) || unit.battery.is_some();
            if !reverts && unit.fallback_p_w < unit.p_rated_w {
                let text = format!(
                    "{} reverts to unlimited, not to {:.0} W: its device has no SunSpec model 704",
                    unit.name, unit.fallback_p_w
                );
                self.alarms.raise(
                    Severity::Warning,
                    "fallback_unlimited",
                    &unit.name,
                    text,
                    snapshot.now_us,
                );
            }
        }
    }

    fn judge_estimate(&mut self, now_us: i64) {
        if let Some(last) = &self.feeder.last {
            remember(&mut self.estimation_us, last.took_us);
            for bad in last.bad.iter().filter(|bad| bad.times >= BAD_TIMES) {
                self.alarms.raise(
                    Severity::Warning,
                    "bad_data",
                    bad.point.as_str(),
                    bad.text.clone(),
                    now_us,
                );
            }
        }
        self.alarms.clear_quiet("bad_data", BAD_QUIET_US, now_us);
        let age_us = self
            .feeder
            .sound
            .as_ref()
            .map_or(now_us - self.started_us, |s| now_us - s.now_us);
        if let Some(error) = &self.feeder.error
            && age_us > MAX_AGE_US
        {
            let text = format!("no usable estimate: {error}");
            self.alarms.raise(
                Severity::Critical,
                "no_estimate",
                "estimation",
                text,
                now_us,
            );
        } else if self.feeder.error.is_none() {
            self.alarms.clear("no_estimate", "estimation", now_us);
        }
    }

    /// Setpoints of the running interval.
    fn send(&mut self, snapshot: &Snapshot) -> Vec<(DeviceId, Command)> {
        let product = self.book.product;
        let current = product.interval_of(snapshot.now_us);
        let cleared = self.book.begun(current);
        let awards = cleared.map(|cleared| with_kept(&cleared.clearing.awards, &self.kept));
        let asked = Asked {
            start: current,
            product: &product,
            awards: &awards.unwrap_or_default(),
            holds: &self.holds,
            safe: self.feeder.within_limits(&self.site.limits),
        };
        let alarms = &mut self.alarms;
        self.dispatch.send(&self.site, &asked, snapshot, alarms)
    }
}

pub(super) fn market_unit(unit: &Unit) -> MarketUnit {
    MarketUnit {
        id: unit.id,
        participant: unit.participant.clone(),
        node: unit.node,
        capability: Capability {
            p_min_w: if unit.battery.is_some() {
                -unit.p_rated_w
            } else {
                0.0
            },
            p_max_w: unit.p_rated_w,
            q_max_var: unit.q_rated_var,
            s_max_va: None,
        },
        dispatchable: true,
    }
}

pub(super) fn remember(recent: &mut VecDeque<i64>, value: i64) {
    recent.push_back(value);
    if recent.len() > 60 {
        recent.pop_front();
    }
}
