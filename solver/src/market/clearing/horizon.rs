//! Several intervals at once: stores and energy that may be had at any time of a window.
//!
//! What couples the intervals is linear (the energy in a store, the energy of a window), what is within one
//! is the AC clearing. So a linear programme over all intervals, each linearised at its AC clearing
//! (marginal losses, marginal flows and voltages, by the adjoint), says when stores and windows are
//! at work; each interval is cleared anew with that; and so on, within a trust region around the best
//! schedule so far, until the programme promises nothing more. (Sequential linear programming with a trust
//! region: Nocedal and Wright, chapter 18; the split into intervals as in Lam et al.,
//! "Optimal Distributed Voltage Regulation", 2012.) What stores and windows do to losses curves the programme, by a
//! majorant, so that it does not have them do all or nothing. The first interval is the one that binds.

use super::{
    Case, Clearing, ClearingError, Limit, Options, Status,
    clear::clear_near,
    look_ahead::{LookAhead, look_ahead},
    schedule::{Schedule, Store, Task, stores, tasks},
    search::Goal,
    start::{Foreseen, Near},
};
use crate::{
    market::OrderId,
    network::{Grid, Id, S_BASE_VA},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Intervals at most.
pub const MOST_INTERVALS: usize = 96;

/// A round that changes the cost by less, relatively, is the last one.
const PROGRESS: f64 = 1e-5;

/// A promise that is less, relatively, is not worth a round, but for the first one.
const PROMISE: f64 = 5e-5;

/// What the intervals may be short of their optimum, relative to the cost, where they are first linearised.
const ROUGHLY: f64 = 1e-4;

/// Programmes over the horizon at most.
const ROUNDS: u32 = 8;

/// When a store is at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSchedule {
    /// Its order.
    pub order: OrderId,
    /// Unit.
    pub unit: Id,
    /// Power in each interval, W, generation-positive.
    pub p_w: Vec<f64>,
    /// Energy in it at each interval's end, Wh.
    pub energy_wh: Vec<f64>,
    /// What one more MWh in it at each interval's end would be worth, currency.
    pub value_per_mwh: Vec<f64>,
}

/// When flexible energy is delivered or taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSchedule {
    /// Its order.
    pub order: OrderId,
    /// Unit.
    pub unit: Id,
    /// Power in each interval, W, generation-positive.
    pub p_w: Vec<f64>,
}

/// The result over a horizon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Horizon {
    /// One per interval; the first binds. Awards and fills include stores and windows.
    pub intervals: Vec<Clearing>,
    /// One per storage order, by number.
    pub stores: Vec<StoreSchedule>,
    /// One per window order, by number.
    pub windows: Vec<WindowSchedule>,
    /// Cost of all intervals with wear, less what is left in the stores, currency.
    pub cost: f64,
    /// What the last programme over the horizon still promised, currency.
    pub gap: f64,
    /// Programmes over the horizon.
    pub rounds: u32,
    /// Whether [`Options::horizon_programmes`] ended the search. With fewer intervals than there
    /// were, namely one: it ended before each of them was cleared once, and the first was cleared by
    /// itself, stores going by what is left in them being worth.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_budget: bool,
}

/// Clears intervals that stores and windows couple, in sequence. Storage orders are those of the
/// first interval; a window order is in its window's first interval.
///
/// # Errors
/// As of [`clear`], of any interval; no interval or too many; a storage or window order that
/// contradicts itself.
pub fn clear_horizon(
    grid: &Grid,
    cases: &[Case],
    options: &Options,
) -> Result<Horizon, ClearingError> {
    if cases.is_empty() || cases.len() > MOST_INTERVALS {
        return Err(ClearingError::BadValue {
            what: "number of intervals".to_owned(),
            value: cases.len() as f64,
            expected: "1 to 96",
        });
    }
    // All are checked, whether or not the budget reaches that far.
    let found = Search::new(grid, cases, options, options.horizon_programmes)?.run()?;
    if let Some(found) = found {
        return Ok(found);
    }
    let alone = Search::new(grid, &cases[..1], options, u32::MAX)?.run()?;
    let mut alone = alone.expect("a budget without end is not used up");
    alone.out_of_budget = true;
    Ok(alone)
}

struct Search<'a> {
    grid: &'a Grid,
    cases: &'a [Case],
    options: &'a Options,
    stores: Vec<Store>,
    tasks: Vec<Task>,
    /// Convex programmes of intervals that may still be solved.
    left: u32,
}

/// How far the search has come.
struct SoFar {
    best: Cleared,
    /// What the last programme over the horizon promised, currency.
    gap: f64,
    rounds: u32,
    /// As [`LookAhead::trust`].
    trust: f64,
    /// As [`LookAhead::watched`].
    watched: Vec<Vec<Limit>>,
    /// Of a MWh in each store at each interval's end.
    values: Option<Vec<Vec<f64>>>,
    out_of_budget: bool,
}

impl SoFar {
    /// Takes what a round has come to if it is better, by more than what is little. Says whether another round may
    /// be worth it: costs that change by more than `progress` say so.
    fn take(&mut self, candidate: Cleared, enough: f64, progress: f64) -> bool {
        let is_new = watch(&mut self.watched, &candidate.intervals);
        let best = &self.best;
        let saved = best.cost - candidate.cost;
        if candidate.harm < best.harm - 1e-9
            || (candidate.harm <= best.harm && candidate.cost < best.cost - 0.1 * enough)
        {
            self.best = candidate;
            if saved > 0.7 * self.gap {
                self.trust = (2.0 * self.trust).min(1.0);
            }
        } else if is_new {
            // The programme did not know what is in its way; now it does.
            return true;
        } else {
            self.trust *= 0.25;
        }
        saved.abs() > progress
    }
}

/// A schedule with the clearing of each interval.
#[derive(Clone)]
struct Cleared {
    schedule: Schedule,
    cases: Vec<Case>,
    intervals: Vec<Clearing>,
    /// Weighted excess over limits, and what stores are short of what they have to do.
    harm: f64,
    cost: f64,
}

impl Cleared {
    /// What the intervals cost, whichever way it is paid, currency: the scale of what little is.
    fn turnover(&self) -> f64 {
        let intervals = self.cases.iter().zip(&self.intervals);
        let cost = intervals.map(|(case, of)| hours(case) * of.cost_per_h.abs());
        cost.sum::<f64>().max(1.0)
    }
}

impl<'a> Search<'a> {
    fn new(
        grid: &'a Grid,
        cases: &'a [Case],
        options: &'a Options,
        left: u32,
    ) -> Result<Self, ClearingError> {
        Ok(Self {
            grid,
            cases,
            options,
            stores: stores(cases)?,
            tasks: tasks(cases)?,
            left,
        })
    }

    /// Nothing where the budget ends before each interval is cleared once.
    fn run(&mut self) -> Result<Option<Horizon>, ClearingError> {
        let idle = Schedule::idle(&self.stores, &self.tasks, self.cases.len());
        let idle = idle.within(&self.stores, &self.tasks, self.cases);
        let coupled = !self.stores.is_empty() || !self.tasks.is_empty();
        let exactly = self.options.tolerance;
        let until = if coupled {
            ROUGHLY.max(exactly)
        } else {
            exactly
        };
        let Some(first) = self.clear(idle, until, None)? else {
            return Ok(None);
        };
        let mut so_far = SoFar {
            best: first,
            gap: 0.0,
            rounds: 0,
            trust: 1.0,
            watched: vec![Vec::new(); self.cases.len()],
            values: None,
            out_of_budget: false,
        };
        while coupled && so_far.rounds < ROUNDS && self.improve(&mut so_far)? {}
        let best = self.finish(so_far.best)?;
        Ok(Some(Horizon {
            gap: so_far.gap,
            rounds: so_far.rounds,
            out_of_budget: so_far.out_of_budget,
            ..self.result(best, so_far.values)
        }))
    }

    /// One round: looks ahead from the best so far and clears what that suggests. Says whether another
    /// round may be worth it.
    fn improve(&mut self, so_far: &mut SoFar) -> Result<bool, ClearingError> {
        so_far.rounds += 1;
        let best = &so_far.best;
        let at = LookAhead {
            grid: self.grid,
            cases: &best.cases,
            clearings: &best.intervals,
            stores: &self.stores,
            tasks: &self.tasks,
            schedule: &best.schedule,
            watched: &so_far.watched,
            trust: so_far.trust,
        };
        let Some(found) = look_ahead(&at)? else {
            so_far.trust *= 0.25;
            return Ok(true);
        };
        so_far.values = Some(found.value_per_mwh);
        let schedule = found.schedule.within(&self.stores, &self.tasks, self.cases);
        so_far.gap = found.promised.max(0.0);
        let enough = 1e-6 * (best.cost.abs() + self.size());
        let was_without_harm = best.harm == 0.0;
        let progress = match was_without_harm {
            true => PROGRESS * best.cost.abs(),
            false => -1.0,
        };
        // What single orders' losses curve, the programme does not know; so later on it promises many times
        // more than there is.
        let least = match so_far.rounds {
            1 => enough,
            _ => enough.max(PROMISE * best.cost.abs()),
        };
        if was_without_harm && so_far.gap <= least {
            return Ok(false);
        }
        let foreseen = &found.foreseen;
        let exactly = self.options.tolerance;
        let Some(candidate) = self.clear(schedule, exactly, Some((best, foreseen)))? else {
            so_far.out_of_budget = true;
            return Ok(false);
        };
        if best.cost - candidate.cost <= ROUGHLY * best.turnover() {
            // Which of the two is better may be how well the first was cleared.
            so_far.best = self.finish(so_far.best.clone())?;
        }
        Ok(so_far.take(candidate, enough, progress))
    }

    /// Money in play: scale of what counts as little.
    fn size(&self) -> f64 {
        let moved = self.stores.iter().map(|of| of.energy_max - of.energy_min);
        moved.sum::<f64>().max(1.0)
    }

    /// Clears each interval with a schedule; those that it does not change are not cleared anew.
    /// Nothing where the budget ends before that.
    fn clear(
        &mut self,
        schedule: Schedule,
        until: f64,
        before: Option<(&Cleared, &[Foreseen])>,
    ) -> Result<Option<Cleared>, ClearingError> {
        let (mut cases, mut intervals) = (Vec::new(), Vec::new());
        for (t, case) in self.cases.iter().enumerate() {
            let case = schedule.fixed_in(case, t, &self.stores, &self.tasks);
            let known = before.filter(|(of, _)| of.schedule.is_as(&schedule, t));
            let clearing = match known {
                Some((before, _)) => before.intervals[t].clone(),
                None if self.left == 0 => return Ok(None),
                None => {
                    let near = match before {
                        Some((before, foreseen)) => Some(Near {
                            clearing: &before.intervals[t],
                            foreseen: Some(&foreseen[t]),
                        }),
                        None => intervals.last().map(Near::to),
                    };
                    let clearing =
                        clear_near(self.grid, &case, self.options, goal(t, until), near)?;
                    self.left = self.left.saturating_sub(clearing.iterations);
                    clearing
                }
            };
            intervals.push(clearing);
            cases.push(case);
        }
        Ok(Some(self.cleared(schedule, cases, intervals)))
    }

    fn cleared(&self, schedule: Schedule, cases: Vec<Case>, intervals: Vec<Clearing>) -> Cleared {
        let hours = self.cases.iter().map(hours);
        let cost: f64 = hours.zip(&intervals).map(|(h, of)| h * of.cost_per_h).sum();
        let own = schedule.cost(&self.stores, &self.tasks, self.cases);
        Cleared {
            harm: intervals.iter().map(harm).sum::<f64>() + schedule.short(&self.stores),
            cost: cost + own,
            schedule,
            cases,
            intervals,
        }
    }

    /// Clears what was ended before its optimum to its end, as far as the budget goes.
    fn finish(&mut self, of: Cleared) -> Result<Cleared, ClearingError> {
        let mut intervals = of.intervals;
        for (t, (case, clearing)) in of.cases.iter().zip(&mut intervals).enumerate() {
            if self.left == 0 {
                break;
            }
            if matches!(clearing.status, Status::Feasible { .. }) {
                let goal = goal(t, self.options.tolerance);
                let near = Some(Near::to(clearing));
                let found = clear_near(self.grid, case, self.options, goal, near)?;
                self.left = self.left.saturating_sub(found.iterations);
                if harm(&found) <= harm(clearing) {
                    *clearing = found;
                }
            }
        }
        Ok(self.cleared(of.schedule, of.cases, intervals))
    }

    fn result(&self, mut best: Cleared, values: Option<Vec<Vec<f64>>>) -> Horizon {
        for (t, (case, clearing)) in self.cases.iter().zip(&mut best.intervals).enumerate() {
            best.schedule
                .award(case, t, &self.stores, &self.tasks, clearing);
        }
        let energies = best.schedule.energies(&self.stores, self.cases);
        let stores = self.stores.iter().enumerate().map(|(k, of)| StoreSchedule {
            order: of.order,
            unit: of.unit,
            p_w: si(&best.schedule.stores[k]),
            energy_wh: si(&energies[k]),
            value_per_mwh: values
                .as_ref()
                .map_or_else(|| vec![of.end_value; self.cases.len()], |of| of[k].clone()),
        });
        let windows = self.tasks.iter().enumerate().map(|(k, of)| WindowSchedule {
            order: of.order,
            unit: of.unit,
            p_w: si(&best.schedule.tasks[k]),
        });
        Horizon {
            stores: stores.collect(),
            windows: windows.collect(),
            intervals: best.intervals,
            cost: best.cost,
            gap: 0.0,
            rounds: 0,
            out_of_budget: false,
        }
    }
}

/// Power in W of pu, or energy in Wh of MWh.
fn si(of: &[f64]) -> Vec<f64> {
    of.iter().map(|of| of * S_BASE_VA).collect()
}

/// The first interval binds, so that its prices have to be those of its last point.
fn goal(t: usize, share: f64) -> Goal {
    Goal {
        share,
        is_confirmed: t == 0,
    }
}

pub(super) fn hours(case: &Case) -> f64 {
    f64::from(case.duration_s) / 3600.0
}

/// Adds the limits that intervals came to; says whether there are new ones.
fn watch(watched: &mut [Vec<Limit>], intervals: &[Clearing]) -> bool {
    let mut is_new = false;
    for (watched, of) in watched.iter_mut().zip(intervals) {
        let violated = match &of.status {
            Status::LeastViolation { violated, .. } => &violated[..],
            _ => &[],
        };
        for limit in violated.iter().chain(&of.binding).map(|of| of.limit) {
            if !watched.contains(&limit) {
                watched.push(limit);
                is_new = true;
            }
        }
    }
    is_new
}

/// As the curtailment order weighs it.
fn harm(clearing: &Clearing) -> f64 {
    match clearing.status {
        Status::LeastViolation { .. } => {
            let check = &clearing.ac_check;
            10.0 * check.violation_u_pu + check.violation_rating
        }
        _ => 0.0,
    }
}
