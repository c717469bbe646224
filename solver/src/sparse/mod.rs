//! Fixed-pattern block factorisation: order once, factor often.
//!
//! Matrices whose blocks follow a network's branches: square `B` by `B` real blocks, the pattern
//! symmetric, the values not. Elimination order by minimum degree (Tinney and Walker, 1967,
//! scheme 2), which on a radial network leaves no fill; pattern with fill and elimination list
//! are computed once, so that factoring and solving allocate nothing.

mod block;
mod lu;
mod order;
mod symmetric;

pub use block::Block;
pub use lu::{BlockLu, Singular, Slot};
pub(crate) use order::minimum_degree;
pub(crate) use symmetric::BlockLdl;
