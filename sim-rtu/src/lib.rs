//! The other side of every wire: a simulated substation. Its physics is the power flow of `solver`,
//! its devices are servers of `protocols`, and both meet in [`substation::Substation`], which is
//! pure: time comes in as an argument. [`station`] is the shell with sockets and the clock.

pub mod cli;
mod control;
pub mod der;
pub mod devices;
pub mod faults;
mod lines;
pub mod meters;
pub mod noise;
pub mod phases;
pub mod physics;
pub mod profiles;
pub mod scenario;
pub mod station;
pub mod substation;
pub mod wholesale;
