//! Products and inverses of single blocks, for [`BlockLdl`](super::BlockLdl).

use super::block::Block;

/// Inverse by Gauss-Jordan elimination of four rows at a time, see [`pivot_rows`]; false when the
/// block is singular or not finite.
pub(super) fn invert<const B: usize>(a: &mut Block<B>) -> bool {
    for phase in 0..B / 4 {
        let rows = pivot_rows::<B>(phase);
        let mut pivots = rows.map(|r| a[r]);
        let Some(inverse) = inverse_of_four(&pivots.map(|row| rows.map(|c| row[c]))) else {
            return false;
        };
        for (i, row) in pivots.iter_mut().enumerate() {
            for (j, &c) in rows.iter().enumerate() {
                row[c] = if i == j { 1.0 } else { 0.0 };
            }
        }
        let scaled = inverse.map(|factors| combine(&[0.0; B], &factors, &pivots));
        for row in a.iter_mut() {
            let factors = rows.map(|c| -row[c]);
            for c in rows {
                row[c] = 0.0;
            }
            *row = combine(row, &factors, &scaled);
        }
        for (r, row) in rows.into_iter().zip(scaled) {
            a[r] = row;
        }
    }
    true
}

/// The rows of a phase in a block: two of its first half, two of its second. With the voltage and
/// the multipliers of a phase there, a pivot of these four is regular: its own admittance is between
/// them.
fn pivot_rows<const B: usize>(phase: usize) -> [usize; 4] {
    let (first, second) = (2 * phase, B / 2 + 2 * phase);
    [first, first + 1, second, second + 1]
}

/// `start + factors rows`.
fn combine<const B: usize>(start: &[f64; B], factors: &[f64; 4], rows: &[[f64; B]; 4]) -> [f64; B] {
    let mut sum = *start;
    for (factor, row) in factors.iter().zip(rows) {
        for j in 0..B {
            sum[j] += factor * row[j];
        }
    }
    sum
}

/// Inverse of a symmetric matrix by its cofactors; none when it is singular or not finite.
fn inverse_of_four(m: &Block<4>) -> Option<Block<4>> {
    // Minors of two rows, by columns.
    let minors = |[a, b]: [&[f64; 4]; 2]| {
        let minor = |i: usize, j: usize| a[i] * b[j] - b[i] * a[j];
        [
            minor(0, 1),
            minor(0, 2),
            minor(0, 3),
            minor(1, 2),
            minor(1, 3),
            minor(2, 3),
        ]
    };
    let (upper, lower) = (minors([&m[0], &m[1]]), minors([&m[2], &m[3]]));
    let [u01, u02, u03, u12, u13, u23] = upper;
    let [l01, l02, l03, l12, l13, l23] = lower;
    let determinant = u01 * l23 - u02 * l13 + u03 * l12 + u12 * l03 - u13 * l02 + u23 * l01;
    if determinant == 0.0 || !determinant.is_finite() {
        return None;
    }
    let scale = 1.0 / determinant;
    let of = |a: f64, x: f64, b: f64, y: f64, c: f64, z: f64| (a * x - b * y + c * z) * scale;
    let [r0, r1, r2, r3] = m;
    let i00 = of(r1[1], l23, r1[2], l13, r1[3], l12);
    let i01 = -of(r0[1], l23, r0[2], l13, r0[3], l12);
    let i02 = of(r3[1], u23, r3[2], u13, r3[3], u12);
    let i03 = -of(r2[1], u23, r2[2], u13, r2[3], u12);
    let i11 = of(r0[0], l23, r0[2], l03, r0[3], l02);
    let i12 = -of(r3[0], u23, r3[2], u03, r3[3], u02);
    let i13 = of(r2[0], u23, r2[2], u03, r2[3], u02);
    let i22 = of(r3[0], u13, r3[1], u03, r3[3], u01);
    let i23 = -of(r2[0], u13, r2[1], u03, r2[3], u01);
    let i33 = of(r2[0], u12, r2[1], u02, r2[2], u01);
    Some([
        [i00, i01, i02, i03],
        [i01, i11, i12, i13],
        [i02, i12, i22, i23],
        [i03, i13, i23, i33],
    ])
}

/// `c = a b`.
pub(super) fn multiply<const B: usize>(c: &mut Block<B>, a: &Block<B>, b: &Block<B>) {
    for (c, a) in c.iter_mut().zip(a) {
        let mut row = [0.0; B];
        for (b, a) in b.iter().zip(a) {
            for j in 0..B {
                row[j] += a * b[j];
            }
        }
        *c = row;
    }
}

/// `c = a b`, where only the two quarters off the diagonal of `b` are not zero.
pub(super) fn multiply_off<const B: usize>(c: &mut Block<B>, a: &Block<B>, b: &Block<B>) {
    let half = B / 2;
    for (c, a) in c.iter_mut().zip(a) {
        let mut row = [0.0; B];
        for k in 0..half {
            for j in half..B {
                row[j] += a[k] * b[k][j];
            }
        }
        for k in half..B {
            for j in 0..half {
                row[j] += a[k] * b[k][j];
            }
        }
        *c = row;
    }
}

/// `c -= aᵀ b`.
pub(super) fn subtract_transposed<const B: usize>(c: &mut Block<B>, a: &Block<B>, b: &Block<B>) {
    for (i, c) in c.iter_mut().enumerate() {
        let mut row = *c;
        for (a, b) in a.iter().zip(b) {
            for j in 0..B {
                row[j] -= a[i] * b[j];
            }
        }
        *c = row;
    }
}

/// `c -= aᵀ b`, where only the two quarters off the diagonal of `b` are not zero.
pub(super) fn subtract_transposed_off<const B: usize>(
    c: &mut Block<B>,
    a: &Block<B>,
    b: &Block<B>,
) {
    let half = B / 2;
    for (i, c) in c.iter_mut().enumerate() {
        let mut row = *c;
        for k in 0..half {
            for j in half..B {
                row[j] -= a[k][i] * b[k][j];
            }
        }
        for k in half..B {
            for j in 0..half {
                row[j] -= a[k][i] * b[k][j];
            }
        }
        *c = row;
    }
}
