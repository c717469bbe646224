//! The timeline of a product: what phase an interval is in, decided by `now` alone, so that a
//! restart in any phase resumes where time has got to.
//!
//! ```text
//!  ... open ...| gate closed | cleared | delivering         | delivered    | settled
//!              gate          publish   start          start + length      settle
//! ```

use serde::{Deserialize, Serialize};

const US: i64 = 1_000_000;

/// A product: intervals of one length, and when each step of their life happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// Length of the interval, s. Intervals start at multiples of it since 1970.
    pub length_s: u32,
    /// The gate closes this long before the start, s.
    pub gate_lead_s: u32,
    /// The result is due this long before the start, s; not above `gate_lead_s`.
    pub publish_lead_s: u32,
    /// Meters have this long after the end, s.
    pub settle_delay_s: u32,
    /// How many intervals beyond the running one take orders.
    pub horizon: u32,
}

/// What is wrong with a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// No length.
    #[error("interval length is 0 s; give at least 1 s")]
    NoLength,
    /// Cleared before the gate.
    #[error("result is due {publish} s before the start, but the gate closes only {gate} s before")]
    PublishBeforeGate {
        /// `publish_lead_s`.
        publish: u32,
        /// `gate_lead_s`.
        gate: u32,
    },
    /// No interval is ever open.
    #[error(
        "no interval is ever open: the gate closes {gate} s before the start, but orders are taken only {horizon} intervals of {length} s ahead"
    )]
    NeverOpen {
        /// `gate_lead_s`.
        gate: u32,
        /// `horizon`.
        horizon: u32,
        /// `length_s`.
        length: u32,
    },
}

/// Phase of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Orders may be placed.
    Open,
    /// No more orders; clearing runs.
    GateClosed,
    /// The result is due; setpoints are prepared.
    Cleared,
    /// Energy is being delivered.
    Delivering,
    /// Delivery has ended; meters are awaited.
    Delivered,
    /// To be settled from what the meters have said.
    Settled,
}

impl Product {
    /// Checks that the figures make a timeline.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn validate(&self) -> Result<(), ProductError> {
        if self.length_s == 0 {
            return Err(ProductError::NoLength);
        }
        if self.publish_lead_s > self.gate_lead_s {
            return Err(ProductError::PublishBeforeGate {
                publish: self.publish_lead_s,
                gate: self.gate_lead_s,
            });
        }
        if u64::from(self.gate_lead_s) >= u64::from(self.horizon) * u64::from(self.length_s) {
            return Err(ProductError::NeverOpen {
                gate: self.gate_lead_s,
                horizon: self.horizon,
                length: self.length_s,
            });
        }
        Ok(())
    }

    /// Start of the interval that contains `now_us`.
    #[must_use]
    pub fn interval_of(&self, now_us: i64) -> i64 {
        let length = self.length();
        now_us.div_euclid(US).div_euclid(length) * length
    }

    /// Whether an interval of this product starts there.
    #[must_use]
    pub fn is_start(&self, start: i64) -> bool {
        start.rem_euclid(self.length()) == 0
    }

    /// When the gate closes, µs.
    #[must_use]
    pub fn gate_closure_us(&self, start: i64) -> i64 {
        at_us(start, -i64::from(self.gate_lead_s))
    }

    /// When the result is due, µs.
    #[must_use]
    pub fn publish_us(&self, start: i64) -> i64 {
        at_us(start, -i64::from(self.publish_lead_s))
    }

    /// When delivery begins, µs.
    #[must_use]
    pub fn start_us(&self, start: i64) -> i64 {
        at_us(start, 0)
    }

    /// When delivery ends, µs.
    #[must_use]
    pub fn end_us(&self, start: i64) -> i64 {
        at_us(start, self.length())
    }

    /// When settlement is due, µs.
    #[must_use]
    pub fn settle_us(&self, start: i64) -> i64 {
        at_us(start, self.length() + i64::from(self.settle_delay_s))
    }

    /// The phase of the interval starting at `start`. A moment belongs to the phase it begins.
    #[must_use]
    pub fn phase(&self, start: i64, now_us: i64) -> Phase {
        if now_us >= self.settle_us(start) {
            Phase::Settled
        } else if now_us >= self.end_us(start) {
            Phase::Delivered
        } else if now_us >= self.start_us(start) {
            Phase::Delivering
        } else if now_us >= self.publish_us(start) {
            Phase::Cleared
        } else if now_us >= self.gate_closure_us(start) {
            Phase::GateClosed
        } else {
            Phase::Open
        }
    }

    /// Starts of the intervals that take orders now, earliest first.
    pub fn open_intervals(&self, now_us: i64) -> impl Iterator<Item = i64> + use<> {
        let product = *self;
        let current = self.interval_of(now_us);
        (1..=i64::from(self.horizon))
            .map(move |k| current + k * product.length())
            .filter(move |&start| product.phase(start, now_us) == Phase::Open)
    }

    /// Start of the last interval that takes orders now.
    #[must_use]
    pub fn last_open(&self, now_us: i64) -> i64 {
        self.interval_of(now_us) + i64::from(self.horizon) * self.length()
    }

    /// The next moment after `now_us` at which some interval changes phase, µs.
    #[must_use]
    pub fn next_change_us(&self, now_us: i64) -> i64 {
        let length = self.length() * US;
        // Every kind of change recurs once per length, so one candidate each is enough.
        let start = self.interval_of(now_us);
        [
            self.gate_closure_us(start),
            self.publish_us(start),
            self.start_us(start),
            self.settle_us(start),
        ]
        .into_iter()
        .map(|change| now_us + length - (now_us - change).rem_euclid(length))
        .min()
        .unwrap_or(now_us + length)
    }

    /// Length, at least one second, so that an unvalidated product cannot divide by nothing.
    fn length(&self) -> i64 {
        i64::from(self.length_s.max(1))
    }
}

/// A time far outside any calendar saturates: it is then simply long past or far ahead.
fn at_us(start: i64, offset_s: i64) -> i64 {
    start.saturating_add(offset_s).saturating_mul(US)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: Product = Product {
        length_s: 10,
        gate_lead_s: 3,
        publish_lead_s: 1,
        settle_delay_s: 2,
        horizon: 6,
    };

    #[test]
    fn phases_follow_each_other() {
        let start = 1_800_000_000;
        let at = |offset_us: i64| DEMO.phase(start, start * US + offset_us);
        assert_eq!(at(-3_000_001), Phase::Open);
        assert_eq!(at(-3_000_000), Phase::GateClosed);
        assert_eq!(at(-1_000_000), Phase::Cleared);
        assert_eq!(at(0), Phase::Delivering);
        assert_eq!(at(9_999_999), Phase::Delivering);
        assert_eq!(at(10_000_000), Phase::Delivered);
        assert_eq!(at(12_000_000), Phase::Settled);
    }

    #[test]
    fn open_intervals_end_at_the_horizon() {
        let now = 1_800_000_008 * US;
        let open: Vec<i64> = DEMO.open_intervals(now).collect();
        // The gate of ...010 closed at ...007.
        assert_eq!(open.first(), Some(&1_800_000_020));
        assert_eq!(open.last(), Some(&DEMO.last_open(now)));
        assert_eq!(open.len(), 5);
        assert_eq!(DEMO.open_intervals(1_800_000_001 * US).count(), 6);
    }

    #[test]
    fn next_change_is_the_nearest_and_strictly_later() {
        let s = 1_800_000_000 * US;
        // within ten seconds: start 0, settle of the one before 2, gate 7, publish 9
        for (now, next) in [(0, 2), (1, 2), (2, 7), (6, 7), (7, 9), (9, 10)] {
            assert_eq!(DEMO.next_change_us(s + now * US), s + next * US, "at {now}");
        }
        assert_eq!(DEMO.next_change_us(s - 1), s);
    }

    #[test]
    fn times_before_1970_and_out_of_range_do_not_overflow() {
        assert_eq!(DEMO.interval_of(-1), -10);
        assert_eq!(DEMO.phase(i64::MAX, 0), Phase::Open);
        assert_eq!(DEMO.phase(i64::MIN, 0), Phase::Settled);
    }

    #[test]
    fn an_impossible_product_is_named() {
        assert_eq!(
            Product {
                length_s: 0,
                ..DEMO
            }
            .validate(),
            Err(ProductError::NoLength)
        );
        assert!(
            Product {
                publish_lead_s: 4,
                ..DEMO
            }
            .validate()
            .is_err()
        );
        assert!(Product { horizon: 0, ..DEMO }.validate().is_err());
        assert_eq!(DEMO.validate(), Ok(()));
    }
}
