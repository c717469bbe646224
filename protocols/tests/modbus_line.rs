//! Devices on a serial line, over a pseudo-terminal: both ends ours but for the client's frames.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use common::{ANY_PORT, Running, lock};
use protocols::{
    device::DeviceEvent,
    modbus::{
        Line, LineConfig, LineServer, Link, Way,
        device::{self, ModbusConfig},
        map::RegisterMap,
        server::{ExceptionCode, Fault, RegisterServer, Registers, ServerConfig, Table},
    },
    point::{Action, CommandStatus, Value},
};

/// Holding registers: the first is the unit's own number, the second can be written.
struct Pair(Mutex<[u16; 2]>);

impl Registers for Pair {
    fn read(&self, _: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let values = lock(&self.0);
        let span = usize::from(address)..usize::from(address) + usize::from(count);
        let span = values.get(span).ok_or(ExceptionCode::IllegalDataAddress)?;
        Ok(span.to_vec())
    }

    fn write(&self, _: Table, address: u16, new: &[u16]) -> Result<(), ExceptionCode> {
        match (address, new) {
            (1, [value]) => lock(&self.0)[1] = *value,
            _ => return Err(ExceptionCode::IllegalDataAddress),
        }
        Ok(())
    }
}

fn units(numbers: &[u8]) -> BTreeMap<u8, Arc<dyn Registers>> {
    let registers = |&number: &u8| {
        let pair: Arc<dyn Registers> = Arc::new(Pair(Mutex::new([u16::from(number), 0])));
        (number, pair)
    };
    numbers.iter().map(registers).collect()
}

fn map() -> RegisterMap {
    toml::from_str(
        "point = [
          { name = 'own', table = 'holding', address = 0, encoding = 'u16' },
          { name = 'set', table = 'holding', address = 1, encoding = 'u16', writable = true },
        ]",
    )
    .unwrap()
}

/// So long that a busy machine is not taken for a bad device.
fn poll(way: Way, unit: u8) -> Running {
    poll_within(Duration::from_secs(3), way, unit)
}

fn poll_within(request_timeout: Duration, way: Way, unit: u8) -> Running {
    let link = Link {
        unit,
        poll_interval: Duration::from_millis(50),
        request_timeout,
        ..Link::by(way)
    };
    Running::start("d", |ports| {
        device::run(ModbusConfig { link, map: map() }, ports)
    })
}

/// The values of the next poll.
async fn values(of: &mut Running) -> Vec<Value> {
    of.until(|event| match event {
        DeviceEvent::Updates(updates) => Some(updates.into_iter().map(|u| u.value).collect()),
        _ => None,
    })
    .await
}

fn analog(values: [f64; 2]) -> Vec<Value> {
    values.map(Value::Analog).into()
}

fn line(server: &LineServer) -> Way {
    Way::Serial(Arc::new(Line::new(LineConfig::new(server.path()))))
}

#[tokio::test]
async fn three_units_share_a_line() {
    let server = LineServer::open(units(&[1, 2, 247])).unwrap();
    let way = line(&server);
    let mut polled = [1, 2, 247].map(|unit| poll(way.clone(), unit));
    for _ in 0..5 {
        for (polled, own) in polled.iter_mut().zip([1.0, 2.0, 247.0]) {
            assert_eq!(values(polled).await, analog([own, 0.0]));
        }
    }
    let write = Action::Write(Value::Analog(515.0));
    let status = polled[1].command("d/set", write).await;
    assert_eq!(status, CommandStatus::Done);
    for polled in &mut polled {
        polled.poll().await;
    }
    for (polled, held) in polled
        .iter_mut()
        .zip([[1.0, 0.0], [2.0, 515.0], [247.0, 0.0]])
    {
        assert_eq!(values(polled).await, analog(held));
    }
}

#[tokio::test]
async fn one_that_babbles_is_silent_or_late_keeps_the_others_online() {
    let server = LineServer::open(units(&[1, 2])).unwrap();
    let way = line(&server);
    let mut good = poll(way.clone(), 1);
    let mut bad = poll_within(Duration::from_millis(200), way, 2);
    for fault in [
        Fault::Garbage,
        Fault::Silent,
        // A little later than the time-out, and so late that another unit is being asked.
        Fault::Slow(Duration::from_millis(230)),
        Fault::Slow(Duration::from_millis(280)),
    ] {
        bad.until_online().await;
        server.set_fault(2, fault);
        bad.until_offline().await;
        while good.events.try_recv().is_ok() {}
        for _ in 0..30 {
            let polled = good.until(|event| match event {
                DeviceEvent::Updates(updates) => Some(updates[0].value),
                DeviceEvent::State(state) => panic!("{fault:?} of another unit: {state:?}"),
                _ => None,
            });
            assert_eq!(polled.await, Value::Analog(1.0), "{fault:?}");
        }
        server.set_fault(2, Fault::None);
    }
}

/// Registers that are read too slowly for [`HASTE`], every fifth time.
struct Slow(AtomicU32);

/// A time-out, so long that a busy machine keeps it twice in a row otherwise.
const HASTE: Duration = Duration::from_millis(800);

impl Registers for Slow {
    fn read(&self, _: Table, _: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        if self.0.fetch_add(1, Ordering::Relaxed) % 5 == 4 {
            tokio::task::block_in_place(|| std::thread::sleep(HASTE + Duration::from_millis(100)));
        }
        Ok(vec![7; count.into()])
    }

    fn write(&self, _: Table, _: u16, _: &[u16]) -> Result<(), ExceptionCode> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_now_and_then_is_asked_for_again() {
    let slow = Arc::new(Slow(AtomicU32::new(0)));
    let shown: Arc<dyn Registers> = Arc::clone(&slow) as _;
    let server = LineServer::open([(1, shown)].into()).unwrap();
    let mut polled = poll_within(HASTE, line(&server), 1);
    polled.until_online().await;
    for _ in 0..20 {
        let values = polled.until(|event| match event {
            DeviceEvent::Updates(updates) => Some(updates[0].value),
            DeviceEvent::State(state) => panic!("{state:?}"),
            _ => None,
        });
        assert_eq!(values.await, Value::Analog(7.0));
    }
    let read = slow.0.load(Ordering::Relaxed);
    assert!(
        read >= 24,
        "{read} requests for 20 values: none was repeated"
    );
}

#[tokio::test]
async fn a_port_that_is_not_there_is_named() {
    let config = LineConfig::new("/dev/there-is-no-such-port");
    let mut polled = poll(Way::Serial(Arc::new(Line::new(config))), 1);
    let error = polled.until_offline().await;
    assert!(error.contains("/dev/there-is-no-such-port"), "{error}");
}

/// What answers by Modbus TCP does not speak RTU: that must show as an error, not as values.
#[tokio::test]
async fn rtu_over_tcp_is_not_modbus_tcp() {
    let any = ANY_PORT.parse().unwrap();
    let pair = Arc::new(Pair(Mutex::new([9, 0])));
    let server = RegisterServer::bind(any, pair, ServerConfig::default());
    let server = server.await.unwrap();
    let address = server.address().to_string();
    let tcp = values(&mut poll(Way::Tcp(address.clone()), 9)).await;
    assert_eq!(tcp, analog([9.0, 0.0]));
    poll(Way::RtuOverTcp(address), 9).until_offline().await;
}
