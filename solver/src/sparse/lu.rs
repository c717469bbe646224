//! Block LU over a fixed symmetric pattern, without pivoting between blocks.

use thiserror::Error;

use super::block::{Block, Pivot, subtract_apply, subtract_product};
use super::order::{Elimination, minimum_degree};

/// The matrix can't be factored: a diagonal block became singular.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the matrix is singular at row {row}")]
pub struct Singular {
    /// Block row at which elimination stopped.
    pub row: usize,
}

/// A matrix of `B` by `B` blocks on a fixed pattern, and its factor in the same place.
///
/// Use: look up the slots once; then [`clear`](Self::clear), [`add`](Self::add) to the slots,
/// [`factor`](Self::factor), [`solve`](Self::solve), as often as wanted. Factoring overwrites the
/// values.
#[derive(Clone, Debug)]
pub struct BlockLu<const B: usize> {
    /// `order[k]` is the block row eliminated `k`-th, `place` its inverse.
    order: Vec<usize>,
    place: Vec<usize>,
    /// Off-diagonal blocks of step `k` are `start[k]..start[k + 1]`.
    start: Vec<usize>,
    /// Place in the order of the later row that the block couples step `k` with.
    coupled: Vec<usize>,
    diagonal: Vec<Block<B>>,
    /// Row `k`, columns `coupled`: the upper factor.
    upper: Vec<Block<B>>,
    /// Rows `coupled`, column `k`: the lower factor.
    lower: Vec<Block<B>>,
    pivot: Vec<Pivot<B>>,
    /// Where each update of the elimination lands, in the order the factorisation meets them.
    target: Vec<Target>,
    work: Vec<[f64; B]>,
}

/// A block updated by the elimination; the offset is into the array of that name.
#[derive(Clone, Copy, Debug)]
enum Target {
    Diagonal(u32),
    Upper(u32),
    Lower(u32),
}

/// Address of a block in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Diagonal(usize),
    Upper(usize),
    Lower(usize),
}

impl<const B: usize> BlockLu<B> {
    /// An empty matrix of `n` block rows with blocks on the diagonal and, both ways, at `edges`.
    ///
    /// # Panics
    /// When an edge names a row that is not below `n`.
    #[must_use]
    pub fn new(n: usize, edges: &[(usize, usize)]) -> Self {
        let Elimination { order, later } = minimum_degree(n, edges);
        let mut place = vec![0; n];
        for (k, &row) in order.iter().enumerate() {
            place[row] = k;
        }
        let mut start = vec![0; n + 1];
        for k in 0..n {
            start[k + 1] = start[k] + later[k].len();
        }
        let coupled: Vec<usize> = later.into_iter().flatten().collect();
        let blocks = coupled.len();
        let mut matrix = Self {
            order,
            place,
            start,
            coupled,
            diagonal: vec![[[0.0; B]; B]; n],
            upper: vec![[[0.0; B]; B]; blocks],
            lower: vec![[[0.0; B]; B]; blocks],
            pivot: vec![Pivot::identity(); n],
            target: Vec::new(),
            work: vec![[0.0; B]; n],
        };
        matrix.target = matrix.targets();
        matrix
    }

    /// The elimination list: where row `i`, column `j` of the clique of each step lies.
    fn targets(&self) -> Vec<Target> {
        let index = |offset: usize| {
            u32::try_from(offset).expect("a factor has fewer than 2^32 blocks: it fits in memory")
        };
        let mut list = Vec::new();
        for k in 0..self.order.len() {
            let clique = &self.coupled[self.start[k]..self.start[k + 1]];
            for &i in clique {
                for &j in clique {
                    let at = self
                        .find(i, j)
                        .expect("eliminating a row couples all its later neighbours");
                    list.push(match at {
                        Place::Diagonal(d) => Target::Diagonal(index(d)),
                        Place::Upper(u) => Target::Upper(index(u)),
                        Place::Lower(l) => Target::Lower(index(l)),
                    });
                }
            }
        }
        list
    }

    /// Finds a block by its places in the order.
    fn find(&self, row: usize, column: usize) -> Option<Place> {
        if row == column {
            return Some(Place::Diagonal(row));
        }
        let (first, second) = (row.min(column), row.max(column));
        let list = &self.coupled[self.start[first]..self.start[first + 1]];
        let at = self.start[first] + list.binary_search(&second).ok()?;
        Some(if row < column {
            Place::Upper(at)
        } else {
            Place::Lower(at)
        })
    }

    /// Number of block rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.order.len()
    }

    /// Number of off-diagonal blocks in each triangle of the factor, fill included.
    #[must_use]
    pub fn fill(&self) -> usize {
        self.coupled.len()
    }

    /// Where the block of this row and column is; none outside the pattern.
    #[must_use]
    pub fn slot(&self, row: usize, column: usize) -> Option<Slot> {
        self.find(*self.place.get(row)?, *self.place.get(column)?)
            .map(Slot)
    }

    /// Sets every block to zero.
    pub fn clear(&mut self) {
        self.diagonal.fill([[0.0; B]; B]);
        self.upper.fill([[0.0; B]; B]);
        self.lower.fill([[0.0; B]; B]);
    }

    /// The block at a slot of this matrix.
    pub fn block_mut(&mut self, slot: Slot) -> &mut Block<B> {
        match slot.0 {
            Place::Diagonal(k) => &mut self.diagonal[k],
            Place::Upper(k) => &mut self.upper[k],
            Place::Lower(k) => &mut self.lower[k],
        }
    }

    /// Adds to the block at a slot.
    pub fn add(&mut self, slot: Slot, value: &Block<B>) {
        let block = self.block_mut(slot);
        for i in 0..B {
            for j in 0..B {
                block[i][j] += value[i][j];
            }
        }
    }

    /// Replaces the matrix by its factor.
    ///
    /// # Errors
    /// A diagonal block is singular when its turn comes.
    pub fn factor(&mut self) -> Result<(), Singular> {
        let mut update = 0;
        for k in 0..self.order.len() {
            let pivot = Pivot::factor(self.diagonal[k]).ok_or(Singular { row: self.order[k] })?;
            self.pivot[k] = pivot;
            for i in self.start[k]..self.start[k + 1] {
                let ratio = pivot.divide(&self.lower[i]);
                self.lower[i] = ratio;
                for j in self.start[k]..self.start[k + 1] {
                    let source = self.upper[j];
                    let target = match self.target[update] {
                        Target::Diagonal(d) => &mut self.diagonal[d as usize],
                        Target::Upper(u) => &mut self.upper[u as usize],
                        Target::Lower(l) => &mut self.lower[l as usize],
                    };
                    subtract_product(target, &ratio, &source);
                    update += 1;
                }
            }
        }
        Ok(())
    }

    /// Solves for one right-hand side, in place, with the last factor.
    ///
    /// # Panics
    /// When the right-hand side has fewer than [`rows`](Self::rows) rows.
    pub fn solve(&mut self, rhs: &mut [[f64; B]]) {
        let n = self.order.len();
        for k in 0..n {
            self.work[k] = rhs[self.order[k]];
        }
        for k in 0..n {
            let x = self.work[k];
            for i in self.start[k]..self.start[k + 1] {
                subtract_apply(&mut self.work[self.coupled[i]], &self.lower[i], &x);
            }
        }
        for k in (0..n).rev() {
            let mut sum = self.work[k];
            for j in self.start[k]..self.start[k + 1] {
                subtract_apply(&mut sum, &self.upper[j], &self.work[self.coupled[j]]);
            }
            self.work[k] = self.pivot[k].solve(&sum);
            rhs[self.order[k]] = self.work[k];
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

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
