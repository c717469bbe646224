//! A value of a meter, as it is on record.

use serde::{Deserialize, Serialize};
use solver::market::MeterQuality;

/// Energy that a meter counted over a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// The meter's name.
    pub meter: String,
    /// Start of the time, UTC, s since 1970.
    pub start: i64,
    /// Its length, s.
    pub length_s: u32,
    /// Energy delivered, Wh; negative where it was taken. Ignored where missing.
    pub delivered_wh: i64,
    /// How far it can be trusted.
    pub quality: MeterQuality,
}
