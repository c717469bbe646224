//! The market's timeline: length of an interval, when gates close, how far ahead orders are taken.

use std::time::Duration;

use super::read::Table;

/// Unless the site file says otherwise, s.
const INTERVAL_S: i64 = 900;
/// From an interval's end to its settlement, unless the site file says otherwise, and at least, s: the last
/// registers are read then.
const SETTLE_S: i64 = 2;
/// And at most, in intervals: until it is settled, all of an interval is kept at hand, and read again by a restart (`cycle::RECENT`).
const SETTLE_INTERVALS: i64 = 80;
/// Intervals that take orders, unless the site file says otherwise.
const HORIZON: i64 = 6;
/// Convex programmes for each second that the gate is closed, unless the site file says otherwise:
/// of the order of a third of that second on a feeder of some ten nodes.
const PROGRAMMES_PER_S: i64 = 30;
/// And at most, since nothing else is done meanwhile.
const PROGRAMMES: i64 = 1000;

/// See the module; what is missing was wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timeline {
    pub(super) interval_s: Option<i64>,
    pub(super) gate_s: Option<i64>,
    pub(super) horizon: Option<i64>,
    pub(super) look_ahead_programmes: Option<i64>,
    pub(super) settle_s: Option<i64>,
}

/// Reads it, and says what does not fit together.
pub(super) fn read(table: &Table<'_, '_>, period: Option<Duration>) -> Timeline {
    let or = |key, range, otherwise: Option<i64>| match table.has(key) {
        true => table.integer(key, range),
        false => otherwise,
    };
    let interval_s = or("interval_s", 5..=3600, Some(INTERVAL_S));
    let gate_s = or("gate_s", 1..=3600, interval_s.map(usual_gate_s));
    let longest = SETTLE_INTERVALS * interval_s.unwrap_or(INTERVAL_S);
    let usual = gate_s.map(|gate| (PROGRAMMES_PER_S * gate).min(PROGRAMMES));
    if let (Some(interval), Some(gate)) = (interval_s, gate_s) {
        if 86_400 % interval != 0 {
            table.problem(
                "interval_s",
                format!("{interval} s do not divide a day of 86400 s"),
            );
        }
        if gate >= interval {
            table.problem(
                "gate_s",
                format!("must be below interval_s, which is {interval}"),
            );
        }
    }
    if let (Some(gate), Some(period)) = (gate_s, period)
        && gate as f64 <= period.as_secs_f64()
    {
        table.problem(
            "gate_s",
            format!(
                "must be above estimation.period_s, which is {}: a step has to come between gate closure and delivery",
                period.as_secs_f64()
            ),
        );
    }
    Timeline {
        interval_s,
        gate_s,
        horizon: or("horizon", 1..=96, Some(HORIZON)),
        look_ahead_programmes: or("look_ahead_programmes", 1..=1_000_000, usual),
        settle_s: or("settle_s", SETTLE_S..=longest, Some(SETTLE_S)),
    }
}

/// 5 min before a quarter of an hour, 60 s before 5 min.
fn usual_gate_s(interval_s: i64) -> i64 {
    if interval_s >= INTERVAL_S {
        300
    } else {
        (interval_s / 5).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_close_5_min_before_a_quarter_of_an_hour_and_60_s_before_5_min() {
        for (interval_s, gate_s) in [(900, 300), (1800, 300), (300, 60), (60, 12), (5, 1)] {
            assert_eq!(usual_gate_s(interval_s), gate_s, "{interval_s}");
        }
    }
}
