//! What people, programs and links ask of the loop, and what becomes of it: durable first, then so.

use std::sync::Arc;

use solver::market::LedgerEntry;
use tokio::{sync::oneshot, task::spawn_blocking};

use super::Loop;
use crate::{
    clock::now_us,
    cycle::{Decision, HoldCommand, Refusal},
    metering,
    participants::Change,
    published::{Asker, OrderAsk, Request},
    store::{Receipt, Record},
    web::api::{OrderView, Problem, ReceiptView},
};

impl Loop {
    /// Answers a request. What is wrong with the request is its sender's; an error here is ours.
    /// Whoever asked looks at what is published next: what they changed is there before they are answered.
    pub(super) async fn answer(&mut self, request: Request) -> anyhow::Result<()> {
        match request {
            Request::Order { ask, by, answer } => {
                let answered = self.order(ask, &by).await?;
                self.answered(answer, answered);
            }
            Request::Register { change, by, answer } => {
                let answered = self.register(change, &by).await?;
                self.answered(answer, answered);
            }
            Request::MeterValues {
                values,
                corrections,
                by,
                answer,
            } => {
                let answered = self.meter_values(values, corrections, &by).await?;
                self.answered(answer, answered);
            }
            // Whoever asked has gone, or has been told that it is not done.
            Request::Command { answer, .. } if answer.is_closed() => {}
            Request::Command {
                command,
                check,
                answer,
            } => {
                let answered = self.command(command, check).await?;
                self.answered(answer, answered);
            }
            Request::Above { event, answer } => {
                self.hear(event).await?;
                self.answered(answer, ());
            }
            Request::AcknowledgeAlarm { id, user, answer } => {
                let answered = self.cycle.acknowledge(id, &user);
                self.answered(answer, answered);
            }
            // What it changes is read from its device.
            Request::Switch {
                command,
                step,
                answer,
            } => self.switch(command, step, answer).await?,
            // These change nothing that is shown.
            Request::Explain {
                interval,
                unit,
                answer,
            } => drop(answer.send(self.cycle.explain(interval, unit))),
            Request::Call { answer, .. } => drop(answer.send(Err(no_tenants()))),
            Request::Link { event, answer } => {
                let at_us = now_us();
                self.append(vec![Record::Link { at_us, event }]).await?;
                let _ = answer.send(Ok(()));
            }
        }
        Ok(())
    }

    /// Shows what has changed, then answers; nobody may wait any more.
    fn answered<T>(&mut self, answer: oneshot::Sender<T>, answered: T) {
        let before = Arc::clone(&self.published.borrow());
        let after = self.cycle.republish(&before, now_us());
        self.published.send_replace(Arc::new(after));
        let _ = answer.send(answered);
    }

    async fn order(
        &mut self,
        ask: OrderAsk,
        by: &Asker,
    ) -> anyhow::Result<Result<OrderView, Problem>> {
        let now_us = now_us();
        let cycle = &mut self.cycle;
        let decision = match ask {
            OrderAsk::Place(order) => cycle.decide_order(order, by, now_us),
            OrderAsk::Amend(id, order) => match cycle.may_touch(id, by) {
                Ok(()) => cycle.decide_amend(id, order, by, now_us),
                Err(problem) => Err(problem),
            },
            OrderAsk::Cancel(id) => match cycle.may_touch(id, by) {
                Ok(()) => cycle.decide_cancel(id, by, now_us),
                Err(problem) => Err(problem),
            },
        };
        self.carry_out(decision).await
    }

    /// What the market above says, on record before it counts.
    async fn hear(&mut self, event: crate::above::Event) -> anyhow::Result<()> {
        if let Some(record) = self.cycle.hear(event, now_us()) {
            self.append(vec![record.clone()]).await?;
            self.cycle.restore(&record);
        }
        Ok(())
    }

    /// Decides on a command to hold a unit; it is done once it is durable.
    async fn command(
        &mut self,
        command: HoldCommand,
        check: bool,
    ) -> anyhow::Result<Result<(), Refusal>> {
        let snapshot = Arc::clone(&self.published.borrow().snapshot);
        let record = match self.cycle.decide_command(command, &snapshot, now_us()) {
            Ok(record) if !check => record,
            checked => return Ok(checked.map(|_| ())),
        };
        self.append(vec![record.clone()]).await?;
        self.cycle.restore(&record);
        Ok(Ok(()))
    }

    /// Makes a decision durable, then takes it over.
    async fn carry_out(
        &mut self,
        decision: Result<Decision, Problem>,
    ) -> anyhow::Result<Result<OrderView, Problem>> {
        let decision = match decision {
            Ok(decision) => decision,
            Err(problem) => return Ok(Err(problem)),
        };
        let receipt = match decision.record.clone() {
            Some(record) => self.append(vec![record]).await?,
            None => None,
        };
        let settled = self.cycle.settle_decision(&decision);
        Ok(settled.map(|order| OrderView {
            receipt: receipt.map(ReceiptView::from),
            ..order
        }))
    }

    /// Changes who takes part, durably first.
    async fn register(
        &mut self,
        change: Change,
        by: &Asker,
    ) -> anyhow::Result<Result<Option<ReceiptView>, Problem>> {
        let at_us = now_us();
        let record = match self.cycle.decide_change(change.clone(), by, at_us) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Ok(None)),
            Err(problem) => return Ok(Err(problem)),
        };
        let receipt = self.append(vec![record]).await?;
        self.cycle.settle_change(&change, at_us);
        Ok(Ok(receipt.map(ReceiptView::from)))
    }

    /// Takes values of meters with what they change, all of it or nothing.
    async fn meter_values(
        &mut self,
        values: Vec<metering::Value>,
        corrections: Vec<LedgerEntry>,
        by: &Asker,
    ) -> anyhow::Result<Result<Option<ReceiptView>, Problem>> {
        if let Err(problem) = self.cycle.may_correct(&values, &corrections) {
            return Ok(Err(problem));
        }
        for start in self.cycle.forgotten_above(&corrections) {
            let ledger = Arc::clone(&self.ledger);
            let passed = spawn_blocking(move || ledger.above(start)).await??;
            self.cycle.remember_above(&passed);
        }
        let at_us = now_us();
        let totals = self.cycle.corrected_totals(&corrections, at_us);
        let given = Record::MeterValues {
            at_us,
            by: by.to_string(),
            values,
        };
        let corrections = corrections.into_iter().map(Record::Market);
        let all = std::iter::once(given).chain(corrections).chain(totals);
        let records: Vec<Record> = all.collect();
        let receipt = self.append(records.clone()).await?;
        for record in &records {
            self.cycle.restore(record);
        }
        Ok(Ok(receipt.map(ReceiptView::from)))
    }

    pub(super) async fn append(&self, records: Vec<Record>) -> anyhow::Result<Option<Receipt>> {
        let ledger = Arc::clone(&self.ledger);
        let append = move || ledger.append(&records, now_us(), false);
        Ok(spawn_blocking(append).await??)
    }
}

fn no_tenants() -> Problem {
    Problem {
        error: "no_area".to_owned(),
        message: "this is a substation: it has no tenants".to_owned(),
        accepted: None,
    }
}
