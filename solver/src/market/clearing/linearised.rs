//! An interval linearised at its AC clearing: what its sources and its limits answer to power at each node,
//! by the adjoint's derivatives.

use std::collections::BTreeMap;

use num_complex::Complex64;

use super::{
    Case, Clearing, ClearingError, Limit, held::Held, horizon::hours, limits::On, problem::Problem,
    sensitivity::Adjoint,
};
use crate::{
    market::{Direction, Kind},
    network::{Grid, Id, S_BASE_VA},
};

/// An interval at its clearing.
pub(super) struct Interval<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) hours: f64,
    /// Of each source: its power and what it answers to load at each balance.
    pub(super) sources: Vec<(f64, Vec<Complex64>)>,
    /// Of each limit near its bound or watched: which, excess over its bound, and its answer, over the norm.
    pub(super) limits: Vec<(usize, f64, Vec<Complex64>)>,
    /// Of each store and window, in the schedule's order: how its cost curves with its power, currency per
    /// pu² and h. It is that of losses: by `Re Z / |u|²` with the impedance seen from a node, which also is by
    /// how much power lifts its voltage. What all of them together make of losses is at most the sum of each
    /// with its row's sum for its own.
    pub(super) curvature: Vec<f64>,
    /// Blocks that are not looked at anew.
    pub(super) held: Held,
    /// Active power of the orders taken, at each balance. The schedule's is in it too.
    base: Vec<f64>,
}

/// Nearness of a limit that is looked at, over its norm.
const NEAR_VOLTAGE: f64 = -0.01;
const NEAR_RATING: f64 = -0.2;

/// Answers below this, pu per pu, are those of another feeder behind an ideal source: rounding.
const LEAST_ANSWER: f64 = 1e-9;

impl<'a> Interval<'a> {
    /// Nothing where the point is at the limit of voltage stability. `watched` are limits to be looked at however
    /// far they are.
    pub(super) fn new(
        grid: &'a Grid,
        case: &'a Case,
        clearing: &Clearing,
        scheduled: &[(Id, f64)],
        watched: &[Limit],
    ) -> Result<Option<Self>, ClearingError> {
        let problem = Problem::new(grid, case)?;
        let u = problem.equations.buses(&clearing.u);
        let powers = source_powers(&problem, clearing);
        let Some(mut adjoint) = Adjoint::new(&problem.equations, &u) else {
            return Ok(None);
        };
        let sources = problem.sources.iter().zip(&powers);
        let sources = sources.map(|(of, s)| (s.re, adjoint.by_load(&adjoint.of_source(of))));
        let sources = sources.collect();
        let limits = near_limits(&problem, &mut adjoint, &u, &powers, watched);
        let curvature = curvature(&problem, &mut adjoint, &u, scheduled);
        drop(adjoint);
        let mut held = Held::nothing(&problem);
        held.hold(&problem, &problem.prices_of(clearing));
        for (block, at) in problem.blocks.iter().zip(&mut held.at) {
            // Reactive power is not looked at at all.
            *at = at.filter(|_| !block.reactive);
        }
        Ok(Some(Self {
            hours: hours(case),
            sources,
            limits,
            curvature,
            base: base(&problem, clearing, scheduled),
            held,
            problem,
        }))
    }

    pub(super) fn row(&self, node: Id) -> Option<usize> {
        row(&self.problem, node)
    }

    /// Power injected at the clearing, less what is held, at each balance.
    pub(super) fn looked_at(&self) -> Vec<f64> {
        let mut power = self.base.clone();
        for (block, held) in self.problem.blocks.iter().zip(&self.held.at) {
            power[block.at.rows().start] -= block.sign * held.unwrap_or_default();
        }
        power
    }

    /// Cost of the active power of a clearing, currency per h.
    pub(super) fn energy_cost(&self, clearing: &Clearing) -> f64 {
        let orders = self.problem.case.orders.iter().zip(&clearing.fills);
        let reactive = orders.filter(|(order, _)| order.terms.kind == Kind::Reactive);
        let paid = reactive.map(|(order, fill)| {
            let mut left = fill.quantity_w;
            let steps = order.steps.iter().map(|step| {
                let taken = left.clamp(0.0, step.quantity_w as f64);
                left -= taken;
                taken / S_BASE_VA * step.price.per_mwh()
            });
            steps.sum::<f64>()
        });
        let sources = self.problem.sources.iter();
        let deviations = sources
            .zip(source_powers(&self.problem, clearing))
            .map(|(of, s)| of.cost_of_reactive(s.im));
        clearing.cost_per_h - paid.sum::<f64>() - deviations.sum::<f64>()
    }
}

/// Balance of a node, if it is energised.
fn row(problem: &Problem<'_>, node: Id) -> Option<usize> {
    let node = problem.grid.index_of_node(node)?;
    problem.equations.rows_of(node).next()
}

/// Power of each source in a clearing.
fn source_powers(problem: &Problem<'_>, clearing: &Clearing) -> Vec<Complex64> {
    let power = |interface: usize| {
        let source = problem.case.interface[interface].source;
        let found = clearing.exchange.iter().find(|of| of.source == source);
        found.map_or(Complex64::ZERO, |of| {
            Complex64::new(of.p_w, of.q_var) / S_BASE_VA
        })
    };
    problem
        .sources
        .iter()
        .map(|of| power(of.interface))
        .collect()
}

/// As [`Interval::limits`].
fn near_limits(
    problem: &Problem<'_>,
    adjoint: &mut Adjoint<'_>,
    u: &[Complex64],
    powers: &[Complex64],
    watched: &[Limit],
) -> Vec<(usize, f64, Vec<Complex64>)> {
    let mut limits = Vec::new();
    for (k, limit) in problem.limits.iter().enumerate() {
        let value = limit.value(&problem.equations, u, powers);
        let excess = limit.excess(value, limit.bound);
        let near = if limit.is_voltage() {
            NEAR_VOLTAGE
        } else {
            NEAR_RATING
        };
        if excess > near || watched.contains(&limit.limit) {
            let gradient = adjoint.of_limit(limit.on, &problem.sources);
            let answer = adjoint.by_load(&gradient).into_iter();
            let answer = answer.map(|d| {
                if d.norm() < LEAST_ANSWER {
                    Complex64::ZERO
                } else {
                    d / limit.norm
                }
            });
            limits.push((k, excess, answer.collect()));
        }
    }
    limits
}

/// As [`Interval::curvature`].
fn curvature(
    problem: &Problem<'_>,
    adjoint: &mut Adjoint<'_>,
    u: &[Complex64],
    scheduled: &[(Id, f64)],
) -> Vec<f64> {
    let nodes = scheduled.iter().map(|&(node, _)| node);
    let rows: Vec<usize> = nodes
        .clone()
        .filter_map(|node| row(problem, node))
        .collect();
    let prices = problem.sources.iter().map(|of| of.import.abs());
    let price = prices.fold(0.0, f64::max);
    let of_node = |node: Id| {
        let bus = problem.grid.index_of_node(node)?;
        row(problem, node)?;
        let gradient = adjoint.of_limit(On::UMax(bus), &problem.sources);
        let lifts = adjoint.by_load(&gradient);
        let all: f64 = rows.iter().map(|&row| lifts[row].re.abs()).sum();
        Some(2.0 * price * all / u[bus].norm())
    };
    nodes.map(of_node).map(Option::unwrap_or_default).collect()
}

/// As [`Interval::base`].
fn base(problem: &Problem<'_>, clearing: &Clearing, scheduled: &[(Id, f64)]) -> Vec<f64> {
    let case = problem.case;
    let mut base = vec![0.0; problem.equations.rows];
    let units = case.units.iter();
    let by_id: BTreeMap<Id, usize> = units
        .filter_map(|of| Some((of.id, row(problem, of.node)?)))
        .collect();
    for &(node, p) in scheduled {
        if let Some(row) = row(problem, node) {
            base[row] += p;
        }
    }
    for (order, fill) in case.orders.iter().zip(&clearing.fills) {
        if order.terms.kind == Kind::Energy
            && let Some(&row) = by_id.get(&order.unit)
        {
            let sign = match order.direction {
                Direction::Sell => 1.0,
                Direction::Buy => -1.0,
            };
            base[row] += sign * fill.quantity_w / S_BASE_VA;
        }
    }
    base
}
