//! An interval linearised at its AC clearing: what its sources and its limits answer to power at each node,
//! by the adjoint's derivatives.

use std::collections::BTreeMap;

use num_complex::Complex64;

use super::{
    Case, Clearing, ClearingError, Limit,
    held::Held,
    horizon::hours,
    limits::On,
    place::Place,
    problem::{Problem, UnitAt},
    schedule::Scheduled,
    sensitivity::Adjoint,
};
use crate::{
    market::{Direction, Kind},
    network::{Grid, Id, S_BASE_VA},
};

/// An interval at its clearing.
pub(super) struct Interval<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) hours: f64,
    /// Of each source: its power and what it answers to load at each balance.
    pub(super) sources: Vec<(f64, Vec<Complex64>)>,
    /// Of each limit near its bound or watched: which, excess over its bound, and its answer, over the norm.
    pub(super) limits: Vec<(usize, f64, Vec<Complex64>)>,
    /// Of each store and window, in the schedule's order: how its cost curves with its power, currency per
    /// pu² and h. It is that of losses: by `Re Z / |u|²` with the impedance seen from a node, which also is by
    /// how much power lifts its voltage. What all of them together make of losses is at most the sum of each
    /// with its row's sum for its own.
    pub(super) curvature: Vec<f64>,
    /// Reactive power that is looked at anew.
    pub(super) free: Vec<Free>,
    /// Of each store and window, in the schedule's order, where it is; nothing where no phase of it is live.
    pub(super) places: Vec<Option<Place>>,
    /// Blocks that are not looked at anew.
    pub(super) held: Held,
    /// Power of the orders taken, at each balance. The schedule's is in it too, and what reactive power is free.
    base: Vec<Complex64>,
}

/// Reactive power that costs nothing, of all units at a place together.
pub(super) struct Free {
    pub(super) at: Place,
    /// Either sign, pu.
    pub(super) most: f64,
    /// At the clearing.
    pub(super) now: f64,
    /// As [`Interval::curvature`].
    pub(super) curvature: f64,
}

/// Nearness of a limit that is looked at, over its norm.
const NEAR_VOLTAGE: f64 = -0.01;
const NEAR_RATING: f64 = -0.2;

/// Answers below this, pu per pu, are those of another feeder behind an ideal source: rounding.
const LEAST_ANSWER: f64 = 1e-9;

impl<'a> Interval<'a> {
    /// Nothing where the point is at the limit of voltage stability. `watched` are limits to be looked at however
    /// far they are.
    pub(super) fn new(
        grid: &'a Grid,
        case: &'a Case,
        clearing: &Clearing,
        scheduled: &[Scheduled<'_>],
        watched: &[Limit],
    ) -> Result<Option<Self>, ClearingError> {
        let problem = Problem::new(grid, case)?;
        let u = problem.equations.buses(&clearing.u);
        let powers = source_powers(&problem, clearing);
        let Some(mut adjoint) = Adjoint::new(&problem.equations, &u) else {
            return Ok(None);
        };
        let sources = problem.sources.iter().zip(&powers);
        let sources = sources.map(|(of, s)| (s.re, adjoint.by_load(&adjoint.of_source(of))));
        let sources = sources.collect();
        let limits = near_limits(&problem, &mut adjoint, &u, &powers, watched);
        let places: Vec<Option<Place>> = scheduled.iter().map(|of| place(&problem, of)).collect();
        let curvature = curvature(&problem, &mut adjoint, &u, &places);
        let free = free(&problem, &mut adjoint, &u, clearing);
        drop(adjoint);
        let mut held = Held::nothing(&problem);
        held.hold(&problem, &problem.prices_of(clearing));
        for (block, at) in problem.blocks.iter().zip(&mut held.at) {
            // Reactive power is not looked at at all.
            *at = at.filter(|_| !block.reactive);
        }
        Ok(Some(Self {
            hours: hours(case),
            sources,
            limits,
            curvature,
            base: base(&problem, clearing, scheduled, &places, &free),
            places,
            free,
            held,
            problem,
        }))
    }

    /// Power injected at the clearing, less what is held, at each balance.
    pub(super) fn looked_at(&self) -> Vec<Complex64> {
        let mut power = self.base.clone();
        for (block, held) in self.problem.blocks.iter().zip(&self.held.at) {
            let held = held.unwrap_or_default();
            block
                .at
                .add(Complex64::from(-(block.sign * held)), &mut power);
        }
        power
    }

    /// Cost of the active power of a clearing, currency per h.
    pub(super) fn energy_cost(&self, clearing: &Clearing) -> f64 {
        let orders = self.problem.case.orders.iter().zip(&clearing.fills);
        let reactive = orders.filter(|(order, _)| order.terms.kind == Kind::Reactive);
        let paid = reactive.map(|(order, fill)| {
            let mut left = fill.quantity_w;
            let steps = order.steps.iter().map(|step| {
                let taken = left.clamp(0.0, step.quantity_w as f64);
                left -= taken;
                taken / S_BASE_VA * step.price.per_mwh()
            });
            steps.sum::<f64>()
        });
        let sources = self.problem.sources.iter();
        let deviations = sources
            .zip(source_powers(&self.problem, clearing))
            .map(|(of, s)| of.cost_of_reactive(s.im));
        clearing.cost_per_h - paid.sum::<f64>() - deviations.sum::<f64>()
    }
}

/// Where something scheduled is, if that is energised.
fn place(problem: &Problem<'_>, of: &Scheduled<'_>) -> Option<Place> {
    let node = problem.grid.index_of_node(of.node)?;
    Place::new(&problem.equations, node, of.phase.map(|of| of as usize))
}

/// Power of each source in a clearing.
fn source_powers(problem: &Problem<'_>, clearing: &Clearing) -> Vec<Complex64> {
    let power = |interface: usize| {
        let source = problem.case.interface[interface].source;
        let found = clearing.exchange.iter().find(|of| of.source == source);
        found.map_or(Complex64::ZERO, |of| {
            Complex64::new(of.p_w, of.q_var) / S_BASE_VA
        })
    };
    problem
        .sources
        .iter()
        .map(|of| power(of.interface))
        .collect()
}

/// As [`Interval::limits`].
fn near_limits(
    problem: &Problem<'_>,
    adjoint: &mut Adjoint<'_>,
    u: &[Complex64],
    powers: &[Complex64],
    watched: &[Limit],
) -> Vec<(usize, f64, Vec<Complex64>)> {
    let mut limits = Vec::new();
    for (k, limit) in problem.limits.iter().enumerate() {
        let value = limit.value(&problem.equations, u, powers);
        let excess = limit.excess(value, limit.bound);
        let near = if limit.is_voltage() {
            NEAR_VOLTAGE
        } else {
            NEAR_RATING
        };
        if excess > near || watched.contains(&limit.limit) {
            let gradient = adjoint.of_limit(limit.on, &problem.sources);
            let answer = adjoint.by_load(&gradient).into_iter();
            let answer = answer.map(|d| {
                if d.norm() < LEAST_ANSWER {
                    Complex64::ZERO
                } else {
                    d / limit.norm
                }
            });
            limits.push((k, excess, answer.collect()));
        }
    }
    limits
}

/// As [`Interval::curvature`].
fn curvature(
    problem: &Problem<'_>,
    adjoint: &mut Adjoint<'_>,
    u: &[Complex64],
    places: &[Option<Place>],
) -> Vec<f64> {
    let mut bus_of = vec![0; problem.equations.rows];
    for (bus, row) in problem.equations.row.iter().enumerate() {
        row.iter().for_each(|&row| bus_of[row] = bus);
    }
    let prices = problem.sources.iter().map(|of| of.import.abs());
    let price = prices.fold(0.0, f64::max);
    let mut of_bus = |bus: usize| {
        let gradient = adjoint.of_limit(On::UMax(bus), &problem.sources);
        let lifts = adjoint.by_load(&gradient);
        let places = places.iter().flatten();
        let all: f64 = places.map(|at| at.price(&lifts).re.abs()).sum();
        2.0 * price * all / u[bus].norm()
    };
    // Power meets the mean of what lifts its phases.
    let mut of_place = |at: Place| {
        let buses = at.rows().map(|row| bus_of[row]);
        buses.map(&mut of_bus).sum::<f64>() / at.rows().len() as f64
    };
    let all = places.iter().map(|at| at.map(&mut of_place));
    all.map(Option::unwrap_or_default).collect()
}

/// As [`Interval::free`]. By phase, where several phases' limits bind at once and reactive power is what chooses
/// between them: as it was cleared, it would leave a store of one phase no way. Otherwise it stays; so does what
/// takes from active power, and all where the grid above counts on its exchange.
fn free(
    problem: &Problem<'_>,
    adjoint: &mut Adjoint<'_>,
    u: &[Complex64],
    clearing: &Clearing,
) -> Vec<Free> {
    if problem.equations.phases == 1 || problem.sources.iter().any(|of| of.reactive.is_some()) {
        return Vec::new();
    }
    let given: BTreeMap<Id, f64> = (clearing.awards.iter())
        .map(|of| (of.unit, of.q_var / S_BASE_VA))
        .collect();
    let mut free = Vec::new();
    for (k, of) in problem.reactive.iter().enumerate() {
        let units = problem.units.iter().filter(|unit| unit.reactive == Some(k));
        if units.clone().any(|unit| unit.s_max.is_some()) {
            continue;
        }
        let id = |unit: &UnitAt| problem.case.units[unit.index].id;
        let now = units.filter_map(|unit| given.get(&id(unit)));
        let (at, most) = (of.at, of.most);
        free.push(Free {
            at,
            most,
            now: now.sum::<f64>().clamp(-most, most),
            curvature: 0.0,
        });
    }
    let places: Vec<Option<Place>> = free.iter().map(|of| Some(of.at)).collect();
    let curvature = curvature(problem, adjoint, u, &places);
    for (of, curvature) in free.iter_mut().zip(curvature) {
        of.curvature = curvature;
    }
    free
}

/// As [`Interval::base`].
fn base(
    problem: &Problem<'_>,
    clearing: &Clearing,
    scheduled: &[Scheduled<'_>],
    places: &[Option<Place>],
    free: &[Free],
) -> Vec<Complex64> {
    let case = problem.case;
    let mut base = vec![Complex64::ZERO; problem.equations.rows];
    for of in free {
        of.at.add(Complex64::new(0.0, of.now), &mut base);
    }
    for (of, at) in scheduled.iter().zip(places) {
        if let Some(at) = at {
            at.add(Complex64::from(of.p), &mut base);
        }
    }
    // By id, as these are.
    let of_unit = |unit| {
        let id = |of: &UnitAt| case.units[of.index].id;
        let found = problem.units.binary_search_by_key(&unit, id).ok()?;
        Some(problem.units[found].at)
    };
    for (order, fill) in case.orders.iter().zip(&clearing.fills) {
        if order.terms.kind == Kind::Energy
            && let Some(at) = of_unit(order.unit)
        {
            let sign = match order.direction {
                Direction::Sell => 1.0,
                Direction::Buy => -1.0,
            };
            at.add(
                Complex64::from(sign * fill.quantity_w / S_BASE_VA),
                &mut base,
            );
        }
    }
    base
}
