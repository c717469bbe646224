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
    Binding, Case, Clearing, ClearingError, Limit, PhaseName,
    discrete::positioned,
    limits::LimitRow,
    place::Place,
    problem::{Problem, SourcePrice},
    sensitivity::{Adjoint, Gradient},
};
use crate::network::{Grid, Id, S_BASE_VA};

/// A limit's part of a price.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitPart {
    /// Which limit.
    pub limit: Limit,
    /// By phase: of which, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
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
    /// By phase: of power in this one; none: shared alike by the node's phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
    /// Energy: its price at the sources, of active power, currency per MWh. Reactive power costs
    /// nothing there.
    pub energy_per_mwh: f64,
    /// Marginal losses of active load here, currency per MWh.
    pub loss_p_per_mwh: f64,
    /// Marginal losses of reactive load here, currency per Mvarh.
    pub loss_q_per_mvarh: f64,
    /// Limits that bind, in the order of [`Clearing::binding`].
    pub limits: Vec<LimitPart>,
    /// What load here makes of voltages that are worth something, of the price of active power, currency per
    /// MWh.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub voltage_p_per_mwh: f64,
    /// The same of reactive power, currency per Mvarh.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub voltage_q_per_mvarh: f64,
    /// What is left of the price of active power, currency per MWh: where a dispatch is optimal,
    /// the search's tolerance; otherwise, what prices were cut by or are ahead of the dispatch.
    pub rest_p_per_mwh: f64,
    /// The same of reactive power, currency per Mvarh.
    pub rest_q_per_mvarh: f64,
}

fn is_nothing(value: &f64) -> bool {
    *value == 0.0
}

impl PriceParts {
    /// The price of active power, currency per MWh.
    #[must_use]
    pub fn p_per_mwh(&self) -> f64 {
        let limits: f64 = self.limits.iter().map(|part| part.p_per_mwh).sum();
        let voltage = self.voltage_p_per_mwh;
        self.energy_per_mwh + self.loss_p_per_mwh + limits + voltage + self.rest_p_per_mwh
    }

    /// The price of reactive power, currency per Mvarh.
    #[must_use]
    pub fn q_per_mvarh(&self) -> f64 {
        let limits: f64 = self.limits.iter().map(|part| part.q_per_mvarh).sum();
        self.loss_q_per_mvarh + limits + self.voltage_q_per_mvarh + self.rest_q_per_mvarh
    }
}

/// What each node's prices are made of, in the network's order; nothing at nodes without voltage. By phase
/// after them what each phase's are made of, as in [`Clearing::phase_prices`].
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
    let served: Vec<Vec<Complex64>> = (problem.sources.iter())
        .map(|of| by_load(&|adjoint| adjoint.of_source(of)))
        .collect();
    let limits: Vec<(&Binding, Vec<Complex64>)> = clearing
        .binding
        .iter()
        .filter_map(|of| {
            let same = |row: &&LimitRow| (row.limit, row.phase) == (of.limit, of.phase);
            let row = problem.limits.iter().find(same)?;
            // Per pu of the limit's value.
            let shadow = of.shadow_price_per_h * row.si;
            let answer = by_load(&|adjoint| adjoint.of_limit(row.on, &problem.sources));
            Some((of, answer.into_iter().map(|d| d * shadow).collect()))
        })
        .collect();
    let voltages = problem.voltages.iter().zip(&clearing.voltages);
    let voltages = voltages.map(|(of, priced)| {
        let award = clearing.awards.iter().find(|award| award.unit == of.unit);
        let given = award.map(|award| Complex64::new(award.p_w, award.q_var) / S_BASE_VA);
        let tangent = of.tangent(u[of.bus], given.unwrap_or_default());
        let answer = by_load(&|adjoint| adjoint.of_voltage(of.bus, tangent.by_u));
        answer.into_iter().map(|d| d * priced.slope_per_h).collect()
    });
    let voltages: Vec<Vec<Complex64>> = voltages.collect();
    let made_of = MadeOf {
        served,
        source_price: source_prices(&problem, clearing),
        limits,
        voltages,
    };
    let parts = priced(&problem, clearing).map(|of| made_of.parts(of));
    Ok(parts.collect())
}

/// What all prices are made of: what load at each balance does.
struct MadeOf<'a> {
    /// Of each source, its power.
    served: Vec<Vec<Complex64>>,
    source_price: Vec<f64>,
    /// Of each limit that binds, what its relief is worth.
    limits: Vec<(&'a Binding, Vec<Complex64>)>,
    /// Of each voltage that is worth something, what it costs.
    voltages: Vec<Vec<Complex64>>,
}

impl MadeOf<'_> {
    fn parts(&self, of: Priced) -> PriceParts {
        let Some(at) = of.at else {
            return nothing(of.node);
        };
        let share: f64 = self.served.iter().map(|of| at.price(of).re).sum();
        let paid = self.served.iter().zip(&self.source_price);
        let paid: Complex64 = paid.map(|(of, price)| at.price(of) * price).sum();
        // Sources serve a little more or less than the load; the energy part is the load's.
        let energy = if share.abs() > f64::EPSILON {
            paid.re / share
        } else {
            0.0
        };
        let limits = self.limits.iter().map(|(of, answer)| {
            let price = at.price(answer);
            LimitPart {
                limit: of.limit,
                phase: of.phase,
                p_per_mwh: price.re,
                q_per_mvarh: price.im,
            }
        });
        let voltage: Complex64 = self.voltages.iter().map(|of| at.price(of)).sum();
        let mut parts = PriceParts {
            node: of.node,
            phase: of.phase,
            energy_per_mwh: energy,
            loss_p_per_mwh: paid.re - energy,
            loss_q_per_mvarh: paid.im,
            limits: limits.collect(),
            voltage_p_per_mwh: voltage.re,
            voltage_q_per_mvarh: voltage.im,
            rest_p_per_mwh: 0.0,
            rest_q_per_mvarh: 0.0,
        };
        parts.rest_p_per_mwh = of.p - parts.p_per_mwh();
        parts.rest_q_per_mvarh = of.q - parts.q_per_mvarh();
        parts
    }
}

/// A price, and where it is one.
struct Priced {
    node: Id,
    phase: Option<PhaseName>,
    p: f64,
    q: f64,
    at: Option<Place>,
}

/// Prices of nodes, then of phases.
fn priced<'a>(
    problem: &'a Problem<'_>,
    clearing: &'a Clearing,
) -> impl Iterator<Item = Priced> + use<'a> {
    let nodes = clearing.prices.iter().enumerate();
    let nodes = nodes.map(|(k, of)| Priced {
        node: of.node,
        phase: None,
        p: of.p_per_mwh,
        q: of.q_per_mvarh,
        at: problem.place(k),
    });
    let phases = clearing.phase_prices.iter().map(|of| {
        let node = problem.grid.index_of_node(of.node);
        Priced {
            node: of.node,
            phase: Some(of.phase),
            p: of.p_per_mwh,
            q: of.q_per_mvarh,
            at: node.and_then(|node| Place::new(&problem.equations, node, Some(of.phase as usize))),
        }
    });
    nodes.chain(phases)
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
        phase: None,
        energy_per_mwh: 0.0,
        loss_p_per_mwh: 0.0,
        loss_q_per_mvarh: 0.0,
        limits: Vec::new(),
        voltage_p_per_mwh: 0.0,
        voltage_q_per_mvarh: 0.0,
        rest_p_per_mwh: 0.0,
        rest_q_per_mvarh: 0.0,
    }
}
