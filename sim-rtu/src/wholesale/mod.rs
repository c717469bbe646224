//! A wholesale market to try an area on: a price by time of day that no tenant moves, awards from each
//! tenant's own curve at that price, limits of the exchange, and a file of all that it was told.

mod config;
mod market;
mod serve;

pub use config::{Config, ConfigError};
pub use market::{Market, Prices};
pub use serve::serve;
