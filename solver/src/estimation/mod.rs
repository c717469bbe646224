//! State estimation: the most likely state of the network given its measurements, how sure each
//! figure of it is, and which measurements cannot be right.
//!
//! Weighted least squares on node voltages (polar) and appliance powers, of the positive sequence
//! ([`Estimator`]) or by phase ([`AsymEstimator`]); the power balance of every node without a
//! source is an equality constraint, which covers zero injections.
//! Abur and Gómez-Expósito, "Power System State Estimation" (2004): chapters 2 and 3 (WLS, orthogonal
//! factorisation, constraints), 4 (numerical observability), 5 (bad data). Measurements and
//! results are SI; see [`Kind`] for signs. By phase, an island without a measured angle has the
//! phases of its source a third of a turn apart, to within what EN 50160 allows.

mod admittances;
mod answer;
mod augmented;
mod bad_data;
mod constraints;
mod covariance;
mod equation;
mod error;
mod estimate;
mod estimator;
mod factor;
mod fast;
mod form;
mod front;
mod hints;
mod injections;
mod layout;
mod measurement;
mod output;
mod problem;
mod report;
mod search;
mod sensors;
mod start;
mod statistics;
mod switches;
#[cfg(test)]
mod tests_support;
mod tracked_output;
mod tracking;
mod wls;

pub use error::EstimationError;
pub use estimate::{
    ApplianceEstimate, BranchEstimate, EndEstimate, Estimate, Missing, NodeEstimate, Quantity,
    Rejected, Relaxed, Residual, SourceEstimate, Suggestion, SuspectedSwitch, Suspicion, Unused,
    UnusedReason,
};
pub use estimator::{AsymEstimator, Estimator, EstimatorOf};
pub use form::{Asym, Form, Sym};
pub use measurement::{AngleFrame, Kind, Measurement, Origin, Phase, Winding};
pub use output::{
    AsymEstimateOutput, CurrentSensorOutput, EstimateOutput, PowerSensorOutput, SymEstimateOutput,
    VoltageSensorOutput,
};
pub use sensors::Readings;
pub use tracking::{AsymTracker, Start, Tracked, TrackedEnd, Tracker, TrackerOf};

/// An estimate by phase.
pub type AsymEstimate = Estimate<Asym>;

/// How to estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Converged when no voltage moves by more than this in an iteration, pu and rad.
    pub tolerance: f64,
    /// Gauss-Newton iterations allowed for one fit.
    pub max_iterations: usize,
    /// Confidence of the chi-square test, and of the largest-normalised-residual test over all
    /// measurements together: on clean data about `1 - confidence` of the runs reject something.
    pub confidence: f64,
    /// Most measurements rejected before giving up on the rest.
    pub max_rejected: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tolerance: 1e-9,
            max_iterations: 40,
            confidence: 0.99,
            max_rejected: 16,
        }
    }
}
