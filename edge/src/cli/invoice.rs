//! `busbar invoice`: what each party owes or is owed, from the settlements on record.

use std::process::ExitCode;

use super::{
    ledger::{Range, open, refuse},
    say, say_error,
};
use crate::invoice::{Invoice, of_ledger};

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
    let invoices = match of_ledger(&ledger, range, participant) {
        Ok(invoices) => invoices,
        Err(error) => return Ok(refuse(&error)),
    };
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
        invoice.account, invoice.intervals
    )];
    for line in &invoice.lines {
        let what = match (&*line.reason, line.delivered) {
            ("contract", true) => "sold to",
            ("contract", false) => "bought from",
            ("grid_fee", _) => "grid fee to",
            ("reactive", _) => "reactive power to",
            ("call", _) => "calls, with",
            ("short", _) => "shortfall, from",
            ("long", _) => "surplus, to",
            ("settled_above", true) => "settled above, delivered, with",
            ("settled_above", false) => "settled above, taken, with",
            (other, _) => other,
        };
        let energy = match &*line.reason {
            "grid_fee" => String::new(),
            "reactive" => format!("{} varh", line.reactive_varh),
            _ => format!("{} Wh", line.energy_wh),
        };
        let text = format!("{what} {}", line.counterparty);
        lines.push(format!(
            "  {text:<44} {energy:>16} {:>20}",
            amount(line.amount_micro)
        ));
    }
    lines.push(format!(
        "  {:<44} {:>16} {:>20}",
        "balance",
        "",
        amount(invoice.balance_micro)
    ));
    let Invoice {
        estimated,
        missing,
        corrected,
        ..
    } = invoice;
    if estimated + missing > 0 {
        lines.push(format!(
            "  of its meters' values {estimated} were estimated and {missing} missing"
        ));
    }
    if *corrected > 0 {
        lines.push(format!(
            "  {corrected} intervals were settled otherwise since"
        ));
    }
    lines.join("\n")
}

/// Money with its six digits, exact.
fn amount(micro: i64) -> String {
    let sign = if micro < 0 { "-" } else { "" };
    let micro = micro.unsigned_abs();
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
            assert_eq!(amount(micro), text);
        }
        assert_eq!(amount(i64::MIN), "-9223372036854.775808");
    }
}
