//! Who may command: DSO SCADA, local operator, safety limits, market, in this order.

use serde::{Deserialize, Serialize};

use super::Setpoint;

/// Who asks. The lower variant wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// The DSO's control centre.
    Scada,
    /// A person at the appliance.
    Operator,
    /// The appliance's own limits.
    Safety,
    /// The market's award.
    Market,
}

/// A setpoint that somebody asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Who.
    pub authority: Authority,
    /// What.
    pub setpoint: Setpoint,
}

/// Who won.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arbitration {
    /// To be sent; none where every request had expired.
    pub winner: Option<Request>,
    /// Outranked, for the log; the strongest first.
    pub losers: Vec<Request>,
    /// Expired, and so not considered.
    pub expired: Vec<Request>,
}

/// Decides between requests for one unit. Among equals the later one in `requests` wins.
#[must_use]
pub fn arbitrate(requests: Vec<Request>, now_us: i64) -> Arbitration {
    let (expired, mut live): (Vec<_>, Vec<_>) = requests
        .into_iter()
        .partition(|request| request.setpoint.expires_us <= now_us);
    // The sort is stable: reversed, the later of equals comes first.
    live.reverse();
    live.sort_by_key(|request| request.authority);
    let mut live = live.into_iter();
    Arbitration {
        winner: live.next(),
        losers: live.collect(),
        expired,
    }
}
