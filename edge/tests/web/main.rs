//! The HTTP API over real sockets, in front of a made-up loop.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod account;
mod appliance;
mod area;
mod bounds;
mod certificates;
mod client;
mod documented;
mod holds;
mod market;
mod schema;
mod shown;
mod stream;
