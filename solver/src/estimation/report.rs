//! From the state and its covariance to an [`Estimate`](super::Estimate) in SI.

use super::equation::{Model, Part, Row, State, Target};
use super::factor::SelectedInverse;
use super::problem::{Observation, appliance_is_live, appliance_unit, end_is_live, end_node};
use super::{
    ApplianceEstimate, BranchEstimate, EndEstimate, NodeEstimate, Origin, Quantity, SourceEstimate,
};
use crate::network::{S_BASE_VA, Side};

/// A gradient with a larger relative part in what is undetermined is not observable.
const UNDETERMINED: f64 = 1e-5;

/// What is known at the optimum.
pub(super) struct Report<'a> {
    pub(super) model: Model<'a>,
    pub(super) state: &'a State,
    pub(super) covariance: &'a SelectedInverse,
    /// See [`super::factor::Factor::undetermined`]; without current magnitudes, whose direction is
    /// ambiguous.
    pub(super) undetermined: &'a SelectedInverse,
    /// The same of the meters alone.
    pub(super) undetermined_by_meters: &'a SelectedInverse,
    /// Nodes whose voltage level is an assumption.
    pub(super) assumed: &'a [bool],
}

impl Report<'_> {
    /// A function of the state in SI; none if not observable.
    fn quantity(&self, target: Target, unit: f64) -> Option<Quantity> {
        if !self.is_observable(target) {
            return None;
        }
        let mut row = Row::new();
        let value = unit * self.model.evaluate(target, self.state, &mut row);
        let variance = self
            .covariance
            .quadratic_form(&self.model.layout.pattern, &row);
        Some(Quantity {
            value,
            sigma: unit.abs() * variance.sqrt(),
        })
    }

    /// The measurements determine this function of the state.
    pub(super) fn is_observable(&self, target: Target) -> bool {
        let grid = self.model.grid;
        let known = match target {
            Target::Appliance(appliance, _) => !self.assumed[grid.appliances[appliance].node],
            Target::Branch(branch, ..) | Target::Current(branch, _) => {
                !self.assumed[grid.branches[branch].from] && !self.assumed[grid.branches[branch].to]
            }
            Target::Magnitude(node)
            | Target::Angle(node)
            | Target::Injection(node, _)
            | Target::Infeed(node, _) => !self.assumed[node],
        };
        known && self.is_determined(target, self.undetermined)
    }

    fn is_determined(&self, target: Target, undetermined: &SelectedInverse) -> bool {
        let mut row = Row::new();
        self.model.evaluate(target, self.state, &mut row);
        let norm: f64 = row.iter().map(|&(_, h)| h * h).sum();
        let part = undetermined.quadratic_form(&self.model.layout.pattern, &row);
        part <= UNDETERMINED * UNDETERMINED * norm
    }

    pub(super) fn nodes(&self) -> Vec<NodeEstimate> {
        let grid = self.model.grid;
        let by_meters = |target| self.is_determined(target, self.undetermined_by_meters);
        let node = |node: usize| NodeEstimate {
            id: grid.node_id[node],
            energised: grid.energised[node],
            u: self.quantity(Target::Magnitude(node), grid.u_rated[node]),
            angle: self.quantity(Target::Angle(node), 1.0),
            p: self.quantity(Target::Injection(node, Part::P), S_BASE_VA),
            q: self.quantity(Target::Injection(node, Part::Q), S_BASE_VA),
            rests_on_pseudo: self.node_is_observable(node)
                && !(by_meters(Target::Magnitude(node)) && by_meters(Target::Angle(node))),
        };
        (0..grid.node_id.len()).map(node).collect()
    }

    /// The node's voltage is determined, angle and magnitude.
    pub(super) fn node_is_observable(&self, node: usize) -> bool {
        self.is_observable(Target::Magnitude(node)) && self.is_observable(Target::Angle(node))
    }

    pub(super) fn branches(&self) -> Vec<BranchEstimate> {
        let branches = self.model.grid.branches.iter().enumerate();
        branches
            .map(|(branch, b)| {
                let [from, to] = [Side::From, Side::To].map(|side| self.end(branch, side));
                let loading = from.zip(to).and_then(|(from, to)| {
                    let current = |end: EndEstimate, side| {
                        end.i.value
                            / self.model.grid.base_current_a(end_node(
                                self.model.grid,
                                branch,
                                side,
                            ))
                    };
                    let by_current = b.i_max.map(|[i_from, i_to]| {
                        (current(from, Side::From) / i_from).max(current(to, Side::To) / i_to)
                    });
                    let power = |end: EndEstimate| end.p.value.hypot(end.q.value) / S_BASE_VA;
                    let by_power = b.s_max.map(|s_max| power(from).max(power(to)) / s_max);
                    by_current.into_iter().chain(by_power).reduce(f64::max)
                });
                BranchEstimate {
                    id: b.id,
                    from,
                    to,
                    loading,
                }
            })
            .collect()
    }

    fn end(&self, branch: usize, side: Side) -> Option<EndEstimate> {
        let grid = self.model.grid;
        if !end_is_live(grid, branch, side) {
            let zero = Quantity {
                value: 0.0,
                sigma: 0.0,
            };
            return Some(EndEstimate {
                p: zero,
                q: zero,
                i: zero,
            });
        }
        let base_current = grid.base_current_a(end_node(grid, branch, side));
        Some(EndEstimate {
            p: self.quantity(Target::Branch(branch, side, Part::P), S_BASE_VA)?,
            q: self.quantity(Target::Branch(branch, side, Part::Q), S_BASE_VA)?,
            i: self.quantity(Target::Current(branch, side), base_current)?,
        })
    }

    pub(super) fn appliances(&self, observations: &[Observation]) -> Vec<ApplianceEstimate> {
        let grid = self.model.grid;
        // Per appliance and part: the best origin among the measurements used.
        let mut origin = vec![[None; 2]; grid.appliances.len()];
        for observation in observations.iter().filter(|o| o.used) {
            if let Target::Appliance(appliance, part) = observation.target {
                let slot: &mut Option<Origin> =
                    &mut origin[appliance][usize::from(part == Part::Q)];
                if !observation.pseudo {
                    *slot = Some(Origin::Metered);
                } else if slot.is_none() {
                    *slot = Some(Origin::Pseudo);
                }
            }
        }
        (grid.appliances.iter().enumerate())
            .map(|(appliance, a)| {
                let unit = appliance_unit(a.kind);
                ApplianceEstimate {
                    id: a.id,
                    p: self
                        .quantity(Target::Appliance(appliance, Part::P), unit)
                        .map(plain_zero),
                    q: self
                        .quantity(Target::Appliance(appliance, Part::Q), unit)
                        .map(plain_zero),
                    origin: match origin[appliance] {
                        _ if !appliance_is_live(grid, appliance) => None,
                        [Some(Origin::Metered), Some(Origin::Metered)] => Some(Origin::Metered),
                        [Some(_), Some(_)] => Some(Origin::Pseudo),
                        _ => None,
                    },
                }
            })
            .collect()
    }

    pub(super) fn sources(&self) -> Vec<SourceEstimate> {
        let sources = &self.model.grid.sources;
        let estimate = |source: &crate::network::SourceBehind, part| {
            if !source.closed {
                return Some(Quantity {
                    value: 0.0,
                    sigma: 0.0,
                });
            }
            let here = sources
                .iter()
                .filter(|s| s.closed && s.node == source.node)
                .count();
            let infeed = || self.quantity(Target::Infeed(source.node, part), S_BASE_VA);
            (here == 1).then(infeed).flatten()
        };
        (sources.iter())
            .map(|s| SourceEstimate {
                id: s.id,
                p: estimate(s, Part::P),
                q: estimate(s, Part::Q),
            })
            .collect()
    }
}

/// Without the negative zero that turning a load's sign leaves.
fn plain_zero(quantity: Quantity) -> Quantity {
    Quantity {
        value: quantity.value + 0.0,
        ..quantity
    }
}
