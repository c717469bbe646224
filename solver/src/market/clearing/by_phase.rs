//! The network's equations by phase: each phase of a node is a bus. A branch of several phases is a
//! multi-port, here the links between each two of its conductors' ends; what it costs to bend it is
//! judged of all of them together.

use std::ops::Range;

use num_complex::Complex64;

use super::physics::{Curvature, Equations, IDEAL_ADMITTANCE, Link, SourceAt, Terminal};
use crate::network::{Grid, Matrix3, PhaseGrid, balanced};

const ZERO: Complex64 = Complex64::ZERO;

/// A port of an element: its bus, and the balance that its power leaves from.
type Port = (usize, Option<usize>);

impl Equations {
    /// By phase; bus `3 k + p` is phase `p` of node `k`.
    pub(super) fn by_phase(grid: &Grid, phases: &PhaseGrid) -> Self {
        let live = (0..grid.node_id.len()).flat_map(|node| {
            let live = phases.live_phases(node);
            live.map(|live| live && grid.energised[node])
        });
        let mut equations = Self::empty(3, live);
        for k in 0..grid.branches.len() {
            equations.add_branch_by_phase(grid, phases, k);
        }
        for (node, y) in phases.y_shunt.iter().enumerate() {
            let ports = equations.ports(node, true);
            let first = equations.links.len();
            equations.add_multi_port(&ports, |i, j| y.0[i][j]);
            equations.end_element(first);
        }
        equations.add_sources_by_phase(grid, phases);
        equations.number_variables();
        equations
    }

    fn ports(&self, node: usize, closed: bool) -> [Port; 3] {
        [0, 1, 2].map(|p| {
            let bus = 3 * node + p;
            (bus, self.row[bus].filter(|_| closed))
        })
    }

    /// Links of an element with an admittance from each port to each.
    fn add_multi_port(&mut self, ports: &[Port], y: impl Fn(usize, usize) -> Complex64) {
        for (i, &(bus, row)) in ports.iter().enumerate() {
            if y(i, i) != ZERO && row.is_some() {
                self.links.push(Link {
                    bus: [bus, bus],
                    row: [row, None],
                    y: [[y(i, i), ZERO], [ZERO; 2]],
                });
            }
            for (j, &(other, other_row)) in ports.iter().enumerate().skip(i + 1) {
                let mutual = [y(i, j), y(j, i)];
                if mutual != [ZERO; 2] && (row.is_some() || other_row.is_some()) {
                    self.links.push(Link {
                        bus: [bus, other],
                        row: [row, other_row],
                        y: [[ZERO, mutual[0]], [mutual[1], ZERO]],
                    });
                }
            }
        }
    }

    fn end_element(&mut self, first: usize) {
        if self.links.len() > first {
            self.elements.push(first..self.links.len());
        }
    }

    fn add_branch_by_phase(&mut self, grid: &Grid, phases: &PhaseGrid, k: usize) {
        let (branch, y) = (&grid.branches[k], &phases.branches[k]);
        let from = self.ports(branch.from, branch.from_closed);
        let to = self.ports(branch.to, branch.to_closed);
        let ports = [from, to].concat();
        let blocks = [[&y.yff, &y.yft], [&y.ytf, &y.ytt]];
        let first = self.links.len();
        self.add_multi_port(&ports, |i, j| blocks[i / 3][j / 3].0[i % 3][j % 3]);
        let links = first..self.links.len();
        for (side, ports) in [from, to].into_iter().enumerate() {
            for (phase, (bus, row)) in ports.into_iter().enumerate() {
                let ends = self.ends_at(links.clone(), bus);
                if row.is_some() && !ends.is_empty() {
                    self.terminals.push(Terminal {
                        branch: k,
                        side,
                        phase: Some(phase),
                        bus,
                        ends,
                    });
                }
            }
        }
        self.end_element(first);
    }

    /// Ends of some links at a bus.
    fn ends_at(&self, links: Range<usize>, bus: usize) -> Vec<(usize, usize)> {
        let ends = links.flat_map(|link| [(link, 0), (link, 1)]);
        // A link from a bus to earth has its other end there only in name.
        let at = |&(link, end): &(usize, usize)| {
            let of = &self.links[link];
            of.bus[end] == bus && (end == 0 || of.bus[0] != bus)
        };
        ends.filter(at).collect()
    }

    /// Three ideal voltages behind the source's impedance, each with a balance of its own; or, without one,
    /// three held voltages at the node.
    fn add_sources_by_phase(&mut self, grid: &Grid, phases: &PhaseGrid) {
        let connected = grid.sources.iter().enumerate().filter(|(_, of)| of.closed);
        for (index, source) in connected {
            let behind = balanced(source.u_ref);
            let ideal = source.y.norm() > IDEAL_ADMITTANCE;
            let mut ports: Vec<Port> = Vec::new();
            for (p, u) in behind.into_iter().enumerate() {
                let node = 3 * source.node + p;
                let own = if ideal {
                    self.held[node] = Some(u);
                    None
                } else {
                    self.rows += 1;
                    Some(self.rows - 1)
                };
                ports.push((node, own));
                self.sources.push(SourceAt { index, node, own });
            }
            if !ideal {
                for u in behind {
                    ports.push((self.held.len(), None));
                    self.held.push(Some(u));
                }
                let y: &Matrix3 = &phases.sources[index];
                let first = self.links.len();
                self.add_multi_port(&ports, |i, j| {
                    let sign = if (i < 3) == (j < 3) { 1.0 } else { -1.0 };
                    y.0[i % 3][j % 3] * sign
                });
                self.end_element(first);
            }
        }
    }
}

/// A Hermitian form over the voltages of several buses.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) buses: Vec<usize>,
    pub(super) h: Vec<Vec<Complex64>>,
}

impl Form {
    /// The sum of forms over two buses each.
    pub(super) fn sum(parts: impl Iterator<Item = ([usize; 2], Curvature)>) -> Self {
        let mut form = Self {
            buses: Vec::new(),
            h: Vec::new(),
        };
        for ([a, b], part) in parts {
            let [i, j] = [a, b].map(|bus| form.place(bus));
            form.h[i][i].re += part.a;
            if i != j {
                form.h[j][j].re += part.b;
                form.h[i][j] += part.m;
                form.h[j][i] += part.m.conj();
            }
        }
        form
    }

    fn place(&mut self, bus: usize) -> usize {
        if let Some(at) = self.buses.iter().position(|&of| of == bus) {
            return at;
        }
        self.buses.push(bus);
        for row in &mut self.h {
            row.push(ZERO);
        }
        self.h.push(vec![ZERO; self.buses.len()]);
        self.buses.len() - 1
    }

    /// The nearest form that is nowhere negative, by the cyclic Jacobi method (Golub and Van Loan, "Matrix
    /// Computations", 8.5) on the real symmetric matrix of twice the size.
    pub(super) fn convex(mut self) -> Self {
        let n = self.buses.len();
        let mut a = vec![vec![0.0; 2 * n]; 2 * n];
        for i in 0..n {
            for j in 0..n {
                let h = self.h[i][j];
                (a[i][j], a[i + n][j + n]) = (h.re, h.re);
                (a[i][j + n], a[i + n][j]) = (-h.im, h.im);
            }
        }
        let v = jacobi(&mut a);
        let values: Vec<f64> = (0..2 * n).map(|k| a[k][k].max(0.0)).collect();
        let entry =
            |i: usize, j: usize| -> f64 { (0..2 * n).map(|k| v[i][k] * values[k] * v[j][k]).sum() };
        for i in 0..n {
            for j in 0..n {
                self.h[i][j] = Complex64::new(entry(i, j), entry(i + n, j));
            }
        }
        self
    }
}

/// Sweeps at most; convergence is quadratic, and ten are never needed at this size.
const SWEEPS: usize = 30;

/// Makes a symmetric matrix diagonal; its eigenvectors, by columns.
fn jacobi(a: &mut [Vec<f64>]) -> Vec<Vec<f64>> {
    let n = a.len();
    let mut v = vec![vec![0.0; n]; n];
    for (k, row) in v.iter_mut().enumerate() {
        row[k] = 1.0;
    }
    let size: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _ in 0..SWEEPS {
        let pairs = || (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q)));
        let off: f64 = pairs().map(|(p, q)| a[p][q] * a[p][q]).sum();
        if off <= 1e-30 * size {
            break;
        }
        for (p, q) in pairs() {
            if a[p][q] != 0.0 {
                rotate(a, &mut v, p, q);
            }
        }
    }
    v
}

fn rotate(a: &mut [Vec<f64>], v: &mut [Vec<f64>], p: usize, q: usize) {
    let n = a.len();
    let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k][p], a[k][q]);
        (a[k][p], a[k][q]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..n {
        let (x, y) = (a[p][k], a[q][k]);
        (a[p][k], a[q][k]) = (c * x - s * y, s * x + c * y);
    }
    for row in v.iter_mut() {
        let (x, y) = (row[p], row[q]);
        (row[p], row[q]) = (c * x - s * y, s * x + c * y);
    }
}
