//! What is known of a connection, and what the library's answers tell of it.
//!
//! Why the library opens no session it says to the client only, encrypted. But it asks us on the way, in the
//! connection's own task, and how long an answer is can be seen from outside: how far a request came, and that it was
//! refused there, is known by that. What it says at the end of a connection is not encrypted.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use opcua::types::StatusCode;
use tokio::task;

use crate::tls::Fingerprint;

/// A fault is so long, signed and encrypted (IEC 62541-6, 6.7.2 with Basic256Sha256), and what says that a session is
/// there or activated is longer.
const FAULT: usize = 96;

/// How far a request for a session came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The library has looked which endpoints there are for it.
    Asked,
    /// It shows who it is, but not by user and password.
    Nameless,
    /// It shows user and password.
    Named,
    /// Its signature was right.
    Signed,
    /// Its password was right.
    Password,
}

impl Step {
    /// Why it was refused there.
    fn reason(reached: Option<Self>, full: bool) -> &'static str {
        match reached {
            None if full => "too many sessions",
            None => {
                "a request that belongs to no session of its connection, or is not for this server"
            }
            Some(Self::Asked) => "no session: its certificate or its nonce is not right",
            Some(Self::Nameless) => "no login: it came without user and password",
            Some(Self::Named) => {
                "no login: no session is known for it, or it is not signed with the session's certificate"
            }
            Some(Self::Signed) => "no login: its user and password cannot be read",
            Some(Self::Password) => "no login: the session is another connection's",
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) from: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The library's task for it.
    task: Option<task::Id>,
    certificate: Option<Fingerprint>,
    /// As whom it has logged in.
    tenant: Option<String>,
    /// What the request under way came to.
    reached: Option<Step>,
    /// Whether it is told already that the request under way is refused.
    spoken: bool,
    /// Whether anything was ever told of it.
    told: bool,
}

impl Connection {
    pub(super) fn new(from: SocketAddr) -> Self {
        Self {
            from,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole when the lock is given back.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_served_by(&self, id: task::Id) {
        self.state().task = Some(id);
    }

    pub(super) fn task(&self) -> Option<task::Id> {
        self.state().task
    }

    pub(super) fn shows(&self, certificate: Fingerprint) {
        self.state().certificate = Some(certificate);
    }

    /// The tenant, else the certificate, else nobody.
    pub(super) fn who(&self) -> String {
        let state = self.state();
        let certificate = || state.certificate.map(|shown| shown.to_string());
        let who = state.tenant.clone().or_else(certificate);
        who.unwrap_or_default()
    }

    pub(super) fn reached(&self, step: Step) {
        let mut state = self.state();
        state.reached = state.reached.max(Some(step));
    }

    pub(super) fn logged_in(&self, tenant: &str) {
        let mut state = self.state();
        state.tenant = Some(tenant.to_owned());
        state.told = true;
    }

    /// That a refusal is told.
    pub(super) fn spoken(&self) {
        let mut state = self.state();
        (state.spoken, state.told) = (true, true);
    }

    /// A message of the library's to the client; why it refuses something with it, where that is not told yet. `full`:
    /// there is no room for a session; `rejected`: since the last fault it has counted a request that it did not serve.
    pub(super) fn answered(
        &self,
        frame: &[u8],
        full: bool,
        rejected: impl Fn() -> bool,
    ) -> Option<String> {
        let mut state = self.state();
        let (reached, spoken) = (state.reached.take(), std::mem::take(&mut state.spoken));
        let reason = match frame.get(..3)? {
            b"ERR" => Some(words(frame)),
            // Without security no session is asked for, the door sees to that; what was counted is not another's.
            _ if state.certificate.is_none() => {
                rejected();
                None
            }
            b"OPN" if rejected() => {
                Some("the secure channel is not opened as asked for".to_owned())
            }
            b"MSG" if frame.len() <= FAULT => {
                let rejected = rejected();
                let of_a_session = match state.tenant {
                    // A tenant that asks for something wrong is not turned away.
                    Some(_) => rejected && (reached.is_some() || full),
                    None => rejected || !state.told,
                };
                (of_a_session && !spoken).then(|| Step::reason(reached, full).to_owned())
            }
            _ => None,
        };
        state.told |= reason.is_some();
        reason
    }

    /// It ends: whether nothing was ever told of it.
    pub(super) fn untold(&self) -> bool {
        !self.state().told
    }
}

/// What an error message says: its status and its reason (IEC 62541-6, 7.1.2.5).
pub(super) fn words(frame: &[u8]) -> String {
    let Some((status, rest)) = frame.get(8..).and_then(<[u8]>::split_first_chunk::<4>) else {
        return "an error that does not say which".to_owned();
    };
    let status = StatusCode::from(u32::from_le_bytes(*status));
    let text = String::from_utf8_lossy(rest.get(4..).unwrap_or_default());
    format!("{status}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let connection = Connection::new(SocketAddr::from(([192, 0, 2, 7], 4711)));
        connection.shows(Fingerprint::of_der(b"a certificate"));
        connection
    }

    fn message(length: usize) -> Vec<u8> {
        let mut frame = b"MSGF".to_vec();
        frame.resize(length, 0);
        frame
    }

    #[test]
    fn an_error_says_its_status_and_words() {
        let mut frame = b"ERRF\x15\0\0\0\0\0\x88\x80\x05\0\0\0".to_vec();
        frame.extend(b"again");
        assert_eq!(words(&frame), "BadSequenceNumberInvalid: again");
        for cut in 0..12 {
            assert_eq!(words(&frame[..cut]), "an error that does not say which");
        }
    }

    /// How far the request came says why.
    #[test]
    fn a_fault_is_told_by_how_far_its_request_came() {
        let asked = |steps: &[Step], full| {
            let connection = connection();
            steps.iter().for_each(|step| connection.reached(*step));
            connection
                .answered(&message(96), full, || true)
                .unwrap_or_default()
        };
        assert_eq!(asked(&[], true), "too many sessions");
        assert!(asked(&[], false).contains("no session of its connection"));
        assert!(asked(&[Step::Asked], false).contains("nonce"));
        assert!(asked(&[Step::Named], false).contains("signed"));
        assert!(asked(&[Step::Nameless], false).contains("without user"));
        assert!(asked(&[Step::Named, Step::Signed, Step::Asked], false).contains("cannot be read"));
        assert!(asked(&[Step::Password], false).contains("another connection"));
    }

    #[test]
    fn a_short_answer_without_security_is_no_refusal() {
        let connection = Connection::new(SocketAddr::from(([192, 0, 2, 7], 4711)));
        assert_eq!(connection.answered(&message(56), true, || true), None);
        let error = b"ERRF\x10\0\0\0\0\0\x13\x80\xff\xff\xff\xff";
        let told = connection.answered(error, false, || false);
        assert_eq!(told.as_deref(), Some("BadSecurityChecksFailed: "));
    }

    #[test]
    fn what_is_told_is_not_told_twice_and_what_is_served_not_at_all() {
        let connection = connection();
        connection.reached(Step::Asked);
        assert_eq!(connection.answered(&message(1200), false, || false), None);
        assert!(connection.untold());
        connection.reached(Step::Named);
        connection.spoken();
        assert_eq!(connection.answered(&message(96), false, || true), None);
        // Once logged in, a request that makes no sense is no refusal, one for another session is.
        connection.logged_in("north");
        assert_eq!(connection.answered(&message(96), false, || true), None);
        assert!(connection.answered(&message(96), true, || true).is_some());
        assert_eq!(connection.answered(&message(96), true, || false), None);
        assert!(!connection.untold());
    }
}
