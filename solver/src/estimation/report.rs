//! From the state and its covariance to an [`Estimate`](super::Estimate) in SI.

use std::fmt::Debug;

use super::covariance::Covariance;
use super::equation::{Model, Part, Row, State, Target, What};
use super::factor::SelectedInverse;
use super::problem::{
    Observation, appliance_is_live, appliance_unit, end_is_live, end_node, phase_share,
};
use super::{
    ApplianceEstimate, BranchEstimate, EndEstimate, Form, NodeEstimate, Origin, Quantity,
    SourceEstimate,
};
use crate::network::{S_BASE_VA, Side};

/// What is switched off.
const ZERO: Quantity = Quantity {
    value: 0.0,
    sigma: 0.0,
};

/// A gradient with a larger relative part in what is undetermined is not observable.
const UNDETERMINED: f64 = 1e-5;

/// What is known at the optimum.
pub(super) struct Report<'a> {
    pub(super) model: Model<'a>,
    pub(super) state: &'a State,
    pub(super) covariance: &'a Covariance,
    /// See [`super::factor::Factor::undetermined`]; without current magnitudes, whose direction is
    /// ambiguous.
    pub(super) undetermined: &'a SelectedInverse,
    /// The same of the meters alone.
    pub(super) undetermined_by_meters: &'a SelectedInverse,
    /// Nodes whose voltage level is an assumption.
    pub(super) assumed: &'a [bool],
}

impl Report<'_> {
    /// A function of the state in SI, `unit` being that of the symmetrical quantity; none if not
    /// observable.
    fn quantity(&self, target: Target, unit: f64) -> Option<Quantity> {
        if !self.is_observable(target) {
            return None;
        }
        let mut row = Row::new();
        let unit = unit / phase_share(target.what, self.model.layout.phases);
        let value = unit * self.model.evaluate(target, self.state, &mut row);
        let variance = self.covariance.of(&self.model.layout.pattern, &row);
        Some(Quantity {
            value: value + 0.0,
            sigma: unit.abs() * variance.sqrt(),
        })
    }

    /// A function of the state in each phase.
    fn quantities<F: Form>(&self, what: What, unit: f64) -> F::Of<Option<Quantity>> {
        F::of(|phase| self.quantity(what.of(phase), unit))
    }

    /// The measurements determine this function of the state.
    pub(super) fn is_observable(&self, target: Target) -> bool {
        let grid = self.model.grid;
        let assumed = match target.what {
            What::Appliance(appliance, _) => {
                self.assumed[self.model.layout.node_of(grid, appliance)]
            }
            What::Branch(branch, ..)
            | What::Current(branch, _)
            | What::CurrentAlong(branch, ..) => {
                self.assumed[grid.branches[branch].from] || self.assumed[grid.branches[branch].to]
            }
            What::Shunt(shunt, _) => {
                self.assumed[grid.known_node(grid.network().shunt[shunt].node)]
            }
            What::Magnitude(node)
            | What::Angle(node)
            | What::VoltageAlong(node, _)
            | What::Injection(node, _)
            | What::Infeed(node, _) => self.assumed[node],
        };
        !assumed && self.is_determined(target, self.undetermined)
    }

    fn is_determined(&self, target: Target, undetermined: &SelectedInverse) -> bool {
        let mut row = Row::new();
        self.model.evaluate(target, self.state, &mut row);
        let norm: f64 = row.iter().map(|&(_, h)| h * h).sum();
        let part = undetermined.quadratic_form(&self.model.layout.pattern, &row);
        part <= UNDETERMINED * UNDETERMINED * norm
    }

    pub(super) fn nodes<F: Form>(&self) -> Vec<NodeEstimate<F>> {
        let grid = self.model.grid;
        let by_meters = |node: usize| {
            let mut targets = self.voltage(node);
            targets.all(|target| self.is_determined(target, self.undetermined_by_meters))
        };
        let node = |node: usize| NodeEstimate {
            id: grid.node_id[node],
            energised: grid.energised[node],
            u: self.quantities::<F>(What::Magnitude(node), grid.u_rated[node]),
            angle: self.quantities::<F>(What::Angle(node), 1.0),
            p: self.quantities::<F>(What::Injection(node, Part::P), S_BASE_VA),
            q: self.quantities::<F>(What::Injection(node, Part::Q), S_BASE_VA),
            rests_on_pseudo: self.node_is_observable(node) && !by_meters(node),
        };
        (0..grid.node_id.len()).map(node).collect()
    }

    /// Angle and magnitude of a node's voltage in each phase that is there.
    fn voltage(&self, node: usize) -> impl Iterator<Item = Target> {
        let live = move |phase: &usize| self.model.is_live(node, *phase);
        let phases = self.model.phases().filter(live);
        phases
            .flat_map(move |phase| [What::Magnitude(node), What::Angle(node)].map(|w| w.of(phase)))
    }

    /// The node's voltage is determined, angle and magnitude.
    pub(super) fn node_is_observable(&self, node: usize) -> bool {
        self.voltage(node).all(|target| self.is_observable(target))
    }

    pub(super) fn branches<F: Form>(&self) -> Vec<BranchEstimate<F>> {
        let grid = self.model.grid;
        let branches = (0..grid.branches.len()).map(|branch| {
            let [from, to] =
                [Side::From, Side::To].map(|side| F::of(|phase| self.end(branch, side, phase)));
            BranchEstimate {
                id: grid.branches[branch].id,
                loading: self.loading::<F>(branch, &from, &to),
                from,
                to,
            }
        });
        branches.collect()
    }

    fn loading<F: Form>(
        &self,
        branch: usize,
        from: &F::Of<Option<EndEstimate>>,
        to: &F::Of<Option<EndEstimate>>,
    ) -> Option<f64> {
        let b = &self.model.grid.branches[branch];
        let (from, to) = (known::<F, _>(from)?, known::<F, _>(to)?);
        let current = |ends: &[EndEstimate], node: usize| {
            let currents = ends.iter().map(|end| end.i.value);
            currents.fold(0.0, f64::max) / self.model.grid.base_current_a(node)
        };
        let by_current = b.i_max.map(|[i_from, i_to]| {
            f64::max(current(&from, b.from) / i_from, current(&to, b.to) / i_to)
        });
        let power = |ends: &[EndEstimate]| {
            let powers = ends.iter().map(|end| end.p.value.hypot(end.q.value));
            powers.sum::<f64>() / S_BASE_VA
        };
        let by_power = b.s_max.map(|s_max| power(&from).max(power(&to)) / s_max);
        by_current.into_iter().chain(by_power).reduce(f64::max)
    }

    fn end(&self, branch: usize, side: Side, phase: usize) -> Option<EndEstimate> {
        let grid = self.model.grid;
        if !end_is_live(self.model, branch, side, phase) {
            return Some(EndEstimate {
                p: ZERO,
                q: ZERO,
                i: ZERO,
            });
        }
        let base_current = grid.base_current_a(end_node(grid, branch, side));
        let power = |part| self.quantity(What::Branch(branch, side, part).of(phase), S_BASE_VA);
        Some(EndEstimate {
            p: power(Part::P)?,
            q: power(Part::Q)?,
            i: self.quantity(What::Current(branch, side).of(phase), base_current)?,
        })
    }

    pub(super) fn appliances<F: Form>(
        &self,
        observations: &[Observation],
    ) -> Vec<ApplianceEstimate<F>> {
        let grid = self.model.grid;
        let origin = self.origins(observations);
        (grid.appliances.iter().enumerate())
            .map(|(appliance, a)| {
                let unit = appliance_unit(a.kind);
                let parts = &origin[2 * F::PHASES * appliance..][..2 * F::PHASES];
                let live = |phase| appliance_is_live(self.model, appliance, phase);
                ApplianceEstimate {
                    id: a.id,
                    p: self.quantities::<F>(What::Appliance(appliance, Part::P), unit),
                    q: self.quantities::<F>(What::Appliance(appliance, Part::Q), unit),
                    origin: (self.model.phases())
                        .filter(|&phase| live(phase))
                        .flat_map(|phase| [parts[2 * phase], parts[2 * phase + 1]])
                        .reduce(worse)
                        .flatten(),
                }
            })
            .collect()
    }

    /// Per appliance, phase and part: the best origin among the measurements used.
    fn origins(&self, observations: &[Observation]) -> Vec<Option<Origin>> {
        let phases = self.model.layout.phases;
        let mut origin = vec![None; 2 * phases * self.model.layout.appliances];
        for observation in observations.iter().filter(|o| o.used) {
            if let What::Appliance(appliance, part) = observation.target.what {
                let at = self.model.at(appliance, observation.target.phase);
                let slot = &mut origin[2 * at + usize::from(part == Part::Q)];
                if !observation.pseudo {
                    *slot = Some(Origin::Metered);
                } else if slot.is_none() {
                    *slot = Some(Origin::Pseudo);
                }
            }
        }
        origin
    }

    pub(super) fn sources<F: Form>(&self) -> Vec<SourceEstimate<F>> {
        let Model { grid, layout, .. } = self.model;
        let estimate = |source: usize, part| match grid.sources[source].closed {
            true => self.quantities::<F>(layout.of_source(grid, source, part), S_BASE_VA),
            false => F::of(|_| Some(ZERO)),
        };
        (grid.sources.iter().enumerate())
            .map(|(k, s)| SourceEstimate {
                id: s.id,
                p: estimate(k, Part::P),
                q: estimate(k, Part::Q),
            })
            .collect()
    }
}

/// The values of all phases, if all are known.
fn known<F: Form, T: Copy + Debug + PartialEq>(values: &F::Of<Option<T>>) -> Option<Vec<T>> {
    (0..F::PHASES)
        .map(|phase| *F::phase(values, phase))
        .collect()
}

/// The less certain of two origins.
fn worse(a: Option<Origin>, b: Option<Origin>) -> Option<Origin> {
    match (a, b) {
        (None, _) | (_, None) => None,
        (Some(Origin::Metered), Some(Origin::Metered)) => Some(Origin::Metered),
        _ => Some(Origin::Pseudo),
    }
}
