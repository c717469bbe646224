//! How a quantity of the network answers to load at every balance: the Jacobian of the AC
//! equations at a point, transposed and factored once (the adjoint method), so that each quantity
//! costs one substitution whatever the number of nodes.

use num_complex::Complex64;

use super::{
    limits::On,
    physics::{Equations, SourceAt},
    problem::SourcePrice,
};
use crate::sparse::{Block, BlockLu};

/// Derivatives of a quantity by the unknowns of some balances. The unknown of a balance is its
/// node's voltage (real, imaginary); of an ideal source's node and of a source's own balance it
/// is that source's power (active, reactive).
pub(super) type Gradient = Vec<(usize, [f64; 2])>;

/// The transposed Jacobian, factored.
pub(super) struct Adjoint<'a> {
    equations: &'a Equations,
    /// Bus voltages.
    u: &'a [Complex64],
    lu: BlockLu<2>,
}

impl<'a> Adjoint<'a> {
    /// At a point; nothing where the Jacobian is singular, at the limit of voltage stability.
    pub(super) fn new(equations: &'a Equations, u: &'a [Complex64]) -> Option<Self> {
        let mut entries: Vec<(usize, usize, Block<2>)> = Vec::new();
        for link in &equations.links {
            for end in 0..2 {
                let Some(row) = link.row[end] else { continue };
                // The link towards a source has the source's own balance at its end. Summed into the
                // node's, it leaves the source's power in its own balance alone: otherwise the
                // network would be eliminated without its source, which is all but singular.
                let node = equations.row[link.bus[end]].filter(|&node| node != row);
                let d = link.power_gradient(end, u);
                for (bus, slot) in [(link.bus[end], 0), (link.bus[1 - end], 2)] {
                    let Some(column) = unknown(equations, bus) else {
                        continue;
                    };
                    let (re, im) = (d[slot], d[slot + 1]);
                    for row in [Some(row), node].into_iter().flatten() {
                        entries.push((column, row, [[re.re, re.im], [im.re, im.im]]));
                    }
                }
            }
        }
        for source in &equations.sources {
            let own = source_row(equations, source);
            let sign = if source.own.is_some() { 1.0 } else { -1.0 };
            entries.push((own, own, [[sign, 0.0], [0.0, sign]]));
        }
        let edges: Vec<(usize, usize)> = entries
            .iter()
            .filter(|(row, column, _)| row != column)
            .map(|&(row, column, _)| (row.min(column), row.max(column)))
            .collect();
        let mut lu = BlockLu::<2>::new(equations.rows, &edges);
        for (row, column, block) in &entries {
            let slot = lu.slot(*row, *column).expect("its edge is in the pattern");
            lu.add(slot, block);
        }
        lu.factor().ok()?;
        Some(Self { equations, u, lu })
    }

    /// At nodes: derivative of a quantity by active (real part) and reactive load (imaginary part) there,
    /// sources making up for it.
    pub(super) fn by_load(&mut self, gradient: &Gradient) -> Vec<Complex64> {
        let mut x = vec![[0.0; 2]; self.equations.rows];
        for &(row, [a, b]) in gradient {
            x[row][0] -= a;
            x[row][1] -= b;
        }
        self.lu.solve(&mut x);
        x.into_iter().map(|[p, q]| Complex64::new(p, q)).collect()
    }

    /// Gradient of the active power that a source delivers, all phases together.
    pub(super) fn of_source(&self, of: &SourcePrice) -> Gradient {
        let share = 1.0 / self.equations.phases as f64;
        let phases = self.equations.sources[of.at.clone()].iter();
        let row = |at: &SourceAt| source_row(self.equations, at);
        phases.map(|at| (row(at), [share, 0.0])).collect()
    }

    /// Gradient of what depends on the voltage of one bus.
    pub(super) fn of_voltage(&self, bus: usize, by_u: [f64; 2]) -> Gradient {
        let row = unknown(self.equations, bus).into_iter();
        row.map(|row| (row, by_u)).collect()
    }

    /// Gradient of a limit's value, rising towards the limit: less voltage for a lowest voltage.
    pub(super) fn of_limit(&self, on: On, sources: &[SourcePrice]) -> Gradient {
        match on {
            On::UMax(bus) => self.of_modulus(self.u[bus], [(bus, Complex64::ONE)]),
            On::UMin(bus) => self.of_modulus(-self.u[bus], [(bus, Complex64::ONE)]),
            On::Current(terminal) => {
                let ends = self.equations.terminals[terminal].ends.iter();
                let terms = ends.flat_map(|&(link, end)| {
                    let of = &self.equations.links[link];
                    [0, 1].map(|side| (of.bus[side], of.y[end][side]))
                });
                self.of_modulus(self.equations.current(terminal, self.u), terms)
            }
            On::Apparent(terminal) => {
                let s = self.equations.power(terminal, self.u);
                let direction = s.conj() / s.norm().max(f64::MIN_POSITIVE);
                let ends = self.equations.terminals[terminal].ends.iter();
                let known = ends.flat_map(|&(link, end)| {
                    let of = &self.equations.links[link];
                    let d = of.power_gradient(end, self.u);
                    let buses = [(of.bus[end], 0), (of.bus[1 - end], 2)];
                    buses.into_iter().filter_map(move |(bus, slot)| {
                        let row = unknown(self.equations, bus)?;
                        Some((row, [0, 1].map(|part| (direction * d[slot + part]).re)))
                    })
                });
                known.collect()
            }
            On::Import(k) => self.of_source(&sources[k]),
            On::Export(k) => {
                let gradient = self.of_source(&sources[k]).into_iter();
                gradient.map(|(row, [a, b])| (row, [-a, -b])).collect()
            }
        }
    }

    /// Of the modulus of a sum of voltages times coefficients.
    fn of_modulus(
        &self,
        value: Complex64,
        terms: impl IntoIterator<Item = (usize, Complex64)>,
    ) -> Gradient {
        let direction = value.conj() / value.norm().max(f64::MIN_POSITIVE);
        let known = terms
            .into_iter()
            .filter_map(|(bus, y)| Some((unknown(self.equations, bus)?, direction * y)));
        known
            .map(|(row, d)| (row, [d.re, (d * Complex64::I).re]))
            .collect()
    }
}

/// Balance that goes with a source's power.
fn source_row(equations: &Equations, source: &SourceAt) -> usize {
    let node = equations.row[source.node];
    let row = source.own.or(node);
    row.expect("a connected source energises its node")
}

/// Balance that goes with a bus's voltage; none where it is held.
fn unknown(equations: &Equations, bus: usize) -> Option<usize> {
    equations.variable[bus].and(equations.row.get(bus).copied().flatten())
}
