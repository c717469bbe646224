//! The feeder: what every load and device injects becomes voltages and currents by the solver's
//! power flow. When it does not converge, the last state is kept and flagged: a simulator that
//! invents voltages would be worse than one that stops.

use num_complex::Complex64;
use solver::{
    network::{Grid, Id, NetworkError, Side, UpdateError},
    powerflow::{BranchFlow, Flows, Options, PowerFlow, PowerFlowError, flows},
};

use crate::phases::{ByPhase, Shares, is_by_phase};

/// Seconds that a tap changer takes from one position to the next.
pub const TAP_STEP_S: f64 = 2.0;

/// A tap changer on its way.
#[derive(Clone, Copy, Debug)]
struct TapMove {
    transformer: Id,
    target: i8,
    next_at_s: f64,
}

/// Why a feeder has no state at all.
#[derive(Debug, thiserror::Error)]
pub enum PhysicsError {
    /// The network lacks what its phases need.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// More is asked of it than it can carry.
    #[error(transparent)]
    PowerFlow(#[from] PowerFlowError),
}

/// How it is computed.
#[derive(Debug)]
enum Model {
    Balanced {
        power_flow: Box<PowerFlow>,
        u: Vec<Complex64>,
    },
    ByPhase(Box<ByPhase>),
}

impl Model {
    fn new(grid: &Grid) -> Result<Self, PhysicsError> {
        let mut model = match is_by_phase(grid.network()) {
            true => Self::ByPhase(Box::new(ByPhase::new(grid)?)),
            false => Self::Balanced {
                power_flow: Box::new(PowerFlow::new(grid)),
                u: Vec::new(),
            },
        };
        model.solve(grid)?;
        Ok(model)
    }

    /// Solves; where there is no solution the last one stays.
    fn solve(&mut self, grid: &Grid) -> Result<(), PowerFlowError> {
        match self {
            Self::ByPhase(model) => model.run(grid),
            Self::Balanced { power_flow, u } => {
                let options = Options::default();
                let before = Some(u.as_slice()).filter(|u| !u.is_empty());
                let warm = power_flow.run(grid, &[], before, &options);
                // From far away the last state may be the worse start.
                let solved = warm.or_else(|_| power_flow.run(grid, &[], None, &options));
                *u = solved?.u;
                Ok(())
            }
        }
    }

    fn flows(&self, grid: &Grid) -> Flows {
        match self {
            Self::Balanced { u, .. } => flows(grid, u),
            Self::ByPhase(model) => model.flows(grid),
        }
    }
}

/// The feeder and its state.
#[derive(Debug)]
pub struct Physics {
    grid: Grid,
    shares: Shares,
    model: Model,
    flows: Flows,
    failure: Option<PowerFlowError>,
    moves: Vec<TapMove>,
}

impl Physics {
    /// A feeder in the state of its grid's specified powers.
    ///
    /// # Errors
    /// Already these powers are more than the network can carry.
    pub fn new(grid: Grid, shares: Shares) -> Result<Self, PhysicsError> {
        let model = Model::new(&grid)?;
        Ok(Self {
            flows: model.flows(&grid),
            grid,
            shares,
            model,
            failure: None,
            moves: Vec::new(),
        })
    }

    /// Sets what a load takes (load-positive) or a generator gives (generation-positive).
    ///
    /// # Errors
    /// No such appliance, or a power that is not finite.
    pub fn set_appliance(&mut self, id: Id, p_w: f64, q_var: f64) -> Result<(), UpdateError> {
        self.shares.set(&mut self.grid, id, p_w, q_var)
    }

    /// Sends a tap changer to a position; it moves one step at a time.
    ///
    /// # Errors
    /// No such transformer, or a position outside its taps.
    pub fn order_tap(&mut self, id: Id, target: i8, now_s: f64) -> Result<(), UpdateError> {
        self.check_tap(id, target)?;
        self.moves.retain(|tap| tap.transformer != id);
        self.moves.push(TapMove {
            transformer: id,
            target,
            next_at_s: now_s + TAP_STEP_S,
        });
        Ok(())
    }

    /// Whether a tap changer has this position.
    ///
    /// # Errors
    /// As [`Self::order_tap`].
    pub fn check_tap(&mut self, id: Id, target: i8) -> Result<(), UpdateError> {
        // Setting it and setting it back is how the grid's own check is asked.
        let position = self.tap(id).unwrap_or_default();
        self.grid.set_tap(id, target)?;
        self.grid.set_tap(id, position)
    }

    /// Whether the breaker at one side of branch number `branch` is closed.
    #[must_use]
    pub fn is_closed(&self, branch: usize, side: Side) -> bool {
        let ends = &self.grid.branches[branch];
        match side {
            Side::From => ends.from_closed,
            Side::To => ends.to_closed,
        }
    }

    /// Opens or closes the breaker at one side of branch number `branch`.
    ///
    /// # Errors
    /// The grid refuses it.
    pub fn switch(&mut self, branch: usize, side: Side, closed: bool) -> Result<(), UpdateError> {
        let ends = &self.grid.branches[branch];
        let (id, mut from, mut to) = (ends.id, ends.from_closed, ends.to_closed);
        match side {
            Side::From => from = closed,
            Side::To => to = closed,
        }
        self.grid.set_branch_status(id, from, to)
    }

    /// Position of a transformer's tap changer.
    #[must_use]
    pub fn tap(&self, id: Id) -> Option<i8> {
        let mut transformers = self.grid.network().transformer.iter();
        transformers.find(|t| t.id == id).map(|t| t.tap_pos)
    }

    /// Moves the taps and solves.
    pub fn step(&mut self, now_s: f64) {
        self.move_taps(now_s);
        match self.model.solve(&self.grid) {
            Ok(()) => {
                self.flows = self.model.flows(&self.grid);
                if self.failure.take().is_some() {
                    tracing::info!("power flow converges again");
                }
            }
            Err(error) => {
                if self.failure.is_none() {
                    tracing::warn!(%error, "power flow failed; the last state is kept");
                }
                self.failure = Some(error);
            }
        }
    }

    fn move_taps(&mut self, now_s: f64) {
        for k in 0..self.moves.len() {
            let TapMove {
                transformer,
                target,
                next_at_s,
            } = self.moves[k];
            let position = self.tap(transformer).unwrap_or(target);
            if now_s < next_at_s || position == target {
                continue;
            }
            let next = position + (target - position).signum();
            if let Err(error) = self.grid.set_tap(transformer, next) {
                tracing::warn!(%error, "tap changer is stuck");
            }
            self.moves[k].next_at_s = next_at_s + TAP_STEP_S;
        }
        let arrived = |tap: &TapMove| self.tap(tap.transformer) == Some(tap.target);
        let moves = self.moves.iter().copied();
        self.moves = moves.filter(|tap| !arrived(tap)).collect();
    }

    /// The grid with the powers, taps and switch states of now.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Why the state is not that of now.
    #[must_use]
    pub fn failure(&self) -> Option<&PowerFlowError> {
        self.failure.as_ref()
    }

    /// Voltage magnitude of node number `node`, pu; by phase the mean of its live phases.
    #[must_use]
    pub fn u_pu(&self, node: usize) -> f64 {
        match &self.model {
            Model::Balanced { u, .. } => u[node].norm(),
            Model::ByPhase(model) => {
                let live = model.u_pu(&self.grid, node).into_iter().flatten();
                let (sum, count) = live.fold((0.0, 0.0), |(sum, n), u| (sum + u, n + 1.0));
                if count > 0.0 { sum / count } else { 0.0 }
            }
        }
    }

    /// By phase: voltage magnitude of each live phase of node number `node`, to ground, pu.
    #[must_use]
    pub fn u_phases_pu(&self, node: usize) -> Option<[Option<f64>; 3]> {
        let model = self.by_phase()?;
        Some(model.u_pu(&self.grid, node))
    }

    /// The state by phase, where the phases differ.
    #[must_use]
    pub fn by_phase(&self) -> Option<&ByPhase> {
        match &self.model {
            Model::Balanced { .. } => None,
            Model::ByPhase(model) => Some(model),
        }
    }

    /// Voltage magnitude of node number `node`, line-to-line, V.
    #[must_use]
    pub fn u_v(&self, node: usize) -> f64 {
        self.u_pu(node) * self.grid.u_rated[node]
    }

    /// Flow in branch number `branch`.
    #[must_use]
    pub fn flow(&self, branch: usize) -> &BranchFlow {
        &self.flows.branches[branch]
    }

    /// What the sources deliver, pu.
    #[must_use]
    pub fn supplied(&self) -> Complex64 {
        self.flows.supplied()
    }

    /// What the branches lose, pu.
    #[must_use]
    pub fn loss(&self) -> Complex64 {
        self.flows.loss()
    }
}

#[cfg(test)]
mod tests {
    use solver::network::pgm_json;

    use super::*;

    fn cigre() -> Physics {
        let text = include_str!("../data/cigre_mv.json");
        let network = pgm_json::read(text).expect("our own data");
        let grid = Grid::new(&network).expect("our own data");
        let mut physics = Physics::new(grid, Shares::default()).expect("solves");
        // The stressed noon of pandapower's CIGRE case: loads x 0.3, batteries charging.
        for load in network.sym_load {
            let (p, q) = (0.3 * load.p_specified, 0.3 * load.q_specified);
            physics.set_appliance(load.id, p, q).expect("it exists");
        }
        physics.set_appliance(106, -600e3, 0.0).expect("it exists");
        physics.set_appliance(107, -200e3, 0.0).expect("it exists");
        physics
    }

    /// Against pandapower 3.5's power flow of the same net: 1.1087 pu, losses 0.87195 MW, grid
    /// import 3.699596 MW and 4.460564 Mvar.
    #[test]
    fn the_uncontrolled_noon_is_stressed() {
        let mut physics = cigre();
        physics.step(0.0);
        let nodes = physics.grid().node_id.len();
        let most = (0..nodes).map(|n| physics.u_pu(n)).fold(0.0, f64::max);
        assert!((most - 1.1087).abs() < 1e-4, "{most}");
        let line = physics.grid().index_of_branch(16).expect("it exists");
        assert!(physics.flow(line).loading > 1.0);
        assert!((physics.loss().re - 0.87195).abs() < 1e-5);
        let supplied = physics.supplied();
        assert!((supplied.re - 3.699_596).abs() < 1e-5, "{supplied}");
        assert!((supplied.im - 4.460_564).abs() < 1e-5, "{supplied}");
    }

    #[test]
    fn what_cannot_be_carried_keeps_the_last_state_and_says_so() {
        let mut physics = cigre();
        physics.step(0.0);
        let before = physics.u_pu(5);
        physics.set_appliance(34, 1e9, 0.0).expect("it exists");
        physics.step(1.0);
        assert!(physics.failure().is_some());
        assert_eq!(physics.u_pu(5), before);
        physics.set_appliance(34, 200e3, 0.0).expect("it exists");
        physics.step(2.0);
        assert!(physics.failure().is_none());
    }

    #[test]
    fn a_tap_changer_moves_step_by_step_and_only_within_its_taps() {
        let mut physics = cigre();
        physics.step(0.0);
        let before = physics.u_pu(1);
        assert!(physics.order_tap(91, 12, 0.0).is_err());
        assert!(physics.order_tap(15, 1, 0.0).is_err(), "a line");
        physics.order_tap(91, -2, 0.0).expect("within its taps");
        physics.step(1.0);
        assert_eq!(physics.tap(91), Some(0));
        physics.step(2.0);
        assert_eq!(physics.tap(91), Some(-1));
        physics.step(3.0);
        physics.step(4.0);
        physics.step(60.0);
        assert_eq!(physics.tap(91), Some(-2));
        // Another order takes the place of the one under way.
        physics.order_tap(91, 2, 60.0).expect("within its taps");
        physics.order_tap(91, -2, 61.0).expect("within its taps");
        for now_s in 62..70 {
            physics.step(f64::from(now_s));
        }
        assert_eq!(physics.tap(91), Some(-2));
        // Fewer turns on the high-voltage side: 2 x 1.1 % more on the other.
        assert!((physics.u_pu(1) / before - 1.0225).abs() < 2e-3);
    }
}
