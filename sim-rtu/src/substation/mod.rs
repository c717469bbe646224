//! The whole simulated substation, pure: time comes in as an argument, registers go out. A step lets
//! loads and devices move, solves the feeder, and lets the meters read it.

mod der;
mod rtu;
mod truth;

use std::collections::{BTreeMap, VecDeque};

use protocols::{
    iec61850::server::Refusal,
    modbus::{
        server::{self, ExceptionCode, Table},
        sunspec::SunspecError,
    },
};
use serde::Deserialize;
use solver::network::{Id, S_BASE_VA, UpdateError};

use crate::{
    devices::{Order, Readings},
    faults::{FaultError, Faults, Request},
    noise::Noise,
    phases::{Shares, is_by_phase},
    physics::{Physics, PhysicsError},
    profiles::{Clock, Profile},
    scenario::{Loaded, Scenario, TimedFault},
};

use der::DerDevice;
use rtu::RtuDevice;
pub use truth::{BranchTruth, LoadTruth, NodeTruth, Power, Row, Truth, UnitTruth};

/// Rows of the history kept: an hour at four steps a second.
const HISTORY_ROWS: usize = 14_400;

/// Why a substation cannot be built from a scenario that has no problems of its own.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The repository's RTU model is broken.
    #[error("device model generic-rtu: {0}")]
    RtuModel(#[from] toml::de::Error),
    /// A device cannot be laid out in SunSpec models.
    #[error("device {device}: {error}")]
    Device {
        /// Which device.
        device: String,
        /// What is wrong.
        error: SunspecError,
    },
    /// The network refuses a power.
    #[error(transparent)]
    Network(#[from] UpdateError),
    /// The network cannot carry what the scenario begins with, or lacks what its phases need.
    #[error("at the start: {0}")]
    Physics(#[from] PhysicsError),
}

/// A load step asked for over the control interface. Nothing given but the id: back to the profile.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadStep {
    /// Load of the network.
    pub id: Id,
    /// Active power from now on, W, load-positive.
    pub p_w: Option<f64>,
    /// Reactive power from now on, var, load-positive.
    pub q_var: Option<f64>,
    /// Factor on what the profile gives.
    pub scale: Option<f64>,
}

/// Why a load step is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadStepError {
    /// No such load.
    #[error("the network has no load {0}")]
    Unknown(Id),
    /// A number that is none, or a negative scale.
    #[error("load {id}: {key} {value} is out of range")]
    Value {
        /// Load.
        id: Id,
        /// Which number.
        key: &'static str,
        /// The number.
        value: f64,
    },
}

/// A device on the wire.
#[derive(Debug)]
enum Device {
    Der(Box<DerDevice>),
    Rtu(Box<RtuDevice>),
}

impl Device {
    fn name(&self) -> &str {
        match self {
            Self::Der(der) => &der.name,
            Self::Rtu(rtu) => &rtu.name,
        }
    }

    fn readings(&self) -> Vec<String> {
        match self {
            Self::Der(_) => crate::devices::DER_POINTS.map(str::to_owned).to_vec(),
            Self::Rtu(rtu) => rtu.points().map(str::to_owned).collect(),
        }
    }
}

/// A load and what it follows.
#[derive(Debug)]
struct Load {
    id: Id,
    p_specified_w: f64,
    q_specified_var: f64,
    profile: Profile,
    noise: Noise,
    step: Option<LoadStep>,
}

impl Load {
    fn power(&self, clock: &Clock, now_s: f64) -> (f64, f64) {
        let mut factor = self.profile.factor(clock, now_s, self.noise);
        let step = self.step.as_ref();
        factor *= step.and_then(|step| step.scale).unwrap_or(1.0);
        (
            step.and_then(|step| step.p_w)
                .unwrap_or(factor * self.p_specified_w),
            step.and_then(|step| step.q_var)
                .unwrap_or(factor * self.q_specified_var),
        )
    }
}

/// The substation.
#[derive(Debug)]
pub struct Substation {
    clock: Clock,
    physics: Physics,
    loads: Vec<Load>,
    devices: Vec<Device>,
    faults: Faults,
    /// Faults of the scenario that have not begun, the next one last.
    coming: Vec<TimedFault>,
    history: VecDeque<Row>,
    steps: u64,
    now_s: f64,
    unix_ms: i64,
}

impl Substation {
    /// A substation at the scenario's start, in the state it has when nobody controls it.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn new(loaded: &Loaded, unix_ms: i64) -> Result<Self, BuildError> {
        let Loaded {
            scenario,
            clock,
            grid,
        } = loaded;
        let noise = Noise::new(scenario.seed);
        let profiles = scenario.profile.iter().map(|p| (p.name.as_str(), p));
        let profiles: BTreeMap<&str, &Profile> = profiles.collect();
        let loads = loads(scenario, grid.network(), &profiles, noise);
        let mut grid = grid.clone();
        let shares = Shares::new(grid.network());
        for load in &loads {
            let (p_w, q_var) = load.power(clock, 0.0);
            shares.set(&mut grid, load.id, p_w, q_var)?;
        }
        let mut devices = Vec::new();
        for spec in &scenario.der {
            let profile = spec.profile.as_deref().and_then(|name| profiles.get(name));
            let der = DerDevice::new(spec, profile.copied(), &grid, clock, noise);
            let der = der.map_err(|error| BuildError::Device {
                device: spec.device.clone(),
                error,
            })?;
            devices.push(Device::Der(Box::new(der)));
        }
        for device in &devices {
            if let Device::Der(der) = device {
                shares.set(&mut grid, der.unit, der.der.p_w(), der.der.q_var())?;
            }
        }
        let model = match is_by_phase(grid.network()) {
            true => crate::devices::rtu::Profile::by_phase()?,
            false => crate::devices::rtu::Profile::generic()?,
        };
        for spec in &scenario.rtu {
            let rtu = RtuDevice::new(spec, &model, &grid, noise);
            devices.push(Device::Rtu(Box::new(rtu)));
        }
        let mut coming = scenario.fault.clone();
        coming.sort_by(|a, b| b.at_s.total_cmp(&a.at_s));
        let mut substation = Self {
            clock: *clock,
            physics: Physics::new(grid, shares)?,
            loads,
            devices,
            faults: Faults::default(),
            coming,
            history: VecDeque::new(),
            steps: 0,
            now_s: 0.0,
            unix_ms,
        };
        substation.step(0.0, unix_ms);
        Ok(substation)
    }

    /// Lets everything move on to `now_s`, seconds after the start; `unix_ms` is for the history.
    pub fn step(&mut self, now_s: f64, unix_ms: i64) {
        let dt_s = (now_s - self.now_s).max(0.0);
        self.now_s = now_s;
        self.unix_ms = unix_ms;
        self.begin_faults();
        self.inject(dt_s);
        self.physics.step(now_s);
        self.meter(dt_s);
        self.remember();
        self.steps += 1;
    }

    fn begin_faults(&mut self) {
        self.faults.expire(self.now_s);
        while let Some(fault) = self.coming.pop_if(|fault| fault.at_s <= self.now_s) {
            tracing::info!(device = fault.device, kind = ?fault.kind, "fault begins");
            self.faults.add(fault.request(), self.now_s);
        }
    }

    fn inject(&mut self, dt_s: f64) {
        for load in &self.loads {
            let (p_w, q_var) = load.power(&self.clock, self.now_s);
            note(self.physics.set_appliance(load.id, p_w, q_var));
        }
        for device in &mut self.devices {
            if let Device::Der(device) = device {
                device.step(self.now_s, dt_s, &self.clock);
                let (p_w, q_var) = (device.der.p_w(), device.der.q_var());
                note(self.physics.set_appliance(device.unit, p_w, q_var));
            }
        }
    }

    fn meter(&mut self, dt_s: f64) {
        for device in &mut self.devices {
            match device {
                Device::Der(der) => der.meter(&self.physics, &self.faults, self.steps, dt_s),
                Device::Rtu(rtu) => rtu.meter(&self.physics, &self.faults, self.steps, dt_s),
            }
        }
    }

    fn remember(&mut self) {
        if self.history.len() == HISTORY_ROWS {
            self.history.pop_front();
        }
        self.history.push_back(self.row());
    }

    /// Names of the devices, DERs first, in the order of the scenario: the order of the indices
    /// that [`Self::read`], [`Self::write`] and [`Self::wire`] take.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(Device::name)
    }

    /// What a client of a device reads.
    ///
    /// # Errors
    /// The exception to answer with.
    pub fn read(
        &self,
        device: usize,
        table: Table,
        address: u16,
        count: u16,
    ) -> Result<Vec<u16>, ExceptionCode> {
        match self.devices.get(device) {
            Some(Device::Der(der)) => der.registers.read(table, address, count),
            Some(Device::Rtu(rtu)) => rtu.registers.read(table, address, count),
            None => Err(ExceptionCode::ServerDeviceFailure),
        }
    }

    /// What a client of a device writes at `now_s`.
    ///
    /// # Errors
    /// The exception to answer with; nothing has changed then.
    pub fn write(
        &mut self,
        device: usize,
        table: Table,
        address: u16,
        values: &[u16],
        now_s: f64,
    ) -> Result<(), ExceptionCode> {
        match self.devices.get_mut(device) {
            Some(Device::Der(device)) => {
                let der = &mut device.der;
                device.registers.write(table, address, values, der, now_s)
            }
            Some(Device::Rtu(rtu)) => {
                let (transformer, position) = rtu.tap_order(table, address, values)?;
                let ordered = self.physics.order_tap(transformer, position, now_s);
                ordered.map_err(|_| ExceptionCode::IllegalDataValue)
            }
            None => Err(ExceptionCode::ServerDeviceFailure),
        }
    }

    /// What an RTU shows, by the points' names; `None`: it is none.
    #[must_use]
    pub fn readings(&self, device: usize) -> Option<&Readings> {
        match self.devices.get(device) {
            Some(Device::Rtu(rtu)) => Some(&rtu.readings),
            _ => None,
        }
    }

    /// Does what a master asks of an RTU's point, or only looks whether it could.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn order(
        &mut self,
        device: usize,
        (point, value, check): Order<'_>,
        now_s: f64,
    ) -> Result<(), Refusal> {
        let Some(Device::Rtu(rtu)) = self.devices.get(device) else {
            return Err(Refusal::NotSupported);
        };
        if let Some((branch, side)) = rtu.breaker(point) {
            let closed = value != 0.0;
            if self.physics.is_closed(branch, side) == closed {
                return Err(Refusal::PositionReached);
            }
            if !check {
                note(self.physics.switch(branch, side, closed));
            }
            return Ok(());
        }
        let transformer = rtu.transformer(point).ok_or(Refusal::NotSupported)?;
        let position = value.round();
        if !(f64::from(i8::MIN)..=f64::from(i8::MAX)).contains(&position) {
            return Err(Refusal::StepLimit);
        }
        let (physics, position) = (&mut self.physics, position as i8);
        let done = match check {
            true => physics.check_tap(transformer, position),
            false => physics.order_tap(transformer, position, now_s),
        };
        done.map_err(|_| Refusal::StepLimit)
    }

    /// How a device's server shall misbehave now.
    #[must_use]
    pub fn wire(&self, device: usize) -> server::Fault {
        let name = self.devices.get(device).map(Device::name);
        name.map_or(server::Fault::None, |name| self.faults.wire(name))
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Puts a fault in force and gives the number to take it back by.
    ///
    /// # Errors
    /// It does not fit.
    pub fn add_fault(&mut self, request: Request) -> Result<u64, FaultError> {
        let device = self.devices.iter().find(|d| d.name() == request.device);
        let device = device.ok_or_else(|| FaultError::UnknownDevice {
            device: request.device.clone(),
            known: self.devices().map(str::to_owned).collect(),
        })?;
        request.check(&device.readings())?;
        Ok(self.faults.add(request, self.now_s))
    }

    /// Takes a fault back; false when there is none of this number.
    pub fn remove_fault(&mut self, id: u64) -> bool {
        self.faults.remove(id)
    }

    /// Takes all faults back that have begun.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Changes a load from the next step on.
    ///
    /// # Errors
    /// No such load, or an impossible value.
    pub fn step_load(&mut self, step: LoadStep) -> Result<(), LoadStepError> {
        let id = step.id;
        let load = self.loads.iter_mut().find(|load| load.id == id);
        let load = load.ok_or(LoadStepError::Unknown(id))?;
        let finite = |value: &f64| value.abs() <= 1e12;
        for (key, value, fits) in [
            ("p_w", step.p_w, step.p_w.is_none_or(|v| finite(&v))),
            ("q_var", step.q_var, step.q_var.is_none_or(|v| finite(&v))),
            (
                "scale",
                step.scale,
                step.scale.is_none_or(|v| (0.0..=1e3).contains(&v)),
            ),
        ] {
            if let (Some(value), false) = (value, fits) {
                return Err(LoadStepError::Value { id, key, value });
            }
        }
        let given = step.p_w.is_some() || step.q_var.is_some() || step.scale.is_some();
        load.step = given.then_some(step);
        Ok(())
    }

    /// History since the start, at most an hour of it, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &Row> {
        self.history.iter()
    }

    /// Units in the order of [`Row::unit_p_w`].
    pub fn units(&self) -> impl Iterator<Item = Id> {
        self.ders().map(|der| der.unit)
    }

    fn ders(&self) -> impl Iterator<Item = &DerDevice> {
        self.devices.iter().filter_map(|device| match device {
            Device::Der(der) => Some(&**der),
            Device::Rtu(_) => None,
        })
    }
}

/// Every load of the network with its profile; the scenario's check has seen that it has one.
fn loads(
    scenario: &Scenario,
    network: &solver::network::Network,
    profiles: &BTreeMap<&str, &Profile>,
    noise: Noise,
) -> Vec<Load> {
    let follows = |id: &Id| {
        let spec = scenario.load.iter().find(|spec| spec.ids.contains(id))?;
        profiles.get(spec.profile.as_str()).copied()
    };
    let load = |(id, p_w, q_var): (Id, f64, f64)| {
        Some(Load {
            id,
            p_specified_w: p_w,
            q_specified_var: q_var,
            profile: follows(&id)?.clone(),
            noise: noise.stream(&format!("load {id}")),
            step: None,
        })
    };
    let sym = network.sym_load.iter();
    let sum = |of: [f64; 3]| of.iter().sum();
    let asym = network.asym_load.iter();
    let asym = asym.map(|of| (of.id, sum(of.p_specified), sum(of.q_specified)));
    sym.map(|of| (of.id, of.p_specified, of.q_specified))
        .chain(asym)
        .filter_map(load)
        .collect()
}

/// A power that the network refuses: only a bug or a load step beyond all numbers can cause it.
fn note(outcome: Result<(), UpdateError>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "injection refused");
    }
}

/// Per-unit power in W and var.
fn si(s: num_complex::Complex64) -> Power {
    Power {
        p_w: s.re * S_BASE_VA,
        q_var: s.im * S_BASE_VA,
    }
}

#[cfg(test)]
mod tests;
