//! Running accounts against the record that they follow from.

use std::collections::BTreeMap;

use solver::market::{LedgerEntry, Party};

use super::{Ledger, LedgerError, Record};

impl Ledger {
    /// Adds up every settlement and correction on record, and compares with the running accounts; how many
    /// there are. What another build has written in a form of its own is in neither.
    ///
    /// # Errors
    /// An account is not the sum of what is on record, or they do not sum to nothing; or they cannot be
    /// read.
    pub fn verify_accounts(&self) -> Result<usize, LedgerError> {
        let mut sums: BTreeMap<Party, i128> = BTreeMap::new();
        for row in self.rows(0)? {
            let Ok(Record::Market(entry)) = row?.record() else {
                continue;
            };
            let (LedgerEntry::Settled(of) | LedgerEntry::Resettled { correction: of, .. }) = entry
            else {
                continue;
            };
            for statement in of.statements {
                *sums.entry(statement.party).or_default() += i128::from(statement.balance.0);
            }
        }
        let accounts = self.accounts()?;
        let parties = sums.keys().chain(accounts.keys());
        for party in parties {
            let (record, account) = (sums.get(party), accounts.get(party));
            if record != account {
                return Err(LedgerError::Account {
                    file: self.file.clone(),
                    party: party.to_string(),
                    record: record.copied().unwrap_or_default(),
                    account: account.copied().unwrap_or_default(),
                });
            }
        }
        let total: i128 = sums.values().sum();
        match total {
            0 => Ok(accounts.len()),
            total => Err(LedgerError::Unbalanced {
                file: self.file.clone(),
                total,
            }),
        }
    }
}
