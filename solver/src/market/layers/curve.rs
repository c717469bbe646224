//! Points of a convex cost as a curve of whole watts and whole micro-currency, its prices strictly falling.

use num_complex::Complex64;

use super::ResidualCorner;
use crate::{market::contract::price, network::S_BASE_VA};

/// What an exchange costs below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Exchange, import-positive, pu.
    pub(super) s: Complex64,
    /// Cost of the orders at it, currency per h.
    pub(super) cost: f64,
}

impl Point {
    /// What it costs where exchange has this price, currency per MWh.
    pub(super) fn at_price(&self, price: f64) -> f64 {
        self.cost + price * self.s.re
    }
}

/// What a unit of import is worth between two points, per MWh.
pub(super) fn worth(a: &Point, b: &Point) -> f64 {
    (a.cost - b.cost) / (b.s.re - a.s.re)
}

/// The corners of the points' lower hull. The range's ends are rounded inwards: what is beyond cannot be.
/// Corners that fall on one watt, or between which the price does not fall by a millionth, are one.
pub(super) fn corners(points: &[Point]) -> Vec<ResidualCorner> {
    let mut points = points.to_vec();
    points.sort_by(|a, b| {
        (a.s.re, a.cost)
            .partial_cmp(&(b.s.re, b.cost))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    points.dedup_by_key(|point| watts(point.s.re));
    let hull = hull(points, |a, b, c| price(worth(a, b)) <= price(worth(b, c)));
    let (first, last) = (0, hull.len().saturating_sub(1));
    let rounded = hull.iter().enumerate().map(|(k, point)| {
        let w = point.s.re * S_BASE_VA;
        // A hair off a whole watt is that watt.
        let exchange = match (k == first, k == last) {
            (true, false) => (w - 1e-3).ceil(),
            (false, true) => (w + 1e-3).floor(),
            _ => w.round_ties_even(),
        };
        let next = hull.get(k + 1).map(|next| price(worth(point, next)));
        ResidualCorner {
            exchange_w: exchange as i64,
            price: next.unwrap_or_default(),
            q_var: watts(point.s.im),
        }
    });
    let mut corners: Vec<ResidualCorner> = rounded.collect();
    // Rounded inwards, an end may have met its neighbour.
    corners.dedup_by(|next, kept| {
        let meets = next.exchange_w <= kept.exchange_w;
        if meets {
            kept.price = next.price;
        }
        meets
    });
    corners
}

/// The lower hull of points from left to right, given which three are not convex: Andrew, "Another efficient
/// algorithm for convex hulls in two dimensions" (1979), the lower half.
pub(super) fn hull<P>(
    points: impl IntoIterator<Item = P>,
    is_above: impl Fn(&P, &P, &P) -> bool,
) -> Vec<P> {
    let mut hull: Vec<P> = Vec::new();
    for point in points {
        while let [.., before, last] = &hull[..]
            && is_above(before, last, &point)
        {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

fn watts(pu: f64) -> i64 {
    (pu * S_BASE_VA).round_ties_even() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Price;

    fn of(points: &[(f64, f64)]) -> Vec<(i64, i64)> {
        let points: Vec<Point> = points
            .iter()
            .map(|&(p, cost)| Point {
                s: Complex64::new(p, 0.0),
                cost,
            })
            .collect();
        let corners = corners(&points);
        corners
            .iter()
            .map(|of| (of.exchange_w, of.price.0))
            .collect()
    }

    #[test]
    fn the_hull_of_points_in_any_sequence() {
        // From -1 to 0 import saves 50, to 1 20; a point above that line is none.
        let curve = [(-1_000_000, 50_000_000), (0, 20_000_000), (1_000_000, 0)];
        assert_eq!(
            of(&[(0.0, 50.0), (1.0, 30.0), (-1.0, 100.0), (0.5, 45.0)]),
            curve
        );
        // One on it makes no corner.
        assert_eq!(
            of(&[(-1.0, 100.0), (-0.5, 75.0), (0.0, 50.0), (1.0, 30.0)]),
            curve
        );
    }

    #[test]
    fn ends_are_rounded_inwards() {
        let curve = of(&[(-1.0000005, 100.0), (1.0000007, 0.0)]);
        assert_eq!((curve[0].0, curve[1].0), (-1_000_000, 1_000_000));
        // Within a watt there is no room for two; nor between whole watts for one.
        assert_eq!(of(&[(1.0e-6, 1.0), (1.2e-6, 0.9)]).len(), 1);
        assert_eq!(of(&[(1.4e-6, 1.0), (1.6e-6, 0.9)]).len(), 1);
        assert_eq!(of(&[(2.0, 5.0)]), [(2_000_000, 0)]);
        assert!(corners(&[]).is_empty());
    }

    #[test]
    fn prices_fall_strictly_and_the_last_says_nothing() {
        let points = [
            (0.0, 0.0),
            (1.0, -50.0),
            (2.0, -99.999_999_9),
            (3.0, -120.0),
        ];
        assert_eq!(
            of(&points),
            [(0, 50_000_000), (2_000_000, 20_000_000), (3_000_000, 0)]
        );
        assert_eq!(Price::default(), Price(0));
    }
}
