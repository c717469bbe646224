//! What follows from the voltages by phase, as power-grid-model's `asym_output` data set.

use super::appliances::power_of;
use super::asym::AsymSolution;
use super::output::{AsymOutput, End, State};
use super::structure::add;
use crate::network::{Grid, Matrix3, PhaseBranch, PhaseGrid, Phases};

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
                .map(|(a, s)| [0, 1, 2].map(|p| power_of(a, s[p], u[a.node][p].norm())))
                .collect(),
        };
        state.output(grid)
    }

    /// As power-grid-model's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.document("asym_output")
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
