//! Device models: one TOML file each in `edge/profiles/`, built into the program.
//!
//! A profile says how exact the device's measurements are (`[accuracy]`) and, for plain Modbus
//! devices, which register means what (`[registers]`, a [`RegisterMap`]), or for DNP3 outstations which
//! index (`[dnp3]`, a [`PointMap`]) or address (`[iec104]`, an [`ObjectMap`]), or for IEDs which attribute
//! (`[iec61850]`, an [`iec61850::ObjectMap`]). `protocol = "sunspec"` marks devices that describe their registers
//! themselves.

use protocols::{dnp3::map::PointMap, iec104::map::ObjectMap, iec61850, modbus::map::RegisterMap};
use serde::Deserialize;

#[derive(rust_embed::RustEmbed)]
#[folder = "profiles"]
struct Files;

/// A device model.
#[derive(Clone, Debug)]
pub struct Profile {
    /// In words.
    pub description: String,
    /// How its points are reached.
    pub access: Access,
    /// How exact its measurements are.
    pub accuracy: Accuracy,
}

/// How a device's points are reached.
#[derive(Clone, Debug)]
pub enum Access {
    /// SunSpec Modbus: discovered.
    Sunspec,
    /// Modbus registers as listed.
    Modbus(RegisterMap),
    /// DNP3 points as listed.
    Dnp3(PointMap),
    /// IEC 60870-5-104 objects as listed.
    Iec104(ObjectMap),
    /// IEC 61850 attributes as listed, and those that the site file adds.
    Iec61850(iec61850::ObjectMap),
}

/// Accuracy of each kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Voltage, V.
    pub u: ErrorBand,
    /// Active power, W.
    pub p: ErrorBand,
    /// Reactive power, var.
    pub q: ErrorBand,
    /// Current, A; none: not used as a measurement.
    pub i: Option<ErrorBand>,
}

/// Standard deviation of a measurement: `floor + pct/100·|value| + pct_rated/100·nameplate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBand {
    /// Percent of the value.
    pub pct: f64,
    /// Whatever the value, in its unit.
    #[serde(default)]
    pub floor: f64,
    /// Percent of the device's nameplate active power.
    #[serde(default)]
    pub pct_rated: f64,
}

impl ErrorBand {
    /// Standard deviation at a value, for a device of this nameplate.
    #[must_use]
    pub fn sigma(&self, value: f64, rated: f64) -> f64 {
        self.floor + (self.pct * value.abs() + self.pct_rated * rated.abs()) / 100.0
    }
}

/// A profile's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    description: String,
    protocol: Option<Protocol>,
    accuracy: Accuracy,
    registers: Option<RegisterMap>,
    dnp3: Option<PointMap>,
    iec104: Option<ObjectMap>,
    iec61850: Option<iec61850::ObjectMap>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    Sunspec,
}

impl Profile {
    /// Whether it takes DER setpoints.
    #[must_use]
    pub fn is_der(&self) -> bool {
        matches!(self.access, Access::Sunspec)
    }

    /// Whether its list has a point of this name.
    #[must_use]
    pub fn has_point(&self, name: &str) -> bool {
        match &self.access {
            Access::Sunspec => false,
            Access::Modbus(map) => map.points.iter().any(|p| p.name == name),
            Access::Dnp3(map) => map.points.iter().any(|p| p.name == name),
            Access::Iec104(map) => map.points.iter().any(|p| p.name == name),
            Access::Iec61850(map) => map.points.iter().any(|p| p.name == name),
        }
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        let accesses = [
            file.protocol.map(|Protocol::Sunspec| Access::Sunspec),
            file.registers.map(Access::Modbus),
            file.dnp3.map(Access::Dnp3),
            file.iec104.map(Access::Iec104),
            file.iec61850.map(Access::Iec61850),
        ];
        let mut accesses = accesses.into_iter().flatten();
        let (Some(access), None) = (accesses.next(), accesses.next()) else {
            let one =
                "needs one of `protocol`, `[registers]`, `[dnp3]`, `[iec104]` and `[iec61850]`";
            return Err(one.to_owned());
        };
        let problems = match &access {
            Access::Sunspec => Vec::new(),
            Access::Modbus(map) => map.problems(),
            Access::Dnp3(map) => map.problems(),
            Access::Iec104(map) => map.problems(),
            Access::Iec61850(map) => map.problems(),
        };
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        Ok(Self {
            description: file.description,
            access,
            accuracy: file.accuracy,
        })
    }
}

/// The profile of this name.
///
/// # Errors
/// There is none, or it is broken; in words.
pub fn find(name: &str) -> Result<Profile, String> {
    let Some(file) = Files::get(&format!("{name}.toml")) else {
        return Err(format!(
            "there is no profile `{name}`; there are {}",
            names().join(", ")
        ));
    };
    let text = String::from_utf8_lossy(&file.data);
    Profile::parse(&text).map_err(|e| format!("profile `{name}` is broken: {e}"))
}

/// Names of all profiles.
#[must_use]
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = Files::iter()
        .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_profile_is_whole() {
        let names = super::names();
        assert!(names.contains(&"sunspec".to_owned()), "{names:?}");
        for name in names {
            super::find(&name).unwrap();
        }
    }
}
