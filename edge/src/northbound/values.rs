//! What the points of the list say that the loop publishes: estimates, prices, setpoints, alarms. What
//! devices say comes from the [`feed`](super::feed).

use protocols::point::{PointId, Quality, Timestamp, Value};
use solver::network::Id;

use super::points::Of;
use crate::{
    clock::parse_rfc3339_s,
    cycle::Held,
    published::Published,
    site::Breaker,
    store::Holder,
    table::Snapshot,
    web::api::{DispatchView, Health, IntervalView, NetworkState, NodeState},
};

/// What a point says: a value with what speaks against it, and when it was so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// The value.
    pub value: Value,
    /// What speaks against it.
    pub quality: Quality,
    /// When it was so.
    pub time: Timestamp,
}

/// What the list's points are read from.
pub struct Now<'a> {
    published: &'a Published,
    running: Option<&'a IntervalView>,
    /// When the estimate was made, and of the rest.
    estimated: Timestamp,
    shown: Timestamp,
}

impl<'a> Now<'a> {
    /// Of what is published.
    #[must_use]
    pub fn new(published: &'a Published) -> Self {
        let mut intervals = published.intervals.iter();
        let running = intervals.find(|i| i.start == published.status.interval);
        let shown = Timestamp::received(published.snapshot.now_us);
        let state = published.network_state.as_deref();
        let estimated = state.and_then(|state| parse_rfc3339_s(&state.time));
        Self {
            published,
            running: running.map(|interval| &**interval),
            estimated: estimated
                .map_or(shown, |s| Timestamp::received(s.saturating_mul(1_000_000))),
            shown,
        }
    }

    /// What a point that said `before` and now has nothing to say still says: the same, and that it is
    /// old. An output keeps what was last asked of it; a device's point is not ours to judge.
    #[must_use]
    pub fn gone(&self, of: &Of, before: Option<&Said>) -> Option<Said> {
        let theirs = matches!(of, Of::Measured(_) | Of::Breaker { .. });
        if theirs
            || matches!(
                of,
                Of::Held(_) | Of::HeldP(_) | Of::HeldQ(_) | Of::Closed(_) | Of::DerSetting
            )
        {
            return None;
        }
        Some(Said {
            quality: Quality::OLD,
            time: self.shown,
            ..*before?
        })
    }

    /// What a point says now; none: nothing, or it is not ours to say.
    #[must_use]
    pub fn said(&self, of: &Of) -> Option<Said> {
        let good = |value| Said {
            value,
            quality: Quality::GOOD,
            time: self.shown,
        };
        let figure = |value: Option<f64>| value.map(|value| good(Value::Analog(value)));
        let yes = |value| Some(good(Value::Binary(value)));
        let snapshot = &self.published.snapshot;
        match of {
            Of::Import => figure(self.running?.import_w),
            Of::ImportQ => figure(self.running?.import_var),
            Of::Price(node) => {
                let mut prices = self.running?.prices.iter();
                figure(prices.find(|p| p.node == *node).map(|p| p.p_per_mwh))
            }
            Of::Alarms => figure(Some(self.standing().count() as f64)),
            Of::AskedP(unit) => figure(self.asked(*unit).map(|row| row.p_w)),
            Of::AskedQ(unit) => figure(self.asked(*unit).map(|row| row.q_var)),
            Of::Measured(_) | Of::Breaker { .. } | Of::DerSetting => None,
            Of::Fixed(value) => figure(Some(*value)),
            Of::Charge(batteries) => figure(charge(batteries, snapshot)),
            Of::DerMode(mode) => yes(mode.is_on(&self.published.holds)),
            Of::Healthy => yes(self.published.status.health == Health::Ok),
            Of::Critical => yes(self.standing().any(|critical| critical)),
            Of::Online(device) => yes(snapshot.online(device)),
            Of::Held(unit) => yes(self.held(*unit).is_some()),
            Of::Closed(breaker) => closed(breaker, snapshot),
            Of::HeldP(unit) => figure(self.held(*unit).map(|held| held.at.p_w)),
            Of::HeldQ(unit) => figure(self.held(*unit).map(|held| held.at.q_var)),
            _ => self.estimate(of),
        }
    }

    /// What a control centre holds a unit at.
    fn held(&self, unit: Id) -> Option<&Held> {
        self.published.holds.get(&(unit, Holder::Scada))
    }

    /// Estimates keep their last value when there is no new one, and say that it is old.
    fn estimate(&self, of: &Of) -> Option<Said> {
        let state = self.published.network_state.as_deref()?;
        let value = estimated(state, of)?;
        let quality = match state.estimate.ok {
            true => Quality::GOOD,
            false => Quality::QUESTIONABLE,
        };
        Some(Said {
            value: Value::Analog(value),
            quality,
            time: self.estimated,
        })
    }

    fn asked(&self, unit: Id) -> Option<&DispatchView> {
        self.published.dispatch.iter().find(|row| row.unit == unit)
    }

    /// Of the alarms that stand, whether each is critical.
    fn standing(&self) -> impl Iterator<Item = bool> {
        let standing = self.published.alarms.iter().filter(|a| a.cleared.is_none());
        standing.map(|alarm| alarm.severity == "critical")
    }
}

/// By the contact that is made when it is closed; its time is the contact's.
fn closed(breaker: &Breaker, snapshot: &Snapshot) -> Option<Said> {
    let point = snapshot.points.get(&breaker.closed)?;
    let Value::Binary(_) = point.value else {
        return None;
    };
    Some(Said {
        value: point.value,
        quality: point.quality,
        time: point.time,
    })
}

/// State of charge of all batteries by their energy, in thousandths; none: one of them is not known.
fn charge(batteries: &[(PointId, f64)], snapshot: &Snapshot) -> Option<f64> {
    let full: f64 = batteries.iter().map(|(_, energy_wh)| energy_wh).sum();
    let now = batteries
        .iter()
        .map(|(soc, energy_wh)| Some(snapshot.good(soc)? * energy_wh));
    let now: f64 = now.sum::<Option<f64>>()?;
    (full > 0.0).then(|| 1000.0 * now / full)
}

fn estimated(state: &NetworkState, of: &Of) -> Option<f64> {
    let live = || state.nodes.iter().filter(|node| node.energised);
    let branch = |id: &Id| state.branches.iter().find(|b| b.id == *id);
    let unit = |id: &Id| state.units.iter().find(|u| u.id == *id);
    match of {
        Of::HighestVoltage => live().map(|n| extremes(n).1).reduce(f64::max),
        Of::LowestVoltage => live().map(|n| extremes(n).0).reduce(f64::min),
        Of::HighestLoading => state.branches.iter().map(|b| b.loading).reduce(f64::max),
        Of::Voltage(id) => state.nodes.iter().find(|n| n.id == *id).map(|n| n.u_pu),
        Of::PhaseVoltage(id, of) => {
            let node = state.nodes.iter().find(|n| n.id == *id)?;
            let phase = node.phases.iter().find(|p| p.phase == of.letter());
            phase.map(|p| p.u_pu)
        }
        Of::BranchP(id) => branch(id).map(|b| b.p_from_w),
        Of::BranchQ(id) => branch(id).map(|b| b.q_from_var),
        Of::BranchI(id) => branch(id).map(|b| b.i_a),
        Of::BranchLoading(id) => branch(id).map(|b| b.loading),
        Of::UnitP(id) => unit(id).map(|u| u.p_w),
        Of::UnitQ(id) => unit(id).map(|u| u.q_var),
        // All of them, or nothing.
        Of::SumP(ids) => ids.iter().map(|id| Some(unit(id)?.p_w)).sum(),
        Of::SumQ(ids) => ids.iter().map(|id| Some(unit(id)?.q_var)).sum(),
        _ => None,
    }
}

/// Lowest and highest voltage of a node's phases; balanced, its own twice.
fn extremes(node: &NodeState) -> (f64, f64) {
    let phases = node.phases.iter().map(|phase| phase.u_pu);
    let both = phases.map(|u| (u, u));
    let extremes = both.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    extremes.unwrap_or((node.u_pu, node.u_pu))
}
