//! Towards the DSO's control centre: what it may read and command, over its own protocols.
//!
//! [`points`] is the list of what there is, the same for every protocol. What a point says comes from the
//! loop ([`values`]) or straight from the devices, change by change ([`feed`]).

pub mod dnp3;
pub mod feed;
pub mod points;
pub mod values;
