//! Complex 3 by 3 matrices over the phases a, b, c, and symmetrical components (Fortescue, 1918).

use num_complex::Complex64;

use super::PhaseMask;

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// A value for each of the phases a, b, c.
pub type Phases = [Complex64; 3];

/// A matrix over the phases, by rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Matrix3(pub [Phases; 3]);

/// `1, a, a²` with `a` a third of a turn ahead: `ROTATION[k]` is `a` to the `k`.
pub(crate) const ROTATION: Phases = {
    const H: f64 = 0.866_025_403_784_438_6;
    [
        Complex64::new(1.0, 0.0),
        Complex64::new(-0.5, H),
        Complex64::new(-0.5, -H),
    ]
};

impl Matrix3 {
    /// All zero.
    pub const ZERO: Self = Self([[ZERO; 3]; 3]);

    /// A matrix with the phases' own values on the diagonal.
    #[must_use]
    pub fn diagonal(d: Phases) -> Self {
        let mut m = Self::ZERO;
        for (k, value) in d.into_iter().enumerate() {
            m.0[k][k] = value;
        }
        m
    }

    /// Phases alike: `own` on the diagonal, `mutual` elsewhere.
    #[must_use]
    pub fn balanced(own: Complex64, mutual: Complex64) -> Self {
        let mut m = Self([[mutual; 3]; 3]);
        for k in 0..3 {
            m.0[k][k] = own;
        }
        m
    }

    /// From decoupled sequences: `A diag(zero, positive, negative) A⁻¹`, a circulant matrix, and
    /// one of phases exactly alike where the positive is the negative sequence.
    #[must_use]
    pub fn from_sequences(zero: Complex64, positive: Complex64, negative: Complex64) -> Self {
        if positive == negative {
            return Self::balanced((zero + 2.0 * positive) / 3.0, (zero - positive) / 3.0);
        }
        // Entry (i, j) depends on (i - j) mod 3: phase b lags a by a third of a turn.
        let entry = |k: usize| {
            let (one, two) = (ROTATION[(3 - k) % 3], ROTATION[k]);
            (zero + positive * one + negative * two) / 3.0
        };
        let c = [entry(0), entry(1), entry(2)];
        let mut m = Self::ZERO;
        for (i, row) in m.0.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value = c[(i + 3 - j) % 3];
            }
        }
        m
    }

    /// Symmetric from its lower triangle `aa, ba, bb, ca, cb, cc`.
    #[must_use]
    pub fn symmetric([aa, ba, bb, ca, cb, cc]: [Complex64; 6]) -> Self {
        Self([[aa, ba, ca], [ba, bb, cb], [ca, cb, cc]])
    }

    /// `m x`.
    #[must_use]
    #[inline]
    pub fn apply(&self, x: &Phases) -> Phases {
        let [a, b, c] = &self.0;
        let times = |row: &Phases| row[0] * x[0] + row[1] * x[1] + row[2] * x[2];
        [times(a), times(b), times(c)]
    }

    /// `m x`, for another matrix.
    #[must_use]
    pub fn times(&self, x: &Self) -> Self {
        let mut product = Self::ZERO;
        for (row, a) in product.0.iter_mut().zip(&self.0) {
            for (j, value) in row.iter_mut().enumerate() {
                *value = a[0] * x.0[0][j] + a[1] * x.0[1][j] + a[2] * x.0[2][j];
            }
        }
        product
    }

    /// Entry by entry.
    #[must_use]
    pub fn map(&self, f: impl Fn(Complex64) -> Complex64) -> Self {
        Self(self.0.map(|row| row.map(&f)))
    }

    /// The inverse by cofactors; none when it is singular.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let m = &self.0;
        let minor = |i: usize, j: usize| {
            let (r, s) = ((i + 1) % 3, (i + 2) % 3);
            let (c, d) = ((j + 1) % 3, (j + 2) % 3);
            m[r][c] * m[s][d] - m[r][d] * m[s][c]
        };
        let determinant = (0..3).map(|j| m[0][j] * minor(0, j)).sum::<Complex64>();
        let scale = self
            .0
            .iter()
            .flatten()
            .map(|v| v.norm())
            .fold(0.0, f64::max);
        // Not a number is no inverse either.
        let regular = determinant.norm() > 1e-14 * scale.powi(3);
        if !regular {
            return None;
        }
        let mut inverse = Self::ZERO;
        for i in 0..3 {
            for j in 0..3 {
                inverse.0[i][j] = minor(j, i) / determinant;
            }
        }
        Some(inverse)
    }

    /// Only the rows and columns of these phases, the rest zero.
    #[must_use]
    pub fn masked(&self, phases: PhaseMask) -> Self {
        let mut m = Self::ZERO;
        for i in (0..3).filter(|&i| phases[i]) {
            for j in (0..3).filter(|&j| phases[j]) {
                m.0[i][j] = self.0[i][j];
            }
        }
        m
    }

    /// The inverse on these phases, zero elsewhere; none when it is singular there.
    #[must_use]
    pub fn inverse_on(&self, phases: PhaseMask) -> Option<Self> {
        if phases == [true; 3] {
            return self.inverse();
        }
        let mut m = self.masked(phases);
        let scale = m.0.iter().flatten().map(|v| v.norm()).fold(0.0, f64::max);
        for i in (0..3).filter(|&i| !phases[i]) {
            m.0[i][i] = Complex64::new(scale, 0.0);
        }
        Some(m.inverse()?.masked(phases))
    }

    /// Positive sequence: mean of the diagonal less mean of the rest.
    #[must_use]
    pub fn positive_sequence(&self) -> Complex64 {
        let m = &self.0;
        let own = m[0][0] + m[1][1] + m[2][2];
        let mutual: Complex64 = m.iter().flatten().sum::<Complex64>() - own;
        own / 3.0 - mutual / 6.0
    }
}

impl std::ops::Add for Matrix3 {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::ops::AddAssign for Matrix3 {
    fn add_assign(&mut self, other: Self) {
        for (row, with) in self.0.iter_mut().zip(other.0) {
            for (value, with) in row.iter_mut().zip(with) {
                *value += with;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_undoes() {
        let c = |re: f64, im: f64| Complex64::new(re, im);
        let m = Matrix3([
            [c(2.0, 1.0), c(0.5, -0.2), c(0.0, 0.3)],
            [c(0.1, 0.0), c(1.0, 3.0), c(-0.4, 0.0)],
            [c(0.7, 0.1), c(0.2, 0.2), c(1.5, -1.0)],
        ]);
        let x = [c(1.0, 2.0), c(-0.5, 0.1), c(0.3, -0.7)];
        let back = m.inverse().unwrap().apply(&m.apply(&x));
        for (a, b) in back.iter().zip(&x) {
            assert!((a - b).norm() < 1e-14);
        }
        assert_eq!(Matrix3::balanced(c(1.0, 0.0), c(1.0, 0.0)).inverse(), None);
    }

    /// Each sequence's voltages see their own admittance.
    #[test]
    fn sequences_are_eigenvectors() {
        let y = [
            Complex64::new(0.3, -1.0),
            Complex64::new(2.0, -5.0),
            Complex64::new(1.0, 4.0),
        ];
        let m = Matrix3::from_sequences(y[0], y[1], y[2]);
        let one = Complex64::new(1.0, 0.0);
        let sets = [
            [one; 3],
            [one, ROTATION[2], ROTATION[1]],
            [one, ROTATION[1], ROTATION[2]],
        ];
        for (y, u) in y.iter().zip(&sets) {
            for (i, u) in m.apply(u).iter().zip(u) {
                assert!((i - y * u).norm() < 1e-13);
            }
        }
        assert!((m.positive_sequence() - (y[1] + y[2]) / 2.0).norm() < 1e-13);
    }

    /// Rounding makes no difference between phases that are alike: the estimator has a short way
    /// for those.
    #[test]
    fn one_value_of_both_sequences_makes_phases_exactly_alike() {
        let (zero, positive) = (
            Complex64::new(38.9, -31.7),
            Complex64::new(1654.63, -1145.51),
        );
        let m = Matrix3::from_sequences(zero, positive, positive);
        assert_eq!(m, Matrix3::balanced(m.0[0][0], m.0[0][1]));
        let (own, mutual) = (m.0[0][0], m.0[0][1]);
        assert!((own + 2.0 * mutual - zero).norm() < 1e-12);
        assert!((own - mutual - positive).norm() < 1e-12);
    }
}
