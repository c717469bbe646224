//! State estimation: weighted least squares over measurements, with bad-data detection.
//!
//! Abur and Gómez-Expósito, "Power System State Estimation" (2004): chapter 2 (WLS), 5 (bad
//! data). Measurements and results are SI; see [`Measurement`] for signs.

mod measurement;

pub use measurement::{Kind, Measurement, Origin, Phase};
