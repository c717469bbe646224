//! What follows from the voltages by phase, as power-grid-model's `asym_output` data set.

use super::asym::AsymSolution;
use super::asym_injection;
use super::output::{AsymOutput, BranchOutput, End, State};
use crate::network::{Grid, Matrix3, PhaseBranch, PhaseGrid, PhaseMask, Phases};

impl AsymOutput {
    /// The data set of this solution of this grid; `phases` is what it has by phase, such as
    /// [`AsymPowerFlow::phases`](super::AsymPowerFlow::phases).
    ///
    /// # Panics
    /// When the solution is of a grid with other nodes or sources.
    #[must_use]
    pub fn new(grid: &Grid, phases: &PhaseGrid, solution: &AsymSolution) -> Self {
        let u = &solution.u;
        let mut nodes: Vec<Phases> = phases
            .y_shunt
            .iter()
            .zip(u)
            .map(|(y, u)| power(u, &y.apply(u)))
            .collect();
        let mut branches = Vec::with_capacity(grid.branches.len());
        for (b, y) in grid.branches.iter().zip(&phases.branches) {
            let both = ends(y, &u[b.from], &u[b.to]);
            add(&mut nodes[b.from], &both[0].s);
            add(&mut nodes[b.to], &both[1].s);
            branches.push(both);
        }
        let shunts = grid.network().shunt.iter().zip(&phases.shunts);
        let appliances = grid.appliances.iter().zip(&phases.appliances);
        let state = State {
            u,
            branches,
            nodes,
            shunts: shunts
                .map(|(s, y)| {
                    let u = &u[grid.known_node(s.node)];
                    power(u, &y.apply(u))
                })
                .collect(),
            sources: &solution.sources,
            appliances: appliances
                .map(|(a, s)| asym_injection::powers(a, s, &u[a.node]))
                .collect(),
        };
        let mut output = state.output(grid);
        output.blank_absent(grid, phases);
        output
    }

    /// Phases that a node or branch does not have are not numbers, null in JSON.
    fn blank_absent(&mut self, grid: &Grid, phases: &PhaseGrid) {
        for (k, row) in self.node.iter_mut().enumerate() {
            let has = phases.phases_of(k);
            for values in [
                &mut row.u_pu,
                &mut row.u,
                &mut row.u_angle,
                &mut row.p,
                &mut row.q,
            ] {
                blank(values, has);
            }
        }
        let tables = [
            &mut self.line,
            &mut self.asym_line,
            &mut self.link,
            &mut self.transformer,
        ];
        let regulators = self.step_voltage_regulator.iter_mut();
        let regulators = regulators.map(|r| &mut r.branch);
        for row in tables.into_iter().flatten().chain(regulators) {
            let Some(k) = grid.index_of_branch(row.id) else {
                continue;
            };
            let has = grid.branches[k].phases;
            let BranchOutput {
                p_from,
                q_from,
                i_from,
                s_from,
                ..
            } = row;
            for values in [p_from, q_from, i_from, s_from] {
                blank(values, has);
            }
            let BranchOutput {
                p_to,
                q_to,
                i_to,
                s_to,
                ..
            } = row;
            for values in [p_to, q_to, i_to, s_to] {
                blank(values, has);
            }
        }
    }

    /// As power-grid-model's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.document("asym_output")
    }
}

fn blank(values: &mut [f64; 3], has: PhaseMask) {
    for (value, _) in values.iter_mut().zip(has).filter(|(_, has)| !has) {
        *value = f64::NAN;
    }
}

fn power(u: &Phases, i: &Phases) -> Phases {
    [0, 1, 2].map(|p| u[p] * i[p].conj())
}

/// Powers and currents entering a branch; from the voltages' difference, so that what a link
/// carries does not drown in rounding.
pub(super) fn ends(y: &PhaseBranch, u_from: &Phases, u_to: &Phases) -> [End<Phases>; 2] {
    let end = |own: Matrix3, mutual: &Matrix3, u: &Phases, other: &Phases| {
        let difference = [0, 1, 2].map(|p| other[p] - u[p]);
        let mut i = (own + *mutual).apply(u);
        add(&mut i, &mutual.apply(&difference));
        End { s: power(u, &i), i }
    };
    [
        end(y.yff, &y.yft, u_from, u_to),
        end(y.ytt, &y.ytf, u_to, u_from),
    ]
}

/// Adds phase by phase.
fn add(to: &mut Phases, other: &Phases) {
    for (to, other) in to.iter_mut().zip(other) {
        *to += other;
    }
}
