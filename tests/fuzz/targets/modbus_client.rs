//! A device that is polled and commanded, SunSpec or of a profile, and all that it may answer.

#![no_main]

use std::{collections::VecDeque, time::Duration};

use fuzz::{Step, fuzz_target, modbus, steps};
use protocols::{
    modbus::fuzz::{Polled, poll},
    point::{
        Action, ActivePower, Command, DerFallback, DerSetpoint, DeviceId, Origin, PointId, Value,
    },
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

const MAP: &str = r#"
point = [
  { name = "u", table = "holding", address = 0, encoding = "f32" },
  { name = "e", table = "input", address = 2, encoding = "u64", kind = "counter", scale = 0.1 },
  { name = "on", table = "coil", address = 9, writable = true },
  { name = "tap", table = "holding", address = 16, encoding = "i16", writable = true },
  { name = "w", table = "holding", address = 40, encoding = "i32", word_order = "low_first", writable = true },
]
"#;

fn commands(w: f64) -> Vec<Command> {
    let command = |name: &str, action| Command {
        id: 1,
        point: PointId::new(&DeviceId::new("device"), name),
        action,
        origin: Origin::Market,
        expires_unix_us: i64::MAX,
    };
    let der = DerSetpoint {
        p: ActivePower::Limit(w),
        q_var: -w / 3.0,
        lease: Duration::from_secs(60),
        ramp_w_per_s: Some(100.0),
        fallback: DerFallback {
            p: ActivePower::Limit(w / 2.0),
            q_var: 0.0,
        },
    };
    let set = DerSetpoint {
        p: ActivePower::Set(-w),
        ..der
    };
    vec![
        command("control", Action::Der(der)),
        command("control", Action::Der(set)),
        command("on", Action::Write(Value::Binary(true))),
        command("tap", Action::Write(Value::Analog(-3.0))),
        command("w", Action::Write(Value::Analog(w))),
    ]
}

/// Answers each request: as a device does, with registers of its own making or with its own PDU, or with noise.
async fn device(mut wire: DuplexStream, rtu: bool, mut script: VecDeque<Step<'_>>) {
    // A chain of models that its own registers describe, where nothing else is said.
    let image = modbus::Device::new();
    let mut request = [0; 600];
    while let Ok(count @ 1..) = wire.read(&mut request).await {
        let request = &request[..count];
        let (unit, pdu) = match rtu {
            true if count > 3 => (request[0], &request[1..count - 2]),
            false if count > 7 => (request[6], &request[7..]),
            _ => return,
        };
        let step = script.pop_front();
        let own = |pdu: &[u8]| match rtu {
            true => modbus::rtu(unit, pdu),
            false => modbus::tcp(u16::from_be_bytes([request[0], request[1]]), unit, pdu),
        };
        let answer = match step {
            None => own(&honest(&image, pdu, &[])),
            Some(step) => match step.kind % 6 {
                0..3 => own(&honest(&image, pdu, step.octets)),
                3 => own(&step.octets[..step.octets.len().min(253)]),
                4 => step.octets.to_vec(),
                _ => own(&[pdu[0] | 0x80, step.at(0)]),
            },
        };
        if wire.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// An answer of the right form, whose first octets are others.
fn honest(image: &modbus::Device, pdu: &[u8], others: &[u8]) -> Vec<u8> {
    use protocols::modbus::server::{Registers as _, Table};
    let number = |at: usize| {
        pdu.get(at..at + 2)
            .map_or(0, |o| u16::from_be_bytes([o[0], o[1]]))
    };
    match pdu[0] {
        function @ 1..=4 => {
            let (address, count) = (number(1), number(3));
            let mut data: Vec<u8> = match function {
                1 | 2 => vec![0; usize::from(count.div_ceil(8))],
                _ => {
                    let registers = image.read(Table::Holding, address, count);
                    let registers = registers.unwrap_or_else(|_| vec![0; count.into()]);
                    registers.iter().flat_map(|r| r.to_be_bytes()).collect()
                }
            };
            for (mine, other) in data.iter_mut().zip(others) {
                *mine ^= other;
            }
            [&[function, data.len() as u8], &data[..]].concat()
        }
        _ => pdu[..pdu.len().min(5)].to_vec(),
    }
}

fuzz_target!(|input: &[u8]| {
    let [bits, w, script @ ..] = input else {
        return;
    };
    let polled = match bits & 1 {
        0 => Polled::Sunspec,
        _ => Polled::Map(toml::from_str(MAP).expect("a good map")),
    };
    let rtu = bits & 2 != 0;
    let commands = commands(f64::from(*w) * 1000.0);
    modbus::run(async {
        let (near, far) = tokio::io::duplex(1 << 16);
        let script = steps(script).take(100).collect();
        let polling = poll(Box::new(near), rtu, polled, &commands);
        let _ = tokio::join!(polling, device(far, rtu, script));
    });
});
