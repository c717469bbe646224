//! The scenario file, key by key. Powers are in W and var; a device's are generation-positive.

use std::path::PathBuf;

use serde::Deserialize;
use solver::network::{Id, Side};

use crate::{faults, profiles::Profile};

/// The file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Title, for people.
    pub name: String,
    /// Network in PGM JSON, relative to the scenario file.
    pub network: PathBuf,
    /// Seed of all noise.
    pub seed: u64,
    /// Time between two steps of the physics, ms.
    pub step_ms: u64,
    /// Time of day and its pace.
    pub clock: ClockSpec,
    /// Factors over the day.
    #[serde(default)]
    pub profile: Vec<Profile>,
    /// Which loads follow which profile.
    #[serde(default)]
    pub load: Vec<LoadSpec>,
    /// Distributed energy resources.
    #[serde(default)]
    pub der: Vec<DerSpec>,
    /// Remote terminal units.
    #[serde(default)]
    pub rtu: Vec<RtuSpec>,
    /// What goes wrong, and when.
    #[serde(default)]
    pub fault: Vec<TimedFault>,
}

/// Time of day and its pace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSpec {
    /// Time of day at the start, `HH:MM`.
    pub start: String,
    /// Simulated seconds per second; 0 holds the time of day.
    pub speedup: f64,
}

/// Loads of the network that follow one profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSpec {
    /// Ids of loads.
    pub ids: Vec<Id>,
    /// Their factor on the network's power, by name.
    pub profile: String,
}

/// A device at a generator of the network, its own SunSpec server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DerSpec {
    /// Name, for faults and logs.
    pub device: String,
    /// Id of the network's generator.
    pub unit: Id,
    /// TCP port of its server.
    pub port: u16,
    /// Its other port, as many have one: a serial line.
    pub line: Option<LineSpec>,
    /// SunSpec models in the order of its register map.
    pub models: Vec<u16>,
    /// Share of the nameplate that sun, wind or fuel gives, by name; not for a battery.
    pub profile: Option<String>,
    /// Active power on the nameplate, W.
    pub p_rated_w: f64,
    /// Reactive power on the nameplate, var.
    pub q_rated_var: f64,
    /// Fastest change of active power, W/s.
    pub ramp_w_per_s: f64,
    /// Its battery.
    pub battery: Option<Battery>,
}

impl DerSpec {
    /// Apparent power on the nameplate: active and reactive power at once, so that neither has to
    /// give way at its rating.
    #[must_use]
    pub fn s_rated_va(&self) -> f64 {
        self.p_rated_w.hypot(self.q_rated_var)
    }
}

/// A place on a serial line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSpec {
    /// The line's name: that of its port in the folder of lines.
    pub name: String,
    /// Modbus unit identifier, 1 to 247.
    pub unit: u8,
}

/// A battery.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Battery {
    /// Energy when full, Wh.
    pub energy_wh: f64,
    /// State of charge at the start, 0 to 1.
    pub soc: f64,
    /// Share of the energy that survives one conversion, either way.
    pub efficiency: f64,
    /// What it does when nobody commands it, W.
    pub autonomous_p_w: f64,
}

/// A remote terminal unit of the model `generic-rtu`, `dnp3-rtu`, `iec104-rtu` or `iec61850-bay`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RtuSpec {
    /// Name, for faults and logs.
    pub device: String,
    /// TCP port of its server.
    pub port: u16,
    /// It speaks DNP3.
    pub dnp3: Option<LinkAddresses>,
    /// It speaks IEC 60870-5-104, as the station of this common address.
    pub common_address: Option<u16>,
    /// It is a bay controller, of this IED name, and speaks IEC 61850. None of the three: Modbus.
    pub iec61850: Option<String>,
    /// What it measures.
    pub bays: Vec<Bay>,
}

/// What a device's server speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Modbus TCP.
    Modbus,
    /// DNP3.
    Dnp3(LinkAddresses),
    /// IEC 60870-5-104, with its common address.
    Iec104(u16),
    /// IEC 61850, with the IED's name.
    Iec61850(String),
}

impl RtuSpec {
    /// What it speaks.
    #[must_use]
    pub fn speaks(&self) -> Speaks {
        let iec104 = self.common_address.map(Speaks::Iec104);
        let other = self.dnp3.map(Speaks::Dnp3).or(iec104);
        let iec61850 = self.iec61850.clone().map(Speaks::Iec61850);
        other.or(iec61850).unwrap_or(Speaks::Modbus)
    }
}

/// Addresses on a DNP3 link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkAddresses {
    /// The RTU's.
    pub address: u16,
    /// Its master's.
    pub master: u16,
}

/// A bay: one side of a branch, or the loads at a node together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bay {
    /// Number in the register map, from 1.
    pub bay: u8,
    /// Id of a line or transformer.
    pub branch: Option<Id>,
    /// Which side of it.
    pub side: Option<Side>,
    /// Ids of loads at one node.
    pub loads: Option<Vec<Id>>,
    /// Whether the bay reads and moves the transformer's tap changer.
    #[serde(default)]
    pub tap: bool,
}

/// A fault that begins by itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// Seconds after the start.
    pub at_s: f64,
    /// How long it lasts, s; none: it stays.
    pub for_s: Option<f64>,
    /// Device.
    pub device: String,
    /// What goes wrong.
    pub kind: faults::Kind,
    /// Which reading.
    pub point: Option<String>,
    /// See [`faults::Request::value`].
    pub value: Option<f64>,
}

impl TimedFault {
    /// The fault to put in force at its time.
    #[must_use]
    pub fn request(&self) -> faults::Request {
        faults::Request {
            device: self.device.clone(),
            kind: self.kind,
            point: self.point.clone(),
            value: self.value,
            for_s: self.for_s,
        }
    }
}
