//! Who is logged in: random tokens held in memory, so a restart of the appliance logs everybody
//! out. A session ends by logout, when its user is removed or gets another password, or after twelve
//! hours without a request (an open event stream is not a request). No clock inside: `now` is an argument.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::api::Role;

/// A session ends this long after its last request.
pub(crate) const IDLE: Duration = Duration::from_secs(12 * 3600);
/// Sessions at once; beyond, the one longest unused ends.
const MOST: usize = 256;

/// Somebody logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) user: String,
    pub(crate) role: Role,
}

struct Entry {
    user: String,
    role: Role,
    last_used: Instant,
}

/// All sessions, by token.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Entry>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Every change is a single map operation: a poisoned map is still a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session under an unguessable `token`.
    pub(crate) fn begin(&self, token: String, user: String, role: Role, now: Instant) {
        let mut entries = self.lock();
        entries.retain(|_, entry| alive(entry, now));
        if entries.len() >= MOST {
            let oldest = entries
                .iter()
                .min_by_key(|(_, entry)| entry.last_used)
                .map(|(token, _)| token.clone());
            if let Some(oldest) = oldest {
                entries.remove(&oldest);
            }
        }
        entries.insert(
            token,
            Entry {
                user,
                role,
                last_used: now,
            },
        );
    }

    /// The session of a request, renewed by it.
    pub(crate) fn renew(&self, token: &str, now: Instant) -> Option<Session> {
        let mut entries = self.lock();
        let entry = entries.get_mut(token).filter(|entry| alive(entry, now))?;
        entry.last_used = now;
        Some(Session {
            token: token.to_owned(),
            user: entry.user.clone(),
            role: entry.role,
        })
    }

    /// Whether the session still lasts, without renewing it.
    pub(crate) fn lasts(&self, token: &str, now: Instant) -> bool {
        self.lock()
            .get(token)
            .is_some_and(|entry| alive(entry, now))
    }

    /// Ends all sessions of a user.
    pub(crate) fn end_all_of(&self, user: &str) {
        self.lock().retain(|_, entry| entry.user != user);
    }

    /// Ends a session.
    pub(crate) fn end(&self, token: &str) {
        self.lock().remove(token);
    }
}

fn alive(entry: &Entry, now: Instant) -> bool {
    now.saturating_duration_since(entry.last_used) < IDLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_when_idle_and_is_renewed_by_use_only() {
        let sessions = Sessions::default();
        let start = Instant::now();
        sessions.begin("t".into(), "ada".into(), Role::Viewer, start);
        let later = start + IDLE - Duration::from_secs(1);
        assert!(sessions.renew("t", later).is_some());
        let still = later + IDLE - Duration::from_secs(1);
        assert!(sessions.lasts("t", still));
        assert!(!sessions.lasts("t", still + Duration::from_secs(1)));
        assert!(
            sessions
                .renew("t", still + Duration::from_secs(1))
                .is_none()
        );
    }

    #[test]
    fn logout_ends_it_and_the_number_is_bounded() {
        let sessions = Sessions::default();
        let start = Instant::now();
        for i in 0..=MOST {
            let at = start + Duration::from_millis(i as u64);
            sessions.begin(i.to_string(), "ada".into(), Role::Operator, at);
        }
        assert!(!sessions.lasts("0", start), "the oldest gave way");
        assert!(sessions.lasts("1", start));
        sessions.end("1");
        assert!(!sessions.lasts("1", start));
    }
}
