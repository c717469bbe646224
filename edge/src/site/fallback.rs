//! Is the state that every device falls back to, when nobody commands it, within limits?
//!
//! Two power flows, since nobody knows the loads of that moment: loads as expected and loads at
//! nothing; generators at their fallback, or at rest, whichever strains more at either end.

use num_complex::Complex64;
use solver::{
    network::{Grid, Id},
    powerflow::{Options, PowerFlow, PowerFlowError, flows},
};

use super::{Limits, Site};

/// A moment that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct FallbackState {
    /// What is assumed of loads and units, in words.
    pub assumption: &'static str,
    /// Lowest voltage, pu, and its node.
    pub u_min: (Id, f64),
    /// Highest voltage, pu, and its node.
    pub u_max: (Id, f64),
    /// Highest loading, 1 is full, and its branch.
    pub loading: Option<(Id, f64)>,
    /// What is outside limits, in words; empty is safe.
    pub violations: Vec<String>,
}

/// Computes the fallback states of a site.
///
/// # Errors
/// The network has no power flow there at all, or contradicts itself.
pub fn states(site: &Site) -> Result<Vec<FallbackState>, FallbackError> {
    [
        ("units at fallback, loads as expected", 1.0, 1.0),
        ("units at fallback, no load", 1.0, 0.0),
        ("units at rest, loads as expected", 0.0, 1.0),
    ]
    .into_iter()
    .map(|(assumption, units, loads)| state(site, assumption, units, loads))
    .collect()
}

/// Why the fallback state cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum FallbackError {
    /// No power flow.
    #[error("{assumption}: {source}")]
    PowerFlow {
        /// Which state.
        assumption: &'static str,
        /// Why.
        source: PowerFlowError,
    },
    /// The network or the site's ids contradict themselves.
    #[error("the network cannot be used: {0}")]
    Network(String),
}

fn state(
    site: &Site,
    assumption: &'static str,
    units: f64,
    loads: f64,
) -> Result<FallbackState, FallbackError> {
    let network = |error: &dyn std::fmt::Display| FallbackError::Network(error.to_string());
    let mut grid = Grid::new(&site.network).map_err(|e| network(&e))?;
    for unit in &site.units {
        grid.set_appliance(unit.id, units * unit.fallback_p_w, 0.0)
            .map_err(|e| network(&e))?;
    }
    for load in &site.loads {
        grid.set_appliance(
            load.id,
            loads * load.expected_p_w,
            loads * load.expected_q_var,
        )
        .map_err(|e| network(&e))?;
    }
    let solution = PowerFlow::new(&grid)
        .run(&grid, &[], None, &Options::default())
        .map_err(|source| FallbackError::PowerFlow { assumption, source })?;
    Ok(judge(&grid, &solution.u, &site.limits, assumption))
}

fn judge(grid: &Grid, u: &[Complex64], limits: &Limits, assumption: &'static str) -> FallbackState {
    let mut violations = Vec::new();
    let (mut u_min, mut u_max) = ((0, f64::INFINITY), (0, f64::NEG_INFINITY));
    for (k, &id) in grid.node_id.iter().enumerate() {
        if !grid.energised[k] {
            continue;
        }
        let magnitude = u[k].norm();
        if magnitude < u_min.1 {
            u_min = (id, magnitude);
        }
        if magnitude > u_max.1 {
            u_max = (id, magnitude);
        }
        if !(limits.u_min_pu..=limits.u_max_pu).contains(&magnitude) {
            violations.push(format!(
                "node {id} at {magnitude:.4} pu, outside {} to {} pu",
                limits.u_min_pu, limits.u_max_pu
            ));
        }
    }
    let mut loading: Option<(Id, f64)> = None;
    for (branch, flow) in grid.branches.iter().zip(flows(grid, u).branches) {
        if flow.loading > loading.map_or(0.0, |(_, l)| l) {
            loading = Some((branch.id, flow.loading));
        }
        if flow.loading > 1.0 {
            let kind = branch.kind.name();
            violations.push(format!(
                "{kind} {} at {:.1} % of its rating",
                branch.id,
                100.0 * flow.loading
            ));
        }
    }
    FallbackState {
        assumption,
        u_min,
        u_max,
        loading,
        violations,
    }
}
