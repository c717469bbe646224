//! Which nodes a closed source reaches through branches closed at both sides.

use super::{Branch, SourceBehind};

/// `(energised, clock_angle)` per node, breadth first from each closed source in turn.
pub(super) fn trace(
    nodes: usize,
    branches: &[Branch],
    sources: &[SourceBehind],
) -> (Vec<bool>, Vec<f64>) {
    let (start, incident) = incidence(nodes, branches);
    let mut energised = vec![false; nodes];
    let mut angle = vec![0.0; nodes];
    let mut queue: Vec<usize> = Vec::with_capacity(nodes);
    for source in sources.iter().filter(|s| s.closed) {
        if energised[source.node] {
            continue;
        }
        energised[source.node] = true;
        angle[source.node] = source.u_ref.arg();
        let mut next = queue.len();
        queue.push(source.node);
        while let Some(&node) = queue.get(next) {
            next += 1;
            for &k in &incident[start[node]..start[node + 1]] {
                let branch = &branches[k];
                let (other, shift) = if branch.from == node {
                    (branch.to, -branch.lag)
                } else {
                    (branch.from, branch.lag)
                };
                if !energised[other] {
                    energised[other] = true;
                    angle[other] = angle[node] + shift;
                    queue.push(other);
                }
            }
        }
    }
    (energised, angle)
}

/// Branches closed at both sides, by node: those of node `n` are `list[start[n]..start[n + 1]]`.
fn incidence(nodes: usize, branches: &[Branch]) -> (Vec<usize>, Vec<usize>) {
    let closed = || {
        let both = branches.iter().enumerate();
        both.filter(|(_, b)| b.from_closed && b.to_closed)
    };
    let mut start = vec![0; nodes + 1];
    for (_, b) in closed() {
        start[b.from + 1] += 1;
        start[b.to + 1] += 1;
    }
    for n in 0..nodes {
        start[n + 1] += start[n];
    }
    let mut fill = start.clone();
    let mut list = vec![0; start[nodes]];
    for (k, b) in closed() {
        for end in [b.from, b.to] {
            list[fill[end]] = k;
            fill[end] += 1;
        }
    }
    (start, list)
}
