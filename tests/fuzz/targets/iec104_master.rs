//! A controlling station and all that the controlled one may send.

#![no_main]

use fuzz::{Step, begin, fuzz_target, pass, steps};
use protocols::{
    dnp3::Now,
    iec104::{
        Command, CommandValue,
        apci::{Apdu, Control, FrameParser, MAX_ASDU, SEQUENCES},
        master::{Master, MasterConfig, MasterEvent, Request},
    },
};

struct Bench {
    master: Master,
    now: Now,
    send: u16,
    receive: u16,
    last: Vec<u8>,
}

impl Bench {
    fn connect(&mut self) {
        self.master.disconnected(self.now);
        self.master.connected(self.now);
        (self.send, self.receive) = (0, 0);
        self.drain();
        self.input(&Apdu::U(Control::StartCon).encode());
        self.drain();
    }

    fn input(&mut self, octets: &[u8]) {
        self.master.handle_input(octets, self.now);
    }

    fn asdu(&mut self, octets: &[u8]) {
        let asdu = octets[..octets.len().min(MAX_ASDU)].to_vec();
        let frame = Apdu::I {
            send: self.send,
            receive: self.receive,
            asdu,
        };
        self.send = (self.send + 1) % SEQUENCES;
        self.input(&frame.encode());
    }

    fn act(&mut self, step: Step<'_>) {
        match step.kind % 12 {
            0..5 => self.asdu(step.octets),
            // What was asked last, with another cause.
            5 => {
                let mut answer = self.last.clone();
                if let Some(cause) = answer.get_mut(2) {
                    *cause = step.at(0);
                }
                self.asdu(&answer);
            }
            6 => self.input(step.octets),
            7 => self.input(
                &Apdu::S {
                    receive: step.number(0) % SEQUENCES,
                }
                .encode(),
            ),
            8 => pass(
                &mut self.master,
                &mut self.now,
                step.time(),
                Master::poll_timeout,
                |master, now| {
                    master.handle_timeout(now);
                    let closed = |event| matches!(event, MasterEvent::Closed(_));
                    if std::iter::from_fn(|| master.poll_event()).any(closed) {
                        master.disconnected(now);
                    }
                },
            ),
            9 => self.connect(),
            _ => {
                let value = match step.at(1) % 3 {
                    0 => CommandValue::Single(true),
                    1 => CommandValue::Float(1.5),
                    _ => CommandValue::Scaled(-3),
                };
                let command = Command::new(u32::from(step.number(2)), value);
                let request = match step.at(0) % 8 {
                    0 => Request::Command {
                        command,
                        select: step.at(4) & 1 != 0,
                    },
                    1 => Request::Cancel(command),
                    2 => Request::Interrogation(step.at(1)),
                    3 => Request::Counters(step.at(1)),
                    4 => Request::Read(u32::from(step.number(1))),
                    5 => Request::Clock,
                    6 => Request::Test,
                    _ => Request::Reset(step.at(1)),
                };
                self.master.request(request, self.now);
            }
        }
    }

    fn drain(&mut self) {
        let mut parser = FrameParser::default();
        while let Some(octets) = self.master.poll_transmit() {
            parser.push(&octets);
        }
        while let Some(frame) = parser.take().expect("whole frames are sent") {
            if let Apdu::I { send, asdu, .. } = frame {
                assert_eq!(
                    send, self.receive,
                    "frames are numbered one after the other"
                );
                self.receive = (self.receive + 1) % SEQUENCES;
                self.last = asdu;
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let now = begin();
    let mut bench = Bench {
        master: Master::new(MasterConfig::new(3)),
        now,
        send: 0,
        receive: 0,
        last: Vec::new(),
    };
    bench.connect();
    for step in steps(input).take(200) {
        bench.act(step);
        bench.drain();
        let closed = |event| matches!(event, MasterEvent::Closed(_));
        if std::iter::from_fn(|| bench.master.poll_event()).any(closed) {
            bench.connect();
        }
    }
    bench.connect();
    assert!(
        bench.master.is_started() && bench.receive > 0,
        "it asks nothing"
    );
});
