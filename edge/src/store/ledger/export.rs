//! A part of the ledger as text, for an auditor: a line that says where it begins, a line for each
//! record, and a signed line that says where it ends. `docs/ledger.md` describes it. Every line has
//! one form only, so that not even a blank can be changed unseen.

use std::io::{self, BufRead, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Fault, Hash, Key, PublicKey, Report, Row, Verifier, chain::export_message};

/// Version of the format.
const VERSION: u32 = 2;
/// No line is longer.
const LINE_MOST: u64 = 128 << 20;

/// Why an export cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It is not what was exported.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Deserialize)]
struct Head {
    busbar_ledger: u32,
    first: u64,
    previous: Hash,
    key: PublicKey,
}

impl Head {
    fn line(&self) -> String {
        format!(
            r#"{{"busbar_ledger":{},"first":{},"previous":"{}","key":"{}"}}"#,
            self.busbar_ledger, self.first, self.previous, self.key
        )
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    n: u64,
    at_us: i64,
    hash: Hash,
    #[serde(borrow)]
    record: &'a RawValue,
}

impl Body<'_> {
    fn line(&self) -> String {
        line(self.n, self.at_us, self.hash, self.record.get())
    }
}

fn line(number: u64, at_us: i64, hash: Hash, record: &str) -> String {
    format!(r#"{{"n":{number},"at_us":{at_us},"hash":"{hash}","record":{record}}}"#)
}

#[derive(Deserialize)]
struct Foot {
    last: u64,
    hash: Hash,
    signature: String,
}

impl Foot {
    fn line(&self) -> String {
        format!(
            r#"{{"last":{},"hash":"{}","signature":"{}"}}"#,
            self.last, self.hash, self.signature
        )
    }
}

/// Writes rows, which follow each other, after the hash before the first; returns how many.
///
/// # Errors
/// A row cannot be read, or the text cannot be written.
pub fn write_export<E: From<io::Error>>(
    rows: impl Iterator<Item = Result<Row, E>>,
    first: u64,
    previous: Hash,
    key: &Key,
    out: &mut impl Write,
) -> Result<u64, E> {
    let head = Head {
        busbar_ledger: VERSION,
        first,
        previous,
        key: key.public(),
    };
    writeln!(out, "{}", head.line())?;
    let (mut hash, mut next) = (previous, first);
    for row in rows {
        let row = row?;
        writeln!(out, "{}", line(row.number, row.at_us, row.hash, &row.json))?;
        (hash, next) = (row.hash, row.number + 1);
    }
    let last = next.saturating_sub(1);
    let foot = Foot {
        last,
        hash,
        signature: key.sign(&export_message(first, previous, last, hash)),
    };
    writeln!(out, "{}", foot.line())?;
    out.flush()?;
    Ok(next - first)
}

/// Checks an export, line by line. Signatures have to be of one of the keys, if any are given.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify_export(
    mut text: impl BufRead,
    expected: &[PublicKey],
) -> Result<Report, ExportError> {
    let mut number = 0;
    let mut next = || -> Result<Option<Vec<u8>>, ExportError> {
        number += 1;
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut text, LINE_MOST);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        match line.pop() {
            Some(b'\n') => Ok(Some(line)),
            _ => Err(fault(number, "it does not end").into()),
        }
    };
    let Some(first_line) = next()? else {
        return Err(fault(1, "there is nothing").into());
    };
    let head: Head = parse(1, &first_line)?;
    same(1, &first_line, &head.line())?;
    if head.busbar_ledger != VERSION {
        let reason = format!("format {} is not known here", head.busbar_ledger);
        return Err(fault(1, &reason).into());
    }
    let mut verifier = Verifier::new(head.first, head.previous, expected);
    let (mut held, mut at) = (next()?, 2);
    // One line ahead: the last one is of another form.
    while let Some(line) = held {
        held = next()?;
        if held.is_none() {
            let report = end(at, &line, &head, verifier)?;
            return Ok(report);
        }
        let body: Body<'_> = parse(at, &line)?;
        same(at, &line, &body.line())?;
        let json = body.record.get().as_bytes();
        verifier.record(body.n, body.at_us, json, body.hash)?;
        at += 1;
    }
    Err(fault(at, "the signed end is missing").into())
}

fn end(
    at: usize,
    line: &[u8],
    head: &Head,
    mut verifier: Verifier<'_>,
) -> Result<Report, ExportError> {
    let foot: Foot = parse(at, line)?;
    same(at, line, &foot.line())?;
    let message = export_message(head.first, head.previous, foot.last, foot.hash);
    if !head.key.signed(&message, &foot.signature) {
        return Err(fault(at, "the signature is not of this export").into());
    }
    verifier.trust(foot.last, head.key)?;
    let mut report = verifier.report();
    let (last, hash) = report
        .last
        .unwrap_or((head.first.saturating_sub(1), head.previous));
    if (last, hash) != (foot.last, foot.hash) {
        let reason = format!(
            "the export should end with record {}, not {last}",
            foot.last
        );
        return Err(fault(at, &reason).into());
    }
    report.unsigned = 0;
    Ok(report)
}

fn fault(line: usize, reason: &str) -> Fault {
    Fault::Line {
        line,
        reason: reason.to_owned(),
    }
}

fn parse<'a, T: Deserialize<'a>>(at: usize, line: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(line).map_err(|error| fault(at, &error.to_string()))
}

fn same(at: usize, line: &[u8], only_form: &str) -> Result<(), Fault> {
    if line == only_form.as_bytes() {
        return Ok(());
    }
    Err(fault(
        at,
        "it says what a line may say, but is not written as one",
    ))
}
