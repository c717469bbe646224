//! Participants that are settled in the market above: an aggregator with units in several markets below it has one
//! account there. What an interval comes to for it here passes up, energy and money, and is nothing here.

use std::collections::BTreeMap;

use super::{
    Contracts, Meter, Money, Party, Price, Rulebook, Settlement, Statement, StatementLine,
    StatementReason, correct, settle,
};

impl Rulebook {
    /// Settles an interval by these rules: [`settle`], and what is settled above passes up.
    #[must_use]
    pub fn settle(&self, interval: i64, contracts: &Contracts, meters: &[Meter]) -> Settlement {
        let mut settlement = settle(interval, contracts, meters, &self.imbalance);
        settlement.pass_up(&self.settled_above);
        settlement
    }

    /// What other words of meters change by these rules: [`correct`], and what of it is settled above passes up.
    #[must_use]
    pub fn correct(
        &self,
        interval: i64,
        contracts: &Contracts,
        meters: (&[Meter], &[Meter]),
    ) -> Settlement {
        let mut correction = correct(interval, contracts, meters, &self.imbalance);
        correction.pass_up(&self.settled_above);
        correction
    }
}

impl Settlement {
    /// Takes the balance of each of these participants that has a statement to nothing, by a line
    /// [`StatementReason::SettledAbove`] whose other side is the grid above's. The sum stays nothing.
    pub fn pass_up(&mut self, participants: &[String]) {
        let mut passed = Vec::new();
        for statement in &mut self.statements {
            let Party::Participant(name) = &statement.party else {
                continue;
            };
            let Some(first) = statement.lines.first() else {
                continue;
            };
            if !participants.contains(name) {
                continue;
            }
            let line = StatementLine {
                reason: StatementReason::SettledAbove,
                counterparty: Party::Upstream,
                unit: None,
                node: first.node,
                energy_wh: delivered_wh(&statement.lines).saturating_neg(),
                reactive_varh: 0,
                price: Price(0),
                received: -statement.balance,
                quality: None,
            };
            passed.push(line.other_side(statement.party.clone()));
            statement.lines.push(line);
            statement.balance = Money(0);
        }
        self.credit(&Party::Upstream, passed);
    }

    /// What has passed up, by participant: energy that it delivered, Wh, negative where it was taken, and what it is
    /// owed for it.
    #[must_use]
    pub fn passed_up(&self) -> BTreeMap<&str, (i64, Money)> {
        let mut passed: BTreeMap<&str, (i64, Money)> = BTreeMap::new();
        for statement in &self.statements {
            let Party::Participant(name) = &statement.party else {
                continue;
            };
            let up = |line: &&StatementLine| {
                line.reason == StatementReason::SettledAbove && line.counterparty == Party::Upstream
            };
            for line in statement.lines.iter().filter(up) {
                let (wh, owed) = passed.entry(name).or_insert((0, Money(0)));
                *wh = wh.saturating_sub(line.energy_wh);
                *owed = [*owed, -line.received].into_iter().sum();
            }
        }
        passed
    }

    /// Adds lines to a party's statement, which is made in its place where there is none.
    pub fn credit(&mut self, party: &Party, lines: Vec<StatementLine>) {
        if lines.is_empty() {
            return;
        }
        let place = self.statements.binary_search_by(|of| of.party.cmp(party));
        let at = place.unwrap_or_else(|at| {
            let none = Statement {
                party: party.clone(),
                lines: Vec::new(),
                balance: Money(0),
            };
            self.statements.insert(at, none);
            at
        });
        let statement = &mut self.statements[at];
        let received = lines.iter().map(|line| line.received);
        statement.balance = received.chain([statement.balance]).sum();
        statement.lines.extend(lines);
    }
}

impl StatementLine {
    /// The same on the statement of the one on the other side, who has to do with `party`.
    #[must_use]
    pub fn other_side(&self, party: Party) -> Self {
        Self {
            counterparty: party,
            energy_wh: self.energy_wh.saturating_neg(),
            received: -self.received,
            ..self.clone()
        }
    }
}

/// Energy of a statement's lines, Wh: what a call changed is among what was contracted.
fn delivered_wh(lines: &[StatementLine]) -> i64 {
    let counted = lines
        .iter()
        .filter(|line| line.reason != StatementReason::Call);
    counted.fold(0, |sum, line| sum.saturating_add(line.energy_wh))
}
