//! Dense `B` by `B` blocks: products, and LU with partial pivoting for the diagonal ones.

/// A dense square block, by rows.
pub type Block<const B: usize> = [[f64; B]; B];

/// The factor of a diagonal block: `L` and `U` in one square, rows in pivot order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pivot<const B: usize> {
    lu: Block<B>,
    row: [usize; B],
}

impl<const B: usize> Pivot<B> {
    /// The factor of the identity.
    pub(super) fn identity() -> Self {
        let mut lu = [[0.0; B]; B];
        let mut row = [0; B];
        for i in 0..B {
            lu[i][i] = 1.0;
            row[i] = i;
        }
        Self { lu, row }
    }

    /// Factors a block; none when it is singular or not finite.
    pub(super) fn factor(mut lu: Block<B>) -> Option<Self> {
        let mut row = [0; B];
        for (i, r) in row.iter_mut().enumerate() {
            *r = i;
        }
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
            for i in k + 1..B {
                let factor = lu[i][k] / pivot;
                lu[i][k] = factor;
                for j in k + 1..B {
                    lu[i][j] -= factor * lu[k][j];
                }
            }
        }
        Some(Self { lu, row })
    }

    /// `x = D⁻¹ b`.
    pub(super) fn solve(&self, b: &[f64; B]) -> [f64; B] {
        let mut x = [0.0; B];
        for i in 0..B {
            let mut sum = b[self.row[i]];
            for j in 0..i {
                sum -= self.lu[i][j] * x[j];
            }
            x[i] = sum;
        }
        for i in (0..B).rev() {
            let mut sum = x[i];
            for j in i + 1..B {
                sum -= self.lu[i][j] * x[j];
            }
            x[i] = sum / self.lu[i][i];
        }
        x
    }

    /// `X = A D⁻¹`, row by row.
    pub(super) fn divide(&self, a: &Block<B>) -> Block<B> {
        let mut x = [[0.0; B]; B];
        for (a_row, x_row) in a.iter().zip(&mut x) {
            let mut z = [0.0; B];
            for j in 0..B {
                let mut sum = a_row[j];
                for k in 0..j {
                    sum -= z[k] * self.lu[k][j];
                }
                z[j] = sum / self.lu[j][j];
            }
            for j in (0..B).rev() {
                let mut sum = z[j];
                for k in j + 1..B {
                    sum -= z[k] * self.lu[k][j];
                }
                z[j] = sum;
            }
            for j in 0..B {
                x_row[self.row[j]] = z[j];
            }
        }
        x
    }
}

/// `c -= a b`.
pub(super) fn subtract_product<const B: usize>(c: &mut Block<B>, a: &Block<B>, b: &Block<B>) {
    for i in 0..B {
        for k in 0..B {
            let factor = a[i][k];
            for j in 0..B {
                c[i][j] -= factor * b[k][j];
            }
        }
    }
}

/// `y -= a x`.
pub(super) fn subtract_apply<const B: usize>(y: &mut [f64; B], a: &Block<B>, x: &[f64; B]) {
    for i in 0..B {
        for j in 0..B {
            y[i] -= a[i][j] * x[j];
        }
    }
}
