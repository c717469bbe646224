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
    let problem = |error: &str, message: String, accepted: String| Problem {
        error: error.to_owned(),
        message,
        accepted: Some(accepted),
    };
    let Value {
        meter,
        start,
        length_s,
        delivered_wh,
        ..
    } = value;
    if !register.meters.contains_key(meter) {
        return Err(problem(
            "unknown_meter",
            format!(
                "there is no meter `{}`",
                meter.chars().take(64).collect::<String>()
            ),
            "the name of a meter that is registered".to_owned(),
        ));
    }
    let whole = REGISTER_S.is_multiple_of(interval_s);
    if *length_s != interval_s && !(*length_s == REGISTER_S && whole) {
        return Err(problem(
            "length",
            format!("a value of {meter} is over {length_s} s"),
            match whole {
                true => format!("{interval_s} or {REGISTER_S} s"),
                false => format!("{interval_s} s"),
            },
        ));
    }
    if start.rem_euclid(i64::from(*length_s)) != 0 {
        return Err(problem(
            "start",
            format!("no {length_s} s begin at {}", rfc3339_s(*start)),
            format!("a multiple of {length_s} s since 1970"),
        ));
    }
    let end_us = start
        .saturating_add(i64::from(*length_s))
        .saturating_mul(US);
    if now_us.saturating_sub(METERED_US) < end_us {
        return Err(problem(
            "too_early",
            format!(
                "what {meter} counts from {} on is not over and read",
                rfc3339_s(*start)
            ),
            format!(
                "the same from {} on",
                rfc3339(end_us.saturating_add(METERED_US))
            ),
        ));
    }
    if delivered_wh.unsigned_abs() > MOST_WH.unsigned_abs() {
        return Err(problem(
            "energy",
            format!("{delivered_wh} Wh are more than any meter here counts"),
            format!("at most {MOST_WH} Wh in either direction"),
        ));
    }
    Ok(())
}
