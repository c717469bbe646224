//! The local market: orders, gate, clearing within what the network can carry, prices, contracts
//! and settlement. A constrained economic dispatch with as-bid orders and locational prices.
//!
//! Money is integer micro-currency, energy integer Wh, price integer micro-currency per MWh.
//! Time comes in as an argument, UTC microseconds since 1970; an interval is named by its start,
//! UTC seconds since 1970.

pub mod clearing;
mod contract;
mod gate;
mod ledger;
mod order;
pub mod rules;
mod settlement;
mod terms;
mod unit;
pub(crate) mod utc;

pub use contract::{Contract, Contracts, Party, amount, contracts, energy_wh};
pub use gate::{Phase, Product, ProductError};
pub use ledger::{LedgerEntry, Rulebook};
pub use order::{Direction, Money, NewOrder, Order, OrderId, Price, Step};
pub use rules::{Accepted, Bounds, Rejection};
pub use settlement::{
    Imbalance, Meter, MeterQuality, Settlement, Statement, StatementLine, StatementReason, settle,
};
pub use terms::{Call, Kind, PPM, Storage, Terms, Window};
pub use unit::{Capability, Registry, Unit};
