//! What devices say, for the points of the list: every change that a device reports, in order, once, with
//! its time; not only what is so at each step of the loop.
//!
//! Contacts that change at one moment (at one source time, or in one poll) make one position of their
//! breaker. A snapshot of the table puts right what was not heard: what was so before we listened, or
//! what was lost because we were slow, which is said.

use std::collections::{BTreeMap, BTreeSet};

use protocols::point::{DoublePoint, PointId, TimeQuality, Timestamp, Value};

use super::{
    points::{Entry, Of},
    values::Said,
};
use crate::{
    feed::{Batch, Follower, News},
    table::Snapshot,
};

/// What is new.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Points by their place in the list, in the order in which they changed.
    pub said: Vec<(usize, Said)>,
    /// Batches of changes that were lost.
    pub lost: u64,
}

/// The devices' part of the list.
#[derive(Debug)]
pub struct FieldPoints {
    follower: Follower,
    list: BTreeMap<usize, Of>,
    /// Places in the list that a device's point has a part in.
    places: BTreeMap<PointId, Vec<usize>>,
    /// What each point says, and the serial number of the batch or snapshot that said it.
    latest: BTreeMap<PointId, (Said, u64)>,
}

impl FieldPoints {
    /// Of this list.
    #[must_use]
    pub fn new(entries: &[Entry], follower: Follower) -> Self {
        let mut list = BTreeMap::new();
        let mut places: BTreeMap<PointId, Vec<usize>> = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            let points = match &entry.of {
                Of::Measured(point) => vec![point],
                Of::Breaker { closed, open } => vec![closed, open],
                _ => continue,
            };
            list.insert(place, entry.of.clone());
            for point in points {
                places.entry(point.clone()).or_default().push(place);
            }
        }
        Self {
            follower,
            list,
            places,
            latest: BTreeMap::new(),
        }
    }

    /// Waits for what is new; none: the table is gone. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Heard> {
        let news = self.follower.next().await?;
        let mut heard = Heard::default();
        self.hear(&news, &mut heard);
        Some(heard)
    }

    /// Takes what waits, and then whatever the snapshot says otherwise.
    pub fn catch_up(&mut self, snapshot: &Snapshot) -> Heard {
        let mut heard = Heard::default();
        // What the snapshot has was told before it was taken.
        while let Some(news) = self.follower.take() {
            self.hear(&news, &mut heard);
        }
        let mut places = BTreeSet::new();
        for (id, of) in &self.places {
            let Some(point) = snapshot.points.get(id) else {
                continue;
            };
            let now = Said {
                value: point.value,
                quality: point.quality,
                time: point.time,
            };
            let before = self.latest.get(id);
            let newer = before.is_none_or(|(said, serial)| {
                let same = (said.value, said.quality) == (now.value, now.quality);
                *serial <= snapshot.changes && !same
            });
            if newer {
                self.latest.insert(id.clone(), (now, snapshot.changes));
                places.extend(of);
            }
        }
        self.say(places, &mut heard);
        heard
    }

    fn hear(&mut self, news: &News, heard: &mut Heard) {
        match news {
            News::Changes(batch) => self.apply(batch, heard),
            News::Lost(count) => heard.lost += count,
        }
    }

    fn apply(&mut self, batch: &Batch, heard: &mut Heard) {
        let mut moment: Option<Timestamp> = None;
        let mut changed: BTreeSet<&PointId> = BTreeSet::new();
        let mut places: Vec<usize> = Vec::new();
        for change in &batch.changes {
            let Some(of) = self.places.get(&change.point) else {
                continue;
            };
            let same = moment.is_none_or(|moment| together(moment, change.time));
            if !same || changed.contains(&change.point) {
                self.say(std::mem::take(&mut places), heard);
                changed.clear();
            }
            moment = Some(change.time);
            changed.insert(&change.point);
            for place in of {
                if !places.contains(place) {
                    places.push(*place);
                }
            }
            let said = Said {
                value: change.value,
                quality: change.quality,
                time: change.time,
            };
            let latest = (said, batch.serial);
            self.latest.insert(change.point.clone(), latest);
        }
        self.say(places, heard);
    }

    fn say(&self, places: impl IntoIterator<Item = usize>, heard: &mut Heard) {
        let latest = |point: &PointId| self.latest.get(point).map(|(said, _)| *said);
        for place in places {
            let said = match self.list.get(&place) {
                Some(Of::Measured(point)) => latest(point),
                Some(Of::Breaker { closed, open }) => {
                    latest(closed).zip(latest(open)).and_then(position)
                }
                _ => None,
            };
            heard.said.extend(said.map(|said| (place, said)));
        }
    }
}

/// Whether changes are of one moment. Times of receipt within one batch are those of one poll.
fn together(a: Timestamp, b: Timestamp) -> bool {
    let received = |time: Timestamp| time.quality == TimeQuality::Received;
    a == b || received(a) && received(b)
}

/// Two contacts as one position, at the later one's time.
fn position((closed, open): (Said, Said)) -> Option<Said> {
    let (Value::Binary(made), Value::Binary(broken)) = (closed.value, open.value) else {
        return None;
    };
    let position = match (made, broken) {
        (true, false) => DoublePoint::On,
        (false, true) => DoublePoint::Off,
        (false, false) => DoublePoint::Intermediate,
        (true, true) => DoublePoint::Bad,
    };
    let later = match closed.time.unix_us > open.time.unix_us {
        true => closed.time,
        false => open.time,
    };
    Some(Said {
        value: Value::DoublePoint(position),
        quality: closed.quality | open.quality,
        time: later,
    })
}

#[cfg(test)]
mod tests;
