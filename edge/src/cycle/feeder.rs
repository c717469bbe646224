//! The feeder as it is known now: switch and tap positions as reported, and the estimated state.

use std::collections::BTreeMap;

use protocols::point::{PointId, Value};
use solver::{
    estimation::{Estimate, Form, Kind, Phase, Quantity, Suspicion},
    market::clearing::PhaseName,
    network::{Grid, Id, NetworkError, Side},
};

use super::{
    measure::{self, Measured, Plan},
    phases::{Either, Found},
    profile::LoadProfile,
};
use crate::{
    site::{Bay, BayOf, Limits, Site, Unit},
    table::{Snapshot, number},
};

/// An estimate of a snapshot, and what it was made of.
#[derive(Clone, Debug)]
pub(super) struct Estimated {
    pub(super) now_us: i64,
    pub(super) found: Found,
    pub(super) metered: u32,
    pub(super) pseudo: u32,
    pub(super) took_us: i64,
    pub(super) bad: Vec<BadPoint>,
}

impl Estimated {
    /// The market may rest on it.
    pub(super) fn sound(&self) -> bool {
        let estimate = self.estimate();
        estimate.passed && estimate.unobservable.is_empty() && estimate.suspected_switch.is_none()
    }

    /// All phases together.
    pub(super) fn estimate(&self) -> &Estimate {
        &self.found.estimate
    }
}

/// Why the market may not rest on an estimate, if it may not.
fn trouble(estimate: &Estimate) -> Option<String> {
    if !estimate.unobservable.is_empty() {
        return Some(format!(
            "meters and load models do not determine nodes {:?}",
            estimate.unobservable
        ));
    }
    if let Some(switch) = &estimate.suspected_switch {
        return Some(switch.to_string());
    }
    (!estimate.passed).then(|| {
        format!(
            "measurements contradict each other: objective {:.0} above {:.0}",
            estimate.objective, estimate.chi_square_threshold
        )
    })
}

/// A point that is not believed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BadPoint {
    pub(super) point: PointId,
    pub(super) kind: Kind,
    pub(super) measured: f64,
    pub(super) estimated: Option<f64>,
    pub(super) normalised_residual: f64,
    pub(super) reason: &'static str,
    pub(super) text: String,
    pub(super) since_us: i64,
    /// In how many estimates in a row.
    pub(super) times: u32,
}

/// See the module.
pub(super) struct Feeder {
    pub(super) grid: Grid,
    pub(super) plan: Plan,
    profile: LoadProfile,
    estimator: Either,
    /// The last estimate, sound or not.
    pub(super) last: Option<Estimated>,
    /// The last sound one.
    pub(super) sound: Option<Estimated>,
    /// Why there is no estimate of the last snapshot.
    pub(super) error: Option<String>,
    bad: BTreeMap<PointId, BadPoint>,
    pub(super) estimations: u64,
}

impl Feeder {
    pub(super) fn new(site: &Site) -> Result<Self, NetworkError> {
        let grid = Grid::new(&site.network)?;
        Ok(Self {
            estimator: Either::new(&grid, site.by_phase)?,
            grid,
            plan: Plan::new(site),
            profile: LoadProfile::new(site),
            last: None,
            sound: None,
            error: None,
            bad: BTreeMap::new(),
            estimations: 0,
        })
    }

    /// Takes over switch and tap positions; what is not reported keeps its last position. Returns
    /// what is reported but makes no sense, as source and text.
    pub(super) fn follow(&mut self, site: &Site, snapshot: &Snapshot) -> Vec<(String, String)> {
        let mut nonsense = Vec::new();
        for device in &site.devices {
            for bay in &device.bays {
                if let BayOf::Branch { branch, side } = bay.of {
                    let source = format!("{}/bay{}", device.id, bay.number);
                    let of = |name: &str| measure::bay_point(&device.id, bay.number, name);
                    let tap = of("tap");
                    if let Err(text) = self.follow_switch(branch, side, snapshot, of) {
                        nonsense.push((source.clone(), text));
                    }
                    if let Err(text) = self.follow_tap(bay, branch, snapshot, &tap) {
                        nonsense.push((source, text));
                    }
                }
            }
        }
        nonsense
    }

    fn follow_switch(
        &mut self,
        branch: Id,
        side: Side,
        snapshot: &Snapshot,
        of: impl Fn(&str) -> PointId,
    ) -> Result<(), String> {
        let (Some(closed), Some(open)) = (
            indication(snapshot, &of("closed")),
            indication(snapshot, &of("open")),
        ) else {
            return Ok(());
        };
        if closed == open {
            return Err(format!(
                "the breaker of branch {branch} reports neither open nor closed; its last position is kept"
            ));
        }
        let Some(at) = self.grid.index_of_branch(branch) else {
            return Ok(());
        };
        let known = &self.grid.branches[at];
        let (mut from, mut to) = (known.from_closed, known.to_closed);
        match side {
            Side::From => from = closed,
            Side::To => to = closed,
        }
        if (from, to) == (known.from_closed, known.to_closed) {
            return Ok(());
        }
        tracing::info!(branch, from, to, "switch position changed");
        self.grid
            .set_branch_status(branch, from, to)
            .map_err(|error| error.to_string())
    }

    fn follow_tap(
        &mut self,
        bay: &Bay,
        branch: Id,
        snapshot: &Snapshot,
        point: &PointId,
    ) -> Result<(), String> {
        let Some(position) = snapshot.good(point).filter(|_| bay.tap) else {
            return Ok(());
        };
        let known = self.grid.network().transformer.iter();
        let known = known.filter(|t| t.id == branch).map(|t| t.tap_pos).next();
        let rounded = position.round();
        if known.is_some_and(|k| f64::from(k) == rounded) {
            return Ok(());
        }
        if !(-128.0..=127.0).contains(&rounded) {
            return Err(format!(
                "tap position {position} of transformer {branch} is impossible"
            ));
        }
        self.grid
            .set_tap(branch, rounded as i8)
            .map_err(|error| error.to_string())
    }

    /// Whether a unit's phase is live; one of all phases may be where its node is not.
    pub(super) fn feeds(&self, unit: &Unit) -> bool {
        let node = self.grid.index_of_node(unit.node);
        let live = node.map_or([false; 3], |k| self.grid.live[k]);
        unit.phase.is_none_or(|phase| live[phase.index()])
    }

    /// Whether the last estimate is sound and within limits, by more than which it is uncertain
    /// anyway.
    pub(super) fn within_limits(&self, limits: &Limits) -> bool {
        let Some(estimated) = self.last.as_ref().filter(|last| last.sound()) else {
            return false;
        };
        let kept = |u_pu: Quantity| {
            let doubt = limits.sigma_margin * u_pu.sigma;
            (limits.u_min_pu - doubt..=limits.u_max_pu + doubt).contains(&u_pu.value)
        };
        let mut nodes = 0..self.grid.node_id.len();
        let voltages = nodes.all(|node| {
            let mut phases = estimated.found.voltages_pu(&self.grid, node);
            phases.all(|(_, u)| u.is_none_or(kept))
        });
        let mut loadings = estimated
            .estimate()
            .branches
            .iter()
            .filter_map(|b| b.loading);
        voltages && loadings.all(|loading| loading <= 1.0 + limits.rating_margin)
    }

    /// Estimates the state of a snapshot.
    pub(super) fn estimate(&mut self, site: &Site, snapshot: &Snapshot, stopwatch: fn() -> i64) {
        let now_us = snapshot.now_us;
        let measured = self.plan.measure(site, &self.profile, snapshot);
        let metered = measured.points.iter().flatten().count();
        if metered == 0 {
            self.fail("there is no measurement that can be believed".to_owned());
            return;
        }
        let begun = stopwatch();
        let start = self.sound.as_ref().map(|s| &s.found);
        let result = self
            .estimator
            .run(&self.grid, &measured.measurements, start);
        let took_us = stopwatch() - begun;
        self.estimations += 1;
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                // A bad start must not stand in the way of the next attempt.
                self.sound = None;
                self.fail(error.to_string());
                return;
            }
        };
        let estimate = &found.estimate;
        self.error = trouble(estimate);
        if estimate.unobservable.is_empty() {
            self.profile.follow(site, estimate);
        }
        let bad = self.name_bad(&found, &measured, now_us);
        let pseudo = measured.points.len() - metered;
        let estimated = Estimated {
            now_us,
            found,
            metered: u32::try_from(metered).unwrap_or(u32::MAX),
            pseudo: u32::try_from(pseudo).unwrap_or(u32::MAX),
            took_us,
            bad,
        };
        if estimated.sound() {
            self.sound = Some(estimated.clone());
        }
        self.last = Some(estimated);
    }

    fn fail(&mut self, error: String) {
        self.error = Some(error);
        self.last = None;
    }

    /// Names what is not believed: rejected by the estimator, or frozen.
    fn name_bad(&mut self, found: &Found, measured: &Measured, now_us: i64) -> Vec<BadPoint> {
        let before = std::mem::take(&mut self.bad);
        let rejected = found.estimate.rejected.iter().filter_map(|r| {
            let point = measured.points.get(r.index)?.clone()?;
            let reason = match r.suspicion {
                Suspicion::SignFlipped => "sign_flipped",
                Suspicion::ScaleFactor(_) => "scale_factor",
                Suspicion::GrossError => "gross_error",
            };
            Some(BadPoint {
                text: format!("{point}: {r}"),
                point,
                kind: measured.measurements.get(r.index)?.kind,
                measured: r.measured,
                estimated: r.estimated.map(|q| q.value),
                normalised_residual: r.normalised_residual,
                reason,
                since_us: now_us,
                times: 1,
            })
        });
        let frozen = measured.frozen.iter().map(|(point, kind, phase, value)| BadPoint {
            text: format!(
                "{point}: frozen at {value:.6e}: a measurement this noisy does not repeat exactly"
            ),
            point: point.clone(),
            kind: *kind,
            measured: *value,
            estimated: found.value(&self.grid, *kind, *phase),
            normalised_residual: 0.0,
            reason: "frozen",
            since_us: now_us,
            times: 1,
        });
        for mut bad in rejected.chain(frozen).collect::<Vec<_>>() {
            if let Some(known) = before.get(&bad.point) {
                bad.since_us = known.since_us;
                bad.times = known.times.saturating_add(1);
            }
            self.bad.insert(bad.point.clone(), bad);
        }
        self.bad.values().cloned().collect()
    }
}

fn indication(snapshot: &Snapshot, id: &PointId) -> Option<bool> {
    let point = snapshot.points.get(id)?;
    match point.value {
        Value::Binary(on) if point.quality.is_good() => Some(on),
        other if point.quality.is_good() => number(other).map(|x| x != 0.0),
        _ => None,
    }
}

impl Found {
    /// What the estimate says of a measured quantity.
    fn value(&self, grid: &Grid, kind: Kind, phase: Phase) -> Option<f64> {
        let of = match phase {
            Phase::Sym => return estimated_value(&self.estimate, grid, kind, 0),
            Phase::A => PhaseName::A,
            Phase::B => PhaseName::B,
            Phase::C => PhaseName::C,
        };
        let by_phase = self.by_phase.as_ref()?;
        estimated_value(by_phase, grid, kind, of.index())
    }
}

fn estimated_value<F: Form>(
    estimate: &Estimate<F>,
    grid: &Grid,
    kind: Kind,
    phase: usize,
) -> Option<f64> {
    let of = |values: &F::Of<Option<Quantity>>| *F::phase(values, phase);
    let node = |id| grid.index_of_node(id).and_then(|k| estimate.nodes.get(k));
    let end = |id, side| {
        let branch = estimate.branches.get(grid.index_of_branch(id)?)?;
        match side {
            Side::From => *F::phase(&branch.from, phase),
            Side::To => *F::phase(&branch.to, phase),
        }
    };
    let appliance = |id| {
        let k = grid.index_of_appliance(id)?;
        estimate.appliances.get(k)
    };
    let quantity = match kind {
        Kind::Voltage { node: id } => of(&node(id)?.u),
        Kind::NodeP { node: id } => of(&node(id)?.p),
        Kind::NodeQ { node: id } => of(&node(id)?.q),
        Kind::BranchP { branch, side } => end(branch, side).map(|e| e.p),
        Kind::BranchQ { branch, side } => end(branch, side).map(|e| e.q),
        Kind::BranchCurrent { branch, side } => end(branch, side).map(|e| e.i),
        Kind::ApplianceP { appliance: id } => of(&appliance(id)?.p),
        Kind::ApplianceQ { appliance: id } => of(&appliance(id)?.q),
        // No point of a site measures these.
        Kind::VoltageAngle { .. }
        | Kind::VoltageAlong { .. }
        | Kind::SourceP { .. }
        | Kind::SourceQ { .. }
        | Kind::CurrentAlong { .. }
        | Kind::WindingP { .. }
        | Kind::WindingQ { .. }
        | Kind::WindingCurrentAlong { .. }
        | Kind::ShuntP { .. }
        | Kind::ShuntQ { .. } => None,
    };
    quantity.map(|q| q.value)
}
