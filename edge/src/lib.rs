//! The appliance: polls the field, estimates, clears the market, dispatches, settles and shows it.
//!
//! The data path, once around: [`field`] -> [`table`] -> [`cycle`] (pure) -> [`field`], kept in
//! [`store`], shown by [`web`] from what [`run`] publishes. Beside it, [`feed`]: every change that a device
//! reports, for those who must not miss one.

pub mod above;
pub mod agents;
pub mod area;
pub mod cli;
pub mod clock;
pub mod cycle;
pub mod feed;
pub mod field;
pub mod invoice;
pub mod links;
pub mod metering;
pub mod northbound;
pub mod participants;
pub mod published;
pub mod replay;
pub mod run;
pub mod site;
pub mod store;
pub mod table;
pub mod web;
