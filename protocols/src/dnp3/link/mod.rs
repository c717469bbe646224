//! The data link layer (IEEE 1815-2012 clause 9): frames with their checks, and a station at
//! either end of a link with the primary (sending) and the secondary (answering) part.

mod crc;
mod frame;
mod station;

pub(crate) use frame::Frame;
#[cfg(test)]
pub(crate) use frame::Function;
pub use frame::{FrameParser, ParserStatistics};
pub use station::LinkConfig;
pub(crate) use station::Station;

/// Everyone, no confirmation asked (IEEE 1815-2012 table of reserved addresses).
pub const BROADCAST_NO_CONFIRM: u16 = 0xFFFD;
/// Everyone, the next response must be confirmed by the master.
pub const BROADCAST_CONFIRM: u16 = 0xFFFE;
/// Everyone, the outstation may ask for a confirmation.
pub const BROADCAST_OPTIONAL: u16 = 0xFFFF;
/// The highest address a station may have.
pub const MAX_ADDRESS: u16 = 0xFFEF;

/// Octets of user data in one frame.
pub(crate) const MAX_USER_DATA: usize = 250;
