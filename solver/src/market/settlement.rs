//! Settlement: contracts as contracted, deviations at imbalance prices, from meters in Wh.
//!
//! Every line has an account on each side: the party's and the network's, through which all money
//! goes. So the accounts sum to exactly zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    CallContract, Contract, Contracts, Money, Party, Place, Price, ReactiveContract,
    contract::amount,
};
use crate::network::Id;

/// How far a meter's energy can be trusted, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterQuality {
    /// Measured over the whole interval: settled as it is.
    Metered,
    /// A value that the meter's operator put in the place of a measured one: settled as it is, and
    /// marked.
    Replaced,
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
    /// Grid fee of a contract.
    GridFee,
    /// Reactive power that was ordered, at its price, as awarded: no meter counts it.
    Reactive,
    /// What was delivered more, or less, by a call than would have been without, at its compensation.
    Call,
    /// Less delivered, or more taken, than contracted.
    Short,
    /// More delivered, or less taken, than contracted.
    Long,
    /// What all the lines before come to, where that is settled in the market above: it passes up, energy
    /// and money. In the market above, what has come up.
    SettledAbove,
    /// A deviation taken back, or put in its place, since its meter says something else now.
    Correction,
}

/// A line of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// What it is for.
    pub reason: StatementReason,
    /// Who is on the other side.
    pub counterparty: Party,
    /// The unit, if it is one's.
    pub unit: Option<Id>,
    /// Where.
    pub node: Id,
    /// Energy delivered, Wh; negative where taken. Of a call, what it changed, which is part of
    /// what was contracted.
    pub energy_wh: i64,
    /// Reactive power injected, varh; negative where absorbed. Only on lines for it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub reactive_varh: i64,
    /// Price, per MWh or Mvarh.
    pub price: Price,
    /// What the party receives; negative where it pays.
    pub received: Money,
    /// The meter's quality; none for a contract or its fee.
    pub quality: Option<MeterQuality>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_none(varh: &i64) -> bool {
    *varh == 0
}

/// A party's lines and their sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Whose.
    pub party: Party,
    /// Lines: contracts, each with its fee, reactive power, calls, then deviations, then what passes up.
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
    let contracted = contracted(contracts);
    for contract in &contracts.contracts {
        for (party, line) in contract_lines(contract) {
            lines.entry(party).or_default().push(line);
        }
    }
    for of in &contracts.reactive {
        let own = lines.entry(of.seller.party.clone()).or_default();
        own.push(reactive_line(of));
    }
    for of in &contracts.calls {
        for (party, line) in call_lines(of) {
            lines.entry(party).or_default().push(line);
        }
    }
    for (place, (delivered_wh, quality)) in metered(&contracted, meters) {
        let as_contracted = contracted.get(&place).copied().unwrap_or(0);
        let deviation = delivered_wh.saturating_sub(as_contracted);
        if let Some(line) = deviation_line(&place, deviation, quality, imbalance) {
            lines.entry(place.party).or_default().push(line);
        }
    }
    Settlement {
        interval,
        statements: statements(lines),
    }
}

/// Energy that contracts have each place deliver, but the network.
fn contracted(contracts: &Contracts) -> BTreeMap<Place, i64> {
    let mut contracted: BTreeMap<Place, i64> = BTreeMap::new();
    for contract in &contracts.contracts {
        for place in [&contract.seller, &contract.buyer] {
            let at = contracted.entry(place.clone()).or_default();
            *at = at.saturating_add(contract.delivered_wh(place));
        }
    }
    contracted.retain(|place, _| place.party != Party::Network);
    contracted
}

/// Of both ends of a contract but the network, with the fee of who pays it.
fn contract_lines(contract: &Contract) -> Vec<(Party, StatementLine)> {
    let mut lines = Vec::new();
    for (sells, place, other) in [
        (true, &contract.seller, &contract.buyer),
        (false, &contract.buyer, &contract.seller),
    ] {
        if place.party == Party::Network {
            continue;
        }
        let (energy_wh, price, received) = match sells {
            true => (contract.energy_wh, contract.seller_price, contract.received),
            false => (-contract.energy_wh, contract.buyer_price, -contract.paid),
        };
        let line = StatementLine {
            reason: StatementReason::Contract,
            counterparty: other.party.clone(),
            unit: place.unit,
            node: place.node,
            energy_wh,
            reactive_varh: 0,
            price,
            received,
            quality: None,
        };
        lines.push((place.party.clone(), line.clone()));
        if contract.seller_pays_fee() == sells && contract.fee != Money(0) {
            let fee = StatementLine {
                reason: StatementReason::GridFee,
                counterparty: Party::Network,
                energy_wh: 0,
                price: contract.fee_per_mwh,
                received: -contract.fee,
                ..line
            };
            lines.push((place.party.clone(), fee));
        }
    }
    lines
}

fn reactive_line(of: &ReactiveContract) -> StatementLine {
    StatementLine {
        reason: StatementReason::Reactive,
        counterparty: Party::Network,
        unit: of.seller.unit,
        node: of.seller.node,
        energy_wh: 0,
        reactive_varh: of.varh,
        price: of.price,
        received: of.received,
        quality: None,
    }
}

/// Of who was called, and of who called.
fn call_lines(of: &CallContract) -> [(Party, StatementLine); 2] {
    let (called, caller) = (&of.called.party, &of.caller);
    let line = StatementLine {
        reason: StatementReason::Call,
        counterparty: caller.clone(),
        unit: of.called.unit,
        node: of.called.node,
        energy_wh: of.energy_wh,
        reactive_varh: 0,
        price: of.compensation,
        received: of.received,
        quality: None,
    };
    let paid = StatementLine {
        counterparty: called.clone(),
        energy_wh: of.energy_wh.saturating_neg(),
        received: -of.received,
        ..line.clone()
    };
    [(called.clone(), line), (caller.clone(), paid)]
}

/// What changes in an interval's settlement where meters say something else than they said `before`:
/// each deviation that is another one now is taken back, and the one in its place is put in. `after` has
/// every meter of `before`. The settlement that was made stays as it is; with this one added, all
/// accounts are as if meters had said so from the start, and the sum is nothing again.
#[must_use]
pub fn correct(
    interval: i64,
    contracts: &Contracts,
    (before, after): (&[Meter], &[Meter]),
    imbalance: &Imbalance,
) -> Settlement {
    let contracted = contracted(contracts);
    let mut lines: BTreeMap<Party, Vec<StatementLine>> = BTreeMap::new();
    let now = metered(&contracted, after);
    let mut then = metered(&contracted, before);
    for (place, delivered) in now {
        let was = then.remove(&place);
        if was == Some(delivered) {
            continue;
        }
        let as_contracted = contracted.get(&place).copied().unwrap_or(0);
        let line = |(delivered_wh, quality): (i64, MeterQuality)| {
            let deviation = delivered_wh.saturating_sub(as_contracted);
            deviation_line(&place, deviation, quality, imbalance)
        };
        let taken_back = was.and_then(line).map(|line| StatementLine {
            energy_wh: line.energy_wh.saturating_neg(),
            received: -line.received,
            ..line
        });
        for line in taken_back.into_iter().chain(line(delivered)) {
            let reason = StatementReason::Correction;
            let own = lines.entry(place.party.clone()).or_default();
            own.push(StatementLine { reason, ..line });
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
        let place = Place {
            party: meter.party.clone(),
            unit: meter.unit,
            node: meter.node,
        };
        let as_contracted = contracted.get(&place).copied().unwrap_or(0);
        let entry = at.entry(place).or_insert((0, MeterQuality::Metered));
        let quality = entry.1.max(meter.quality);
        let energy_wh = match quality {
            MeterQuality::Missing => as_contracted,
            _ => entry.0.saturating_add(meter.delivered_wh),
        };
        *entry = (energy_wh, quality);
    }
    for (place, &as_contracted) in contracted {
        at.entry(place.clone())
            .or_insert((as_contracted, MeterQuality::Missing));
    }
    at
}

/// A deviation's line; a missing meter leaves one of nothing, so that the statement shows it.
fn deviation_line(
    place: &Place,
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
        counterparty: Party::Network,
        unit: place.unit,
        node: place.node,
        energy_wh: deviation_wh,
        reactive_varh: 0,
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
