//! The public HTTP API's data. The UI, the agents and scripts all use these and nothing else;
//! `/api/openapi.json` and the UI's TypeScript types are generated from them.
//!
//! SI units; every power of a unit is generation-positive and every flow is positive into the
//! branch. Times are RFC 3339 UTC. Prices are currency per MWh for people (`*_per_mwh`), amounts
//! are integer micro-currency (`*_micro`), energies integer Wh.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the appliance is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Name of the site.
    pub site: String,
    /// Currency code, e.g. `EUR`.
    pub currency: String,
    /// Now.
    pub now: String,
    /// When the appliance started.
    pub started: String,
    /// `ok`, `degraded` (something is wrong but the loop closes) or `safe` (nothing is dispatched).
    pub health: Health,
    /// Why, when not `ok`.
    pub reasons: Vec<String>,
    /// Devices configured.
    pub devices: u32,
    /// Devices that answer.
    pub devices_online: u32,
    /// Length of the market's interval, s.
    pub interval_s: u32,
    /// Start of the interval being delivered.
    pub interval: String,
    /// Start of the interval whose gate closes next.
    pub next_interval: String,
    /// When that gate closes.
    pub gate_closure: String,
    /// Figures of the running loop.
    pub metrics: Metrics,
}

/// Health in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All is well.
    Ok,
    /// Something is wrong but the loop closes.
    Degraded,
    /// Nothing is dispatched; devices are at, or on their way to, their fallback.
    Safe,
}

/// Figures of the running loop, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Metrics {
    /// Point updates received per second, mean over the last ten seconds.
    pub points_per_s: f64,
    /// Estimations done.
    pub estimations: u64,
    /// Duration of an estimation, median of the recent ones, microseconds.
    pub estimation_us: u64,
    /// Intervals cleared.
    pub clearings: u64,
    /// Duration of a clearing with its AC check, median of the recent ones, microseconds.
    pub clearing_us: u64,
    /// Intervals settled.
    pub settled: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

/// A southbound connection.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "pv3", "profile": "sunspec", "address": "127.0.0.1:15093", "state": "online",
    "error": null, "since": "2026-06-21T11:30:00Z", "description": "Busbar PV 100 1.0",
    "polls": 1800, "poll_ms": 3.1, "late_ms": 0.4
}))]
pub struct DeviceView {
    /// Name.
    pub id: String,
    /// Profile, e.g. `sunspec`.
    pub profile: String,
    /// Where it is.
    pub address: String,
    /// `connecting`, `online` or `offline`.
    pub state: String,
    /// Why it is offline.
    pub error: Option<String>,
    /// Since when it is in this state.
    pub since: String,
    /// Manufacturer, model, version, as it says itself.
    pub description: Option<String>,
    /// Polls done since the start.
    pub polls: u64,
    /// Duration of a poll, median of the recent ones, ms.
    pub poll_ms: Option<f64>,
    /// How late polls began, the largest of the recent ones, ms.
    pub late_ms: Option<f64>,
}

/// A point's value, with its quality and times.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "pv3/W", "value": 98213.0, "unit": "W", "quality": [], "time": "2026-06-21T12:00:00Z",
    "time_quality": "received", "received": "2026-06-21T12:00:00Z"
}))]
pub struct PointView {
    /// `device/point`.
    pub id: String,
    /// The value; `null` before the first.
    pub value: Option<PointValue>,
    /// Unit, e.g. `W`.
    pub unit: String,
    /// What speaks against it, lower case; empty is good.
    pub quality: Vec<String>,
    /// When the source measured it.
    pub time: Option<String>,
    /// Whose clock `time` is of: `source`, `unsynchronised` or `received`.
    pub time_quality: Option<String>,
    /// When we received it.
    pub received: Option<String>,
}

/// What a point holds.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum PointValue {
    /// Analog value or counter.
    Number(f64),
    /// Indication.
    Bool(bool),
    /// Switch position.
    Text(String),
}

/// The network as built.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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
    /// `line` or `transformer`.
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
    /// What it says, SI.
    pub measured: f64,
    /// What the others say, SI.
    pub estimated: f64,
    /// How many standard deviations of the residual they are apart.
    pub normalised_residual: f64,
    /// `gross_error`, `sign_flipped`, `scale_factor`, `frozen`.
    pub reason: String,
    /// In words.
    pub text: String,
    /// Since when.
    pub since: String,
}

/// A market interval.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct IntervalView {
    /// Start.
    pub start: String,
    /// End.
    pub end: String,
    /// When its gate closes or closed.
    pub gate_closure: String,
    /// `open`, `gate_closed`, `cleared`, `delivering`, `delivered`, `settled`, or `failed`.
    pub phase: String,
    /// `optimal`, `feasible`, `least_violation`, or `null` before clearing.
    pub status: Option<String>,
    /// Why it failed, or what cannot be met.
    pub message: Option<String>,
    /// Orders taking part.
    pub orders: u32,
    /// Operating cost of the cleared dispatch (import at the import price, units at their orders), per hour.
    pub cost_per_h: Option<f64>,
    /// Power from the grid above, import-positive, W.
    pub import_w: Option<f64>,
    /// Reactive power from the grid above, import-positive, var.
    pub import_var: Option<f64>,
    /// Price at each node.
    pub prices: Vec<PriceView>,
    /// Limits that bind.
    pub binding: Vec<BindingView>,
    /// What each unit shall do.
    pub awards: Vec<AwardView>,
    /// The independent power flow of the result.
    pub ac_check: Option<AcCheckView>,
    /// Duration of the clearing, microseconds.
    pub took_us: Option<u64>,
    /// Who paid whom, once settled.
    pub settlement: Vec<SettlementView>,
}

/// Price at a node: cost of one more unit of load there.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PriceView {
    /// Node id.
    pub node: i32,
    /// Active power, per MWh.
    pub p_per_mwh: f64,
    /// Reactive power, per Mvarh.
    pub q_per_mvarh: f64,
}

/// A limit that binds.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BindingView {
    /// `u_max`, `u_min`, `current`, `apparent`, `import`, `export`.
    pub kind: String,
    /// Id of the node, branch or source.
    pub element: i32,
    /// In words.
    pub text: String,
    /// The limit: pu, A, VA or W.
    pub bound: f64,
    /// The value, same unit.
    pub value: f64,
    /// Saving per hour and unit of relief.
    pub shadow_price: f64,
}

/// What a unit shall do in an interval.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AwardView {
    /// Unit id.
    pub unit: i32,
    /// Active power, generation-positive, W.
    pub p_w: f64,
    /// Reactive power, generation-positive, var.
    pub q_var: f64,
    /// Offered for sale, W.
    pub offered_w: f64,
    /// Bid for, W.
    pub bid_w: f64,
    /// Energy contracted, generation-positive, Wh.
    pub energy_wh: i64,
}

/// What the independent power flow says of a clearing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AcCheckView {
    /// Within every limit.
    pub ok: bool,
    /// Lowest voltage, pu.
    pub u_min_pu: f64,
    /// Highest voltage, pu.
    pub u_max_pu: f64,
    /// Highest loading, 1 is full.
    pub loading_max: f64,
    /// Difference of the grid exchange between market model and power flow, W.
    pub gap_w: f64,
    /// Times limits were tightened until it held.
    pub tightened: u32,
}

/// One line of a settlement.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SettlementView {
    /// Participant, or `upstream`, or `network`.
    pub account: String,
    /// Unit, if one.
    pub unit: Option<i32>,
    /// Contracted energy, generation-positive, Wh.
    pub contracted_wh: i64,
    /// Metered energy, generation-positive, Wh.
    pub metered_wh: i64,
    /// `metered`, `estimated` or `missing`.
    pub quality: String,
    /// What the account receives (negative: pays), micro-currency.
    pub amount_micro: i64,
}

/// What is asked of a device now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "unit": 93, "device": "pv3", "interval": "2026-06-21T12:00:00Z", "origin": "market",
    "p_kind": "limit", "p_w": 80000.0, "q_var": -20000.0, "fallback_p_w": 40000.0,
    "expires": "2026-06-21T12:00:15Z", "status": "verified", "message": null,
    "readback_p_w": 80000.0, "readback_q_var": -20000.0
}))]
pub struct DispatchView {
    /// Unit id.
    pub unit: i32,
    /// Its device.
    pub device: String,
    /// Interval it was awarded in.
    pub interval: String,
    /// Who commands: `scada`, `operator`, `safety`, `market`.
    pub origin: String,
    /// `limit` or `set`.
    pub p_kind: String,
    /// Active power, generation-positive, W.
    pub p_w: f64,
    /// Reactive power, generation-positive, var.
    pub q_var: f64,
    /// What it falls back to, W.
    pub fallback_p_w: f64,
    /// When its lease ends.
    pub expires: String,
    /// `pending`, `done`, `rejected`, `unknown`, `not_sent`, `verified`, `mismatch`, `expired`.
    pub status: String,
    /// What went wrong, if anything.
    pub message: Option<String>,
    /// What the device reads back, W.
    pub readback_p_w: Option<f64>,
    /// What the device reads back, var.
    pub readback_q_var: Option<f64>,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 7, "severity": "warning", "code": "bad_data", "source": "rtu8/bay1_p",
    "text": "rtu8/bay1_p is not believed: its sign is wrong", "since": "2026-06-21T12:00:00Z",
    "cleared": null, "acknowledged_by": null
}))]
pub struct AlarmView {
    /// Number.
    pub id: u64,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// Kind, e.g. `device_offline`, `bad_data`, `clearing_failed`, `setpoint_mismatch`.
    pub code: String,
    /// What it is about: device, point, unit, interval.
    pub source: String,
    /// In words.
    pub text: String,
    /// When it came.
    pub since: String,
    /// When it went, if it did.
    pub cleared: Option<String>,
    /// Who has seen it.
    pub acknowledged_by: Option<String>,
}

/// An order to be placed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "client_id": "a1", "node": 3, "unit": 93, "participant": "prosumers",
    "interval": "2026-06-21T12:00:10Z", "direction": "sell",
    "steps": [{ "quantity_w": 50000, "price_per_mwh": 20.0 }]
}))]
pub struct NewOrder {
    /// The sender's own id for it; sending the same one again changes nothing.
    pub client_id: String,
    /// Node of the flexibility.
    pub node: i32,
    /// Unit, where the participant has more than one at the node.
    pub unit: Option<i32>,
    /// Participant it is placed for.
    pub participant: String,
    /// Start of the interval, RFC 3339.
    pub interval: String,
    /// `sell` or `buy`.
    pub direction: String,
    /// The curve.
    pub steps: Vec<OrderStep>,
}

/// One step of an order's curve.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderStep {
    /// Power added by this step, W.
    pub quantity_w: i64,
    /// Limit price, per MWh.
    pub price_per_mwh: f64,
}

/// An accepted order.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 41, "client_id": "a1", "participant": "prosumers", "unit": 93, "node": 3,
    "interval": "2026-06-21T12:00:10Z", "direction": "sell",
    "steps": [{ "quantity_w": 50000, "price_per_mwh": 20.0 }], "placed_by": "api",
    "state": "accepted", "awarded_w": null
}))]
pub struct OrderView {
    /// Number given on acceptance.
    pub id: u64,
    /// The sender's id.
    pub client_id: String,
    /// Participant.
    pub participant: String,
    /// Unit.
    pub unit: i32,
    /// Node.
    pub node: i32,
    /// Start of the interval.
    pub interval: String,
    /// `sell` or `buy`.
    pub direction: String,
    /// The curve.
    pub steps: Vec<OrderStep>,
    /// `api` or `agent`.
    pub placed_by: String,
    /// `accepted`, `cancelled`, `awarded`, `partly_awarded`, `not_awarded`.
    pub state: String,
    /// Power awarded, W.
    pub awarded_w: Option<f64>,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "error": "node", "message": "there is no node 99", "accepted": "a node of the network"
}))]
pub struct Problem {
    /// Kind, e.g. `unknown_node`, `not_logged_in`.
    pub error: String,
    /// In words: what was wrong.
    pub message: String,
    /// What would have been accepted, where that can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({ "enrolled": true, "user": "ada", "role": "operator" }))]
pub struct SessionView {
    /// Whether the first user has been set up; if not, only enrolment is possible.
    pub enrolled: bool,
    /// User, when logged in.
    pub user: Option<String>,
    /// `viewer` or `operator`, when logged in.
    pub role: Option<Role>,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look, place orders, acknowledge alarms, add users.
    Operator,
}

/// Sets up the first user with the one-time code.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "code": "mfrggzdfmztwq2lknnwg23tpob", "user": "ada", "password": "correct horse"
}))]
pub struct Enrolment {
    /// One-time code from the console.
    pub code: String,
    /// User name.
    pub user: String,
    /// Password, 10 characters or more.
    pub password: String,
}

/// Logs in.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user": "ada", "password": "correct horse" }))]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// A user to be added by an operator.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user": "bob", "password": "correct horse", "role": "viewer" }))]
pub struct NewUser {
    /// User name.
    pub user: String,
    /// Password, 10 characters or more.
    pub password: String,
    /// What it may do.
    pub role: Role,
}

/// A user and what it may do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({ "user": "bob", "role": "viewer" }))]
pub struct UserAccount {
    /// User name.
    pub user: String,
    /// What it may do.
    pub role: Role,
}

/// The event stream's data, by name of the event. Only documents the stream: on connecting, each
/// event comes once with everything; after that only when its part has changed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Events {
    /// Replaces the status.
    pub status: Status,
    /// Replaces all devices.
    pub devices: Vec<DeviceView>,
    /// Replaces the estimated state.
    pub network_state: NetworkState,
    /// Points that changed; the others stay.
    pub points: Vec<PointView>,
    /// Intervals that are new or changed, by `start`; the others stay.
    pub intervals: Vec<IntervalView>,
    /// Orders that are new or changed, by `id`; the others stay.
    pub orders: Vec<OrderView>,
    /// Replaces all setpoints.
    pub dispatch: Vec<DispatchView>,
    /// Replaces all alarms.
    pub alarms: Vec<AlarmView>,
}
