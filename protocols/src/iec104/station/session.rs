//! The sessions of a controlled station with all its masters: octets in and out, timers, and which
//! connection of a group has data transfer started (clauses 5 and 10).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    PointConfig, StationConfig, StationEvent,
    control::{Pending, Selected},
    database::Database,
    group::{Event, Group},
    interrogate::Reading,
};
use crate::{
    driver::Now,
    iec104::{
        BROADCAST, Cause, Header, Kind, LinkError, Sample,
        asdu::{Asdu, AsduError, Body},
        command::{CommandKind, Request},
        link::{Incoming, Link},
    },
    point::{TimeQuality, Timestamp},
};

/// Answers that a master lets pile up before its connection is closed.
const MAX_ANSWERS: usize = 256;
/// Events that nobody takes are dropped beyond this.
const MAX_STATION_EVENTS: usize = 256;

/// A controlled station, without IO.
///
/// Each connection has a number of the caller's choice. Octets go in with [`Self::handle_input`], come
/// out of [`Self::poll_transmit`]; call [`Self::handle_timeout`] when [`Self::poll_timeout`]
/// says; after each of these, and on all connections after [`Self::update`] and [`Self::answer`], look
/// at both polls and at [`Self::poll_event`].
#[derive(Clone, Debug)]
pub struct Station {
    pub(super) config: StationConfig,
    pub(super) database: Database,
    pub(super) groups: Vec<Group>,
    pub(super) connections: BTreeMap<u64, Connection>,
    /// Commands that wait for their answer or their end.
    pub(super) pending: BTreeMap<u64, Pending>,
    pub(super) control_id: u64,
    /// What connections that are gone still have to tell.
    last_words: VecDeque<(u64, StationEvent)>,
}

/// What an I frame carried, to know what its acknowledgement means.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Events(usize),
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) group: usize,
    link: Link,
    sent: VecDeque<Sent>,
    /// ASDUs in answer to the master.
    answers: VecDeque<Vec<u8>>,
    /// Interrogations under way; the first is being answered.
    pub(super) readings: VecDeque<Reading>,
    pub(super) selected: Vec<Selected>,
    events: VecDeque<StationEvent>,
    closed: bool,
}

impl Connection {
    pub(super) fn tell(&mut self, event: StationEvent) {
        if self.events.len() < MAX_STATION_EVENTS {
            self.events.push_back(event);
        }
    }

    fn end_selections(&mut self) {
        for selected in std::mem::take(&mut self.selected) {
            self.tell(StationEvent::Deselected(selected.command));
        }
    }

    pub(super) fn answer(&mut self, asdu: Vec<u8>) {
        self.answers.push_back(asdu);
    }

    fn close(&mut self, error: LinkError) {
        if !self.closed {
            self.closed = true;
            // Always told: it is what ends the connection.
            self.events.push_back(StationEvent::Closed(error));
        }
    }
}

impl Station {
    /// A station whose points are all unmeasured.
    ///
    /// # Errors
    /// All that is wrong with the configuration.
    pub fn new(config: StationConfig) -> Result<Self, Vec<String>> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let lost = config
            .lost_events
            .map(|ioa| PointConfig::new(ioa, Kind::Single));
        Ok(Self {
            database: Database::new(config.points.iter().copied().chain(lost)),
            groups: config.groups.iter().cloned().map(Group::new).collect(),
            connections: BTreeMap::new(),
            pending: BTreeMap::new(),
            control_id: 0,
            last_words: VecDeque::new(),
            config,
        })
    }

    /// A new connection of a group.
    pub fn connected(&mut self, connection: u64, group: usize, now: Now) {
        let Some(config) = self.config.groups.get(group) else {
            return;
        };
        let fresh = Connection {
            group,
            link: Link::new(config.link, true, now.mono),
            sent: VecDeque::new(),
            answers: VecDeque::new(),
            readings: VecDeque::new(),
            selected: Vec::new(),
            events: VecDeque::new(),
            closed: false,
        };
        self.connections.insert(connection, fresh);
    }

    /// A connection is gone. Events that it did not acknowledge will be sent on the next.
    pub fn disconnected(&mut self, connection: u64) {
        if let Some(mut gone) = self.connections.remove(&connection) {
            gone.end_selections();
            let last = gone.events.into_iter().map(|event| (connection, event));
            self.last_words.extend(last);
            // Of connections that nobody asks any more.
            let surplus = self.last_words.len().saturating_sub(MAX_STATION_EVENTS);
            self.last_words.drain(..surplus);
            self.pending
                .retain(|_, pending| pending.connection != connection);
            let group = &mut self.groups[gone.group];
            if group.active == Some(connection) {
                group.active = None;
                group.release();
            }
        }
    }

    /// A point's new value; without a time it is taken for measured now. Whether there is such a
    /// point, with values of this type.
    pub fn update(&mut self, ioa: u32, sample: Sample, now: Now) -> bool {
        if self.config.lost_events == Some(ioa) {
            return false;
        }
        let time = Some(sample.time.unwrap_or_else(|| stamp(now)));
        let sample = Sample { time, ..sample };
        let Some((kind, event)) = self.database.update(ioa, sample) else {
            return false;
        };
        if event {
            let lost = self.config.lost_events;
            for group in &mut self.groups {
                group.push(Event::Change(ioa, kind, sample), lost, stamp(now));
            }
            self.pump_all(now);
        }
        true
    }

    /// Changes were lost before they came here: every master is told, as of its own lost events.
    pub fn events_lost(&mut self, now: Now) {
        for group in &mut self.groups {
            group.lose(self.config.lost_events, stamp(now));
        }
        self.pump_all(now);
    }

    /// A point's present value.
    #[must_use]
    pub fn sample(&self, ioa: u32) -> Option<Sample> {
        Some(self.database.get(ioa)?.sample)
    }

    /// Whether data transfer of a group is started on any connection.
    #[must_use]
    pub fn is_active(&self, group: usize) -> bool {
        self.groups
            .get(group)
            .is_some_and(|group| group.active.is_some())
    }

    /// The connection of a group to be given up for a new one: the oldest without data transfer, where
    /// the group has as many as it may.
    #[must_use]
    pub fn surplus(&self, group: usize) -> Option<u64> {
        let limit = self.config.groups.get(group)?.max_connections;
        let of: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.group == group && !connection.closed)
            .map(|(id, _)| *id)
            .collect();
        if of.len() < limit {
            return None;
        }
        let active = self.groups.get(group)?.active;
        let idle = of.iter().copied().find(|id| Some(*id) != active);
        idle.or_else(|| of.first().copied())
    }

    /// Closes a connection because another takes its place.
    pub fn replace(&mut self, connection: u64) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.close(LinkError::Replaced);
        }
    }

    /// Takes in what arrived.
    pub fn handle_input(&mut self, connection: u64, bytes: &[u8], now: Now) {
        if let Some(to) = self.connections.get_mut(&connection) {
            to.link.push(bytes, now.mono);
        }
        while let Some(to) = self.connections.get_mut(&connection) {
            if to.closed {
                return;
            }
            match to.link.next(now.mono) {
                Ok(Some(incoming)) => {
                    for one in incoming {
                        self.incoming(connection, one, now);
                    }
                }
                Ok(None) => break,
                Err(error) => to.close(error),
            }
        }
        self.pump_all(now);
    }

    /// The next octets to be sent on a connection, whole frames.
    pub fn poll_transmit(&mut self, connection: u64) -> Option<Vec<u8>> {
        self.connections.get_mut(&connection)?.link.poll_transmit()
    }

    /// What happened on a connection.
    pub fn poll_event(&mut self, connection: u64) -> Option<StationEvent> {
        if let Some(of) = self.connections.get_mut(&connection) {
            return of.events.pop_front();
        }
        let mut last = self.last_words.iter();
        let at = last.position(|(of, _)| *of == connection)?;
        Some(self.last_words.remove(at)?.1)
    }

    /// When [`Self::handle_timeout`] wants to be called for a connection.
    #[must_use]
    pub fn poll_timeout(&self, connection: u64) -> Option<Duration> {
        let of = self.connections.get(&connection)?;
        let mine = self.pending.values().filter(|p| p.connection == connection);
        let due = mine.map(|pending| pending.deadline);
        let due = due.chain(of.selected.iter().map(|selected| selected.until));
        Some(due.fold(of.link.poll_timeout(), Duration::min))
    }

    /// Does what the time has come for on a connection.
    pub fn handle_timeout(&mut self, connection: u64, now: Now) {
        self.control_timeouts(connection, now);
        self.selections_timeout(connection, now);
        if let Some(to) = self.connections.get_mut(&connection)
            && let Err(error) = to.link.handle_timeout(now.mono)
        {
            to.close(error);
        }
        self.pump_all(now);
    }

    fn incoming(&mut self, id: u64, incoming: Incoming, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.closed {
            return;
        }
        match incoming {
            Incoming::Asdu(octets) => match Asdu::decode(&octets) {
                Ok(asdu) => self.asdu(id, asdu, &octets, now),
                Err(AsduError::Malformed(type_id)) => connection.close(LinkError::Asdu(type_id)),
                Err(AsduError::UnknownType(header)) => {
                    connection.answer(refused(header, Cause::UNKNOWN_TYPE, &octets));
                }
            },
            Incoming::Acknowledged(count) => {
                let count = usize::from(count).min(connection.sent.len());
                for sent in connection.sent.drain(..count) {
                    if let Sent::Events(count) = sent {
                        self.groups[connection.group].acknowledged(count);
                    }
                }
                if !connection.link.is_started() {
                    self.stopped(id);
                }
            }
            Incoming::Start => self.start(id),
            // Confirmed at once, if nothing was under way.
            Incoming::Stop if !connection.link.is_started() => self.stopped(id),
            Incoming::Stop | Incoming::Started | Incoming::Stopped => {}
        }
    }

    fn start(&mut self, id: u64) {
        let Some(group) = self.connections.get(&id).map(|c| c.group) else {
            return;
        };
        let before = self.groups[group].active.replace(id);
        if let Some(before) = before.filter(|before| *before != id) {
            // Clause 10: only one of the group, the one that was started last.
            self.groups[group].release();
            if let Some(other) = self.connections.get_mut(&before) {
                other.link.passivate();
                other.forget();
                other.tell(StationEvent::Transfer { started: false });
            }
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.link.confirm_start();
            connection.tell(StationEvent::Transfer { started: true });
        }
    }

    fn stopped(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let group = &mut self.groups[connection.group];
        if group.active == Some(id) {
            group.active = None;
            group.release();
            connection.forget();
            connection.tell(StationEvent::Transfer { started: false });
        }
    }

    fn asdu(&mut self, id: u64, asdu: Asdu, octets: &[u8], now: Now) {
        let Asdu { header, body } = asdu;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let mut refuse = |cause| connection.answer(refused(header, cause, octets));
        let Body::Request(request) = body else {
            // Monitor direction: none that a controlled station knows.
            return refuse(Cause::UNKNOWN_TYPE);
        };
        let to_all = matches!(
            request.kind,
            CommandKind::Interrogation
                | CommandKind::Counters
                | CommandKind::Clock
                | CommandKind::Reset
        );
        let broadcast = header.address == BROADCAST && to_all;
        if header.address != self.config.address && !broadcast {
            return refuse(Cause::UNKNOWN_ADDRESS);
        }
        let causes: &[Cause] = match request.kind {
            CommandKind::Read => &[Cause::REQUEST],
            CommandKind::Control(..) | CommandKind::Interrogation | CommandKind::Counters => {
                &[Cause::ACTIVATION, Cause::DEACTIVATION]
            }
            _ => &[Cause::ACTIVATION],
        };
        if !causes.contains(&header.cause) {
            return refuse(Cause::UNKNOWN_CAUSE);
        }
        let of_station = !matches!(request.kind, CommandKind::Control(..) | CommandKind::Read);
        if of_station && request.ioa != 0 {
            return refuse(Cause::UNKNOWN_OBJECT);
        }
        // Each station answers a broadcast with its own address.
        let address = self.config.address;
        self.request(id, Header { address, ..header }, request, now);
    }

    fn request(&mut self, id: u64, header: Header, request: Request, now: Now) {
        match request.kind {
            CommandKind::Control(kind, _) => self.control(id, header, kind, request, now),
            CommandKind::Interrogation => self.interrogation(id, header, request),
            CommandKind::Counters => self.counters(id, header, request),
            CommandKind::Read => self.read(id, header, &request),
            CommandKind::Clock => self.clock(id, header, request, now),
            CommandKind::Test { .. } => {
                self.confirm(id, header, &request, true);
            }
            CommandKind::Reset => {
                let allowed = self.config.reset && !header.test;
                let qualifier = request.qualifier();
                self.confirm(id, header, &request, allowed);
                if let Some(connection) = self.connections.get_mut(&id).filter(|_| allowed) {
                    connection.tell(StationEvent::Reset { qualifier });
                }
            }
        }
    }

    fn clock(&mut self, id: u64, header: Header, request: Request, now: Now) {
        let time = request.time();
        let good = time.filter(|time| time.quality != TimeQuality::Unsynchronised);
        let allowed = self.config.clock_sync && good.is_some();
        // The confirmation carries our time, from before.
        let request = request.at(stamp(now));
        self.confirm(id, header, &request, allowed);
        let unix_ms = good.and_then(|time| u64::try_from(time.unix_us / 1000).ok());
        if let Some(unix_ms) = unix_ms
            && allowed
            && !header.test
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.tell(StationEvent::TimeWritten { unix_ms });
        }
    }

    /// Confirms an activation or a deactivation, positively or not.
    pub(super) fn confirm(&mut self, id: u64, header: Header, request: &Request, positive: bool) {
        let cause = match header.cause {
            Cause::DEACTIVATION => Cause::DEACTIVATION_CON,
            _ => Cause::ACTIVATION_CON,
        };
        self.respond(id, request, header.answer(cause, !positive));
    }

    /// Answers with an object in control direction.
    pub(super) fn respond(&mut self, id: u64, request: &Request, header: Header) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.answer(request.asdu(header));
        }
    }

    /// Sends what the windows have room for: answers first, then events, then what is interrogated,
    /// which is thus never older than an event behind it.
    pub(super) fn pump_all(&mut self, now: Now) {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            self.pump(id, now);
        }
    }

    fn pump(&mut self, id: u64, now: Now) {
        loop {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            if connection.answers.len() > MAX_ANSWERS {
                connection.close(LinkError::Timeout);
            }
            if connection.closed || !connection.link.can_send() {
                return;
            }
            let group = &mut self.groups[connection.group];
            let (asdu, sent) = if let Some(answer) = connection.answers.pop_front() {
                (answer, Sent::Other)
            } else if let Some((asdu, count)) = group.next(self.config.address) {
                (asdu, Sent::Events(count))
            } else if let Some(asdu) = self.next_reading(id, now) {
                (asdu, Sent::Other)
            } else {
                return;
            };
            // It was there above.
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.sent.push_back(sent);
                connection.link.send(asdu, now.mono);
            }
        }
    }

    /// Whether everything that a master can make grow is within its bounds.
    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        let bounded = |c: &Connection| {
            c.answers.len() <= MAX_ANSWERS + 1000
                && c.events.len() <= MAX_STATION_EVENTS + 1
                && c.sent.len() <= usize::from(self.config.groups[c.group].link.k)
                && c.readings.len() <= super::interrogate::MAX_READINGS
                && c.selected.len() <= super::control::MAX_SELECTED
        };
        self.connections.values().all(bounded) && self.groups.iter().all(Group::is_bounded)
    }
}

impl Connection {
    /// Data transfer is over: what was to be answered is not.
    fn forget(&mut self) {
        self.answers.clear();
        self.readings.clear();
        self.end_selections();
        // The events among them wait again: an acknowledgement of these frames is not theirs.
        for sent in &mut self.sent {
            *sent = Sent::Other;
        }
    }
}

/// The same ASDU back, negative, with the cause that says why.
fn refused(header: Header, cause: Cause, octets: &[u8]) -> Vec<u8> {
    let header = header.answer(cause, true);
    // What was decoded has six octets of header.
    let (count, objects) = (octets[1], &octets[6..]);
    let mut asdu = header.join(count, objects);
    asdu[1] = count;
    asdu
}

/// The time now.
pub(super) fn stamp(now: Now) -> Timestamp {
    Timestamp {
        unix_us: i64::try_from(now.unix_ms).unwrap_or(i64::MAX / 1000) * 1000,
        quality: TimeQuality::Source,
    }
}

#[cfg(test)]
mod tests;
