//! Newton-Raphson in polar form with relative voltage steps.
//!
//! Unknowns per node are `(dθ, dU/U)`, equations the balance of P and Q: 2 by 2 blocks on the
//! pattern of the bus admittance matrix (Tinney and Hart, 1967; Monticelli, 1999, chapter 4).

use num_complex::Complex64;

use super::appliances::Zip;
use super::case::{Case, Largest, Role};
use super::regulation::Regulation;
use super::structure::{Edge, YBus};
use crate::network::Grid;
use crate::sparse::{Block, BlockLu, Lu, Singular};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// Factors and room for an iteration.
#[derive(Clone, Debug)]
pub(super) struct Newton {
    /// Of the linear network to start from.
    linear: Lu<Complex64>,
    jacobian: BlockLu<2>,
    /// Mismatch, then step.
    step: Vec<[f64; 2]>,
    /// Currents that branches and shunts take.
    current: Vec<Complex64>,
}

/// A row's derivatives by another row's voltage, from `u conj(y u_other)`.
fn coupling(a: Complex64) -> Block<2> {
    [[a.im, a.re], [-a.re, a.im]]
}

impl Newton {
    pub(super) fn new(y: &YBus<Complex64>) -> Self {
        let n = y.diagonal.len();
        Self {
            linear: Lu::on(y.pattern.clone()),
            jacobian: Lu::on(y.pattern.clone()),
            step: vec![[0.0; 2]; n],
            current: vec![ZERO; n],
        }
    }

    /// Makes the case's voltages those of the network with loads and generators as impedances of
    /// their rated power.
    pub(super) fn start(&mut self, case: &mut Case<Complex64>, zip: &[Zip], grid: &Grid) {
        let own = |k: usize| -zip[k].rated().conj();
        let loaded = case.y.load(&mut self.linear, &case.role, own).is_some();
        let u = &mut case.u;
        u.fill(ZERO);
        for s in &case.sources {
            match case.role[s.row] {
                Role::Dead => {}
                Role::Stiff => u[s.row] = s.u,
                Role::Free | Role::Held => {
                    self.linear.triangles().0[s.row] += s.y;
                    u[s.row] = s.y * s.u;
                }
            }
        }
        // Impedances that happen to cancel need not stop the power flow itself.
        let solved = loaded && self.linear.factor().is_ok();
        if solved {
            self.linear.solve_in_order(u);
        }
        for (k, &node) in case.y.pattern.order().iter().enumerate() {
            // A voltage without a magnitude has no direction to start from either.
            let usable = solved && u[k].is_finite() && u[k].norm_sqr() > 0.05 * 0.05;
            if case.role[k].is_solved() && !usable {
                u[k] = Complex64::from_polar(1.0, grid.clock_angle[node]);
            }
        }
    }

    /// One iteration; the largest change of a voltage, pu.
    pub(super) fn iterate(
        &mut self,
        case: &mut Case<Complex64>,
        zip: &[Zip],
        regulation: &Regulation,
    ) -> Result<f64, Singular> {
        self.linearise(case, zip, regulation);
        self.jacobian.factor()?;
        self.jacobian.solve_in_order(&mut self.step);
        let mut change = Largest::default();
        let rows = case.u.iter_mut().zip(&self.step).zip(&case.role);
        for ((u, &[angle, relative]), _) in rows.filter(|(_, role)| role.is_solved()) {
            // A turn by `angle`, to third order and without a change of magnitude (Cayley).
            let half = Complex64::new(1.0, 0.5 * angle);
            let turn = half * half / half.norm_sqr();
            let step = *u * (turn * (1.0 + relative) - 1.0);
            change.add(step.norm_sqr());
            *u += step;
        }
        Ok(change.root())
    }

    /// The Jacobian of (calculated - specified) power, and specified - calculated.
    fn linearise(&mut self, case: &Case<Complex64>, zip: &[Zip], regulation: &Regulation) {
        let Case { y, role, u, .. } = case;
        let (_, upper, lower) = self.jacobian.triangles();
        for &block in &y.fill_in {
            (upper[block as usize], lower[block as usize]) = ([[0.0; 2]; 2], [[0.0; 2]; 2]);
        }
        self.current.fill(ZERO);
        for k in 0..u.len() {
            let own = u[k];
            let mut current = self.current[k] + y.total[k] * own;
            let (_, upper, lower) = self.jacobian.triangles();
            for e in y.start[k]..y.start[k + 1] {
                let Edge { later, block } = y.edge[e];
                let (later, block) = (later as usize, block as usize);
                let (up, down) = (y.upper[e], y.lower[e]);
                let difference = u[later] - own;
                current += up * difference;
                self.current[later] -= down * difference;
                upper[block] = row(role[k], own * (up * u[later]).conj());
                lower[block] = row(role[later], u[later] * (down * own).conj());
            }
            self.current[k] = current;
            self.balance(k, case, &zip[k]);
        }
        for s in &case.sources {
            self.add_source(s.row, s.y, s.u, case);
        }
        // Last: it overwrites what a balance of Q has there.
        for (k, _) in role
            .iter()
            .enumerate()
            .filter(|(_, role)| **role == Role::Held)
        {
            let magnitude = u[k].norm();
            let node = y.pattern.order()[k];
            if let Some(hold) = &regulation.hold[node] {
                self.jacobian.triangles().0[k][1] = [0.0, magnitude];
                self.step[k][1] = hold.u_ref - magnitude;
            }
        }
    }

    /// Diagonal block and mismatch of a row whose current is complete.
    fn balance(&mut self, k: usize, case: &Case<Complex64>, zip: &Zip) {
        let (diagonal, ..) = self.jacobian.triangles();
        if !case.role[k].is_solved() {
            diagonal[k] = [[1.0, 0.0], [0.0, 1.0]];
            self.step[k] = [0.0; 2];
            return;
        }
        let u = case.u[k];
        let square = u.norm_sqr();
        let magnitude = square.sqrt();
        let s = u * self.current[k].conj();
        let a = case.y.diagonal[k].conj() * square;
        let slope = zip.slope(magnitude);
        diagonal[k] = [
            [a.im - s.im, a.re + s.re - slope.re],
            [s.re - a.re, a.im + s.im - slope.im],
        ];
        let mismatch = zip.at(magnitude) - s;
        self.step[k] = [mismatch.re, mismatch.im];
    }

    /// Adds a source to the balance of its row.
    fn add_source(&mut self, k: usize, y: Complex64, u_source: Complex64, case: &Case<Complex64>) {
        if !case.role[k].is_solved() {
            return;
        }
        let u = case.u[k];
        let s = u * (y * (u - u_source)).conj();
        let a = y.conj() * u.norm_sqr();
        let block = &mut self.jacobian.triangles().0[k];
        let own = [[a.im - s.im, a.re + s.re], [s.re - a.re, a.im + s.im]];
        for (row, own) in block.iter_mut().zip(own) {
            row[0] += own[0];
            row[1] += own[1];
        }
        self.step[k][0] -= s.re;
        self.step[k][1] -= s.im;
    }
}

/// A row's block by another row's voltage.
fn row(role: Role, a: Complex64) -> Block<2> {
    match role {
        Role::Free => coupling(a),
        Role::Held => [coupling(a)[0], [0.0; 2]],
        Role::Dead | Role::Stiff => [[0.0; 2]; 2],
    }
}
