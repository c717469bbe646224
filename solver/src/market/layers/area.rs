//! The layer above: tenants' curves as units and orders of one [`Case`], its result as their awards.
//!
//! A tenant's curve is the slope of a concave value of its exchange: what it would pay for import beyond what
//! it takes anyway becomes a buy order, what it asks for export a sell order, and what it cannot go without
//! (the range's near end, where that is not zero) is `must`: taken whatever the price, cut last.

use super::Voltage;
use crate::{
    market::{
        Direction, GridFee, Kind, Order, OrderId, Price, Step, Terms, Unit,
        clearing::{Case, Clearing, NodePower, Options, VoltageWorth, clear_from},
        contract::price,
        distance::Distances,
        matching::loading,
        unit::Capability,
    },
    network::{Grid, Id, S_BASE_VA},
};

/// Prices of what has to be served or run: nothing that is offered is dearer (cheaper).
const DEAREST: Price = Price(3_000_000_000);
/// Widest exchange, W: beyond any grid, and exact as a float.
const EXCHANGE_MOST: i64 = 1_000_000_000_000;

/// A corner of a tenant's curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corner {
    /// Exchange, W.
    pub exchange_w: i64,
    /// What the next W of import from here on is worth; falls from corner to corner. Of the last one:
    /// without meaning.
    pub price: Price,
    /// Reactive exchange that goes with it, var, import-positive.
    pub q_var: i64,
}

/// A market below.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Whom it is known as.
    pub name: String,
    /// As which unit of the case.
    pub unit: Id,
    /// Where it is connected.
    pub node: Id,
    /// By rising import, at least one corner; beyond its ends it cannot go.
    pub curve: Vec<Corner>,
    /// Exchange that it is expected at, W.
    pub expected_w: i64,
    /// Least reactive power that it can take there, var, import-positive.
    pub q_min_var: f64,
    /// Most of it, var.
    pub q_max_var: f64,
    /// What the voltage behind its connection costs it; none: that is not known.
    pub voltage: Option<Voltage>,
    /// Most import that its connection carries, W.
    pub import_max_w: i64,
    /// Most export, W.
    pub export_max_w: i64,
}

/// What a tenant is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TenantAward {
    /// Exchange, W, import-positive, within its curve's range unless limits cannot be kept otherwise.
    pub exchange_w: i64,
    /// At its node, per MWh.
    pub price: Price,
    /// Reactive exchange, var, import-positive.
    pub q_var: i64,
    /// Price of reactive power at its node, per Mvarh.
    pub q_price: Price,
    /// Voltage behind its connection as it is planned, pu; none: what it is behind is not known.
    pub u_pu: Option<f64>,
    /// For the use of the grid between it and the nearest interface, per MWh.
    pub grid_fee: Price,
}

/// Why tenants cannot be cleared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AreaError {
    /// No corner.
    #[error("tenant {tenant} has a curve without a corner")]
    NoCorner {
        /// Whose.
        tenant: String,
    },
    /// Not a curve by rising import, or out of all bounds.
    #[error("tenant {tenant}: exchanges of its curve must rise, at corner {corner}, within ±1 TW")]
    NotRising {
        /// Whose.
        tenant: String,
        /// From 0.
        corner: usize,
    },
    /// Not concave: import would be worth more the more there is of it.
    #[error("tenant {tenant}: prices of its curve must fall, at corner {corner}")]
    NotFalling {
        /// Whose.
        tenant: String,
        /// From 0.
        corner: usize,
    },
    /// What its voltage costs is no curve, or out of all bounds.
    #[error(
        "tenant {tenant}: what the voltage behind it costs has to be finite, at two corners or more from 0.1 to 3 pu, 0.001 pu or more apart, behind 0 to 10 kohm"
    )]
    Voltage {
        /// Whose.
        tenant: String,
    },
    /// The reactive range is none.
    #[error("tenant {tenant}: reactive power from {q_min_var} to {q_max_var} var is no range")]
    Reactive {
        /// Whose.
        tenant: String,
        /// Least.
        q_min_var: String,
        /// Most.
        q_max_var: String,
    },
}

/// Tenants in a case.
///
/// The reactive power of a tenant is what its curve says goes with its exchange, which is known after clearing
/// only: so the case is cleared for it, with the reactive power of what came of it, and again. What a tenant could
/// give besides costs it losses that its curve does not say; it is called on where limits cannot be kept
/// without.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    /// To be cleared.
    pub case: Case,
    tenants: Vec<Placed>,
}

/// Share of the dearest exchange that a Mvarh of a tenant's reactive power counts.
const REACTIVE: f64 = 0.01;

/// Share of a tenant's reactive power that is called for below which none is: it is a search's tolerance.
const NOTHING: f64 = 1e-4;

/// Over so much of its voltage a tenant can at most lose its whole range at the dearest exchange, pu: whatever it
/// says, that is what the others can be asked to do for it.
const WORTH_PU: f64 = 0.01;

/// Times that the case is cleared to see what reactive power goes with the awards.
const ROUNDS: u32 = 2;

/// A tenant in the case.
#[derive(Clone, Debug, PartialEq)]
struct Placed {
    /// Index of its unit.
    unit: usize,
    node: Id,
    /// Index of its reactive power in the case's `fixed`.
    fixed: usize,
    curve: Vec<Corner>,
    /// Index of its voltage's cost in the case's `voltages`.
    voltage: Option<usize>,
    /// That an exchange is rounded within.
    range: (i64, i64),
}

impl Placed {
    /// What it is awarded of reactive power, var, import-positive: what goes with its exchange and what it is called
    /// for besides.
    fn q_var(&self, case: &Case, clearing: &Clearing) -> i64 {
        let called = clearing.awards[self.unit].q_var;
        let least = NOTHING * case.units[self.unit].capability.q_max_var;
        let called = if called.abs() > least { called } else { 0.0 };
        (-case.fixed[self.fixed].q_var - called).round_ties_even() as i64
    }

    /// What it is awarded, to the whole watt and never beyond the range; where even that is cut, towards
    /// nothing.
    fn exchange_w(&self, clearing: &Clearing) -> i64 {
        let (least, most) = self.range;
        let exchange_w = (-clearing.awards[self.unit].p_w).round_ties_even() as i64;
        exchange_w.clamp(least.min(0), most.max(0))
    }

    /// Reactive power that goes with an exchange, var, import-positive.
    fn goes_with(&self, exchange_w: i64) -> f64 {
        let after = self.curve.partition_point(|of| of.exchange_w <= exchange_w);
        let (before, after) = (after.saturating_sub(1), after.min(self.curve.len() - 1));
        let (a, b) = (self.curve[before], self.curve[after]);
        let wide = b.exchange_w - a.exchange_w;
        let share = match wide {
            0 => 0.0,
            _ => (exchange_w - a.exchange_w) as f64 / wide as f64,
        };
        a.q_var as f64 + share * (b.q_var - a.q_var) as f64
    }
}

impl Area {
    /// Adds tenants to a case, which has the layer's own units, orders, limits and interface. Their units
    /// are not in it yet. Deterministic: the same again is the same.
    ///
    /// # Errors
    /// A curve that is none; see [`AreaError`].
    pub fn new(
        grid: &Grid,
        own: &Case,
        tenants: &[Tenant],
        options: &Options,
    ) -> Result<Self, AreaError> {
        let mut area = Self {
            case: own.clone(),
            tenants: Vec::with_capacity(tenants.len()),
        };
        let orders = own.orders.iter().map(|order| order.id.0 + 1);
        let mut next = orders.max().unwrap_or(1);
        for tenant in tenants {
            tenant.check()?;
            area.add(tenant, &mut next);
        }
        area.follow(grid, options);
        Ok(area)
    }

    fn add(&mut self, tenant: &Tenant, next: &mut u64) {
        let (least, most) = tenant.range();
        let placed = Placed {
            unit: self.case.units.len(),
            node: tenant.node,
            fixed: self.case.fixed.len(),
            curve: tenant.curve.clone(),
            voltage: tenant.voltage.is_some().then_some(self.case.voltages.len()),
            range: (least, most),
        };
        let expected = placed.goes_with(tenant.expected_w);
        let (more, less) = (tenant.q_max_var - expected, tenant.q_min_var - expected);
        let (more, less) = (more.max(0.0).floor(), (-less).max(0.0).floor());
        if let Some(of) = &tenant.voltage {
            let range_mw = (most - least) as f64 / S_BASE_VA;
            let most_slope = range_mw.max(1.0) * self.dearest() / WORTH_PU;
            self.case.voltages.push(VoltageWorth {
                unit: tenant.unit,
                p_w: 0.0,
                q_var: -expected,
                r_ohm: of.r_ohm,
                x_ohm: of.x_ohm,
                corners: of.corners_within(most_slope),
            });
        }
        self.case.fixed.push(NodePower {
            node: tenant.node,
            p_w: 0.0,
            q_var: -expected,
            owner: None,
        });
        self.tenants.push(placed);
        self.case.units.push(Unit {
            id: tenant.unit,
            participant: tenant.name.clone(),
            node: tenant.node,
            capability: Capability {
                p_min_w: -(most.max(0) as f64),
                p_max_w: -(least.min(0) as f64),
                q_max_var: more.max(less),
                s_max_va: None,
            },
            dispatchable: true,
        });
        self.order(tenant, (more, less), next);
    }

    /// A tenant's orders: of its curve, and of the reactive power that it can give.
    fn order(&mut self, tenant: &Tenant, (more, less): (f64, f64), next: &mut u64) {
        let price = price(REACTIVE * self.dearest());
        let reactive = [(Direction::Buy, more), (Direction::Sell, less)].into_iter();
        let reactive = reactive
            .filter(|(_, var)| *var >= 1.0)
            .map(|(direction, var)| {
                let step = Step {
                    quantity_w: var as i64,
                    price,
                };
                (direction, false, Kind::Reactive, vec![step])
            });
        let energy = tenant.orders().into_iter();
        let energy = energy.map(|(direction, must, steps)| (direction, must, Kind::Energy, steps));
        for (direction, must, kind, steps) in energy.chain(reactive) {
            let terms = Terms {
                must,
                kind,
                ..Terms::default()
            };
            self.case.orders.push(Order {
                id: OrderId(*next),
                client_id: format!("{}-{next}", tenant.name),
                participant: tenant.name.clone(),
                unit: tenant.unit,
                interval: 0,
                direction,
                steps,
                terms,
            });
            *next += 1;
        }
    }

    /// Dearest of the exchange with the layer above, per MWh.
    fn dearest(&self) -> f64 {
        let interfaces = self.case.interface.iter();
        let prices = interfaces.flat_map(|of| [of.import_price, of.export_price]);
        prices.map(|of| of.per_mwh().abs()).fold(0.0, f64::max)
    }

    /// Sets the reactive power that goes with what tenants would be awarded. Where that cannot be cleared at
    /// all, it stays as expected: clearing says why.
    fn follow(&mut self, grid: &Grid, options: &Options) {
        let mut near: Option<Clearing> = None;
        for _ in 0..ROUNDS {
            let Ok(clearing) = clear_from(grid, &self.case, options, near.as_ref()) else {
                return;
            };
            for of in &self.tenants {
                let q_var = -of.goes_with(of.exchange_w(&clearing));
                self.case.fixed[of.fixed].q_var = q_var;
                if let Some(k) = of.voltage {
                    self.case.voltages[k].q_var = q_var;
                }
            }
            near = Some(clearing);
        }
    }

    /// What a clearing of the case gives to each tenant, in their order.
    #[must_use]
    pub fn awards(&self, grid: &Grid, clearing: &Clearing, fee: &GridFee) -> Vec<TenantAward> {
        let loading = loading(grid, clearing);
        let mut distances = Distances::new(grid);
        let sources: Vec<Id> = clearing.exchange.iter().map(|of| of.node).collect();
        let of = |placed: &Placed| {
            let node = placed.node;
            let at = clearing.prices.iter().find(|at| at.node == node);
            let at = at.map(|at| (at.p_per_mwh, at.q_per_mvarh));
            let unit = self.case.units[placed.unit].id;
            // Its own power does not change what it is behind.
            let own = clearing.voltages.iter().find(|of| of.unit == unit);
            let own_price = own.map(|of| (of.p_per_mwh, of.q_per_mvarh));
            let (p_per_mwh, q_per_mvarh) = own_price.or(at).unwrap_or_default();
            let fees = sources.iter().map(|&source| {
                let far = distances.between(node, source).unwrap_or(f64::INFINITY);
                (far, fee.of(&mut distances, node, source, &loading))
            });
            let nearest = fees.min_by(|a, b| a.0.total_cmp(&b.0));
            TenantAward {
                exchange_w: placed.exchange_w(clearing),
                price: price(p_per_mwh),
                q_var: placed.q_var(&self.case, clearing),
                q_price: price(q_per_mvarh),
                u_pu: own.map(|of| of.u_pu),
                grid_fee: nearest.map_or(Price(0), |(_, fee)| fee),
            }
        };
        self.tenants.iter().map(of).collect()
    }
}

impl Tenant {
    fn check(&self) -> Result<(), AreaError> {
        let tenant = || self.name.clone();
        if self.curve.is_empty() {
            return Err(AreaError::NoCorner { tenant: tenant() });
        }
        for (corner, of) in self.curve.iter().enumerate() {
            let before = corner.checked_sub(1).map(|k| self.curve[k]);
            let bounded = of.exchange_w.unsigned_abs() <= EXCHANGE_MOST.unsigned_abs();
            if !bounded || before.is_some_and(|b| b.exchange_w >= of.exchange_w) {
                let tenant = tenant();
                return Err(AreaError::NotRising { tenant, corner });
            }
            let last = corner + 1 == self.curve.len();
            if !last && before.is_some_and(|b| b.price <= of.price) {
                let tenant = tenant();
                return Err(AreaError::NotFalling { tenant, corner });
            }
        }
        let (q_min_var, q_max_var) = (self.q_min_var, self.q_max_var);
        let is_range = q_min_var.is_finite() && q_max_var.is_finite() && q_min_var <= q_max_var;
        if !is_range {
            return Err(AreaError::Reactive {
                tenant: tenant(),
                q_min_var: q_min_var.to_string(),
                q_max_var: q_max_var.to_string(),
            });
        }
        if self.voltage.as_ref().is_some_and(|of| !of.is_one()) {
            return Err(AreaError::Voltage { tenant: tenant() });
        }
        Ok(())
    }

    /// What it can exchange within its connection's limits; where those cut off all of its curve, the
    /// curve's nearer end, which then cannot be kept.
    fn range(&self) -> (i64, i64) {
        let (first, last) = match (self.curve.first(), self.curve.last()) {
            (Some(first), Some(last)) => (first.exchange_w, last.exchange_w),
            _ => (0, 0),
        };
        let within = |w: i64| w.min(self.import_max_w).max(-self.export_max_w);
        (within(first), within(last))
    }

    /// Orders, each with its steps: what must be, then what may be.
    fn orders(&self) -> Vec<(Direction, bool, Vec<Step>)> {
        let (least, most) = self.range();
        let mut orders = Vec::new();
        let must = |quantity_w: i64, price| Step { quantity_w, price };
        if least > 0 {
            orders.push((Direction::Buy, true, vec![must(least, DEAREST)]));
        }
        if most < 0 {
            let cheapest = Price(-DEAREST.0);
            orders.push((Direction::Sell, true, vec![must(-most, cheapest)]));
        }
        let mut buy = Vec::new();
        let mut sell = Vec::new();
        for pair in self.curve.windows(2) {
            let (from, to) = (pair[0].exchange_w.max(least), pair[1].exchange_w.min(most));
            let price = pair[0].price;
            let bought = to - from.max(0).min(to);
            if bought > 0 && to > 0 {
                buy.push(must(bought, price));
            }
            let sold = to.min(0).max(from) - from;
            if sold > 0 && from < 0 {
                sell.push(must(sold, price));
            }
        }
        // The first W to be given up is the one that is worth least.
        sell.reverse();
        for (direction, steps) in [(Direction::Buy, buy), (Direction::Sell, sell)] {
            if !steps.is_empty() {
                orders.push((direction, false, steps));
            }
        }
        orders
    }
}

#[cfg(test)]
mod tests;
