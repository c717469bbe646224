//! What a tracker found as power-grid-model's `sym_output` and `asym_output` data sets, without
//! residuals of sensors: written where the last one was, once a second.

use num_complex::Complex64;

use super::{AsymTracker, Tracker};
use crate::network::{Grid, PhaseMask, Phases};
use crate::powerflow::{AsymOutput, End, Solved, SymOutput};

impl Tracker {
    /// Makes `output` the data set of what the last run found, which was of this grid; where it was one of
    /// the same grid before, without allocating. Powers of several sources at one node are not numbers:
    /// only their sum is known.
    ///
    /// # Panics
    /// When the last run was of another grid.
    pub fn put_out(&self, grid: &Grid, output: &mut SymOutput) {
        let tracker = self;
        output.fill(grid, &Positive { grid, tracker });
    }
}

impl AsymTracker {
    /// As that of the positive sequence.
    ///
    /// # Panics
    /// When the last run was of another grid.
    pub fn put_out(&self, grid: &Grid, output: &mut AsymOutput) {
        output.fill(grid, &ByPhase { tracker: self });
    }
}

/// The positive sequence.
struct Positive<'a> {
    grid: &'a Grid,
    tracker: &'a Tracker,
}

impl Solved<Complex64> for Positive<'_> {
    fn u(&self) -> &[Complex64] {
        self.tracker.tracked().u.as_flattened()
    }
    fn ends(&self, branch: usize) -> [End<Complex64>; 2] {
        self.tracker.branch(branch).map(|end| End {
            s: end.s[0],
            i: end.i[0],
        })
    }
    fn shunts_at(&self, node: usize) -> Complex64 {
        self.grid.y_shunt[node].conj() * self.tracker.tracked().u[node][0].norm_sqr()
    }
    fn shunt(&self, shunt: usize, node: usize) -> Complex64 {
        let shunt = &self.grid.network().shunt[shunt];
        self.grid.shunt_admittance(shunt, node).conj()
            * self.tracker.tracked().u[node][0].norm_sqr()
    }
    fn source(&self, index: usize) -> Complex64 {
        self.tracker.tracked().sources[index][0]
    }
    fn appliance(&self, appliance: usize) -> Complex64 {
        self.tracker.tracked().appliances[appliance][0]
    }
    fn phases_of(&self, _: usize) -> PhaseMask {
        [true; 3]
    }
}

/// The phases a, b, c.
struct ByPhase<'a> {
    tracker: &'a AsymTracker,
}

impl Solved<Phases> for ByPhase<'_> {
    fn u(&self) -> &[Phases] {
        &self.tracker.tracked().u
    }
    #[inline(always)]
    fn ends(&self, branch: usize) -> [End<Phases>; 2] {
        self.tracker
            .branch(branch)
            .map(|end| End { s: end.s, i: end.i })
    }
    fn shunts_at(&self, node: usize) -> Phases {
        let u = &self.tracker.tracked().u[node];
        power(u, &self.tracker.phases().y_shunt[node].apply(u))
    }
    fn shunt(&self, shunt: usize, node: usize) -> Phases {
        let u = &self.tracker.tracked().u[node];
        power(u, &self.tracker.phases().shunts[shunt].apply(u))
    }
    fn source(&self, index: usize) -> Phases {
        self.tracker.tracked().sources[index]
    }
    fn appliance(&self, appliance: usize) -> Phases {
        self.tracker.tracked().appliances[appliance]
    }
    fn phases_of(&self, node: usize) -> PhaseMask {
        self.tracker.phases().phases_of(node)
    }
}

fn power(u: &Phases, i: &Phases) -> Phases {
    [0, 1, 2].map(|p| u[p] * i[p].conj())
}
