//! The angle of a phasor: what `atan2` does, without its care for what a voltage never is, and so
//! short that the angles of a node's phases are computed beside each other.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI, SQRT_2};

use num_complex::Complex64;

/// Tangent of an eighth of half a turn: beyond it, an angle is taken from pi / 4.
const EIGHTH: f64 = SQRT_2 - 1.0;

/// `(t - atan t) / t³` in powers of `t²`, for `|t|` below 7 / 16 (Sun Microsystems, fdlibm,
/// `s_atan.c`).
const ODD: [f64; 11] = [
    0.333_333_333_333_329_3,
    -0.199_999_999_998_764_83,
    0.142_857_142_725_034_66,
    -0.111_111_104_054_623_56,
    0.090_908_871_334_365_07,
    -0.076_918_762_050_448_3,
    0.066_610_731_373_875_31,
    -0.058_335_701_337_905_735,
    0.049_768_779_946_159_324,
    -0.036_531_572_744_216_916,
    0.016_285_820_115_365_782,
];

/// Angle, rad, from -pi to pi, to 4e-16; 0 of nothing.
#[inline]
pub(super) fn angle(x: Complex64) -> f64 {
    let (re, im) = (x.re.abs(), x.im.abs());
    let steep = im > re;
    let (most, least) = if steep { (im, re) } else { (re, im) };
    if most == 0.0 {
        return 0.0;
    }
    let turned = least > EIGHTH * most;
    let (over, under) = if turned {
        (least - most, least + most)
    } else {
        (least, most)
    };
    let t = over / under;
    let square = t * t;
    let fourth = square * square;
    // Even and odd powers side by side: half as long a chain of sums.
    let series = |first: usize| {
        let terms = ODD[first..].iter().step_by(2).rev();
        terms.fold(0.0, |sum, c| sum * fourth + c)
    };
    let part = t - t * square * (series(0) + square * series(1));
    let from_axis = if turned { FRAC_PI_4 + part } else { part };
    let acute = if steep {
        FRAC_PI_2 - from_axis
    } else {
        from_axis
    };
    let positive = if x.re < 0.0 { PI - acute } else { acute };
    positive.copysign(x.im)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_that_of_the_standard_library() {
        let mut worst: f64 = 0.0;
        for k in -20_000_i32..=20_000 {
            let x = Complex64::from_polar(0.3 + 1e-4 * f64::from(k.abs()), f64::from(k) * 1.57e-4);
            worst = worst.max((angle(x) - x.arg()).abs());
        }
        assert!(worst < 8e-16, "{worst}");
    }

    #[test]
    fn on_the_axes_it_is_exact() {
        let c = Complex64::new;
        assert_eq!(angle(c(0.0, 0.0)), 0.0);
        assert_eq!(angle(c(2.0, 0.0)), 0.0);
        assert_eq!(angle(c(0.0, 2.0)), FRAC_PI_2);
        assert_eq!(angle(c(0.0, -2.0)), -FRAC_PI_2);
        assert_eq!(angle(c(-2.0, 0.0)), PI);
        assert_eq!(angle(c(1.0, 1.0)), FRAC_PI_4);
        assert!(angle(c(f64::NAN, 1.0)).is_nan());
        assert!(angle(c(1.0, f64::NAN)).is_nan());
    }
}
