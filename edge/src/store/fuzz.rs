//! Doors for `tests/fuzz`, in its builds only: what is on disk, read back.

use super::{block, ledger};

/// Reads a minute of the historian.
pub fn minute(bytes: &[u8]) -> usize {
    block::decode(1_700_000_000_000, bytes).len()
}

/// Reads a row of the ledger, and the record in it.
pub fn row(bytes: &[u8]) -> bool {
    let row = ledger::Row::read(7, bytes);
    row.is_ok_and(|row| row.record().is_ok())
}
