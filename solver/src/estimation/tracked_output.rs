//! What a tracker found as power-grid-model's `sym_output` and `asym_output` data sets, without
//! residuals of sensors: written where the last one was, once a second.

use num_complex::Complex64;

use super::Tracked;
use crate::network::{Grid, PhaseGrid, PhaseMask, Phases};
use crate::powerflow::{AsymOutput, End, Solved, SymOutput};

impl Tracked<1> {
    /// Makes `output` the data set of this state of this grid; where it was one of the same grid
    /// before, without allocating. Powers of several sources at one node are not numbers: only
    /// their sum is known.
    ///
    /// # Panics
    /// When the state is of another grid.
    pub fn put_out(&self, grid: &Grid, output: &mut SymOutput) {
        output.fill(
            grid,
            &Positive {
                grid,
                tracked: self,
            },
        );
    }
}

impl Tracked<3> {
    /// As that of the positive sequence; `phases` is what the grid has by phase, such as
    /// [`AsymTracker::phases`](super::AsymTracker::phases).
    ///
    /// # Panics
    /// When the state is of another grid.
    pub fn put_out(&self, grid: &Grid, phases: &PhaseGrid, output: &mut AsymOutput) {
        let by_phase = ByPhase {
            phases,
            tracked: self,
        };
        output.fill(grid, &by_phase);
    }
}

/// The positive sequence.
struct Positive<'a> {
    grid: &'a Grid,
    tracked: &'a Tracked<1>,
}

impl Solved<Complex64> for Positive<'_> {
    fn u(&self) -> &[Complex64] {
        self.tracked.u.as_flattened()
    }
    fn ends(&self, branch: usize) -> [End<Complex64>; 2] {
        self.tracked.branches[branch].map(|end| End {
            s: end.s[0],
            i: end.i[0],
        })
    }
    fn shunts_at(&self, node: usize) -> Complex64 {
        self.grid.y_shunt[node].conj() * self.tracked.u[node][0].norm_sqr()
    }
    fn shunt(&self, shunt: usize, node: usize) -> Complex64 {
        let shunt = &self.grid.network().shunt[shunt];
        self.grid.shunt_admittance(shunt, node).conj() * self.tracked.u[node][0].norm_sqr()
    }
    fn source(&self, index: usize) -> Complex64 {
        self.tracked.sources[index][0]
    }
    fn appliance(&self, appliance: usize) -> Complex64 {
        self.tracked.appliances[appliance][0]
    }
    fn phases_of(&self, _: usize) -> PhaseMask {
        [true; 3]
    }
}

/// The phases a, b, c.
struct ByPhase<'a> {
    phases: &'a PhaseGrid,
    tracked: &'a Tracked<3>,
}

impl Solved<Phases> for ByPhase<'_> {
    fn u(&self) -> &[Phases] {
        &self.tracked.u
    }
    fn ends(&self, branch: usize) -> [End<Phases>; 2] {
        self.tracked.branches[branch].map(|end| End { s: end.s, i: end.i })
    }
    fn shunts_at(&self, node: usize) -> Phases {
        let u = &self.tracked.u[node];
        power(u, &self.phases.y_shunt[node].apply(u))
    }
    fn shunt(&self, shunt: usize, node: usize) -> Phases {
        let u = &self.tracked.u[node];
        power(u, &self.phases.shunts[shunt].apply(u))
    }
    fn source(&self, index: usize) -> Phases {
        self.tracked.sources[index]
    }
    fn appliance(&self, appliance: usize) -> Phases {
        self.tracked.appliances[appliance]
    }
    fn phases_of(&self, node: usize) -> PhaseMask {
        self.phases.phases_of(node)
    }
}

fn power(u: &Phases, i: &Phases) -> Phases {
    [0, 1, 2].map(|p| u[p] * i[p].conj())
}
