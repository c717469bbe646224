//! Branches by phase: 3 by 3 two-ports.
//!
//! Zero sequence as in power-grid-model's documentation, "Components" (transformer): a wye with
//! neutral passes it to another one, or to its magnetisation and a delta; a zigzag with neutral
//! has a tenth of the short-circuit impedance; a side without any path leaks by 1e-8 of its
//! short-circuit admittance, so that a node between deltas is not without reference.
//!
//! A conductor whose phase is not live carries no current: the rest of its line is as if it were
//! not there, but that it is grounded where capacitances are concerned.

use num_complex::Complex64;

use super::build::BranchRow;
use super::matrix3::{Matrix3, Phases};
use super::sequences::Sequences;
use super::two_port::{self, Pi};
use super::{
    Branch, Connection, Coupling, Grid, Network, PhaseMask, S_BASE_VA, StepVoltageRegulator,
    Transformer,
};

const ZERO: Complex64 = Complex64::new(0.0, 0.0);
const ONE: Complex64 = Complex64::new(1.0, 0.0);

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

/// A branch that does not couple the sequences. Each end's current is from its own voltage and the
/// other end's difference to it: what a link carries would drown in the rounding of its admittance
/// times either voltage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DecoupledBranch {
    /// `yff + yft`.
    own_from: Sequences,
    /// `yft`.
    mutual_from: Sequences,
    /// `ytt + ytf`.
    own_to: Sequences,
    /// `ytf`.
    mutual_to: Sequences,
}

impl DecoupledBranch {
    /// None of a branch that couples them.
    pub(super) fn of(y: &PhaseBranch) -> Option<Self> {
        Some(Self {
            own_from: Sequences::of(&(y.yff + y.yft))?,
            mutual_from: Sequences::of(&y.yft)?,
            own_to: Sequences::of(&(y.ytt + y.ytf))?,
            mutual_to: Sequences::of(&y.ytf)?,
        })
    }

    /// Currents of the phases that enter it at its from and to side.
    #[inline]
    pub(crate) fn currents(&self, u_from: &Phases, u_to: &Phases) -> [Phases; 2] {
        let difference = [0, 1, 2].map(|p| u_to[p] - u_from[p]);
        let (from, across) = (Sequences::split(u_from), Sequences::split(&difference));
        let i_from =
            [0, 1, 2].map(|k| self.own_from.0[k] * from[k] + self.mutual_from.0[k] * across[k]);
        let i_to = [0, 1, 2]
            .map(|k| self.own_to.0[k] * (from[k] + across[k]) - self.mutual_to.0[k] * across[k]);
        [Sequences::join(&i_from), Sequences::join(&i_to)]
    }
}

impl Grid {
    /// Phases by which a branch takes part: those that are live at its closed ends; of a branch
    /// that is not live at all, those it has.
    pub(super) fn active_phases(&self, branch: &Branch) -> PhaseMask {
        let mut active = branch.phases;
        if branch.coupling == Coupling::Windings {
            return active;
        }
        for (closed, node) in [
            (branch.from_closed, branch.from),
            (branch.to_closed, branch.to),
        ] {
            if closed && self.energised[node] {
                active = [0, 1, 2].map(|p| active[p] && self.live[node][p]);
            }
        }
        active
    }

    pub(super) fn branch_by_phase(&self, k: usize, active: PhaseMask) -> PhaseBranch {
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
        let f = network.frequency();
        match network.branch_row(k) {
            BranchRow::Line(k) => {
                let l = &network.line[k];
                let y1 = two_port::line(l, u_from, f);
                let y0 = two_port::line_zero_sequence(l, u_from, f);
                if active == [true; 3] {
                    let y1 = y1.two_port(closed.0, closed.1);
                    PhaseBranch::from_sequences(y0.two_port(closed.0, closed.1), y1, y1)
                } else {
                    let (z0, z1) = (y0.y_series.inv(), y1.y_series.inv());
                    let z = Matrix3::from_sequences(z0, z1, z1);
                    let shunt = Matrix3::from_sequences(y0.y_shunt, y1.y_shunt, y1.y_shunt);
                    // None only of no phases.
                    let series = z.inverse_on(active).unwrap_or(Matrix3::ZERO);
                    pi_model(&series, &shunt.masked(active), closed)
                }
            }
            BranchRow::Transformer(k) => {
                of_transformer(&network.transformer[k].per_three_phases()).masked(active)
            }
            BranchRow::AsymLine(k) => {
                let l = &network.asym_line[k];
                let base = two_port::y_base(u_from);
                let series = l.series_admittance_ohm(active).unwrap_or(Matrix3::ZERO);
                let shunt = l.shunt_admittance_ohm(f).masked(active);
                pi_model(&series.map(|y| y / base), &shunt.map(|y| y / base), closed)
            }
            BranchRow::Link(_) => {
                let y = two_port::link().two_port(closed.0, closed.1);
                PhaseBranch::from_sequences(y, y, y).masked(active)
            }
            BranchRow::GenericBranch(_) => PhaseBranch::default(),
            BranchRow::StepVoltageRegulator(k) => {
                let y = [branch.yff, branch.yft, branch.ytf, branch.ytt];
                PhaseBranch::regulator(&network.step_voltage_regulator[k], y, active)
            }
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

    /// Only these phases.
    fn masked(&self, phases: PhaseMask) -> Self {
        if phases == [true; 3] {
            return *self;
        }
        let [yff, yft, ytf, ytt] =
            [&self.yff, &self.yft, &self.ytf, &self.ytt].map(|y| y.masked(phases));
        Self { yff, yft, ytf, ytt }
    }

    /// Windings with the two-port `y` each, from its phases to ground or from one to the other.
    fn regulator(r: &StepVoltageRegulator, y: [Complex64; 4], active: PhaseMask) -> Self {
        let between: Matrix3 = match r.connection {
            Connection::Wye => Matrix3::balanced(ONE, ZERO).masked(active),
            Connection::Delta if active == r.phases.mask() => {
                Matrix3::balanced(ONE, -ONE).masked(active)
            }
            // With one of its phases open no current flows through it.
            Connection::Delta => Matrix3::ZERO,
        };
        let [yff, yft, ytf, ytt] = y.map(|y| between.map(|between| between * y));
        Self { yff, yft, ytf, ytt }
    }
}

/// The pi model by phase; open at one side, its Kron reduction.
fn pi_model(series: &Matrix3, shunt: &Matrix3, closed: (bool, bool)) -> PhaseBranch {
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
            let behind = own
                .inverse_on(active(&own))
                .map_or(Matrix3::ZERO, |inverse| {
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

/// Phases that have an admittance of their own.
fn active(y: &Matrix3) -> PhaseMask {
    [0, 1, 2].map(|p| y.0[p][p] != ZERO)
}

pub(super) const WYE_N: i8 = 1;
const DELTA: i8 = 2;
const ZIGZAG_N: i8 = 4;

impl Transformer {
    /// The transformer of three phases of which this has some.
    fn per_three_phases(&self) -> Self {
        let mut t = self.clone();
        let bank = 3.0 / self.phases.count() as f64;
        t.sn *= bank;
        t.pk *= bank;
        t.p0 *= bank;
        t.pk_min = t.pk_min.map(|pk| pk * bank);
        t.pk_max = t.pk_max.map(|pk| pk * bank);
        t.p0_zero_sequence = t.p0_zero_sequence.map(|p0| p0 * bank);
        t
    }

    /// Whether each phase's windings are by themselves: wye to wye, both neutrals grounded.
    pub(super) fn is_by_phase(&self) -> bool {
        let grounding = [
            self.r_grounding_from,
            self.x_grounding_from,
            self.r_grounding_to,
            self.x_grounding_to,
        ];
        let solid = grounding.iter().all(|z| z.unwrap_or(0.0) == 0.0);
        let wye = self.winding_from == WYE_N && self.winding_to == WYE_N;
        solid && wye && self.clock % 6 == 0
    }
}

impl Network {
    /// Phases of the `k`-th branch of the grid, and how they pass voltage on.
    pub(super) fn branch_phases(&self, k: usize) -> (PhaseMask, Coupling) {
        match self.branch_row(k) {
            BranchRow::Line(k) => (self.line[k].phases.mask(), Coupling::Each),
            BranchRow::AsymLine(k) => (self.asym_line[k].phases.mask(), Coupling::Each),
            BranchRow::Link(k) => (self.link[k].phases.mask(), Coupling::Each),
            BranchRow::GenericBranch(_) => ([true; 3], Coupling::Each),
            BranchRow::Transformer(k) => {
                let t = &self.transformer[k];
                let coupling = if t.is_by_phase() {
                    Coupling::Each
                } else {
                    Coupling::Windings
                };
                (t.phases.mask(), coupling)
            }
            BranchRow::StepVoltageRegulator(k) => {
                let r = &self.step_voltage_regulator[k];
                let coupling = match r.connection {
                    Connection::Wye => Coupling::Each,
                    Connection::Delta => Coupling::Together,
                };
                (r.phases.mask(), coupling)
            }
            BranchRow::ThreeWinding(..) => ([true; 3], Coupling::Windings),
        }
    }
}

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
    let leak = Complex64::new(0.0, -1e-8 * t.sn / S_BASE_VA / t.uk);
    if !has_path(t.winding_from, t.winding_to) && closed.0 {
        y0[0] += leak;
    }
    if !has_path(t.winding_to, t.winding_from) && closed.1 {
        y0[3] += leak;
    }
    y0
}
