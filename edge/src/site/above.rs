//! `[above]`: the market above, of which the site is a tenant.

use std::collections::BTreeSet;

use protocols::{
    opcua::{Pki, message::AGGREGATORS_MOST},
    point::PointId,
};
use solver::market::{Imbalance, Price};

use super::{
    model::{Above, ConnectionMeter},
    read::Table,
    tables::MAX_PRICE,
};
use crate::above::{Fallback, Terms};

/// Widest exchange of a schedule, W.
const MAX_EXCHANGE_W: i64 = 10_000_000_000;

/// Reads it; `gate_s` and prices of deviations are the market's, where these are known.
pub(super) fn read(
    table: &Table<'_, '_>,
    gate_s: Option<u32>,
    imbalance: Option<Imbalance>,
) -> Option<Above> {
    let endpoint = endpoint(table);
    let user = table.name("user");
    let file = |key| table.text(key).map(|text| table.source.beside(text));
    let tenant = match table.has("tenant") {
        true => table.name("tenant"),
        false => user,
    };
    let password_file = file("password_file");
    let folder = file("pki");
    let award_s = table.integer("award_s", 2..=3600);
    if let (Some(award), Some(gate)) = (award_s, gate_s)
        && award >= i64::from(gate)
    {
        let text =
            format!("must be below market.gate_s, which is {gate}: nothing is offered before");
        table.problem("award_s", text);
    }
    let (fallback, schedule) = fallback(table);
    let spread = table.number("spread_per_mwh", 0.0..=MAX_PRICE);
    let aggregators = aggregators(table);
    let meter = match table.has("meter") {
        true => table.table("meter").map(|table| meter(&table)),
        false => Some(Some(None)),
    };
    table.finish();
    Some(Above {
        endpoint: endpoint?.to_owned(),
        user: user?.to_owned(),
        password_file: password_file?,
        tenant: tenant?.to_owned(),
        pki: Pki { folder: folder? },
        terms: Terms {
            award_s: u32::try_from(award_s?).ok()?,
            fallback: fallback?,
            schedule,
            spread: Price((spread? * 1e6).round() as i64),
            imbalance: imbalance?,
        },
        meter: meter??,
        aggregators,
    })
}

fn endpoint<'d>(table: &Table<'_, 'd>) -> Option<&'d str> {
    table.text("endpoint").filter(|text| {
        let address = text.strip_prefix("opc.tcp://");
        let fits = address.is_some_and(|of| !of.is_empty() && !of.contains(char::is_whitespace));
        if !fits {
            let text = format!("`{text}` is not an endpoint such as opc.tcp://area.example:4840");
            table.problem("endpoint", text);
        }
        fits
    })
}

/// What stands in for an award, and the schedule that it may be.
fn fallback(table: &Table<'_, '_>) -> (Option<Fallback>, Vec<(u32, i64)>) {
    let fallback = table.word(
        "fallback",
        &[
            ("last_award", Fallback::LastAward),
            ("schedule", Fallback::Schedule),
            ("zero", Fallback::Zero),
        ],
    );
    let schedule = schedule(table);
    if fallback == Some(Fallback::Schedule) && schedule.is_empty() {
        let text = "`schedule` wants [[above.schedule]] tables, the first from 00:00".to_owned();
        table.problem("fallback", text);
    }
    (fallback, schedule)
}

/// Names of participants, each once.
fn aggregators(table: &Table<'_, '_>) -> Vec<String> {
    const KEY: &str = "aggregators";
    let mut names: BTreeSet<String> = BTreeSet::new();
    for name in table.names(KEY) {
        if !names.insert(name.to_owned()) {
            table.problem(KEY, format!("`{name}` is there twice"));
        }
    }
    if names.len() > AGGREGATORS_MOST {
        let text = format!("{} of them; {AGGREGATORS_MOST} at most", names.len());
        table.problem(KEY, text);
    }
    names.into_iter().collect()
}

/// Steps over the day, each from a time on.
fn schedule(parent: &Table<'_, '_>) -> Vec<(u32, i64)> {
    let mut steps: Vec<(u32, i64)> = Vec::new();
    for table in parent.tables("schedule") {
        let from = table.text("from").and_then(|text| {
            let second = second_of_day(text);
            if second.is_none() {
                table.problem(
                    "from",
                    format!("`{text}` is not a time of day such as 06:30"),
                );
            }
            second
        });
        let exchange_w = table.integer("exchange_w", -MAX_EXCHANGE_W..=MAX_EXCHANGE_W);
        table.finish();
        let (Some(from), Some(exchange_w)) = (from, exchange_w) else {
            continue;
        };
        match steps.last() {
            None if from != 0 => table.problem("from", "the first must be 00:00".to_owned()),
            Some((before, _)) if *before >= from => {
                table.problem("from", "must be later than the one before".to_owned());
            }
            _ => {}
        }
        steps.push((from, exchange_w));
    }
    steps
}

fn second_of_day(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let part = |text: &str, most| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        let value: u32 = text.parse().ok().filter(|_| digits)?;
        (value <= most).then_some(value)
    };
    Some(part(hours, 23)? * 3600 + part(minutes, 59)? * 60)
}

/// Which counters of which device: `None` if they are wrong.
fn meter(table: &Table<'_, '_>) -> Option<Option<ConnectionMeter>> {
    let point = |key| {
        let text = table.text(key)?;
        let parts = text.split_once('/');
        let fits = parts.is_some_and(|(device, name)| !device.is_empty() && !name.is_empty());
        if !fits {
            table.problem(
                key,
                format!("`{text}` is not a point such as feeder/energy_import"),
            );
        }
        fits.then(|| PointId::parse(text))
    };
    let (import, export) = (point("import"), point("export"));
    table.finish();
    Some(Some(ConnectionMeter {
        import: import?,
        export: export?,
    }))
}
