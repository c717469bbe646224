//! Events of one master, in the order in which they happened, until the master has confirmed them.

use std::collections::VecDeque;

use super::Class;
use crate::dnp3::{
    Kind, Sample,
    app::{Iin, Layout, Stamp, Variation, Writer, find, time_to},
};
use crate::point::TimeQuality;

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) index: u16,
    pub(super) class: Class,
    pub(super) sample: Sample,
    /// Variation in which it is sent if nothing else is asked for.
    pub(super) variation: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// To be sent, in this variation.
    Selected(u8),
    /// Sent and not yet confirmed.
    Written,
}

/// Which events a header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Class(Class),
    /// Of one kind, in a variation of its own.
    Kind(Kind, Option<u8>),
}

/// The events of one master.
#[derive(Clone, Debug)]
pub(super) struct EventBuffer {
    events: VecDeque<(Event, State)>,
    /// Most events of one kind.
    capacity: usize,
    of_kind: [usize; Kind::ALL.len()],
    /// Not written, by class.
    unwritten: [usize; 3],
    selected: usize,
    overflown: bool,
}

impl EventBuffer {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            events: VecDeque::new(),
            capacity: capacity.max(1),
            of_kind: [0; Kind::ALL.len()],
            unwritten: [0; 3],
            selected: 0,
            overflown: false,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Adds an event; the oldest of its kind goes if there are too many.
    pub(super) fn push(&mut self, event: Event) {
        if self.of_kind[event.kind as usize] >= self.capacity {
            self.overflown = true;
            // Where one kind has overflown, its oldest is near the front.
            let oldest = self
                .events
                .iter()
                .position(|(old, _)| old.kind == event.kind);
            if let Some(removed) = oldest.and_then(|oldest| self.events.remove(oldest)) {
                self.forget(&removed);
            }
        }
        self.of_kind[event.kind as usize] += 1;
        self.unwritten[event.class as usize - 1] += 1;
        self.events.push_back((event, State::Waiting));
    }

    /// Events were lost before they came here: said as an overflow of ours is, until the next
    /// confirmation.
    pub(super) fn lost(&mut self) {
        self.overflown = true;
    }

    /// Marks events to be sent, up to `count`; those marked already keep their variation.
    pub(super) fn select(&mut self, wanted: Wanted, count: usize) {
        let mut left = count;
        for (event, state) in &mut self.events {
            let (matches, variation) = match wanted {
                Wanted::Class(class) => (event.class == class, None),
                Wanted::Kind(kind, variation) => (event.kind == kind, variation),
            };
            if left > 0 && matches && *state == State::Waiting {
                *state = State::Selected(variation.unwrap_or(event.variation));
                self.selected += 1;
                left -= 1;
            }
        }
    }

    /// Whether events are marked and not written yet.
    pub(super) fn has_selected(&self) -> bool {
        self.selected > 0
    }

    /// Writes marked events in their order until there are no more, or no more room. Whether any
    /// was written.
    pub(super) fn write(&mut self, writer: &mut Writer) -> bool {
        let mut common = None;
        let mut any = false;
        for (event, state) in &mut self.events {
            let State::Selected(variation) = *state else {
                continue;
            };
            if !write_one(writer, event, variation, &mut common) {
                break;
            }
            any = true;
            *state = State::Written;
            self.selected -= 1;
            self.unwritten[event.class as usize - 1] -= 1;
        }
        any
    }

    /// Events that were sent are confirmed: they go.
    pub(super) fn confirm(&mut self) {
        let of_kind = &mut self.of_kind;
        self.events.retain(|(event, state)| {
            let keep = *state != State::Written;
            if !keep {
                of_kind[event.kind as usize] -= 1;
            }
            keep
        });
        if self.of_kind.iter().all(|&count| count < self.capacity) {
            self.overflown = false;
        }
    }

    /// Events that were marked or sent are as before: the master did not confirm them.
    pub(super) fn release(&mut self) {
        for (event, state) in &mut self.events {
            if *state == State::Written {
                self.unwritten[event.class as usize - 1] += 1;
            }
            *state = State::Waiting;
        }
        self.selected = 0;
    }

    /// Events that are marked and were not sent wait again.
    pub(super) fn deselect(&mut self) {
        for (_, state) in &mut self.events {
            if matches!(state, State::Selected(_)) {
                *state = State::Waiting;
            }
        }
        self.selected = 0;
    }

    /// Whether events of this class have not been sent.
    pub(super) fn has(&self, class: Class) -> bool {
        self.unwritten[class as usize - 1] > 0
    }

    /// Classes that have events that were not sent, and whether some were lost.
    pub(super) fn iin(&self) -> Iin {
        let mut iin = Iin::empty();
        iin.set(Iin::CLASS_1, self.has(Class::One));
        iin.set(Iin::CLASS_2, self.has(Class::Two));
        iin.set(Iin::CLASS_3, self.has(Class::Three));
        iin.set(Iin::EVENT_BUFFER_OVERFLOW, self.overflown);
        iin
    }

    fn forget(&mut self, (event, state): &(Event, State)) {
        self.of_kind[event.kind as usize] -= 1;
        if *state != State::Written {
            self.unwritten[event.class as usize - 1] -= 1;
        }
        if matches!(state, State::Selected(_)) {
            self.selected -= 1;
        }
    }
}

/// The last common time of occurrence written: ms, and whether the clock was right.
type CommonTime = Option<(u64, bool)>;

fn write_one(writer: &mut Writer, event: &Event, variation: u8, common: &mut CommonTime) -> bool {
    let Some(variation) = find(event.kind.event_group(), variation) else {
        // Cannot be: configuration and requests are checked. Written means it goes.
        return true;
    };
    let mut base = 0;
    if is_relative(&variation) {
        let Some(written) = common_time(writer, event, &variation, common) else {
            return false;
        };
        base = written;
    }
    writer.event(&variation, event.index, &event.sample, base)
}

fn is_relative(variation: &Variation) -> bool {
    let Layout::Point { stamp, .. } = variation.layout else {
        return false;
    };
    stamp == Stamp::Relative
}

/// The common time that the event's is relative to, written first where the last does not serve.
fn common_time(
    writer: &mut Writer,
    event: &Event,
    variation: &Variation,
    common: &mut CommonTime,
) -> Option<u64> {
    let ms = event.sample.time.map_or(0, time_to);
    let quality = event.sample.time.map(|time| time.quality);
    let synchronised = quality == Some(TimeQuality::Source);
    if let Some((base, same)) = *common
        && same == synchronised
        && (base..=base + 0xFFFF).contains(&ms)
    {
        return Some(base);
    }
    // Never a common time without room for what refers to it.
    let behind = 5 + 2 + variation.size().unwrap_or(0);
    let number = if synchronised { 1 } else { 2 };
    let written = writer.has_room(10 + behind) && writer.time(51, number, ms);
    written.then(|| {
        *common = Some((ms, synchronised));
        ms
    })
}

#[cfg(test)]
mod tests;
