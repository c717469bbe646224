//! Randomness without state: a draw is a hash of what it is for, so that a run with the same seed
//! draws the same whatever the order of its calls (counter-based generators: Salmon et al., 2011).

/// Where draws come from; cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    seed: u64,
}

impl Noise {
    /// Draws of a scenario with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed: mix(seed) }
    }

    /// Draws that have nothing to do with those of another `name`.
    #[must_use]
    pub fn stream(self, name: &str) -> Self {
        let hash = |seed, byte| mix(seed ^ u64::from(byte));
        Self {
            seed: name.bytes().fold(mix(self.seed), hash),
        }
    }

    /// The `index`-th draw, standard normal (Box and Muller, 1958).
    #[must_use]
    pub fn normal(self, index: u64) -> f64 {
        let first = mix(self.seed ^ mix(index));
        let radius = (-2.0 * unit(first).ln()).sqrt();
        radius * (std::f64::consts::TAU * unit(mix(first))).cos()
    }

    /// A standard normal signal that keeps its value for about `period_s`: draws at multiples of
    /// the period, joined so that the variance stays one in between.
    #[must_use]
    pub fn slow(self, time_s: f64, period_s: f64) -> f64 {
        let steps = (time_s / period_s).max(0.0);
        let knot = steps.floor();
        let angle = (steps - knot) * std::f64::consts::FRAC_PI_2;
        let index = knot as u64;
        self.normal(index) * angle.cos() + self.normal(index.wrapping_add(1)) * angle.sin()
    }
}

/// Finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// In (0, 1): never zero, whose logarithm is infinite.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_standard_normal() {
        let noise = Noise::new(7).stream("u");
        let count = 40_000;
        let draws: Vec<f64> = (0..count).map(|i| noise.normal(i)).collect();
        let mean = draws.iter().sum::<f64>() / count as f64;
        let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count as f64;
        // Five standard errors of the mean and of the variance.
        assert!(mean.abs() < 5.0 / 200.0, "mean {mean}");
        assert!(
            (variance - 1.0).abs() < 5.0 * (2.0 / count as f64).sqrt(),
            "variance {variance}"
        );
    }

    #[test]
    fn same_seed_and_stream_draw_the_same_and_others_do_not() {
        let draw = |seed, name| Noise::new(seed).stream(name).normal(3);
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn slow_noise_is_continuous() {
        let noise = Noise::new(3);
        for k in 0..1000 {
            let t = f64::from(k) * 0.25;
            let step = noise.slow(t + 0.001, 10.0) - noise.slow(t, 10.0);
            assert!(step.abs() < 0.01, "jump of {step} at {t} s");
        }
    }
}
