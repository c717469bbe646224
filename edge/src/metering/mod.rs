//! Values of meters that come from outside, and what they change in what was settled.
//!
//! An interval is settled two seconds after its end by what the appliance itself has metered. A
//! [`Value`] of the meter of a unit or load corrects that: it takes the place of the appliance's own
//! metering, and the difference goes on record as a correction ([`correct`]); what was settled stays.
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
