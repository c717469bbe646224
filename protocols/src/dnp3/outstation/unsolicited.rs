//! Unsolicited responses (clause 4.5): an empty one after each restart, then events of the classes
//! that the master enabled, one at a time, repeated until confirmed.

use std::time::Duration;

use super::{Class, Outstation, UnsolicitedConfig, buffer::Wanted};
use crate::dnp3::{
    Now,
    app::{Control, FunctionCode, Header, Writer, next_sequence},
};

/// One that was sent and not yet confirmed.
#[derive(Clone, Debug)]
struct InFlight {
    fragment: Vec<u8>,
    deadline: Duration,
    repeated: u8,
    empty: bool,
}

/// Where the unsolicited responses of a session stand.
#[derive(Clone, Debug)]
pub(super) struct Unsolicited {
    pub(super) connected: bool,
    enabled: [bool; 3],
    /// Whether the empty one after the restart was confirmed.
    announced: bool,
    sequence: u8,
    in_flight: Option<InFlight>,
    /// Not before this.
    not_before: Option<Duration>,
}

impl Unsolicited {
    pub(super) fn new() -> Self {
        Self {
            connected: false,
            enabled: [false; 3],
            announced: false,
            sequence: 0,
            in_flight: None,
            not_before: None,
        }
    }

    pub(super) fn disconnected(&mut self) {
        self.connected = false;
        self.in_flight = None;
        self.not_before = None;
    }

    /// When the one in flight is given up or repeated.
    pub(super) fn deadline(&self) -> Option<Duration> {
        Some(self.in_flight.as_ref()?.deadline)
    }
}

const CLASSES: [Class; 3] = [Class::One, Class::Two, Class::Three];

impl Outstation {
    /// Enables or disables a class.
    pub(super) fn enable_unsolicited(&mut self, class: Class, enable: bool) {
        self.unsolicited.enabled[class as usize - 1] = enable;
        let events = self
            .unsolicited
            .in_flight
            .as_ref()
            .is_some_and(|f| !f.empty);
        if !enable && events {
            // What was sent without being wanted may be asked for again.
            self.unsolicited.in_flight = None;
            self.unsolicited.sequence = next_sequence(self.unsolicited.sequence);
            self.buffer.release();
        }
    }

    /// A new event of a class waits a little for others.
    pub(super) fn unsolicited_hold(&mut self, class: Class, now: Now) {
        let Some(config) = self.config.unsolicited else {
            return;
        };
        let first = self.unsolicited.enabled[class as usize - 1] && !self.unsolicited_waits();
        if first && self.unsolicited.in_flight.is_none() && self.unsolicited.not_before.is_none() {
            self.unsolicited.not_before = Some(now.mono + config.hold);
        }
    }

    /// When the next one is to be sent, were nothing else under way.
    pub(super) fn unsolicited_due(&self) -> Option<Duration> {
        let waits = self.config.unsolicited.is_some()
            && self.unsolicited.in_flight.is_none()
            && (!self.unsolicited.announced || self.unsolicited_waits());
        waits.then(|| self.unsolicited.not_before.unwrap_or_default())
    }

    /// Whether there is an event to be sent.
    fn unsolicited_waits(&self) -> bool {
        let enabled = CLASSES.into_iter().zip(self.unsolicited.enabled);
        enabled
            .into_iter()
            .any(|(class, enabled)| enabled && self.buffer.has(class))
    }

    /// Sends the next one if its time has come.
    pub(super) fn send_unsolicited(&mut self, now: Now) {
        let due = self.unsolicited_due().is_some_and(|due| now.mono >= due);
        if !due || !self.unsolicited.connected {
            return;
        }
        let mut writer = Writer::new(self.config.max_fragment - 4);
        let empty = !self.unsolicited.announced;
        if !empty {
            for (class, enabled) in CLASSES.into_iter().zip(self.unsolicited.enabled) {
                if enabled {
                    self.buffer.select(Wanted::Class(class), usize::MAX);
                }
            }
            self.buffer.write(&mut writer);
            self.buffer.deselect();
        }
        let header = Header {
            control: Control {
                confirm: true,
                unsolicited: true,
                ..Control::single(self.unsolicited.sequence)
            },
            code: FunctionCode::UnsolicitedResponse as u8,
            iin: Some(self.indications(now)),
        };
        let fragment = header.join(&writer.finish());
        self.transmit(&fragment, now);
        self.unsolicited.not_before = None;
        self.unsolicited.in_flight = Some(InFlight {
            fragment,
            deadline: now.mono + self.config.confirm_timeout,
            repeated: 0,
            empty,
        });
    }

    /// The master confirmed the unsolicited response with this number.
    pub(super) fn unsolicited_confirmed(&mut self, sequence: u8) {
        if sequence != self.unsolicited.sequence {
            return;
        }
        if let Some(in_flight) = self.unsolicited.in_flight.take() {
            self.unsolicited.sequence = next_sequence(sequence);
            if in_flight.empty {
                self.unsolicited.announced = true;
            } else {
                self.buffer.confirm();
            }
        }
    }

    /// Repeats the one in flight as it was, or lets its events wait for a new attempt.
    pub(super) fn unsolicited_timeout(&mut self, now: Now) {
        let Some(UnsolicitedConfig {
            retries,
            retry_delay,
            ..
        }) = self.config.unsolicited
        else {
            return;
        };
        let Some(in_flight) = &mut self.unsolicited.in_flight else {
            return;
        };
        if now.mono < in_flight.deadline {
            return;
        }
        // A read that waits goes first: its master is there, and the events go with its answer.
        if in_flight.repeated < retries && self.deferred.is_none() {
            in_flight.repeated += 1;
            in_flight.deadline = now.mono + self.config.confirm_timeout;
            let fragment = in_flight.fragment.clone();
            self.transmit(&fragment, now);
            return;
        }
        if !in_flight.empty {
            self.buffer.release();
        }
        self.unsolicited.in_flight = None;
        // Another content needs another number.
        self.unsolicited.sequence = next_sequence(self.unsolicited.sequence);
        self.unsolicited.not_before = Some(now.mono + retry_delay);
    }
}
