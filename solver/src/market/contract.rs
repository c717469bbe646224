//! From a clearing to contracts: who sold how much to whom, at what price.
//!
//! Pricing is nodal. The network is everybody's counterparty (as in any locational market: what
//! is bought at one node is not what is sold at another), so each contract has the network on one
//! side, and what is left with the network is its rent: losses and congestion.
//! Rounding happens once per contract, half to even; the rent is the exact difference.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Money, Price, Unit,
    clearing::{Case, Clearing, NodePower},
};
use crate::network::Id;

/// Who stands on a side of a contract, or owns an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// A participant, by name.
    Participant(String),
    /// The grid above.
    Upstream,
    /// The supplier of what is not in the market.
    Residual,
    /// The network; its account ends with the rent.
    Network,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Participant(name) => f.write_str(name),
            Self::Upstream => f.write_str("the grid above"),
            Self::Residual => f.write_str("the residual supplier"),
            Self::Network => f.write_str("the network"),
        }
    }
}

/// One contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Who delivers.
    pub seller: Party,
    /// Who takes.
    pub buyer: Party,
    /// The unit, if it is one's.
    pub unit: Option<Id>,
    /// Where it is delivered.
    pub node: Id,
    /// Energy, Wh, not negative.
    pub energy_wh: i64,
    /// Price.
    pub price: Price,
    /// What the buyer pays; negative where the price is.
    pub amount: Money,
}

impl Contract {
    /// The side that is not the network.
    #[must_use]
    pub fn party(&self) -> &Party {
        if self.seller == Party::Network {
            &self.buyer
        } else {
            &self.seller
        }
    }

    /// Energy that the party delivers, Wh; negative where it takes.
    #[must_use]
    pub fn delivered_wh(&self) -> i64 {
        if self.seller == Party::Network {
            -self.energy_wh
        } else {
            self.energy_wh
        }
    }

    /// What the party receives; negative where it pays.
    #[must_use]
    pub fn received(&self) -> Money {
        if self.seller == Party::Network {
            -self.amount
        } else {
            self.amount
        }
    }
}

/// The contracts of an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contracts {
    /// One per unit, source and node with residual power, where energy flows.
    pub contracts: Vec<Contract>,
    /// What stays with the network: what all others pay less what they receive, exactly.
    pub rent: Money,
    /// Energy bought by the network and not sold again: losses, Wh (and the rounding to whole Wh).
    pub losses_wh: i64,
}

/// Energy of a mean power over a time, Wh, rounded half to even.
#[must_use]
pub fn energy_wh(power_w: f64, duration_s: u32) -> i64 {
    // The cast saturates, and takes what is not a number as nothing.
    (power_w * f64::from(duration_s) / 3600.0).round_ties_even() as i64
}

/// Price of an energy, rounded half to even to the micro-currency.
#[must_use]
pub fn amount(energy_wh: i64, price: Price) -> Money {
    let exact = i128::from(energy_wh) * i128::from(price.0);
    let (whole, rest) = (exact.div_euclid(1_000_000), exact.rem_euclid(1_000_000));
    let up = rest > 500_000 || (rest == 500_000 && whole.rem_euclid(2) == 1);
    let rounded = whole + i128::from(up);
    Money(rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

/// A price in currency per MWh as an integer price, rounded half to even.
fn price(per_mwh: f64) -> Price {
    Price((per_mwh * 1e6).round_ties_even() as i64)
}

/// Contracts of a clearing at its nodal prices; the grid above trades at its own prices.
#[must_use]
pub fn contracts(case: &Case, clearing: &Clearing) -> Contracts {
    let nodal = |node: Id| {
        let found = clearing.prices.iter().find(|at| at.node == node);
        price(found.map_or(0.0, |at| at.p_per_mwh))
    };
    let mut book = Book {
        duration_s: case.duration_s,
        contracts: Vec::new(),
    };
    for (
        Unit {
            id,
            participant,
            node,
            ..
        },
        award,
    ) in case.units.iter().zip(&clearing.awards)
    {
        let party = Party::Participant(participant.clone());
        book.trade(party, Some(*id), *node, award.p_w, nodal(*node));
    }
    for NodePower {
        node, p_w, owner, ..
    } in &case.fixed
    {
        let (party, unit) = match owner {
            Some(owner) => (
                Party::Participant(owner.participant.clone()),
                Some(owner.unit),
            ),
            None => (Party::Residual, None),
        };
        book.trade(party, unit, *node, *p_w, nodal(*node));
    }
    for (interface, exchange) in case.interface.iter().zip(&clearing.exchange) {
        let price = if exchange.p_w >= 0.0 {
            interface.import_price
        } else {
            interface.export_price
        };
        book.trade(Party::Upstream, None, exchange.node, exchange.p_w, price);
    }
    let contracts = book.contracts;
    let delivered = contracts.iter().map(Contract::delivered_wh);
    Contracts {
        rent: -contracts.iter().map(Contract::received).sum::<Money>(),
        losses_wh: delivered.fold(0, i64::saturating_add),
        contracts,
    }
}

struct Book {
    duration_s: u32,
    contracts: Vec<Contract>,
}

impl Book {
    /// Enters what `party` delivers (takes, where negative).
    fn trade(&mut self, party: Party, unit: Option<Id>, node: Id, power_w: f64, price: Price) {
        let delivered = energy_wh(power_w, self.duration_s);
        if delivered == 0 {
            return;
        }
        let (seller, buyer) = if delivered > 0 {
            (party, Party::Network)
        } else {
            (Party::Network, party)
        };
        let energy_wh = delivered.saturating_abs();
        self.contracts.push(Contract {
            seller,
            buyer,
            unit,
            node,
            energy_wh,
            price,
            amount: amount(energy_wh, price),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_round_half_to_even() {
        // energy Wh, price micro/MWh, micro-currency
        for (energy, at, expected) in [
            (1_000_000, 50_000_000, 50_000_000),
            (1, 500_000, 0),
            (3, 500_000, 2),
            (5, 500_000, 2),
            (7, 500_000, 4),
            (1, 500_001, 1),
            (1, -500_000, 0),
            (3, -500_000, -2),
            (1, -500_001, -1),
            (i64::MAX, i64::MAX, i64::MAX),
        ] {
            assert_eq!(
                amount(energy, Price(at)),
                Money(expected),
                "{energy} at {at}"
            );
        }
    }

    #[test]
    fn energy_is_whole_watt_hours() {
        assert_eq!(energy_wh(100_000.0, 10), 278);
        assert_eq!(energy_wh(-3_600.0, 900), -900);
        assert_eq!(energy_wh(f64::NAN, 900), 0);
    }
}
