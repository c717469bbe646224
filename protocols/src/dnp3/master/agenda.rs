//! What a master has to do of its own accord with an outstation, and when: in this order, when
//! several are due.

use std::{collections::BTreeMap, time::Duration};

use super::AssociationConfig;
use crate::dnp3::app::Iin;

/// A routine request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Routine {
    DisableUnsolicited,
    ClearRestart,
    SyncTime,
    Integrity,
    EnableUnsolicited,
    Events,
}

/// Routine requests and when they are due.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda(BTreeMap<Routine, Duration>);

impl Agenda {
    /// The beginning of a connection: be quiet, tell everything, then tell by yourself.
    pub(super) fn start(config: &AssociationConfig, now: Duration) -> Self {
        let mut agenda = Self::default();
        agenda.add(Routine::DisableUnsolicited, now);
        agenda.add(Routine::Integrity, now);
        if config.unsolicited != [false; 3] {
            agenda.add(Routine::EnableUnsolicited, now);
        }
        if let Some(period) = config.events_every {
            agenda.add(Routine::Events, now + period);
        }
        agenda
    }

    /// To be done at `due`, or before if it was to be done before.
    pub(super) fn add(&mut self, routine: Routine, due: Duration) {
        let entry = self.0.entry(routine).or_insert(due);
        *entry = due.min(*entry);
    }

    /// What is due first in order.
    pub(super) fn due(&self, now: Duration) -> Option<Routine> {
        let due = self.0.iter().find(|&(_, &due)| due <= now);
        due.map(|(&routine, _)| routine)
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.values().copied().min()
    }

    /// A routine has begun: it is to be done again when its period has passed, or not at all. How late it
    /// begins.
    pub(super) fn begin(
        &mut self,
        routine: Routine,
        config: &AssociationConfig,
        now: Duration,
    ) -> Duration {
        let period = match routine {
            Routine::Integrity => config.integrity_every,
            Routine::Events => config.events_every,
            _ => None,
        };
        let due = self.0.remove(&routine).unwrap_or(now);
        if let Some(period) = period {
            // By the clock, not by the answers; what was missed is not caught up with.
            let missed = now.saturating_sub(due).as_nanos() / period.as_nanos().max(1);
            let next = due + period * u32::try_from(missed + 1).unwrap_or(u32::MAX);
            self.0.insert(routine, next);
        }
        now.saturating_sub(due)
    }

    /// What the outstation's indications ask for. `doing`: what it answers; if that has not helped
    /// it is tried again later.
    pub(super) fn indicated(
        &mut self,
        iin: Iin,
        before: Iin,
        doing: Option<Routine>,
        config: &AssociationConfig,
        now: Duration,
    ) {
        let mut ask = |routine| {
            let wait = if doing == Some(routine) {
                config.retry_delay
            } else {
                Duration::ZERO
            };
            self.add(routine, now + wait);
        };
        if iin.contains(Iin::DEVICE_RESTART) {
            ask(Routine::ClearRestart);
            // Once for each restart; what it had been told is lost.
            if !before.contains(Iin::DEVICE_RESTART) {
                ask(Routine::Integrity);
                if config.unsolicited != [false; 3] {
                    ask(Routine::EnableUnsolicited);
                }
            }
        }
        if iin.contains(Iin::NEED_TIME) && config.time_sync != super::TimeSync::Never {
            ask(Routine::SyncTime);
        }
        let overflow = Iin::EVENT_BUFFER_OVERFLOW;
        if iin.contains(overflow) && !before.contains(overflow) {
            ask(Routine::Integrity);
        }
        // What it sends by itself need not be asked for, nor what is read in its time.
        let asked = [Iin::CLASS_1, Iin::CLASS_2, Iin::CLASS_3];
        let by_itself = config.unsolicited;
        let waiting = asked
            .iter()
            .zip(by_itself)
            .any(|(&class, sent)| iin.contains(class) && !sent);
        if waiting && config.events_every.is_none() {
            ask(Routine::Events);
        }
    }
}
