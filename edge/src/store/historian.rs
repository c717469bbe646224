//! The historian: the values of all points, a row per point and minute in `historian.redb`.
//!
//! A minute is written when it has passed, or on a clean stop, so a crash loses the running
//! minute's history and nothing else. A damaged file is set aside and a new one begun: history is
//! worth less than a running appliance.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use protocols::point::{PointId, Quality, Value};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use super::{
    block::{Encoder, Sample, decode},
    database,
};
use crate::table::{Snapshot, number};

const NAMES: TableDefinition<'_, &str, u32> = TableDefinition::new("points");
const BLOCKS: TableDefinition<'_, (u32, i64), &[u8]> = TableDefinition::new("blocks");
const MINUTE_MS: i64 = 60_000;

/// Why history cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct HistorianError {
    file: String,
    reason: String,
}

/// See the module.
#[derive(Debug)]
pub struct Historian {
    db: Database,
    file: PathBuf,
    /// Begin of the running minute, ms since 1970.
    minute_ms: i64,
    running: BTreeMap<PointId, Running>,
}

#[derive(Debug, Default)]
struct Running {
    encoder: Encoder,
    received_us: i64,
}

impl Historian {
    /// Opens the historian in a directory, or begins one. A damaged one is renamed, and its new
    /// name returned.
    ///
    /// # Errors
    /// A new one cannot be begun either.
    pub fn open(directory: &Path, now_us: i64) -> Result<(Self, Option<PathBuf>), HistorianError> {
        let file = directory.join("historian.redb");
        let (db, aside) = match database(&file) {
            Ok(db) => (db, None),
            Err(
                error @ (DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch),
            ) => return Err(at(&file)(&error)),
            Err(error) => {
                tracing::error!(%error, file = %file.display(), "historian damaged");
                let aside = set_aside(&file, now_us).map_err(|e| at(&file)(&e))?;
                let db = database(&file).map_err(|e| at(&file)(&e))?;
                (db, Some(aside))
            }
        };
        let historian = Self {
            db,
            file,
            minute_ms: 0,
            running: BTreeMap::new(),
        };
        Ok((historian, aside))
    }

    /// Takes over what is new in a snapshot.
    ///
    /// # Errors
    /// The minute that has passed cannot be written; it is dropped then.
    pub fn note(&mut self, snapshot: &Snapshot) -> Result<(), HistorianError> {
        let minute_ms = (snapshot.now_us / 1000).div_euclid(MINUTE_MS) * MINUTE_MS;
        let written = if minute_ms == self.minute_ms {
            Ok(())
        } else {
            self.flush()
        };
        self.minute_ms = minute_ms;
        for (id, point) in &snapshot.points {
            let running = self.running.entry(id.clone()).or_default();
            if point.received_us == running.received_us {
                continue;
            }
            running.received_us = point.received_us;
            let value = match point.value {
                Value::Binary(on) => f64::from(u8::from(on)),
                Value::DoublePoint(position) => f64::from(position as u8),
                other => number(other).unwrap_or(f64::NAN),
            };
            let sample = Sample {
                unix_ms: point.time.unix_us / 1000,
                value,
                quality: point.quality,
            };
            running.encoder.push(minute_ms, sample);
        }
        written
    }

    /// Writes the running minute, after what is there of it already: from before a restart, or from
    /// before the clock was set back.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> Result<(), HistorianError> {
        let minute_ms = self.minute_ms;
        let blocks: Vec<(String, Vec<u8>)> = self
            .running
            .iter_mut()
            .filter(|(_, running)| !running.encoder.bytes().is_empty())
            .map(|(id, running)| {
                let encoder = std::mem::take(&mut running.encoder);
                (id.to_string(), encoder.bytes().to_vec())
            })
            .collect();
        if blocks.is_empty() {
            return Ok(());
        }
        let error = at(&self.file);
        let transaction = self.db.begin_write().map_err(|e| error(&e))?;
        {
            let mut names = transaction.open_table(NAMES).map_err(|e| error(&e))?;
            let mut table = transaction.open_table(BLOCKS).map_err(|e| error(&e))?;
            for (name, bytes) in &blocks {
                let known = names.get(name.as_str()).map_err(|e| error(&e))?;
                let known = known.map(|number| number.value());
                let number = match known {
                    Some(number) => number,
                    None => {
                        let count = redb::ReadableTableMetadata::len(&names);
                        let number = count.map_err(|e| error(&e))? as u32;
                        names.insert(name.as_str(), number).map_err(|e| error(&e))?;
                        number
                    }
                };
                let key = (number, minute_ms);
                let before = table.get(key).map_err(|e| error(&e))?;
                let before = before.map(|before| joined(minute_ms, before.value(), bytes));
                let bytes = before.as_ref().unwrap_or(bytes).as_slice();
                table.insert(key, bytes).map_err(|e| error(&e))?;
            }
        }
        transaction.commit().map_err(|e| error(&e))
    }

    /// Values of a point within a time, oldest first: ms since 1970, value, quality.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn values(
        &self,
        point: &PointId,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<(i64, f64, Quality)>, HistorianError> {
        let error = at(&self.file);
        let transaction = self.db.begin_read().map_err(|e| error(&e))?;
        let names = match transaction.open_table(NAMES) {
            Ok(names) => names,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(e) => return Err(error(&e)),
        };
        let Some(number) = names.get(point.as_str()).map_err(|e| error(&e))? else {
            return Ok(Vec::new());
        };
        let number = number.value();
        let table = transaction.open_table(BLOCKS).map_err(|e| error(&e))?;
        let first = from_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
        let mut values = Vec::new();
        for row in table
            .range((number, first)..=(number, to_ms))
            .map_err(|e| error(&e))?
        {
            let (key, bytes) = row.map_err(|e| error(&e))?;
            let samples = decode(key.value().1, bytes.value());
            let wanted = samples
                .into_iter()
                .filter(|s| (from_ms..=to_ms).contains(&s.unix_ms));
            values.extend(wanted.map(|s| (s.unix_ms, s.value, s.quality)));
        }
        Ok(values)
    }
}

/// Two parts of a minute as one.
fn joined(minute_ms: i64, first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for part in [first, second] {
        for sample in decode(minute_ms, part) {
            encoder.push(minute_ms, sample);
        }
    }
    encoder.bytes().to_vec()
}

fn at(file: &Path) -> impl Fn(&dyn fmt::Display) -> HistorianError {
    let file = file.display().to_string();
    move |reason| HistorianError {
        file: file.clone(),
        reason: reason.to_string(),
    }
}

fn set_aside(file: &Path, now_us: i64) -> io::Result<PathBuf> {
    let aside = file.with_extension(format!("damaged-{}", now_us / 1_000_000));
    fs::rename(file, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocols::{
        device::DeviceState,
        point::{DeviceId, Timestamp, Update},
    };

    use super::*;
    use crate::table::{Promise, Table};

    const BEGIN_US: i64 = 1_800_000_000_000_000;

    fn seconds(historian: &mut Historian, which: std::ops::Range<i64>) {
        let device = DeviceId::new("pv3");
        let promise = Promise::of(Duration::from_secs(1), Duration::from_secs(1));
        let mut table = Table::new([(device.clone(), promise)], [], BEGIN_US);
        table.state(&device, DeviceState::Online, BEGIN_US);
        for k in which {
            let now_us = BEGIN_US + k * 1_000_000;
            let update = Update {
                point: PointId::new(&device, "p"),
                value: Value::Analog(k as f64),
                quality: Quality::GOOD,
                time: Timestamp::received(now_us),
            };
            table.update(&device, vec![update], now_us);
            historian.note(&table.snapshot(now_us)).unwrap();
        }
    }

    #[test]
    fn history_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (mut historian, aside) = Historian::open(dir.path(), BEGIN_US).unwrap();
            assert_eq!(aside, None);
            seconds(&mut historian, 0..150);
            historian.flush().unwrap();
        }
        let (historian, _) = Historian::open(dir.path(), BEGIN_US).unwrap();
        let point = PointId::parse("pv3/p");
        let begin_ms = BEGIN_US / 1000;
        let all = historian.values(&point, 0, i64::MAX).unwrap();
        assert_eq!(all.len(), 150);
        let some = historian
            .values(&point, begin_ms + 58_000, begin_ms + 61_000)
            .unwrap();
        let values: Vec<f64> = some.iter().map(|v| v.1).collect();
        assert_eq!(values, [58.0, 59.0, 60.0, 61.0]);
        assert_eq!(some[0].0, begin_ms + 58_000);
        let nobody = historian.values(&PointId::parse("pv3/x"), 0, i64::MAX);
        assert_eq!(nobody.unwrap(), []);
    }

    #[test]
    fn a_restart_within_a_minute_or_a_clock_set_back_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let point = PointId::parse("pv3/p");
        for which in [0..20, 25..30, 10..12] {
            let (mut historian, _) = Historian::open(dir.path(), BEGIN_US).unwrap();
            seconds(&mut historian, which);
            historian.flush().unwrap();
        }
        let (historian, _) = Historian::open(dir.path(), BEGIN_US).unwrap();
        let all = historian.values(&point, 0, i64::MAX).unwrap();
        let values: Vec<f64> = all.iter().map(|v| v.1).collect();
        let expected: Vec<f64> = (0..20).chain(25..30).chain(10..12).map(f64::from).collect();
        assert_eq!(values, expected);
        assert_eq!(all[24].0, BEGIN_US / 1000 + 29_000);
        // What a clock set back says is noted at the last time that was noted.
        assert_eq!(all[25].0, BEGIN_US / 1000 + 29_000);
    }

    #[test]
    fn only_the_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let _historian = Historian::open(dir.path(), BEGIN_US).unwrap();
        let mode = fs::metadata(dir.path().join("historian.redb")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_historian_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("historian.redb");
        fs::write(&file, b"this is no history").unwrap();
        let (mut historian, aside) = Historian::open(dir.path(), BEGIN_US).unwrap();
        let aside = aside.unwrap();
        assert_eq!(fs::read(aside).unwrap(), b"this is no history");
        seconds(&mut historian, 0..3);
        historian.flush().unwrap();
    }
}
