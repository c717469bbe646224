//! Measurement functions and their gradients in polar coordinates.
//!
//! Abur and Gómez-Expósito, section 2.6, written with complex two-ports so that taps, phase
//! shifts and open ends need no case of their own. Everything per unit, generation-positive.

use num_complex::Complex64;

use super::layout::Layout;
use crate::network::{Grid, Side};

/// Current below which its direction is taken as undefined, pu.
const NO_CURRENT: f64 = 1e-12;

/// A function of the state: what a measurement measures, or a constraint holds at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Voltage magnitude of a node.
    Magnitude(usize),
    /// Voltage angle of a node.
    Angle(usize),
    /// Power into a branch.
    Branch(usize, Side, Part),
    /// Current magnitude in a branch.
    Current(usize, Side),
    /// Power of an appliance.
    Appliance(usize, Part),
    /// Power injected at a node by sources and appliances.
    Injection(usize, Part),
    /// Injection less the appliances: what sources feed in, zero where there is none.
    Infeed(usize, Part),
}

/// Active or reactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    P,
    Q,
}

impl Part {
    fn of(self, s: Complex64) -> f64 {
        match self {
            Self::P => s.re,
            Self::Q => s.im,
        }
    }
}

/// The unknowns: voltages by node, powers by appliance.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) theta: Vec<f64>,
    pub(super) v: Vec<f64>,
    pub(super) s: Vec<Complex64>,
}

impl State {
    /// Voltage of a node.
    pub(super) fn u(&self, node: usize) -> Complex64 {
        Complex64::from_polar(self.v[node], self.theta[node])
    }

    /// This state moved by `length * step`.
    pub(super) fn moved(&self, layout: &Layout, step: &[f64], length: f64, into: &mut Self) {
        for node in 0..self.v.len() {
            into.theta[node] = self.theta[node] + length * step[layout.theta(node)];
            into.v[node] = self.v[node] + length * step[layout.v(node)];
        }
        for appliance in 0..self.s.len() {
            let change = Complex64::new(step[layout.p(appliance)], step[layout.q(appliance)]);
            into.s[appliance] = self.s[appliance] + length * change;
        }
    }
}

/// Gradient of a function of the state: columns, which may repeat, and derivatives.
pub(super) type Row = Vec<(usize, f64)>;

/// A branch seen from one end: own and other node, own and mutual admittance.
struct Port {
    own: usize,
    other: usize,
    y_own: Complex64,
    y_mutual: Complex64,
}

impl Port {
    fn new(grid: &Grid, branch: usize, side: Side) -> Self {
        let b = &grid.branches[branch];
        match side {
            Side::From => Self {
                own: b.from,
                other: b.to,
                y_own: b.yff,
                y_mutual: b.yft,
            },
            Side::To => Self {
                own: b.to,
                other: b.from,
                y_own: b.ytt,
                y_mutual: b.ytf,
            },
        }
    }

    /// From the voltages' difference, as in the power flow: what a short line carries would drown
    /// in the rounding of its admittance times either voltage.
    fn current(&self, state: &State) -> Complex64 {
        let (own, other) = (state.u(self.own), state.u(self.other));
        (self.y_own + self.y_mutual) * own + self.y_mutual * (other - own)
    }

    /// Power into the branch, adding its derivatives to `row`.
    fn power(&self, state: &State, layout: &Layout, part: Part, row: &mut Row) -> f64 {
        let (v, u) = (state.v[self.own], state.u(self.own));
        let other = self.y_mutual.conj() * state.u(self.other).conj();
        let mutual = u * other;
        let turned = Complex64::i() * mutual;
        row.push((layout.theta(self.own), part.of(turned)));
        row.push((layout.theta(self.other), -part.of(turned)));
        let unit = Complex64::from_polar(1.0, state.theta[self.own]);
        row.push((
            layout.v(self.own),
            part.of(2.0 * v * self.y_own.conj() + unit * other),
        ));
        let unit = Complex64::from_polar(1.0, -state.theta[self.other]);
        row.push((
            layout.v(self.other),
            part.of(u * self.y_mutual.conj() * unit),
        ));
        part.of(u * self.current(state).conj())
    }
}

/// What functions of the state are evaluated on.
#[derive(Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) grid: &'a Grid,
    pub(super) layout: &'a Layout,
}

impl Model<'_> {
    /// Value of `target`, with its gradient in `row`.
    pub(super) fn evaluate(&self, target: Target, state: &State, row: &mut Row) -> f64 {
        row.clear();
        let layout = self.layout;
        match target {
            Target::Magnitude(node) => {
                row.push((layout.v(node), 1.0));
                state.v[node]
            }
            Target::Angle(node) => {
                row.push((layout.theta(node), 1.0));
                state.theta[node]
            }
            Target::Branch(branch, side, part) => {
                Port::new(self.grid, branch, side).power(state, layout, part, row)
            }
            Target::Current(branch, side) => self.current(branch, side, state, row),
            Target::Appliance(appliance, part) => {
                row.push((self.appliance_column(appliance, part), 1.0));
                part.of(state.s[appliance])
            }
            Target::Injection(node, part) => self.injection(node, part, state, row),
            Target::Infeed(node, part) => {
                let mut infeed = self.injection(node, part, state, row);
                for &appliance in &layout.appliances_at[node] {
                    row.push((self.appliance_column(appliance, part), -1.0));
                    infeed -= part.of(state.s[appliance]);
                }
                infeed
            }
        }
    }

    fn appliance_column(&self, appliance: usize, part: Part) -> usize {
        match part {
            Part::P => self.layout.p(appliance),
            Part::Q => self.layout.q(appliance),
        }
    }

    fn injection(&self, node: usize, part: Part, state: &State, row: &mut Row) -> f64 {
        let y = self.grid.y_shunt[node].conj();
        let v = state.v[node];
        row.push((self.layout.v(node), part.of(2.0 * v * y)));
        let mut sum = part.of(v * v * y);
        for &(branch, side) in &self.layout.incident[node] {
            sum += Port::new(self.grid, branch, side).power(state, self.layout, part, row);
        }
        sum
    }

    /// Magnitude of the current; no gradient where it has no direction.
    fn current(&self, branch: usize, side: Side, state: &State, row: &mut Row) -> f64 {
        let port = Port::new(self.grid, branch, side);
        let i = port.current(state);
        let magnitude = i.norm();
        if magnitude > NO_CURRENT {
            let direction = i.conj() / magnitude;
            for (node, y) in [(port.own, port.y_own), (port.other, port.y_mutual)] {
                let along = direction * y * Complex64::from_polar(1.0, state.theta[node]);
                row.push((self.layout.v(node), along.re));
                row.push((
                    self.layout.theta(node),
                    (Complex64::i() * along).re * state.v[node],
                ));
            }
        }
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimation::tests_support::three_bus;

    /// Every derivative against a central difference.
    #[test]
    fn gradients() {
        let grid = three_bus();
        let layout = Layout::new(&grid);
        let model = Model {
            grid: &grid,
            layout: &layout,
        };
        let state = State {
            theta: vec![0.0, -0.07, 0.03],
            v: vec![1.02, 0.97, 0.99],
            s: vec![Complex64::new(-0.4, -0.1); grid.appliances.len()],
        };
        let mut targets = vec![];
        for part in [Part::P, Part::Q] {
            targets
                .extend((0..3).flat_map(|n| [Target::Injection(n, part), Target::Infeed(n, part)]));
            targets.extend((0..grid.appliances.len()).map(|a| Target::Appliance(a, part)));
            for side in [Side::From, Side::To] {
                targets.extend((0..3).map(|b| Target::Branch(b, side, part)));
            }
        }
        for k in 0..3 {
            targets.extend([Target::Magnitude(k), Target::Angle(k)]);
            targets.extend([Target::Current(k, Side::From), Target::Current(k, Side::To)]);
        }
        let (mut row, mut scratch, mut moved) = (vec![], vec![], state.clone());
        for target in targets {
            model.evaluate(target, &state, &mut row);
            for column in 0..layout.pattern.len() {
                let mut step = vec![0.0; layout.pattern.len()];
                step[column] = 1.0;
                let mut at = |length: f64| {
                    state.moved(&layout, &step, length, &mut moved);
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
}
