//! Everything computed: the network, its power flow, its estimated state, the market and the
//! limits of dispatch.
//!
//! Pure: reads no clock, file, socket or random source. The same inputs and the same `now` give
//! the same answer, bit for bit. Public entry points speak SI (V, A, W, var, Wh); inside, and in
//! everything named `_pu`, quantities are per unit on [`network::S_BASE_VA`] and the node's rated
//! voltage.

pub mod dispatch;
pub mod estimation;
pub mod market;
pub mod network;
pub mod powerflow;
pub mod sparse;
