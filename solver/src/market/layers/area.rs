//! The layer above: tenants' curves as units and orders of one [`Case`], its result as their awards.
//!
//! A tenant's curve is the slope of a concave value of its exchange: what it would pay for import beyond what
//! it takes anyway becomes a buy order, what it asks for export a sell order, and what it cannot go without
//! (the range's near end, where that is not zero) is `must`: taken whatever the price, cut last.

use crate::{
    market::{
        Direction, GridFee, Order, OrderId, Price, Step, Terms, Unit,
        clearing::{Case, Clearing, NodePower},
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
    /// Least reactive power that it takes, var, import-positive.
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
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    /// To be cleared.
    pub case: Case,
    /// By tenant: index of its unit, node, middle of its reactive range (var, import-positive), and the
    /// range that an exchange is rounded within.
    tenants: Vec<(usize, Id, f64, (i64, i64))>,
}

impl Area {
    /// Adds tenants to a case, which has the layer's own units, orders, limits and interface. Their units
    /// are not in it yet.
    ///
    /// # Errors
    /// A curve that is none; see [`AreaError`].
    pub fn new(own: &Case, tenants: &[Tenant]) -> Result<Self, AreaError> {
        let mut case = own.clone();
        let mut placed = Vec::with_capacity(tenants.len());
        let orders = own.orders.iter().map(|order| order.id.0 + 1);
        let mut next = orders.max().unwrap_or(1);
        for tenant in tenants {
            tenant.check()?;
            let middle_var = f64::midpoint(tenant.q_min_var, tenant.q_max_var);
            // What a unit can do is alike in both directions: its range's middle stands beside it.
            if middle_var != 0.0 {
                case.fixed.push(NodePower {
                    node: tenant.node,
                    p_w: 0.0,
                    q_var: -middle_var,
                    owner: None,
                });
            }
            let (least, most) = tenant.range();
            placed.push((case.units.len(), tenant.node, middle_var, (least, most)));
            case.units.push(Unit {
                id: tenant.unit,
                participant: tenant.name.clone(),
                node: tenant.node,
                capability: Capability {
                    p_min_w: -(most.max(0) as f64),
                    p_max_w: -(least.min(0) as f64),
                    q_max_var: 0.5 * (tenant.q_max_var - tenant.q_min_var),
                    s_max_va: None,
                },
                dispatchable: true,
            });
            for (direction, must, steps) in tenant.orders() {
                let terms = Terms {
                    must,
                    ..Terms::default()
                };
                case.orders.push(Order {
                    id: OrderId(next),
                    client_id: format!("{}-{next}", tenant.name),
                    participant: tenant.name.clone(),
                    unit: tenant.unit,
                    interval: 0,
                    direction,
                    steps,
                    terms,
                });
                next += 1;
            }
        }
        Ok(Self {
            case,
            tenants: placed,
        })
    }

    /// What a clearing of the case gives to each tenant, in their order.
    #[must_use]
    pub fn awards(&self, grid: &Grid, clearing: &Clearing, fee: &GridFee) -> Vec<TenantAward> {
        let loading = loading(grid, clearing);
        let mut distances = Distances::new(grid);
        let sources: Vec<Id> = clearing.exchange.iter().map(|of| of.node).collect();
        let of = |&(unit, node, middle_var, (least, most)): &(usize, Id, f64, (i64, i64))| {
            let award = &clearing.awards[unit];
            let at = clearing.prices.iter().find(|at| at.node == node);
            let fees = sources.iter().map(|&source| {
                let far = distances.between(node, source).unwrap_or(f64::INFINITY);
                (far, fee.of(&mut distances, node, source, &loading))
            });
            let nearest = fees.min_by(|a, b| a.0.total_cmp(&b.0));
            // To the whole watt and never beyond the range; where even that is cut, towards nothing.
            let exchange_w = (-award.p_w).round_ties_even() as i64;
            let within = exchange_w.clamp(least.min(0), most.max(0));
            TenantAward {
                exchange_w: within,
                price: price(at.map_or(0.0, |at| at.p_per_mwh)),
                q_var: (middle_var - award.q_var).round_ties_even() as i64,
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
        market::clearing::{Interface, LimitSet, Options, clear},
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
        };
        Tenant {
            name: name.to_owned(),
            unit,
            node,
            curve: corners.iter().map(corner).collect(),
            q_min_var: 0.0,
            q_max_var: 0.0,
            import_max_w: 10_000_000,
            export_max_w: 10_000_000,
        }
    }

    fn awards(own: &Case, tenants: &[Tenant], fee: &GridFee) -> (Vec<TenantAward>, Clearing) {
        let grid = Grid::new(&pgm_json::read(NETWORK).unwrap()).unwrap();
        let area = Area::new(own, tenants).unwrap();
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
    fn reactive_power_is_about_the_ranges_middle() {
        let mut south = tenant("south", 10, 2, &[(1_000_000, 0)]);
        (south.q_min_var, south.q_max_var) = (200_000.0, 300_000.0);
        let (given, _) = awards(
            &base(100_000_000, 40_000_000),
            &[south],
            &GridFee::default(),
        );
        // Least losses: as little of it as can be.
        assert!((given[0].q_var - 200_000).abs() < 1_000, "{:?}", given[0]);
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
        let refused = |corners: &[(i64, i64)]| {
            Area::new(&own, &[tenant("north", 11, 3, corners)])
                .unwrap_err()
                .to_string()
        };
        assert!(refused(&[]).contains("north has a curve without"));
        assert!(refused(&[(5, 1), (5, 0)]).contains("must rise, at corner 1"));
        assert!(refused(&[(5, 1), (6, 1), (7, 0)]).contains("must fall, at corner 1"));
        assert!(refused(&[(i64::MIN, 1)]).contains("must rise, at corner 0"));
        let mut odd = tenant("north", 11, 3, &[(0, 0)]);
        (odd.q_min_var, odd.q_max_var) = (1.0, f64::NAN);
        assert!(Area::new(&own, &[odd]).is_err());
    }
}
