//! A controlled station with two masters of two connections each, and all that these may send: well numbered ASDUs
//! of any content, control frames, noise, nothing. Afterwards a master that behaves is served.

#![no_main]

use fuzz::{Step, begin, fuzz_target, pass, steps};
use protocols::{
    dnp3::Now,
    iec104::{
        ControlKind, Kind, Qds, Sample,
        apci::{Apdu, Control, FrameParser, MAX_ASDU, SEQUENCES},
        station::{
            CommandConfig, ControlAnswer, GroupConfig, PointConfig, SelectMode, Station,
            StationConfig, StationEvent,
        },
    },
    point::{DoublePoint, Value},
};

const CONNECTIONS: usize = 4;

/// A connection's other end.
#[derive(Clone, Copy, Default)]
struct Peer {
    send: u16,
    receive: u16,
    /// It acknowledges nothing.
    silent: bool,
}

struct Bench {
    station: Station,
    now: Now,
    peers: [Peer; CONNECTIONS],
    asked: Vec<u64>,
}

fn config() -> StationConfig {
    let command = |ioa, kind, select| CommandConfig { ioa, kind, select };
    let mut points: Vec<PointConfig> = (1..)
        .zip(Kind::ALL)
        .map(|(ioa, kind)| PointConfig {
            group: Some(1),
            ..PointConfig::new(ioa, kind)
        })
        .collect();
    points.extend((50..90).map(|ioa| PointConfig::new(ioa, Kind::Float)));
    let group = GroupConfig {
        max_events: 50,
        max_connections: 2,
        ..GroupConfig::default()
    };
    StationConfig {
        points,
        commands: vec![
            command(100, ControlKind::Single, SelectMode::Optional),
            command(101, ControlKind::Double, SelectMode::Required),
            command(102, ControlKind::Float, SelectMode::Optional),
            command(103, ControlKind::Step, SelectMode::Optional),
        ],
        groups: vec![group.clone(), group],
        lost_events: Some(99),
        clock_sync: true,
        reset: true,
        ..StationConfig::new(3)
    }
}

fn value(kind: Kind, octet: u8) -> Option<Value> {
    let values = [
        Value::Analog((f64::from(octet) - 128.0) * 1e3),
        Value::Binary(octet & 1 != 0),
        Value::DoublePoint(DoublePoint::On),
        Value::Counter(u64::from(octet) << 25),
    ];
    values.into_iter().find(|value| kind.holds(*value))
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            station: Station::new(config()).expect("a good configuration"),
            now: begin(),
            peers: Default::default(),
            asked: Vec::new(),
        };
        for connection in 0..CONNECTIONS {
            bench.connect(connection);
        }
        bench
    }

    fn connect(&mut self, connection: usize) {
        self.station.disconnected(connection as u64);
        self.station
            .connected(connection as u64, connection / 2, self.now);
        self.peers[connection] = Peer::default();
    }

    fn input(&mut self, connection: usize, octets: &[u8]) {
        self.station
            .handle_input(connection as u64, octets, self.now);
    }

    fn asdu(&mut self, connection: usize, octets: &[u8]) {
        let peer = &mut self.peers[connection];
        let asdu = octets[..octets.len().min(MAX_ASDU)].to_vec();
        let frame = Apdu::I {
            send: peer.send,
            receive: peer.receive,
            asdu,
        };
        peer.send = (peer.send + 1) % SEQUENCES;
        self.input(connection, &frame.encode());
    }

    fn act(&mut self, step: Step<'_>) {
        let connection = usize::from(step.kind >> 4) % CONNECTIONS;
        match step.kind % 16 {
            0..5 => self.asdu(connection, step.octets),
            5 => {
                let controls = [
                    Control::StartAct,
                    Control::StartCon,
                    Control::StopAct,
                    Control::StopCon,
                    Control::TestAct,
                    Control::TestCon,
                ];
                let control = controls[usize::from(step.at(0)) % controls.len()];
                self.input(connection, &Apdu::U(control).encode());
            }
            6 => self.input(connection, step.octets),
            7 => {
                let receive = step.number(0) % SEQUENCES;
                self.input(connection, &Apdu::S { receive }.encode());
            }
            8 => self.pass(connection, step),
            9 => self.peers[connection].silent ^= true,
            10 => self.connect(connection),
            11 => {
                if let Some(id) = self.asked.pop() {
                    let answers = [
                        ControlAnswer::Refused,
                        ControlAnswer::Accepted,
                        ControlAnswer::Done,
                    ];
                    let answer = answers[usize::from(step.at(0)) % 3];
                    self.station.answer(id, answer, self.now);
                    if answer == ControlAnswer::Accepted {
                        self.asked.push(id);
                    }
                }
            }
            12 => self.station.events_lost(self.now),
            _ => {
                let ioa = u32::from(step.at(0));
                let at = usize::from(step.at(0)).wrapping_sub(1);
                let kind = Kind::ALL.get(at).copied().unwrap_or(Kind::Float);
                if let Some(value) = value(kind, step.at(1)) {
                    let qds = Qds::from_bits_truncate(step.at(2));
                    self.station.update(
                        ioa,
                        Sample {
                            value,
                            qds,
                            time: None,
                        },
                        self.now,
                    );
                }
            }
        }
    }

    fn pass(&mut self, connection: usize, step: Step<'_>) {
        let id = connection as u64;
        pass(
            &mut self.station,
            &mut self.now,
            step.time(),
            |station| station.poll_timeout(id),
            |station, now| {
                station.handle_timeout(id, now);
                let closed = |event| matches!(event, StationEvent::Closed(_));
                if std::iter::from_fn(|| station.poll_event(id)).any(closed) {
                    station.disconnected(id);
                }
            },
        );
    }

    /// Takes what is sent and acknowledges it, as long as there is anything; the ASDUs.
    fn drain(&mut self, connection: usize) -> Vec<Vec<u8>> {
        let mut asdus = Vec::new();
        for _ in 0..1000 {
            let mut parser = FrameParser::default();
            while let Some(octets) = self.station.poll_transmit(connection as u64) {
                parser.push(&octets);
            }
            let before = asdus.len();
            let peer = &mut self.peers[connection];
            while let Some(frame) = parser.take().expect("whole frames are sent") {
                if let Apdu::I { send, asdu, .. } = frame {
                    assert_eq!(
                        send, peer.receive,
                        "frames are numbered one after the other"
                    );
                    assert!(asdu.len() <= MAX_ASDU);
                    peer.receive = (peer.receive + 1) % SEQUENCES;
                    asdus.push(asdu);
                }
            }
            if asdus.len() == before || peer.silent {
                return asdus;
            }
            let receive = peer.receive;
            self.input(connection, &Apdu::S { receive }.encode());
        }
        panic!("what is to be sent never ends");
    }

    fn drain_all(&mut self) {
        for connection in 0..CONNECTIONS {
            self.drain(connection);
            while let Some(event) = self.station.poll_event(connection as u64) {
                match event {
                    StationEvent::Control(request) => self.asked.push(request.id),
                    StationEvent::Closed(_) => self.connect(connection),
                    _ => {}
                }
            }
        }
        self.asked.truncate(64);
    }
}

fuzz_target!(|input: &[u8]| {
    let mut bench = Bench::new();
    for step in steps(input).take(200) {
        bench.act(step);
        bench.drain_all();
    }
    bench.connect(0);
    bench.input(0, &Apdu::U(Control::StartAct).encode());
    bench.drain(0);
    // C_IC_NA_1 of the station: confirmation, values, termination.
    bench.asdu(0, &[100, 1, 6, 0, 3, 0, 0, 0, 0, 20]);
    let answer = bench.drain(0);
    let cause = |asdu: &Vec<u8>, cause: u8| asdu[0] == 100 && asdu[2] & 0x3F == cause;
    assert!(
        answer.iter().any(|a| cause(a, 7)) && answer.iter().any(|a| cause(a, 10)),
        "{answer:02X?}"
    );
});
