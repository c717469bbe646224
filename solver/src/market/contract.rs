//! Contracts: who sold how much to whom, at what price. `matching` makes them of a clearing.
//!
//! Rounding happens once per contract and side, half to even; what stays with the network is the
//! exact difference.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CallContract, Money, Price};
use crate::network::Id;

/// Who stands on a side of a contract, or owns an account.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
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

/// Whose energy is delivered or taken where.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Place {
    /// Whose.
    pub party: Party,
    /// The unit, if it is one's.
    pub unit: Option<Id>,
    /// Where.
    pub node: Id,
}

/// One contract. Money goes through the network's account: the buyer pays at its price, the seller
/// receives at its own, and what is between them is congestion and losses on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// Who delivers.
    pub seller: Place,
    /// Who takes.
    pub buyer: Place,
    /// Energy, Wh, above zero.
    pub energy_wh: i64,
    /// What the seller receives for it, per MWh.
    pub seller_price: Price,
    /// What the buyer pays for it, per MWh.
    pub buyer_price: Price,
    /// What the seller receives; negative where its price is.
    pub received: Money,
    /// What the buyer pays, without grid fee; negative where its price is.
    pub paid: Money,
    /// Grid fee, paid by the buyer, or by the seller where the buyer is the grid above.
    pub fee: Money,
    /// Of what tariff it is, per MWh.
    pub fee_per_mwh: Price,
    /// Electrical distance, pu on 1 MVA; none for losses, which are nowhere.
    pub distance_pu: Option<f64>,
    /// Whether it was agreed between the two, at a price of their own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bilateral: bool,
}

impl Contract {
    /// What is left with the network.
    #[must_use]
    pub fn rent(&self) -> Money {
        [self.paid, self.fee, -self.received].into_iter().sum()
    }

    /// Whether the seller pays the grid fee.
    #[must_use]
    pub fn seller_pays_fee(&self) -> bool {
        self.buyer.party == Party::Upstream
    }

    /// Energy that a place delivers by this contract, Wh; negative where it takes.
    #[must_use]
    pub fn delivered_wh(&self, place: &Place) -> i64 {
        let sold = if self.seller == *place {
            self.energy_wh
        } else {
            0
        };
        let bought = if self.buyer == *place {
            self.energy_wh
        } else {
            0
        };
        sold - bought
    }
}

/// Reactive power that the network bought of a unit. It is no energy: nothing else reads it so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReactiveContract {
    /// Who gives it.
    pub seller: Place,
    /// Injected, varh; negative where absorbed.
    pub varh: i64,
    /// What the seller receives per Mvarh, whichever way it goes.
    pub price: Price,
    /// What the seller receives.
    pub received: Money,
}

/// The contracts of an interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contracts {
    /// Between peers first, nearest first; then with the residual supplier and the grid above; then
    /// with the network for losses.
    pub contracts: Vec<Contract>,
    /// Reactive power that was ordered and awarded, by unit; the network buys it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactive: Vec<ReactiveContract>,
    /// Calls that bound a unit, by number; one party pays them to another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallContract>,
    /// What stays with the network: what all others pay less what they receive, exactly.
    pub rent: Money,
    /// Energy bought by the network and not sold again: losses, Wh (and the rounding to whole Wh).
    pub losses_wh: i64,
}

impl Contracts {
    /// Everybody who has a part in them, some of them more than once.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        let energy = self.contracts.iter();
        let energy = energy.flat_map(|of| [&of.seller.party, &of.buyer.party]);
        let reactive = self.reactive.iter().map(|of| &of.seller.party);
        let calls = self.calls.iter();
        let calls = calls.flat_map(|of| [&of.caller, &of.called.party]);
        energy.chain(reactive).chain(calls)
    }

    /// Energy that a party delivers, Wh; negative where it takes.
    #[must_use]
    pub fn delivered_wh(&self, party: &Party) -> i64 {
        let of = |place: &Place, wh: i64| if place.party == *party { wh } else { 0 };
        let each = self.contracts.iter();
        each.map(|c| of(&c.seller, c.energy_wh) - of(&c.buyer, c.energy_wh))
            .sum()
    }

    /// What a party receives, less what it pays.
    #[must_use]
    pub fn received(&self, party: &Party) -> Money {
        let each = self.contracts.iter().flat_map(|c| {
            let fee_of = if c.seller_pays_fee() {
                &c.seller
            } else {
                &c.buyer
            };
            [
                (&c.seller, c.received),
                (&c.buyer, -c.paid),
                (fee_of, -c.fee),
            ]
        });
        let reactive = self.reactive.iter().map(|c| (&c.seller, c.received));
        let calls = self.calls.iter();
        let calls = calls.flat_map(|c| [(&c.called.party, c.received), (&c.caller, -c.received)]);
        each.chain(reactive)
            .map(|(place, money)| (&place.party, money))
            .chain(calls)
            .filter(|(of, _)| *of == party)
            .map(|(_, money)| money)
            .sum()
    }
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
pub(super) fn price(per_mwh: f64) -> Price {
    Price((per_mwh * 1e6).round_ties_even() as i64)
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
