//! Measurement functions and their gradients.
//!
//! The state moves by relative changes of the voltage phasors: `du = u z`, where the real part of
//! `z` is the relative change of the magnitude and its imaginary part that of the angle. A current
//! `Y u` then moves by `Y (u z)`, and every other function follows by the rules of complex
//! products, for one phase as for three; taps, phase shifts and open ends need no case of their
//! own. Abur and Gómez-Expósito, section 2.6. Everything per unit, generation-positive.

use num_complex::Complex64;

use super::admittances::Admittances;
use super::layout::Layout;
use super::{AngleFrame, Phase};
use crate::network::{Grid, Side};

/// Current below which its direction is taken as undefined, pu.
const NO_CURRENT: f64 = 1e-12;

/// A function of the state, of one phase: what a measurement measures, or a constraint holds at
/// zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) what: What,
    pub(super) phase: usize,
}

/// See [`Target`]. Indices are those of the grid's tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    /// Voltage magnitude of a node.
    Magnitude(usize),
    /// Voltage angle of a node.
    Angle(usize),
    /// Part of the voltage of a node along a direction, rad.
    VoltageAlong(usize, f64),
    /// Power into a branch.
    Branch(usize, Side, Part),
    /// Current magnitude in a branch.
    Current(usize, Side),
    /// Part of the current in a branch along a direction, rad.
    CurrentAlong(usize, Side, AngleFrame, f64),
    /// Power of an appliance, or of a source beyond the first of its node.
    Appliance(usize, Part),
    /// Power a shunt takes.
    Shunt(usize, Part),
    /// Power injected at a node by sources and appliances.
    Injection(usize, Part),
    /// Injection less the appliances: what the first source feeds in, zero where there is none.
    Infeed(usize, Part),
}

impl What {
    /// This of a phase.
    pub(super) fn of(self, phase: usize) -> Target {
        Target { what: self, phase }
    }
}

/// Active or reactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    P,
    Q,
}

impl Part {
    pub(super) fn of(self, s: Complex64) -> f64 {
        match self {
            Self::P => s.re,
            Self::Q => s.im,
        }
    }
}

/// The unknowns, all phases of a node or appliance in a row.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Voltages.
    pub(super) u: Vec<Complex64>,
    /// Powers of the appliances, and of sources beyond the first of their node.
    pub(super) s: Vec<Complex64>,
}

impl State {
    /// This state moved by `length * step`.
    pub(super) fn moved(&self, layout: &Layout, step: &[f64], length: f64, into: &mut Self) {
        let phases = layout.phases;
        for (at, (to, u)) in into.u.iter_mut().zip(&self.u).enumerate() {
            let (node, phase) = (at / phases, at % phases);
            let turn = Complex64::cis(length * step[layout.theta(node, phase)]);
            *to = u * turn * (1.0 + length * step[layout.v(node, phase)]);
        }
        for (at, (to, s)) in into.s.iter_mut().zip(&self.s).enumerate() {
            let (appliance, phase) = (at / phases, at % phases);
            let p = step[layout.p(appliance, phase)];
            let q = step[layout.q(appliance, phase)];
            *to = s + length * Complex64::new(p, q);
        }
    }
}

/// Gradient of a function of the state: columns, which may repeat, and derivatives.
pub(super) type Row = Vec<(usize, f64)>;

/// A branch seen from one end: own and other node, own and mutual admittance.
struct Port<'a> {
    own: usize,
    other: usize,
    y_own: &'a [Complex64],
    y_mutual: &'a [Complex64],
}

/// What functions of the state are evaluated on.
#[derive(Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) grid: &'a Grid,
    pub(super) layout: &'a Layout,
    pub(super) admittances: &'a Admittances,
}

impl<'a> Model<'a> {
    /// The grid's phases.
    pub(super) fn phases(&self) -> std::ops::Range<usize> {
        0..self.layout.phases
    }

    /// Place of a phase of a node in the state.
    pub(super) fn at(&self, node: usize, phase: usize) -> usize {
        self.layout.phases * node + phase
    }

    /// Name of a phase.
    pub(super) fn phase(&self, phase: usize) -> Phase {
        match (self.layout.phases, phase) {
            (1, _) => Phase::Sym,
            (_, 0) => Phase::A,
            (_, 1) => Phase::B,
            _ => Phase::C,
        }
    }

    /// A phase of a node is there and connected to a source.
    pub(super) fn is_live(&self, node: usize, phase: usize) -> bool {
        self.admittances.is_live(node, phase)
    }

    /// Value of `target`, with its gradient in `row`.
    pub(super) fn evaluate(&self, target: Target, state: &State, row: &mut Row) -> f64 {
        row.clear();
        let (layout, phase) = (self.layout, target.phase);
        match target.what {
            What::Magnitude(node) => {
                let magnitude = state.u[self.at(node, phase)].norm();
                row.push((layout.v(node, phase), magnitude));
                magnitude
            }
            What::Angle(node) => {
                row.push((layout.theta(node, phase), 1.0));
                state.u[self.at(node, phase)].arg()
            }
            What::VoltageAlong(node, direction) => {
                let along = state.u[self.at(node, phase)] * Complex64::cis(-direction);
                row.push((layout.v(node, phase), along.re));
                row.push((layout.theta(node, phase), -along.im));
                along.re
            }
            What::Branch(branch, side, part) => {
                let mut own = [Complex64::ZERO; 3];
                let port = self.port(branch, side);
                let s = self.power_into(&port, state, phase, part, &mut own, row);
                self.push_power(part, (port.own, phase), s, &own, row);
                part.of(s)
            }
            What::Current(branch, side) => self.magnitude(branch, side, phase, state, row),
            What::CurrentAlong(branch, side, frame, direction) => {
                self.along((branch, side), frame, direction, phase, state, row)
            }
            What::Appliance(appliance, part) => {
                row.push((self.appliance_column(appliance, phase, part), 1.0));
                part.of(state.s[self.at(appliance, phase)])
            }
            What::Shunt(shunt, part) => {
                let shunts = &self.grid.network().shunt;
                let node = self.grid.known_node(shunts[shunt].node);
                let mut own = [Complex64::ZERO; 3];
                let y = self.admittances.shunt(shunt);
                let s = self.power_of_shunt(node, y, state, phase, &mut own);
                self.push_power(part, (node, phase), s, &own, row);
                part.of(s)
            }
            What::Injection(node, part) => self.injection(node, phase, part, state, row),
            What::Infeed(node, part) => {
                let mut infeed = self.injection(node, phase, part, state, row);
                for &appliance in &layout.appliances_at[node] {
                    row.push((self.appliance_column(appliance, phase, part), -1.0));
                    infeed -= part.of(state.s[self.at(appliance, phase)]);
                }
                infeed
            }
        }
    }

    /// Column of an appliance's power.
    pub(super) fn appliance_column(&self, appliance: usize, phase: usize, part: Part) -> usize {
        match part {
            Part::P => self.layout.p(appliance, phase),
            Part::Q => self.layout.q(appliance, phase),
        }
    }

    fn port(&self, branch: usize, side: Side) -> Port<'a> {
        let (y_own, y_mutual) = self.admittances.port(branch, side);
        let b = &self.grid.branches[branch];
        let (own, other) = match side {
            Side::From => (b.from, b.to),
            Side::To => (b.to, b.from),
        };
        Port {
            own,
            other,
            y_own,
            y_mutual,
        }
    }

    /// Current of a phase into the port. From the voltages' difference, as in the power flow: what
    /// a short line carries would drown in the rounding of its admittance times either voltage.
    fn current(&self, port: &Port<'_>, state: &State, phase: usize) -> Complex64 {
        let size = self.layout.phases;
        let mut current = Complex64::ZERO;
        for q in 0..size {
            let (own, other) = (
                state.u[self.at(port.own, q)],
                state.u[self.at(port.other, q)],
            );
            let (y_own, y_mutual) = (
                port.y_own[size * phase + q],
                port.y_mutual[size * phase + q],
            );
            current += (y_own + y_mutual) * own + y_mutual * (other - own);
        }
        current
    }

    /// Adds the derivatives of `part` of `a z + b conj(z)` of a phase of a node.
    fn push(
        &self,
        part: Part,
        (node, phase): (usize, usize),
        a: Complex64,
        b: Complex64,
        row: &mut Row,
    ) {
        let turned = part.of(Complex64::i() * (a - b));
        row.push((self.layout.theta(node, phase), turned));
        row.push((self.layout.v(node, phase), part.of(a + b)));
    }

    /// Power of a phase into the port. Derivatives by the other node's voltage go to `row`, by the
    /// conjugate own ones to `own`, in all phases.
    fn power_into(
        &self,
        port: &Port<'_>,
        state: &State,
        phase: usize,
        part: Part,
        own: &mut [Complex64; 3],
        row: &mut Row,
    ) -> Complex64 {
        let size = self.layout.phases;
        let u = state.u[self.at(port.own, phase)];
        for q in 0..size {
            let entry = size * phase + q;
            own[q] += u * (port.y_own[entry] * state.u[self.at(port.own, q)]).conj();
            let b = u * (port.y_mutual[entry] * state.u[self.at(port.other, q)]).conj();
            self.push(part, (port.other, q), Complex64::ZERO, b, row);
        }
        u * self.current(port, state, phase).conj()
    }

    /// Power of a phase into a shunt; derivatives as for [`Self::power_into`].
    fn power_of_shunt(
        &self,
        node: usize,
        y: &[Complex64],
        state: &State,
        phase: usize,
        own: &mut [Complex64; 3],
    ) -> Complex64 {
        let size = self.layout.phases;
        let u = state.u[self.at(node, phase)];
        let mut s = Complex64::ZERO;
        for q in 0..size {
            let part = u * (y[size * phase + q] * state.u[self.at(node, q)]).conj();
            own[q] += part;
            s += part;
        }
        s
    }

    /// Derivatives of a power by the voltage of its own node: by the phase's own `s`, by the
    /// conjugates `own`.
    fn push_power(
        &self,
        part: Part,
        (node, phase): (usize, usize),
        s: Complex64,
        own: &[Complex64; 3],
        row: &mut Row,
    ) {
        for q in self.phases() {
            let a = if q == phase { s } else { Complex64::ZERO };
            self.push(part, (node, q), a, own[q], row);
        }
    }

    fn injection(
        &self,
        node: usize,
        phase: usize,
        part: Part,
        state: &State,
        row: &mut Row,
    ) -> f64 {
        let mut own = [Complex64::ZERO; 3];
        let y = self.admittances.node(node);
        let mut s = self.power_of_shunt(node, y, state, phase, &mut own);
        for &(branch, side) in &self.layout.incident[node] {
            let port = self.port(branch, side);
            s += self.power_into(&port, state, phase, part, &mut own, row);
        }
        self.push_power(part, (node, phase), s, &own, row);
        part.of(s)
    }

    /// Current that leaves a phase of a node into branches, shunts and an admittance `load` to
    /// ground, with the derivatives of its real and imaginary part.
    pub(super) fn balance(
        &self,
        node: usize,
        phase: usize,
        load: Complex64,
        state: &State,
        rows: [&mut Row; 2],
    ) -> Complex64 {
        let size = self.layout.phases;
        let [real, imaginary] = rows;
        real.clear();
        imaginary.clear();
        let mut own = [Complex64::ZERO; 3];
        let y = &self.admittances.node(node)[size * phase..][..size];
        own[..size].copy_from_slice(y);
        own[phase] += load;
        let mut push = |(node, phase): (usize, usize), change: Complex64| {
            self.push(Part::P, (node, phase), change, Complex64::ZERO, real);
            self.push(Part::Q, (node, phase), change, Complex64::ZERO, imaginary);
        };
        let mut sum = Complex64::ZERO;
        for &(branch, side) in &self.layout.incident[node] {
            let port = self.port(branch, side);
            sum += self.current(&port, state, phase);
            for q in self.phases() {
                let entry = size * phase + q;
                own[q] += port.y_own[entry];
                push(
                    (port.other, q),
                    port.y_mutual[entry] * state.u[self.at(port.other, q)],
                );
            }
        }
        for q in self.phases() {
            let u = state.u[self.at(node, q)];
            push((node, q), own[q] * u);
            let shunt = y[q] + if q == phase { load } else { Complex64::ZERO };
            sum += shunt * u;
        }
        sum
    }

    /// Magnitude of the current; no gradient where it has no direction.
    fn magnitude(
        &self,
        branch: usize,
        side: Side,
        phase: usize,
        state: &State,
        row: &mut Row,
    ) -> f64 {
        let port = self.port(branch, side);
        let i = self.current(&port, state, phase);
        let magnitude = i.norm();
        if magnitude > NO_CURRENT {
            let direction = i.conj() / magnitude;
            self.push_current(
                &port,
                state,
                phase,
                |c| (direction * c, Complex64::ZERO),
                row,
            );
        }
        magnitude
    }

    /// Adds the derivatives of the real part of a current's function; a current's change `c z`
    /// changes that by `a z + b conj(z)`, where `(a, b)` is `change(c)`.
    fn push_current(
        &self,
        port: &Port<'_>,
        state: &State,
        phase: usize,
        change: impl Fn(Complex64) -> (Complex64, Complex64),
        row: &mut Row,
    ) {
        let size = self.layout.phases;
        for (node, y) in [(port.own, port.y_own), (port.other, port.y_mutual)] {
            for q in 0..size {
                let (a, b) = change(y[size * phase + q] * state.u[self.at(node, q)]);
                self.push(Part::P, (node, q), a, b, row);
            }
        }
    }

    /// Part of the current along a direction.
    fn along(
        &self,
        (branch, side): (usize, Side),
        frame: AngleFrame,
        direction: f64,
        phase: usize,
        state: &State,
        row: &mut Row,
    ) -> f64 {
        let port = self.port(branch, side);
        let i = self.current(&port, state, phase);
        let back = Complex64::cis(-direction);
        match frame {
            AngleFrame::Global => {
                self.push_current(&port, state, phase, |c| (back * c, Complex64::ZERO), row);
                (back * i).re
            }
            AngleFrame::Local => {
                let u = state.u[self.at(port.own, phase)];
                let turn = back * u / u.norm();
                let change = |c: Complex64| (Complex64::ZERO, turn * c.conj());
                self.push_current(&port, state, phase, change, row);
                let local = turn * i.conj();
                // Turning the voltage turns the frame.
                row.push((self.layout.theta(port.own, phase), -local.im));
                local.re
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimation::tests_support::three_bus;
    use crate::network::PhaseGrid;

    fn targets(grid: &Grid) -> Vec<What> {
        let mut all = vec![];
        for part in [Part::P, Part::Q] {
            all.extend((0..3).flat_map(|n| [What::Injection(n, part), What::Infeed(n, part)]));
            all.extend((0..grid.appliances.len()).map(|a| What::Appliance(a, part)));
            for side in [Side::From, Side::To] {
                all.extend((0..3).map(|b| What::Branch(b, side, part)));
            }
            all.extend((0..grid.network().shunt.len()).map(|s| What::Shunt(s, part)));
        }
        for k in 0..3 {
            all.extend([What::Magnitude(k), What::Angle(k)]);
            all.extend([0.0, 2.5].map(|direction| What::VoltageAlong(k, direction)));
            for side in [Side::From, Side::To] {
                all.push(What::Current(k, side));
                for frame in [AngleFrame::Local, AngleFrame::Global] {
                    all.extend([0.0, 0.7, -2.0].map(|d| What::CurrentAlong(k, side, frame, d)));
                }
            }
        }
        all
    }

    /// Every derivative against a central difference, for one phase and for three.
    #[test]
    fn gradients() {
        let grid = three_bus();
        let by_phase = PhaseGrid::new(&grid).unwrap();
        for (phases, by_phase) in [(1, None), (3, Some(&by_phase))] {
            let layout = Layout::new(&grid, phases);
            let mut admittances = Admittances::default();
            admittances.follow(&grid, by_phase);
            let model = Model {
                grid: &grid,
                layout: &layout,
                admittances: &admittances,
            };
            let state = State {
                u: (0..3 * phases)
                    .map(|k| {
                        let (node, phase) = ((k / phases) as f64, (k % phases) as f64);
                        let v = 1.02 - 0.03 * node + 0.02 * phase;
                        Complex64::from_polar(v, -0.05 * node - 2.1 * phase)
                    })
                    .collect(),
                s: vec![Complex64::new(-0.4, -0.1); phases * grid.appliances.len()],
            };
            for what in targets(&grid) {
                for phase in 0..phases {
                    check(model, what.of(phase), &state);
                }
            }
        }
    }

    fn check(model: Model<'_>, target: Target, state: &State) {
        let layout = model.layout;
        let (mut row, mut scratch, mut moved) = (vec![], vec![], state.clone());
        model.evaluate(target, state, &mut row);
        for column in 0..layout.pattern.len() {
            let mut step = vec![0.0; layout.pattern.len()];
            step[column] = 1.0;
            let mut at = |length: f64| {
                state.moved(layout, &step, length, &mut moved);
                model.evaluate(target, &moved, &mut scratch)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            let analytic: f64 = row.iter().filter(|e| e.0 == column).map(|e| e.1).sum();
            assert!(
                (difference - analytic).abs() < 1e-6 * (1.0 + analytic.abs()),
                "{target:?} {column}: {analytic} against {difference}"
            );
        }
    }
}
