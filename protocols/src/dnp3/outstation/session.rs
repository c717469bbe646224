//! The session of an outstation with one master: octets in and out, timers, and who waits for whom
//! (clause 4.3 to 4.6).

use std::{collections::VecDeque, time::Duration};

use super::{
    OutstationConfig, OutstationEvent, PointConfig,
    buffer::{Event, EventBuffer},
    config::{ConfigProblem, problems},
    control::{PendingControl, Selected},
    database::{Database, Selection},
    unsolicited::Unsolicited,
};
use crate::{
    dnp3::{
        Kind, Now, Sample,
        app::{Control, FunctionCode, Header, Iin, MAX_FRAGMENT, time_from},
        link::{self, Frame, FrameParser, ParserStatistics, Station},
        transport::{Reassembler, segments},
    },
    point::TimeQuality,
};

/// What the session waits for in answer to the master's request.
#[derive(Clone, Debug)]
pub(super) enum Solicited {
    Idle,
    /// For the confirmation of the response with this sequence number. `read`: the events that
    /// are marked or sent are of this response, and not of an unsolicited one.
    Confirm {
        sequence: u8,
        deadline: Duration,
        read: bool,
    },
    /// For what became of commands.
    Control(PendingControl),
}

/// An outstation's session with one master, without IO.
///
/// Octets go in with [`Self::handle_input`], come out of [`Self::poll_transmit`]; call
/// [`Self::handle_timeout`] when [`Self::poll_timeout`] says; after each of these and after
/// [`Self::update`] look at both polls and at [`Self::poll_event`].
#[derive(Clone, Debug)]
pub struct Outstation {
    pub(super) config: OutstationConfig,
    parser: FrameParser,
    station: Station,
    reassembler: Reassembler,
    transport_sequence: u8,
    pub(super) database: Database,
    pub(super) buffer: EventBuffer,
    /// Indications that last: restart, local control, trouble.
    pub(super) iin: Iin,
    pub(super) time_due: Option<Duration>,
    pub(super) solicited: Solicited,
    /// Present values of a response that are still to be sent.
    pub(super) reading: VecDeque<Selection>,
    pub(super) unsolicited: Unsolicited,
    /// A read that came while an unsolicited response was not confirmed.
    pub(super) deferred: Option<Vec<u8>>,
    pub(super) selected: Option<Selected>,
    pub(super) control_id: u64,
    /// The last request other than a read, and its response: a repetition gets it again.
    pub(super) last: Option<(Vec<u8>, Option<Vec<u8>>)>,
    /// A broadcast came; whether the next response must be confirmed for it.
    pub(super) broadcast: Option<bool>,
    pub(super) recorded: Option<Duration>,
    pub(super) events: VecDeque<OutstationEvent>,
}

/// Events that nobody takes are dropped beyond this.
const MAX_SESSION_EVENTS: usize = 256;

impl Outstation {
    /// A session with these points, all unmeasured, as after a restart.
    ///
    /// # Errors
    /// All that is wrong with the configuration.
    pub fn new(
        config: OutstationConfig,
        points: &[PointConfig],
        now: Now,
    ) -> Result<Self, Vec<ConfigProblem>> {
        let problems = problems(&config, points);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            parser: FrameParser::default(),
            station: Station::new(config.link, false, now.mono),
            reassembler: Reassembler::new(MAX_FRAGMENT),
            transport_sequence: 0,
            database: Database::new(points),
            buffer: EventBuffer::new(config.max_events),
            iin: Iin::DEVICE_RESTART,
            time_due: config.need_time_every.map(|_| now.mono),
            solicited: Solicited::Idle,
            reading: VecDeque::new(),
            unsolicited: Unsolicited::new(),
            deferred: None,
            selected: None,
            control_id: 0,
            last: None,
            broadcast: None,
            recorded: None,
            events: VecDeque::new(),
            config,
        })
    }

    /// A new connection to the master: whatever was on its way is not.
    pub fn connected(&mut self, now: Now) {
        self.disconnected(now);
        self.unsolicited.connected = true;
        self.pump(now);
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.unsolicited.connected
    }

    /// The connection is gone. Events stay, and what was not confirmed is sent again later.
    pub fn disconnected(&mut self, now: Now) {
        self.parser.clear();
        self.reassembler.clear();
        self.station.restart(now.mono);
        self.cancel();
        // Those of an unsolicited response too.
        self.buffer.release();
        self.unsolicited.disconnected();
        self.deferred = None;
        self.deselect();
        self.last = None;
    }

    /// A point's new value; without a time it is taken for measured now. Whether there is such a
    /// point, with values of this type.
    pub fn update(&mut self, kind: Kind, index: u16, sample: Sample, now: Now) -> bool {
        let measured = sample.time.unwrap_or_else(|| self.stamp(now));
        let time = Some(measured);
        match self.database.update(kind, index, Sample { time, ..sample }) {
            Ok(event) => {
                self.record(event, now);
                self.pump(now);
                true
            }
            Err(()) => false,
        }
    }

    /// Says that events were lost before they came here (IIN2.3): the master is to read everything.
    pub fn events_lost(&mut self) {
        self.buffer.lost();
    }

    /// Sets an octet string (g110) of 1 to 255 octets that fits a fragment; whether it was taken.
    pub fn set_octets(&mut self, index: u16, octets: Vec<u8>) -> bool {
        // Beside the fragment's header and the object's, with a range of two octets each.
        let fits = octets.len() + 4 + 7 <= self.config.max_fragment;
        fits && self.database.set_octets(index, octets)
    }

    /// A point's present value, as this master sees it.
    #[must_use]
    pub fn sample(&self, kind: Kind, index: u16) -> Option<Sample> {
        Some(self.database.get(kind, index)?.sample)
    }

    /// Sets or clears indications of the device: [`Iin::LOCAL_CONTROL`],
    /// [`Iin::DEVICE_TROUBLE`], [`Iin::CONFIG_CORRUPT`]; others are not touched.
    pub fn indicate(&mut self, indications: Iin, set: bool) {
        let ours = Iin::LOCAL_CONTROL | Iin::DEVICE_TROUBLE | Iin::CONFIG_CORRUPT;
        self.iin.set(indications & ours, set);
    }

    /// Takes in what arrived.
    pub fn handle_input(&mut self, bytes: &[u8], now: Now) {
        self.parser.push(bytes);
        while let Some(frame) = self.parser.next() {
            self.handle_frame(frame, now);
        }
        self.pump(now);
    }

    /// The next octets to be sent, whole frames.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.station.poll_transmit()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<OutstationEvent> {
        self.events.pop_front()
    }

    /// What the frame parser threw away so far.
    #[must_use]
    pub fn statistics(&self) -> ParserStatistics {
        self.parser.statistics()
    }

    /// When [`Self::handle_timeout`] wants to be called; `None` while not connected.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if !self.unsolicited.connected {
            return None;
        }
        let solicited = match &self.solicited {
            Solicited::Idle => self.unsolicited_due(),
            Solicited::Confirm { deadline, .. } => Some(*deadline),
            Solicited::Control(pending) => Some(pending.deadline),
        };
        let unsolicited = self.unsolicited.deadline();
        let selected = self.selected.as_ref().and_then(Selected::ends);
        let link = self.station.poll_timeout();
        let times = [link, solicited, unsolicited, selected];
        times.into_iter().flatten().min()
    }

    /// Does what the time has come for.
    pub fn handle_timeout(&mut self, now: Now) {
        self.station.handle_timeout(now.mono);
        match &self.solicited {
            Solicited::Confirm { deadline, .. } if now.mono >= *deadline => self.cancel(),
            Solicited::Control(pending) if now.mono >= pending.deadline => {
                self.control_timed_out(now);
            }
            _ => {}
        }
        self.selection_timeout(now);
        self.unsolicited_timeout(now);
        self.pump(now);
    }

    /// Keeps an event of a change for the master.
    pub(super) fn record(&mut self, event: Option<Event>, now: Now) {
        if let Some(event) = event {
            self.unsolicited_hold(event.class, now);
            self.buffer.push(event);
        }
    }

    /// The time now, with the quality of our clock.
    pub(super) fn stamp(&self, now: Now) -> crate::point::Timestamp {
        let quality = if self.needs_time(now) {
            TimeQuality::Unsynchronised
        } else {
            TimeQuality::Source
        };
        time_from(now.unix_ms, quality)
    }

    pub(super) fn needs_time(&self, now: Now) -> bool {
        self.time_due.is_some_and(|due| now.mono >= due)
    }

    pub(super) fn tell(&mut self, event: OutstationEvent) {
        if self.events.len() < MAX_SESSION_EVENTS {
            self.events.push_back(event);
        }
    }

    fn handle_frame(&mut self, frame: Frame, now: Now) {
        let link = self.config.link;
        let broadcast = frame.destination >= link::BROADCAST_NO_CONFIRM;
        let ours = frame.from_master
            && frame.source == link.remote
            && (broadcast || frame.destination == link.local);
        if !ours {
            return;
        }
        let destination = frame.destination;
        let segment = self.station.handle_frame(frame, broadcast, now.mono);
        let fragment = segment.and_then(|segment| self.reassembler.push(&segment));
        if let Some(fragment) = fragment {
            if broadcast {
                self.handle_broadcast(destination, &fragment, now);
            } else {
                self.handle_fragment(fragment, now);
            }
        }
    }

    /// Sends what can be sent of its own accord, and takes up what had to wait.
    pub(super) fn pump(&mut self, now: Now) {
        if self.station.take_failed() {
            self.tell(OutstationEvent::LinkLost);
        }
        if !matches!(self.solicited, Solicited::Idle) {
            return;
        }
        if self.unsolicited.deadline().is_none()
            && let Some(read) = self.deferred.take()
        {
            self.handle_fragment(read, now);
            return;
        }
        self.send_unsolicited(now);
    }

    /// Gives up on the response that is under way; its events wait again.
    pub(super) fn cancel(&mut self) {
        if matches!(self.solicited, Solicited::Confirm { read: true, .. }) {
            self.buffer.release();
        }
        self.solicited = Solicited::Idle;
        self.reading.clear();
    }

    /// The indications of a response now.
    pub(super) fn indications(&self, now: Now) -> Iin {
        let mut iin = self.iin | self.buffer.iin();
        iin.set(Iin::NEED_TIME, self.needs_time(now));
        iin.set(Iin::BROADCAST, self.broadcast.is_some());
        iin
    }

    /// Sends a response of one fragment; `errors` are indicated in it.
    pub(super) fn respond(&mut self, sequence: u8, objects: &[u8], errors: Iin, now: Now) {
        let control = Control::single(sequence);
        self.send_response(control, objects, errors, false, now);
    }

    /// Sends a fragment of a response, to a read or not, and waits for its confirmation if it asks
    /// for one.
    pub(super) fn send_response(
        &mut self,
        mut control: Control,
        objects: &[u8],
        errors: Iin,
        read: bool,
        now: Now,
    ) {
        // The next response after a broadcast says so; some broadcasts want that confirmed.
        control.confirm |= self.broadcast == Some(true);
        let iin = self.indications(now) | errors;
        self.broadcast = self.broadcast.filter(|&confirm| confirm);
        let code = FunctionCode::Response as u8;
        let iin = Some(iin);
        let fragment = Header { control, code, iin }.join(objects);
        self.solicited = if control.confirm {
            Solicited::Confirm {
                sequence: control.sequence,
                deadline: now.mono + self.config.confirm_timeout,
                read,
            }
        } else {
            Solicited::Idle
        };
        self.transmit(&fragment, now);
        if let Some((_, response)) = &mut self.last {
            *response = Some(fragment);
        }
    }

    /// Whether nothing is under way in answer to the master.
    #[cfg(test)]
    fn is_idle(&self) -> bool {
        matches!(self.solicited, Solicited::Idle)
    }

    /// Whether everything that a master can make grow is within its bounds.
    #[cfg(test)]
    fn is_bounded(&self) -> bool {
        self.events.len() <= MAX_SESSION_EVENTS
            && self.reading.len() <= 128
            && self.buffer.len() <= self.config.max_events * Kind::ALL.len()
    }

    pub(super) fn transmit(&mut self, fragment: &[u8], now: Now) {
        let segments = segments(fragment, &mut self.transport_sequence);
        self.station.send(segments, now.mono);
    }
}

#[cfg(test)]
mod tests;
