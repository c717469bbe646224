//! What the voltage of the grid above costs a market.

use super::{curve::hull, residual::Market};
use crate::{
    market::clearing::{Clearing, ClearingError, Interface, Status, VoltageCorner},
    network::{S_BASE_VA, SourceBehind},
};

/// What the voltage behind a connection costs a market.
#[derive(Clone, Debug, PartialEq)]
pub struct Voltage {
    /// Resistance of the grid above as the market sees it, ohm at the connection's rated voltage.
    pub r_ohm: f64,
    /// Reactance of it, ohm.
    pub x_ohm: f64,
    /// Convex, by rising voltage, two or more.
    pub corners: Vec<VoltageCorner>,
}

/// Voltages that are looked at either way, as shares of the source's.
const STEPS: [f64; 2] = [0.02, 0.04];
/// Times that a step at which limits cannot be kept is halved.
const HALVED: u32 = 2;
/// Over so much beyond what can be kept a voltage costs as much as all that can be traded, pu.
const WALL_PU: f64 = 0.01;

/// What other voltages of the source cost at an interface's prices, taps as they are: from the forecast's outwards
/// as far as limits can be kept, and beyond that all there is.
pub(super) fn voltage(
    market: &mut Market<'_>,
    interface: Interface,
    forecast: &Clearing,
) -> Result<Option<Voltage>, ClearingError> {
    let connected = |of: &&SourceBehind| of.closed && of.id == interface.source;
    let Some(source) = market.grid.sources.iter().find(connected) else {
        return Ok(None);
    };
    let z_base = market.grid.u_rated[source.node].powi(2) / S_BASE_VA;
    let z = source.y.inv() * z_base;
    let u_ref = interface.u_pu.unwrap_or(source.u_ref.norm());
    let corner = |u_pu: f64, cost_per_h: f64| VoltageCorner { u_pu, cost_per_h };
    let mut corners = vec![corner(u_ref, forecast.cost_per_h)];
    for sign in [-1.0, 1.0] {
        let mut last = corner(u_ref, forecast.cost_per_h);
        let mut tries = STEPS.into_iter();
        let mut next = tries.next();
        let mut halved = 0;
        while let Some(step) = next {
            let share = 1.0 + sign * step;
            if let Some(cost) = market.at_voltage(interface, share * u_ref, forecast)? {
                last = corner(share * u_ref, cost);
                corners.push(last);
                next = if halved == 0 { tries.next() } else { None };
                continue;
            }
            let inside = (last.u_pu / u_ref - 1.0).abs();
            halved += 1;
            next = (halved <= HALVED).then_some(f64::midpoint(inside, step));
        }
        if halved > 0 {
            let wall = last.cost_per_h + market.all_there_is();
            corners.push(corner(last.u_pu + sign * WALL_PU, wall));
        }
    }
    let corners = convex(corners);
    Ok((corners.len() > 1).then_some(Voltage {
        r_ohm: z.re,
        x_ohm: z.im,
        corners,
    }))
}

/// Shortest chord of what comes from elsewhere, pu.
const LEAST_CHORD_PU: f64 = 1e-3;

impl Voltage {
    /// Whether it is a curve within all bounds.
    pub(super) fn is_one(&self) -> bool {
        let bounded =
            |of: &VoltageCorner| (0.1..=3.0).contains(&of.u_pu) && of.cost_per_h.abs() <= 1e12;
        let rises = |of: &[VoltageCorner]| of[1].u_pu - of[0].u_pu >= LEAST_CHORD_PU;
        self.corners.len() >= 2
            && self.corners.iter().all(bounded)
            && self.corners.windows(2).all(rises)
            && [self.r_ohm, self.x_ohm]
                .iter()
                .all(|of| (0.0..=1e4).contains(of))
    }

    /// The convex hull of the corners, with no slope steeper than this, currency per pu and h.
    pub(super) fn corners_within(&self, most: f64) -> Vec<VoltageCorner> {
        let mut corners = convex(self.corners.clone());
        let mut before = corners.first().copied();
        let mut cost_per_h = before.map_or(0.0, |of| of.cost_per_h);
        for of in &mut corners {
            if let Some(before) = before
                && of.u_pu > before.u_pu
            {
                cost_per_h += slope(&before, of).clamp(-most, most) * (of.u_pu - before.u_pu);
            }
            before = Some(*of);
            of.cost_per_h = cost_per_h;
        }
        corners
    }
}

/// Currency per pu and h.
fn slope(a: &VoltageCorner, b: &VoltageCorner) -> f64 {
    (b.cost_per_h - a.cost_per_h) / (b.u_pu - a.u_pu)
}

/// The lower hull of corners in any sequence.
fn convex(mut corners: Vec<VoltageCorner>) -> Vec<VoltageCorner> {
    corners.sort_by(|a, b| a.u_pu.total_cmp(&b.u_pu));
    hull(corners, |a, b, c| slope(a, b) >= slope(b, c))
}

impl Market<'_> {
    /// Cost with another voltage of the source; nothing where limits cannot be kept.
    fn at_voltage(
        &mut self,
        interface: Interface,
        u_pu: f64,
        near: &Clearing,
    ) -> Result<Option<f64>, ClearingError> {
        let interface = Interface {
            u_pu: Some(u_pu),
            ..interface
        };
        let clearing = self.clear(interface, Some(near))?;
        let is_kept = !matches!(clearing.status, Status::LeastViolation { .. });
        Ok(is_kept.then_some(clearing.cost_per_h))
    }

    /// All that is asked and offered, at the highest price, per h.
    fn all_there_is(&self) -> f64 {
        let steps = self.case.orders.iter().flat_map(|order| &order.steps);
        let power: f64 = steps.map(|step| step.quantity_w as f64 / S_BASE_VA).sum();
        let prices = self.ends().map(|of| of.per_mwh().abs());
        power.max(1.0) * prices[0].max(prices[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_made_convex_and_no_steeper_than_it_may_be() {
        let corner = |(u_pu, cost_per_h): (f64, f64)| VoltageCorner { u_pu, cost_per_h };
        let of = Voltage {
            r_ohm: 0.0,
            x_ohm: 1.0,
            // The third is above the chord of its neighbours.
            corners: [
                (0.98, 10.0),
                (1.0, 0.0),
                (1.02, 9.0),
                (1.04, 10.0),
                (1.05, 1e6),
            ]
            .map(corner)
            .to_vec(),
        };
        assert!(of.is_one());
        let within = of.corners_within(300.0);
        // By hand: slopes -500, 250 and 1e8, the outer two cut to 300.
        let expected = [(0.98, 10.0), (1.0, 4.0), (1.04, 14.0), (1.05, 17.0)];
        assert_eq!(within.len(), expected.len());
        for (of, (u_pu, cost_per_h)) in within.iter().zip(expected) {
            assert!((of.u_pu - u_pu).abs() < 1e-12, "{within:?}");
            assert!((of.cost_per_h - cost_per_h).abs() < 1e-9, "{within:?}");
        }
    }
}
