//! The HTTP API and the UI served over it: axum routes, sessions and roles, the event stream.
//! The UI, the agents and scripts use this API alone; there is no second door. The OpenAPI
//! document is made from the handlers. Every refusal is a [`api::Problem`]; bodies, headers, time
//! and the number of connections are bounded. TLS is not here.

pub mod api;
mod app;
mod events;
mod extract;
mod patient;
mod problem;
mod pulse;
mod routes;
mod server;
mod session;
mod throttle;
mod ui;

pub use routes::openapi;
pub use server::{serve, serve_unconfigured};
