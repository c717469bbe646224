//! The public HTTP API's data. The UI, the agents and scripts all use these and nothing else;
//! `/api/openapi.json` and the UI's TypeScript types are generated from them.
//!
//! SI units; every power of a unit is generation-positive and every flow is positive into the
//! branch. Times are RFC 3339 UTC. Prices are currency per MWh for people (`*_per_mwh`), amounts
//! are integer micro-currency (`*_micro`), energies integer Wh.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod above;
mod account;
mod area;
mod certificates;
mod explain;
mod market;
mod metering;
mod network;
mod operation;
mod participants;

pub use above::{
    AboveAwardView, AboveIntervalView, AboveView, CornerView, VoltageCornerView, VoltageView,
};
pub use account::{Enrolment, Login, NewPassword, NewUser, Role, SessionView, UserAccount};
pub use area::{
    AreaCornerView, AreaIntervalView, AreaPriceView, AreaView, AuditView, DealView,
    TenantAwardView, TenantCall, TenantCallView, TenantView,
};
pub use certificates::{CertificateView, Judgement};
pub use explain::{ExplanationView, LimitPartView, PricePartsView, ReliefView, StepView};
pub use market::{
    AcCheckView, AheadView, AwardView, BindingView, CallView, ContractView, IntervalView,
    LedgerKey, NewOrder, OrderKind, OrderStep, OrderView, PhasePriceView, PriceView, ReactiveView,
    ReceiptView, ScheduleView, SettlementView,
};
pub use metering::{AccountView, MeterReceipt, MeterValueView, NewMeterValue, Quality};
pub use network::{
    BranchState, BranchView, EstimateView, NetworkState, NetworkView, NodeState, NodeView,
    PhaseState, RejectedView, UnitState, UnitView,
};
pub use operation::{
    AlarmView, BreakerView, DeviceView, DispatchView, Health, HoldView, Metrics, NewHold,
    NewPosition, PointValue, PointView, Status,
};

pub use participants::{
    Deregistered, MemberView, MeterView, NewDer, NewMeter, NewParticipant, NewToken,
    ParticipantView, TokenIssued, TokenView,
};

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
    /// Replaces all holds of units.
    pub holds: Vec<HoldView>,
    /// Replaces all alarms.
    pub alarms: Vec<AlarmView>,
}
