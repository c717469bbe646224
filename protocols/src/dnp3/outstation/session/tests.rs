//! Whole requests and responses of the application layer, as octets.

mod bench;
mod controls;
mod events;
mod hostile;
mod profile;
mod reads;
mod requests;
