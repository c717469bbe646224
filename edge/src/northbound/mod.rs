//! Towards the DSO's control centre: what it may read and command, over its own protocols.
//!
//! [`points`] is the list of what there is, the same for every protocol. What a point says comes from the
//! loop ([`values`]) or straight from the devices, change by change ([`feed`]); [`watch`] says what of both is new.
//! What is commanded goes the same way too (`commands`).
//!
//! And towards the market above ([`above`]).

pub mod above;
mod commands;
pub mod der;
pub mod dnp3;
pub mod feed;
pub mod iec104;
pub mod points;
pub mod values;
pub mod watch;
