use protocols::{
    device::DeviceState,
    point::{DeviceId, Quality, Update},
};

use super::*;
use crate::{
    site::{BayOf, Site},
    table::{Promise, Table},
};

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

struct Fixture {
    table: Table,
    device: DeviceId,
    points: FieldPoints,
    entries: Vec<Entry>,
}

impl Fixture {
    fn new() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cigre-mv/site.toml");
        let site: Site = crate::site::load(std::path::Path::new(file)).unwrap();
        let mut devices = site.devices.iter();
        let branch = |d: &&crate::site::Device| matches!(d.bays[..], [ref bay, ..] if matches!(bay.of, BayOf::Branch { .. }));
        let device = devices.find(branch).unwrap().id.clone();
        let mut table = Table::new([(device.clone(), Promise::of(SECOND, SECOND))], [], 0);
        table.state(&device, DeviceState::Online, 0);
        let entries = crate::northbound::points::list(&site);
        let points = FieldPoints::new(&entries, table.feed().follow());
        Self {
            table,
            device,
            points,
            entries,
        }
    }

    fn id(&self, name: &str) -> PointId {
        PointId::new(&self.device, name)
    }

    fn report(&mut self, now_us: i64, rows: &[(&str, Value, Timestamp)]) {
        let update = |(name, value, time): &(&str, Value, Timestamp)| Update {
            point: self.id(name),
            value: *value,
            quality: Quality::GOOD,
            time: *time,
        };
        let updates = rows.iter().map(update).collect();
        self.table.update(&self.device, updates, now_us);
    }

    /// The breaker of the first bay: each position that is said, and when.
    fn breaker(&self, heard: &Heard) -> Vec<(DoublePoint, i64)> {
        let of = Of::Breaker {
            closed: self.id("bay1_closed"),
            open: self.id("bay1_open"),
        };
        let place = self
            .entries
            .iter()
            .position(|entry| entry.of == of)
            .unwrap();
        let said = heard.said.iter().filter(|(at, _)| *at == place);
        let position = said.filter_map(|(_, said)| match said.value {
            Value::DoublePoint(position) => Some((position, said.time.unix_us)),
            _ => None,
        });
        position.collect()
    }
}

fn source(unix_us: i64) -> Timestamp {
    Timestamp {
        unix_us,
        quality: TimeQuality::Source,
    }
}

fn contacts(closed: bool, time: Timestamp) -> [(&'static str, Value, Timestamp); 2] {
    [
        ("bay1_closed", Value::Binary(closed), time),
        ("bay1_open", Value::Binary(!closed), time),
    ]
}

#[tokio::test]
async fn a_breaker_that_operates_twice_between_two_looks_is_seen_twice() {
    let mut f = Fixture::new();
    f.report(10, &contacts(true, source(10)));
    let heard = f.points.next().await.unwrap();
    assert_eq!(f.breaker(&heard), [(DoublePoint::On, 10)]);
    // One message of the device, with both operations.
    let twice = [
        contacts(false, source(100_000)),
        contacts(true, source(200_000)),
    ]
    .concat();
    f.report(300_000, &twice);
    let before = f.table.snapshot(300_000);
    let heard = f.points.catch_up(&before);
    let seen = [(DoublePoint::Off, 100_000), (DoublePoint::On, 200_000)];
    assert_eq!(f.breaker(&heard), seen);
    // It is said once: neither the next snapshot nor the same again says anything.
    f.report(400_000, &contacts(true, Timestamp::received(400_000)));
    let heard = f.points.catch_up(&f.table.snapshot(400_000));
    assert_eq!(heard, Heard::default());
}

#[tokio::test]
async fn contacts_of_one_moment_make_one_position_and_others_the_way_between() {
    let mut f = Fixture::new();
    f.report(1, &contacts(true, source(1)));
    let apart = [
        ("bay1_closed", Value::Binary(false), source(20)),
        ("bay1_open", Value::Binary(true), source(50)),
    ];
    f.report(60, &apart);
    // Read in one poll, in two requests.
    let poll = apart.map(|(name, value, _)| (name, value == Value::Binary(false)));
    let poll = [
        (poll[0].0, Value::Binary(poll[0].1), Timestamp::received(70)),
        (poll[1].0, Value::Binary(poll[1].1), Timestamp::received(71)),
    ];
    f.report(80, &poll);
    let heard = f.points.catch_up(&f.table.snapshot(80));
    let way = [
        (DoublePoint::On, 1),
        (DoublePoint::Intermediate, 20),
        (DoublePoint::Off, 50),
        (DoublePoint::On, 71),
    ];
    assert_eq!(f.breaker(&heard), way);
}

#[tokio::test]
async fn a_snapshot_says_what_was_not_heard_and_never_goes_back() {
    let mut f = Fixture::new();
    f.report(1, &contacts(true, source(1)));
    // Who comes later has heard nothing of it.
    f.points = FieldPoints::new(&f.entries, f.table.feed().follow());
    let old = f.table.snapshot(2);
    let heard = f.points.catch_up(&old);
    assert_eq!(f.breaker(&heard), [(DoublePoint::On, 1)]);
    f.report(5, &contacts(false, source(5)));
    let heard = f.points.next().await.unwrap();
    assert_eq!(f.breaker(&heard), [(DoublePoint::Off, 5)]);
    assert_eq!(f.points.catch_up(&old), Heard::default());
}

#[tokio::test]
async fn a_lost_device_is_said_at_the_moment_we_know() {
    let mut f = Fixture::new();
    f.report(1, &contacts(true, source(1)));
    let heard = f.points.catch_up(&f.table.snapshot(2));
    assert!(heard.said.iter().all(|(_, said)| said.quality.is_good()));
    let offline = DeviceState::Offline {
        error: "no route".to_owned(),
        retry_in: SECOND,
    };
    f.table.state(&f.device, offline, 3);
    let snapshot = f.table.snapshot(4);
    let heard = f.points.next().await.unwrap();
    assert_eq!(f.breaker(&heard), [(DoublePoint::On, 4)]);
    assert!(
        heard
            .said
            .iter()
            .all(|(_, said)| said.quality == Quality::COMM_LOST)
    );
    assert_eq!(f.points.catch_up(&snapshot), Heard::default());
}

#[tokio::test]
async fn loss_is_said_and_the_snapshot_puts_the_rest_right() {
    let mut f = Fixture::new();
    for k in 0..5000_i64 {
        f.report(k, &contacts(k % 2 == 0, source(k)));
    }
    let heard = f.points.catch_up(&f.table.snapshot(5000));
    let positions = f.breaker(&heard);
    assert_eq!(heard.lost as usize + positions.len(), 5000);
    assert_eq!(positions.last(), Some(&(DoublePoint::Off, 4999)));
}
