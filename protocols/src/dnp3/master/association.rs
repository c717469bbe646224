//! One outstation of a channel: link, sequence numbers, indications and what is to be done.

use std::{collections::VecDeque, time::Duration};

use super::{AssociationConfig, agenda::Agenda, request::Request};
use crate::dnp3::{
    app::{Control, FunctionCode, Header, Iin, MAX_FRAGMENT, next_sequence},
    link::Station,
    transport::{Reassembler, segments},
};

/// Requests that may wait for one outstation.
pub(super) const MAX_WAITING: usize = 64;

#[derive(Debug)]
pub(super) struct Association {
    pub(super) config: AssociationConfig,
    pub(super) station: Station,
    pub(super) reassembler: Reassembler,
    transport_sequence: u8,
    /// Of the last request.
    pub(super) sequence: u8,
    pub(super) iin: Iin,
    /// Whether it answers; none: not known yet on this connection.
    pub(super) online: Option<bool>,
    pub(super) agenda: Agenda,
    pub(super) waiting: VecDeque<(u64, Request)>,
    /// The last unsolicited response, which may be repeated.
    pub(super) last_unsolicited: Option<Vec<u8>>,
    /// Commands that are selected and nothing else: what of, and until when it is waited for.
    pub(super) held: Option<Held>,
    /// No routine request before this: the last one was not answered.
    pub(super) pause: Duration,
}

/// Commands that are only selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) objects: Vec<u8>,
    pub(super) until: Duration,
}

impl Association {
    pub(super) fn new(config: AssociationConfig, now: Duration) -> Self {
        Self {
            config,
            station: Station::new(config.link, true, now),
            reassembler: Reassembler::new(MAX_FRAGMENT),
            transport_sequence: 0,
            sequence: 0x0F,
            iin: Iin::empty(),
            online: None,
            agenda: Agenda::default(),
            waiting: VecDeque::new(),
            held: None,
            last_unsolicited: None,
            pause: Duration::ZERO,
        }
    }

    pub(super) fn address(&self) -> u16 {
        self.config.link.remote
    }

    /// A new connection.
    pub(super) fn restart(&mut self, now: Duration) {
        self.station.restart(now);
        self.reassembler.clear();
        self.iin = Iin::empty();
        self.online = None;
        self.agenda = Agenda::start(&self.config, now);
        self.held = None;
        self.last_unsolicited = None;
        self.pause = Duration::ZERO;
    }

    /// Sends a request; its sequence number.
    pub(super) fn ask(&mut self, function: FunctionCode, objects: &[u8], now: Duration) -> u8 {
        self.sequence = next_sequence(self.sequence);
        let header = Header {
            control: Control::single(self.sequence),
            code: function as u8,
            iin: None,
        };
        self.transmit(&header.join(objects), now);
        self.sequence
    }

    /// Sends a request to everyone.
    pub(super) fn broadcast(&mut self, destination: u16, function: FunctionCode, objects: &[u8]) {
        self.sequence = next_sequence(self.sequence);
        let header = Header {
            control: Control::single(self.sequence),
            code: function as u8,
            iin: None,
        };
        for segment in segments(&header.join(objects), &mut self.transport_sequence) {
            self.station.send_to(destination, segment);
        }
    }

    /// Confirms a response.
    pub(super) fn confirm(&mut self, response: Control, now: Duration) {
        let header = Header {
            control: Control {
                unsolicited: response.unsolicited,
                ..Control::single(response.sequence)
            },
            code: FunctionCode::Confirm as u8,
            iin: None,
        };
        self.transmit(&header.join(&[]), now);
    }

    fn transmit(&mut self, fragment: &[u8], now: Duration) {
        let segments = segments(fragment, &mut self.transport_sequence);
        self.station.send(segments, now);
    }
}
