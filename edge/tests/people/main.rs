//! Participants over real HTTP: their registration, their programs with tokens, and that none of them
//! sees or touches what is another's. The whole appliance, with nobody at its devices.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

#[path = "../bench/mod.rs"]
mod bench;
mod calls;
#[path = "../web/client.rs"]
mod client;
mod leaving;
mod metering;
mod stack;
mod tokens;
