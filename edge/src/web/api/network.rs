//! The network as built, and its state as estimated.

use serde::Serialize;
use utoipa::ToSchema;

/// The network as built.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct NetworkView {
    /// Busbars.
    pub nodes: Vec<NodeView>,
    /// Lines and transformers.
    pub branches: Vec<BranchView>,
    /// Generators, batteries and loads.
    pub units: Vec<UnitView>,
}

/// A busbar.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NodeView {
    /// Id.
    pub id: i32,
    /// Name.
    pub name: String,
    /// Rated voltage, V.
    pub u_rated_v: f64,
    /// Lower limit, pu.
    pub u_min_pu: f64,
    /// Upper limit, pu.
    pub u_max_pu: f64,
    /// Place in the diagram, grid units, right.
    pub x: f64,
    /// Place in the diagram, grid units, down.
    pub y: f64,
    /// The grid above is connected here.
    pub source: bool,
}

/// A line or transformer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BranchView {
    /// Id.
    pub id: i32,
    /// Name.
    pub name: String,
    /// `line` or `transformer`; by phase also `asym_line` or `step_voltage_regulator`.
    pub kind: String,
    /// Node id.
    pub from: i32,
    /// Node id.
    pub to: i32,
    /// Rated current (lines), A.
    pub i_n_a: Option<f64>,
    /// Rated power (transformers), VA.
    pub s_n_va: Option<f64>,
}

/// A generator, battery or load.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct UnitView {
    /// Id.
    pub id: i32,
    /// Name.
    pub name: String,
    /// `pv`, `wind`, `chp`, `fuel_cell`, `battery` or `load`.
    pub kind: String,
    /// Node id.
    pub node: i32,
    /// Its owner in the market.
    pub participant: String,
    /// The device that measures and obeys, if any.
    pub device: Option<String>,
    /// Nameplate active power, W.
    pub p_rated_w: f64,
    /// Nameplate reactive power, var, symmetrical.
    pub q_rated_var: f64,
    /// `a`, `b` or `c`, of a unit of one phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

/// What the feeder is doing, as estimated.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NetworkState {
    /// Moment of the snapshot it was estimated from.
    pub time: String,
    /// How good the estimate is.
    pub estimate: EstimateView,
    /// Busbars.
    pub nodes: Vec<NodeState>,
    /// Lines and transformers.
    pub branches: Vec<BranchState>,
    /// Generators, batteries and loads.
    pub units: Vec<UnitState>,
    /// Measurements not believed.
    pub rejected: Vec<RejectedView>,
    /// Losses, W.
    pub loss_w: f64,
}

/// How good an estimate is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EstimateView {
    /// Estimated, and the chi-square test passed.
    pub ok: bool,
    /// Why not, when not.
    pub error: Option<String>,
    /// Sum of squared weighted residuals.
    pub objective: f64,
    /// What the objective may be, at 99 %.
    pub threshold: f64,
    /// Redundant measurements.
    pub degrees_of_freedom: i64,
    /// Measurements used: of meters, of load models.
    pub metered: u32,
    /// See `metered`.
    pub pseudo: u32,
    /// Gauss-Newton steps.
    pub iterations: u32,
    /// Duration, microseconds.
    pub took_us: u64,
}

/// A busbar's estimated state.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NodeState {
    /// Id.
    pub id: i32,
    /// Voltage magnitude, pu of rated.
    pub u_pu: f64,
    /// Voltage angle, degrees.
    pub angle_deg: f64,
    /// Standard deviation of the magnitude, pu.
    pub sigma_pu: f64,
    /// Whether meters and load models together determine it.
    pub observable: bool,
    /// Under voltage at all.
    pub energised: bool,
    /// By phase: of each live phase. The node's own voltage is the mean of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseState>,
}

/// A phase's estimated voltage.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PhaseState {
    /// `a`, `b` or `c`.
    pub phase: String,
    /// Voltage magnitude to ground, pu of rated.
    pub u_pu: f64,
    /// Standard deviation of the magnitude, pu.
    pub sigma_pu: f64,
    /// Whether meters and load models together determine it.
    pub observable: bool,
}

/// A branch's estimated flow.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BranchState {
    /// Id.
    pub id: i32,
    /// Active power into the from side, W.
    pub p_from_w: f64,
    /// Reactive power into the from side, var.
    pub q_from_var: f64,
    /// The larger end's current, A.
    pub i_a: f64,
    /// Share of the rating, 1 is full.
    pub loading: f64,
    /// Both switches closed.
    pub closed: bool,
}

/// A unit's estimated power.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct UnitState {
    /// Id.
    pub id: i32,
    /// Active power, generation-positive, W.
    pub p_w: f64,
    /// Reactive power, generation-positive, var.
    pub q_var: f64,
    /// `metered` or `pseudo`.
    pub origin: String,
    /// State of charge, 0 to 1 (batteries).
    pub soc: Option<f64>,
}

/// A measurement the estimator does not believe.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RejectedView {
    /// The point.
    pub point: String,
    /// What it measures: `node`, `branch` or `unit`.
    pub measures: String,
    /// Id of that node, branch or unit.
    pub element: i32,
    /// What it says, SI.
    pub measured: f64,
    /// What the others say, SI; `null` where they say nothing.
    pub estimated: Option<f64>,
    /// How many standard deviations of the residual they are apart.
    pub normalised_residual: f64,
    /// `gross_error`, `sign_flipped`, `scale_factor`, `frozen`.
    pub reason: String,
    /// In words.
    pub text: String,
    /// Since when.
    pub since: String,
}
