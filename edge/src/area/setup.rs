//! What an area's market is: from its site file, checked.

use solver::{
    market::{Imbalance, Order, Price, Product, Rulebook, Unit, clearing::LimitSet},
    network::{Id, Network},
};

use crate::above::Terms;

/// A market below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Whom it is known as.
    pub name: String,
    /// As which unit of the market; no appliance of the network has that number.
    pub unit: Id,
    /// Where it is connected.
    pub node: Id,
    /// Most import that its connection carries, W.
    pub import_max_w: i64,
    /// Most export, W.
    pub export_max_w: i64,
}

/// Who takes part in the area itself: the same orders for every interval, delivered as awarded.
#[derive(Clone, Debug, PartialEq)]
pub struct Participant {
    /// Its unit; its owner is who is settled.
    pub unit: Unit,
    /// Their interval is nothing.
    pub orders: Vec<Order>,
}

/// Who holds orders in several markets below and is settled here, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregator {
    /// Its name, here and there.
    pub name: String,
    /// Names of the tenants where it does.
    pub tenants: Vec<String>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The grid between tenants.
    pub network: Network,
    /// Timeline: offers until the gate, awards by when the result is due.
    pub product: Product,
    /// Markets below.
    pub tenants: Vec<Tenant>,
    /// Those of the area.
    pub participants: Vec<Participant>,
    /// Those of several tenants.
    pub aggregators: Vec<Aggregator>,
    /// What its network has to keep to.
    pub limits: LimitSet,
    /// The source that exchanges with the grid above.
    pub source: Id,
    /// Of energy from above, while there is no market there or it says nothing.
    pub import_price: Price,
    /// Of energy given.
    pub export_price: Price,
    /// Most that the connection upwards carries, W.
    pub import_max_w: Option<f64>,
    /// Most that it takes back, W.
    pub export_max_w: Option<f64>,
    /// Clearing, imbalance prices, grid fee.
    pub rulebook: Rulebook,
    /// After the end of an interval, who has not said what was metered is waited for so long, s; then the
    /// exchange upwards is made up of what is known, and corrected later.
    pub patience_s: u32,
    /// Whom the market above knows it as, and how it takes part there; none: there is none.
    pub above: Option<(String, Terms)>,
}

impl Setup {
    /// A tenant, by its name.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.name == name)
    }

    /// Whether a tenant may say what an aggregator has come to.
    #[must_use]
    pub fn aggregates(&self, tenant: &str, name: &str) -> bool {
        let mut known = self.aggregators.iter().filter(|of| of.name == name);
        known.any(|of| of.tenants.iter().any(|of| of == tenant))
    }

    /// The node that the grid above is at; -1: the network has no such source, which a site file is
    /// refused for.
    #[must_use]
    pub fn node_above(&self) -> Id {
        let mut sources = self.network.source.iter();
        let found = sources.find(|source| source.id == self.source);
        found.map_or(-1, |source| source.node)
    }

    /// Prices of deviations.
    #[must_use]
    pub fn imbalance(&self) -> &Imbalance {
        &self.rulebook.imbalance
    }
}
