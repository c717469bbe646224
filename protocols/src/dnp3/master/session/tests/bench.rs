//! A master at address 10 and the octets of its outstations at addresses 1 and 2.

use std::time::Duration;

use crate::dnp3::{
    Now,
    app::MAX_FRAGMENT,
    link::{Frame, FrameParser, Function, LinkConfig},
    master::{AssociationConfig, Master, MasterEvent},
    transport::{Reassembler, segments},
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Bench {
    pub(super) master: Master,
    pub(super) now: Now,
    parser: FrameParser,
    sequence: u8,
}

pub(super) fn config(outstation: u16) -> AssociationConfig {
    let link = LinkConfig {
        keep_alive: None,
        ..LinkConfig::new(10, outstation)
    };
    AssociationConfig::new(link)
}

/// Asks nothing by itself but the integrity poll at the beginning.
pub(super) fn quiet(outstation: u16) -> AssociationConfig {
    AssociationConfig {
        integrity_every: None,
        unsolicited: [false; 3],
        ..config(outstation)
    }
}

/// A fragment to one of the outstations.
pub(super) type Sent = (u16, Vec<u8>);

impl Bench {
    pub(super) fn new(outstations: &[AssociationConfig]) -> Self {
        let now = Now {
            mono: 100 * SECOND,
            unix_ms: 1_700_000_000_123,
        };
        let mut master = Master::new(outstations, now);
        master.connected(now);
        Self {
            master,
            now,
            parser: FrameParser::default(),
            sequence: 0,
        }
    }

    /// With outstation 1, which has answered all that the master wants to know at the beginning.
    pub(super) fn settled() -> Self {
        let mut bench = Self::new(&[quiet(1)]);
        assert_eq!(
            bench.sent(),
            [(1, vec![0xC0, 0x15, 60, 2, 6, 60, 3, 6, 60, 4, 6])]
        );
        bench.answer(&[0xC0, 0x81, 0, 0]);
        assert_eq!(bench.sent().len(), 1);
        bench.answer(&[0xC1, 0x81, 0, 0]);
        assert_eq!(bench.sent(), []);
        bench.events();
        bench
    }

    /// Fragments that the master has sent.
    pub(super) fn sent(&mut self) -> Vec<Sent> {
        let mut fragments = Vec::new();
        let mut reassembler = Reassembler::new(MAX_FRAGMENT);
        while let Some(octets) = self.master.poll_transmit() {
            self.parser.push(&octets);
            while let Some(frame) = self.parser.next() {
                assert!(frame.from_master && frame.source == 10);
                if frame.function == Function::UnconfirmedData {
                    let fragment = reassembler.push(&frame.data);
                    fragments.extend(fragment.map(|fragment| (frame.destination, fragment)));
                }
            }
        }
        fragments
    }

    /// What outstation 1 sends.
    pub(super) fn answer(&mut self, fragment: &[u8]) {
        self.answer_from(1, fragment);
    }

    pub(super) fn answer_from(&mut self, outstation: u16, fragment: &[u8]) {
        for data in segments(fragment, &mut self.sequence) {
            let frame = Frame {
                from_master: false,
                function: Function::UnconfirmedData,
                destination: 10,
                source: outstation,
                data,
            };
            self.master.handle_input(&frame.encode(), self.now);
        }
    }

    /// Lets time pass, with a call at each moment that the session asks for.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        let mut calls = 0;
        while let Some(due) = self.master.poll_timeout().filter(|&due| due <= end) {
            self.at(due);
            self.master.handle_timeout(self.now);
            calls += 1;
            assert!(calls < 1000, "the session asks for time without end");
        }
        self.at(end);
    }

    fn at(&mut self, mono: Duration) {
        let passed = mono.saturating_sub(self.now.mono);
        self.now.mono += passed;
        self.now.unix_ms += passed.as_millis() as u64;
    }

    pub(super) fn events(&mut self) -> Vec<MasterEvent> {
        std::iter::from_fn(|| self.master.poll_event()).collect()
    }
}
