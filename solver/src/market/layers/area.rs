//! The layer above: tenants' curves as units and orders of one [`Case`], its result as their awards.
//!
//! A tenant's curve is the slope of a concave value of its exchange: what it would pay for import beyond what
//! it takes anyway becomes a buy order, what it asks for export a sell order, and what it cannot go without
//! (the range's near end, where that is not zero) is `must`: taken whatever the price, cut last.

use crate::{
    market::{
        Direction, GridFee, Order, OrderId, Price, Step, Terms, Unit,
        clearing::{Case, Clearing, NodePower, Options, Status, clear_from},
        contract::price,
        distance::Distances,
        matching::loading,
        unit::Capability,
    },
    network::{Grid, Id},
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
    /// What it can give more or less of reactive power than goes with its exchange, var, import-positive.
    reactive: (f64, f64),
    /// That an exchange is rounded within.
    range: (i64, i64),
}

impl Placed {
    /// Middle of its reactive power, var, import-positive.
    fn middle_var(&self, case: &Case) -> f64 {
        -case.fixed[self.fixed].q_var
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
        let mut placed = Placed {
            unit: self.case.units.len(),
            node: tenant.node,
            fixed: self.case.fixed.len(),
            curve: tenant.curve.clone(),
            reactive: (0.0, 0.0),
            range: (least, most),
        };
        let expected = placed.goes_with(tenant.expected_w);
        let (more, less) = (tenant.q_max_var - expected, tenant.q_min_var - expected);
        placed.reactive = (less.min(0.0), more.max(0.0));
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
                q_max_var: 0.0,
                s_max_va: None,
            },
            dispatchable: true,
        });
        for (direction, must, steps) in tenant.orders() {
            let terms = Terms {
                must,
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

    /// Sets the reactive power that goes with what tenants would be awarded. Where that cannot be cleared at
    /// all, it stays as expected: clearing says why.
    fn follow(&mut self, grid: &Grid, options: &Options) {
        let mut near: Option<Clearing> = None;
        let mut called = false;
        for _ in 0..ROUNDS {
            let Ok(mut clearing) = clear_from(grid, &self.case, options, near.as_ref()) else {
                return;
            };
            if !called && !self.is_kept(&clearing) {
                called = true;
                self.call_on_reactive_power();
                let Ok(again) = clear_from(grid, &self.case, options, near.as_ref()) else {
                    return;
                };
                clearing = again;
            }
            for of in &self.tenants {
                let with = of.goes_with(of.exchange_w(&clearing));
                let (less, more) = if called { of.reactive } else { (0.0, 0.0) };
                self.case.fixed[of.fixed].q_var = -(with + f64::midpoint(less, more));
            }
            near = Some(clearing);
        }
    }

    /// Whether a clearing keeps all limits, and gives each tenant what it must have.
    fn is_kept(&self, clearing: &Clearing) -> bool {
        let is_cut = |of: &Placed| {
            let exchange_w = -clearing.awards[of.unit].p_w;
            exchange_w < of.range.0 as f64 - 1.0 || exchange_w > of.range.1 as f64 + 1.0
        };
        !matches!(clearing.status, Status::LeastViolation { .. })
            && !self.tenants.iter().any(is_cut)
    }

    /// Tenants give what they can besides. What a unit can do is alike in both directions: the middle of the
    /// range stands beside it.
    fn call_on_reactive_power(&mut self) {
        for of in &self.tenants {
            let (less, more) = of.reactive;
            self.case.units[of.unit].capability.q_max_var = 0.5 * (more - less);
            self.case.fixed[of.fixed].q_var -= f64::midpoint(less, more);
        }
    }

    /// What a clearing of the case gives to each tenant, in their order.
    #[must_use]
    pub fn awards(&self, grid: &Grid, clearing: &Clearing, fee: &GridFee) -> Vec<TenantAward> {
        let loading = loading(grid, clearing);
        let mut distances = Distances::new(grid);
        let sources: Vec<Id> = clearing.exchange.iter().map(|of| of.node).collect();
        let of = |placed: &Placed| {
            let award = &clearing.awards[placed.unit];
            let node = placed.node;
            let at = clearing.prices.iter().find(|at| at.node == node);
            let fees = sources.iter().map(|&source| {
                let far = distances.between(node, source).unwrap_or(f64::INFINITY);
                (far, fee.of(&mut distances, node, source, &loading))
            });
            let nearest = fees.min_by(|a, b| a.0.total_cmp(&b.0));
            TenantAward {
                exchange_w: placed.exchange_w(clearing),
                price: price(at.map_or(0.0, |at| at.p_per_mwh)),
                q_var: (placed.middle_var(&self.case) - award.q_var).round_ties_even() as i64,
                q_price: price(at.map_or(0.0, |at| at.q_per_mvarh)),
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
