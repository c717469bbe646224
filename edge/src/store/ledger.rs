//! The ledger: an append-only sequence of [`Record`]s in `ledger.redb`, each as JSON, compressed
//! (zlib, RFC 1950). What is appended is on disk before anybody is told.

use std::{fmt, fs, path::Path};

use miniz_oxide::{deflate::compress_to_vec_zlib, inflate::decompress_to_vec_zlib_with_limit};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use solver::market::{LedgerEntry, OrderId};

use super::database;

/// Level of compression: higher ones save little more.
const LEVEL: u8 = 6;
/// No record is larger, bytes of JSON.
const RECORD_MOST: usize = 64 << 20;

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

/// One entry of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// What the market puts on record.
    Market(LedgerEntry),
    /// An order was cancelled before its gate closed.
    OrderCancelled {
        /// When, UTC, µs since 1970.
        at_us: i64,
        /// Which.
        order: OrderId,
    },
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process has it open.
    #[error("{0} is in use: another busbar runs on this state directory")]
    InUse(String),
    /// It cannot be opened, read or written.
    #[error("{file}: {reason}")]
    Storage {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A record that this program cannot read.
    #[error("{file}: record {number} cannot be read: {reason}; was it written by a newer version?")]
    Record {
        /// The file.
        file: String,
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    db: Database,
    file: String,
}

impl Ledger {
    /// Opens the ledger in a directory, or begins one.
    ///
    /// # Errors
    /// It is in use, damaged, or cannot be read or written.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join("ledger.redb");
        let file = path.display().to_string();
        let db = match database(&path) {
            Ok(db) => db,
            Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
                return Err(LedgerError::InUse(file));
            }
            Err(error) => {
                return Err(LedgerError::Storage {
                    file,
                    reason: error.to_string(),
                });
            }
        };
        let ledger = Self { db, file };
        // The table exists from the start, so that reading an empty ledger is no special case.
        ledger.append(&[])?;
        // A file that was just begun survives a power cut only if its directory knows it.
        let known = fs::File::open(directory).and_then(|directory| directory.sync_all());
        known.map_err(|e| ledger.storage(&e))?;
        Ok(ledger)
    }

    /// Appends records; they are on disk when this returns.
    ///
    /// # Errors
    /// They cannot be written; then none of them is.
    pub fn append(&self, records: &[Record]) -> Result<(), LedgerError> {
        let transaction = self.db.begin_write().map_err(|e| self.storage(&e))?;
        {
            let mut table = transaction
                .open_table(RECORDS)
                .map_err(|e| self.storage(&e))?;
            let last = table.last().map_err(|e| self.storage(&e))?;
            let first = last.map_or(0, |(number, _)| number.value() + 1);
            for (number, record) in (first..).zip(records) {
                let json = serde_json::to_vec(record).map_err(|e| self.storage(&e))?;
                let bytes = compress_to_vec_zlib(&json, LEVEL);
                table
                    .insert(number, bytes.as_slice())
                    .map_err(|e| self.storage(&e))?;
            }
        }
        transaction.commit().map_err(|e| self.storage(&e))
    }

    /// What a restart has to know, oldest first: all records written since the gate of the interval
    /// closed that began `lookback_s` before the newest one, and enough before them to know the last
    /// number of an order. However long the stop was: what was owed then is owed still.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn recent(&self, lookback_s: i64) -> Result<Vec<Record>, LedgerError> {
        let transaction = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = transaction
            .open_table(RECORDS)
            .map_err(|e| self.storage(&e))?;
        let mut records = Vec::new();
        let (mut oldest, mut before, mut numbered) = (None, false, false);
        for row in table.iter().map_err(|e| self.storage(&e))?.rev() {
            let (number, bytes) = row.map_err(|e| self.storage(&e))?;
            let record = read(bytes.value()).map_err(|reason| LedgerError::Record {
                file: self.file.clone(),
                number: number.value(),
                reason,
            })?;
            if let Some(interval) = gate_closed(&record) {
                before |= interval < *oldest.get_or_insert(interval - lookback_s);
            }
            numbered |= names_order(&record);
            records.push(record);
            if before && numbered {
                break;
            }
        }
        records.reverse();
        Ok(records)
    }

    fn storage(&self, error: &dyn fmt::Display) -> LedgerError {
        LedgerError::Storage {
            file: self.file.clone(),
            reason: error.to_string(),
        }
    }
}

fn read(bytes: &[u8]) -> Result<Record, String> {
    let json = decompress_to_vec_zlib_with_limit(bytes, RECORD_MOST).map_err(|e| e.to_string())?;
    serde_json::from_slice(&json).map_err(|e| e.to_string())
}

/// The interval whose gate's closing the record notes; every interval has one, cleared or not, and
/// unlike a settlement it never comes late.
fn gate_closed(record: &Record) -> Option<i64> {
    match record {
        Record::Market(
            LedgerEntry::GateClosed { interval, .. } | LedgerEntry::ClearingFailed { interval, .. },
        ) => Some(*interval),
        _ => None,
    }
}

fn names_order(record: &Record) -> bool {
    match record {
        Record::Market(LedgerEntry::OrderAccepted { .. }) => true,
        Record::Market(LedgerEntry::GateClosed { case, .. }) => !case.orders.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use solver::market::{Direction, Order, Price, Step, Terms};

    use super::*;

    fn order(id: u64) -> Record {
        Record::Market(LedgerEntry::OrderAccepted {
            at_us: 17,
            order: Order {
                id: OrderId(id),
                client_id: format!("c{id}"),
                participant: "p".to_owned(),
                unit: 93,
                interval: 1_800_000_000,
                direction: Direction::Sell,
                terms: Terms::default(),
                steps: vec![Step {
                    quantity_w: 5,
                    price: Price(20_000_000),
                }],
            },
        })
    }

    #[test]
    fn what_was_appended_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let cancelled = Record::OrderCancelled {
            at_us: 18,
            order: OrderId(1),
        };
        {
            let ledger = Ledger::open(dir.path()).unwrap();
            ledger.append(&[order(1), order(2)]).unwrap();
            ledger.append(std::slice::from_ref(&cancelled)).unwrap();
            assert!(matches!(
                Ledger::open(dir.path()),
                Err(LedgerError::InUse(_))
            ));
        }
        let ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(ledger.recent(0).unwrap(), [order(1), order(2), cancelled]);
        let file = fs::metadata(dir.path().join("ledger.redb")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    fn failed(interval: i64) -> Record {
        Record::Market(LedgerEntry::ClearingFailed {
            interval,
            reason: "no estimate".to_owned(),
        })
    }

    #[test]
    fn a_restart_sees_every_order_however_many_and_no_more_than_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let old = [order(1), failed(100), order(2), failed(110)];
        let new: Vec<Record> = (3..5000).map(order).collect();
        ledger.append(&old).unwrap();
        ledger.append(&new).unwrap();
        ledger.append(&[failed(120)]).unwrap();
        let recent = ledger.recent(0).unwrap();
        assert_eq!(recent[0], old[3], "the first from before");
        assert_eq!(recent.len(), 1 + new.len() + 1);
        assert_eq!(ledger.recent(10).unwrap()[0], old[1]);
    }

    #[test]
    fn what_repeats_itself_is_kept_in_little() {
        let long = Record::Market(LedgerEntry::ClearingFailed {
            interval: 10,
            reason: "no estimate; ".repeat(1000),
        });
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.append(std::slice::from_ref(&long)).unwrap();
        assert_eq!(ledger.recent(0).unwrap(), [long]);
        let read = ledger.db.begin_read().unwrap();
        let table = read.open_table(RECORDS).unwrap();
        let kept = table.first().unwrap().unwrap().1.value().len();
        assert!(kept < 1000, "{kept} bytes of 13000");
    }

    /// Else a number would be given twice.
    #[test]
    fn a_restart_sees_the_last_number_however_old_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let failures: Vec<Record> = (0..3000).map(|k| failed(10 * k)).collect();
        ledger.append(&[order(1), order(2)]).unwrap();
        ledger.append(&failures).unwrap();
        assert_eq!(ledger.recent(1000).unwrap()[0], order(2));
    }

    #[test]
    fn a_damaged_ledger_is_refused_not_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.redb");
        fs::write(&file, b"this is no ledger").unwrap();
        assert!(matches!(
            Ledger::open(dir.path()),
            Err(LedgerError::Storage { .. })
        ));
        assert_eq!(fs::read(&file).unwrap(), b"this is no ledger");
    }
}
