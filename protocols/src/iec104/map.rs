//! A device model as tables of information objects: which address means what. One TOML file per device
//! model deserialises into an [`ObjectMap`]; nothing here knows a site.

use std::collections::HashSet;

use serde::Deserialize;

use super::{Command, CommandValue, ControlKind, Kind, MAX_IOA};
use crate::point::{DoublePoint, Value};

/// Points and commands of a device model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectMap {
    /// What it tells, in any order.
    #[serde(rename = "point", default)]
    pub points: Vec<PointSpec>,
    /// What it takes.
    #[serde(rename = "command", default)]
    pub commands: Vec<CommandSpec>,
    /// Whether it says when a command has been carried out, beside that it confirms it.
    #[serde(default = "yes")]
    pub termination: bool,
}

fn yes() -> bool {
    true
}

/// One point: `value = raw * scale + offset`, in `unit`. Raw is the number itself, of a normalized value
/// -1 to 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointSpec {
    /// Name, unique among the points; the point's id is `device/name`.
    pub name: String,
    /// Information object address, 1 to 16777215.
    pub ioa: u32,
    /// Kind of information; objects of another kind at this address are ignored.
    pub kind: Kind,
    /// Units per raw unit; not for indications and bitstrings.
    #[serde(default = "one")]
    pub scale: f64,
    /// Value at raw zero; not for counters.
    #[serde(default)]
    pub offset: f64,
    /// Unit of the value, for people; SI unless the profile says otherwise, e.g. `V`, `W`.
    #[serde(default)]
    pub unit: String,
}

/// One command, written as the point of its name; numbers are scaled as a point's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// Name, unique among the commands; the point it is written to is `device/name`.
    pub name: String,
    /// Information object address, 1 to 16777215.
    pub ioa: u32,
    /// Kind of the command.
    pub kind: ControlKind,
    /// Whether it is selected first.
    #[serde(default)]
    pub select: bool,
    /// Qualifier: of single, double and step commands 0 to 31, of set points 0 to 127.
    #[serde(default)]
    pub qualifier: u8,
    /// Units per raw unit; of set points only.
    #[serde(default = "one")]
    pub scale: f64,
    /// Value at raw zero; of set points only.
    #[serde(default)]
    pub offset: f64,
    /// Unit of the value, for people.
    #[serde(default)]
    pub unit: String,
}

fn one() -> f64 {
    1.0
}

impl ObjectMap {
    /// Everything that is wrong with the map, one sentence each, naming the point.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let points = self
            .points
            .iter()
            .map(|p| (&p.name, p.ioa, p.scale, p.offset));
        let commands = self
            .commands
            .iter()
            .map(|c| (&c.name, c.ioa, c.scale, c.offset));
        check("point", points, &mut problems);
        check("command", commands, &mut problems);
        for point in &self.points {
            let plain = point.scale == 1.0 && point.offset == 0.0;
            let wrong = match point.kind {
                Kind::Single | Kind::Double | Kind::Bitstring => !plain,
                Kind::Counter => point.scale < 0.0 || point.offset != 0.0,
                _ => false,
            };
            if wrong {
                problems.push(format!(
                    "point {:?}: its kind is not scaled like this",
                    point.name
                ));
            }
        }
        for command in &self.commands {
            let plain = command.scale == 1.0 && command.offset == 0.0;
            let (highest, scaled) = match command.kind {
                ControlKind::Single | ControlKind::Double | ControlKind::Step => (31, false),
                _ => (127, true),
            };
            let name = &command.name;
            if command.qualifier > highest {
                problems.push(format!("command {name:?}: its qualifier is 0 to {highest}"));
            }
            if !plain && !scaled {
                problems.push(format!("command {name:?}: its kind is not scaled"));
            }
        }
        problems
    }
}

fn check<'a>(
    what: &str,
    rows: impl Iterator<Item = (&'a String, u32, f64, f64)>,
    problems: &mut Vec<String>,
) {
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    for (name, ioa, scale, offset) in rows {
        let mut say = |text: &str| problems.push(format!("{what} {name:?}: {text}"));
        if name.is_empty() || name.contains('/') {
            say("a name has at least one character and no slash");
        }
        if !names.insert(name) {
            say("the name is used twice");
        }
        if ioa == 0 || ioa > MAX_IOA {
            say("an address is 1 to 16777215");
        }
        if !addresses.insert(ioa) {
            say("the address is used twice");
        }
        if !scale.is_finite() || scale == 0.0 || !offset.is_finite() {
            say("scale must be finite and not zero, offset finite");
        }
    }
}

impl PointSpec {
    /// The value of what came.
    #[must_use]
    pub fn value(&self, raw: Value) -> Value {
        match raw {
            Value::Analog(raw) => Value::Analog(raw * self.scale + self.offset),
            Value::Counter(raw) if self.kind == Kind::Counter => {
                // Saturates; a scale of 1 leaves every count as it is.
                Value::Counter((raw as f64 * self.scale).round() as u64)
            }
            raw => raw,
        }
    }

    /// What carries a value: the other way round.
    #[must_use]
    pub fn carried(&self, value: Value) -> Value {
        match value {
            Value::Analog(value) => Value::Analog((value - self.offset) / self.scale),
            Value::Counter(count) if self.scale != 1.0 => {
                Value::Counter((count as f64 / self.scale).round() as u64)
            }
            value => value,
        }
    }
}

impl CommandSpec {
    /// What a command of the point asks for: the other way round than [`Self::command`].
    #[must_use]
    pub fn value(&self, command: CommandValue) -> Value {
        let number = |raw: f64| Value::Analog(raw * self.scale + self.offset);
        match command {
            CommandValue::Single(on) | CommandValue::Double(on) | CommandValue::Step(on) => {
                Value::Binary(on)
            }
            CommandValue::Normalized(raw) => number(raw),
            CommandValue::Scaled(raw) => number(raw.into()),
            CommandValue::Float(raw) => number(raw.into()),
        }
    }

    /// The command that writes `value`.
    ///
    /// # Errors
    /// Why it cannot be written, in words.
    pub fn command(&self, value: Value) -> Result<Command, String> {
        let raw = |value: f64| (value - self.offset) / self.scale;
        let switch = match value {
            Value::Binary(on) => Some(on),
            Value::DoublePoint(DoublePoint::On) => Some(true),
            Value::DoublePoint(DoublePoint::Off) => Some(false),
            _ => None,
        };
        let value = match (self.kind, value, switch) {
            (ControlKind::Single, _, Some(on)) => CommandValue::Single(on),
            (ControlKind::Double, _, Some(on)) => CommandValue::Double(on),
            (ControlKind::Step, _, Some(on)) => CommandValue::Step(on),
            (ControlKind::Normalized, Value::Analog(value), _) => {
                let raw = within(raw(value), -1.0, 32_767.0 / 32_768.0)?;
                CommandValue::Normalized(raw)
            }
            (ControlKind::Scaled, Value::Analog(value), _) => {
                let raw = within(raw(value).round(), -32_768.0, 32_767.0)?;
                CommandValue::Scaled(raw as i16)
            }
            (ControlKind::Float, Value::Analog(value), _) => {
                let raw = within(raw(value), f32::MIN.into(), f32::MAX.into())?;
                CommandValue::Float(raw as f32)
            }
            (kind, value, _) => return Err(format!("{value:?} is nothing for a {kind:?} command")),
        };
        Ok(Command {
            qualifier: self.qualifier,
            ..Command::new(self.ioa, value)
        })
    }
}

fn within(raw: f64, low: f64, high: f64) -> Result<f64, String> {
    match (low..=high).contains(&raw) {
        true => Ok(raw),
        false => Err(format!("{raw} is not {low} to {high}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = r#"
        [[point]]
        name = "p"
        ioa = 300
        kind = "scaled"
        scale = 1000.0
        offset = 5.0
        [[point]]
        name = "energy"
        ioa = 400
        kind = "counter"
        scale = 10.0
        [[command]]
        name = "p_set"
        ioa = 300
        kind = "scaled"
        scale = 1000.0
        select = true
        [[command]]
        name = "breaker"
        ioa = 1
        kind = "double"
        qualifier = 2
    "#;

    #[test]
    fn numbers_are_scaled_both_ways() {
        let map: ObjectMap = toml::from_str(MAP).unwrap();
        assert_eq!(map.problems(), Vec::<String>::new());
        assert_eq!(
            map.points[0].value(Value::Analog(-3.0)),
            Value::Analog(-2995.0)
        );
        assert_eq!(map.points[1].value(Value::Counter(7)), Value::Counter(70));
        let set = map.commands[0].command(Value::Analog(2_400.0)).unwrap();
        assert_eq!((set.ioa, set.value), (300, CommandValue::Scaled(2)));
        assert_eq!(map.commands[0].value(set.value), Value::Analog(2_000.0));
        for (point, value) in [(0, Value::Analog(-2995.0)), (1, Value::Counter(70))] {
            let point = &map.points[point];
            assert_eq!(point.value(point.carried(value)), value);
        }
        assert!(map.commands[0].command(Value::Analog(33e6)).is_err());
        assert!(map.commands[0].command(Value::Binary(true)).is_err());
        let off = map.commands[1]
            .command(Value::DoublePoint(DoublePoint::Off))
            .unwrap();
        assert_eq!((off.value, off.qualifier), (CommandValue::Double(false), 2));
        assert!(
            map.commands[1]
                .command(Value::DoublePoint(DoublePoint::Bad))
                .is_err()
        );
    }

    #[test]
    fn every_problem_is_named() {
        let map: ObjectMap = toml::from_str(
            r#"
            [[point]]
            name = "a/b"
            ioa = 0
            kind = "single"
            scale = 2.0
            [[point]]
            name = "c"
            ioa = 0
            kind = "float"
            scale = 0.0
            [[command]]
            name = "d"
            ioa = 16777216
            kind = "single"
            qualifier = 32
            "#,
        )
        .unwrap();
        let problems = map.problems();
        assert_eq!(problems.len(), 8, "{problems:#?}");
    }
}
