//! Whole-system tests of Busbar, and what they run on: the built programs as processes, their
//! sockets, nothing of their inside.

pub mod http;
pub mod stack;
pub mod truth;
