//! `busbar status`: what the running appliance wrote into its state directory in its last cycle.
//! It asks nobody for a password: whoever can read that directory is the machine's administrator.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use super::{check::load, say, say_error};
use crate::{
    clock::{US, now_us, parse_rfc3339},
    cycle::MAX_AGE_US,
};

/// A status older than this is of an appliance that no longer runs, s.
const MAX_AGE_S: u64 = 10;

/// Arguments of `busbar status`.
#[derive(Args)]
pub(super) struct StatusArguments {
    /// The site file it runs with.
    #[arg(long, value_name = "FILE")]
    site: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Fail unless the appliance can be away for so long from now and miss nothing: the next
    /// interval is decided and begins later, and no gate closes before.
    #[arg(long, value_name = "SECONDS")]
    can_be_away: Option<u32>,
    /// Fail unless it does what it did when it said this (`status --json`): as many devices answer,
    /// and it estimates and has a link to the market above if it did.
    #[arg(long, value_name = "FILE")]
    as_good_as: Option<PathBuf>,
}

pub(super) fn status(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let site = match load(&arguments.site) {
        Ok(site) => site,
        Err(exit) => return Ok(exit),
    };
    let file = site.state_dir.join("status.json");
    let status = read(&file).context("has the appliance run here?")?;
    if arguments.json {
        say(&serde_json::to_string_pretty(&status)?);
    } else {
        say(&table(&status));
    }
    let now_us = now_us();
    let mut judged = runs(&status, now_us);
    if let Some(seconds) = arguments.can_be_away {
        judged = judged.and_then(|()| can_be_away(&status, now_us, seconds));
    }
    if let Some(before) = &arguments.as_good_as {
        let before = read(before)?;
        judged = judged.and_then(|()| as_good_as(&status, &before));
    }
    if let Err(reason) = judged {
        say_error(&reason);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// Whether the status is fresh; if not, why not.
fn runs(status: &Value, now_us: i64) -> Result<(), String> {
    // A clock that was set back shall not make an old status young.
    let age_us = moment(&status["now"]).map_or(u64::MAX, |written| now_us.abs_diff(written));
    if age_us / US.unsigned_abs() > MAX_AGE_S {
        let of = word(&status["now"]);
        return Err(format!("the appliance does not run: this is of {of}"));
    }
    Ok(())
}

/// Whether nothing is missed until so many seconds from now; if something is, what.
fn can_be_away(status: &Value, now_us: i64, seconds: u32) -> Result<(), String> {
    let until_us = now_us + i64::from(seconds) * US;
    let of = |name: &str| moment(&status[name]).ok_or_else(|| format!("no `{name}` is given"));
    let length_s = status["interval_s"].as_i64().unwrap_or_default();
    let next_us = of("interval")? + length_s * US;
    if moment(&status["decided"]) != Some(next_us) {
        return Err("the next interval is not decided yet".to_owned());
    }
    for (what, at_us) in [
        ("the next interval begins", next_us),
        ("the next gate closes", of("gate_closure")?),
    ] {
        if at_us < until_us {
            let left_s = (at_us - now_us).max(0) / US;
            return Err(format!("{what} in {left_s} s"));
        }
    }
    Ok(())
}

/// Whether it does what it did before; if not, what not.
fn as_good_as(status: &Value, before: &Value) -> Result<(), String> {
    let count = |of: &Value, name: &str| of[name].as_u64().unwrap_or_default();
    // Devices may have been taken out of the site.
    let expected = count(before, "devices_online").min(count(status, "devices"));
    let online = count(status, "devices_online");
    if online < expected {
        return Err(format!("{online} devices answer, {expected} did before"));
    }
    if estimates(before) && !estimates(status) {
        return Err("it does not estimate, it did before".to_owned());
    }
    // Where there is none above any more, none is expected.
    let linked = |of: &Value| of["linked_above"].as_bool();
    if linked(before) == Some(true) && linked(status) == Some(false) {
        return Err("there is no link to the market above, there was before".to_owned());
    }
    Ok(())
}

/// Whether its last sound estimate was young when it said so.
fn estimates(status: &Value) -> bool {
    let (now, estimated) = (moment(&status["now"]), moment(&status["estimated"]));
    let age_us = now.zip(estimated).map(|(now, then)| now.abs_diff(then));
    age_us.is_some_and(|age_us| age_us <= MAX_AGE_US.unsigned_abs())
}

/// Microseconds since 1970 of a moment.
fn moment(value: &Value) -> Option<i64> {
    parse_rfc3339(value.as_str()?)
}

fn table(status: &Value) -> String {
    let metrics = &status["metrics"];
    let number = |name: &str| metrics[name].as_f64().unwrap_or_default();
    let mut rows = vec![
        ("site", word(&status["site"])),
        ("version", word(&status["version"])),
        ("health", word(&status["health"])),
        ("now", word(&status["now"])),
        ("started", word(&status["started"])),
        (
            "devices",
            format!(
                "{} of {} online",
                word(&status["devices_online"]),
                word(&status["devices"])
            ),
        ),
        (
            "above",
            match status["linked_above"].as_bool() {
                None => "no market above",
                Some(true) => "linked",
                Some(false) => "no link",
            }
            .to_owned(),
        ),
        ("interval", word(&status["interval"])),
        ("gate closes", word(&status["gate_closure"])),
        ("points/s", format!("{:.0}", number("points_per_s"))),
        (
            "estimation",
            format!(
                "{:.1} ms, {} done",
                number("estimation_us") / 1e3,
                number("estimations")
            ),
        ),
        (
            "clearing",
            format!(
                "{:.1} ms, {} done, {} settled",
                number("clearing_us") / 1e3,
                number("clearings"),
                number("settled")
            ),
        ),
        ("memory", format!("{:.1} MB", number("rss_bytes") / 1e6)),
    ];
    for reason in status["reasons"].as_array().into_iter().flatten() {
        rows.push(("because", word(reason)));
    }
    let lines: Vec<String> = rows
        .into_iter()
        .map(|(name, value)| format!("{name:<12} {value}"))
        .collect();
    lines.join("\n")
}

fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Intervals of 900 s; the gate of 12:15 closed at 12:10, that of 12:30 closes at 12:25.
    fn at(now: &str, decided: Value) -> (Value, i64) {
        let status = json!({
            "now": now, "interval_s": 900, "interval": "2026-06-21T12:00:00Z",
            "gate_closure": "2026-06-21T12:25:00Z", "decided": decided,
        });
        let now_us = moment(&status["now"]).unwrap();
        (status, now_us)
    }

    #[test]
    fn between_a_decided_gate_and_delivery_it_can_be_away() {
        let (status, now_us) = at("2026-06-21T12:11:00.25Z", json!("2026-06-21T12:15:00Z"));
        assert_eq!(can_be_away(&status, now_us, 239), Ok(()));
        let late = can_be_away(&status, now_us, 240).unwrap_err();
        assert_eq!(late, "the next interval begins in 239 s");
    }

    #[test]
    fn before_the_next_interval_is_decided_it_cannot_be_away() {
        for decided in [json!("2026-06-21T12:00:00Z"), json!(null)] {
            let (status, now_us) = at("2026-06-21T12:11:00Z", decided);
            let said = can_be_away(&status, now_us, 1).unwrap_err();
            assert_eq!(said, "the next interval is not decided yet");
        }
    }

    #[test]
    fn no_gate_may_close_while_it_is_away() {
        let (mut status, now_us) = at("2026-06-21T12:11:00Z", json!("2026-06-21T12:15:00Z"));
        status["gate_closure"] = json!("2026-06-21T12:12:00Z");
        assert_eq!(can_be_away(&status, now_us, 60), Ok(()));
        let said = can_be_away(&status, now_us, 61).unwrap_err();
        assert_eq!(said, "the next gate closes in 60 s");
        status["gate_closure"] = json!("soon");
        assert!(can_be_away(&status, now_us, 1).is_err());
    }

    fn doing(devices: u32, online: u32, estimated: Value) -> Value {
        json!({"now": "2026-06-21T12:00:10.5Z", "devices": devices, "devices_online": online,
            "estimated": estimated})
    }

    #[test]
    fn as_good_means_as_many_devices_and_an_estimate_as_young() {
        let (young, old) = (
            json!("2026-06-21T12:00:07.5Z"),
            json!("2026-06-21T12:00:07.4Z"),
        );
        let before = doing(10, 9, young.clone());
        for (now, good) in [
            (doing(10, 9, young.clone()), true),
            (doing(10, 10, young.clone()), true),
            (doing(10, 8, young.clone()), false),
            // Two were taken out of the site.
            (doing(8, 8, young.clone()), true),
            (doing(10, 9, old.clone()), false),
            (doing(10, 9, json!(null)), false),
        ] {
            assert_eq!(as_good_as(&now, &before).is_ok(), good, "{now}");
        }
        // What was not estimated before need not be now.
        let before = doing(10, 9, old);
        assert_eq!(as_good_as(&doing(10, 9, json!(null)), &before), Ok(()));
    }

    #[test]
    fn as_good_means_a_link_to_the_market_above_if_there_was_one() {
        let linked = |link: Value| {
            let mut status = doing(10, 10, json!(null));
            status["linked_above"] = link;
            status
        };
        for (before, now, good) in [
            (json!(true), json!(true), true),
            (json!(true), json!(false), false),
            (json!(false), json!(false), true),
            (json!(null), json!(false), true),
            // The site has none above any more.
            (json!(true), json!(null), true),
        ] {
            let said = as_good_as(&linked(now.clone()), &linked(before.clone()));
            assert_eq!(said.is_ok(), good, "{before} {now}");
        }
    }

    #[test]
    fn an_old_status_is_of_an_appliance_that_does_not_run() {
        let (status, now_us) = at("2026-06-21T12:00:00Z", json!(null));
        assert_eq!(runs(&status, now_us + 10 * US), Ok(()));
        for other in [now_us + 11 * US, now_us - 11 * US] {
            assert!(runs(&status, other).is_err(), "{other}");
        }
        assert!(runs(&json!({}), now_us).is_err());
    }
}
