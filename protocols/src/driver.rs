//! The loop around a session: a stream, timers, and the one who owns the points. Written once, for
//! every protocol without IO of its own, for both sides, for any stream.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};

use crate::device::Clock;

/// The moment of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed moment, never going back: what timers run by.
    pub mono: Duration,
    /// Milliseconds since 1970-01-01T00:00:00Z, as far as we know: what time stamps are made of.
    pub unix_ms: u64,
}

/// A session, as the loop sees it.
pub(crate) trait Session: Send + 'static {
    type Event: Send;
    fn connected(&mut self, now: Now);
    fn disconnected(&mut self, now: Now);
    fn handle_input(&mut self, bytes: &[u8], now: Now);
    fn handle_timeout(&mut self, now: Now);
    fn poll_timeout(&self) -> Option<Duration>;
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// Whether this event means that the connection is to be closed.
    fn ends_connection(event: &Self::Event) -> bool;
    /// Whether the other side was worth connecting to since this was last asked.
    fn take_answered(&mut self) -> bool {
        true
    }
}

/// Makes a [`Session`] of a type that has its methods; the pattern is of events that end a connection.
macro_rules! session {
    ($session:ty, $event:ty, $end:pat $(, { $more:item })?) => {
        impl $crate::driver::Session for $session {
            type Event = $event;

            fn connected(&mut self, now: $crate::driver::Now) {
                self.connected(now);
            }
            fn disconnected(&mut self, now: $crate::driver::Now) {
                self.disconnected(now);
            }
            fn handle_input(&mut self, bytes: &[u8], now: $crate::driver::Now) {
                self.handle_input(bytes, now);
            }
            fn handle_timeout(&mut self, now: $crate::driver::Now) {
                self.handle_timeout(now);
            }
            fn poll_timeout(&self) -> Option<std::time::Duration> {
                self.poll_timeout()
            }
            fn poll_transmit(&mut self) -> Option<Vec<u8>> {
                self.poll_transmit()
            }
            fn poll_event(&mut self) -> Option<$event> {
                self.poll_event()
            }
            fn ends_connection(event: &$event) -> bool {
                matches!(event, $end)
            }
            $($more)?
        }
    };
}
pub(crate) use session;

/// A session that its loop and its owner share. The owner never waits for the wire.
#[derive(Debug)]
pub(crate) struct Shared<S> {
    session: Mutex<S>,
    wake: Notify,
    start: Instant,
    clock: Clock,
}

/// What is to be sent and not taken by the other in so long ends the connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);

/// Nothing is read while more than this waits to be sent: no request makes memory grow.
const MAX_OUTPUT: usize = 64 * 1024;

impl<S: Session> Shared<S> {
    pub(crate) fn new(make: impl FnOnce(Now) -> S, clock: Clock) -> Self {
        Self::since(Instant::now(), make, clock)
    }

    /// One whose moments count from `start`.
    pub(crate) fn since(start: Instant, make: impl FnOnce(Now) -> S, clock: Clock) -> Self {
        let session = Mutex::new(make(now(start, clock)));
        Self {
            session,
            wake: Notify::new(),
            start,
            clock,
        }
    }

    /// Acts on the session, and lets the loop look at what came of it.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut S, Now) -> R) -> R {
        let result = act(&mut self.lock(), now(self.start, self.clock));
        self.wake();
        result
    }

    /// Lets the loop look at the session.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, S> {
        // A session is whole after each of its steps.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection until it ends. `first`: what was read from it already; `tell`: where
    /// events go, with the number of the session. A full channel makes this session wait.
    pub(crate) async fn serve<E: From<S::Event>>(
        &self,
        stream: impl AsyncRead + AsyncWrite,
        first: &[u8],
        tell: (usize, &mpsc::Sender<(usize, E)>),
    ) -> io::Result<()> {
        self.with(|session, now| {
            session.connected(now);
            session.handle_input(first, now);
        });
        let result = self.exchange(stream, tell).await;
        self.with(|session, now| session.disconnected(now));
        let (events, _) = self.collect(&mut Vec::new());
        for event in events {
            let _ = tell.1.send((tell.0, event.into())).await;
        }
        result
    }

    /// Waits without a connection; what happens meanwhile is told.
    pub(crate) async fn idle<E: From<S::Event>>(
        &self,
        wait: Duration,
        (number, tell): (usize, &mpsc::Sender<(usize, E)>),
    ) {
        let end = Instant::now() + wait;
        loop {
            let (events, _) = self.collect(&mut Vec::new());
            for event in events {
                let _ = tell.send((number, event.into())).await;
            }
            tokio::select! {
                () = sleep_until(end) => return,
                () = self.wake.notified() => {}
            }
        }
    }

    async fn exchange<E: From<S::Event>>(
        &self,
        stream: impl AsyncRead + AsyncWrite,
        (number, tell): (usize, &mpsc::Sender<(usize, E)>),
    ) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut input = vec![0; 4096];
        let mut output = Vec::new();
        let mut sent = Instant::now();
        // A stream may keep what it has taken until it is flushed: TLS does.
        let mut flushed = true;
        loop {
            let (events, due) = self.collect(&mut output);
            let over = events.iter().any(S::ends_connection);
            for event in events {
                // Nobody listens any more when the owner goes: then there is nobody to tell.
                let _ = tell.send((number, event.into())).await;
            }
            if over {
                return Ok(());
            }
            let session_due = due.map(|due| self.start + due);
            let to_send = !output.is_empty() || !flushed;
            if !to_send {
                sent = Instant::now();
            }
            let write_due = to_send.then_some(sent + WRITE_TIMEOUT);
            let wait = async {
                match [session_due, write_due].into_iter().flatten().min() {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = reader.read(&mut input), if output.len() < MAX_OUTPUT => {
                    let count = read?;
                    if count == 0 {
                        return Ok(());
                    }
                    self.with(|session, now| session.handle_input(&input[..count], now));
                }
                written = push(&mut writer, &output), if to_send => {
                    flushed = output.is_empty();
                    output.drain(..written?);
                    sent = Instant::now();
                }
                () = self.wake.notified() => {}
                () = wait => {
                    if write_due.is_some_and(|due| Instant::now() >= due) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    self.with(|session, now| session.handle_timeout(now));
                }
            }
        }
    }

    fn collect(&self, output: &mut Vec<u8>) -> (Vec<S::Event>, Option<Duration>) {
        let mut session = self.lock();
        while let Some(octets) = session.poll_transmit() {
            output.extend(octets);
        }
        let events = std::iter::from_fn(|| session.poll_event()).collect();
        (events, session.poll_timeout())
    }
}

/// Writes a part of the octets, or flushes where there are none; how many were taken. Cancelling loses
/// nothing.
async fn push(writer: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> io::Result<usize> {
    if octets.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    writer.write(octets).await
}

pub(crate) fn now(start: Instant, clock: Clock) -> Now {
    Now {
        mono: start.elapsed(),
        unix_ms: u64::try_from(clock() / 1000).unwrap_or(0),
    }
}
