//! The market of an area: its tenants, and what each interval came to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ReceiptView, VoltageView};

/// The area.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AreaView {
    /// Its tenants; to a tenant's program, itself.
    pub tenants: Vec<TenantView>,
    /// Intervals, newest first.
    pub intervals: Vec<AreaIntervalView>,
    /// Who came, went and was turned away, newest first; to users only.
    pub audit: Vec<AuditView>,
}

/// A market below.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TenantView {
    /// Name.
    pub name: String,
    /// Where it is connected.
    pub node: i32,
    /// Most import that its connection carries, W.
    pub import_max_w: i64,
    /// Most export, W.
    pub export_max_w: i64,
    /// Whether it is there.
    pub connected: bool,
    /// Since when.
    pub since: Option<String>,
    /// When it last sent a document.
    pub heard: Option<String>,
    /// The last of its documents that was not taken, and why.
    pub refused: Option<String>,
    /// Intervals that ended and whose closing or total is awaited.
    pub awaited: u32,
}

/// An interval of the area.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AreaIntervalView {
    /// Start.
    pub start: String,
    /// End.
    pub end: String,
    /// `open`, `gate_closed`, `cleared`, `failed`, or `settled` with the grid above.
    pub phase: String,
    /// Why it was not cleared.
    pub message: Option<String>,
    /// Exchange with the grid above as cleared, import-positive, W.
    pub exchange_w: Option<f64>,
    /// What one more MWh from there would have cost.
    pub price_per_mwh: Option<f64>,
    /// The same as metered, Wh.
    pub exchanged_wh: Option<i64>,
    /// What the clearing costs, per hour.
    pub cost_per_h: Option<f64>,
    /// Limits that bind, the dearest first.
    pub limits: Vec<String>,
    /// Prices at nodes.
    pub prices: Vec<AreaPriceView>,
    /// Tenants' parts; to a tenant's program, its own.
    pub deals: Vec<DealView>,
}

/// Price at a node of the area's grid.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AreaPriceView {
    /// Node.
    pub node: i32,
    /// Of active power.
    pub p_per_mwh: f64,
    /// Voltage, pu.
    pub u_pu: f64,
}

/// A tenant's part of an interval. Exchanges are import-positive.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DealView {
    /// Whose.
    pub tenant: String,
    /// What each exchange is worth to it, by rising import; none: it has made no offer.
    pub offer: Option<Vec<AreaCornerView>>,
    /// What the voltage behind its connection is worth to it, where it says so.
    pub voltage: Option<VoltageView>,
    /// Limits of its own network that bind at what it expects, or that it cannot keep, as it says.
    pub limits: Vec<String>,
    /// What it stands in with, where it has made no offer, W.
    pub expected_w: Option<i64>,
    /// What an operator calls on it for, whatever its curve would come to, W.
    pub called_w: Option<i64>,
    /// What it was awarded.
    pub award: Option<TenantAwardView>,
    /// On what its exchange rests: `award`, `last_award`, `schedule` or `zero`.
    pub basis: Option<String>,
    /// What it closed with, W.
    pub closed_w: Option<i64>,
    /// Energy taken, Wh, import-positive.
    pub metered_wh: Option<i64>,
    /// SHA-256 of the interval's account, as its own record has it.
    pub hash: Option<String>,
}

/// A corner of a residual curve.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AreaCornerView {
    /// Exchange, W.
    pub exchange_w: i64,
    /// What the next W of import is worth.
    pub price_per_mwh: f64,
}

/// What a tenant was awarded.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TenantAwardView {
    /// Exchange, W.
    pub exchange_w: i64,
    /// Its price.
    pub price_per_mwh: f64,
    /// For the use of the grid.
    pub grid_fee_per_mwh: f64,
    /// Reactive exchange, var, import-positive.
    pub q_var: i64,
    /// Voltage behind its connection as it is planned, pu of rated; `null`: it has not said what that is worth to it.
    pub u_pu: Option<f64>,
}

/// Somebody came, went or was turned away.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AuditView {
    /// When.
    pub time: String,
    /// `connected`, `disconnected`, `refused`, `expires` or `missed`.
    pub what: String,
    /// In words.
    pub text: String,
}

/// What an area's operator calls on a tenant for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "exchange_w": -1500000 }))]
pub struct TenantCall {
    /// Exchange, import-positive, W; `null`: not any more.
    pub exchange_w: Option<i64>,
}

/// A call as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TenantCallView {
    /// Whom.
    pub tenant: String,
    /// Start of the interval.
    pub interval: String,
    /// For what, W; `null`: it is not called on.
    pub exchange_w: Option<i64>,
    /// Of the record; `null`: it was so already.
    pub receipt: Option<ReceiptView>,
}
