//! Values of meters as comma-separated text (RFC 4180, without quotes: nothing here needs them).

use solver::market::MeterQuality;

use super::Value;
use crate::{clock::parse_rfc3339_s, web::api::Problem};

/// The first line.
pub const HEADER: &str = "meter,start,length_s,delivered_wh,quality";

/// Reads a text whose first line is [`HEADER`].
///
/// # Errors
/// The first line that is wrong, and where.
pub fn parse(text: &str) -> Result<Vec<Value>, Problem> {
    // Spreadsheets begin theirs with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..).zip(text.lines());
    let first = lines.next().map_or("", |(_, line)| line.trim_end());
    if first != HEADER {
        let shown: String = first.chars().take(80).collect();
        return Err(wrong(1, &format!("`{shown}` is not the header")));
    }
    let rows = lines.filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(number, line)| row(line).map_err(|reason| wrong(number, &reason)))
        .collect()
}

fn wrong(line: u32, reason: &str) -> Problem {
    Problem {
        error: "malformed_csv".to_owned(),
        message: format!("line {line}: {reason}"),
        accepted: Some(format!(
            "lines as `{HEADER}`, that one first; times in RFC 3339, whole Wh, quality metered, \
             replaced, estimated or missing (then without energy)"
        )),
    }
}

fn row(line: &str) -> Result<Value, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [meter, start, length_s, delivered_wh, quality] = fields[..] else {
        return Err(format!("{} fields instead of 5", fields.len()));
    };
    let number = |text: &str, name: &str| {
        let parsed = text.parse::<i64>();
        parsed.map_err(|_| format!("{name} `{}` is no whole number", shown(text)))
    };
    let quality = match quality {
        "metered" => MeterQuality::Metered,
        "replaced" => MeterQuality::Replaced,
        "estimated" => MeterQuality::Estimated,
        "missing" => MeterQuality::Missing,
        other => return Err(format!("`{}` is no quality", shown(other))),
    };
    let delivered_wh = match (quality, delivered_wh) {
        (MeterQuality::Missing, "") => 0,
        (_, text) => number(text, "delivered_wh")?,
    };
    let length_s = number(length_s, "length_s")?;
    Ok(Value {
        meter: meter.to_owned(),
        start: parse_rfc3339_s(start)
            .ok_or_else(|| format!("`{}` is no moment in whole seconds", shown(start)))?,
        length_s: u32::try_from(length_s).map_err(|_| "length_s is out of range".to_owned())?,
        delivered_wh,
        quality,
    })
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
