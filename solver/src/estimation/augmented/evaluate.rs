//! The gradient of the Lagrangian and the constraints' values at a state, exactly.
//!
//! With complex multipliers `Λ = λp + jλq` and `w = Λ u*`, the derivative of `λp p + λq q` over all
//! nodes with respect to `z` of a node is `Re((Λ* s + u (Yᵀ w)) z)`: the transposed Jacobian costs
//! what the currents cost. A flow measured contributes in the same way, see [`Slope`].

use num_complex::Complex64;

use super::flat::{End, Flat, Flow, FlowKind};
use super::network::{Symmetric, accumulate, apply, apply_transposed, difference, pass, sum};
use super::{Admittance, Augmented};
use crate::estimation::AngleFrame;

const ZERO: Complex64 = Complex64::new(0.0, 0.0);
const J: Complex64 = Complex64::new(0.0, 1.0);
/// Current below which its direction is taken as undefined, pu.
const NO_CURRENT: f64 = 1e-12;

/// A branch seen from one end.
pub(super) struct Port<'a, const P: usize> {
    pub(super) own: usize,
    pub(super) other: usize,
    pub(super) y_own: &'a Admittance<P>,
    pub(super) y_mutual: &'a Admittance<P>,
}

impl<'a, const P: usize> Port<'a, P> {
    const NONE: Admittance<P> = [[ZERO; P]; P];

    pub(super) fn new(flat: &'a Flat<P>, end: End) -> Self {
        match end {
            End::From(k) => {
                let b = &flat.branches[k];
                Self::of(b.from, b.to, &b.yff, &b.yft)
            }
            End::To(k) => {
                let b = &flat.branches[k];
                Self::of(b.to, b.from, &b.ytt, &b.ytf)
            }
            End::Shunt(k) => {
                let (node, y) = &flat.measured_shunts[k];
                Self::of(*node, *node, y, &Self::NONE)
            }
        }
    }

    fn of(own: usize, other: usize, y_own: &'a Admittance<P>, y_mutual: &'a Admittance<P>) -> Self {
        Self {
            own,
            other,
            y_own,
            y_mutual,
        }
    }

    /// Current into the branch, from the voltages' difference: what a short line carries would
    /// drown in the rounding of its admittance times either voltage.
    pub(super) fn current(&self, u: &[[Complex64; P]]) -> [Complex64; P] {
        let (own, other) = (&u[self.own], &u[self.other]);
        let mut i = apply(&sum(self.y_own, self.y_mutual), own);
        accumulate(&mut i, &apply(self.y_mutual, &difference(other, own)));
        i
    }
}

/// What a flow is, and its derivative: `dh = Re(along di + across dz)` with the change of the
/// current and of its own end's voltage in that phase.
pub(super) struct Slope {
    pub(super) value: f64,
    pub(super) along: Complex64,
    pub(super) across: Complex64,
}

impl Slope {
    /// From the voltage `u` and the current `i` at the end and phase.
    pub(super) fn new(kind: FlowKind, u: Complex64, i: Complex64) -> Self {
        let slope = |value, along, across| Self {
            value,
            along,
            across,
        };
        let s = u * i.conj();
        match kind {
            FlowKind::P => slope(s.re, u.conj(), s),
            FlowKind::Q => slope(s.im, J * u.conj(), -J * s),
            FlowKind::Current => {
                let size = i.norm();
                let direction = if size > NO_CURRENT {
                    i.conj() / size
                } else {
                    ZERO
                };
                slope(size, direction, ZERO)
            }
            FlowKind::Along(AngleFrame::Global, direction) => {
                let back = Complex64::cis(-direction);
                slope((back * i).re, back, ZERO)
            }
            FlowKind::Along(AngleFrame::Local, direction) => {
                let turn = Complex64::cis(-direction) * u / u.norm();
                let local = turn * i.conj();
                // Turning the voltage turns the frame.
                slope(local.re, turn.conj(), J * local.im)
            }
        }
    }
}

/// Runs of flows at the same branch end.
pub(super) fn by_end(flows: &[Flow]) -> impl Iterator<Item = &[Flow]> {
    flows.chunk_by(|a, b| a.end == b.end)
}

/// The short way round.
fn wrapped(angle: f64) -> f64 {
    if angle.abs() < std::f64::consts::PI {
        angle
    } else {
        angle.sin().atan2(angle.cos())
    }
}

impl<const P: usize, const B: usize> Augmented<P, B> {
    /// Fills `rhs` with the negative residual of the optimality conditions, and the node currents; what is
    /// solved for roughly with it as well.
    pub(in crate::estimation) fn evaluate(&mut self) {
        self.currents();
        self.network_cocurrents();
        self.measured_flows();
        self.measured_voltages();
        self.nodes();
    }

    /// Currents from the nodes into the network.
    pub(super) fn currents(&mut self) {
        let folded = &self.folded;
        for ((i, u), y) in self.current.iter_mut().zip(&self.u).zip(&folded.shunt) {
            *i = y.times(u);
        }
        for (k, y) in &folded.uneven_shunt {
            accumulate(&mut self.current[*k], &apply(y, &self.u[*k]));
        }
        pass(&folded.even, &self.u, &mut self.current);
        pass(&folded.uneven, &self.u, &mut self.current);
        for b in &folded.turning {
            accumulate(&mut self.current[b.from], &apply(&b.yft, &self.u[b.to]));
            accumulate(&mut self.current[b.to], &apply(&b.ytf, &self.u[b.from]));
        }
    }

    /// The transposed admittances times the multipliers.
    fn network_cocurrents(&mut self) {
        let folded = &self.folded;
        for (k, u) in self.u.iter().enumerate() {
            let w: [Complex64; P] = std::array::from_fn(|p| self.lambda[k][p] * u[p].conj());
            self.cocurrent[k] = folded.shunt[k].times(&w);
            self.costate[k] = w;
        }
        for (k, y) in &folded.uneven_shunt {
            let w = apply_transposed(y, &self.costate[*k]);
            accumulate(&mut self.cocurrent[*k], &w);
        }
        pass(&folded.even, &self.costate, &mut self.cocurrent);
        pass(&folded.uneven, &self.costate, &mut self.cocurrent);
        for b in &folded.turning {
            let of_to = apply_transposed(&b.yft, &self.costate[b.from]);
            let of_from = apply_transposed(&b.ytf, &self.costate[b.to]);
            accumulate(&mut self.cocurrent[b.to], &of_to);
            accumulate(&mut self.cocurrent[b.from], &of_from);
        }
    }

    fn measured_flows(&mut self) {
        self.gradient.fill([ZERO; P]);
        for group in by_end(&self.flat.flows) {
            let first = &group[0];
            let port = Port::new(&self.flat, first.end);
            let i = port.current(&self.u);
            let mut pull = [ZERO; P];
            for flow in group {
                let slope = Slope::new(flow.kind, self.u[port.own][flow.phase], i[flow.phase]);
                let residual = flow.value - slope.value;
                let force = -flow.weight * residual;
                pull[flow.phase] += force * slope.along;
                self.gradient[port.own][flow.phase] += force * slope.across;
            }
            accumulate(
                &mut self.cocurrent[port.own],
                &apply_transposed(port.y_own, &pull),
            );
            accumulate(
                &mut self.cocurrent[port.other],
                &apply_transposed(port.y_mutual, &pull),
            );
        }
    }

    fn measured_voltages(&mut self) {
        for m in &self.flat.magnitudes {
            let v = self.u[m.node][m.phase].norm_sqr().sqrt();
            let residual = m.value - v;
            self.gradient[m.node][m.phase] -= m.weight * residual * v;
        }
        for m in &self.flat.angles {
            let residual = wrapped(m.value - self.u[m.node][m.phase].arg());
            // The derivative is by the imaginary part of z, of Re(g z).
            self.gradient[m.node][m.phase] += J * (m.weight * residual);
        }
        for (m, direction) in &self.flat.phasors {
            let seen = Complex64::cis(-direction) * self.u[m.node][m.phase];
            let residual = m.value - seen.re;
            self.gradient[m.node][m.phase] -= m.weight * residual * seen;
        }
    }

    /// Puts together each node's part of the residual.
    fn nodes(&mut self) {
        let right = self.rhs.iter_mut().zip(&mut self.rough_step);
        for (k, (rhs, rough)) in right.enumerate() {
            for p in 0..P {
                let (u, lambda) = (self.u[k][p], self.lambda[k][p]);
                let s = u * self.current[k][p].conj();
                let gradient = self.gradient[k][p] + lambda.conj() * s + u * self.cocurrent[k][p];
                let fixed = self.flat.fixed[k][p];
                rhs[2 * p] = if fixed.magnitude { 0.0 } else { -gradient.re };
                rhs[2 * p + 1] = if fixed.angle { 0.0 } else { gradient.im };
                let [of_p, of_q] = self.flat.injections[k][p];
                for (part, (g, s, lambda)) in [(of_p, s.re, lambda.re), (of_q, s.im, lambda.im)]
                    .into_iter()
                    .enumerate()
                {
                    let row = 2 * P + 2 * p + part;
                    rhs[row] = 0.0;
                    if g.variance < f64::INFINITY {
                        rhs[row] = g.value - s + g.variance * lambda;
                    }
                }
            }
            *rough = rhs.map(|x| x as f32);
        }
    }
}
