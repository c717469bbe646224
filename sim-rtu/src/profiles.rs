//! What load, sun and wind do over a day: factors by the hour, with slow noise from a seed. Pure:
//! the same time gives the same factor, however one got there.

use serde::Deserialize;

use crate::noise::Noise;

/// Seconds of a day.
pub const DAY_S: f64 = 86_400.0;

/// The scenario's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Time of day at the start, s after midnight.
    pub start_s: f64,
    /// Simulated seconds per real second; 0 holds the time of day.
    pub speedup: f64,
}

impl Clock {
    /// Time of day, s after midnight, `elapsed_s` real seconds after the start.
    #[must_use]
    pub fn time_of_day_s(&self, elapsed_s: f64) -> f64 {
        (self.start_s + elapsed_s * self.speedup).rem_euclid(DAY_S)
    }

    /// How much faster than real time batteries fill and noise moves: the speed-up, and real time
    /// while the time of day is held.
    #[must_use]
    pub fn pace(&self) -> f64 {
        if self.speedup > 0.0 {
            self.speedup
        } else {
            1.0
        }
    }

    /// A time of day as `HH:MM:SS`.
    #[must_use]
    pub fn format(time_of_day_s: f64) -> String {
        let s = time_of_day_s as u32;
        format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }

    /// Seconds after midnight of `HH:MM`.
    #[must_use]
    pub fn parse(text: &str) -> Option<f64> {
        let (hours, minutes) = text.split_once(':')?;
        let hours: u32 = hours.parse().ok().filter(|h| *h < 24)?;
        let minutes: u32 = minutes.parse().ok().filter(|m| *m < 60)?;
        Some(f64::from(hours * 3600 + minutes * 60))
    }
}

/// A factor over the day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name that loads and devices refer to.
    pub name: String,
    /// Hour of the day and factor, hours ascending; straight lines between, across midnight too.
    pub hours: Vec<[f64; 2]>,
    /// Standard deviation of the noise, relative to the factor.
    #[serde(default)]
    pub noise: f64,
    /// How long the noise keeps its value, simulated seconds.
    #[serde(default = "Profile::default_noise_time_s")]
    pub noise_time_s: f64,
}

impl Profile {
    fn default_noise_time_s() -> f64 {
        60.0
    }

    /// The factor, for somebody whose noise is `noise`, never negative.
    #[must_use]
    pub fn factor(&self, clock: &Clock, elapsed_s: f64, noise: Noise) -> f64 {
        let smooth = self.at_hour(clock.time_of_day_s(elapsed_s) / 3600.0);
        if self.noise == 0.0 {
            return smooth;
        }
        let slow = noise.slow(elapsed_s * clock.pace(), self.noise_time_s);
        (smooth * (1.0 + self.noise * slow)).max(0.0)
    }

    fn at_hour(&self, hour: f64) -> f64 {
        let (Some(first), Some(last)) = (self.hours.first(), self.hours.last()) else {
            return 0.0;
        };
        let next = self.hours.partition_point(|[h, _]| *h <= hour);
        let [h0, y0] = match next.checked_sub(1) {
            Some(k) => self.hours[k],
            None => [last[0] - 24.0, last[1]],
        };
        let [h1, y1] = match self.hours.get(next) {
            Some(point) => *point,
            None => [first[0] + 24.0, first[1]],
        };
        if h1 <= h0 {
            return y0;
        }
        y0 + (y1 - y0) * (hour - h0) / (h1 - h0)
    }

    /// What is wrong with it, one sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.hours.is_empty() {
            problems.push("hours has no point".to_owned());
        }
        for [hour, factor] in &self.hours {
            if !(0.0..24.0).contains(hour) {
                problems.push(format!("hour {hour} is not in 0..24"));
            }
            if !factor.is_finite() || *factor < 0.0 {
                problems.push(format!(
                    "factor {factor} at hour {hour} is not a number >= 0"
                ));
            }
        }
        if !self.hours.is_sorted_by(|a, b| a[0] < b[0]) {
            problems.push("hours do not ascend".to_owned());
        }
        if !(0.0..1.0).contains(&self.noise) {
            problems.push(format!("noise {} is not in 0..1", self.noise));
        }
        if !self.noise_time_s.is_finite() || self.noise_time_s <= 0.0 {
            problems.push(format!("noise_time_s {} is not above 0", self.noise_time_s));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(hours: &[[f64; 2]], noise: f64) -> Profile {
        Profile {
            name: "p".into(),
            hours: hours.to_vec(),
            noise,
            noise_time_s: 60.0,
        }
    }

    const HELD: Clock = Clock {
        start_s: 12.0 * 3600.0,
        speedup: 0.0,
    };

    #[test]
    fn factors_lie_on_straight_lines_and_wrap_at_midnight() {
        let p = profile(&[[6.0, 0.0], [12.0, 1.0], [18.0, 0.0]], 0.0);
        for (hour, factor) in [(0.0, 0.0), (6.0, 0.0), (9.0, 0.5), (12.0, 1.0), (15.0, 0.5)] {
            assert!((p.at_hour(hour) - factor).abs() < 1e-12, "hour {hour}");
        }
        let p = profile(&[[1.0, 0.0], [23.0, 1.0]], 0.0);
        assert!((p.at_hour(0.0) - 0.5).abs() < 1e-12);
        assert!((p.at_hour(23.5) - 0.75).abs() < 1e-12);
        assert_eq!(profile(&[[7.0, 0.4]], 0.0).at_hour(3.0), 0.4);
    }

    #[test]
    fn a_day_in_24_minutes() {
        let clock = Clock {
            start_s: 11.5 * 3600.0,
            speedup: 60.0,
        };
        assert_eq!(Clock::format(clock.time_of_day_s(0.0)), "11:30:00");
        assert_eq!(Clock::format(clock.time_of_day_s(30.0)), "12:00:00");
        assert_eq!(Clock::format(clock.time_of_day_s(24.0 * 60.0)), "11:30:00");
        assert_eq!(Clock::parse("11:30"), Some(clock.start_s));
        assert_eq!(Clock::parse("24:00"), None);
    }

    #[test]
    fn noise_depends_on_seed_and_time_only() {
        let p = profile(&[[0.0, 0.3]], 0.05);
        let at = |seed, t| p.factor(&HELD, t, Noise::new(seed));
        let forwards: Vec<f64> = (0..50).map(|k| at(1, f64::from(k))).collect();
        let mut backwards: Vec<f64> = (0..50).rev().map(|k| at(1, f64::from(k))).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
        assert_ne!(at(1, 5.0), at(2, 5.0));
        assert!(forwards.iter().all(|f| (f - 0.3).abs() < 0.3 * 0.05 * 6.0));
    }

    #[test]
    fn every_problem_of_a_profile_is_named() {
        let p = profile(&[[25.0, -1.0], [3.0, f64::NAN]], 2.0);
        assert_eq!(p.problems().len(), 5, "{:?}", p.problems());
    }
}
