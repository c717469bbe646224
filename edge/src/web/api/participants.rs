//! Participants, their portfolios, meters and tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    clock::rfc3339,
    participants::{Issued, Member, ParticipantRole},
};

/// A participant.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "prosumers", "role": "prosumer", "of_site": true, "units": [{
        "unit": 93, "name": "PV 3", "kind": "pv", "node": 3, "phase": null, "p_rated_w": 100000.0,
        "s_rated_va": 111111.1, "p_min_w": 0.0, "p_max_w": 100000.0, "q_max_var": 48432.2,
        "dispatchable": true, "of_site": true, "meter": "DE0001"
    }], "tokens": []
}))]
pub struct ParticipantView {
    /// Its name, by which all else knows it.
    pub name: String,
    /// What it is.
    pub role: ParticipantRole,
    /// Whether the site file names it.
    pub of_site: bool,
    /// Its portfolio: units and loads.
    pub units: Vec<MemberView>,
    /// Its tokens, revoked and expired ones included.
    pub tokens: Vec<TokenView>,
}

/// A participant that takes part no longer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "participant": { "name": "aggregator", "role": "aggregator", "of_site": false, "units": [], "tokens": [] },
    "balance_micro": -1250000
}))]
pub struct Deregistered {
    /// As it was.
    pub participant: ParticipantView,
    /// What its account ends with, micro-currency: positive where it is still to be paid.
    pub balance_micro: i64,
}

/// A unit or load of a portfolio: nameplate, capability and connection point.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct MemberView {
    /// Number.
    pub unit: i32,
    /// Name.
    pub name: String,
    /// `pv`, `wind`, `chp`, `fuel_cell`, `battery`, `load`, or as it was registered.
    pub kind: String,
    /// Node it is connected to.
    pub node: i32,
    /// Phase, where it has one only.
    pub phase: Option<String>,
    /// Nameplate active power (of a load: expected), W.
    pub p_rated_w: f64,
    /// Nameplate apparent power, VA.
    pub s_rated_va: f64,
    /// Lowest active power, generation-positive, W.
    pub p_min_w: f64,
    /// Highest active power, generation-positive, W.
    pub p_max_w: f64,
    /// Reactive power, either sign, var.
    pub q_max_var: f64,
    /// Whether it takes setpoints; without, there are no orders of it.
    pub dispatchable: bool,
    /// Whether it is in the site file.
    pub of_site: bool,
    /// Its meter.
    pub meter: Option<String>,
}

impl MemberView {
    pub(crate) fn of(member: &Member, meter: Option<&str>) -> Self {
        let der = member.der.clone();
        Self {
            unit: der.unit,
            name: der.name,
            kind: der.kind,
            node: der.node,
            phase: der.phase,
            p_rated_w: der.p_rated_w,
            s_rated_va: der.s_rated_va,
            p_min_w: der.p_min_w,
            p_max_w: der.p_max_w,
            q_max_var: der.q_max_var,
            dispatchable: member.dispatchable,
            of_site: member.of_site,
            meter: meter.map(str::to_owned),
        }
    }
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "3f2a5b6c7d8e", "label": "trading robot", "issued": "2026-06-21T12:00:00Z",
    "expires": "2027-06-21T12:00:00Z", "revoked": false, "last_used": null
}))]
pub struct TokenView {
    /// The first digits of its secret's hash.
    pub id: String,
    /// What it is for.
    pub label: String,
    /// When it was issued.
    pub issued: String,
    /// It is good until before this moment.
    pub expires: String,
    /// Whether it was revoked.
    pub revoked: bool,
    /// When it was used last.
    pub last_used: Option<String>,
}

impl TokenView {
    pub(crate) fn of(issued: &Issued, last_use_us: Option<i64>) -> Self {
        Self {
            id: issued.token.id.clone(),
            label: issued.token.label.clone(),
            issued: rfc3339(issued.at_us),
            expires: rfc3339(issued.token.expires_us),
            revoked: issued.revoked,
            last_used: last_use_us.map(rfc3339),
        }
    }
}

/// A participant to be registered, or changed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "role": "aggregator", "units": [93] }))]
pub struct NewParticipant {
    /// What it is.
    pub role: ParticipantRole,
    /// Units and loads that go over to it, besides those that it has.
    #[serde(default)]
    pub units: Vec<i32>,
}

/// A unit without a device of the site, to be registered.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "participant": "prosumers", "name": "Roof 12", "kind": "pv", "node": 3, "phase": "a",
    "p_rated_w": 9000.0, "s_rated_va": 10000.0, "p_min_w": 0.0, "p_max_w": 9000.0,
    "q_max_var": 4300.0
}))]
pub struct NewDer {
    /// Whose it is.
    pub participant: String,
    /// Name.
    pub name: String,
    /// What it is, e.g. `pv`.
    pub kind: String,
    /// Node it is connected to.
    pub node: i32,
    /// Phase, where it has one only: `a`, `b` or `c`.
    #[serde(default)]
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

/// Of which unit or load a meter is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "unit": 93 }))]
pub struct NewMeter {
    /// The unit or load; another meter of it is none any more.
    pub unit: i32,
}

/// A meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({ "meter": "DE0001", "unit": 93, "participant": "prosumers" }))]
pub struct MeterView {
    /// Its name.
    pub meter: String,
    /// The unit or load that it is of.
    pub unit: i32,
    /// In whose portfolio that is.
    pub participant: String,
}

/// A token to be issued.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "label": "trading robot", "expires": "2027-06-21T12:00:00Z" }))]
pub struct NewToken {
    /// What it is for.
    pub label: String,
    /// Until when it is good; a year, if nothing is said.
    #[serde(default)]
    pub expires: Option<String>,
}

/// A token that was issued: the only answer with its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "token": "busbar_mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiydcmjsgm2dknrxha4q",
    "id": "3f2a5b6c7d8e", "participant": "prosumers", "label": "trading robot",
    "expires": "2027-06-21T12:00:00Z"
}))]
pub struct TokenIssued {
    /// To be sent as `Authorization: Bearer …`. It is not kept and not shown again.
    pub token: String,
    /// Its name.
    pub id: String,
    /// For whom it speaks.
    pub participant: String,
    /// What it is for.
    pub label: String,
    /// It is good until before this moment.
    pub expires: String,
}
