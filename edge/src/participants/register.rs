//! The register: what the site file says and what changed since.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use solver::network::{Id, PhaseMask, pgm_json};

use super::{Change, Der, ParticipantRole, Secret, Token};
use crate::{area::Setup, site::Site, store::Hash};

/// A participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// What it is.
    pub role: ParticipantRole,
    /// Whether the site file names it.
    pub of_site: bool,
}

/// A unit or load in somebody's portfolio.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Whose, and what it is.
    pub der: Der,
    /// Whether it takes setpoints, so that there may be orders of it.
    pub dispatchable: bool,
    /// Whether it is in the site file.
    pub of_site: bool,
}

/// A token that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// It.
    pub token: Token,
    /// When, UTC, µs since 1970.
    pub at_us: i64,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Nobody has issued it.
    Unknown,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Register {
    /// By name.
    pub participants: BTreeMap<String, Participant>,
    /// By number.
    pub units: BTreeMap<Id, Member>,
    /// Unit or load of each meter.
    pub meters: BTreeMap<String, Id>,
    /// By the hash of their secret.
    tokens: BTreeMap<Hash, Issued>,
    nodes: BTreeSet<Id>,
    /// By phase: which phases nodes have.
    phases: BTreeMap<Id, PhaseMask>,
    /// Numbers that appliances, branches and nodes of the network have.
    taken: BTreeSet<Id>,
}

impl Register {
    /// What the site file says.
    #[must_use]
    pub fn new(site: &Site) -> Self {
        let mut register = Self {
            nodes: site.network.node.iter().map(|node| node.id).collect(),
            taken: taken(site),
            phases: site.phases_of_nodes(),
            ..Self::default()
        };
        for unit in &site.units {
            let p_min_w = match unit.battery {
                Some(_) => -unit.p_rated_w,
                None => 0.0,
            };
            let der = Der {
                unit: unit.id,
                participant: unit.participant.clone(),
                name: unit.name.clone(),
                kind: unit.kind.as_str().to_owned(),
                node: unit.node,
                phase: unit.phase.map(|phase| phase.letter().to_owned()),
                p_rated_w: unit.p_rated_w,
                s_rated_va: unit.p_rated_w.hypot(unit.q_rated_var),
                p_min_w,
                p_max_w: unit.p_rated_w,
                q_max_var: unit.q_rated_var,
            };
            register.member_of_site(der, true);
        }
        for load in &site.loads {
            let der = Der {
                unit: load.id,
                participant: load.participant.clone(),
                name: load.name.clone(),
                kind: "load".to_owned(),
                node: load.node,
                phase: None,
                p_rated_w: load.expected_p_w,
                s_rated_va: load.expected_p_w.hypot(load.expected_q_var),
                p_min_w: -load.expected_p_w,
                p_max_w: 0.0,
                q_max_var: 0.0,
            };
            register.member_of_site(der, false);
        }
        register
    }

    /// What the site file of an area says: its tenants, each with what it is at its connection, who takes
    /// part directly, and aggregators, which hold no unit here.
    #[must_use]
    pub fn of_area(setup: &Setup) -> Self {
        let mut register = Self {
            nodes: setup.network.node.iter().map(|node| node.id).collect(),
            ..Self::default()
        };
        for tenant in &setup.tenants {
            let (import, export) = (tenant.import_max_w as f64, tenant.export_max_w as f64);
            register.member_of_area(&tenant.name, tenant.unit, tenant.node, (-import, export));
        }
        for participant in &setup.participants {
            let unit = &participant.unit;
            let powers = (unit.capability.p_min_w, unit.capability.p_max_w);
            register.member_of_area(&unit.participant, unit.id, unit.node, powers);
        }
        for aggregator in &setup.aggregators {
            let participant = Participant {
                role: ParticipantRole::Aggregator,
                of_site: true,
            };
            let name = aggregator.name.clone();
            register.participants.insert(name, participant);
        }
        register
    }

    fn member_of_area(&mut self, name: &str, unit: Id, node: Id, (p_min_w, p_max_w): (f64, f64)) {
        let der = Der {
            unit,
            participant: name.to_owned(),
            name: name.to_owned(),
            kind: "market".to_owned(),
            node,
            phase: None,
            p_rated_w: p_max_w.max(-p_min_w),
            s_rated_va: p_max_w.max(-p_min_w),
            p_min_w,
            p_max_w,
            q_max_var: 0.0,
        };
        let participant = Participant {
            role: ParticipantRole::Prosumer,
            of_site: true,
        };
        self.participants.insert(name.to_owned(), participant);
        let member = Member {
            der,
            dispatchable: false,
            of_site: true,
        };
        self.units.insert(unit, member);
    }

    /// A participant of the site file takes what its portfolio takes: loads, units, or both.
    fn member_of_site(&mut self, der: Der, dispatchable: bool) {
        let role = match dispatchable {
            true => ParticipantRole::Producer,
            false => ParticipantRole::Consumer,
        };
        let participant = Participant {
            role,
            of_site: true,
        };
        let known = self.participants.entry(der.participant.clone());
        let known = known.or_insert(participant);
        if known.role != role {
            known.role = ParticipantRole::Prosumer;
        }
        let member = Member {
            der,
            dispatchable,
            of_site: true,
        };
        self.units.insert(member.der.unit, member);
    }

    /// Whether a change would change anything.
    #[must_use]
    pub fn changes(&self, change: &Change) -> bool {
        match change {
            Change::Participant { name, role } => {
                self.participants.get(name).is_none_or(|p| p.role != *role)
            }
            Change::Der(der) => {
                let known = self.units.get(&der.unit);
                known.is_none_or(|known| known.der != *der)
            }
            Change::ParticipantRemoved { name } => self.participants.contains_key(name),
            Change::DerRemoved { unit } => self.units.contains_key(unit),
            Change::Assigned { participant, units } => {
                let own = |unit| self.units.get(unit).map(|of| &of.der.participant);
                units.iter().any(|unit| own(unit) != Some(participant))
            }
            Change::Meter { meter, unit } => self.meters.get(meter) != Some(unit),
            Change::TokenIssued(_) => true,
            Change::TokenRevoked { id } => self.issued(id).is_some_and(|of| !of.revoked),
        }
    }

    /// Takes a change over that is on record. In the order of the record, any of its last ones may be
    /// applied a second time.
    pub fn apply(&mut self, change: &Change, at_us: i64) {
        match change {
            Change::Participant { name, role } => {
                let of_site = self.participants.get(name).is_some_and(|p| p.of_site);
                let participant = Participant {
                    role: *role,
                    of_site,
                };
                self.participants.insert(name.clone(), participant);
            }
            Change::Der(der) => {
                let member = Member {
                    der: der.clone(),
                    dispatchable: false,
                    of_site: false,
                };
                // What the site file has come to name since is the site file's.
                let known = self.units.entry(der.unit).or_insert_with(|| member.clone());
                if !known.of_site {
                    *known = member;
                }
            }
            Change::ParticipantRemoved { name } => {
                // What the site file has come to name since is the site file's.
                if self.participants.get(name).is_some_and(|of| !of.of_site) {
                    self.participants.remove(name);
                    let tokens = self.tokens.values_mut();
                    for of in tokens.filter(|of| of.token.participant == *name) {
                        of.revoked = true;
                    }
                }
            }
            Change::DerRemoved { unit } => {
                if self.units.get(unit).is_some_and(|of| !of.of_site) {
                    self.units.remove(unit);
                    self.meters.retain(|_, of| of != unit);
                }
            }
            Change::Assigned { participant, units } => {
                for unit in units {
                    if let Some(member) = self.units.get_mut(unit) {
                        member.der.participant.clone_from(participant);
                    }
                }
            }
            Change::Meter { meter, unit } => {
                self.meters.retain(|_, of| of != unit);
                self.meters.insert(meter.clone(), *unit);
            }
            Change::TokenIssued(token) => {
                let issued = Issued {
                    token: token.clone(),
                    at_us,
                    revoked: false,
                };
                self.tokens.insert(token.hash, issued);
            }
            Change::TokenRevoked { id } => {
                for of in self.tokens.values_mut().filter(|of| of.token.id == *id) {
                    of.revoked = true;
                }
            }
        }
    }

    /// The token of a secret.
    ///
    /// # Errors
    /// It is not taken.
    pub fn token(&self, secret: &Secret, now_us: i64) -> Result<&Token, TokenFault> {
        let issued = self.tokens.get(&secret.hash());
        match issued.ok_or(TokenFault::Unknown)? {
            of if of.revoked => Err(TokenFault::Revoked),
            of if of.token.expires_us <= now_us => Err(TokenFault::Expired),
            of => Ok(&of.token),
        }
    }

    /// A token by its id.
    #[must_use]
    pub fn issued(&self, id: &str) -> Option<&Issued> {
        self.tokens.values().find(|of| of.token.id == id)
    }

    /// Tokens that were issued to a participant.
    pub fn tokens_of(&self, participant: &str) -> impl Iterator<Item = &Issued> {
        let tokens = self.tokens.values();
        tokens.filter(move |of| of.token.participant == participant)
    }

    /// Participants that run the network: they may call units.
    #[must_use]
    pub fn callers(&self) -> BTreeSet<String> {
        let callers = self.participants.iter();
        let callers = callers.filter(|(_, of)| of.role == ParticipantRole::Dso);
        callers.map(|(name, _)| name.clone()).collect()
    }

    /// What a participant's portfolio holds.
    pub fn portfolio(&self, participant: &str) -> impl Iterator<Item = &Member> {
        let units = self.units.values();
        units.filter(move |of| of.der.participant == participant)
    }
}

/// Every number in the network, of whatever kind of component: as its own format lists them.
fn taken(site: &Site) -> BTreeSet<Id> {
    let json: Value = serde_json::from_str(&pgm_json::write(&site.network)).unwrap_or_default();
    let tables = json["data"].as_object().into_iter().flatten();
    let rows = tables.flat_map(|(_, rows)| rows.as_array().into_iter().flatten());
    let ids = rows.filter_map(|row| row["id"].as_i64());
    ids.filter_map(|id| Id::try_from(id).ok()).collect()
}
