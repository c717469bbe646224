//! What the loop shows after a step.

use std::{collections::VecDeque, sync::Arc};

use solver::market::Phase;

use super::{step::Cycle, view};
use crate::{
    clock::{US, rfc3339, rfc3339_s},
    published::{Published, Upwards},
    table::Snapshot,
    web::api::{Health, IntervalView, Metrics, OrderView, PointView, Status},
};

impl Cycle {
    /// What is shown after a request, between two steps.
    #[must_use]
    pub fn republish(&mut self, before: &Published, now_us: i64) -> Published {
        Published {
            network: Arc::clone(&self.network),
            register: Arc::clone(&self.register),
            intervals: self.intervals(now_us),
            orders: Arc::new(self.orders()),
            alarms: Arc::new(self.alarms.view()),
            holds: Arc::new(self.holds.clone()),
            held: Arc::new(self.holds_view()),
            above: self.upwards(),
            ..before.clone()
        }
    }

    pub(super) fn publish(&mut self, snapshot: &Arc<Snapshot>, rss_bytes: u64) -> Published {
        let site = Arc::clone(&self.site);
        let now_us = snapshot.now_us;
        let points: Vec<PointView> = view::points(snapshot, &self.point_units);
        Published {
            network: Arc::clone(&self.network),
            register: Arc::clone(&self.register),
            devices: Arc::new(view::devices(&site, snapshot)),
            points: Arc::new(points),
            network_state: view::network_state(&site, &self.feeder, snapshot).map(Arc::new),
            intervals: self.intervals(now_us),
            orders: Arc::new(self.orders()),
            dispatch: Arc::new(self.dispatch.view(&site, snapshot)),
            alarms: Arc::new(self.alarms.view()),
            snapshot: Arc::clone(snapshot),
            holds: Arc::new(self.holds.clone()),
            held: Arc::new(self.holds_view()),
            breakers: Arc::new(self.breakers_view(snapshot)),
            above: self.upwards(),
            area: None,
            status: Arc::new(self.status(snapshot, rss_bytes)),
        }
    }

    fn upwards(&self) -> Option<Upwards> {
        let (site, above) = (self.site.above.as_ref()?, self.above.as_ref()?);
        Some(Upwards {
            view: Arc::new(view::above(site, &above.tenant, &above.link)),
            outbox: Arc::new(self.outbox()),
        })
    }

    fn orders(&self) -> Vec<OrderView> {
        let placed = self.book.orders.values().rev();
        placed.map(|placed| self.show(placed)).collect()
    }

    /// Newest first; an interval is rendered again only when it changed.
    fn intervals(&mut self, now_us: i64) -> Arc<Vec<Arc<IntervalView>>> {
        let product = self.book.product;
        let starts: Vec<i64> = self.book.intervals.keys().rev().copied().collect();
        let mut views = Vec::with_capacity(starts.len());
        for start in starts {
            let phase = product.phase(start, now_us);
            let known = self.book.intervals.get(&start);
            let Some(known) = known else { continue };
            let shown = match &known.view {
                Some((of, view)) if *of == phase => Arc::clone(view),
                _ => {
                    let view = view::interval(&self.site, &self.book, known, phase);
                    let view = Arc::new(view);
                    self.book.interval(start).view = Some((phase, Arc::clone(&view)));
                    view
                }
            };
            views.push(shown);
        }
        Arc::new(views)
    }

    fn status(&mut self, snapshot: &Snapshot, rss_bytes: u64) -> Status {
        let now_us = snapshot.now_us;
        let product = self.book.product;
        let current = product.interval_of(now_us);
        let length = i64::from(product.length_s);
        let next = if product.phase(current + length, now_us) == Phase::Open {
            current + length
        } else {
            current + 2 * length
        };
        let reasons = self.alarms.reasons();
        let health = if !self.dispatch.anything() {
            Health::Safe
        } else if reasons.is_empty() {
            Health::Ok
        } else {
            Health::Degraded
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: self.site.name.clone(),
            currency: self.site.market.currency.clone(),
            now: rfc3339(now_us),
            started: rfc3339(self.started_us),
            health,
            reasons,
            devices: count(self.site.devices.len()),
            devices_online: count(snapshot.links.values().filter(|l| l.online()).count()),
            linked_above: self.above.as_ref().map(|above| above.link.up),
            interval_s: product.length_s,
            interval: rfc3339_s(current),
            next_interval: rfc3339_s(next),
            gate_closure: rfc3339(product.gate_closure_us(next)),
            decided: self.book.decided().map(rfc3339_s),
            estimated: self
                .feeder
                .sound
                .as_ref()
                .map(|sound| rfc3339(sound.now_us)),
            metrics: Metrics {
                points_per_s: self.points_per_s(snapshot),
                estimations: self.feeder.estimations,
                estimation_us: median(&self.estimation_us),
                clearings: self.book.clearings,
                clearing_us: median(&self.clearing_us),
                settled: self.book.settled,
                rss_bytes,
            },
        }
    }

    fn points_per_s(&mut self, snapshot: &Snapshot) -> f64 {
        self.updates.push_back((snapshot.now_us, snapshot.updates));
        while self.updates.len() > 1
            && self
                .updates
                .front()
                .is_some_and(|(t, _)| snapshot.now_us - t > 10 * US)
        {
            self.updates.pop_front();
        }
        let Some(&(t0, n0)) = self.updates.front() else {
            return 0.0;
        };
        let seconds = (snapshot.now_us - t0) as f64 / US as f64;
        if seconds > 0.0 {
            (snapshot.updates - n0) as f64 / seconds
        } else {
            0.0
        }
    }
}

fn median(recent: &VecDeque<i64>) -> u64 {
    let mut sorted: Vec<i64> = recent.iter().copied().collect();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    u64::try_from(middle).unwrap_or_default()
}
