//! What the entries of a matrix have to do in a factorisation; and complex numbers and matrices
//! over three phases as such entries.

use std::fmt::Debug;

use num_complex::Complex64;

use crate::network::{Matrix3, Phases, Sequences};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);
const ONE: Complex64 = Complex64::new(1.0, 0.0);

/// An entry of a matrix: a number or a dense square block.
pub trait Entry: Copy + Debug {
    /// What it maps to the like.
    type Vector: Copy + Debug;
    /// A diagonal entry, ready to be divided by.
    type Pivot: Copy + Debug;
    /// Nothing.
    const ZERO: Self;
    /// One.
    const IDENTITY: Self;
    /// Nothing.
    const ZERO_VECTOR: Self::Vector;
    /// One, to be divided by.
    const IDENTITY_PIVOT: Self::Pivot;
    /// Ready to be divided by; none when it is singular or not finite.
    fn pivot(&self) -> Option<Self::Pivot>;
    /// `self = pivot⁻¹ self`.
    fn divide(&mut self, pivot: &Self::Pivot);
    /// `x = pivot⁻¹ x`.
    fn solve(pivot: &Self::Pivot, x: &mut Self::Vector);
    /// `self += other`.
    fn add(&mut self, other: &Self);
    /// `self -= a b`.
    fn subtract_product(&mut self, a: &Self, b: &Self);
    /// `y -= self x`.
    fn subtract_apply(&self, x: &Self::Vector, y: &mut Self::Vector);
}

impl Entry for Complex64 {
    type Vector = Self;
    /// The inverse.
    type Pivot = Self;
    const ZERO: Self = ZERO;
    const IDENTITY: Self = ONE;
    const ZERO_VECTOR: Self = ZERO;
    const IDENTITY_PIVOT: Self = ONE;

    fn pivot(&self) -> Option<Self> {
        let inverse = ONE / self;
        (*self != ZERO && inverse.is_finite()).then_some(inverse)
    }

    fn divide(&mut self, pivot: &Self) {
        *self *= pivot;
    }

    #[inline]
    fn solve(pivot: &Self, x: &mut Self) {
        *x *= pivot;
    }

    fn add(&mut self, other: &Self) {
        *self += other;
    }

    fn subtract_product(&mut self, a: &Self, b: &Self) {
        *self -= a * b;
    }

    #[inline]
    fn subtract_apply(&self, x: &Self, y: &mut Self) {
        *y -= self * x;
    }
}

impl Entry for Matrix3 {
    type Vector = Phases;
    /// The inverse.
    type Pivot = Self;
    const ZERO: Self = Self::ZERO;
    const IDENTITY: Self = Self([[ONE, ZERO, ZERO], [ZERO, ONE, ZERO], [ZERO, ZERO, ONE]]);
    const ZERO_VECTOR: Phases = [ZERO; 3];
    const IDENTITY_PIVOT: Self = Self::IDENTITY;

    fn pivot(&self) -> Option<Self> {
        invert(*self)
    }

    fn divide(&mut self, pivot: &Self) {
        *self = pivot.times(self);
    }

    #[inline]
    fn solve(pivot: &Self, x: &mut Phases) {
        *x = pivot.apply(x);
    }

    fn add(&mut self, other: &Self) {
        *self += *other;
    }

    fn subtract_product(&mut self, a: &Self, b: &Self) {
        for (c, a) in self.0.iter_mut().zip(&a.0) {
            for (j, c) in c.iter_mut().enumerate() {
                *c -= a[0] * b.0[0][j] + a[1] * b.0[1][j] + a[2] * b.0[2][j];
            }
        }
    }

    #[inline]
    fn subtract_apply(&self, x: &Phases, y: &mut Phases) {
        for (y, row) in y.iter_mut().zip(&self.0) {
            *y -= row[0] * x[0] + row[1] * x[1] + row[2] * x[2];
        }
    }
}

/// Of its sequences, the weakest to the strongest: below, what rounding leaves of the weakest in a
/// sum over phases is not worth dividing by.
const WEAKEST: f64 = 1e-7;

impl Entry for Sequences {
    type Vector = Phases;
    /// The inverse.
    type Pivot = Self;
    const ZERO: Self = Self([ZERO; 3]);
    const IDENTITY: Self = Self([ONE; 3]);
    const ZERO_VECTOR: Phases = [ZERO; 3];
    const IDENTITY_PIVOT: Self = Self::IDENTITY;

    /// Also none when one of the sequences is so weak that the phases are better taken together.
    fn pivot(&self) -> Option<Self> {
        let sizes = self.0.map(|y| y.norm_sqr());
        let most = sizes.into_iter().fold(0.0, f64::max);
        let least = sizes.into_iter().fold(f64::INFINITY, f64::min);
        if least < WEAKEST * WEAKEST * most {
            return None;
        }
        let [zero, positive, negative] = self.0.map(|y| y.pivot());
        Some(Self([zero?, positive?, negative?]))
    }

    fn divide(&mut self, pivot: &Self) {
        self.0 = pivot.apply(&self.0);
    }

    #[inline]
    fn solve(pivot: &Self, x: &mut Phases) {
        *x = pivot.apply(x);
    }

    fn add(&mut self, other: &Self) {
        for (y, other) in self.0.iter_mut().zip(&other.0) {
            *y += other;
        }
    }

    fn subtract_product(&mut self, a: &Self, b: &Self) {
        for (k, y) in self.0.iter_mut().enumerate() {
            *y -= a.0[k] * b.0[k];
        }
    }

    #[inline]
    fn subtract_apply(&self, x: &Phases, y: &mut Phases) {
        for (k, y) in y.iter_mut().enumerate() {
            *y -= self.0[k] * x[k];
        }
    }
}

/// The inverse by Gauss-Jordan elimination with partial pivoting. Unlike
/// [`Matrix3::inverse`] it is there for whatever is not exactly singular: phases between two
/// deltas have a zero sequence weaker by many digits.
fn invert(mut a: Matrix3) -> Option<Matrix3> {
    let mut inverse = Matrix3::IDENTITY;
    for k in 0..3 {
        let mut best = k;
        for i in k + 1..3 {
            if a.0[i][k].norm_sqr() > a.0[best][k].norm_sqr() {
                best = i;
            }
        }
        a.0.swap(k, best);
        inverse.0.swap(k, best);
        let scale = a.0[k][k].pivot()?;
        for j in 0..3 {
            a.0[k][j] *= scale;
            inverse.0[k][j] *= scale;
        }
        for i in (0..3).filter(|&i| i != k) {
            let factor = a.0[i][k];
            for j in 0..3 {
                let (own, by) = (a.0[k][j], inverse.0[k][j]);
                a.0[i][j] -= factor * own;
                inverse.0[i][j] -= factor * by;
            }
        }
    }
    Some(inverse)
}
