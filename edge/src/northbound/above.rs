//! The wire to the market above: passes up what is to be sent, one document after the other, and tells the
//! loop what comes down and what was answered. What it holds can be lost at any time: the record has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use protocols::opcua::{
    client::{ClientConfig, Event as Told, MarketClient, SubmitError},
    message::{Down, Receipt, Refused, Up},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    above::{Document, Event},
    published::{Handle, Request},
    site::Above,
    store::Hash,
};

/// Before what could not be sent is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Before a total is, that the one above cannot keep until somebody there has put something right.
const TOTAL_AGAIN: Duration = Duration::from_secs(10);
/// Events of the link that may wait.
const EVENTS: usize = 64;

/// A document: interval, kind, number.
type Key = (i64, Document, u32);

/// The wire, before it runs.
pub struct Wire {
    client: MarketClient,
    told: mpsc::Receiver<Told>,
}

impl Wire {
    /// Starts the link, which lives until `stop`.
    ///
    /// # Errors
    /// A file is missing or not what it should be.
    pub fn start(name: &str, site: &Above, stop: &CancellationToken) -> io::Result<Self> {
        let config = ClientConfig {
            endpoint: site.endpoint.clone(),
            name: name.to_owned(),
            pki: site.pki.clone(),
            user: site.user.clone(),
            password: password(&site.password_file)?,
        };
        let (events, told) = mpsc::channel(EVENTS);
        let client = MarketClient::start(config, events, stop.clone()).map_err(io::Error::other)?;
        Ok(Self { client, told })
    }

    /// Runs until `stop`.
    pub async fn serve(mut self, handle: Handle, stop: CancellationToken) {
        let sender = tokio::spawn(send(self.client.clone(), handle.clone(), stop.clone()));
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => break,
                told = self.told.recv() => told,
            };
            let Some(told) = told else { break };
            let (event, award) = match told {
                Told::Connected { tenant, clock_ms } => (Event::Linked { tenant, clock_ms }, None),
                Told::Lost { reason } => (Event::Lost { reason }, None),
                Told::Expires { days } => (Event::Certificate { days_left: days }, None),
                Told::Down(down) => {
                    let Down::Award(award) = &down;
                    let of = (award.interval, award.sequence);
                    (Event::Down(down), Some(of))
                }
            };
            if !tell(&handle, event).await {
                break;
            }
            if let Some((interval, sequence)) = award
                && let Err(error) = self.client.acknowledge(interval, sequence).await
            {
                tracing::debug!(interval, sequence, %error, "award not acknowledged");
            }
        }
        sender.abort();
    }
}

/// Tells the loop; returns once it is on record. Whether there is still a loop.
async fn tell(handle: &Handle, event: Event) -> bool {
    let (answer, taken) = oneshot::channel();
    let sent = handle.requests.send(Request::Above { event, answer }).await;
    sent.is_ok() && taken.await.is_ok()
}

/// Sends what is published as not answered, in its order, as often as it takes.
async fn send(client: MarketClient, mut handle: Handle, stop: CancellationToken) {
    // Answered, but the published list may not know yet.
    let mut done: BTreeSet<Key> = BTreeSet::new();
    // Cannot be kept above before then; what comes after it does not wait for it.
    let mut put_off: BTreeMap<Key, Instant> = BTreeMap::new();
    loop {
        let outbox: Arc<Vec<Up>> = {
            let published = handle.published.borrow_and_update();
            let above = published.above.as_ref();
            above.map_or_else(Arc::default, |of| Arc::clone(&of.outbox))
        };
        let key = |up: &Up| (up.interval(), Document::of(up), up.sequence());
        done.retain(|of| outbox.iter().any(|up| key(up) == *of));
        let now = Instant::now();
        put_off.retain(|_, until| *until > now);
        let waits = |up: &Up| done.contains(&key(up)) || put_off.contains_key(&key(up));
        let Some(up) = outbox.iter().find(|up| !waits(up)) else {
            let until = put_off.values().min().copied();
            tokio::select! {
                () = stop.cancelled() => return,
                changed = handle.published.changed() => if changed.is_err() { return },
                () = sleep_until(until.unwrap_or(now)), if until.is_some() => {}
            }
            continue;
        };
        let Some(answer) = answer(client.submit(up).await) else {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(AGAIN) => {}
            }
            continue;
        };
        match &answer {
            Err(Refused::Unavailable { .. }) => {
                let again = match up {
                    Up::Total(_) => TOTAL_AGAIN,
                    Up::Offer(_) | Up::Closing(_) => AGAIN,
                };
                put_off.insert(key(up), now + again);
            }
            _ => drop(done.insert(key(up))),
        }
        let up = up.clone();
        if !tell(&handle, Event::Answer { up, answer }).await {
            return;
        }
    }
}

/// What an attempt to send comes to; none: there is no link.
fn answer(submitted: Result<Receipt, SubmitError>) -> Option<Result<Option<Hash>, Refused>> {
    match submitted {
        Ok(receipt) => {
            let hash = receipt.account.as_deref().map(Hash::parse);
            Some(Ok(hash.flatten()))
        }
        Err(SubmitError::Refused(refused)) => Some(Err(refused)),
        Err(SubmitError::Link(_)) => None,
    }
}

/// The password of a file that only its owner can read.
///
/// # Errors
/// It cannot be read, others can read it too, or there is none in it.
pub fn password(file: &Path) -> io::Result<String> {
    let wrong = |reason: String| io::Error::other(format!("{}: {reason}", file.display()));
    let meta = fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("others than its owner can get at it (mode {mode:o}); use 600");
        return Err(wrong(text));
    }
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let password = text.trim_end_matches(['\r', '\n']);
    match password {
        "" => Err(wrong("there is no password in it".to_owned())),
        password => Ok(password.to_owned()),
    }
}
