//! An outstation and all that a master may do to it, at any time: requests, link frames, noise, broadcasts, changes
//! of points meanwhile, lost connections. Afterwards a master that behaves is answered.

#![no_main]

use std::time::Duration;

use fuzz::{Step, begin, dnp3, fuzz_target, pass, steps};
use protocols::{
    dnp3::{
        Flags, Iin, Kind, Now, Sample,
        app::CommandStatus,
        link::LinkConfig,
        outstation::{
            Class, Outstation, OutstationConfig, OutstationEvent, PointConfig, RestartPolicy,
            UnsolicitedConfig,
        },
    },
    point::{DoublePoint, Value},
};

const MAX_FRAGMENT: usize = 249;

struct Bench {
    outstation: Outstation,
    now: Now,
    sequence: u8,
    /// Commands that wait for their end.
    asked: Vec<(u64, usize)>,
}

fn config(bits: u8) -> OutstationConfig {
    let link = LinkConfig {
        confirmed: bits & 1 != 0,
        ..LinkConfig::new(1, 10)
    };
    OutstationConfig {
        max_fragment: MAX_FRAGMENT,
        max_events: 20,
        unsolicited: (bits & 2 != 0).then(UnsolicitedConfig::default),
        need_time_every: (bits & 4 != 0).then_some(Duration::from_secs(60)),
        restart: match bits & 8 {
            0 => RestartPolicy::Refused,
            _ => RestartPolicy::Allowed {
                back_in: Duration::from_secs(30),
            },
        },
        ..OutstationConfig::new(link)
    }
}

fn points() -> Vec<PointConfig> {
    let of_kind = |kind| {
        [
            PointConfig::new(kind, 0, Some(Class::One)),
            PointConfig::new(kind, 1, Some(Class::Two)).dead_band(1.0),
            PointConfig::new(kind, 300, None),
        ]
    };
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

fn value(kind: Kind, octet: u8) -> Value {
    match kind.unmeasured() {
        Value::Analog(_) if octet == 255 => Value::Analog(f64::NAN),
        Value::Analog(_) => Value::Analog((f64::from(octet) - 128.0) * 1e7),
        Value::Binary(_) => Value::Binary(octet & 1 != 0),
        Value::DoublePoint(_) if octet & 1 != 0 => Value::DoublePoint(DoublePoint::On),
        Value::DoublePoint(_) => Value::DoublePoint(DoublePoint::Bad),
        Value::Counter(_) => Value::Counter(u64::from(octet) << 25),
    }
}

impl Bench {
    fn new(bits: u8) -> Self {
        let now = begin();
        let mut outstation =
            Outstation::new(config(bits), &points(), now).expect("a good configuration");
        outstation.connected(now);
        Self {
            outstation,
            now,
            sequence: 0,
            asked: Vec::new(),
        }
    }

    fn input(&mut self, octets: &[u8]) {
        self.outstation.handle_input(octets, self.now);
    }

    fn request(&mut self, destination: u16, fragment: &[u8]) {
        let frames = dnp3::fragment(0xC4, destination, 10, fragment, &mut self.sequence);
        self.input(&frames);
    }

    fn act(&mut self, step: Step<'_>) {
        match step.kind % 12 {
            0..4 => self.request(1, step.octets),
            4 => self.request(
                0xFFFD + u16::from(step.at(0) % 3),
                step.octets.get(1..).unwrap_or_default(),
            ),
            5 => {
                let data = step.octets.get(5..).unwrap_or_default();
                self.input(&dnp3::frame(
                    step.at(0),
                    step.number(1),
                    step.number(3),
                    data,
                ));
            }
            6 => self.input(step.octets),
            7 => self.pass(step.time()),
            8 => {
                let kind = Kind::ALL[usize::from(step.at(0)) % Kind::ALL.len()];
                let flags = Flags::from_bits_retain(step.at(3));
                let sample = Sample {
                    value: value(kind, step.at(2)),
                    flags,
                    time: None,
                };
                self.outstation
                    .update(kind, u16::from(step.at(1) % 3), sample, self.now);
            }
            9 => {
                if let Some((id, count)) = self.asked.pop() {
                    let status = CommandStatus::from_code(step.at(0));
                    self.outstation.control_done(
                        id,
                        &vec![status; count.min(step.at(1).into())],
                        self.now,
                    );
                }
            }
            10 => {
                self.outstation
                    .set_octets(u16::from(step.at(0)), step.octets.to_vec());
                self.outstation
                    .indicate(Iin::from_bits_retain(step.number(0)), step.at(2) & 1 != 0);
            }
            _ => {
                self.outstation.disconnected(self.now);
                self.outstation.connected(self.now);
            }
        }
    }

    fn pass(&mut self, wait: Duration) {
        pass(
            &mut self.outstation,
            &mut self.now,
            wait,
            Outstation::poll_timeout,
            |outstation, now| {
                outstation.handle_timeout(now);
                // Somebody takes them off the wire.
                while outstation.poll_transmit().is_some() {}
            },
        );
    }

    /// What came of a step: frames that keep the bounds.
    fn drain(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(octets) = self.outstation.poll_transmit() {
            sent.extend(dnp3::data(&octets));
        }
        while let Some(event) = self.outstation.poll_event() {
            if let OutstationEvent::Control(request) = event {
                self.asked.push((request.id, request.commands.len()));
            }
        }
        self.asked.truncate(64);
        sent
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((bits, script)) = input.split_first() else {
        return;
    };
    let mut bench = Bench::new(*bits);
    for step in steps(script).take(200) {
        bench.act(step);
        let sent: usize = bench.drain().iter().map(|(_, data)| data.len()).sum();
        // One answer, one unsolicited response and their like, for each fragment that fits into an input.
        assert!(
            sent <= (step.octets.len() / 10 + 4) * 2 * MAX_FRAGMENT,
            "{sent} octets"
        );
    }
    bench.outstation.disconnected(bench.now);
    bench.outstation.connected(bench.now);
    bench.pass(Duration::from_secs(60));
    bench.drain();
    if bits & 1 == 0 {
        bench.request(1, &[0xC9, 0x17]);
        let sent = bench.drain();
        // After a broadcast it may ask for a confirmation.
        let delay = |data: &[u8]| {
            data.len() > 5
                && (data[1] & !0x20, data[2]) == (0xC9, 0x81)
                && data[5..] == [52, 2, 7, 1, 0, 0]
        };
        assert!(sent.iter().any(|(_, data)| delay(data)), "{sent:02X?}");
    }
});
