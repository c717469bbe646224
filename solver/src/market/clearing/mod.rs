//! Clearing: the dispatch of greatest welfare that the network can carry, and its nodal prices.
//!
//! Maximises welfare over active and reactive power of every unit and the exchange with the grid
//! above, subject to AC physics, node voltages, line currents and transformer ratings.
//! Successive convex approximation around an AC power flow in rectangular coordinates: each step
//! is a second-order cone programme (`clarabel`), each point an AC power flow of the awards.
//! References: Wei et al., "Optimal power flow of radial networks and its variations: a sequential
//! convex optimization approach" (2017); Nocedal and Wright, "Numerical Optimization" (2006),
//! chapter 18 (sequential quadratic programming with an exact penalty and a trust region).
//!
//! Case and result are SI and generation-positive; inside all is per unit.

mod by_phase;
mod case;
mod case_checks;
mod check;
mod clear;
mod curtail;
mod discrete;
mod explain;
mod file;
mod held;
mod horizon;
mod lagrangian;
mod layout;
mod limits;
mod linearised;
mod look_ahead;
mod physics;
mod place;
mod price;
mod problem;
mod programme;
mod result;
mod rows;
mod schedule;
mod search;
mod sensitivity;
mod start;
mod stiff;
mod voltage;

pub use case::{
    BranchLimit, ByPhase, Case, ClearingError, Controls, Interface, LimitSet, NodeLimit, NodePower,
    Options, Owner, PhaseLimit, PhaseName, PhasePower, Scheduled, ScheduledReactive, UnitPhase,
    VoltageCorner, VoltageWorth,
};
pub(super) use check::loading_by_phase;
pub use clear::clear;
pub(super) use clear::clear_from;
pub use explain::{
    Explanation, LimitExplained, Names, OrderExplained, Relief, StepExplained, Verdict, explain,
};
pub use file::{CaseFile, CaseType, FileVersion, ResultFile, ResultType};
pub use horizon::{Horizon, MOST_INTERVALS, StoreSchedule, WindowSchedule, clear_horizon};
pub use price::{LimitPart, PriceParts, price_parts};
pub use result::{
    AcCheck, Award, Binding, Clearing, Exchange, Fill, Limit, NodePrice, PhasePrice, Position,
    Status, Tightened, VoltagePrice,
};
