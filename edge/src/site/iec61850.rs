//! IEDs that the appliance is a client of: the keys of a `[[device]]` with IEC 61850, whose points and commands
//! its profile has, or the table itself.

use protocols::iec61850::{CommandSpec, Kind, ObjectMap, PointSpec, Reference};

use super::{model::Ied, read::Table};

/// Which IED a device is, and the attributes of its profile with those of its table.
pub(super) fn ied(table: &Table<'_, '_>, mut map: ObjectMap) -> Option<(Ied, ObjectMap)> {
    let name = table.name("ied").map(str::to_owned);
    for text in table.texts("reports") {
        match text.parse() {
            Ok(report) => map.reports.push(report),
            Err(error) => table.problem("reports", error),
        }
    }
    let points: Vec<Option<PointSpec>> = table.tables("points").iter().map(point).collect();
    let commands: Vec<Option<CommandSpec>> = table.tables("commands").iter().map(command).collect();
    map.points
        .extend(points.into_iter().collect::<Option<Vec<_>>>()?);
    map.commands
        .extend(commands.into_iter().collect::<Option<Vec<_>>>()?);
    for problem in map.problems() {
        table.problem("points", problem);
    }
    if map.points.is_empty() {
        table.problem(
            "points",
            "neither the profile nor the device has a point".to_owned(),
        );
    }
    let ied = Ied { name: name? };
    Some((ied, map))
}

fn point(table: &Table<'_, '_>) -> Option<PointSpec> {
    let name = table.name("name").map(str::to_owned);
    let reference = reference(table);
    let kind = match table.has("kind") {
        true => table.word("kind", &Kind::ALL),
        false => Some(Kind::Analog),
    };
    let (scale, offset) = scaling(table);
    let unit = unit(table);
    table.finish();
    Some(PointSpec {
        name: name?,
        reference: reference?,
        kind: kind?,
        scale: scale?,
        offset: offset?,
        unit: unit?,
    })
}

fn command(table: &Table<'_, '_>) -> Option<CommandSpec> {
    let name = table.name("name").map(str::to_owned);
    let reference = reference(table);
    let (scale, offset) = scaling(table);
    let check = |key| match table.has(key) {
        true => table.boolean(key),
        false => Some(false),
    };
    let (interlock_check, synchro_check) = (check("interlock_check"), check("synchro_check"));
    let unit = unit(table);
    table.finish();
    Some(CommandSpec {
        name: name?,
        reference: reference?,
        scale: scale?,
        offset: offset?,
        interlock_check: interlock_check?,
        synchro_check: synchro_check?,
        unit: unit?,
    })
}

fn reference(table: &Table<'_, '_>) -> Option<Reference> {
    match table.text("ref")?.parse() {
        Ok(reference) => Some(reference),
        Err(error) => {
            table.problem("ref", error);
            None
        }
    }
}

fn scaling(table: &Table<'_, '_>) -> (Option<f64>, Option<f64>) {
    let number = |key, otherwise| match table.has(key) {
        true => table.number(key, -1e12..=1e12),
        false => Some(otherwise),
    };
    (number("scale", 1.0), number("offset", 0.0))
}

fn unit(table: &Table<'_, '_>) -> Option<String> {
    match table.has("unit") {
        true => table.text("unit").map(str::to_owned),
        false => Some(String::new()),
    }
}
