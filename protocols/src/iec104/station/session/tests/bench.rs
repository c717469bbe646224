use std::{collections::BTreeMap, time::Duration};

use super::super::*;
use crate::{
    iec104::{
        CommandKind, ControlKind, Qds,
        apci::{Apdu, Control, FrameParser},
        station::{CommandConfig, GroupConfig, SelectMode},
    },
    point::{Quality, Value},
};

pub(super) const ADDRESS: u16 = 3;
/// 2023-11-14 22:13:20.123.
pub(super) const UNIX_MS: u64 = 1_700_000_000_123;

/// A connection's other end.
#[derive(Default)]
struct Peer {
    send: u16,
    receive: u16,
    acknowledged: u16,
    /// Not to acknowledge.
    silent: bool,
}

pub(super) struct Bench {
    pub(super) station: Station,
    pub(super) now: Now,
    peers: BTreeMap<u64, Peer>,
}

/// Points 1 (single), 2 (double), 3 and 4 (floats, 4 in group 2), 5 and 6 (counters, 6 in group 1);
/// commands 100 (single), 101 (double, to be selected) and 102 (set point).
pub(super) fn config() -> StationConfig {
    let point = PointConfig::new;
    let command = |ioa, kind, select| CommandConfig { ioa, kind, select };
    StationConfig {
        points: vec![
            point(1, Kind::Single),
            point(2, Kind::Double),
            PointConfig {
                dead_band: 0.5,
                ..point(3, Kind::Float)
            },
            PointConfig {
                group: Some(2),
                ..point(4, Kind::Float)
            },
            point(5, Kind::Counter),
            PointConfig {
                group: Some(1),
                ..point(6, Kind::Counter)
            },
        ],
        commands: vec![
            command(100, ControlKind::Single, SelectMode::Optional),
            command(101, ControlKind::Double, SelectMode::Required),
            command(102, ControlKind::Float, SelectMode::Optional),
        ],
        groups: vec![GroupConfig::default(), GroupConfig::default()],
        ..StationConfig::new(ADDRESS)
    }
}

impl Bench {
    /// With connection 1 of group 0 started, and what it is told at first taken.
    pub(super) fn started(config: StationConfig) -> Self {
        let mut bench = Self::new(config);
        bench.connect(1, 0);
        bench.start(1);
        // M_EI_NA_1, cause 4.
        assert_eq!(bench.received(1), [[70, 1, 4, 0, 3, 0, 0, 0, 0, 0]]);
        bench
    }

    pub(super) fn new(config: StationConfig) -> Self {
        Self {
            station: Station::new(config).unwrap(),
            now: Now {
                mono: Duration::ZERO,
                unix_ms: UNIX_MS,
            },
            peers: BTreeMap::new(),
        }
    }

    pub(super) fn connect(&mut self, connection: u64, group: usize) {
        self.station.connected(connection, group, self.now);
        self.peers.insert(connection, Peer::default());
    }

    pub(super) fn start(&mut self, connection: u64) {
        self.input(connection, &Apdu::U(Control::StartAct).encode());
    }

    pub(super) fn input(&mut self, connection: u64, octets: &[u8]) {
        self.station.handle_input(connection, octets, self.now);
    }

    /// Stops to acknowledge.
    pub(super) fn silence(&mut self, connection: u64) {
        self.peers.entry(connection).or_default().silent = true;
    }

    /// Acknowledges again.
    pub(super) fn peers_speak(&mut self, connection: u64) {
        let peer = self.peers.entry(connection).or_default();
        peer.silent = false;
        let receive = peer.receive;
        peer.acknowledged = receive;
        self.input(connection, &Apdu::S { receive }.encode());
    }

    /// Sends an ASDU.
    pub(super) fn send(&mut self, connection: u64, asdu: &[u8]) {
        let peer = self.peers.entry(connection).or_default();
        if !peer.silent {
            peer.acknowledged = peer.receive;
        }
        let frame = Apdu::I {
            send: peer.send,
            receive: peer.acknowledged,
            asdu: asdu.to_vec(),
        };
        peer.send = (peer.send + 1) % crate::iec104::apci::SEQUENCES;
        self.input(connection, &frame.encode());
    }

    /// The ASDUs that came, all of them acknowledged.
    pub(super) fn received(&mut self, connection: u64) -> Vec<Vec<u8>> {
        let mut asdus = Vec::new();
        loop {
            let mut parser = FrameParser::default();
            while let Some(octets) = self.station.poll_transmit(connection) {
                parser.push(&octets);
            }
            let mut any = false;
            let peer = self.peers.entry(connection).or_default();
            while let Some(frame) = parser.take().unwrap() {
                if let Apdu::I { send, asdu, .. } = frame {
                    assert_eq!(send, peer.receive);
                    assert!(asdu.len() <= crate::iec104::apci::MAX_ASDU);
                    peer.receive = (peer.receive + 1) % crate::iec104::apci::SEQUENCES;
                    asdus.push(asdu);
                    any = true;
                }
            }
            if !any || peer.silent {
                return asdus;
            }
            let receive = peer.receive;
            peer.acknowledged = receive;
            self.input(connection, &Apdu::S { receive }.encode());
        }
    }

    pub(super) fn ask(&mut self, connection: u64, asdu: &[u8]) -> Vec<Vec<u8>> {
        self.send(connection, asdu);
        self.received(connection)
    }

    pub(super) fn events(&mut self, connection: u64) -> Vec<StationEvent> {
        std::iter::from_fn(|| self.station.poll_event(connection)).collect()
    }

    /// Lets time pass, with every timer of a connection.
    pub(super) fn pass(&mut self, connection: u64, wait: Duration) {
        let end = self.now.mono + wait;
        while let Some(due) = self
            .station
            .poll_timeout(connection)
            .filter(|due| *due <= end)
        {
            let mono = due.max(self.now.mono);
            self.now = self.at(mono);
            self.station.handle_timeout(connection, self.now);
            if self.events_closed(connection) {
                break;
            }
        }
        self.now = self.at(end);
    }

    fn events_closed(&self, connection: u64) -> bool {
        self.station
            .connections
            .get(&connection)
            .is_none_or(|c| c.closed)
    }

    fn at(&self, mono: Duration) -> Now {
        let unix_ms = UNIX_MS + u64::try_from(mono.as_millis()).unwrap();
        Now { mono, unix_ms }
    }

    pub(super) fn measure(&mut self, ioa: u32, value: Value) {
        let kind = self.station.database.get(ioa).unwrap().config.kind;
        let sample = Sample::new(kind, value, Quality::GOOD, None);
        assert!(self.station.update(ioa, sample, self.now));
    }

    pub(super) fn qds(&mut self, ioa: u32, value: Value, qds: Qds) {
        let sample = Sample {
            value,
            qds,
            time: None,
        };
        assert!(self.station.update(ioa, sample, self.now));
    }
}

/// An ASDU in control direction, cause activation, originator 9.
pub(super) fn activate(kind: CommandKind, ioa: u8, object: &[u8]) -> Vec<u8> {
    [&[kind.type_id(), 1, 6, 9, 3, 0, ioa, 0, 0], object].concat()
}

/// The same with another cause octet (negative: 40h, test: 80h).
pub(super) fn with_cause(asdu: &[u8], cause: u8) -> Vec<u8> {
    let mut asdu = asdu.to_vec();
    asdu[2] = cause;
    asdu
}
