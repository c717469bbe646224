//! What is asked of the loop: decided first, on record next, taken over last.

use solver::market::{Accepted, LedgerEntry, NewOrder, Order, Phase, rules};

use super::{
    book::{Placed, PlacedBy},
    order,
    step::Cycle,
    view,
};
use crate::{
    clock::rfc3339,
    published::Asker,
    store::Record,
    web::api::{self, AlarmView, OrderView, Problem},
};

/// Refusals of one step that go on record; who sends more is not worth the space.
const REFUSED_MOST: usize = 64;

/// A request decided but not yet on record: once it is, [`Cycle::settle_decision`] takes it over.
#[derive(Debug)]
pub struct Decision {
    /// To be made durable before the request is answered; none: nothing changes.
    pub record: Option<Record>,
    /// The order concerned.
    order: u64,
}

impl Cycle {
    /// Decides on an order by the market's rules; nothing changes yet.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide_order(
        &mut self,
        request: api::NewOrder,
        by: &Asker,
        now_us: i64,
    ) -> Result<Decision, Problem> {
        let request = order::new_order(request)?;
        let (standing, cancelled) = self.book.placed();
        let context = self.context(&standing, &cancelled, now_us);
        match rules::accept(&request, &context) {
            Ok(Accepted::New(order)) => Ok(Decision {
                order: order.id.0,
                record: Some(Record::Market(LedgerEntry::OrderAccepted {
                    at_us: now_us,
                    order,
                    by: Some(by.to_string()),
                })),
            }),
            Ok(Accepted::Repeated(order)) => Ok(Decision {
                order: order.id.0,
                record: None,
            }),
            Err(rejection) => Err(self.refuse(request, rejection, by, now_us)),
        }
    }

    /// What the rules look at.
    pub(super) fn context<'a>(
        &'a self,
        standing: &'a [&'a Order],
        cancelled: &'a [&'a Order],
        now_us: i64,
    ) -> rules::Context<'a> {
        rules::Context {
            registry: &self.registry,
            product: &self.book.product,
            bounds: &self.bounds,
            standing,
            cancelled,
            now_us,
            next_id: self.book.next_order(),
        }
    }

    /// Notes a refusal for the record, with the next step: it changes nothing, so nobody waits for it.
    fn refuse(
        &mut self,
        request: NewOrder,
        rejection: rules::Rejection,
        by: &Asker,
        at_us: i64,
    ) -> Problem {
        let problem = Problem {
            error: rejection.rule.clone(),
            message: rejection.message.clone(),
            accepted: Some(rejection.accepted.clone()),
        };
        if self.refused.len() >= REFUSED_MOST {
            tracing::warn!(participant = request.participant, %rejection, "refusal not on record");
            return problem;
        }
        self.refused
            .push(Record::Market(LedgerEntry::OrderRejected {
                at_us,
                request: Box::new(request),
                rejection,
                by: Some(by.to_string()),
            }));
        problem
    }

    /// Decides on replacing an order; nothing changes yet.
    ///
    /// # Errors
    /// Why it cannot be replaced, or not by this.
    pub fn decide_amend(
        &mut self,
        id: u64,
        request: api::NewOrder,
        by: &Asker,
        now_us: i64,
    ) -> Result<Decision, Problem> {
        let request = order::new_order(request)?;
        let placed = self.book.orders.get(&id);
        let placed = placed.filter(|p| p.by == PlacedBy::Api && !p.cancelled);
        let Some(old) = placed.map(|placed| placed.order.clone()) else {
            return Err(Problem {
                error: "unknown_order".to_owned(),
                message: format!("there is no order {id} that stands"),
                accepted: Some("an order that stands, before its gate closes".to_owned()),
            });
        };
        let (standing, cancelled) = self.book.placed();
        let context = self.context(&standing, &cancelled, now_us);
        match rules::amend(&request, &old, &context) {
            Ok(order) if order == old => Ok(Decision {
                record: None,
                order: id,
            }),
            Ok(order) => Ok(Decision {
                order: order.id.0,
                record: Some(Record::OrderAmended {
                    at_us: now_us,
                    old: old.id,
                    order,
                    by: Some(by.to_string()),
                }),
            }),
            Err(rejection) => Err(self.refuse(request, rejection, by, now_us)),
        }
    }

    /// Decides on the cancellation of an order; nothing changes yet.
    ///
    /// # Errors
    /// Why it cannot be cancelled.
    pub fn decide_cancel(&self, id: u64, by: &Asker, now_us: i64) -> Result<Decision, Problem> {
        let problem = |error: &str, message: String| Problem {
            error: error.to_owned(),
            message,
            accepted: Some("an order that stands, before its gate closes".to_owned()),
        };
        let placed = self.book.orders.get(&id).filter(|p| p.by == PlacedBy::Api);
        let Some(placed) = placed else {
            return Err(problem("unknown_order", format!("there is no order {id}")));
        };
        if placed.cancelled {
            return Ok(Decision {
                record: None,
                order: id,
            });
        }
        if self.book.product.phase(placed.order.interval, now_us) != Phase::Open {
            return Err(problem(
                "late",
                format!(
                    "the gate of order {id}'s interval closed at {}",
                    rfc3339(self.book.product.gate_closure_us(placed.order.interval))
                ),
            ));
        }
        Ok(Decision {
            record: Some(Record::OrderCancelled {
                at_us: now_us,
                order: placed.order.id,
                by: Some(by.to_string()),
            }),
            order: id,
        })
    }

    /// Takes over a decision once its record is durable.
    ///
    /// # Errors
    /// The order is not known: the decision was of another loop.
    pub fn settle_decision(&mut self, decision: &Decision) -> Result<OrderView, Problem> {
        if let Some(record) = &decision.record {
            self.book.apply(record);
        }
        self.order_view(decision.order).ok_or_else(|| Problem {
            error: "unknown_order".to_owned(),
            message: format!("there is no order {}", decision.order),
            accepted: None,
        })
    }

    fn order_view(&self, id: u64) -> Option<OrderView> {
        self.book.orders.get(&id).map(|placed| self.show(placed))
    }

    pub(super) fn show(&self, placed: &Placed) -> OrderView {
        let node = self.node_of.get(&placed.order.unit).copied();
        view::order(placed, node.unwrap_or_default())
    }

    /// Notes that a person has seen an alarm.
    ///
    /// # Errors
    /// There is no such alarm.
    pub fn acknowledge(&mut self, id: u64, user: &str) -> Result<AlarmView, Problem> {
        self.alarms.acknowledge(id, user).ok_or_else(|| Problem {
            error: "unknown_alarm".to_owned(),
            message: format!("there is no alarm {id}"),
            accepted: Some("the id of an alarm that is listed".to_owned()),
        })
    }
}
