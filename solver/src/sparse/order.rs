//! Elimination order by minimum degree, with the fill it causes.

use std::collections::BTreeSet;

/// An elimination order and the pattern of the factor.
pub(crate) struct Elimination {
    /// `order[k]` is the row eliminated `k`-th.
    pub(crate) order: Vec<usize>,
    /// `later[k]`: places in the order, ascending, of the rows still to come that the `k`-th
    /// elimination couples.
    pub(crate) later: Vec<Vec<usize>>,
}

/// Which of rows with the same degree goes first; of equals again the lowest, so that the order is
/// the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ties {
    /// The lowest.
    ByRow,
    /// The one that the fewest rounds of eliminations have touched, as in multiple elimination (Liu,
    /// "Modification of the minimum-degree algorithm by multiple elimination", 1985): every other row of
    /// a ring rather than one after the other. The fill is as much, but half the rows are eliminated
    /// before anything has filled them.
    ByRound,
}

/// Minimum degree on the graph of `n` rows.
pub(crate) fn minimum_degree(n: usize, edges: &[(usize, usize)], ties: Ties) -> Elimination {
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); n];
    for &(i, j) in edges {
        if i != j {
            neighbours[i].push(j);
            neighbours[j].push(i);
        }
    }
    for list in &mut neighbours {
        list.sort_unstable();
        list.dedup();
    }
    // One round after the last elimination that touched it.
    let mut round = vec![0_usize; n];
    let mut queue: BTreeSet<(usize, usize, usize)> = neighbours
        .iter()
        .enumerate()
        .map(|(i, list)| (list.len(), 0, i))
        .collect();
    let mut order = Vec::with_capacity(n);
    let mut place = vec![0; n];
    let mut merged = Vec::new();
    while let Some((_, now, pivot)) = queue.pop_first() {
        place[pivot] = order.len();
        order.push(pivot);
        // What remains of the pivot's list are its neighbours still to come: they become a clique.
        let clique = std::mem::take(&mut neighbours[pivot]);
        for &i in &clique {
            let list = &mut neighbours[i];
            queue.remove(&(list.len(), round[i], i));
            union_without(list, &clique, &[i, pivot], &mut merged);
            std::mem::swap(list, &mut merged);
            if ties == Ties::ByRound {
                round[i] = round[i].max(now + 1);
            }
            queue.insert((list.len(), round[i], i));
        }
        neighbours[pivot] = clique;
    }
    let later = order
        .iter()
        .map(|&row| {
            let mut places: Vec<usize> = neighbours[row].iter().map(|&i| place[i]).collect();
            places.sort_unstable();
            places
        })
        .collect();
    Elimination { order, later }
}

impl Elimination {
    /// The same elimination, each step right after the last one that it depends on: what a step
    /// touches is then near in memory, and the factor's entries are the same.
    pub(crate) fn postordered(self) -> Self {
        let n = self.order.len();
        // Children of each step in the elimination tree (a step's parent is the first it couples).
        let mut child = vec![usize::MAX; n + 1];
        let mut sibling = vec![usize::MAX; n];
        for k in (0..n).rev() {
            let parent = self.later[k].first().copied().unwrap_or(n);
            sibling[k] = child[parent];
            child[parent] = k;
        }
        let mut post = Vec::with_capacity(n);
        let mut path = vec![n];
        while let Some(&k) = path.last() {
            let next = child[k];
            if next == usize::MAX {
                path.pop();
                post.extend((k < n).then_some(k));
            } else {
                child[k] = sibling[next];
                path.push(next);
            }
        }
        let mut place = vec![0; n];
        for (at, &k) in post.iter().enumerate() {
            place[k] = at;
        }
        let later = |&k: &usize| {
            let mut places: Vec<usize> = self.later[k].iter().map(|&j| place[j]).collect();
            places.sort_unstable();
            places
        };
        Self {
            later: post.iter().map(later).collect(),
            order: post.iter().map(|&k| self.order[k]).collect(),
        }
    }
}

/// `out` becomes the union of two ascending lists without the rows in `skip`.
fn union_without(a: &[usize], b: &[usize], skip: &[usize], out: &mut Vec<usize>) {
    out.clear();
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let next = match (a.get(i), b.get(j)) {
            (Some(&x), Some(&y)) => x.min(y),
            (Some(&x), None) => x,
            (None, Some(&y)) => y,
            (None, None) => return,
        };
        i += usize::from(a.get(i) == Some(&next));
        j += usize::from(b.get(j) == Some(&next));
        if !skip.contains(&next) {
            out.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of the factor beyond those of the matrix.
    fn fill(n: usize, edges: &[(usize, usize)]) -> usize {
        let of = |ties| {
            let later = minimum_degree(n, edges, ties).later;
            later.iter().map(Vec::len).sum::<usize>() - edges.len()
        };
        assert_eq!(of(Ties::ByRow), of(Ties::ByRound));
        of(Ties::ByRound)
    }

    #[test]
    fn a_tree_has_no_fill() {
        let edges: Vec<(usize, usize)> = (1..1000).map(|i| (i, i * 7919 % 1000 % i)).collect();
        assert_eq!(fill(1000, &edges), 0);
        let star: Vec<(usize, usize)> = (1..50).map(|i| (0, i)).collect();
        assert_eq!(fill(50, &star), 0);
    }

    #[test]
    fn a_ring_of_n_fills_n_minus_3() {
        let ring: Vec<(usize, usize)> = (0..20).map(|i| (i, (i + 1) % 20)).collect();
        assert_eq!(fill(20, &ring), 17);
    }

    /// Half the rows of a ring couple two that nothing has coupled before.
    #[test]
    fn every_other_row_of_a_ring_goes_first() {
        let ring: Vec<(usize, usize)> = (0..20).map(|i| (i, (i + 1) % 20)).collect();
        let first = |ties| {
            let mut rows = minimum_degree(20, &ring, ties).order;
            rows.truncate(10);
            rows.sort_unstable();
            rows
        };
        assert!(first(Ties::ByRound).into_iter().eq((0..20).step_by(2)));
        assert!(first(Ties::ByRow).into_iter().eq(0..10));
    }

    /// Postordering keeps every step after those that update it, and the fill.
    #[test]
    fn postorder_is_the_same_elimination() {
        let mut edges: Vec<(usize, usize)> = (1..200).map(|i| (i, i * 7919 % 1000 % i)).collect();
        edges.extend((0..20).map(|i| (i, 199 - 3 * i)));
        let plain = minimum_degree(200, &edges, Ties::ByRound);
        let entries = plain.later.iter().map(Vec::len).sum::<usize>();
        let e = plain.postordered();
        assert_eq!(e.later.iter().map(Vec::len).sum::<usize>(), entries);
        let mut seen = e.order.clone();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..200));
        let mut place = vec![0; 200];
        for (k, &row) in e.order.iter().enumerate() {
            place[row] = k;
        }
        for &(i, j) in &edges {
            let (first, second) = (place[i].min(place[j]), place[i].max(place[j]));
            assert!(e.later[first].contains(&second));
        }
        for (k, later) in e.later.iter().enumerate() {
            assert!(later.iter().all(|&j| j > k) && later.is_sorted());
            // Eliminating a step couples all that it couples.
            let parent = later.first().map_or(&[][..], |&p| &e.later[p]);
            assert!(later.iter().skip(1).all(|j| parent.contains(j)));
        }
    }
}
