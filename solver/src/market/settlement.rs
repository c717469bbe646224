//! Settlement: contracts as contracted, deviations at imbalance prices, from meters in Wh.
//!
//! Every line has an account on each side, so the accounts sum to exactly zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Contracts, Money, Party, Price, contract::amount};
use crate::network::Id;

/// How far a meter's energy can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterQuality {
    /// Measured over the whole interval: settled as it is.
    Metered,
    /// Replaced by an estimate: settled as it is, and marked.
    Estimated,
    /// No value: settled as if delivered as contracted, and marked.
    Missing,
}

/// Energy of a party at a meter over the interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Whose.
    pub party: Party,
    /// The unit, if it is one's.
    #[serde(default)]
    pub unit: Option<Id>,
    /// Where.
    pub node: Id,
    /// Energy delivered, Wh; negative where it was taken. Ignored where missing.
    pub delivered_wh: i64,
    /// How far it can be trusted.
    pub quality: MeterQuality,
}

/// Prices of deviations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imbalance {
    /// Paid by who delivers less, or takes more, than contracted.
    pub short_price: Price,
    /// Received by who delivers more, or takes less, than contracted.
    pub long_price: Price,
}

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementReason {
    /// Contracted energy at the contract's price.
    Contract,
    /// Less delivered, or more taken, than contracted.
    Short,
    /// More delivered, or less taken, than contracted.
    Long,
}

/// A line of a statement. Its counterparty is the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// What it is for.
    pub reason: StatementReason,
    /// The unit, if it is one's.
    pub unit: Option<Id>,
    /// Where.
    pub node: Id,
    /// Energy delivered, Wh; negative where taken.
    pub energy_wh: i64,
    /// Price.
    pub price: Price,
    /// What the party receives; negative where it pays.
    pub received: Money,
    /// The meter's quality; none for a contract.
    pub quality: Option<MeterQuality>,
}

/// A party's lines and their sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Whose.
    pub party: Party,
    /// Lines: contracts, then deviations.
    pub lines: Vec<StatementLine>,
    /// Their sum.
    pub balance: Money,
}

/// The settlement of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Start of the interval.
    pub interval: i64,
    /// One per party, in the order of [`Party`]; the network's has no lines of its own.
    pub statements: Vec<Statement>,
}

impl Settlement {
    /// The sum over all accounts: always nothing.
    #[must_use]
    pub fn sum(&self) -> Money {
        self.statements.iter().map(|of| of.balance).sum()
    }
}

type Place = (Party, Option<Id>, Id);

/// Settles an interval. A contract without a meter, and a meter without a contract, are both
/// settled: the first as missing, the second as a deviation from nothing.
#[must_use]
pub fn settle(
    interval: i64,
    contracts: &Contracts,
    meters: &[Meter],
    imbalance: &Imbalance,
) -> Settlement {
    let mut lines: BTreeMap<Party, Vec<StatementLine>> = BTreeMap::new();
    let mut contracted: BTreeMap<Place, i64> = BTreeMap::new();
    for contract in &contracts.contracts {
        let party = contract.party().clone();
        let place = (party.clone(), contract.unit, contract.node);
        let at = contracted.entry(place).or_default();
        *at = at.saturating_add(contract.delivered_wh());
        lines.entry(party).or_default().push(StatementLine {
            reason: StatementReason::Contract,
            unit: contract.unit,
            node: contract.node,
            energy_wh: contract.delivered_wh(),
            price: contract.price,
            received: contract.received(),
            quality: None,
        });
    }
    for (place, (delivered_wh, quality)) in metered(&contracted, meters) {
        let as_contracted = contracted.get(&place).copied().unwrap_or(0);
        let deviation = delivered_wh.saturating_sub(as_contracted);
        let (party, unit, node) = place;
        if let Some(line) = deviation_line(unit, node, deviation, quality, imbalance) {
            lines.entry(party).or_default().push(line);
        }
    }
    Settlement {
        interval,
        statements: statements(lines),
    }
}

/// Energy per place: the sum of its meters, with the worst of their qualities.
fn metered(
    contracted: &BTreeMap<Place, i64>,
    meters: &[Meter],
) -> BTreeMap<Place, (i64, MeterQuality)> {
    let mut at: BTreeMap<Place, (i64, MeterQuality)> = BTreeMap::new();
    for meter in meters {
        let place = (meter.party.clone(), meter.unit, meter.node);
        let as_contracted = contracted.get(&place).copied().unwrap_or(0);
        let entry = at.entry(place).or_insert((0, MeterQuality::Metered));
        *entry = match (entry.1, meter.quality) {
            (_, MeterQuality::Missing) | (MeterQuality::Missing, _) => {
                (as_contracted, MeterQuality::Missing)
            }
            (MeterQuality::Metered, MeterQuality::Metered) => (
                entry.0.saturating_add(meter.delivered_wh),
                MeterQuality::Metered,
            ),
            _ => (
                entry.0.saturating_add(meter.delivered_wh),
                MeterQuality::Estimated,
            ),
        };
    }
    for (place, &as_contracted) in contracted {
        at.entry(place.clone())
            .or_insert((as_contracted, MeterQuality::Missing));
    }
    at
}

/// A deviation's line; a missing meter leaves one of nothing, so that the statement shows it.
fn deviation_line(
    unit: Option<Id>,
    node: Id,
    deviation_wh: i64,
    quality: MeterQuality,
    imbalance: &Imbalance,
) -> Option<StatementLine> {
    if deviation_wh == 0 && quality == MeterQuality::Metered {
        return None;
    }
    let (reason, price) = if deviation_wh < 0 {
        (StatementReason::Short, imbalance.short_price)
    } else {
        (StatementReason::Long, imbalance.long_price)
    };
    Some(StatementLine {
        reason,
        unit,
        node,
        energy_wh: deviation_wh,
        price,
        received: amount(deviation_wh, price),
        quality: Some(quality),
    })
}

fn statements(lines: BTreeMap<Party, Vec<StatementLine>>) -> Vec<Statement> {
    let mut statements: Vec<Statement> = lines
        .into_iter()
        .map(|(party, lines)| Statement {
            balance: lines.iter().map(|line| line.received).sum(),
            party,
            lines,
        })
        .collect();
    let others: Money = statements.iter().map(|of| of.balance).sum();
    // `Network` is the last variant, so the order of parties is kept.
    statements.push(Statement {
        party: Party::Network,
        lines: Vec::new(),
        balance: -others,
    });
    statements
}
