//! A solved power flow as power-grid-model's `sym_output` and `asym_output` data sets: SI units,
//! load-positive for loads, generation-positive for sources and generators.
//!
//! Voltages are line to line in the symmetric data set, line to neutral in the asymmetric one;
//! powers there are those of each phase.

use num_complex::Complex64;
use serde::Serialize;

use super::flows::{self, flows};
use super::{Options, PowerFlow, PowerFlowError, Solution};
use crate::network::{
    Appliance, ApplianceKind, BranchKind, Grid, Id, Phases, S_BASE_VA, TransformerTapRegulator,
};

/// The data set, one table per component; `V` is a number, or one for each phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Output<V> {
    /// Nodes.
    pub node: Vec<NodeOutput<V>>,
    /// Lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<BranchOutput<V>>,
    /// Lines whose phases differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asym_line: Vec<BranchOutput<V>>,
    /// Links.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub link: Vec<BranchOutput<V>>,
    /// Branches by their pi model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generic_branch: Vec<BranchOutput<V>>,
    /// Transformers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transformer: Vec<BranchOutput<V>>,
    /// Step-voltage regulators.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub step_voltage_regulator: Vec<StepRegulatorOutput<V>>,
    /// Three-winding transformers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub three_winding_transformer: Vec<ThreeWindingOutput<V>>,
    /// Shunts; powers load-positive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shunt: Vec<ApplianceOutput<V>>,
    /// Sources; powers generation-positive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<ApplianceOutput<V>>,
    /// Loads; powers load-positive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sym_load: Vec<ApplianceOutput<V>>,
    /// Generators; powers generation-positive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sym_gen: Vec<ApplianceOutput<V>>,
    /// Loads by phase; powers load-positive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asym_load: Vec<ApplianceOutput<V>>,
    /// Generators by phase; powers generation-positive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asym_gen: Vec<ApplianceOutput<V>>,
    /// Automatic tap changers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transformer_tap_regulator: Vec<TapRegulatorOutput>,
    /// Generators and loads that hold a voltage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub voltage_regulator: Vec<VoltageRegulatorOutput>,
}

/// The symmetric data set.
pub type SymOutput = Output<f64>;

/// The asymmetric data set.
pub type AsymOutput = Output<[f64; 3]>;

/// State of a node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NodeOutput<V = f64> {
    /// Node.
    pub id: Id,
    /// 1: connected to a source.
    pub energized: i8,
    /// Voltage over rated voltage.
    pub u_pu: V,
    /// Voltage, V: line to line; by phase, line to neutral.
    pub u: V,
    /// Voltage angle, rad, within -pi to pi.
    pub u_angle: V,
    /// Active power injected by sources and appliances, W.
    pub p: V,
    /// Reactive power injected by sources and appliances, var.
    pub q: V,
}

/// State of a branch; powers enter it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BranchOutput<V = f64> {
    /// Branch.
    pub id: Id,
    /// 1: connected to an energised node at one side at least.
    pub energized: i8,
    /// Utilisation, 1 at the rating; 0 without one.
    pub loading: f64,
    /// Active power at the from side, W.
    pub p_from: V,
    /// Reactive power at the from side, var.
    pub q_from: V,
    /// Current at the from side, A.
    pub i_from: V,
    /// Apparent power at the from side, VA.
    pub s_from: V,
    /// Active power at the to side, W.
    pub p_to: V,
    /// Reactive power at the to side, var.
    pub q_to: V,
    /// Current at the to side, A.
    pub i_to: V,
    /// Apparent power at the to side, VA.
    pub s_to: V,
}

/// State of a step-voltage regulator: that of a branch, and its position.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepRegulatorOutput<V = f64> {
    /// As of every branch.
    #[serde(flatten)]
    pub branch: BranchOutput<V>,
    /// Tap position.
    pub tap_pos: i8,
}

/// State of a three-winding transformer; powers enter it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ThreeWindingOutput<V = f64> {
    /// Transformer.
    pub id: Id,
    /// 1: connected to an energised node at one side at least.
    pub energized: i8,
    /// Utilisation of side 1, 1 at its rating.
    pub loading_1: f64,
    /// Utilisation of side 2.
    pub loading_2: f64,
    /// Utilisation of side 3.
    pub loading_3: f64,
    /// The largest of them.
    pub loading: f64,
    /// Active power at side 1, W.
    pub p_1: V,
    /// Reactive power at side 1, var.
    pub q_1: V,
    /// Current at side 1, A.
    pub i_1: V,
    /// Apparent power at side 1, VA.
    pub s_1: V,
    /// Active power at side 2, W.
    pub p_2: V,
    /// Reactive power at side 2, var.
    pub q_2: V,
    /// Current at side 2, A.
    pub i_2: V,
    /// Apparent power at side 2, VA.
    pub s_2: V,
    /// Active power at side 3, W.
    pub p_3: V,
    /// Reactive power at side 3, var.
    pub q_3: V,
    /// Current at side 3, A.
    pub i_3: V,
    /// Apparent power at side 3, VA.
    pub s_3: V,
}

/// State of an automatic tap changer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TapRegulatorOutput {
    /// Regulator.
    pub id: Id,
    /// 1: working on an energised transformer.
    pub energized: i8,
    /// Position of the transformer's tap.
    pub tap_pos: i8,
}

/// State of a voltage regulator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VoltageRegulatorOutput {
    /// Regulator.
    pub id: Id,
    /// 1: working at an energised node.
    pub energized: i8,
    /// -1, 1: the voltage is not held, the reactive power being at its lower, upper limit.
    pub limit_violated: i8,
}

/// State of something connected to one node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ApplianceOutput<V = f64> {
    /// Component.
    pub id: Id,
    /// 1: connected to an energised node.
    pub energized: i8,
    /// Active power, W.
    pub p: V,
    /// Reactive power, var.
    pub q: V,
    /// Current, A.
    pub i: V,
    /// Apparent power, VA.
    pub s: V,
    /// Power factor, `p / s`; 0 without power.
    pub pf: V,
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
        let shunts = grid.network().shunt.iter().map(|s| {
            let k = grid.known_node(s.node);
            grid.shunt_admittance(s, k).conj() * u[k].norm_sqr()
        });
        let state = State {
            u,
            branches: grid.branches.iter().map(|b| flows::ends(b, u)).collect(),
            nodes: flows.nodes,
            shunts: shunts.collect(),
            sources: &solution.sources,
            appliances: solution.appliances.clone(),
        };
        let mut output = state.output(grid);
        let regulators = grid.network().voltage_regulator.iter();
        output.voltage_regulator = regulators
            .zip(&solution.regulators)
            .map(|(r, &(working, limit))| VoltageRegulatorOutput {
                id: r.id,
                energized: i8::from(working),
                limit_violated: limit,
            })
            .collect();
        output
    }

    /// As power-grid-model's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.document("sym_output")
    }
}

impl<V: Serialize> Output<V> {
    pub(super) fn document(&self, kind: &str) -> String {
        let document = serde_json::json!({
            "version": "1.0",
            "type": kind,
            "is_batch": false,
            "attributes": {},
            "data": self,
        });
        format!("{document:#}\n")
    }
}

/// A phasor, or one for each phase.
pub(super) trait Quantity: Copy {
    /// A number for each of them.
    type Real: Copy;
    /// How many there are.
    const PHASES: f64;
    /// A number from each.
    fn real(self, f: impl Fn(Complex64) -> f64) -> Self::Real;
    /// A number from each and its like in another.
    fn real_with(self, other: Self, f: impl Fn(Complex64, Complex64) -> f64) -> Self::Real;
    /// A number from each, combined.
    fn fold(self, start: f64, f: impl Fn(f64, Complex64) -> f64) -> f64;
}

impl Quantity for Complex64 {
    type Real = f64;
    const PHASES: f64 = 1.0;
    fn real(self, f: impl Fn(Complex64) -> f64) -> f64 {
        f(self)
    }
    fn real_with(self, other: Self, f: impl Fn(Complex64, Complex64) -> f64) -> f64 {
        f(self, other)
    }
    fn fold(self, start: f64, f: impl Fn(f64, Complex64) -> f64) -> f64 {
        f(start, self)
    }
}

impl Quantity for Phases {
    type Real = [f64; 3];
    const PHASES: f64 = 3.0;
    fn real(self, f: impl Fn(Complex64) -> f64) -> [f64; 3] {
        self.map(f)
    }
    fn real_with(self, other: Self, f: impl Fn(Complex64, Complex64) -> f64) -> [f64; 3] {
        [0, 1, 2].map(|k| f(self[k], other[k]))
    }
    fn fold(self, start: f64, f: impl Fn(f64, Complex64) -> f64) -> f64 {
        self.into_iter().fold(start, f)
    }
}

/// Power and current entering a branch at one end, pu.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<Q> {
    pub(super) s: Q,
    pub(super) i: Q,
}

/// A solution with everything that follows from it, pu, in the order of the grid's tables.
pub(super) struct State<'a, Q> {
    pub(super) u: &'a [Q],
    pub(super) branches: Vec<[End<Q>; 2]>,
    pub(super) nodes: Vec<Q>,
    /// Load-positive.
    pub(super) shunts: Vec<Q>,
    /// Generation-positive.
    pub(super) sources: &'a [Q],
    /// Generation-positive.
    pub(super) appliances: Vec<Q>,
}

impl<Q: Quantity> State<'_, Q> {
    /// Base of a phase's power, VA.
    const S_BASE: f64 = S_BASE_VA / Q::PHASES;

    pub(super) fn output(&self, grid: &Grid) -> Output<Q::Real> {
        let network = grid.network();
        let branches = |kind: BranchKind| -> Vec<BranchOutput<Q::Real>> {
            let of_kind = move |k: &usize| grid.branches[*k].kind == kind;
            let rows = (0..grid.branches.len()).filter(of_kind);
            rows.map(|k| self.branch(grid, k)).collect()
        };
        let arms: Vec<usize> = (0..grid.branches.len())
            .filter(|&k| grid.branches[k].kind == BranchKind::ThreeWinding)
            .collect();
        let shunt = network.shunt.iter().zip(&self.shunts).map(|(s, &power)| {
            let k = grid.known_node(s.node);
            self.one_port(grid, s.id, k, s.status != 0, power, 1.0)
        });
        let source = grid.sources.iter().zip(self.sources);
        let source = source.map(|(s, &p)| self.one_port(grid, s.id, s.node, s.closed, p, 1.0));
        let mut appliances = grid.appliances.iter().zip(&self.appliances);
        let mut take = |count: usize| -> Vec<ApplianceOutput<Q::Real>> {
            let rows = appliances.by_ref().take(count);
            rows.map(|(a, &s)| self.appliance(grid, a, s)).collect()
        };
        Output {
            node: (0..network.node.len())
                .map(|k| self.node(grid, k))
                .collect(),
            line: branches(BranchKind::Line),
            asym_line: branches(BranchKind::AsymLine),
            link: branches(BranchKind::Link),
            generic_branch: branches(BranchKind::GenericBranch),
            transformer: branches(BranchKind::Transformer),
            step_voltage_regulator: branches(BranchKind::StepVoltageRegulator)
                .into_iter()
                .zip(&network.step_voltage_regulator)
                .map(|(branch, r)| StepRegulatorOutput {
                    branch,
                    tap_pos: r.tap_pos,
                })
                .collect(),
            three_winding_transformer: arms
                .chunks_exact(3)
                .map(|arms| self.three_winding(grid, arms))
                .collect(),
            shunt: shunt.collect(),
            source: source.collect(),
            sym_load: take(network.sym_load.len()),
            sym_gen: take(network.sym_gen.len()),
            asym_load: take(network.asym_load.len()),
            asym_gen: take(network.asym_gen.len()),
            transformer_tap_regulator: tap_regulators(grid),
            voltage_regulator: Vec::new(),
        }
    }

    fn node(&self, grid: &Grid, k: usize) -> NodeOutput<Q::Real> {
        let u = self.u[k];
        let base = grid.u_rated[k] / Q::PHASES.sqrt();
        NodeOutput {
            id: grid.node_id[k],
            energized: i8::from(grid.energised[k]),
            u_pu: u.real(|u| u.norm()),
            u: u.real(|u| u.norm() * base),
            u_angle: u.real(|u| u.arg()),
            p: self.nodes[k].real(|s| s.re * Self::S_BASE),
            q: self.nodes[k].real(|s| s.im * Self::S_BASE),
        }
    }

    fn live(grid: &Grid, k: usize) -> bool {
        let b = &grid.branches[k];
        b.from_closed && grid.energised[b.from] || b.to_closed && grid.energised[b.to]
    }

    /// Apparent power of all phases, pu of the three-phase base.
    fn apparent(end: &End<Q>) -> f64 {
        end.s.fold(0.0, |sum, s| sum + s.norm()) / Q::PHASES
    }

    fn branch(&self, grid: &Grid, k: usize) -> BranchOutput<Q::Real> {
        let b = &grid.branches[k];
        let [from, to] = &self.branches[k];
        let largest = |end: &End<Q>| end.i.fold(0.0, |most, i| i.norm().max(most));
        let loading = match (b.i_max, b.s_max) {
            (Some([f, t]), _) => (largest(from) / f).max(largest(to) / t),
            (None, Some(s)) => Self::apparent(from).max(Self::apparent(to)) / s,
            (None, None) => 0.0,
        };
        let (base_from, base_to) = (grid.base_current_a(b.from), grid.base_current_a(b.to));
        BranchOutput {
            id: b.id,
            energized: i8::from(Self::live(grid, k)),
            loading,
            p_from: from.s.real(|s| s.re * Self::S_BASE),
            q_from: from.s.real(|s| s.im * Self::S_BASE),
            i_from: from.i.real(|i| i.norm() * base_from),
            s_from: from.s.real(|s| s.norm() * Self::S_BASE),
            p_to: to.s.real(|s| s.re * Self::S_BASE),
            q_to: to.s.real(|s| s.im * Self::S_BASE),
            i_to: to.i.real(|i| i.norm() * base_to),
            s_to: to.s.real(|s| s.norm() * Self::S_BASE),
        }
    }

    fn three_winding(&self, grid: &Grid, arms: &[usize]) -> ThreeWindingOutput<Q::Real> {
        let side = |k: usize| {
            let arm = &grid.branches[arms[k]];
            let end = &self.branches[arms[k]][0];
            let base = grid.base_current_a(arm.from);
            let loading = arm.s_max.map_or(0.0, |s| Self::apparent(end) / s);
            (end.s, end.i.real(|i| i.norm() * base), loading)
        };
        let sides = [0, 1, 2].map(side);
        let p = |k: usize| sides[k].0.real(|s| s.re * Self::S_BASE);
        let q = |k: usize| sides[k].0.real(|s| s.im * Self::S_BASE);
        let s = |k: usize| sides[k].0.real(|s| s.norm() * Self::S_BASE);
        ThreeWindingOutput {
            id: grid.branches[arms[0]].id,
            energized: i8::from(arms.iter().any(|&k| {
                let b = &grid.branches[k];
                b.from_closed && grid.energised[b.from]
            })),
            loading_1: sides[0].2,
            loading_2: sides[1].2,
            loading_3: sides[2].2,
            loading: sides.iter().fold(0.0, |most, side| side.2.max(most)),
            p_1: p(0),
            q_1: q(0),
            i_1: sides[0].1,
            s_1: s(0),
            p_2: p(1),
            q_2: q(1),
            i_2: sides[1].1,
            s_2: s(1),
            p_3: p(2),
            q_3: q(2),
            i_3: sides[2].1,
            s_3: s(2),
        }
    }

    fn appliance(&self, grid: &Grid, a: &Appliance, s: Q) -> ApplianceOutput<Q::Real> {
        let sign = match a.kind {
            ApplianceKind::Load => -1.0,
            ApplianceKind::Gen => 1.0,
        };
        self.one_port(grid, a.id, a.node, a.closed, s, sign)
    }

    fn one_port(
        &self,
        grid: &Grid,
        id: Id,
        node: usize,
        closed: bool,
        s: Q,
        sign: f64,
    ) -> ApplianceOutput<Q::Real> {
        let live = closed && grid.energised[node];
        let scale = if live { sign * Self::S_BASE } else { 0.0 };
        let ratio = |over: f64| if over > 0.0 { 1.0 / over } else { 0.0 };
        let base = grid.base_current_a(node);
        let current = |s: Complex64, u: Complex64| {
            let magnitude = if live { s.norm() } else { 0.0 };
            magnitude * ratio(u.norm()) * base
        };
        ApplianceOutput {
            id,
            energized: i8::from(live),
            p: s.real(|s| s.re * scale),
            q: s.real(|s| s.im * scale),
            i: s.real_with(self.u[node], current),
            s: s.real(|s| s.norm() * scale.abs()),
            pf: s.real(|s| s.re * scale * ratio(s.norm() * scale.abs())),
        }
    }
}

/// Positions as the grid has them: they are set before a solution is put out.
fn tap_regulators(grid: &Grid) -> Vec<TapRegulatorOutput> {
    let output = |r: &TransformerTapRegulator| {
        let regulated = grid.regulated(r)?;
        let live = regulated.arms.iter().flatten().any(|&k| {
            let b = &grid.branches[k];
            b.from_closed && grid.energised[b.from] || b.to_closed && grid.energised[b.to]
        });
        Some(TapRegulatorOutput {
            id: r.id,
            energized: i8::from(r.status != 0 && live),
            tap_pos: regulated.pos,
        })
    };
    let regulators = grid.network().transformer_tap_regulator.iter();
    regulators.filter_map(output).collect()
}
