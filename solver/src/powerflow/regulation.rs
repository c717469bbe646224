//! Nodes whose voltage generators or loads hold with their reactive power, within its limits
//! (PV nodes; Monticelli, 1999, chapter 4): where the limits of a node's regulators together do
//! not suffice, they stay at them and the node's voltage is free.

use num_complex::Complex64;

use super::PowerFlowError;
use super::appliances::{Zip, power};
use crate::network::{Grid, LoadKind, S_BASE_VA};

/// What holds a node's voltage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hold {
    pub(super) u_ref: f64,
    /// Limits of all its regulators together, pu, generation-positive.
    q_min: f64,
    q_max: f64,
    /// -1 at the lower limit, 1 at the upper, 0 between them.
    pub(super) limit: i8,
}

/// The regulators of a grid that work now.
#[derive(Clone, Debug, Default)]
pub(super) struct Regulation {
    /// By node; none at all without regulators.
    pub(super) hold: Vec<Option<Hold>>,
    /// Appliance of each voltage regulator, where it works.
    appliance: Vec<Option<usize>>,
    /// Limits of each regulator, pu, generation-positive.
    limits: Vec<(f64, f64)>,
}

fn refused(grid: &Grid, node: usize, reason: &'static str) -> PowerFlowError {
    PowerFlowError::Regulation {
        node: grid.node_id[node],
        reason,
    }
}

impl Regulation {
    /// Takes over the regulators as they are now and takes what they set out of `zip`, which has
    /// each node at its `place`.
    pub(super) fn follow(
        &mut self,
        grid: &Grid,
        place: &[usize],
        zip: &mut [Zip],
    ) -> Result<(), PowerFlowError> {
        let regulators = &grid.network().voltage_regulator;
        let nodes = if regulators.is_empty() {
            0
        } else {
            place.len()
        };
        self.hold.clear();
        self.hold.resize(nodes, None);
        self.appliance.clear();
        self.limits.clear();
        for r in regulators {
            let (low, high) = (
                r.q_min.unwrap_or(f64::NEG_INFINITY),
                r.q_max.unwrap_or(f64::INFINITY),
            );
            let limits = (low / S_BASE_VA, high / S_BASE_VA);
            self.limits.push(limits);
            let working = |k: &usize| {
                let a = &grid.appliances[*k];
                r.status != 0 && a.closed && grid.energised[a.node]
            };
            let k = grid.index_of_appliance(r.regulated_object).filter(working);
            self.appliance.push(k);
            let (Some(k), Some(u_ref)) = (k, r.u_ref) else {
                continue;
            };
            let a = &grid.appliances[k];
            if grid.sources.iter().any(|s| s.closed && s.node == a.node) {
                let reason = "a source and a regulator both set it";
                return Err(refused(grid, a.node, reason));
            }
            let own = &mut zip[place[a.node]];
            match a.load_kind {
                LoadKind::Power => own.power.im -= a.s.im,
                LoadKind::Current => own.current.im -= a.s.im,
                LoadKind::Impedance => own.impedance.im -= a.s.im,
            }
            let hold = self.hold[a.node].get_or_insert(Hold {
                u_ref,
                q_min: 0.0,
                q_max: 0.0,
                limit: 0,
            });
            if hold.u_ref != u_ref {
                let reason = "its regulators have different set points";
                return Err(refused(grid, a.node, reason));
            }
            hold.q_min += limits.0;
            hold.q_max += limits.1;
        }
        Ok(())
    }

    /// Whether a node's voltage is held.
    pub(super) fn holds(&self, node: usize) -> bool {
        self.hold.get(node).is_some_and(Option::is_some)
    }

    /// Stops a node at the limit it would pass with the reactive power `q`, which is then what is
    /// injected there; none within the limits.
    pub(super) fn stop(&mut self, node: usize, q: f64) -> Option<f64> {
        let hold = self.hold[node].as_mut().filter(|h| h.limit == 0)?;
        if q > hold.q_max {
            hold.limit = 1;
            return Some(hold.q_max);
        }
        if q < hold.q_min {
            hold.limit = -1;
            return Some(hold.q_min);
        }
        None
    }

    /// Sets the powers of all appliances, pu, generation-positive: reactive powers of a node's regulators
    /// alike, but for the limits; `q` is what they supply together.
    pub(super) fn powers(
        &self,
        grid: &Grid,
        u: &[Complex64],
        q: impl Fn(usize) -> f64,
        powers: &mut Vec<Complex64>,
    ) {
        let own = |a: &crate::network::Appliance| power(a, u[a.node].norm_sqr().sqrt());
        powers.clear();
        powers.extend(grid.appliances.iter().map(own));
        for node in (0..self.hold.len()).filter(|&n| self.hold[n].is_some()) {
            let mut members: Vec<(f64, f64, usize)> = Vec::new();
            for (k, limits) in self.appliance.iter().zip(&self.limits) {
                if let Some(k) = k.filter(|&k| grid.appliances[k].node == node) {
                    members.push((limits.0, limits.1, k));
                }
            }
            for (k, share) in share(q(node), &mut members) {
                powers[k].im = share;
            }
        }
    }

    /// Sets whether each regulator works, and at which limit its node is.
    pub(super) fn states(&self, grid: &Grid, states: &mut Vec<(bool, i8)>) {
        let state = |k: &Option<usize>| match k {
            Some(k) => {
                let hold = self.hold[grid.appliances[*k].node];
                (true, hold.map_or(0, |h| h.limit))
            }
            None => (false, 0),
        };
        states.clear();
        states.extend(self.appliance.iter().map(state));
    }
}

/// Shares `total` alike among members `(low, high, _)`, those at a limit staying there.
fn share(total: f64, members: &mut Vec<(f64, f64, usize)>) -> Vec<(usize, f64)> {
    let mut shared = Vec::with_capacity(members.len());
    let mut rest = total;
    while !members.is_empty() {
        let each = rest / members.len() as f64;
        // What the members that can't take an equal share miss, one way or the other: the larger
        // side is at its limits for certain.
        let over: f64 = members.iter().map(|m| (each - m.1).max(0.0)).sum();
        let under: f64 = members.iter().map(|m| (m.0 - each).max(0.0)).sum();
        if over == 0.0 && under == 0.0 {
            shared.extend(members.drain(..).map(|m| (m.2, each)));
            break;
        }
        let upper = over >= under;
        let at_limit = |m: &(f64, f64, usize)| if upper { each > m.1 } else { each < m.0 };
        let mut fixed = 0.0;
        members.retain(|m| {
            let stays = !at_limit(m);
            if !stays {
                let limit = if upper { m.1 } else { m.0 };
                shared.push((m.2, limit));
                fixed += limit;
            }
            stays
        });
        rest -= fixed;
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_alike_within_limits() {
        const INF: f64 = f64::INFINITY;
        let mut none = vec![(-INF, INF, 0), (-INF, INF, 1)];
        assert_eq!(share(3.0, &mut none), [(0, 1.5), (1, 1.5)]);
        let mut one = vec![(-5.0, 0.0, 0), (0.0, 5.0, 1)];
        assert_eq!(share(3.0, &mut one), [(0, 0.0), (1, 3.0)]);
        let mut all = vec![(-1.0, 1.0, 0), (-1.0, 2.0, 1)];
        assert_eq!(share(3.0, &mut all), [(0, 1.0), (1, 2.0)]);
    }
}
