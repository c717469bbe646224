//! Who comes and goes, told without ever waiting for the one who listens.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

use super::Audit;
use crate::tls::Fingerprint;

/// Characters of what a stranger says of itself, or is told, that are kept.
const WORDS: usize = 200;

/// Where audit events go, and where each certificate's latest connection came from.
#[derive(Debug)]
pub(super) struct AuditLog {
    sender: mpsc::Sender<Audit>,
    missed: AtomicU64,
    peers: Mutex<HashMap<Fingerprint, Peer>>,
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
        }
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

    /// A certificate's connection begins; not if it has `most` already.
    pub(super) fn open(&self, certificate: Fingerprint, from: SocketAddr, most: usize) -> bool {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = peers.entry(certificate).or_default();
        if peer.open >= most {
            return false;
        }
        peer.open += 1;
        peer.from = from.to_string();
        true
    }

    /// And ends.
    pub(super) fn close(&self, certificate: Fingerprint) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
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
        let tenant = tenant.to_owned();
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = peers.entry(certificate).or_default();
        peer.tenant = Some(tenant.clone());
        let from = peer.from.clone();
        drop(peers);
        self.tell(Audit::Connected { tenant, from });
    }

    /// From where a certificate's latest connection came.
    pub(super) fn from(&self, certificate: Fingerprint) -> String {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers
            .get(&certificate)
            .map(|peer| peer.from.clone())
            .unwrap_or_default()
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(WORDS).collect()
}
