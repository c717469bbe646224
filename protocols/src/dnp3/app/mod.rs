//! The application layer (IEEE 1815-2012 clause 4 and Annex A): fragments, object headers, and
//! every variation that we read or write, in one table.

mod command;
mod header;
#[cfg(test)]
pub(crate) mod hostile;
mod iin;
mod objects;
mod value;
mod variations;
mod writer;

pub use command::{AnalogCommand, CommandStatus, Crob, OperationType, OutputCommand, TripClose};
pub use header::FunctionCode;
pub(crate) use header::{Control, Header, next_sequence};
pub use iin::Iin;
pub(crate) use objects::{Headers, Item, ObjectHeader, ParseError, Range};
pub(crate) use value::{decode, double_of, encode, time_from, time_octets, time_of, time_to};
pub(crate) use variations::find;
pub use variations::{Layout, Number, Stamp, VARIATIONS, Variation};
pub(crate) use writer::Writer;

/// The fragment size every station must take (clause 4.2).
pub const MAX_FRAGMENT: usize = 2048;
