//! What each party owes or is owed over a time: the sums of its settlements' lines, in integers, so
//! that all invoices together, the network's included, are exactly nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use solver::market::{MeterQuality, Money, Party, Settlement, StatementLine, StatementReason};

/// One line of an invoice: what was traded with one counterparty for one reason, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvoiceLine {
    /// What it is for.
    pub reason: StatementReason,
    /// Who was on the other side.
    pub counterparty: Party,
    /// Whether the energy was delivered rather than taken; fees have none.
    pub delivered: bool,
    /// Energy, Wh, not negative.
    pub energy_wh: i64,
    /// What the party receives; negative where it pays.
    pub received: Money,
}

/// What a party owes or is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invoice {
    /// Whose.
    pub party: Party,
    /// Intervals in which it has a statement.
    pub intervals: u64,
    /// Values of its meters that were replaced by an estimate.
    pub estimated: u64,
    /// Values of its meters that were missing: settled as contracted.
    pub missing: u64,
    /// By reason, then counterparty.
    pub lines: Vec<InvoiceLine>,
    /// The sum of what it receives.
    pub balance: Money,
}

type Key = (u8, Party, bool);

#[derive(Debug, Default)]
struct Account {
    intervals: u64,
    estimated: u64,
    missing: u64,
    lines: BTreeMap<Key, (StatementLine, i128, i128)>,
    balance: i128,
}

/// Sums settlements up.
#[derive(Debug, Default)]
pub struct Invoices(BTreeMap<Party, Account>);

impl Invoices {
    /// Takes in a settlement.
    pub fn add(&mut self, settlement: &Settlement) {
        for statement in &settlement.statements {
            let account = self.0.entry(statement.party.clone()).or_default();
            account.intervals += 1;
            account.balance += i128::from(statement.balance.0);
            for line in &statement.lines {
                account.estimated += u64::from(line.quality == Some(MeterQuality::Estimated));
                account.missing += u64::from(line.quality == Some(MeterQuality::Missing));
                // A missing meter's line says that it is missing, and nothing else.
                if line.energy_wh == 0 && line.received == Money(0) {
                    continue;
                }
                let key = (
                    rank(line.reason),
                    line.counterparty.clone(),
                    line.energy_wh > 0,
                );
                let sum = account.lines.entry(key).or_insert((line.clone(), 0, 0));
                sum.1 += i128::from(line.energy_wh);
                sum.2 += i128::from(line.received.0);
            }
        }
    }

    /// One per party, the network's last.
    ///
    /// # Errors
    /// A sum is beyond what money and energy are counted in.
    pub fn finish(self) -> Result<Vec<Invoice>, std::num::TryFromIntError> {
        self.0
            .into_iter()
            .map(|(party, of)| invoice(party, of))
            .collect()
    }
}

fn invoice(party: Party, of: Account) -> Result<Invoice, std::num::TryFromIntError> {
    let line = |((_, counterparty, delivered), (line, wh, received)): (
        Key,
        (StatementLine, i128, i128),
    )| {
        Ok(InvoiceLine {
            reason: line.reason,
            counterparty,
            delivered,
            energy_wh: i64::try_from(wh.abs())?,
            received: Money(i64::try_from(received)?),
        })
    };
    Ok(Invoice {
        party,
        intervals: of.intervals,
        estimated: of.estimated,
        missing: of.missing,
        lines: of
            .lines
            .into_iter()
            .map(line)
            .collect::<Result<_, std::num::TryFromIntError>>()?,
        balance: Money(i64::try_from(of.balance)?),
    })
}

fn rank(reason: StatementReason) -> u8 {
    match reason {
        StatementReason::Contract => 0,
        StatementReason::GridFee => 1,
        StatementReason::Reactive => 2,
        StatementReason::Short => 3,
        StatementReason::Long => 4,
        StatementReason::Correction => 5,
    }
}
