//! From award to setpoint: within limits, along a common way, ramped, leased, with a fallback; who may command; and
//! whether the device does what it was told.
//!
//! The only place where a market result becomes something a device is told (invariant 3 of the
//! house). Pure: the moment comes in, the setpoint goes out. Powers are generation-positive, SI.

mod authority;
mod guard;
mod path;
mod setpoint;
mod verify;

pub use authority::{Arbitration, Authority, Request, arbitrate};
pub use guard::Charge;
pub use path::{Power, Way, shares};
pub use setpoint::{
    ActivePower, Clamp, Control, DispatchError, Fallback, Quantity, Setpoint, UnitControl, setpoint,
};
pub use verify::{Mismatch, Reading, Tolerance, verify_readback, verify_response};
