//! Whole-system tests of Busbar, and what they run on: the built programs as processes, their
//! sockets, nothing of their inside. Beside them the networks that the solver is measured on.

pub mod area;
#[cfg(feature = "grids")]
pub mod differential;
#[cfg(feature = "grids")]
pub mod grids;
pub mod http;
pub mod peer;
pub mod stack;
pub mod truth;
