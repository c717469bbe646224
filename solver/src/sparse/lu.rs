//! LU over a fixed symmetric pattern, without pivoting between entries.

use std::sync::Arc;

use thiserror::Error;

use super::block::Block;
use super::entry::Entry;
use super::pattern::Pattern;

/// The matrix can't be factored: a diagonal block became singular.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the matrix is singular at row {row}")]
pub struct Singular {
    /// Block row at which elimination stopped.
    pub row: usize,
}

/// A matrix on a fixed pattern, and its factor in the same place: `L U` with `U`'s diagonal one
/// (Crout), so that a solution divides by each diagonal entry once, going forward.
///
/// Use: look up the slots once; then [`clear`](Self::clear), [`add`](Self::add) to the slots,
/// [`factor`](Self::factor), [`solve`](Self::solve), as often as wanted. Factoring overwrites the
/// values. Who keeps its rows in elimination order reaches the entries by triangle and solves by
/// [`solve_in_order`](Self::solve_in_order).
#[derive(Clone, Debug)]
pub struct Lu<E: Entry> {
    pattern: Arc<Pattern>,
    diagonal: Vec<E>,
    /// Row `k`, columns `coupled`: the upper factor.
    upper: Vec<E>,
    /// Rows `coupled`, column `k`: the lower factor.
    lower: Vec<E>,
    pivot: Vec<E::Pivot>,
    work: Vec<E::Vector>,
}

/// A matrix of real `B` by `B` blocks.
pub type BlockLu<const B: usize> = Lu<Block<B>>;

/// Address of a block in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Diagonal(usize),
    Upper(usize),
    Lower(usize),
}

impl<E: Entry> Lu<E> {
    /// A matrix of zeros of `n` block rows with blocks on the diagonal and, both ways, at `edges`.
    ///
    /// # Panics
    /// When an edge names a row that is not below `n`.
    #[must_use]
    pub fn new(n: usize, edges: &[(usize, usize)]) -> Self {
        Self::on(Arc::new(Pattern::new(n, edges)))
    }

    /// A matrix of zeros on a pattern.
    #[must_use]
    pub fn on(pattern: Arc<Pattern>) -> Self {
        let (n, blocks) = (pattern.rows(), pattern.fill());
        Self {
            pattern,
            diagonal: vec![E::ZERO; n],
            upper: vec![E::ZERO; blocks],
            lower: vec![E::ZERO; blocks],
            pivot: vec![E::IDENTITY_PIVOT; n],
            work: vec![E::ZERO_VECTOR; n],
        }
    }

    /// The pattern.
    #[must_use]
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// Number of block rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.pattern.rows()
    }

    /// Number of off-diagonal blocks in each triangle of the factor, fill included.
    #[must_use]
    pub fn fill(&self) -> usize {
        self.pattern.fill()
    }

    /// Where the block of this row and column is; none outside the pattern.
    #[must_use]
    pub fn slot(&self, row: usize, column: usize) -> Option<Slot> {
        let place = self.pattern.place();
        let (row, column) = (*place.get(row)?, *place.get(column)?);
        Some(Slot(match row.cmp(&column) {
            std::cmp::Ordering::Equal => Place::Diagonal(row),
            std::cmp::Ordering::Less => Place::Upper(self.pattern.block(row, column)?),
            std::cmp::Ordering::Greater => Place::Lower(self.pattern.block(column, row)?),
        }))
    }

    /// Sets every block to zero.
    pub fn clear(&mut self) {
        self.diagonal.fill(E::ZERO);
        self.upper.fill(E::ZERO);
        self.lower.fill(E::ZERO);
    }

    /// The block at a slot of this matrix.
    pub fn block_mut(&mut self, slot: Slot) -> &mut E {
        match slot.0 {
            Place::Diagonal(k) => &mut self.diagonal[k],
            Place::Upper(k) => &mut self.upper[k],
            Place::Lower(k) => &mut self.lower[k],
        }
    }

    /// Adds to the block at a slot.
    pub fn add(&mut self, slot: Slot, value: &E) {
        self.block_mut(slot).add(value);
    }

    /// The diagonal by steps, and the upper and lower triangle by the pattern's blocks.
    pub fn triangles(&mut self) -> (&mut [E], &mut [E], &mut [E]) {
        (&mut self.diagonal, &mut self.upper, &mut self.lower)
    }

    /// Replaces the matrix by its factor.
    ///
    /// # Errors
    /// A diagonal block is singular when its turn comes.
    pub fn factor(&mut self) -> Result<(), Singular> {
        let Pattern {
            order,
            start,
            coupled,
            target,
            ..
        } = &*self.pattern;
        let mut targets = target.iter();
        for k in 0..order.len() {
            let singular = Singular { row: order[k] };
            let pivot = self.diagonal[k].pivot().ok_or(singular)?;
            self.pivot[k] = pivot;
            let (first, end) = (start[k], start[k + 1]);
            // What is updated belongs to later steps, which lie behind.
            let (upper, later_upper) = self.upper.split_at_mut(end);
            let (lower, later_lower) = self.lower.split_at_mut(end);
            let (upper, lower) = (&mut upper[first..], &lower[first..]);
            for u in upper.iter_mut() {
                u.divide(&pivot);
            }
            for (e, &i) in coupled[first..end].iter().enumerate() {
                self.diagonal[i as usize].subtract_product(&lower[e], &upper[e]);
                for (f, &t) in (e + 1..end - first).zip(&mut targets) {
                    let t = t as usize - end;
                    later_upper[t].subtract_product(&lower[e], &upper[f]);
                    later_lower[t].subtract_product(&lower[f], &upper[e]);
                }
            }
        }
        Ok(())
    }

    /// Solves for one right-hand side, in place, with the last factor.
    ///
    /// # Panics
    /// When the right-hand side has fewer than [`rows`](Self::rows) rows.
    pub fn solve(&mut self, rhs: &mut [E::Vector]) {
        let mut work = std::mem::take(&mut self.work);
        for (work, &row) in work.iter_mut().zip(self.pattern.order()) {
            *work = rhs[row];
        }
        self.solve_in_order(&mut work);
        for (work, &row) in work.iter().zip(self.pattern.order()) {
            rhs[row] = *work;
        }
        self.work = work;
    }

    /// The same for rows that are in elimination order.
    ///
    /// # Panics
    /// When there are fewer than [`rows`](Self::rows) rows.
    pub fn solve_in_order(&self, x: &mut [E::Vector]) {
        self.solve_in_order_with(x, |_, _| {});
    }

    /// The same, and calls with each row and its solution, last row first.
    ///
    /// # Panics
    /// When there are fewer than [`rows`](Self::rows) rows.
    pub fn solve_in_order_with(
        &self,
        x: &mut [E::Vector],
        mut solved: impl FnMut(usize, &E::Vector),
    ) {
        let Pattern { start, coupled, .. } = &*self.pattern;
        let n = self.pivot.len();
        let x = &mut x[..n];
        for k in 0..n {
            E::solve(&self.pivot[k], &mut x[k]);
            let own = x[k];
            let range = start[k]..start[k + 1];
            for (&i, lower) in coupled[range.clone()].iter().zip(&self.lower[range]) {
                lower.subtract_apply(&own, &mut x[i as usize]);
            }
        }
        for k in (0..n).rev() {
            let mut own = x[k];
            let range = start[k]..start[k + 1];
            for (&j, upper) in coupled[range.clone()].iter().zip(&self.upper[range]) {
                upper.subtract_apply(&x[j as usize], &mut own);
            }
            x[k] = own;
            solved(k, &own);
        }
    }
}

#[cfg(test)]
mod tests {
    use num_complex::Complex64;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::network::{Matrix3, Phases};

    /// Gaussian elimination with full row pivoting, for comparison.
    fn dense_solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
        let n = b.len();
        for k in 0..n {
            let best = (k..n)
                .max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()))
                .unwrap();
            a.swap(k, best);
            b.swap(k, best);
            for i in k + 1..n {
                let factor = a[i][k] / a[k][k];
                for j in k..n {
                    a[i][j] -= factor * a[k][j];
                }
                b[i] -= factor * b[k];
            }
        }
        for i in (0..n).rev() {
            for j in i + 1..n {
                b[i] -= a[i][j] * b[j];
            }
            b[i] /= a[i][i];
        }
        b
    }

    fn random_block<const B: usize>(rng: &mut StdRng, diagonal: f64) -> Block<B> {
        let mut block = [[0.0; B]; B];
        for (i, row) in block.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                // The heavy entries lie off the block's own diagonal: it has to pivot inside.
                let heavy = if (i + 1) % B == j { diagonal } else { 0.0 };
                *value = rng.random_range(-1.0..1.0) + heavy;
            }
        }
        block
    }

    fn against_dense<const B: usize>(n: usize, edges: &[(usize, usize)], seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut lu = BlockLu::<B>::new(n, edges);
        // Twice: the second factorisation must not see the first.
        for _ in 0..2 {
            let mut dense = vec![vec![0.0; n * B]; n * B];
            lu.clear();
            let both = edges.iter().flat_map(|&(i, j)| [(i, j), (j, i)]);
            for (i, j) in both.chain((0..n).map(|i| (i, i))) {
                let weight = if i == j { 8.0 * B as f64 } else { 0.0 };
                let block = random_block::<B>(&mut rng, weight);
                lu.add(lu.slot(i, j).unwrap(), &block);
                for (r, row) in block.iter().enumerate() {
                    for (c, value) in row.iter().enumerate() {
                        dense[i * B + r][j * B + c] += value;
                    }
                }
            }
            let mut rhs: Vec<[f64; B]> = (0..n)
                .map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0)))
                .collect();
            let expected = dense_solve(dense, rhs.iter().flatten().copied().collect());
            lu.factor().unwrap();
            lu.solve(&mut rhs);
            for (x, y) in rhs.iter().flatten().zip(&expected) {
                assert!((x - y).abs() < 1e-11, "{x} is not {y}");
            }
        }
    }

    #[test]
    fn solves_as_dense_elimination_does() {
        let ring: Vec<(usize, usize)> = (0..12).map(|i| (i, (i + 1) % 12)).collect();
        against_dense::<1>(12, &ring, 1);
        against_dense::<2>(12, &ring, 2);
        against_dense::<3>(12, &ring, 3);
        against_dense::<6>(12, &ring, 4);
        let mut rng = StdRng::seed_from_u64(5);
        let tree: Vec<(usize, usize)> = (1..40).map(|i| (i, rng.random_range(0..i))).collect();
        against_dense::<2>(40, &tree, 6);
        let mut mesh = tree;
        for _ in 0..30 {
            let (i, j) = (rng.random_range(0..40), rng.random_range(0..40));
            if i != j {
                mesh.push((i, j));
            }
        }
        against_dense::<2>(40, &mesh, 7);
        against_dense::<3>(40, &mesh, 8);
    }

    /// A complex matrix solves as the real one of its real and imaginary parts.
    #[test]
    fn complex_entries_are_real_blocks() {
        let mut rng = StdRng::seed_from_u64(9);
        let n = 30;
        let mut edges: Vec<(usize, usize)> = (1..n).map(|i| (i, rng.random_range(0..i))).collect();
        edges.extend([(3, 20), (7, 25), (25, 29)]);
        let mut scalar = Lu::<Complex64>::new(n, &edges);
        let mut by_two = BlockLu::<2>::new(n, &edges);
        let mut phases = Lu::<Matrix3>::new(n, &edges);
        let mut by_six = BlockLu::<6>::new(n, &edges);
        let mut number = |diagonal: f64| {
            Complex64::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)) + diagonal
        };
        let both = edges.iter().flat_map(|&(i, j)| [(i, j), (j, i)]);
        for (i, j) in both.chain((0..n).map(|i| (i, i))) {
            let weight = if i == j { 9.0 } else { 0.0 };
            let y = number(weight);
            scalar.add(scalar.slot(i, j).unwrap(), &y);
            by_two.add(by_two.slot(i, j).unwrap(), &[[y.re, -y.im], [y.im, y.re]]);
            let mut m = Matrix3::ZERO;
            let mut real = [[0.0; 6]; 6];
            for p in 0..3 {
                for q in 0..3 {
                    // Heavy off the block's own diagonal: it has to pivot inside.
                    let y = number(if (p + 1) % 3 == q { 3.0 * weight } else { 0.0 });
                    m.0[p][q] = y;
                    (real[p][q], real[p][q + 3]) = (y.re, -y.im);
                    (real[p + 3][q], real[p + 3][q + 3]) = (y.im, y.re);
                }
            }
            phases.add(phases.slot(i, j).unwrap(), &m);
            by_six.add(by_six.slot(i, j).unwrap(), &real);
        }
        let mut x: Vec<Complex64> = (0..n).map(|_| number(0.0)).collect();
        let mut expected: Vec<[f64; 2]> = x.iter().map(|x| [x.re, x.im]).collect();
        scalar.factor().unwrap();
        scalar.solve(&mut x);
        by_two.factor().unwrap();
        by_two.solve(&mut expected);
        for (x, y) in x.iter().zip(&expected) {
            assert!((x - Complex64::new(y[0], y[1])).norm() < 1e-13);
        }
        let mut x: Vec<Phases> = (0..n).map(|_| [0, 1, 2].map(|_| number(0.0))).collect();
        let mut expected: Vec<[f64; 6]> = x
            .iter()
            .map(|[a, b, c]| [a.re, b.re, c.re, a.im, b.im, c.im])
            .collect();
        phases.factor().unwrap();
        phases.solve(&mut x);
        by_six.factor().unwrap();
        by_six.solve(&mut expected);
        for (x, y) in x.iter().zip(&expected) {
            for p in 0..3 {
                assert!((x[p] - Complex64::new(y[p], y[p + 3])).norm() < 1e-12);
            }
        }
    }

    #[test]
    fn names_the_row_where_it_is_singular() {
        let mut lu = BlockLu::<2>::new(3, &[(0, 1)]);
        lu.clear();
        for k in [0, 1] {
            lu.add(lu.slot(k, k).unwrap(), &[[1.0, 0.0], [0.0, 1.0]]);
        }
        assert_eq!(lu.factor(), Err(Singular { row: 2 }));
        assert_eq!(lu.slot(0, 2), None);
        assert_eq!(lu.slot(0, 7), None);
    }

    #[test]
    fn an_empty_matrix_is_solved_by_nothing() {
        let mut lu = BlockLu::<2>::new(0, &[]);
        assert_eq!(lu.factor(), Ok(()));
        lu.solve(&mut []);
    }
}
