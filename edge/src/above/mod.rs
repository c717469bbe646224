//! The market above, from its tenant's side: what goes up for an interval, what comes down, on what the
//! exchange rests, and what is still to be sent. A substation is a tenant of an area, an area one of a wider
//! area or of wholesale; both keep to the same machine ([`Tenant`]).
//!
//! For each interval: the [`Offer`](protocols::opcua::message::Offer) at gate closure; then an award, or at
//! `award_s` before the start the site's [`Fallback`]; the
//! [`Closing`](protocols::opcua::message::Closing), which is the tenant's word; and the
//! [`Total`](protocols::opcua::message::Total) once it is metered. Each goes on record as an [`Entry`] before
//! it is sent, and is sent until an answer is on record: the ledger is the outbox.
//!
//! Nothing here reads a clock or a socket: `northbound/above.rs` is the wire.

mod decide;
mod entry;
mod link;
mod offer;
pub mod passed;
mod tenant;
#[cfg(test)]
mod tests;

pub use decide::{Fallback, Terms};
pub use entry::{Document, Entry};
pub use link::{Event, Link};
pub use offer::offer;
pub use tenant::{Interval, Tenant};
