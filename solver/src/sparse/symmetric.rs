//! Symmetric block factorisation `L D Lᵀ` over a fixed pattern, without pivoting between blocks.
//!
//! Half the work and memory of [`BlockLu`](super::BlockLu). Rows are numbered by their place in the
//! elimination, in postorder of the elimination tree (Liu, "The role of elimination trees in sparse
//! factorization", 1990), so that what a step updates lies near it in memory: on a large radial
//! network memory is what the solution costs.
//!
//! What is iterated until it is exact needs no exact factor: a copy in single precision solves in half
//! the time, see [`BlockLdl::solve_roughly`].
//!
//! A block holds the voltages of a node's phases in its first half and their multipliers in its
//! second, two rows each.

use super::block::Block;
use super::dense::{invert, multiply, multiply_off, subtract_transposed, subtract_transposed_off};
use super::lu::Singular;
use super::packed::Packed;
use super::pattern::Pattern;

/// A symmetric matrix of `B` by `B` blocks on a fixed pattern, and its factor in the same place.
///
/// Use: number rows by [`place`](Self::place); then [`clear`](Self::clear), add to
/// [`diagonal_mut`](Self::diagonal_mut) and [`coupling_mut`](Self::coupling_mut),
/// [`factor`](Self::factor), [`solve`](Self::solve), as often as wanted.
#[derive(Clone, Debug)]
pub(crate) struct BlockLdl<const B: usize> {
    pattern: Pattern,
    blocks: Blocks<B>,
    /// The factor in single precision.
    rough: Packed<f32, B>,
    /// The factor in full precision, if it has been asked for.
    exact: Packed<f64, B>,
    /// Only the two quarters off a coupling's diagonal are not zero, here before the elimination.
    off_quarters: Vec<bool>,
    /// Coupling is updated by the elimination.
    filled: Vec<bool>,
    scratch: Vec<Block<B>>,
}

/// Diagonal blocks, factored their inverses; and at row `k`, column `later`, factored the transposed
/// blocks of `L`, or what was there before where [`BlockLdl::is_bare`].
#[derive(Clone, Debug, Default)]
struct Blocks<const B: usize> {
    diagonal: Vec<Block<B>>,
    coupling: Vec<Block<B>>,
}

/// A factor put aside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside<const B: usize> {
    blocks: Blocks<B>,
    rough: Packed<f32, B>,
    exact: Packed<f64, B>,
}

impl<const B: usize> BlockLdl<B> {
    /// An empty matrix of `n` block rows with blocks on the diagonal and, both ways, at `edges`.
    ///
    /// # Panics
    /// When an edge names a row that is not below `n`.
    pub(crate) fn new(n: usize, edges: &[(usize, usize)]) -> Self {
        let pattern = Pattern::new(n, edges);
        let couplings = pattern.fill();
        let mut filled = vec![false; couplings];
        for &at in &pattern.target {
            filled[at as usize] = true;
        }
        let rows = pattern.start.windows(2).map(|bounds| bounds[0]..bounds[1]);
        let plain = rows.filter(|own| filled[own.clone()].contains(&true));
        let plain = plain.map(|own| own.len()).sum();
        let widths = pattern.start.windows(2).map(|bounds| bounds[1] - bounds[0]);
        Self {
            blocks: Blocks {
                diagonal: vec![[[0.0; B]; B]; n],
                coupling: vec![[[0.0; B]; B]; couplings],
            },
            rough: Packed::with_room(n, plain, couplings - plain),
            exact: Packed::default(),
            off_quarters: vec![true; couplings],
            filled,
            scratch: vec![[[0.0; B]; B]; widths.max().unwrap_or(0)],
            pattern,
        }
    }

    /// Place of each row in the elimination.
    pub(crate) fn place(&self) -> &[usize] {
        self.pattern.place()
    }

    /// Index of the coupling of two places, the earlier one first; none outside the pattern.
    pub(crate) fn coupling(&self, first: usize, second: usize) -> Option<usize> {
        self.pattern.block(first, second)
    }

    /// Sets every block to zero.
    pub(crate) fn clear(&mut self) {
        self.blocks.diagonal.fill([[0.0; B]; B]);
        self.blocks.coupling.fill([[0.0; B]; B]);
        for (off, &filled) in self.off_quarters.iter_mut().zip(&self.filled) {
            *off = !filled;
        }
    }

    /// The diagonal block at a place.
    pub(crate) fn diagonal_mut(&mut self, k: usize) -> &mut Block<B> {
        &mut self.blocks.diagonal[k]
    }

    /// The block of a coupling: rows of the earlier place, columns of the later one. Whoever writes
    /// to the quarters on its diagonal says so; who does not writes real forms of `dz ↦ c dz*` for
    /// each two phases to the others.
    pub(crate) fn coupling_mut(&mut self, at: usize, on_quarters: bool) -> &mut Block<B> {
        self.off_quarters[at] &= !on_quarters;
        &mut self.blocks.coupling[at]
    }

    /// Puts the factor that `aside` holds in the place of the present one, and this there. An empty
    /// `aside` comes to hold a copy first.
    pub(crate) fn swap(&mut self, aside: &mut Aside<B>) {
        if aside.blocks.diagonal.is_empty() {
            aside.blocks.clone_from(&self.blocks);
            aside.rough.clone_from(&self.rough);
        }
        std::mem::swap(&mut self.blocks, &mut aside.blocks);
        std::mem::swap(&mut self.rough, &mut aside.rough);
        std::mem::swap(&mut self.exact, &mut aside.exact);
    }

    /// The elimination updates none of the row's couplings, and only the quarters off their diagonals
    /// are not zero.
    fn is_bare(&self, k: usize) -> bool {
        let own = self.pattern.start[k]..self.pattern.start[k + 1];
        self.off_quarters[own].iter().all(|&off| off)
    }

    /// Replaces the matrix by its factor.
    ///
    /// # Errors
    /// A diagonal block is singular when its turn comes.
    pub(crate) fn factor(&mut self) -> Result<(), Singular> {
        self.rough.clear();
        self.exact.clear();
        let mut target = self.pattern.target.iter();
        for k in 0..self.blocks.diagonal.len() {
            if !invert(&mut self.blocks.diagonal[k]) {
                return Err(Singular {
                    row: self.pattern.order[k],
                });
            }
            let own = self.pattern.start[k]..self.pattern.start[k + 1];
            for (at, factor) in own.clone().zip(&mut self.scratch) {
                let (inverse, block) = (&self.blocks.diagonal[k], &self.blocks.coupling[at]);
                if self.off_quarters[at] {
                    multiply_off(factor, inverse, block);
                    subtract_transposed_off(
                        &mut self.blocks.diagonal[self.pattern.coupled[at] as usize],
                        factor,
                        block,
                    );
                } else {
                    multiply(factor, inverse, block);
                    subtract_transposed(
                        &mut self.blocks.diagonal[self.pattern.coupled[at] as usize],
                        factor,
                        block,
                    );
                }
            }
            for i in own.clone() {
                for j in i + 1..own.end {
                    let Some(&at) = target.next() else { break };
                    let block = self.blocks.coupling[j];
                    let factor = &self.scratch[i - own.start];
                    subtract_transposed(&mut self.blocks.coupling[at as usize], factor, &block);
                }
            }
            let inverse = &self.blocks.diagonal[k];
            if self.is_bare(k) {
                self.rough.push_bare(inverse, &self.blocks.coupling[own]);
            } else {
                let factors = &self.scratch[..own.len()];
                self.rough.push(inverse, factors);
                self.blocks.coupling[own].copy_from_slice(factors);
            }
        }
        Ok(())
    }

    /// Solves for one right-hand side by places, in place, with the last factor.
    ///
    /// # Panics
    /// When the right-hand side has not as many rows as the matrix.
    pub(crate) fn solve(&mut self, x: &mut [[f64; B]]) {
        if self.exact.is_empty() {
            for (k, inverse) in self.blocks.diagonal.iter().enumerate() {
                let own = self.pattern.start[k]..self.pattern.start[k + 1];
                let couplings = &self.blocks.coupling[own];
                if self.is_bare(k) {
                    self.exact.push_bare(inverse, couplings);
                } else {
                    self.exact.push(inverse, couplings);
                }
            }
        }
        self.exact.solve(&self.pattern, x);
    }

    /// As [`solve`](Self::solve), in single precision throughout.
    pub(crate) fn solve_roughly(&self, x: &mut [[f32; B]]) {
        self.rough.solve(&self.pattern, x);
    }
}

#[cfg(test)]
impl<const B: usize> BlockLdl<B> {
    /// The matrix, not yet factored, times a vector.
    pub(crate) fn product(&self, x: &[[f64; B]]) -> Vec<[f64; B]> {
        let mut y = vec![[0.0; B]; x.len()];
        for k in 0..x.len() {
            for i in 0..B {
                y[k][i] += super::packed::dot(&self.blocks.diagonal[k][i], &x[k]);
            }
            for at in self.pattern.start[k]..self.pattern.start[k + 1] {
                let later = self.pattern.coupled[at] as usize;
                for i in 0..B {
                    y[k][i] += super::packed::dot(&self.blocks.coupling[at][i], &x[later]);
                    for j in 0..B {
                        y[later][j] += self.blocks.coupling[at][i][j] * x[k][i];
                    }
                }
            }
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::sparse::BlockLu;

    /// Leaves real forms of `dz ↦ c dz*` in the quarters off the diagonal.
    fn make_bare<const B: usize>(block: &mut Block<B>) {
        for r in (0..B).step_by(2) {
            for c in (0..B).step_by(2) {
                if (r < B / 2) == (c < B / 2) {
                    (block[r][c], block[r][c + 1]) = (0.0, 0.0);
                }
                block[r + 1][c] = block[r][c + 1];
                block[r + 1][c + 1] = -block[r][c];
            }
        }
    }

    /// Against the unsymmetric factorisation of the same matrix: an indefinite one, heavy between a
    /// phase's voltages and multipliers.
    fn against_lu<const B: usize>(n: usize, edges: &[(usize, usize)], quarters: bool, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut ldl = BlockLdl::<B>::new(n, edges);
        let mut lu = BlockLu::<B>::new(n, edges);
        for _ in 0..2 {
            ldl.clear();
            lu.clear();
            for row in 0..n {
                let mut block = [[0.0; B]; B];
                for i in 0..B {
                    for j in 0..=i {
                        let heavy = if i == j + B / 2 { 9.0 * B as f64 } else { 0.0 };
                        block[i][j] = rng.random_range(-1.0..1.0) + heavy;
                        block[j][i] = block[i][j];
                    }
                }
                *ldl.diagonal_mut(ldl.place()[row]) = block;
                lu.add(lu.slot(row, row).unwrap(), &block);
            }
            for &(i, j) in edges {
                let (first, second) = if ldl.place()[i] < ldl.place()[j] {
                    (i, j)
                } else {
                    (j, i)
                };
                let mut block: Block<B> =
                    std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0)));
                if !quarters {
                    make_bare(&mut block);
                }
                let at = ldl
                    .coupling(ldl.place()[first], ldl.place()[second])
                    .unwrap();
                *ldl.coupling_mut(at, quarters) = block;
                lu.add(lu.slot(first, second).unwrap(), &block);
                let transposed = std::array::from_fn(|r| std::array::from_fn(|c| block[c][r]));
                lu.add(lu.slot(second, first).unwrap(), &transposed);
            }
            let mut expected: Vec<[f64; B]> = (0..n)
                .map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0)))
                .collect();
            let mut found = vec![[0.0; B]; n];
            for row in 0..n {
                found[ldl.place()[row]] = expected[row];
            }
            lu.factor().unwrap();
            lu.solve(&mut expected);
            ldl.factor().unwrap();
            let mut roughly: Vec<[f32; B]> =
                (found.iter()).map(|row| row.map(|x| x as f32)).collect();
            ldl.solve_roughly(&mut roughly);
            ldl.solve(&mut found);
            for row in 0..n {
                for (x, y) in found[ldl.place()[row]].iter().zip(&expected[row]) {
                    assert!((x - y).abs() < 1e-12, "{x} is not {y}");
                }
                for (x, y) in roughly[ldl.place()[row]].iter().zip(&expected[row]) {
                    assert!((f64::from(*x) - y).abs() < 1e-5, "{x} is not {y}");
                }
            }
        }
    }

    #[test]
    fn solves_as_the_unsymmetric_factor_does() {
        let mut rng = StdRng::seed_from_u64(5);
        let tree: Vec<(usize, usize)> = (1..40).map(|i| (i, rng.random_range(0..i))).collect();
        let mut mesh = tree.clone();
        for i in 0..20 {
            mesh.push((i, i + 20));
        }
        mesh.sort_unstable_by_key(|&(i, j)| (i.min(j), i.max(j)));
        mesh.dedup_by_key(|&mut (i, j)| (i.min(j), i.max(j)));
        for quarters in [false, true] {
            against_lu::<4>(40, &tree, quarters, 6);
            against_lu::<4>(40, &mesh, quarters, 7);
            against_lu::<12>(40, &tree, quarters, 8);
            against_lu::<12>(40, &mesh, quarters, 9);
        }
    }

    #[test]
    fn names_the_row_where_it_is_singular() {
        let mut ldl = BlockLdl::<4>::new(3, &[(0, 1)]);
        for k in 0..3 {
            for i in 0..4 {
                ldl.diagonal_mut(k)[i][i] = 1.0;
            }
        }
        let place = ldl.place()[2];
        ldl.diagonal_mut(place)[3][3] = 0.0;
        assert_eq!(ldl.factor(), Err(Singular { row: 2 }));
    }
}
