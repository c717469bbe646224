//! The ledger: an append-only, hash-chained and signed sequence of [`Record`]s in `ledger.redb`.
//! What is appended is on disk before anybody is told.
//!
//! [`chain`] says how records are hashed and signed, [`file`] how they are kept, [`index`] how those of
//! a kind are found, [`export`] how
//! they are handed to an auditor (`docs/ledger.md` describes that format), [`verify`] checks all
//! three.

mod accounts;
mod chain;
mod export;
mod file;
mod index;
mod key;
mod record;
mod resume;
#[cfg(test)]
mod tests;
mod verify;

pub use chain::Hash;
pub use export::{ExportError, verify_export, write_export};
pub use file::{Ledger, Row};
pub use key::{Key, PublicKey};
pub use record::{Hold, Holder, LedgerError, Receipt, Record};
pub use resume::Recent;
pub use verify::{Fault, Report, Verifier};
