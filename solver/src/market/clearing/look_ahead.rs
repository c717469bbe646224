//! The linear programme over a horizon: every interval's orders and exchange, linearised at its AC
//! clearing, with the stores and windows that couple them.
//!
//! An interval's sources and limits answer to power at a node by the adjoint's derivatives;
//! reactive power stays as it was cleared. Power in MW (pu), energy in MWh, money in currency.

use std::{borrow::Cow, collections::BTreeMap};

use clarabel::solver::SupportedConeT::ZeroConeT;
use num_complex::Complex64;

use super::{
    Case, Clearing, ClearingError,
    discrete::positioned,
    horizon::hours,
    problem::Problem,
    programme::{TIE_BREAK, interior_point},
    rows::{Entry, Rows, csc},
    schedule::{Schedule, Store, Task},
    sensitivity::Adjoint,
};
use crate::{
    market::{Direction, Kind},
    network::{Grid, Id, S_BASE_VA},
};

/// What is looked ahead from.
pub(super) struct LookAhead<'a> {
    pub(super) grid: &'a Grid,
    /// With the schedule fixed in them.
    pub(super) cases: &'a [Case],
    pub(super) clearings: &'a [Clearing],
    pub(super) stores: &'a [Store],
    pub(super) tasks: &'a [Task],
    pub(super) schedule: &'a Schedule,
    /// Most change of a schedule's power, as a share of what the unit can do.
    pub(super) trust: f64,
}

/// What it finds.
pub(super) struct Found {
    pub(super) schedule: Schedule,
    /// Of a MWh in each store at each interval's end.
    pub(super) value_per_mwh: Vec<Vec<f64>>,
    /// Improvement that it promises.
    pub(super) promised: f64,
}

/// An interval at its clearing.
struct Interval<'a> {
    problem: Problem<'a>,
    hours: f64,
    /// Of each source: its power and what it answers to load at each balance.
    sources: Vec<(f64, Vec<Complex64>)>,
    /// Of each limit near its bound: which, excess over its bound, and its answer, over the norm.
    limits: Vec<(usize, f64, Vec<Complex64>)>,
    /// Active power of the orders taken, at each balance. The schedule's is in it too.
    base: Vec<f64>,
}

/// Nearness of a limit that is looked at, over its norm.
const NEAR_VOLTAGE: f64 = -0.01;
const NEAR_RATING: f64 = -0.2;

/// Answers below this, pu per pu, are those of another feeder behind an ideal source: rounding.
const LEAST_ANSWER: f64 = 1e-9;

/// The best schedule by the linearised intervals; nothing where the programme fails.
pub(super) fn look_ahead(at: &LookAhead<'_>) -> Result<Option<Found>, ClearingError> {
    let grids = at.clearings.iter();
    let grids: Vec<Cow<'_, Grid>> = grids
        .map(|of| positioned(at.grid, &of.positions))
        .collect::<Result<_, _>>()?;
    let mut intervals = Vec::new();
    for (t, (case, clearing)) in at.cases.iter().zip(at.clearings).enumerate() {
        let scheduled = at.schedule.of_interval(t, at.stores, at.tasks);
        let scheduled = scheduled.map(|(_, _, node, _, p)| (node, p));
        let Some(interval) = Interval::new(&grids[t], case, clearing, scheduled)? else {
            return Ok(None);
        };
        intervals.push(interval);
    }
    Ok(Programme::new(at, &intervals).solve())
}

impl<'a> Interval<'a> {
    /// Nothing where the point is at the limit of voltage stability.
    fn new(
        grid: &'a Grid,
        case: &'a Case,
        clearing: &Clearing,
        scheduled: impl Iterator<Item = (Id, f64)>,
    ) -> Result<Option<Self>, ClearingError> {
        let problem = Problem::new(grid, case)?;
        let u = problem.equations.buses(&clearing.u);
        let powers: Vec<Complex64> = problem
            .sources
            .iter()
            .map(|of| {
                let source = case.interface[of.interface].source;
                let found = clearing.exchange.iter().find(|of| of.source == source);
                found.map_or(Complex64::ZERO, |of| {
                    Complex64::new(of.p_w, of.q_var) / S_BASE_VA
                })
            })
            .collect();
        let Some(mut adjoint) = Adjoint::new(&problem.equations, &u) else {
            return Ok(None);
        };
        let mut sources = Vec::new();
        for (k, s) in powers.iter().enumerate() {
            let gradient = adjoint.of_source(&problem.sources[k]);
            sources.push((s.re, adjoint.by_load(&gradient)));
        }
        let mut limits = Vec::new();
        for (k, limit) in problem.limits.iter().enumerate() {
            let value = limit.value(&problem.equations, &u, &powers);
            let excess = limit.excess(value, limit.bound);
            let near = if limit.is_voltage() {
                NEAR_VOLTAGE
            } else {
                NEAR_RATING
            };
            if excess > near {
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
        drop(adjoint);
        let mut base = vec![0.0; problem.equations.rows];
        let by_id: BTreeMap<Id, usize> = case
            .units
            .iter()
            .filter_map(|of| Some((of.id, row(&problem, of.node)?)))
            .collect();
        for (node, p) in scheduled {
            if let Some(row) = row(&problem, node) {
                base[row] += p;
            }
        }
        for (order, fill) in case.orders.iter().zip(&clearing.fills) {
            if order.terms.kind == Kind::Energy
                && let Some(&row) = by_id.get(&order.unit)
            {
                let sign = match order.direction {
                    Direction::Sell => 1.0,
                    Direction::Buy => -1.0,
                };
                base[row] += sign * fill.quantity_w / S_BASE_VA;
            }
        }
        Ok(Some(Self {
            hours: hours(case),
            sources,
            limits,
            base,
            problem,
        }))
    }

    fn row(&self, node: Id) -> Option<usize> {
        row(&self.problem, node)
    }

    /// What an answer makes of the power injected at the clearing.
    fn at_base(&self, answer: &[Complex64]) -> f64 {
        let base = self.base.iter().zip(answer);
        base.map(|(p, answer)| p * answer.re).sum()
    }

    /// Cost of the active power of a clearing, currency per h.
    fn energy_cost(&self, clearing: &Clearing) -> f64 {
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
        clearing.cost_per_h - paid.sum::<f64>()
    }
}

/// Balance of a node, if it is energised.
fn row(problem: &Problem<'_>, node: Id) -> Option<usize> {
    let node = problem.grid.index_of_node(node)?;
    problem.equations.rows_of(node).next()
}

/// Where each variable is, and the rows as they grow.
struct Programme<'a, 'b> {
    at: &'b LookAhead<'a>,
    intervals: &'b [Interval<'a>],
    /// First variable of each interval: its blocks, its sources' powers, its imports, its excesses.
    first: Vec<usize>,
    /// First variable of the stores: charged, discharged, energy of each interval, store by store.
    stores: usize,
    /// First variable of the windows.
    tasks: usize,
    len: usize,
    rows: Rows,
    cost: Vec<f64>,
    square: Vec<Entry>,
}

impl<'a, 'b> Programme<'a, 'b> {
    fn new(at: &'b LookAhead<'a>, intervals: &'b [Interval<'a>]) -> Self {
        let mut first = Vec::new();
        let mut len = 0;
        for of in intervals {
            first.push(len);
            len += of.problem.blocks.len() + 2 * of.sources.len() + of.limits.len();
        }
        let stores = len;
        let tasks = stores + 3 * intervals.len() * at.stores.len();
        len = tasks + intervals.len() * at.tasks.len();
        let mut programme = Self {
            at,
            intervals,
            first,
            stores,
            tasks,
            len,
            rows: Rows::default(),
            cost: vec![0.0; len],
            square: Vec::new(),
        };
        programme.equalities();
        for t in 0..intervals.len() {
            programme.interval(t);
        }
        for k in 0..at.stores.len() {
            programme.store(k);
        }
        for k in 0..at.tasks.len() {
            programme.task(k);
        }
        programme
    }

    /// Charged, discharged and energy of a store in an interval.
    fn of_store(&self, k: usize, t: usize) -> [usize; 3] {
        let first = self.stores + 3 * (k * self.intervals.len() + t);
        [first, first + 1, first + 2]
    }

    fn of_task(&self, k: usize, t: usize) -> usize {
        self.tasks + k * self.intervals.len() + t
    }

    /// Variables that inject active power in an interval: which, where, how much each.
    fn injections(&self, t: usize) -> Vec<(usize, usize, f64)> {
        let of = &self.intervals[t];
        let blocks = of.problem.blocks.iter().enumerate();
        let mut injections: Vec<(usize, usize, f64)> = blocks
            .filter(|(_, block)| !block.reactive)
            .map(|(k, block)| (self.first[t] + k, block.at.rows().start, block.sign))
            .collect();
        for (k, store) in self.at.stores.iter().enumerate() {
            let Some(row) = of.row(store.node) else {
                continue;
            };
            let [charge, discharge, _] = self.of_store(k, t);
            injections.extend([(charge, row, -1.0), (discharge, row, 1.0)]);
        }
        for (k, task) in self.at.tasks.iter().enumerate() {
            if let Some(row) = of.row(task.node) {
                injections.push((self.of_task(k, t), row, task.sign));
            }
        }
        injections
    }

    /// Power of each source, and energy in each store.
    fn equalities(&mut self) {
        for t in 0..self.intervals.len() {
            let of = &self.intervals[t];
            let injections = self.injections(t);
            for (k, (power, answer)) in of.sources.iter().enumerate() {
                let source = self.first[t] + of.problem.blocks.len() + k;
                let coefficients = injections
                    .iter()
                    .map(|&(v, row, sign)| (v, sign * answer[row].re));
                self.rows.push(
                    power + of.at_base(answer),
                    coefficients.chain([(source, 1.0)]),
                );
            }
        }
        for (k, store) in self.at.stores.iter().enumerate() {
            for (t, of) in self.intervals.iter().enumerate() {
                let [charge, discharge, energy] = self.of_store(k, t);
                let before = t.checked_sub(1).map(|t| (self.of_store(k, t)[2], -1.0));
                let start = if t == 0 { store.energy } else { 0.0 };
                let own = [
                    (charge, -store.charge * of.hours),
                    (discharge, of.hours / store.discharge),
                    (energy, 1.0),
                ];
                self.rows.push(start, own.into_iter().chain(before));
            }
        }
        self.rows.cones.push(ZeroConeT(self.rows.b.len()));
    }

    fn within(&mut self, variable: usize, low: f64, high: f64) {
        self.rows.push_not_negative(high, [(variable, 1.0)]);
        self.rows.push_not_negative(-low, [(variable, -1.0)]);
    }

    /// A tiny cost of its square, so that of equal choices one is the best.
    fn tie(&mut self, variable: usize, cap: f64, t: usize) {
        let of = &self.intervals[t];
        let value = TIE_BREAK * of.problem.price_scale * of.hours / cap.max(1e-6);
        self.square.push(Entry {
            row: variable,
            column: variable,
            value,
        });
    }

    fn interval(&mut self, t: usize) {
        let of = &self.intervals[t];
        let (problem, hours, first) = (&of.problem, of.hours, self.first[t]);
        for (k, block) in problem.blocks.iter().enumerate() {
            // Reactive power stays as it is, and costs nothing here.
            let cap = if block.reactive { 0.0 } else { block.cap };
            self.within(first + k, 0.0, cap);
            if !block.reactive {
                self.cost[first + k] = hours * block.cost();
                self.tie(first + k, block.cap, t);
            }
        }
        let sources = first + problem.blocks.len();
        for (k, price) in problem.sources.iter().enumerate() {
            let (source, import) = (sources + k, sources + of.sources.len() + k);
            self.cost[source] = hours * price.export;
            self.cost[import] = hours * (price.import - price.export);
            self.rows.push_not_negative(0.0, [(import, -1.0)]);
            self.rows
                .push_not_negative(0.0, [(import, -1.0), (source, 1.0)]);
            if price.import == price.export {
                // It is worth nothing, so it would be anything.
                self.tie(import, 1.0, t);
            }
        }
        let excesses = sources + 2 * of.sources.len();
        let penalty = 100.0 * problem.price_scale * problem.size();
        let injections = self.injections(t);
        for (k, (limit, excess, answer)) in of.limits.iter().enumerate() {
            let slack = excesses + k;
            self.cost[slack] = hours * penalty * problem.limits[*limit].weight;
            self.rows.push_not_negative(0.0, [(slack, -1.0)]);
            let coefficients = injections
                .iter()
                .map(|&(v, row, sign)| (v, -sign * answer[row].re));
            self.rows.push_not_negative(
                -(excess + of.at_base(answer)),
                coefficients.chain([(slack, -1.0)]),
            );
        }
    }

    fn store(&mut self, k: usize) {
        let store = &self.at.stores[k];
        let (mut low, mut high) = (store.energy, store.energy);
        for t in 0..self.intervals.len() {
            let hours = self.intervals[t].hours;
            let [charge, discharge, energy] = self.of_store(k, t);
            let (give, take) = (store.give[t], store.take[t]);
            self.within(charge, 0.0, take);
            self.within(discharge, 0.0, give);
            self.tie(charge, take, t);
            self.tie(discharge, give, t);
            self.cost[discharge] = hours * store.wear;
            // What is outside of its bounds at first comes back as fast as it can.
            low = (low + take * store.charge * hours).min(store.energy_min);
            high = (high - give / store.discharge * hours).max(store.energy_max);
            self.within(energy, low, high);
            if self.at.trust < 1.0 {
                let now = self.at.schedule.stores[k][t];
                let most = self.at.trust * (give + take);
                let p = |sign: f64| [(discharge, sign), (charge, -sign)];
                self.rows.push_not_negative(now + most, p(1.0));
                self.rows.push_not_negative(most - now, p(-1.0));
            }
        }
        let [_, _, last] = self.of_store(k, self.intervals.len() - 1);
        self.cost[last] -= store.end_value;
    }

    fn task(&mut self, k: usize) {
        let task = &self.at.tasks[k];
        for t in 0..self.intervals.len() {
            let power = self.of_task(k, t);
            let most = task.most[t];
            let (mut low, mut high) = (0.0, most);
            if self.at.trust < 1.0 {
                let now = task.sign * self.at.schedule.tasks[k][t];
                low = (now - self.at.trust * most).max(0.0);
                high = (now + self.at.trust * most).min(most);
            }
            self.within(power, low, high);
            self.tie(power, most, t);
            self.cost[power] = self.intervals[t].hours * task.sign * task.price;
        }
        let all = (0..self.intervals.len()).map(|t| (self.of_task(k, t), self.intervals[t].hours));
        let all: Vec<(usize, f64)> = all.collect();
        self.rows.push_not_negative(task.energy, all);
    }

    fn solve(self) -> Option<Found> {
        let p = csc(self.len, self.len, &self.square);
        let solution = interior_point(&p, &self.cost, &self.rows)?;
        let (x, z) = (&solution.x, &solution.z);
        let count = self.intervals.len();
        let power = |k: usize, t: usize| {
            let [charge, discharge, _] = self.of_store(k, t);
            x[discharge] - x[charge]
        };
        let schedule = Schedule {
            stores: (0..self.at.stores.len())
                .map(|k| (0..count).map(|t| power(k, t)).collect())
                .collect(),
            tasks: (self.at.tasks.iter().enumerate())
                .map(|(k, of)| {
                    (0..count)
                        .map(|t| of.sign * x[self.of_task(k, t)])
                        .collect()
                })
                .collect(),
        };
        let sources: usize = self.intervals.iter().map(|of| of.sources.len()).sum();
        let value_per_mwh = (0..self.at.stores.len())
            .map(|k| (0..count).map(|t| z[sources + k * count + t]).collect())
            .collect();
        let objective: f64 = self.cost.iter().zip(x).map(|(q, x)| q * x).sum();
        Some(Found {
            schedule,
            value_per_mwh,
            promised: self.now() - objective,
        })
    }

    /// The same objective where the intervals are.
    fn now(&self) -> f64 {
        let at = self.at;
        let mut now = at.schedule.cost(at.stores, at.tasks, at.cases);
        for (of, clearing) in self.intervals.iter().zip(at.clearings) {
            let penalty = 100.0 * of.problem.price_scale * of.problem.size();
            let limits = of.limits.iter();
            let harm = limits.map(|(k, excess, _)| of.problem.limits[*k].weight * excess.max(0.0));
            now += of.hours * (of.energy_cost(clearing) + penalty * harm.sum::<f64>());
        }
        now
    }
}
