//! One convex programme: the network linearised at an operating point, with the curvature of its
//! Lagrangian, exact cones for highest voltages, currents and apparent powers.
//!
//! Variables: change of voltages; quantity of each block; reactive power at each node; power of
//! each source. Where limits are soft also the excess over each watched one, at a penalty, so that there
//! always is a solution; without it the interior-point method takes a third of the iterations.

use clarabel::{
    algebra::CscMatrix,
    solver::{
        DefaultSettings, DefaultSolution, DefaultSolver, IPSolver, SolverStatus,
        SupportedConeT::{SecondOrderConeT, ZeroConeT},
    },
};
use num_complex::Complex64;

use super::{
    by_phase::Form,
    held::Held,
    layout::Layout,
    limits::{LimitRow, On},
    physics::Curvature,
    problem::Problem,
    rows::{Entry, Rows, csc},
};

/// Cost of a full block, relative to the price scale, that makes equal choices unequal: ties over
/// several nodes are shared evenly, reactive power that helps nobody is not asked for.
pub(super) const TIE_BREAK: f64 = 1e-6;

/// Multipliers, from which the curvature is made.
#[derive(Clone, Debug)]
pub(super) struct Multipliers {
    /// Of each balance: price of active power less j times that of reactive power.
    pub(super) row: Vec<Complex64>,
    /// Of powers at link ends: link, end, weight.
    pub(super) end: Vec<(usize, usize, Complex64)>,
}

/// Where the programme is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    /// Bus voltages.
    pub(super) u: &'a [Complex64],
    /// Quantity of each block.
    pub(super) fill: &'a [f64],
    pub(super) multipliers: &'a Multipliers,
    /// Whether each limit is in the programme.
    pub(super) watched: &'a [bool],
    /// Cost of an excess of 1; none: limits are kept.
    pub(super) penalty: Option<f64>,
    /// Most change of a voltage's real and imaginary part, pu.
    pub(super) trust: Option<f64>,
    /// What is not decided here.
    pub(super) held: &'a Held,
    /// Of the interior-point method.
    pub(super) tolerance: f64,
}

/// The programme's answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) fill: Vec<f64>,
    pub(super) q: Vec<f64>,
    /// Greatest change of a voltage's real or imaginary part.
    pub(super) step: f64,
    /// Power of each source that it counts on.
    pub(super) source: Vec<Complex64>,
    /// Cost with curvature, without penalties and tie-breaking.
    pub(super) cost: f64,
    /// Weighted sum of excesses.
    pub(super) harm: f64,
    pub(super) multipliers: Multipliers,
    /// Multiplier of each limit, per norm; nothing for those not watched.
    pub(super) shadow: Vec<f64>,
    /// What another pu of each voltage behind a unit costs, currency per h.
    pub(super) slope: Vec<f64>,
}

/// Solves the programme at a point; nothing where the interior-point method fails, or limits that are to
/// be kept cannot be.
pub(super) fn solve(problem: &Problem<'_>, at: At<'_>) -> Option<Answer> {
    let mut rows = Rows::default();
    let layout = Layout::new(problem, &at);
    balances(problem, &at, &layout, &mut rows);
    bounds(problem, &at, &layout, &mut rows);
    let voltages = problem.voltages.iter().zip(&layout.cost);
    let voltages = voltages.map(|(of, &cost)| of.rows(problem, &at, &layout, cost, &mut rows));
    let voltages: Vec<usize> = voltages.collect();
    let place = limits(problem, &at, &layout, &mut rows);
    capability_cones(problem, &layout, &mut rows);
    let (mut p, curvature) = quadratic(problem, &at, &layout);
    let q = linear(problem, &at, &layout);
    problem.stiff.columns(&mut rows.entries);
    problem.stiff.square(&mut p);
    let p = csc(layout.len, layout.len, &p);
    let mut solution = interior_point(&p, &q, &rows, at.tolerance)?;
    problem.stiff.voltages(&mut solution.x);
    let (x, z) = (&solution.x, &solution.z);
    Some(layout.read(problem, &at, (&place, &voltages), &curvature, &q, x, z))
}

/// Tolerance of the interior-point method where nothing less will do.
pub(super) const TOLERANCE: f64 = 1e-8;

/// The minimum of `x p x / 2 + q x` within rows; nothing where the interior-point method fails.
///
/// Refining each step's solution takes longer than all else together and is hardly ever needed, so it
/// is done only where the method fails without.
pub(super) fn interior_point(
    p: &CscMatrix<f64>,
    q: &[f64],
    rows: &Rows,
    tolerance: f64,
) -> Option<DefaultSolution<f64>> {
    let a = rows.matrix(q.len());
    for refined in [false, true] {
        let settings = settings(refined, tolerance);
        let mut solver = DefaultSolver::new(p, q, &a, &rows.b, &rows.cones, settings).ok()?;
        solver.solve();
        let solution = solver.solution;
        let is_usable = match solution.status {
            SolverStatus::Solved | SolverStatus::AlmostSolved => true,
            SolverStatus::PrimalInfeasible | SolverStatus::DualInfeasible => return None,
            // Stalled close to the solution; the power flow judges the step.
            SolverStatus::InsufficientProgress => {
                refined && solution.r_prim < 1e-5 && solution.r_dual < 1e-4
            }
            _ => false,
        };
        let mut all = solution.x.iter().chain(&solution.z);
        if is_usable && all.all(|v| v.is_finite()) {
            return Some(solution);
        }
    }
    None
}

fn settings(refined: bool, tolerance: f64) -> DefaultSettings<f64> {
    DefaultSettings {
        verbose: false,
        max_iter: 100,
        max_threads: 1,
        presolve_enable: false,
        tol_gap_abs: tolerance,
        tol_gap_rel: tolerance,
        tol_feas: tolerance,
        iterative_refinement_enable: refined,
        ..DefaultSettings::default()
    }
}

/// Variables and derivatives of the power at a link's end.
fn end_gradient(
    problem: &Problem<'_>,
    u: &[Complex64],
    link: usize,
    end: usize,
) -> impl Iterator<Item = (usize, Complex64)> + use<> {
    let of = &problem.equations.links[link];
    let gradient = of.power_gradient(end, u);
    let own = problem.equations.variable[of.bus[end]];
    let other = problem.equations.variable[of.bus[1 - end]];
    let pair = move |at: Option<usize>, slot: usize| {
        at.into_iter()
            .flat_map(move |v| [(2 * v, gradient[slot]), (2 * v + 1, gradient[slot + 1])])
    };
    pair(own, 0).chain(pair(other, 2))
}

/// Variables and derivatives of the power at a terminal.
fn terminal_power_gradient(
    problem: &Problem<'_>,
    u: &[Complex64],
    terminal: usize,
) -> impl Iterator<Item = (usize, Complex64)> {
    let ends = problem.equations.terminals[terminal].ends.iter();
    ends.flat_map(move |&(link, end)| end_gradient(problem, u, link, end))
}

/// Variables and derivatives of the current at a terminal.
fn current_gradient(
    problem: &Problem<'_>,
    terminal: usize,
) -> impl Iterator<Item = (usize, Complex64)> {
    let equations = &problem.equations;
    let ends = equations.terminals[terminal].ends.iter();
    ends.flat_map(move |&(link, end)| {
        let of = &equations.links[link];
        (0..2).flat_map(move |side| {
            let (y, variable) = (of.y[end][side], equations.variable[of.bus[side]]);
            let pair = variable.map(|v| [(2 * v, y), (2 * v + 1, y * Complex64::I)]);
            pair.into_iter().flatten()
        })
    })
}

/// What leaves each balance is what is injected there.
fn balances(problem: &Problem<'_>, at: &At<'_>, layout: &Layout, rows: &mut Rows) {
    let equations = &problem.equations;
    let leaving = equations.leaving(at.u);
    let nothing = vec![0.0; problem.units.len()];
    let given = problem.injected(&at.held.fill(), &nothing);
    for k in 0..equations.rows {
        let fixed = given[k] - leaving[k];
        rows.push(fixed.re, []);
        rows.push(fixed.im, []);
    }
    rows.cones.push(ZeroConeT(rows.b.len()));
    let mut add = |row: usize, column: usize, value: f64| {
        if value != 0.0 {
            rows.entries.push(Entry { row, column, value });
        }
    };
    for (l, link) in equations.links.iter().enumerate() {
        for end in 0..2 {
            let Some(row) = link.row[end] else { continue };
            for (column, derivative) in end_gradient(problem, at.u, l, end) {
                add(2 * row, column, derivative.re);
                add(2 * row + 1, column, derivative.im);
            }
        }
    }
    for (k, column) in layout.blocks() {
        let block = &problem.blocks[k];
        for row in block.at.rows() {
            let row = 2 * row + usize::from(block.reactive);
            add(row, column, -block.sign * block.at.share());
        }
    }
    for (k, of) in problem.reactive.iter().enumerate() {
        for row in of.at.rows() {
            add(2 * row + 1, layout.q + k, -of.at.share());
        }
    }
    for (k, source) in equations.sources.iter().enumerate() {
        let node = equations.row[source.node].expect("a connected source energises its node");
        for part in 0..2 {
            let column = layout.source + 2 * k + part;
            add(2 * node + part, column, -1.0);
            if let Some(own) = source.own {
                add(2 * own + part, column, 1.0);
            }
        }
    }
}

/// Variables and coefficients of the active power of a source, all phases together; those of its reactive power
/// follow each.
fn source_power(
    problem: &Problem<'_>,
    layout: &Layout,
    k: usize,
    factor: f64,
) -> impl Iterator<Item = (usize, f64)> + use<> {
    let each = factor / problem.equations.phases as f64;
    let first = layout.source;
    let at = problem.sources[k].at.clone();
    at.map(move |k| (first + 2 * k, each))
}

fn bounds(problem: &Problem<'_>, at: &At<'_>, layout: &Layout, rows: &mut Rows) {
    let mut within = |column: usize, low: f64, high: f64| {
        rows.push_not_negative(high, [(column, 1.0)]);
        rows.push_not_negative(-low, [(column, -1.0)]);
    };
    for (k, column) in layout.blocks() {
        within(column, 0.0, problem.blocks[k].cap);
    }
    for (k, of) in problem.reactive.iter().enumerate() {
        within(layout.q + k, -of.most, of.most);
    }
    if let Some(radius) = at.trust {
        for column in 0..layout.voltages {
            within(column, -radius, radius);
        }
    }
    for (k, import) in layout.import.iter().enumerate() {
        let Some(import) = *import else { continue };
        rows.push_not_negative(0.0, [(import, -1.0)]);
        let power = source_power(problem, layout, k, 1.0);
        let scheduled = problem.sources[k].scheduled;
        rows.push_not_negative(scheduled, power.chain([(import, -1.0)]));
    }
    for (k, (of, deviation)) in problem.sources.iter().zip(&layout.deviation).enumerate() {
        let (Some((agreed, _)), Some(deviation)) = (of.reactive, *deviation) else {
            continue;
        };
        for sign in [1.0, -1.0] {
            let power = source_power(problem, layout, k, sign).map(|(p, share)| (p + 1, share));
            rows.push_not_negative(sign * agreed, power.chain([(deviation, -1.0)]));
        }
    }
    for &excess in layout.excess.iter().flatten() {
        rows.push_not_negative(0.0, [(excess, -1.0)]);
    }
}

/// The watched limits; says where the multiplier of each is.
fn limits(
    problem: &Problem<'_>,
    at: &At<'_>,
    layout: &Layout,
    rows: &mut Rows,
) -> Vec<Option<usize>> {
    let mut place = vec![None; problem.limits.len()];
    // Half spaces before cones, so that they share one cone.
    for is_cone in [false, true] {
        for (k, limit) in problem.limits.iter().enumerate() {
            if !at.watched[k] {
                continue;
            }
            let excess = layout.excess[k];
            let cone = matches!(limit.on, On::UMax(_) | On::Current(..) | On::Apparent(..));
            if cone == is_cone {
                place[k] = Some(limit_row(problem, at, layout, limit, excess, rows));
            }
        }
    }
    place
}

fn limit_row(
    problem: &Problem<'_>,
    at: &At<'_>,
    layout: &Layout,
    limit: &LimitRow,
    excess: Option<usize>,
    rows: &mut Rows,
) -> usize {
    let equations = &problem.equations;
    let target = limit.target() / limit.norm;
    let slack = excess.map(|excess| (excess, -1.0));
    let source = |k: usize, sign: f64| source_power(problem, layout, k, sign / limit.norm);
    match limit.on {
        On::Import(k) => rows.push_not_negative(target, source(k, 1.0).chain(slack)),
        On::Export(k) => rows.push_not_negative(target, source(k, -1.0).chain(slack)),
        On::UMin(bus) => {
            // The feasible side of |u| >= u_min is not convex; its tangent at u is inside it.
            let u = at.u[bus];
            let direction = u / u.norm();
            let variable = equations.variable[bus].into_iter();
            let gradient =
                variable.flat_map(|v| [(2 * v, -direction.re), (2 * v + 1, -direction.im)]);
            rows.push_not_negative(u.norm() - limit.target(), gradient.chain(slack))
        }
        On::UMax(bus) => {
            let u = at.u[bus];
            let variable = equations.variable[bus].into_iter();
            let gradient =
                variable.flat_map(|v| [(2 * v, Complex64::ONE), (2 * v + 1, Complex64::I)]);
            cone(rows, target, excess, u, gradient)
        }
        On::Current(terminal) => {
            let i = equations.current(terminal, at.u) / limit.norm;
            let gradient = current_gradient(problem, terminal);
            cone(
                rows,
                target,
                excess,
                i,
                gradient.map(|(c, d)| (c, d / limit.norm)),
            )
        }
        On::Apparent(terminal) => {
            let s = equations.power(terminal, at.u) / limit.norm;
            let gradient = terminal_power_gradient(problem, at.u, terminal);
            cone(
                rows,
                target,
                excess,
                s,
                gradient.map(|(c, d)| (c, d / limit.norm)),
            )
        }
    }
}

/// `|value + gradient x| <= target + excess`.
fn cone(
    rows: &mut Rows,
    target: f64,
    excess: Option<usize>,
    value: Complex64,
    gradient: impl Iterator<Item = (usize, Complex64)>,
) -> usize {
    let gradient: Vec<(usize, Complex64)> = gradient.collect();
    rows.cones.push(SecondOrderConeT(3));
    let first = rows.push(target, excess.map(|excess| (excess, -1.0)));
    rows.push(
        value.re,
        gradient.iter().map(|&(column, d)| (column, -d.re)),
    );
    rows.push(
        value.im,
        gradient.iter().map(|&(column, d)| (column, -d.im)),
    );
    first
}

/// Units whose reactive power takes from their active power.
fn capability_cones(problem: &Problem<'_>, layout: &Layout, rows: &mut Rows) {
    for (k, unit) in problem.units.iter().enumerate() {
        let Some(s_max) = unit.s_max else { continue };
        rows.cones.push(SecondOrderConeT(3));
        rows.push(s_max, []);
        // None of this is held.
        let own = |reactive: bool| {
            let blocks = layout
                .blocks()
                .map(|(b, column)| (&problem.blocks[b], column));
            let own = blocks.filter(move |(of, _)| of.unit == Some(k) && of.reactive == reactive);
            own.map(|(block, column)| (column, -block.sign))
        };
        rows.push(0.0, own(false));
        let q = unit.reactive.map(|q| (layout.q + q, -1.0));
        rows.push(0.0, own(true).chain(q));
    }
}

/// The quadratic form, upper triangle, and that part of it which is the network's curvature.
fn quadratic(problem: &Problem<'_>, at: &At<'_>, layout: &Layout) -> (Vec<Entry>, Vec<Entry>) {
    let curvature = curvature(problem, at);
    let mut entries = curvature.clone();
    let tie = TIE_BREAK * problem.price_scale;
    let mut diagonal = |k: usize, value: f64| {
        entries.push(Entry {
            row: k,
            column: k,
            value,
        })
    };
    for (k, column) in layout.blocks() {
        diagonal(column, tie / problem.blocks[k].cap);
    }
    for (k, of) in problem.reactive.iter().enumerate() {
        diagonal(layout.q + k, tie / of.most);
    }
    (entries, curvature)
}

/// Curvature of the Lagrangian, link by link, as far as it is convex.
fn curvature(problem: &Problem<'_>, at: &At<'_>) -> Vec<Entry> {
    let equations = &problem.equations;
    let of_row = |row: Option<usize>| row.map_or(Complex64::ZERO, |row| at.multipliers.row[row]);
    let mut weight: Vec<[Complex64; 2]> = equations
        .links
        .iter()
        .map(|link| link.row.map(of_row))
        .collect();
    for &(link, end, more) in &at.multipliers.end {
        weight[link][end] += more;
    }
    let mut entries = Vec::new();
    let form = |k: usize, weight| {
        let link = &equations.links[k];
        let held = link.bus.map(|bus| equations.variable[bus].is_none());
        (link.bus, Curvature::of(link, weight).with_held(held))
    };
    for element in &equations.elements {
        if element.len() == 1 {
            let k = element.start;
            let (bus, form) = form(k, weight[k]);
            let variable = bus.map(|bus| equations.variable[bus]);
            let form = form.convex();
            push_diagonal(&mut entries, variable[0], form.a);
            push_diagonal(&mut entries, variable[1], form.b);
            push_mutual(&mut entries, variable[0], variable[1], form.m);
            continue;
        }
        // At its mean price an element's losses are convex. What prices that differ between its phases add
        // is not, and convex in its nearest form it would be so strong that steps get short.
        let ends = element.clone().flat_map(|k| [(k, 0), (k, 1)]);
        let priced = ends.filter_map(|(k, end)| Some(of_row(Some(equations.links[k].row[end]?))));
        let (sum, count) = priced.fold((Complex64::ZERO, 0.0), |(sum, n), w| (sum + w, n + 1.0));
        let mean = sum / f64::max(count, 1.0);
        let form = Form::sum(element.clone().map(|k| form(k, [mean; 2]))).convex();
        for (i, &bus) in form.buses.iter().enumerate() {
            let variable = equations.variable[bus];
            push_diagonal(&mut entries, variable, form.h[i][i].re);
            for (j, &other) in form.buses.iter().enumerate().skip(i + 1) {
                let other = equations.variable[other];
                push_mutual(&mut entries, variable, other, form.h[i][j]);
            }
        }
    }
    entries
}

fn push_diagonal(entries: &mut Vec<Entry>, variable: Option<usize>, value: f64) {
    let Some(v) = variable else { return };
    for k in [2 * v, 2 * v + 1] {
        let value = 2.0 * value;
        entries.push(Entry {
            row: k,
            column: k,
            value,
        });
    }
}

fn push_mutual(entries: &mut Vec<Entry>, a: Option<usize>, b: Option<usize>, m: Complex64) {
    let (Some(a), Some(b)) = (a, b) else { return };
    for (k, l, value) in [
        (2 * a, 2 * b, m.re),
        (2 * a + 1, 2 * b + 1, m.re),
        (2 * a, 2 * b + 1, -m.im),
        (2 * a + 1, 2 * b, m.im),
    ] {
        let (row, column) = (k.min(l), k.max(l));
        let value = 2.0 * value;
        entries.push(Entry { row, column, value });
    }
}

fn linear(problem: &Problem<'_>, at: &At<'_>, layout: &Layout) -> Vec<f64> {
    let mut q = vec![0.0; layout.len];
    for (k, column) in layout.blocks() {
        q[column] = problem.blocks[k].cost();
    }
    for (k, of) in problem.sources.iter().enumerate() {
        for (variable, share) in source_power(problem, layout, k, 1.0) {
            q[variable] = share * of.export;
        }
        if let Some(import) = layout.import[k] {
            q[import] = of.import - of.export;
        }
        if let (Some(deviation), Some((_, weight))) = (layout.deviation[k], of.reactive) {
            q[deviation] = weight;
        }
    }
    for &cost in &layout.cost {
        q[cost] = problem.price_scale;
    }
    for (limit, excess) in problem.limits.iter().zip(&layout.excess) {
        if let (Some(excess), Some(penalty)) = (*excess, at.penalty) {
            q[excess] = penalty * limit.weight;
        }
    }
    q
}
