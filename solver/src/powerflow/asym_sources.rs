//! The sources of each node by phase, as one voltage behind one admittance (Thévenin).

use num_complex::Complex64;

use super::{STIFF_RATIO, STIFF_Y};
use crate::network::{Grid, Matrix3, PhaseGrid, Phases, balanced};

/// The sources of one node as one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thevenin {
    pub(super) y: Matrix3,
    pub(super) z: Matrix3,
    pub(super) u: Phases,
}

impl Thevenin {
    /// Whether its voltage drop has no digits left beside what else the node is connected by, so
    /// that the node's voltage is set from the current instead.
    pub(super) fn is_stiff(&self, others: &Matrix3) -> bool {
        size(&self.y) >= STIFF_Y.max(STIFF_RATIO * size(others))
    }

    /// What one of its sources, of admittance `y` and ideal voltage `u_ref`, adds to the current
    /// `taken` from all of them.
    pub(super) fn share(&self, taken: &Phases, y: &Matrix3, u_ref: Complex64) -> Phases {
        let share = self.z.apply(taken);
        let ideal = balanced(u_ref);
        y.apply(&[0, 1, 2].map(|p| share[p] + (ideal[p] - self.u[p])))
    }
}

/// The closed sources of each node combined.
pub(super) fn thevenin(grid: &Grid, phases: &PhaseGrid, out: &mut [Option<Thevenin>]) {
    out.fill(None);
    let sources = grid.sources.iter().zip(&phases.sources);
    for (s, y) in sources.filter(|(s, _)| s.closed) {
        out[s.node] = Some(combined(out[s.node], y, balanced(s.u_ref)));
    }
}

/// Largest own admittance of a phase.
fn size(y: &Matrix3) -> f64 {
    (0..3).map(|p| y.0[p][p].norm()).fold(0.0, f64::max)
}

/// The sources so far and one more.
fn combined(so_far: Option<Thevenin>, y: &Matrix3, u: Phases) -> Thevenin {
    let Some(before) = so_far else {
        let z = y.inverse().unwrap_or(Matrix3::ZERO);
        return Thevenin { y: *y, z, u };
    };
    let all = before.y + *y;
    let z = all.inverse().unwrap_or(Matrix3::ZERO);
    let difference = [0, 1, 2].map(|p| u[p] - before.u[p]);
    let shift = z.apply(&y.apply(&difference));
    let u = [0, 1, 2].map(|p| before.u[p] + shift[p]);
    Thevenin { y: all, z, u }
}
