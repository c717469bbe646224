//! The session of a master with the outstations of one channel: octets in and out, timers, and the
//! one request that is on its way.

use std::{collections::VecDeque, time::Duration};

use super::{
    AssociationConfig, MasterEvent, Outcome, Request,
    agenda::Routine,
    association::{Association, MAX_WAITING},
    decode,
    jobs::{Active, Job},
};
use crate::dnp3::{
    Now,
    app::{Control, FunctionCode, Header, Iin, next_sequence},
    link::{Frame, FrameParser, ParserStatistics},
};

/// A master's session with the outstations of one channel, without IO; to be driven as
/// [`crate::dnp3::outstation::Outstation`] is.
#[derive(Debug)]
pub struct Master {
    parser: FrameParser,
    pub(super) associations: Vec<Association>,
    pub(super) active: Option<Active>,
    /// Whose turn is next.
    pub(super) turn: usize,
    pub(super) connected: bool,
    next_id: u64,
    pub(super) events: VecDeque<MasterEvent>,
}

impl Master {
    /// For these outstations, whose addresses differ.
    #[must_use]
    pub fn new(outstations: &[AssociationConfig], now: Now) -> Self {
        let make = |config: &AssociationConfig| Association::new(*config, now.mono);
        Self {
            parser: FrameParser::default(),
            associations: outstations.iter().map(make).collect(),
            active: None,
            turn: 0,
            connected: false,
            next_id: 0,
            events: VecDeque::new(),
        }
    }

    /// Asks something of an outstation; the id of its [`MasterEvent::Done`].
    pub fn request(&mut self, outstation: u16, request: Request, now: Now) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let of = |association: &&mut Association| association.address() == outstation;
        let association = self.associations.iter_mut().find(of);
        let possible = request.fragment().is_some();
        match association {
            _ if !self.connected => self.done(id, Outcome::Disconnected),
            Some(association) if possible && association.waiting.len() < MAX_WAITING => {
                association.waiting.push_back((id, request));
                self.pump(now);
            }
            _ => self.done(id, Outcome::NotSent),
        }
        id
    }

    /// Sends a request to every outstation of the channel at once, without an answer;
    /// `destination` is one of the broadcast addresses of [`crate::dnp3::link`]. Whether it was
    /// sent: only freezes, commands, dead bands and unsolicited classes go that way.
    pub fn broadcast(&mut self, destination: u16, request: &Request, now: Now) -> bool {
        let possible = self.connected && destination > crate::dnp3::link::MAX_ADDRESS;
        match (request.unanswered(), self.associations.first_mut()) {
            (Some((function, objects)), Some(any)) if possible => {
                any.broadcast(destination, function, &objects);
                self.pump(now);
                true
            }
            _ => false,
        }
    }

    /// A new connection: the outstations are asked for everything.
    pub fn connected(&mut self, now: Now) {
        self.disconnected(now);
        self.connected = true;
        for association in &mut self.associations {
            association.restart(now.mono);
        }
        self.pump(now);
    }

    /// The connection is gone, and with it every request.
    pub fn disconnected(&mut self, now: Now) {
        self.connected = false;
        self.parser.clear();
        if let Some(active) = self.active.take() {
            self.finish(active, Outcome::Disconnected, now);
        }
        for number in 0..self.associations.len() {
            self.associations[number].held = None;
            for (id, _) in std::mem::take(&mut self.associations[number].waiting) {
                self.done(id, Outcome::Disconnected);
            }
            if self.associations[number].online == Some(true) {
                self.online(number, false);
            }
        }
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
        let mut stations = self.associations.iter_mut();
        stations.find_map(|association| association.station.poll_transmit())
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<MasterEvent> {
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
        if !self.connected {
            return None;
        }
        let answer = self.active.as_ref().map(|active| active.deadline);
        let stations = self.associations.iter();
        let links = stations.clone().filter_map(|a| a.station.poll_timeout());
        let agendas = stations.filter_map(|a| match &a.held {
            Some(held) => Some(held.until),
            None => Some(a.agenda.next()?.max(a.pause)),
        });
        let agendas = agendas.filter(|_| self.active.is_none());
        links.chain(agendas).chain(answer).min()
    }

    /// Does what the time has come for.
    pub fn handle_timeout(&mut self, now: Now) {
        for association in &mut self.associations {
            association.station.handle_timeout(now.mono);
        }
        if let Some(active) = self.active.take_if(|active| now.mono >= active.deadline) {
            self.online(active.association, false);
            self.finish(active, Outcome::NoAnswer, now);
        }
        self.pump(now);
    }

    fn handle_frame(&mut self, frame: Frame, now: Now) {
        let of = |a: &Association| a.address() == frame.source;
        let Some(number) = self.associations.iter().position(of) else {
            return;
        };
        let association = &mut self.associations[number];
        if frame.from_master || frame.destination != association.config.link.local {
            return;
        }
        let segment = association.station.handle_frame(frame, false, now.mono);
        let fragment = segment.and_then(|segment| association.reassembler.push(&segment));
        if let Some(fragment) = fragment {
            self.handle_fragment(number, fragment, now);
        }
    }

    fn handle_fragment(&mut self, number: usize, fragment: Vec<u8>, now: Now) {
        let Some((header, objects)) = Header::split(&fragment) else {
            return;
        };
        let Some(iin) = header.iin else {
            return;
        };
        let unsolicited = header.function() == Some(FunctionCode::UnsolicitedResponse);
        if unsolicited != header.control.unsolicited {
            return;
        }
        if unsolicited {
            self.handle_unsolicited(number, header.control, iin, &fragment, now);
        } else {
            self.handle_response(number, header.control, iin, objects, now);
        }
    }

    fn handle_unsolicited(
        &mut self,
        number: usize,
        control: Control,
        iin: Iin,
        fragment: &[u8],
        now: Now,
    ) {
        let association = &mut self.associations[number];
        if control.confirm {
            association.confirm(control, now.mono);
        }
        // Our confirmation was lost: it is the same as before.
        let repeated = association.last_unsolicited.as_deref() == Some(fragment);
        association.last_unsolicited = Some(fragment.to_vec());
        self.indicated(number, iin, None, now);
        if !repeated {
            self.values(number, &fragment[4..], iin);
        }
    }

    fn handle_response(
        &mut self,
        number: usize,
        control: Control,
        iin: Iin,
        objects: &[u8],
        now: Now,
    ) {
        let ours = |active: &mut Active| {
            active.association == number
                && active.sequence == control.sequence
                && active.first == control.first
        };
        // An answer that comes late, or to nothing: what it says was asked for again.
        let Some(mut active) = self.active.take_if(ours) else {
            return;
        };
        let association = &mut self.associations[number];
        if control.confirm {
            association.confirm(control, now.mono);
        }
        let doing = match active.job {
            Job::Routine(routine) => Some(routine),
            Job::User(..) => None,
        };
        self.indicated(number, iin, doing, now);
        self.values(number, objects, iin);
        if !control.last {
            active.first = false;
            active.sequence = next_sequence(control.sequence);
            active.deadline = now.mono + self.associations[number].config.response_timeout;
            self.active = Some(active);
            return;
        }
        self.answered(active, iin, objects, now);
    }

    fn indicated(&mut self, number: usize, iin: Iin, doing: Option<Routine>, now: Now) {
        self.online(number, true);
        let association = &mut self.associations[number];
        let before = std::mem::replace(&mut association.iin, iin);
        let outstation = association.address();
        let config = association.config;
        association
            .agenda
            .indicated(iin, before, doing, &config, now.mono);
        if before != iin {
            self.events
                .push_back(MasterEvent::Indications { outstation, iin });
        }
    }

    fn values(&mut self, number: usize, objects: &[u8], iin: Iin) {
        let outstation = self.associations[number].address();
        let (events, error) = decode::events(outstation, objects, iin);
        if let Some(error) = error {
            tracing::warn!(outstation, %error, "dnp3 response cannot be read to its end");
        }
        self.events.extend(events);
    }

    pub(super) fn online(&mut self, number: usize, online: bool) {
        let association = &mut self.associations[number];
        if association.online != Some(online) {
            association.online = Some(online);
            let outstation = association.address();
            self.events
                .push_back(MasterEvent::Online { outstation, online });
        }
    }

    pub(super) fn done(&mut self, id: u64, outcome: Outcome) {
        self.events.push_back(MasterEvent::Done { id, outcome });
    }
}

#[cfg(test)]
mod tests;
