//! Which phases of which nodes a closed source reaches through branches closed at both sides.

use super::{Branch, Coupling, PhaseMask, SourceBehind};

/// What is live at the ends of a closed branch, given what is so far.
fn passed_on(branch: &Branch, own: PhaseMask) -> PhaseMask {
    let all = |own: PhaseMask| [0, 1, 2].map(|p| branch.phases[p] && own[p]);
    match branch.coupling {
        Coupling::Each => all(own),
        Coupling::Together if all(own) == branch.phases => branch.phases,
        Coupling::Windings if own.contains(&true) => [true; 3],
        _ => [false; 3],
    }
}

/// Adds phases; whether there were new ones.
fn enliven(live: &mut PhaseMask, phases: PhaseMask) -> bool {
    let before = *live;
    for (live, phase) in live.iter_mut().zip(phases) {
        *live |= phase;
    }
    *live != before
}

/// `(live phases, angle under no load)` per node, breadth first from each closed source in turn.
pub(super) fn trace(
    nodes: usize,
    branches: &[Branch],
    sources: &[SourceBehind],
) -> (Vec<PhaseMask>, Vec<f64>) {
    let (start, incident) = incidence(nodes, branches);
    let mut live = vec![[false; 3]; nodes];
    let mut angle = vec![0.0; nodes];
    let mut queue: Vec<usize> = Vec::with_capacity(nodes);
    for source in sources.iter().filter(|s| s.closed) {
        let fresh = live[source.node] == [false; 3];
        if !enliven(&mut live[source.node], [true; 3]) {
            continue;
        }
        if fresh {
            angle[source.node] = source.u_ref.arg();
        }
        let mut next = queue.len();
        queue.push(source.node);
        // A node comes again when more of its phases have become live: three times at most.
        while let Some(&node) = queue.get(next) {
            next += 1;
            for &k in &incident[start[node]..start[node + 1]] {
                let branch = &branches[k];
                let (other, shift) = if branch.from == node {
                    (branch.to, -branch.lag)
                } else {
                    (branch.from, branch.lag)
                };
                let phases = passed_on(branch, live[node]);
                // Windings feed back into the phases that are open on their own side.
                if branch.coupling == Coupling::Windings && enliven(&mut live[node], phases) {
                    queue.push(node);
                }
                let first = live[other] == [false; 3];
                if enliven(&mut live[other], phases) {
                    if first {
                        angle[other] = angle[node] + shift;
                    }
                    queue.push(other);
                }
            }
        }
    }
    (live, angle)
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
