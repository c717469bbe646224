//! The HTTP API over real sockets, in front of a made-up loop.

mod account;
mod appliance;
mod bounds;
mod client;
mod documented;
mod market;
mod schema;
mod stream;
