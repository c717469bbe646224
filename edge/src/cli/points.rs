//! `busbar points`: what a control centre can read and command.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use serde_json::json;

use super::{check::load, say};
use crate::northbound::{der, iec104, points};

pub(super) fn points(file: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let site = match load(file) {
        Ok(site) => site,
        Err(exit) => return Ok(exit),
    };
    let list = points::list(&site);
    if as_json {
        let row = |entry: &points::Entry| {
            json!({
                "kind": entry.config.kind.to_string(),
                "index": entry.config.index,
                "ioa": iec104::place(entry).1,
                "command_ioa": iec104::command_place(entry),
                "name": entry.name,
                "unit": entry.unit,
                "class": entry.config.class.map(|class| class as u8),
                "dead_band": entry.config.dead_band,
            })
        };
        let rows: Vec<_> = list.iter().map(row).collect();
        say(&serde_json::to_string_pretty(&rows)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut text =
        String::from("kind                     index     ioa  command  class  dead band  point");
    for entry in &list {
        let class = entry.config.class.map_or(0, |class| class as u8);
        let (kind, index) = (entry.config.kind.to_string(), entry.config.index);
        let command = iec104::command_place(entry).map_or(String::new(), |ioa| ioa.to_string());
        let unit = match entry.unit {
            "" => String::new(),
            unit => format!(", {unit}"),
        };
        write!(
            text,
            "\n{kind:<23}  {index:>5}  {:>6}  {command:>7}  {class:>5}  {:>9}  {}{unit}",
            iec104::place(entry).1,
            entry.config.dead_band,
            entry.name
        )?;
    }
    if let Some(listen) = site.dnp3.as_ref().and_then(|dnp3| dnp3.der) {
        write!(text, "\n\nThe feeder as one DER, on {listen}:")?;
        for entry in der::list(&site) {
            let (kind, index) = (entry.config.kind.to_string(), entry.config.index);
            let unit = match entry.unit {
                "" => String::new(),
                unit => format!(", {unit}"),
            };
            write!(text, "\n{kind:<23}  {index:>5}  {}{unit}", entry.name)?;
        }
    }
    say(&text);
    Ok(ExitCode::SUCCESS)
}
