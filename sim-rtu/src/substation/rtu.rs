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
        BAY_QUANTITIES, Readings,
        rtu::{Profile, Registers},
    },
    faults::Faults,
    meters::{Energy, Meter},
    noise::Noise,
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
    /// Voltage, active power, reactive power, current, with their points' names.
    meters: [(String, Meter); 4],
    energy: Energy,
}

/// What a bay sees.
struct Sight {
    u_v: f64,
    s_va: Complex64,
    i_a: f64,
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

    pub(super) fn bays(&self) -> impl Iterator<Item = u8> {
        self.bays.iter().map(|bay| bay.number)
    }

    /// Readings, counters, positions.
    pub(super) fn meter(&mut self, physics: &Physics, faults: &Faults, step: u64, dt_s: f64) {
        let frozen = faults.freezes(&self.name);
        for bay in &mut self.bays {
            let sight = bay.look(physics);
            bay.energy.count(sight.s_va.re, dt_s);
            if frozen {
                continue;
            }
            let truths = [sight.u_v, sight.s_va.re, sight.s_va.im, sight.i_a];
            for ((point, meter), truth) in bay.meters.iter_mut().zip(truths) {
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
        Self {
            number: bay.bay,
            node,
            measures,
            tap: bay.branch.filter(|_| bay.tap),
            meters: BAY_QUANTITIES.map(|quantity| {
                let point = format!("bay{}_{quantity}", bay.bay);
                let meter = Meter::new(model.accuracy(quantity), noise.stream(&point));
                (point, meter)
            }),
            energy: Energy::default(),
        }
    }

    fn look(&self, physics: &Physics) -> Sight {
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
                    u_v,
                    s_va,
                    i_a,
                    closed,
                }
            }
            Measures::Loads(loads) => {
                let loads = || loads.iter().map(|&load| &grid.appliances[load]);
                // The grid keeps loads as negative injections.
                let s_va = -loads().map(|load| load.s).sum::<Complex64>() * S_BASE_VA;
                Sight {
                    u_v,
                    s_va,
                    i_a: current_a(s_va.re, s_va.im, u_v),
                    closed: loads().any(|load| load.closed),
                }
            }
        }
    }
}
