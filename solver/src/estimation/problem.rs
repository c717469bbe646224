//! From measurements of components in SI to observations of the state in per unit, and the
//! constraints the network itself sets.

use num_complex::Complex64;

use super::equation::{Model, Part, State, Target};
use super::{EstimationError, Kind, Measurement, Origin, Phase, Unused, UnusedReason};
use crate::network::{ApplianceKind, Element, Grid, Id, S_BASE_VA, Side};

/// A current not above this many standard deviations has no usable direction.
const CURRENT_NOISE: f64 = 3.0;

/// A measurement that can take part, in per unit.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    /// Position in the measurements.
    pub(super) index: usize,
    pub(super) target: Target,
    pub(super) value: f64,
    /// Standard deviation now; larger than `given_sigma` for a relaxed pseudo-measurement.
    pub(super) sigma: f64,
    pub(super) given_sigma: f64,
    /// SI per per unit; negative for loads, which are load-positive in SI.
    pub(super) unit: f64,
    pub(super) pseudo: bool,
    /// Not rejected.
    pub(super) used: bool,
}

impl Observation {
    pub(super) fn weight(&self) -> f64 {
        1.0 / (self.sigma * self.sigma)
    }

    pub(super) fn is_current(&self) -> bool {
        matches!(self.target, Target::Current(..))
    }

    /// Measured minus `estimated`; angles the short way round.
    pub(super) fn residual(&self, estimated: f64) -> f64 {
        let difference = self.value - estimated;
        match self.target {
            Target::Angle(_) => difference.sin().atan2(difference.cos()),
            _ => difference,
        }
    }
}

/// Observations in the order of the measurements, and what is not among them.
///
/// # Errors
/// Unknown components, single phases and impossible standard deviations.
pub(super) fn observe(
    grid: &Grid,
    measurements: &[Measurement],
) -> Result<(Vec<Observation>, Vec<Unused>), EstimationError> {
    let mut observations = Vec::with_capacity(measurements.len());
    let mut unused = Vec::new();
    for (index, m) in measurements.iter().enumerate() {
        if m.phase != Phase::Sym {
            return Err(EstimationError::SinglePhase {
                index,
                phase: m.phase,
            });
        }
        if m.sigma.is_nan() || m.sigma <= 0.0 {
            return Err(EstimationError::Sigma {
                index,
                sigma: m.sigma,
            });
        }
        let (target, unit) = resolve(grid, index, m.kind)?;
        let reason = unusable(grid, m, target);
        if let Some(reason) = reason {
            unused.push(Unused { index, reason });
            continue;
        }
        let sigma = m.sigma / unit.abs();
        observations.push(Observation {
            index,
            target,
            value: m.value / unit,
            sigma,
            given_sigma: sigma,
            unit,
            pseudo: m.origin == Origin::Pseudo,
            used: true,
        });
    }
    Ok((observations, unused))
}

/// Why a measurement can take no part.
fn unusable(grid: &Grid, m: &Measurement, target: Target) -> Option<UnusedReason> {
    if !(m.value.is_finite() && m.sigma.is_finite()) {
        return Some(UnusedReason::NotFinite);
    }
    if let Kind::SourceP { source } | Kind::SourceQ { source } = m.kind {
        let own = grid
            .index_of_source(source)
            .map(|index| &grid.sources[index])?;
        let here = grid
            .sources
            .iter()
            .filter(|s| s.closed && s.node == own.node);
        if !own.closed {
            return Some(UnusedReason::NotEnergised);
        }
        if here.count() > 1 {
            return Some(UnusedReason::SharedSource);
        }
    }
    if !is_live(grid, target) {
        return Some(UnusedReason::NotEnergised);
    }
    let current = matches!(target, Target::Current(..));
    (current && m.value <= CURRENT_NOISE * m.sigma).then_some(UnusedReason::CurrentBelowNoise)
}

/// What `kind` measures, and SI per per unit of it.
fn resolve(grid: &Grid, index: usize, kind: Kind) -> Result<(Target, f64), EstimationError> {
    let unknown = |what, id| EstimationError::UnknownComponent { index, what, id };
    let node_at = |id: Id| grid.index_of_node(id).ok_or(unknown("node", id));
    let branch_at = |id: Id| grid.index_of_branch(id).ok_or(unknown("branch", id));
    let appliance = |id: Id, part| match grid.element(id) {
        Some(Element::Appliance(k)) => Ok((
            Target::Appliance(k, part),
            appliance_unit(grid.appliances[k].kind),
        )),
        _ => Err(unknown("load or generator", id)),
    };
    let source = |id: Id| {
        let index = grid.index_of_source(id).ok_or(unknown("source", id))?;
        Ok(grid.sources[index].node)
    };
    Ok(match kind {
        Kind::Voltage { node } => {
            let node = node_at(node)?;
            (Target::Magnitude(node), grid.u_rated[node])
        }
        Kind::VoltageAngle { node } => (Target::Angle(node_at(node)?), 1.0),
        Kind::BranchP { branch, side } => {
            (Target::Branch(branch_at(branch)?, side, Part::P), S_BASE_VA)
        }
        Kind::BranchQ { branch, side } => {
            (Target::Branch(branch_at(branch)?, side, Part::Q), S_BASE_VA)
        }
        Kind::BranchCurrent { branch, side } => {
            let branch = branch_at(branch)?;
            let node = end_node(grid, branch, side);
            (Target::Current(branch, side), grid.base_current_a(node))
        }
        Kind::ApplianceP { appliance: id } => appliance(id, Part::P)?,
        Kind::ApplianceQ { appliance: id } => appliance(id, Part::Q)?,
        Kind::SourceP { source: id } => (Target::Infeed(source(id)?, Part::P), S_BASE_VA),
        Kind::SourceQ { source: id } => (Target::Infeed(source(id)?, Part::Q), S_BASE_VA),
        Kind::NodeP { node } => (Target::Injection(node_at(node)?, Part::P), S_BASE_VA),
        Kind::NodeQ { node } => (Target::Injection(node_at(node)?, Part::Q), S_BASE_VA),
    })
}

/// W per pu of generation: loads count the other way.
pub(super) fn appliance_unit(kind: ApplianceKind) -> f64 {
    match kind {
        ApplianceKind::Load => -S_BASE_VA,
        ApplianceKind::Gen => S_BASE_VA,
    }
}

/// Node at an end of a branch.
pub(super) fn end_node(grid: &Grid, branch: usize, side: Side) -> usize {
    match side {
        Side::From => grid.branches[branch].from,
        Side::To => grid.branches[branch].to,
    }
}

/// The branch is connected at this end, to an energised node.
pub(super) fn end_is_live(grid: &Grid, branch: usize, side: Side) -> bool {
    let b = &grid.branches[branch];
    let closed = match side {
        Side::From => b.from_closed,
        Side::To => b.to_closed,
    };
    closed && grid.energised[end_node(grid, branch, side)]
}

/// The appliance is connected, to an energised node.
pub(super) fn appliance_is_live(grid: &Grid, appliance: usize) -> bool {
    let a = &grid.appliances[appliance];
    a.closed && grid.energised[a.node]
}

fn is_live(grid: &Grid, target: Target) -> bool {
    match target {
        Target::Magnitude(node)
        | Target::Angle(node)
        | Target::Injection(node, _)
        | Target::Infeed(node, _) => grid.energised[node],
        Target::Branch(branch, side, _) | Target::Current(branch, side) => {
            end_is_live(grid, branch, side)
        }
        Target::Appliance(appliance, _) => appliance_is_live(grid, appliance),
    }
}

/// What holds whatever is measured.
#[derive(Default)]
pub(super) struct Constraints {
    /// Columns that keep their value.
    pub(super) fixed: Vec<usize>,
    /// Functions that are zero: nodes without source feed in what their appliances do.
    pub(super) zero: Vec<Target>,
    /// By node: no voltage is measured in its island, so that of a source is assumed.
    pub(super) assumed: Vec<bool>,
}

impl Constraints {
    pub(super) fn new(model: Model<'_>, observations: &[Observation]) -> Self {
        let Model { grid, layout } = model;
        let mut constraints = Self {
            assumed: vec![false; grid.node_id.len()],
            ..Self::default()
        };
        let mut has_source = vec![false; grid.node_id.len()];
        for source in grid.sources.iter().filter(|s| s.closed) {
            has_source[source.node] = true;
        }
        for node in 0..grid.node_id.len() {
            if !grid.energised[node] {
                constraints
                    .fixed
                    .extend([layout.theta(node), layout.v(node)]);
            } else if !has_source[node] {
                constraints
                    .zero
                    .extend([Target::Infeed(node, Part::P), Target::Infeed(node, Part::Q)]);
            }
        }
        for appliance in (0..grid.appliances.len()).filter(|&a| !appliance_is_live(grid, a)) {
            constraints
                .fixed
                .extend([layout.p(appliance), layout.q(appliance)]);
        }
        constraints.fix_references(model, observations);
        constraints
    }

    /// In each island fixes the source's angle unless an angle is measured, and its voltage unless
    /// one is measured.
    fn fix_references(&mut self, model: Model<'_>, observations: &[Observation]) {
        let Model { grid, layout } = model;
        let mut visited = vec![false; grid.node_id.len()];
        let mut measured = vec![(false, false); grid.node_id.len()];
        for observation in observations.iter().filter(|o| o.used) {
            match observation.target {
                Target::Magnitude(node) => measured[node].0 = true,
                Target::Angle(node) => measured[node].1 = true,
                _ => {}
            }
        }
        for source in grid.sources.iter().filter(|s| s.closed) {
            if visited[source.node] {
                continue;
            }
            let island = island(model, source.node, &mut visited);
            if !island.iter().any(|&node| measured[node].1) {
                self.fixed.push(layout.theta(source.node));
            }
            if !island.iter().any(|&node| measured[node].0) {
                self.fixed.push(layout.v(source.node));
                for node in island {
                    self.assumed[node] = true;
                }
            }
        }
    }
}

/// Nodes connected to `start` through closed branches.
fn island(Model { grid, layout }: Model<'_>, start: usize, visited: &mut [bool]) -> Vec<usize> {
    let mut island = vec![start];
    visited[start] = true;
    let mut next = 0;
    while let Some(&node) = island.get(next) {
        next += 1;
        for &(branch, _) in &layout.incident[node] {
            let b = &grid.branches[branch];
            let other = if b.from == node { b.to } else { b.from };
            if b.from_closed && b.to_closed && !visited[other] {
                visited[other] = true;
                island.push(other);
            }
        }
    }
    island
}

/// Where the iteration begins: `start` if given, or no load; appliances at what they are measured.
pub(super) fn initial_state(
    grid: &Grid,
    observations: &[Observation],
    start: Option<&[Complex64]>,
) -> State {
    let nodes = 0..grid.node_id.len();
    let usable = |node: usize| {
        start
            .map(|u| u[node])
            .filter(|u| u.is_finite() && u.norm() > 0.1)
    };
    let mut state = State {
        theta: nodes
            .clone()
            .map(|n| usable(n).map_or(grid.clock_angle[n], |u| u.arg()))
            .collect(),
        v: nodes.map(|n| usable(n).map_or(1.0, |u| u.norm())).collect(),
        s: vec![Complex64::ZERO; grid.appliances.len()],
    };
    for node in 0..grid.node_id.len() {
        if !grid.energised[node] {
            (state.theta[node], state.v[node]) = (0.0, 0.0);
        }
    }
    for observation in observations {
        match observation.target {
            Target::Appliance(appliance, Part::P) => state.s[appliance].re = observation.value,
            Target::Appliance(appliance, Part::Q) => state.s[appliance].im = observation.value,
            _ => {}
        }
    }
    state
}

/// Sets what [`Constraints`] keep: the references of each island.
pub(super) fn set_references(model: Model<'_>, constraints: &Constraints, state: &mut State) {
    for source in model.grid.sources.iter().filter(|s| s.closed) {
        let node = source.node;
        if constraints.fixed.contains(&model.layout.theta(node)) {
            let turn = model.grid.clock_angle[node] - state.theta[node];
            // The whole island turns with its reference, so that a start in another frame stays near.
            let mut visited = vec![false; model.grid.node_id.len()];
            for other in island(model, node, &mut visited) {
                state.theta[other] += turn;
            }
        }
        if constraints.fixed.contains(&model.layout.v(node)) {
            state.v[node] = source.u_ref.norm();
        }
    }
}
