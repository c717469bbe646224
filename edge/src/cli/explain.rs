//! `busbar explain`: why a unit was awarded what it was, from the record of a stopped appliance. Of one that
//! runs, `GET /api/v1/market/intervals/{start}/explain/{unit}` says the same; of a case on file,
//! `busbar clear CASE --explain UNIT`.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::Args;
use solver::{
    market::{
        Auction, LedgerEntry,
        clearing::{Award, Clearing},
    },
    network::{Grid, Id, pgm_json},
};

use super::{
    check::load,
    ledger::{moment, open, refuse},
    say, say_error,
};
use crate::{
    above,
    cycle::Explained,
    store::{Ledger, LedgerError, Record},
};

/// Arguments of `busbar explain`.
#[derive(Args)]
pub(super) struct ExplainArguments {
    /// The state directory, of an appliance that does not run.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Start of the interval, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    interval: i64,
    /// The unit.
    #[arg(long, value_name = "UNIT")]
    unit: Id,
    /// The site file, for names and what limits rest on; without, by numbers.
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// A clearing as it is on record.
struct Found {
    auction: Auction,
    grid: Option<Grid>,
    clearing: Clearing,
    without_calls: Vec<Award>,
}

pub(super) fn explain(arguments: &ExplainArguments) -> anyhow::Result<ExitCode> {
    let site = match arguments.site.as_deref().map(load).transpose() {
        Ok(site) => site,
        Err(exit) => return Ok(exit),
    };
    let ledger = match open(&arguments.state)? {
        Ok(ledger) => ledger,
        Err(exit) => return Ok(exit),
    };
    let found = match find(&ledger, arguments.interval) {
        Ok(Some(found)) => found,
        Ok(None) => {
            say_error("busbar: no clearing of an interval that starts then is on record");
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Ok(refuse(&error)),
    };
    let explained = Explained {
        auction: &found.auction,
        clearing: &found.clearing,
        without_calls: &found.without_calls,
    };
    let (interval, unit) = (arguments.interval, arguments.unit);
    match explained.why(site.as_ref(), found.grid.as_ref(), interval, unit) {
        Ok(why) if arguments.json => say(&serde_json::to_string_pretty(&why)?),
        Ok(why) => say(&why.text.join("\n")),
        Err(problem) => {
            say_error(&format!("busbar: {}", problem.message));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The clearing of an interval, with the network that its gate was closed on.
fn find(ledger: &Ledger, wanted: i64) -> Result<Option<Found>, LedgerError> {
    let mut networks: BTreeMap<String, String> = BTreeMap::new();
    let mut gate: Option<(Auction, String)> = None;
    for row in ledger.rows(0)? {
        match ledger.record(&row?)? {
            Record::Network { digest, json } => {
                networks.insert(digest.to_string(), json);
            }
            Record::Market(LedgerEntry::GateClosed {
                interval,
                network,
                pairs,
                ahead,
                calls,
                case,
                ..
            }) if interval == wanted => {
                let auction = Auction {
                    case: *case,
                    pairs,
                    ahead: ahead.map(|ahead| *ahead),
                    calls: calls.map(|calls| *calls),
                };
                gate = Some((auction, network));
            }
            Record::Above(above::Entry::Closed {
                closing, interface, ..
            }) if closing.interval == wanted && !interface.is_empty() => {
                if let Some((auction, _)) = &mut gate {
                    auction.case.interface = interface;
                }
            }
            Record::Market(LedgerEntry::Cleared {
                interval,
                clearing,
                without_calls,
                ..
            }) if interval == wanted => {
                return Ok(gate.map(|(auction, network)| Found {
                    auction,
                    grid: networks.get(&network).and_then(|json| grid(json)),
                    clearing: *clearing,
                    without_calls,
                }));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn grid(json: &str) -> Option<Grid> {
    Grid::new(&pgm_json::read(json).ok()?).ok()
}
