//! The pattern of a factor: rows in elimination order, the blocks each step couples, and where the
//! updates of the elimination land. Made once, shared by every matrix on the same network.

use super::order::{Ties, minimum_degree};

/// The pattern of a factor. Rows are counted in elimination order ("steps") inside; block `e`
/// of `start[k]..start[k + 1]` couples step `k` with the later step `coupled[e]`, once in the upper
/// and once in the lower triangle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// `order[k]` is the row eliminated `k`-th, `place` its inverse.
    pub(super) order: Vec<usize>,
    pub(super) place: Vec<usize>,
    pub(super) start: Vec<usize>,
    pub(super) coupled: Vec<u32>,
    /// For each step and each pair of blocks `e < f` of it, the block that couples
    /// `coupled[e]` with `coupled[f]`, in the order the factorisation meets them.
    pub(super) target: Vec<u32>,
}

/// Numbers of rows and blocks as they are stored.
fn index(offset: usize) -> u32 {
    u32::try_from(offset).expect("a factor has fewer than 2^32 blocks: it fits in memory")
}

impl Pattern {
    /// For a symmetric pattern of `n` rows: the diagonal and, both ways, `edges`.
    ///
    /// # Panics
    /// When an edge names a row that is not below `n`.
    #[must_use]
    pub fn new(n: usize, edges: &[(usize, usize)]) -> Self {
        let elimination = minimum_degree(n, edges, Ties::ByRound).postordered();
        let mut place = vec![0; n];
        for (k, &row) in elimination.order.iter().enumerate() {
            place[row] = k;
        }
        let mut start = vec![0; n + 1];
        for k in 0..n {
            start[k + 1] = start[k] + elimination.later[k].len();
        }
        let coupled = elimination.later.iter().flatten().map(|&j| index(j));
        let mut pattern = Self {
            order: elimination.order,
            place,
            start,
            coupled: coupled.collect(),
            target: Vec::new(),
        };
        pattern.target = pattern.targets();
        pattern
    }

    fn targets(&self) -> Vec<u32> {
        let mut list = Vec::new();
        for k in 0..self.order.len() {
            let clique = &self.coupled[self.start[k]..self.start[k + 1]];
            for (at, &i) in clique.iter().enumerate() {
                for &j in &clique[at + 1..] {
                    let block = self
                        .block(i as usize, j as usize)
                        .expect("eliminating a row couples all its later neighbours");
                    list.push(index(block));
                }
            }
        }
        list
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.order.len()
    }

    /// Number of blocks in each triangle of the factor, fill included.
    #[must_use]
    pub fn fill(&self) -> usize {
        self.coupled.len()
    }

    /// The rows in the order they are eliminated.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The step at which each row is eliminated.
    #[must_use]
    pub fn place(&self) -> &[usize] {
        &self.place
    }

    /// The block that couples a step with a later one; none outside the pattern.
    #[must_use]
    pub fn block(&self, step: usize, later: usize) -> Option<usize> {
        let range = *self.start.get(step)?..*self.start.get(step + 1)?;
        let list = &self.coupled[range.clone()];
        let later = u32::try_from(later).ok()?;
        Some(range.start + list.binary_search(&later).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Whatever is eliminated between a step and its parent belongs below the parent.
    #[test]
    fn order_is_a_postorder() {
        let mut rng = StdRng::seed_from_u64(15);
        let tree: Vec<(usize, usize)> = (1..60).map(|i| (i, rng.random_range(0..i))).collect();
        let pattern = Pattern::new(60, &tree);
        let parent = |k: usize| {
            let later = &pattern.coupled[pattern.start[k]..pattern.start[k + 1]];
            later.first().map(|&parent| parent as usize)
        };
        for k in 0..60 {
            for between in k..parent(k).unwrap_or(k) {
                let mut up = between;
                while let Some(next) = parent(up).filter(|_| Some(up) != parent(k)) {
                    up = next;
                }
                assert_eq!(Some(up), parent(k), "{k} {between}");
            }
        }
    }
}
