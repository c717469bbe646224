//! The market above: what was offered, what came down, on what the exchange rests.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The link to the market above, and the latest intervals of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AboveView {
    /// Where it is.
    pub endpoint: String,
    /// What it calls this market.
    pub tenant: String,
    /// Whether there is a link.
    pub connected: bool,
    /// Since when that is so.
    pub since: String,
    /// Why there is none.
    pub reason: Option<String>,
    /// Its clock against ours, ms; positive where it is ahead.
    pub clock_ms: Option<i64>,
    /// So long our certificate is good, days; negative: it has ended.
    pub certificate_days: Option<i64>,
    /// `last_award`, `schedule` or `zero`: what stands in for an award that does not come.
    pub fallback: String,
    /// Documents that it has not answered: they are sent until it does.
    pub unsent: u32,
    /// Newest first.
    pub intervals: Vec<AboveIntervalView>,
}

/// An interval as the market above is concerned. Exchange is import-positive.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AboveIntervalView {
    /// Start.
    pub start: String,
    /// What was offered at gate closure: what each exchange is worth, by rising import.
    pub offer: Vec<CornerView>,
    /// What the voltage behind the connection is worth, where that was offered.
    pub voltage: Option<VoltageView>,
    /// Exchange that was expected without an award, W.
    pub forecast_w: Option<i64>,
    /// Least reactive exchange that was offered, var.
    pub q_min_var: Option<i64>,
    /// Most of it, var.
    pub q_max_var: Option<i64>,
    /// What came down, by number.
    pub awards: Vec<AboveAwardView>,
    /// `award`, `last_award`, `schedule` or `zero`: on what the exchange that it was cleared with rests;
    /// `null`: it is not closed yet.
    pub basis: Option<String>,
    /// The award that is.
    pub award: Option<u32>,
    /// Exchange that it was closed with, W.
    pub exchange_w: Option<i64>,
    /// Price of that, per MWh.
    pub price_per_mwh: Option<f64>,
    /// Energy taken, Wh, once metered.
    pub import_wh: Option<i64>,
    /// Energy given, Wh, once metered.
    pub export_wh: Option<i64>,
    /// Whether that is estimated or replaced.
    pub replaced: Option<bool>,
    /// Documents that were refused, and why.
    pub refused: Vec<String>,
    /// SHA-256 of the interval's account, as kept here.
    pub hash: Option<String>,
    /// Whether the market above has the same account; `null`: it has not said.
    pub agreed: Option<bool>,
}

/// A corner of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CornerView {
    /// Exchange, W.
    pub exchange_w: i64,
    /// What the next W of import from here on is worth, per MWh; of the last corner 0.
    pub price_per_mwh: f64,
    /// Reactive exchange that goes with it, var.
    pub q_var: i64,
}

/// What a voltage behind a connection costs who is connected there: that of the grid above without what it exchanges
/// itself, `u + z (s/u)*` of voltage `u`, exchange `s` and impedance `z`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct VoltageView {
    /// Resistance of the grid above that it computes with, ohm at the connection's rated voltage.
    pub r_ohm: f64,
    /// Reactance, ohm.
    pub x_ohm: f64,
    /// By rising voltage, straight between them and as straight beyond.
    pub corners: Vec<VoltageCornerView>,
}

/// A corner of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct VoltageCornerView {
    /// Voltage, pu of rated.
    pub u_pu: f64,
    /// What it costs, currency units per h.
    pub cost_per_h: f64,
}

/// An award.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AboveAwardView {
    /// Its number.
    pub sequence: u32,
    /// Exchange, W.
    pub exchange_w: i64,
    /// Exchange that is called for instead, to balance the grid above, W.
    pub called_w: Option<i64>,
    /// Price, per MWh.
    pub price_per_mwh: f64,
    /// Fee for the grid above, per MWh.
    pub grid_fee_per_mwh: f64,
    /// Reactive exchange, var.
    pub q_var: i64,
    /// Voltage behind the connection as it is planned above, pu of rated; `null`: that was not said.
    pub u_pu: Option<f64>,
    /// Most import that the grid above can carry, W.
    pub import_max_w: i64,
    /// Most export, W.
    pub export_max_w: i64,
    /// Limits that bind above.
    pub limits: Vec<String>,
    /// Why nothing came of it.
    pub unused: Option<String>,
}
