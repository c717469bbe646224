//! Who comes and goes, told without ever waiting for the one who listens.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use opcua::{
    server::ServerInfo,
    types::{VariableId, Variant},
};
use tokio::{sync::mpsc, task};

use super::{
    Audit,
    connection::{Connection, Step},
};
use crate::tls::Fingerprint;

/// Characters of what a stranger says of itself, or is told, that are kept.
const WORDS: usize = 200;

/// Where audit events go, each certificate's connections, and which of the library's tasks serves which.
pub(super) struct AuditLog {
    sender: mpsc::Sender<Audit>,
    missed: AtomicU64,
    peers: Mutex<HashMap<Fingerprint, Peer>>,
    tasks: Mutex<HashMap<task::Id, Arc<Connection>>>,
    /// The one that the library is greeted by just now.
    greeting: Mutex<Option<Arc<Connection>>>,
    library: OnceLock<Arc<ServerInfo>>,
    /// How many requests the library had counted as not served when that was last looked at.
    rejected: AtomicU32,
}

/// The connections of one certificate.
#[derive(Clone, Debug, Default)]
struct Peer {
    open: usize,
    from: String,
    /// As whom it has logged in.
    tenant: Option<String>,
}

impl AuditLog {
    pub(super) fn new(sender: mpsc::Sender<Audit>) -> Self {
        Self {
            sender,
            missed: AtomicU64::new(0),
            peers: Mutex::default(),
            tasks: Mutex::default(),
            greeting: Mutex::default(),
            library: OnceLock::new(),
            rejected: AtomicU32::new(0),
        }
    }

    /// The library's counts, once there is a library.
    pub(super) fn counts(&self, library: Arc<ServerInfo>) {
        let _ = self.library.set(library);
    }

    pub(super) fn tell(&self, audit: Audit) {
        tracing::info!(?audit, "market link");
        let count = self.missed.swap(0, Ordering::Relaxed);
        if count > 0 && self.sender.try_send(Audit::Missed { count }).is_err() {
            self.missed.fetch_add(count, Ordering::Relaxed);
        }
        if self.sender.try_send(audit).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn refused(&self, from: &str, who: &str, reason: impl ToString) {
        self.tell(Audit::Refused {
            from: from.to_owned(),
            who: clipped(who),
            reason: clipped(&reason.to_string()),
        });
    }

    /// Turns a connection away.
    pub(super) fn refuse(&self, connection: &Connection, reason: impl ToString) {
        connection.spoken();
        self.refused(&connection.from.to_string(), &connection.who(), reason);
    }

    /// Turns away what the task that asks is for; `who` it says that it is.
    pub(super) fn refuse_here(&self, who: &str, reason: &str) {
        let here = self.here();
        let from = here.map(|connection| {
            connection.spoken();
            connection.from.to_string()
        });
        self.refused(&from.unwrap_or_default(), who, reason);
    }

    /// From now on, and until what it gives is dropped, the library is greeted by this connection and no other: which of
    /// its tasks then asks for the first time is the connection's.
    pub(super) fn greets<'a>(&'a self, connection: &Arc<Connection>) -> impl Drop + use<'a> {
        *lock(&self.greeting) = Some(Arc::clone(connection));
        Greeting(self)
    }

    /// The connection that the task that asks is for; of the library's tasks those that read the requests have one.
    pub(super) fn here(&self) -> Option<Arc<Connection>> {
        lock(&self.tasks).get(&task::try_id()?).cloned()
    }

    /// The library asks which endpoints there are: the first thing that it does with a greeting.
    pub(super) fn asked(&self) {
        if let Some(id) = task::try_id() {
            let mut tasks = lock(&self.tasks);
            if !tasks.contains_key(&id)
                && let Some(connection) = lock(&self.greeting).take()
            {
                connection.is_served_by(id);
                tasks.insert(id, connection);
            }
        }
        self.reached(Step::Asked);
    }

    /// The request of the task that asks came so far.
    pub(super) fn reached(&self, step: Step) {
        if let Some(connection) = self.here() {
            connection.reached(step);
        }
    }

    /// A message of the library's to the client.
    pub(super) fn answered(&self, connection: &Connection, frame: &[u8]) {
        let sessions = self.count(
            VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount,
        );
        let most = self.library.get();
        let most = most.map_or(usize::MAX, |library| library.config.limits.max_sessions);
        let full = usize::try_from(sessions).is_ok_and(|sessions| sessions >= most);
        let rejected = || {
            let count = self.count(
                VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_RejectedRequestsCount,
            );
            self.rejected.swap(count, Ordering::Relaxed) != count
        };
        if let Some(reason) = connection.answered(frame, full, rejected) {
            self.refused(&connection.from.to_string(), &connection.who(), reason);
        }
    }

    fn count(&self, of: VariableId) -> u32 {
        let library = self.library.get();
        match library.and_then(|library| library.summary().get(of)?.value) {
            Some(Variant::UInt32(count)) => count,
            _ => 0,
        }
    }

    /// A connection is at its end.
    pub(super) fn ended(&self, connection: &Connection) {
        let mut tasks = lock(&self.tasks);
        if let Some(task) = connection.task() {
            tasks.remove(&task);
        }
    }

    /// A certificate's connection begins; not if it has `most` already.
    pub(super) fn open(&self, certificate: Fingerprint, from: String, most: usize) -> bool {
        let mut peers = lock(&self.peers);
        let peer = peers.entry(certificate).or_default();
        if peer.open >= most {
            return false;
        }
        peer.open += 1;
        peer.from = from;
        true
    }

    /// And ends.
    pub(super) fn close(&self, certificate: Fingerprint) {
        let mut peers = lock(&self.peers);
        let Some(peer) = peers.get_mut(&certificate) else {
            return;
        };
        peer.open = peer.open.saturating_sub(1);
        if peer.open > 0 {
            return;
        }
        let gone = peers.remove(&certificate);
        drop(peers);
        if let Some(Peer {
            tenant: Some(tenant),
            from,
            ..
        }) = gone
        {
            self.tell(Audit::Disconnected { tenant, from });
        }
    }

    /// A tenant has logged in with its certificate.
    pub(super) fn logged_in(&self, certificate: Fingerprint, tenant: &str) {
        let here = self.here();
        let tenant = tenant.to_owned();
        let mut peers = lock(&self.peers);
        let peer = peers.entry(certificate).or_default();
        peer.tenant = Some(tenant.clone());
        let from = match here {
            Some(connection) => {
                connection.logged_in(&tenant);
                connection.from.to_string()
            }
            None => peer.from.clone(),
        };
        drop(peers);
        self.tell(Audit::Connected { tenant, from });
    }
}

/// Ends a greeting.
struct Greeting<'a>(&'a AuditLog);

impl Drop for Greeting<'_> {
    fn drop(&mut self) {
        *lock(&self.0.greeting) = None;
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole when the lock is given back.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clipped(text: &str) -> String {
    text.chars().take(WORDS).collect()
}
