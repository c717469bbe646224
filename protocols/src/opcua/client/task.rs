//! The task that keeps a link, and the handle on it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use opcua::client::Session;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        StartError,
        message::{Down, Receipt, Up},
        pki::{self, RENEW_DAYS},
    },
    ClientConfig, Event, SubmitError,
    link::{Link, Note, Peer},
};

/// Between two attempts: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Without a word of the server's clock for so long, the link is lost.
const SILENCE: Duration = Duration::from_secs(10);
/// How often it is looked how long our certificate is good.
const EXPIRY_EVERY: Duration = Duration::from_secs(6 * 3600);
/// So many awards are known to have been given.
const GIVEN: usize = 64;

type Current = Option<(Arc<Session>, Peer)>;

/// A link upwards. Clones are the same link.
#[derive(Clone)]
pub struct MarketClient {
    current: watch::Receiver<Current>,
}

impl std::fmt::Debug for MarketClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let connected = self.current.borrow().is_some();
        f.debug_struct("MarketClient")
            .field("connected", &connected)
            .finish()
    }
}

impl MarketClient {
    /// Starts one; it lives until `stop` is cancelled. That the server is not there is no error: it is
    /// tried until it is.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        config: ClientConfig,
        events: mpsc::Sender<Event>,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        config.pki.own()?;
        let (share, current) = watch::channel(None);
        let task = Task {
            config,
            events,
            share,
            given: BTreeMap::new(),
            expiry: Instant::now(),
        };
        tokio::spawn(async move {
            let mut task = task;
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run() => {}
            }
            let last = task.share.send_replace(None);
            if let Some((session, _)) = last {
                let _ = tokio::time::timeout(Duration::from_secs(2), session.disconnect()).await;
            }
        });
        Ok(Self { current })
    }

    /// Passes a document up; returns when it is on record there. Can be sent as often as it takes.
    ///
    /// # Errors
    /// See [`SubmitError`]. At most ten seconds pass.
    pub async fn submit(&self, document: &Up) -> Result<Receipt, SubmitError> {
        let (session, peer) = self.now()?;
        peer.submit(&session, document).await
    }

    /// Tells that an award is on record here.
    ///
    /// # Errors
    /// [`SubmitError::Link`].
    pub async fn acknowledge(&self, interval: i64, sequence: u32) -> Result<(), SubmitError> {
        let (session, peer) = self.now()?;
        let arguments = vec![interval.into(), sequence.into()];
        peer.call(&session, "Acknowledge", arguments)
            .await
            .map(drop)
    }

    fn now(&self) -> Result<(Arc<Session>, Peer), SubmitError> {
        let current = self.current.borrow().clone();
        current.ok_or_else(|| SubmitError::Link("not connected".to_owned()))
    }
}

struct Task {
    config: ClientConfig,
    events: mpsc::Sender<Event>,
    share: watch::Sender<Current>,
    /// Numbers of the awards that were given, by interval.
    given: BTreeMap<i64, u32>,
    expiry: Instant,
}

impl Task {
    async fn run(&mut self) {
        let mut wait = RETRY.0;
        loop {
            self.look_at_expiry().await;
            let reason = match Link::open(&self.config).await {
                Ok(link) => {
                    wait = RETRY.0;
                    self.keep(link).await
                }
                Err(reason) => reason,
            };
            self.tell(Event::Lost { reason }).await;
            sleep(scattered(wait)).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Keeps a session as long as it can be kept; why it could not.
    async fn keep(&mut self, mut link: Link) -> String {
        let mut connected = false;
        let mut silent = Instant::now() + SILENCE;
        let reason = loop {
            let note = tokio::select! {
                note = link.notes.recv() => note,
                status = &mut link.ended => {
                    break status.map_or_else(|error| error.to_string(), |status| status.to_string());
                }
                () = sleep_until(silent) => break format!("nothing came for {} s", SILENCE.as_secs()),
                () = sleep_until(self.expiry) => {
                    self.look_at_expiry().await;
                    continue;
                }
            };
            match note {
                None => break "the subscription has ended".to_owned(),
                Some(Note::Clock(clock_ms)) => {
                    silent = Instant::now() + SILENCE;
                    if !connected {
                        connected = true;
                        let tenant = link.peer.tenant.clone();
                        let current = (Arc::clone(&link.session), link.peer.clone());
                        self.share.send_replace(Some(current));
                        self.tell(Event::Connected { tenant, clock_ms }).await;
                    }
                }
                Some(Note::Awards) => {
                    if let Err(reason) = self.give(&link).await {
                        break reason;
                    }
                }
            }
        };
        self.share.send_replace(None);
        link.close().await;
        reason
    }

    async fn give(&mut self, link: &Link) -> Result<(), String> {
        let known = |interval, sequence| {
            self.given
                .get(&interval)
                .is_some_and(|given| *given >= sequence)
        };
        let awards = link.peer.awards(&link.session, known).await?;
        for award in awards {
            self.given.insert(award.interval, award.sequence);
            self.tell(Event::Down(Down::Award(award))).await;
        }
        while self.given.len() > GIVEN {
            self.given.pop_first();
        }
        Ok(())
    }

    async fn look_at_expiry(&mut self) {
        if Instant::now() < self.expiry {
            return;
        }
        self.expiry = Instant::now() + EXPIRY_EVERY;
        if let Ok(own) = self.config.pki.own() {
            let days = own.days_left(pki::now());
            if days <= RENEW_DAYS {
                self.tell(Event::Expires { days }).await;
            }
        }
    }

    /// Nobody listens any more when the owner goes: then there is nobody to tell.
    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

/// Half of it to all of it: those that a server's end has cut off together shall not come back together.
fn scattered(wait: Duration) -> Duration {
    let mut octets = [0; 2];
    // Without randomness there is a wait all the same.
    let _ = SystemRandom::new().fill(&mut octets);
    let share = f64::from(u16::from_le_bytes(octets)) / f64::from(u16::MAX);
    wait.mul_f64(0.5 + 0.5 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_scattered_over_half_of_the_wait() {
        let waits: Vec<f64> = (0..200).map(|_| scattered(RETRY.1).as_secs_f64()).collect();
        assert!(
            waits.iter().all(|wait| (15.0..=30.0).contains(wait)),
            "{waits:?}"
        );
        // Each half of that holds some of 200: by chance none with 2^-199.
        let late = waits.iter().filter(|wait| **wait > 22.5).count();
        assert!(0 < late && late < waits.len(), "{late}");
    }
}
