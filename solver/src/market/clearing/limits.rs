//! The limits of network and interface as rows: value, bound and excess.

use std::collections::BTreeMap;

use num_complex::Complex64;

use super::{Case, ClearingError, Limit, PhaseName, physics::Equations, problem::SourcePrice};
use crate::network::{Grid, Id, S_BASE_VA, Side};

/// A bound below this (pu) is no yardstick for its own excess.
const LEAST_NORM: f64 = 0.01;

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum On {
    /// Highest voltage of a bus.
    UMax(usize),
    /// Lowest voltage of a bus.
    UMin(usize),
    /// Current of a branch at a terminal.
    Current(usize),
    /// Apparent power of a branch at a terminal.
    Apparent(usize),
    /// Power from a source.
    Import(usize),
    /// Power to a source.
    Export(usize),
}

/// One limit, per unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitRow {
    pub(super) limit: Limit,
    /// By phase: which, of voltages and ratings.
    pub(super) phase: Option<PhaseName>,
    pub(super) on: On,
    /// As given.
    pub(super) bound: f64,
    /// As tightened: what the programme keeps to is `bound` less this (plus, for a lower bound).
    pub(super) tightening: f64,
    /// What the excess is relative to: 1 for voltages, the rating for ratings.
    pub(super) norm: f64,
    /// How much an excess counts where not all limits can be met.
    pub(super) weight: f64,
    /// [`Limit::unit`] per pu.
    pub(super) si: f64,
}

impl LimitRow {
    fn new(limit: Limit, on: On, bound: f64, si: f64) -> Self {
        let is_voltage = matches!(on, On::UMax(_) | On::UMin(_));
        // 0.01 pu of voltage weighs as much as a tenth of a rating: both do harm. An exchange
        // limit is a contract, and comes after them.
        let weight = match on {
            On::UMax(_) | On::UMin(_) => 10.0,
            On::Current(..) | On::Apparent(..) => 1.0,
            On::Import(_) | On::Export(_) => 0.1,
        };
        Self {
            weight,
            limit,
            phase: None,
            on,
            bound,
            tightening: 0.0,
            norm: if is_voltage {
                1.0
            } else {
                bound.max(LEAST_NORM)
            },
            si,
        }
    }

    /// Of a phase, by its index.
    fn of_phase(mut self, phase: Option<usize>) -> Self {
        self.phase = phase.map(|p| PhaseName::ALL[p]);
        self
    }

    pub(super) fn is_voltage(&self) -> bool {
        matches!(self.on, On::UMax(_) | On::UMin(_))
    }

    /// The bound that the programme keeps to.
    pub(super) fn target(&self) -> f64 {
        match self.on {
            On::UMin(_) => self.bound + self.tightening,
            _ => (self.bound - self.tightening).max(0.0),
        }
    }

    pub(super) fn value(
        &self,
        equations: &Equations,
        u: &[Complex64],
        source: &[Complex64],
    ) -> f64 {
        match self.on {
            On::UMax(bus) | On::UMin(bus) => u[bus].norm(),
            On::Current(terminal) => equations.current(terminal, u).norm(),
            On::Apparent(terminal) => equations.power(terminal, u).norm(),
            On::Import(k) => source[k].re,
            On::Export(k) => -source[k].re,
        }
    }

    /// Weighted excess of a value over a bound; nothing within.
    pub(super) fn harm(&self, value: f64, bound: f64) -> f64 {
        self.weight * self.excess(value, bound).max(0.0)
    }

    /// How far a value is beyond a bound, relative to the norm; negative within.
    pub(super) fn excess(&self, value: f64, bound: f64) -> f64 {
        match self.on {
            On::UMin(_) => bound - value,
            _ => (value - bound) / self.norm,
        }
    }
}

/// All limits that the market can do something about. A node whose voltage is held by an ideal
/// source keeps it whatever the market does, so it has none.
pub(super) fn limit_rows(
    grid: &Grid,
    case: &Case,
    equations: &Equations,
    sources: &[SourcePrice],
) -> Result<Vec<LimitRow>, ClearingError> {
    let mut rows = voltage_rows(grid, case, equations)?;
    branch_rows(grid, case, equations, &mut rows)?;
    for (k, price) in sources.iter().enumerate() {
        let interface = &case.interface[price.interface];
        let source = interface.source;
        if let Some(most) = interface.import_max_w {
            let limit = Limit::Import { source };
            rows.push(LimitRow::new(
                limit,
                On::Import(k),
                most / S_BASE_VA,
                S_BASE_VA,
            ));
        }
        if let Some(most) = interface.export_max_w {
            let limit = Limit::Export { source };
            rows.push(LimitRow::new(
                limit,
                On::Export(k),
                most / S_BASE_VA,
                S_BASE_VA,
            ));
        }
    }
    Ok(rows)
}

fn voltage_rows(
    grid: &Grid,
    case: &Case,
    equations: &Equations,
) -> Result<Vec<LimitRow>, ClearingError> {
    let limits = &case.limits;
    let mut of = vec![(limits.u_min_pu, limits.u_max_pu); grid.node_id.len()];
    for own in &limits.nodes {
        let node = grid.node_id.iter().position(|&id| id == own.node);
        let node = node.ok_or_else(|| ClearingError::UnknownNode {
            what: "a voltage limit".to_owned(),
            node: own.node,
        })?;
        of[node] = (own.u_min_pu, own.u_max_pu);
    }
    let of_phases = phase_limits(grid, case, equations)?;
    let mut rows = Vec::new();
    for (k, (u_min, u_max)) in of.into_iter().enumerate() {
        let node = grid.node_id[k];
        for bound in [u_min, u_max] {
            check(|| format!("voltage limit at node {node}"), bound)?;
        }
        for bus in equations.buses_of(k) {
            if equations.variable[bus].is_none() {
                continue;
            }
            let phase = (equations.phases > 1).then(|| bus % equations.phases);
            let (u_min, u_max) = of_phases.get(&bus).copied().unwrap_or((u_min, u_max));
            for (limit, on, bound) in [
                (Limit::UMin { node }, On::UMin(bus), u_min),
                (Limit::UMax { node }, On::UMax(bus), u_max),
            ] {
                rows.push(LimitRow::new(limit, on, bound, 1.0).of_phase(phase));
            }
        }
    }
    Ok(rows)
}

/// Limits of single phases, by bus.
fn phase_limits(
    grid: &Grid,
    case: &Case,
    equations: &Equations,
) -> Result<BTreeMap<usize, (f64, f64)>, ClearingError> {
    let mut of = BTreeMap::new();
    for own in case.by_phase.iter().flat_map(|of| &of.limits) {
        let (phase, what) = (own.phase, "a voltage limit of a phase".to_owned());
        let Some(node) = grid.index_of_node(own.node) else {
            let node = own.node;
            return Err(ClearingError::UnknownNode { what, node });
        };
        let bus = equations.phases * node + phase as usize;
        if equations.row[bus].is_none() && grid.energised[node] {
            let node = own.node;
            return Err(ClearingError::NoPhase { what, phase, node });
        }
        for bound in [own.u_min_pu, own.u_max_pu] {
            let what = || format!("voltage limit of phase {phase:?} at node {}", own.node);
            check(what, bound)?;
        }
        if of.insert(bus, (own.u_min_pu, own.u_max_pu)).is_some() {
            let (what, id) = ("voltage limit of a phase of node", own.node.into());
            return Err(ClearingError::Duplicate { what, id });
        }
    }
    Ok(of)
}

fn branch_rows(
    grid: &Grid,
    case: &Case,
    equations: &Equations,
    rows: &mut Vec<LimitRow>,
) -> Result<(), ClearingError> {
    let mut loading: Vec<Option<f64>> = vec![None; grid.branches.len()];
    for own in &case.limits.branches {
        let branch: Id = own.branch;
        check(
            || format!("loading limit of branch {branch}"),
            own.loading_max,
        )?;
        let mut is_known = false;
        // A three-winding transformer has three rows. Of several limits the lowest holds.
        for (of, loading) in grid.branches.iter().zip(&mut loading) {
            if of.id == branch {
                is_known = true;
                *loading = Some(loading.map_or(own.loading_max, |l| l.min(own.loading_max)));
            }
        }
        if !is_known {
            return Err(ClearingError::UnknownBranch { branch });
        }
    }
    for (k, terminal) in equations.terminals.iter().enumerate() {
        let of = &grid.branches[terminal.branch];
        let (branch, loading) = (of.id, loading[terminal.branch].unwrap_or(1.0));
        let (link, end) = terminal.ends[0];
        if equations.links[link].row[end].is_none() {
            continue;
        }
        let side = [Side::From, Side::To][terminal.side];
        if let Some(rated) = of.i_max {
            let node = terminal.bus / equations.phases;
            let base_a = S_BASE_VA / (3f64.sqrt() * grid.u_rated[node]);
            let limit = Limit::Current { branch, side };
            let row = LimitRow::new(
                limit,
                On::Current(k),
                rated[terminal.side] * loading,
                base_a,
            );
            rows.push(row.of_phase(terminal.phase));
        }
        if let Some(rated) = of.s_max {
            let limit = Limit::Apparent { branch, side };
            let si = S_BASE_VA / equations.phases as f64;
            let row = LimitRow::new(limit, On::Apparent(k), rated * loading, si);
            rows.push(row.of_phase(terminal.phase));
        }
    }
    Ok(())
}

fn check(what: impl Fn() -> String, value: f64) -> Result<(), ClearingError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(ClearingError::BadValue {
        what: what(),
        value,
        expected: "finite and at least 0",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whichever side a limit is on, tightening leaves less room, and an excess is above nothing.
    #[test]
    fn tightening_leaves_less_room() {
        let node = 7;
        let current = Limit::Current {
            branch: 8,
            side: Side::From,
        };
        for (limit, on, bound, target, beyond) in [
            (Limit::UMin { node }, On::UMin(0), 0.95, 0.96, 0.94),
            (Limit::UMax { node }, On::UMax(0), 1.05, 1.04, 1.06),
            (current, On::Current(0), 2.0, 1.99, 2.02),
        ] {
            let mut row = LimitRow::new(limit, on, bound, 1.0);
            row.tightening = 0.01;
            assert!((row.target() - target).abs() < 1e-12, "{limit}");
            assert!((row.excess(beyond, bound) - 0.01).abs() < 1e-12, "{limit}");
            assert!(row.excess(target, bound) < 0.0 && row.harm(target, bound) == 0.0);
        }
    }
}
