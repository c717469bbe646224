//! Quantiles of the chi-square distribution, which the normal distribution's follow from.
//!
//! Regularised incomplete gamma function by its series (DLMF 8.11.4) or continued fraction
//! (DLMF 8.9.2, modified Lentz), log-gamma by Lanczos' approximation; the quantile by bisection,
//! which cannot fail on a monotone function.

/// Log-gamma, Lanczos with g = 7, n = 9; relative error below 1e-14 for `x >= 0.5`.
fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = (1..9).fold(C[0], |sum, k| sum + C[k] / (x + k as f64));
    let t = x + G + 0.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// Probability that a chi-square variable exceeds `x`: the upper regularised incomplete gamma
/// function Q(k/2, x/2).
fn chi_square_above(x: f64, degrees_of_freedom: usize) -> f64 {
    const ROUNDS: usize = 10_000;
    let (a, x) = (degrees_of_freedom as f64 / 2.0, x / 2.0);
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..ROUNDS {
            term *= x / (a + n as f64);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        return 1.0 - front * sum;
    }
    let mut b = x + 1.0 - a;
    let mut c = f64::MAX;
    let mut d = 1.0 / b;
    let mut h = d;
    for i in 1..ROUNDS {
        let an = -(i as f64) * (i as f64 - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        h *= c * d;
        if (c * d - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    front * h
}

/// Value a chi-square variable exceeds with probability `tail`; zero without degrees of freedom.
pub(super) fn chi_square_quantile(tail: f64, degrees_of_freedom: usize) -> f64 {
    if degrees_of_freedom == 0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, degrees_of_freedom as f64 + 10.0);
    while chi_square_above(high, degrees_of_freedom) > tail && high < 1e12 {
        low = high;
        high *= 2.0;
    }
    while high - low > 1e-12 * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if chi_square_above(middle, degrees_of_freedom) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Bound that the largest of `count` standard normal magnitudes exceeds with a probability of at
/// most `tail` (Bonferroni).
pub(super) fn largest_normal_quantile(tail: f64, count: usize) -> f64 {
    chi_square_quantile(tail / count.max(1) as f64, 1).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abramowitz and Stegun, table 26.8, upper tail probabilities.
    #[test]
    fn chi_square_table() {
        for (tail, degrees, expected) in [
            (0.01, 1, 6.634_90),
            (0.05, 1, 3.841_46),
            (0.05, 5, 11.070_5),
            (0.01, 10, 23.209_3),
            (0.01, 30, 50.892_2),
            (0.99, 30, 14.953_5),
            (0.01, 100, 135.807),
        ] {
            let found = chi_square_quantile(tail, degrees);
            assert!(
                (found / expected - 1.0).abs() < 1e-5,
                "{tail} {degrees}: {found} {expected}"
            );
        }
        assert_eq!(chi_square_quantile(0.01, 0), 0.0);
    }

    /// Abramowitz and Stegun, table 26.5: two-sided normal quantiles.
    #[test]
    fn normal_table() {
        assert!((largest_normal_quantile(0.01, 1) - 2.575_829_3).abs() < 1e-6);
        assert!((largest_normal_quantile(0.01, 10) - 3.290_526_7).abs() < 1e-6);
        assert!((largest_normal_quantile(0.0, 0)).is_finite());
    }
}
