//! What the voltage of the grid above costs a market below, as a cost of this one.
//!
//! A market below computes with a source: a voltage `E` behind an impedance `z`. Taking a power `s` at a node of
//! voltage `u`, it is as if `E = u + z (s/u)*` stood behind: what it does itself does not change that, what all
//! others do does. The cost of `|E|` is convex and piecewise linear. A programme has the tangent of `|E|`, its
//! points have the voltage itself; where they meet both are exact.

use num_complex::Complex64;

use super::{
    ClearingError, VoltagePrice, VoltageWorth, case_checks::bad, layout::Layout, problem::Problem,
    programme::At, rows::Rows,
};
use crate::{
    market::Unit,
    network::{Id, S_BASE_VA},
};

/// A [`VoltageWorth`], per unit.
#[derive(Clone, Debug)]
pub(super) struct WorthAt {
    /// The unit.
    pub(super) unit: Id,
    /// Bus of its node.
    pub(super) bus: usize,
    /// Balance of its node.
    row: usize,
    /// Blocks of the unit.
    blocks: Vec<usize>,
    /// Power of it that is not in blocks, generation-positive.
    pub(super) fixed: Complex64,
    z: Complex64,
    /// Slope, and what it would be at no voltage: the cost is the highest of these lines.
    lines: Vec<(f64, f64)>,
}

/// `|E|` at a point, and how it changes.
pub(super) struct Tangent {
    value: f64,
    /// By real and imaginary part of the node's voltage.
    pub(super) by_u: [f64; 2],
    /// By active and reactive power that the unit gives.
    by_s: [f64; 2],
}

impl WorthAt {
    /// Those of a case whose units are at live nodes.
    pub(super) fn all(problem: &Problem<'_>) -> Vec<Self> {
        let case = problem.case;
        let of = |of: &VoltageWorth| {
            let is_its = |unit: &Unit| unit.id == of.unit;
            let unit = |at: usize| is_its(&case.units[at]);
            let k = problem.units.iter().position(|at| unit(at.index))?;
            let node = case.units[problem.units[k].index].node;
            let bus = problem.grid.index_of_node(node)?;
            let blocks = problem.blocks.iter().enumerate();
            let own = blocks.filter(|(_, block)| block.unit == Some(k));
            let z_base = problem.grid.u_rated[bus].powi(2) / S_BASE_VA;
            Some(Self {
                unit: of.unit,
                bus,
                row: problem.units[k].at.rows().start,
                blocks: own.map(|(block, _)| block).collect(),
                fixed: Complex64::new(of.p_w, of.q_var) / S_BASE_VA,
                z: Complex64::new(of.r_ohm, of.x_ohm) / z_base,
                lines: of.lines(),
            })
        };
        case.voltages.iter().filter_map(of).collect()
    }

    /// What the unit gives in its blocks.
    fn given(&self, problem: &Problem<'_>, fill: &[f64]) -> Complex64 {
        let own = self.blocks.iter();
        own.map(|&k| problem.blocks[k].direction() * fill[k]).sum()
    }

    /// At a voltage of its node, the unit giving a power besides the fixed one.
    pub(super) fn tangent(&self, u: Complex64, given: Complex64) -> Tangent {
        let w = -self.z * (self.fixed + given).conj();
        let e = u + w / u.conj();
        let direction = e.conj() / e.norm().max(f64::MIN_POSITIVE);
        let part = |d: Complex64| (direction * d).re;
        let bent = w / u.conj().powi(2);
        Tangent {
            value: e.norm(),
            by_u: [1.0 - bent, Complex64::I * (1.0 + bent)].map(part),
            by_s: [-self.z / u.conj(), self.z * Complex64::I / u.conj()].map(part),
        }
    }

    fn at(&self, problem: &Problem<'_>, u: &[Complex64], fill: &[f64]) -> Tangent {
        self.tangent(u[self.bus], self.given(problem, fill))
    }

    /// Cost at a point, currency per h.
    pub(super) fn cost(&self, problem: &Problem<'_>, u: &[Complex64], fill: &[f64]) -> f64 {
        let u = self.at(problem, u, fill).value;
        let lines = self
            .lines
            .iter()
            .map(|(slope, at_none)| slope * u + at_none);
        lines.fold(f64::NEG_INFINITY, f64::max)
    }

    /// Rows of a programme: its cost, over the price scale, is above each line. Says where the first is.
    pub(super) fn rows(
        &self,
        problem: &Problem<'_>,
        at: &At<'_>,
        layout: &Layout,
        cost: usize,
        rows: &mut Rows,
    ) -> usize {
        let tangent = self.at(problem, at.u, at.fill);
        let [by_p, by_q] = tangent.by_s;
        let of = |s: Complex64| by_p * s.re + by_q * s.im;
        let own = layout.blocks().filter(|(k, _)| self.blocks.contains(k));
        let own = own.map(|(k, column)| (column, of(problem.blocks[k].direction())));
        // Blocks are as much as they are, voltages what they change by.
        let constant = tangent.value - of(self.given(problem, at.fill));
        let [re, im] = tangent.by_u;
        let variable = problem.equations.variable[self.bus].into_iter();
        let by_u = variable.flat_map(|v| [(2 * v, re), (2 * v + 1, im)]);
        let gradient: Vec<(usize, f64)> = by_u.chain(own).collect();
        let first = rows.b.len();
        for (slope, at_none) in &self.lines {
            let scaled = slope / problem.price_scale;
            let row = gradient.iter().map(|&(column, d)| (column, scaled * d));
            rows.push_not_negative(
                -(scaled * constant + at_none / problem.price_scale),
                row.chain([(cost, -1.0)]),
            );
        }
        first
    }

    /// Slope of the cost where a programme ended, of the lines' multipliers, the first of which is named:
    /// the mean of those that hold.
    pub(super) fn slope(&self, first: usize, z: &[f64]) -> f64 {
        let lines = self.lines.iter().zip(&z[first..]);
        let (sum, weight) = lines.fold((0.0, 0.0), |(sum, weight), ((slope, _), z)| {
            let z = z.max(0.0);
            (sum + slope * z, weight + z)
        });
        sum / weight.max(f64::MIN_POSITIVE)
    }

    /// What it comes to at a point with prices at each balance.
    pub(super) fn priced(
        &self,
        problem: &Problem<'_>,
        (u, fill): (&[Complex64], &[f64]),
        prices: &[Complex64],
        slope: f64,
    ) -> VoltagePrice {
        let tangent = self.at(problem, u, fill);
        let price = prices[self.row];
        VoltagePrice {
            unit: self.unit,
            u_pu: tangent.value,
            slope_per_h: slope,
            p_per_mwh: price.re - slope * tangent.by_s[0],
            q_per_mvarh: -price.im - slope * tangent.by_s[1],
        }
    }
}

impl VoltageWorth {
    /// Slope of each chord, and what its line would be at no voltage.
    fn lines(&self) -> Vec<(f64, f64)> {
        let chords = self.corners.windows(2).map(|pair| {
            let (a, b) = (&pair[0], &pair[1]);
            let slope = (b.cost_per_h - a.cost_per_h) / (b.u_pu - a.u_pu);
            (slope, a.cost_per_h - slope * a.u_pu)
        });
        chords.collect()
    }

    /// That it is a convex curve.
    pub(super) fn check(&self) -> Result<(), ClearingError> {
        let what =
            |what: &str| format!("{what} of what the voltage behind unit {} costs", self.unit);
        let figures = [self.p_w, self.q_var, self.r_ohm, self.x_ohm].into_iter();
        let corners = self.corners.iter().flat_map(|of| [of.u_pu, of.cost_per_h]);
        if let Some(odd) = figures.chain(corners).find(|of| !of.is_finite()) {
            return Err(bad(what("a figure"), odd, "finite"));
        }
        let pairs = self.corners.windows(2);
        let rises = pairs.map(|of| of[1].u_pu - of[0].u_pu);
        let least = rises.fold(f64::INFINITY, f64::min);
        if self.corners.len() < 2 || least < LEAST_CHORD_PU {
            let least = if self.corners.len() < 2 { 0.0 } else { least };
            let expected = "two corners or more, 1e-6 pu or more apart by rising voltage";
            return Err(bad(what("the least chord, pu,"), least, expected));
        }
        let lines = self.lines();
        if let Some(pair) = lines.windows(2).find(|of| of[0].0 > of[1].0) {
            let expected = "not below the one before: the cost is convex";
            return Err(bad(what("a slope"), pair[1].0, expected));
        }
        Ok(())
    }
}

/// Shortest chord of a cost, pu.
const LEAST_CHORD_PU: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::clearing::VoltageCorner;

    fn worth() -> WorthAt {
        WorthAt {
            unit: 1,
            bus: 0,
            row: 0,
            blocks: Vec::new(),
            fixed: Complex64::new(-0.5, -1.0),
            z: Complex64::new(0.02, 0.03),
            lines: Vec::new(),
        }
    }

    #[test]
    fn the_tangent_is_the_difference_quotient() {
        let (u, given) = (Complex64::new(1.01, -0.08), Complex64::new(2.0, -0.7));
        let at = |u, s| worth().tangent(u, s).value;
        let quotient = |more: f64, less: f64| (more - less) / 2e-6;
        let tangent = worth().tangent(u, given);
        for (k, step) in [Complex64::new(1e-6, 0.0), Complex64::new(0.0, 1e-6)]
            .into_iter()
            .enumerate()
        {
            let by_u = quotient(at(u + step, given), at(u - step, given));
            let by_s = quotient(at(u, given + step), at(u, given - step));
            assert!((by_u - tangent.by_u[k]).abs() < 1e-8, "{k}");
            assert!((by_s - tangent.by_s[k]).abs() < 1e-8, "{k}");
        }
    }

    #[test]
    fn the_voltage_behind_is_that_of_a_source() {
        // By hand: 1 pu taken at 1 pu over 0.02 + 0.03j.
        let mut of = worth();
        of.fixed = Complex64::new(-1.0, 0.0);
        let value = of.tangent(Complex64::ONE, Complex64::ZERO).value;
        assert!((value - (1.02f64.powi(2) + 0.03f64.powi(2)).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_convex_curve_is_refused() {
        let of = |corners: &[(f64, f64)]| {
            let corner = |&(u_pu, cost_per_h)| VoltageCorner { u_pu, cost_per_h };
            let worth = VoltageWorth {
                unit: 7,
                p_w: 0.0,
                q_var: 0.0,
                r_ohm: 1.0,
                x_ohm: 1.0,
                corners: corners.iter().map(corner).collect(),
            };
            worth.check().map_err(|error| error.to_string())
        };
        assert_eq!(of(&[(1.0, 0.0), (1.02, 0.0), (1.04, 5.0)]), Ok(()));
        for odd in [
            &[(1.0, 0.0)][..],
            &[(1.0, 0.0), (1.0, 1.0)],
            &[(1.0, 0.0), (1.02, 5.0), (1.04, 5.0)],
            &[(1.0, 0.0), (1.02, f64::NAN)],
        ] {
            let refused = of(odd).unwrap_err();
            assert!(refused.contains("unit 7"), "{refused}");
        }
    }
}
