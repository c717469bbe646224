//! What the appliance keeps.

pub mod users;
