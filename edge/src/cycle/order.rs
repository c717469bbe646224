//! An order as it comes over the API, as the market's rules take it.

use solver::market::{Call, Direction, Kind, NewOrder, PPM, Price, Step, Storage, Terms, Window};

use crate::{
    clock::parse_rfc3339_s,
    web::api::{self, OrderKind, Problem},
};

fn problem(error: &str, message: String, accepted: &str) -> Problem {
    Problem {
        error: error.to_owned(),
        message,
        accepted: Some(accepted.to_owned()),
    }
}

/// An order as the market's rules take it.
///
/// # Errors
/// What cannot even be read; all else is the rules' to say.
pub(super) fn new_order(order: api::NewOrder) -> Result<NewOrder, Problem> {
    let direction = match order.direction.as_str() {
        "sell" => Direction::Sell,
        "buy" => Direction::Buy,
        other => {
            let message = format!("`{other}` is no direction");
            return Err(problem("direction", message, "sell or buy"));
        }
    };
    let steps = order.steps.iter().map(|step| {
        Ok(Step {
            quantity_w: step.quantity_w,
            price: price(step.price_per_mwh)?,
        })
    });
    Ok(NewOrder {
        client_id: order.client_id,
        participant: order.participant,
        node: order.node,
        unit: order.unit,
        interval: moment("interval", &order.interval, "start")?,
        direction,
        steps: steps.collect::<Result<_, Problem>>()?,
        terms: Terms {
            must: order.must,
            counterparty: order.counterparty,
            kind: kind(&order.kind)?,
        },
    })
}

fn moment(error: &str, text: &str, what: &str) -> Result<i64, Problem> {
    parse_rfc3339_s(text).ok_or_else(|| {
        let message = format!("`{text}` is no {what} of an interval");
        problem(
            error,
            message,
            "a moment in RFC 3339, e.g. 2027-01-15T08:00:00Z",
        )
    })
}

/// The bounds proper are the rules' to say; this keeps the conversion exact.
fn price(per_mwh: f64) -> Result<Price, Problem> {
    let micro = per_mwh * 1e6;
    if micro.is_nan() || micro.abs() >= 1e15 {
        let message = format!("{per_mwh} per MWh is no price");
        return Err(problem(
            "price_bounds",
            message,
            "a price within the market's bounds",
        ));
    }
    Ok(Price(micro.round() as i64))
}

fn kind(of: &OrderKind) -> Result<Kind, Problem> {
    Ok(match of {
        OrderKind::Energy => Kind::Energy,
        OrderKind::Reactive => Kind::Reactive,
        OrderKind::Storage {
            energy_min_wh,
            energy_max_wh,
            charge_efficiency,
            discharge_efficiency,
            wear_per_mwh,
            end_value_per_mwh,
        } => Kind::Storage(Storage {
            // What it holds is the battery's own to say when the gate closes.
            energy_wh: 0,
            energy_min_wh: *energy_min_wh,
            energy_max_wh: *energy_max_wh,
            charge_ppm: ppm(*charge_efficiency),
            discharge_ppm: ppm(*discharge_efficiency),
            wear: price(*wear_per_mwh)?,
            end_value: price(*end_value_per_mwh)?,
        }),
        OrderKind::Window { end, energy_wh } => Kind::Window(Window {
            end: moment("kind", end, "end")?,
            energy_wh: *energy_wh,
        }),
        OrderKind::Call {
            p_min_w,
            p_max_w,
            compensation_per_mwh,
            end,
        } => Kind::Call(Call {
            p_min_w: *p_min_w,
            p_max_w: *p_max_w,
            compensation: price(*compensation_per_mwh)?,
            end: match end {
                Some(end) => Some(moment("kind", end, "end")?),
                None => None,
            },
        }),
    })
}

/// The cast saturates, and takes what is not a number as nothing: the rules refuse either.
fn ppm(share: f64) -> u32 {
    (share * f64::from(PPM)).round() as u32
}
