//! The HTTP API and the UI served over it.

pub mod api;
