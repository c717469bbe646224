//! The network's equations in rectangular voltages: branch-end currents are linear, powers exactly
//! quadratic, so their linearisation and their curvature are exact too.

use std::ops::Range;

use num_complex::Complex64;

use crate::network::Grid;

/// Above this admittance (pu) the node behind a source is as good as the ideal voltage itself, and
/// a step of its voltage would lose all digits of the source's power.
pub(super) const IDEAL_ADMITTANCE: f64 = 1e6;

/// A two-port between two buses, or between a bus and earth (then the mutual terms are nothing).
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Buses.
    pub(super) bus: [usize; 2],
    /// Balance that the power at each end leaves from.
    pub(super) row: [Option<usize>; 2],
    /// Admittances.
    pub(super) y: [[Complex64; 2]; 2],
}

impl Link {
    /// Current into the link at an end.
    pub(super) fn current(&self, end: usize, u: &[Complex64]) -> Complex64 {
        let other = 1 - end;
        self.y[end][end] * u[self.bus[end]] + self.y[end][other] * u[self.bus[other]]
    }

    /// Power into the link at an end.
    pub(super) fn power(&self, end: usize, u: &[Complex64]) -> Complex64 {
        u[self.bus[end]] * self.current(end, u).conj()
    }

    /// Derivatives of [`Self::power`] by the real and imaginary voltage at this end, then at the
    /// other.
    pub(super) fn power_gradient(&self, end: usize, u: &[Complex64]) -> [Complex64; 4] {
        let i = self.current(end, u).conj();
        let at = u[self.bus[end]];
        let own = at * self.y[end][end].conj();
        let mutual = at * self.y[end][1 - end].conj();
        [
            i + own,
            (i - own) * Complex64::I,
            mutual,
            -mutual * Complex64::I,
        ]
    }
}

/// A source's place in the equations.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceAt {
    /// Index into the grid's sources.
    pub(super) index: usize,
    /// Node.
    pub(super) node: usize,
    /// Balance of its own, for a source behind an impedance: power into the link towards the ideal
    /// voltage plus power of the source is nothing.
    pub(super) own: Option<usize>,
}

/// Where a branch's current is looked at: one of its ends, by phase one conductor there.
#[derive(Clone, Debug)]
pub(super) struct Terminal {
    /// Index into the grid's branches.
    pub(super) branch: usize,
    /// 0 at its from side, 1 at its to side.
    pub(super) side: usize,
    /// By phase: which.
    pub(super) phase: Option<usize>,
    pub(super) bus: usize,
    /// Link and end of all that flows in there.
    pub(super) ends: Vec<(usize, usize)>,
}

/// Buses, balances and links of a network. Buses are its nodes, by phase its nodes' phases, then the ideal
/// voltages of sources behind an impedance.
#[derive(Clone, Debug)]
pub(super) struct Equations {
    /// Buses of a node: 1, or by phase 3. A phase's power is per unit on that part of the base.
    pub(super) phases: usize,
    /// Voltages of buses that are not variables; nothing at the others.
    pub(super) held: Vec<Option<Complex64>>,
    /// Variable of each bus; real part at twice this, imaginary part after it.
    pub(super) variable: Vec<Option<usize>>,
    /// Number of voltage variables (complex).
    pub(super) variables: usize,
    /// Balance of each bus of a node that is energised.
    pub(super) row: Vec<Option<usize>>,
    /// Number of balances (complex).
    pub(super) rows: usize,
    pub(super) links: Vec<Link>,
    /// Links that are one element together.
    pub(super) elements: Vec<Range<usize>>,
    /// In the order of branches, sides and phases.
    pub(super) terminals: Vec<Terminal>,
    /// Connected sources, by phase each phase of them.
    pub(super) sources: Vec<SourceAt>,
}

impl Equations {
    pub(super) fn new(grid: &Grid) -> Self {
        let mut equations = Self::empty(1, grid.energised.iter().copied());
        equations.add_branches(grid);
        equations.add_sources(grid);
        equations.elements = (0..equations.links.len()).map(|k| k..k + 1).collect();
        equations.number_variables();
        equations
    }

    /// Balances of the buses of nodes that are live.
    pub(super) fn empty(phases: usize, live: impl Iterator<Item = bool>) -> Self {
        let mut rows = 0;
        let numbered = live.map(|live| {
            rows += usize::from(live);
            live.then(|| rows - 1)
        });
        let row: Vec<Option<usize>> = numbered.collect();
        Self {
            phases,
            held: vec![None; row.len()],
            variable: Vec::new(),
            variables: 0,
            row,
            rows,
            links: Vec::new(),
            elements: Vec::new(),
            terminals: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// Current into a branch at a terminal.
    pub(super) fn current(&self, terminal: usize, u: &[Complex64]) -> Complex64 {
        let ends = self.terminals[terminal].ends.iter();
        ends.map(|&(link, end)| self.links[link].current(end, u))
            .sum()
    }

    /// Power into a branch at a terminal.
    pub(super) fn power(&self, terminal: usize, u: &[Complex64]) -> Complex64 {
        u[self.terminals[terminal].bus] * self.current(terminal, u).conj()
    }

    /// Buses of a node.
    pub(super) fn buses_of(&self, node: usize) -> Range<usize> {
        self.phases * node..self.phases * (node + 1)
    }

    /// Balances of a node.
    pub(super) fn rows_of(&self, node: usize) -> impl Iterator<Item = usize> {
        self.row[self.buses_of(node)].iter().copied().flatten()
    }

    fn add_branches(&mut self, grid: &Grid) {
        for (k, branch) in grid.branches.iter().enumerate() {
            let ends = [
                (branch.from, branch.from_closed),
                (branch.to, branch.to_closed),
            ];
            self.links.push(Link {
                bus: ends.map(|(node, _)| node),
                row: ends.map(|(node, closed)| self.row[node].filter(|_| closed)),
                y: [[branch.yff, branch.yft], [branch.ytf, branch.ytt]],
            });
            for side in 0..2 {
                self.terminals.push(Terminal {
                    branch: k,
                    side,
                    phase: None,
                    bus: self.links[k].bus[side],
                    ends: vec![(k, side)],
                });
            }
        }
        for (node, &y) in grid.y_shunt.iter().enumerate() {
            if y != Complex64::ZERO {
                self.links.push(Link {
                    bus: [node, node],
                    row: [self.row[node], None],
                    y: [[y, Complex64::ZERO], [Complex64::ZERO; 2]],
                });
            }
        }
    }

    fn add_sources(&mut self, grid: &Grid) {
        let connected = grid.sources.iter().enumerate().filter(|(_, of)| of.closed);
        for (index, source) in connected {
            let node = source.node;
            let own = if source.y.norm() > IDEAL_ADMITTANCE {
                self.held[node] = Some(source.u_ref);
                None
            } else {
                let bus = self.held.len();
                self.held.push(Some(source.u_ref));
                let own = self.rows;
                self.rows += 1;
                let y = source.y;
                self.links.push(Link {
                    bus: [node, bus],
                    row: [Some(own), None],
                    y: [[y, -y], [-y, y]],
                });
                Some(own)
            };
            self.sources.push(SourceAt { index, node, own });
        }
    }

    /// Sets the magnitude of a source's voltage, by its place.
    pub(super) fn set_voltage(&mut self, source: usize, u_pu: f64) {
        let SourceAt { node, own, .. } = self.sources[source];
        let is_its = |link: &&Link| own.is_some() && link.row[0] == own;
        // The link of a source's own balance leads to its voltage.
        let bus = self.links.iter().find(is_its).map_or(node, |of| of.bus[1]);
        if let Some(u) = &mut self.held[bus] {
            *u *= u_pu / u.norm();
        }
    }

    pub(super) fn number_variables(&mut self) {
        self.variable = vec![None; self.held.len()];
        for (node, row) in self.row.iter().enumerate() {
            if row.is_some() && self.held[node].is_none() {
                self.variable[node] = Some(self.variables);
                self.variables += 1;
            }
        }
    }

    /// Bus voltages from node voltages.
    pub(super) fn buses(&self, nodes: &[Complex64]) -> Vec<Complex64> {
        let behind = self.held[nodes.len()..].iter().flatten();
        nodes.iter().chain(behind).copied().collect()
    }

    /// Power that leaves each balance into its links.
    pub(super) fn leaving(&self, u: &[Complex64]) -> Vec<Complex64> {
        let mut leaving = vec![Complex64::ZERO; self.rows];
        for link in &self.links {
            for end in 0..2 {
                if let Some(row) = link.row[end] {
                    leaving[row] += link.power(end, u);
                }
            }
        }
        leaving
    }
}

/// A Hermitian form over the voltages at the two ends of a link:
/// `a |u0|^2 + b |u1|^2 + 2 Re(m conj(u0) u1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Curvature {
    pub(super) a: f64,
    pub(super) b: f64,
    pub(super) m: Complex64,
}

impl Curvature {
    /// Of the powers at the ends of a link, weighted: `sum over ends of Re(w conj-weighted power)`,
    /// with `w = weight of P - j weight of Q`.
    pub(super) fn of(link: &Link, weight: [Complex64; 2]) -> Self {
        let [w0, w1] = weight;
        let y = &link.y;
        Self {
            a: (w0 * y[0][0].conj()).re,
            b: (w1 * y[1][1].conj()).re,
            m: (w0 * y[0][1].conj() + w1.conj() * y[1][0]).conj() * 0.5,
        }
    }

    /// The same with a voltage held: only the other's square is left.
    pub(super) fn with_held(self, held: [bool; 2]) -> Self {
        Self {
            a: if held[0] { 0.0 } else { self.a },
            b: if held[1] { 0.0 } else { self.b },
            m: if held[0] || held[1] {
                Complex64::ZERO
            } else {
                self.m
            },
        }
    }

    /// The nearest form that is nowhere negative, from the closed-form eigenvalues.
    pub(super) fn convex(self) -> Self {
        let Self { a, b, m } = self;
        let mean = 0.5 * (a + b);
        let radius = (0.25 * (a - b).powi(2) + m.norm_sqr()).sqrt();
        let (high, low) = (mean + radius, mean - radius);
        if low >= 0.0 {
            return self;
        }
        if high <= 0.0 {
            return Self {
                a: 0.0,
                b: 0.0,
                m: Complex64::ZERO,
            };
        }
        // Either row of (M - high) v = 0 gives the eigenvector; the longer one keeps its digits.
        let real = |x: f64| Complex64::new(x, 0.0);
        let first = [m, real(high - a)];
        let second = [real(high - b), m.conj()];
        let length = |v: &[Complex64; 2]| v[0].norm_sqr() + v[1].norm_sqr();
        let v = if length(&first) >= length(&second) {
            first
        } else {
            second
        };
        let scale = high / length(&v);
        Self {
            a: scale * v[0].norm_sqr(),
            b: scale * v[1].norm_sqr(),
            m: v[0] * v[1].conj() * scale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(re: f64, im: f64) -> Complex64 {
        Complex64::new(re, im)
    }

    fn link() -> Link {
        Link {
            bus: [0, 1],
            row: [Some(0), Some(1)],
            y: [[c(3.0, -9.0), c(-3.1, 9.2)], [c(-2.7, 9.1), c(3.2, -8.8)]],
        }
    }

    #[test]
    fn power_gradient_is_the_difference_quotient() {
        let link = link();
        let u = [c(1.02, 0.1), c(0.97, -0.05)];
        for end in 0..2 {
            let gradient = link.power_gradient(end, &u);
            for (k, step) in [c(1e-6, 0.0), c(0.0, 1e-6)].into_iter().enumerate() {
                for (which, slot) in [(end, k), (1 - end, 2 + k)] {
                    let (mut more, mut less) = (u, u);
                    more[which] += step;
                    less[which] -= step;
                    let quotient = (link.power(end, &more) - link.power(end, &less)) / 2e-6;
                    assert!(
                        (quotient - gradient[slot]).norm() < 1e-8,
                        "end {end} slot {slot}"
                    );
                }
            }
        }
    }

    #[test]
    fn curvature_is_the_weighted_power() {
        let link = link();
        let u = [c(1.02, 0.1), c(0.97, -0.05)];
        // 50 per P and 3 per Q at the first end, 40 and -2 at the second
        let form = Curvature::of(&link, [c(50.0, -3.0), c(40.0, 2.0)]);
        let value = form.a * u[0].norm_sqr()
            + form.b * u[1].norm_sqr()
            + 2.0 * (form.m * u[0].conj() * u[1]).re;
        let (s0, s1) = (link.power(0, &u), link.power(1, &u));
        let expected = 50.0 * s0.re + 3.0 * s0.im + 40.0 * s1.re - 2.0 * s1.im;
        assert!((value - expected).abs() < 1e-9, "{value} {expected}");
    }

    #[test]
    fn convex_part_keeps_positive_forms_and_drops_negative_ones() {
        let positive = Curvature {
            a: 2.0,
            b: 3.0,
            m: c(1.0, 1.0),
        };
        assert_eq!(positive.convex(), positive);
        let negative = Curvature {
            a: -2.0,
            b: -3.0,
            m: c(1.0, 1.0),
        };
        assert_eq!(
            negative.convex(),
            Curvature {
                a: 0.0,
                b: 0.0,
                m: Complex64::ZERO
            }
        );
        // eigenvalues 3 and -1 with eigenvectors (1, 1) and (1, -1)
        let mixed = Curvature {
            a: 1.0,
            b: 1.0,
            m: c(2.0, 0.0),
        }
        .convex();
        for (value, expected) in [
            (mixed.a, 1.5),
            (mixed.b, 1.5),
            (mixed.m.re, 1.5),
            (mixed.m.im, 0.0),
        ] {
            assert!((value - expected).abs() < 1e-12);
        }
    }
}
