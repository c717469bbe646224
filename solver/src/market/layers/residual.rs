//! What every exchange with the layer above is worth to a market, after its own network's limits.
//!
//! The least cost of the orders at a given exchange is convex in it. Cleared with exchange at one price either
//! way, the market is at the point where that price is a slope of the cost; cleared at the slope of the chord
//! between two such points it either finds one below the chord, or the chord is the cost itself
//! (Eisner and Severance, "Mathematical techniques for efficient record segmentation in large shared
//! databases", J. ACM 23(4), 1976). Losses make the cost smooth: how far a chord is above it is then what ends
//! the search, worst first, by the supporting lines of its ends.

use super::{
    Voltage,
    curve::{Point, corners, worth},
    voltage::voltage,
};
use crate::{
    market::{
        Price,
        clearing::{
            Binding, Case, Clearing, ClearingError, Controls, Interface, Options, Scheduled,
            ScheduledReactive, Status, clear_from,
        },
        contract::price,
    },
    network::{Grid, Id, S_BASE_VA},
};
use num_complex::Complex64;

/// How exact a curve is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResidualOptions {
    /// Most clearings for the curve, its two ends included; besides one for the forecast, two for reactive power
    /// and at most eight for the voltage.
    pub most_clearings: u32,
    /// How far a chord may be above the cost, as a share of what the whole range is worth at the highest
    /// price.
    pub tolerance: f64,
}

impl Default for ResidualOptions {
    fn default() -> Self {
        Self {
            most_clearings: 24,
            tolerance: 1e-4,
        }
    }
}

/// A corner of a residual curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResidualCorner {
    /// Exchange, W, import-positive.
    pub exchange_w: i64,
    /// What the next W of import from here on is worth; falls from corner to corner. Of the last corner:
    /// nothing.
    pub price: Price,
    /// Reactive exchange that goes with it, var, import-positive.
    pub q_var: i64,
}

/// What is passed to the layer above.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    /// By rising import, at least one. Below the first and above the last it cannot go: what is not zero at
    /// the nearer end must be.
    pub corners: Vec<ResidualCorner>,
    /// Exchange at the case's own interface prices, W, import-positive.
    pub forecast_w: i64,
    /// Least reactive power that it can take at the forecast exchange, var, import-positive.
    pub q_min_var: i64,
    /// Most of it, var.
    pub q_max_var: i64,
    /// What the voltage of the grid above costs it at the case's own interface prices; none: that is not known.
    pub voltage: Option<Voltage>,
    /// Limits that bind at the forecast exchange.
    pub binding: Vec<Binding>,
    /// Limits that no exchange keeps; where there are any, the curve is the one corner that violates them
    /// least.
    pub violated: Vec<Binding>,
    /// Furthest that the curve may be above the true cost, currency per h; 0: exact at every exchange.
    pub gap_per_h: f64,
    /// Clearings done.
    pub clearings: u32,
}

/// The residual curve of a case at its one interface. What is scheduled there does not count; its limits do.
/// Taps and capacitors stay where they are.
///
/// Deterministic and bounded: at most [`ResidualOptions::most_clearings`] clearings and eleven.
///
/// # Errors
/// As of [`clear`](crate::market::clearing::clear); an interface that is not the only one.
pub fn residual(
    grid: &Grid,
    case: &Case,
    options: &Options,
    how: &ResidualOptions,
) -> Result<Residual, ClearingError> {
    let [interface] = case.interface[..] else {
        return Err(ClearingError::BadValue {
            what: "number of interfaces of a residual curve".to_owned(),
            value: case.interface.len() as f64,
            expected: "1",
        });
    };
    let mut case = case.clone();
    case.controls = Controls::default();
    let interface = Interface {
        scheduled: None,
        ..interface
    };
    let mut market = Market {
        grid,
        case,
        options,
        clearings: 0,
    };
    let forecast = market.clear(interface, None)?;
    if let Status::LeastViolation { violated, .. } = &forecast.status {
        return Ok(stuck(&forecast, violated.clone(), market.clearings));
    }
    let (curve, gap_per_h) = curve(&mut market, &forecast, how)?;
    let (q_min_var, q_max_var) = reactive_range(&mut market, &forecast)?;
    let voltage = voltage(&mut market, interface, &forecast)?;
    Ok(Residual {
        corners: corners(&curve),
        forecast_w: watts(forecast.exchange[0].p_w),
        q_min_var,
        q_max_var,
        voltage,
        binding: forecast.binding,
        violated: Vec::new(),
        gap_per_h,
        clearings: market.clearings,
    })
}

/// Where no limits can be kept: nothing is left to be decided.
fn stuck(forecast: &Clearing, violated: Vec<Binding>, clearings: u32) -> Residual {
    let at = forecast.exchange[0];
    let (exchange_w, q_var) = (watts(at.p_w), watts(at.q_var));
    Residual {
        corners: vec![ResidualCorner {
            exchange_w,
            price: Price(0),
            q_var,
        }],
        forecast_w: exchange_w,
        q_min_var: q_var,
        q_max_var: q_var,
        voltage: None,
        binding: forecast.binding.clone(),
        violated,
        gap_per_h: 0.0,
        clearings,
    }
}

fn watts(w: f64) -> i64 {
    w.round_ties_even() as i64
}

pub(super) struct Market<'a> {
    pub(super) grid: &'a Grid,
    pub(super) case: Case,
    options: &'a Options,
    clearings: u32,
}

impl Market<'_> {
    pub(super) fn clear(
        &mut self,
        interface: Interface,
        near: Option<&Clearing>,
    ) -> Result<Clearing, ClearingError> {
        self.clearings += 1;
        self.case.interface[0] = interface;
        clear_from(self.grid, &self.case, self.options, near)
    }

    /// With exchange at one price either way; nothing where limits are not kept.
    fn at(&mut self, price: Price, near: &Clearing) -> Result<Option<Found>, ClearingError> {
        let interface = Interface {
            import_price: price,
            export_price: price,
            ..self.case.interface[0]
        };
        let clearing = self.clear(interface, Some(near))?;
        Ok(Found::of(clearing, price.per_mwh()))
    }

    /// Prices beyond which no order changes its mind, but for what the network makes of them: the dearest and
    /// cheapest there are, and as much again as they are apart.
    pub(super) fn ends(&self) -> [Price; 2] {
        let interface = self.case.interface[0];
        let own = self.case.orders.iter().flat_map(|order| &order.steps);
        let own = own.map(|step| step.price);
        let all = own.chain([interface.import_price, interface.export_price]);
        let (least, most) = all.fold((Price(0), Price(0)), |(a, b), of| (a.min(of), b.max(of)));
        // Beyond 1 per MWh, so that nothing but zero prices has two ends, too.
        let apart = most.0.saturating_sub(least.0).max(1_000_000);
        [
            Price(most.0.saturating_add(apart)),
            Price(least.0.saturating_sub(apart)),
        ]
    }
}

/// A clearing with exchange at one price.
struct Found {
    point: Point,
    /// The price: a slope of the cost there.
    price: f64,
    clearing: Clearing,
}

impl Found {
    fn of(clearing: Clearing, price: f64) -> Option<Self> {
        if matches!(clearing.status, Status::LeastViolation { .. }) {
            return None;
        }
        let at = clearing.exchange[0];
        let s = Complex64::new(at.p_w, at.q_var) / S_BASE_VA;
        let cost = clearing.cost_per_h - price * s.re;
        let point = Point { s, cost };
        Some(Self {
            point,
            price,
            clearing,
        })
    }
}

/// How far the chord of two may be above the cost: where their supporting lines meet.
fn most_above(a: &Found, b: &Found) -> f64 {
    let (from, to) = (a.point, b.point);
    let wide = to.s.re - from.s.re;
    let slope = worth(&from, &to);
    // Worths fall from `a` to `b`, the chord's between them but for the search's tolerance.
    let (left, right) = ((a.price - slope).max(0.0), (slope - b.price).max(0.0));
    if left + right == 0.0 {
        return 0.0;
    }
    wide * left * right / (left + right)
}

/// A chord that may not be the cost.
struct Open {
    /// Of the points found.
    from: usize,
    to: usize,
    most: f64,
}

/// Points of the curve in no sequence, and how far it may be above the cost.
fn curve(
    market: &mut Market<'_>,
    forecast: &Clearing,
    how: &ResidualOptions,
) -> Result<(Vec<Point>, f64), ClearingError> {
    let ends = market.ends();
    let mut found = extremes(market, forecast, ends)?;
    let mut left = how.most_clearings.max(2) - 2;
    let dearest = ends.map(|of| of.per_mwh().abs());
    let enough = how.tolerance * dearest[0].max(dearest[1]) * wide(&found);
    let mut open: Vec<Open> = Vec::new();
    let mut gap: f64 = 0.0;
    if let [a, b] = &found[..] {
        let rises = a.point.s.re <= b.point.s.re;
        let (from, to) = if rises { (0, 1) } else { (1, 0) };
        push(&mut open, &found, from, to);
    }
    while left > 0 {
        let chords = open.iter().enumerate();
        let worst = chords.max_by(|a, b| a.1.most.total_cmp(&b.1.most));
        let Some((k, _)) = worst.filter(|(_, of)| of.most > enough) else {
            break;
        };
        let Open { from, to, most } = open.swap_remove(k);
        let chord = price(worth(&found[from].point, &found[to].point));
        left -= 1;
        let Some(new) = market.at(chord, &found[from].clearing)? else {
            gap = gap.max(most);
            continue;
        };
        let per_mwh = chord.per_mwh();
        let below = found[from].point.at_price(per_mwh) - new.point.at_price(per_mwh);
        // No better point: the chord is the cost, as far as that is to be known.
        if below > 0.1 * enough {
            found.push(new);
            let new = found.len() - 1;
            push(&mut open, &found, from, new);
            push(&mut open, &found, new, to);
        } else {
            gap = gap.max(below);
        }
    }
    let gap = open.iter().map(|of| of.most).fold(gap, f64::max);
    Ok((found.into_iter().map(|of| of.point).collect(), gap))
}

/// The points at the prices of both ends, those of them that can be kept.
fn extremes(
    market: &mut Market<'_>,
    forecast: &Clearing,
    ends: [Price; 2],
) -> Result<Vec<Found>, ClearingError> {
    let mut found: Vec<Found> = Vec::new();
    for price in ends {
        let near = found.last().map_or(forecast, |of| &of.clearing);
        found.extend(market.at(price, near)?);
    }
    if found.len() < 2 {
        // An end that cannot be kept is none: what is known to be kept is.
        let price = forecast.exchange[0].price_per_mwh;
        found.extend(Found::of(forecast.clone(), price));
    }
    Ok(found)
}

/// Range of the exchanges found, pu.
fn wide(found: &[Found]) -> f64 {
    let exchanges = found.iter().map(|of| of.point.s.re);
    exchanges.clone().fold(f64::NEG_INFINITY, f64::max) - exchanges.fold(f64::INFINITY, f64::min)
}

/// Opens the chord of two points that are at least a watt apart.
fn push(open: &mut Vec<Open>, found: &[Found], from: usize, to: usize) {
    let (a, b) = (&found[from], &found[to]);
    if (b.point.s.re - a.point.s.re) * S_BASE_VA >= 1.0 {
        let most = most_above(a, b);
        open.push(Open { from, to, most });
    }
}

/// Share of the highest price that a Mvarh of reactive power counts in looking for its range: what is free is
/// used, energy is not given up for it.
const REACTIVE: f64 = 0.01;

/// Least and most reactive power at the forecast exchange, var.
fn reactive_range(
    market: &mut Market<'_>,
    forecast: &Clearing,
) -> Result<(i64, i64), ClearingError> {
    let at = forecast.exchange[0];
    let own: std::collections::BTreeSet<Id> = (market.case.orders.iter())
        .filter(|order| order.terms.kind == crate::market::Kind::Reactive)
        .map(|order| order.unit)
        .collect();
    let units = market.case.units.iter();
    let free = units.filter(|of| of.dispatchable && !own.contains(&of.id));
    let free: f64 = free.map(|of| of.capability.q_max_var).sum();
    if free < 1.0 {
        return Ok((watts(at.q_var), watts(at.q_var)));
    }
    let [most, least] = market.ends();
    let mut range = [at.q_var; 2];
    for (reached, sign) in range.iter_mut().zip([-1.0, 1.0]) {
        let reactive = ScheduledReactive {
            // As far as any of it can be; what losses take of it besides makes no difference.
            q_var: at.q_var + sign * 2.0 * free,
            weight: price(REACTIVE * most.per_mwh()),
        };
        let interface = Interface {
            import_price: most,
            export_price: least,
            scheduled: Some(Scheduled {
                exchange_w: at.p_w,
                price: Price(0),
                reactive: Some(reactive),
            }),
            ..market.case.interface[0]
        };
        let clearing = market.clear(interface, Some(forecast))?;
        if !matches!(clearing.status, Status::LeastViolation { .. }) {
            *reached = clearing.exchange[0].q_var;
        }
    }
    let [least, most] = range;
    Ok((watts(least.min(at.q_var)), watts(most.max(at.q_var))))
}
