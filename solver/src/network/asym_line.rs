//! Matrices of a line by phase: Kron's reduction of the neutral, capacitances (Kersting,
//! "Distribution System Modeling and Analysis", chapters 4 and 5).

use std::f64::consts::PI;

use num_complex::Complex64;

use super::matrix3::Matrix3;
use super::{AsymLine, PhaseMask};

impl AsymLine {
    pub(super) fn series_values(&self) -> [(&'static str, f64); 12] {
        [
            ("r_aa", self.r_aa),
            ("r_ba", self.r_ba),
            ("r_bb", self.r_bb),
            ("r_ca", self.r_ca),
            ("r_cb", self.r_cb),
            ("r_cc", self.r_cc),
            ("x_aa", self.x_aa),
            ("x_ba", self.x_ba),
            ("x_bb", self.x_bb),
            ("x_ca", self.x_ca),
            ("x_cb", self.x_cb),
            ("x_cc", self.x_cc),
        ]
    }

    pub(super) fn neutral_values(&self) -> [(&'static str, Option<f64>); 8] {
        [
            ("r_na", self.r_na),
            ("r_nb", self.r_nb),
            ("r_nc", self.r_nc),
            ("r_nn", self.r_nn),
            ("x_na", self.x_na),
            ("x_nb", self.x_nb),
            ("x_nc", self.x_nc),
            ("x_nn", self.x_nn),
        ]
    }

    pub(super) fn capacitance_values(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("c_aa", self.c_aa),
            ("c_ba", self.c_ba),
            ("c_bb", self.c_bb),
            ("c_ca", self.c_ca),
            ("c_cb", self.c_cb),
            ("c_cc", self.c_cc),
        ]
    }

    /// Series admittance, S, of these of its phases, the neutral reduced; none where the impedance
    /// has no inverse.
    pub(super) fn series_admittance_ohm(&self, phases: PhaseMask) -> Option<Matrix3> {
        let series = self.series_values().map(|(_, v)| v);
        let mut z = Matrix3::symmetric(std::array::from_fn(|k| {
            Complex64::new(series[k], series[k + 6])
        }));
        if let (Some(r_nn), Some(x_nn)) = (self.r_nn, self.x_nn) {
            let own = Complex64::new(r_nn, x_nn);
            if own == Complex64::ZERO {
                return None;
            }
            // Of phases the line does not have, nothing is given.
            let part =
                |r: Option<f64>, x: Option<f64>| Complex64::new(r.unwrap_or(0.0), x.unwrap_or(0.0));
            let to_neutral = [
                part(self.r_na, self.x_na),
                part(self.r_nb, self.x_nb),
                part(self.r_nc, self.x_nc),
            ];
            for (i, row) in z.0.iter_mut().enumerate() {
                for (j, value) in row.iter_mut().enumerate() {
                    *value -= to_neutral[i] * to_neutral[j] / own;
                }
            }
        }
        z.inverse_on(phases)
            .filter(|y| y.0.iter().flatten().all(|v| v.is_finite()))
    }

    /// Shunt admittance of the whole line at this frequency, Hz: S.
    pub(super) fn shunt_admittance_ohm(&self, f: f64) -> Matrix3 {
        let y = |c: f64| Complex64::new(0.0, 2.0 * PI * f * c);
        if let (Some(c0), Some(c1)) = (self.c0, self.c1) {
            return Matrix3::balanced(y((2.0 * c1 + c0) / 3.0), y((c0 - c1) / 3.0));
        }
        Matrix3::symmetric(self.capacitance_values().map(|(_, c)| y(c.unwrap_or(0.0))))
    }
}
