//! What the appliance, its devices and their points are doing; setpoints and alarms.

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
    /// Whether there is a link to the market above; `null`: the site has none above.
    pub linked_above: Option<bool>,
    /// Length of the market's interval, s.
    pub interval_s: u32,
    /// Start of the interval being delivered.
    pub interval: String,
    /// Start of the interval whose gate closes next.
    pub next_interval: String,
    /// When that gate closes.
    pub gate_closure: String,
    /// Start of the latest interval that is decided: cleared, or given up and said so.
    pub decided: Option<String>,
    /// Of when the last sound estimate is.
    pub estimated: Option<String>,
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

/// A unit held at a power, instead of what the market says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "unit": 93, "origin": "operator", "by": "user ada", "p_w": 20000.0, "q_var": 0.0,
    "until": "2026-06-21T12:15:00Z", "in_force": true
}))]
pub struct HoldView {
    /// Unit id.
    pub unit: i32,
    /// Who holds it: `scada` (a control centre), or `operator`, which it outranks.
    pub origin: String,
    /// Which control centre, or which user.
    pub by: String,
    /// Limit of a generator, set value of a battery, generation-positive, W.
    pub p_w: f64,
    /// Reactive power, generation-positive, var.
    pub q_var: f64,
    /// It ends then, unless renewed.
    pub until: String,
    /// It is what the unit is told; false while another outranks it.
    pub in_force: bool,
}

/// What to hold a unit at.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "p_w": 20000.0, "q_var": 0.0, "lasts_s": 900 }))]
pub struct NewHold {
    /// Limit of a generator, set value of a battery, generation-positive, W.
    pub p_w: f64,
    /// Reactive power, generation-positive, var.
    #[serde(default)]
    pub q_var: f64,
    /// It ends after so many seconds unless renewed, 10 to 86400.
    pub lasts_s: u32,
}

/// A breaker that can be operated.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({ "breaker": "ied5/bay1_breaker", "closed": true }))]
pub struct BreakerView {
    /// The breaker: the point that is written to.
    pub breaker: String,
    /// How it stands; `null` where its contacts do not say.
    pub closed: Option<bool>,
}

/// How a breaker shall stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "breaker": "rtu1/bay1_breaker", "closed": false }))]
pub struct NewPosition {
    /// One of those that can be operated.
    pub breaker: String,
    /// Closed, or else open.
    pub closed: bool,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
