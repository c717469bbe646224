//! The market end to end: references from another tool, properties, and what happens when nothing
//! is feasible.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod by_phase;
mod calls;
mod clearing;
mod contracts;
mod discrete;
mod feeder;
mod horizon;
mod hostile;
mod layers;
mod opf;
mod orders;
mod parts;
mod price;
mod properties;
mod random;
mod reactive;
mod residual;
mod scheduled;
mod schema;
mod settlement;
mod splitting;
