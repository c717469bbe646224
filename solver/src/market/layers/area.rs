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
mod tests {
    use super::*;
    use crate::{
        market::clearing::{Interface, LimitSet, clear},
        network::pgm_json,
    };

    /// 20 kV: source at 1; lines of 1 Ω without reactance from 1 to 2 and from 1 to 3, 100 A each (3.46 MVA).
    const NETWORK: &str = r#"{"version":"1.0","type":"input","is_batch":false,"attributes":{},"data":{
        "node":[{"id":1,"u_rated":20000},{"id":2,"u_rated":20000},{"id":3,"u_rated":20000}],
        "line":[
          {"id":4,"from_node":1,"to_node":2,"from_status":1,"to_status":1,"r1":1,"x1":0.1,"c1":0,"tan1":0,"i_n":100},
          {"id":5,"from_node":1,"to_node":3,"from_status":1,"to_status":1,"r1":1,"x1":0.1,"c1":0,"tan1":0,"i_n":100}],
        "source":[{"id":6,"node":1,"status":1,"u_ref":1.0}]}}"#;

    fn base(import: i64, export: i64) -> Case {
        Case {
            duration_s: 900,
            fixed: Vec::new(),
            units: Vec::new(),
            orders: Vec::new(),
            limits: LimitSet {
                u_min_pu: 0.9,
                u_max_pu: 1.1,
                nodes: Vec::new(),
                branches: Vec::new(),
            },
            interface: vec![Interface {
                import_price: Price(import),
                export_price: Price(export),
                ..interface()
            }],
            controls: Default::default(),
            by_phase: None,
            start: None,
        }
    }

    fn interface() -> Interface {
        serde_json::from_str(r#"{"source":6,"import_price":0,"export_price":0}"#).unwrap()
    }

    fn tenant(name: &str, unit: Id, node: Id, corners: &[(i64, i64)]) -> Tenant {
        let corner = |&(exchange_w, price)| Corner {
            exchange_w,
            price: Price(price),
            q_var: 0,
        };
        Tenant {
            name: name.to_owned(),
            unit,
            node,
            curve: corners.iter().map(corner).collect(),
            expected_w: 0,
            q_min_var: 0.0,
            q_max_var: 0.0,
            import_max_w: 10_000_000,
            export_max_w: 10_000_000,
        }
    }

    fn awards(own: &Case, tenants: &[Tenant], fee: &GridFee) -> (Vec<TenantAward>, Clearing) {
        let grid = Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap();
        let area = Area::new(&grid, own, tenants, &Options::default()).unwrap();
        let clearing = clear(&grid, &area.case, &Options::default()).unwrap();
        (area.awards(&grid, &clearing, fee), clearing)
    }

    #[test]
    fn surplus_serves_the_neighbour_then_the_grid_above() {
        // Surplus of up to 2 MW at 20 or more; a load that needs 1 MW and takes 0.5 MW more below 60.
        let south = tenant("south", 10, 2, &[(-2_000_000, 20_000_000), (0, 0)]);
        let north = tenant("north", 11, 3, &[(1_000_000, 60_000_000), (1_500_000, 0)]);
        let (given, clearing) = awards(
            &base(100_000_000, 40_000_000),
            &[south, north],
            &GridFee::default(),
        );
        assert_eq!(given[0].exchange_w, -2_000_000);
        assert_eq!(given[1].exchange_w, 1_500_000);
        // What is left goes up, less losses: so the price is the export price, but for losses on the way.
        assert!(clearing.exchange[0].p_w < -480_000.0 && clearing.exchange[0].p_w > -500_000.0);
        // Marginal losses by hand: 2 R P / U² = 2 · 1 · 2e6 / (20e3)² = 1 % less where it is fed in, and
        // 0.75 % more where 1.5 MW are taken.
        let near = |price: Price, per_mwh: f64| (price.per_mwh() - per_mwh).abs() < 0.02;
        assert!(near(given[0].price, 40.0 * 0.99), "{:?}", given[0]);
        assert!(near(given[1].price, 40.0 * 1.0075), "{:?}", given[1]);
    }

    #[test]
    fn a_full_line_holds_the_dear_one_back() {
        // 100 A at 20 kV carry 3.464 MVA.
        let south = tenant("south", 10, 2, &[(-6_000_000, 20_000_000), (0, 0)]);
        let (given, clearing) = awards(
            &base(100_000_000, 40_000_000),
            &[south],
            &GridFee::default(),
        );
        let most = 3f64.sqrt() * 20e3 * 100.0;
        let sent = -given[0].exchange_w as f64;
        // The line's rating holds at its voltage, up to 0.9 % above that of its start.
        assert!(sent > most && sent < 1.01 * most, "{sent}");
        // It is the marginal one; prices are as exact as the search.
        assert!(
            (given[0].price.per_mwh() - 20.0).abs() < 1e-3,
            "{:?}",
            given[0]
        );
        assert!(!clearing.binding.is_empty());
    }

    #[test]
    fn what_must_be_is_served_whatever_the_price() {
        let north = tenant("north", 11, 3, &[(700_000, -5_000_000), (900_000, 0)]);
        let out = tenant("out", 12, 2, &[(-500_000, 90_000_000), (-300_000, 0)]);
        let (given, _) = awards(
            &base(100_000_000, 40_000_000),
            &[north, out],
            &GridFee::default(),
        );
        assert_eq!(given[0].exchange_w, 700_000);
        assert_eq!(
            given[1].exchange_w, -500_000,
            "the neighbour's load pays 100"
        );
        let (given, _) = awards(
            &base(10_000_000, 4_000_000),
            &[tenant(
                "out",
                12,
                2,
                &[(-500_000, 90_000_000), (-300_000, 0)],
            )],
            &GridFee::default(),
        );
        assert_eq!(given[0].exchange_w, -300_000, "no more than it must");
    }

    #[test]
    fn a_connection_and_a_fixed_exchange() {
        let mut south = tenant("south", 10, 2, &[(-2_000_000, 20_000_000), (0, 0)]);
        south.export_max_w = 800_000;
        let fixed = tenant("fixed", 11, 3, &[(123_456, 0)]);
        let (given, _) = awards(
            &base(100_000_000, 40_000_000),
            &[south, fixed],
            &GridFee::default(),
        );
        assert_eq!(given[0].exchange_w, -800_000);
        assert_eq!(given[1].exchange_w, 123_456);
    }

    #[test]
    fn reactive_power_is_what_goes_with_the_award() {
        // 1 MW must be, 2 MW at a price; expected is halfway between, and more could be given.
        for (worth, q_var) in [(60_000_000, 100_000), (150_000_000, 300_000)] {
            let mut south = tenant("south", 10, 2, &[(1_000_000, worth), (2_000_000, 0)]);
            (south.curve[0].q_var, south.curve[1].q_var) = (100_000, 300_000);
            (south.expected_w, south.q_min_var, south.q_max_var) = (1_500_000, 0.0, 900_000.0);
            let (given, clearing) = awards(
                &base(100_000_000, 40_000_000),
                &[south],
                &GridFee::default(),
            );
            assert_eq!(given[0].q_var, q_var, "{:?}", given[0]);
            // The source's is the same but for what the line takes.
            assert!((clearing.exchange[0].q_var - q_var as f64).abs() < 2_000.0);
        }
    }

    #[test]
    fn reactive_power_besides_is_called_on_where_limits_need_it() {
        // 2 MW over 1 Ω take 20 kV down to 0.995 pu.
        let mut south = tenant("south", 10, 2, &[(2_000_000, 0)]);
        (south.expected_w, south.q_min_var, south.q_max_var) = (2_000_000, -2_000_000.0, 0.0);
        let mut own = base(100_000_000, 40_000_000);
        own.limits.u_min_pu = 0.9952;
        let (given, clearing) = awards(&own, &[south.clone()], &GridFee::default());
        assert!(
            !matches!(clearing.status, Status::LeastViolation { .. }),
            "{:?}",
            clearing.status
        );
        assert_eq!(given[0].exchange_w, 2_000_000);
        // By hand: (R P + X Q) / U is 0.0048 · 20 kV, with the source's 0.04 Ω (R/X 0.1) before the line.
        let expected = (0.0048 * 0.9952 * 4e8 - 1.004 * 2e6) / 0.1398;
        assert!(
            (given[0].q_var as f64 - expected).abs() < 0.03 * expected.abs(),
            "{} {expected}",
            given[0].q_var
        );
        south.q_min_var = 0.0;
        let (_, clearing) = awards(&own, &[south], &GridFee::default());
        assert!(
            clearing.awards[0].p_w > -1_950_000.0,
            "what must be is cut: {:?}",
            clearing.awards
        );
    }

    #[test]
    fn the_fee_is_by_distance_to_the_interface() {
        let south = tenant("south", 10, 2, &[(1_000_000, 0)]);
        let fee = GridFee {
            base: Price(1_000_000),
            per_pu: Price(100_000_000),
            ..GridFee::default()
        };
        let (given, _) = awards(&base(100_000_000, 40_000_000), &[south], &fee);
        // |1 + 0.1j| Ω on 1 MVA and 20 kV: 1.004988 / 400 = 0.00251247 pu.
        assert_eq!(given[0].grid_fee, Price(1_251_247));
    }

    #[test]
    fn curves_that_are_none_are_refused_by_name() {
        let own = base(1, 1);
        let grid = Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap();
        let refused = |corners: &[(i64, i64)]| {
            Area::new(
                &grid,
                &own,
                &[tenant("north", 11, 3, corners)],
                &Options::default(),
            )
            .unwrap_err()
            .to_string()
        };
        assert!(refused(&[]).contains("north has a curve without"));
        assert!(refused(&[(5, 1), (5, 0)]).contains("must rise, at corner 1"));
        assert!(refused(&[(5, 1), (6, 1), (7, 0)]).contains("must fall, at corner 1"));
        assert!(refused(&[(i64::MIN, 1)]).contains("must rise, at corner 0"));
        let mut odd = tenant("north", 11, 3, &[(0, 0)]);
        (odd.q_min_var, odd.q_max_var) = (1.0, f64::NAN);
        assert!(Area::new(&grid, &own, &[odd], &Options::default()).is_err());
    }
}
