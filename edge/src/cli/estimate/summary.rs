//! The report in words, for whoever ran the program.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::{places::in_words, report::Outcome};

/// Scenarios told about one by one, at most.
const SCENARIOS_TOLD: usize = 20;

pub(super) fn summary(outcomes: &[Outcome], is_batch: bool) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match outcomes {
        [only] if !is_batch => tell(&mut text, &only.report),
        _ => tell_batch(&mut text, outcomes),
    };
    text
}

fn tell_batch(text: &mut String, outcomes: &[Outcome]) -> fmt::Result {
    let is_quiet = |report: &Value| {
        report["status"] == "solved"
            && report["chi_square"]["passed"] == true
            && list(report, "bad_data").is_empty()
            && report["suspected_switch"].is_null()
    };
    let notable: Vec<(usize, &Value)> = (outcomes.iter().map(|o| &o.report).enumerate())
        .filter(|(_, report)| !is_quiet(report))
        .collect();
    for &(k, report) in notable.iter().take(SCENARIOS_TOLD) {
        writeln!(text, "scenario {k}:")?;
        tell(text, report)?;
    }
    if notable.len() > SCENARIOS_TOLD {
        writeln!(text, "… and {} more", notable.len() - SCENARIOS_TOLD)?;
    }
    let solved = outcomes.iter().filter(|o| o.is_solved()).count();
    writeln!(text, "{solved} of {} scenarios solved", outcomes.len())
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().map_or(&[], Vec::as_slice)
}

fn tell(text: &mut String, report: &Value) -> fmt::Result {
    if let Some(error) = report["error"].as_str() {
        writeln!(text, "not solved: {error}")?;
        return (list(report, "unobservable_parts").iter()).try_for_each(|p| tell_part(text, p));
    }
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let chi_square = &report["chi_square"];
    writeln!(
        text,
        "{}: {} iterations, {} measurements, {} degrees of freedom",
        match report["status"] == "solved" {
            true => "solved",
            false => "not observable everywhere",
        },
        report["iterations"],
        report["measurements"],
        chi_square["degrees_of_freedom"]
    )?;
    if chi_square["degrees_of_freedom"] != 0 {
        writeln!(
            text,
            "objective {:.4}, chi-square threshold {:.4} at {} %: {}",
            number(&report["objective"]),
            number(&chi_square["threshold"]),
            100.0 * number(&chi_square["confidence"]),
            match chi_square["passed"] == true {
                true => "passed",
                false => "not passed, the measurements contradict one another or the network",
            }
        )?;
    }
    let switch = &report["suspected_switch"];
    if !switch.is_null() {
        let said = switch["text"].as_str().unwrap_or_default();
        writeln!(text, "wrong switch state: {said}")?;
        let others: Vec<String> = (list(switch, "ambiguous_with").iter())
            .map(Value::to_string)
            .collect();
        if !others.is_empty() {
            writeln!(text, "  as likely instead: branch {}", others.join(", "))?;
        }
    }
    for bad in list(report, "bad_data") {
        let said = bad["text"].as_str().unwrap_or_default();
        writeln!(text, "bad data: {}: {said}", sensor(bad))?;
        let others: Vec<String> = list(bad, "ambiguous_with").iter().map(sensor).collect();
        if !others.is_empty() {
            writeln!(text, "  as likely instead: {}", others.join("; "))?;
        }
    }
    for part in list(report, "unobservable_parts") {
        tell_part(text, part)?;
    }
    let critical: Vec<String> = list(report, "critical").iter().map(sensor).collect();
    if !critical.is_empty() {
        let critical = critical.join("; ");
        writeln!(text, "critical, an error there shows nowhere: {critical}")?;
    }
    Ok(())
}

fn tell_part(text: &mut String, part: &Value) -> fmt::Result {
    let nodes: Vec<String> = list(part, "nodes").iter().map(Value::to_string).collect();
    match nodes.len() {
        0 => write!(text, "not enough is measured")?,
        1 => write!(text, "not observable: node {}", nodes.concat())?,
        _ => write!(text, "not observable: nodes {}", nodes.join(", "))?,
    }
    let sensors: Vec<String> = list(part, "sensors_that_would_help")
        .iter()
        .map(in_words)
        .collect();
    match sensors.is_empty() {
        true => writeln!(text),
        false => writeln!(text, "; what would help: {}", sensors.join("; ")),
    }
}

/// A measurement in words.
fn sensor(place: &Value) -> String {
    let kind = place["sensor_type"].as_str().unwrap_or_default();
    format!("{kind} {}, {}", place["sensor"], in_words(place))
}
