//! The search: convex programme, AC power flow of its awards, next programme at that flow.
//!
//! Every point is an AC solution, so what is compared (cost and excess) is physics, not model.
//! Exact penalty and trust region after Nocedal and Wright, chapter 18.5.

use num_complex::Complex64;

use super::{
    Case, ClearingError, Options,
    held::Held,
    problem::Problem,
    programme::{self, Answer, At, Multipliers},
};
use crate::{
    network::{Grid, Phases},
    powerflow::{self, AsymPowerFlow, PowerFlow, PowerFlowError},
};

/// Awards with the AC power flow they lead to.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) fill: Vec<f64>,
    pub(super) q: Vec<f64>,
    /// Bus voltages.
    pub(super) u: Vec<Complex64>,
    /// Power of each source, all phases together.
    pub(super) source: Vec<Complex64>,
    /// Currency per h.
    pub(super) cost: f64,
}

/// AC power flow of awards on a network without its own appliances.
#[derive(Debug)]
pub(super) struct Physics {
    pub(super) grid: Grid,
    pub(super) flow: Flow,
}

/// The power flow, of its kind.
#[derive(Debug)]
pub(super) enum Flow {
    Sym(Box<PowerFlow>),
    ByPhase(Box<AsymPowerFlow>),
}

impl Physics {
    pub(super) fn new(grid: &Grid, case: &Case) -> Result<Self, ClearingError> {
        let mut grid = grid.clone();
        for appliance in &mut grid.appliances {
            appliance.closed = false;
        }
        for of in &case.interface {
            let sources = grid.sources.iter_mut();
            if let Some(u_pu) = of.u_pu {
                sources
                    .filter(|source| source.id == of.source)
                    .for_each(|source| source.u_ref *= u_pu / source.u_ref.norm());
            }
        }
        let flow = if case.by_phase.is_some() {
            let flow = AsymPowerFlow::new(&grid).map_err(|error| ClearingError::NoPhases {
                reason: error.to_string(),
            })?;
            Flow::ByPhase(Box::new(flow))
        } else {
            Flow::Sym(Box::new(PowerFlow::new(&grid)))
        };
        Ok(Self { grid, flow })
    }

    /// The point of awards; from a flat start where none is given.
    pub(super) fn point(
        &mut self,
        problem: &Problem<'_>,
        fill: Vec<f64>,
        q: Vec<f64>,
        start: Option<&[Complex64]>,
    ) -> Result<Point, PowerFlowError> {
        let injected = problem.injected_at_buses(&fill, &q);
        let options = powerflow::Options::default();
        let (u, source) = match &mut self.flow {
            Flow::Sym(flow) => {
                let solution = flow.run(&self.grid, &injected, start, &options)?;
                (solution.u, solution.sources)
            }
            Flow::ByPhase(flow) => {
                let (injected, start) = (chunked(&injected), start.map(chunked));
                let solution = flow.run_with(&self.grid, &injected, start.as_deref(), &options)?;
                let mean = |of: &Phases| of.iter().sum::<Complex64>() / 3.0;
                let sources = solution.sources.iter().map(mean);
                (solution.u.concat(), sources.collect())
            }
        };
        let u = problem.equations.buses(&u);
        let places = problem.sources.iter().map(|of| of.at.start);
        let index = |k: usize| problem.equations.sources[k].index;
        let source: Vec<Complex64> = places.map(|k| source[index(k)]).collect();
        let cost = problem.cost(&u, &fill, &source);
        Ok(Point {
            fill,
            q,
            u,
            source,
            cost,
        })
    }
}

/// Values of the phases of each node.
pub(super) fn chunked(of_buses: &[Complex64]) -> Vec<Phases> {
    of_buses.as_chunks::<3>().0.to_vec()
}

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    /// Until no programme promises an improvement of more than this share of the cost.
    pub(super) share: f64,
    /// Whether a programme has to be solved to say so, whose prices then are those of the last point.
    /// Otherwise it is enough that the last one was wrong by no more: its curvature is the true one and
    /// what makes it convex, `E`, so that its error for a step `d` is `d' E d / 2` and the next one's promise
    /// not above that.
    pub(super) is_confirmed: bool,
}

impl Goal {
    /// To the optimum.
    pub(super) fn of(options: &Options) -> Self {
        Self {
            share: options.tolerance,
            is_confirmed: true,
        }
    }
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ended {
    /// The last programme promises no improvement.
    Converged,
    /// It promised this much, currency per h, but the budget or the progress ran out.
    Early(f64),
}

/// State of the search.
#[derive(Debug)]
pub(super) struct Search<'a, 'b> {
    pub(super) problem: &'b mut Problem<'a>,
    pub(super) physics: &'b mut Physics,
    pub(super) point: Point,
    /// Of the last programme.
    pub(super) multipliers: Multipliers,
    /// Of the last programme, per limit.
    pub(super) shadow: Vec<f64>,
    /// Of the last programme, what another pu of each voltage behind a unit costs.
    pub(super) slope: Vec<f64>,
    /// What the last programme counted on.
    pub(super) expected: Vec<Complex64>,
    /// Weighted sum of excesses that the last programme could not avoid.
    pub(super) unavoidable: f64,
    pub(super) penalty: f64,
    /// Whether limits may be exceeded at the penalty: once they could not be kept.
    soft: bool,
    /// What harm counts in comparing points. Above every multiplier, so that the optimum is the
    /// least of it; not far above, or else the curvature of a limit forbids all but tiny steps
    /// along it (Maratos).
    price_of_harm: f64,
    pub(super) iterations: u32,
    watched: Vec<bool>,
    held: Held,
    /// Whether prices were known well enough from the start to hold anything at them.
    pub(super) is_priced: bool,
}

/// How far a programme may move a voltage, pu; nothing: as far as it likes.
#[derive(Clone, Copy, Debug, Default)]
struct Trust(Option<f64>);

impl Trust {
    /// Smallest radius worth a programme, pu.
    const LEAST: f64 = 1e-7;
    /// Where there was none yet and a programme failed, pu.
    const FIRST: f64 = 0.05;

    /// Says whether that is worth a programme.
    fn shrink_to(&mut self, radius: f64) -> bool {
        let is_worth_it = radius >= Self::LEAST;
        if is_worth_it {
            self.0 = Some(radius);
        }
        is_worth_it
    }

    /// A programme has failed.
    fn quarter(&mut self) -> bool {
        self.shrink_to(self.0.map_or(Self::FIRST, |radius| 0.25 * radius))
    }

    /// A step was too long.
    fn below(&mut self, step: f64) -> bool {
        self.shrink_to(0.5 * self.0.map_or(step, |radius| radius.min(step)))
    }

    /// A step was as good as promised.
    fn widen(&mut self) {
        self.0 = self.0.map(|radius| 2.0 * radius);
    }
}

impl<'a, 'b> Search<'a, 'b> {
    /// From a point, with what prices are thought to be at each balance.
    pub(super) fn new(
        problem: &'b mut Problem<'a>,
        physics: &'b mut Physics,
        point: Point,
        row: Vec<Complex64>,
    ) -> Self {
        Self {
            multipliers: Multipliers {
                row,
                end: Vec::new(),
            },
            shadow: vec![0.0; problem.limits.len()],
            slope: vec![0.0; problem.voltages.len()],
            expected: point.source.clone(),
            unavoidable: 0.0,
            penalty: 100.0 * problem.price_scale * problem.size(),
            soft: false,
            price_of_harm: 0.0,
            iterations: 0,
            watched: vec![false; problem.limits.len()],
            held: Held::nothing(problem),
            is_priced: false,
            problem,
            physics,
            point,
        }
    }

    /// Weighted sum of excesses over targets.
    fn harm(&self, point: &Point) -> f64 {
        let limits = self.problem.limits.iter();
        let harm = limits.map(|limit| {
            let value = limit.value(&self.problem.equations, &point.u, &point.source);
            limit.harm(value, limit.target())
        });
        harm.sum()
    }

    fn merit(&self, point: &Point) -> f64 {
        point.cost + self.price_of_harm * self.harm(point)
    }

    /// Watches the limits that a point comes near, and goes there if it exceeds none.
    pub(super) fn consider(&mut self, point: Point) {
        self.watch(&point.u, &point.source);
        if self.harm(&point) == 0.0 {
            self.point = point;
        }
    }

    /// Watches the limits that a point comes near. Says whether there are new ones.
    fn watch(&mut self, u: &[Complex64], source: &[Complex64]) -> bool {
        let mut is_new = false;
        for (limit, watched) in self.problem.limits.iter().zip(&mut self.watched) {
            let value = limit.value(&self.problem.equations, u, source);
            let near = if limit.is_voltage() { -0.01 } else { -0.15 };
            if !*watched && limit.excess(value, limit.target()) > near {
                *watched = true;
                is_new = true;
            }
        }
        is_new
    }

    /// Goes on as far as it is to go.
    pub(super) fn run(&mut self, options: &Options, goal: Goal) -> Ended {
        let mut trust = Trust::default();
        let mut promised = f64::INFINITY;
        let (u, source) = (self.point.u.clone(), self.point.source.clone());
        self.watch(&u, &source);
        while self.iterations < options.max_iterations {
            self.iterations += 1;
            self.hold();
            let Some(answer) = self.solved(goal, trust) else {
                if self.ease() || trust.quarter() {
                    continue;
                }
                break;
            };
            self.keep_prices(&answer);
            let is_wrong = self.held.correct(self.problem, &self.multipliers.row);
            let merit = self.merit(&self.point);
            promised = merit - answer.cost - self.price_of_harm * answer.harm;
            // Where harm cannot be avoided it dwarfs the cost, and so do its last digits.
            let size = self.point.cost.abs() + self.price_of_harm * self.harm(&self.point);
            let size = size + self.problem.price_scale;
            let enough = goal.share * size;
            // Worse than to stay: the method has stalled, and its answer says nothing.
            if promised < -enough.max(1e-6 * size) {
                if trust.quarter() {
                    continue;
                }
                break;
            }
            let mut last = promised <= enough && !is_wrong;
            let step = answer.step;
            match self.follow(answer, merit, promised) {
                Followed::Accepted { ratio, is_new } => {
                    if ratio > 0.7 {
                        trust.widen();
                    }
                    let error = (1.0 - ratio).abs() * promised;
                    if !goal.is_confirmed && !is_new && !is_wrong && error <= enough {
                        (last, promised) = (true, error);
                    }
                }
                _ if last => {}
                _ if is_wrong => continue,
                Followed::NewLimits => continue,
                Followed::Rejected if trust.below(step) => {}
                Followed::Rejected => break,
            }
            if last && promised <= options.tolerance * size {
                return Ended::Converged;
            }
            if last {
                break;
            }
        }
        Ended::Early(promised)
    }

    /// The programme at the point.
    fn solved(&self, goal: Goal, trust: Trust) -> Option<Answer> {
        let at = At {
            u: &self.point.u,
            fill: &self.point.fill,
            multipliers: &self.multipliers,
            watched: &self.watched,
            penalty: self.soft.then_some(self.penalty),
            trust: trust.0,
            held: &self.held,
            tolerance: (0.1 * goal.share).clamp(programme::TOLERANCE, 1e-6),
        };
        programme::solve(self.problem, at)
    }

    /// A programme without a solution may have one with everything free, or with limits exceeded; says whether
    /// either is still to be tried.
    fn ease(&mut self) -> bool {
        if self.held.let_go() {
            self.is_priced = false;
            return true;
        }
        !std::mem::replace(&mut self.soft, true)
    }

    /// What need not be decided at the prices known. Where limits may be exceeded, these are not anybody's.
    fn hold(&mut self) {
        if self.is_priced && !self.soft {
            self.held.hold(self.problem, &self.multipliers.row);
        } else {
            self.held.let_go();
        }
    }

    fn keep_prices(&mut self, answer: &Answer) {
        self.multipliers = answer.multipliers.clone();
        self.shadow = answer.shadow.clone();
        self.slope = answer.slope.clone();
        self.expected = answer.source.clone();
        self.unavoidable = answer.harm;
        let shadows = self.problem.limits.iter().zip(&self.shadow);
        let most = shadows
            .map(|(limit, shadow)| shadow / limit.weight)
            .fold(0.0, f64::max);
        let floor = (0.1 * self.price_of_harm).max(self.problem.price_scale);
        self.price_of_harm = (2.0 * most).max(floor).min(self.penalty);
    }

    /// Takes the awards of an answer if the power flow bears its promise out.
    fn follow(&mut self, answer: Answer, merit: f64, promised: f64) -> Followed {
        let problem = &*self.problem;
        let nodes = problem.equations.row.len();
        let start = self.point.u[..nodes].to_vec();
        let candidate = self
            .physics
            .point(problem, answer.fill, answer.q, Some(&start));
        let Ok(candidate) = candidate else {
            return Followed::Rejected;
        };
        let is_new = self.watch(&candidate.u, &candidate.source);
        let ratio = (merit - self.merit(&candidate)) / promised;
        if ratio > 0.05 && promised > 0.0 {
            self.point = candidate;
            return Followed::Accepted { ratio, is_new };
        }
        if is_new {
            Followed::NewLimits
        } else {
            Followed::Rejected
        }
    }
}

enum Followed {
    Accepted { ratio: f64, is_new: bool },
    NewLimits,
    Rejected,
}
