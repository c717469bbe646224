//! Two-port admittances of the branches and source admittances, per unit.
//!
//! The pi model and its one-side-open reduction, the transformer's tap, clock and magnetisation
//! are those of power-grid-model's documentation, "Components" (line, transformer, source).

use std::f64::consts::PI;

use num_complex::Complex64;

use super::{
    AsymLine, Connection, GenericBranch, Line, S_BASE_VA, Shunt, Source, StepVoltageRegulator,
    Transformer,
};

/// Angle of one hour on the clock, rad.
const HOUR: f64 = PI / 6.0;

/// `[yff, yft, ytf, ytt]`.
pub(super) type TwoPort = [Complex64; 4];

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// Base admittance at a rated voltage, S.
pub(super) fn y_base(u_rated: f64) -> f64 {
    S_BASE_VA / (u_rated * u_rated)
}

/// A branch before its switches: a pi model behind an ideal transformer at the from side; values
/// refer to the to side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pi {
    pub(super) y_series: Complex64,
    pub(super) y_shunt: Complex64,
    pub(super) ratio: Complex64,
}

const ONE: Complex64 = Complex64::new(1.0, 0.0);

/// Admittance of a link, pu: power-grid-model's, so that flows in meshes of links are the same.
const Y_LINK: Complex64 = Complex64::new(1e8, 1e8);

/// `f` is the system frequency, Hz.
pub(super) fn line(l: &Line, u_rated: f64, f: f64) -> Pi {
    let base = y_base(u_rated);
    Pi {
        y_series: Complex64::new(l.r1, l.x1).inv() / base,
        y_shunt: Complex64::new(l.tan1, 1.0) * (2.0 * PI * f * l.c1 / base),
        ratio: ONE,
    }
}

pub(super) fn line_zero_sequence(l: &Line, u_rated: f64, f: f64) -> Pi {
    let base = y_base(u_rated);
    let z = Complex64::new(l.r0.unwrap_or(l.r1), l.x0.unwrap_or(l.x1));
    let c = l.c0.unwrap_or(l.c1);
    let y_shunt = Complex64::new(l.tan0.unwrap_or(0.0), 1.0);
    Pi {
        y_series: z.inv() / base,
        y_shunt: y_shunt * (2.0 * PI * f * c / base),
        ratio: ONE,
    }
}

pub(super) fn link() -> Pi {
    Pi {
        y_series: Y_LINK,
        y_shunt: ZERO,
        ratio: ONE,
    }
}

pub(super) fn asym_line(l: &AsymLine, u_rated: f64, f: f64) -> Pi {
    let base = y_base(u_rated);
    let y_series = l.series_admittance_ohm(l.phases.mask());
    Pi {
        y_series: y_series.map_or(ZERO, |y| y.positive_sequence() / base),
        y_shunt: l.shunt_admittance_ohm(f).positive_sequence() / base,
        ratio: ONE,
    }
}

/// Its windings' own, as if each had a phase to ground.
pub(super) fn step_voltage_regulator(r: &StepVoltageRegulator, u_rated: f64) -> Pi {
    let z = Complex64::new(r.r, r.x);
    let y = if z == ZERO {
        Y_LINK
    } else {
        z.inv() / y_base(u_rated)
    };
    // The impedance is at the source side, the pi model's at the load side.
    let ratio = r.ratio();
    Pi {
        y_series: y / (ratio * ratio),
        y_shunt: ZERO,
        ratio: Complex64::new(1.0 / ratio, 0.0),
    }
}

/// The impedances refer to the to side.
pub(super) fn generic_branch(b: &GenericBranch, u_to: f64) -> Pi {
    let base = y_base(u_to);
    Pi {
        y_series: Complex64::new(b.r1, b.x1).inv() / base,
        y_shunt: Complex64::new(b.g1, b.b1) / base,
        ratio: Complex64::from_polar(b.k.unwrap_or(1.0), b.theta.unwrap_or(0.0)),
    }
}

/// The impedances refer to the to side; `u_from`, `u_to` are the nodes' rated voltages. Negative
/// short-circuit voltages, which arms of a three-winding transformer can have, are capacitive.
pub(super) fn transformer(t: &Transformer, u_from: f64, u_to: f64) -> Pi {
    let base = y_base(u_to);
    let (u1, u2) = tapped_voltages(t);
    let ratio = (u1 / u2) / (u_from / u_to);
    let tap = (t.tap_pos, t.tap_nom, t.tap_min, t.tap_max);
    let uk = at_tap(tap, t.uk, t.uk_min, t.uk_max);
    let pk = at_tap(tap, t.pk, t.pk_min, t.pk_max);
    let z_rated = u2 * u2 / t.sn;
    let r = pk / t.sn * z_rated;
    let x = leg(uk * z_rated, r).copysign(uk);
    Pi {
        y_series: Complex64::new(r, x).inv() / base,
        y_shunt: magnetisation(t.i0, t.p0, t.sn, u2) / base,
        ratio: Complex64::from_polar(ratio, f64::from(t.clock) * HOUR),
    }
}

/// Admittance of the core, S at the to side.
fn magnetisation(i0: f64, p0: f64, sn: f64, u2: f64) -> Complex64 {
    let g = p0 / (u2 * u2);
    Complex64::new(g, -leg(i0 * sn / (u2 * u2), g))
}

/// Zero-sequence admittance of the core, pu; without data of its own, that of the positive
/// sequence, its loss raised by that of the larger current.
pub(super) fn zero_sequence_magnetisation(t: &Transformer, u_to: f64) -> Complex64 {
    let i0 = t.i0_zero_sequence.unwrap_or(t.i0);
    let more = t.pk * (i0 * i0 - t.i0 * t.i0);
    let p0 = t.p0_zero_sequence.unwrap_or(t.p0 + more);
    magnetisation(i0, p0, t.sn, tapped_voltages(t).1) / y_base(u_to)
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

/// Linear between the nominal tap and the end tap on whose side the position is; the tap changer
/// is `(pos, nom, min, max)`.
pub(super) fn at_tap(
    (pos, nom, min, max): (i8, i8, i8, i8),
    nominal: f64,
    at_min: Option<f64>,
    at_max: Option<f64>,
) -> f64 {
    let (end, value) = if (nom.min(max)..=nom.max(max)).contains(&pos) {
        (max, at_max.unwrap_or(nominal))
    } else {
        (min, at_min.unwrap_or(nominal))
    };
    if end == nom {
        return nominal;
    }
    let steps = f64::from(pos) - f64::from(nom);
    nominal + steps * (value - nominal) / (f64::from(end) - f64::from(nom))
}

impl Pi {
    /// The two-port with these sides closed.
    pub(super) fn two_port(&self, from_closed: bool, to_closed: bool) -> TwoPort {
        pi_model(
            self.y_series,
            self.y_shunt,
            self.ratio,
            from_closed,
            to_closed,
        )
    }
}

pub(super) fn pi_model(
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
    let legs = match s.connection {
        Connection::Wye => 1.0,
        // A leg of a delta is a third of the wye's impedance.
        Connection::Delta => 3.0,
    };
    Complex64::new(s.g1, s.b1) * legs / y_base(u_rated)
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
    use crate::network::PhaseSet;

    fn open_line(from_closed: bool, to_closed: bool) -> TwoPort {
        let l = Line {
            id: 1,
            from_node: 2,
            to_node: 3,
            from_status: 1,
            to_status: 1,
            r1: 0.11,
            x1: 0.12,
            c1: 4.1e-5,
            tan1: 0.1,
            r0: None,
            x0: None,
            c0: None,
            tan0: None,
            i_n: None,
            phases: PhaseSet::ABC,
        };
        line(&l, 10e3, 50.0).two_port(from_closed, to_closed)
    }

    /// Eliminating the open end of the closed line by hand: `yff - yft ytf / ytt`.
    #[test]
    fn line_open_at_one_side_is_the_reduced_closed_line() {
        let [yff, yft, ytf, ytt] = open_line(true, true);
        let [open, a, b, c] = open_line(true, false);
        assert!((open - (yff - yft * ytf / ytt)).norm() < 1e-12 * yff.norm());
        assert_eq!([a, b, c], [ZERO; 3]);
        let [a, b, c, open] = open_line(false, true);
        assert!((open - (ytt - yft * ytf / yff)).norm() < 1e-12 * ytt.norm());
        assert_eq!([a, b, c], [ZERO; 3]);
        assert_eq!(open_line(false, false), [ZERO; 4]);
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
