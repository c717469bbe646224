//! Switch states that cannot be right: a branch that is modelled closed but open, or the reverse,
//! makes good meters around it look bad.
//!
//! Abur and Gómez-Expósito, chapter 8; Clements and Davis, "Detection and identification of topology
//! errors in electric power systems" (1988): what is bad where more than one meter at the ends of a
//! branch is, is tested as a hypothesis on that branch, by an estimate with its other state. It is
//! taken when all measurements then agree, those included that the other state says read nothing.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use num_complex::Complex64;

use super::estimator::Failed;
use super::{
    Estimate, EstimationError, EstimatorOf, Form, Kind, Measurement, Options, Origin,
    SuspectedSwitch, UnusedReason,
};
use crate::network::{Branch, BranchKind, Element, Grid, Id, Side};

/// Fewest places with something bad for a switch to be suspected: one bad place is a bad meter.
const PLACES: usize = 2;
/// Hypotheses tested for one switch, the branches with most bad around them first.
const HYPOTHESES: usize = 48;
/// Objectives nearer to each other than this do not tell on which side a branch is open: the
/// chi-square quantile of one degree of freedom at 99.7 %.
const TELLING: f64 = 9.0;

/// An estimate for one assumption about the switches, and what speaks against it.
struct Attempt<F: Form> {
    estimate: Estimate<F>,
    /// Measurements that speak against it.
    against: Vec<usize>,
    /// With what those contribute that read something where nothing can be.
    objective: f64,
}

impl<F: Form> Attempt<F> {
    fn new(measurements: &[Measurement], estimate: Estimate<F>) -> Self {
        let readings = impossible_readings(measurements, &estimate);
        let off = readings.map(|(_, off)| off * off).sum::<f64>();
        Self {
            against: against(measurements, &estimate),
            objective: estimate.objective + off,
            estimate,
        }
    }
}

/// What speaks against an estimate: bad data, and readings where nothing can be.
fn against<F: Form>(measurements: &[Measurement], estimate: &Estimate<F>) -> Vec<usize> {
    let rejected = estimate.rejected.iter().map(|r| r.index);
    let readings = impossible_readings(measurements, estimate);
    let beyond = readings.filter(|(_, off)| *off > estimate.residual_threshold);
    rejected.chain(beyond.map(|(index, _)| index)).collect()
}

/// Meters of what is connected to nothing, whose voltage, power and current are zero, and how many
/// standard deviations from that they are.
fn impossible_readings<'a, F: Form>(
    measurements: &'a [Measurement],
    estimate: &'a Estimate<F>,
) -> impl Iterator<Item = (usize, f64)> + 'a {
    let dead = |reason| reason == UnusedReason::NotEnergised;
    let unused = estimate.unused.iter().filter(move |u| dead(u.reason));
    unused.filter_map(|u| {
        let m = &measurements[u.index];
        let is_meter = m.origin == Origin::Metered && has_magnitude(m.kind);
        is_meter.then(|| (u.index, (m.value / m.sigma).abs()))
    })
}

/// An angle has no value where there is no voltage.
fn has_magnitude(kind: Kind) -> bool {
    !matches!(kind, Kind::VoltageAngle { .. })
}

/// A switch in its other state.
#[derive(Clone, Copy)]
struct Hypothesis {
    branch: usize,
    side: Option<Side>,
    from_closed: bool,
    to_closed: bool,
}

/// What is estimated from, whatever the switches.
struct Case<'a, F: Form> {
    measurements: &'a [Measurement],
    start: Option<&'a [F::Of<Complex64>]>,
    options: &'a Options,
}

/// The estimate, or one for other switch states where that explains what is bad in it.
pub(super) fn explain<F: Form>(
    estimator: &mut EstimatorOf<F>,
    grid: &Grid,
    measurements: &[Measurement],
    start: Option<&[F::Of<Complex64>]>,
    options: &Options,
    modelled: Estimate<F>,
) -> Estimate<F> {
    let bad = against(measurements, &modelled);
    if options.max_rejected == 0 || places(&bad, measurements).len() < PLACES {
        return modelled;
    }
    let case = Case {
        measurements,
        start,
        options,
    };
    let now = Now {
        grid,
        against: &bad,
        unobservable: modelled.unobservable.len(),
    };
    match test(estimator, &case, &now) {
        Some(explanation) => {
            let before = unchallenged(estimator, &case, grid);
            explanation.estimate(grid, before)
        }
        None => modelled,
    }
}

/// The estimate for other switch states where there is none as modelled, if that explains what
/// looked bad before it failed.
pub(super) fn explain_failure<F: Form>(
    estimator: &mut EstimatorOf<F>,
    grid: &Grid,
    measurements: &[Measurement],
    start: Option<&[F::Of<Complex64>]>,
    options: &Options,
    failed: Failed,
) -> Result<Estimate<F>, EstimationError> {
    let Failed { error, suspects } = failed;
    if options.max_rejected == 0 || places(&suspects, measurements).len() < PLACES {
        return Err(error);
    }
    let case = Case {
        measurements,
        start,
        options,
    };
    let now = Now {
        grid,
        against: &suspects,
        unobservable: grid.node_id.len(),
    };
    let explanation = test(estimator, &case, &now);
    explanation
        .map(|explanation| explanation.estimate(grid, None))
        .ok_or(error)
}

/// What there is as modelled.
struct Now<'a> {
    grid: &'a Grid,
    against: &'a [usize],
    /// How many nodes are not observable.
    unobservable: usize,
}

/// A switch in its other state that explains what is bad, and branches that do as well.
struct Explanation<F: Form> {
    hypothesis: Hypothesis,
    ambiguous_with: Vec<Id>,
    better: Attempt<F>,
}

impl<F: Form> Explanation<F> {
    fn estimate(self, modelled: &Grid, objective_before: Option<f64>) -> Estimate<F> {
        let b = &modelled.branches[self.hypothesis.branch];
        let suspected = SuspectedSwitch {
            branch: b.id,
            side: self.hypothesis.side,
            modelled_closed: b.from_closed && b.to_closed,
            ambiguous_with: self.ambiguous_with,
            objective_before,
            objective_after: self.better.objective,
        };
        Estimate {
            suspected_switch: Some(suspected),
            ..self.better.estimate
        }
    }
}

/// Objective with nothing rejected.
fn unchallenged<F: Form>(
    estimator: &mut EstimatorOf<F>,
    case: &Case<'_, F>,
    grid: &Grid,
) -> Option<f64> {
    let options = Options {
        max_rejected: 0,
        ..case.options.clone()
    };
    let estimate = estimator.run_as_modelled(grid, case.measurements, case.start, &options);
    Some(Attempt::new(case.measurements, estimate.ok()?).objective)
}

/// What a hypothesis leaves unexplained.
#[derive(Clone, Copy)]
struct Score {
    hypothesis: Hypothesis,
    against: usize,
    objective: f64,
}

impl Score {
    fn order(&self, other: &Self) -> Ordering {
        let fewer = self.against.cmp(&other.against);
        fewer.then(self.objective.total_cmp(&other.objective))
    }

    /// The measurements do not tell these apart.
    fn is_like(&self, other: &Self) -> bool {
        self.against == other.against && (self.objective - other.objective).abs() < TELLING
    }
}

/// The hypothesis that leaves least unexplained, if it explains enough, and other branches that
/// leave no more.
fn test<F: Form>(
    estimator: &mut EstimatorOf<F>,
    case: &Case<'_, F>,
    now: &Now<'_>,
) -> Option<Explanation<F>> {
    let mut scores: Vec<Score> = Vec::new();
    let mut best: Option<(Score, Attempt<F>)> = None;
    for hypothesis in hypotheses(now, case.measurements) {
        let mut grid = now.grid.clone();
        let id = grid.branches[hypothesis.branch].id;
        let switched = grid.set_branch_status(id, hypothesis.from_closed, hypothesis.to_closed);
        if switched.is_err() {
            continue;
        }
        let run = estimator.run_as_modelled(&grid, case.measurements, case.start, case.options);
        let Ok(estimate) = run else { continue };
        let attempt = Attempt::new(case.measurements, estimate);
        if !is_enough(&attempt, now, case.measurements) {
            continue;
        }
        let score = Score {
            hypothesis,
            against: attempt.against.len(),
            objective: attempt.objective,
        };
        scores.push(score);
        if (best.as_ref()).is_none_or(|(so_far, _)| score.order(so_far).is_lt()) {
            best = Some((score, attempt));
        }
    }
    let (score, attempt) = best?;
    let mut hypothesis = score.hypothesis;
    let mut others = Vec::new();
    for like in scores.iter().filter(|other| other.is_like(&score)) {
        if like.hypothesis.branch != hypothesis.branch {
            others.push(now.grid.branches[like.hypothesis.branch].id);
        } else if like.hypothesis.side != score.hypothesis.side {
            hypothesis.side = None;
        }
    }
    others.dedup();
    Some(Explanation {
        hypothesis,
        ambiguous_with: others,
        better: attempt,
    })
}

/// All agrees, but for what may be a bad meter.
fn is_enough<F: Form>(attempt: &Attempt<F>, now: &Now<'_>, measurements: &[Measurement]) -> bool {
    attempt.estimate.passed
        && attempt.estimate.unobservable.len() <= now.unobservable
        && places(&attempt.against, measurements).len() < PLACES
}

/// Where something is bad: component and side, active and reactive power of one sensor being one.
fn places(bad: &[usize], measurements: &[Measurement]) -> BTreeSet<(Id, u8)> {
    let place = |&index: &usize| place(measurements[index].kind);
    bad.iter().map(place).collect()
}

fn place(kind: Kind) -> (Id, u8) {
    match kind {
        Kind::BranchP { branch, side }
        | Kind::BranchQ { branch, side }
        | Kind::BranchCurrent { branch, side }
        | Kind::CurrentAlong { branch, side, .. } => (branch, 1 + u8::from(side == Side::To)),
        Kind::WindingP {
            transformer,
            winding,
        }
        | Kind::WindingQ {
            transformer,
            winding,
        }
        | Kind::WindingCurrentAlong {
            transformer,
            winding,
            ..
        } => (transformer, 1 + winding as u8),
        Kind::Voltage { node } | Kind::VoltageAngle { node } | Kind::VoltageAlong { node, .. } => {
            (node, 0)
        }
        Kind::NodeP { node } | Kind::NodeQ { node } => (node, 1),
        Kind::ShuntP { shunt: id } | Kind::ShuntQ { shunt: id } => (id, 0),
        Kind::ApplianceP { appliance: id } | Kind::ApplianceQ { appliance: id } => (id, 0),
        Kind::SourceP { source: id } | Kind::SourceQ { source: id } => (id, 0),
    }
}

/// Branches with something bad at their ends, in their other states; most around first.
fn hypotheses(now: &Now<'_>, measurements: &[Measurement]) -> Vec<Hypothesis> {
    let grid = now.grid;
    let mut bad_at = vec![0; grid.node_id.len()];
    for (id, _) in places(now.against, measurements) {
        for node in nodes_of(grid, id) {
            bad_at[node] += 1;
        }
    }
    let switchable = |b: &Branch| b.kind != BranchKind::ThreeWinding;
    let mut branches: Vec<usize> = (0..grid.branches.len())
        .filter(|&k| switchable(&grid.branches[k]))
        .collect();
    let at_ends = |k: usize| bad_at[grid.branches[k].from] + bad_at[grid.branches[k].to];
    // What is bad at the next branches counts less: a meter at a branch's own end may be missing.
    let mut near = vec![0; grid.node_id.len()];
    for (k, b) in grid.branches.iter().enumerate() {
        near[b.from] += at_ends(k);
        near[b.to] += at_ends(k);
    }
    let around = |k: &usize| {
        let b = &grid.branches[*k];
        (at_ends(*k), near[b.from] + near[b.to])
    };
    branches.retain(|k| around(k) > (0, 0));
    branches.sort_by_key(|k| std::cmp::Reverse(around(k)));
    branches.truncate(HYPOTHESES);
    let other_states = |branch: usize| {
        let b = &grid.branches[branch];
        let to = |side, from_closed, to_closed| Hypothesis {
            branch,
            side,
            from_closed,
            to_closed,
        };
        match (b.from_closed, b.to_closed) {
            (true, true) => vec![
                to(Some(Side::From), false, true),
                to(Some(Side::To), true, false),
            ],
            (false, true) => vec![to(Some(Side::From), true, true)],
            (true, false) => vec![to(Some(Side::To), true, true)],
            (false, false) => vec![to(None, true, true)],
        }
    };
    branches.into_iter().flat_map(other_states).collect()
}

/// Nodes a component is at.
fn nodes_of(grid: &Grid, id: Id) -> Vec<usize> {
    match grid.element(id) {
        Some(Element::Node(k)) => vec![k],
        Some(Element::Branch(k)) => vec![grid.branches[k].from, grid.branches[k].to],
        Some(Element::Shunt(k)) => vec![grid.known_node(grid.network().shunt[k].node)],
        Some(Element::Source(k)) => vec![grid.sources[k].node],
        Some(Element::Appliance(k)) => vec![grid.appliances[k].node],
        _ => {
            let arms = grid.first_arm(id).map(|first| first..first + 3);
            let from = arms.into_iter().flatten().map(|k| grid.branches[k].from);
            from.collect()
        }
    }
}
