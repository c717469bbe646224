//! What the market of an area shows.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use protocols::opcua::{message::Basis, server::Audit};

use super::{Book, Deal, Interval, Market, Setup, Step};
use crate::{
    above::{Event, Link},
    clock::{US, rfc3339, rfc3339_s},
    cycle::{view_above, view_pu, view_voltage},
    participants::{Change, Register},
    published::{Published, Upwards},
    site::{Above, AreaSite},
    store::Record,
    table::Snapshot,
    web::api::{
        AreaCornerView, AreaIntervalView, AreaPriceView, AreaView, AuditView, DealView, Health,
        Metrics, NetworkView, Status, TenantAwardView, TenantView,
    },
};

/// Intervals that are shown.
const SHOWN: usize = 96;
/// Documents that are handed to the wire at once.
const OUTBOX: usize = 64;
/// Events that are shown.
const AUDIT: usize = 200;

/// How a tenant is.
#[derive(Clone, Debug, Default)]
pub(super) struct Tenancy {
    pub(super) connected: bool,
    pub(super) since_us: Option<i64>,
    pub(super) heard_us: Option<i64>,
    pub(super) refused: Option<String>,
}

/// What is shown besides the market itself.
#[derive(Debug)]
pub(super) struct Shown {
    name: String,
    currency: String,
    above: Option<Above>,
    link: Link,
    register: Arc<Register>,
    started_us: i64,
    audit: VecDeque<AuditView>,
    clearings: u64,
    settled: u64,
    /// Of the last clearings, µs.
    took_us: VecDeque<u64>,
}

impl Shown {
    pub(super) fn new(site: &AreaSite, register: Arc<Register>, started_us: i64) -> Self {
        Self {
            name: site.name.clone(),
            currency: site.currency.clone(),
            above: site.above.clone(),
            link: Link::new(started_us),
            register,
            started_us,
            audit: VecDeque::new(),
            clearings: 0,
            settled: 0,
            took_us: VecDeque::new(),
        }
    }

    pub(super) fn register(&self) -> &Register {
        &self.register
    }

    pub(super) fn registered(&mut self, change: &Change, at_us: i64) {
        Arc::make_mut(&mut self.register).apply(change, at_us);
    }

    /// Notes what a step has done, and how long it took.
    pub(super) fn took(&mut self, step: &Step, took: Duration) {
        let exchanged =
            |record: &&Record| matches!(record, Record::Area(super::Entry::Exchanged { .. }));
        self.settled += step.records.iter().filter(exchanged).count() as u64;
        if step.awarded {
            self.clearings += 1;
            self.took_us
                .push_back(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            if self.took_us.len() > 31 {
                self.took_us.pop_front();
            }
        }
    }

    pub(super) fn note(&mut self, audit: &Audit, now_us: i64) {
        let (what, text) = match audit {
            Audit::Connected { tenant, from } => ("connected", format!("{tenant} from {from}")),
            Audit::Disconnected { tenant, from } => {
                ("disconnected", format!("{tenant} from {from}"))
            }
            Audit::Refused { from, who, reason } => {
                ("refused", format!("{who} from {from}: {reason}"))
            }
            Audit::Expires { days } => ("expires", format!("our certificate, in {days} days")),
            Audit::Missed { count } => ("missed", format!("{count} events")),
        };
        self.audit.push_front(AuditView {
            time: rfc3339(now_us),
            what: what.to_owned(),
            text,
        });
        self.audit.truncate(AUDIT);
    }

    /// Everything shown: what a substation has and an area has not is empty.
    pub(super) fn published(
        &self,
        market: &Market,
        tenancy: &BTreeMap<String, Tenancy>,
        now_us: i64,
        rss_bytes: u64,
    ) -> Published {
        let area = AreaView {
            tenants: tenants(market, tenancy, now_us),
            intervals: intervals(market, now_us),
            audit: self.audit.iter().cloned().collect(),
        };
        Published {
            status: Arc::new(self.status(market, tenancy, now_us, rss_bytes)),
            network: Arc::new(NetworkView::default()),
            register: Arc::clone(&self.register),
            devices: Arc::default(),
            points: Arc::default(),
            network_state: None,
            intervals: Arc::default(),
            orders: Arc::default(),
            dispatch: Arc::default(),
            alarms: Arc::default(),
            snapshot: Arc::new(Snapshot {
                now_us,
                ..Snapshot::default()
            }),
            holds: Arc::default(),
            held: Arc::default(),
            breakers: Arc::default(),
            area: Some(Arc::new(area)),
            above: self.upwards(market),
        }
    }

    fn upwards(&self, market: &Market) -> Option<Upwards> {
        let (site, tenant) = (self.above.as_ref()?, market.above()?);
        Some(Upwards {
            view: Arc::new(view_above(site, tenant, &self.link)),
            outbox: Arc::new(tenant.outbox(OUTBOX)),
        })
    }

    /// Notes how the link upwards is.
    pub(super) fn linked(&mut self, event: &Event, now_us: i64) {
        match event {
            Event::Linked { clock_ms, .. } => {
                self.link.up(now_us);
                self.link.clock_ms = Some(*clock_ms);
            }
            Event::Lost { reason } => self.link.down(reason.clone(), now_us),
            Event::Certificate { days_left } => self.link.certificate_days = Some(*days_left),
            Event::Down(_) | Event::Answer { .. } => {}
        }
    }

    /// What is not as it should be.
    fn reasons(&self, market: &Market, there: impl Fn(&str) -> bool) -> Vec<String> {
        let away = market.setup().tenants.iter().filter(|of| !there(&of.name));
        let mut reasons: Vec<String> = away
            .map(|of| format!("tenant {} is not connected", of.name))
            .collect();
        if self.above.is_some() && !self.link.up {
            reasons.push("no link to the market above".to_owned());
        }
        reasons.extend(differing(market));
        let recent = market.book().intervals.iter().rev().take(SHOWN);
        let decided = recent.into_iter().find(|(_, of)| of.decided());
        if let Some((start, of)) = decided
            && let Some(why) = &of.failed
        {
            reasons.push(format!("{}: {why}", rfc3339_s(*start)));
        }
        reasons
    }

    fn status(
        &self,
        market: &Market,
        tenancy: &BTreeMap<String, Tenancy>,
        now_us: i64,
        rss_bytes: u64,
    ) -> Status {
        let product = market.setup().product;
        let length = i64::from(product.length_s);
        let current = product.interval_of(now_us);
        let next = match product.gate_closure_us(current + length) > now_us {
            true => current + length,
            false => current + 2 * length,
        };
        let there = |name: &str| tenancy.get(name).is_some_and(|of| of.connected);
        let tenants = &market.setup().tenants;
        let reasons = self.reasons(market, there);
        let decided = market.book().intervals.iter().rev().take(SHOWN);
        let decided = decided.into_iter().find(|(_, of)| of.decided());
        let mut sorted: Vec<u64> = self.took_us.iter().copied().collect();
        sorted.sort_unstable();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: self.name.clone(),
            currency: self.currency.clone(),
            now: rfc3339(now_us),
            started: rfc3339(self.started_us),
            health: match reasons.is_empty() {
                true => Health::Ok,
                false => Health::Degraded,
            },
            reasons,
            devices: count(tenants.len()),
            devices_online: count(tenants.iter().filter(|of| there(&of.name)).count()),
            linked_above: self.above.is_some().then_some(self.link.up),
            interval_s: product.length_s,
            interval: rfc3339_s(current),
            next_interval: rfc3339_s(next),
            gate_closure: rfc3339(product.gate_closure_us(next)),
            decided: decided.map(|(start, _)| rfc3339_s(*start)),
            estimated: None,
            metrics: Metrics {
                clearings: self.clearings,
                clearing_us: sorted.get(sorted.len() / 2).copied().unwrap_or_default(),
                settled: self.settled,
                rss_bytes,
                ..Metrics::default()
            },
        }
    }
}

/// Intervals of which the market above has another account.
fn differing(market: &Market) -> Vec<String> {
    let Some(above) = market.above() else {
        return Vec::new();
    };
    let differing = above
        .intervals()
        .filter(|(_, of)| of.differs(above.name()) == Some(true));
    let words = |(start, _)| {
        format!(
            "the market above has another account of {}",
            rfc3339_s(start)
        )
    };
    differing.map(words).collect()
}

fn tenants(market: &Market, tenancy: &BTreeMap<String, Tenancy>, now_us: i64) -> Vec<TenantView> {
    let product = market.setup().product;
    let ended = market.book().intervals.iter();
    let ended = ended.filter(|(start, _)| product.settle_us(**start) < now_us);
    let each = market.setup().tenants.iter().map(|tenant| {
        let of = tenancy.get(&tenant.name).cloned().unwrap_or_default();
        let open = |(_, interval): &(&i64, &Interval)| {
            let deal = interval.deals.get(&tenant.name);
            deal.is_some_and(|deal| deal.account(&tenant.name).is_none())
        };
        let awaited = ended.clone().filter(open).count();
        TenantView {
            name: tenant.name.clone(),
            node: tenant.node,
            import_max_w: tenant.import_max_w,
            export_max_w: tenant.export_max_w,
            connected: of.connected,
            since: of.since_us.map(rfc3339),
            heard: of.heard_us.map(rfc3339),
            refused: of.refused,
            awaited: u32::try_from(awaited).unwrap_or(u32::MAX),
        }
    });
    each.collect()
}

fn intervals(market: &Market, now_us: i64) -> Vec<AreaIntervalView> {
    let book: &Book = market.book();
    let newest = book.intervals.iter().rev().take(SHOWN);
    newest
        .map(|(&start, of)| interval(market.setup(), &market.grid, start, of, now_us))
        .collect()
}

fn interval(
    setup: &Setup,
    grid: &solver::network::Grid,
    start: i64,
    of: &Interval,
    now_us: i64,
) -> AreaIntervalView {
    let clearing = of.clearing.as_deref();
    let exchange = clearing.and_then(|clearing| clearing.exchange.first());
    let phase = match of {
        Interval {
            failed: Some(_), ..
        } => "failed",
        Interval {
            exchanged_wh: Some(_),
            ..
        } => "settled",
        Interval { awarded: true, .. } => "cleared",
        _ if now_us >= setup.product.gate_closure_us(start) => "gate_closed",
        _ => "open",
    };
    let prices = clearing.map_or_else(Vec::new, |clearing| {
        let at = |price: &solver::market::clearing::NodePrice| {
            let voltage = grid.index_of_node(price.node);
            let voltage = voltage.and_then(|k| clearing.u.get(k));
            AreaPriceView {
                node: price.node,
                p_per_mwh: price.p_per_mwh,
                u_pu: voltage.map_or(0.0, |u| u.norm()),
            }
        };
        clearing.prices.iter().map(at).collect()
    });
    let binding = clearing.map_or(&[][..], |clearing| &clearing.binding);
    AreaIntervalView {
        start: rfc3339_s(start),
        end: rfc3339(start.saturating_mul(US) + i64::from(setup.product.length_s) * US),
        phase: phase.to_owned(),
        message: of.failed.clone(),
        exchange_w: exchange.map(|of| of.p_w),
        price_per_mwh: exchange.map(|of| of.price_per_mwh),
        exchanged_wh: of.exchanged_wh,
        cost_per_h: clearing.map(|of| of.cost_per_h),
        limits: binding.iter().map(ToString::to_string).collect(),
        prices,
        deals: deals(setup, of),
    }
}

pub(super) fn deals(setup: &Setup, of: &Interval) -> Vec<DealView> {
    let none = Deal::default();
    let each = setup.tenants.iter().map(|tenant| {
        let deal = of.deals.get(&tenant.name).unwrap_or(&none);
        let taken = of.taken.iter().find(|taken| taken.tenant == tenant.name);
        let stands_in = taken.filter(|taken| taken.offer.is_none());
        let offer = deal.offer.as_ref();
        let corners = offer.map(|offer| {
            let corner = |of: &protocols::opcua::message::Corner| AreaCornerView {
                exchange_w: of.exchange_w,
                price_per_mwh: of.price as f64 / 1e6,
            };
            offer.curve.iter().map(corner).collect()
        });
        DealView {
            tenant: tenant.name.clone(),
            offer: corners,
            voltage: offer.and_then(|of| of.voltage.as_ref()).map(view_voltage),
            limits: offer.map_or_else(Vec::new, |offer| offer.state.limits.clone()),
            expected_w: stands_in.map(|taken| taken.expected_w),
            called_w: deal.called_w,
            award: deal.award.as_ref().map(|of| TenantAwardView {
                exchange_w: of.called_w.unwrap_or(of.exchange_w),
                price_per_mwh: of.price as f64 / 1e6,
                grid_fee_per_mwh: of.grid_fee as f64 / 1e6,
                q_var: of.q_var,
                u_pu: of.u_ppm.map(view_pu),
            }),
            basis: deal.closing.as_ref().map(|of| basis(of.basis).to_owned()),
            closed_w: deal.closing.as_ref().map(|of| of.exchange_w),
            metered_wh: deal.total.as_ref().map(|of| of.import_wh - of.export_wh),
            hash: deal.hash.map(|hash| hash.to_string()),
        }
    });
    each.collect()
}

fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Award => "award",
        Basis::LastAward => "last_award",
        Basis::Schedule => "schedule",
        Basis::Zero => "zero",
    }
}
