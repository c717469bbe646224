//! The rows of a data set, from a solution: written in place, so that a repeated solve puts its
//! output where the last one was.

use std::marker::PhantomData;

use num_complex::Complex64;

use super::angle::angle;
use super::output::{
    ApplianceOutput, BranchOutput, NodeOutput, Output, StepRegulatorOutput, TapRegulatorOutput,
    ThreeWindingOutput,
};
use crate::network::{
    ApplianceKind, BranchKind, Grid, Id, PhaseMask, Phases, S_BASE_VA, TransformerTapRegulator,
};

/// A phasor, or one for each phase.
pub(crate) trait Quantity: Copy {
    /// A number for each of them.
    type Real: Copy;
    /// How many there are.
    const PHASES: f64;
    /// A number from each.
    fn real(self, f: impl Fn(Complex64) -> f64) -> Self::Real;
    /// A number from each and its like in another.
    fn real_with(self, other: Self, f: impl Fn(Complex64, Complex64) -> f64) -> Self::Real;
    /// A number from each, combined.
    fn fold(self, start: f64, f: impl Fn(f64, Complex64) -> f64) -> f64;
    /// Adds powers times a scale to active and reactive ones.
    fn add(self, scale: f64, p: &mut Self::Real, q: &mut Self::Real);
    /// The phasors.
    fn phasors(&self) -> &[Complex64];
    /// From each phasor.
    fn of(f: impl FnMut(usize) -> Complex64) -> Self;
    /// Phases that are not there are not numbers, null in JSON.
    fn blank(value: &mut Self::Real, has: PhaseMask);
}

/// `|x|`, without the care for numbers that per-unit values never are.
fn magnitude(x: Complex64) -> f64 {
    x.norm_sqr().sqrt()
}

impl Quantity for Complex64 {
    type Real = f64;
    const PHASES: f64 = 1.0;
    fn real(self, f: impl Fn(Complex64) -> f64) -> f64 {
        f(self)
    }
    fn real_with(self, other: Self, f: impl Fn(Complex64, Complex64) -> f64) -> f64 {
        f(self, other)
    }
    fn fold(self, start: f64, f: impl Fn(f64, Complex64) -> f64) -> f64 {
        f(start, self)
    }
    fn add(self, scale: f64, p: &mut f64, q: &mut f64) {
        *p += self.re * scale;
        *q += self.im * scale;
    }
    fn phasors(&self) -> &[Complex64] {
        std::slice::from_ref(self)
    }
    fn of(mut f: impl FnMut(usize) -> Complex64) -> Self {
        f(0)
    }
    fn blank(_: &mut f64, _: PhaseMask) {}
}

impl Quantity for Phases {
    type Real = [f64; 3];
    const PHASES: f64 = 3.0;
    #[inline(always)]
    fn real(self, f: impl Fn(Complex64) -> f64) -> [f64; 3] {
        self.map(f)
    }
    #[inline(always)]
    fn real_with(self, other: Self, f: impl Fn(Complex64, Complex64) -> f64) -> [f64; 3] {
        [0, 1, 2].map(|k| f(self[k], other[k]))
    }
    #[inline(always)]
    fn fold(self, start: f64, f: impl Fn(f64, Complex64) -> f64) -> f64 {
        self.into_iter().fold(start, f)
    }
    #[inline(always)]
    fn add(self, scale: f64, p: &mut [f64; 3], q: &mut [f64; 3]) {
        for ((s, p), q) in self.into_iter().zip(p).zip(q) {
            *p += s.re * scale;
            *q += s.im * scale;
        }
    }
    fn phasors(&self) -> &[Complex64] {
        self
    }
    fn of(f: impl FnMut(usize) -> Complex64) -> Self {
        std::array::from_fn(f)
    }
    fn blank(value: &mut [f64; 3], has: PhaseMask) {
        for (value, _) in value.iter_mut().zip(has).filter(|(_, has)| !has) {
            *value = f64::NAN;
        }
    }
}

/// Power and current entering a branch at one end, pu.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<Q> {
    pub(crate) s: Q,
    pub(crate) i: Q,
}

/// A solution by which everything else can be told, pu.
pub(crate) trait Solved<Q> {
    /// Voltages of the nodes.
    fn u(&self) -> &[Q];
    /// What enters a branch.
    fn ends(&self, branch: usize) -> [End<Q>; 2];
    /// Power that all shunts of a node take.
    fn shunts_at(&self, node: usize) -> Q;
    /// Power that a shunt of the network takes at its node.
    fn shunt(&self, shunt: usize, node: usize) -> Q;
    /// Power of a source, generation-positive.
    fn source(&self, source: usize) -> Q;
    /// Power of an appliance, generation-positive.
    fn appliance(&self, appliance: usize) -> Q;
    /// Phases that a node has.
    fn phases_of(&self, node: usize) -> PhaseMask;
}

/// Writes the rows of a solution.
struct Rows<'a, Q, S> {
    grid: &'a Grid,
    solved: &'a S,
    quantity: PhantomData<Q>,
}

impl<V> Output<V> {
    /// Fills the tables, but for voltage regulators.
    pub(crate) fn fill<Q, S>(&mut self, grid: &Grid, solved: &S)
    where
        Q: Quantity<Real = V>,
        S: Solved<Q>,
    {
        let rows = Rows {
            grid,
            solved,
            quantity: PhantomData,
        };
        let nodes = grid.network().node.len();
        refill(&mut self.node, (0..nodes).map(|k| rows.node(k)));
        self.fill_branches(&rows);
        for (k, row) in self.node.iter_mut().enumerate() {
            let has = solved.phases_of(k);
            if has != [true; 3] {
                let NodeOutput {
                    u_pu,
                    u,
                    u_angle,
                    p,
                    q,
                    ..
                } = row;
                for value in [u_pu, u, u_angle, p, q] {
                    Q::blank(value, has);
                }
            }
        }
        self.fill_at_nodes(&rows);
        self.fill_taps(grid);
    }

    /// Tap positions, as this grid has them.
    pub(super) fn fill_taps(&mut self, grid: &Grid) {
        let regulators = &grid.network().step_voltage_regulator;
        for (row, r) in self.step_voltage_regulator.iter_mut().zip(regulators) {
            row.tap_pos = r.tap_pos;
        }
        refill(&mut self.transformer_tap_regulator, tap_regulators(grid));
    }

    /// Branches; and what they take from their nodes, which has been only what shunts take.
    fn fill_branches<Q, S>(&mut self, rows: &Rows<'_, Q, S>)
    where
        Q: Quantity<Real = V>,
        S: Solved<Q>,
    {
        for table in [
            &mut self.line,
            &mut self.asym_line,
            &mut self.link,
            &mut self.generic_branch,
            &mut self.transformer,
        ] {
            table.clear();
        }
        self.step_voltage_regulator.clear();
        self.three_winding_transformer.clear();
        let mut arms = ThreeArms::default();
        for (k, b) in rows.grid.branches.iter().enumerate() {
            let ends = rows.solved.ends(k);
            let mut take = |node: usize, end: &End<Q>| {
                // The inner node of three windings has no row.
                if let Some(row) = self.node.get_mut(node) {
                    end.s.add(Rows::<Q, S>::S_BASE, &mut row.p, &mut row.q);
                }
            };
            take(b.from, &ends[0]);
            take(b.to, &ends[1]);
            if b.kind == BranchKind::ThreeWinding {
                if let Some(all) = arms.with(k, ends[0]) {
                    self.three_winding_transformer
                        .push(rows.three_winding(&all));
                }
                continue;
            }
            let row = rows.branch(k, &ends);
            let table = match b.kind {
                BranchKind::Line => &mut self.line,
                BranchKind::AsymLine => &mut self.asym_line,
                BranchKind::Link => &mut self.link,
                BranchKind::GenericBranch => &mut self.generic_branch,
                BranchKind::Transformer => &mut self.transformer,
                BranchKind::StepVoltageRegulator => {
                    let at = self.step_voltage_regulator.len();
                    let tap_pos = rows.grid.network().step_voltage_regulator[at].tap_pos;
                    self.step_voltage_regulator.push(StepRegulatorOutput {
                        branch: row,
                        tap_pos,
                    });
                    continue;
                }
                // Above.
                BranchKind::ThreeWinding => continue,
            };
            table.push(row);
        }
    }

    /// Shunts, sources, loads and generators.
    fn fill_at_nodes<Q, S>(&mut self, rows: &Rows<'_, Q, S>)
    where
        Q: Quantity<Real = V>,
        S: Solved<Q>,
    {
        let (grid, solved) = (rows.grid, rows.solved);
        let network = grid.network();
        let shunts = network.shunt.iter().enumerate().map(|(k, s)| {
            let node = grid.known_node(s.node);
            rows.one_port(s.id, node, s.status != 0, solved.shunt(k, node), 1.0)
        });
        refill(&mut self.shunt, shunts);
        let sources = grid.sources.iter().enumerate();
        refill(
            &mut self.source,
            sources.map(|(k, s)| rows.one_port(s.id, s.node, s.closed, solved.source(k), 1.0)),
        );
        let mut appliances = (0..grid.appliances.len()).map(|k| rows.appliance(k));
        for (table, count) in [
            (&mut self.sym_load, network.sym_load.len()),
            (&mut self.sym_gen, network.sym_gen.len()),
            (&mut self.asym_load, network.asym_load.len()),
            (&mut self.asym_gen, network.asym_gen.len()),
        ] {
            refill(table, appliances.by_ref().take(count));
        }
    }
}

/// A table's rows anew, in the memory it has.
fn refill<T>(table: &mut Vec<T>, rows: impl Iterator<Item = T>) {
    table.clear();
    table.extend(rows);
}

/// An arm of a three-winding transformer, and what enters it at its side.
type Arm<Q> = (usize, End<Q>);

/// The arms of a three-winding transformer as they come.
struct ThreeArms<Q>([Option<Arm<Q>>; 2]);

impl<Q> Default for ThreeArms<Q> {
    fn default() -> Self {
        Self([None, None])
    }
}

impl<Q: Copy> ThreeArms<Q> {
    /// All three, when this is the third.
    fn with(&mut self, branch: usize, end: End<Q>) -> Option<[Arm<Q>; 3]> {
        match self.0 {
            [Some(first), Some(second)] => {
                *self = Self::default();
                Some([first, second, (branch, end)])
            }
            [Some(_), None] => {
                self.0[1] = Some((branch, end));
                None
            }
            [None, _] => {
                self.0[0] = Some((branch, end));
                None
            }
        }
    }
}

impl<Q: Quantity, S: Solved<Q>> Rows<'_, Q, S> {
    /// Base of a phase's power, VA.
    const S_BASE: f64 = S_BASE_VA / Q::PHASES;

    fn node(&self, k: usize) -> NodeOutput<Q::Real> {
        let grid = self.grid;
        let u = self.solved.u()[k];
        let shunts = self.solved.shunts_at(k);
        let base = grid.u_rated[k] / Q::PHASES.sqrt();
        NodeOutput {
            id: grid.node_id[k],
            energized: i8::from(grid.energised[k]),
            u_pu: u.real(magnitude),
            u: u.real(|u| magnitude(u) * base),
            u_angle: u.real(angle),
            p: shunts.real(|s| s.re * Self::S_BASE),
            q: shunts.real(|s| s.im * Self::S_BASE),
        }
    }

    /// Apparent power of all phases, pu of the three-phase base.
    fn apparent(end: &End<Q>) -> f64 {
        end.s.fold(0.0, |sum, s| sum + magnitude(s)) / Q::PHASES
    }

    #[inline(always)]
    fn branch(&self, k: usize, [from, to]: &[End<Q>; 2]) -> BranchOutput<Q::Real> {
        let grid = self.grid;
        let b = &grid.branches[k];
        let largest = |end: &End<Q>| end.i.fold(0.0, |most, i| magnitude(i).max(most));
        let loading = match (b.i_max, b.s_max) {
            (Some([f, t]), _) => (largest(from) / f).max(largest(to) / t),
            (None, Some(s)) => Self::apparent(from).max(Self::apparent(to)) / s,
            (None, None) => 0.0,
        };
        let (base_from, base_to) = (grid.base_current_a(b.from), grid.base_current_a(b.to));
        let mut row = BranchOutput {
            id: b.id,
            energized: i8::from(is_live(grid, k)),
            loading,
            p_from: from.s.real(|s| s.re * Self::S_BASE),
            q_from: from.s.real(|s| s.im * Self::S_BASE),
            i_from: from.i.real(|i| magnitude(i) * base_from),
            s_from: from.s.real(|s| magnitude(s) * Self::S_BASE),
            p_to: to.s.real(|s| s.re * Self::S_BASE),
            q_to: to.s.real(|s| s.im * Self::S_BASE),
            i_to: to.i.real(|i| magnitude(i) * base_to),
            s_to: to.s.real(|s| magnitude(s) * Self::S_BASE),
        };
        if b.phases != [true; 3] {
            let BranchOutput {
                p_from,
                q_from,
                i_from,
                s_from,
                p_to,
                q_to,
                i_to,
                s_to,
                ..
            } = &mut row;
            for value in [p_from, q_from, i_from, s_from, p_to, q_to, i_to, s_to] {
                Q::blank(value, b.phases);
            }
        }
        row
    }

    fn three_winding(&self, arms: &[Arm<Q>; 3]) -> ThreeWindingOutput<Q::Real> {
        let grid = self.grid;
        let side = |k: usize| {
            let arm = &grid.branches[arms[k].0];
            let end = &arms[k].1;
            let base = grid.base_current_a(arm.from);
            let loading = arm.s_max.map_or(0.0, |s| Self::apparent(end) / s);
            (end.s, end.i.real(|i| magnitude(i) * base), loading)
        };
        let sides = [0, 1, 2].map(side);
        let p = |k: usize| sides[k].0.real(|s| s.re * Self::S_BASE);
        let q = |k: usize| sides[k].0.real(|s| s.im * Self::S_BASE);
        let s = |k: usize| sides[k].0.real(|s| magnitude(s) * Self::S_BASE);
        ThreeWindingOutput {
            id: grid.branches[arms[0].0].id,
            energized: i8::from(arms.iter().any(|&(k, _)| {
                let b = &grid.branches[k];
                b.from_closed && grid.energised[b.from]
            })),
            loading_1: sides[0].2,
            loading_2: sides[1].2,
            loading_3: sides[2].2,
            loading: sides.iter().fold(0.0, |most, side| side.2.max(most)),
            p_1: p(0),
            q_1: q(0),
            i_1: sides[0].1,
            s_1: s(0),
            p_2: p(1),
            q_2: q(1),
            i_2: sides[1].1,
            s_2: s(1),
            p_3: p(2),
            q_3: q(2),
            i_3: sides[2].1,
            s_3: s(2),
        }
    }

    fn appliance(&self, k: usize) -> ApplianceOutput<Q::Real> {
        let a = &self.grid.appliances[k];
        let sign = match a.kind {
            ApplianceKind::Load => -1.0,
            ApplianceKind::Gen => 1.0,
        };
        self.one_port(a.id, a.node, a.closed, self.solved.appliance(k), sign)
    }

    fn one_port(
        &self,
        id: Id,
        node: usize,
        closed: bool,
        s: Q,
        sign: f64,
    ) -> ApplianceOutput<Q::Real> {
        let grid = self.grid;
        let live = closed && grid.energised[node];
        let scale = if live { sign * Self::S_BASE } else { 0.0 };
        let ratio = |over: f64| if over > 0.0 { 1.0 / over } else { 0.0 };
        let base = grid.base_current_a(node);
        let current = |s: Complex64, u: Complex64| {
            let size = if live { magnitude(s) } else { 0.0 };
            size * ratio(magnitude(u)) * base
        };
        ApplianceOutput {
            id,
            energized: i8::from(live),
            p: s.real(|s| s.re * scale),
            q: s.real(|s| s.im * scale),
            i: s.real_with(self.solved.u()[node], current),
            s: s.real(|s| magnitude(s) * scale.abs()),
            pf: s.real(|s| s.re * scale * ratio(magnitude(s) * scale.abs())),
        }
    }
}

/// Positions as the grid has them: they are set before a solution is put out.
fn tap_regulators(grid: &Grid) -> impl Iterator<Item = TapRegulatorOutput> {
    let output = move |r: &TransformerTapRegulator| {
        let regulated = grid.regulated(r)?;
        let live = regulated.arms.iter().flatten().any(|&k| is_live(grid, k));
        Some(TapRegulatorOutput {
            id: r.id,
            energized: i8::from(r.status != 0 && live),
            tap_pos: regulated.pos,
        })
    };
    let regulators = grid.network().transformer_tap_regulator.iter();
    regulators.filter_map(output)
}

/// Whether a branch is connected to an energised node at one side at least.
fn is_live(grid: &Grid, k: usize) -> bool {
    let b = &grid.branches[k];
    b.from_closed && grid.energised[b.from] || b.to_closed && grid.energised[b.to]
}
