//! An outstation at address 1 and the octets of its master at address 10.

use std::time::Duration;

use crate::{
    dnp3::{
        Flags, Kind, Now, Sample,
        app::MAX_FRAGMENT,
        link::{Frame, FrameParser, Function, LinkConfig},
        outstation::{Class, Outstation, OutstationConfig, OutstationEvent, PointConfig},
        transport::{Reassembler, segments},
    },
    point::{DoublePoint, TimeQuality, Timestamp, Value},
};

pub(super) struct Bench {
    pub(super) outstation: Outstation,
    pub(super) now: Now,
    parser: FrameParser,
    reassembler: Reassembler,
    sequence: u8,
}

pub(super) fn config() -> OutstationConfig {
    let link = LinkConfig {
        keep_alive: None,
        ..LinkConfig::new(1, 10)
    };
    OutstationConfig {
        unsolicited: None,
        ..OutstationConfig::new(link)
    }
}

/// Two of each kind: index 0 in class 1, index 1 in class 2.
pub(super) fn points() -> Vec<PointConfig> {
    let of_kind = |kind| {
        [
            PointConfig::new(kind, 0, Some(Class::One)),
            PointConfig::new(kind, 1, Some(Class::Two)),
        ]
    };
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

/// 1700000000123 ms, 0x018BCFE5687B.
pub(super) const TIME: [u8; 6] = [0x7B, 0x68, 0xE5, 0xCF, 0x8B, 0x01];

pub(super) fn online(value: Value) -> Sample {
    Sample {
        value,
        flags: Flags::ONLINE,
        time: Some(Timestamp {
            unix_us: 1_700_000_000_123_000,
            quality: TimeQuality::Source,
        }),
    }
}

impl Bench {
    pub(super) fn new(config: OutstationConfig, points: &[PointConfig]) -> Self {
        let now = Now {
            mono: Duration::from_secs(100),
            unix_ms: 1_700_000_000_123,
        };
        let mut outstation = Outstation::new(config, points, now).unwrap();
        outstation.connected(now);
        Self {
            outstation,
            now,
            parser: FrameParser::default(),
            reassembler: Reassembler::new(MAX_FRAGMENT),
            sequence: 0,
        }
    }

    /// With [`points`] and nothing unsolicited, every present value known and no event left.
    pub(super) fn quiet() -> Self {
        let mut bench = Self::new(config(), &points());
        bench.measure_all();
        bench.ask(&[0xC0, 0x02, 80, 1, 0x00, 7, 7, 0]);
        let answer = bench.ask(&[0xC1, 0x01, 60, 2, 6, 60, 3, 6]);
        bench.send(&[0xC0 | answer[0][0] & 0x0F, 0x00]);
        assert!(bench.outstation.is_idle());
        bench
    }

    pub(super) fn measure_all(&mut self) {
        for number in 0..2 {
            for (kind, value) in [
                (Kind::Binary, Value::Binary(number == 1)),
                (Kind::DoubleBit, Value::DoublePoint(DoublePoint::On)),
                (Kind::BinaryOutput, Value::Binary(true)),
                (Kind::Counter, Value::Counter(1000 + u64::from(number))),
                (Kind::FrozenCounter, Value::Counter(0)),
                (Kind::Analog, Value::Analog(1.5 + f64::from(number))),
                (Kind::AnalogOutput, Value::Analog(-1.0)),
            ] {
                assert!(self.update(kind, number, value));
            }
        }
    }

    pub(super) fn update(&mut self, kind: Kind, index: u16, value: Value) -> bool {
        self.outstation.update(kind, index, online(value), self.now)
    }

    /// Sends a fragment as the master.
    pub(super) fn send(&mut self, fragment: &[u8]) {
        self.send_to(1, fragment);
    }

    pub(super) fn send_to(&mut self, destination: u16, fragment: &[u8]) {
        for data in segments(fragment, &mut self.sequence) {
            let frame = Frame {
                from_master: true,
                function: Function::UnconfirmedData,
                destination,
                source: 10,
                data,
            };
            self.outstation.handle_input(&frame.encode(), self.now);
        }
    }

    /// Fragments that the outstation has sent.
    pub(super) fn received(&mut self) -> Vec<Vec<u8>> {
        let mut fragments = Vec::new();
        while let Some(octets) = self.outstation.poll_transmit() {
            self.parser.push(&octets);
            while let Some(frame) = self.parser.next() {
                assert!(!frame.from_master && (frame.destination, frame.source) == (10, 1));
                if frame.function == Function::UnconfirmedData {
                    fragments.extend(self.reassembler.push(&frame.data));
                }
            }
        }
        fragments
    }

    /// Sends a fragment and gives what comes back.
    pub(super) fn ask(&mut self, fragment: &[u8]) -> Vec<Vec<u8>> {
        self.send(fragment);
        self.received()
    }

    /// Lets time pass, with a call at each moment that the session asks for.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        let start = self.now;
        let mut calls = 0;
        while let Some(due) = self.outstation.poll_timeout().filter(|&due| due <= end) {
            self.now.mono = due.max(self.now.mono);
            self.outstation.handle_timeout(self.now);
            calls += 1;
            assert!(calls < 100, "the session asks for time without end");
        }
        self.now.mono = end;
        self.now.unix_ms = start.unix_ms + duration.as_millis() as u64;
    }

    pub(super) fn events(&mut self) -> Vec<OutstationEvent> {
        std::iter::from_fn(|| self.outstation.poll_event()).collect()
    }
}
