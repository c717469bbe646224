//! The networks that gates were closed on, by digest: what is computed from the record needs the one
//! of then, whatever is switched now.

use std::collections::BTreeMap;

use solver::network::{Grid, pgm_json};

use crate::store::{Hash, Record};

/// A network goes on record again after so many intervals, so that a restart, which looks back on
/// more than that, finds it.
const AGAIN: i64 = 60;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Networks(BTreeMap<String, Known>);

#[derive(Debug)]
struct Known {
    json: String,
    /// Number of the interval with which it went on record last; none: before the start.
    noted: Option<i64>,
}

impl Networks {
    /// Takes over what the ledger remembers.
    pub(super) fn restore(&mut self, record: &Record) {
        if let Record::Network { digest, json } = record {
            let known = Known {
                json: json.clone(),
                noted: None,
            };
            self.0.insert(digest.to_string(), known);
        }
    }

    /// The digest of the network with its switch and tap positions, for the interval of that number,
    /// and the network itself where it is due on record.
    pub(super) fn on_record(&mut self, grid: &Grid, number: i64) -> (String, Option<Record>) {
        let json = pgm_json::write(grid.network());
        let digest = Hash::of(json.as_bytes());
        let name = digest.to_string();
        self.0
            .retain(|_, known| known.noted.is_none_or(|noted| noted >= number - 4 * AGAIN));
        let last = self.0.get(&name).and_then(|known| known.noted);
        if last.is_some_and(|last| number - last < AGAIN) {
            return (name, None);
        }
        let known = Known {
            json: json.clone(),
            noted: Some(number),
        };
        self.0.insert(name.clone(), known);
        (name, Some(Record::Network { digest, json }))
    }

    /// The network of a digest; none: it is too long ago.
    pub(super) fn grid(&self, digest: &str) -> Option<Grid> {
        let known = self.0.get(digest)?;
        Grid::new(&pgm_json::read(&known.json).ok()?).ok()
    }
}
