//! Made-up networks in power-grid-model's JSON, for benches and comparisons with peers: the same
//! seed gives the same file.

mod currents;
mod data;
mod feeder;
mod fictional;
mod market;
mod parts;
mod random;
mod sensors;

pub use data::Data;
pub use feeder::feeder;
pub use fictional::{Course, Fictional, load_scenarios};
pub use market::{MarketSize, market_case};
pub use random::{Random, scenarios};
pub use sensors::{Meters, numbers, objective, readings};
