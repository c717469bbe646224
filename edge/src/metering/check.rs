//! Which values of meters are taken.

use super::Value;
use crate::{
    clock::{US, rfc3339, rfc3339_s},
    participants::Register,
    web::api::Problem,
};

/// Length of a meter's register, s, where the market's intervals are not longer.
const REGISTER_S: u32 = 900;
/// What the appliance has metered is on record by then after an interval's end, µs; before that nothing can take
/// its place.
const METERED_US: i64 = 5 * US;
/// Most energy of a value, Wh: keeps every sum far from the end of its range.
const MOST_WH: i64 = 1_000_000_000_000;

/// Length of a register, s, if nothing is said of it: 15 minutes, or the market's interval where that is
/// longer.
#[must_use]
pub fn register_s(interval_s: u32) -> u32 {
    REGISTER_S.max(interval_s)
}

/// Whether a value may be taken, where the market's intervals are `interval_s` long.
///
/// # Errors
/// Why not, and what would be accepted.
pub fn check(
    value: &Value,
    register: &Register,
    interval_s: u32,
    now_us: i64,
) -> Result<(), Problem> {
    known(value, register)?;
    length(value, interval_s)?;
    start(value)?;
    over(value, now_us)?;
    energy(value)
}

fn problem(error: &str, message: String, accepted: String) -> Result<(), Problem> {
    Err(Problem {
        error: error.to_owned(),
        message,
        accepted: Some(accepted),
    })
}

fn known(Value { meter, .. }: &Value, register: &Register) -> Result<(), Problem> {
    if register.meters.contains_key(meter) {
        return Ok(());
    }
    let shown: String = meter.chars().take(64).collect();
    problem(
        "unknown_meter",
        format!("there is no meter `{shown}`"),
        "the name of a meter that is registered".to_owned(),
    )
}

fn length(value: &Value, interval_s: u32) -> Result<(), Problem> {
    let length_s = value.length_s;
    let whole = REGISTER_S.is_multiple_of(interval_s);
    if length_s == interval_s || length_s == REGISTER_S && whole {
        return Ok(());
    }
    problem(
        "length",
        format!("a value of {} is over {length_s} s", value.meter),
        match whole {
            true => format!("{interval_s} or {REGISTER_S} s"),
            false => format!("{interval_s} s"),
        },
    )
}

fn start(value: &Value) -> Result<(), Problem> {
    let length_s = value.length_s;
    if value.start.rem_euclid(i64::from(length_s)) == 0 {
        return Ok(());
    }
    problem(
        "start",
        format!("no {length_s} s begin at {}", rfc3339_s(value.start)),
        format!("a multiple of {length_s} s since 1970"),
    )
}

fn over(value: &Value, now_us: i64) -> Result<(), Problem> {
    let end = value.start.saturating_add(i64::from(value.length_s));
    let metered_us = end.saturating_mul(US).saturating_add(METERED_US);
    if now_us >= metered_us {
        return Ok(());
    }
    let from = rfc3339_s(value.start);
    problem(
        "too_early",
        format!(
            "what {} counts from {from} on is not over and read",
            value.meter
        ),
        format!("the same from {} on", rfc3339(metered_us)),
    )
}

fn energy(value: &Value) -> Result<(), Problem> {
    let wh = value.delivered_wh;
    if wh.unsigned_abs() <= MOST_WH.unsigned_abs() {
        return Ok(());
    }
    problem(
        "energy",
        format!("{wh} Wh are more than any meter here counts"),
        format!("at most {MOST_WH} Wh in either direction"),
    )
}
