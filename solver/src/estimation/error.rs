//! What makes an estimation impossible: mistakes of the caller, and non-convergence.

use super::{Phase, Suggestion};
use crate::network::{Id, OnlyByPhase};

/// Why no estimate was computed. Bad measured data is not among these: it is in the estimate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EstimationError {
    /// The measurement names a component the grid does not have.
    #[error("measurement {index}: the grid has no {what} {id}")]
    UnknownComponent {
        /// Position in the measurements.
        index: usize,
        /// "node", "branch" or "load or generator".
        what: &'static str,
        /// Id asked for.
        id: Id,
    },
    /// The standard deviation is no positive number.
    #[error("measurement {index}: standard deviation {sigma} is not above zero")]
    Sigma {
        /// Position in the measurements.
        index: usize,
        /// As given.
        sigma: f64,
    },
    /// A measurement of one phase given to the symmetrical estimator.
    #[error(
        "measurement {index} is of phase {phase:?}; the symmetrical estimator takes Phase::Sym only"
    )]
    SinglePhase {
        /// Position in the measurements.
        index: usize,
        /// As given.
        phase: Phase,
    },
    /// The symmetric estimate of a network with something whose phases are not alike.
    #[error(transparent)]
    OnlyByPhase(OnlyByPhase),
    /// The grid is not the one the estimator was built for.
    #[error(
        "the grid has {found_nodes} nodes, {found_branches} branches and {found_appliances} appliances, \
         or connects them otherwise than the grid this estimator was built for; build a new estimator"
    )]
    OtherGrid {
        /// Nodes of the grid given.
        found_nodes: usize,
        /// Branches of the grid given.
        found_branches: usize,
        /// Appliances of the grid given.
        found_appliances: usize,
    },
    /// The start has not one voltage per node.
    #[error("start has {found} voltages, the grid {expected} nodes")]
    StartLength {
        /// Voltages given.
        found: usize,
        /// Nodes of the grid.
        expected: usize,
    },
    /// The iteration did not settle.
    #[error(
        "no convergence in {iterations} iterations: node {node} still moves by {step:.3e} pu; {}",
        match missing.is_empty() {
            true => "gross errors or a wrong topology are the usual reason",
            false => "the measurements do not determine the state",
        }
    )]
    NotConverged {
        /// Iterations done.
        iterations: usize,
        /// Node that moved most in the last one.
        node: Id,
        /// By how much, pu or rad.
        step: f64,
        /// What to measure in addition, where the measurements are not enough: then that is why.
        missing: Vec<Suggestion>,
    },
}
