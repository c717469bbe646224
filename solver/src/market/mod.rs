//! The local market: orders, gate, clearing within what the network can carry, prices, contracts
//! and settlement. A constrained economic dispatch with as-bid orders and locational prices.
//!
//! Money is integer micro-currency, energy integer Wh, price integer micro-currency per MWh.

mod order;

pub use order::{Direction, Money, Order, OrderId, Price, Step};
