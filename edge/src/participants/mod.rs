//! Who takes part in the market: participants with their roles, their portfolios of units and loads,
//! the meters of those, and the tokens by which their programs speak for them.
//!
//! Participants, units and loads of the site file are there from the start. All else comes by
//! [`Change`]s, which are on the ledger before they count; a restart applies them again. Pure: time
//! comes in as an argument, and secrets are made by who asks ([`Secret`]).

mod change;
mod register;
#[cfg(test)]
mod tests;
mod token;

pub use change::{Change, Der, ParticipantRole, Token};
pub use register::{Issued, Member, Participant, Register, TokenFault};
pub use token::Secret;
