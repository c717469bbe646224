//! Rules of single kinds of orders: stores, windows; those of calls are in `call`.

use super::{Context, Fault, call, fault, find_unit, open_intervals};
use crate::market::{
    Call, Direction, Kind, NewOrder, Order, PPM, Price, Storage, Window,
    utc::{span, utc},
};

/// What an order of its kind has to say and may not say.
pub(super) fn kind(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let terms = &request.terms;
    if terms.kind.is_energy() {
        return Ok(());
    }
    if terms.must || terms.counterparty.is_some() {
        return Err(fault(
            "only an order for energy can be must-run or must-serve, or have a counterparty",
            "an order of this kind without `must` and `counterparty`, or one for energy",
        ));
    }
    match terms.kind {
        Kind::Energy | Kind::Reactive => Ok(()),
        Kind::Storage(of) => storage(&of, request, context),
        Kind::Window(of) => window(&of, request, context),
        Kind::Call(of) => call::call(&of, request, context),
    }
}

fn storage(of: &Storage, request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let unit = find_unit(request, context)?;
    let capability = &unit.capability;
    if !(capability.p_min_w < 0.0 && capability.p_max_w > 0.0) {
        return Err(fault(
            format!("unit {} is no store", unit.id),
            "a unit that can both deliver and take power",
        ));
    }
    if request.direction == Direction::Buy {
        return Err(fault(
            "a store is offered, not asked for",
            "direction sell: power is positive where it delivers, negative where it charges",
        ));
    }
    for (what, ppm) in [("charge", of.charge_ppm), ("discharge", of.discharge_ppm)] {
        if ppm == 0 || ppm > PPM {
            return Err(fault(
                format!("{what} efficiency is {ppm} millionths"),
                "1 to 1000000 millionths",
            ));
        }
    }
    if of.energy_min_wh < 0 || of.energy_max_wh <= of.energy_min_wh {
        return Err(fault(
            format!(
                "energy is to stay within {} Wh and {} Wh",
                of.energy_min_wh, of.energy_max_wh
            ),
            "a least energy of at least 0 Wh and a greatest above it",
        ));
    }
    let most = context.bounds.price_max;
    let within = |price: Price, least: Price| (least..=most).contains(&price);
    if !within(of.wear, Price(0)) || !within(of.end_value, context.bounds.price_min) {
        return Err(fault(
            format!(
                "wear is {} and what is left worth {} per MWh",
                of.wear.per_mwh(),
                of.end_value.per_mwh()
            ),
            format!(
                "wear from 0, worth from {}, both to {} per MWh",
                context.bounds.price_min.per_mwh(),
                most.per_mwh()
            ),
        ));
    }
    Ok(())
}

fn window(of: &Window, request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    if of.energy_wh <= 0 {
        return Err(fault(
            format!("the window is for {} Wh", of.energy_wh),
            "an energy of at least 1 Wh",
        ));
    }
    ends(of.end, "window", request, context)
}

/// What is for several intervals ends with one of those that are open.
pub(super) fn ends(
    end: i64,
    what: &str,
    request: &NewOrder,
    context: &Context<'_>,
) -> Result<(), Fault> {
    let product = context.product;
    let last = context
        .product
        .last_open(context.now_us)
        .saturating_add(i64::from(product.length_s));
    if end > request.interval && end <= last && product.is_start(end) {
        return Ok(());
    }
    Err(fault(
        format!("the {what} ends at {}", utc(end)),
        format!(
            "the end of an interval, in steps of {}, after {} and not after {}; {}",
            span(f64::from(product.length_s)),
            utc(request.interval),
            utc(last),
            open_intervals(context)
        ),
    ))
}

/// Start of the first interval that an order is not about.
pub(super) fn end(interval: i64, kind: Kind, length_s: u32) -> i64 {
    match kind {
        Kind::Window(of) => of.end,
        Kind::Call(Call { end: Some(end), .. }) => end,
        _ => interval.saturating_add(i64::from(length_s)),
    }
}

/// What is scheduled over several intervals is not ordered for in any of them besides.
pub(super) fn alone(request: &NewOrder, context: &Context<'_>) -> Result<(), Fault> {
    let unit = find_unit(request, context)?;
    let scheduled = |kind: Kind| matches!(kind, Kind::Storage(_) | Kind::Window(_));
    let active = |kind: Kind| scheduled(kind) || kind.is_energy();
    let own = request.terms.kind;
    if super::is_call(own) {
        return call::alone(request, context);
    }
    if !active(own) {
        return Ok(());
    }
    let length_s = context.product.length_s;
    let over = end(request.interval, own, length_s);
    let meets = |order: &&&Order| {
        let other = order.terms.kind;
        order.unit == unit.id
            && active(other)
            && (scheduled(own) || scheduled(other))
            && order.interval < over
            && request.interval < end(order.interval, other, length_s)
    };
    let Some(other) = context.standing.iter().find(meets) else {
        return Ok(());
    };
    Err(fault(
        format!(
            "order {} of unit {} is about the interval that starts at {}, and one of the two is a \
             storage or window order, which stands alone",
            other.id,
            unit.id,
            utc(other.interval.max(request.interval))
        ),
        "intervals for which the unit has no other order for energy, or that one cancelled first",
    ))
}
