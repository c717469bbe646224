//! The links between markets as an engineer sees them: whose certificates each end trusts, who came, and who was
//! turned away. What is decided here and what happens there is on record.

use protocols::opcua::{Pki, server::Audit};
use serde::{Deserialize, Serialize};

use crate::{clock::US, store::Record};

/// Events of a minute that go on record: whoever knocks more often is not worth the space. The rest is counted.
const MOST: u32 = 30;

/// An end of a link of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `above`, where we are the client; `tenants`, where we serve.
    pub link: &'static str,
    /// Our certificate, and whom it trusts.
    pub pki: Pki,
}

/// What happens at a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A tenant has logged in.
    Connected {
        /// Who.
        tenant: String,
        /// From where.
        from: String,
    },
    /// Its connection has ended.
    Disconnected {
        /// Whose.
        tenant: String,
        /// From where.
        from: String,
    },
    /// Somebody was turned away.
    Refused {
        /// From where; empty where that is not known.
        from: String,
        /// As whom it came: a tenant, a user or a certificate's SHA-256.
        who: String,
        /// Why.
        reason: String,
    },
    /// Besides, so many that are not on record.
    Missed {
        /// How many.
        count: u64,
    },
    /// A certificate is trusted, or turned away, from now on.
    Judged {
        /// At which end.
        link: String,
        /// Its SHA-256.
        certificate: String,
        /// Its common name.
        name: String,
        /// Whether it is trusted.
        trusted: bool,
        /// Who says so.
        by: String,
    },
}

impl Event {
    /// What the server tells, as far as it belongs on record.
    fn of(audit: &Audit) -> Option<Self> {
        Some(match audit.clone() {
            Audit::Connected { tenant, from } => Self::Connected { tenant, from },
            Audit::Disconnected { tenant, from } => Self::Disconnected { tenant, from },
            Audit::Refused { from, who, reason } => Self::Refused { from, who, reason },
            Audit::Missed { count } => Self::Missed { count },
            Audit::Expires { .. } => return None,
        })
    }
}

/// Keeps what goes on record of who comes and goes to so many a minute.
#[derive(Debug, Default)]
pub struct Pace {
    minute: i64,
    taken: u32,
    missed: u64,
}

impl Pace {
    /// What of it goes on record: with the first of a minute, how many of those before did not.
    pub fn take(&mut self, audit: &Audit, at_us: i64) -> Vec<Record> {
        let Some(event) = Event::of(audit) else {
            return Vec::new();
        };
        let minute = at_us.div_euclid(60 * US);
        if minute != self.minute {
            (self.minute, self.taken) = (minute, 0);
        }
        if self.taken >= MOST {
            self.missed += match event {
                Event::Missed { count } => count,
                _ => 1,
            };
            return Vec::new();
        }
        self.taken += 1;
        let count = std::mem::take(&mut self.missed);
        let missed = (count > 0).then_some(Event::Missed { count });
        let events = missed.into_iter().chain([event]);
        events.map(|event| Record::Link { at_us, event }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Audit {
        Audit::Refused {
            from: "192.0.2.7:4711".to_owned(),
            who: "mallory".to_owned(),
            reason: "wrong user or password".to_owned(),
        }
    }

    /// Of a flood the first go on record, then how many more there were.
    #[test]
    fn a_flood_is_counted() {
        let mut pace = Pace::default();
        let taken: usize = (0..1000)
            .map(|k| pace.take(&refused(), k * 1000).len())
            .sum();
        assert_eq!(taken, 30);
        assert!(pace.take(&Audit::Missed { count: 12 }, 59 * US).is_empty());
        let after = pace.take(&refused(), 60 * US);
        let count = |record: &Record| match record {
            Record::Link {
                event: Event::Missed { count },
                ..
            } => Some(*count),
            _ => None,
        };
        assert_eq!(
            after.iter().map(count).collect::<Vec<_>>(),
            [Some(982), None]
        );
        assert_eq!(pace.take(&refused(), 61 * US).len(), 1);
        assert!(pace.take(&Audit::Expires { days: 3 }, 62 * US).is_empty());
    }
}
