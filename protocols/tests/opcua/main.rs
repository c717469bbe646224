//! The two ends of the link between markets with each other, over real sockets: what passes, who is turned
//! away, and that nothing is missed when either end goes and comes back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod apart;
mod ends;
mod hostile;
mod passes;
mod pki;
mod refused;
mod told;
