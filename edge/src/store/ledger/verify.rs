//! Walks along a chain and checks it: order, hashes, signatures.

use std::collections::BTreeSet;

use super::{Hash, PublicKey, Record, chain::checkpoint_message};

/// What is wrong with a ledger or an export of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A record is missing, or one was put in.
    #[error("record {found} stands where record {expected} should be")]
    Order {
        /// Which should come.
        expected: u64,
        /// Which came.
        found: u64,
    },
    /// A record is not the one that was hashed.
    #[error(
        "record {number} is not what was written: its hash is {found}, its content's {computed}"
    )]
    Hash {
        /// Its number.
        number: u64,
        /// The hash that stands there.
        found: Hash,
        /// The hash of what stands there.
        computed: Hash,
    },
    /// A record cannot be read.
    #[error("record {number} cannot be read: {reason}")]
    Unreadable {
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// A signature is not of what it should be.
    #[error("the signature in record {number} is not of key {key}, or not of this chain")]
    Signature {
        /// The checkpoint.
        number: u64,
        /// The key it names.
        key: PublicKey,
    },
    /// Signed by somebody else.
    #[error("record {number} is signed with key {key}, not with one of those that were expected")]
    Stranger {
        /// The checkpoint.
        number: u64,
        /// The key it names.
        key: PublicKey,
    },
    /// A line of an export is not written as one.
    #[error("line {line}: {reason}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// What was checked, and how far it can be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records.
    pub records: u64,
    /// Checkpoints among them.
    pub checkpoints: u64,
    /// Records after the last signature: not yet vouched for.
    pub unsigned: u64,
    /// The keys of the signatures.
    pub keys: BTreeSet<PublicKey>,
    /// Number and hash of the last record.
    pub last: Option<(u64, Hash)>,
}

/// See the module.
#[derive(Debug)]
pub struct Verifier<'a> {
    next: u64,
    previous: Hash,
    expected: &'a [PublicKey],
    report: Report,
}

impl<'a> Verifier<'a> {
    /// From a record on, after the hash before it. Signatures have to be of one of the keys, if any
    /// are given.
    #[must_use]
    pub fn new(first: u64, previous: Hash, expected: &'a [PublicKey]) -> Self {
        Self {
            next: first,
            previous,
            expected,
            report: Report::default(),
        }
    }

    /// Checks the next record.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn record(
        &mut self,
        number: u64,
        at_us: i64,
        json: &[u8],
        found: Hash,
    ) -> Result<(), Fault> {
        if number != self.next {
            let expected = self.next;
            return Err(Fault::Order {
                expected,
                found: number,
            });
        }
        let computed = self.previous.next(number, at_us, json);
        if computed != found {
            return Err(Fault::Hash {
                number,
                found,
                computed,
            });
        }
        self.report.unsigned += 1;
        if let Some((key, signature)) = checkpoint(number, json)? {
            let message = checkpoint_message(number, at_us, self.previous);
            if !key.signed(&message, &signature) {
                return Err(Fault::Signature { number, key });
            }
            self.trust(number, key)?;
            self.report.checkpoints += 1;
            // Its own bytes are the signature and nothing else that matters.
            self.report.unsigned = 0;
        }
        self.next = number + 1;
        self.previous = computed;
        self.report.records += 1;
        self.report.last = Some((number, computed));
        Ok(())
    }

    pub(super) fn trust(&mut self, number: u64, key: PublicKey) -> Result<(), Fault> {
        if !self.expected.is_empty() && !self.expected.contains(&key) {
            return Err(Fault::Stranger { number, key });
        }
        self.report.keys.insert(key);
        Ok(())
    }

    /// What was found.
    #[must_use]
    pub fn report(self) -> Report {
        self.report
    }
}

/// Key and signature of a checkpoint; none for other records, which need not be of a kind known here.
fn checkpoint(number: u64, json: &[u8]) -> Result<Option<(PublicKey, String)>, Fault> {
    #[derive(serde::Deserialize)]
    struct Tag<'a> {
        #[serde(borrow)]
        record: std::borrow::Cow<'a, str>,
    }
    let unreadable = |error: serde_json::Error| Fault::Unreadable {
        number,
        reason: error.to_string(),
    };
    let tag: Tag<'_> = serde_json::from_slice(json).map_err(unreadable)?;
    if tag.record != "checkpoint" {
        return Ok(None);
    }
    match serde_json::from_slice(json).map_err(unreadable)? {
        Record::Checkpoint { key, signature } => Ok(Some((key, signature))),
        _ => Ok(None),
    }
}
