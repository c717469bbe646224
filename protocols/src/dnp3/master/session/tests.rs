//! Whole requests and responses of the application layer, as octets.

mod bench;
mod hostile;
mod pair;
mod requests;
mod routine;
