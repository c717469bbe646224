//! What every handler shares: the hold on the loop, the users, the sessions, and the bounds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{body::Bytes, http::StatusCode};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    api::Problem,
    problem::{Refusal, from_loop},
    pulse::Pulse,
    session::Sessions,
    throttle::Throttle,
};
use crate::{
    published::{Handle, Published, Request},
    store::{Ledger, LedgerError, users::UserStore},
};

/// Time for the loop to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Event streams at once.
const STREAMS: usize = 64;

/// Shared by all handlers.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) handle: Handle,
    pub(crate) users: UserStore,
    pub(crate) sessions: Sessions,
    pub(crate) throttle: Throttle,
    pub(crate) pulse: Pulse,
    /// One at a time: Argon2 takes 19 MiB, and a flood of logins shall not take more.
    pub(crate) hashing: Semaphore,
    pub(crate) streams: Arc<Semaphore>,
    /// One at a time: corrections of what was settled rest on those before.
    pub(crate) metering: Semaphore,
    /// The OpenAPI document, as served.
    pub(crate) document: Bytes,
    pub(crate) stop: CancellationToken,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        handle: Handle,
        users: UserStore,
        document: Bytes,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            handle,
            users,
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            pulse: Pulse::new(Instant::now()),
            hashing: Semaphore::new(1),
            streams: Arc::new(Semaphore::new(STREAMS)),
            metering: Semaphore::new(1),
            document,
            stop,
        }))
    }

    /// The latest state.
    pub(crate) fn published(&self) -> Arc<Published> {
        self.handle.published.borrow().clone()
    }

    /// Asks the loop and waits for its answer. `path_names` is the code of the problem that means
    /// that what the path names does not exist.
    pub(crate) async fn ask<T, E: Into<Problem>>(
        &self,
        path_names: Option<&str>,
        request: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Request,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.handle.requests.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        match timeout(ANSWER, asked).await {
            Ok(Some(answer)) => answer.map_err(|problem| from_loop(problem.into(), path_names)),
            Ok(None) => Err(Refusal::unavailable(
                "loop_stopped",
                "the loop does not answer",
            )),
            Err(_) => Err(Refusal::unavailable(
                "loop_busy",
                "the loop did not answer in time; whether it was done is not known, \
                 and asking the same again is safe",
            )),
        }
    }

    /// A place for an answer that takes its time.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        permit.map_err(|_| {
            Refusal::unavailable("too_many_streams", "too many event streams are open")
        })
    }

    /// Reads the record where it may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let ledger = Arc::clone(&self.handle.ledger);
        let done = tokio::task::spawn_blocking(move || work(&ledger)).await;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "the record cannot be read");
            Refusal::internal()
        };
        done.map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))
    }

    /// Runs password hashing where it may block, one at a time.
    pub(crate) async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce(&UserStore) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = self.hashing.acquire().await;
        let _permit = permit.map_err(|_| Refusal::internal())?;
        let users = self.users.clone();
        let done = tokio::task::spawn_blocking(move || work(&users)).await;
        done.map_err(|error| {
            tracing::error!(%error, "password hashing failed");
            Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "hashing failed",
            )
        })
    }
}
