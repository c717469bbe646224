//! What an interval costs whom. Contracted is what was awarded, for those whose closing rests on it, at the
//! award's price and with its grid fee; all else is a deviation, at imbalance prices. All money goes through
//! the network's account, so every settlement sums to exactly nothing.

use protocols::opcua::message::{Aggregated, Total};
use solver::{
    market::{
        Contract, Contracts, Imbalance, LedgerEntry, Meter, MeterQuality, Money, Party, Place,
        Price, Settlement, Statement, StatementLine, StatementReason, amount, energy_wh, settle,
    },
    network::Id,
};

use super::{Deal, Setup, Tenant};

/// A mean power that was agreed on, and what it costs.
struct Agreed {
    place: Place,
    /// Delivered, Wh; negative where taken.
    delivered_wh: i64,
    price: Price,
    /// Per MWh, whichever way it goes.
    fee: Price,
}

/// A tenant's settlement of an interval; its deal is complete.
pub(super) fn tenant(setup: &Setup, start: i64, tenant: &Tenant, deal: &Deal) -> Settlement {
    let place = Place {
        party: Party::Participant(tenant.name.clone()),
        unit: Some(tenant.unit),
        node: tenant.node,
    };
    let agreed = deal.rests_on().map(|award| Agreed {
        place: place.clone(),
        delivered_wh: -energy_wh(
            award.called_w.unwrap_or(award.exchange_w) as f64,
            setup.product.length_s,
        ),
        price: Price(award.price),
        fee: Price(award.grid_fee),
    });
    let meters: Vec<Meter> = deal.total.iter().map(|of| meter(&place, of)).collect();
    let mut settlement = settled(start, agreed.as_slice(), &meters, setup.imbalance());
    for of in deal.total.iter().flat_map(|of| &of.aggregators) {
        aggregated(&mut settlement, &place, of);
    }
    settlement.pass_up(&setup.rulebook.settled_above);
    settlement
}

/// What an aggregator has come to in a tenant's market is the tenant's to pay.
fn aggregated(settlement: &mut Settlement, tenant: &Place, of: &Aggregated) {
    let aggregator = Party::Participant(of.name.clone());
    let line = StatementLine {
        reason: StatementReason::SettledAbove,
        counterparty: tenant.party.clone(),
        unit: tenant.unit,
        node: tenant.node,
        energy_wh: of.delivered_wh,
        reactive_varh: 0,
        price: Price(0),
        received: Money(of.amount),
        quality: None,
    };
    let paid = line.other_side(aggregator.clone());
    settlement.credit(&aggregator, vec![line]);
    settlement.credit(&tenant.party, vec![paid]);
}

/// What a total says of a place.
fn meter(place: &Place, total: &Total) -> Meter {
    Meter {
        party: place.party.clone(),
        unit: place.unit,
        node: place.node,
        delivered_wh: total.export_wh.saturating_sub(total.import_wh),
        quality: match total.replaced {
            true => MeterQuality::Replaced,
            false => MeterQuality::Metered,
        },
    }
}

/// What a tenant's total says, for the record.
pub(super) fn meters(of: &Tenant, total: &Total) -> Vec<Meter> {
    let place = Place {
        party: Party::Participant(of.name.clone()),
        unit: Some(of.unit),
        node: of.node,
    };
    vec![meter(&place, total)]
}

/// Energy that the area's own participants deliver: as awarded, nothing of theirs being metered here.
pub(super) fn own(
    setup: &Setup,
    start: i64,
    awarded: impl Fn(Id) -> Option<(f64, Price)>,
) -> Settlement {
    let of = |unit: &solver::market::Unit| {
        let (p_w, price) = awarded(unit.id)?;
        Some(Agreed {
            place: Place {
                party: Party::Participant(unit.participant.clone()),
                unit: Some(unit.id),
                node: unit.node,
            },
            delivered_wh: energy_wh(p_w, setup.product.length_s),
            price,
            fee: Price(0),
        })
    };
    let agreed = setup.participants.iter().filter_map(|p| of(&p.unit));
    let agreed: Vec<Agreed> = agreed.collect();
    let mut settlement = settled(start, &agreed, &[], setup.imbalance());
    settlement.pass_up(&setup.rulebook.settled_above);
    settlement
}

/// The grid above: what was exchanged, import-positive, against what was agreed with it. With nothing agreed
/// the site's prices are agreed for whatever it is.
pub(super) fn upstream(
    setup: &Setup,
    start: i64,
    import_wh: i64,
    agreed: Option<(i64, Price, Price)>,
) -> Settlement {
    let place = Place {
        party: Party::Upstream,
        unit: None,
        node: setup.node_above(),
    };
    let (delivered_wh, price, fee) = agreed.unwrap_or(match import_wh {
        0.. => (import_wh, setup.import_price, Price(0)),
        _ => (import_wh, setup.export_price, Price(0)),
    });
    // The fee is the grid above's: it receives it, whichever way energy goes.
    let agreed = Agreed {
        place: place.clone(),
        delivered_wh,
        price,
        fee: Price(-fee.0),
    };
    let meter = Meter {
        party: Party::Upstream,
        unit: None,
        node: place.node,
        delivered_wh: import_wh,
        quality: MeterQuality::Estimated,
    };
    // Where it delivers more, it is we who are short.
    let theirs = setup.imbalance();
    let seen_from_there = Imbalance {
        short_price: theirs.long_price,
        long_price: theirs.short_price,
    };
    settled(start, &[agreed], &[meter], &seen_from_there)
}

/// By the market's own settlement, the network being on the other side of everything; fees besides.
fn settled(start: i64, agreed: &[Agreed], meters: &[Meter], imbalance: &Imbalance) -> Settlement {
    let network = |node| Place {
        party: Party::Network,
        unit: None,
        node,
    };
    let made = agreed.iter().filter(|of| of.delivered_wh != 0);
    let contracts = made.clone().map(|of| {
        let sells = of.delivered_wh > 0;
        let energy_wh = of.delivered_wh.saturating_abs();
        let other = network(of.place.node);
        let (seller, buyer) = match sells {
            true => (of.place.clone(), other),
            false => (other, of.place.clone()),
        };
        let money = amount(energy_wh, of.price);
        Contract {
            seller,
            buyer,
            energy_wh,
            seller_price: of.price,
            buyer_price: of.price,
            received: money,
            paid: money,
            fee: Money(0),
            fee_per_mwh: Price(0),
            distance_pu: None,
            bilateral: false,
        }
    });
    let contracts = Contracts {
        contracts: contracts.collect(),
        ..Contracts::default()
    };
    let mut settlement = settle(start, &contracts, meters, imbalance);
    for of in made.filter(|of| of.fee.0 != 0) {
        let paid = amount(of.delivered_wh.saturating_abs(), of.fee);
        charge(&mut settlement, of, paid);
    }
    settlement
}

/// The grid fee goes from a party to the network.
fn charge(settlement: &mut Settlement, of: &Agreed, paid: Money) {
    for statement in &mut settlement.statements {
        if statement.party == of.place.party {
            statement.lines.push(StatementLine {
                reason: StatementReason::GridFee,
                counterparty: Party::Network,
                unit: of.place.unit,
                node: of.place.node,
                energy_wh: 0,
                reactive_varh: 0,
                price: of.fee,
                received: -paid,
                quality: None,
            });
            statement.balance = [statement.balance, -paid].into_iter().sum();
        } else if statement.party == Party::Network {
            statement.balance = [statement.balance, paid].into_iter().sum();
        }
    }
}

/// What changes from one settlement to another of the same interval: lines that are gone are taken back;
/// none: nothing.
pub(super) fn correction(before: &Settlement, after: &Settlement) -> Option<Settlement> {
    let mut statements = Vec::new();
    let parties = after.statements.iter().map(|of| &of.party);
    let gone = before.statements.iter().map(|of| &of.party);
    let mut parties: Vec<&Party> = parties.chain(gone).collect();
    parties.sort();
    parties.dedup();
    for party in parties {
        let of = |settlement: &Settlement| {
            let found = settlement.statements.iter().find(|of| of.party == *party);
            found.map_or((Vec::new(), Money(0)), |of| (of.lines.clone(), of.balance))
        };
        let ((old, was), (new, is)) = (of(before), of(after));
        let mut lines: Vec<StatementLine> = Vec::new();
        for line in old.iter().filter(|line| !new.contains(line)) {
            lines.push(StatementLine {
                reason: StatementReason::Correction,
                energy_wh: line.energy_wh.saturating_neg(),
                received: -line.received,
                ..line.clone()
            });
        }
        for line in new.iter().filter(|line| !old.contains(line)) {
            lines.push(StatementLine {
                reason: StatementReason::Correction,
                ..line.clone()
            });
        }
        statements.push(Statement {
            party: party.clone(),
            lines,
            balance: [is, -was].into_iter().sum(),
        });
    }
    let nothing = statements
        .iter()
        .all(|of| of.lines.is_empty() && of.balance == Money(0));
    (!nothing).then_some(Settlement {
        interval: after.interval,
        statements,
    })
}

/// For the record: the first settlement, or what changes; none: nothing does.
pub(super) fn entry(
    before: Option<&Settlement>,
    after: Settlement,
    meters: Vec<Meter>,
) -> Option<LedgerEntry> {
    match before {
        None => Some(LedgerEntry::Settled(after)),
        Some(before) => {
            let correction = correction(before, &after)?;
            Some(LedgerEntry::Resettled { meters, correction })
        }
    }
}
