//! The live point table: one writer, immutable snapshots.
//!
//! The writer notes what devices deliver and judges age when a snapshot is taken: a value older
//! than three polls and a time-out is `OLD`, one of a device that does not answer `COMM_LOST`. A
//! noisy measurement that repeats bit by bit while its device answers is `FROZEN`. Every change of a value
//! or of what speaks against it goes out by the [`feed`](crate::feed).

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    sync::Arc,
    time::Duration,
};

use protocols::{
    device::{Description, DeviceState},
    point::{DeviceId, PointId, Quality, Timestamp, Update, Value},
};

use crate::{
    clock::US,
    feed::{Batch, Change, Feed},
};

/// Repeats of a noisy value after which it counts as frozen.
pub const FROZEN_AFTER: u32 = 8;
/// And only if they took this long, µs: a device may be polled more often than it measures.
const FROZEN_US: u64 = 5_000_000;

/// A point as last heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Whose it is.
    pub device: DeviceId,
    /// Its value.
    pub value: Value,
    /// What speaks against it, our own judgement included.
    pub quality: Quality,
    /// When the source measured it.
    pub time: Timestamp,
    /// When we received it, µs since 1970.
    pub received_us: i64,
    /// Change from the value before, per second (analog values only).
    pub rate_per_s: f64,
    /// The same value has come this many times in a row, the first not counted.
    repeats: u32,
    /// When the first of them came, µs since 1970.
    same_since_us: i64,
    /// What was last told to speak against it: its age and its device's state included.
    told: Quality,
}

/// A device as last heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// State of the connection.
    pub state: DeviceState,
    /// Since when, µs since 1970.
    pub since_us: i64,
    /// What it says of itself.
    pub description: Option<Description>,
    /// Polls done.
    pub polls: u64,
    /// When the last one ended, µs since 1970.
    pub polled_us: i64,
    /// Durations of the recent polls.
    pub took: Recent,
    /// How late the recent polls began.
    pub late: Recent,
}

impl Link {
    /// Answers.
    #[must_use]
    pub fn online(&self) -> bool {
        self.state == DeviceState::Online
    }
}

/// The last few durations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recent {
    ring: Vec<Duration>,
    next: usize,
}

impl Recent {
    const LENGTH: usize = 60;

    /// Notes one.
    pub fn push(&mut self, value: Duration) {
        if self.ring.len() < Self::LENGTH {
            self.ring.push(value);
        } else {
            self.ring[self.next] = value;
        }
        self.next = (self.next + 1) % Self::LENGTH;
    }

    /// The median; `None` before the first.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        let mut sorted = self.ring.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// The greatest; `None` before the first.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        self.ring.iter().max().copied()
    }
}

/// All points and devices at a moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was taken, µs since 1970.
    pub now_us: i64,
    /// Points by id.
    pub points: BTreeMap<PointId, Point>,
    /// Devices by id.
    pub links: BTreeMap<DeviceId, Link>,
    /// Updates received since the start.
    pub updates: u64,
    /// Changes told since the start.
    pub changes: u64,
}

impl Snapshot {
    /// A point's value, if it is a number and nothing speaks against it.
    #[must_use]
    pub fn good(&self, id: &PointId) -> Option<f64> {
        let point = self.points.get(id)?;
        if !point.quality.is_good() {
            return None;
        }
        number(point.value)
    }

    /// Whether the device answers.
    #[must_use]
    pub fn online(&self, device: &DeviceId) -> bool {
        self.links.get(device).is_some_and(Link::online)
    }
}

/// A value as a number; `None` for switch positions.
#[must_use]
pub fn number(value: Value) -> Option<f64> {
    match value {
        Value::Analog(x) => x.is_finite().then_some(x),
        Value::Counter(n) => Some(n as f64),
        Value::Binary(_) | Value::DoublePoint(_) => None,
    }
}

/// What the table has to know of a device to judge its values.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// Time after which a value that was not refreshed is old.
    pub max_age: Duration,
    /// A poll tells only what has changed: with each, every value is as good as new.
    pub by_exception: bool,
}

impl Promise {
    /// Three polls and a time-out.
    #[must_use]
    pub fn of(poll: Duration, timeout: Duration) -> Self {
        Self {
            max_age: poll * 3 + timeout,
            by_exception: false,
        }
    }
}

/// The table's writer.
#[derive(Debug)]
pub struct Table {
    promises: BTreeMap<DeviceId, Promise>,
    /// Points that carry noise, so that an exact repetition is suspect.
    noisy: BTreeSet<PointId>,
    feed: Feed,
    now: Snapshot,
}

impl Table {
    /// A table of these devices, and of which points are noisy.
    #[must_use]
    pub fn new(
        promises: impl IntoIterator<Item = (DeviceId, Promise)>,
        noisy: impl IntoIterator<Item = PointId>,
        now_us: i64,
    ) -> Self {
        let promises: BTreeMap<_, _> = promises.into_iter().collect();
        let links = promises
            .keys()
            .map(|id| {
                let link = Link {
                    state: DeviceState::Connecting,
                    since_us: now_us,
                    description: None,
                    polls: 0,
                    polled_us: now_us,
                    took: Recent::default(),
                    late: Recent::default(),
                };
                (id.clone(), link)
            })
            .collect();
        Self {
            promises,
            noisy: noisy.into_iter().collect(),
            feed: Feed::default(),
            now: Snapshot {
                now_us,
                links,
                ..Snapshot::default()
            },
        }
    }

    /// Where it tells what changes.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Notes a device's new state.
    pub fn state(&mut self, device: &DeviceId, state: DeviceState, now_us: i64) {
        let Some(link) = self.now.links.get_mut(device) else {
            return;
        };
        // Another attempt at an offline device is no news until it succeeds.
        let offline = matches!(link.state, DeviceState::Offline { .. });
        if offline && state == DeviceState::Connecting {
            return;
        }
        if discriminant(&link.state) != discriminant(&state) {
            link.since_us = now_us;
        }
        link.state = state;
    }

    /// Notes what a device says of itself.
    pub fn described(&mut self, device: &DeviceId, description: Description) {
        if let Some(link) = self.now.links.get_mut(device) {
            link.description = Some(description);
        }
    }

    /// Notes a poll.
    pub fn polled(&mut self, device: &DeviceId, took: Duration, late: Duration, now_us: i64) {
        if let Some(link) = self.now.links.get_mut(device) {
            link.polls += 1;
            link.polled_us = now_us;
            link.took.push(took);
            link.late.push(late);
        }
    }

    /// Notes new values.
    pub fn update(&mut self, device: &DeviceId, updates: Vec<Update>, now_us: i64) {
        let mut changes = Vec::new();
        for update in updates {
            self.now.updates += 1;
            changes.extend(self.note(device, update, now_us));
        }
        self.tell(changes);
    }

    fn tell(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.now.changes += changes.len() as u64;
            let serial = self.now.changes;
            self.feed.tell(Batch { serial, changes });
        }
    }

    /// What it changes, if it does.
    fn note(&mut self, device: &DeviceId, update: Update, now_us: i64) -> Option<Change> {
        let mut quality = update.quality;
        if let Value::Analog(x) = update.value
            && !x.is_finite()
        {
            quality |= Quality::INVALID;
        }
        let before = self.now.points.get(&update.point);
        let rate_per_s = before.map_or(0.0, |before| rate(before, &update));
        let (repeats, same_since_us) = before
            .filter(|before| before.value == update.value)
            .map_or((0, now_us), |same| (same.repeats + 1, same.same_since_us));
        let repeating = repeats >= FROZEN_AFTER && now_us.abs_diff(same_since_us) >= FROZEN_US;
        // A generator at rest reads exactly nothing, and rightly so.
        let at_rest = number(update.value) == Some(0.0);
        if repeating && !at_rest && self.noisy.contains(&update.point) {
            quality |= Quality::FROZEN;
        }
        let link = self.now.links.get(device);
        let told = quality | lost(link);
        let same = before.is_some_and(|before| {
            before.told == told && (before.value == update.value || both_nan(before, &update))
        });
        let change = (!same).then(|| Change {
            point: update.point.clone(),
            value: update.value,
            quality: told,
            time: update.time,
        });
        self.now.points.insert(
            update.point,
            Point {
                device: device.clone(),
                value: update.value,
                quality,
                time: update.time,
                received_us: now_us,
                rate_per_s,
                repeats,
                same_since_us,
                told,
            },
        );
        change
    }

    /// Takes a snapshot, with the age of every value judged.
    pub fn snapshot(&mut self, now_us: i64) -> Arc<Snapshot> {
        self.now.now_us = now_us;
        let mut changes = Vec::new();
        for (id, point) in &mut self.now.points {
            let promise = self.promises.get(&point.device);
            let link = self.now.links.get(&point.device);
            let mut judged = point.quality | lost(link);
            // Of a value from the future, since the clock was set back, the age is not known.
            let mut age_us = u128::from(now_us.abs_diff(point.received_us));
            if let (Some(true), Some(link)) = (promise.map(|p| p.by_exception), link) {
                age_us = age_us.min(now_us.abs_diff(link.polled_us).into());
            }
            if promise.is_some_and(|promise| age_us > promise.max_age.as_micros()) {
                judged |= Quality::OLD;
            }
            if judged != point.told {
                point.told = judged;
                changes.push(Change {
                    point: id.clone(),
                    value: point.value,
                    quality: judged,
                    time: Timestamp::received(now_us),
                });
            }
        }
        self.tell(changes);
        let mut shown = self.now.clone();
        for point in shown.points.values_mut() {
            point.quality = point.told;
        }
        Arc::new(shown)
    }
}

/// What a link says against the values that came by it.
fn lost(link: Option<&Link>) -> Quality {
    match link.is_some_and(Link::online) {
        true => Quality::GOOD,
        false => Quality::COMM_LOST,
    }
}

fn both_nan(before: &Point, update: &Update) -> bool {
    matches!((before.value, update.value), (Value::Analog(a), Value::Analog(b)) if a.is_nan() && b.is_nan())
}

/// Change per second between two updates of a point.
fn rate(before: &Point, update: &Update) -> f64 {
    let (Value::Analog(a), Value::Analog(b)) = (before.value, update.value) else {
        return 0.0;
    };
    let dt = update.time.unix_us.saturating_sub(before.time.unix_us) as f64 / US as f64;
    if dt > 0.0 && a.is_finite() && b.is_finite() {
        (b - a) / dt
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (Table, DeviceId) {
        let device = DeviceId::new("pv3");
        let promise = Promise::of(Duration::from_secs(1), Duration::from_secs(1));
        let noisy = ["p", "q"].map(|name| PointId::new(&device, name));
        let mut table = Table::new([(device.clone(), promise)], noisy, 0);
        table.state(&device, DeviceState::Online, 0);
        (table, device)
    }

    fn say(table: &mut Table, device: &DeviceId, name: &str, value: f64, at_us: i64) {
        let update = Update {
            point: PointId::new(device, name),
            value: Value::Analog(value),
            quality: Quality::GOOD,
            time: Timestamp::received(at_us),
        };
        table.update(device, vec![update], at_us);
    }

    fn quality(table: &mut Table, device: &DeviceId, name: &str, now_us: i64) -> Quality {
        let snapshot = table.snapshot(now_us);
        snapshot.points[&PointId::new(device, name)].quality
    }

    fn offline() -> DeviceState {
        DeviceState::Offline {
            error: "no route".to_owned(),
            retry_in: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_value_grows_old_after_three_polls_and_a_time_out() {
        let (mut table, device) = table();
        say(&mut table, &device, "p", 1.0, 0);
        assert_eq!(quality(&mut table, &device, "p", 4 * US), Quality::GOOD);
        assert_eq!(quality(&mut table, &device, "p", 4 * US + 1), Quality::OLD);
        say(&mut table, &device, "p", 2.0, 5 * US);
        assert_eq!(quality(&mut table, &device, "p", 5 * US), Quality::GOOD);
    }

    #[test]
    fn what_is_told_by_exception_is_as_old_as_the_last_poll() {
        let device = DeviceId::new("rtu1");
        let promise = Promise {
            by_exception: true,
            ..Promise::of(Duration::from_secs(1), Duration::from_secs(1))
        };
        let mut table = Table::new([(device.clone(), promise)], [], 0);
        table.state(&device, DeviceState::Online, 0);
        say(&mut table, &device, "p", 1.0, 0);
        table.polled(&device, Duration::ZERO, Duration::ZERO, 100 * US);
        assert_eq!(quality(&mut table, &device, "p", 104 * US), Quality::GOOD);
        assert_eq!(
            quality(&mut table, &device, "p", 104 * US + 1),
            Quality::OLD
        );
    }

    #[test]
    fn a_clock_set_back_does_not_keep_a_silent_device_young() {
        let (mut table, device) = table();
        say(&mut table, &device, "p", 1.0, 3600 * US);
        assert_eq!(quality(&mut table, &device, "p", 10 * US), Quality::OLD);
        say(&mut table, &device, "p", 2.0, 11 * US);
        assert_eq!(quality(&mut table, &device, "p", 11 * US), Quality::GOOD);
    }

    #[test]
    fn times_that_no_clock_says_do_not_overflow() {
        let (mut table, device) = table();
        for (value, at_us) in [(1.0, i64::MIN), (2.0, i64::MAX), (3.0, i64::MIN)] {
            say(&mut table, &device, "p", value, at_us);
        }
        assert_eq!(quality(&mut table, &device, "p", i64::MAX), Quality::OLD);
    }

    #[test]
    fn a_lost_device_keeps_its_last_values_and_says_so() {
        let (mut table, device) = table();
        say(&mut table, &device, "p", 1.0, 0);
        table.state(&device, offline(), US);
        // Trying again is not being back.
        table.state(&device, DeviceState::Connecting, 2 * US);
        let snapshot = table.snapshot(2 * US);
        assert_eq!(snapshot.links[&device].since_us, US);
        assert_eq!(
            quality(&mut table, &device, "p", 2 * US),
            Quality::COMM_LOST
        );
        assert_eq!(
            snapshot.points[&PointId::new(&device, "p")].value,
            Value::Analog(1.0)
        );
        table.state(&device, DeviceState::Online, 3 * US);
        assert_eq!(quality(&mut table, &device, "p", 3 * US), Quality::GOOD);
    }

    #[test]
    fn only_noisy_values_freeze_and_only_while_something_is_measured() {
        let (mut table, device) = table();
        for k in 0..20 {
            say(&mut table, &device, "p", 70_000.0, k * US);
            say(&mut table, &device, "q", 0.0, k * US);
            say(&mut table, &device, "p_limit", 70_000.0, k * US);
            let now_us = k * US;
            let frozen = quality(&mut table, &device, "p", now_us) == Quality::FROZEN;
            assert_eq!(frozen, k >= i64::from(FROZEN_AFTER), "after {k}");
            assert!(quality(&mut table, &device, "q", now_us).is_good());
            assert!(quality(&mut table, &device, "p_limit", now_us).is_good());
        }
        say(&mut table, &device, "p", 70_001.0, 20 * US);
        assert!(quality(&mut table, &device, "p", 20 * US).is_good());
    }

    #[test]
    fn a_device_polled_more_often_than_it_measures_is_not_frozen() {
        let (mut table, device) = table();
        // Polled each 0.2 s, measures each 4 s.
        for k in 0..100_i64 {
            let now_us = k * US / 5;
            say(&mut table, &device, "p", (k / 20 + 1) as f64, now_us);
            assert!(quality(&mut table, &device, "p", now_us).is_good(), "{k}");
        }
    }

    #[test]
    fn what_is_no_number_is_invalid() {
        let (mut table, device) = table();
        say(&mut table, &device, "p", f64::NAN, 0);
        assert_eq!(quality(&mut table, &device, "p", 0), Quality::INVALID);
        let snapshot = table.snapshot(0);
        assert_eq!(snapshot.good(&PointId::new(&device, "p")), None);
    }
}
