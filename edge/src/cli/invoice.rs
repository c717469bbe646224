//! `busbar invoice`: what each party owes or is owed, from the settlements on record.

use std::process::ExitCode;

use solver::market::{LedgerEntry, Money, Party, StatementReason};

use super::{
    ledger::{Range, open, refuse},
    say, say_error,
};
use crate::{
    invoice::{Invoice, Invoices},
    store::Record,
};

/// Prints the invoices of the intervals that start in the range; of one participant only, if one is
/// named. Exit status 1 if nothing was settled then.
pub(super) fn invoice(
    of: &Range,
    participant: Option<&str>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let ledger = match open(&of.state)? {
        Ok(ledger) => ledger,
        Err(exit) => return Ok(exit),
    };
    let range = of.from.unwrap_or(i64::MIN)..of.to.unwrap_or(i64::MAX);
    let mut invoices = Invoices::default();
    for row in ledger.rows(0)? {
        let row = match row {
            Ok(row) => row,
            Err(error) => return Ok(refuse(&error)),
        };
        match row.record() {
            Ok(Record::Market(LedgerEntry::Settled(settlement))) => {
                if range.contains(&settlement.interval) {
                    invoices.add(&settlement);
                }
            }
            Ok(_) => {}
            Err(reason) => {
                let number = row.number;
                return Ok(refuse(&format!(
                    "record {number} is of another build: {reason}"
                )));
            }
        }
    }
    let mut invoices = invoices.finish()?;
    let wanted = |party: &Party| match participant {
        Some(name) => matches!(party, Party::Participant(own) if own == name),
        None => true,
    };
    invoices.retain(|invoice| wanted(&invoice.party));
    if invoices.is_empty() {
        say_error("busbar: nothing of that was settled in this range");
        return Ok(ExitCode::FAILURE);
    }
    if json {
        say(&serde_json::to_string_pretty(&invoices)?);
    } else {
        let text: Vec<String> = invoices.iter().map(table).collect();
        say(&text.join("\n\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(invoice: &Invoice) -> String {
    let mut lines = vec![format!(
        "{}: {} intervals",
        invoice.party, invoice.intervals
    )];
    for line in &invoice.lines {
        let what = match (line.reason, line.delivered) {
            (StatementReason::Contract, true) => "sold to",
            (StatementReason::Contract, false) => "bought from",
            (StatementReason::GridFee, _) => "grid fee to",
            (StatementReason::Reactive, _) => "reactive power to",
            (StatementReason::Short, _) => "shortfall, from",
            (StatementReason::Long, _) => "surplus, to",
            (StatementReason::Correction, _) => "correction, with",
        };
        let energy = match line.reason {
            StatementReason::GridFee | StatementReason::Reactive => String::new(),
            _ => format!("{} Wh", line.energy_wh),
        };
        let text = format!("{what} {}", line.counterparty);
        lines.push(format!(
            "  {text:<44} {energy:>16} {:>20}",
            amount(line.received)
        ));
    }
    lines.push(format!(
        "  {:<44} {:>16} {:>20}",
        "balance",
        "",
        amount(invoice.balance)
    ));
    if invoice.estimated + invoice.missing > 0 {
        lines.push(format!(
            "  of its meters' values {} were estimated and {} missing",
            invoice.estimated, invoice.missing
        ));
    }
    lines.join("\n")
}

/// Money with its six digits, exact.
fn amount(money: Money) -> String {
    let sign = if money.0 < 0 { "-" } else { "" };
    let micro = money.0.unsigned_abs();
    format!("{sign}{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown_exactly() {
        for (micro, text) in [
            (0, "0.000000"),
            (-1, "-0.000001"),
            (12_345_678, "12.345678"),
        ] {
            assert_eq!(amount(Money(micro)), text);
        }
        assert_eq!(amount(Money(i64::MIN)), "-9223372036854.775808");
    }
}
