//! The market of an area: its tenants' curves, cleared over the grid between them, awards down, and what
//! each interval comes to. The area itself is a tenant of the market above it, where there is one.
//!
//! [`Market`] is the machine: documents and `now` in, records and awards out; built of its records alone, so
//! that a restart goes on where they end. It reads no clock and no socket; `run` is the loop around it.
//!
//! For each interval: offers until the gate; who has made none stands in with what it exchanged last. The
//! case goes on record, then, with a market above, the area's own offer and what came of it, then the
//! clearing, the awards, and, tenant by tenant as these come in, closings, totals, settlements and the hash of
//! the interval's account.

mod book;
mod check;
mod entry;
mod exchange;
mod gate;
mod market;
pub mod run;
mod settle;
mod setup;
mod submit;
#[cfg(test)]
mod tests;
mod view;

pub use book::{Book, Deal, Interval};
pub use entry::{Entry, Given, Taken};
pub use market::{Market, Step};
pub use setup::{Aggregator, Participant, Setup, Tenant};
pub use submit::Uncalled;
