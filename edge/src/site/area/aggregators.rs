//! `[[aggregator]]`: who holds orders in several tenants' markets and is settled in the area's, once.

use std::collections::BTreeSet;

use super::Table;
use crate::area::{Aggregator, Participant, Tenant};

const KEY: &str = "tenants";

/// Reads them; tenants and participants are those that were read of the same file.
pub(super) fn read(
    root: &Table<'_, '_>,
    tenants: &[Tenant],
    participants: &[Participant],
) -> Vec<Aggregator> {
    let mut aggregators: Vec<Aggregator> = Vec::new();
    for table in root.tables("aggregator") {
        let name = table.name("name");
        if let Some(name) = name {
            let kind = match name {
                name if aggregators.iter().any(|of| of.name == name) => Some("an aggregator"),
                name if tenants.iter().any(|of| of.name == name) => Some("a tenant"),
                name if participants.iter().any(|of| of.unit.participant == name) => {
                    Some("a participant")
                }
                _ => None,
            };
            if let Some(kind) = kind {
                table.problem("name", format!("there is {kind} `{name}` already"));
            }
        }
        let of = read_tenants(&table, tenants);
        table.finish();
        if let Some(name) = name {
            aggregators.push(Aggregator {
                name: name.to_owned(),
                tenants: of,
            });
        }
    }
    aggregators
}

fn read_tenants(table: &Table<'_, '_>, tenants: &[Tenant]) -> Vec<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for name in table.texts(KEY) {
        if tenants.iter().all(|of| of.name != name) {
            table.problem(KEY, format!("there is no tenant `{name}`"));
        } else if !names.insert(name.to_owned()) {
            table.problem(KEY, format!("`{name}` is there twice"));
        }
    }
    if !table.has(KEY) {
        table.problem(KEY, "missing".to_owned());
    } else if names.is_empty() {
        let text = "names no tenant that it holds orders in".to_owned();
        table.problem(KEY, text);
    }
    names.into_iter().collect()
}

/// Those that pass further up have to take part here.
pub(super) fn check_above(
    table: &Table<'_, '_>,
    passed: &[String],
    aggregators: &[Aggregator],
    participants: &[Participant],
) {
    for name in passed {
        let aggregator = aggregators.iter().any(|of| of.name == *name);
        let participant = participants.iter().any(|of| of.unit.participant == *name);
        if !aggregator && !participant {
            let text = format!("there is neither [[aggregator]] nor [[participant]] `{name}`");
            table.problem("aggregators", text);
        }
    }
}
