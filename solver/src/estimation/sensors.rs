//! From the sensors of a network's JSON to measurements, and what of these has changed; as power-grid-model takes them
//! (documentation, "Components", sensors):
//!
//! - `power_sigma` is shared evenly by active and reactive power unless both have their own;
//! - by phase, a symmetrical sensor says the same of each phase, see [`Phase::Sym`];
//! - for the positive sequence, a sensor by phase says the sum of its powers, the mean of its
//!   voltages, or the positive sequence of its phasors. The mean is as exact as one of them, but
//!   a current is by the square root of three more exact. Here a current phasor against the
//!   local voltage counts by its mean as well, where power-grid-model turns it as if its phases
//!   were a third of a turn apart;
//! - several voltage phasors at a node are averaged as phasors: each is measured by its parts along
//!   and across its direction instead of by magnitude and angle.
//!
//! What has no value, or no standard deviation, or an infinite one, is no measurement.

use std::collections::BTreeMap;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_2, TAU};

use num_complex::Complex64;

use super::{AngleFrame, Form, Kind, Measurement, Origin, Phase, Winding};
use crate::network::{
    AsymCurrentSensor, AsymPowerSensor, AsymVoltageSensor, Id, Network, Revision, Side,
    SymCurrentSensor, SymPowerSensor, SymVoltageSensor,
};

/// What meters say, again and again: it is known when anything but values has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// With the values they had when anything else of them changed last.
    measurements: Vec<Measurement>,
    /// Values of now: all that a tracker reads every second.
    values: Vec<f64>,
    sensor: Vec<Id>,
    /// How many are of now, while they are being taken.
    taken: usize,
    revision: Revision,
}

/// A value with its standard deviation, for all phases or each.
type Reading = (Phase, f64, f64);

/// A phasor: magnitude, angle and their standard deviations.
type Phasor = (Phase, [f64; 2], [f64; 2]);

impl Readings {
    /// The readings of a network's sensors for an estimation of form `F`.
    #[must_use]
    pub fn new<F: Form>(network: &Network) -> Self {
        let mut readings = Self::default();
        readings.refresh::<F>(network);
        readings
    }

    /// These measurements, of no sensor in particular.
    #[must_use]
    pub fn of(measurements: &[Measurement]) -> Self {
        let mut readings = Self::default();
        readings.take(measurements);
        readings
    }

    /// The measurements.
    #[must_use]
    pub fn measurements(&self) -> Vec<Measurement> {
        let now = self.measurements.iter().zip(&self.values);
        now.map(|(m, &value)| Measurement { value, ..m.clone() })
            .collect()
    }

    /// What a measurement is of.
    ///
    /// # Panics
    /// There is none of this index.
    #[must_use]
    pub fn kind(&self, index: usize) -> Kind {
        self.measurements[index].kind
    }

    /// The value of each measurement.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The sensor of each measurement, where they are of a network's.
    #[must_use]
    pub fn sensors(&self) -> &[Id] {
        &self.sensor
    }

    /// The same as long as nothing but values change, and all that take part go on doing so.
    pub(super) fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Makes these the readings.
    pub fn take(&mut self, measurements: &[Measurement]) {
        self.taken = 0;
        for m in measurements {
            self.take_one(m.clone());
        }
        self.taken();
        self.sensor.clear();
    }

    /// Makes these the readings of the network's sensors as they are now.
    pub fn refresh<F: Form>(&mut self, network: &Network) {
        self.taken = 0;
        self.voltages::<F>(network);
        for s in &network.sym_power_sensor {
            self.sym_power(s);
        }
        for s in &network.asym_power_sensor {
            self.asym_power::<F>(s);
        }
        for s in &network.sym_current_sensor {
            self.sym_current(s);
        }
        for s in &network.asym_current_sensor {
            self.asym_current::<F>(s);
        }
        self.taken();
    }

    #[inline]
    fn push(&mut self, sensor: Id, kind: Kind, (phase, value, sigma): Reading) {
        if sigma.is_finite() && !value.is_nan() {
            match self.sensor.get_mut(self.taken) {
                Some(own) => *own = sensor,
                None => self.sensor.push(sensor),
            }
            self.take_one(Measurement {
                kind,
                phase,
                value,
                sigma,
                origin: Origin::Metered,
            });
        }
    }

    /// The next measurement of now.
    #[inline]
    fn take_one(&mut self, m: Measurement) {
        let own = self.measurements.get_mut(self.taken);
        match own.zip(self.values.get_mut(self.taken)) {
            Some((own, value)) if own.is_alike(*value, &m) => *value = m.value,
            Some((own, value)) => {
                (*value, *own) = (m.value, m);
                self.revision = Revision::default();
            }
            None => {
                self.values.push(m.value);
                self.measurements.push(m);
                self.revision = Revision::default();
            }
        }
        self.taken += 1;
    }

    /// There are no more.
    fn taken(&mut self) {
        if self.taken < self.measurements.len() {
            self.measurements.truncate(self.taken);
            self.values.truncate(self.taken);
            self.revision = Revision::default();
        }
        self.sensor.truncate(self.taken);
    }

    fn voltages<F: Form>(&mut self, network: &Network) {
        let mut phasors: BTreeMap<Id, usize> = BTreeMap::new();
        let sym = network.sym_voltage_sensor.iter();
        let asym = network.asym_voltage_sensor.iter();
        let measured = (sym
            .filter(|s| s.u_angle_measured.is_some())
            .map(|s| s.measured_object))
        .chain(
            asym.filter(|s| s.u_angle_measured.is_some())
                .map(|s| s.measured_object),
        );
        for node in measured {
            *phasors.entry(node).or_default() += 1;
        }
        // Only angles are measured against the rated voltage.
        let with_angle = network.node.iter().filter(|n| phasors.contains_key(&n.id));
        let rated: BTreeMap<Id, f64> = with_angle.map(|n| (n.id, n.u_rated)).collect();
        let of = |node: Id| {
            let several = phasors.get(&node).is_some_and(|&count| count > 1);
            (node, rated.get(&node).copied().unwrap_or(f64::NAN), several)
        };
        for s in &network.sym_voltage_sensor {
            self.sym_voltage(s, of(s.measured_object));
        }
        for s in &network.asym_voltage_sensor {
            self.asym_voltage::<F>(s, of(s.measured_object));
        }
    }

    fn sym_voltage(&mut self, s: &SymVoltageSensor, node: (Id, f64, bool)) {
        if let (Some(u), Some(sigma)) = (s.u_measured, s.u_sigma) {
            let (value, angle) = ((Phase::Sym, u, sigma), s.u_angle_measured);
            self.voltage(s.id, node, node.1, value, angle);
        }
    }

    fn asym_voltage<F: Form>(&mut self, s: &AsymVoltageSensor, node: (Id, f64, bool)) {
        let (Some(u), Some(sigma)) = (s.u_measured, s.u_sigma) else {
            return;
        };
        let line_to_line = 3.0_f64.sqrt();
        if F::PHASES == 3 {
            for (k, phase) in PHASES.into_iter().enumerate() {
                let angle = s.u_angle_measured.map(|angle| angle[k]);
                let value = (phase, u[k], sigma);
                self.voltage(s.id, node, node.1 / line_to_line, value, angle);
            }
            return;
        }
        let (u, angle) = combined_voltage(u, s.u_angle_measured);
        let value = (Phase::Sym, u * line_to_line, sigma * line_to_line);
        self.voltage(s.id, node, node.1, value, angle);
    }

    /// `rated` is in the unit of the value.
    fn voltage(
        &mut self,
        sensor: Id,
        (node, _, several): (Id, f64, bool),
        rated: f64,
        value: Reading,
        angle: Option<f64>,
    ) {
        let (phase, u, sigma) = value;
        match angle {
            Some(angle) if several => {
                for (direction, value) in [(angle, u), (angle + FRAC_PI_2, 0.0)] {
                    let kind = Kind::VoltageAlong { node, direction };
                    self.push(sensor, kind, (phase, value, sigma));
                }
            }
            _ => {
                self.push(sensor, Kind::Voltage { node }, value);
                if let Some(angle) = angle {
                    let kind = Kind::VoltageAngle { node };
                    self.push(sensor, kind, (phase, angle, sigma / rated));
                }
            }
        }
    }

    fn sym_power(&mut self, s: &SymPowerSensor) {
        let Some([p, q]) = power_kinds(s.measured_object, s.measured_terminal_type) else {
            return;
        };
        let sigmas = match (s.p_sigma, s.q_sigma) {
            (Some(p), Some(q)) => Some((p, q)),
            _ => s
                .power_sigma
                .map(|s| (s * FRAC_1_SQRT_2, s * FRAC_1_SQRT_2)),
        };
        if let Some((p_sigma, q_sigma)) = sigmas {
            for (kind, value, sigma) in [(p, s.p_measured, p_sigma), (q, s.q_measured, q_sigma)] {
                if let Some(value) = value {
                    self.push(s.id, kind, (Phase::Sym, value, sigma));
                }
            }
        }
    }

    fn asym_power<F: Form>(&mut self, s: &AsymPowerSensor) {
        let Some([p, q]) = power_kinds(s.measured_object, s.measured_terminal_type) else {
            return;
        };
        let sigmas = match (s.p_sigma, s.q_sigma) {
            (Some(p), Some(q)) => Some((p, q)),
            _ => s
                .power_sigma
                .map(|s| ([s * FRAC_1_SQRT_2; 3], [s * FRAC_1_SQRT_2; 3])),
        };
        let Some((p_sigma, q_sigma)) = sigmas else {
            return;
        };
        for (kind, values, sigmas) in [(p, s.p_measured, p_sigma), (q, s.q_measured, q_sigma)] {
            let Some(values) = values else { continue };
            if F::PHASES == 3 {
                for (k, phase) in PHASES.into_iter().enumerate() {
                    self.push(s.id, kind, (phase, values[k], sigmas[k]));
                }
            } else {
                let sigma = (3.0 * sigmas.iter().map(|s| s * s).sum::<f64>()).sqrt();
                self.push(s.id, kind, (Phase::Sym, values.iter().sum(), sigma));
            }
        }
    }

    fn sym_current(&mut self, s: &SymCurrentSensor) {
        if let (Some(i), Some(angle), Some(i_sigma), Some(angle_sigma)) =
            (s.i_measured, s.i_angle_measured, s.i_sigma, s.i_angle_sigma)
        {
            let phasor = (Phase::Sym, [i, angle], [i_sigma, angle_sigma]);
            let terminal = (s.measured_object, s.measured_terminal_type);
            self.current(s.id, terminal, frame(s.angle_measurement_type), phasor);
        }
    }

    fn asym_current<F: Form>(&mut self, s: &AsymCurrentSensor) {
        let (Some(i), Some(angle), Some(i_sigma), Some(angle_sigma)) =
            (s.i_measured, s.i_angle_measured, s.i_sigma, s.i_angle_sigma)
        else {
            return;
        };
        let terminal = (s.measured_object, s.measured_terminal_type);
        let frame = frame(s.angle_measurement_type);
        if F::PHASES == 3 {
            for (k, phase) in PHASES.into_iter().enumerate() {
                let phasor = (phase, [i[k], angle[k]], [i_sigma, angle_sigma]);
                self.current(s.id, terminal, frame, phasor);
            }
            return;
        }
        let phasor = combined_current(i, angle, frame == AngleFrame::Global);
        let shared = 3.0_f64.sqrt();
        let sigmas = [i_sigma / shared, angle_sigma / shared];
        let phasor = (Phase::Sym, [phasor.norm(), phasor.arg()], sigmas);
        self.current(s.id, terminal, frame, phasor);
    }

    fn current(
        &mut self,
        sensor: Id,
        (branch, terminal): (Id, i8),
        frame: AngleFrame,
        (phase, [i, angle], [i_sigma, angle_sigma]): Phasor,
    ) {
        for (direction, value, sigma) in along_and_across((i, i_sigma), (angle, angle_sigma)) {
            let kind = match end(terminal) {
                Some(End::Branch(side)) => Kind::CurrentAlong {
                    branch,
                    side,
                    frame,
                    direction,
                },
                Some(End::Winding(winding)) => Kind::WindingCurrentAlong {
                    transformer: branch,
                    winding,
                    frame,
                    direction,
                },
                None => return,
            };
            self.push(sensor, kind, (phase, value, sigma));
        }
    }
}

/// The phases in the order of power-grid-model's arrays.
const PHASES: [Phase; 3] = [Phase::A, Phase::B, Phase::C];

/// Direction, value and standard deviation of a phasor's parts along and across its measured
/// direction, from magnitude and angle with theirs.
pub(super) fn along_and_across(
    (magnitude, sigma): (f64, f64),
    (angle, angle_sigma): (f64, f64),
) -> [(f64, f64, f64); 2] {
    let across = magnitude.hypot(sigma) * angle_sigma;
    [(angle, magnitude, sigma), (angle + FRAC_PI_2, 0.0, across)]
}

/// Positive sequence of phasors.
fn positive_sequence(magnitude: [f64; 3], angle: [f64; 3]) -> Complex64 {
    let turned = |k: usize| Complex64::from_polar(magnitude[k], angle[k] + TAU / 3.0 * k as f64);
    (turned(0) + turned(1) + turned(2)) / 3.0
}

/// Magnitude and angle of the positive sequence that voltages by phase say, line to neutral.
pub(super) fn combined_voltage(u: [f64; 3], angle: Option<[f64; 3]>) -> (f64, Option<f64>) {
    match angle {
        None => (u.iter().sum::<f64>() / 3.0, None),
        Some(angle) => {
            let u = positive_sequence(u, angle);
            (u.norm(), Some(u.arg()))
        }
    }
}

/// The positive sequence that currents by phase say.
pub(super) fn combined_current(i: [f64; 3], angle: [f64; 3], global: bool) -> Complex64 {
    if global {
        return positive_sequence(i, angle);
    }
    let sum: Complex64 = (0..3).map(|k| Complex64::from_polar(i[k], angle[k])).sum();
    sum / 3.0
}

/// `angle_measurement_type`.
fn frame(code: i8) -> AngleFrame {
    if code == 0 {
        AngleFrame::Local
    } else {
        AngleFrame::Global
    }
}

/// An end of a branch or three-winding transformer.
pub(super) enum End {
    Branch(Side),
    Winding(Winding),
}

/// The end a `measured_terminal_type` names, if it is one.
pub(super) fn end(terminal: i8) -> Option<End> {
    Some(match terminal {
        0 => End::Branch(Side::From),
        1 => End::Branch(Side::To),
        6 => End::Winding(Winding::One),
        7 => End::Winding(Winding::Two),
        8 => End::Winding(Winding::Three),
        _ => return None,
    })
}

/// Active and reactive power at a terminal.
fn power_kinds(id: Id, terminal: i8) -> Option<[Kind; 2]> {
    if let Some(end) = end(terminal) {
        return Some(match end {
            End::Branch(side) => [
                Kind::BranchP { branch: id, side },
                Kind::BranchQ { branch: id, side },
            ],
            End::Winding(winding) => [
                Kind::WindingP {
                    transformer: id,
                    winding,
                },
                Kind::WindingQ {
                    transformer: id,
                    winding,
                },
            ],
        });
    }
    Some(match terminal {
        2 => [Kind::SourceP { source: id }, Kind::SourceQ { source: id }],
        3 => [Kind::ShuntP { shunt: id }, Kind::ShuntQ { shunt: id }],
        4 | 5 => [
            Kind::ApplianceP { appliance: id },
            Kind::ApplianceQ { appliance: id },
        ],
        9 => [Kind::NodeP { node: id }, Kind::NodeQ { node: id }],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values alone are no change; a meter that falls silent, another accuracy, one meter less are.
    #[test]
    fn readings_know_what_has_changed() {
        let meter = |node, value, sigma| Measurement {
            kind: Kind::Voltage { node },
            phase: Phase::A,
            value,
            sigma,
            origin: Origin::Metered,
        };
        let first = [meter(1, 230.0, 1.0), meter(2, 229.0, 1.0)];
        let mut readings = Readings::of(&first);
        let mut changes = |now: &[Measurement]| {
            let before = readings.revision().clone();
            readings.take(now);
            let values: Vec<f64> = now.iter().map(|m| m.value).collect();
            assert_eq!(format!("{:?}", readings.values()), format!("{values:?}"));
            !readings.revision().is(&before)
        };
        assert!(!changes(&[meter(1, 231.0, 1.0), meter(2, 228.0, 1.0)]));
        assert!(changes(&[meter(1, f64::NAN, 1.0), meter(2, 228.0, 1.0)]));
        assert!(changes(&[meter(1, 230.0, 1.0), meter(2, 228.0, 1.0)]));
        assert!(changes(&[meter(1, 230.0, 1.0), meter(2, 228.0, 2.0)]));
        assert!(changes(&[meter(1, 230.0, 1.0)]));
        assert!(!changes(&[meter(1, 229.0, 1.0)]));
    }
}
