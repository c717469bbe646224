//! Which orders are accepted: a list of rules, one function each. A refusal says which rule, what
//! was wrong and what would be accepted.
//!
//! Rules see the order, the registry, the product and the orders that stand; they change nothing.

mod amend;
mod call;
mod curve;
mod kind;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Direction, Kind, NewOrder, Order, OrderId, Phase, Price, Product, Registry, Step, Unit,
    utc::{span, utc},
};
use crate::network::Id;

pub use amend::amend;

/// Bounds that every order keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Lowest price.
    pub price_min: Price,
    /// Highest price.
    pub price_max: Price,
    /// Longest curve.
    pub max_steps: usize,
    /// Most orders of a unit for one interval, those that were cancelled included: each is kept.
    pub max_orders: usize,
}

/// What the rules look at besides the order.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Units and nodes.
    pub registry: &'a Registry,
    /// Timeline.
    pub product: &'a Product,
    /// Bounds.
    pub bounds: &'a Bounds,
    /// Accepted orders of open intervals, and as far back as a repeated order shall be known.
    pub standing: &'a [&'a Order],
    /// Those that were cancelled: they take no part, but their client ids stay taken.
    pub cancelled: &'a [&'a Order],
    /// Now, UTC, µs since 1970.
    pub now_us: i64,
    /// Id that the order gets if it is new.
    pub next_id: OrderId,
}

/// An accepted order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is new.
    New(Order),
    /// It is the same as one that was accepted before, and perhaps cancelled since; nothing changes.
    Repeated(Order),
}

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}; accepted would be {accepted}")]
pub struct Rejection {
    /// Name of the rule.
    pub rule: String,
    /// What was wrong.
    pub message: String,
    /// What would be accepted.
    pub accepted: String,
}

/// What a rule found wrong, and what it would accept.
struct Fault {
    message: String,
    accepted: String,
}

fn fault(message: impl Into<String>, accepted: impl Into<String>) -> Fault {
    Fault {
        message: message.into(),
        accepted: accepted.into(),
    }
}

type Rule = fn(&NewOrder, &Context<'_>) -> Result<(), Fault>;

/// Every rule, in the order in which they are tried: the first that fails is named.
const RULES: &[(&str, Rule)] = &[
    ("client_id", client_id),
    ("caller", call::caller),
    ("counterparty", counterparty),
    ("node", node),
    ("unit", unit),
    ("dispatchable", dispatchable),
    ("interval_aligned", interval_aligned),
    ("late", late),
    ("horizon", horizon),
    ("kind", kind::kind),
    ("alone", kind::alone),
    ("order_count", order_count),
    ("step_count", curve::step_count),
    ("quantity", curve::quantity),
    ("price_bounds", curve::price_bounds),
    ("monotone", curve::monotone),
    ("capability", curve::capability),
    ("self_crossing", curve::self_crossing),
];

/// Names of all rules, as they appear in [`Rejection::rule`].
pub fn names() -> impl Iterator<Item = &'static str> {
    ["duplicate", "amend"]
        .into_iter()
        .chain(RULES.iter().map(|(name, _)| *name))
}

/// Decides on an order.
///
/// # Errors
/// The first rule that it breaks.
pub fn accept(request: &NewOrder, context: &Context<'_>) -> Result<Accepted, Rejection> {
    // First, so that an order repeated after its gate has closed is still known.
    if let Some(order) = twin(request, context) {
        return same_content(request, order, context);
    }
    checked(request, context).map(Accepted::New)
}

/// The order, if it breaks no rule.
fn checked(request: &NewOrder, context: &Context<'_>) -> Result<Order, Rejection> {
    for (name, rule) in RULES {
        rule(request, context).map_err(|fault| reject(name, fault))?;
    }
    let unit = find_unit(request, context).map_err(|fault| reject("unit", fault))?;
    Ok(Order {
        id: context.next_id,
        client_id: request.client_id.clone(),
        participant: request.participant.clone(),
        unit: unit.id,
        interval: request.interval,
        direction: request.direction,
        steps: steps(request, context.bounds),
        terms: request.terms.clone(),
    })
}

/// The curve as the market takes it: what must run asks the lowest price, what must be served bids
/// the highest.
fn steps(request: &NewOrder, bounds: &Bounds) -> Vec<Step> {
    let mut steps = request.steps.clone();
    if request.terms.must {
        for step in &mut steps {
            step.price = match request.direction {
                Direction::Sell => bounds.price_min,
                Direction::Buy => bounds.price_max,
            };
        }
    }
    steps
}

fn reject(rule: &str, fault: Fault) -> Rejection {
    Rejection {
        rule: rule.to_owned(),
        message: fault.message,
        accepted: fault.accepted,
    }
}

fn twin<'a>(request: &NewOrder, context: &Context<'a>) -> Option<&'a Order> {
    let mut known = context.standing.iter().chain(context.cancelled).copied();
    known.find(|order| {
        order.client_id == request.client_id && order.participant == request.participant
    })
}

fn same_content(
    request: &NewOrder,
    order: &Order,
    context: &Context<'_>,
) -> Result<Accepted, Rejection> {
    let unit_is_same = match request.unit {
        Some(id) => id == order.unit,
        None => {
            let unit = context.registry.units.get(&order.unit);
            unit.is_none_or(|unit| unit.node == request.node)
        }
    };
    if unit_is_same
        && order.interval == request.interval
        && order.direction == request.direction
        && order.steps == steps(request, context.bounds)
        && order.terms == request.terms
    {
        return Ok(Accepted::Repeated(order.clone()));
    }
    Err(reject(
        "duplicate",
        fault(
            format!(
                "client id {:?} is already order {}, with other content",
                request.client_id, order.id
            ),
            "the same content again, or a client id not used before",
        ),
    ))
}

fn client_id(request: &NewOrder, _: &Context<'_>) -> Result<(), Fault> {
    let id = &request.client_id;
    if (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(fault(
        format!(
            "client id is {} bytes long or has characters other than printable ASCII",
            id.len()
        ),
        "1 to 64 printable ASCII characters without spaces",
    ))
}

fn counterparty(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let Some(named) = &request.terms.counterparty else {
        return Ok(());
    };
    let others: BTreeSet<&str> = context
        .registry
        .units
        .values()
        .map(|unit| unit.participant.as_str())
        .filter(|name| *name != request.participant)
        .collect();
    let message = if request.terms.must {
        "an order with a counterparty cannot be must-run or must-serve too".to_owned()
    } else if !others.contains(named.as_str()) {
        format!("{named:?} is no other participant with a unit here")
    } else {
        return Ok(());
    };
    let others: Vec<&str> = others.into_iter().take(20).collect();
    Err(fault(
        message,
        format!("a price, and one of {}", others.join(", ")),
    ))
}

fn node(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let nodes = &context.registry.nodes;
    if nodes.contains(&request.node) {
        return Ok(());
    }
    Err(fault(
        format!("node {} is not a flexibility node", request.node),
        format!("one of the nodes {}", list(nodes)),
    ))
}

fn unit(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    find_unit(request, context).map(|_| ())
}

fn find_unit<'a>(request: &NewOrder, context: &Context<'a>) -> Result<&'a Unit, Fault> {
    if is_call(request.terms.kind) {
        return call::find_unit(request, context);
    }
    let registry = context.registry;
    let own: BTreeSet<Id> = registry
        .units_at(&request.participant, request.node)
        .map(|unit| unit.id)
        .collect();
    let accepted = if own.is_empty() {
        format!(
            "a node where {:?} has a unit: {}",
            request.participant,
            list(
                &registry
                    .units
                    .values()
                    .filter(|unit| unit.participant == request.participant)
                    .map(|unit| unit.node)
                    .collect()
            )
        )
    } else {
        format!("one of your units at node {}: {}", request.node, list(&own))
    };
    let id = match request.unit {
        Some(id) => id,
        None => match own.first() {
            Some(&id) if own.len() == 1 => id,
            _ => {
                let message = format!(
                    "no unit named, and {:?} has {} at node {}",
                    request.participant,
                    own.len(),
                    request.node
                );
                return Err(fault(message, accepted));
            }
        },
    };
    let message = match registry.units.get(&id) {
        None => format!("unit {id} is not registered"),
        Some(unit) if unit.participant != request.participant => {
            format!("unit {id} is not registered to {:?}", request.participant)
        }
        Some(unit) if unit.node != request.node => {
            format!("unit {id} is at node {}, not {}", unit.node, request.node)
        }
        Some(unit) => return Ok(unit),
    };
    Err(fault(message, accepted))
}

fn is_call(kind: Kind) -> bool {
    matches!(kind, Kind::Call(_))
}

fn dispatchable(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let unit = find_unit(request, context)?;
    if unit.dispatchable {
        return Ok(());
    }
    Err(fault(
        format!("unit {} takes no setpoints", unit.id),
        "an order for a dispatchable unit",
    ))
}

fn interval_aligned(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let product = context.product;
    if product.is_start(request.interval) {
        return Ok(());
    }
    Err(fault(
        format!(
            "no interval starts at {}: intervals are {} s long",
            utc(request.interval),
            product.length_s
        ),
        open_intervals(context),
    ))
}

fn late(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let product = context.product;
    if product.phase(request.interval, context.now_us) == Phase::Open {
        return Ok(());
    }
    let closure_us = product.gate_closure_us(request.interval);
    let late_us = context.now_us.saturating_sub(closure_us);
    Err(fault(
        format!(
            "the gate of interval {} closed at {}, {} ago",
            utc(request.interval),
            utc(closure_us.div_euclid(1_000_000)),
            span(late_us as f64 * 1e-6)
        ),
        open_intervals(context),
    ))
}

fn horizon(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let last = context.product.last_open(context.now_us);
    if request.interval <= last {
        return Ok(());
    }
    Err(fault(
        format!(
            "interval {} is too far ahead: the last one open is {}",
            utc(request.interval),
            utc(last)
        ),
        open_intervals(context),
    ))
}

fn open_intervals(context: &Context<'_>) -> String {
    let mut open = context.product.open_intervals(context.now_us);
    match open.next() {
        Some(first) => format!(
            "an interval start from {} to {}, in steps of {} s",
            utc(first),
            utc(context.product.last_open(context.now_us)),
            context.product.length_s
        ),
        None => "an order once an interval has opened".to_owned(),
    }
}

fn order_count(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let unit = find_unit(request, context)?;
    let known = context.standing.iter().chain(context.cancelled);
    // Who calls a unit takes no place from its owner.
    let of_kind = is_call(request.terms.kind);
    let same = |order: &&&Order| {
        order.unit == unit.id
            && order.interval == request.interval
            && is_call(order.terms.kind) == of_kind
    };
    let (count, most) = (known.filter(same).count(), context.bounds.max_orders);
    if count < most {
        return Ok(());
    }
    Err(fault(
        format!(
            "unit {} has {count} orders for interval {} already, cancelled ones included",
            unit.id,
            utc(request.interval)
        ),
        format!("at most {most} orders of a unit for an interval; one order may have many steps"),
    ))
}

/// At most twenty ids; a rejection is read by a person.
fn list(ids: &BTreeSet<Id>) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    let mut text: Vec<String> = ids.iter().take(20).map(Id::to_string).collect();
    if ids.len() > 20 {
        text.push(format!("and {} more", ids.len() - 20));
    }
    text.join(", ")
}
