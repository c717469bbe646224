//! Measurements as meters give them.

use solver::estimation::{Kind, Measurement, Origin, Phase};

/// A meter's measurement.
pub(crate) fn metered(kind: Kind, value: f64, sigma: f64) -> Measurement {
    Measurement {
        kind,
        phase: Phase::Sym,
        value,
        sigma,
        origin: Origin::Metered,
    }
}
