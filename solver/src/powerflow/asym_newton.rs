//! Newton-Raphson by phase, on the balance of currents in rectangular coordinates.
//!
//! Unknowns per node are the real and imaginary parts of the three voltages, equations those of
//! the currents: 6 by 6 blocks of which only the diagonal ones change (Garcia et al., IEEE Trans.
//! Power Systems, 2000). A factor is kept as long as the steps shrink fast enough with it.

use num_complex::Complex64;

use super::asym_injection::Injections;
use super::case::{Case, Largest};
use super::structure::{Edge, YBus};
use crate::network::{Matrix3, Phases};
use crate::sparse::{Block, BlockLu, Lu, Singular};

const EMPTY: Block<6> = [[0.0; 6]; 6];

/// The factor and room for an iteration.
#[derive(Clone, Debug)]
pub(super) struct AsymNewton {
    jacobian: BlockLu<6>,
    step: Vec<[f64; 6]>,
    /// Currents that are missing.
    missing: Vec<Phases>,
}

impl AsymNewton {
    pub(super) fn new(y: &YBus<Matrix3>) -> Self {
        let n = y.diagonal.len();
        Self {
            jacobian: Lu::on(y.pattern.clone()),
            step: vec![[0.0; 6]; n],
            missing: vec![[Complex64::ZERO; 3]; n],
        }
    }

    /// Factors the derivative of the balance of currents at the case's voltages.
    pub(super) fn factor(
        &mut self,
        case: &Case<Matrix3>,
        injections: &Injections,
    ) -> Result<(), Singular> {
        let Case { y, role, u, .. } = case;
        let (diagonal, upper, lower) = self.jacobian.triangles();
        for &block in &y.fill_in {
            (upper[block as usize], lower[block as usize]) = (EMPTY, EMPTY);
        }
        let entry = |row: usize, y: &Matrix3| {
            if role[row].is_solved() {
                real(y)
            } else {
                EMPTY
            }
        };
        for k in 0..u.len() {
            diagonal[k] = if role[k].is_solved() {
                let mut block = real(&y.diagonal[k]);
                injections.subtract_slope(k, &u[k], &mut block);
                block
            } else {
                real(&Matrix3::diagonal([Complex64::ONE; 3]))
            };
            for e in y.start[k]..y.start[k + 1] {
                let Edge { later, block } = y.edge[e];
                upper[block as usize] = entry(k, &y.upper[e]);
                lower[block as usize] = entry(later as usize, &y.lower[e]);
            }
        }
        for s in case.sources.iter().filter(|s| role[s.row].is_solved()) {
            let own = real(&s.y);
            for (row, own) in diagonal[s.row].iter_mut().zip(&own) {
                for (value, own) in row.iter_mut().zip(own) {
                    *value += own;
                }
            }
        }
        self.jacobian.factor()
    }

    /// One step with the present factor; the largest change of a voltage, pu.
    pub(super) fn iterate(&mut self, case: &mut Case<Matrix3>, injections: &Injections) -> f64 {
        case.missing(&mut self.missing, |k, u| injections.current(k, u));
        for (step, missing) in self.step.iter_mut().zip(&self.missing) {
            let [a, b, c] = missing;
            *step = [a.re, b.re, c.re, a.im, b.im, c.im];
        }
        self.jacobian.solve_in_order(&mut self.step);
        let mut change = Largest::default();
        for (u, &[a, b, c, a_im, b_im, c_im]) in case.u.iter_mut().zip(&self.step) {
            let step = [(a, a_im), (b, b_im), (c, c_im)];
            for (u, (re, im)) in u.iter_mut().zip(step) {
                let du = Complex64::new(re, im);
                change.add(du.norm_sqr());
                *u += du;
            }
        }
        change.root()
    }
}

/// A complex matrix as a real one on real and imaginary parts.
fn real(y: &Matrix3) -> Block<6> {
    let mut block = EMPTY;
    for i in 0..3 {
        for j in 0..3 {
            let y = y.0[i][j];
            block[i][j] = y.re;
            block[i][j + 3] = -y.im;
            block[i + 3][j] = y.im;
            block[i + 3][j + 3] = y.re;
        }
    }
    block
}
