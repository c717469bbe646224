//! What the appliance keeps: the ledger (orders, clearings, contracts, settlements: never lost),
//! the historian (values of points: may be set aside when damaged) and the users. Each in a file
//! of its own in the state directory.

use std::{fs, os::unix::fs::OpenOptionsExt as _, path::Path};

pub mod backup;
mod block;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod historian;
pub mod ledger;
pub mod restore;
pub mod users;

pub use historian::{Historian, Retention};
pub use ledger::{Hash, Hold, Holder, Key, Ledger, LedgerError, Receipt, Record};

/// Opens a database, or begins one that only its owner can read.
fn database(path: &Path) -> Result<redb::Database, redb::DatabaseError> {
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600).open(path)?;
    builder().create(path)
}

/// Pages of a file that are kept in memory, bytes. What is asked for is mostly of the last minutes; redb's own
/// default, 1 GiB, is all that the packaged service may take, and a ledger that grows would fill it.
const CACHE: usize = 8 << 20;

fn builder() -> redb::Builder {
    let mut builder = redb::Database::builder();
    builder.set_cache_size(CACHE);
    builder
}
