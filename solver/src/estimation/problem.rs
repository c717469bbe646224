//! From measurements of components in SI to observations of the state in per unit, and the
//! constraints the network itself sets.

use std::f64::consts::TAU;

use num_complex::Complex64;

use super::equation::{Model, Part, State, Target, What};
use super::{
    AngleFrame, EstimationError, Kind, Measurement, Origin, Phase, Unused, UnusedReason, Winding,
};
use crate::network::{ApplianceKind, Element, Grid, Id, Phases, S_BASE_VA, Side, balanced};

/// A current not above this many standard deviations has no usable direction.
const CURRENT_NOISE: f64 = 3.0;

/// A measurement that can take part, in per unit of a phase. A symmetrical measurement in an
/// estimation by phase makes one for each of them, all with the same `index`.
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
    /// How many phases the measurement's value is of, and the per-unit value where it is zero.
    pub(super) share: f64,
    pub(super) zero: f64,
    pub(super) pseudo: bool,
    /// Not rejected.
    pub(super) used: bool,
}

/// From a measurement's value in SI to an observation's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    index: usize,
    factor: f64,
    zero: f64,
}

impl Scale {
    /// The observation's value, from those of all measurements.
    pub(super) fn of(&self, values: &[f64]) -> f64 {
        values[self.index] * self.factor + self.zero
    }
}

impl Observation {
    pub(super) fn weight(&self) -> f64 {
        1.0 / (self.sigma * self.sigma)
    }

    /// How other values of the measurement come over.
    pub(super) fn scale(&self) -> Scale {
        Scale {
            index: self.index,
            factor: self.share / self.unit,
            zero: self.zero,
        }
    }

    pub(super) fn is_current(&self) -> bool {
        matches!(self.target.what, What::Current(..))
    }

    /// Measured minus `estimated`; angles the short way round.
    pub(super) fn residual(&self, estimated: f64) -> f64 {
        self.residual_of(self.value, estimated)
    }

    /// As [`residual`](Self::residual), of another value.
    pub(super) fn residual_of(&self, value: f64, estimated: f64) -> f64 {
        let difference = value - estimated;
        match self.target.what {
            What::Angle(_) => difference.sin().atan2(difference.cos()),
            _ => difference,
        }
    }
}

/// Observations in the order of the measurements, and what is not among them.
///
/// # Errors
/// Unknown components, single phases of a positive sequence and impossible standard deviations.
pub(super) fn observe(
    model: Model<'_>,
    measurements: &[Measurement],
) -> Result<(Vec<Observation>, Vec<Unused>), EstimationError> {
    let mut observations = Vec::with_capacity(model.layout.phases * measurements.len());
    let mut unused = Vec::new();
    for (index, m) in measurements.iter().enumerate() {
        if m.sigma.is_nan() || m.sigma <= 0.0 {
            return Err(EstimationError::Sigma {
                index,
                sigma: m.sigma,
            });
        }
        let phases = phases_of(model, index, m.phase)?;
        let (what, unit) = resolve(model, index, m.kind)?;
        let mut reason = None;
        for phase in phases {
            reason = unusable(model, m, what.of(phase));
            if reason.is_none() {
                observations.push(observation(model, index, m, (what, unit), phase));
            }
        }
        if let Some(reason) = reason {
            unused.push(Unused { index, reason });
        }
    }
    Ok((observations, unused))
}

/// Phases of the model that a measurement is of.
fn phases_of(
    model: Model<'_>,
    index: usize,
    phase: Phase,
) -> Result<std::ops::Range<usize>, EstimationError> {
    let one = match phase {
        Phase::Sym => return Ok(model.phases()),
        _ if model.layout.phases == 1 => {
            return Err(EstimationError::SinglePhase { index, phase });
        }
        Phase::A => 0,
        Phase::B => 1,
        Phase::C => 2,
    };
    Ok(one..one + 1)
}

/// A measurement's observation of a phase. `unit` is SI per per unit of the symmetrical quantity.
fn observation(
    model: Model<'_>,
    index: usize,
    m: &Measurement,
    (what, unit): (What, f64),
    phase: usize,
) -> Observation {
    let of_phase = unit / phase_share(what, model.layout.phases);
    let symmetric = m.phase == Phase::Sym;
    let given = if symmetric { unit } else { of_phase };
    let (mut what, mut zero) = (what, 0.0);
    if symmetric {
        // Phase b is a third of a turn behind a.
        let turn = TAU / 3.0 * phase as f64;
        match &mut what {
            What::Angle(_) => zero = -turn,
            What::VoltageAlong(_, direction)
            | What::CurrentAlong(_, _, AngleFrame::Global, direction) => *direction -= turn,
            _ => {}
        }
    }
    let sigma = m.sigma / given.abs();
    Observation {
        index,
        target: what.of(phase),
        value: m.value / given + zero,
        sigma,
        given_sigma: sigma,
        unit: of_phase,
        share: of_phase / given,
        zero,
        pseudo: m.origin == Origin::Pseudo,
        used: true,
    }
}

/// SI unit of a symmetrical quantity over that of one of `phases`: line-to-line voltages are by the
/// square root of three larger, powers by three.
pub(super) fn phase_share(what: What, phases: usize) -> f64 {
    let phases = phases as f64;
    match what {
        What::Magnitude(_) | What::VoltageAlong(..) => phases.sqrt(),
        What::Angle(_) | What::Current(..) | What::CurrentAlong(..) => 1.0,
        What::Branch(..)
        | What::Appliance(..)
        | What::Shunt(..)
        | What::Injection(..)
        | What::Infeed(..) => phases,
    }
}

/// Why a measurement can take no part.
fn unusable(model: Model<'_>, m: &Measurement, target: Target) -> Option<UnusedReason> {
    // A standard deviation whose weight is zero is as good as infinite.
    if !(m.value.is_finite() && (m.sigma * m.sigma).is_finite()) {
        return Some(UnusedReason::NotFinite);
    }
    if !is_live(model, target) {
        return Some(UnusedReason::NotEnergised);
    }
    (!m.answers(m.value)).then_some(UnusedReason::CurrentBelowNoise)
}

impl Measurement {
    /// It can take part with this value: a current needs a direction.
    pub(super) fn answers(&self, value: f64) -> bool {
        let current = matches!(self.kind, Kind::BranchCurrent { .. });
        value.is_finite() && !(current && value <= CURRENT_NOISE * self.sigma)
    }

    /// With this value, nothing but it is other than in `other`, and both take part or neither does.
    #[inline]
    pub(super) fn is_alike(&self, value: f64, other: &Self) -> bool {
        is_kind(&self.kind, &other.kind)
            && self.phase == other.phase
            && self.sigma == other.sigma
            && self.origin == other.origin
            && self.answers(value) == other.answers(other.value)
    }
}

/// Whether two are the same, told at once for those that a network has thousands of.
#[inline(always)]
fn is_kind(a: &Kind, b: &Kind) -> bool {
    match (a, b) {
        (Kind::ApplianceP { appliance: a }, Kind::ApplianceP { appliance: b })
        | (Kind::ApplianceQ { appliance: a }, Kind::ApplianceQ { appliance: b })
        | (Kind::Voltage { node: a }, Kind::Voltage { node: b }) => a == b,
        _ => a == b,
    }
}

/// What `kind` measures, and SI per per unit of it as a symmetrical quantity.
fn resolve(model: Model<'_>, index: usize, kind: Kind) -> Resolved {
    let named = Named { model, index };
    Ok(match kind {
        Kind::Voltage { node } => {
            let node = named.node(node)?;
            (What::Magnitude(node), model.grid.u_rated[node])
        }
        Kind::VoltageAlong { node, direction } => {
            let node = named.node(node)?;
            (
                What::VoltageAlong(node, direction),
                model.grid.u_rated[node],
            )
        }
        Kind::VoltageAngle { node } => (What::Angle(named.node(node)?), 1.0),
        Kind::BranchP { branch, side } => named.flow(branch, side, Part::P)?,
        Kind::BranchQ { branch, side } => named.flow(branch, side, Part::Q)?,
        Kind::BranchCurrent { branch, side } => {
            let branch = named.branch(branch)?;
            named.current(branch, side, What::Current(branch, side))
        }
        Kind::CurrentAlong {
            branch,
            side,
            frame,
            direction,
        } => {
            let branch = named.branch(branch)?;
            let what = What::CurrentAlong(branch, side, frame, direction);
            named.current(branch, side, what)
        }
        Kind::WindingP {
            transformer,
            winding,
        } => named.arm_flow(transformer, winding, Part::P)?,
        Kind::WindingQ {
            transformer,
            winding,
        } => named.arm_flow(transformer, winding, Part::Q)?,
        Kind::WindingCurrentAlong {
            transformer,
            winding,
            frame,
            direction,
        } => {
            let (arm, side) = (named.arm(transformer, winding)?, Side::From);
            named.current(arm, side, What::CurrentAlong(arm, side, frame, direction))
        }
        Kind::ShuntP { shunt } => named.shunt(shunt, Part::P)?,
        Kind::ShuntQ { shunt } => named.shunt(shunt, Part::Q)?,
        Kind::ApplianceP { appliance } => named.appliance(appliance, Part::P)?,
        Kind::ApplianceQ { appliance } => named.appliance(appliance, Part::Q)?,
        Kind::SourceP { source } => named.source(source, Part::P)?,
        Kind::SourceQ { source } => named.source(source, Part::Q)?,
        Kind::NodeP { node } => (What::Injection(named.node(node)?, Part::P), S_BASE_VA),
        Kind::NodeQ { node } => (What::Injection(named.node(node)?, Part::Q), S_BASE_VA),
    })
}

/// The components that a measurement names.
struct Named<'a> {
    model: Model<'a>,
    /// Of the measurement.
    index: usize,
}

/// A quantity, and SI per per unit of it.
type Resolved = Result<(What, f64), EstimationError>;

impl Named<'_> {
    fn unknown(&self, what: &'static str, id: Id) -> EstimationError {
        let index = self.index;
        EstimationError::UnknownComponent { index, what, id }
    }

    fn node(&self, id: Id) -> Result<usize, EstimationError> {
        let node = self.model.grid.index_of_node(id);
        node.ok_or_else(|| self.unknown("node", id))
    }

    fn branch(&self, id: Id) -> Result<usize, EstimationError> {
        let branch = self.model.grid.index_of_branch(id);
        branch.ok_or_else(|| self.unknown("branch", id))
    }

    /// The branch that a winding is.
    fn arm(&self, id: Id, winding: Winding) -> Result<usize, EstimationError> {
        let first = self.model.grid.first_arm(id);
        let first = first.ok_or_else(|| self.unknown("three-winding transformer", id))?;
        Ok(match winding {
            Winding::One => first,
            Winding::Two => first + 1,
            Winding::Three => first + 2,
        })
    }

    fn flow(&self, id: Id, side: Side, part: Part) -> Resolved {
        Ok((What::Branch(self.branch(id)?, side, part), S_BASE_VA))
    }

    fn arm_flow(&self, id: Id, winding: Winding, part: Part) -> Resolved {
        let arm = self.arm(id, winding)?;
        Ok((What::Branch(arm, Side::From, part), S_BASE_VA))
    }

    fn current(&self, branch: usize, side: Side, what: What) -> (What, f64) {
        let grid = self.model.grid;
        (what, grid.base_current_a(end_node(grid, branch, side)))
    }

    fn appliance(&self, id: Id, part: Part) -> Resolved {
        let grid = self.model.grid;
        let k = grid.index_of_appliance(id);
        let k = k.ok_or_else(|| self.unknown("load or generator", id))?;
        let unit = appliance_unit(grid.appliances[k].kind);
        Ok((What::Appliance(k, part), unit))
    }

    fn shunt(&self, id: Id, part: Part) -> Resolved {
        match self.model.grid.element(id) {
            Some(Element::Shunt(k)) => Ok((What::Shunt(k, part), S_BASE_VA)),
            _ => Err(self.unknown("shunt", id)),
        }
    }

    fn source(&self, id: Id, part: Part) -> Resolved {
        let Model { grid, layout, .. } = self.model;
        let k = grid.index_of_source(id);
        let k = k.ok_or_else(|| self.unknown("source", id))?;
        Ok((layout.of_source(grid, k, part), S_BASE_VA))
    }
}

/// W per pu of generation, all phases together: loads count the other way.
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
pub(super) fn end_is_live(model: Model<'_>, branch: usize, side: Side, phase: usize) -> bool {
    let b = &model.grid.branches[branch];
    let closed = match side {
        Side::From => b.from_closed,
        Side::To => b.to_closed,
    };
    closed && model.is_live(end_node(model.grid, branch, side), phase)
}

/// The appliance, or source among them, is connected, to an energised node.
pub(super) fn appliance_is_live(model: Model<'_>, appliance: usize, phase: usize) -> bool {
    let Model { grid, layout, .. } = model;
    layout.is_closed(grid, appliance) && model.is_live(layout.node_of(grid, appliance), phase)
}

/// What `target` is of is connected to a source.
pub(super) fn is_live(model: Model<'_>, target: Target) -> bool {
    let phase = target.phase;
    match target.what {
        What::Magnitude(node)
        | What::Angle(node)
        | What::VoltageAlong(node, _)
        | What::Injection(node, _) => model.is_live(node, phase),
        What::Infeed(node, _) => model.layout.feeds(model.grid, node) && model.is_live(node, phase),
        What::Branch(branch, side, _)
        | What::Current(branch, side)
        | What::CurrentAlong(branch, side, ..) => end_is_live(model, branch, side, phase),
        What::Appliance(appliance, _) => appliance_is_live(model, appliance, phase),
        What::Shunt(shunt, _) => {
            let shunt = &model.grid.network().shunt[shunt];
            shunt.status != 0 && model.is_live(model.grid.known_node(shunt.node), phase)
        }
    }
}

/// There is an appliance to take up what a node's balance lacks.
pub(super) fn takes_up(model: Model<'_>, target: Target) -> bool {
    let What::Infeed(node, _) = target.what else {
        return false;
    };
    let mut appliances = model.layout.appliances_at[node].iter();
    appliances.any(|&a| appliance_is_live(model, a, target.phase))
}

/// A balanced voltage in each phase of the model.
fn flat(model: Model<'_>, a: Complex64) -> impl Iterator<Item = Complex64> {
    let all: Phases = balanced(a);
    all.into_iter().take(model.layout.phases)
}

/// Where the iteration begins: `start`, all phases of a node in a row, if given, or no load;
/// appliances at what they are measured.
pub(super) fn initial_state(
    model: Model<'_>,
    observations: &[Observation],
    start: Option<&[Complex64]>,
) -> State {
    let grid = model.grid;
    let mut state = State {
        u: (grid.clock_angle.iter())
            .flat_map(|&angle| flat(model, Complex64::cis(angle)))
            .collect(),
        s: vec![Complex64::ZERO; model.layout.phases * model.layout.appliances],
    };
    for (u, start) in state.u.iter_mut().zip(start.unwrap_or(&[])) {
        if start.is_finite() && start.norm() > 0.1 {
            *u = *start;
        }
    }
    for node in 0..grid.node_id.len() {
        for phase in model.phases() {
            if !model.is_live(node, phase) {
                state.u[model.at(node, phase)] = Complex64::ZERO;
            }
        }
    }
    for observation in observations {
        if let What::Appliance(appliance, part) = observation.target.what {
            let s = &mut state.s[model.at(appliance, observation.target.phase)];
            match part {
                Part::P => s.re = observation.value,
                Part::Q => s.im = observation.value,
            }
        }
    }
    state
}
