//! A redundancy group: one master, what it has not seen yet, and the counters that it froze.

use std::collections::{BTreeMap, VecDeque};

use super::{GroupConfig, database::Point};
use crate::{
    iec104::{
        Cause, Header, Kind, Qds, Sample,
        asdu::{END_OF_INIT, Objects},
    },
    point::{Timestamp, Value},
};

/// What a master is to be told of its own accord.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    /// The station has come up.
    Initialised,
    /// A change of a point.
    Change(u32, Kind, Sample),
}

/// How a master has left a counter.
#[derive(Clone, Copy, Debug, Default)]
struct Frozen {
    /// What it counted when it was last reset.
    base: u64,
    /// What it showed when it was last frozen.
    kept: Option<u64>,
    readings: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) config: GroupConfig,
    /// The connection with data transfer started.
    pub(super) active: Option<u64>,
    events: VecDeque<Event>,
    /// The first so many of them are sent and not acknowledged.
    sent: usize,
    /// Events were lost since the last station interrogation.
    lost: bool,
    frozen: BTreeMap<u32, Frozen>,
}

impl Group {
    pub(super) fn new(config: GroupConfig) -> Self {
        Self {
            config,
            active: None,
            events: [Event::Initialised].into(),
            sent: 0,
            lost: false,
            frozen: BTreeMap::new(),
        }
    }

    /// Keeps an event. `lost`: where to say that another had to go for it.
    pub(super) fn push(&mut self, event: Event, lost: Option<u32>, now: Timestamp) {
        self.events.push_back(event);
        if self.events.len() <= self.config.max_events {
            return;
        }
        // The oldest that is not under way, and not what says that some were lost before it.
        let says = |event: &&Event| matches!(event, Event::Change(ioa, ..) if Some(*ioa) == lost);
        let marked = self.events.get(self.sent).filter(says).is_some();
        // All are under way where the buffer is smaller than the window: then it is the new one.
        let oldest = (self.sent + usize::from(marked)).min(self.events.len() - 1);
        self.events.remove(oldest);
        if self.lost {
            return;
        }
        self.lost = true;
        if let Some(ioa) = lost
            && let Some(place) = self.events.get_mut(oldest)
        {
            // In the place of the next one: where the gap is.
            *place = said_lost(ioa, true, now);
        }
    }

    /// Events were lost before they came here.
    pub(super) fn lose(&mut self, ioa: Option<u32>, now: Timestamp) {
        if !std::mem::replace(&mut self.lost, true)
            && let Some(ioa) = ioa
        {
            self.push(said_lost(ioa, true, now), Some(ioa), now);
        }
    }

    /// A station interrogation has told everything that events could have.
    pub(super) fn made_good(&mut self, ioa: Option<u32>, now: Timestamp) {
        if std::mem::take(&mut self.lost)
            && let Some(ioa) = ioa
        {
            self.push(said_lost(ioa, false, now), None, now);
        }
    }

    /// The next ASDU of events and how many are in it.
    pub(super) fn next(&mut self, address: u16) -> Option<(Vec<u8>, usize)> {
        let first = *self.events.get(self.sent)?;
        let Event::Change(_, kind, _) = first else {
            self.sent += 1;
            // Cause of initialisation 0: local power on.
            let header = Header::new(END_OF_INIT, Cause::INITIALISED, address);
            return Some((header.join(1, &[0; 4]), 1));
        };
        let mut objects = Objects::new(kind, true);
        let mut count = 0;
        for event in self
            .events
            .range(self.sent..)
            .take(Objects::capacity(kind, true))
        {
            let Event::Change(ioa, of, sample) = event else {
                break;
            };
            if *of != kind {
                break;
            }
            let (sample, reading) = self.counted(*ioa, *sample);
            objects.push(*ioa, &sample, reading);
            count += 1;
        }
        self.sent += count;
        Some((objects.spontaneous(address), count))
    }

    /// The master has them.
    pub(super) fn acknowledged(&mut self, count: usize) {
        let count = count.min(self.sent);
        self.events.drain(..count);
        self.sent -= count;
    }

    /// What was not acknowledged will be sent again.
    pub(super) fn release(&mut self) {
        self.sent = 0;
    }

    /// A point's present value as this master is to see it.
    pub(super) fn seen(&self, point: &Point, lost: Option<u32>) -> (Sample, u8) {
        let mut sample = point.sample;
        let ioa = point.config.ioa;
        if lost == Some(ioa) {
            sample.value = Value::Binary(self.lost);
            sample.qds = Qds::empty();
        }
        let kept = self.frozen.get(&ioa).and_then(|frozen| frozen.kept);
        let (mut sample, readings) = self.counted(ioa, sample);
        if let Some(kept) = kept {
            sample.value = Value::Counter(kept);
        }
        (sample, readings)
    }

    /// A counter's value since this master reset it, and how often it froze it.
    fn counted(&self, ioa: u32, mut sample: Sample) -> (Sample, u8) {
        let Some(frozen) = self.frozen.get(&ioa) else {
            return (sample, 0);
        };
        if let Value::Counter(count) = sample.value {
            sample.value = Value::Counter(count.wrapping_sub(frozen.base));
        }
        (sample, frozen.readings)
    }

    /// Freezes and resets a counter.
    pub(super) fn freeze(&mut self, ioa: u32, count: u64, freeze: bool, reset: bool) {
        let frozen = self.frozen.entry(ioa).or_default();
        if freeze {
            frozen.kept = Some(count.wrapping_sub(frozen.base));
            frozen.readings = frozen.readings.wrapping_add(1);
        }
        if reset {
            frozen.base = count;
        }
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        self.events.len() <= self.config.max_events && self.sent <= self.events.len()
    }
}

fn said_lost(ioa: u32, lost: bool, now: Timestamp) -> Event {
    let sample = Sample {
        value: Value::Binary(lost),
        qds: Qds::empty(),
        time: Some(now),
    };
    Event::Change(ioa, Kind::Single, sample)
}
