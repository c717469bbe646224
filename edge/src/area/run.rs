//! The running market of an area: the loop around the machine, its server for tenants, its record, and what
//! it shows. As in a substation, what the record cannot take is not done: then it stops.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use protocols::opcua::{
    message::{Down, Receipt, Refused, Up},
    server::{self, Audit, MarketServer, Request as Asked, ServerConfig},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Market, Step, Uncalled,
    market::KEPT,
    view::{Shown, Tenancy},
};
use crate::{
    clock::{US, now_us},
    cycle::{NotSwitched, Refusal},
    feed::Feed,
    links::{End, Pace},
    participants::{Change, Register},
    published::{Asker, Handle, Published, Request},
    run::{REQUESTS, Running, make_directory, rss_bytes, write_status},
    site::{Above, AreaSite},
    store::{Ledger, Receipt as Kept, Record, users::is_password},
    web::api::{Problem, ReceiptView},
};

/// Documents that may wait for the loop.
const DOCUMENTS: usize = 1024;
/// Documents that go on record together: they come all at once, before a gate.
const TOGETHER: usize = 256;
/// The loop looks at the time so often; gates close within this after their time.
const LOOK: Duration = Duration::from_millis(200);

/// Starts the market; it runs until `stop`.
///
/// # Errors
/// The network cannot be used, the state directory cannot be read or written, or the server does not start.
pub async fn start(site: AreaSite, stop: CancellationToken) -> anyhow::Result<Running> {
    let started_us = now_us();
    let mut market = Market::new(Arc::new(site.setup.clone()))?;
    make_directory(&site.state_dir)?;
    let ledger = Ledger::open(&site.state_dir)?;
    let register = resume(&ledger, &mut market, &site, started_us)?;
    let ledger = Arc::new(ledger);

    let (asks, asked) = mpsc::channel(DOCUMENTS);
    let (tells, told) = mpsc::channel(DOCUMENTS);
    let config = ServerConfig {
        listen: site.serve.listen,
        endpoint: site.serve.endpoint.clone(),
        name: site.name.clone(),
        pki: site.serve.pki.clone(),
        tenants: tenants(&site),
        verify: verifier(&site),
    };
    let server = MarketServer::start(config, asks, tells, stop.clone())
        .await
        .context("the server for tenants")?;
    tracing::info!(address = %server.address(), "tenants connect here");

    let shown = Shown::new(&site, Arc::new(register), started_us);
    let first = shown.published(&market, &BTreeMap::new(), started_us, rss_bytes());
    let (published, watched) = watch::channel(Arc::new(first));
    let (requests, requested) = mpsc::channel(REQUESTS);
    let serve = End {
        link: "tenants",
        pki: site.serve.pki.clone(),
    };
    let links = [serve].into_iter().chain(site.above.iter().map(Above::end));
    let links = links.collect();
    let the_loop = Loop {
        signed: market.setup().product.interval_of(started_us),
        market: Some(market),
        ledger: Arc::clone(&ledger),
        server,
        asked,
        told,
        requested,
        published,
        shown,
        pace: Pace::default(),
        tenancy: BTreeMap::new(),
        status_file: site.state_dir.join("status.json"),
        stop,
    };
    Ok(Running {
        handle: Handle {
            ledger,
            published: watched,
            feed: Feed::default(),
            requests,
            links,
        },
        done: tokio::spawn(the_loop.run()),
    })
}

/// Notes the start, and gives the machine what it has to know of before.
fn resume(
    ledger: &Ledger,
    market: &mut Market,
    site: &AreaSite,
    started_us: i64,
) -> anyhow::Result<Register> {
    let started = Record::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        key: ledger.key()?.public(),
    };
    ledger.append(&[started], started_us, true)?;
    let mut register = Register::of_area(&site.setup);
    for record in ledger.register()? {
        if let Record::Registered { at_us, change, .. } = record {
            register.apply(&change, at_us);
        }
    }
    for record in ledger.unsent()? {
        market.restore(&record);
    }
    // As long before as it takes for every interval that is kept to be whole.
    let length = i64::from(site.setup.product.length_s);
    for record in ledger.recent((KEPT + 32) * length)?.records {
        market.restore(&record);
    }
    market.resume(started_us);
    Ok(register)
}

fn tenants(site: &AreaSite) -> Vec<server::Tenant> {
    let each = site.setup.tenants.iter().zip(&site.access);
    each.map(|(tenant, access)| server::Tenant {
        name: tenant.name.clone(),
        user: access.user.clone(),
        certificates: access.certificates.clone(),
    })
    .collect()
}

fn verifier(site: &AreaSite) -> server::Verify {
    let access = site.access.iter();
    let hashes: BTreeMap<String, String> = access
        .map(|of| (of.user.clone(), of.password_hash.clone()))
        .collect();
    Arc::new(move |user: &str, password: &str| {
        let hash = hashes.get(user);
        hash.is_some_and(|hash| is_password(hash, password))
    })
}

type Answer = oneshot::Sender<Result<Receipt, Refused>>;

struct Loop {
    /// Away while it computes.
    market: Option<Market>,
    ledger: Arc<Ledger>,
    server: MarketServer,
    asked: mpsc::Receiver<Asked>,
    told: mpsc::Receiver<Audit>,
    requested: mpsc::Receiver<Request>,
    published: watch::Sender<Arc<Published>>,
    shown: Shown,
    pace: Pace,
    tenancy: BTreeMap<String, Tenancy>,
    /// The interval in which the ledger was signed last.
    signed: i64,
    status_file: std::path::PathBuf,
    stop: CancellationToken,
}

impl Loop {
    async fn run(mut self) -> anyhow::Result<()> {
        // What was awarded before a restart can still be had.
        self.publish_awards(now_us());
        let mut due = Instant::now();
        let mut shown_s = 0;
        let mut batch = Vec::new();
        let result = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ok(()),
                () = sleep_until(due) => {
                    due = Instant::now() + LOOK;
                    if let Err(error) = self.step().await {
                        break Err(error);
                    }
                    let now_s = now_us().div_euclid(US);
                    if now_s != shown_s {
                        shown_s = now_s;
                        self.show();
                    }
                }
                count = self.asked.recv_many(&mut batch, TOGETHER) => {
                    if count == 0 {
                        break Err(anyhow::anyhow!("the server for tenants has ended"));
                    }
                    if let Err(error) = self.answer(std::mem::take(&mut batch)).await {
                        break Err(error);
                    }
                }
                Some(audit) = self.told.recv() => {
                    if let Err(error) = self.note(audit).await {
                        break Err(error);
                    }
                }
                Some(request) = self.requested.recv() => {
                    if let Err(error) = self.request(request).await {
                        break Err(error);
                    }
                    self.show();
                }
            }
        };
        self.stop.cancel();
        let ledger = Arc::clone(&self.ledger);
        let signed = spawn_blocking(move || ledger.append(&[], now_us(), true)).await;
        if let Ok(Err(error)) = &signed {
            tracing::error!(%error, "the record's last part is not signed");
        }
        result
    }

    /// Does what is due, on a thread of its own: a clearing takes its time.
    async fn step(&mut self) -> anyhow::Result<()> {
        let mut market = self.market.take().context("the market is away")?;
        let ledger = Arc::clone(&self.ledger);
        let now_us = now_us();
        let interval = market.setup().product.interval_of(now_us);
        let sign = interval != self.signed;
        self.signed = interval;
        let stepped = spawn_blocking(move || {
            let begun = std::time::Instant::now();
            let step = market.step(now_us);
            let took = begun.elapsed();
            let kept = match step.records.is_empty() && !sign {
                true => Ok(None),
                false => ledger.append(&step.records, now_us, sign),
            };
            (market, step, took, kept)
        });
        let (market, step, took, kept): (Market, Step, Duration, _) = stepped.await?;
        self.market = Some(market);
        kept?;
        self.shown.took(&step, took);
        if step.awarded {
            self.publish_awards(now_us);
        }
        Ok(())
    }

    fn publish_awards(&self, now_us: i64) {
        let Some(market) = &self.market else { return };
        for (tenant, award) in market.open_awards(now_us) {
            self.server.publish(&tenant, &Down::Award(award));
        }
    }

    /// Takes documents, all on record by one append; then each is answered.
    async fn answer(&mut self, batch: Vec<Asked>) -> anyhow::Result<()> {
        let now_us = now_us();
        let mut records = Vec::new();
        let mut answers: Vec<(Answer, Result<Receipt, Refused>)> = Vec::new();
        for asked in batch {
            match asked {
                Asked::Submit {
                    tenant,
                    document,
                    answer,
                } => {
                    let taken = self.submit(&tenant, document, now_us);
                    let taken = taken.map(|(new, receipt)| {
                        records.extend(new);
                        receipt
                    });
                    answers.push((answer, taken));
                }
                Asked::Acknowledged {
                    tenant,
                    interval,
                    sequence,
                } => tracing::debug!(tenant, interval, sequence, "award acknowledged"),
            }
        }
        if !records.is_empty() {
            let ledger = Arc::clone(&self.ledger);
            spawn_blocking(move || ledger.append(&records, now_us, false)).await??;
        }
        for (answer, taken) in answers {
            // Whoever does not wait any more asks again.
            let _ = answer.send(taken);
        }
        Ok(())
    }

    fn submit(
        &mut self,
        tenant: &str,
        document: Up,
        now_us: i64,
    ) -> Result<(Vec<Record>, Receipt), Refused> {
        let Some(market) = &mut self.market else {
            let reason = "the market is away".to_owned();
            return Err(Refused::Unavailable { reason });
        };
        let interval = document.interval();
        let taken = market.submit(tenant, document, now_us);
        let of = self.tenancy.entry(tenant.to_owned()).or_default();
        of.heard_us = Some(now_us);
        if let Err(refused) = &taken {
            tracing::warn!(tenant, interval, %refused, "not taken");
            of.refused = Some(format!("interval {interval}: {refused}"));
        }
        taken
    }

    /// Who comes and goes: told to the log, on record, and shown.
    async fn note(&mut self, audit: Audit) -> anyhow::Result<()> {
        let now_us = now_us();
        match &audit {
            Audit::Connected { tenant, from } => {
                tracing::info!(tenant, from, "tenant connected");
                let of = self.tenancy.entry(tenant.clone()).or_default();
                of.connected = true;
                of.since_us = Some(now_us);
            }
            Audit::Disconnected { tenant, from } => {
                tracing::info!(tenant, from, "tenant gone");
                let of = self.tenancy.entry(tenant.clone()).or_default();
                of.connected = false;
                of.since_us = Some(now_us);
            }
            Audit::Refused { from, who, reason } => {
                tracing::warn!(from, who, reason, "turned away");
            }
            Audit::Expires { days } => tracing::warn!(days, "our certificate nears its end"),
            Audit::Missed { count } => tracing::warn!(count, "of who came and went was not told"),
        }
        self.shown.note(&audit, now_us);
        let records = self.pace.take(&audit, now_us);
        if !records.is_empty() {
            let ledger = Arc::clone(&self.ledger);
            spawn_blocking(move || ledger.append(&records, now_us, false)).await??;
        }
        Ok(())
    }

    fn show(&mut self) {
        let Some(market) = &self.market else { return };
        let published = self
            .shown
            .published(market, &self.tenancy, now_us(), rss_bytes());
        write_status(&self.status_file, &published.status);
        self.published.send_replace(Arc::new(published));
        // Not started by systemd: nobody to notify, and no error.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }

    /// An area has no orders, devices or alarms of its own to ask about: tokens are all that there is.
    async fn request(&mut self, request: Request) -> anyhow::Result<()> {
        match request {
            Request::Register { change, by, answer } => {
                let registered = self.register(change, &by).await?;
                let _ = answer.send(registered);
            }
            Request::Order { answer, .. } => drop(answer.send(Err(not_here()))),
            Request::MeterValues { answer, .. } => drop(answer.send(Err(not_here()))),
            Request::Explain { answer, .. } => drop(answer.send(Err(not_here()))),
            Request::AcknowledgeAlarm { answer, .. } => drop(answer.send(Err(not_here()))),
            Request::Above { event, answer } => {
                let now_us = now_us();
                self.shown.linked(&event, now_us);
                let market = self.market.as_mut();
                let record = market.and_then(|market| market.hear(event, now_us));
                if let Some(record) = record {
                    self.append(record, now_us).await?;
                }
                // Nobody waits any more when the wire is stopping.
                let _ = answer.send(());
            }
            Request::Call {
                tenant,
                interval,
                exchange_w,
                by,
                answer,
            } => {
                let called = self.call(&tenant, interval, exchange_w, by).await?;
                let _ = answer.send(called);
            }
            Request::Link { event, answer } => {
                let at_us = now_us();
                self.append(Record::Link { at_us, event }, at_us).await?;
                let _ = answer.send(Ok(()));
            }
            // An area has no field.
            Request::Command { answer, .. } => {
                let _ = answer.send(Err(Refusal::Unknown));
            }
            Request::Switch { answer, .. } => {
                let _ = answer.send(Err(NotSwitched::Unknown));
            }
        }
        Ok(())
    }

    /// Tokens for what may be read; nobody trades here but tenants.
    async fn register(
        &mut self,
        change: Change,
        by: &Asker,
    ) -> anyhow::Result<Result<Option<ReceiptView>, Problem>> {
        let at_us = now_us();
        let of_token = matches!(change, Change::TokenIssued(_) | Change::TokenRevoked { .. });
        let checked = match of_token {
            true => self.shown.register().check(&change, at_us),
            false => Err(not_here()),
        };
        if let Err(problem) = checked {
            return Ok(Err(problem));
        }
        let record = Record::Registered {
            at_us,
            by: by.to_string(),
            change: change.clone(),
        };
        let receipt = self.append(record, at_us).await?;
        self.shown.registered(&change, at_us);
        Ok(Ok(receipt.map(Into::into)))
    }

    async fn append(&self, record: Record, at_us: i64) -> anyhow::Result<Option<Kept>> {
        let ledger = Arc::clone(&self.ledger);
        Ok(spawn_blocking(move || ledger.append(&[record], at_us, false)).await??)
    }

    /// Calls on a tenant: on record, then answered.
    async fn call(
        &mut self,
        tenant: &str,
        interval: i64,
        exchange_w: Option<i64>,
        by: Asker,
    ) -> anyhow::Result<Result<Option<ReceiptView>, Problem>> {
        let now_us = now_us();
        let market = self.market.as_mut().context("the market is away")?;
        let record = match market.call((tenant, interval), exchange_w, by.to_string(), now_us) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Ok(None)),
            Err(reason) => return Ok(Err(uncalled(reason))),
        };
        let ledger = Arc::clone(&self.ledger);
        let kept = spawn_blocking(move || ledger.append(&[record], now_us, false));
        Ok(Ok(kept.await??.map(Into::into)))
    }
}

fn uncalled(reason: Uncalled) -> Problem {
    let error = match reason {
        Uncalled::Tenant => "unknown_tenant",
        Uncalled::Interval => "interval",
        Uncalled::Late => "late",
        Uncalled::Range { .. } => "range",
    };
    Problem {
        error: error.to_owned(),
        message: reason.to_string(),
        accepted: Some(
            "an exchange within the connection's limits, until the interval's gate closes"
                .to_owned(),
        ),
    }
}

fn not_here() -> Problem {
    Problem {
        error: "area".to_owned(),
        message: "this is the market of an area: its tenants pass documents by OPC UA".to_owned(),
        accepted: Some("tokens of its tenants, and what it shows".to_owned()),
    }
}
