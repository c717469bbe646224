//! What two layers of the market pass each other. Powers of an exchange are **import-positive**: what the
//! tenant takes from the layer above, W. Money in micro-currency, energy in Wh, times in seconds of UTC
//! since 1970.
//!
//! Every document is one per tenant and interval, numbered by its sender: the same sequence number again is
//! the same document, a lower one is late and is answered as such, a higher one takes its place as long as
//! that is open. So any of them can be sent as often as it takes.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What a tenant passes up at gate closure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Start of the interval.
    pub interval: i64,
    /// Its length, s.
    pub length_s: u32,
    /// Of this interval's offers.
    pub sequence: u32,
    /// What each exchange is worth to it, by rising import; at least one corner. Below the first and
    /// above the last it cannot go.
    pub curve: Vec<Corner>,
    /// Least reactive power that it can take at the expected exchange, var, import-positive.
    pub q_min_var: i64,
    /// Most of it, var.
    pub q_max_var: i64,
    /// Exchange that it expects without any award, W.
    pub forecast_w: i64,
    /// What the voltage of the grid above costs it; none: that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voltage: Option<Voltage>,
    /// How it is.
    pub state: State,
}

/// A corner of a residual curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corner {
    /// Exchange, W.
    pub exchange_w: i64,
    /// What the next W of import from here on is worth to it, micro-currency per MWh; falls from corner to
    /// corner. Of the last corner: without meaning, 0.
    pub price: i64,
    /// Reactive exchange that goes with it, var, import-positive.
    pub q_var: i64,
}

/// What the voltage behind a connection costs a tenant: that of the grid above without what the tenant itself
/// exchanges, `u + z (s/u)*` of voltage `u`, exchange `s` and impedance `z`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voltage {
    /// Resistance of the grid above as the tenant computes with, ohm at the connection's rated voltage.
    pub r_ohm: f64,
    /// Reactance, ohm.
    pub x_ohm: f64,
    /// By rising voltage, two or more: millionths of the rated one, and what it costs, micro-currency per h. Convex;
    /// beyond its ends as straight as there.
    pub corners: Vec<(i64, i64)>,
}

/// How a tenant is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Share of its nodes that are observed, 0 to 1.
    pub observed: f64,
    /// Largest standard deviation of an estimated voltage, pu.
    pub sigma_max_pu: f64,
    /// Limits in force at the expected exchange, in words.
    pub limits: Vec<String>,
    /// Whether it runs without the grid above.
    pub islanded: bool,
}

/// What the layer above gives to a tenant for an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Award {
    /// Start of the interval.
    pub interval: i64,
    /// Of this interval's awards.
    pub sequence: u32,
    /// Sequence number of the offer it answers.
    pub offer: u32,
    /// Exchange, W.
    pub exchange_w: i64,
    /// Price of it, micro-currency per MWh.
    pub price: i64,
    /// Reactive exchange, var, import-positive.
    pub q_var: i64,
    /// Fee for the use of the grid above, micro-currency per MWh of exchange.
    pub grid_fee: i64,
    /// Most import that the grid above can carry, W.
    pub import_max_w: i64,
    /// Most export, W.
    pub export_max_w: i64,
    /// Exchange that is called for to balance the grid above, in place of `exchange_w`, W.
    pub called_w: Option<i64>,
    /// Limits that bind above, in words.
    pub limits: Vec<String>,
    /// Voltage behind the connection as it is planned above, millionths of the rated one; none: what the tenant is
    /// behind was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_ppm: Option<i64>,
}

/// On what the exchange of an interval rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The award, in time.
    Award,
    /// The award of the interval before, there being none in time.
    LastAward,
    /// The site's schedule.
    Schedule,
    /// Nothing is exchanged as far as that can be had.
    Zero,
}

/// With what the tenant has cleared for good: its word, whatever is awarded later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// Start of the interval.
    pub interval: i64,
    /// Of this interval's closings; there is one.
    pub sequence: u32,
    /// On what it rests.
    pub basis: Basis,
    /// The award it rests on; none on another basis.
    pub award: Option<u32>,
    /// Exchange that it was cleared at, W.
    pub exchange_w: i64,
    /// Price that this was cleared at, micro-currency per MWh.
    pub price: i64,
}

/// What was metered at the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Total {
    /// Start of the interval.
    pub interval: i64,
    /// Of this interval's totals: a correction has a higher one.
    pub sequence: u32,
    /// Energy taken, Wh.
    pub import_wh: i64,
    /// Energy given, Wh.
    pub export_wh: i64,
    /// Whether any of it is a replaced value.
    pub replaced: bool,
    /// What those come to that are settled above, by name; each that took part in the interval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregators: Vec<Aggregated>,
}

/// Most of them in a total.
pub const AGGREGATORS_MOST: usize = 256;

/// What an interval comes to for a participant of the tenant's that is settled above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregated {
    /// Who: of the same name above.
    pub name: String,
    /// What it delivered, Wh; negative where it took.
    pub delivered_wh: i64,
    /// What it is owed, micro-currency; negative where it owes. The tenant pays it.
    pub amount: i64,
}

/// What goes up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "document", rename_all = "snake_case")]
pub enum Up {
    /// At gate closure.
    Offer(Offer),
    /// At the clearing for good.
    Closing(Closing),
    /// When the interval is metered.
    Total(Total),
}

/// What comes down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "document", rename_all = "snake_case")]
pub enum Down {
    /// For an interval.
    Award(Award),
}

/// That a document is on record above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Start of the document's interval.
    pub interval: i64,
    /// The document's number.
    pub sequence: u32,
    /// Of a total: SHA-256 of the interval's account as it stands with it, 64 hexadecimal digits.
    pub account: Option<String>,
}

/// Why a document is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refused", rename_all = "snake_case")]
pub enum Refused {
    /// A newer one is there already.
    #[error("sequence {sequence} is not above {held}, and is not the same document")]
    Sequence {
        /// Of the document.
        sequence: u32,
        /// Of the one that is held.
        held: u32,
    },
    /// The interval is over, or its gate is closed.
    #[error("too late: the gate of interval {} closed at {}", utc(*interval), utc(*closed))]
    Late {
        /// Start of the interval.
        interval: i64,
        /// When that was.
        closed: i64,
    },
    /// It makes no sense.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: String,
    },
    /// It cannot be kept right now: send it again.
    #[error("not kept: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl Up {
    /// The interval that it is about.
    #[must_use]
    pub fn interval(&self) -> i64 {
        match self {
            Self::Offer(of) => of.interval,
            Self::Closing(of) => of.interval,
            Self::Total(of) => of.interval,
        }
    }

    /// Its number.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        match self {
            Self::Offer(of) => of.sequence,
            Self::Closing(of) => of.sequence,
            Self::Total(of) => of.sequence,
        }
    }
}

/// As in RFC 3339; what is no time of any calendar as the number it is.
fn utc(seconds: i64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds) else {
        return seconds.to_string();
    };
    let (h, m, s) = at.to_hms();
    format!("{}T{h:02}:{m:02}:{s:02}Z", at.date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_late_reads_when_the_gate_closed() {
        let late = |interval, closed| Refused::Late { interval, closed }.to_string();
        // By `date -u -d @1800000000`.
        assert_eq!(
            late(1_800_000_000, 1_799_999_997),
            "too late: the gate of interval 2027-01-15T08:00:00Z closed at 2027-01-15T07:59:57Z"
        );
        assert!(late(i64::MAX, 0).contains(&i64::MAX.to_string()));
    }
}
