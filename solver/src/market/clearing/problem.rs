//! A case against its network, checked and per unit: what the convex programme is written from.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use num_complex::Complex64;

use super::{
    Case, Clearing, ClearingError, Interface, PhaseName,
    case_checks::{bad, check_case, unique},
    limits::{LimitRow, limit_rows},
    physics::Equations,
    place::Place,
    stiff::Stiff,
    voltage::WorthAt,
};
use crate::{
    market::{Direction, Kind, Order, Price},
    network::{Grid, Id, PhaseGrid, S_BASE_VA},
};

/// Steps of one direction and price at one place: they are worth the same, so they are one
/// quantity to the programme and share it in proportion to what they ask (this is the rule for
/// ties). A unit whose reactive power takes from its active power has blocks of its own.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) at: Place,
    /// Index into [`Problem::units`], for a unit with blocks of its own.
    pub(super) unit: Option<usize>,
    /// Whether it is of reactive power.
    pub(super) reactive: bool,
    /// Must-run or must-serve: cut last.
    pub(super) must: bool,
    /// 1 sells (injects), -1 buys (absorbs).
    pub(super) sign: f64,
    /// Currency per MWh or Mvarh.
    pub(super) price: f64,
    /// Quantity, pu.
    pub(super) cap: f64,
    /// Index of order and quantity (pu) of each step.
    pub(super) steps: Vec<(usize, f64)>,
}

impl Block {
    /// What a unit of it costs, currency per pu and h. Reactive power is paid for either way.
    pub(super) fn cost(&self) -> f64 {
        if self.reactive {
            self.price
        } else {
            self.sign * self.price
        }
    }

    /// What a unit of it gains at prices at each balance, currency per pu and h.
    pub(super) fn gain(&self, row: &[Complex64]) -> f64 {
        (self.at.price(row) * self.direction()).re - self.cost()
    }

    /// Power that a unit of it injects.
    pub(super) fn direction(&self) -> Complex64 {
        let sign = self.sign;
        if self.reactive {
            Complex64::new(0.0, sign)
        } else {
            Complex64::new(sign, 0.0)
        }
    }
}

/// A unit in the programme.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitAt {
    /// Index into the case's units.
    pub(super) index: usize,
    pub(super) at: Place,
    /// Reactive power that is free, either sign, pu.
    pub(super) q_max: f64,
    /// Apparent power, pu.
    pub(super) s_max: Option<f64>,
    /// Index into [`Problem::reactive`], if any of it is free.
    pub(super) reactive: Option<usize>,
}

/// Reactive power that is free at a node, of all its units together: they share it in proportion to what
/// each can do. A unit whose reactive power takes from its active power has it for itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reactive {
    pub(super) at: Place,
    /// Either sign, pu.
    pub(super) most: f64,
}

/// Prices at a source.
#[derive(Clone, Debug)]
pub(super) struct SourcePrice {
    /// Index into the case's interfaces.
    pub(super) interface: usize,
    /// Its places in the equations: its phases.
    pub(super) at: Range<usize>,
    /// Currency per MWh.
    pub(super) import: f64,
    /// Currency per MWh.
    pub(super) export: f64,
    /// Exchange that is agreed on, pu; the prices are of what is beyond it.
    pub(super) scheduled: f64,
    /// What that costs, currency per h.
    pub(super) scheduled_cost: f64,
    /// Reactive exchange to keep to, pu, and what a deviation counts, currency per pu and h.
    pub(super) reactive: Option<(f64, f64)>,
}

impl SourcePrice {
    fn new(interface: usize, at: Range<usize>, of: &Interface) -> Self {
        let agreed = of.scheduled.as_ref();
        let scheduled = agreed.map_or(0.0, |of| of.exchange_w / S_BASE_VA);
        let reactive = agreed.and_then(|of| of.reactive);
        Self {
            interface,
            at,
            import: of.import_price.per_mwh(),
            export: of.export_price.per_mwh(),
            scheduled,
            scheduled_cost: agreed.map_or(0.0, |of| of.price.per_mwh() * scheduled),
            reactive: reactive.map(|of| (of.q_var / S_BASE_VA, of.weight.per_mwh())),
        }
    }

    /// Cost of a power, currency per h.
    fn cost(&self, s: Complex64) -> f64 {
        let beyond = s.re - self.scheduled;
        let energy = beyond.max(0.0) * self.import + beyond.min(0.0) * self.export;
        self.scheduled_cost + energy + self.cost_of_reactive(s.im)
    }

    /// What the deviation from the reactive power agreed on counts, currency per h.
    pub(super) fn cost_of_reactive(&self, q: f64) -> f64 {
        self.reactive
            .map_or(0.0, |(at, weight)| weight * (q - at).abs())
    }

    /// What of the cost the programme's variables do not say: that is linear from nothing exchanged on.
    pub(super) fn constant(&self) -> f64 {
        self.scheduled_cost - self.export * self.scheduled
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Problem<'a> {
    pub(super) grid: &'a Grid,
    pub(super) case: &'a Case,
    pub(super) equations: Equations,
    pub(super) stiff: Stiff,
    /// Power outside the market at each balance, pu, generation-positive.
    pub(super) fixed: Vec<Complex64>,
    /// By id, those at energised nodes.
    pub(super) units: Vec<UnitAt>,
    pub(super) reactive: Vec<Reactive>,
    /// By place, direction and price.
    pub(super) blocks: Vec<Block>,
    /// In the order of `equations.sources`.
    pub(super) sources: Vec<SourcePrice>,
    pub(super) limits: Vec<LimitRow>,
    /// What voltages are worth.
    pub(super) voltages: Vec<WorthAt>,
    /// Typical price, currency per MWh: scale of penalties and of what counts as little.
    pub(super) price_scale: f64,
}

impl<'a> Problem<'a> {
    pub(super) fn new(grid: &'a Grid, case: &'a Case) -> Result<Self, ClearingError> {
        check_case(grid, case)?;
        let mut equations = match &case.by_phase {
            None => Equations::new(grid),
            Some(_) => Equations::by_phase(grid, &phases_of(grid)?),
        };
        let sources = source_prices(grid, case, &equations)?;
        for of in &sources {
            if let Some(u_pu) = case.interface[of.interface].u_pu {
                of.at.clone().for_each(|k| equations.set_voltage(k, u_pu));
            }
        }
        let mut fixed = vec![Complex64::ZERO; equations.rows];
        for power in &case.fixed {
            let node = node_index(grid, "fixed power", power.node)?;
            if let Some(at) = Place::new(&equations, node, None) {
                let s = Complex64::new(power.p_w, power.q_var) / S_BASE_VA;
                fixed[at.rows()]
                    .iter_mut()
                    .for_each(|of| *of += s * at.share());
            }
        }
        for power in case.by_phase.iter().flat_map(|of| &of.fixed) {
            let node = node_index(grid, "fixed power of a phase", power.node)?;
            let at = Place::new(&equations, node, Some(power.phase as usize));
            let at = at.ok_or_else(|| no_phase("fixed power", power.phase, power.node))?;
            let s = Complex64::new(power.p_w, power.q_var) / S_BASE_VA;
            fixed[at.rows().start] += s * at.share();
        }
        let mut units = units(grid, case, &equations)?;
        let reactive = reactive(&mut units);
        let blocks = blocks(case, &units);
        let limits = limit_rows(grid, case, &equations, &sources)?;
        let prices = blocks.iter().map(|block| block.price);
        let exchange = sources.iter().flat_map(|at| [at.import, at.export]);
        let weights = sources.iter().filter_map(|at| Some(at.reactive?.1));
        let mut problem = Self {
            price_scale: prices
                .chain(exchange)
                .chain(weights)
                .map(f64::abs)
                .fold(1.0, f64::max),
            grid,
            case,
            stiff: Stiff::new(&equations),
            equations,
            fixed,
            units,
            reactive,
            blocks,
            sources,
            limits,
            voltages: Vec::new(),
        };
        problem.voltages = WorthAt::all(&problem);
        Ok(problem)
    }

    /// All phases of a node; nothing where none is live.
    pub(super) fn place(&self, node: usize) -> Option<Place> {
        Place::new(&self.equations, node, None)
    }

    /// A clearing's prices at each balance: of active power, less j times that of reactive power.
    pub(super) fn prices_of(&self, clearing: &Clearing) -> Vec<Complex64> {
        let mut row = vec![Complex64::ZERO; self.equations.rows];
        let share = 1.0 / self.equations.phases as f64;
        for (node, price) in clearing.prices.iter().enumerate() {
            for at in self.equations.rows_of(node) {
                row[at] = Complex64::new(price.p_per_mwh, -price.q_per_mvarh) * share;
            }
        }
        // By phase these are known of each live one, in the order of the balances of nodes.
        let phases = self
            .equations
            .row
            .iter()
            .flatten()
            .zip(&clearing.phase_prices);
        for (&at, price) in phases {
            row[at] = Complex64::new(price.p_per_mwh, -price.q_per_mvarh) * share;
        }
        row
    }

    /// Power in play, pu: how much a penalty has to outweigh.
    pub(super) fn size(&self) -> f64 {
        let outside: f64 =
            self.fixed.iter().map(|s| s.norm()).sum::<f64>() / self.equations.phases as f64;
        let blocks: f64 = self.blocks.iter().map(|block| block.cap).sum();
        (outside + blocks).max(1.0)
    }

    /// Power injected at each balance besides the sources.
    pub(super) fn injected(&self, fill: &[f64], q: &[f64]) -> Vec<Complex64> {
        let mut injected = self.fixed.clone();
        for (block, fill) in self.blocks.iter().zip(fill) {
            let each = block.direction() * (fill * block.at.share());
            for row in block.at.rows() {
                injected[row] += each;
            }
        }
        for (unit, q) in self.units.iter().zip(q) {
            for row in unit.at.rows() {
                injected[row].im += q * unit.at.share();
            }
        }
        injected
    }

    /// The same at each bus of the nodes.
    pub(super) fn injected_at_buses(&self, fill: &[f64], q: &[f64]) -> Vec<Complex64> {
        let injected = self.injected(fill, q);
        let rows = self.equations.row.iter();
        rows.map(|row| row.map_or(Complex64::ZERO, |row| injected[row]))
            .collect()
    }

    /// Cost of the orders taken, of the exchange and of voltages, currency per h.
    pub(super) fn cost(&self, u: &[Complex64], fill: &[f64], source: &[Complex64]) -> f64 {
        let blocks = self.blocks.iter().zip(fill);
        let orders: f64 = blocks.map(|(of, fill)| of.cost() * fill).sum();
        let exchange: f64 = self
            .sources
            .iter()
            .zip(source)
            .map(|(of, s)| of.cost(*s))
            .sum();
        let voltages = self.voltages.iter().map(|of| of.cost(self, u, fill));
        orders + exchange + voltages.sum::<f64>()
    }

    /// Reactive power of each unit, of what is given at each node.
    pub(super) fn reactive_of_units(&self, given: &[f64]) -> Vec<f64> {
        let of_unit = |unit: &UnitAt| {
            unit.reactive
                .map_or(0.0, |k| given[k] * (unit.q_max / self.reactive[k].most))
        };
        self.units.iter().map(of_unit).collect()
    }

    /// Power taken of each order, pu.
    pub(super) fn order_fill(&self, fill: &[f64]) -> Vec<f64> {
        let mut taken = vec![0.0; self.case.orders.len()];
        for (block, fill) in self.blocks.iter().zip(fill) {
            // An interior-point solution is a hair outside or inside of its bounds.
            let share = (fill / block.cap).clamp(0.0, 1.0);
            for &(order, quantity) in &block.steps {
                taken[order] += share * quantity;
            }
        }
        taken
    }
}

fn node_index(grid: &Grid, what: &str, node: Id) -> Result<usize, ClearingError> {
    grid.index_of_node(node)
        .ok_or_else(|| ClearingError::UnknownNode {
            what: what.to_owned(),
            node,
        })
}

fn units(grid: &Grid, case: &Case, equations: &Equations) -> Result<Vec<UnitAt>, ClearingError> {
    let mut by_id: BTreeMap<Id, UnitAt> = BTreeMap::new();
    let phases = unit_phases(case)?;
    let of_reactive = |order: &&Order| order.terms.kind == Kind::Reactive;
    let sells_reactive: BTreeSet<Id> = (case.orders.iter().filter(of_reactive))
        .map(|order| order.unit)
        .collect();
    for (index, unit) in case.units.iter().enumerate() {
        let node = node_index(grid, &format!("unit {}", unit.id), unit.node)?;
        let phase = phases.get(&unit.id).copied();
        let Some(at) = Place::new(equations, node, phase.map(|of| of as usize)) else {
            if let Some(phase) = phase {
                return Err(no_phase(&format!("unit {}", unit.id), phase, unit.node));
            }
            continue;
        };
        let at = UnitAt {
            index,
            at,
            // One that takes no setpoints cannot be asked for reactive power; one that has a price
            // for it gives what is ordered of it.
            q_max: if unit.dispatchable && !sells_reactive.contains(&unit.id) {
                unit.capability.q_max_var / S_BASE_VA
            } else {
                0.0
            },
            s_max: unit.capability.s_max_va.map(|s| s / S_BASE_VA),
            reactive: None,
        };
        by_id.insert(unit.id, at);
    }
    Ok(by_id.into_values().collect())
}

/// Phases of units that have one.
fn unit_phases(case: &Case) -> Result<BTreeMap<Id, PhaseName>, ClearingError> {
    let named = case.by_phase.iter().flat_map(|of| &of.units);
    unique("phase of unit", named.clone().map(|of| of.unit))?;
    let ids: BTreeSet<Id> = case.units.iter().map(|unit| unit.id).collect();
    if let Some(of) = named.clone().find(|of| !ids.contains(&of.unit)) {
        let what = format!(
            "by_phase names unit {}, which is not in the case: unit",
            of.unit
        );
        return Err(bad(what, f64::from(of.unit), "a unit of the case"));
    }
    Ok(named.map(|of| (of.unit, of.phase)).collect())
}

fn no_phase(what: &str, phase: PhaseName, node: Id) -> ClearingError {
    let what = what.to_owned();
    ClearingError::NoPhase { what, phase, node }
}

/// The grid by phase.
pub(super) fn phases_of(grid: &Grid) -> Result<PhaseGrid, ClearingError> {
    PhaseGrid::new(grid).map_err(|error| ClearingError::NoPhases {
        reason: error.to_string(),
    })
}

/// What is free at each node, and each unit's place in it.
fn reactive(units: &mut [UnitAt]) -> Vec<Reactive> {
    let mut shared: BTreeMap<Place, usize> = BTreeMap::new();
    let mut reactive: Vec<Reactive> = Vec::new();
    for unit in units.iter_mut().filter(|unit| unit.q_max > 0.0) {
        let next = reactive.len();
        let at = match unit.s_max {
            Some(_) => next,
            None => *shared.entry(unit.at).or_insert(next),
        };
        if at == next {
            reactive.push(Reactive {
                at: unit.at,
                most: 0.0,
            });
        }
        reactive[at].most += unit.q_max;
        unit.reactive = Some(at);
    }
    reactive
}

/// What is asked of a unit at one price: unit, whether it is of reactive power, whether it buys
/// (absorbs), price.
type Asked = (Id, bool, bool, Price);

/// Orders that this interval alone decides on, with whether they are of reactive power.
fn own_orders(case: &Case) -> impl Iterator<Item = (usize, &Order, bool)> {
    let orders = case.orders.iter().enumerate();
    orders.filter_map(|(k, order)| match order.terms.kind {
        Kind::Energy => Some((k, order, false)),
        Kind::Reactive => Some((k, order, true)),
        Kind::Storage(_) | Kind::Window(_) | Kind::Call(_) => None,
    })
}

/// Share of the steps of a unit, direction and price that the unit can serve.
///
/// What it could do when its orders were accepted it may not be able to do now: a battery near
/// empty sells less than its nameplate. Its best prices are served first, equal ones alike; that is
/// also what the optimum under a limit on its total would take.
fn servable(case: &Case) -> BTreeMap<Asked, f64> {
    let mut asked: BTreeMap<Asked, f64> = BTreeMap::new();
    for (_, order, reactive) in own_orders(case) {
        let buys = order.direction == Direction::Buy;
        for step in &order.steps {
            let key = (order.unit, reactive, buys, step.price);
            // Exact: the sum of watts is far below 2^53, or far above what any unit can do.
            *asked.entry(key).or_default() += step.quantity_w as f64;
        }
    }
    let mut servable = asked.clone();
    for unit in &case.units {
        let of = &unit.capability;
        let q_max = if unit.dispatchable { of.q_max_var } else { 0.0 };
        for (reactive, buys, most) in [
            (false, false, of.p_max_w),
            (false, true, -of.p_min_w),
            (true, false, q_max),
            (true, true, q_max),
        ] {
            let key = |price| (unit.id, reactive, buys, price);
            let levels = asked.range(key(Price(i64::MIN))..=key(Price(i64::MAX)));
            let mut levels: Vec<_> = levels.collect();
            // Who buys energy pays, who absorbs reactive power is paid.
            if buys && !reactive {
                levels.reverse();
            }
            let mut left = most;
            for (level, asked) in levels {
                // Less than a watt is no quantity.
                let served = Some(asked.min(left)).filter(|&w| w >= 1.0);
                left -= asked;
                servable.insert(*level, served.map_or(0.0, |w| w / asked));
            }
        }
    }
    servable
}

/// Blocks, so ordered and summed that the sequence of orders and units makes no difference.
fn blocks(case: &Case, units: &[UnitAt]) -> Vec<Block> {
    type Key = (Place, Option<usize>, bool, bool, bool, Price);
    let at: BTreeMap<Id, usize> = units
        .iter()
        .enumerate()
        .map(|(k, unit)| (case.units[unit.index].id, k))
        .collect();
    let servable = servable(case);
    let behind: BTreeSet<Id> = case.voltages.iter().map(|of| of.unit).collect();
    let mut by_order: Vec<(usize, &Order, bool)> = own_orders(case).collect();
    by_order.sort_by_key(|(_, order, _)| order.id);
    let mut blocks: BTreeMap<Key, Block> = BTreeMap::new();
    for (index, order, reactive) in by_order {
        let Some(&k) = at.get(&order.unit) else {
            continue;
        };
        let is_alone = units[k].s_max.is_some() || behind.contains(&order.unit);
        let own = is_alone.then_some(k);
        let must = order.terms.must;
        for step in &order.steps {
            let buys = order.direction == Direction::Buy;
            let share = servable.get(&(order.unit, reactive, buys, step.price));
            let Some(share) = share.copied().filter(|&share| share > 0.0) else {
                continue;
            };
            let quantity = share * step.quantity_w as f64 / S_BASE_VA;
            let block = blocks
                .entry((units[k].at, own, reactive, must, buys, step.price))
                .or_insert_with(|| Block {
                    at: units[k].at,
                    unit: own,
                    reactive,
                    must,
                    sign: if buys { -1.0 } else { 1.0 },
                    price: step.price.per_mwh(),
                    cap: 0.0,
                    steps: Vec::new(),
                });
            block.cap += quantity;
            block.steps.push((index, quantity));
        }
    }
    blocks.into_values().collect()
}

fn source_prices(
    grid: &Grid,
    case: &Case,
    equations: &Equations,
) -> Result<Vec<SourcePrice>, ClearingError> {
    let id = |k: usize| grid.sources[equations.sources[k].index].id;
    let is_connected = |source| (0..equations.sources.len()).any(|k| id(k) == source);
    for interface in &case.interface {
        if !is_connected(interface.source) {
            return Err(ClearingError::UnknownSource {
                source_id: interface.source,
            });
        }
    }
    let mut prices: Vec<SourcePrice> = Vec::new();
    let mut ideal: BTreeMap<usize, Id> = BTreeMap::new();
    for k in (0..equations.sources.len()).step_by(equations.phases) {
        let (at, source_id) = (equations.sources[k], id(k));
        let interface = case.interface.iter().position(|of| of.source == source_id);
        let interface = interface.ok_or(ClearingError::NoInterface { source_id })?;
        let of = &case.interface[interface];
        let price = SourcePrice::new(interface, k..k + equations.phases, of);
        let (import, export) = (price.import, price.export);
        if export > import {
            return Err(ClearingError::Arbitrage {
                source_id,
                export,
                import,
            });
        }
        if at.own.is_none()
            && let Some(first) = ideal.insert(at.node, source_id)
        {
            let node = grid.node_id[at.node / equations.phases];
            return Err(ClearingError::SourcesInParallel {
                first,
                second: source_id,
                node,
            });
        }
        prices.push(price);
    }
    if prices.is_empty() {
        return Err(ClearingError::NoSource);
    }
    Ok(prices)
}
