use std::path::Path;

use super::*;
use crate::{clock::US, site, web::api::Problem};

const NOW: i64 = 1_800_000_000 * US;

fn register() -> Register {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    Register::new(&site::load(&file).unwrap())
}

fn der() -> Der {
    Der {
        unit: 9001,
        participant: "homes".to_owned(),
        name: "Roof 12".to_owned(),
        kind: "pv".to_owned(),
        node: 3,
        phase: Some("a".to_owned()),
        p_rated_w: 9e3,
        s_rated_va: 10e3,
        p_min_w: 0.0,
        p_max_w: 9e3,
        q_max_var: 4e3,
    }
}

fn token(secret: &Secret, participant: &str, expires_us: i64) -> Token {
    Token {
        id: secret.id(),
        participant: participant.to_owned(),
        label: "robot".to_owned(),
        hash: secret.hash(),
        expires_us,
    }
}

#[test]
fn the_site_file_names_participants_by_what_they_have() {
    let register = register();
    let role = |name: &str| register.participants[name].role;
    assert_eq!(role("windpark"), ParticipantRole::Producer);
    assert_eq!(role("homes"), ParticipantRole::Producer);
    assert_eq!(role("industry"), ParticipantRole::Consumer);
    let wind = &register.units[&101];
    assert!(wind.dispatchable && wind.of_site);
    assert_eq!(wind.der.participant, "windpark");
    let load = register.units.values().find(|of| of.der.kind == "load");
    assert!(!load.unwrap().dispatchable);
    // One with both.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let mut site = site::load(&file).unwrap();
    site.loads[0].participant = "homes".to_owned();
    let register = Register::new(&site);
    assert_eq!(
        register.participants["homes"].role,
        ParticipantRole::Prosumer
    );
}

#[test]
fn what_is_wrong_with_a_change_is_named() {
    let register = register();
    let of = |change: Change| register.check(&change, NOW).unwrap_err().error;
    let named = |name: &str| Change::Participant {
        name: name.to_owned(),
        role: ParticipantRole::Consumer,
    };
    for name in [
        "",
        " a",
        "a ",
        "a\nb",
        "network",
        "upstream",
        "residual at node 3",
    ] {
        assert_eq!(of(named(name)), "participant", "{name:?}");
    }
    assert_eq!(of(named(&"x".repeat(65))), "participant");
    assert!(
        register
            .check(&named("Stadtwerke Süd & Söhne"), NOW)
            .is_ok()
    );
    let with = |change: fn(&mut Der)| {
        let mut der = der();
        change(&mut der);
        of(Change::Der(der))
    };
    assert!(register.check(&Change::Der(der()), NOW).is_ok());
    assert_eq!(
        with(|d| d.participant = "nobody".into()),
        "unknown_participant"
    );
    assert_eq!(with(|d| d.unit = 101), "unit", "a unit with a device");
    assert_eq!(with(|d| d.unit = 7), "unit", "a node's number");
    assert_eq!(with(|d| d.node = 99), "node");
    assert_eq!(with(|d| d.phase = Some("d".into())), "phase");
    assert_eq!(with(|d| d.name = String::new()), "name");
    for worse in [
        (|d| d.p_max_w = 9001.0) as fn(&mut Der),
        |d| d.p_min_w = -9001.0,
        |d| d.p_min_w = 9000.5,
        |d| d.p_rated_w = f64::NAN,
        |d| d.p_rated_w = 0.0,
        |d| d.s_rated_va = 8999.0,
        |d| d.s_rated_va = f64::INFINITY,
        |d| d.q_max_var = -1.0,
        |d| d.q_max_var = 10_001.0,
    ] {
        assert_eq!(with(worse), "capability");
    }
    let unit = |unit| Change::Assigned {
        participant: "homes".to_owned(),
        units: vec![101, unit],
    };
    assert_eq!(of(unit(5555)), "unit");
    let meter = |meter: &str, unit| Change::Meter {
        meter: meter.to_owned(),
        unit,
    };
    assert_eq!(of(meter("a,b", 101)), "meter");
    assert_eq!(of(meter("DE 1", 101)), "meter");
    assert_eq!(of(meter("DE1", 5555)), "unit");
    assert_eq!(of(Change::TokenRevoked { id: "x".into() }), "unknown_token");
}

#[test]
fn a_token_is_good_until_it_expires_or_is_revoked() {
    let mut register = register();
    let secret = Secret::random().unwrap();
    assert_eq!(
        secret.reveal().len(),
        "busbar_".len() + 52,
        "256 bits in base 32"
    );
    assert!(!format!("{secret:?}").contains(&secret.reveal()[7..]));
    let issue = Change::TokenIssued(token(&secret, "homes", NOW + US));
    register.check(&issue, NOW).unwrap();
    register.apply(&issue, NOW);
    let presented = Secret::presented(secret.reveal());
    assert_eq!(
        register.token(&presented, NOW).unwrap().participant,
        "homes"
    );
    assert_eq!(
        register.token(&presented, NOW + US),
        Err(TokenFault::Expired)
    );
    let other = Secret::presented(&secret.reveal()[..58]);
    assert_eq!(register.token(&other, NOW), Err(TokenFault::Unknown));
    let error = |p: Problem| p.error;
    assert_eq!(
        register.check(&issue, NOW).map_err(error),
        Err("duplicate".into())
    );
    let revoke = Change::TokenRevoked { id: secret.id() };
    assert!(register.changes(&revoke));
    register.apply(&revoke, NOW);
    assert!(!register.changes(&revoke), "once is enough");
    assert_eq!(register.token(&presented, NOW), Err(TokenFault::Revoked));
}

#[test]
fn tokens_are_bounded_in_time_and_number() {
    let mut register = register();
    let refused = |register: &Register, expires_us| {
        let change = Change::TokenIssued(token(&Secret::random().unwrap(), "homes", expires_us));
        register
            .check(&change, NOW)
            .map_err(|problem| problem.error)
    };
    assert_eq!(refused(&register, NOW), Err("expires".to_owned()));
    assert_eq!(refused(&register, i64::MAX), Err("expires".to_owned()));
    for k in 0..20 {
        assert_eq!(refused(&register, NOW + US), Ok(()), "{k}");
        let change = Change::TokenIssued(token(&Secret::random().unwrap(), "homes", NOW + US));
        register.apply(&change, NOW);
    }
    assert_eq!(refused(&register, NOW + US), Err("token_count".to_owned()));
    // Those that have expired do not count.
    let later = NOW + 2 * US;
    let change = Change::TokenIssued(token(&Secret::random().unwrap(), "homes", later + US));
    assert!(register.check(&change, later).is_ok());
}

#[test]
fn the_same_again_changes_nothing_and_the_last_ones_may_be_applied_twice() {
    let mut register = register();
    let secret = Secret::random().unwrap();
    let changes = [
        Change::Participant {
            name: "aggregator".to_owned(),
            role: ParticipantRole::Aggregator,
        },
        Change::Der(der()),
        Change::Assigned {
            participant: "aggregator".to_owned(),
            units: vec![101, 9001],
        },
        Change::Meter {
            meter: "old".to_owned(),
            unit: 101,
        },
        Change::Meter {
            meter: "new".to_owned(),
            unit: 101,
        },
        Change::TokenIssued(token(&secret, "aggregator", NOW + US)),
        Change::TokenRevoked { id: secret.id() },
        Change::Participant {
            name: "brief".to_owned(),
            role: ParticipantRole::Consumer,
        },
        Change::Der(Der {
            unit: 9002,
            ..der()
        }),
        Change::DerRemoved { unit: 9002 },
        Change::ParticipantRemoved {
            name: "brief".to_owned(),
        },
    ];
    for change in &changes {
        assert!(register.changes(change), "{change:?}");
        register.check(change, NOW).unwrap();
        register.apply(change, NOW);
        let again = matches!(change, Change::TokenIssued(_));
        assert_eq!(register.changes(change), again, "{change:?}");
    }
    let once = format!("{register:?}");
    assert_eq!(register.units[&101].der.participant, "aggregator");
    assert_eq!(register.portfolio("aggregator").count(), 2);
    assert_eq!(register.meters.len(), 1, "a unit has one meter");
    assert_eq!(register.meters["new"], 101);
    for from in 0..changes.len() {
        for change in &changes[from..] {
            register.apply(change, NOW);
        }
        assert_eq!(format!("{register:?}"), once, "from {from}");
    }
}
