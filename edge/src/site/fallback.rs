//! Is the state that every device falls back to, when nobody commands it, within limits?
//!
//! Two power flows, since nobody knows the loads of that moment: loads as expected and loads at
//! nothing; generators at their fallback, or at rest, whichever strains more at either end.

use std::collections::BTreeMap;

use num_complex::Complex64;
use solver::{
    market::clearing::PhaseName,
    network::{Grid, Id, PhaseMask, UpdateError},
    powerflow::{
        AsymOutput, AsymPowerFlow, AsymSolution, Options, PowerFlow, PowerFlowError, flows,
    },
};

use super::{Limits, Shares, Site};

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
        let power = (units * unit.fallback_p_w, 0.0);
        set(&mut grid, unit.id, power, &unit.shares()).map_err(|e| network(&e))?;
    }
    for load in &site.loads {
        let power = (loads * load.expected_p_w, loads * load.expected_q_var);
        set(&mut grid, load.id, power, &load.shares).map_err(|e| network(&e))?;
    }
    let failed = |source| FallbackError::PowerFlow { assumption, source };
    let (u, loadings) = match site.by_phase {
        false => {
            let mut flow = PowerFlow::new(&grid);
            let solution = flow.run(&grid, &[], None, &Options::default());
            let u = solution.map_err(failed)?.u;
            let flows = flows(&grid, &u).branches;
            let loadings = flows.iter().map(|flow| flow.loading).collect();
            (u.iter().map(|u| vec![(None, u.norm())]).collect(), loadings)
        }
        true => {
            let mut flow = AsymPowerFlow::new(&grid).map_err(|e| network(&e))?;
            let solution = flow.run(&grid, None, &Options::default());
            let solution = solution.map_err(failed)?;
            let output = AsymOutput::new(&grid, flow.phases(), &solution);
            (by_phase(&grid, &solution), loadings(&grid, &output))
        }
    };
    Ok(judge(&grid, (&u, &loadings), &site.limits, assumption))
}

/// Sets what a unit or load gives or takes; by phase where the network has it so.
pub(crate) fn set(
    grid: &mut Grid,
    id: Id,
    (p, q): (f64, f64),
    shares: &Shares,
) -> Result<(), UpdateError> {
    let network = grid.network();
    let by_phase = network.asym_load.iter().any(|of| of.id == id)
        || network.asym_gen.iter().any(|of| of.id == id);
    match by_phase {
        false => grid.set_appliance(id, p, q),
        true => {
            let (of_p, of_q) = (
                shares.p.map(|share| share * p),
                shares.q.map(|share| share * q),
            );
            grid.set_appliance_by_phase(id, of_p, of_q)
        }
    }
}

/// Voltage of a node or of each of its live phases, pu.
type Voltages = Vec<(Option<PhaseName>, f64)>;

fn by_phase(grid: &Grid, solution: &AsymSolution) -> Vec<Voltages> {
    let nodes = solution.u.iter().zip(&grid.live);
    let live = |(u, live): (&[Complex64; 3], &PhaseMask)| {
        let phases = PhaseName::ALL.into_iter();
        let phases = phases.filter(|phase| live[phase.index()]);
        phases
            .map(|phase| (Some(phase), u[phase.index()].norm()))
            .collect()
    };
    nodes.map(live).collect()
}

/// Loading of every branch, in the grid's order.
fn loadings(grid: &Grid, output: &AsymOutput) -> Vec<f64> {
    let plain = [
        &output.line,
        &output.asym_line,
        &output.link,
        &output.generic_branch,
        &output.transformer,
    ];
    let plain = plain.into_iter().flatten().map(|of| (of.id, of.loading));
    let regulators = output.step_voltage_regulator.iter();
    let regulators = regulators.map(|of| (of.branch.id, of.branch.loading));
    let windings = output.three_winding_transformer.iter();
    let windings = windings.map(|of| (of.id, of.loading));
    let all: BTreeMap<Id, f64> = plain.chain(regulators).chain(windings).collect();
    let branches = grid.branches.iter();
    branches
        .map(|of| all.get(&of.id).copied().unwrap_or(0.0))
        .collect()
}

fn judge(
    grid: &Grid,
    (u, loadings): (&[Voltages], &[f64]),
    limits: &Limits,
    assumption: &'static str,
) -> FallbackState {
    let mut violations = Vec::new();
    let (mut u_min, mut u_max) = ((0, f64::INFINITY), (0, f64::NEG_INFINITY));
    let nodes = grid.node_id.iter().zip(u).enumerate();
    let live = nodes.filter(|(k, _)| grid.energised[*k]);
    for (id, phase, magnitude) in
        live.flat_map(|(_, (&id, of))| of.iter().map(move |&(phase, u)| (id, phase, u)))
    {
        if magnitude < u_min.1 {
            u_min = (id, magnitude);
        }
        if magnitude > u_max.1 {
            u_max = (id, magnitude);
        }
        if !(limits.u_min_pu..=limits.u_max_pu).contains(&magnitude) {
            let phase = phase.map_or_else(String::new, |of| format!(", phase {},", of.letter()));
            violations.push(format!(
                "node {id}{phase} at {magnitude:.4} pu, outside {} to {} pu",
                limits.u_min_pu, limits.u_max_pu
            ));
        }
    }
    let mut loading: Option<(Id, f64)> = None;
    for (branch, &of) in grid.branches.iter().zip(loadings) {
        if of > loading.map_or(0.0, |(_, l)| l) {
            loading = Some((branch.id, of));
        }
        if of > 1.0 {
            let kind = branch.kind.name();
            violations.push(format!(
                "{kind} {} at {:.1} % of its rating",
                branch.id,
                100.0 * of
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
