//! Which changes of the register may be: a function for each, and what each would accept.

use std::collections::BTreeMap;

use solver::{market::clearing::PhaseName, network::Id};

use super::Register;
use crate::{
    clock::{US, rfc3339},
    participants::{Change, Der, Token},
    web::api::Problem,
};

/// Longest name of a participant, unit, label or meter, characters.
const NAME_MOST: usize = 64;
/// Most participants, and most units.
const MOST: usize = 10_000;
/// Most tokens of a participant that are good at once.
const TOKENS_MOST: usize = 20;
/// A token is good for at most ten years.
const TOKEN_LIFE_MOST_US: i64 = 3653 * 86_400 * US;
/// Names that accounts of others go by.
const RESERVED: [&str; 3] = ["network", "upstream", "residual"];

impl Register {
    /// Whether a change may be.
    ///
    /// # Errors
    /// Why not, and what would be accepted.
    pub fn check(&self, change: &Change, now_us: i64) -> Result<(), Problem> {
        match change {
            Change::Participant { name, .. } => self.check_name(name),
            Change::Der(der) => self.check_der(der),
            Change::ParticipantRemoved { name } => self.check_leaving(name),
            Change::DerRemoved { unit } => self.check_removal(*unit),
            Change::Assigned { participant, units } => {
                self.check_participant(participant)?;
                units.iter().try_for_each(|&unit| self.check_unit(unit))
            }
            Change::Meter { meter, unit } => {
                if !fit(meter) || !meter.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
                    return Err(problem(
                        "meter",
                        format!("`{}` is no name of a meter", shown(meter)),
                        "1 to 64 printable ASCII characters without blanks and commas",
                    ));
                }
                self.check_unit(*unit)
            }
            Change::TokenIssued(token) => self.check_token(token, now_us),
            Change::TokenRevoked { id } => match self.issued(id) {
                Some(_) => Ok(()),
                None => Err(problem(
                    "unknown_token",
                    format!("there is no token {}", shown(id)),
                    "the id of a token that was issued",
                )),
            },
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Problem> {
        let reserved = RESERVED.iter().any(|word| name.starts_with(word));
        if !fit(name) || (reserved && !self.participants.contains_key(name)) {
            return Err(problem(
                "participant",
                format!("`{}` is no name of a participant", shown(name)),
                "1 to 64 characters, none of them a control character, none a blank at either end, \
                 and not beginning with network, upstream or residual, which are others' accounts",
            ));
        }
        room(&self.participants, &name.to_owned())
    }

    /// The participant exists.
    ///
    /// # Errors
    /// It does not.
    pub fn check_participant(&self, name: &str) -> Result<(), Problem> {
        match self.participants.contains_key(name) {
            true => Ok(()),
            false => Err(problem(
                "unknown_participant",
                format!("there is no participant `{}`", shown(name)),
                "the name of a participant that is registered",
            )),
        }
    }

    /// The participant may leave, as far as the register says.
    fn check_leaving(&self, name: &str) -> Result<(), Problem> {
        self.check_participant(name)?;
        if self.participants.get(name).is_some_and(|of| of.of_site) {
            return Err(of_site(name));
        }
        let units: Vec<String> = self
            .portfolio(name)
            .map(|of| of.der.unit.to_string())
            .collect();
        if units.is_empty() {
            return Ok(());
        }
        Err(problem(
            "portfolio",
            format!("unit {} is in the portfolio of `{name}`", units.join(", ")),
            "the same once they are removed, or another's",
        ))
    }

    fn check_removal(&self, unit: Id) -> Result<(), Problem> {
        self.check_unit(unit)?;
        match self.units.get(&unit) {
            Some(member) if member.of_site => Err(of_site(&member.der.name)),
            _ => Ok(()),
        }
    }

    fn check_unit(&self, unit: Id) -> Result<(), Problem> {
        match self.units.contains_key(&unit) {
            true => Ok(()),
            false => Err(problem(
                "unit",
                format!("there is no unit or load {unit}"),
                "a unit or load of the site file, or one that was registered",
            )),
        }
    }

    fn check_der(&self, der: &Der) -> Result<(), Problem> {
        self.check_participant(&der.participant)?;
        if self.taken.contains(&der.unit) {
            return Err(problem(
                "unit",
                format!("{} is a number that the network has given", der.unit),
                "a number that nothing of the network has; what has a device is the site file's to say",
            ));
        }
        if !self.nodes.contains(&der.node) {
            return Err(problem(
                "node",
                format!("there is no node {}", der.node),
                "a node of the network",
            ));
        }
        if !fit(&der.name) || !fit(&der.kind) {
            return Err(problem(
                "name",
                format!(
                    "`{}` or `{}` is no name",
                    shown(&der.name),
                    shown(&der.kind)
                ),
                "1 to 64 characters, none of them a control character, none a blank at either end",
            ));
        }
        let phase = der.phase.as_deref();
        if phase.is_some_and(|phase| !["a", "b", "c"].contains(&phase)) {
            return Err(problem(
                "phase",
                format!("`{}` is no phase", shown(phase.unwrap_or_default())),
                "a, b or c, or none where it has three",
            ));
        }
        let has = self.phases.get(&der.node);
        let mut of = PhaseName::ALL.into_iter();
        let of = of.find(|of| phase == Some(of.letter()));
        if let Some((has, of)) = has.zip(of).filter(|(has, of)| !has[of.index()]) {
            let there = PhaseName::ALL.into_iter().filter(|of| has[of.index()]);
            return Err(problem(
                "phase",
                format!("node {} has no phase {}", der.node, of.letter()),
                &there
                    .map(PhaseName::letter)
                    .collect::<Vec<_>>()
                    .join(" or "),
            ));
        }
        if !plausible(der) {
            return Err(problem(
                "capability",
                "the capability is not within the nameplate".to_owned(),
                "0 < p_rated_w <= s_rated_va, -p_rated_w <= p_min_w <= p_max_w <= p_rated_w and \
                 0 <= q_max_var <= s_rated_va, all finite",
            ));
        }
        room(&self.units, &der.unit)
    }

    fn check_token(&self, token: &Token, now_us: i64) -> Result<(), Problem> {
        self.check_participant(&token.participant)?;
        if !fit(&token.label) {
            return Err(problem(
                "label",
                format!("`{}` is no label", shown(&token.label)),
                "1 to 64 characters, none of them a control character, none a blank at either end",
            ));
        }
        if token.expires_us <= now_us || token.expires_us - now_us > TOKEN_LIFE_MOST_US {
            return Err(problem(
                "expires",
                format!("the token would expire {}", rfc3339(token.expires_us)),
                "a moment in the next ten years",
            ));
        }
        let good = self.tokens_of(&token.participant);
        let good = good.filter(|of| !of.revoked && of.token.expires_us > now_us);
        if good.count() >= TOKENS_MOST {
            return Err(problem(
                "token_count",
                format!("`{}` has {TOKENS_MOST} tokens already", token.participant),
                "another one once one of them is revoked",
            ));
        }
        match self.tokens.contains_key(&token.hash) || self.issued(&token.id).is_some() {
            false => Ok(()),
            true => Err(problem(
                "duplicate",
                "a token of this secret or id exists".to_owned(),
                "another secret",
            )),
        }
    }
}

fn plausible(der: &Der) -> bool {
    let Der {
        p_rated_w,
        s_rated_va,
        p_min_w,
        p_max_w,
        q_max_var,
        ..
    } = *der;
    // False for what is not a number.
    0.0 < p_rated_w
        && p_rated_w <= s_rated_va
        && s_rated_va.is_finite()
        && -p_rated_w <= p_min_w
        && p_min_w <= p_max_w
        && p_max_w <= p_rated_w
        && 0.0 <= q_max_var
        && q_max_var <= s_rated_va
}

/// What the site file says is there as long as the site file says so.
fn of_site(name: &str) -> Problem {
    problem(
        "of_site",
        format!("`{name}` is in the site file"),
        "what was registered; the rest is the site file's to say",
    )
}

fn fit(name: &str) -> bool {
    let blank = name.trim() != name || name.is_empty();
    !blank && name.chars().count() <= NAME_MOST && !name.chars().any(char::is_control)
}

/// Whether there is room for one more, if it is one more.
fn room<K: Ord, V>(known: &BTreeMap<K, V>, key: &K) -> Result<(), Problem> {
    match known.len() < MOST || known.contains_key(key) {
        true => Ok(()),
        false => Err(problem(
            "too_many",
            format!("{MOST} are registered already"),
            "a change of one of them",
        )),
    }
}

/// What somebody took for a name, as far as it is worth showing.
fn shown(name: &str) -> String {
    name.chars().take(NAME_MOST).collect()
}

fn problem(error: &str, message: String, accepted: &str) -> Problem {
    Problem {
        error: error.to_owned(),
        message,
        accepted: Some(accepted.to_owned()),
    }
}
