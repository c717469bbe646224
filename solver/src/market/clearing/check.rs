//! The independent check: an AC power flow of the awards from a flat start, its flows against the
//! network's own ratings. Shares nothing with the programme but the case.

use num_complex::Complex64;

use super::{
    AcCheck,
    limits::{LimitRow, On},
    problem::Problem,
    search::{Physics, Point},
};
use crate::{
    network::{Grid, Id, S_BASE_VA},
    powerflow::{Flows, flows},
};

/// Value of a limit in the flows of a power flow, pu.
fn value(on: On, u: &[Complex64], flows: &Flows, point: &Point) -> f64 {
    match on {
        On::UMax(bus) | On::UMin(bus) => u[bus].norm(),
        On::Current(branch, 0) => flows.branches[branch].i_from,
        On::Current(branch, _) => flows.branches[branch].i_to,
        On::Apparent(branch, 0) => flows.branches[branch].s_from.norm(),
        On::Apparent(branch, _) => flows.branches[branch].s_to.norm(),
        On::Import(source) => point.source[source].re,
        On::Export(source) => -point.source[source].re,
    }
}

/// What the check found.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) summary: AcCheck,
    /// Value of each limit, pu.
    pub(super) values: Vec<f64>,
}

impl Checked {
    /// Of a point whose voltages come from a power flow started flat.
    pub(super) fn of(problem: &Problem<'_>, physics: &Physics, point: &Point) -> Self {
        let grid = &physics.grid;
        let nodes = grid.node_id.len();
        let u = &point.u[..nodes];
        let flows = flows(grid, u);
        let values: Vec<f64> = problem
            .limits
            .iter()
            .map(|limit| value(limit.on, u, &flows, point))
            .collect();
        let worst = |wanted: bool| {
            let rows = problem.limits.iter().zip(&values);
            rows.filter(|(limit, _)| limit.is_voltage() == wanted)
                .map(|(limit, &value)| limit.excess(value, limit.bound))
                .fold(0.0, f64::max)
        };
        let (u_min_pu, u_max_pu) = extremes(grid, u);
        let rated = grid.branches.iter().zip(&flows.branches);
        let worst_loading = rated
            .filter(|(branch, _)| branch.i_max.is_some() || branch.s_max.is_some())
            .map(|(branch, flow)| (branch.id, flow.loading))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let summary = AcCheck {
            u_min_pu,
            u_max_pu,
            worst_loading,
            violation_u_pu: worst(true),
            violation_rating: worst(false),
            power_gap_w: power_gap(problem, point, &flows) * S_BASE_VA,
            model_gap_w: 0.0,
            losses_w: flows.loss().re * S_BASE_VA,
        };
        Self { summary, values }
    }

    /// Whether a limit, as given, is exceeded beyond the tolerance.
    pub(super) fn is_violated(&self, k: usize, limit: &LimitRow, options: &super::Options) -> bool {
        let tolerance = if limit.is_voltage() {
            options.tolerance_u_pu
        } else {
            options.tolerance_rating
        };
        limit.excess(self.values[k], limit.bound) > tolerance
    }
}

/// Lowest and highest voltage of the energised nodes.
fn extremes(grid: &Grid, u: &[Complex64]) -> ((Id, f64), (Id, f64)) {
    let at = |k: usize| (grid.node_id[k], u[k].norm());
    let energised = || (0..u.len()).filter(|&k| grid.energised[k]).map(at);
    let low = energised().min_by(|a, b| a.1.total_cmp(&b.1));
    let high = energised().max_by(|a, b| a.1.total_cmp(&b.1));
    // A case has a connected source, so at least its node is energised.
    (low.unwrap_or_default(), high.unwrap_or_default())
}

/// Greatest difference between what is awarded and what the flows carry away from a node, pu.
fn power_gap(problem: &Problem<'_>, point: &Point, flows: &Flows) -> f64 {
    let mut awarded = problem.injected_at_nodes(&point.fill, &point.q);
    for (at, s) in problem.equations.sources.iter().zip(&point.source) {
        awarded[at.node] += s;
    }
    let differences = awarded.iter().zip(&flows.nodes).map(|(a, b)| a - b);
    differences
        .map(|d| d.re.abs().max(d.im.abs()))
        .fold(0.0, f64::max)
}
