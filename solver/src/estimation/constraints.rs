//! What holds whatever is measured: what is not connected, balances of nodes, and the references of
//! islands in which no angle or no voltage is measured.

use std::f64::consts::TAU;

use num_complex::Complex64;

use super::AngleFrame;
use super::equation::{Model, Part, State, Target, What};
use super::problem::{Observation, appliance_is_live, end_node};

/// How far the angles of a source's phases are from a third of a turn apart, standard deviation,
/// rad: twice it is the unbalance that EN 50160 (4.2.10) allows, a negative sequence of 2 %.
const SOURCE_UNBALANCE: f64 = 0.01;

/// What holds whatever is measured.
#[derive(Default)]
pub(super) struct Constraints {
    /// Columns that keep their value.
    pub(super) fixed: Vec<usize>,
    /// Functions that are zero: nodes without (first) source inject what their appliances do.
    pub(super) zero: Vec<Target>,
    /// By node: no voltage is measured in its island, so that of a source is assumed.
    pub(super) assumed: Vec<bool>,
    /// Nodes with a source whose angle (of its first phase), magnitude is kept.
    pub(super) references: Vec<(usize, bool, bool)>,
    /// Angles of the other phases of those sources: not kept, but as likely as
    /// [`SOURCE_UNBALANCE`] says. They take part as observations do.
    pub(super) expected: Vec<Observation>,
}

/// The angle that a source's phase is expected to have.
fn expected_angle(model: Model<'_>, node: usize, phase: usize) -> Observation {
    let sigma = SOURCE_UNBALANCE;
    Observation {
        index: usize::MAX,
        target: What::Angle(node).of(phase),
        value: model.grid.clock_angle[node] - TAU / 3.0 * phase as f64,
        sigma,
        given_sigma: sigma,
        unit: 1.0,
        share: 1.0,
        zero: 0.0,
        pseudo: false,
        used: true,
    }
}

impl Constraints {
    pub(super) fn new(model: Model<'_>, observations: &[Observation]) -> Self {
        let Model { grid, layout, .. } = model;
        let mut constraints = Self {
            assumed: vec![false; grid.node_id.len()],
            ..Self::default()
        };
        for node in 0..grid.node_id.len() {
            for phase in model.phases() {
                if !model.is_live(node, phase) {
                    constraints
                        .fixed
                        .extend([layout.theta(node, phase), layout.v(node, phase)]);
                } else if !layout.feeds(grid, node) {
                    let infeed = [Part::P, Part::Q].map(|part| What::Infeed(node, part).of(phase));
                    constraints.zero.extend(infeed);
                }
            }
        }
        for appliance in 0..layout.appliances {
            for phase in model.phases() {
                if !appliance_is_live(model, appliance, phase) {
                    let (p, q) = (layout.p(appliance, phase), layout.q(appliance, phase));
                    constraints.fixed.extend([p, q]);
                }
            }
        }
        constraints.fix_references(model, observations);
        constraints
    }

    /// In each island fixes the angle of the source's first phase unless an angle is measured, and its
    /// voltages unless one is measured.
    fn fix_references(&mut self, model: Model<'_>, observations: &[Observation]) {
        let Model { grid, layout, .. } = model;
        let mut visited = vec![false; grid.node_id.len()];
        let mut measured = vec![(false, false); grid.node_id.len()];
        for observation in observations.iter().filter(|o| o.used) {
            match observation.target.what {
                What::Magnitude(node) => measured[node].0 = true,
                What::Angle(node) => measured[node].1 = true,
                What::VoltageAlong(node, _) => measured[node] = (true, true),
                What::CurrentAlong(branch, side, AngleFrame::Global, _) => {
                    measured[end_node(grid, branch, side)].1 = true;
                }
                _ => {}
            }
        }
        for source in grid.sources.iter().filter(|s| s.closed) {
            if visited[source.node] {
                continue;
            }
            let island = island(model, source.node, &mut visited);
            let angle = !island.iter().any(|&node| measured[node].1);
            let magnitude = !island.iter().any(|&node| measured[node].0);
            for phase in model.phases() {
                match (angle, phase) {
                    (false, _) => {}
                    (true, 0) => self.fixed.push(layout.theta(source.node, phase)),
                    (true, _) => (self.expected).push(expected_angle(model, source.node, phase)),
                }
                if magnitude {
                    self.fixed.push(layout.v(source.node, phase));
                }
            }
            if magnitude {
                for node in island {
                    self.assumed[node] = true;
                }
            }
            self.references.push((source.node, angle, magnitude));
        }
    }
}

/// Nodes connected to `start` through closed branches.
fn island(model: Model<'_>, start: usize, visited: &mut [bool]) -> Vec<usize> {
    let mut island = vec![start];
    visited[start] = true;
    let mut next = 0;
    while let Some(&node) = island.get(next) {
        next += 1;
        for &(branch, _) in &model.layout.incident[node] {
            let b = &model.grid.branches[branch];
            let other = if b.from == node { b.to } else { b.from };
            if b.from_closed && b.to_closed && !visited[other] {
                visited[other] = true;
                island.push(other);
            }
        }
    }
    island
}

/// Sets what [`Constraints`] keep: the references of each island.
pub(super) fn set_references(model: Model<'_>, constraints: &Constraints, state: &mut State) {
    let grid = model.grid;
    for &(node, angle, magnitude) in &constraints.references {
        let no_load = Complex64::cis(grid.clock_angle[node]);
        let source = grid.sources.iter().find(|s| s.closed && s.node == node);
        let first = state.u[model.at(node, 0)];
        if angle && first != Complex64::ZERO {
            // The whole island turns with its reference, so that a start in another frame stays
            // near.
            let turn = no_load * first.conj() / first.norm();
            let mut visited = vec![false; grid.node_id.len()];
            for other in island(model, node, &mut visited) {
                for phase in model.phases() {
                    state.u[model.at(other, phase)] *= turn;
                }
            }
        }
        for phase in model.phases() {
            if let (true, Some(source)) = (magnitude, source) {
                let u = &mut state.u[model.at(node, phase)];
                *u *= source.u_ref.norm() / u.norm();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::admittances::Admittances;
    use super::super::layout::Layout;
    use super::super::tests_support::three_bus;
    use super::super::{Kind, Measurement, Origin, Phase, problem};
    use super::*;

    /// Meters that are left out hold nothing.
    #[test]
    fn only_what_is_used_replaces_a_reference() {
        let grid = three_bus();
        let layout = Layout::new(&grid, 1);
        let mut admittances = Admittances::default();
        admittances.follow(&grid, None);
        let model = Model {
            grid: &grid,
            layout: &layout,
            admittances: &admittances,
        };
        let meter = |kind, value, sigma| Measurement {
            kind,
            phase: Phase::Sym,
            value,
            sigma,
            origin: Origin::Metered,
        };
        let measured = [
            meter(Kind::Voltage { node: 1 }, 20e3, 50.0),
            meter(Kind::VoltageAngle { node: 2 }, 0.0, 0.01),
        ];
        let (mut observations, _) = problem::observe(model, &measured).unwrap();
        // Node, angle kept, magnitude kept.
        for (used, expected) in [
            ([true, true], (0, false, false)),
            ([true, false], (0, true, false)),
            ([false, true], (0, false, true)),
            ([false, false], (0, true, true)),
        ] {
            for (o, used) in observations.iter_mut().zip(used) {
                o.used = used;
            }
            let constraints = Constraints::new(model, &observations);
            assert_eq!(constraints.references, [expected]);
            assert_eq!(constraints.assumed, [!used[0]; 3]);
        }
    }
}
