//! The grid by phase: 3 by 3 admittances of the same branches, shunts and sources as the
//! [`Grid`]'s, per unit, power on a third of `S_BASE_VA` and voltage line to neutral.
//!
//! Not every node has every phase, and not every phase it has is live. A phase that is not live
//! is grounded by 1 pu where other phases of its node are: its voltage is zero, no current flows.

use num_complex::Complex64;

use super::matrix3::{Matrix3, Phases, ROTATION};
use super::phase_branch::{DecoupledBranch, PhaseBranch};
use super::two_port;
use super::validate::Check;
use super::{
    Branch, Connection, FREQUENCY_HZ, Fault, Grid, LEGS, Network, NetworkError, PhaseMask,
    Revision, S_BASE_VA, Shunt,
};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// What the phases of a grid have beyond the grid itself, in the order of its tables.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseGrid {
    /// Branches.
    pub branches: Vec<PhaseBranch>,
    /// Sum of shunt admittances at each node.
    pub y_shunt: Vec<Matrix3>,
    /// Admittance of each of the network's shunts; zero where it is disconnected.
    pub shunts: Vec<Matrix3>,
    /// Admittance between each source's ideal voltage and its node.
    pub sources: Vec<Matrix3>,
    /// Specified power of each appliance, generation-positive, at 1 pu voltage: of the phases
    /// a, b, c, or in delta of the legs ab, bc, ca.
    pub appliances: Vec<Phases>,
    /// Branches that do not couple the sequences.
    decoupled: Vec<Option<DecoupledBranch>>,
    /// Phases that branches bring to each node.
    has: Vec<PhaseMask>,
    /// Those of them that are live now.
    live: Vec<PhaseMask>,
    /// The grid's own branches these were made from, by which phases, and the grid as it was then.
    made_from: Vec<(Branch, PhaseMask)>,
    revision: Revision,
}

/// The phases of a balanced quantity given for phase a.
#[must_use]
pub fn balanced(a: Complex64) -> Phases {
    [a, a * ROTATION[2], a * ROTATION[1]]
}

impl PhaseGrid {
    /// The phases of a grid.
    ///
    /// # Errors
    /// Everything of the network that lacks zero-sequence data.
    pub fn new(grid: &Grid) -> Result<Self, NetworkError> {
        let problems = grid.network().problems_by_phase();
        if !problems.is_empty() {
            return Err(NetworkError::Invalid(problems));
        }
        let mut phases = Self {
            branches: vec![PhaseBranch::default(); grid.branches.len()],
            decoupled: vec![None; grid.branches.len()],
            y_shunt: vec![Matrix3::ZERO; grid.node_id.len()],
            shunts: vec![Matrix3::ZERO; grid.network().shunt.len()],
            sources: vec![Matrix3::ZERO; grid.sources.len()],
            appliances: vec![[ZERO; 3]; grid.appliances.len()],
            has: grid.network().node_phases(grid),
            live: grid.live.clone(),
            made_from: Vec::with_capacity(grid.branches.len()),
            revision: grid.revision().clone(),
        };
        for (k, branch) in grid.branches.iter().enumerate() {
            let active = grid.active_phases(branch);
            phases.set_branch(k, grid.branch_by_phase(k, active));
            phases.made_from.push((branch.clone(), active));
        }
        phases.follow_admittances(grid);
        phases.follow_powers(grid);
        Ok(phases)
    }

    /// Takes over the grid's values and switch states as they are now. The grid is the one this
    /// was made from; nothing is allocated.
    pub fn follow(&mut self, grid: &Grid) {
        if !self.revision.is(grid.revision()) {
            for (k, branch) in grid.branches.iter().enumerate() {
                let active = grid.active_phases(branch);
                let made_from = &mut self.made_from[k];
                if made_from.1 != active || made_from.0 != *branch {
                    made_from.0.clone_from(branch);
                    made_from.1 = active;
                    self.set_branch(k, grid.branch_by_phase(k, active));
                }
            }
            self.follow_admittances(grid);
            self.revision = grid.revision().clone();
        }
        self.follow_powers(grid);
    }

    /// Phases a node has: those its branches bring, whatever their switches; all where a source
    /// is, or no branch.
    #[must_use]
    pub fn phases_of(&self, node: usize) -> PhaseMask {
        self.has[node]
    }

    /// Phases of a node that are live now.
    #[must_use]
    pub fn live_phases(&self, node: usize) -> PhaseMask {
        self.live[node]
    }

    fn set_branch(&mut self, k: usize, y: PhaseBranch) {
        self.decoupled[k] = DecoupledBranch::of(&y);
        self.branches[k] = y;
    }

    /// A branch, if it does not couple the sequences.
    pub(crate) fn decoupled(&self, branch: usize) -> Option<&DecoupledBranch> {
        self.decoupled[branch].as_ref()
    }

    fn follow_admittances(&mut self, grid: &Grid) {
        let network = grid.network();
        self.live.copy_from_slice(&grid.live);
        self.y_shunt.fill(Matrix3::ZERO);
        for (k, s) in network.shunt.iter().enumerate() {
            let node = grid.known_node(s.node);
            self.shunts[k] = shunt(s, grid.u_rated[node], self.live[node]);
            self.y_shunt[node] += self.shunts[k];
        }
        for (node, live) in self.live.iter().enumerate() {
            for p in (0..3).filter(|&p| grid.energised[node] && !live[p]) {
                self.y_shunt[node].0[p][p] += Complex64::new(1.0, 0.0);
            }
        }
        for (k, s) in network.source.iter().enumerate() {
            let y1 = grid.sources[k].y;
            let y0 = y1 / s.z01_ratio.unwrap_or(1.0);
            self.sources[k] = Matrix3::from_sequences(y0, y1, y1);
        }
    }

    fn follow_powers(&mut self, grid: &Grid) {
        let network = grid.network();
        let symmetric = network.sym_load.len() + network.sym_gen.len();
        for (s, a) in self
            .appliances
            .iter_mut()
            .zip(&grid.appliances)
            .take(symmetric)
        {
            *s = [a.s; 3];
        }
        let loads = network.asym_load.iter();
        let gens = network.asym_gen.iter();
        let by_phase = loads
            .map(|l| (-1.0, l.p_specified, l.q_specified))
            .chain(gens.map(|g| (1.0, g.p_specified, g.q_specified)));
        for (s, (sign, p, q)) in self.appliances[symmetric..].iter_mut().zip(by_phase) {
            *s = [0, 1, 2].map(|k| Complex64::new(p[k], q[k]) * (sign * 3.0 / S_BASE_VA));
        }
    }
}

/// Admittance of a shunt by these phases of its node, pu; zero when it is disconnected.
fn shunt(s: &Shunt, u_rated: f64, live: PhaseMask) -> Matrix3 {
    if s.status == 0 {
        return Matrix3::ZERO;
    }
    let base = two_port::y_base(u_rated);
    let y1 = Complex64::new(s.g1, s.b1) / base;
    match s.connection {
        Connection::Wye if s.phases.is_abc() => {
            let y0 = Complex64::new(s.g0.unwrap_or(s.g1), s.b0.unwrap_or(s.b1)) / base;
            Matrix3::from_sequences(y0, y1, y1).masked(live)
        }
        Connection::Wye => Matrix3::diagonal([y1; 3])
            .masked(s.phases.mask())
            .masked(live),
        Connection::Delta => {
            let mut y = Matrix3::ZERO;
            let phases = s.phases.mask();
            let has = [0, 1, 2].map(|p| phases[p] && live[p]);
            for (p, q) in LEGS.into_iter().filter(|&(p, q)| has[p] && has[q]) {
                y.0[p][p] += y1;
                y.0[q][q] += y1;
                y.0[p][q] -= y1;
                y.0[q][p] -= y1;
            }
            y
        }
    }
}

impl Network {
    /// System frequency, Hz.
    #[must_use]
    pub fn frequency(&self) -> f64 {
        self.system_frequency.unwrap_or(FREQUENCY_HZ)
    }

    /// Phases that branches bring to each node of the grid; all where there is none, or a source.
    fn node_phases(&self, grid: &Grid) -> Vec<PhaseMask> {
        let mut has = vec![[false; 3]; grid.node_id.len()];
        for b in &grid.branches {
            for node in [b.from, b.to] {
                has[node] = [0, 1, 2].map(|p| has[node][p] || b.phases[p]);
            }
        }
        for s in &grid.sources {
            has[s.node] = [true; 3];
        }
        for has in has.iter_mut().filter(|has| **has == [false; 3]) {
            *has = [true; 3];
        }
        has
    }
}

impl Network {
    /// What keeps the network from being computed by phase.
    #[must_use]
    pub fn problems_by_phase(&self) -> Vec<super::Problem> {
        let mut check = Check::default();
        for l in &self.line {
            check.begin("line", l.id);
            check.given(&[("r0", l.r0), ("x0", l.x0), ("c0", l.c0), ("tan0", l.tan0)]);
            if let (Some(r0), Some(x0)) = (l.r0, l.x0) {
                let reason = "r0 and x0 are both zero; use a link instead";
                check.require(r0 != 0.0 || x0 != 0.0, "x0", x0, reason);
            }
        }
        for s in &self.shunt {
            check.begin("shunt", s.id);
            if s.phases.is_abc() && s.connection == Connection::Wye {
                check.given(&[("g0", s.g0), ("b0", s.b0)]);
            }
        }
        for b in &self.generic_branch {
            check.begin("generic_branch", b.id);
            check.report("id", Fault::NoZeroSequence);
        }
        check.problems
    }
}
