//! What is asked of the loop: decided first, on record next, taken over last.

use solver::market::{
    Accepted, Direction, Kind, LedgerEntry, NewOrder, Phase, Price, Step, Terms, rules,
};

use super::{
    book::{Placed, PlacedBy},
    step::Cycle,
    view,
};
use crate::{
    clock::parse_rfc3339_s,
    store::Record,
    web::api::{self, AlarmView, OrderKind, OrderView, Problem},
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
        now_us: i64,
    ) -> Result<Decision, Problem> {
        let request = new_order(request)?;
        let (standing, cancelled) = self.book.placed();
        let context = rules::Context {
            registry: &self.registry,
            product: &self.book.product,
            bounds: &self.bounds,
            standing: &standing,
            cancelled: &cancelled,
            now_us,
            next_id: self.book.next_order(),
        };
        match rules::accept(&request, &context) {
            Ok(Accepted::New(order)) => Ok(Decision {
                order: order.id.0,
                record: Some(Record::Market(LedgerEntry::OrderAccepted {
                    at_us: now_us,
                    order,
                    by: None,
                })),
            }),
            Ok(Accepted::Repeated(order)) => Ok(Decision {
                order: order.id.0,
                record: None,
            }),
            Err(rejection) => {
                self.refuse(request, rejection.clone(), now_us);
                Err(Problem {
                    error: rejection.rule,
                    message: rejection.message,
                    accepted: Some(rejection.accepted),
                })
            }
        }
    }

    /// Notes a refusal for the record, with the next step: it changes nothing, so nobody waits for it.
    fn refuse(&mut self, request: NewOrder, rejection: rules::Rejection, at_us: i64) {
        if self.refused.len() >= REFUSED_MOST {
            tracing::warn!(participant = request.participant, %rejection, "refusal not on record");
            return;
        }
        self.refused
            .push(Record::Market(LedgerEntry::OrderRejected {
                at_us,
                request: Box::new(request),
                rejection,
            }));
    }

    /// Decides on replacing an order; nothing changes yet.
    ///
    /// # Errors
    /// Why it cannot be replaced, or not by this.
    pub fn decide_amend(
        &mut self,
        id: u64,
        request: api::NewOrder,
        now_us: i64,
    ) -> Result<Decision, Problem> {
        let request = new_order(request)?;
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
        let context = rules::Context {
            registry: &self.registry,
            product: &self.book.product,
            bounds: &self.bounds,
            standing: &standing,
            cancelled: &cancelled,
            now_us,
            next_id: self.book.next_order(),
        };
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
                    by: None,
                }),
            }),
            Err(rejection) => {
                self.refuse(request, rejection.clone(), now_us);
                Err(Problem {
                    error: rejection.rule,
                    message: rejection.message,
                    accepted: Some(rejection.accepted),
                })
            }
        }
    }

    /// Decides on the cancellation of an order; nothing changes yet.
    ///
    /// # Errors
    /// Why it cannot be cancelled.
    pub fn decide_cancel(&self, id: u64, now_us: i64) -> Result<Decision, Problem> {
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
                "gate",
                format!("the gate of order {id}'s interval has closed"),
            ));
        }
        Ok(Decision {
            record: Some(Record::OrderCancelled {
                at_us: now_us,
                order: placed.order.id,
                by: None,
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

/// An order as the market's rules take it.
fn new_order(order: api::NewOrder) -> Result<NewOrder, Problem> {
    let problem = |error: &str, message: String, accepted: &str| Problem {
        error: error.to_owned(),
        message,
        accepted: Some(accepted.to_owned()),
    };
    let Some(interval) = parse_rfc3339_s(&order.interval) else {
        return Err(problem(
            "interval",
            format!("`{}` is no start of an interval", order.interval),
            "a moment in RFC 3339, e.g. 2027-01-15T08:00:00Z",
        ));
    };
    let direction = match order.direction.as_str() {
        "sell" => Direction::Sell,
        "buy" => Direction::Buy,
        other => {
            return Err(problem(
                "direction",
                format!("`{other}` is no direction"),
                "sell or buy",
            ));
        }
    };
    let mut steps = Vec::new();
    for step in &order.steps {
        let micro = step.price_per_mwh * 1e6;
        // The bounds proper are the rules' to say; this keeps the conversion exact.
        if micro.is_nan() || micro.abs() >= 1e15 {
            return Err(problem(
                "price_bounds",
                format!("{} per MWh is no price", step.price_per_mwh),
                "a price within the market's bounds",
            ));
        }
        steps.push(Step {
            quantity_w: step.quantity_w,
            price: Price(micro.round() as i64),
        });
    }
    Ok(NewOrder {
        client_id: order.client_id,
        participant: order.participant,
        node: order.node,
        unit: order.unit,
        interval,
        direction,
        steps,
        terms: Terms {
            must: order.must,
            counterparty: order.counterparty,
            kind: match order.kind {
                OrderKind::Energy => Kind::Energy,
                OrderKind::Reactive => Kind::Reactive,
            },
        },
    })
}
