//! Power flow: node voltages from injections.
//!
//! Newton-Raphson on the power mismatch in polar form (Tinney and Hart, 1967), started from the
//! linear network whose loads are constant impedances, by phase on currents; or current injection
//! with the network's own factor, kept from run to run. Structure and workspace are built once
//! from the branches, then run with new values and switch states as often as wanted. Everything
//! here is per unit, injections are generation-positive.

mod angle;
mod appliances;
mod asym;
mod asym_injection;
mod asym_newton;
mod asym_output;
mod case;
mod current;
mod factor;
mod flows;
mod ideal_links;
mod newton;
mod output;
mod output_rows;
mod regulation;
mod step_regulators;
mod structure;
mod sym;
mod tap_changing;

use num_complex::Complex64;
use thiserror::Error;

pub use asym::{AsymPowerFlow, AsymSolution};
pub(crate) use asym_output::ends as asym_ends;
pub use flows::{BranchFlow, Flows, flows, source_powers};
pub use output::{
    ApplianceOutput, AsymOutput, BranchOutput, NodeOutput, Output, StepRegulatorOutput, SymOutput,
    TapRegulatorOutput, ThreeWindingOutput, VoltageRegulatorOutput,
};

pub(crate) use output_rows::{End, Solved};
pub use step_regulators::regulate;
pub use sym::PowerFlow;
pub use tap_changing::{AsymTapSolver, SymTapSolver, TapSolver, TapStrategy, change_taps};

use crate::network::{Grid, Id, OnlyByPhase};

/// How to solve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Newton-Raphson: few iterations, whatever the load.
    #[default]
    Newton,
    /// Current injection: one factor for all that does not change taps or switch states. Where
    /// loads are too heavy against the network's strength for it, or a regulator holds a voltage,
    /// Newton-Raphson after all.
    Current,
}

/// How to solve, and when to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Iteration.
    pub method: Method,
    /// Largest change of any voltage in the last iteration, pu.
    pub tolerance: f64,
    /// Iterations after which the power flow counts as not converging.
    pub max_iterations: usize,
}

impl Default for Options {
    /// Power-grid-model's: 1e-8 pu, 20 iterations.
    fn default() -> Self {
        Self {
            method: Method::default(),
            tolerance: 1e-8,
            max_iterations: 20,
        }
    }
}

/// A solved power flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Solution {
    /// Voltage of each node, pu; zero where it is not energised.
    pub u: Vec<Complex64>,
    /// What each source of the grid delivers, pu, generation-positive.
    pub sources: Vec<Complex64>,
    /// What each appliance of the grid delivers, pu, generation-positive.
    pub appliances: Vec<Complex64>,
    /// Whether each voltage regulator of the network works, and whether its node is at the lower
    /// (-1) or upper (1) limit of reactive power, so that its voltage is not held.
    pub regulators: Vec<(bool, i8)>,
    /// Newton iterations needed.
    pub iterations: usize,
}

/// Why there is no solution.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PowerFlowError {
    /// The iterations did not settle: usually more power is asked for than the network can carry.
    #[error(
        "power flow did not converge in {iterations} iterations: at node {node}, the worst, \
         {mismatch_w:.0} W are unbalanced at {u_pu:.3} pu; is the load there, or beyond it, more \
         than the network can carry?"
    )]
    NotConverged {
        /// Iterations made.
        iterations: usize,
        /// Node with the largest mismatch.
        node: Id,
        /// Apparent power by which its balance fails, W.
        mismatch_w: f64,
        /// Voltage there, pu.
        u_pu: f64,
    },
    /// A step of the iteration has no unique solution: the network is at its limit of stability,
    /// or impedances cancel (a series capacitor against a line).
    #[error(
        "power flow failed at node {node}: its equations are singular in iteration {iteration}, \
         with {mismatch_w:.0} W unbalanced at node {worst}; the network is at its limit of \
         voltage stability, or impedances cancel"
    )]
    Singular {
        /// Node at which elimination stopped.
        node: Id,
        /// Iteration, from 1.
        iteration: usize,
        /// Node with the largest mismatch.
        worst: Id,
        /// Apparent power by which its balance fails, W.
        mismatch_w: f64,
    },
    /// Automatic tap changing does not come to rest.
    #[error(
        "tap regulator {regulator} does not come to rest: no position keeps the voltage in its \
         band; is the band narrower than a tap?"
    )]
    TapsNotSettled {
        /// Regulator that moved last.
        regulator: Id,
    },
    /// The symmetric power flow of a network with something that has not all phases alike.
    #[error(transparent)]
    OnlyByPhase(OnlyByPhase),
    /// A regulated voltage that can't be held as it is asked for.
    #[error("the voltage of node {node} can't be held: {reason}")]
    Regulation {
        /// Node.
        node: Id,
        /// Why.
        reason: &'static str,
    },
    /// The grid is not of the structure the power flow was built from.
    #[error("the grid has other nodes or branches than the one this power flow was built for")]
    OtherGrid,
    /// `injections` or `start` has neither a value for each node nor none at all.
    #[error("{what} has {len} values for a grid of {nodes} nodes")]
    Length {
        /// Which argument.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The grid's.
        nodes: usize,
    },
    /// A value given is not finite.
    #[error("{what} of node {node} is not finite")]
    NotFinite {
        /// Which argument.
        what: &'static str,
        /// Node.
        node: Id,
    },
}

/// Id of a node; 0 in a grid without any.
fn node_id(grid: &Grid, i: usize) -> Id {
    grid.node_id.get(i).copied().unwrap_or(0)
}

/// The larger one; not a number if either is.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    a.max(b)
}
