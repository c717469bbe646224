//! Towards the DSO's control centre: what it may read and command, over its own protocols.

pub mod dnp3;
pub mod points;
