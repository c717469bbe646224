//! Clearing a case: search, check, tighten, and what is left when nothing holds every limit.

use std::collections::BTreeMap;

use num_complex::Complex64;

use super::{
    Award, Binding, Case, Clearing, ClearingError, Exchange, Fill, NodePrice, Options, PhaseName,
    PhasePrice, Status, Tightened, VoltagePrice,
    check::Checked,
    curtail::cuts,
    discrete,
    limits::On,
    problem::{Block, Problem, SourcePrice},
    search::{Ended, Goal, Physics, Point, Search},
    start::{Near, started},
    voltage::WorthAt,
};
use crate::{
    market::{Direction, Kind, Order},
    network::{Grid, Id, S_BASE_VA},
};

/// Times that limits are tightened, or the penalty raised, before a violation is accepted.
const ROUNDS: u32 = 4;

/// A share this close to none or all counts as none or all.
const SNAP: f64 = 1e-5;

/// Clears a case: the awards of least cost that the network can carry, and their prices.
///
/// Deterministic and bounded: at most [`Options::max_iterations`] convex programmes, each followed
/// by an AC power flow. Where no dispatch holds every limit, the answer is the least violating one
/// found, with the limits it violates.
///
/// Ties: steps of one direction and price at one node share in proportion to their quantity; over
/// several nodes a tiny cost of each block's square spreads them evenly.
///
/// Curtailment order, where the optimum found violates a limit: sales to 3/4, 1/2, 1/4 and none of
/// what the optimum took, all alike; then purchases the same way; then no reactive power. The
/// first of those (the optimum itself included) with the least excess is the answer, where 0.01 pu
/// of voltage counts as much as a tenth of a rating, and as all of an exchange limit. The prices of
/// the optimum that had to be left are cut to the greatest price, either sign, of any order or
/// interface.
///
/// Taps and capacitors that may be moved are tried at other positions, each cleared and priced anew,
/// with a budget of its own; the best is the answer, and it is never worse than not moving.
///
/// # Errors
/// The case contradicts itself or the network, or has no AC power flow to start from.
pub fn clear(grid: &Grid, case: &Case, options: &Options) -> Result<Clearing, ClearingError> {
    clear_near(grid, case, options, Goal::of(options), None)
}

/// The same to the optimum, begun at what came of a case much like it.
pub(in crate::market) fn clear_from(
    grid: &Grid,
    case: &Case,
    options: &Options,
    near: Option<&Clearing>,
) -> Result<Clearing, ClearingError> {
    clear_near(grid, case, options, Goal::of(options), near.map(Near::to))
}

/// The same, begun at what came of a case much like it, and gone as far with as is asked.
pub(super) fn clear_near(
    grid: &Grid,
    case: &Case,
    options: &Options,
    goal: Goal,
    near: Option<Near<'_>>,
) -> Result<Clearing, ClearingError> {
    if case.controls.are_none() {
        clear_in_place(grid, case, options, goal, near)
    } else {
        discrete::clear(grid, case, options)
    }
}

/// Clears with every tap and capacitor where it is.
pub(super) fn clear_in_place(
    grid: &Grid,
    case: &Case,
    options: &Options,
    goal: Goal,
    near: Option<Near<'_>>,
) -> Result<Clearing, ClearingError> {
    let mut problem = Problem::new(grid, case)?;
    let mut physics = Physics::new(grid, case)?;
    let mut search = started(&mut problem, &mut physics, near)?;
    let mut tightened: Vec<Tightened> = Vec::new();
    let (found, ended) = run(&mut search, options, goal, &mut tightened);
    let holds = violated(&search, &found.checked, options).is_empty();
    let curtailed = if holds {
        None
    } else {
        curtail(&mut search, &found)
    };
    let is_curtailed = curtailed.is_some();
    let found = curtailed.unwrap_or(found);
    let status = status(&search, &found, ended, is_curtailed, options);
    let mut clearing = result(&search, &found, status, tightened, options);
    if !holds {
        // The multipliers are those of a penalty, not of anybody's price.
        cut_prices(&mut clearing, search.problem.price_scale);
    }
    Ok(clearing)
}

/// Prices of neither sign are above the most.
fn cut_prices(clearing: &mut Clearing, most: f64) {
    let nodes = clearing.prices.iter_mut();
    let nodes = nodes.map(|at| (&mut at.p_per_mwh, &mut at.q_per_mvarh));
    let phases = clearing.phase_prices.iter_mut();
    let phases = phases.map(|at| (&mut at.p_per_mwh, &mut at.q_per_mvarh));
    for (p, q) in nodes.chain(phases) {
        *p = p.clamp(-most, most);
        *q = q.clamp(-most, most);
    }
}

/// Searches until the independent check finds every limit kept, tightening those that it does not, or the penalty
/// raised; [`ROUNDS`] times at most.
fn run(
    search: &mut Search<'_, '_>,
    options: &Options,
    goal: Goal,
    tightened: &mut Vec<Tightened>,
) -> (Found, Ended) {
    let mut ended = search.run(options, goal);
    let mut found = finish(search);
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let violated = violated(search, &found.checked, options);
        if violated.is_empty() || search.iterations >= options.max_iterations {
            break;
        }
        if search.unavoidable > options.tolerance_u_pu.min(options.tolerance_rating) {
            // The programme itself pays for the excess: it is too cheap, or cannot be avoided,
            // in which case paying more for it changes nothing.
            if search.unavoidable > 0.99 * least {
                break;
            }
            least = search.unavoidable;
            search.penalty *= 10.0;
        } else {
            tighten(search, &found.checked, &violated, tightened);
        }
        ended = search.run(options, goal);
        found = finish(search);
    }
    (found, ended)
}

fn status(
    search: &Search<'_, '_>,
    found: &Found,
    ended: Ended,
    is_curtailed: bool,
    options: &Options,
) -> Status {
    let violated = violated(search, &found.checked, options);
    if !violated.is_empty() {
        let violated = violated.into_iter();
        return Status::LeastViolation {
            violated: violated
                .map(|k| binding(search, &found.checked, k))
                .collect(),
            curtailed: is_curtailed,
        };
    }
    let promised = match ended {
        _ if is_curtailed => f64::INFINITY,
        Ended::Converged => return Status::Optimal,
        Ended::Early(promised) => promised,
    };
    // Nothing saves more than all power in play is worth, whatever was or was not promised.
    let most = search.problem.price_scale * search.problem.size();
    Status::Feasible {
        gap_per_h: promised.clamp(0.0, most),
    }
}

/// Final awards with their independent check.
struct Found {
    /// Power taken of each order, pu.
    orders: Vec<f64>,
    point: Point,
    checked: Checked,
}

/// Rounds the search's point to what is awarded, and checks that from a flat start.
fn finish(search: &mut Search<'_, '_>) -> Found {
    let problem = &*search.problem;
    let mut point = search.point.clone();
    for (block, fill) in problem.blocks.iter().zip(&mut point.fill) {
        let share = *fill / block.cap;
        if share < SNAP {
            *fill = 0.0;
        } else if share > 1.0 - SNAP {
            *fill = block.cap;
        }
    }
    for (unit, q) in problem.units.iter().zip(&mut point.q) {
        *q = q.max(-unit.q_max).min(unit.q_max);
    }
    let Point { fill, q, .. } = point;
    let flat = search.physics.point(problem, fill.clone(), q.clone(), None);
    // Where only the search's own start leads to a solution, that solution is what is checked.
    let point = flat.or_else(|_| {
        let nodes = problem.equations.row.len();
        let start = search.point.u[..nodes].to_vec();
        search.physics.point(problem, fill, q, Some(&start))
    });
    let point = point.unwrap_or_else(|_| search.point.clone());
    found(search, point)
}

fn found(search: &Search<'_, '_>, point: Point) -> Found {
    let checked = Checked::of(search.problem, search.physics, &point);
    Found {
        orders: search.problem.order_fill(&point.fill),
        point,
        checked,
    }
}

fn violated(search: &Search<'_, '_>, checked: &Checked, options: &Options) -> Vec<usize> {
    let limits = search.problem.limits.iter().enumerate();
    limits
        .filter(|(k, limit)| checked.is_violated(*k, limit, options))
        .map(|(k, _)| k)
        .collect()
}

fn tighten(
    search: &mut Search<'_, '_>,
    checked: &Checked,
    violated: &[usize],
    tightened: &mut Vec<Tightened>,
) {
    for &k in violated {
        let limit = &mut search.problem.limits[k];
        let by = limit.excess(checked.values[k], limit.bound) * limit.norm;
        limit.tightening += by;
        let by = by * limit.si;
        let same = |of: &&mut Tightened| (of.limit, of.phase) == (limit.limit, limit.phase);
        match tightened.iter_mut().find(same) {
            Some(of) => of.by += by,
            None => tightened.push(Tightened {
                limit: limit.limit,
                phase: limit.phase,
                by,
            }),
        }
    }
}

/// Weighted sum of excesses over the limits as given.
fn total_harm(search: &Search<'_, '_>, checked: &Checked) -> f64 {
    let limits = search.problem.limits.iter().zip(&checked.values);
    limits
        .map(|(limit, &value)| limit.harm(value, limit.bound))
        .sum()
}

/// The step of the curtailment order that violates least, if less than what was found.
fn curtail(search: &mut Search<'_, '_>, from: &Found) -> Option<Found> {
    let mut best: Option<Found> = None;
    let mut least = total_harm(search, &from.checked);
    for cut in cuts() {
        let problem = &*search.problem;
        let blocks = problem.blocks.iter().zip(&from.point.fill);
        let left = |(block, fill): (&Block, &f64)| match block.reactive {
            true => fill * cut.reactive,
            false => fill * cut.active(block.sign > 0.0, block.must),
        };
        let fill = blocks.map(left).collect();
        let q = from.point.q.iter().map(|q| q * cut.reactive).collect();
        let Ok(point) = search.physics.point(problem, fill, q, None) else {
            continue;
        };
        let candidate = found(search, point);
        let harm = total_harm(search, &candidate.checked);
        // Less by more than rounding: the earlier step is kept where both are as bad.
        if harm < 0.999 * least {
            least = harm;
            best = Some(candidate);
        }
    }
    best
}

fn binding(search: &Search<'_, '_>, checked: &Checked, k: usize) -> Binding {
    let limit = &search.problem.limits[k];
    Binding {
        limit: limit.limit,
        phase: limit.phase,
        bound: limit.bound * limit.si,
        value: checked.values[k] * limit.si,
        shadow_price_per_h: search.shadow[k] / (limit.norm * limit.si),
    }
}

fn result(
    search: &Search<'_, '_>,
    found: &Found,
    status: Status,
    tightened: Vec<Tightened>,
    options: &Options,
) -> Clearing {
    let problem = &*search.problem;
    let point = &found.point;
    let quantities = netted(problem.case, &found.orders);
    let mut ac_check = found.checked.summary;
    let expected = search.expected.iter().zip(&point.source);
    ac_check.model_gap_w = expected.map(|(a, b)| (a - b).norm()).fold(0.0, f64::max) * S_BASE_VA;
    Clearing {
        awards: awards(problem, &quantities, &point.q),
        fills: fills(problem.case, &quantities),
        exchange: exchange(search, &point.source),
        prices: prices(problem, &search.multipliers.row),
        phase_prices: phase_prices(problem, &search.multipliers.row),
        binding: bindings(search, &found.checked, options),
        cost_per_h: point.cost,
        ac_check,
        u: point.u[..problem.equations.row.len()].to_vec(),
        positions: Vec::new(),
        iterations: search.iterations,
        voltages: voltages(search, point),
        tightened,
        status,
    }
}

/// Whether an order is of reactive power; not every kind is of one interval.
fn is_reactive(order: &Order) -> bool {
    order.terms.kind == Kind::Reactive
}

/// What a unit sells to itself is taken from both sides: last from the best of its steps. Its
/// power, and the cost where the prices are equal (a rule forbids those that cross), stay.
fn netted(case: &Case, orders: &[f64]) -> Vec<f64> {
    let mut quantities = orders.to_vec();
    for own in orders_of_units(case).values() {
        let total = |direction: Direction| -> f64 {
            let own = own.iter();
            let of = own.filter(|&&k| case.orders[k].direction == direction);
            of.map(|&k| orders[k]).sum()
        };
        let (sold, bought) = (total(Direction::Sell), total(Direction::Buy));
        let both = sold.min(bought);
        if both > 0.0 {
            for &k in own {
                let of = match case.orders[k].direction {
                    Direction::Sell => sold,
                    Direction::Buy => bought,
                };
                quantities[k] *= 1.0 - both / of;
            }
        }
    }
    quantities
}

/// Orders of each unit, those of reactive power apart, by number: sums over them do not depend on the
/// sequence of orders.
fn orders_of_units(case: &Case) -> BTreeMap<(Id, bool), Vec<usize>> {
    let mut by_id: Vec<usize> = (0..case.orders.len()).collect();
    by_id.sort_by_key(|&k| case.orders[k].id);
    let mut of: BTreeMap<(Id, bool), Vec<usize>> = BTreeMap::new();
    for k in by_id {
        let order = &case.orders[k];
        let key = (order.unit, is_reactive(order));
        of.entry(key).or_default().push(k);
    }
    of
}

fn fills(case: &Case, quantities: &[f64]) -> Vec<Fill> {
    let orders = case.orders.iter().zip(quantities);
    orders
        .map(|(order, quantity)| Fill {
            order: order.id,
            quantity_w: quantity * S_BASE_VA,
        })
        .collect()
}

fn awards(problem: &Problem<'_>, quantities: &[f64], q: &[f64]) -> Vec<Award> {
    let case = problem.case;
    let orders = orders_of_units(case);
    let power = |unit, reactive| {
        let own = orders.get(&(unit, reactive)).into_iter().flatten();
        let signed = own.map(|&k| match case.orders[k].direction {
            Direction::Sell => quantities[k],
            Direction::Buy => -quantities[k],
        });
        signed.fold(0.0, |sum, quantity| sum + quantity)
    };
    let mut given = vec![0.0; case.units.len()];
    for (unit, q) in problem.units.iter().zip(q) {
        given[unit.index] = *q;
    }
    let units = case.units.iter().zip(given);
    units
        .map(|(unit, given)| Award {
            unit: unit.id,
            p_w: power(unit.id, false) * S_BASE_VA,
            q_var: (given + power(unit.id, true)) * S_BASE_VA,
        })
        .collect()
}

fn exchange(search: &Search<'_, '_>, source: &[Complex64]) -> Vec<Exchange> {
    let problem = &*search.problem;
    let interfaces = problem.case.interface.iter().enumerate();
    let found = interfaces.filter_map(|(index, interface)| {
        let k = problem
            .sources
            .iter()
            .position(|of| of.interface == index)?;
        Some(Exchange {
            source: interface.source,
            node: {
                let bus = problem.equations.sources[problem.sources[k].at.start].node;
                problem.grid.node_id[bus / problem.equations.phases]
            },
            p_w: source[k].re * S_BASE_VA,
            q_var: source[k].im * S_BASE_VA,
            price_per_mwh: marginal_price(search, k),
        })
    });
    found.collect()
}

fn voltages(search: &Search<'_, '_>, point: &Point) -> Vec<VoltagePrice> {
    let problem = &*search.problem;
    let all = problem.voltages.iter().zip(&search.slope);
    let at = (&point.u[..], &point.fill[..]);
    let of =
        |(of, &slope): (&WorthAt, &f64)| of.priced(problem, at, &search.multipliers.row, slope);
    all.map(of).collect()
}

/// What one more MWh from a source costs: the price where it is metered, less what the source's
/// own balance and limits make of it.
fn marginal_price(search: &Search<'_, '_>, k: usize) -> f64 {
    let problem = &*search.problem;
    let row = &search.multipliers.row;
    // One more MWh from all phases alike.
    let each = problem.sources[k].at.clone().map(|k| {
        let at = problem.equations.sources[k];
        let node = problem.equations.row[at.node].map_or(0.0, |node| row[node].re);
        node - at.own.map_or(0.0, |own| row[own].re)
    });
    let price: f64 = each.sum();
    let shadows = problem.limits.iter().zip(&search.shadow);
    let limits = shadows.map(|(limit, shadow)| match limit.on {
        On::Import(of) if of == k => shadow / limit.norm,
        On::Export(of) if of == k => -shadow / limit.norm,
        _ => 0.0,
    });
    let SourcePrice { import, export, .. } = problem.sources[k];
    // An interior-point solution is a hair outside or inside of its bounds.
    (price - limits.sum::<f64>()).clamp(export, import)
}

fn prices(problem: &Problem<'_>, row: &[Complex64]) -> Vec<NodePrice> {
    // S_BASE is 1 MVA, so that a multiplier per pu and h is a price per MWh.
    let nodes = problem.grid.node_id.iter().enumerate();
    nodes
        .map(|(k, &node)| {
            let at = problem.place(k);
            let price = at.map_or(Complex64::ZERO, |at| at.price(row));
            NodePrice {
                node,
                p_per_mwh: price.re,
                q_per_mvarh: -price.im,
            }
        })
        .collect()
}

/// Of each live phase; nothing where the clearing is not by phase.
fn phase_prices(problem: &Problem<'_>, row: &[Complex64]) -> Vec<PhasePrice> {
    let phases = problem.equations.phases;
    if phases == 1 {
        return Vec::new();
    }
    let buses = problem.equations.row.iter().enumerate();
    let live = buses.filter_map(|(bus, at)| Some((bus, row[(*at)?] * phases as f64)));
    live.map(|(bus, price)| PhasePrice {
        node: problem.grid.node_id[bus / phases],
        phase: PhaseName::ALL[bus % phases],
        p_per_mwh: price.re,
        q_per_mvarh: -price.im,
    })
    .collect()
}

/// Limits whose relief by 1 % (voltages: by 0.01 pu) is worth more than the search leaves out, dearest
/// first by that.
fn bindings(search: &Search<'_, '_>, checked: &Checked, options: &Options) -> Vec<Binding> {
    let least = options.tolerance * search.problem.price_scale;
    let mut dear: Vec<usize> = (0..search.shadow.len())
        .filter(|&k| 0.01 * search.shadow[k] > least)
        .collect();
    dear.sort_by(|&a, &b| search.shadow[b].total_cmp(&search.shadow[a]));
    dear.into_iter()
        .map(|k| binding(search, checked, k))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Terms;

    /// Unit 1 sells 0.8 and buys 0.3 of it itself, in two orders; unit 2 only buys.
    #[test]
    fn what_a_unit_sells_to_itself_is_taken_from_both_sides() {
        let order = |id: u32, unit: u32, direction: &str| {
            serde_json::json!({"id": id, "client_id": "", "participant": "p", "unit": unit, "interval": 0,
                "direction": direction, "steps": [], "terms": Terms::default()})
        };
        let case = serde_json::json!({"duration_s": 900, "fixed": [], "units": [], "interface": [],
            "limits": {"u_min_pu": 0.9, "u_max_pu": 1.1},
            "orders": [order(1, 1, "sell"), order(2, 1, "buy"), order(3, 1, "buy"), order(4, 2, "buy")]});
        let case: Case = serde_json::from_value(case).unwrap();
        let left = netted(&case, &[0.8, 0.2, 0.1, 0.4]);
        let expected = [0.5, 0.0, 0.0, 0.4];
        let pairs = left.iter().zip(expected);
        assert!(
            pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() < 1e-12,
            "{left:?}"
        );
    }
}
