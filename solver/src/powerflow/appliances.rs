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

    /// Current with the voltage `u` across, `rated` at 1 pu: `conj(power / u)`.
    pub(super) fn injected(&self, u: Complex64, rated: f64) -> Complex64 {
        let square = u.norm_sqr();
        if square == 0.0 {
            return Complex64::ZERO;
        }
        let inverse = 1.0 / square;
        let mut s = self.power * inverse + self.impedance * (1.0 / (rated * rated));
        if self.current != Complex64::ZERO {
            s += self.current * (inverse.sqrt() * (1.0 / rated));
        }
        s.conj() * u
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

/// Current of a constant power at this voltage, `conj(power / u)`; none without voltage.
#[inline]
pub(super) fn injected(power: Complex64, u: Complex64) -> Complex64 {
    let square = u.norm_sqr();
    let inverse = if square == 0.0 { 0.0 } else { 1.0 / square };
    (power * inverse).conj() * u
}

/// Sums the grid's appliances and the extra constant injections of each node at its `place`.
pub(super) fn collect(grid: &Grid, injections: &[Complex64], place: &[usize], zip: &mut [Zip]) {
    zip.fill(Zip::default());
    for a in grid.appliances.iter().filter(|a| a.closed) {
        zip[place[a.node]].add(a.load_kind, a.s);
    }
    for (&k, s) in place.iter().zip(injections) {
        zip[k].power += s;
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
