//! Does the device say, and do, what it was told?

use serde::{Deserialize, Serialize};

use super::{ActivePower, Quantity, Setpoint};

/// How far off is still right: the greater of an absolute and a relative part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Absolute, W or var. At least the step of the device's scaled registers.
    pub absolute: f64,
    /// Relative to what was asked.
    pub relative: f64,
}

impl Tolerance {
    fn of(&self, asked: f64) -> f64 {
        self.absolute.max(self.relative * asked.abs())
    }
}

/// What was read; what is not known is not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Active power, W.
    pub p_w: Option<f64>,
    /// Reactive power, var.
    pub q_var: Option<f64>,
}

/// A difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Of what.
    pub quantity: Quantity,
    /// Asked for.
    pub asked: f64,
    /// Read.
    pub read: f64,
    /// What would have been right.
    pub tolerance: f64,
}

/// Compares the registers that were written, read back, with what was written.
#[must_use]
pub fn verify_readback(
    setpoint: &Setpoint,
    registers: &Reading,
    tolerance: &Tolerance,
) -> Vec<Mismatch> {
    let p = compare(Quantity::P, setpoint.p.watts(), registers.p_w, tolerance);
    let q = compare(Quantity::Q, setpoint.q_var, registers.q_var, tolerance);
    p.into_iter().chain(q).collect()
}

/// Compares measured power, once the ramp has had its time, with what was asked.
///
/// A limit is kept by whatever is not above it.
#[must_use]
pub fn verify_response(
    setpoint: &Setpoint,
    measured: &Reading,
    tolerance: &Tolerance,
) -> Vec<Mismatch> {
    let p = match setpoint.p {
        ActivePower::Limit(limit) if measured.p_w.is_some_and(|p| p <= limit) => None,
        ActivePower::Limit(w) | ActivePower::Set(w) => {
            compare(Quantity::P, w, measured.p_w, tolerance)
        }
    };
    let q = compare(Quantity::Q, setpoint.q_var, measured.q_var, tolerance);
    p.into_iter().chain(q).collect()
}

/// A reading that is not a number never matches.
fn compare(
    quantity: Quantity,
    asked: f64,
    read: Option<f64>,
    tolerance: &Tolerance,
) -> Option<Mismatch> {
    let read = read?;
    let tolerance = tolerance.of(asked);
    let matches = (read - asked).abs() <= tolerance;
    (!matches).then_some(Mismatch {
        quantity,
        asked,
        read,
        tolerance,
    })
}
