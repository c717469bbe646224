//! A device model as a table of points: which kind and index means what. One TOML file per device model
//! deserialises into a [`PointMap`]; nothing here knows a site.

use std::collections::HashSet;

use serde::Deserialize;

use super::{
    Kind,
    app::{AnalogCommand, Crob, OutputCommand},
};
use crate::point::{DoublePoint, Value};

/// How long a relay of a breaker is pulsed, ms.
const PULSE_MS: u32 = 100;

/// Points of a device model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointMap {
    /// Outputs are operated without being selected before.
    #[serde(default)]
    pub direct: bool,
    /// Points, in any order.
    #[serde(rename = "point", default)]
    pub points: Vec<PointSpec>,
}

/// One point: `value = carried * scale + offset`, in `unit`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointSpec {
    /// Name, unique within the map; the point's id is `device/name`.
    pub name: String,
    /// Kind in which it is reported.
    pub kind: Kind,
    /// Index in its kind.
    pub index: u16,
    /// Units per step of what is carried; of numbers only.
    #[serde(default = "one")]
    pub scale: f64,
    /// Value where zero is carried; not of counters.
    #[serde(default)]
    pub offset: f64,
    /// Unit of the value, for people; SI unless the profile says otherwise, e.g. `V`, `W`.
    #[serde(default)]
    pub unit: String,
    /// The output that writing it operates: a binary output of a position, an analog one of a number.
    pub output: Option<u16>,
    /// How the output is operated; by default by a latch, or in single precision.
    pub operation: Option<Operation>,
}

fn one() -> f64 {
    1.0
}

/// How an output is operated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Binary: latch on and off.
    Latch,
    /// Binary: a pulse on the closing or the tripping relay.
    TripClose,
    /// Analog: g41v2.
    I16,
    /// Analog: g41v1.
    I32,
    /// Analog: g41v3.
    F32,
    /// Analog: g41v4.
    F64,
}

impl PointMap {
    /// Everything that is wrong with the map, one sentence each, naming the point.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (mut names, mut places) = (HashSet::new(), HashSet::new());
        for point in &self.points {
            let mut say = |text: &str| problems.push(format!("point {:?}: {text}", point.name));
            if point.name.is_empty() || point.name.contains('/') {
                say("a name has at least one character and no slash");
            }
            if !names.insert(&point.name) {
                say("the name is used twice");
            }
            if !places.insert((point.kind, point.index)) {
                say("kind and index are another point's already");
            }
            if !point.scale.is_finite() || point.scale == 0.0 || !point.offset.is_finite() {
                say("scale must be finite and not zero, offset finite");
            }
            if matches!(point.kind, Kind::Counter | Kind::FrozenCounter) && point.output.is_some() {
                say("a counter has no output");
            }
            if point.operation.is_some() && point.output.is_none() {
                say("has an operation but no output");
            }
            if point
                .operation
                .is_some_and(|o| o.is_binary() == point.is_number())
            {
                say("the operation is not one of its kind");
            }
        }
        problems
    }
}

impl Operation {
    fn is_binary(self) -> bool {
        matches!(self, Self::Latch | Self::TripClose)
    }
}

impl PointSpec {
    fn is_number(&self) -> bool {
        matches!(self.kind.unmeasured(), Value::Analog(_) | Value::Counter(_))
    }

    /// Its value from what is carried.
    #[must_use]
    pub fn value(&self, carried: Value) -> Value {
        match carried {
            Value::Analog(number) => Value::Analog(number * self.scale + self.offset),
            // `as` limits; a counter never goes below zero.
            Value::Counter(count) if self.scale != 1.0 => {
                Value::Counter((count as f64 * self.scale) as u64)
            }
            position_or_count => position_or_count,
        }
    }

    /// What carries a value: the other way round.
    #[must_use]
    pub fn carried(&self, value: Value) -> Value {
        match value {
            Value::Analog(number) => Value::Analog((number - self.offset) / self.scale),
            Value::Counter(count) if self.scale != 1.0 => {
                Value::Counter((count as f64 / self.scale) as u64)
            }
            position_or_count => position_or_count,
        }
    }

    /// The output's index and the command that writes a value.
    ///
    /// # Errors
    /// It cannot be written, or not to this value; in words.
    pub fn command(&self, value: Value) -> Result<(u16, OutputCommand), String> {
        let name = &self.name;
        let index = self
            .output
            .ok_or_else(|| format!("{name} is not writable"))?;
        let command = match (value, self.is_number()) {
            (Value::Analog(_), true) => {
                let Value::Analog(number) = self.carried(value) else {
                    return Err(format!("{name} takes numbers"));
                };
                OutputCommand::Analog(self.number(number)?)
            }
            (Value::Binary(on), false) => OutputCommand::Crob(self.crob(on)),
            (Value::DoublePoint(position @ (DoublePoint::On | DoublePoint::Off)), false) => {
                OutputCommand::Crob(self.crob(position == DoublePoint::On))
            }
            (value, _) => return Err(format!("{name} cannot be set to {value:?}")),
        };
        Ok((index, command))
    }

    fn crob(&self, on: bool) -> Crob {
        match self.operation {
            Some(Operation::TripClose) => Crob::breaker(on, PULSE_MS),
            _ => Crob::latch(on),
        }
    }

    fn number(&self, number: f64) -> Result<AnalogCommand, String> {
        let (rounded, most) = (number.round(), number.abs());
        let beyond = || format!("{number} is beyond what {} carries", self.name);
        match self.operation {
            Some(Operation::I16) if (i16::MIN.into()..=i16::MAX.into()).contains(&rounded) => {
                Ok(AnalogCommand::I16(rounded as i16))
            }
            Some(Operation::I32) if (i32::MIN.into()..=i32::MAX.into()).contains(&rounded) => {
                Ok(AnalogCommand::I32(rounded as i32))
            }
            Some(Operation::F64) if number.is_finite() => Ok(AnalogCommand::F64(number)),
            None | Some(Operation::F32) if most <= f32::MAX.into() => {
                Ok(AnalogCommand::F32(number as f32))
            }
            _ => Err(beyond()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: Kind) -> PointSpec {
        PointSpec {
            name: "x".to_owned(),
            kind,
            index: 0,
            scale: 1.0,
            offset: 0.0,
            unit: String::new(),
            output: Some(7),
            operation: None,
        }
    }

    #[test]
    fn values_are_scaled_both_ways() {
        let analog = PointSpec {
            scale: 0.1,
            offset: -5.0,
            ..spec(Kind::Analog)
        };
        assert_eq!(analog.value(Value::Analog(100.0)), Value::Analog(5.0));
        assert_eq!(analog.carried(Value::Analog(5.0)), Value::Analog(100.0));
        let counter = PointSpec {
            scale: 1000.0,
            ..spec(Kind::Counter)
        };
        assert_eq!(counter.value(Value::Counter(3)), Value::Counter(3000));
        assert_eq!(counter.carried(Value::Counter(3999)), Value::Counter(3));
    }

    #[test]
    fn commands_are_made_as_the_profile_says() {
        let with = |kind, operation| PointSpec {
            operation: Some(operation),
            ..spec(kind)
        };
        let analog = |spec: PointSpec, value| spec.command(Value::Analog(value));
        let carried = |command| Ok((7, OutputCommand::Analog(command)));
        let number = spec(Kind::Analog);
        assert_eq!(
            analog(number.clone(), 1.5),
            carried(AnalogCommand::F32(1.5))
        );
        let tap = with(Kind::Analog, Operation::I16);
        assert_eq!(analog(tap.clone(), -3.0), carried(AnalogCommand::I16(-3)));
        assert!(analog(tap.clone(), 40_000.0).is_err());
        assert!(analog(tap, f64::NAN).is_err());
        assert!(analog(number.clone(), f64::INFINITY).is_err());
        assert!(number.command(Value::Binary(true)).is_err());
        let crob = |spec: PointSpec, value| spec.command(value);
        let breaker = with(Kind::DoubleBit, Operation::TripClose);
        let trip = Ok((7, OutputCommand::Crob(Crob::breaker(false, PULSE_MS))));
        assert_eq!(
            crob(breaker.clone(), Value::DoublePoint(DoublePoint::Off)),
            trip
        );
        assert!(crob(breaker, Value::DoublePoint(DoublePoint::Bad)).is_err());
        let latch = Ok((7, OutputCommand::Crob(Crob::latch(true))));
        assert_eq!(crob(spec(Kind::Binary), Value::Binary(true)), latch);
        let read_only = PointSpec {
            output: None,
            ..spec(Kind::Binary)
        };
        assert!(read_only.command(Value::Binary(true)).is_err());
    }

    #[test]
    fn every_problem_of_a_map_is_named() {
        let bad = PointSpec {
            name: "a/b".to_owned(),
            scale: 0.0,
            operation: Some(Operation::F32),
            ..spec(Kind::Counter)
        };
        let twice = PointSpec {
            output: None,
            operation: Some(Operation::Latch),
            ..bad.clone()
        };
        let map = PointMap {
            direct: false,
            points: vec![bad, twice],
        };
        let problems = map.problems();
        for part in [
            "no slash",
            "used twice",
            "another point's already",
            "scale must",
            "a counter has no output",
            "no output",
            "not one of its kind",
        ] {
            assert!(
                problems.iter().any(|p| p.contains(part)),
                "{part}: {problems:?}"
            );
        }
    }
}
