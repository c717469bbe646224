//! Whether the loop still publishes: what `/healthz` answers by.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::published::Published;

/// The loop publishes each second; silence beyond this is an illness.
const SILENCE: Duration = Duration::from_secs(10);

/// The moment of the last publication; `None` once there can be no other.
pub(crate) struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Some(now)))
    }

    fn set(&self, last: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    /// Whether the loop has published lately.
    pub(crate) fn beats(&self, now: Instant) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| now.saturating_duration_since(last) <= SILENCE)
    }

    /// Takes the pulse until the loop is gone.
    pub(crate) async fn take(&self, mut published: watch::Receiver<Arc<Published>>) {
        while published.changed().await.is_ok() {
            self.set(Some(Instant::now()));
        }
        self.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_or_the_end_of_the_loop_is_seen() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        assert!(pulse.beats(start + SILENCE));
        assert!(!pulse.beats(start + SILENCE + Duration::from_millis(1)));
        pulse.set(None);
        assert!(!pulse.beats(start));
    }
}
