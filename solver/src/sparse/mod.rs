//! Fixed-pattern block factorisation: order once, factor often.
//!
//! Matrices whose entries follow a network's branches: complex numbers, matrices over the phases
//! or square real blocks; the pattern symmetric, the values not. Elimination order by minimum
//! degree (Tinney and Walker, 1967, scheme 2), which on a radial network leaves no fill, then
//! postordered; pattern with fill and elimination list are computed once, so that factoring and
//! solving allocate nothing and run through memory from one end to the other.

mod block;
mod dense;
mod entry;
mod lu;
mod order;
mod packed;
mod pattern;
mod symmetric;

pub use block::Block;
pub use entry::Entry;
pub use lu::{BlockLu, Lu, Singular, Slot};
pub(crate) use order::{Ties, minimum_degree};
pub use pattern::Pattern;
pub(crate) use symmetric::{Aside, BlockLdl};
