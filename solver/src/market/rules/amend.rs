//! Replacing an order that stands.

use super::{Context, Rejection, checked, fault, reject};
use crate::market::{Direction, Kind, NewOrder, Order, utc::utc};

/// Decides on an order that replaces one which stands: same sender's id, unit, interval and
/// direction. It keeps its number, and so its place in time, where it asks for no more and at no
/// better price, step by step; else it takes the next number.
///
/// # Errors
/// The first rule that it breaks.
pub fn amend(request: &NewOrder, old: &Order, context: &Context<'_>) -> Result<Order, Rejection> {
    let others: Vec<&Order> = context
        .standing
        .iter()
        .copied()
        .filter(|o| o.id != old.id)
        .collect();
    let context = Context {
        standing: &others,
        ..*context
    };
    let same = request.client_id == old.client_id
        && request.participant == old.participant
        && request.unit.is_none_or(|unit| unit == old.unit)
        && request.interval == old.interval
        && request.direction == old.direction;
    let new = checked(request, &context)?;
    if !same || new.unit != old.unit {
        return Err(reject(
            "amend",
            fault(
                "another client id, participant, unit, interval or direction is another order",
                format!(
                    "client id {:?} of {:?} for unit {}, interval {}, as before",
                    old.client_id,
                    old.participant,
                    old.unit,
                    utc(old.interval)
                ),
            ),
        ));
    }
    let id = if keeps_its_place(&new, old) {
        old.id
    } else {
        new.id
    };
    Ok(Order { id, ..new })
}

/// Whether a new curve is nowhere better for the sender's chances than the old one.
fn keeps_its_place(new: &Order, old: &Order) -> bool {
    let rises = new.direction == Direction::Sell || new.terms.kind == Kind::Reactive;
    let mut steps = new.steps.iter().zip(&old.steps);
    new.terms == old.terms
        && new.steps.len() <= old.steps.len()
        && steps.all(|(step, before)| {
            step.quantity_w <= before.quantity_w
                && match rises {
                    true => step.price >= before.price,
                    false => step.price <= before.price,
                }
        })
}
