//! Rules of calls: who may call which unit to what.

use super::{Bounds, Context, Fault, fault, is_call, kind, list};
use crate::market::{
    Call, Direction, NewOrder, Order, Price, Unit,
    utc::{span, utc},
};

/// Only who runs the network calls.
pub(super) fn caller(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let callers = &context.registry.callers;
    if !is_call(request.terms.kind) || callers.contains(&request.participant) {
        return Ok(());
    }
    let named: Vec<&str> = callers.iter().take(20).map(String::as_str).collect();
    Err(fault(
        format!("{:?} does not run the network", request.participant),
        match named.is_empty() {
            true => "a call by a participant whose role is dso; there is none".to_owned(),
            false => format!(
                "a call by a participant whose role is dso: {}",
                named.join(", ")
            ),
        },
    ))
}

/// Anybody's unit may be called.
pub(super) fn find_unit<'a>(request: &NewOrder, context: &Context<'a>) -> Result<&'a Unit, Fault> {
    let units = &context.registry.units;
    let at_node = units.values().filter(|unit| unit.node == request.node);
    let there = at_node.map(|unit| unit.id).collect();
    let message = match request.unit.map(|id| (id, units.get(&id))) {
        None => "a call has to name its unit".to_owned(),
        Some((id, None)) => format!("unit {id} is not registered"),
        Some((id, Some(unit))) if unit.node != request.node => {
            format!("unit {id} is at node {}, not {}", unit.node, request.node)
        }
        Some((_, Some(unit))) => return Ok(unit),
    };
    let accepted = format!(
        "one of the units at node {}: {}",
        request.node,
        list(&there)
    );
    Err(fault(message, accepted))
}

pub(super) fn call(of: &Call, request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    if request.direction == Direction::Buy {
        return Err(fault(
            "a call is for power in both directions",
            "direction sell: power is positive where the unit delivers, negative where it takes",
        ));
    }
    match (of.p_min_w, of.p_max_w) {
        (None, None) => {
            return Err(fault(
                "the call bounds nothing",
                "a least power, a most power, or both; the same for a fixed one",
            ));
        }
        (Some(least), Some(most)) if least > most => {
            return Err(fault(
                format!("the call is to at least {least} W and at most {most} W"),
                "a least power not above the most power",
            ));
        }
        _ => {}
    }
    match of.end {
        Some(end) => kind::ends(end, "call", request, context),
        None => Ok(()),
    }
}

/// A unit follows one call at a time.
pub(super) fn alone(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let length_s = context.product.length_s;
    let over = kind::end(request.interval, request.terms.kind, length_s);
    let meets = |order: &&&Order| {
        is_call(order.terms.kind)
            && request.unit == Some(order.unit)
            && order.interval < over
            && request.interval < kind::end(order.interval, order.terms.kind, length_s)
    };
    let Some(other) = context.standing.iter().find(meets) else {
        return Ok(());
    };
    Err(fault(
        format!(
            "call {} of unit {} is for the interval that starts at {} already, which is {} long",
            other.id,
            other.unit,
            utc(other.interval.max(request.interval)),
            span(f64::from(length_s))
        ),
        "intervals that the unit is not called for, or that call amended or cancelled first",
    ))
}

/// Who is called is never paid less than nothing for it.
pub(super) fn compensation(of: &Call, bounds: &Bounds) -> Result<(), Fault> {
    let least = bounds.price_min.max(Price(0));
    if (least..=bounds.price_max).contains(&of.compensation) {
        return Ok(());
    }
    Err(fault(
        format!("the compensation is {} per MWh", of.compensation.per_mwh()),
        format!(
            "a compensation from {} to {} per MWh",
            least.per_mwh(),
            bounds.price_max.per_mwh()
        ),
    ))
}

pub(super) fn capability(of: &Call, unit: &Unit) -> Result<(), Fault> {
    let (low, high) = (unit.capability.p_min_w, unit.capability.p_max_w);
    let bounds = [of.p_min_w, of.p_max_w].into_iter().flatten();
    let beyond = bounds
        .clone()
        .find(|&w| !(low..=high).contains(&(w as f64)));
    let Some(beyond) = beyond else {
        return Ok(());
    };
    Err(fault(
        format!("{beyond} W is beyond what unit {} can do", unit.id),
        format!("powers from {low} W to {high} W, positive where the unit delivers"),
    ))
}
