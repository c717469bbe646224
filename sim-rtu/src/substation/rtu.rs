//! An RTU with its meters and registers.

use num_complex::Complex64;
use protocols::{
    modbus::server::{ExceptionCode, Table},
    point::Value,
};
use solver::network::{Grid, Id, S_BASE_VA, Side};

use super::der::current_a;
use crate::{
    devices::{
        Readings, bay_points,
        rtu::{Profile, Registers},
    },
    faults::Faults,
    meters::{Energy, Meter},
    noise::Noise,
    phases::{ByPhase, is_by_phase},
    physics::Physics,
    scenario::{Bay, RtuSpec},
};

/// What a bay measures, by index in the grid's tables.
#[derive(Debug)]
enum Measures {
    Branch { branch: usize, side: Side },
    Loads(Vec<usize>),
}

#[derive(Debug)]
struct BayMeter {
    number: u8,
    node: usize,
    measures: Measures,
    /// Transformer whose tap changer the bay reads and moves.
    tap: Option<Id>,
    /// Voltages, active powers, reactive powers, currents, with their points' names, what they measure and
    /// of which phase.
    meters: Vec<(String, &'static str, usize, Meter)>,
    energy: Energy,
}

/// What a bay sees: of all phases together first, or of each.
struct Sight {
    u_v: [f64; 3],
    s_va: [Complex64; 3],
    i_a: [f64; 3],
    closed: bool,
}

/// An RTU.
#[derive(Debug)]
pub(super) struct RtuDevice {
    pub(super) name: String,
    pub(super) registers: Registers,
    /// The same by name.
    pub(super) readings: Readings,
    bays: Vec<BayMeter>,
}

impl RtuDevice {
    pub(super) fn new(spec: &RtuSpec, model: &Profile, grid: &Grid, noise: Noise) -> Self {
        let noise = noise.stream(&spec.device);
        let bays = spec.bays.iter();
        Self {
            name: spec.device.clone(),
            registers: Registers::new(&model.registers),
            readings: Readings::new(),
            bays: bays
                .map(|bay| BayMeter::new(bay, model, grid, noise))
                .collect(),
        }
    }

    /// Readings that a fault can name.
    pub(super) fn points(&self) -> impl Iterator<Item = &str> {
        let meters = self.bays.iter().flat_map(|bay| &bay.meters);
        meters.map(|(point, ..)| point.as_str())
    }

    /// Readings, counters, positions.
    pub(super) fn meter(&mut self, physics: &Physics, faults: &Faults, step: u64, dt_s: f64) {
        let frozen = faults.freezes(&self.name);
        for bay in &mut self.bays {
            let sight = bay.look(physics);
            bay.energy
                .count(sight.s_va.iter().map(|s| s.re).sum(), dt_s);
            if frozen {
                continue;
            }
            for (point, quantity, phase, meter) in &mut bay.meters {
                let truth = match *quantity {
                    "u" => sight.u_v[*phase],
                    "p" => sight.s_va[*phase].re,
                    "q" => sight.s_va[*phase].im,
                    _ => sight.i_a[*phase],
                };
                let distortion = faults.distortion(&self.name, point);
                let shown = meter.read(step, truth, distortion).shown();
                self.registers.set(point, Value::Analog(shown));
                self.readings.insert(point.clone(), Value::Analog(shown));
            }
            let number = bay.number;
            let mut set = |name: &str, value| {
                let name = format!("bay{number}_{name}");
                self.registers.set(&name, value);
                self.readings.insert(name, value);
            };
            set("energy_in", Value::Counter(bay.energy.in_wh as u64));
            set("energy_out", Value::Counter(bay.energy.out_wh as u64));
            let tap = bay.tap.and_then(|id| physics.tap(id)).unwrap_or_default();
            set("tap", Value::Analog(f64::from(tap)));
            set("closed", Value::Binary(sight.closed));
            set("open", Value::Binary(!sight.closed));
        }
    }

    /// Transformer and position that a client's write asks for.
    pub(super) fn tap_order(
        &self,
        table: Table,
        address: u16,
        values: &[u16],
    ) -> Result<(Id, i8), ExceptionCode> {
        let has_tap = |number| self.tap_of(number).is_some();
        let order = self.registers.tap_order(table, address, values, has_tap)?;
        let tap = self.tap_of(order.bay);
        let transformer = tap.ok_or(ExceptionCode::IllegalDataAddress)?;
        Ok((transformer, order.position))
    }

    /// Transformer that the point of this name moves.
    pub(super) fn transformer(&self, point: &str) -> Option<Id> {
        let mut bays = self.bays.iter();
        let bay = bays.find(|bay| point == format!("bay{}_tap", bay.number));
        bay?.tap
    }

    /// Breaker that the point of this name operates: branch number and side.
    pub(super) fn breaker(&self, point: &str) -> Option<(usize, Side)> {
        let mut bays = self.bays.iter();
        let bay = bays.find(|bay| point == format!("bay{}_breaker", bay.number))?;
        match bay.measures {
            Measures::Branch { branch, side } => Some((branch, side)),
            Measures::Loads(_) => None,
        }
    }

    fn tap_of(&self, number: u8) -> Option<Id> {
        let bay = self.bays.iter().find(|bay| bay.number == number)?;
        bay.tap
    }
}

impl BayMeter {
    /// The scenario's check has seen that what the bay names is there.
    fn new(bay: &Bay, model: &Profile, grid: &Grid, noise: Noise) -> Self {
        let (measures, node) = match (bay.branch, bay.side) {
            (Some(branch), Some(side)) => {
                let branch = grid.index_of_branch(branch).unwrap_or_default();
                let node = match side {
                    Side::From => grid.branches[branch].from,
                    Side::To => grid.branches[branch].to,
                };
                (Measures::Branch { branch, side }, node)
            }
            _ => {
                let ids = bay.loads.iter().flatten();
                let loads: Vec<usize> = ids.filter_map(|&id| grid.index_of_appliance(id)).collect();
                let node = loads.first().map(|&load| grid.appliances[load].node);
                (Measures::Loads(loads), node.unwrap_or_default())
            }
        };
        let phases = match &measures {
            &Measures::Branch { branch, .. } => grid.branches[branch].phases,
            Measures::Loads(_) => grid.live[node],
        };
        let phases = is_by_phase(grid.network()).then_some(phases);
        Self {
            number: bay.bay,
            node,
            measures,
            tap: bay.branch.filter(|_| bay.tap),
            meters: bay_points(bay.bay, phases)
                .into_iter()
                .map(|(point, quantity, phase)| {
                    let meter = Meter::new(model.accuracy(quantity), noise.stream(&point));
                    (point, quantity, phase, meter)
                })
                .collect(),
            energy: Energy::default(),
        }
    }

    fn look(&self, physics: &Physics) -> Sight {
        match physics.by_phase() {
            Some(model) => self.look_by_phase(physics.grid(), model),
            None => self.look_together(physics),
        }
    }

    fn look_by_phase(&self, grid: &Grid, model: &ByPhase) -> Sight {
        let (of, closed) = match &self.measures {
            &Measures::Branch { branch, side } => {
                let (of, from) = (&grid.branches[branch], side == Side::From);
                let closed = if from { of.from_closed } else { of.to_closed };
                (model.at_branch(grid, branch, from), closed)
            }
            Measures::Loads(loads) => {
                let closed = loads.iter().any(|&load| grid.appliances[load].closed);
                (model.at_loads(grid, self.node, loads), closed)
            }
        };
        Sight {
            u_v: of.u_v,
            s_va: of.s_va,
            i_a: of.i_a,
            closed,
        }
    }

    fn look_together(&self, physics: &Physics) -> Sight {
        let alone = |x: f64| [x, 0.0, 0.0];
        let u_v = physics.u_v(self.node);
        let grid = physics.grid();
        match &self.measures {
            &Measures::Branch { branch, side } => {
                let flow = physics.flow(branch);
                let ends = &grid.branches[branch];
                let (s_va, i_a, closed) = match side {
                    Side::From => (flow.s_from_va(), flow.i_from_a, ends.from_closed),
                    Side::To => (flow.s_to_va(), flow.i_to_a, ends.to_closed),
                };
                Sight {
                    u_v: alone(u_v),
                    s_va: [s_va, Complex64::ZERO, Complex64::ZERO],
                    i_a: alone(i_a),
                    closed,
                }
            }
            Measures::Loads(loads) => {
                let loads = || loads.iter().map(|&load| &grid.appliances[load]);
                // The grid keeps loads as negative injections.
                let s_va = -loads().map(|load| load.s).sum::<Complex64>() * S_BASE_VA;
                Sight {
                    u_v: alone(u_v),
                    s_va: [s_va, Complex64::ZERO, Complex64::ZERO],
                    i_a: alone(current_a(s_va.re, s_va.im, u_v)),
                    closed: loads().any(|load| load.closed),
                }
            }
        }
    }
}
