//! A master and all that the outstations of its channel may send: fitting answers, others, unsolicited ones, link
//! frames, noise. Afterwards it asks anew.

#![no_main]

use fuzz::{Step, begin, dnp3, fuzz_target, pass, steps};
use protocols::dnp3::{
    Kind, Now,
    app::{AnalogCommand, OutputCommand},
    link::LinkConfig,
    master::{AssociationConfig, Master, ReadHeader, ReadRange, Request, Select, TimeSync},
};

struct Bench {
    master: Master,
    now: Now,
    sequence: u8,
    /// To whom and with which control octet it has asked last.
    last: (u16, u8),
}

fn outstation(address: u16, bits: u8) -> AssociationConfig {
    let link = LinkConfig {
        confirmed: bits & 1 != 0,
        ..LinkConfig::new(10, address)
    };
    AssociationConfig {
        time_sync: if bits & 2 == 0 {
            TimeSync::Lan
        } else {
            TimeSync::Delay
        },
        ask_times: [bits & 4 != 0; 2],
        ..AssociationConfig::new(link)
    }
}

fn request(step: Step<'_>) -> Request {
    let range = Some((step.number(1), step.number(3)));
    let kind = Kind::ALL[usize::from(step.at(1)) % Kind::ALL.len()];
    match step.at(0) % 9 {
        0 => Request::Read(vec![ReadHeader {
            group: step.at(1),
            variation: step.at(2),
            range: ReadRange::Count(step.number(3)),
        }]),
        1 => {
            let command = OutputCommand::Analog(AnalogCommand::F32(1.5));
            let select = [
                Select::BeforeOperate,
                Select::Direct,
                Select::DirectNoResponse,
            ];
            Request::Operate(
                select[usize::from(step.at(1)) % 3],
                vec![(step.number(2), command)],
            )
        }
        2 => Request::Freeze {
            range,
            clear: step.at(5) & 1 != 0,
        },
        3 => Request::AssignClass {
            kind,
            range,
            class: None,
        },
        4 => Request::DeadBands(vec![(step.number(1), 0.5)]),
        5 => Request::Unsolicited([
            step.at(1) & 1 != 0,
            step.at(1) & 2 != 0,
            step.at(1) & 4 != 0,
        ]),
        6 => Request::SyncTime,
        7 => Request::Restart { cold: true },
        _ => Request::Restart { cold: false },
    }
}

impl Bench {
    fn answer(&mut self, from: u16, fragment: &[u8]) {
        let frames = dnp3::fragment(0x44, 10, from, fragment, &mut self.sequence);
        self.master.handle_input(&frames, self.now);
    }

    fn act(&mut self, step: Step<'_>) {
        match step.kind % 10 {
            // To what was asked last, as one, a first, a middle, or a last fragment.
            kind @ 0..5 => {
                let ends = [0xC0, 0xC0, 0x80, 0x00, 0x40][usize::from(kind)];
                let control = ends | self.last.1 & 0x0F;
                let fragment = [&[control, 129], step.octets].concat();
                self.answer(self.last.0, &fragment);
            }
            5 => self.answer(
                u16::from(step.at(0) % 4),
                step.octets.get(1..).unwrap_or_default(),
            ),
            6 => {
                let data = step.octets.get(5..).unwrap_or_default();
                let frame = dnp3::frame(step.at(0), step.number(1), step.number(3), data);
                self.master.handle_input(&frame, self.now);
            }
            7 => self.master.handle_input(step.octets, self.now),
            8 => pass(
                &mut self.master,
                &mut self.now,
                step.time(),
                Master::poll_timeout,
                |master, now| {
                    master.handle_timeout(now);
                    while master.poll_transmit().is_some() {}
                    while master.poll_event().is_some() {}
                },
            ),
            _ if step.at(5) == 9 => {
                self.master.disconnected(self.now);
                self.master.connected(self.now);
            }
            _ => {
                self.master
                    .request(u16::from(step.at(6) % 3), request(step), self.now);
            }
        }
    }

    fn drain(&mut self) -> usize {
        let mut fragments = 0;
        while let Some(octets) = self.master.poll_transmit() {
            let to = u16::from_le_bytes([octets[4], octets[5]]);
            for (_, data) in dnp3::data(&octets) {
                // A segment that begins a request other than a confirmation.
                if data.len() > 2 && data[0] & 0x40 != 0 && data[2] != 0 {
                    self.last = (to, data[1]);
                    fragments += 1;
                }
            }
        }
        while self.master.poll_event().is_some() {}
        fragments
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((bits, script)) = input.split_first() else {
        return;
    };
    let now = begin();
    let outstations = [outstation(1, *bits), outstation(2, bits >> 3)];
    let mut bench = Bench {
        master: Master::new(&outstations, now),
        now,
        sequence: 0,
        last: (1, 0xC0),
    };
    bench.master.connected(now);
    bench.drain();
    for step in steps(script).take(200) {
        bench.act(step);
        bench.drain();
    }
    bench.master.disconnected(bench.now);
    bench.drain();
    bench.master.connected(bench.now);
    assert!(bits & 9 != 0 || bench.drain() > 0, "it asks nothing");
});
