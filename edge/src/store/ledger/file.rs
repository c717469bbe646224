//! The ledger's file: a redb database with a row per record, by number.
//!
//! ```text
//! row  hash of the chain (32) | first bytes of the SHA-256 of what follows (8) | at_us, big endian (8) | JSON (zlib)
//! ```
//!
//! Format 1 had the JSON (zlib, RFC 1950) alone, format 2 no index and no records of participants, meters
//! from outside and corrections, format 3 no records of a market above, format 4 no holds of
//! operators. All are taken over when they are opened.

use std::{fmt, fs, io, path::Path};

use miniz_oxide::{deflate::compress_to_vec_zlib, inflate::decompress_to_vec_zlib_with_limit};
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition,
    TableHandle as _, WriteTransaction,
};

use super::{
    Fault, Hash, Key, LedgerError, Receipt, Record, Report, Verifier,
    chain::checkpoint_message,
    index::{Index, Uses},
    write_export,
};
use crate::store::{builder, database};

/// Level of compression: higher ones save little more.
const LEVEL: u8 = 6;
/// No record is larger, bytes of JSON.
const RECORD_MOST: usize = 64 << 20;
/// The format written here. It counts up with every kind or form of record that a build before would not
/// know: such a build then says so, instead of taking the record for a strange one.
pub(super) const FORMAT: u64 = 5;
/// The first one with rows as they are here.
const CHAINED: u64 = 2;

pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chained");
/// Digest of a network to the number of its record.
const NETWORKS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("networks");
/// The records of format 1. Kept with one row that a Busbar of that format refuses to read, lest it
/// take the ledger for an empty one.
const UNCHAINED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

/// One record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number, from 0 without a gap.
    pub number: u64,
    /// Hash of the chain up to and with it.
    pub hash: Hash,
    /// When it was appended, UTC, µs since 1970.
    pub at_us: i64,
    /// The record.
    pub json: String,
}

impl Row {
    /// The record, for who knows its form.
    ///
    /// # Errors
    /// It is of a form that this program does not know.
    pub fn record(&self) -> Result<Record, String> {
        serde_json::from_str(&self.json).map_err(|e| e.to_string())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut content = self.at_us.to_be_bytes().to_vec();
        content.extend(compress_to_vec_zlib(self.json.as_bytes(), LEVEL));
        let mut bytes = self.hash.0.to_vec();
        bytes.extend(&Hash::of(&content).0[..8]);
        bytes.extend(content);
        bytes
    }

    pub(in crate::store) fn read(number: u64, bytes: &[u8]) -> Result<Self, Fault> {
        let unreadable = |reason: String| Fault::Unreadable { number, reason };
        let short = || unreadable("it is too short".to_owned());
        let (hash, rest) = bytes.split_first_chunk::<32>().ok_or_else(short)?;
        let (seal, content) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (at_us, packed) = content.split_first_chunk::<8>().ok_or_else(short)?;
        // What is packed may have bits that say nothing, which the chain does not see.
        if Hash::of(content).0[..8] != *seal {
            return Err(unreadable("it is not as it was written".to_owned()));
        }
        let json = decompress_to_vec_zlib_with_limit(packed, RECORD_MOST);
        let json = json.map_err(|e| unreadable(e.to_string()))?;
        Ok(Self {
            number,
            hash: Hash(*hash),
            at_us: i64::from_be_bytes(*at_us),
            json: String::from_utf8(json).map_err(|e| unreadable(e.to_string()))?,
        })
    }
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    pub(super) db: Database,
    pub(super) file: String,
    pub(super) uses: Uses,
    /// None where it is only looked at and there is no key.
    key: Option<Key>,
}

impl Ledger {
    /// Opens the ledger in a directory, or begins one, and its key.
    ///
    /// # Errors
    /// It is in use, damaged, of a newer format, or cannot be read or written.
    pub fn open(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join("ledger.redb");
        let file = path.display().to_string();
        let db = match database(&path) {
            Ok(db) => db,
            Err(error) => return Err(not_opened(file, &error)),
        };
        let key = Some(Key::open(directory)?);
        let uses = Uses::read(&db).map_err(|e| storage_of(&file, &e))?;
        let ledger = Self {
            db,
            file,
            uses,
            key,
        };
        ledger.prepare()?;
        ledger.catch_up()?;
        // A file that was just begun survives a power cut only if its directory knows it.
        let known = fs::File::open(directory).and_then(|directory| directory.sync_all());
        known.map_err(|e| ledger.storage(&e))?;
        Ok(ledger)
    }

    /// Opens a ledger that is there, with its key if that is there too, and makes neither.
    ///
    /// # Errors
    /// It is in use, damaged, of another format, or cannot be read.
    pub fn look(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join("ledger.redb");
        let file = path.display().to_string();
        let db = builder()
            .open(&path)
            .map_err(|error| not_opened(file.clone(), &error))?;
        let key = match directory.join(super::key::FILE).exists() {
            true => Some(Key::open(directory)?),
            false => None,
        };
        let ledger = Self {
            db,
            file,
            uses: Uses::default(),
            key,
        };
        let read = ledger.db.begin_read().map_err(|e| ledger.storage(&e))?;
        let format = match read.open_table(META) {
            Ok(meta) => meta.get("format").map_err(|e| ledger.storage(&e))?,
            Err(_) => None,
        };
        match format.map(|format| format.value()) {
            Some(CHAINED..=FORMAT) => {
                ledger.catch_up()?;
                Ok(ledger)
            }
            Some(found) => Err(ledger.newer(found)),
            None => Err(ledger.storage(
                &"it is of a Busbar before the chain; start the appliance once, which takes it over",
            )),
        }
    }

    /// The key it is signed with.
    ///
    /// # Errors
    /// There is none.
    pub fn key(&self) -> Result<&Key, LedgerError> {
        self.key.as_ref().ok_or_else(|| LedgerError::Key {
            file: super::key::FILE.to_owned(),
            reason: "there is none beside the ledger, and without it nothing can be signed"
                .to_owned(),
        })
    }

    /// All tables exist from the start, so that reading an empty ledger is no special case.
    fn prepare(&self) -> Result<(), LedgerError> {
        let transaction = self.db.begin_write().map_err(|e| self.storage(&e))?;
        let tables = transaction.list_tables().map_err(|e| self.storage(&e))?;
        let names: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
        let format = {
            let mut meta = transaction.open_table(META).map_err(|e| self.storage(&e))?;
            let format = meta.get("format").map_err(|e| self.storage(&e))?;
            let format = format.map(|format| format.value());
            meta.insert("format", FORMAT)
                .map_err(|e| self.storage(&e))?;
            format
        };
        if let Some(found) = format.filter(|&found| found > FORMAT) {
            return Err(self.newer(found));
        }
        if format.is_none() {
            self.begin(
                &transaction,
                names.iter().any(|name| name == UNCHAINED.name()),
            )?;
        }
        transaction.commit().map_err(|e| self.storage(&e))
    }

    /// A new ledger, or one of format 1 made into one of this.
    fn begin(&self, transaction: &WriteTransaction, unchained: bool) -> Result<(), LedgerError> {
        let storage = |e: redb::StorageError| self.storage(&e);
        let open = |e: redb::TableError| self.storage(&e);
        transaction.open_table(NETWORKS).map_err(open)?;
        let mut rows = transaction.open_table(ROWS).map_err(open)?;
        let mut old = transaction.open_table(UNCHAINED).map_err(open)?;
        if unchained {
            tracing::info!(
                file = self.file,
                "the ledger of an earlier Busbar is chained"
            );
            let mut chain = (0, Hash::START);
            let mut at_us = 0;
            for row in old.iter().map_err(storage)? {
                let (number, packed) = row.map_err(storage)?;
                let json = decompress_to_vec_zlib_with_limit(packed.value(), RECORD_MOST)
                    .map_err(|e| e.to_string())
                    .and_then(|json| String::from_utf8(json).map_err(|e| e.to_string()))
                    .map_err(|reason| {
                        let number = number.value();
                        self.damaged(Fault::Unreadable { number, reason })
                    })?;
                at_us = moment(&json).unwrap_or(at_us);
                let row = link(&mut chain, at_us, json);
                rows.insert(row.number, row.bytes().as_slice())
                    .map_err(storage)?;
            }
            old.retain(|_, _| false).map_err(storage)?;
        }
        let notice =
            compress_to_vec_zlib(b"\"this ledger was taken over by a newer Busbar\"", LEVEL);
        old.insert(0, notice.as_slice()).map_err(storage)?;
        Ok(())
    }

    /// Appends records; they are on disk when this returns. A network that is on record already is
    /// left out. With `signed`, a checkpoint follows that signs the chain so far. The receipt is of the
    /// last of `records`.
    ///
    /// # Errors
    /// They cannot be written; then none of them is.
    pub fn append(
        &self,
        records: &[Record],
        at_us: i64,
        signed: bool,
    ) -> Result<Option<Receipt>, LedgerError> {
        let transaction = self.db.begin_write().map_err(|e| self.storage(&e))?;
        let mut receipt = None;
        {
            let open = |e: redb::TableError| self.storage(&e);
            let mut rows = transaction.open_table(ROWS).map_err(open)?;
            let mut networks = transaction.open_table(NETWORKS).map_err(open)?;
            let mut index = Index::open(&transaction).map_err(|e| self.storage(&e))?;
            let (mut chain, at_checkpoint) = self.end(&rows)?;
            let mut insert = |chain: &mut (u64, Hash), record: &Record| {
                let json = serde_json::to_string(record).map_err(|e| self.storage(&e))?;
                let row = link(chain, at_us, json);
                let bytes = row.bytes();
                rows.insert(row.number, bytes.as_slice())
                    .map_err(|e| self.storage(&e))?;
                index
                    .note(row.number, record)
                    .map_err(|e| self.storage(&e))?;
                let (number, hash) = (row.number, row.hash);
                Ok(Receipt { number, hash })
            };
            for record in records {
                if let Record::Network { digest, .. } = record {
                    let known = networks.get(digest.0.as_slice());
                    if known.map_err(|e| self.storage(&e))?.is_some() {
                        continue;
                    }
                    networks
                        .insert(digest.0.as_slice(), chain.0)
                        .map_err(|e| self.storage(&e))?;
                }
                receipt = Some(insert(&mut chain, record)?);
            }
            if signed && !(at_checkpoint && receipt.is_none()) {
                let message = checkpoint_message(chain.0, at_us, chain.1);
                let checkpoint = Record::Checkpoint {
                    key: self.key()?.public(),
                    signature: self.key()?.sign(&message),
                };
                insert(&mut chain, &checkpoint)?;
            }
            index
                .finish(chain.0, &self.uses)
                .map_err(|e| self.storage(&e))?;
        }
        transaction.commit().map_err(|e| self.storage(&e))?;
        Ok(receipt)
    }

    /// Number of the next record and the hash before it; whether there is nothing to sign.
    fn end(
        &self,
        rows: &Table<'_, u64, &'static [u8]>,
    ) -> Result<((u64, Hash), bool), LedgerError> {
        let last = rows.last().map_err(|e| self.storage(&e))?;
        match last {
            None => Ok(((0, Hash::START), true)),
            Some((number, bytes)) => {
                let row = Row::read(number.value(), bytes.value()).map_err(|f| self.damaged(f))?;
                let checkpoint = row.json.starts_with(r#"{"record":"checkpoint","#);
                Ok(((row.number + 1, row.hash), checkpoint))
            }
        }
    }

    /// The rows from a number on, oldest first, each as it is kept.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn rows(
        &self,
        from: u64,
    ) -> Result<impl Iterator<Item = Result<Row, LedgerError>> + '_, LedgerError> {
        let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = read.open_table(ROWS).map_err(|e| self.storage(&e))?;
        let range = table.range(from..).map_err(|e| self.storage(&e))?;
        Ok(range.map(|row| {
            let (number, bytes) = row.map_err(|e| self.storage(&e))?;
            Row::read(number.value(), bytes.value()).map_err(|f| self.damaged(f))
        }))
    }

    /// The number of the record that holds a network.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn network(&self, digest: Hash) -> Result<Option<u64>, LedgerError> {
        let read = self.db.begin_read().map_err(|e| self.storage(&e))?;
        let table = read.open_table(NETWORKS).map_err(|e| self.storage(&e))?;
        let found = table.get(digest.0.as_slice());
        let found = found.map_err(|e| self.storage(&e))?;
        Ok(found.map(|number| number.value()))
    }

    /// Checks the whole chain and its signatures, which have to be of one of the keys, if any are
    /// given.
    ///
    /// # Errors
    /// The first thing that is wrong, or it cannot be read.
    pub fn verify(&self, keys: &[super::PublicKey]) -> Result<Report, LedgerError> {
        let mut verifier = Verifier::new(0, Hash::START, keys);
        for row in self.rows(0)? {
            let row = row?;
            verifier
                .record(row.number, row.at_us, row.json.as_bytes(), row.hash)
                .map_err(|fault| self.damaged(fault))?;
        }
        Ok(verifier.report())
    }

    /// Exports the records appended from `from_us` until before `to_us`; returns how many.
    ///
    /// # Errors
    /// They cannot be read, or the text cannot be written.
    pub fn export(
        &self,
        from_us: i64,
        to_us: i64,
        out: &mut impl io::Write,
    ) -> Result<u64, LedgerError> {
        let (mut first, mut past, mut previous) = (None, 0, Hash::START);
        let mut before = Hash::START;
        for row in self.rows(0)? {
            let row = row?;
            if (from_us..to_us).contains(&row.at_us) {
                if first.is_none() {
                    (first, previous) = (Some(row.number), before);
                }
                past = row.number + 1;
            }
            before = row.hash;
        }
        let first = first.unwrap_or_default();
        let count = usize::try_from(past.saturating_sub(first)).unwrap_or(usize::MAX);
        let rows = self
            .rows(first)?
            .take(count)
            .map(|row| row.map_err(Into::into));
        let written = write_export::<io::Error>(rows, first, previous, self.key()?, out);
        written.map_err(|e| self.storage(&e))
    }

    fn newer(&self, found: u64) -> LedgerError {
        LedgerError::Newer {
            file: self.file.clone(),
            found,
            known: FORMAT,
        }
    }

    pub(super) fn damaged(&self, fault: Fault) -> LedgerError {
        LedgerError::Damaged {
            file: self.file.clone(),
            fault,
        }
    }

    pub(super) fn storage(&self, error: &dyn fmt::Display) -> LedgerError {
        storage_of(&self.file, error)
    }

    /// What is on record cannot be counted.
    pub(crate) fn beyond(&self, what: &str) -> LedgerError {
        self.storage(&format!("{what} are beyond what is counted in"))
    }

    /// The record of a row.
    pub(crate) fn record(&self, row: &Row) -> Result<Record, LedgerError> {
        row.record().map_err(|reason| LedgerError::Record {
            file: self.file.clone(),
            number: row.number,
            reason,
        })
    }
}

fn storage_of(file: &str, error: &dyn fmt::Display) -> LedgerError {
    LedgerError::Storage {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

impl From<LedgerError> for io::Error {
    fn from(error: LedgerError) -> Self {
        Self::other(error)
    }
}

fn not_opened(file: String, error: &DatabaseError) -> LedgerError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            LedgerError::InUse(file)
        }
        error => LedgerError::Storage {
            file,
            reason: error.to_string(),
        },
    }
}

/// The next row of a chain; `chain` is the number and the hash before, and goes on.
fn link(chain: &mut (u64, Hash), at_us: i64, json: String) -> Row {
    let (number, previous) = *chain;
    let hash = previous.next(number, at_us, json.as_bytes());
    *chain = (number + 1, hash);
    Row {
        number,
        hash,
        at_us,
        json,
    }
}

/// When a record of format 1 was written, as far as it says: its own time, or its interval's start.
fn moment(json: &str) -> Option<i64> {
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    let at = |name: &str| value.get(name).and_then(serde_json::Value::as_i64);
    at("at_us").or_else(|| at("interval")?.checked_mul(1_000_000))
}

#[cfg(test)]
impl Ledger {
    /// A row's bytes as they are kept.
    pub(super) fn kept(&self, number: u64) -> Vec<u8> {
        let read = self.db.begin_read().unwrap();
        let table = read.open_table(ROWS).unwrap();
        table.get(number).unwrap().unwrap().value().to_vec()
    }

    /// Puts other bytes, or none, in a row's place.
    pub(super) fn tamper(&self, number: u64, bytes: Option<&[u8]>) {
        let write = self.db.begin_write().unwrap();
        {
            let mut table = write.open_table(ROWS).unwrap();
            match bytes {
                Some(bytes) => drop(table.insert(number, bytes).unwrap()),
                None => drop(table.remove(number).unwrap()),
            }
        }
        write.commit().unwrap();
    }

    /// Checks rows that are not on disk.
    pub(super) fn check(rows: &[Vec<u8>]) -> Result<Report, Fault> {
        let mut verifier = Verifier::new(0, Hash::START, &[]);
        for (number, bytes) in (0..).zip(rows) {
            let row = Row::read(number, bytes)?;
            verifier.record(number, row.at_us, row.json.as_bytes(), row.hash)?;
        }
        Ok(verifier.report())
    }

    /// A ledger of another format, as another build would leave it.
    pub(super) fn of_format(directory: &Path, format: Option<u64>, records: &[Record]) {
        let db = database(&directory.join("ledger.redb")).unwrap();
        let write = db.begin_write().unwrap();
        {
            if let Some(format) = format {
                let mut meta = write.open_table(META).unwrap();
                meta.insert("format", format).unwrap();
            }
            let mut table = write.open_table(UNCHAINED).unwrap();
            for (number, record) in (0..).zip(records) {
                let json = serde_json::to_vec(record).unwrap();
                let bytes = compress_to_vec_zlib(&json, LEVEL);
                table.insert(number, bytes.as_slice()).unwrap();
            }
        }
        write.commit().unwrap();
    }

    /// Makes a chain anew after a row was changed, as somebody without the key could.
    pub(super) fn rechain(&self, changed: u64, json: &str) {
        let rows: Vec<Row> = self.rows(0).unwrap().map(|row| row.unwrap()).collect();
        let mut chain = (0, Hash::START);
        for row in rows {
            let json = if row.number == changed {
                json.to_owned()
            } else {
                row.json
            };
            let row = link(&mut chain, row.at_us, json);
            self.tamper(row.number, Some(&row.bytes()));
        }
    }
}
