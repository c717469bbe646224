//! What may change about who takes part, as it is on record.

use serde::{Deserialize, Serialize};
use solver::network::Id;
use utoipa::ToSchema;

use crate::store::Hash;

/// What a participant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantRole {
    /// Takes energy.
    Consumer,
    /// Takes and delivers energy.
    Prosumer,
    /// Delivers energy.
    Producer,
    /// Supplies the loads in its portfolio.
    Retailer,
    /// Trades the flexibility of others' units, which are in its portfolio.
    Aggregator,
    /// Runs the network; also gives the values of meters.
    Dso,
}

/// A distributed energy resource without a device of the site: it takes no setpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Der {
    /// Its number among the units, which no appliance of the network has.
    pub unit: Id,
    /// Whose it is.
    pub participant: String,
    /// Name.
    pub name: String,
    /// What it is, e.g. `pv`.
    pub kind: String,
    /// Node it is connected to.
    pub node: Id,
    /// Phase, where it has one only: `a`, `b` or `c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Nameplate active power, W.
    pub p_rated_w: f64,
    /// Nameplate apparent power, VA.
    pub s_rated_va: f64,
    /// Lowest active power, generation-positive, W.
    pub p_min_w: f64,
    /// Highest active power, generation-positive, W.
    pub p_max_w: f64,
    /// Reactive power, either sign, var.
    pub q_max_var: f64,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The first digits of `hash`.
    pub id: String,
    /// For whom it speaks.
    pub participant: String,
    /// What it is for, in the words of who asked for it.
    pub label: String,
    /// SHA-256 of the secret.
    pub hash: Hash,
    /// It is good until before this moment, UTC, µs since 1970.
    pub expires_us: i64,
}

/// A change of who takes part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A participant is registered, or has another role.
    Participant {
        /// Its name, by which all else knows it.
        name: String,
        /// What it is.
        role: ParticipantRole,
    },
    /// A unit without a device is registered, or described anew.
    Der(Der),
    /// A participant takes part no longer; its tokens are good no longer.
    ParticipantRemoved {
        /// Its name.
        name: String,
    },
    /// A unit without a device is there no longer, nor is its meter.
    DerRemoved {
        /// Its number.
        unit: Id,
    },
    /// Units and loads go over to a participant, from the next gate on.
    Assigned {
        /// Whose they are now.
        participant: String,
        /// They.
        units: Vec<Id>,
    },
    /// A meter is of a unit or load, which has no other one.
    Meter {
        /// Its name.
        meter: String,
        /// The unit or load.
        unit: Id,
    },
    /// A token is issued.
    TokenIssued(Token),
    /// A token is good no longer.
    TokenRevoked {
        /// Which.
        id: String,
    },
}
