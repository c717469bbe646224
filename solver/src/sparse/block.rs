//! Dense `B` by `B` blocks: products, and LU with partial pivoting for the diagonal ones. All inner
//! loops run along rows, whose length the compiler knows, so that it unrolls and vectorises them.

use super::entry::Entry;

/// A dense square block, by rows.
pub type Block<const B: usize> = [[f64; B]; B];

/// The factor of a diagonal block: `L` and `U` in one square, rows in pivot order, the diagonal of
/// `U` inverted.
#[derive(Clone, Copy, Debug)]
pub struct Pivot<const B: usize> {
    lu: Block<B>,
    row: [usize; B],
}

const fn identity<const B: usize>() -> Block<B> {
    let mut block = [[0.0; B]; B];
    let mut i = 0;
    while i < B {
        block[i][i] = 1.0;
        i += 1;
    }
    block
}

const fn counted<const B: usize>() -> [usize; B] {
    let mut row = [0; B];
    let mut i = 0;
    while i < B {
        row[i] = i;
        i += 1;
    }
    row
}

/// `y -= factor x`.
#[inline(always)]
fn subtract_scaled<const B: usize>(y: &mut [f64; B], factor: f64, x: &[f64; B]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y -= factor * x;
    }
}

impl<const B: usize> Entry for Block<B> {
    type Vector = [f64; B];
    type Pivot = Pivot<B>;
    const ZERO: Self = [[0.0; B]; B];
    const IDENTITY: Self = identity();
    const ZERO_VECTOR: [f64; B] = [0.0; B];
    const IDENTITY_PIVOT: Pivot<B> = Pivot {
        lu: identity(),
        row: counted(),
    };

    fn pivot(&self) -> Option<Pivot<B>> {
        let mut lu = *self;
        let mut row = counted();
        for k in 0..B {
            let mut best = k;
            for i in k + 1..B {
                if lu[i][k].abs() > lu[best][k].abs() {
                    best = i;
                }
            }
            let pivot = lu[best][k];
            if pivot == 0.0 || !pivot.is_finite() {
                return None;
            }
            lu.swap(k, best);
            row.swap(k, best);
            let inverse = 1.0 / pivot;
            let own = lu[k];
            for row in &mut lu[k + 1..] {
                let factor = row[k] * inverse;
                // Whole rows, for the loop's fixed length; then what this overwrote of L.
                let before = *row;
                subtract_scaled(row, factor, &own);
                row[..k].copy_from_slice(&before[..k]);
                row[k] = factor;
            }
            lu[k][k] = inverse;
        }
        Some(Pivot { lu, row })
    }

    fn divide(&mut self, pivot: &Pivot<B>) {
        let mut x = pivot.row.map(|row| self[row]);
        for i in 1..B {
            let (done, rest) = x.split_at_mut(i);
            for (k, done) in done.iter().enumerate() {
                subtract_scaled(&mut rest[0], pivot.lu[i][k], done);
            }
        }
        for i in (0..B).rev() {
            let (rest, done) = x.split_at_mut(i + 1);
            let own = &mut rest[i];
            for (k, done) in done.iter().enumerate() {
                subtract_scaled(own, pivot.lu[i][i + 1 + k], done);
            }
            for value in own {
                *value *= pivot.lu[i][i];
            }
        }
        *self = x;
    }

    fn solve(pivot: &Pivot<B>, x: &mut [f64; B]) {
        let mut z = pivot.row.map(|row| x[row]);
        for i in 1..B {
            let mut sum = z[i];
            for k in 0..i {
                sum -= pivot.lu[i][k] * z[k];
            }
            z[i] = sum;
        }
        for i in (0..B).rev() {
            let mut sum = z[i];
            for k in i + 1..B {
                sum -= pivot.lu[i][k] * z[k];
            }
            z[i] = sum * pivot.lu[i][i];
        }
        *x = z;
    }

    fn add(&mut self, other: &Self) {
        for (row, other) in self.iter_mut().zip(other) {
            for (value, other) in row.iter_mut().zip(other) {
                *value += other;
            }
        }
    }

    fn subtract_product(&mut self, a: &Self, b: &Self) {
        for (c, a) in self.iter_mut().zip(a) {
            let mut sum = *c;
            for (&factor, b) in a.iter().zip(b) {
                subtract_scaled(&mut sum, factor, b);
            }
            *c = sum;
        }
    }

    fn subtract_apply(&self, x: &[f64; B], y: &mut [f64; B]) {
        for (y, row) in y.iter_mut().zip(self) {
            for (a, x) in row.iter().zip(x) {
                *y -= a * x;
            }
        }
    }
}
