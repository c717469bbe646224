//! What a restart takes from the record.
//!
//! Records of another build may have a form that this one does not know. What they say of intervals that
//! are over (settled, void or failed) is nobody's any more: the restart goes on without. Of one that is
//! still owed it would be a loss, so the restart refuses.

use std::collections::BTreeSet;

use redb::{ReadableDatabase, ReadableTable};
use serde_json::Value;
use solver::market::LedgerEntry;

use super::{
    Ledger, LedgerError, Record,
    file::{ROWS, Row},
};

/// See the module.
#[derive(Debug, Default)]
pub struct Recent {
    /// Oldest first.
    pub records: Vec<Record>,
    /// Records of another build that were passed over.
    pub passed_over: u64,
    /// No order on record has this number or a higher one.
    pub next_order: u64,
}

impl Ledger {
    /// What a restart has to know, oldest first: all records written since the gate of the interval
    /// closed that began `lookback_s` before the newest one, and enough before them to know the last
    /// number of an order. However long the stop was: what was owed then is owed still.
    ///
    /// # Errors
    /// They cannot be read, or one of another build is of an interval that is still owed.
    pub fn recent(&self, lookback_s: i64) -> Result<Recent, LedgerError> {
        let transaction = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = transaction.open_table(ROWS).map_err(|e| self.storage(&e))?;
        let mut recent = Recent::default();
        let (mut oldest, mut before) = (None, false);
        let mut over = BTreeSet::new();
        for row in table.iter().map_err(|e| self.storage(&e))?.rev() {
            let (number, bytes) = row.map_err(|e| self.storage(&e))?;
            let row = Row::read(number.value(), bytes.value()).map_err(|f| self.damaged(f))?;
            let says = match self.record(&row) {
                Ok(record) => {
                    let says = Says::of(&record);
                    recent.records.push(record);
                    says
                }
                Err(error) => {
                    let says = Says::of_another(&row.json);
                    let passed = |says: &Says| says.over || over.contains(&says.interval);
                    let says = says.filter(passed).ok_or(error)?;
                    recent.passed_over += 1;
                    says
                }
            };
            if says.over {
                over.insert(says.interval);
            }
            if let Some(gate) = says.interval.filter(|_| says.gate) {
                before |= gate < *oldest.get_or_insert(gate - lookback_s);
            }
            recent.next_order = recent
                .next_order
                .max(says.order.map_or(0, |order| order + 1));
            if before && recent.next_order > 0 {
                break;
            }
        }
        recent.records.reverse();
        Ok(recent)
    }
}

/// What matters of a record here.
#[derive(Debug, Default)]
struct Says {
    /// The interval that it is of.
    interval: Option<i64>,
    /// Nothing is owed for that any more.
    over: bool,
    /// Its gate closed; every interval has one such record, cleared or not, and unlike a
    /// settlement it never comes late.
    gate: bool,
    /// Highest number of an order in it.
    order: Option<u64>,
}

impl Says {
    fn of(record: &Record) -> Self {
        let gate = |interval| Self {
            interval,
            gate: true,
            ..Self::default()
        };
        let over = |interval: i64| Self {
            interval: Some(interval),
            over: true,
            ..Self::default()
        };
        match record {
            Record::OrderAmended { order, .. } => Self {
                order: Some(order.id.0),
                ..Self::default()
            },
            Record::Market(entry) => match entry {
                LedgerEntry::OrderAccepted { order, .. } => Self {
                    order: Some(order.id.0),
                    ..Self::default()
                },
                LedgerEntry::GateClosed { interval, case, .. } => Self {
                    order: case.orders.iter().map(|order| order.id.0).max(),
                    ..gate(Some(*interval))
                },
                LedgerEntry::ClearingFailed { interval, .. } => Self {
                    over: true,
                    ..gate(Some(*interval))
                },
                LedgerEntry::Voided { interval, .. } => over(*interval),
                LedgerEntry::Settled(settlement) => over(settlement.interval),
                _ => Self::default(),
            },
            _ => Self::default(),
        }
    }

    /// As far as a record of another build can be understood: it is one of the market's about an interval,
    /// or about an order for one.
    fn of_another(json: &str) -> Option<Self> {
        let record: Value = serde_json::from_str(json).ok()?;
        if !["market", "order_amended"].contains(&record["record"].as_str()?) {
            return None;
        }
        let entry = record["entry"].as_str().unwrap_or_default();
        let order = &record["order"];
        let interval = record["interval"].as_i64().or(order["interval"].as_i64())?;
        let list = |of: &'static str| record["case"][of].as_array().into_iter().flatten();
        let loads = list("fixed").map(|of| &of["owner"]["order"]);
        let all = list("orders").chain(loads).chain([order]);
        let orders = all.filter_map(|of| of["id"].as_u64());
        Some(Self {
            interval: Some(interval),
            over: ["settled", "voided", "clearing_failed"].contains(&entry),
            gate: ["gate_closed", "clearing_failed"].contains(&entry),
            order: orders.max(),
        })
    }
}
