//! Where a search begins: at what is known of a case much like it, or else at units at nothing.

use std::collections::BTreeMap;

use num_complex::Complex64;

use super::{
    Clearing, ClearingError,
    problem::{Block, Problem},
    search::{Physics, Point, Search},
};
use crate::{
    market::OrderId,
    network::{Id, S_BASE_VA},
    powerflow::PowerFlowError,
};

/// What a clearing is begun at.
#[derive(Clone, Copy)]
pub(super) struct Near<'a> {
    /// What came of a case much like it.
    pub(super) clearing: &'a Clearing,
    /// What has been foreseen of this one.
    pub(super) foreseen: Option<&'a Foreseen>,
}

impl<'a> Near<'a> {
    /// To a clearing, with nothing foreseen.
    pub(super) fn to(clearing: &'a Clearing) -> Self {
        Self {
            clearing,
            foreseen: None,
        }
    }
}

/// What a programme over a horizon says of an interval.
#[derive(Clone, Debug)]
pub(super) struct Foreseen {
    /// Quantity of each block; those of reactive power are not looked at.
    pub(super) fill: Vec<f64>,
    /// Price of active power at each balance.
    pub(super) row: Vec<Complex64>,
}

/// The search at its start.
pub(super) fn started<'a, 'b>(
    problem: &'b mut Problem<'a>,
    physics: &'b mut Physics,
    near: Option<Near<'_>>,
) -> Result<Search<'a, 'b>, ClearingError> {
    if let Some((point, prices)) = near.and_then(|near| point_near(problem, physics, near)) {
        let mut search = Search::new(problem, physics, point, prices);
        search.is_priced = true;
        return Ok(search);
    }
    let idle = starting_point(problem, physics)?;
    // Energy from the first source everywhere, reactive power for nothing: close enough for
    // the curvature of losses, and for what limits there will be.
    let prices = prices_everywhere(problem, problem.sources[0].import);
    let fill = at_prices(problem, &prices);
    let q = vec![0.0; problem.units.len()];
    let start = &idle.u[..problem.equations.row.len()];
    let eager = physics.point(problem, fill, q, Some(start));
    let mut search = Search::new(problem, physics, idle, prices);
    if let Ok(eager) = eager {
        search.consider(eager);
    }
    Ok(search)
}

/// The first of: units at nothing, at all they offer and ask, at half, that has a power flow.
fn starting_point(problem: &Problem<'_>, physics: &mut Physics) -> Result<Point, ClearingError> {
    let q = vec![0.0; problem.units.len()];
    let mut reason: Option<PowerFlowError> = None;
    for share in [0.0, 0.5, 1.0] {
        let fill: Vec<f64> = problem
            .blocks
            .iter()
            .map(|block| share * block.cap)
            .collect();
        for start in [problem.case.start.as_deref(), None] {
            match physics.point(problem, fill.clone(), q.clone(), start) {
                Ok(point) => return Ok(point),
                Err(error) => reason = reason.or(Some(error)),
            }
        }
    }
    let reason = reason.map_or_else(String::new, |error| error.to_string());
    Err(ClearingError::NoOperatingPoint { reason })
}

/// What the case's orders come to at the prices of another clearing of the same network or as foreseen, with
/// those prices at each balance; nothing where that has no power flow.
fn point_near(
    problem: &Problem<'_>,
    physics: &mut Physics,
    Near {
        clearing: near,
        foreseen,
    }: Near<'_>,
) -> Option<(Point, Vec<Complex64>)> {
    if near.u.len() != problem.equations.row.len() {
        return None;
    }
    let mut row = problem.prices_of(near);
    let mut fill = as_filled(problem, near, at_prices(problem, &row));
    let blocks = problem.blocks.len();
    if let Some(foreseen) = foreseen.filter(|of| of.fill.len() == blocks) {
        for (price, of) in row.iter_mut().zip(&foreseen.row) {
            price.re = of.re;
        }
        let all = problem.blocks.iter().zip(&mut fill).zip(&foreseen.fill);
        for ((block, fill), foreseen) in all.filter(|((block, _), _)| !block.reactive) {
            *fill = foreseen.clamp(0.0, block.cap);
        }
    }
    let given: BTreeMap<Id, f64> = near.awards.iter().map(|of| (of.unit, of.q_var)).collect();
    let q = problem.units.iter().map(|unit| {
        let id = problem.case.units[unit.index].id;
        let q = given.get(&id).map_or(0.0, |q| q / S_BASE_VA);
        q.clamp(-unit.q_max, unit.q_max)
    });
    let point = physics.point(problem, fill, q.collect(), Some(&near.u));
    Some((point.ok()?, row))
}

/// Blocks as the orders in them were filled: those of an order best first. Of orders that were not there, as
/// given.
fn as_filled(problem: &Problem<'_>, near: &Clearing, mut fill: Vec<f64>) -> Vec<f64> {
    let known: BTreeMap<OrderId, f64> = near
        .fills
        .iter()
        .map(|of| (of.order, of.quantity_w / S_BASE_VA))
        .collect();
    let orders = problem.case.orders.iter();
    let mut left: Vec<Option<f64>> = orders.map(|of| known.get(&of.id).copied()).collect();
    let mut best_first: Vec<usize> = (0..problem.blocks.len()).collect();
    best_first.sort_by(|&a, &b| {
        problem.blocks[a]
            .cost()
            .total_cmp(&problem.blocks[b].cost())
    });
    for k in best_first {
        let block = &problem.blocks[k];
        if block.steps.iter().any(|&(order, _)| left[order].is_none()) {
            continue;
        }
        fill[k] = 0.0;
        for &(order, quantity) in &block.steps {
            let Some(left) = &mut left[order] else {
                continue;
            };
            let taken = left.clamp(0.0, quantity);
            *left -= taken;
            fill[k] += taken;
        }
    }
    fill
}

/// The same price of active power at every node, none of reactive power.
fn prices_everywhere(problem: &Problem<'_>, price: f64) -> Vec<Complex64> {
    let mut row = vec![Complex64::ZERO; problem.equations.rows];
    for &at in problem.equations.row.iter().flatten() {
        row[at] = Complex64::new(price / problem.equations.phases as f64, 0.0);
    }
    row
}

/// What orders come to at prices at each balance.
fn at_prices(problem: &Problem<'_>, row: &[Complex64]) -> Vec<f64> {
    let undecided = 1e-3 * problem.price_scale;
    let taken = |block: &Block| {
        let share = 0.5 * (block.gain(row) / undecided).clamp(-1.0, 1.0) + 0.5;
        share * block.cap
    };
    problem.blocks.iter().map(taken).collect()
}
