//! The appliance's side: its field alone, and the whole of it.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use edge::{
    clock::now_us,
    feed::{Follower, News},
    field::Field,
    northbound::dnp3::Station,
    run,
    site::{Device, Wire},
    table::{Snapshot, Table},
};
use protocols::{
    device::DeviceEvent,
    point::{DeviceId, PointId, Value},
};
use serde_json::json;
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    cpu_s,
    plan::{Plan, SEQUENCE, name},
    tell,
};

/// For connecting, and for what happens once only.
const WARM_UP: Duration = Duration::from_secs(8);

/// Field and table on the Modbus devices, for what an equal loop on libmodbus is compared with.
pub(crate) async fn poll(seconds: usize, dir: &Path) -> Result<()> {
    let site = Plan::read(dir)?.site(dir)?;
    let devices = site.devices.into_iter();
    let devices: Vec<Device> = devices
        .filter(|device| matches!(device.wire, Wire::Modbus { .. }))
        .collect();
    let stop = CancellationToken::new();
    let (events, mut received) = mpsc::channel(1024);
    let field = Field::start(&devices, &events, &stop);
    let promises = devices.iter().map(|d| (d.id.clone(), d.promise()));
    let mut table = Table::new(promises, [], now_us());
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(seconds as u64);
    let (mut from, mut points) = (None, 0);
    while Instant::now() < end {
        let (device, event) = received.recv().await.context("the field has ended")?;
        if Instant::now() >= begin && from.is_none() {
            from = Some(cpu_s());
        }
        if let DeviceEvent::Updates(updates) = event {
            points += from.map_or(0, |_| updates.len());
            table.update(&device, updates, now_us());
        }
    }
    let cpu_s = cpu_s() - from.context("nothing was polled")?;
    stop.cancel();
    drop(received);
    field.ended().await;
    tell(&json!({ "cpu_s": cpu_s, "points": points }));
    Ok(())
}

/// The whole appliance on all devices, with the control centre's outstation.
pub(crate) async fn whole(seconds: usize, dir: &Path) -> Result<()> {
    let plan = Plan::read(dir)?;
    let site = plan.site(dir)?;
    let config = site.dnp3.clone().context("no outstation")?;
    let ieds = plan.ieds.len();
    let modbus = site.devices.len() - ieds;
    let stop = CancellationToken::new();
    let station = Station::bind(&site, &config).await?;
    let running = run::start(site, stop.clone())?;
    tokio::spawn(station.serve(running.handle.clone(), stop.clone()));
    sleep(WARM_UP).await;
    let mut published = running.handle.published.clone();
    let mut seen = Sequences::new(ieds, running.handle.feed.follow());
    let before = published.borrow_and_update().snapshot.clone();
    let cpu_before = cpu_s();
    let end = Instant::now() + Duration::from_secs(seconds as u64);
    tell(&json!({ "ready": true }));
    while Instant::now() < end {
        sleep(Duration::from_millis(100)).await;
        seen.look()?;
    }
    let cpu = cpu_s() - cpu_before;
    // The next one has all of the last second.
    published.borrow_and_update();
    published.changed().await?;
    let after = published.borrow_and_update().snapshot.clone();
    let window_s = (after.now_us - before.now_us) as f64 * 1e-6;
    let online = |snapshot: &Snapshot| snapshot.links.values().filter(|l| l.online()).count();
    ensure!(
        online(&before) == modbus + ieds && online(&after) == modbus + ieds,
        "{} of {} devices answer",
        online(&after),
        modbus + ieds
    );
    let status = published.borrow().status.clone();
    tell(&json!({
        "cpu_s": cpu,
        "window_s": window_s,
        "points": after.updates - before.updates,
        "polls_missed": polls_missed(&before, &after, window_s),
        "latest_poll_ms": latest_ms(&after),
        "reports": seen.seen,
        "reports_missed": seen.missed,
        "rss_bytes": status.metrics.rss_bytes,
        "estimation_us": status.metrics.estimation_us,
    }));
    stop.cancel();
    running.stopped().await
}

/// Of devices that are asked once a second.
fn polls_missed(before: &Snapshot, after: &Snapshot, window_s: f64) -> u64 {
    // How often a second begins in the window is not more exact than this.
    let least = (window_s.floor() as u64).saturating_sub(1);
    let of_device = |(id, link): (&DeviceId, &edge::table::Link)| {
        let was = before.links.get(id).map_or(0, |link| link.polls);
        least.saturating_sub(link.polls - was)
    };
    let modbus = after
        .links
        .iter()
        .filter(|(id, _)| id.as_str().starts_with('m'));
    modbus.map(of_device).sum()
}

/// How late a poll of the recent ones began at most, ms.
fn latest_ms(snapshot: &Snapshot) -> f64 {
    let late = snapshot.links.values().filter_map(|link| link.late.max());
    1e3 * late.map(|of| of.as_secs_f64()).fold(0.0, f64::max)
}

/// The points by which IEDs count seconds: each report has the next number.
struct Sequences {
    feed: Follower,
    last: BTreeMap<PointId, Option<f64>>,
    seen: u64,
    missed: u64,
}

impl Sequences {
    fn new(ieds: usize, feed: Follower) -> Self {
        let point = |k| PointId::new(&DeviceId::new(&format!("ied{k}")), &name(SEQUENCE));
        Self {
            feed,
            last: (0..ieds).map(|k| (point(k), None)).collect(),
            seen: 0,
            missed: 0,
        }
    }

    fn look(&mut self) -> Result<()> {
        while let Some(news) = self.feed.take() {
            let batch = match news {
                News::Changes(batch) => batch,
                News::Lost(count) => anyhow::bail!("the bench lost {count} batches itself"),
            };
            for change in &batch.changes {
                let (Some(last), Value::Analog(number)) =
                    (self.last.get_mut(&change.point), change.value)
                else {
                    continue;
                };
                let step = last.map_or(1.0, |last| number - last);
                self.seen += 1;
                self.missed += (step - 1.0).max(0.0) as u64;
                *last = Some(number);
            }
        }
        Ok(())
    }
}
