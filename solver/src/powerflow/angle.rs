//! The angle of a phasor: what `atan2` does, without its care for what a voltage never is, and so
//! short that the angles of a node's phases are computed beside each other.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use num_complex::Complex64;

/// Tangent of an eighth of half a turn: beyond it, an angle is taken from pi / 4.
const EIGHTH: f64 = 0.414_213_562_373_095_03;

/// `(t - atan t) / t³` in powers of `t²`, for `|t|` below 7 / 16 (Sun Microsystems, fdlibm,
/// `s_atan.c`).
const ODD: [f64; 11] = [
    3.333_333_333_333_293_180_27e-1,
    -1.999_999_999_987_648_324_76e-1,
    1.428_571_427_250_346_637_11e-1,
    -1.111_111_040_546_235_578_80e-1,
    9.090_887_133_436_506_561_96e-2,
    -7.691_876_205_044_829_994_95e-2,
    6.661_073_137_387_531_206_69e-2,
    -5.833_570_133_790_573_486_45e-2,
    4.976_877_994_615_932_360_17e-2,
    -3.653_157_274_421_691_552_70e-2,
    1.628_582_011_536_578_236_23e-2,
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
        for k in -20_000..=20_000 {
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
