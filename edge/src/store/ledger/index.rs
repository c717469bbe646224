//! Where records of a kind are found without reading all: what a restart needs however old it is, what
//! an interval was settled from, what each account comes to, and when a token was used last.
//!
//! All of it follows from the records, and is written with them or not at all. Records that a build
//! without the index has appended are taken up when the ledger is opened.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Mutex, PoisonError},
};

use redb::{
    Database, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition, TableError,
    WriteTransaction,
};
use serde::Deserialize;
use solver::market::{LedgerEntry, Party, Settlement};

use super::{
    Ledger, LedgerError, Record,
    file::{META, Row},
};
use crate::{
    above::{Document, Entry},
    metering::Value,
};

/// Numbers of the records of who takes part.
const REGISTER: TableDefinition<'_, u64, ()> = TableDefinition::new("register");
/// What an interval was settled from and how: its start and the record's number.
const INTERVALS: TableDefinition<'_, (i64, u64), u8> = TableDefinition::new("intervals");
/// What passed between the market and the one above: the interval's start and the record's number.
const ABOVE: TableDefinition<'_, (i64, u64), ()> = TableDefinition::new("above");
/// The same of intervals whose total the market above has not answered.
const UNSENT: TableDefinition<'_, (i64, u64), ()> = TableDefinition::new("unsent");
/// The record of a hold that was not given back: of which unit, by whom.
const HOLDS: TableDefinition<'_, (i32, u8), u64> = TableDefinition::new("holds");
/// What each party has received in all, micro-currency, by its JSON.
const ACCOUNTS: TableDefinition<'_, &str, i128> = TableDefinition::new("accounts");
/// The record that holds what a meter said last of a time: its name, start and length.
const VALUES: TableDefinition<'_, (&str, i64, u32), u64> = TableDefinition::new("meter_values");
/// When a token was used last, UTC, µs since 1970.
const USES: TableDefinition<'_, &str, i64> = TableDefinition::new("token_uses");
/// The number of the next record to be indexed, in the table of the format.
const INDEXED: &str = "indexed";

/// An entry of `INTERVALS` that is a settlement, or a correction of one.
const SETTLED: u8 = 1;
/// Any other.
const BASIS: u8 = 0;

/// The tables, while records are appended.
pub(super) struct Index<'t> {
    meta: Table<'t, &'static str, u64>,
    register: Table<'t, u64, ()>,
    intervals: Table<'t, (i64, u64), u8>,
    above: Table<'t, (i64, u64), ()>,
    unsent: Table<'t, (i64, u64), ()>,
    holds: Table<'t, (i32, u8), u64>,
    accounts: Table<'t, &'static str, i128>,
    values: Table<'t, (&'static str, i64, u32), u64>,
    uses: Table<'t, &'static str, i64>,
}

impl<'t> Index<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            register: transaction.open_table(REGISTER)?,
            intervals: transaction.open_table(INTERVALS)?,
            above: transaction.open_table(ABOVE)?,
            unsent: transaction.open_table(UNSENT)?,
            holds: transaction.open_table(HOLDS)?,
            accounts: transaction.open_table(ACCOUNTS)?,
            values: transaction.open_table(VALUES)?,
            uses: transaction.open_table(USES)?,
        })
    }

    /// The number of the first record that is not indexed.
    fn next(&self) -> Result<u64, StorageError> {
        Ok(self.meta.get(INDEXED)?.map_or(0, |next| next.value()))
    }

    pub(super) fn note(&mut self, number: u64, record: &Record) -> Result<(), StorageError> {
        match record {
            Record::Registered { .. } => {
                self.register.insert(number, ())?;
            }
            Record::Above(entry) => self.note_above(number, entry)?,
            Record::Commanded {
                unit, holder, hold, ..
            } => {
                let key = (*unit, *holder as u8);
                match hold {
                    Some(_) => self.holds.insert(key, number)?,
                    None => self.holds.remove(key)?,
                };
            }
            Record::MeterValues { values, .. } => {
                for value in values {
                    let key = (&*value.meter, value.start, value.length_s);
                    self.values.insert(key, number)?;
                }
            }
            Record::Market(entry) => match entry {
                LedgerEntry::GateClosed { interval, .. }
                | LedgerEntry::Contracted { interval, .. }
                | LedgerEntry::Metered { interval, .. } => {
                    self.intervals.insert((*interval, number), BASIS)?;
                }
                LedgerEntry::Settled(settlement)
                | LedgerEntry::Resettled {
                    correction: settlement,
                    ..
                } => {
                    self.intervals
                        .insert((settlement.interval, number), SETTLED)?;
                    self.book(settlement)?;
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    /// Documents of an interval go up in order: with its total, all of it is answered.
    fn note_above(&mut self, number: u64, entry: &Entry) -> Result<(), StorageError> {
        let start = entry.interval();
        match entry {
            Entry::Answered {
                document: Document::Total,
                ..
            } => {
                self.above.insert((start, number), ())?;
                let all = (start, 0)..=(start, u64::MAX);
                self.unsent.retain_in(all, |_, ()| false)?;
            }
            // One that came late is not part of any account.
            Entry::Awarded {
                unused: Some(_), ..
            } => {}
            _ => {
                self.above.insert((start, number), ())?;
                self.unsent.insert((start, number), ())?;
            }
        }
        Ok(())
    }

    /// Each party's balance goes to its account.
    fn book(&mut self, settlement: &Settlement) -> Result<(), StorageError> {
        for of in &settlement.statements {
            let key = key(&of.party);
            let before = self.accounts.get(&*key)?.map_or(0, |sum| sum.value());
            let after = before.saturating_add(i128::from(of.balance.0));
            self.accounts.insert(&*key, after)?;
        }
        Ok(())
    }

    /// All records before `next` are indexed; tokens' last uses are written with them.
    pub(super) fn finish(&mut self, next: u64, uses: &Uses) -> Result<(), StorageError> {
        self.meta.insert(INDEXED, next)?;
        for (token, at_us) in uses.unwritten() {
            self.uses.insert(&*token, at_us)?;
        }
        Ok(())
    }
}

fn key(party: &Party) -> String {
    // A party's form has nothing that JSON could not say.
    serde_json::to_string(party).unwrap_or_default()
}

/// As much of a record as says whether it is indexed.
#[derive(Deserialize)]
struct Head {
    record: String,
    #[serde(default)]
    entry: String,
}

impl Head {
    fn indexed(&self) -> bool {
        const ENTRIES: [&str; 5] = [
            "gate_closed",
            "contracted",
            "metered",
            "settled",
            "resettled",
        ];
        ["registered", "meter_values", "above", "commanded"].contains(&&*self.record)
            || (self.record == "market" && ENTRIES.contains(&&*self.entry))
    }
}

impl Ledger {
    /// Indexes what another build has appended.
    pub(super) fn catch_up(&self) -> Result<(), LedgerError> {
        if self.up_to_date()? {
            return Ok(());
        }
        let transaction = self.db.begin_write().map_err(|e| self.storage(&e))?;
        {
            let mut index = Index::open(&transaction).map_err(|e| self.storage(&e))?;
            let first = index.next().map_err(|e| self.storage(&e))?;
            let mut next = first;
            // The transaction that reads sees what was there before this one.
            for row in self.rows(first)? {
                let row = row?;
                next = row.number + 1;
                let head: Result<Head, _> = serde_json::from_str(&row.json);
                if !head.is_ok_and(|head| head.indexed()) {
                    continue;
                }
                // One of a form that this build does not know is nothing that it could use.
                if let Ok(record) = row.record() {
                    let noted = index.note(row.number, &record);
                    noted.map_err(|e| self.storage(&e))?;
                }
            }
            let finished = index.finish(next, &self.uses);
            finished.map_err(|e| self.storage(&e))?;
        }
        transaction.commit().map_err(|e| self.storage(&e))
    }

    fn up_to_date(&self) -> Result<bool, LedgerError> {
        let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let meta = read.open_table(META).map_err(|e| self.storage(&e))?;
        let next = meta.get(INDEXED).map_err(|e| self.storage(&e))?;
        match next {
            Some(next) => Ok(self.rows(next.value())?.next().is_none()),
            None => Ok(false),
        }
    }

    /// Every change of who takes part, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn register(&self) -> Result<Vec<Record>, LedgerError> {
        self.listed(REGISTER, |number, ()| number)
    }

    /// Holds of units that were not given back, whether their time is over or not.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn holds(&self) -> Result<Vec<Record>, LedgerError> {
        self.listed(HOLDS, |_, number| number)
    }

    /// What passed between the market and the one above on intervals whose total that has not answered,
    /// by interval, oldest first: however old, it is still to be sent.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn unsent(&self) -> Result<Vec<Record>, LedgerError> {
        let starts = {
            let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
            let table = read.open_table(UNSENT).map_err(|e| self.storage(&e))?;
            let mut starts = BTreeSet::new();
            for entry in table.iter().map_err(|e| self.storage(&e))? {
                starts.insert(entry.map_err(|e| self.storage(&e))?.0.value().0);
            }
            starts
        };
        let mut records = Vec::new();
        for start in starts {
            records.extend(self.above(start)?);
        }
        Ok(records)
    }

    /// What passed between the market and the one above on an interval, oldest first; of what came late, nothing.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn above(&self, start: i64) -> Result<Vec<Record>, LedgerError> {
        let mut numbers = BTreeSet::new();
        {
            let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
            // A build before this one has noted what is not answered only.
            for table in [ABOVE, UNSENT] {
                let table = read.open_table(table).map_err(|e| self.storage(&e))?;
                let entries = table.range((start, 0)..=(start, u64::MAX));
                for entry in entries.map_err(|e| self.storage(&e))? {
                    numbers.insert(entry.map_err(|e| self.storage(&e))?.0.value().1);
                }
            }
        }
        let each = numbers.into_iter();
        each.map(|number| self.record(&self.row(number)?)).collect()
    }

    /// The records that a table of the index names, in its order.
    fn listed<K: redb::Key, V: redb::Value>(
        &self,
        table: TableDefinition<'_, K, V>,
        number: impl for<'a> Fn(K::SelfType<'a>, V::SelfType<'a>) -> u64,
    ) -> Result<Vec<Record>, LedgerError> {
        let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = read.open_table(table).map_err(|e| self.storage(&e))?;
        let mut records = Vec::new();
        for entry in table.iter().map_err(|e| self.storage(&e))? {
            let (key, value) = entry.map_err(|e| self.storage(&e))?;
            records.push(self.record(&self.row(number(key.value(), value.value()))?)?);
        }
        Ok(records)
    }

    /// All that an interval was settled from, and how, oldest first: gate, contracts, meters,
    /// settlement and its corrections.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn interval(&self, start: i64) -> Result<Vec<Record>, LedgerError> {
        let rows = self.indexed(start..start.saturating_add(1), &[BASIS, SETTLED])?;
        rows.iter().map(|row| self.record(row)).collect()
    }

    /// Settlements and corrections of the intervals that start in a range, by interval, then as
    /// they were made.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn settlements(
        &self,
        range: Range<i64>,
        mut each: impl FnMut(Settlement),
    ) -> Result<(), LedgerError> {
        for number in self.numbers(range, &[SETTLED])? {
            let row = self.row(number)?;
            if let Record::Market(
                LedgerEntry::Settled(settlement)
                | LedgerEntry::Resettled {
                    correction: settlement,
                    ..
                },
            ) = self.record(&row)?
            {
                each(settlement);
            }
        }
        Ok(())
    }

    /// What a meter said last of the times that start in a range, by start, then length.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn meter_values(&self, meter: &str, range: Range<i64>) -> Result<Vec<Value>, LedgerError> {
        let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = read.open_table(VALUES).map_err(|e| self.storage(&e))?;
        let mut said = Vec::new();
        let mut held: Option<(u64, Vec<Value>)> = None;
        let entries = table.range((meter, range.start, 0)..(meter, range.end, 0));
        for entry in entries.map_err(|e| self.storage(&e))? {
            let (key, number) = entry.map_err(|e| self.storage(&e))?;
            let (_, start, length_s) = key.value();
            let number = number.value();
            let values = match held.take_if(|(of, _)| *of == number) {
                Some((_, values)) => values,
                None => match self.record(&self.row(number)?)? {
                    Record::MeterValues { values, .. } => values,
                    _ => Vec::new(),
                },
            };
            // The same may be in it twice: the last one counts.
            let of_it = |v: &&Value| (&*v.meter, v.start, v.length_s) == (meter, start, length_s);
            said.extend(values.iter().rfind(of_it).cloned());
            held = Some((number, values));
        }
        Ok(said)
    }

    /// Starts of the intervals in a range whose gate has closed.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn intervals(&self, range: Range<i64>) -> Result<Vec<i64>, LedgerError> {
        let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = read.open_table(INTERVALS).map_err(|e| self.storage(&e))?;
        let mut starts = Vec::new();
        let entries = table.range((range.start, 0)..(range.end, 0));
        for entry in entries.map_err(|e| self.storage(&e))? {
            let (key, _) = entry.map_err(|e| self.storage(&e))?;
            starts.push(key.value().0);
        }
        starts.dedup();
        Ok(starts)
    }

    /// What each party has received in all, micro-currency: together nothing.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn accounts(&self) -> Result<BTreeMap<Party, i128>, LedgerError> {
        let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = read.open_table(ACCOUNTS).map_err(|e| self.storage(&e))?;
        let mut accounts = BTreeMap::new();
        for entry in table.iter().map_err(|e| self.storage(&e))? {
            let (key, sum) = entry.map_err(|e| self.storage(&e))?;
            let party = serde_json::from_str(key.value()).map_err(|e| self.storage(&e))?;
            accounts.insert(party, sum.value());
        }
        Ok(accounts)
    }

    fn indexed(&self, range: Range<i64>, kinds: &[u8]) -> Result<Vec<Row>, LedgerError> {
        let numbers = self.numbers(range, kinds)?;
        numbers.into_iter().map(|number| self.row(number)).collect()
    }

    fn numbers(&self, range: Range<i64>, kinds: &[u8]) -> Result<Vec<u64>, LedgerError> {
        let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = read.open_table(INTERVALS).map_err(|e| self.storage(&e))?;
        let mut numbers = Vec::new();
        let entries = table.range((range.start, 0)..(range.end, 0));
        for entry in entries.map_err(|e| self.storage(&e))? {
            let (key, kind) = entry.map_err(|e| self.storage(&e))?;
            if kinds.contains(&kind.value()) {
                numbers.push(key.value().1);
            }
        }
        Ok(numbers)
    }

    fn row(&self, number: u64) -> Result<Row, LedgerError> {
        let mut rows = self.rows(number)?;
        let row = rows.next().filter(|row| {
            let found = row.as_ref();
            found.map_or(true, |row| row.number == number)
        });
        row.unwrap_or_else(|| Err(self.storage(&format!("record {number} is missing"))))
    }

    /// Notes that a token was used. It is on disk with the next records.
    pub fn token_used(&self, token: &str, at_us: i64) {
        let mut uses = self.uses.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert(token.to_owned(), (at_us, false));
    }

    /// When a token was used last, UTC, µs since 1970.
    #[must_use]
    pub fn last_use(&self, token: &str) -> Option<i64> {
        let uses = self.uses.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.get(token).map(|&(at_us, _)| at_us)
    }
}

#[cfg(test)]
impl Ledger {
    /// As nobody but who writes to the file by himself would.
    pub(super) fn set_account(&self, party: &Party, sum: i128) {
        let write = self.db.begin_write().unwrap();
        {
            let mut accounts = write.open_table(ACCOUNTS).unwrap();
            accounts.insert(&*key(party), sum).unwrap();
        }
        write.commit().unwrap();
    }

    /// As a build of format 2 leaves it.
    pub(super) fn without_index(&self) {
        let write = self.db.begin_write().unwrap();
        write.delete_table(REGISTER).unwrap();
        write.delete_table(INTERVALS).unwrap();
        write.delete_table(ACCOUNTS).unwrap();
        write.delete_table(VALUES).unwrap();
        write.delete_table(ABOVE).unwrap();
        write.delete_table(UNSENT).unwrap();
        write.delete_table(HOLDS).unwrap();
        write.delete_table(USES).unwrap();
        {
            let mut meta = write.open_table(META).unwrap();
            meta.remove(INDEXED).unwrap();
            meta.insert("format", 2).unwrap();
        }
        write.commit().unwrap();
    }
}

/// When each token was used last, and whether that is on disk: worth no write of its own.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<BTreeMap<String, (i64, bool)>>);

impl Uses {
    /// As they are on disk.
    pub(super) fn read(db: &Database) -> Result<Self, StorageError> {
        let mut uses = BTreeMap::new();
        let table = db
            .begin_read()
            .ok()
            .and_then(|read| read.open_table(USES).ok());
        if let Some(table) = table {
            for entry in table.iter()? {
                let (token, at_us) = entry?;
                uses.insert(token.value().to_owned(), (at_us.value(), true));
            }
        }
        Ok(Self(Mutex::new(uses)))
    }

    /// Those that are not on disk, which they are from here on: if they are lost with a power cut, a
    /// token was used later than is shown.
    fn unwritten(&self) -> Vec<(String, i64)> {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unwritten = Vec::new();
        for (token, (at_us, written)) in uses.iter_mut().filter(|(_, (_, written))| !written) {
            unwritten.push((token.clone(), *at_us));
            *written = true;
        }
        unwritten
    }
}
