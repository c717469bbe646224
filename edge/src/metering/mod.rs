//! Values of meters that come from outside, and what they change in what was settled.
//!
//! Two seconds after an interval's end it is on record what the appliance itself has metered. A
//! [`Value`] of the meter of a unit or load takes the place of that. What is there when the interval is settled
//! (`market.settle_s` after its end) is what it is settled on; of what comes later the
//! difference goes on record as a correction ([`correct`]), and what was settled stays.
//! Of several values for the same time the one received last counts. Pure: time comes in as an argument.

mod check;
mod correction;
mod csv;
#[cfg(test)]
mod tests;
mod value;

pub use check::{check, register_s};
pub use correction::{Standing, correct};
pub use csv::{HEADER, parse};
pub use value::Value;
