//! What the appliance keeps: the ledger (orders, clearings, contracts, settlements: never lost),
//! the historian (values of points: may be set aside when damaged) and the users. Each in a file
//! of its own in the state directory.

mod block;
pub mod historian;
pub mod ledger;
pub mod users;

pub use historian::Historian;
pub use ledger::{Ledger, LedgerError, Record};
