//! What each party owes or is owed over a time: the sums of its settlements' lines, corrections included, in
//! integers, so that all invoices together, the network's included, are exactly nothing.

use std::{collections::BTreeMap, ops::Range};

use serde::Serialize;
use solver::market::{MeterQuality, Money, Party, Settlement, StatementLine, StatementReason};
use utoipa::ToSchema;

use crate::store::{Ledger, LedgerError};

/// One line of an invoice: what was traded with one counterparty for one reason, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InvoiceLine {
    /// `contract`, `grid_fee`, `reactive`, `call`, `short`, `long`, `settled_above` or `correction`.
    pub reason: String,
    /// Account of who was on the other side.
    pub counterparty: String,
    /// Whether the energy was delivered rather than taken; fees have none.
    pub delivered: bool,
    /// Energy, Wh, not negative.
    pub energy_wh: i64,
    /// Reactive power, varh, not negative, whether injected or absorbed.
    pub reactive_varh: i64,
    /// What the party receives, micro-currency; negative where it pays.
    pub amount_micro: i64,
}

/// What a party owes or is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "account": "prosumers", "intervals": 96, "corrected": 0, "estimated": 0, "missing": 0,
    "lines": [{
        "reason": "contract", "counterparty": "upstream", "delivered": true, "energy_wh": 278,
        "reactive_varh": 0, "amount_micro": 11217
    }],
    "balance_micro": 11217
}))]
pub struct Invoice {
    /// Participant, or `upstream`, `residual` or `network`.
    pub account: String,
    /// Intervals in which it has a statement.
    pub intervals: u64,
    /// Of these, intervals that were settled otherwise since.
    pub corrected: u64,
    /// Values of its meters that were estimated when they were settled first.
    pub estimated: u64,
    /// Values of its meters that were missing then: settled as contracted.
    pub missing: u64,
    /// By reason, then counterparty.
    pub lines: Vec<InvoiceLine>,
    /// The sum of what it receives, micro-currency.
    pub balance_micro: i64,
}

/// The name that a party's account goes by.
#[must_use]
pub fn account(party: &Party) -> String {
    match party {
        Party::Participant(name) => name.clone(),
        Party::Upstream => "upstream".to_owned(),
        Party::Residual => "residual".to_owned(),
        Party::Network => "network".to_owned(),
    }
}

/// The invoices of the intervals that start in a range, by party, the network's last; of one participant
/// only, if one is named.
///
/// # Errors
/// The ledger cannot be read, or a sum is beyond what money and energy are counted in.
pub fn of_ledger(
    ledger: &Ledger,
    range: Range<i64>,
    participant: Option<&str>,
) -> Result<Vec<Invoice>, LedgerError> {
    let mut invoices = Invoices::default();
    ledger.settlements(range, |settlement| invoices.add(&settlement))?;
    let wanted = |party: &Party| match participant {
        Some(name) => matches!(party, Party::Participant(own) if own == name),
        None => true,
    };
    let made = invoices.finish(wanted);
    made.map_err(|_| ledger.beyond("the sums of these intervals"))
}

type Key = (u8, Party, bool);

#[derive(Debug, Default)]
struct Account {
    /// The last interval that was counted, and how many were.
    counted: (Option<i64>, u64),
    /// The same of those that were corrected.
    corrected: (Option<i64>, u64),
    estimated: u64,
    missing: u64,
    lines: BTreeMap<Key, Sums>,
    balance: i128,
}

#[derive(Debug)]
struct Sums {
    line: StatementLine,
    wh: i128,
    varh: i128,
    received: i128,
}

/// Sums settlements up.
#[derive(Debug, Default)]
pub struct Invoices(BTreeMap<Party, Account>);

impl Invoices {
    /// Takes in a settlement, or a correction of one; those of an interval one after the other.
    pub fn add(&mut self, settlement: &Settlement) {
        for statement in &settlement.statements {
            let account = self.0.entry(statement.party.clone()).or_default();
            count(&mut account.counted, settlement.interval);
            account.balance += i128::from(statement.balance.0);
            for line in &statement.lines {
                if line.reason == StatementReason::Correction {
                    count(&mut account.corrected, settlement.interval);
                } else {
                    account.estimated += u64::from(line.quality == Some(MeterQuality::Estimated));
                    account.missing += u64::from(line.quality == Some(MeterQuality::Missing));
                }
                // A missing meter's line says that it is missing, and nothing else.
                if (line.energy_wh, line.reactive_varh) == (0, 0) && line.received == Money(0) {
                    continue;
                }
                let key = (
                    rank(line.reason),
                    line.counterparty.clone(),
                    line.energy_wh > 0,
                );
                let sums = account.lines.entry(key).or_insert_with(|| Sums {
                    line: line.clone(),
                    wh: 0,
                    varh: 0,
                    received: 0,
                });
                sums.wh += i128::from(line.energy_wh);
                sums.varh += i128::from(line.reactive_varh).abs();
                sums.received += i128::from(line.received.0);
            }
        }
    }

    /// One per party that is wanted, the network's last.
    ///
    /// # Errors
    /// A sum is beyond what money and energy are counted in.
    pub fn finish(
        self,
        wanted: impl Fn(&Party) -> bool,
    ) -> Result<Vec<Invoice>, std::num::TryFromIntError> {
        let accounts = self.0.into_iter().filter(|(party, _)| wanted(party));
        accounts.map(|(party, of)| invoice(&party, of)).collect()
    }
}

/// Counts an interval once, of several in a row.
fn count((last, counted): &mut (Option<i64>, u64), interval: i64) {
    if last.replace(interval) != Some(interval) {
        *counted += 1;
    }
}

fn invoice(party: &Party, of: Account) -> Result<Invoice, std::num::TryFromIntError> {
    let line = |((_, counterparty, delivered), sums): (Key, Sums)| {
        Ok(InvoiceLine {
            reason: word(sums.line.reason).to_owned(),
            counterparty: account(&counterparty),
            delivered,
            energy_wh: i64::try_from(sums.wh.abs())?,
            reactive_varh: i64::try_from(sums.varh)?,
            amount_micro: i64::try_from(sums.received)?,
        })
    };
    Ok(Invoice {
        account: account(party),
        intervals: of.counted.1,
        corrected: of.corrected.1,
        estimated: of.estimated,
        missing: of.missing,
        lines: of
            .lines
            .into_iter()
            .map(line)
            .collect::<Result<_, std::num::TryFromIntError>>()?,
        balance_micro: i64::try_from(of.balance)?,
    })
}

fn rank(reason: StatementReason) -> u8 {
    match reason {
        StatementReason::Contract => 0,
        StatementReason::GridFee => 1,
        StatementReason::Reactive => 2,
        StatementReason::Call => 3,
        StatementReason::Short => 4,
        StatementReason::Long => 5,
        StatementReason::SettledAbove => 6,
        StatementReason::Correction => 7,
    }
}

fn word(reason: StatementReason) -> &'static str {
    match reason {
        StatementReason::Contract => "contract",
        StatementReason::GridFee => "grid_fee",
        StatementReason::Reactive => "reactive",
        StatementReason::Call => "call",
        StatementReason::Short => "short",
        StatementReason::Long => "long",
        StatementReason::SettledAbove => "settled_above",
        StatementReason::Correction => "correction",
    }
}
