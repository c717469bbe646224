//! The local market: orders, gate, clearing within what the network can carry, prices, contracts
//! and settlement. A constrained economic dispatch with as-bid orders and locational prices.
//!
//! Money is integer micro-currency, energy integer Wh, price integer micro-currency per MWh.
//! Time comes in as an argument, UTC microseconds since 1970; an interval is named by its start,
//! UTC seconds since 1970.

mod auction;
mod bilateral;
mod call;
pub mod clearing;
mod contract;
mod distance;
mod fee;
mod gate;
pub mod layers;
mod ledger;
mod matching;
mod order;
mod pass_up;
mod pricing;
pub mod rules;
mod settlement;
mod terms;
mod unit;
pub(crate) mod utc;

pub use auction::{Ahead, Auction, AuctionResult, LookedAhead};
pub use bilateral::{Bilateral, Pair, bilateral};
pub use call::{CallContract, Called, Calls};
pub use contract::{Contract, Contracts, Party, Place, ReactiveContract, amount, energy_wh};
pub use distance::Distances;
pub use fee::GridFee;
pub use gate::{Phase, Product, ProductError};
pub use ledger::{LedgerEntry, Rulebook};
pub use matching::contracts;
pub use order::{Direction, Money, NewOrder, Order, OrderId, Price, Step};
pub use pricing::Pricing;
pub use rules::{Accepted, Bounds, Rejection};
pub use settlement::{
    Imbalance, Meter, MeterQuality, Settlement, Statement, StatementLine, StatementReason, correct,
    settle,
};
pub use terms::{Call, Kind, PPM, Storage, Terms, Window};
pub use unit::{Capability, Registry, Unit};
