//! Meters: the truth, noise of the meter's accuracy class, and whatever is wrong with it.
//!
//! Registers of energy integrate power over real time: compressing a day moves the profiles and
//! the charge of batteries, not what a meter counts in a market interval.

use serde::Deserialize;

use crate::{faults::Distortion, noise::Noise};

/// Standard deviation of a meter's readings: `floor + pct / 100 * |value|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Part of the reading, percent.
    pub pct: f64,
    /// Part independent of it, in the reading's unit.
    pub floor: f64,
}

impl Accuracy {
    /// Standard deviation at `value`.
    #[must_use]
    pub fn sigma(self, value: f64) -> f64 {
        self.floor + self.pct / 100.0 * value.abs()
    }
}

/// A reading, `value * 10^exponent`; the exponent is not 0 under a scale fault only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Value before the scale fault.
    pub value: f64,
    /// Exponent of ten by which it is wrong.
    pub exponent: i32,
}

impl Reading {
    /// What a client reads.
    #[must_use]
    pub fn shown(self) -> f64 {
        self.value * 10f64.powi(self.exponent)
    }
}

/// The meter of one quantity.
#[derive(Clone, Debug)]
pub struct Meter {
    accuracy: Accuracy,
    noise: Noise,
    last: Option<Reading>,
}

impl Meter {
    /// A meter whose noise is `noise`.
    #[must_use]
    pub fn new(accuracy: Accuracy, noise: Noise) -> Self {
        Self {
            accuracy,
            noise,
            last: None,
        }
    }

    /// The reading in step number `step`.
    pub fn read(&mut self, step: u64, truth: f64, distortion: Distortion) -> Reading {
        if let (Some(last), true) = (self.last, distortion.frozen) {
            return last;
        }
        let sigma = self.accuracy.sigma(truth);
        let value = truth + sigma * (self.noise.normal(step) + distortion.sigmas);
        let reading = Reading {
            value: if distortion.flipped { -value } else { value },
            exponent: distortion.exponent,
        };
        self.last = Some(reading);
        reading
    }
}

/// The two registers of an energy meter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energy {
    /// Counted while power was positive, Wh.
    pub in_wh: f64,
    /// Counted while power was negative, Wh.
    pub out_wh: f64,
}

impl Energy {
    /// `p_w` for `dt_s`.
    pub fn count(&mut self, p_w: f64, dt_s: f64) {
        let wh = p_w * dt_s / 3600.0;
        if wh > 0.0 {
            self.in_wh += wh;
        } else {
            self.out_wh -= wh;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: Accuracy = Accuracy {
        pct: 0.3,
        floor: 1000.0,
    };

    fn meter() -> Meter {
        Meter::new(CLASS, Noise::new(1).stream("rtu8/bay1_p"))
    }

    #[test]
    fn readings_scatter_by_the_accuracy_class() {
        let mut m = meter();
        let truth = -1e6;
        let count = 20_000;
        let square: f64 = (0..count)
            .map(|k| m.read(k, truth, Distortion::default()).shown() - truth)
            .map(|error| error * error)
            .sum();
        let sigma = (square / count as f64).sqrt();
        // 1000 W + 0.3 % of 1 MW; the estimate itself scatters by 0.5 %.
        assert!((sigma / 4000.0 - 1.0).abs() < 0.025, "{sigma}");
    }

    #[test]
    fn every_distortion_does_what_it_says() {
        let plain = meter().read(5, 2e6, Distortion::default()).shown();
        let with = |distortion| meter().read(5, 2e6, distortion).shown();
        let flipped = with(Distortion {
            flipped: true,
            ..Distortion::default()
        });
        assert_eq!(flipped, -plain);
        let scaled = with(Distortion {
            exponent: -1,
            ..Distortion::default()
        });
        assert!((scaled * 10.0 - plain).abs() < 1e-6);
        let spike = with(Distortion {
            sigmas: 10.0,
            ..Distortion::default()
        });
        assert!((spike - plain - 10.0 * 7000.0).abs() < 1e-6);
        let mut m = meter();
        let first = m.read(5, 2e6, Distortion::default());
        let frozen = Distortion {
            frozen: true,
            ..Distortion::default()
        };
        assert_eq!(m.read(6, 3e6, frozen), first);
        assert_ne!(m.read(7, 3e6, Distortion::default()), first);
    }

    #[test]
    fn energy_counts_each_direction_for_itself() {
        let mut energy = Energy::default();
        for _ in 0..40 {
            energy.count(360e3, 0.25);
        }
        energy.count(-720e3, 5.0);
        assert!((energy.in_wh - 1000.0).abs() < 1e-9);
        assert!((energy.out_wh - 1000.0).abs() < 1e-9);
    }
}
