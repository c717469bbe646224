//! An estimate as power-grid-model's `sym_output` and `asym_output` data sets, residuals of the
//! sensors included. What is not observable is not a number, which its JSON writes as null.
//!
//! A sensor's residual is measured minus estimated; zero where what it measures is not energised.
//! A load's or generator's sensor counts as energised with its node. As in power-grid-model a
//! symmetrical sensor's residuals by phase are of equal powers and magnitudes in each phase, but
//! of one and the same voltage angle.

use num_complex::Complex64;
use serde::Serialize;

use super::sensors::{End, combined_current, combined_voltage, end};
use super::{Asym, AsymEstimate, EndEstimate, Estimate, Form, Quantity, Sym, Winding};
use crate::network::{Element, Grid, Id, PhaseGrid, Side};
use crate::powerflow::{ApplianceOutput, AsymOutput, AsymSolution, Output, Solution, SymOutput};

/// The symmetric data set.
pub type SymEstimateOutput = EstimateOutput<Sym>;

/// The asymmetric data set.
pub type AsymEstimateOutput = EstimateOutput<Asym>;

/// The data set, one table per component.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(bound = "F::Of<f64>: Serialize")]
pub struct EstimateOutput<F: Form> {
    /// What a power flow puts out too.
    #[serde(flatten)]
    pub components: Output<F::Of<f64>>,
    /// Symmetrical voltage sensors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sym_voltage_sensor: Vec<VoltageSensorOutput<F::Of<f64>>>,
    /// Voltage sensors by phase.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asym_voltage_sensor: Vec<VoltageSensorOutput<F::Of<f64>>>,
    /// Symmetrical power sensors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sym_power_sensor: Vec<PowerSensorOutput<F::Of<f64>>>,
    /// Power sensors by phase.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asym_power_sensor: Vec<PowerSensorOutput<F::Of<f64>>>,
    /// Symmetrical current sensors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sym_current_sensor: Vec<CurrentSensorOutput<F::Of<f64>>>,
    /// Current sensors by phase.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asym_current_sensor: Vec<CurrentSensorOutput<F::Of<f64>>>,
}

/// How a voltage sensor fits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VoltageSensorOutput<V> {
    /// Sensor.
    pub id: Id,
    /// 1: its node is connected to a source.
    pub energized: i8,
    /// Magnitude measured minus estimated, V: line to line; by phase, line to neutral.
    pub u_residual: V,
    /// Angle measured minus estimated, rad; not a number where none is measured.
    pub u_angle_residual: V,
}

/// How a power sensor fits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PowerSensorOutput<V> {
    /// Sensor.
    pub id: Id,
    /// 1: what it measures is connected to a source.
    pub energized: i8,
    /// Active power measured minus estimated, W.
    pub p_residual: V,
    /// Reactive power measured minus estimated, var.
    pub q_residual: V,
}

/// How a current sensor fits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurrentSensorOutput<V> {
    /// Sensor.
    pub id: Id,
    /// 1: what it measures is connected to a source.
    pub energized: i8,
    /// Magnitude measured minus estimated, A.
    pub i_residual: V,
    /// Angle measured minus estimated, rad.
    pub i_angle_residual: V,
}

impl SymEstimateOutput {
    /// The data set of an estimate of this grid.
    ///
    /// # Panics
    /// When the estimate is of another grid.
    #[must_use]
    pub fn new(grid: &Grid, estimate: &Estimate) -> Self {
        let solution = Solution {
            u: known_voltages::<Sym>(estimate),
            sources: vec![Complex64::ZERO; grid.sources.len()],
            appliances: vec![Complex64::ZERO; grid.appliances.len()],
            regulators: Vec::new(),
            iterations: estimate.iterations,
        };
        Self::of(grid, estimate, SymOutput::new(grid, &solution))
    }

    /// As power-grid-model's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        document("sym_output", self)
    }
}

impl AsymEstimateOutput {
    /// The data set of an estimate of this grid; `phases` is what it has by phase, such as
    /// [`AsymEstimator::phases`](super::AsymEstimator::phases).
    ///
    /// # Panics
    /// When the estimate is of another grid.
    #[must_use]
    pub fn new(grid: &Grid, phases: &PhaseGrid, estimate: &AsymEstimate) -> Self {
        let solution = AsymSolution {
            u: known_voltages::<Asym>(estimate),
            sources: vec![[Complex64::ZERO; 3]; grid.sources.len()],
            iterations: estimate.iterations,
        };
        Self::of(grid, estimate, AsymOutput::new(grid, phases, &solution))
    }

    /// As power-grid-model's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        document("asym_output", self)
    }
}

fn document(kind: &str, data: &impl Serialize) -> String {
    let document = serde_json::json!({
        "version": "1.0",
        "type": kind,
        "is_batch": false,
        "attributes": {},
        "data": data,
    });
    format!("{document:#}\n")
}

/// Voltages; not a number where they are not observable.
fn known_voltages<F: Form>(estimate: &Estimate<F>) -> Vec<F::Of<Complex64>> {
    let unknown = Complex64::new(f64::NAN, f64::NAN);
    let nodes = estimate.u.iter().zip(&estimate.nodes);
    nodes
        .map(|(u, node)| {
            F::of(|phase| {
                let known =
                    F::phase(&node.u, phase).is_some() && F::phase(&node.angle, phase).is_some();
                if known { *F::phase(u, phase) } else { unknown }
            })
        })
        .collect()
}

/// A complex power, W and var; not a number where it is not observable.
fn power(p: Option<Quantity>, q: Option<Quantity>) -> Complex64 {
    let value = |x: Option<Quantity>| x.map_or(f64::NAN, |x| x.value);
    Complex64::new(value(p), value(q))
}

impl<F: Form> EstimateOutput<F> {
    fn of(grid: &Grid, estimate: &Estimate<F>, components: Output<F::Of<f64>>) -> Self {
        let mut output = Self {
            components,
            sym_voltage_sensor: Vec::new(),
            asym_voltage_sensor: Vec::new(),
            sym_power_sensor: Vec::new(),
            asym_power_sensor: Vec::new(),
            sym_current_sensor: Vec::new(),
            asym_current_sensor: Vec::new(),
        };
        output.set_powers(grid, estimate);
        let terminals = Terminals {
            grid,
            estimate,
            output: &output,
        };
        let tables = (
            terminals.sym_voltages(),
            terminals.asym_voltages(),
            terminals.sym_powers(),
            terminals.asym_powers(),
            terminals.sym_currents(),
            terminals.asym_currents(),
        );
        (
            output.sym_voltage_sensor,
            output.asym_voltage_sensor,
            output.sym_power_sensor,
            output.asym_power_sensor,
            output.sym_current_sensor,
            output.asym_current_sensor,
        ) = tables;
        output
    }

    /// Powers of sources, loads and generators are unknowns of their own, not what their models say.
    fn set_powers(&mut self, grid: &Grid, estimate: &Estimate<F>) {
        let out = &mut self.components;
        for ((row, source), of) in (out.source.iter_mut())
            .zip(&estimate.sources)
            .zip(&grid.sources)
        {
            let s = |phase| power(*F::phase(&source.p, phase), *F::phase(&source.q, phase));
            set_power::<F>(row, s, &voltage(grid, estimate, of.node));
        }
        let rows = (out.sym_load.iter_mut())
            .chain(&mut out.sym_gen)
            .chain(&mut out.asym_load)
            .chain(&mut out.asym_gen);
        for ((row, appliance), of) in rows.zip(&estimate.appliances).zip(&grid.appliances) {
            let s = |phase| {
                power(
                    *F::phase(&appliance.p, phase),
                    *F::phase(&appliance.q, phase),
                )
            };
            set_power::<F>(row, s, &voltage(grid, estimate, of.node));
        }
    }
}

/// Voltage of a phase, line to neutral, V.
fn voltage<F: Form>(grid: &Grid, estimate: &Estimate<F>, node: usize) -> F::Of<f64> {
    let base = grid.u_rated[node] / 3.0_f64.sqrt();
    F::of(|phase| F::phase(&estimate.u[node], phase).norm() * base)
}

fn set_power<F: Form>(
    row: &mut ApplianceOutput<F::Of<f64>>,
    s: impl Fn(usize) -> Complex64,
    u: &F::Of<f64>,
) {
    if row.energized == 0 {
        return;
    }
    let ratio = |over: f64| if over == 0.0 { 0.0 } else { 1.0 / over };
    let of_phase = F::PHASES as f64 / 3.0;
    row.p = F::of(|k| s(k).re);
    row.q = F::of(|k| s(k).im);
    row.s = F::of(|k| s(k).norm());
    row.i = F::of(|k| s(k).norm() * of_phase * ratio(*F::phase(u, k)));
    row.pf = F::of(|k| s(k).re * ratio(s(k).norm()));
}

/// What the estimate says at the terminals of sensors.
struct Terminals<'a, F: Form> {
    grid: &'a Grid,
    estimate: &'a Estimate<F>,
    output: &'a EstimateOutput<F>,
}

/// A phasor in polar form, by phase.
type Polar<'a> = &'a dyn Fn(usize) -> (f64, f64);

impl<F: Form> Terminals<'_, F> {
    fn sym_voltages(&self) -> Vec<VoltageSensorOutput<F::Of<f64>>> {
        let share = (F::PHASES as f64).sqrt();
        let sensors = self.grid.network().sym_voltage_sensor.iter();
        sensors
            .map(|s| {
                let angle = s.u_angle_measured.unwrap_or(f64::NAN);
                let u = s.u_measured.unwrap_or(f64::NAN) / share;
                self.voltage(s.id, s.measured_object, &|_| (u, angle), true)
            })
            .collect()
    }

    fn asym_voltages(&self) -> Vec<VoltageSensorOutput<F::Of<f64>>> {
        let sensors = self.grid.network().asym_voltage_sensor.iter();
        sensors
            .map(|s| {
                let u = s.u_measured.unwrap_or([f64::NAN; 3]);
                let angle = s.u_angle_measured.unwrap_or([f64::NAN; 3]);
                let sum = combined_voltage(u, s.u_angle_measured);
                let line_to_line = 3.0_f64.sqrt();
                let measured = |phase: usize| match F::PHASES {
                    1 => (sum.0 * line_to_line, sum.1.unwrap_or(f64::NAN)),
                    _ => (u[phase], angle[phase]),
                };
                self.voltage(s.id, s.measured_object, &measured, false)
            })
            .collect()
    }

    /// `plain`: the angle is not brought within half a turn.
    fn voltage(
        &self,
        id: Id,
        node: Id,
        measured: Polar<'_>,
        plain: bool,
    ) -> VoltageSensorOutput<F::Of<f64>> {
        let node = self.grid.known_node(node);
        let energised = self.grid.energised[node];
        let state = &self.estimate.nodes[node];
        let residual = |phase: usize| {
            if !energised {
                return (0.0, 0.0);
            }
            let (u, angle) = measured(phase);
            let s = power(*F::phase(&state.u, phase), *F::phase(&state.angle, phase));
            let angle = if plain {
                angle - s.im
            } else {
                short_way(angle - s.im)
            };
            (u - s.re, angle)
        };
        VoltageSensorOutput {
            id,
            energized: i8::from(energised),
            u_residual: F::of(|k| residual(k).0),
            u_angle_residual: F::of(|k| residual(k).1),
        }
    }

    fn sym_powers(&self) -> Vec<PowerSensorOutput<F::Of<f64>>> {
        let sensors = self.grid.network().sym_power_sensor.iter();
        sensors
            .map(|s| {
                let p = s.p_measured.unwrap_or(f64::NAN);
                let q = s.q_measured.unwrap_or(f64::NAN);
                let measured = Complex64::new(p, q) / F::PHASES as f64;
                self.power(s.id, (s.measured_object, s.measured_terminal_type), |_| {
                    measured
                })
            })
            .collect()
    }

    fn asym_powers(&self) -> Vec<PowerSensorOutput<F::Of<f64>>> {
        let sensors = self.grid.network().asym_power_sensor.iter();
        sensors
            .map(|s| {
                let p = s.p_measured.unwrap_or([f64::NAN; 3]);
                let q = s.q_measured.unwrap_or([f64::NAN; 3]);
                let measured = |phase: usize| match F::PHASES {
                    1 => Complex64::new(p.iter().sum(), q.iter().sum()),
                    _ => Complex64::new(p[phase], q[phase]),
                };
                self.power(
                    s.id,
                    (s.measured_object, s.measured_terminal_type),
                    measured,
                )
            })
            .collect()
    }

    fn power(
        &self,
        id: Id,
        (object, terminal): (Id, i8),
        measured: impl Fn(usize) -> Complex64,
    ) -> PowerSensorOutput<F::Of<f64>> {
        let (energized, estimated) = self.power_at(object, terminal);
        let residual = |phase: usize| match energized {
            0 => Complex64::ZERO,
            _ => measured(phase) - F::phase(&estimated, phase),
        };
        PowerSensorOutput {
            id,
            energized,
            p_residual: F::of(|k| residual(k).re),
            q_residual: F::of(|k| residual(k).im),
        }
    }

    /// Whether a terminal is energised, and its power, W.
    fn power_at(&self, object: Id, terminal: i8) -> (i8, F::Of<Complex64>) {
        if let Some((energised, ends)) = self.end(object, terminal) {
            let power = |end: EndEstimate| Complex64::new(end.p.value, end.q.value);
            let s =
                |phase| F::phase(&ends, phase).map_or(Complex64::new(f64::NAN, f64::NAN), power);
            return (energised, F::of(s));
        }
        let (grid, estimate) = (self.grid, self.estimate);
        let of = |p: &F::Of<Option<Quantity>>, q: &F::Of<Option<Quantity>>| {
            F::of(|phase| power(*F::phase(p, phase), *F::phase(q, phase)))
        };
        match grid.element(object) {
            Some(Element::Node(k)) => {
                let node = &estimate.nodes[k];
                (i8::from(node.energised), of(&node.p, &node.q))
            }
            Some(Element::Appliance(k)) => {
                let (a, of_grid) = (&estimate.appliances[k], &grid.appliances[k]);
                (i8::from(grid.energised[of_grid.node]), of(&a.p, &a.q))
            }
            Some(Element::Source(k)) => {
                let (s, row) = (&estimate.sources[k], &self.output.components.source[k]);
                (row.energized, of(&s.p, &s.q))
            }
            Some(Element::Shunt(k)) => {
                let row = &self.output.components.shunt[k];
                let s = |phase| Complex64::new(*F::phase(&row.p, phase), *F::phase(&row.q, phase));
                (row.energized, F::of(s))
            }
            _ => (0, F::of(|_| Complex64::ZERO)),
        }
    }

    /// Whether the branch of a terminal is energised, and its flow there.
    fn end(&self, object: Id, terminal: i8) -> Option<(i8, F::Of<Option<EndEstimate>>)> {
        let (branch, side) = self.branch_end(object, terminal)?;
        let live = |k: usize| {
            let b = &self.grid.branches[k];
            b.from_closed && self.grid.energised[b.from] || b.to_closed && self.grid.energised[b.to]
        };
        let energised = match self.grid.first_arm(object) {
            Some(first) => (first..first + 3).any(live),
            None => live(branch),
        };
        let flow = &self.estimate.branches[branch];
        let ends = match side {
            Side::From => &flow.from,
            Side::To => &flow.to,
        };
        Some((i8::from(energised), ends.clone()))
    }

    fn branch_end(&self, object: Id, terminal: i8) -> Option<(usize, Side)> {
        Some(match end(terminal)? {
            End::Branch(side) => (self.grid.index_of_branch(object)?, side),
            End::Winding(winding) => {
                let first = self.grid.first_arm(object)?;
                let arm = match winding {
                    Winding::One => first,
                    Winding::Two => first + 1,
                    Winding::Three => first + 2,
                };
                (arm, Side::From)
            }
        })
    }

    fn sym_currents(&self) -> Vec<CurrentSensorOutput<F::Of<f64>>> {
        let sensors = self.grid.network().sym_current_sensor.iter();
        sensors
            .map(|s| {
                let i = s.i_measured.unwrap_or(f64::NAN);
                let angle = s.i_angle_measured.unwrap_or(f64::NAN);
                let global = s.angle_measurement_type != 0;
                let turn = if global {
                    std::f64::consts::TAU / 3.0
                } else {
                    0.0
                };
                let measured = |phase: usize| (i, angle - turn * phase as f64);
                let terminal = (s.measured_object, s.measured_terminal_type);
                self.current(s.id, terminal, global, &measured)
            })
            .collect()
    }

    fn asym_currents(&self) -> Vec<CurrentSensorOutput<F::Of<f64>>> {
        let sensors = self.grid.network().asym_current_sensor.iter();
        sensors
            .map(|s| {
                let i = s.i_measured.unwrap_or([f64::NAN; 3]);
                let angle = s.i_angle_measured.unwrap_or([f64::NAN; 3]);
                let global = s.angle_measurement_type != 0;
                let sum = combined_current(i, angle, global);
                let measured = |phase: usize| match F::PHASES {
                    1 => sum.to_polar(),
                    _ => (i[phase], angle[phase]),
                };
                let terminal = (s.measured_object, s.measured_terminal_type);
                self.current(s.id, terminal, global, &measured)
            })
            .collect()
    }

    fn current(
        &self,
        id: Id,
        (object, terminal): (Id, i8),
        global: bool,
        measured: Polar<'_>,
    ) -> CurrentSensorOutput<F::Of<f64>> {
        let found = self
            .end(object, terminal)
            .zip(self.branch_end(object, terminal));
        let residual = |phase: usize| {
            let Some(((1, ends), (branch, side))) = &found else {
                return (0.0, 0.0);
            };
            let Some(end) = F::phase(ends, phase) else {
                return (f64::NAN, f64::NAN);
            };
            let b = &self.grid.branches[*branch];
            let node = if *side == Side::From { b.from } else { b.to };
            // The angle of the power is that of the current against the local voltage.
            let local = Complex64::new(end.p.value, end.q.value).arg();
            let angle = if global {
                F::phase(&self.estimate.u[node], phase).arg() - local
            } else {
                local
            };
            let (i, measured_angle) = measured(phase);
            (i - end.i.value, short_way(measured_angle - angle))
        };
        CurrentSensorOutput {
            id,
            energized: found.as_ref().map_or(0, |((energised, _), _)| *energised),
            i_residual: F::of(|k| residual(k).0),
            i_angle_residual: F::of(|k| residual(k).1),
        }
    }
}

/// An angle within half a turn.
fn short_way(angle: f64) -> f64 {
    angle.sin().atan2(angle.cos())
}
