//! Where in the network power is injected.

use std::ops::Range;

use num_complex::Complex64;

use super::physics::Equations;

/// Where power is injected: balances that share it alike, one unless by phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    first: usize,
    count: usize,
    /// Bases of a balance in the system's.
    phases: usize,
}

impl Place {
    /// All live phases of a node, or one; nothing where none is.
    pub(super) fn new(equations: &Equations, node: usize, phase: Option<usize>) -> Option<Self> {
        let phases = equations.phases;
        if let Some(phase) = phase {
            let first = equations.row[phases * node + phase]?;
            return Some(Self {
                first,
                count: 1,
                phases,
            });
        }
        // Balances of a node's phases follow one another.
        let mut rows = equations.rows_of(node);
        let first = rows.next()?;
        Some(Self {
            first,
            count: 1 + rows.count(),
            phases,
        })
    }

    pub(super) fn rows(&self) -> Range<usize> {
        self.first..self.first + self.count
    }

    /// Power at each of the balances, pu of it, for 1 pu of the system's.
    pub(super) fn share(&self) -> f64 {
        self.phases as f64 / self.count as f64
    }

    /// Price here, of prices at the balances; or a quantity's derivative by power here, of those by power at
    /// the balances.
    pub(super) fn price(&self, row: &[Complex64]) -> Complex64 {
        row[self.rows()].iter().sum::<Complex64>() * self.share()
    }

    /// Adds a power, pu of the system's, to those at the balances.
    pub(super) fn add(&self, power: Complex64, to: &mut [Complex64]) {
        let each = power * self.share();
        to[self.rows()].iter_mut().for_each(|of| *of += each);
    }
}
