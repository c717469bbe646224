//! The register device task against a server of our own, and against scripted ones that misbehave.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::{ANY_PORT, PATIENCE, Running, lock, quick, serve};
use protocols::{
    device::{DeviceEvent, DeviceState, Ports},
    modbus::{
        Link,
        device::{ModbusConfig, run},
        map::RegisterMap,
        server::{ExceptionCode, Fault, Registers, Table},
    },
    point::{Action, CommandStatus, DeviceId, DoublePoint, Quality, Value},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Registers that exist, in any table; the rest is answered with an exception.
#[derive(Default)]
struct Station(Mutex<BTreeMap<(Table, u16), u16>>);

impl Station {
    fn new(values: &[(Table, u16, u16)]) -> Arc<Self> {
        let station = Self::default();
        for &(table, address, value) in values {
            lock(&station.0).insert((table, address), value);
        }
        Arc::new(station)
    }
}

impl Registers for Station {
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let values = lock(&self.0);
        (address..address + count)
            .map(|a| values.get(&(table, a)).copied())
            .collect::<Option<_>>()
            .ok_or(ExceptionCode::IllegalDataAddress)
    }

    fn write(&self, table: Table, address: u16, new: &[u16]) -> Result<(), ExceptionCode> {
        let mut values = lock(&self.0);
        for (address, value) in (address..).zip(new) {
            let old = values.get_mut(&(table, address));
            *old.ok_or(ExceptionCode::IllegalDataAddress)? = *value;
        }
        Ok(())
    }
}

/// A feeder's RTU: a voltage, a power, a tap position, a breaker, and one register it lacks.
const MAP: &str = r#"
    [[point]]
    name = "u"
    table = "input"
    address = 0
    unit = "V"
    [[point]]
    name = "p"
    table = "input"
    address = 1
    encoding = "i32"
    unit = "W"
    [[point]]
    name = "missing"
    table = "input"
    address = 5
    [[point]]
    name = "tap"
    table = "holding"
    address = 10
    encoding = "i16"
    writable = true
    [[point]]
    name = "p_set"
    table = "holding"
    address = 12
    encoding = "f32"
    unit = "W"
    writable = true
    [[point]]
    name = "breaker"
    table = "holding"
    address = 14
    kind = "double_point"
    [[point]]
    name = "remote"
    table = "coil"
    address = 3
    writable = true
"#;

fn station() -> Arc<Station> {
    Station::new(&[
        (Table::Input, 0, 20_123),
        (Table::Input, 1, 0xFFFF),
        (Table::Input, 2, 0xFF9C),
        (Table::Input, 3, 0),
        (Table::Input, 4, 0),
        (Table::Holding, 10, 0xFFFE),
        (Table::Holding, 11, 0),
        (Table::Holding, 12, 0x41C8),
        (Table::Holding, 13, 0),
        (Table::Holding, 14, 2),
        (Table::Coil, 3, 1),
    ])
}

fn start(name: &str, link: Link, map: &str) -> Running {
    let map: RegisterMap = toml::from_str(map).unwrap();
    assert_eq!(map.problems(), Vec::<String>::new());
    Running::start(name, |ports| run(ModbusConfig { link, map }, ports))
}

#[tokio::test]
async fn an_exception_concerns_its_points_only() {
    let station = station();
    let server = serve(&station).await;
    let mut rtu = start("rtu", quick(server.address()), MAP);
    rtu.until_online().await;
    // The first poll learns which register is refused; from the second on the others are good.
    rtu.poll().await;
    assert_eq!(rtu.analog("u"), 20_123.0);
    assert_eq!(rtu.analog("p"), -100.0);
    assert_eq!(rtu.analog("tap"), -2.0);
    assert_eq!(rtu.analog("p_set"), 25.0);
    assert_eq!(rtu.value("breaker"), Value::DoublePoint(DoublePoint::On));
    assert_eq!(rtu.value("remote"), Value::Binary(true));
    assert_eq!(rtu.quality("missing"), Quality::INVALID);
    for _ in 0..20 {
        let event = rtu.event().await;
        assert!(!matches!(event, DeviceEvent::State(_)), "{event:?}");
    }
}

#[tokio::test]
async fn values_are_written_and_refusals_reported() {
    let station = station();
    let server = serve(&station).await;
    let mut rtu = start("rtu", quick(server.address()), MAP);
    for (point, value) in [
        ("rtu/tap", Value::Analog(5.0)),
        ("rtu/p_set", Value::Analog(-1.5)),
        ("rtu/remote", Value::Binary(false)),
    ] {
        let done = rtu.command(point, Action::Write(value)).await;
        assert_eq!(done, CommandStatus::Done, "{point}");
    }
    {
        let values = lock(&station.0);
        assert_eq!(values[&(Table::Holding, 10)], 5);
        // -1.5 is 0xBFC00000.
        assert_eq!(values[&(Table::Holding, 12)], 0xBFC0);
        assert_eq!(values[&(Table::Coil, 3)], 0);
    }
    lock(&station.0).remove(&(Table::Holding, 10));
    for (point, value, reason) in [
        ("rtu/tap", Value::Analog(5.0), "Illegal data address"),
        ("rtu/tap", Value::Analog(40_000.0), "does not fit"),
        ("rtu/u", Value::Analog(1.0), "not writable"),
        ("rtu/nothing", Value::Analog(1.0), "no point"),
    ] {
        let status = rtu.command(point, Action::Write(value)).await;
        let CommandStatus::Rejected(why) = status else {
            panic!("{point}: {status:?}");
        };
        assert!(why.text.contains(reason), "{why}");
    }
}

#[tokio::test]
async fn comes_back_after_every_kind_of_absence() {
    let station = station();
    let server = serve(&station).await;
    let link = Link {
        request_timeout: Duration::from_millis(200),
        ..quick(server.address())
    };
    let mut rtu = start("rtu", link, MAP);
    for (fault, reason) in [
        (Fault::Gone, "closed"),
        (Fault::Silent, "no answer"),
        (Fault::Slow(Duration::from_secs(3)), "no answer"),
        (Fault::Garbage, ""),
    ] {
        rtu.until_online().await;
        server.set_fault(fault);
        let error = rtu.until_offline().await;
        // A closed connection shows as its end or as a reset, as the system has it.
        let fits = error.contains(reason) || fault == Fault::Gone;
        assert!(fits, "{fault:?}: {error}");
        let status = rtu
            .command("rtu/tap", Action::Write(Value::Analog(1.0)))
            .await;
        assert_ne!(status, CommandStatus::Done, "{fault:?}");
        server.set_fault(Fault::None);
    }
    rtu.until_online().await;
}

#[tokio::test]
async fn pauses_grow_up_to_their_limit_and_start_over() {
    let station = station();
    let server = serve(&station).await;
    server.set_fault(Fault::Gone);
    let mut rtu = start("rtu", quick(server.address()), MAP);
    let pause = |event| match event {
        DeviceEvent::State(DeviceState::Offline { retry_in, .. }) => Some(retry_in.as_millis()),
        _ => None,
    };
    let mut pauses = Vec::new();
    while pauses.len() < 5 {
        pauses.push(rtu.until(pause).await);
    }
    assert_eq!(pauses, [20, 40, 80, 100, 100]);
    server.set_fault(Fault::None);
    rtu.until_online().await;
    server.set_fault(Fault::Gone);
    assert_eq!(rtu.until(pause).await, 20);
}

/// The PDU of the next request and its header.
async fn request(stream: &mut TcpStream) -> Option<([u8; 7], Vec<u8>)> {
    let mut header = [0; 7];
    stream.read_exact(&mut header).await.ok()?;
    let mut pdu = vec![0; usize::from(header[5]) - 1];
    stream.read_exact(&mut pdu).await.ok()?;
    Some((header, pdu))
}

/// The answer "one register: `value`" to the request with `header`.
fn one_register([t0, t1, .., unit]: [u8; 7], value: u16) -> Vec<u8> {
    let [high, low] = value.to_be_bytes();
    // transaction | protocol | length | unit | read holding | bytes | register
    vec![t0, t1, 0, 0, 0, 5, unit, 0x03, 2, high, low]
}

const ONE: &str = "[[point]]\nname = 'x'\ntable = 'holding'\naddress = 0";

#[tokio::test]
async fn a_late_answer_is_never_taken_for_the_next_one() {
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let link = Link {
        request_timeout: Duration::from_millis(200),
        ..quick(listener.local_addr().unwrap())
    };
    let mut rtu = start("rtu", link, ONE);
    let (mut first, _) = listener.accept().await.unwrap();
    let (header, _) = request(&mut first).await.unwrap();
    assert!(rtu.until_offline().await.contains("no answer"));
    // Too late. The device has hung up by now, or does on receipt.
    let _ = first.write_all(&one_register(header, 111)).await;
    let (mut second, _) = listener.accept().await.unwrap();
    tokio::spawn(async move {
        while let Some((header, _)) = request(&mut second).await {
            second.write_all(&one_register(header, 222)).await.unwrap();
        }
    });
    for _ in 0..5 {
        rtu.poll().await;
        assert_eq!(rtu.analog("x"), 222.0);
    }
}

#[tokio::test]
async fn answers_that_do_not_fit_the_request_end_the_connection() {
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let mut rtu = start("rtu", quick(listener.local_addr().unwrap()), ONE);
    type Answer = fn([u8; 7]) -> Vec<u8>;
    let rows: [(&str, Answer); 7] = [
        ("another transaction", |mut header| {
            header[1] ^= 0x40;
            one_register(header, 1)
        }),
        ("another unit", |mut header| {
            header[6] ^= 0x40;
            one_register(header, 1)
        }),
        ("another function", |header| {
            let mut answer = one_register(header, 1);
            answer[7] = 0x04;
            answer
        }),
        ("two registers for one", |[t0, t1, .., unit]| {
            vec![t0, t1, 0, 0, 0, 7, unit, 0x03, 4, 0, 1, 0, 2]
        }),
        ("a byte count beyond the frame", |[t0, t1, .., unit]| {
            vec![t0, t1, 0, 0, 0, 5, unit, 0x03, 200, 0, 1]
        }),
        ("no register", |[t0, t1, .., unit]| {
            vec![t0, t1, 0, 0, 0, 3, unit, 0x03, 0]
        }),
        ("another protocol", |header| {
            let mut answer = one_register(header, 1);
            answer[3] = 7;
            answer
        }),
    ];
    for (what, answer) in rows {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (header, _) = request(&mut stream).await.unwrap();
        stream.write_all(&answer(header)).await.unwrap();
        let error = rtu.until_offline().await;
        assert!(!error.contains("no answer within"), "{what}: {error}");
        assert!(rtu.last.is_empty(), "{what}");
    }
}

/// Frames that look like answers up to their function, and are noise behind it. Neither the client
/// nor the library below it may panic, whatever they make of it.
#[tokio::test]
async fn noise_in_the_frame_of_an_answer_harms_nobody() {
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let link = Link {
        request_timeout: Duration::from_millis(500),
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(1),
        ..quick(listener.local_addr().unwrap())
    };
    let mut rtu = start("rtu", link, ONE);
    tokio::spawn(async move {
        // A generator that repeats (Knuth's MMIX): what fails once fails again.
        let mut state = 0x5EED_u64;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let functions = [1, 2, 3, 4, 5, 6, 0x0F, 0x10, 0x11, 0x16, 0x17, 0x18, 0x2B];
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Some(([t0, t1, .., unit], _)) = request(&mut stream).await {
                let length = next() % 40 + 2;
                let mut answer = vec![t0, t1, 0, 0, 0, length, unit];
                answer.push(match next() {
                    known if known < 200 => functions[usize::from(known) % functions.len()],
                    any => any,
                });
                answer.extend((2..length).map(|_| next()));
                if stream.write_all(&answer).await.is_err() {
                    break;
                }
            }
        }
    });
    for _ in 0..1000 {
        rtu.event().await;
    }
}

#[tokio::test]
async fn stop_ends_the_task_even_while_nobody_reads_its_events() {
    let station = station();
    let server = serve(&station).await;
    let map: RegisterMap = toml::from_str(MAP).unwrap();
    let (events, mut received) = mpsc::channel(1);
    let (_commands, commands) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let ports = Ports {
        device: DeviceId::new("rtu"),
        events,
        commands,
        stop: stop.clone(),
    };
    let link = quick(server.address());
    let task = tokio::spawn(run(ModbusConfig { link, map }, ports));
    received.recv().await.unwrap();
    stop.cancel();
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_event_channel_holds_up_nothing_else() {
    let station = station();
    let server = serve(&station).await;
    // Nobody reads this one's events: it waits, alone.
    let _stuck = start("stuck", quick(server.address()), MAP);
    let mut rtu = start("rtu", quick(server.address()), MAP);
    for _ in 0..50 {
        rtu.poll().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_slow_and_babbling_devices_delay_nobody() {
    let station = station();
    let healthy_server = serve(&station).await;
    let mut servers = Vec::new();
    let mut bad = Vec::new();
    for fault in [
        Fault::Gone,
        Fault::Silent,
        Fault::Slow(10 * PATIENCE),
        Fault::Garbage,
    ] {
        let server = serve(&station).await;
        server.set_fault(fault);
        // Whoever waits for one that is asked, and does not answer, waits longer than we do here.
        let link = Link {
            request_timeout: 10 * PATIENCE,
            ..quick(server.address())
        };
        bad.push(start("bad", link, MAP));
        servers.push(server);
    }
    // Talks without being asked, as fast as it can be heard.
    let babbler = TcpListener::bind(ANY_PORT).await.unwrap();
    bad.push(start("babbler", quick(babbler.local_addr().unwrap()), MAP));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = babbler.accept().await {
            while stream
                .write_all(&[0, 0, 0, 0, 0, 3, 1, 0x83, 2])
                .await
                .is_ok()
            {
                tokio::task::yield_now().await;
            }
        }
    });
    // All of them are being asked by now.
    for device in &mut bad {
        device
            .until(|event| (event == DeviceEvent::State(DeviceState::Connecting)).then_some(()))
            .await;
    }

    let start = |i| start(&format!("healthy{i}"), quick(healthy_server.address()), MAP);
    let mut healthy: Vec<Running> = (0..4).map(start).collect();
    for device in &mut healthy {
        for _ in 0..10 {
            device.poll().await;
        }
    }
    // And none of the bad ones ever claimed to be online.
    for device in &mut bad {
        while let Ok((_, event)) = device.events.try_recv() {
            assert_ne!(event, DeviceEvent::State(DeviceState::Online));
        }
    }
}
