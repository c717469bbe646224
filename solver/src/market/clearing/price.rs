//! What nodal prices are made of: energy, losses, and every limit that binds.
//!
//! By the optimality conditions, the price at a node is what serving load there costs at the
//! margin: power from the sources at their prices, more or less than the load by what losses
//! change, and what the load adds to each limit, at the limit's shadow price. With the shadow prices given,
//! both come from the AC power flow alone. (Cheng and Overbye, "An energy reference bus
//! independent LMP decomposition algorithm", IEEE Trans. Power Systems 21(3), 2006, on the AC equations;
//! several sources share the energy part as they share in serving the node.)

use num_complex::Complex64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Case, Clearing, ClearingError, Limit,
    discrete::positioned,
    limits::LimitRow,
    problem::{Problem, SourcePrice},
    sensitivity::{Adjoint, Gradient},
};
use crate::network::{Grid, Id};

/// A limit's part of a price.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitPart {
    /// Which limit.
    pub limit: Limit,
    /// Of the price of active power, currency per MWh.
    pub p_per_mwh: f64,
    /// Of the price of reactive power, currency per Mvarh.
    pub q_per_mvarh: f64,
}

/// What the prices at a node are made of: all parts together are the price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceParts {
    /// Node.
    pub node: Id,
    /// Energy: its price at the sources, of active power, currency per MWh. Reactive power costs
    /// nothing there.
    pub energy_per_mwh: f64,
    /// Marginal losses of active load here, currency per MWh.
    pub loss_p_per_mwh: f64,
    /// Marginal losses of reactive load here, currency per Mvarh.
    pub loss_q_per_mvarh: f64,
    /// Limits that bind, in the order of [`Clearing::binding`].
    pub limits: Vec<LimitPart>,
    /// What is left of the price of active power, currency per MWh: where a dispatch is optimal,
    /// the search's tolerance; otherwise, what prices were cut by or are ahead of the dispatch.
    pub rest_p_per_mwh: f64,
    /// The same of reactive power, currency per Mvarh.
    pub rest_q_per_mvarh: f64,
}

impl PriceParts {
    /// The price of active power, currency per MWh.
    #[must_use]
    pub fn p_per_mwh(&self) -> f64 {
        let limits: f64 = self.limits.iter().map(|part| part.p_per_mwh).sum();
        self.energy_per_mwh + self.loss_p_per_mwh + limits + self.rest_p_per_mwh
    }

    /// The price of reactive power, currency per Mvarh.
    #[must_use]
    pub fn q_per_mvarh(&self) -> f64 {
        let limits: f64 = self.limits.iter().map(|part| part.q_per_mvarh).sum();
        self.loss_q_per_mvarh + limits + self.rest_q_per_mvarh
    }
}

/// What each node's prices are made of, in the network's order; nothing at nodes without voltage.
///
/// # Errors
/// The case contradicts itself or the network: it is not the one that was cleared.
pub fn price_parts(
    grid: &Grid,
    case: &Case,
    clearing: &Clearing,
) -> Result<Vec<PriceParts>, ClearingError> {
    let grid = positioned(grid, &clearing.positions)?;
    let problem = Problem::new(&grid, case)?;
    let equations = &problem.equations;
    let u = equations.buses(&clearing.u);
    let mut adjoint = Adjoint::new(equations, &u);
    // Without sensitivities (the point is at the limit of stability) nothing is known of a price
    // but itself.
    let mut by_load = |gradient: &dyn Fn(&Adjoint<'_>) -> Gradient| {
        let none = || vec![Complex64::ZERO; equations.rows];
        adjoint.as_mut().map_or_else(none, |adjoint| {
            let gradient = gradient(adjoint);
            adjoint.by_load(&gradient)
        })
    };
    let served: Vec<Vec<Complex64>> = (0..equations.sources.len())
        .map(|k| by_load(&|adjoint| adjoint.of_source(k)))
        .collect();
    let source_price = source_prices(&problem, clearing);
    let limits: Vec<(Limit, Vec<Complex64>)> = clearing
        .binding
        .iter()
        .filter_map(|of| {
            let row: &LimitRow = problem.limits.iter().find(|row| row.limit == of.limit)?;
            // Per pu of the limit's value.
            let shadow = of.shadow_price_per_h * row.si;
            let answer = by_load(&|adjoint| adjoint.of_limit(row.on));
            Some((of.limit, answer.into_iter().map(|d| d * shadow).collect()))
        })
        .collect();
    let nodes = clearing.prices.iter().zip(&equations.row);
    let parts = nodes.map(|(price, row)| {
        let Some(row) = *row else {
            return nothing(price.node);
        };
        let share: f64 = served.iter().map(|of| of[row].re).sum();
        let paid = served.iter().zip(&source_price);
        let paid: Complex64 = paid.map(|(of, price)| of[row] * price).sum();
        // Sources serve a little more or less than the load; the energy part is the load's.
        let energy = if share.abs() > f64::EPSILON {
            paid.re / share
        } else {
            0.0
        };
        let mut parts = PriceParts {
            node: price.node,
            energy_per_mwh: energy,
            loss_p_per_mwh: paid.re - energy,
            loss_q_per_mvarh: paid.im,
            limits: limits
                .iter()
                .map(|(limit, answer)| LimitPart {
                    limit: *limit,
                    p_per_mwh: answer[row].re,
                    q_per_mvarh: answer[row].im,
                })
                .collect(),
            rest_p_per_mwh: 0.0,
            rest_q_per_mvarh: 0.0,
        };
        parts.rest_p_per_mwh = price.p_per_mwh - parts.p_per_mwh();
        parts.rest_q_per_mvarh = price.q_per_mvarh - parts.q_per_mvarh();
        parts
    });
    Ok(parts.collect())
}

/// What one more MWh from each source costs.
fn source_prices(problem: &Problem<'_>, clearing: &Clearing) -> Vec<f64> {
    let sources = problem.sources.iter();
    let id = |interface: usize| problem.case.interface[interface].source;
    let price = |of: &SourcePrice| {
        let mut exchanges = clearing.exchange.iter();
        let found = exchanges.find(|exchange| exchange.source == id(of.interface));
        found.map_or(of.import, |exchange| exchange.price_per_mwh)
    };
    sources.map(price).collect()
}

fn nothing(node: Id) -> PriceParts {
    PriceParts {
        node,
        energy_per_mwh: 0.0,
        loss_p_per_mwh: 0.0,
        loss_q_per_mvarh: 0.0,
        limits: Vec::new(),
        rest_p_per_mwh: 0.0,
        rest_q_per_mvarh: 0.0,
    }
}
