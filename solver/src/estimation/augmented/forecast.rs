//! Where a fit begins that follows others: at the mean of what they found.
//!
//! From second to second the state of a network changes little, while the noise of its meters is drawn
//! anew. Of `k` states as noisy as the next one the mean is at a variance of `1 + 1/k` from it, the
//! last one at 2; what a step leaves goes with the square of the distance.

use num_complex::Complex64;

/// States that the mean is of at most: more are hardly nearer, and older.
const MOST: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Forecast<const P: usize> {
    mean: Vec<[Complex64; P]>,
    /// States it is of, [`MOST`] at most, of which the newer ones count more then.
    states: usize,
    /// Newton decrement, squared, that a fit begins with at the last state alone, as far as known.
    alone: f64,
}

impl<const P: usize> Forecast<P> {
    /// Nothing has been found yet, at `n` nodes.
    pub(super) fn new(n: usize) -> Self {
        Self {
            mean: vec![[Complex64::ZERO; P]; n],
            states: 0,
            alone: f64::INFINITY,
        }
    }

    /// What has been found tells nothing of what will be.
    pub(super) fn forget(&mut self) {
        self.states = 0;
    }

    /// Puts what is expected next into `u`, which is the last state.
    pub(super) fn expect(&self, u: &mut [[Complex64; P]]) {
        if self.states > 1 {
            u.copy_from_slice(&self.mean);
        }
    }

    /// Takes in a state that was found from what was expected, where the Newton decrement was this.
    /// When the last state alone would have been nearer, those before it are forgotten.
    pub(super) fn found(&mut self, u: &[[Complex64; P]], decrement: f64) {
        let squared = decrement * decrement;
        if self.states <= 1 {
            self.alone = squared;
        } else if squared > self.alone {
            self.states = 0;
        } else {
            self.alone = self.alone.min(2.0 * squared);
        }
        self.states = (self.states + 1).min(MOST);
        let part = 1.0 / self.states as f64;
        let mean = self.mean.as_flattened_mut().iter_mut();
        for (mean, u) in mean.zip(u.as_flattened()) {
            *mean += (u - *mean) * part;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Sum of the squares of the distances over the second half of a course of states, each found from what is
    /// expected; and from the last one.
    fn distances(state: impl Fn(usize, &mut StdRng) -> f64) -> (f64, f64) {
        let mut rng = StdRng::seed_from_u64(12);
        let mut forecast = Forecast::<1>::new(400);
        let mut u = vec![[Complex64::ONE]; 400];
        let (mut expected, mut alone) = (0.0, 0.0);
        for k in 0..40 {
            let next: Vec<_> = (0..400).map(|_| state(k, &mut rng)).collect();
            let squared = |u: &[[Complex64; 1]]| {
                let apart = u
                    .iter()
                    .zip(&next)
                    .map(|(u, next)| (u[0].re - next).powi(2));
                apart.sum::<f64>()
            };
            let of_last = squared(&u);
            forecast.expect(&mut u);
            let of_expected = squared(&u);
            if k >= 20 {
                alone += of_last;
                expected += of_expected;
            }
            for (u, next) in u.iter_mut().zip(&next) {
                u[0].re = *next;
            }
            forecast.found(&u, of_expected.sqrt());
        }
        (expected, alone)
    }

    /// Of noise around one state the mean of eight is at 9/16 of the last one's variance.
    #[test]
    fn noise_is_averaged() {
        let (expected, alone) = distances(|_, rng| 1.0 + rng.random_range(-0.01..0.01));
        assert!(
            (0.53..0.61).contains(&(expected / alone)),
            "{expected} {alone}"
        );
    }

    /// Where the state goes somewhere, its past is no better than where it is.
    #[test]
    fn a_course_is_followed() {
        let (expected, alone) = distances(|k, _| 1.0 + 0.01 * k as f64);
        assert!(expected < 2.0 * alone, "{expected} {alone}");
    }

    /// After a jump it begins anew.
    #[test]
    fn a_jump_is_not_averaged() {
        let noisy = |k: usize, rng: &mut StdRng| {
            f64::from(u8::from(k >= 30)) + rng.random_range(-0.01..0.01)
        };
        let (expected, alone) = distances(noisy);
        assert!(expected < alone + 0.01, "{expected} {alone}");
    }
}
