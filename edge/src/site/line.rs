//! `[[line]]`: serial lines, and where a device is: at an address or on one of them.

use std::{collections::BTreeMap, path::Path, time::Duration};

use protocols::modbus::{LineConfig, Parity};

use super::{model::Place, profile::Access, read::Table};

/// Speeds that anybody uses, bit/s.
const BAUD: std::ops::RangeInclusive<i64> = 300..=1_000_000;
/// Longest pause before a request, s.
const MAX_PAUSE_S: f64 = 1.0;
/// Unit identifiers on a line; 0 is for all, and nobody answers it (MODBUS over Serial Line V1.02, 2.2).
pub(super) const UNITS: std::ops::RangeInclusive<u8> = 1..=247;

/// The site's lines by name; ports are relative to the site file's folder.
pub(super) fn lines(root: &Table<'_, '_>, directory: &Path) -> BTreeMap<String, LineConfig> {
    let mut lines: BTreeMap<String, LineConfig> = BTreeMap::new();
    for table in root.tables("line") {
        let id = table.name("id").map(str::to_owned);
        let config = line(&table, directory);
        table.finish();
        let (Some(id), Some(config)) = (id, config) else {
            continue;
        };
        if let Some((other, _)) = lines.iter().find(|(_, of)| of.path == config.path) {
            table.problem("port", format!("is the port of line `{other}` already"));
        }
        if lines.contains_key(&id) {
            table.problem("id", format!("line `{id}` is there twice"));
        }
        lines.insert(id, config);
    }
    lines
}

fn line(table: &Table<'_, '_>, directory: &Path) -> Option<LineConfig> {
    let path = table.text("port").map(|port| directory.join(port));
    let standard = LineConfig::new("");
    let baud = match table.has("baud") {
        true => table
            .integer("baud", BAUD)
            .and_then(|b| u32::try_from(b).ok()),
        false => Some(standard.baud),
    };
    let words = [
        ("even", Parity::Even),
        ("odd", Parity::Odd),
        ("none", Parity::None),
    ];
    let parity = match table.has("parity") {
        true => table.word("parity", &words),
        false => Some(standard.parity),
    };
    let stop_bits = match table.has("stop_bits") {
        true => table
            .integer("stop_bits", 1..=2)
            .map(|bits| if bits == 2 { 2 } else { 1 }),
        // Eleven bits a character in any case (V1.02, 2.5.1).
        false => Some(if parity == Some(Parity::None) { 2 } else { 1 }),
    };
    let pause = match table.has("pause_s") {
        true => table
            .number("pause_s", 0.0..=MAX_PAUSE_S)
            .map(Duration::from_secs_f64),
        false => Some(standard.pause),
    };
    Some(LineConfig {
        path: path?.to_str()?.to_owned(),
        baud: baud?,
        parity: parity?,
        stop_bits: stop_bits?,
        pause: pause?,
    })
}

/// Where a device of this access is. Only Modbus runs on lines; where the protocol is not known, what is
/// there is looked at, so that nothing is said to be unknown.
pub(super) fn place(
    table: &Table<'_, '_>,
    access: Option<&Access>,
    lines: &BTreeMap<String, LineConfig>,
) -> Option<Place> {
    if matches!(
        access,
        Some(Access::Dnp3(_) | Access::Iec104(_) | Access::Iec61850(_))
    ) {
        return table.address("address").map(Place::Tcp);
    }
    if !table.has("line") {
        let address = table.address("address");
        let framing = match table.has("framing") {
            true => table.word("framing", &[("tcp", false), ("rtu", true)]),
            false => Some(false),
        };
        return Some(match framing? {
            true => Place::RtuOverTcp(address?),
            false => Place::Tcp(address?),
        });
    }
    for key in ["address", "framing"] {
        if table.has(key) {
            table.problem(
                key,
                "a device is on a line or at an address, not both".to_owned(),
            );
        }
    }
    let line = table.name("line")?;
    let config = lines.get(line);
    if config.is_none() {
        table.problem("line", format!("there is no usable line `{line}`"));
    }
    Some(Place::Line {
        line: line.to_owned(),
        config: config?.clone(),
    })
}
