//! The list of events: every change of a binary or double-point value, or of its quality, in order, with the
//! source's time; a sequence-of-events recorder. Analog values are in the minutes.

use protocols::point::{PointId, Timestamp, Value};
use redb::{
    ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
};
use serde::{Deserialize, Serialize};

use super::{Historian, HistorianError, at};
use crate::feed::{Change, News};

/// Events by number, as JSON.
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
/// Events kept; beyond, the oldest go.
const EVENTS_MOST: u64 = 100_000;

/// What goes into the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A point has another value or quality.
    Changed {
        /// Which.
        point: PointId,
        /// Its value.
        value: Value,
        /// What speaks against it.
        quality: Vec<String>,
        /// When: the source's time, to the millisecond or better.
        time: Timestamp,
    },
    /// Changes were lost: the historian did not keep up.
    Lost {
        /// Batches of them, each of one poll or message of a device.
        batches: u64,
        /// When that was noticed, ours.
        time: Timestamp,
    },
}

impl Event {
    /// What of some news belongs into the list.
    pub fn of(news: &News, now_us: i64) -> Vec<Self> {
        match news {
            News::Changes(batch) => batch.changes.iter().filter_map(changed).collect(),
            News::Lost(batches) => vec![Self::Lost {
                batches: *batches,
                time: Timestamp::received(now_us),
            }],
        }
    }
}

fn changed(change: &Change) -> Option<Event> {
    let discrete = matches!(change.value, Value::Binary(_) | Value::DoublePoint(_));
    discrete.then(|| Event::Changed {
        point: change.point.clone(),
        value: change.value,
        quality: change.quality.names(),
        time: change.time,
    })
}

impl Historian {
    /// Puts events on record, durably, behind those that are there.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn note_events(&self, events: &[Event]) -> Result<(), HistorianError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.db.begin_write()?;
            {
                let mut table = transaction.open_table(EVENTS)?;
                let last = table.last()?.map_or(0, |(number, _)| number.value());
                for (number, event) in (last + 1..).zip(events) {
                    let json = serde_json::to_vec(event).unwrap_or_default();
                    table.insert(number, json.as_slice())?;
                }
                while table.len()? > EVENTS_MOST {
                    table.pop_first()?;
                }
            }
            Ok(transaction.commit()?)
        };
        write().map_err(|reason| at(&self.file)(&reason))
    }

    /// The last events on record, at most so many, oldest first, with their numbers; one that cannot be
    /// read is left out.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn events(&self, most: usize) -> Result<Vec<(u64, Event)>, HistorianError> {
        let read = || -> Result<Vec<(u64, Event)>, redb::Error> {
            let table = match self.db.begin_read()?.open_table(EVENTS) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                table => table?,
            };
            let mut events = Vec::new();
            for row in table.iter()?.rev().take(most) {
                let (number, json) = row?;
                let event = serde_json::from_slice(json.value()).ok();
                events.extend(event.map(|event| (number.value(), event)));
            }
            events.reverse();
            Ok(events)
        };
        read().map_err(|reason| at(&self.file)(&reason))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocols::point::{Quality, TimeQuality};

    use super::*;
    use crate::{feed::Batch, store::Retention};

    #[test]
    fn the_list_has_switching_in_order_over_restarts_and_says_what_was_lost() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let much = Retention {
                days: 30,
                bytes: u64::MAX,
            };
            Historian::open(dir.path(), much, 0).unwrap().0
        };
        let change = |value, unix_us| Change {
            point: PointId::parse("rtu1/bay1_closed"),
            value,
            quality: Quality::GOOD,
            time: Timestamp {
                unix_us,
                quality: TimeQuality::Source,
            },
        };
        let changes = vec![
            change(Value::Binary(true), 1_000),
            change(Value::Analog(7.0), 1_500),
            change(Value::Binary(false), 2_000),
        ];
        let batch = News::Changes(Arc::new(Batch { serial: 3, changes }));
        let first = Event::of(&batch, 0);
        let second = Event::of(&News::Lost(5), 9);
        assert_eq!(open().events(10).unwrap(), []);
        open().note_events(&first).unwrap();
        open().note_events(&second).unwrap();
        let all = open().events(10).unwrap();
        let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        let seen = |k: usize| match &all[k].1 {
            Event::Changed { value, time, .. } => Some((*value, time.unix_us)),
            Event::Lost { .. } => None,
        };
        assert_eq!(seen(0), Some((Value::Binary(true), 1_000)));
        assert_eq!(seen(1), Some((Value::Binary(false), 2_000)));
        assert!(matches!(all[2].1, Event::Lost { batches: 5, time } if time.unix_us == 9));
        assert_eq!(open().events(1).unwrap(), all[2..]);
    }

    #[test]
    fn the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let much = Retention {
            days: 30,
            bytes: u64::MAX,
        };
        let (historian, _) = Historian::open(dir.path(), much, 0).unwrap();
        let lost = |at_us: u64| Event::Lost {
            batches: 1,
            time: Timestamp::received(at_us as i64),
        };
        let many: Vec<Event> = (0..EVENTS_MOST + 10).map(lost).collect();
        historian.note_events(&many).unwrap();
        let kept = historian.events(usize::MAX).unwrap();
        assert_eq!((kept.len() as u64, kept[0].0), (EVENTS_MOST, 11));
    }
}
