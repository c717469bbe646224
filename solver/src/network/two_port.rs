//! Two-port admittances of the branches and source admittances, per unit.
//!
//! The pi model and its one-side-open reduction, the transformer's tap, clock and magnetisation
//! are those of power-grid-model's documentation, "Components" (line, transformer, source).

use std::f64::consts::PI;

use num_complex::Complex64;

use super::{FREQUENCY_HZ, Line, S_BASE_VA, Shunt, Source, Transformer};

/// Angle of one hour on the clock, rad.
const HOUR: f64 = PI / 6.0;

/// `[yff, yft, ytf, ytt]`.
pub(super) type TwoPort = [Complex64; 4];

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// Base admittance at a rated voltage, S.
fn y_base(u_rated: f64) -> f64 {
    S_BASE_VA / (u_rated * u_rated)
}

pub(super) fn line(l: &Line, u_rated: f64) -> TwoPort {
    let base = y_base(u_rated);
    let y_series = Complex64::new(l.r1, l.x1).inv() / base;
    let y_shunt = Complex64::new(l.tan1, 1.0) * (2.0 * PI * FREQUENCY_HZ * l.c1 / base);
    pi_model(
        y_series,
        y_shunt,
        Complex64::new(1.0, 0.0),
        l.from_status != 0,
        l.to_status != 0,
    )
}

/// The impedances refer to the to side; `u_from`, `u_to` are the nodes' rated voltages.
pub(super) fn transformer(t: &Transformer, u_from: f64, u_to: f64) -> TwoPort {
    let base = y_base(u_to);
    let (u1, u2) = tapped_voltages(t);
    let ratio = (u1 / u2) / (u_from / u_to);
    let uk = at_tap(t, t.uk, t.uk_min, t.uk_max);
    let pk = at_tap(t, t.pk, t.pk_min, t.pk_max);
    let z_rated = u2 * u2 / t.sn;
    let r = pk / t.sn * z_rated;
    let x = leg(uk * z_rated, r);
    let g = t.p0 / (u2 * u2);
    let b = leg(t.i0 * t.sn / (u2 * u2), g);
    pi_model(
        Complex64::new(r, x).inv() / base,
        Complex64::new(g, -b) / base,
        Complex64::from_polar(ratio, f64::from(t.clock) * HOUR),
        t.from_status != 0,
        t.to_status != 0,
    )
}

/// The other leg of a right triangle; 0 where rounding makes the leg longer than the hypotenuse.
fn leg(hypotenuse: f64, other: f64) -> f64 {
    (hypotenuse * hypotenuse - other * other).max(0.0).sqrt()
}

fn tapped_voltages(t: &Transformer) -> (f64, f64) {
    let direction = if t.tap_max > t.tap_min { 1.0 } else { -1.0 };
    let change = direction * (f64::from(t.tap_pos) - f64::from(t.tap_nom)) * t.tap_size;
    match t.tap_side {
        0 => (t.u1 + change, t.u2),
        _ => (t.u1, t.u2 + change),
    }
}

/// Linear between the nominal tap and the end tap on whose side the position is.
fn at_tap(t: &Transformer, nominal: f64, at_min: Option<f64>, at_max: Option<f64>) -> f64 {
    let (low, high) = (t.tap_nom.min(t.tap_max), t.tap_nom.max(t.tap_max));
    let (end, value) = if (low..=high).contains(&t.tap_pos) {
        (t.tap_max, at_max.unwrap_or(nominal))
    } else {
        (t.tap_min, at_min.unwrap_or(nominal))
    };
    if end == t.tap_nom {
        return nominal;
    }
    let steps = f64::from(t.tap_pos) - f64::from(t.tap_nom);
    nominal + steps * (value - nominal) / (f64::from(end) - f64::from(t.tap_nom))
}

fn pi_model(
    y_series: Complex64,
    y_shunt: Complex64,
    ratio: Complex64,
    from_closed: bool,
    to_closed: bool,
) -> TwoPort {
    let tap_sqr = ratio.norm_sqr();
    match (from_closed, to_closed) {
        (true, true) => {
            let ytt = y_series + 0.5 * y_shunt;
            [
                ytt / tap_sqr,
                -y_series / ratio.conj(),
                -y_series / ratio,
                ytt,
            ]
        }
        (false, false) => [ZERO; 4],
        // Kron reduction of the open end: half the shunt here, the other half behind the series.
        (from, _) => {
            let y_open = if y_shunt == ZERO {
                ZERO
            } else {
                0.5 * y_shunt + (y_series.inv() + 2.0 * y_shunt.inv()).inv()
            };
            if from {
                [y_open / tap_sqr, ZERO, ZERO, ZERO]
            } else {
                [ZERO, ZERO, ZERO, y_open]
            }
        }
    }
}

/// Angle by which a transformer's to side lags its from side, rad.
pub(super) fn clock_lag(t: &Transformer) -> f64 {
    f64::from(t.clock % 12) * HOUR
}

pub(super) fn shunt(s: &Shunt, u_rated: f64) -> Complex64 {
    if s.status == 0 {
        return ZERO;
    }
    Complex64::new(s.g1, s.b1) / y_base(u_rated)
}

pub(super) fn source_admittance(s: &Source) -> Complex64 {
    let z = S_BASE_VA / s.sk;
    let x = z / (s.rx_ratio * s.rx_ratio + 1.0).sqrt();
    Complex64::new(x * s.rx_ratio, x).inv()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::SQRT_2;

    use super::*;

    fn open_line(from_status: i8, to_status: i8) -> Line {
        Line {
            id: 1,
            from_node: 2,
            to_node: 3,
            from_status,
            to_status,
            r1: 0.11,
            x1: 0.12,
            c1: 4.1e-5,
            tan1: 0.1,
            r0: None,
            x0: None,
            c0: None,
            tan0: None,
            i_n: None,
        }
    }

    /// Eliminating the open end of the closed line by hand: `yff - yft ytf / ytt`.
    #[test]
    fn line_open_at_one_side_is_the_reduced_closed_line() {
        let [yff, yft, ytf, ytt] = line(&open_line(1, 1), 10e3);
        let [open, a, b, c] = line(&open_line(1, 0), 10e3);
        assert!((open - (yff - yft * ytf / ytt)).norm() < 1e-12 * yff.norm());
        assert_eq!([a, b, c], [ZERO; 3]);
        let [a, b, c, open] = line(&open_line(0, 1), 10e3);
        assert!((open - (ytt - yft * ytf / yff)).norm() < 1e-12 * ytt.norm());
        assert_eq!([a, b, c], [ZERO; 3]);
        assert_eq!(line(&open_line(0, 0), 10e3), [ZERO; 4]);
    }

    #[test]
    fn source_admittance_is_the_short_circuit_power() {
        let s = Source {
            id: 1,
            node: 2,
            status: 1,
            u_ref: 1.0,
            u_ref_angle: 0.0,
            sk: 100e6,
            rx_ratio: 1.0,
            z01_ratio: None,
        };
        let y = source_admittance(&s);
        assert!((y.norm() - 100.0).abs() < 1e-12);
        assert!((y.re - 100.0 / SQRT_2).abs() < 1e-12 && (y.im + 100.0 / SQRT_2).abs() < 1e-12);
    }
}
