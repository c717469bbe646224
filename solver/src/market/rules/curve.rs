//! Rules of an order's curve.

use super::{Bounds, Context, Fault, call, fault, find_unit};
use crate::market::{Direction, Kind, NewOrder, Order, Price, Step, Unit};

pub(super) fn step_count(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let most = context.bounds.max_steps;
    let (least, most) = match request.terms.kind {
        Kind::Energy | Kind::Reactive => (1, most),
        Kind::Window(_) => (1, 1),
        Kind::Storage(_) | Kind::Call(_) => (0, 0),
    };
    if (least..=most).contains(&request.steps.len()) {
        return Ok(());
    }
    let accepted = match most {
        0 => "no steps: an order of this kind says all in its terms".to_owned(),
        1 => "1 step, of the window's most power and its price".to_owned(),
        _ => format!("1 to {most} steps"),
    };
    Err(fault(
        format!("the curve has {} steps", request.steps.len()),
        accepted,
    ))
}

pub(super) fn quantity(request: &NewOrder, _: &Context<'_>) -> Result<(), Fault> {
    let Some(at) = request.steps.iter().position(|step| step.quantity_w <= 0) else {
        return Ok(());
    };
    let unit = power_unit(request);
    Err(fault(
        format!(
            "quantity of step {at} is {} {unit}",
            request.steps[at].quantity_w
        ),
        format!(
            "quantities of at least 1 {unit}; whether it is sold or bought is the direction's to say"
        ),
    ))
}

fn is_reactive(request: &NewOrder) -> bool {
    request.terms.kind == Kind::Reactive
}

fn power_unit(request: &NewOrder) -> &'static str {
    if is_reactive(request) { "var" } else { "W" }
}

pub(super) fn price_bounds(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    if let Kind::Call(of) = request.terms.kind {
        return call::compensation(&of, context.bounds);
    }
    let Bounds {
        price_min,
        price_max,
        ..
    } = *context.bounds;
    let (price_min, per) = match is_reactive(request) {
        // Who gives reactive power is paid for it, whichever way it goes.
        true => (price_min.max(Price(0)), "Mvarh"),
        false => (price_min, "MWh"),
    };
    let outside = |price: Price| price < price_min || price > price_max;
    let Some(at) = request.steps.iter().position(|step| outside(step.price)) else {
        return Ok(());
    };
    Err(fault(
        format!(
            "price of step {at} is {} per {per}",
            request.steps[at].price.per_mwh()
        ),
        format!(
            "prices from {} to {} per {per}",
            price_min.per_mwh(),
            price_max.per_mwh()
        ),
    ))
}

pub(super) fn monotone(request: &NewOrder, _: &Context<'_>) -> Result<(), Fault> {
    // Who absorbs reactive power is paid as who injects it is.
    let rises = request.direction == Direction::Sell || is_reactive(request);
    let falls = |pair: &[Step]| match rises {
        true => pair[1].price < pair[0].price,
        false => pair[1].price > pair[0].price,
    };
    let Some(at) = request.steps.windows(2).position(falls) else {
        return Ok(());
    };
    let (first, second) = (request.steps[at].price, request.steps[at + 1].price);
    let message = format!(
        "price goes from {} to {} at step {}",
        first.per_mwh(),
        second.per_mwh(),
        at + 1
    );
    Err(match rises {
        true => fault(message, "prices that rise or stay from step to step"),
        false => fault(message, "prices that fall or stay from step to step"),
    })
}

pub(super) fn capability(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let unit = find_unit(request, context)?;
    if let Kind::Call(of) = request.terms.kind {
        return call::capability(&of, unit);
    }
    let most_w = match (is_reactive(request), request.direction) {
        (true, _) => unit.capability.q_max_var,
        (false, Direction::Sell) => unit.capability.p_max_w,
        (false, Direction::Buy) => -unit.capability.p_min_w,
    }
    .max(0.0);
    let total =
        |steps: &[Step]| -> i128 { steps.iter().map(|step| i128::from(step.quantity_w)).sum() };
    let asked_w = total(&request.steps);
    let standing_w: i128 = same_unit_and_interval(unit, request, context)
        .filter(|order| order.direction == request.direction)
        .map(|order| total(&order.steps))
        .sum();
    if (asked_w + standing_w) as f64 <= most_w {
        return Ok(());
    }
    let verb = match request.direction {
        Direction::Sell => "deliver",
        Direction::Buy => "take",
    };
    let of = power_unit(request);
    Err(fault(
        format!(
            "{asked_w} {of} and the {standing_w} {of} already ordered are more than the {most_w} {of} unit {} can {verb}",
            unit.id
        ),
        format!(
            "at most {} {of} in all",
            (most_w - standing_w as f64).max(0.0)
        ),
    ))
}

/// A unit that would buy from itself at a gain makes welfare out of nothing.
pub(super) fn self_crossing(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let unit = find_unit(request, context)?;
    if is_reactive(request) {
        return Ok(());
    }
    let best_of = |direction: Direction, steps: &[Step]| {
        let prices = steps.iter().map(|step| step.price);
        match direction {
            Direction::Sell => prices.min(),
            Direction::Buy => prices.max(),
        }
    };
    for order in same_unit_and_interval(unit, request, context) {
        let (Some(own), Some(other)) = (
            best_of(request.direction, &request.steps),
            best_of(order.direction, &order.steps),
        ) else {
            continue;
        };
        let (crosses, limit) = match (request.direction, order.direction) {
            (Direction::Sell, Direction::Buy) => (own < other, "at least"),
            (Direction::Buy, Direction::Sell) => (own > other, "at most"),
            _ => (false, ""),
        };
        if crosses {
            return Err(fault(
                format!(
                    "at {} per MWh unit {} would trade with its own order {}",
                    own.per_mwh(),
                    unit.id,
                    order.id
                ),
                format!("prices of {limit} {} per MWh", other.per_mwh()),
            ));
        }
    }
    Ok(())
}

/// Of the same power, active or reactive.
fn same_unit_and_interval<'a>(
    unit: &Unit,
    request: &NewOrder,
    context: &Context<'a>,
) -> impl Iterator<Item = &'a Order> {
    let (id, interval, reactive) = (unit.id, request.interval, is_reactive(request));
    context.standing.iter().copied().filter(move |order| {
        order.unit == id
            && order.interval == interval
            && (order.terms.kind == Kind::Reactive) == reactive
    })
}
