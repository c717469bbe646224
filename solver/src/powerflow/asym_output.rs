//! What follows from the voltages by phase, as power-grid-model's `asym_output` data set.

use num_complex::Complex64;

use super::asym::AsymSolution;
use super::asym_injection;
use super::output::AsymOutput;
use super::output_rows::{End, Solved};
use crate::network::{Grid, Matrix3, PhaseGrid, PhaseMask, Phases};

impl AsymOutput {
    /// The data set of this solution of this grid; `phases` is what it has by phase, such as
    /// [`AsymPowerFlow::phases`](super::AsymPowerFlow::phases).
    ///
    /// # Panics
    /// When the solution is of a grid with other nodes or sources.
    #[must_use]
    pub fn new(grid: &Grid, phases: &PhaseGrid, solution: &AsymSolution) -> Self {
        let mut output = Self::default();
        output.refresh(grid, phases, solution);
        output
    }

    /// Makes this the data set of a solution; of a grid that it has been before, without
    /// allocating.
    ///
    /// # Panics
    /// When the solution is of a grid with other nodes or sources.
    pub fn refresh(&mut self, grid: &Grid, phases: &PhaseGrid, solution: &AsymSolution) {
        let by_phase = ByPhase {
            grid,
            phases,
            solution,
        };
        self.fill(grid, &by_phase);
    }

    /// As power-grid-model's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.document("asym_output")
    }
}

/// A solution by phase.
pub(super) struct ByPhase<'a> {
    pub(super) grid: &'a Grid,
    pub(super) phases: &'a PhaseGrid,
    pub(super) solution: &'a AsymSolution,
}

impl Solved<Phases> for ByPhase<'_> {
    fn u(&self) -> &[Phases] {
        &self.solution.u
    }
    fn ends(&self, branch: usize) -> [End<Phases>; 2] {
        let (b, u) = (&self.grid.branches[branch], &self.solution.u);
        ends(self.phases, branch, &u[b.from], &u[b.to])
    }
    fn shunts_at(&self, node: usize) -> Phases {
        if self.phases.shunts.is_empty() {
            // But for what holds phases that are not live at no voltage.
            return [Complex64::ZERO; 3];
        }
        let (y, u) = (&self.phases.y_shunt[node], &self.solution.u[node]);
        power(u, &y.apply(u))
    }
    fn shunt(&self, shunt: usize, node: usize) -> Phases {
        let u = &self.solution.u[node];
        power(u, &self.phases.shunts[shunt].apply(u))
    }
    fn source(&self, source: usize) -> Phases {
        self.solution.sources[source]
    }
    fn appliance(&self, appliance: usize) -> Phases {
        let a = &self.grid.appliances[appliance];
        let u = &self.solution.u[a.node];
        asym_injection::powers(a, &self.phases.appliances[appliance], u)
    }
    fn phases_of(&self, node: usize) -> PhaseMask {
        self.phases.phases_of(node)
    }
}

fn power(u: &Phases, i: &Phases) -> Phases {
    [0, 1, 2].map(|p| u[p] * i[p].conj())
}

/// Powers and currents entering a branch; from the voltages' difference, so that what a link
/// carries does not drown in rounding.
pub(crate) fn ends(
    phases: &PhaseGrid,
    branch: usize,
    u_from: &Phases,
    u_to: &Phases,
) -> [End<Phases>; 2] {
    let [i_from, i_to] = match phases.decoupled(branch) {
        Some(decoupled) => decoupled.currents(u_from, u_to),
        None => {
            let y = &phases.branches[branch];
            [
                entering(&y.yff, &y.yft, u_from, u_to),
                entering(&y.ytt, &y.ytf, u_to, u_from),
            ]
        }
    };
    let end = |u: &Phases, i: Phases| End { s: power(u, &i), i };
    [end(u_from, i_from), end(u_to, i_to)]
}

/// Current entering at one end.
fn entering(own: &Matrix3, mutual: &Matrix3, u: &Phases, other: &Phases) -> Phases {
    let difference = [0, 1, 2].map(|p| other[p] - u[p]);
    let by_own = (*own + *mutual).apply(u);
    let by_mutual = mutual.apply(&difference);
    [0, 1, 2].map(|p| by_own[p] + by_mutual[p])
}
