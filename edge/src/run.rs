//! The running appliance: starts the field first, then everything around the cycle, and stops it
//! all again.
//!
//! The cycle runs on its own thread while it computes; between two steps the loop answers
//! requests. What the ledger cannot take is not done: an appliance that cannot keep its records
//! stops, and its devices fall back.

mod history;
mod requests;
mod switching;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use protocols::{
    device::DeviceEvent,
    point::{CommandStatus, DeviceId},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::now_us,
    cycle::{Cycle, Input, Output, RECENT},
    field::Field,
    published::{Handle, Published, Request},
    site::{Above, Site},
    store::{Historian, Ledger, Record},
    table::{Snapshot, Table},
    web::api::Status,
};
use switching::Switching;

/// Events of devices that may wait for the table.
const EVENTS: usize = 1024;
/// Requests that may wait for the loop.
pub(crate) const REQUESTS: usize = 64;
/// A restart looks back on this many intervals besides those that take orders: the ones that are
/// still shown, and as long before as their network went on record.
const REMEMBERED: i64 = RECENT + 70;

/// A running appliance.
#[derive(Debug)]
pub struct Running {
    /// For servers.
    pub handle: Handle,
    pub(crate) done: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Waits until it has stopped.
    ///
    /// # Errors
    /// What stopped it, if it was not asked to.
    pub async fn stopped(self) -> anyhow::Result<()> {
        self.done.await.context("the loop failed")?
    }
}

/// Starts the appliance; it runs until `stop`.
///
/// # Errors
/// The network cannot be used, or the state directory cannot be read or written.
pub fn start(site: Site, stop: CancellationToken) -> anyhow::Result<Running> {
    let site = Arc::new(site);
    let started_us = now_us();
    let mut cycle = Cycle::new(Arc::clone(&site), started_us, stopwatch)?;

    // The field first: whatever else takes its time, polling does not wait for it.
    let (events, received) = mpsc::channel(EVENTS);
    let field = Field::start(&site.devices, &events, &stop);
    let table = Table::new(
        site.devices.iter().map(|d| (d.id.clone(), d.promise())),
        cycle.noisy(),
        started_us,
    );
    let feed = table.feed();
    let follower = feed.follow();
    let (done_sender, done) = mpsc::channel(EVENTS);
    let (asks, asked) = mpsc::channel(4);
    tokio::spawn(write_table(table, received, asked, done_sender));

    make_directory(&site.state_dir)?;
    let product = cycle.product();
    let ledger = resume(&site.state_dir, &mut cycle, started_us)?;
    let (historian, aside) = Historian::open(&site.state_dir, site.history, started_us)?;
    let alarms = historian.alarms()?;
    for alarm in &alarms {
        cycle.restore_alarm(alarm.clone());
    }
    if let Some(aside) = aside {
        let text = format!(
            "the historian was damaged and is set aside as {}",
            aside.display()
        );
        cycle.alarm("historian_damaged", "historian", text, started_us);
    }
    let first = cycle.step(Input {
        snapshot: Arc::new(Snapshot {
            now_us: started_us,
            ..Snapshot::default()
        }),
        done: Vec::new(),
        rss_bytes: rss_bytes(),
    });
    ledger.append(&first.records, started_us, false)?;
    let (published, watched) = watch::channel(first.published);
    let (requests, requested) = mpsc::channel(REQUESTS);
    let ledger = Arc::new(ledger);
    let links = site.above.iter().map(Above::end).collect();
    let the_loop = Loop {
        status_file: site.state_dir.join("status.json"),
        site,
        cycle,
        ledger: Arc::clone(&ledger),
        history: history::keep(historian, alarms, follower),
        published,
        asks,
        done,
        ended: Vec::new(),
        switching: Switching::default(),
        signed: product.interval_of(started_us),
        due: Instant::now(),
        requested,
        field,
        stop,
    };
    Ok(Running {
        handle: Handle {
            ledger,
            published: watched,
            feed,
            requests,
            links,
        },
        done: tokio::spawn(the_loop.run()),
    })
}

/// Opens the ledger, notes the start, and gives the cycle what it has to know of before.
fn resume(directory: &Path, cycle: &mut Cycle, started_us: i64) -> anyhow::Result<Ledger> {
    let ledger = Ledger::open(directory)?;
    let started = Record::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        key: ledger.key()?.public(),
    };
    ledger.append(&[started], started_us, true)?;
    // However old they are; the latest of them are among the recent ones too.
    for record in ledger.unsent()? {
        cycle.restore(&record);
    }
    for record in ledger.holds()? {
        cycle.restore(&record);
    }
    for record in ledger.register()? {
        cycle.restore(&record);
    }
    let product = cycle.product();
    let remembered = REMEMBERED + i64::from(product.horizon);
    let recent = ledger.recent(remembered * i64::from(product.length_s))?;
    for record in &recent.records {
        cycle.restore(record);
    }
    cycle.number_from(recent.next_order);
    if recent.passed_over > 0 {
        let records = recent.passed_over;
        tracing::warn!(
            records,
            "of another build, on intervals that are over: passed over"
        );
    }
    Ok(ledger)
}

pub(crate) fn make_directory(directory: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("state directory {}", directory.display()))
}

/// Microseconds of a monotonic clock, for the figures shown.
fn stopwatch() -> i64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
}

/// The table's task: its only writer.
async fn write_table(
    mut table: Table,
    mut events: mpsc::Receiver<(DeviceId, DeviceEvent)>,
    mut asked: mpsc::Receiver<oneshot::Sender<Arc<Snapshot>>>,
    done: mpsc::Sender<(u64, CommandStatus)>,
) {
    loop {
        tokio::select! {
            ask = asked.recv() => {
                let Some(answer) = ask else { return };
                // Nobody waits any more when the loop is stopping.
                let _ = answer.send(table.snapshot(now_us()));
            }
            event = events.recv() => {
                let Some((device, event)) = event else { return };
                match event {
                    DeviceEvent::State(state) => table.state(&device, state, now_us()),
                    DeviceEvent::Updates(updates) => table.update(&device, updates, now_us()),
                    DeviceEvent::Polled { took, late } => {
                        table.polled(&device, took, late, now_us());
                    }
                    DeviceEvent::Described(description) => table.described(&device, description),
                    DeviceEvent::CommandDone { id, status } => {
                        if done.try_send((id, status)).is_err() {
                            tracing::warn!(%device, id, "the loop does not take a command's end");
                        }
                    }
                }
            }
        }
    }
}

struct Loop {
    site: Arc<Site>,
    cycle: Cycle,
    ledger: Arc<Ledger>,
    history: (mpsc::Sender<history::Moment>, JoinHandle<()>),
    published: watch::Sender<Arc<Published>>,
    asks: mpsc::Sender<oneshot::Sender<Arc<Snapshot>>>,
    done: mpsc::Receiver<(u64, CommandStatus)>,
    /// Ends of commands since the last step.
    ended: Vec<(u64, CommandStatus)>,
    switching: Switching,
    /// The interval in which the ledger was signed last.
    signed: i64,
    /// When the next step begins, whatever is asked until then. Monotonic: a clock that is set
    /// back shall not hold the loop up.
    due: Instant,
    requested: mpsc::Receiver<Request>,
    field: Field,
    status_file: PathBuf,
    stop: CancellationToken,
}

impl Loop {
    async fn run(mut self) -> anyhow::Result<()> {
        self.due = Instant::now() + self.until_next();
        let result = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ok(()),
                () = sleep_until(self.due) => {
                    self = match self.step().await {
                        Ok(next) => next,
                        // Whatever else runs cannot do without the loop.
                        Err((stop, error)) => {
                            stop.cancel();
                            return Err(error);
                        }
                    };
                }
                Some((id, status)) = self.done.recv() => self.ended(id, status),
                Some(request) = self.requested.recv() => {
                    if let Err(error) = self.answer(request).await {
                        self.stop.cancel();
                        break Err(error);
                    }
                }
            }
        };
        let ledger = Arc::clone(&self.ledger);
        let signed = spawn_blocking(move || ledger.append(&[], now_us(), true)).await;
        if let Ok(Err(error)) = &signed {
            tracing::error!(%error, "the record's last part is not signed");
        }
        let (history, thread) = self.history;
        drop(history);
        if let Err(error) = thread.await {
            tracing::error!(%error, "the historian did not end well");
        }
        self.field.ended().await;
        result
    }

    /// Steps begin at whole periods of the clock, so that gates close and intervals begin on time.
    fn until_next(&self) -> Duration {
        let period = i64::try_from(self.site.estimation_period.as_micros()).unwrap_or(i64::MAX);
        let left = period - now_us().rem_euclid(period);
        Duration::from_micros(u64::try_from(left).unwrap_or_default())
    }

    async fn step(mut self) -> Result<Self, (CancellationToken, anyhow::Error)> {
        let stop = self.stop.clone();
        let fail = |error: anyhow::Error| (stop.clone(), error);
        let (answer, snapshot) = oneshot::channel();
        let asked = self.asks.send(answer).await;
        asked.map_err(|_| fail(anyhow::anyhow!("the table's task has ended")))?;
        let snapshot = snapshot.await.map_err(|error| fail(error.into()))?;
        while let Ok((id, status)) = self.done.try_recv() {
            self.ended(id, status);
        }
        let done = std::mem::take(&mut self.ended);
        let input = Input {
            snapshot: Arc::clone(&snapshot),
            done,
            rss_bytes: rss_bytes(),
        };
        let ledger = Arc::clone(&self.ledger);
        let mut cycle = self.cycle;
        let now_us = snapshot.now_us;
        let interval = cycle.product().interval_of(now_us);
        let sign = interval != self.signed;
        self.signed = interval;
        let stepped = spawn_blocking(move || {
            let output = cycle.step(input);
            let kept = if output.records.is_empty() && !sign {
                Ok(None)
            } else {
                ledger.append(&output.records, now_us, sign)
            };
            (cycle, output, kept)
        })
        .await;
        let (cycle, output, kept) = stepped.map_err(|error| fail(error.into()))?;
        self.cycle = cycle;
        kept.map_err(|error| fail(error.into()))?;
        self.act(output, snapshot);
        self.due = Instant::now() + self.until_next();
        Ok(self)
    }

    fn act(&mut self, output: Output, snapshot: Arc<Snapshot>) {
        for (device, command) in output.commands {
            let id = command.id;
            if let Err(status) = self.field.command(&device, command) {
                tracing::warn!(%device, id, ?status, "command not sent");
                self.ended.push((id, status));
            }
        }
        let moment = (snapshot, Arc::clone(&output.published.alarms));
        if self.history.0.try_send(moment).is_err() {
            tracing::warn!("the historian does not keep up; a second of history is lost");
        }
        write_status(&self.status_file, &output.published.status);
        self.published.send_replace(output.published);
        // Not started by systemd: nobody to notify, and no error.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}

/// Replaces the status file as a whole, for `busbar status`.
pub(crate) fn write_status(file: &Path, status: &Status) {
    let text = match serde_json::to_vec_pretty(status) {
        Ok(text) => text,
        Err(error) => {
            tracing::warn!(%error, "status not written");
            return;
        }
    };
    let new = file.with_extension("json.new");
    let write = || {
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(&text)?;
        fs::rename(&new, file)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, file = %file.display(), "status not written");
    }
}

/// Resident memory of this process; 0 where the system does not say.
pub(crate) fn rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kb| kb * 1024)
}
