//! Computes again what the ledger says was computed: from each gate's network, case and rulebook
//! its clearing and contracts, from its contracts and meters its settlement and what was corrected of it
//! since; compared bit for bit.
//!
//! Floating-point numbers are compared by their shortest exact text, so that even the sign of a
//! zero counts. Nothing here reads a clock: the record is all there is.

use std::collections::BTreeMap;

use protocols::opcua::message::Award;
use serde::Serialize;
use serde_json::Value;
use solver::{
    market::{
        Auction, AuctionResult, Contracts, LedgerEntry, LookedAhead, Meter, Rulebook, Settlement,
        clearing::{Award as UnitAward, Clearing},
    },
    network::{Grid, pgm_json},
};

use crate::{
    above::Entry,
    metering::Standing,
    store::{Hash, Record},
};

/// Something that is not as on record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {number}, interval {interval}, {what}: {text}")]
pub struct Difference {
    /// Number of the record.
    pub number: u64,
    /// Start of the interval, UTC, s since 1970.
    pub interval: i64,
    /// `closing`, `clearing`, `look ahead`, `without calls`, `contracts`, `settlement` or `correction`.
    pub what: &'static str,
    /// Where, what is on record, and what was computed now.
    pub text: String,
}

/// See the module. Feed it with the records in order; those before the range are needed too, for
/// the networks among them.
#[derive(Debug)]
pub struct Replay {
    from: i64,
    to: i64,
    networks: BTreeMap<String, String>,
    grid: Option<(String, Grid)>,
    gates: BTreeMap<i64, Gate>,
    /// Clearings compared, those that failed included.
    pub clearings: u64,
    /// Contracts of intervals compared.
    pub contracts: u64,
    /// Settlements compared.
    pub settlements: u64,
    /// Corrections of settlements compared.
    pub corrections: u64,
    /// What is not as on record.
    pub differences: Vec<Difference>,
}

#[derive(Debug)]
struct Gate {
    auction: Auction,
    rulebook: Option<Rulebook>,
    network: String,
    awards: Vec<Award>,
    cleared: Option<AuctionResult>,
    contracts: Option<Contracts>,
    meters: Option<Vec<Meter>>,
}

impl Replay {
    /// Of intervals that start from `from` until before `to`, UTC, s since 1970.
    #[must_use]
    pub fn new(from: i64, to: i64) -> Self {
        Self {
            from,
            to,
            networks: BTreeMap::new(),
            grid: None,
            gates: BTreeMap::new(),
            clearings: 0,
            contracts: 0,
            settlements: 0,
            corrections: 0,
            differences: Vec::new(),
        }
    }

    /// Takes the next record.
    pub fn record(&mut self, number: u64, record: Record) {
        match record {
            Record::Network { digest, json } => {
                self.networks.insert(digest.to_string(), json);
            }
            Record::Market(entry) => self.entry(number, entry),
            Record::Above(entry) => self.above(number, entry),
            _ => {}
        }
    }

    /// What an interval was closed with above is part of what it was cleared from; the award behind it has
    /// to say the same.
    fn above(&mut self, number: u64, entry: Entry) {
        match entry {
            Entry::Awarded { award, .. } => {
                if let Some(gate) = self.gates.get_mut(&award.interval) {
                    gate.awards.push(award);
                }
            }
            Entry::Closed {
                closing, interface, ..
            } => {
                let Some(gate) = self.gates.get_mut(&closing.interval) else {
                    return;
                };
                if !interface.is_empty() {
                    gate.auction.case.interface = interface;
                }
                let Some(sequence) = closing.award else {
                    return;
                };
                let award = gate.awards.iter().find(|of| of.sequence == sequence);
                let said = award.map(|of| (of.called_w.unwrap_or(of.exchange_w), of.price));
                if said != Some((closing.exchange_w, closing.price)) {
                    let text = format!("award {sequence} on record says otherwise: {said:?}");
                    self.differ(number, closing.interval, "closing", text);
                }
            }
            _ => {}
        }
    }

    fn entry(&mut self, number: u64, entry: LedgerEntry) {
        match entry {
            LedgerEntry::GateClosed {
                interval,
                network,
                rulebook,
                pairs,
                ahead,
                calls,
                case,
            } if (self.from..self.to).contains(&interval) => {
                let gate = Gate {
                    auction: Auction {
                        case: *case,
                        pairs,
                        ahead: ahead.map(|ahead| *ahead),
                        calls: calls.map(|calls| *calls),
                    },
                    rulebook: rulebook.map(|rulebook| *rulebook),
                    network,
                    awards: Vec::new(),
                    cleared: None,
                    contracts: None,
                    meters: None,
                };
                self.gates.insert(interval, gate);
            }
            LedgerEntry::Cleared {
                interval,
                clearing,
                looked,
                without_calls,
            } => {
                let result = AuctionResult {
                    clearing: *clearing,
                    looked: looked.map(|looked| *looked),
                    without_calls,
                };
                self.clearing(number, interval, Ok(result));
            }
            LedgerEntry::ClearingFailed { interval, reason } => {
                self.clearing(number, interval, Err(reason));
            }
            LedgerEntry::Contracted {
                interval,
                contracts,
            } => self.contracted(number, interval, contracts),
            LedgerEntry::Metered { interval, meters } => {
                if let Some(gate) = self.gates.get_mut(&interval) {
                    gate.meters = Some(meters);
                }
            }
            LedgerEntry::Voided { interval, .. } => {
                self.gates.remove(&interval);
            }
            LedgerEntry::Settled(settlement) => self.settled(number, &settlement),
            _ => {}
        }
    }

    fn settled(&mut self, number: u64, settlement: &Settlement) {
        let interval = settlement.interval;
        let Some(gate) = self.gates.remove(&interval) else {
            return;
        };
        let (Some(contracts), Some(meters), Some(rulebook)) =
            (gate.contracts, gate.meters, gate.rulebook)
        else {
            return;
        };
        self.settlements += 1;
        let now = rulebook.settle(interval, &contracts, &meters);
        self.compare(number, interval, "settlement", settlement, &now);
    }

    /// Takes all records of an interval, of which `number` is the first that corrects its settlement.
    pub fn corrected(&mut self, number: u64, interval: i64, records: &[Record]) {
        if !(self.from..self.to).contains(&interval) {
            return;
        }
        for (k, record) in records.iter().enumerate() {
            let Record::Market(LedgerEntry::Resettled { meters, .. }) = record else {
                continue;
            };
            // Of an early build, whose rulebook is not on record.
            let Some(before) = Standing::of(interval, &records[..k]) else {
                return;
            };
            self.corrections += 1;
            let now = Record::Market(before.resettled(meters.clone()));
            self.compare(number, interval, "correction", record, &now);
        }
    }

    /// An interval that failed without its gate having closed has nothing to be computed from.
    fn clearing(&mut self, number: u64, interval: i64, on_record: Result<AuctionResult, String>) {
        let Some(mut gate) = self.gates.remove(&interval) else {
            return;
        };
        self.clearings += 1;
        match (self.grid(&gate.network), &gate.rulebook) {
            (Err(reason), _) => self.differ(number, interval, "clearing", reason),
            (_, None) => {
                let text = "its rulebook is not on record: it was closed by an early build";
                self.differ(number, interval, "clearing", text.to_owned());
            }
            (Ok(grid), Some(rulebook)) => {
                let now = gate.auction.clear(grid, rulebook);
                let now = now.map_err(|error| error.to_string());
                let (before, now) = (Parts::of(&on_record), Parts::of(&now));
                self.compare(
                    number,
                    interval,
                    "clearing",
                    &before.clearing,
                    &now.clearing,
                );
                self.compare(number, interval, "look ahead", &before.looked, &now.looked);
                let awards = (&before.without_calls, &now.without_calls);
                self.compare(number, interval, "without calls", awards.0, awards.1);
            }
        }
        gate.cleared = on_record.ok();
        self.gates.insert(interval, gate);
    }

    fn contracted(&mut self, number: u64, interval: i64, on_record: Contracts) {
        let Some(mut gate) = self.gates.remove(&interval) else {
            return;
        };
        if let (Some(result), Some(rulebook), Ok(grid)) =
            (&gate.cleared, &gate.rulebook, self.grid(&gate.network))
        {
            let now = gate.auction.contracts(grid, result, rulebook);
            self.contracts += 1;
            self.compare(number, interval, "contracts", &on_record, &now);
        }
        gate.contracts = Some(on_record);
        self.gates.insert(interval, gate);
    }

    fn grid(&mut self, digest: &str) -> Result<&Grid, String> {
        let known = self.grid.take().filter(|(of, _)| of == digest);
        let (of, grid) = match known {
            Some(known) => known,
            None => {
                let json = self.networks.get(digest).ok_or_else(|| {
                    format!("network {digest} is not on record: it was closed by an earlier build")
                })?;
                if Hash::of(json.as_bytes()).to_string() != digest {
                    return Err(format!("network {digest} has another digest"));
                }
                let network = pgm_json::read(json).map_err(|error| error.to_string())?;
                let grid = Grid::new(&network).map_err(|error| error.to_string())?;
                (digest.to_owned(), grid)
            }
        };
        Ok(&self.grid.insert((of, grid)).1)
    }

    fn compare<T: Serialize>(
        &mut self,
        number: u64,
        interval: i64,
        what: &'static str,
        on_record: &T,
        now: &T,
    ) {
        // What went on record could be written, so this can.
        let text = |value: &T| serde_json::to_value(value).unwrap_or(Value::Null);
        let (on_record, now) = (text(on_record), text(now));
        if let Some(text) = difference("", &on_record, &now) {
            self.differ(number, interval, what, text);
        }
    }

    fn differ(&mut self, number: u64, interval: i64, what: &'static str, text: String) {
        self.differences.push(Difference {
            number,
            interval,
            what,
            text,
        });
    }
}

/// What is compared of an auction, one after the other.
struct Parts<'a> {
    clearing: Result<&'a Clearing, &'a String>,
    looked: Option<&'a LookedAhead>,
    without_calls: Option<&'a Vec<UnitAward>>,
}

impl<'a> Parts<'a> {
    fn of(result: &'a Result<AuctionResult, String>) -> Self {
        let found = result.as_ref().ok();
        Self {
            clearing: result.as_ref().map(|found| &found.clearing),
            looked: found.and_then(|found| found.looked.as_ref()),
            without_calls: found.map(|found| &found.without_calls),
        }
    }
}

/// The first place where two documents differ, and how.
fn difference(path: &str, before: &Value, after: &Value) -> Option<String> {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(key, a)| {
                let path = format!("{path}.{key}");
                match b.get(key) {
                    Some(b) => difference(&path, a, b),
                    None => Some(format!("{path} is {a} on record, and not there now")),
                }
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(k, (a, b))| difference(&format!("{path}[{k}]"), a, b))
        }
        _ => {
            // As text, in which the zeros differ.
            let (before, after) = (before.to_string(), after.to_string());
            (before != after).then(|| format!("{path} is {before} on record, {after} now"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_place() {
        let of = |a: Value, b: Value| difference("", &a, &b);
        assert_eq!(
            of(json!({"a": [1.5, -0.0]}), json!({"a": [1.5, -0.0]})),
            None
        );
        assert_eq!(
            of(json!({"a": [1.5, 0.0]}), json!({"a": [1.5, -0.0]})).unwrap(),
            ".a[1] is 0.0 on record, -0.0 now"
        );
        assert_eq!(
            of(json!({"a": 1}), json!({"b": 1})).unwrap(),
            ".a is 1 on record, and not there now"
        );
        assert_eq!(
            of(json!([1]), json!([])).unwrap(),
            " is [1] on record, [] now"
        );
    }
}
