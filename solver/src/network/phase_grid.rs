//! The grid by phase: 3 by 3 admittances of the same branches, shunts and sources as the
//! [`Grid`]'s, per unit, power on a third of `S_BASE_VA` and voltage line to neutral.
//!
//! Zero sequence as in power-grid-model's documentation, "Components" (transformer): a wye with
//! neutral passes it to another one, or to its magnetisation and a delta; a zigzag with neutral
//! has a tenth of the short-circuit impedance; a side without any path leaks by 1e-8 of its
//! short-circuit admittance, so that a node between deltas is not without reference.

use num_complex::Complex64;

use super::build::BranchRow;
use super::matrix3::{Matrix3, Phases, ROTATION};
use super::two_port::{self, Pi};
use super::validate::Check;
use super::{Branch, Fault, Grid, Network, NetworkError, Revision, S_BASE_VA, Transformer};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// A branch as a two-port: `i_f = yff u_f + yft u_t`, `i_t = ytf u_f + ytt u_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PhaseBranch {
    /// See there.
    pub yff: Matrix3,
    /// See there.
    pub yft: Matrix3,
    /// See there.
    pub ytf: Matrix3,
    /// See there.
    pub ytt: Matrix3,
}

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
    /// Specified power of each appliance, generation-positive, at 1 pu voltage.
    pub appliances: Vec<Phases>,
    /// The grid's own branches these were made from, and the grid as it was then.
    made_from: Vec<Branch>,
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
            y_shunt: vec![Matrix3::ZERO; grid.node_id.len()],
            shunts: vec![Matrix3::ZERO; grid.network().shunt.len()],
            sources: vec![Matrix3::ZERO; grid.sources.len()],
            appliances: vec![[ZERO; 3]; grid.appliances.len()],
            made_from: grid.branches.clone(),
            revision: grid.revision().clone(),
        };
        for k in 0..grid.branches.len() {
            phases.branches[k] = grid.branch_by_phase(k);
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
                if self.made_from[k] != *branch {
                    self.made_from[k].clone_from(branch);
                    self.branches[k] = grid.branch_by_phase(k);
                }
            }
            self.follow_admittances(grid);
            self.revision = grid.revision().clone();
        }
        self.follow_powers(grid);
    }

    fn follow_admittances(&mut self, grid: &Grid) {
        let network = grid.network();
        self.y_shunt.fill(Matrix3::ZERO);
        for (k, s) in network.shunt.iter().enumerate() {
            let node = grid.known_node(s.node);
            let y1 = grid.shunt_admittance(s, node);
            let y0 = if s.status == 0 {
                ZERO
            } else {
                let base = two_port::y_base(grid.u_rated[node]);
                Complex64::new(s.g0.unwrap_or(0.0), s.b0.unwrap_or(0.0)) / base
            };
            self.shunts[k] = Matrix3::from_sequences(y0, y1, y1);
            self.y_shunt[node] += self.shunts[k];
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
            check.given(&[("g0", s.g0), ("b0", s.b0)]);
        }
        for b in &self.generic_branch {
            check.begin("generic_branch", b.id);
            check.report("id", Fault::NoZeroSequence);
        }
        check.problems
    }
}

impl Grid {
    fn branch_by_phase(&self, k: usize) -> PhaseBranch {
        let branch = &self.branches[k];
        let closed = (branch.from_closed, branch.to_closed);
        let (u_from, u_to) = (self.u_rated[branch.from], self.u_rated[branch.to]);
        let network = self.network();
        let of_transformer = |t: &Transformer| {
            let pi = two_port::transformer(t, u_from, u_to);
            let negative = Pi {
                ratio: pi.ratio.conj(),
                ..pi
            };
            let zero = zero_sequence(t, &pi, closed, (u_from, u_to));
            PhaseBranch::from_sequences(
                zero,
                pi.two_port(closed.0, closed.1),
                negative.two_port(closed.0, closed.1),
            )
        };
        match network.branch_row(k) {
            BranchRow::Line(k) => {
                let l = &network.line[k];
                let y1 = two_port::line(l, u_from).two_port(closed.0, closed.1);
                let y0 = two_port::line_zero_sequence(l, u_from).two_port(closed.0, closed.1);
                PhaseBranch::from_sequences(y0, y1, y1)
            }
            BranchRow::Transformer(k) => of_transformer(&network.transformer[k]),
            BranchRow::AsymLine(k) => {
                let l = &network.asym_line[k];
                let base = two_port::y_base(u_from);
                let series = l.series_admittance_ohm().unwrap_or(Matrix3::ZERO);
                let shunt = l.shunt_admittance_ohm();
                asym_line(&series.map(|y| y / base), &shunt.map(|y| y / base), closed)
            }
            BranchRow::Link(_) => {
                let y = two_port::link().two_port(closed.0, closed.1);
                PhaseBranch::from_sequences(y, y, y)
            }
            BranchRow::GenericBranch(_) => PhaseBranch::default(),
            BranchRow::ThreeWinding(k, side) => {
                of_transformer(&network.three_winding_transformer[k].arms()[side])
            }
        }
    }
}

impl PhaseBranch {
    fn from_sequences(
        zero: [Complex64; 4],
        positive: [Complex64; 4],
        negative: [Complex64; 4],
    ) -> Self {
        let [yff, yft, ytf, ytt] =
            [0, 1, 2, 3].map(|k| Matrix3::from_sequences(zero[k], positive[k], negative[k]));
        Self { yff, yft, ytf, ytt }
    }
}

/// The pi model by phase; open at one side, its Kron reduction.
fn asym_line(series: &Matrix3, shunt: &Matrix3, closed: (bool, bool)) -> PhaseBranch {
    let half = shunt.map(|y| y * 0.5);
    let own = *series + half;
    let mut branch = PhaseBranch::default();
    match closed {
        (true, true) => {
            let mutual = series.map(|y| -y);
            (branch.yff, branch.yft, branch.ytf, branch.ytt) = (own, mutual, mutual, own);
        }
        (false, false) => {}
        (from, _) => {
            // Behind the series: half the shunt at the open end. y - y (y + half)⁻¹ y.
            let behind = own.inverse().map_or(Matrix3::ZERO, |inverse| {
                let through = series.times(&inverse).times(series);
                *series + through.map(|y| -y)
            });
            let open = half + behind;
            if from {
                branch.yff = open;
            } else {
                branch.ytt = open;
            }
        }
    }
    branch
}

const WYE_N: i8 = 1;
const DELTA: i8 = 2;
const ZIGZAG_N: i8 = 4;

/// Whether zero-sequence current finds a way through this side's winding, magnetisation aside.
fn has_path(own: i8, other: i8) -> bool {
    match own {
        WYE_N => other == WYE_N || other == DELTA,
        ZIGZAG_N => true,
        _ => false,
    }
}

/// Zero-sequence two-port of a transformer; `u` are the nodes' rated voltages.
fn zero_sequence(t: &Transformer, pi: &Pi, closed: (bool, bool), u: (f64, f64)) -> [Complex64; 4] {
    let k2 = pi.ratio.norm_sqr();
    let grounding = |r: Option<f64>, x: Option<f64>, u: f64| {
        Complex64::new(r.unwrap_or(0.0), x.unwrap_or(0.0)) * two_port::y_base(u)
    };
    let z_from = 3.0 * grounding(t.r_grounding_from, t.x_grounding_from, u.0) / k2;
    let z_to = 3.0 * grounding(t.r_grounding_to, t.x_grounding_to, u.1);
    let y_shunt = two_port::zero_sequence_magnetisation(t, u.1);
    let behind = |y: Complex64, z: Complex64| if y == ZERO { ZERO } else { (y.inv() + z).inv() };
    let mut y0 = [ZERO; 4];
    if t.winding_from == WYE_N && t.winding_to == WYE_N {
        let reversed = matches!(t.clock % 12, 2 | 6 | 10);
        let pi = Pi {
            y_series: behind(pi.y_series, z_from + z_to),
            y_shunt,
            ratio: Complex64::new(if reversed { -k2.sqrt() } else { k2.sqrt() }, 0.0),
        };
        y0 = pi.two_port(closed.0, closed.1);
    } else if t.winding_from == WYE_N && closed.0 {
        let through = if t.winding_to == DELTA {
            pi.y_series
        } else {
            ZERO
        };
        y0[0] = behind(y_shunt + through, z_from) / k2;
    } else if t.winding_to == WYE_N && closed.1 {
        let through = if t.winding_from == DELTA {
            pi.y_series
        } else {
            ZERO
        };
        y0[3] = behind(y_shunt + through, z_to);
    }
    if t.winding_from == ZIGZAG_N && closed.0 {
        y0[0] = behind(10.0 * pi.y_series, z_from) / k2;
    }
    if t.winding_to == ZIGZAG_N && closed.1 {
        y0[3] = behind(10.0 * pi.y_series, z_to);
    }
    let leak = Complex64::new(0.0, -1e-8 * t.sn / S_BASE_VA / t.uk.abs());
    if !has_path(t.winding_from, t.winding_to) && closed.0 {
        y0[0] += leak;
    }
    if !has_path(t.winding_to, t.winding_from) && closed.1 {
        y0[3] += leak;
    }
    y0
}
