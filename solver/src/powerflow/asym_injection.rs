//! What loads and generators inject by phase, and how that follows the voltage: in wye from the
//! phases to ground, in delta from phase to phase (Kersting, "Distribution System Modeling and
//! Analysis", chapter 9).

use num_complex::Complex64;

use super::appliances::{Zip, power_of};
use crate::network::{Appliance, Connection, Grid, LEGS, LoadKind, PhaseGrid, Phases};
use crate::sparse::Block;

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// Voltage between two phases at 1 pu.
const LINE_TO_LINE: f64 = 1.732_050_807_568_877_2;

/// The appliances of each node, summed.
#[derive(Clone, Debug)]
pub(super) struct Injections {
    /// From the phases a, b, c to ground.
    wye: Vec<[Zip; 3]>,
    /// Of the legs ab, bc, ca; only as long as there is one.
    delta: Vec<[Zip; 3]>,
}

impl Injections {
    /// None at any of the grid's nodes.
    pub(super) fn new(grid: &Grid) -> Self {
        let n = grid.node_id.len();
        let delta = |a: &Appliance| a.connection == Connection::Delta;
        let any = grid.appliances.iter().any(delta);
        Self {
            wye: vec![[Zip::default(); 3]; n],
            delta: vec![[Zip::default(); 3]; if any { n } else { 0 }],
        }
    }

    /// Takes over the appliances as they are now; allocates nothing.
    pub(super) fn follow(&mut self, grid: &Grid, phases: &PhaseGrid) {
        self.wye.fill([Zip::default(); 3]);
        self.delta.fill([Zip::default(); 3]);
        let appliances = grid.appliances.iter().zip(&phases.appliances);
        for (a, s) in appliances.filter(|(a, _)| a.closed) {
            let zips = match a.connection {
                Connection::Wye => &mut self.wye[a.node],
                Connection::Delta => &mut self.delta[a.node],
            };
            for (zip, &s) in zips.iter_mut().zip(s) {
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
        let mut current = [0, 1, 2].map(|p| injected(&self.wye[i][p], u[p], 1.0));
        if let Some(legs) = self.delta.get(i) {
            for (zip, (p, q)) in legs.iter().zip(LEGS) {
                if u[p] != ZERO && u[q] != ZERO {
                    let leg = injected(zip, u[p] - u[q], LINE_TO_LINE);
                    current[p] += leg;
                    current[q] -= leg;
                }
            }
        }
        current
    }

    /// Takes the derivative of [`current`](Self::current) by the real and imaginary parts of the
    /// voltages (three real parts first, then the imaginary ones) off a block.
    pub(super) fn subtract_slope(&self, i: usize, u: &Phases, block: &mut Block<6>) {
        for (p, zip) in self.wye[i].iter().enumerate() {
            subtract(block, (p, p), &slope(zip, u[p], 1.0), 1.0);
        }
        if let Some(legs) = self.delta.get(i) {
            for (zip, (p, q)) in legs.iter().zip(LEGS) {
                if u[p] != ZERO && u[q] != ZERO {
                    let slope = slope(zip, u[p] - u[q], LINE_TO_LINE);
                    for (at, sign) in [((p, p), 1.0), ((q, q), 1.0), ((p, q), -1.0), ((q, p), -1.0)]
                    {
                        subtract(block, at, &slope, sign);
                    }
                }
            }
        }
    }
}

/// Power that each phase of an appliance with the powers `s` at 1 pu injects, pu; of one in delta,
/// what its terminals do.
pub(super) fn powers(appliance: &Appliance, s: &Phases, u: &Phases) -> Phases {
    match appliance.connection {
        Connection::Wye => [0, 1, 2].map(|p| power_of(appliance, s[p], u[p].norm())),
        Connection::Delta => {
            let mut powers = [ZERO; 3];
            for (&s, (p, q)) in s.iter().zip(LEGS) {
                if u[p] == ZERO || u[q] == ZERO || u[p] == u[q] {
                    continue;
                }
                let across = u[p] - u[q];
                let leg = power_of(appliance, s, across.norm() / LINE_TO_LINE) / across;
                powers[p] += u[p] * leg;
                powers[q] -= u[q] * leg;
            }
            powers
        }
    }
}

/// Current through appliances with the voltage `u` across them, `rated` at 1 pu.
fn injected(zip: &Zip, u: Complex64, rated: f64) -> Complex64 {
    if u == ZERO {
        return ZERO;
    }
    (zip.at(u.norm() / rated) / u).conj()
}

/// Its derivative `a du + b conj(du)` as a real matrix on real and imaginary parts.
fn slope(zip: &Zip, u: Complex64, rated: f64) -> [[f64; 2]; 2] {
    if u == ZERO {
        return [[0.0; 2]; 2];
    }
    let magnitude = u.norm();
    let half_current = zip.current.conj() * (0.5 / rated);
    let a = zip.impedance.conj() / (rated * rated) + half_current / magnitude;
    let b = -(zip.power.conj() + half_current * magnitude) / (u.conj() * u.conj());
    [[a.re + b.re, b.im - a.im], [a.im + b.im, a.re - b.re]]
}

/// Takes a slope, with a sign, off a block's entry for two phases.
fn subtract(block: &mut Block<6>, (p, q): (usize, usize), slope: &[[f64; 2]; 2], sign: f64) {
    for (i, row) in slope.iter().enumerate() {
        for (j, value) in row.iter().enumerate() {
            block[p + 3 * i][q + 3 * j] -= sign * value;
        }
    }
}
