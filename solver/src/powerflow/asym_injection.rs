//! What loads and generators inject by phase, and how that follows the voltage.

use num_complex::Complex64;

use super::appliances::Zip;
use crate::network::{Grid, LoadKind, PhaseGrid, Phases};
use crate::sparse::Block;

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// The appliances of each node, summed.
#[derive(Clone, Debug)]
pub(super) struct Injections {
    zip: Vec<[Zip; 3]>,
}

impl Injections {
    /// None at any of `n` nodes.
    pub(super) fn new(n: usize) -> Self {
        Self {
            zip: vec![[Zip::default(); 3]; n],
        }
    }

    /// Takes over the appliances as they are now; allocates nothing.
    pub(super) fn follow(&mut self, grid: &Grid, phases: &PhaseGrid) {
        self.zip.fill([Zip::default(); 3]);
        let appliances = grid.appliances.iter().zip(&phases.appliances);
        for (a, s) in appliances.filter(|(a, _)| a.closed) {
            for (zip, &s) in self.zip[a.node].iter_mut().zip(s) {
                match a.load_kind {
                    LoadKind::Power => zip.power += s,
                    LoadKind::Current => zip.current += s,
                    LoadKind::Impedance => zip.impedance += s,
                }
            }
        }
    }

    /// Current that the appliances of node `i` inject at its voltages `u`, pu.
    pub(super) fn current(&self, i: usize, u: &Phases) -> Phases {
        [0, 1, 2].map(|p| injected(&self.zip[i][p], u[p]))
    }

    /// Takes the derivative of [`current`](Self::current) by the real and imaginary parts of the
    /// voltages (three real parts first, then the imaginary ones) off a block.
    pub(super) fn subtract_slope(&self, i: usize, u: &Phases, block: &mut Block<6>) {
        for (p, zip) in self.zip[i].iter().enumerate() {
            subtract_slope(block, p, zip, u[p]);
        }
    }
}

/// Current a phase's appliances inject.
fn injected(zip: &Zip, u: Complex64) -> Complex64 {
    if u == ZERO {
        return ZERO;
    }
    (zip.at(u.norm()) / u).conj()
}

/// Takes the derivative of a phase's injected current, `a du + b conj(du)`, off the diagonal block.
fn subtract_slope(block: &mut Block<6>, p: usize, zip: &Zip, u: Complex64) {
    if u == ZERO {
        return;
    }
    let magnitude = u.norm();
    let half_current = zip.current.conj() * 0.5;
    let a = zip.impedance.conj() + half_current / magnitude;
    let b = -(zip.power.conj() + half_current * magnitude) / (u.conj() * u.conj());
    block[p][p] -= a.re + b.re;
    block[p][p + 3] -= b.im - a.im;
    block[p + 3][p] -= a.im + b.im;
    block[p + 3][p + 3] -= a.re - b.re;
}
