//! `busbar ledger`: the appliance's record, checked, exported, and whose key it is signed with.
//! `busbar replay`: computed again from the record.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use solver::market::LedgerEntry;

use super::{EX_DATAERR, data::is_standard, say, say_error};
use crate::{
    clock::{US, parse_rfc3339_s, rfc3339_s},
    replay::Replay,
    store::{
        Key, Ledger, LedgerError, Record,
        ledger::{ExportError, PublicKey, Report, verify_export},
    },
};

/// Differences that are printed; more say nothing new.
const SHOWN: usize = 20;

#[derive(Subcommand)]
pub(super) enum LedgerVerb {
    /// Check the whole chain and its signatures. Exit status 65 if anything is not as it was written.
    Verify {
        /// An export; `-` for standard input. Otherwise, the ledger of the state directory.
        file: Option<PathBuf>,
        /// The state directory.
        #[arg(
            long,
            value_name = "DIR",
            conflicts_with = "file",
            required_unless_present = "file"
        )]
        state: Option<PathBuf>,
        /// A public key that may have signed; may be given more than once. Without, any key will do
        /// and those found are named.
        #[arg(long, value_name = "PUB", value_parser = PublicKey::parse)]
        key: Vec<PublicKey>,
    },
    /// Write a part of the record for an auditor (docs/ledger.md describes the format).
    Export {
        #[command(flatten)]
        of: Range,
        /// Where to; `-` for standard output.
        file: PathBuf,
    },
    /// Print the public key that the record is signed with.
    Key {
        /// The state directory.
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
    },
}

/// A part of a state directory's record.
#[derive(Args)]
pub(super) struct Range {
    /// The state directory, of an appliance that does not run.
    #[arg(long, value_name = "DIR")]
    pub(super) state: PathBuf,
    /// From this moment on, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) from: Option<i64>,
    /// Until before this moment, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) to: Option<i64>,
}

pub(super) fn moment(text: &str) -> Result<i64, String> {
    parse_rfc3339_s(text).ok_or_else(|| {
        "not a moment in RFC 3339, whole seconds, e.g. 2027-01-15T08:00:00Z".to_owned()
    })
}

/// Says why a ledger or export is not good.
pub(super) fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    say_error(&format!("busbar: {error}"));
    ExitCode::from(EX_DATAERR)
}

/// Opens a ledger that is there; looking at one makes nothing.
pub(super) fn open(state: &Path) -> anyhow::Result<Result<Ledger, ExitCode>> {
    let file = state.join("ledger.redb");
    anyhow::ensure!(file.exists(), "{}: there is no ledger here", file.display());
    match Ledger::look(state) {
        Ok(ledger) => Ok(Ok(ledger)),
        Err(error @ LedgerError::InUse(_)) => Err(anyhow::Error::new(error).context(
            "the ledger can only be read while the appliance is stopped; \
             GET /api/v1/ledger/export exports it while it runs",
        )),
        Err(error) => Ok(Err(refuse(&error))),
    }
}

pub(super) fn ledger(verb: LedgerVerb) -> anyhow::Result<ExitCode> {
    match verb {
        LedgerVerb::Verify { file, state, key } => match (file, state) {
            (Some(file), _) => verify_file(&file, &key),
            (None, Some(state)) => verify_state(&state, &key),
            (None, None) => anyhow::bail!("neither an export nor a state directory is named"),
        },
        LedgerVerb::Export { of, file } => export(&of, &file),
        LedgerVerb::Key { state } => {
            let file = state.join("ledger-key");
            anyhow::ensure!(file.exists(), "{}: there is no key here", file.display());
            say(&Key::open(&state)?.public().to_string());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify_state(state: &Path, keys: &[PublicKey]) -> anyhow::Result<ExitCode> {
    let ledger = match open(state)? {
        Ok(ledger) => ledger,
        Err(exit) => return Ok(exit),
    };
    let report = match ledger.verify(keys) {
        Ok(report) => report,
        Err(error) => return Ok(refuse(&error)),
    };
    Ok(match ledger.verify_accounts() {
        Ok(accounts) => {
            let exit = good(&report, keys);
            say(&format!(
                "{accounts} accounts are the sums of the settlements on record"
            ));
            exit
        }
        Err(error) => refuse(&error),
    })
}

fn verify_file(file: &Path, keys: &[PublicKey]) -> anyhow::Result<ExitCode> {
    let result = if is_standard(file) {
        verify_export(io::stdin().lock(), keys)
    } else {
        let opened = fs::File::open(file);
        let opened = opened.with_context(|| format!("can't read {}", file.display()))?;
        verify_export(BufReader::new(opened), keys)
    };
    match result {
        Ok(report) => Ok(good(&report, keys)),
        Err(ExportError::Fault(fault)) => Ok(refuse(&format!("{}: {fault}", file.display()))),
        Err(ExportError::Io(error)) => {
            Err(error).with_context(|| format!("can't read {}", file.display()))
        }
    }
}

fn good(report: &Report, keys: &[PublicKey]) -> ExitCode {
    let Report {
        records,
        checkpoints,
        unsigned,
        ..
    } = report;
    say(&format!(
        "{records} records in order, {checkpoints} checkpoints among them"
    ));
    if let Some((number, hash)) = report.last {
        say(&format!("last record {number}, hash {hash}"));
    }
    for key in &report.keys {
        say(&format!("signed with key {key}"));
    }
    if keys.is_empty() {
        say("whose key that is, nobody has said: compare it, or name it with --key");
    }
    if *unsigned > 0 {
        say(&format!("the last {unsigned} records are not signed yet"));
    }
    ExitCode::SUCCESS
}

fn export(of: &Range, file: &Path) -> anyhow::Result<ExitCode> {
    let ledger = match open(&of.state)? {
        Ok(ledger) => ledger,
        Err(exit) => return Ok(exit),
    };
    let us = |moment: Option<i64>, otherwise| moment.map_or(otherwise, |s| s.saturating_mul(US));
    let (from, to) = (us(of.from, i64::MIN), us(of.to, i64::MAX));
    let written = if is_standard(file) {
        ledger.export(from, to, &mut io::stdout().lock())
    } else {
        let made = fs::File::create(file);
        let made = made.with_context(|| format!("can't write {}", file.display()))?;
        ledger.export(from, to, &mut io::BufWriter::new(made))
    };
    match written {
        Ok(count) => {
            let _ = writeln!(io::stderr(), "{count} records");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(refuse(&error)),
    }
}

/// Computes again what the record says was computed. Exit status 1 if anything differs.
pub(super) fn replay(of: &Range) -> anyhow::Result<ExitCode> {
    let ledger = match open(&of.state)? {
        Ok(ledger) => ledger,
        Err(exit) => return Ok(exit),
    };
    let mut replay = Replay::new(of.from.unwrap_or(i64::MIN), of.to.unwrap_or(i64::MAX));
    match compute_again(&ledger, &mut replay) {
        Ok(others) => Ok(conclude(&replay, others)),
        Err(error) => Ok(refuse(&error)),
    }
}

/// Feeds a replay with a ledger, says what differs, and gives the number of those differences that
/// another version than this has made.
fn compute_again(ledger: &Ledger, replay: &mut Replay) -> Result<usize, LedgerError> {
    let (mut version, mut others) = (String::new(), 0);
    let mut corrected = BTreeSet::new();
    for row in ledger.rows(0)? {
        let row = row?;
        let before = replay.differences.len();
        match ledger.record(&row)? {
            Record::Started { version: of, .. } => version = of,
            Record::Market(LedgerEntry::Resettled { correction, .. }) => {
                let interval = correction.interval;
                if corrected.insert(interval) {
                    replay.corrected(row.number, interval, &ledger.interval(interval)?);
                }
            }
            record => replay.record(row.number, record),
        }
        let new = &replay.differences[before..];
        if version != env!("CARGO_PKG_VERSION") {
            others += new.len();
        }
        for difference in new.iter().take(SHOWN.saturating_sub(before)) {
            say(&format!("{} {difference}", rfc3339_s(difference.interval)));
        }
    }
    Ok(others)
}

fn conclude(replay: &Replay, others: usize) -> ExitCode {
    let Replay {
        clearings,
        contracts,
        settlements,
        corrections,
        differences,
        ..
    } = replay;
    say(&format!(
        "{clearings} clearings, {contracts} sets of contracts and {settlements} settlements computed \
         again: {} differ",
        differences.len()
    ));
    if *corrections > 0 {
        say(&format!("{corrections} corrections of settlements besides"));
    }
    if others > 0 {
        say(&format!(
            "{others} of them were computed by another version than this"
        ));
    }
    if *clearings == 0 {
        say_error("busbar: no gate on record closed for an interval in this range");
        return ExitCode::FAILURE;
    }
    match differences.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
