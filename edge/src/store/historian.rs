//! The historian: the values of all points, a row per minute and point, the list of events, and the
//! alarms, in `historian.redb`.
//!
//! The oldest minutes go when they are too old or all of it is too much, a few with each minute that
//! is written: rows are in the order of time, so what goes lies together, as does what comes.
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
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};

use super::{
    block::{Encoder, Sample, decode},
    builder, database,
};
use crate::{
    table::{Snapshot, number},
    web::api::AlarmView,
};

mod events;

pub use events::Event;

const NAMES: TableDefinition<'_, &str, u32> = TableDefinition::new("points");
/// By minute (ms since 1970) and number of the point.
const MINUTES: TableDefinition<'_, (i64, u32), &[u8]> = TableDefinition::new("minutes");
/// How many bytes of `minutes` there are, keys included.
const SIZE: TableDefinition<'_, (), u64> = TableDefinition::new("size");
/// Alarms by number, as JSON.
const ALARMS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("alarms");
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Bytes of a key of `minutes`.
const KEY: u64 = 12;
/// With each row written so many of the oldest go at most: whatever the retention is set to, a
/// minute's work stays a minute's.
const PRUNE: usize = 4;
/// Alarms kept.
const ALARMS_MOST: u64 = 1000;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days.
    pub days: u32,
    /// Bytes of rows. The file is larger, by what the database needs besides.
    pub bytes: u64,
}

impl Retention {
    /// For one who writes nothing.
    const NOTHING_GOES: Self = Self {
        days: u32::MAX,
        bytes: u64::MAX,
    };
}

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
    retention: Retention,
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
    pub fn open(
        directory: &Path,
        retention: Retention,
        now_us: i64,
    ) -> Result<(Self, Option<PathBuf>), HistorianError> {
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
        Ok((Self::of(db, file, retention), aside))
    }

    /// Opens the historian that is in a directory, to read it.
    ///
    /// # Errors
    /// There is none, it is damaged, or an appliance runs on it.
    pub fn existing(directory: &Path) -> Result<Self, HistorianError> {
        let file = directory.join("historian.redb");
        let db = builder().open(&file).map_err(|error| at(&file)(&error))?;
        Ok(Self::of(db, file, Retention::NOTHING_GOES))
    }

    fn of(db: Database, file: PathBuf, retention: Retention) -> Self {
        Self {
            db,
            file,
            retention,
            minute_ms: 0,
            running: BTreeMap::new(),
        }
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
                // A source whose clock is ahead does not take the minute with it.
                unix_ms: point.time.unix_us.min(point.received_us) / 1000,
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
        self.write(&blocks).map_err(|reason| HistorianError {
            file: self.file.display().to_string(),
            reason: reason.to_string(),
        })
    }

    fn write(&self, blocks: &[(String, Vec<u8>)]) -> Result<(), redb::Error> {
        let minute_ms = self.minute_ms;
        let transaction = self.db.begin_write()?;
        {
            let mut names = transaction.open_table(NAMES)?;
            let mut table = transaction.open_table(MINUTES)?;
            let mut sizes = transaction.open_table(SIZE)?;
            let mut size = sizes.get(())?.map_or(0, |size| size.value());
            for (name, bytes) in blocks {
                let key = (minute_ms, number_of(&mut names, name)?);
                let before = table.get(key)?;
                let known = before.as_ref().map_or(0, |b| KEY + b.value().len() as u64);
                let joined = before.map(|before| joined(minute_ms, before.value(), bytes));
                let bytes = joined.as_ref().unwrap_or(bytes).as_slice();
                table.insert(key, bytes)?;
                size = (size + KEY + bytes.len() as u64).saturating_sub(known);
            }
            let oldest_ms = minute_ms - i64::from(self.retention.days) * DAY_MS;
            for _ in 0..PRUNE * blocks.len() {
                let first = table.first()?;
                let Some((key, length)) = first.map(|(k, v)| (k.value(), v.value().len())) else {
                    break;
                };
                if key.0 >= oldest_ms && size <= self.retention.bytes {
                    break;
                }
                table.remove(key)?;
                size = size.saturating_sub(KEY + length as u64);
            }
            sizes.insert((), size)?;
        }
        Ok(transaction.commit()?)
    }

    /// Puts alarms on record, by their number: new ones and ones that changed.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn note_alarms(&self, alarms: &[&AlarmView]) -> Result<(), HistorianError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.db.begin_write()?;
            {
                let mut table = transaction.open_table(ALARMS)?;
                for alarm in alarms {
                    let json = serde_json::to_vec(alarm).unwrap_or_default();
                    table.insert(alarm.id, json.as_slice())?;
                }
                while table.len()? > ALARMS_MOST {
                    table.pop_first()?;
                }
            }
            Ok(transaction.commit()?)
        };
        write().map_err(|reason| at(&self.file)(&reason))
    }

    /// The alarms on record, oldest first; one that cannot be read is left out.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn alarms(&self) -> Result<Vec<AlarmView>, HistorianError> {
        let read = || -> Result<Vec<AlarmView>, redb::Error> {
            let table = match self.db.begin_read()?.open_table(ALARMS) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                table => table?,
            };
            let mut alarms = Vec::new();
            for row in table.iter()? {
                alarms.extend(serde_json::from_slice(row?.1.value()).ok());
            }
            Ok(alarms)
        };
        read().map_err(|reason| at(&self.file)(&reason))
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
        let read = || -> Result<Vec<(i64, f64, Quality)>, redb::Error> {
            let transaction = self.db.begin_read()?;
            let names = match transaction.open_table(NAMES) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                names => names?,
            };
            let Some(number) = names.get(point.as_str())?.map(|number| number.value()) else {
                return Ok(Vec::new());
            };
            let table = transaction.open_table(MINUTES)?;
            let mut values = Vec::new();
            let mut from = (from_ms.div_euclid(MINUTE_MS) * MINUTE_MS, number);
            // From minute to minute, past all other points.
            while let Some(row) = table.range(from..)?.next() {
                let (key, bytes) = row?;
                let (minute_ms, of) = key.value();
                if minute_ms > to_ms {
                    break;
                }
                if of == number {
                    let samples = decode(minute_ms, bytes.value()).into_iter();
                    let wanted = samples.filter(|s| (from_ms..=to_ms).contains(&s.unix_ms));
                    values.extend(wanted.map(|s| (s.unix_ms, s.value, s.quality)));
                }
                from = match of < number {
                    true => (minute_ms, number),
                    false => (minute_ms + 1, 0),
                };
            }
            Ok(values)
        };
        read().map_err(|reason| at(&self.file)(&reason))
    }
}

/// The number of a point, a new one if it has none.
fn number_of(names: &mut redb::Table<'_, &str, u32>, name: &str) -> Result<u32, redb::Error> {
    if let Some(number) = names.get(name)? {
        return Ok(number.value());
    }
    let number = u32::try_from(names.len()?).unwrap_or(u32::MAX);
    names.insert(name, number)?;
    Ok(number)
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

/// Only the last one is kept: a disk that damages files shall not be filled with them as well.
fn set_aside(file: &Path, now_us: i64) -> io::Result<PathBuf> {
    let directory = file.parent().unwrap_or(Path::new("."));
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("historian.damaged-")
        {
            fs::remove_file(entry.path())?;
        }
    }
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
    const MUCH: Retention = Retention {
        days: 30,
        bytes: u64::MAX,
    };

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
            let (mut historian, aside) = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
            assert_eq!(aside, None);
            seconds(&mut historian, 0..150);
            historian.flush().unwrap();
        }
        let (historian, _) = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
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
            let (mut historian, _) = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
            seconds(&mut historian, which);
            historian.flush().unwrap();
        }
        let (historian, _) = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
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
        let _historian = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
        let mode = fs::metadata(dir.path().join("historian.redb")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_historian_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("historian.redb");
        fs::write(&file, b"this is no history").unwrap();
        let (mut historian, aside) = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
        let aside = aside.unwrap();
        assert_eq!(fs::read(&aside).unwrap(), b"this is no history");
        seconds(&mut historian, 0..3);
        historian.flush().unwrap();
        drop(historian);
        // Only the last one is kept.
        fs::write(&file, b"nor is this").unwrap();
        let later_us = BEGIN_US + 1_000_000;
        let (_historian, again) = Historian::open(dir.path(), MUCH, later_us).unwrap();
        assert_eq!(fs::read(again.unwrap()).unwrap(), b"nor is this");
        assert!(!aside.exists());
    }

    /// A value each minute of these.
    fn minutes(historian: &mut Historian, which: std::ops::Range<i64>) {
        for minute in which {
            seconds(historian, 60 * minute..60 * minute + 1);
        }
    }

    fn kept(historian: &Historian) -> Vec<i64> {
        let all = historian.values(&PointId::parse("pv3/p"), 0, i64::MAX);
        all.unwrap().iter().map(|v| v.1 as i64 / 60).collect()
    }

    #[test]
    fn what_is_too_old_goes() {
        let dir = tempfile::tempdir().unwrap();
        let day = Retention {
            days: 1,
            bytes: u64::MAX,
        };
        let (mut historian, _) = Historian::open(dir.path(), day, BEGIN_US).unwrap();
        minutes(&mut historian, 0..10);
        minutes(&mut historian, 1443..1446);
        historian.flush().unwrap();
        // At minute 1445, what is older than 5; a day is 1440.
        let expected: Vec<i64> = (5..10).chain(1443..1446).collect();
        assert_eq!(kept(&historian), expected);
    }

    #[test]
    fn what_is_too_much_goes_oldest_first_and_never_much_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let row = {
            let (mut historian, _) = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
            minutes(&mut historian, 0..100);
            historian.flush().unwrap();
            let read = historian.db.begin_read().unwrap();
            let size = read.open_table(SIZE).unwrap().get(()).unwrap().unwrap();
            size.value() / 100
        };
        // Allowed much less than there is: it goes by and by.
        let little = Retention {
            days: 30,
            bytes: 10 * (row + 1),
        };
        let (mut historian, _) = Historian::open(dir.path(), little, BEGIN_US).unwrap();
        minutes(&mut historian, 100..101);
        historian.flush().unwrap();
        assert_eq!(kept(&historian), (4..101).collect::<Vec<_>>());
        minutes(&mut historian, 101..200);
        historian.flush().unwrap();
        let left = kept(&historian);
        assert!((9..=11).contains(&left.len()), "{left:?}");
        assert_eq!(left.last(), Some(&199));
    }

    fn alarm(id: u64) -> AlarmView {
        AlarmView {
            id,
            severity: "warning".to_owned(),
            code: "bad_data".to_owned(),
            source: "pv3/p".to_owned(),
            text: format!("alarm {id}"),
            since: "2026-06-21T12:00:00Z".to_owned(),
            cleared: None,
            acknowledged_by: None,
        }
    }

    #[test]
    fn alarms_outlive_a_restart_as_they_last_were_and_are_not_kept_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (historian, _) = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
            assert_eq!(historian.alarms().unwrap(), []);
            let all: Vec<AlarmView> = (0..1100).map(alarm).collect();
            let all: Vec<&AlarmView> = all.iter().collect();
            historian.note_alarms(&all).unwrap();
            let seen = AlarmView {
                acknowledged_by: Some("ada".to_owned()),
                ..alarm(1099)
            };
            historian.note_alarms(&[&seen]).unwrap();
        }
        let (historian, _) = Historian::open(dir.path(), MUCH, BEGIN_US).unwrap();
        let alarms = historian.alarms().unwrap();
        assert_eq!((alarms.len(), alarms[0].id), (1000, 100));
        assert_eq!(alarms[999].acknowledged_by.as_deref(), Some("ada"));
    }
}
