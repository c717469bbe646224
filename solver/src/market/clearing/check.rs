//! The independent check: an AC power flow of the awards from a flat start, its flows against the
//! network's own ratings. Shares nothing with the programme but the case.

use num_complex::Complex64;

use super::{
    AcCheck,
    limits::{LimitRow, On},
    problem::Problem,
    search::{Flow, Physics, Point, chunked},
};
use crate::{
    network::{Grid, Id, PhaseGrid, S_BASE_VA},
    powerflow::{asym_ends, flows},
};

/// What a power flow says of the network, by the tables of the grid itself. By phase, all is by phase.
struct Seen {
    /// Current and power at each branch's ends, pu; by phase three an end.
    ends: Vec<[Vec<(f64, Complex64)>; 2]>,
    /// What leaves each bus into branches and shunts.
    leaving: Vec<Complex64>,
    losses: f64,
}

impl Seen {
    fn sym(grid: &Grid, u: &[Complex64]) -> Self {
        let flows = flows(grid, u);
        let ends = flows
            .branches
            .iter()
            .map(|of| [vec![(of.i_from, of.s_from)], vec![(of.i_to, of.s_to)]]);
        Self {
            ends: ends.collect(),
            losses: flows.loss().re,
            leaving: flows.nodes,
        }
    }

    fn by_phase(grid: &Grid, phases: &PhaseGrid, u: &[Complex64]) -> Self {
        let at = chunked(u);
        let mut leaving = vec![Complex64::ZERO; u.len()];
        let mut ends = Vec::new();
        for (k, branch) in grid.branches.iter().enumerate() {
            let [from, to] = asym_ends(phases, k, &at[branch.from], &at[branch.to]);
            ends.push([(from, branch.from), (to, branch.to)].map(|(end, node)| {
                for p in 0..3 {
                    leaving[3 * node + p] += end.s[p];
                }
                let each = (0..3).map(|p| (end.i[p].norm(), end.s[p]));
                each.collect()
            }));
        }
        for (node, (u, y)) in at.iter().zip(&phases.y_shunt).enumerate() {
            let i = y.apply(u);
            for p in 0..3 {
                leaving[3 * node + p] += u[p] * i[p].conj();
            }
        }
        // A phase's power is on a third of the base.
        let losses = leaving.iter().map(|s| s.re).sum::<f64>() / 3.0;
        Self {
            ends,
            leaving,
            losses,
        }
    }

    /// Value of a limit, pu.
    fn value(&self, problem: &Problem<'_>, on: On, u: &[Complex64], point: &Point) -> f64 {
        let end = |terminal: usize| {
            let of = &problem.equations.terminals[terminal];
            self.ends[of.branch][of.side][of.phase.unwrap_or(0)]
        };
        match on {
            On::UMax(bus) | On::UMin(bus) => u[bus].norm(),
            On::Current(terminal) => end(terminal).0,
            On::Apparent(terminal) => end(terminal).1.norm(),
            On::Import(source) => point.source[source].re,
            On::Export(source) => -point.source[source].re,
        }
    }

    /// Highest loading of a branch's rated current or power at any of its ends.
    fn loading(&self, grid: &Grid, k: usize) -> Option<f64> {
        let branch = &grid.branches[k];
        let mut worst: Option<f64> = None;
        for (side, end) in self.ends[k].iter().enumerate() {
            for (i, s) in end {
                let current = branch.i_max.map(|rated| i / rated[side]);
                let power = branch.s_max.map(|rated| s.norm() / rated);
                for loading in [current, power].into_iter().flatten() {
                    worst = Some(worst.map_or(loading, |of| of.max(loading)));
                }
            }
        }
        worst
    }
}

/// Loading of each branch, 1 being its rating, of the phase with the most of it; nothing where it has none.
pub(in crate::market) fn loading_by_phase(grid: &Grid, u: &[Complex64]) -> Vec<f64> {
    let Ok(phases) = PhaseGrid::new(grid) else {
        return Vec::new();
    };
    let seen = Seen::by_phase(grid, &phases, u);
    let each = (0..grid.branches.len()).map(|k| seen.loading(grid, k).unwrap_or_default());
    each.map(|loading| if loading.is_finite() { loading } else { 0.0 })
        .collect()
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
        let u = &point.u[..problem.equations.row.len()];
        let seen = match &physics.flow {
            Flow::Sym(_) => Seen::sym(grid, u),
            Flow::ByPhase(flow) => Seen::by_phase(grid, flow.phases(), u),
        };
        let values: Vec<f64> = problem
            .limits
            .iter()
            .map(|limit| seen.value(problem, limit.on, u, point))
            .collect();
        let worst = |wanted: bool| {
            let rows = problem.limits.iter().zip(&values);
            rows.filter(|(limit, _)| limit.is_voltage() == wanted)
                .map(|(limit, &value)| limit.excess(value, limit.bound))
                .fold(0.0, f64::max)
        };
        let (u_min_pu, u_max_pu) = extremes(problem, u);
        let loaded = grid.branches.iter().enumerate();
        let worst_loading = loaded
            .filter_map(|(k, branch)| Some((branch.id, seen.loading(grid, k)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let summary = AcCheck {
            u_min_pu,
            u_max_pu,
            worst_loading,
            violation_u_pu: worst(true),
            violation_rating: worst(false),
            power_gap_w: power_gap(problem, point, &seen.leaving) * S_BASE_VA,
            model_gap_w: 0.0,
            losses_w: seen.losses * S_BASE_VA,
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
fn extremes(problem: &Problem<'_>, u: &[Complex64]) -> ((Id, f64), (Id, f64)) {
    let equations = &problem.equations;
    let at = |bus: usize| {
        let node = problem.grid.node_id[bus / equations.phases];
        (node, u[bus].norm())
    };
    let energised = || {
        (0..u.len())
            .filter(|&bus| equations.row[bus].is_some())
            .map(at)
    };
    let low = energised().min_by(|a, b| a.1.total_cmp(&b.1));
    let high = energised().max_by(|a, b| a.1.total_cmp(&b.1));
    // A case has a connected source, so at least its node is energised.
    (low.unwrap_or_default(), high.unwrap_or_default())
}

/// Greatest difference between what is awarded and what the flows carry away from a bus, pu. By phase not
/// where a source is, whose phases each give what is left.
fn power_gap(problem: &Problem<'_>, point: &Point, leaving: &[Complex64]) -> f64 {
    let equations = &problem.equations;
    let mut awarded = problem.injected_at_buses(&point.fill, &point.q);
    for (of, s) in problem.sources.iter().zip(&point.source) {
        for at in &equations.sources[of.at.clone()] {
            if equations.phases == 1 {
                awarded[at.node] += s;
            } else {
                awarded[at.node] = leaving[at.node];
            }
        }
    }
    // A phase that is not live is grounded, without voltage.
    let differences = awarded.iter().zip(leaving).map(|(a, b)| a - b);
    let most = differences
        .map(|d| d.re.abs().max(d.im.abs()))
        .fold(0.0, f64::max);
    most / equations.phases as f64
}
