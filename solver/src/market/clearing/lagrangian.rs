//! What a position of a tap or capacitor is worth, to first order: what the network draws at each node at its
//! price, and the limits' shadow costs, at the voltages of a clearing; currency per h. Only differences between
//! positions mean anything.

use num_complex::Complex64;

use super::{Clearing, Limit, PhaseName};
use crate::network::{Grid, Id, PhaseBranch, PhaseGrid, Phases, S_BASE_VA, Side};

/// Change of a ratio, relative, by which its derivative is taken: of little against steps, far above rounding.
const STEP: f64 = 1e-6;

/// Of a network at some positions.
pub(super) fn lagrangian(grid: &Grid, clearing: &Clearing) -> f64 {
    let u = &clearing.u;
    let worth = |node: usize, s: Complex64| {
        let price = &clearing.prices[node];
        price.p_per_mwh * s.re + price.q_per_mvarh * s.im
    };
    let mut sum = 0.0;
    for branch in &grid.branches {
        let (from, to) = (u[branch.from], u[branch.to]);
        let i_from = branch.yff * from + branch.yft * to;
        let i_to = branch.ytf * from + branch.ytt * to;
        sum += worth(branch.from, from * i_from.conj()) + worth(branch.to, to * i_to.conj());
        for of in &clearing.binding {
            let Some((side, is_current)) = on_branch(of.limit, branch.id) else {
                continue;
            };
            let (node, u, i) = match side {
                Side::From => (branch.from, from, i_from),
                Side::To => (branch.to, to, i_to),
            };
            let value = if is_current {
                i.norm() * grid.base_current_a(node)
            } else {
                (u * i.conj()).norm() * S_BASE_VA
            };
            sum += of.shadow_price_per_h * value;
        }
    }
    for (node, &y) in grid.y_shunt.iter().enumerate() {
        sum += worth(node, u[node] * (y * u[node]).conj());
    }
    sum
}

/// Side of a branch that a limit is on, and whether it is of current.
fn on_branch(limit: Limit, id: Id) -> Option<(Side, bool)> {
    match limit {
        Limit::Current { branch, side } if branch == id => Some((side, true)),
        Limit::Apparent { branch, side } if branch == id => Some((side, false)),
        _ => None,
    }
}

/// The same by phase.
pub(super) struct ByPhase<'a> {
    grid: &'a Grid,
    phases: PhaseGrid,
    clearing: &'a Clearing,
    /// Of each phase of each node: price of active power, less j times that of reactive power, per pu of a phase.
    price: Vec<Phases>,
}

impl<'a> ByPhase<'a> {
    /// Nothing where the network lacks what is needed by phase, so that it was not cleared by phase.
    pub(super) fn new(grid: &'a Grid, clearing: &'a Clearing) -> Option<Self> {
        let phases = PhaseGrid::new(grid).ok()?;
        let mut price = vec![[Complex64::ZERO; 3]; grid.node_id.len()];
        for of in &clearing.phase_prices {
            let node = grid.index_of_node(of.node)?;
            let at = Complex64::new(of.p_per_mwh, -of.q_per_mvarh);
            price[node][of.phase as usize] = at / 3.0;
        }
        Some(Self {
            grid,
            phases,
            clearing,
            price,
        })
    }

    fn u(&self, node: usize) -> Phases {
        [0, 1, 2].map(|p| self.clearing.u[3 * node + p])
    }

    fn worth(&self, node: usize, i: &Phases) -> f64 {
        let u = self.u(node);
        let each = (0..3).map(|p| (self.price[node][p] * u[p] * i[p].conj()).re);
        each.sum()
    }

    /// Of all branches and shunts.
    pub(super) fn of_all(&self) -> f64 {
        let branches = self.phases.branches.iter().enumerate();
        let branches: f64 = branches.map(|(k, y)| self.of_branch(k, y)).sum();
        let shunts = self.phases.y_shunt.iter().enumerate();
        let shunts = shunts.map(|(node, y)| self.worth(node, &y.apply(&self.u(node))));
        branches + shunts.sum::<f64>()
    }

    /// Of a branch that has these admittances.
    fn of_branch(&self, k: usize, y: &PhaseBranch) -> f64 {
        let branch = &self.grid.branches[k];
        let (from, to) = (self.u(branch.from), self.u(branch.to));
        let sum = |a: Phases, b: Phases| [0, 1, 2].map(|p| a[p] + b[p]);
        let i_from = sum(y.yff.apply(&from), y.yft.apply(&to));
        let i_to = sum(y.ytf.apply(&from), y.ytt.apply(&to));
        let power = self.worth(branch.from, &i_from) + self.worth(branch.to, &i_to);
        let limits = self.clearing.binding.iter().filter_map(|of| {
            let (side, is_current) = on_branch(of.limit, branch.id)?;
            let p = PhaseName::ALL.iter().position(|&p| Some(p) == of.phase)?;
            let (node, u, i) = match side {
                Side::From => (branch.from, from[p], i_from[p]),
                Side::To => (branch.to, to[p], i_to[p]),
            };
            let value = if is_current {
                i.norm() * self.grid.base_current_a(node)
            } else {
                (u * i.conj()).norm() * S_BASE_VA / 3.0
            };
            Some(of.shadow_price_per_h * value)
        });
        power + limits.sum::<f64>()
    }

    /// Derivative by the logarithm of the voltage at a branch's from side over that at its to side. Of a regulator of
    /// almost no impedance, a step as a whole would say nothing.
    pub(super) fn by_ratio(&self, k: usize) -> f64 {
        let y = &self.phases.branches[k];
        let at = |by: f64| {
            let times = |by: f64| move |y: Complex64| y * by;
            let scaled = PhaseBranch {
                yff: y.yff,
                yft: y.yft.map(times(by)),
                ytf: y.ytf.map(times(by)),
                ytt: y.ytt.map(times(by * by)),
            };
            self.of_branch(k, &scaled)
        };
        (at(1.0 + STEP) - at(1.0 - STEP)) / (2.0 * STEP)
    }
}
