//! SunSpec Modbus (SunSpec Device Information Model Specification V1.2): a device describes itself as
//! a chain of models, each with an id, a length and points at fixed offsets. Here: the models of
//! inverters and batteries in use, discovery, a polling device task, and the register image of a
//! simulated device.
//!
//! SunSpec counts in the producer's reference frame: active and reactive power that a device delivers
//! are positive (reactive: over-excited). That is our generation-positive convention, for measured
//! values and for setpoints alike, so nothing is negated anywhere.

mod block;
mod blocks;
mod control;
mod control_100;
mod control_704;
pub mod device;
mod discovery;
mod image;
mod model;
mod readback;
mod tables;

pub use block::{Block, SunspecError};
pub use image::Image;
pub use model::{Kind, Model, Point};
pub use tables::{MODELS, find};
