//! From a gate's offers to a case, and from its clearing to awards.

use protocols::opcua::message::{Award, Offer, Voltage};
use solver::market::{
    LedgerEntry, Price,
    clearing::{Case, Clearing, Controls, Interface, VoltageCorner},
    layers::{self, Area, AreaError},
};

use super::{Deal, Entry, Given, Market, Setup, Taken, Tenant};

/// Limits that an award names, the dearest first.
const LIMITS_MOST: usize = 16;

impl Setup {
    /// The exchange with the grid above, as the site file has it.
    #[must_use]
    pub fn interface(&self) -> Interface {
        Interface {
            source: self.source,
            import_price: self.import_price,
            export_price: self.export_price,
            import_max_w: self.import_max_w,
            export_max_w: self.export_max_w,
            scheduled: None,
            u_pu: None,
        }
    }

    /// The area's own part of a case.
    fn own_case(&self, start: i64) -> Case {
        let orders = self.participants.iter().flat_map(|of| &of.orders);
        let mut orders: Vec<_> = orders.cloned().collect();
        for order in &mut orders {
            order.interval = start;
        }
        Case {
            duration_s: self.product.length_s,
            fixed: Vec::new(),
            units: self.participants.iter().map(|of| of.unit.clone()).collect(),
            orders,
            limits: self.limits.clone(),
            interface: vec![self.interface()],
            controls: Controls::default(),
            by_phase: None,
            voltages: Vec::new(),
            start: None,
        }
    }
}

impl Market {
    /// With what each tenant stands in the case of an interval.
    pub(super) fn gather(&self, start: i64) -> Vec<Taken> {
        let of = |tenant: &Tenant| {
            let deal = self.book.deal(start, &tenant.name);
            let offer = deal.and_then(|deal| deal.offer.as_ref());
            let expected_w = match offer {
                Some(offer) => offer.forecast_w,
                None => self.book.last_w(&tenant.name),
            };
            Taken {
                tenant: tenant.name.clone(),
                offer: offer.map(|offer| offer.sequence),
                expected_w: expected_w.clamp(-tenant.export_max_w, tenant.import_max_w),
            }
        };
        self.setup.tenants.iter().map(of).collect()
    }

    /// The case of an interval with its tenants.
    ///
    /// # Errors
    /// A curve that is none: it was checked when it was taken.
    pub(super) fn area(&self, start: i64, taken: &[Taken]) -> Result<Area, AreaError> {
        let each = taken.iter().filter_map(|of| {
            let tenant = self.setup.tenant(&of.tenant)?;
            let deal = self.book.deal(start, &of.tenant);
            let offer = deal.and_then(|deal| deal.offer.as_ref());
            let offer = offer.filter(|offer| Some(offer.sequence) == of.offer);
            let called = deal.and_then(Deal::called);
            Some(layer(tenant, of.expected_w, offer, called))
        });
        let tenants: Vec<layers::Tenant> = each.collect();
        let mut area = Area::new(
            &self.grid,
            &self.setup.own_case(start),
            &tenants,
            &self.setup.rulebook.clearing,
        )?;
        for order in &mut area.case.orders {
            order.interval = start;
        }
        Ok(area)
    }

    /// The awards that a clearing comes to.
    pub(super) fn awards(
        &self,
        start: i64,
        area: &Area,
        taken: &[Taken],
        clearing: &Clearing,
    ) -> Entry {
        let given = area.awards(&self.grid, clearing, &self.setup.rulebook.grid_fee);
        let named = clearing.binding.iter().take(LIMITS_MOST);
        let limits: Vec<String> = named.map(ToString::to_string).collect();
        let awards = taken.iter().zip(given).map(|(of, given)| {
            let tenant = self.setup.tenant(&of.tenant);
            let deal = self.book.deal(start, &of.tenant);
            let sequence = deal.and_then(Deal::last_award);
            Given {
                tenant: of.tenant.clone(),
                award: Award {
                    interval: start,
                    sequence: sequence.unwrap_or_default() + 1,
                    offer: of.offer.unwrap_or_default(),
                    exchange_w: given.exchange_w,
                    price: given.price.0,
                    q_var: given.q_var,
                    grid_fee: given.grid_fee.0,
                    import_max_w: tenant.map_or(0, |tenant| tenant.import_max_w),
                    export_max_w: tenant.map_or(0, |tenant| tenant.export_max_w),
                    called_w: deal.and_then(Deal::called).map(|of| of.exchange_w),
                    limits: limits.clone(),
                    u_ppm: given.u_pu.map(|u_pu| (u_pu * 1e6).round() as i64),
                },
            }
        });
        Entry::Awarded {
            interval: start,
            awards: awards.collect(),
        }
    }

    /// The record of a gate.
    pub(super) fn gate_entry(&self, start: i64, case: Case) -> LedgerEntry {
        LedgerEntry::GateClosed {
            interval: start,
            network: self.network.to_string(),
            rulebook: Some(Box::new(self.setup.rulebook.clone())),
            pairs: Vec::new(),
            ahead: None,
            calls: None,
            case: Box::new(case),
        }
    }
}

impl Deal {
    /// The corner that it is called to, within what it has offered: it would not take an award beyond that. Who has
    /// offered nothing cannot be called on.
    fn called(&self) -> Option<layers::Corner> {
        let (called_w, offer) = (self.called_w?, self.offer.as_ref()?);
        let (first, last) = (offer.curve.first()?, offer.curve.last()?);
        let exchange_w = called_w.min(last.exchange_w).max(first.exchange_w);
        let above = offer
            .curve
            .iter()
            .position(|of| of.exchange_w >= exchange_w)?;
        let (low, high) = (offer.curve[above.saturating_sub(1)], offer.curve[above]);
        let width = (high.exchange_w - low.exchange_w).max(1) as f64;
        let share = (exchange_w - low.exchange_w) as f64 / width;
        let q_var = low.q_var as f64 + share * (high.q_var - low.q_var) as f64;
        Some(layers::Corner {
            exchange_w,
            price: Price(0),
            q_var: q_var.round() as i64,
        })
    }

    fn last_award(&self) -> Option<u32> {
        self.award.as_ref().map(|award| award.sequence)
    }
}

/// A tenant as the solver takes it: with its curve, or as what it is called to or expected to exchange.
fn layer(
    tenant: &Tenant,
    expected_w: i64,
    offer: Option<&Offer>,
    called: Option<layers::Corner>,
) -> layers::Tenant {
    let expected = || {
        vec![layers::Corner {
            exchange_w: expected_w,
            price: Price(0),
            q_var: 0,
        }]
    };
    let corners = offer.map(|offer| {
        let corners = offer.curve.iter().map(|corner| layers::Corner {
            exchange_w: corner.exchange_w,
            price: Price(corner.price),
            q_var: corner.q_var,
        });
        corners.collect()
    });
    layers::Tenant {
        name: tenant.name.clone(),
        unit: tenant.unit,
        node: tenant.node,
        expected_w: match (called, offer) {
            (Some(called), _) => called.exchange_w,
            (None, Some(offer)) => offer.forecast_w,
            (None, None) => expected_w,
        },
        curve: match called {
            Some(called) => vec![called],
            None => corners.unwrap_or_else(expected),
        },
        q_min_var: offer.map_or(0.0, |offer| offer.q_min_var as f64),
        q_max_var: offer.map_or(0.0, |offer| offer.q_max_var as f64),
        voltage: offer.and_then(|offer| offer.voltage.as_ref()).map(voltage),
        import_max_w: tenant.import_max_w,
        export_max_w: tenant.export_max_w,
    }
}

fn voltage(of: &Voltage) -> layers::Voltage {
    let corner = |&(u_ppm, cost): &(i64, i64)| VoltageCorner {
        u_pu: u_ppm as f64 / 1e6,
        cost_per_h: cost as f64 / 1e6,
    };
    layers::Voltage {
        r_ohm: of.r_ohm,
        x_ohm: of.x_ohm,
        corners: of.corners.iter().map(corner).collect(),
    }
}
