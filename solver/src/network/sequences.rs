//! Symmetrical components (Fortescue, 1918): the phases as zero, positive and negative sequence.
//! What treats its phases alike, a matrix whose rows are each the one before shifted by one, couples
//! no two sequences: nine products become three.

use num_complex::Complex64;

use super::matrix3::{Matrix3, Phases, ROTATION};

/// Half the square root of three.
const H: f64 = ROTATION[1].im;

/// A matrix over the phases by its zero, positive and negative sequence, which it does not couple.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sequences(pub Phases);

impl Sequences {
    /// The sequences of a matrix; none when it couples them.
    #[must_use]
    pub fn of(m: &Matrix3) -> Option<Self> {
        let [first, second, third] = &m.0;
        let shifted = |row: &Phases| [row[2], row[0], row[1]];
        if *second != shifted(first) || *third != shifted(second) {
            return None;
        }
        // The first column: entry (i, 0) is that of rows `i` apart.
        let [own, next, last] = [first[0], second[0], third[0]];
        let sequence = |a: Complex64, b: Complex64| own + next * a + last * b;
        Some(Self([
            own + next + last,
            sequence(ROTATION[1], ROTATION[2]),
            sequence(ROTATION[2], ROTATION[1]),
        ]))
    }

    /// `m x`, both by sequence.
    #[must_use]
    #[inline]
    pub fn apply(&self, x: &Phases) -> Phases {
        let m = &self.0;
        [m[0] * x[0], m[1] * x[1], m[2] * x[2]]
    }

    /// Zero, positive and negative sequence of what the phases have.
    #[must_use]
    #[inline]
    pub fn split(x: &Phases) -> Phases {
        let [zero, one, two] = combine(x, 1.0);
        [zero, one, two].map(|x| x * (1.0 / 3.0))
    }

    /// What the phases have of these sequences.
    #[must_use]
    #[inline]
    pub fn join(x: &Phases) -> Phases {
        combine(x, -1.0)
    }
}

/// `x0 + x1 + x2`, `x0 + a x1 + a² x2` and `x0 + a² x1 + a x2`, with `a` a third of a turn ahead by
/// `sign`.
#[inline(always)]
fn combine(x: &Phases, sign: f64) -> Phases {
    let sum = x[1] + x[2];
    let half = x[0] - sum * 0.5;
    let difference = (x[1] - x[2]) * (sign * H);
    // Times the imaginary unit.
    let across = Complex64::new(-difference.im, difference.re);
    [x[0] + sum, half + across, half - across]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::balanced;

    fn c(re: f64, im: f64) -> Complex64 {
        Complex64::new(re, im)
    }

    #[test]
    fn a_balanced_voltage_is_positive_sequence() {
        let u = c(0.9, 0.3);
        let [zero, positive, negative] = Sequences::split(&balanced(u));
        assert!(zero.norm() < 1e-15 && negative.norm() < 1e-15);
        assert!((positive - u).norm() < 1e-15);
    }

    #[test]
    fn sequences_of_a_matrix_are_those_it_was_made_of() {
        let made = [c(0.2, -3.0), c(5.0, 1.0), c(-0.7, 2.0)];
        let m = Matrix3::from_sequences(made[0], made[1], made[2]);
        let sequences = Sequences::of(&m).expect("it couples none");
        let x = [c(1.0, 0.1), c(-0.3, 0.8), c(0.0, -2.0)];
        for k in 0..3 {
            assert!((sequences.0[k] - made[k]).norm() < 1e-14);
        }
        let by_phase = m.apply(&x);
        let by_sequence = Sequences::join(&sequences.apply(&Sequences::split(&x)));
        for (a, b) in by_phase.iter().zip(&by_sequence) {
            assert!((a - b).norm() < 1e-14);
        }
    }

    #[test]
    fn an_untransposed_line_couples_them() {
        let mut m = Matrix3::balanced(c(1.0, 2.0), c(0.1, 0.3));
        assert!(Sequences::of(&m).is_some());
        m.0[2][0] += 1e-12;
        assert_eq!(Sequences::of(&m), None);
    }
}
