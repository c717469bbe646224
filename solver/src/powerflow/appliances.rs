//! What loads and generators inject, by how their power follows voltage.

use num_complex::Complex64;

use crate::network::{Appliance, Grid, LoadKind};

/// Injections of a node: `power + current |u| + impedance |u|²`, generation-positive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Zip {
    pub(super) power: Complex64,
    pub(super) current: Complex64,
    pub(super) impedance: Complex64,
}

impl Zip {
    /// Adds the power `s` at 1 pu.
    pub(super) fn add(&mut self, kind: LoadKind, s: Complex64) {
        match kind {
            LoadKind::Power => self.power += s,
            LoadKind::Current => self.current += s,
            LoadKind::Impedance => self.impedance += s,
        }
    }

    /// Power at this voltage.
    pub(super) fn at(&self, u: f64) -> Complex64 {
        self.power + (self.current + self.impedance * u) * u
    }

    /// `|u|` times the derivative by `|u|`.
    pub(super) fn slope(&self, u: f64) -> Complex64 {
        (self.current + self.impedance * (2.0 * u)) * u
    }

    /// Power at 1 pu.
    pub(super) fn rated(&self) -> Complex64 {
        self.power + self.current + self.impedance
    }
}

/// Sums the grid's appliances and the extra constant injections by node.
pub(super) fn collect(grid: &Grid, injections: &[Complex64], zip: &mut [Zip]) {
    zip.fill(Zip::default());
    for a in grid.appliances.iter().filter(|a| a.closed) {
        zip[a.node].add(a.load_kind, a.s);
    }
    for (node, s) in zip.iter_mut().zip(injections) {
        node.power += s;
    }
}

/// What one appliance injects at this voltage of its node.
pub(super) fn power(appliance: &Appliance, u: f64) -> Complex64 {
    if !appliance.closed || u == 0.0 {
        return Complex64::ZERO;
    }
    let mut zip = Zip::default();
    zip.add(appliance.load_kind, appliance.s);
    zip.at(u)
}
