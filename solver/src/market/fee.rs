//! The grid fee of a trade, by how far apart the two are and how full the way between them is.

use serde::{Deserialize, Serialize};

use super::{Price, contract::price, distance::Distances};
use crate::network::Id;

/// The tariff; all zero: no fee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridFee {
    /// Of every trade.
    pub base: Price,
    /// For each pu (on 1 MVA) of electrical distance.
    pub per_pu: Price,
    /// Share by which the part for distance rises from an idle to a fully loaded way.
    pub utilisation: f64,
    /// Most that is charged; none: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<Price>,
}

impl GridFee {
    /// Fee of a trade between two nodes, per MWh; `loading` is by the grid's branches. Between nodes
    /// that are not connected, the base.
    pub(super) fn of(&self, distances: &mut Distances<'_>, a: Id, b: Id, loading: &[f64]) -> Price {
        let far = distances.between(a, b).unwrap_or(0.0);
        let full = match self.utilisation {
            0.0 => 0.0,
            share => share * distances.utilisation(a, b, loading),
        };
        let fee = price(self.base.per_mwh() + self.per_pu.per_mwh() * far * (1.0 + full));
        self.most.map_or(fee, |most| fee.min(most))
    }
}
