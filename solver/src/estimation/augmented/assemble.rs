//! The blocks of the augmented matrix at a state.

use num_complex::Complex64;

use super::End;
use super::evaluate::{Port, Slope, by_end};
use super::{Admittance, Augmented};
use crate::sparse::{Block, Singular};

/// Information on what is fixed. Large enough to hold it still, and not to be lost beside it.
const FIXED: f64 = 1e20;
/// Variance of what is not known, pu: nothing of a distribution grid comes near.
const UNKNOWN: f64 = 1e8;

impl<const P: usize, const B: usize> Augmented<P, B> {
    /// Factors the matrix at the present state, which has been evaluated.
    pub(super) fn factor(&mut self) -> Result<(), Singular> {
        self.assemble();
        self.ldl.factor()
    }

    pub(super) fn assemble(&mut self) {
        self.ldl.clear();
        for k in 0..self.u.len() {
            self.own_block(k);
        }
        for k in 0..self.flat.branches.len() {
            self.coupling_block(k);
        }
        self.voltage_information();
        self.flow_information();
        for (k, fixed) in self.flat.fixed.iter().enumerate() {
            let block = self.ldl.diagonal_mut(k);
            for (p, fixed) in fixed.iter().enumerate() {
                if fixed.magnitude {
                    block[2 * p][2 * p] = FIXED;
                }
                if fixed.angle {
                    block[2 * p + 1][2 * p + 1] = FIXED;
                }
            }
        }
    }

    /// Derivative of a node's injections by its own voltages, and the injections' variances.
    fn own_block(&mut self, k: usize) {
        let u = &self.u[k];
        let block = self.ldl.diagonal_mut(k);
        for p in 0..P {
            for q in 0..P {
                let c = u[p] * (self.folded.own[k][p][q] * u[q]).conj();
                add_conjugate(block, 2 * (P + p), 2 * q, c);
                add_conjugate(block, 2 * q, 2 * (P + p), c);
            }
            let s = u[p] * self.current[k][p].conj();
            let (row, column) = (2 * (P + p), 2 * p);
            for (i, j, value) in [(0, 0, s.re), (0, 1, -s.im), (1, 0, s.im), (1, 1, s.re)] {
                block[row + i][column + j] += value;
                block[column + j][row + i] += value;
            }
            for (part, g) in self.flat.injections[k][p].iter().enumerate() {
                block[row + part][row + part] -= g.variance.min(UNKNOWN);
            }
        }
    }

    /// Derivative of the injections at either end of a branch by the voltages at the other one.
    fn coupling_block(&mut self, k: usize) {
        let Some(at) = self.coupling[k] else { return };
        let block = self.ldl.coupling_mut(at, false);
        let ports = [End::From(k), End::To(k)].map(|end| Port::new(&self.flat, end));
        for port in ports {
            let first = port.own < port.other;
            for p in 0..P {
                for q in 0..P {
                    let y = port.y_mutual[p][q];
                    let c = self.u[port.own][p] * (y * self.u[port.other][q]).conj();
                    if first {
                        add_conjugate(block, 2 * (P + p), 2 * q, c);
                    } else {
                        add_conjugate(block, 2 * q, 2 * (P + p), c);
                    }
                }
            }
        }
    }

    fn voltage_information(&mut self) {
        for m in &self.flat.magnitudes {
            let at = 2 * m.phase;
            let v2 = self.u[m.node][m.phase].norm_sqr();
            self.ldl.diagonal_mut(m.node)[at][at] += m.weight * v2;
        }
        for m in &self.flat.angles {
            let at = 2 * m.phase + 1;
            self.ldl.diagonal_mut(m.node)[at][at] += m.weight;
        }
        for (m, direction) in &self.flat.phasors {
            let seen = Complex64::cis(-direction) * self.u[m.node][m.phase];
            let mut row = [0.0; B];
            (row[2 * m.phase], row[2 * m.phase + 1]) = (seen.re, -seen.im);
            add_information(self.ldl.diagonal_mut(m.node), m.weight, &row, &row);
        }
    }

    fn flow_information(&mut self) {
        for group in by_end(&self.flat.flows) {
            let end = group[0].end;
            let port = Port::new(&self.flat, end);
            let i = port.current(&self.u);
            let at = match end {
                End::From(k) | End::To(k) => self.coupling[k],
                End::Shunt(_) => None,
            };
            for flow in group {
                let p = flow.phase;
                let slope = Slope::new(flow.kind, self.u[port.own][p], i[p]);
                let row = |y: &Admittance<P>, u: &[Complex64; P], across: Complex64| {
                    let mut row = [0.0; B];
                    for q in 0..P {
                        let mut c = slope.along * y[p][q] * u[q];
                        if q == p {
                            c += across;
                        }
                        (row[2 * q], row[2 * q + 1]) = (c.re, -c.im);
                    }
                    row
                };
                let own = row(port.y_own, &self.u[port.own], slope.across);
                let other = row(port.y_mutual, &self.u[port.other], Complex64::ZERO);
                add_information(self.ldl.diagonal_mut(port.own), flow.weight, &own, &own);
                add_information(
                    self.ldl.diagonal_mut(port.other),
                    flow.weight,
                    &other,
                    &other,
                );
                if let Some(at) = at {
                    let block = self.ldl.coupling_mut(at, true);
                    if port.own < port.other {
                        add_information(block, flow.weight, &own, &other);
                    } else {
                        add_information(block, flow.weight, &other, &own);
                    }
                }
            }
        }
    }
}

/// Adds the real form of `dz ↦ c dz*`, which is its own transpose.
fn add_conjugate<const B: usize>(block: &mut Block<B>, row: usize, column: usize, c: Complex64) {
    block[row][column] += c.re;
    block[row][column + 1] += c.im;
    block[row + 1][column] += c.im;
    block[row + 1][column + 1] -= c.re;
}

/// Adds `weight a bᵀ` to the quarter of the voltages.
fn add_information<const B: usize>(block: &mut Block<B>, weight: f64, a: &[f64; B], b: &[f64; B]) {
    for i in 0..B / 2 {
        let factor = weight * a[i];
        for j in 0..B / 2 {
            block[i][j] += factor * b[j];
        }
    }
}
