//! Values of meters, and accounts.

use serde::{Deserialize, Serialize};
use solver::market::MeterQuality;
use utoipa::ToSchema;

use super::super::{extract::time_of, problem::Refusal};
use crate::{
    clock::rfc3339_s,
    metering::{Value, register_s},
};

/// How far a meter's value can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Measured.
    Metered,
    /// Put in the place of a measured one by the meter's operator.
    Replaced,
    /// Estimated.
    Estimated,
    /// There is none: the appliance's own metering stands.
    Missing,
}

impl From<Quality> for MeterQuality {
    fn from(quality: Quality) -> Self {
        match quality {
            Quality::Metered => Self::Metered,
            Quality::Replaced => Self::Replaced,
            Quality::Estimated => Self::Estimated,
            Quality::Missing => Self::Missing,
        }
    }
}

impl From<MeterQuality> for Quality {
    fn from(quality: MeterQuality) -> Self {
        match quality {
            MeterQuality::Metered => Self::Metered,
            MeterQuality::Replaced => Self::Replaced,
            MeterQuality::Estimated => Self::Estimated,
            MeterQuality::Missing => Self::Missing,
        }
    }
}

/// Energy that a meter counted over a time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "meter": "DE0001", "start": "2026-06-21T12:00:00Z", "length_s": 900, "delivered_wh": 12345,
    "quality": "metered"
}))]
pub struct NewMeterValue {
    /// The meter's name.
    pub meter: String,
    /// Start of the time.
    pub start: String,
    /// Its length, s: 900, or the market's interval; the longer of both, if nothing is said.
    #[serde(default)]
    pub length_s: Option<u32>,
    /// Energy delivered, Wh; negative where it was taken. Needed unless missing.
    #[serde(default)]
    pub delivered_wh: Option<i64>,
    /// How far it can be trusted.
    pub quality: Quality,
}

impl NewMeterValue {
    /// As it goes on record.
    pub(crate) fn taken(self, interval_s: u32) -> Result<Value, Refusal> {
        let start = time_of(&self.start)?;
        if start.nanosecond() != 0 {
            let message = format!("`{}` is no whole second", self.start);
            return Err(Refusal::invalid("start", message).accepted("a time in whole seconds"));
        }
        let delivered_wh = match (self.quality, self.delivered_wh) {
            (Quality::Missing, None) => 0,
            (_, Some(wh)) => wh,
            (_, None) => {
                let message = "delivered_wh is missing, and the quality says that it is not";
                return Err(Refusal::invalid("energy", message)
                    .accepted("energy in Wh, or the quality `missing`"));
            }
        };
        Ok(Value {
            meter: self.meter,
            start: start.unix_timestamp(),
            length_s: self.length_s.unwrap_or_else(|| register_s(interval_s)),
            delivered_wh,
            quality: self.quality.into(),
        })
    }
}

/// Energy that a meter counted over a time, as it was given last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "meter": "DE0001", "start": "2026-06-21T12:00:00Z", "length_s": 900, "delivered_wh": 12345,
    "quality": "metered"
}))]
pub struct MeterValueView {
    /// The meter's name.
    pub meter: String,
    /// Start of the time.
    pub start: String,
    /// Its length, s.
    pub length_s: u32,
    /// Energy delivered, Wh; negative where it was taken.
    pub delivered_wh: Option<i64>,
    /// How far it can be trusted.
    pub quality: Quality,
}

impl From<Value> for MeterValueView {
    fn from(value: Value) -> Self {
        let quality = Quality::from(value.quality);
        Self {
            meter: value.meter,
            start: rfc3339_s(value.start),
            length_s: value.length_s,
            delivered_wh: (quality != Quality::Missing).then_some(value.delivered_wh),
            quality,
        }
    }
}

/// What became of values of meters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({ "taken": 96, "unchanged": 0, "corrected": 96, "record": 1207 }))]
pub struct MeterReceipt {
    /// Values that went on record.
    pub taken: u32,
    /// Values that were on record already.
    pub unchanged: u32,
    /// Corrections of settled intervals that they made.
    pub corrected: u32,
    /// Number of the last record of them in the ledger; none, if nothing changed.
    pub record: Option<u64>,
}

/// What somebody has received in all, less what it has paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({ "account": "prosumers", "balance_micro": 11217 }))]
pub struct AccountView {
    /// Participant, or `upstream`, `residual` or `network`.
    pub account: String,
    /// Balance, micro-currency.
    pub balance_micro: i64,
}
