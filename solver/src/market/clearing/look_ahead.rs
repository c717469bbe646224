//! The linear programme over a horizon: every interval's orders and exchange, linearised at its AC
//! clearing, with the stores and windows that couple them.
//!
//! Reactive power stays as it was cleared, but for what [`Interval::free`] has. Power in MW (pu), energy in MWh, money in currency.

use std::borrow::Cow;

use super::{
    Case, Clearing, ClearingError, Limit,
    discrete::positioned,
    linearised::Interval,
    place::Place,
    problem::SourcePrice,
    programme::{TIE_BREAK, TOLERANCE, interior_point},
    rows::{Entry, Rows, csc},
    schedule::{Schedule, Scheduled, Store, Task},
    start::Foreseen,
};
use crate::network::Grid;
use clarabel::{algebra::CscMatrix, solver::SupportedConeT::ZeroConeT};
use num_complex::Complex64;

/// What is looked ahead from.
pub(super) struct LookAhead<'a> {
    pub(super) grid: &'a Grid,
    /// With the schedule fixed in them.
    pub(super) cases: &'a [Case],
    pub(super) clearings: &'a [Clearing],
    pub(super) stores: &'a [Store],
    pub(super) tasks: &'a [Task],
    pub(super) schedule: &'a Schedule,
    /// Limits that other schedules came to, by interval.
    pub(super) watched: &'a [Vec<Limit>],
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
    /// Of each interval.
    pub(super) foreseen: Vec<Foreseen>,
}

/// The best schedule by the linearised intervals; nothing where the programme fails.
pub(super) fn look_ahead(at: &LookAhead<'_>) -> Result<Option<Found>, ClearingError> {
    let grids = at.clearings.iter();
    let grids: Vec<Cow<'_, Grid>> = grids
        .map(|of| positioned(at.grid, &of.positions))
        .collect::<Result<_, _>>()?;
    let mut intervals = Vec::new();
    for (t, (case, clearing)) in at.cases.iter().zip(at.clearings).enumerate() {
        let scheduled = at.schedule.of_interval(t, at.stores, at.tasks);
        let scheduled: Vec<Scheduled<'_>> = scheduled.collect();
        let Some(interval) = Interval::new(&grids[t], case, clearing, &scheduled, &at.watched[t])?
        else {
            return Ok(None);
        };
        intervals.push(interval);
    }
    loop {
        let programme = Programme::new(at, &intervals);
        let square = programme.square();
        let solution = interior_point(&square, &programme.cost, &programme.rows, TOLERANCE);
        let Some(solution) = solution else {
            // Held, it may have no solution where it would have one.
            if intervals.iter_mut().all(|of| !of.held.let_go()) {
                return Ok(None);
            }
            continue;
        };
        let prices = programme.prices(&solution.z);
        let found = programme.read(&solution.x, &solution.z, &prices);
        let corrected = intervals.iter_mut().zip(&prices);
        let wrong = corrected.map(|(of, row)| of.held.correct(&of.problem, row));
        if wrong.fold(0, |count, is| count + usize::from(is)) == 0 {
            return Ok(Some(found));
        }
    }
}

/// What an answer makes of power at each balance.
fn answer_to(power: &[Complex64], answer: &[Complex64]) -> f64 {
    let each = power.iter().zip(answer);
    each.map(|(s, of)| s.re * of.re + s.im * of.im).sum()
}

/// A variable that injects power.
struct Injection {
    variable: usize,
    at: Place,
    /// Power of 1 of it.
    direction: Complex64,
}

impl Injection {
    /// What an answer makes of 1 of it.
    fn answer(&self, answer: &[Complex64]) -> f64 {
        let of = self.at.price(answer);
        self.direction.re * of.re + self.direction.im * of.im
    }
}

/// Where each variable is, and the rows as they grow.
struct Programme<'a, 'b> {
    at: &'b LookAhead<'a>,
    intervals: &'b [Interval<'a>],
    /// Of each interval, each block, unless it is held or of reactive power.
    blocks: Vec<Vec<Option<usize>>>,
    /// Of each interval, the first of its sources' powers, its imports, its excesses, its reactive powers.
    sources: Vec<usize>,
    /// Of each interval, the row of each of its limits.
    limits: Vec<Vec<usize>>,
    /// First variable of the stores: charged, discharged, energy of each interval, store by store.
    stores: usize,
    /// First variable of the windows.
    tasks: usize,
    len: usize,
    rows: Rows,
    cost: Vec<f64>,
    square: Vec<Entry>,
    curved: Vec<Curved>,
}

/// What the power of a store or window costs besides, as its change squared.
struct Curved {
    /// Variables that are the power together, with their signs.
    power: Vec<(usize, f64)>,
    now: f64,
    /// Currency per pu².
    curvature: f64,
}

impl<'a, 'b> Programme<'a, 'b> {
    fn new(at: &'b LookAhead<'a>, intervals: &'b [Interval<'a>]) -> Self {
        let (mut blocks, mut sources) = (Vec::new(), Vec::new());
        let mut len = 0;
        for of in intervals {
            let own = of.problem.blocks.iter().zip(&of.held.at);
            let own = own.map(|(block, held)| {
                let is_free = held.is_none() && !block.reactive;
                is_free.then(|| {
                    len += 1;
                    len - 1
                })
            });
            blocks.push(own.collect());
            sources.push(len);
            len += 2 * of.sources.len() + of.limits.len() + of.free.len();
        }
        let stores = len;
        let tasks = stores + 3 * intervals.len() * at.stores.len();
        len = tasks + intervals.len() * at.tasks.len();
        let mut programme = Self {
            at,
            intervals,
            blocks,
            sources,
            limits: Vec::new(),
            stores,
            tasks,
            len,
            rows: Rows::default(),
            cost: vec![0.0; len],
            square: Vec::new(),
            curved: Vec::new(),
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

    /// The first reactive power of an interval.
    fn of_free(&self, t: usize) -> usize {
        let of = &self.intervals[t];
        self.sources[t] + 2 * of.sources.len() + of.limits.len()
    }

    /// What injects power in an interval.
    fn injections(&self, t: usize) -> Vec<Injection> {
        let of = &self.intervals[t];
        let blocks = of.problem.blocks.iter().zip(&self.blocks[t]);
        let active = |variable, at, sign: f64| Injection {
            variable,
            at,
            direction: Complex64::from(sign),
        };
        let mut injections: Vec<Injection> = blocks
            .filter_map(|(block, at)| Some(active((*at)?, block.at, block.sign)))
            .collect();
        let (stores, tasks) = of.places.split_at(self.at.stores.len());
        for (k, at) in stores.iter().enumerate() {
            let Some(at) = *at else { continue };
            let [charge, discharge, _] = self.of_store(k, t);
            injections.extend([active(charge, at, -1.0), active(discharge, at, 1.0)]);
        }
        for (k, (task, at)) in self.at.tasks.iter().zip(tasks).enumerate() {
            if let Some(at) = *at {
                injections.push(active(self.of_task(k, t), at, task.sign));
            }
        }
        let first = self.of_free(t);
        injections.extend(of.free.iter().enumerate().map(|(k, of)| Injection {
            variable: first + k,
            at: of.at,
            direction: Complex64::I,
        }));
        injections
    }

    /// Power of each source, and energy in each store.
    fn equalities(&mut self) {
        for t in 0..self.intervals.len() {
            let of = &self.intervals[t];
            let injections = self.injections(t);
            let looked_at = of.looked_at();
            for (k, (power, answer)) in of.sources.iter().enumerate() {
                let source = self.sources[t] + k;
                let coefficients = injections.iter().map(|of| (of.variable, of.answer(answer)));
                self.rows.push(
                    power + answer_to(&looked_at, answer),
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

    /// The power that some variables are together costs `curvature / 2` times the square of its change.
    fn curve(&mut self, power: Vec<(usize, f64)>, now: f64, curvature: f64) {
        for (k, &(row, sign)) in power.iter().enumerate() {
            self.cost[row] -= curvature * now * sign;
            for &(column, other) in &power[k..] {
                let value = curvature * sign * other;
                self.square.push(Entry { row, column, value });
            }
        }
        self.curved.push(Curved {
            power,
            now,
            curvature,
        });
    }

    fn interval(&mut self, t: usize) {
        let of = &self.intervals[t];
        let (problem, hours, sources) = (&of.problem, of.hours, self.sources[t]);
        for (k, block) in problem.blocks.iter().enumerate() {
            // Reactive power stays as it is, and costs nothing here.
            if let Some(at) = self.blocks[t][k] {
                self.within(at, 0.0, block.cap);
                self.cost[at] = hours * block.cost();
                self.tie(at, block.cap, t);
            }
        }
        for (k, price) in problem.sources.iter().enumerate() {
            let (source, import) = (sources + k, sources + of.sources.len() + k);
            self.cost[source] = hours * price.export;
            self.cost[import] = hours * (price.import - price.export);
            self.rows.push_not_negative(0.0, [(import, -1.0)]);
            self.rows
                .push_not_negative(price.scheduled, [(import, -1.0), (source, 1.0)]);
            if price.import == price.export {
                // It is worth nothing, so it would be anything.
                self.tie(import, 1.0, t);
            }
        }
        let excesses = sources + 2 * of.sources.len();
        let penalty = 100.0 * problem.price_scale * problem.size();
        let injections = self.injections(t);
        let looked_at = of.looked_at();
        let mut limits = Vec::new();
        for (k, (limit, excess, answer)) in of.limits.iter().enumerate() {
            let slack = excesses + k;
            self.cost[slack] = hours * penalty * problem.limits[*limit].weight;
            self.rows.push_not_negative(0.0, [(slack, -1.0)]);
            let coefficients = injections
                .iter()
                .map(|of| (of.variable, -of.answer(answer)));
            limits.push(self.rows.push_not_negative(
                -(excess + answer_to(&looked_at, answer)),
                coefficients.chain([(slack, -1.0)]),
            ));
        }
        self.limits.push(limits);
        for k in 0..of.free.len() {
            self.reactive(t, k);
        }
    }

    /// It costs nothing but what it makes of losses.
    fn reactive(&mut self, t: usize, k: usize) {
        let interval = &self.intervals[t];
        let (of, q) = (&interval.free[k], self.of_free(t) + k);
        let far = 2.0 * self.at.trust * of.most;
        self.within(q, (of.now - far).max(-of.most), (of.now + far).min(of.most));
        self.tie(q, of.most, t);
        self.curve(vec![(q, 1.0)], of.now, interval.hours * of.curvature);
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
            self.cost[discharge] += hours * store.wear;
            let now = self.at.schedule.stores[k][t];
            let curvature = hours * self.intervals[t].curvature[k];
            self.curve(vec![(charge, -1.0), (discharge, 1.0)], now, curvature);
            // What is outside of its bounds at first comes back as fast as it can.
            low = (low + take * store.charge * hours).min(store.energy_min);
            high = (high - give / store.discharge * hours).max(store.energy_max);
            self.within(energy, low, high);
            let must = store.must[t];
            if must != 0.0 {
                // A hair less than it can: there has to be an inside.
                let sign = -must.signum();
                let least = (1.0 - 1e-6) * must.abs();
                let p = [(discharge, sign), (charge, -sign)];
                self.rows.push_not_negative(-least, p);
            } else if self.at.trust < 1.0 {
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
            let now = task.sign * self.at.schedule.tasks[k][t];
            if self.at.trust < 1.0 {
                low = (now - self.at.trust * most).max(0.0);
                high = (now + self.at.trust * most).min(most);
            }
            self.within(power, low, high);
            self.tie(power, most, t);
            let of = &self.intervals[t];
            let curvature = of.hours * of.curvature[self.at.stores.len() + k];
            self.cost[power] += of.hours * task.sign * task.price;
            self.curve(vec![(power, 1.0)], now, curvature);
        }
        let all = (0..self.intervals.len()).map(|t| (self.of_task(k, t), self.intervals[t].hours));
        let all: Vec<(usize, f64)> = all.collect();
        self.rows.push_not_negative(task.energy, all);
    }

    fn square(&self) -> CscMatrix<f64> {
        csc(self.len, self.len, &self.square)
    }

    /// Price of active power at each balance of each interval.
    fn prices(&self, z: &[f64]) -> Vec<Vec<Complex64>> {
        let mut source = 0;
        let intervals = self.intervals.iter().zip(&self.limits);
        intervals
            .map(|(of, limits)| {
                let mut prices = vec![Complex64::ZERO; of.problem.equations.rows];
                let mut add = |z: f64, answer: &[Complex64]| {
                    for (price, answer) in prices.iter_mut().zip(answer) {
                        price.re += z * answer.re / of.hours;
                    }
                };
                for (_, answer) in &of.sources {
                    add(-z[source], answer);
                    source += 1;
                }
                for ((_, _, answer), &row) in of.limits.iter().zip(limits) {
                    add(z[row], answer);
                }
                prices
            })
            .collect()
    }

    fn read(&self, x: &[f64], z: &[f64], prices: &[Vec<Complex64>]) -> Found {
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
        let intervals = self.intervals.iter();
        let held = intervals.map(|of| {
            let sources = of.problem.sources.iter().map(SourcePrice::constant);
            of.hours * (of.held.cost(&of.problem) + sources.sum::<f64>())
        });
        let linear: f64 = self.cost.iter().zip(x).map(|(q, x)| q * x).sum();
        let curved = self.curved.iter().map(|of| {
            let power: f64 = of.power.iter().map(|&(k, sign)| sign * x[k]).sum();
            0.5 * of.curvature * (power * power + of.now * of.now)
        });
        let objective = linear + curved.sum::<f64>();
        Found {
            schedule,
            value_per_mwh,
            promised: self.now() - objective - held.sum::<f64>(),
            foreseen: (prices.iter().enumerate())
                .map(|(t, row)| Foreseen {
                    fill: self.fill(t, x),
                    row: row.clone(),
                })
                .collect(),
        }
    }

    /// Quantity of each block of an interval.
    fn fill(&self, t: usize, x: &[f64]) -> Vec<f64> {
        let held = self.intervals[t].held.fill().into_iter();
        held.zip(&self.blocks[t])
            .map(|(held, at)| at.map_or(held, |at| x[at]))
            .collect()
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
