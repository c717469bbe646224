//! A solved power flow as power-grid-model's `sym_output` and `asym_output` data sets: SI units,
//! load-positive for loads, generation-positive for sources and generators.
//!
//! Voltages are line to line in the symmetric data set, line to neutral in the asymmetric one;
//! powers there are those of each phase.

use num_complex::Complex64;
use serde::Serialize;

use super::flows;
use super::output_rows::{End, Solved};
use super::{Options, PowerFlow, PowerFlowError, Solution};
use crate::network::{Grid, Id, PhaseMask};

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
        let mut output = Self::default();
        output.refresh(grid, solution);
        output
    }

    /// Makes this the data set of a solution; of a grid that it has been before, without
    /// allocating.
    ///
    /// # Panics
    /// When the solution is of a grid with other nodes or sources.
    pub fn refresh(&mut self, grid: &Grid, solution: &Solution) {
        self.fill(grid, &Single { grid, solution });
        self.fill_regulators(grid, solution);
    }

    /// Voltage regulators.
    pub(super) fn fill_regulators(&mut self, grid: &Grid, solution: &Solution) {
        let regulators = grid.network().voltage_regulator.iter();
        let regulators = regulators.zip(&solution.regulators);
        self.voltage_regulator.clear();
        self.voltage_regulator
            .extend(
                regulators.map(|(r, &(working, limit))| VoltageRegulatorOutput {
                    id: r.id,
                    energized: i8::from(working),
                    limit_violated: limit,
                }),
            );
    }

    /// As power-grid-model's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.document("sym_output")
    }
}

/// A symmetric solution.
pub(super) struct Single<'a> {
    pub(super) grid: &'a Grid,
    pub(super) solution: &'a Solution,
}

impl Solved<Complex64> for Single<'_> {
    fn u(&self) -> &[Complex64] {
        &self.solution.u
    }
    fn ends(&self, branch: usize) -> [End<Complex64>; 2] {
        flows::ends(&self.grid.branches[branch], &self.solution.u)
    }
    fn shunts_at(&self, node: usize) -> Complex64 {
        self.grid.y_shunt[node].conj() * self.solution.u[node].norm_sqr()
    }
    fn shunt(&self, shunt: usize, node: usize) -> Complex64 {
        let y = self
            .grid
            .shunt_admittance(&self.grid.network().shunt[shunt], node);
        y.conj() * self.solution.u[node].norm_sqr()
    }
    fn source(&self, source: usize) -> Complex64 {
        self.solution.sources[source]
    }
    fn appliance(&self, appliance: usize) -> Complex64 {
        self.solution.appliances[appliance]
    }
    fn phases_of(&self, _: usize) -> PhaseMask {
        [true; 3]
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
