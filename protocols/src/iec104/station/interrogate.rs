//! What a master asks to be told: station and group interrogation, counters, single points
//! (IEC 60870-5-5 clauses 6.6 and 6.9, IEC 60870-5-101 clauses 7.2.6.22 and 7.2.6.23).

use super::{
    database::Point,
    session::{Station, stamp},
};
use crate::{
    driver::Now,
    iec104::{Cause, Header, Kind, asdu::Objects, command::Request},
    point::Value,
};

/// Interrogations that a connection may have under way; more are refused.
pub(super) const MAX_READINGS: usize = 8;

/// The station interrogation's qualifier; those of groups 1 to 16 follow.
const STATION: u8 = 20;
/// The general counter request's qualifier; 1 to 4 are groups.
const ALL_COUNTERS: u8 = 5;

/// An interrogation that is being answered.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    header: Header,
    request: Request,
    counters: bool,
    /// None: of all.
    group: Option<u8>,
    /// What its answers are caused by.
    cause: Cause,
    /// Address of the next point to look at.
    next: u32,
}

impl Reading {
    fn takes(&self, point: &Point) -> bool {
        let of = self.counters == (point.config.kind == Kind::Counter);
        of && (self.group.is_none() || point.config.group == self.group)
    }
}

impl Station {
    pub(super) fn interrogation(&mut self, id: u64, header: Header, request: Request) {
        let qualifier = request.qualifier();
        let known = (STATION..=STATION + 16).contains(&qualifier);
        let group = qualifier.checked_sub(STATION).filter(|group| *group > 0);
        let reading = Reading {
            header,
            request,
            counters: false,
            group,
            cause: Cause(qualifier),
            next: 0,
        };
        self.begin(id, reading, known);
    }

    pub(super) fn counters(&mut self, id: u64, header: Header, request: Request) {
        let (which, freeze) = (request.qualifier() & 0x3F, request.qualifier() >> 6);
        let known = (1..=ALL_COUNTERS).contains(&which);
        let group = Some(which).filter(|which| *which < ALL_COUNTERS);
        let cause = Cause(Cause::COUNTERS.0 + group.unwrap_or(0));
        let reading = Reading {
            header,
            request,
            counters: true,
            group,
            cause,
            next: 0,
        };
        if freeze == 0 || header.cause == Cause::DEACTIVATION || !known {
            return self.begin(id, reading, known);
        }
        // Freezes (1), freezes and resets (2), or resets (3); what was frozen is read with 0.
        let Some(connection) = self.connections.get(&id).filter(|_| !header.test) else {
            return self.confirm(id, header, &reading.request, true);
        };
        let master = &mut self.groups[connection.group];
        for point in self.database.points().iter().filter(|p| reading.takes(p)) {
            if let Value::Counter(count) = point.sample.value {
                master.freeze(point.config.ioa, count, freeze != 3, freeze != 1);
            }
        }
        self.confirm(id, header, &reading.request, true);
        let ended = header.answer(Cause::TERMINATION, false);
        self.respond(id, &reading.request, ended);
    }

    /// Takes up an interrogation, or breaks one off.
    fn begin(&mut self, id: u64, reading: Reading, known: bool) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let (header, request) = (reading.header, reading.request.clone());
        let positive = if header.cause == Cause::DEACTIVATION {
            let before = connection.readings.len();
            connection.readings.retain(|other| other.request != request);
            connection.readings.len() < before
        } else {
            let room = connection.readings.len() < MAX_READINGS;
            if known && room {
                connection.readings.push_back(reading);
            }
            known && room
        };
        self.confirm(id, header, &request, positive);
    }

    pub(super) fn read(&mut self, id: u64, header: Header, request: &Request) {
        let point = self.database.get(request.ioa);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(point) = point else {
            let unknown = header.answer(Cause::UNKNOWN_OBJECT, true);
            return self.respond(id, request, unknown);
        };
        let lost = self.config.lost_events;
        let (sample, reading) = self.groups[connection.group].seen(point, lost);
        let mut objects = Objects::new(point.config.kind, false);
        objects.push(point.config.ioa, &sample, reading);
        connection.answer(objects.finish(header));
    }

    /// The next ASDU of the interrogation that is being answered.
    pub(super) fn next_reading(&mut self, id: u64, now: Now) -> Option<Vec<u8>> {
        let connection = self.connections.get_mut(&id)?;
        let master = &mut self.groups[connection.group];
        let reading = connection.readings.front_mut()?;
        let lost = self.config.lost_events;
        let points = self.database.points();
        let from = points.partition_point(|point| point.config.ioa < reading.next);
        let mut wanted = points[from..]
            .iter()
            .filter(|point| reading.takes(point))
            .peekable();
        let Some(first) = wanted.peek() else {
            let header = reading.header.answer(Cause::TERMINATION, false);
            let ended = reading.request.asdu(header);
            if !reading.counters && reading.group.is_none() {
                master.made_good(lost, stamp(now));
            }
            connection.readings.pop_front();
            return Some(ended);
        };
        let kind = first.config.kind;
        let mut next = reading.next;
        let mut objects = Objects::new(kind, false);
        let capacity = Objects::capacity(kind, false);
        for point in wanted
            .take_while(|point| point.config.kind == kind)
            .take(capacity)
        {
            let (sample, number) = master.seen(point, lost);
            objects.push(point.config.ioa, &sample, number);
            next = point.config.ioa + 1;
        }
        reading.next = next;
        let header = reading.header.answer(reading.cause, false);
        Some(objects.finish(header))
    }
}
