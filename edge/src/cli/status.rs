//! `busbar status`: what the running appliance wrote into its state directory in its last cycle.
//! It asks nobody for a password: whoever can read that directory is the machine's administrator.

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context as _;
use serde_json::Value;

use super::{check::load, say, say_error};
use crate::clock::{US, now_us, parse_rfc3339_s};

/// A status older than this is of an appliance that no longer runs, s.
const MAX_AGE_S: u64 = 10;

pub(super) fn status(site: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let site = match load(site) {
        Ok(site) => site,
        Err(exit) => return Ok(exit),
    };
    let file = site.state_dir.join("status.json");
    let text = fs::read_to_string(&file)
        .with_context(|| format!("{}: has the appliance run here?", file.display()))?;
    let status: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    if json {
        say(text.trim_end());
    } else {
        say(&table(&status));
    }
    let written = status["now"].as_str().map(whole_second);
    let written = written.and_then(|text| parse_rfc3339_s(&text));
    // A clock that was set back shall not make an old status young.
    let age_s = written.map_or(u64::MAX, |written| (now_us() / US).abs_diff(written));
    if age_s > MAX_AGE_S {
        say_error(&format!(
            "the appliance does not run: this is of {}",
            word(&status["now"])
        ));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A moment without its fraction.
fn whole_second(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text.to_owned(),
    }
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
