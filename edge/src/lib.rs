//! The appliance: polls the field, estimates, clears the market, dispatches, settles and shows it.

pub mod published;
pub mod store;
pub mod web;
