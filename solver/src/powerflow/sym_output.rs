//! A solved power flow as power-grid-model's `sym_output` data set: SI units, load-positive for
//! loads, generation-positive for sources and generators.

use num_complex::Complex64;
use serde::Serialize;

use super::flows::{BranchFlow, flows};
use super::{Options, PowerFlow, PowerFlowError, Solution};
use crate::network::{ApplianceKind, Grid, Id, S_BASE_VA};

/// The data set, one table per component.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SymOutput {
    /// Nodes.
    pub node: Vec<NodeOutput>,
    /// Lines.
    pub line: Vec<BranchOutput>,
    /// Transformers.
    pub transformer: Vec<BranchOutput>,
    /// Shunts; powers load-positive.
    pub shunt: Vec<ApplianceOutput>,
    /// Sources; powers generation-positive.
    pub source: Vec<ApplianceOutput>,
    /// Loads; powers load-positive.
    pub sym_load: Vec<ApplianceOutput>,
    /// Generators; powers generation-positive.
    pub sym_gen: Vec<ApplianceOutput>,
}

/// State of a node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NodeOutput {
    /// Node.
    pub id: Id,
    /// 1: connected to a source.
    pub energized: i8,
    /// Voltage over rated voltage.
    pub u_pu: f64,
    /// Line-to-line voltage, V.
    pub u: f64,
    /// Voltage angle, rad, within -pi to pi.
    pub u_angle: f64,
    /// Active power injected by sources and appliances, W.
    pub p: f64,
    /// Reactive power injected by sources and appliances, var.
    pub q: f64,
}

/// State of a branch; powers enter it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BranchOutput {
    /// Branch.
    pub id: Id,
    /// 1: connected to an energised node at one side at least.
    pub energized: i8,
    /// Utilisation, 1 at the rating; 0 without one.
    pub loading: f64,
    /// Active power at the from side, W.
    pub p_from: f64,
    /// Reactive power at the from side, var.
    pub q_from: f64,
    /// Current at the from side, A.
    pub i_from: f64,
    /// Apparent power at the from side, VA.
    pub s_from: f64,
    /// Active power at the to side, W.
    pub p_to: f64,
    /// Reactive power at the to side, var.
    pub q_to: f64,
    /// Current at the to side, A.
    pub i_to: f64,
    /// Apparent power at the to side, VA.
    pub s_to: f64,
}

/// State of something connected to one node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ApplianceOutput {
    /// Component.
    pub id: Id,
    /// 1: connected to an energised node.
    pub energized: i8,
    /// Active power, W.
    pub p: f64,
    /// Reactive power, var.
    pub q: f64,
    /// Current, A.
    pub i: f64,
    /// Apparent power, VA.
    pub s: f64,
    /// Power factor, `p / s`; 0 without power.
    pub pf: f64,
}

impl SymOutput {
    /// Solves a grid once, from the linear start, and gives its data set.
    ///
    /// # Errors
    /// No solution, with the node where it fails.
    pub fn solve(grid: &Grid, options: &Options) -> Result<Self, PowerFlowError> {
        let solution = PowerFlow::new(grid).run(grid, &[], None, options)?;
        Ok(Self::new(grid, &solution))
    }

    /// The data set of this solution of this grid.
    ///
    /// # Panics
    /// When the solution is of a grid with other nodes or sources.
    #[must_use]
    pub fn new(grid: &Grid, solution: &Solution) -> Self {
        let u = &solution.u;
        let flows = flows(grid, u);
        let node = (0..u.len())
            .map(|k| node(grid, k, u[k], flows.nodes[k]))
            .collect();
        let mut line: Vec<BranchOutput> = (0..flows.branches.len())
            .map(|k| branch(grid, k, &flows.branches[k]))
            .collect();
        let transformer = line.split_off(grid.network().line.len());
        let one_port = |id, node, closed, s| one_port(grid, u, id, node, closed, s);
        let shunt = grid.network().shunt.iter().map(|s| {
            let k = grid.known_node(s.node);
            let y = grid.shunt_admittance(s, k);
            let power = y.conj() * u[k].norm_sqr();
            one_port(s.id, k, s.status != 0, power)
        });
        let source = grid.sources.iter().zip(&solution.sources);
        let source = source.map(|(s, &power)| one_port(s.id, s.node, s.closed, power));
        let appliances = || grid.appliances.iter().zip(&flows.appliances);
        let of_kind = |kind: ApplianceKind, sign: f64| {
            appliances()
                .filter(|(a, _)| a.kind == kind)
                .map(|(a, &s)| one_port(a.id, a.node, a.closed, s * sign))
                .collect()
        };
        Self {
            node,
            line,
            transformer,
            shunt: shunt.collect(),
            source: source.collect(),
            sym_load: of_kind(ApplianceKind::Load, -1.0),
            sym_gen: of_kind(ApplianceKind::Gen, 1.0),
        }
    }

    /// As power-grid-model's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let document = serde_json::json!({
            "version": "1.0",
            "type": "sym_output",
            "is_batch": false,
            "attributes": {},
            "data": self,
        });
        format!("{document:#}\n")
    }
}

fn node(grid: &Grid, k: usize, u: Complex64, s: Complex64) -> NodeOutput {
    NodeOutput {
        id: grid.node_id[k],
        energized: i8::from(grid.energised[k]),
        u_pu: u.norm(),
        u: u.norm() * grid.u_rated[k],
        u_angle: u.arg(),
        p: s.re * S_BASE_VA,
        q: s.im * S_BASE_VA,
    }
}

fn branch(grid: &Grid, k: usize, flow: &BranchFlow) -> BranchOutput {
    let b = &grid.branches[k];
    let live = b.from_closed && grid.energised[b.from] || b.to_closed && grid.energised[b.to];
    let (from, to) = (flow.s_from_va(), flow.s_to_va());
    BranchOutput {
        id: b.id,
        energized: i8::from(live),
        loading: flow.loading,
        p_from: from.re,
        q_from: from.im,
        i_from: flow.i_from_a,
        s_from: from.norm(),
        p_to: to.re,
        q_to: to.im,
        i_to: flow.i_to_a,
        s_to: to.norm(),
    }
}

fn one_port(
    grid: &Grid,
    u: &[Complex64],
    id: Id,
    node: usize,
    closed: bool,
    s: Complex64,
) -> ApplianceOutput {
    let live = closed && grid.energised[node];
    let s = if live { s * S_BASE_VA } else { Complex64::ZERO };
    let magnitude = s.norm();
    let ratio = |over: f64| if over > 0.0 { 1.0 / over } else { 0.0 };
    ApplianceOutput {
        id,
        energized: i8::from(live),
        p: s.re,
        q: s.im,
        i: magnitude / S_BASE_VA * ratio(u[node].norm()) * grid.base_current_a(node),
        s: magnitude,
        pf: s.re * ratio(magnitude),
    }
}
