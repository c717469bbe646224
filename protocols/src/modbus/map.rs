//! A device model as a table of points: which register means what. One TOML file per device model
//! deserialises into a [`RegisterMap`]; nothing here knows a site.

use serde::Deserialize;

use super::{mbap::Table, plan::Span};
use crate::point::{DoublePoint, Quality, Value};

/// Points of a device model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterMap {
    /// Unwanted registers that may be read between two wanted ones to save a request. Zero for
    /// devices that refuse to read what they do not have.
    #[serde(default = "default_gap")]
    pub max_gap: u16,
    /// Points, in any order.
    #[serde(rename = "point", default)]
    pub points: Vec<PointSpec>,
}

fn default_gap() -> u16 {
    8
}

/// One point: `value = raw * scale + offset`, in `unit`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointSpec {
    /// Name, unique within the map; the point's id is `device/name`.
    pub name: String,
    /// Table.
    pub table: Table,
    /// Protocol address, counted from 0 (documentation that says 30001 or 40001 means 0).
    pub address: u16,
    /// How a number lies in registers; not for bit tables.
    #[serde(default)]
    pub encoding: Encoding,
    /// Which register of a longer number comes first.
    #[serde(default)]
    pub word_order: WordOrder,
    /// What the number is; by default an analog value, in a bit table a binary one.
    pub kind: Option<PointKind>,
    /// Units per raw step.
    #[serde(default = "one")]
    pub scale: f64,
    /// Value at raw zero.
    #[serde(default)]
    pub offset: f64,
    /// Unit of the value, for people; SI unless the profile says otherwise, e.g. `V`, `W`.
    #[serde(default)]
    pub unit: String,
    /// Whether it may be written.
    #[serde(default)]
    pub writable: bool,
    /// Raw number (read with the encoding's sign) by which the device says "no value".
    pub invalid: Option<i64>,
}

fn one() -> f64 {
    1.0
}

/// How a number lies in registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// One register, unsigned.
    #[default]
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers, unsigned.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Two registers, IEEE 754.
    F32,
    /// Four registers, unsigned.
    U64,
}

/// Which register of a longer number comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WordOrder {
    /// The most significant one.
    #[default]
    HighFirst,
    /// The least significant one.
    LowFirst,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointKind {
    /// A measured or set quantity.
    Analog,
    /// Zero is off, anything else is on.
    Binary,
    /// 0 intermediate, 1 off, 2 on, 3 bad.
    DoublePoint,
    /// Counts up and wraps; the offset is not applied.
    Counter,
}

impl RegisterMap {
    /// Everything that is wrong with the map, one sentence each, naming the point.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = std::collections::HashSet::new();
        for point in &self.points {
            let mut say = |text: &str| problems.push(format!("point {:?}: {text}", point.name));
            if point.name.is_empty() || point.name.contains('/') {
                say("a name has at least one character and no slash");
            }
            if !names.insert(&point.name) {
                say("the name is used twice");
            }
            if point.span().end() > 0x1_0000 {
                say("ends behind the last address, 65535");
            }
            if point.writable && !point.table.is_writable() {
                say("only coils and holding registers can be writable");
            }
            if !point.scale.is_finite() || point.scale == 0.0 || !point.offset.is_finite() {
                say("scale must be finite and not zero, offset finite");
            }
            if point.table.is_bits() && point.kind() != PointKind::Binary {
                say("a bit table holds binary points only");
            }
            if point.table.is_bits() && point.encoding != Encoding::default() {
                say("a bit has no encoding");
            }
            if point.encoding == Encoding::F32 && point.kind() != PointKind::Analog {
                say("f32 is for analog points only");
            }
        }
        problems
    }
}

impl PointSpec {
    /// Its kind, given or by default.
    #[must_use]
    pub fn kind(&self) -> PointKind {
        self.kind.unwrap_or(if self.table.is_bits() {
            PointKind::Binary
        } else {
            PointKind::Analog
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn span(&self) -> Span {
        let count = match self.encoding {
            _ if self.table.is_bits() => 1,
            Encoding::U16 | Encoding::I16 => 1,
            Encoding::U32 | Encoding::I32 | Encoding::F32 => 2,
            Encoding::U64 => 4,
        };
        Span {
            table: self.table,
            address: self.address,
            count,
        }
    }

    /// Its value from its registers.
    #[must_use]
    pub fn decode(&self, registers: &[u16]) -> (Value, Quality) {
        let bits = self.gather(registers);
        // Truncation to the encoding's width is what makes the sign.
        let raw = match self.encoding {
            Encoding::I16 => i64::from(bits as i16),
            Encoding::I32 => i64::from(bits as i32),
            _ => bits as i64,
        };
        let valid = |valid| {
            if valid && self.invalid != Some(raw) {
                Quality::GOOD
            } else {
                Quality::INVALID
            }
        };
        match self.kind() {
            PointKind::Analog => {
                let number = match self.encoding {
                    Encoding::F32 => f64::from(f32::from_bits(bits as u32)),
                    Encoding::U64 => bits as f64,
                    _ => raw as f64,
                };
                let value = number * self.scale + self.offset;
                (Value::Analog(value), valid(value.is_finite()))
            }
            PointKind::Binary => (Value::Binary(bits != 0), valid(true)),
            PointKind::DoublePoint => {
                let position = match bits {
                    0 => DoublePoint::Intermediate,
                    1 => DoublePoint::Off,
                    2 => DoublePoint::On,
                    _ => DoublePoint::Bad,
                };
                (Value::DoublePoint(position), valid(bits <= 3))
            }
            // Through f64 only where it must be: a 64-bit register is longer than its mantissa.
            PointKind::Counter if self.scale == 1.0 => (Value::Counter(bits), valid(true)),
            PointKind::Counter => {
                let count = (bits as f64 * self.scale).round() as u64;
                (Value::Counter(count), valid(true))
            }
        }
    }

    /// What stands for the value while there is none.
    #[must_use]
    pub fn absent(&self) -> Value {
        match self.kind() {
            PointKind::Analog => Value::Analog(f64::NAN),
            PointKind::Binary => Value::Binary(false),
            PointKind::DoublePoint => Value::DoublePoint(DoublePoint::Bad),
            PointKind::Counter => Value::Counter(0),
        }
    }

    /// Registers (or one 0/1) that hold `value`, to the nearest step.
    ///
    /// # Errors
    /// Why it cannot be written, for a person.
    pub fn encode(&self, value: Value) -> Result<Vec<u16>, String> {
        let number = match (self.kind(), value) {
            (PointKind::Analog, Value::Analog(value)) => (value - self.offset) / self.scale,
            (PointKind::Binary, Value::Binary(on)) => f64::from(u8::from(on)),
            (PointKind::DoublePoint, Value::DoublePoint(DoublePoint::Off)) => 1.0,
            (PointKind::DoublePoint, Value::DoublePoint(DoublePoint::On)) => 2.0,
            (kind, value) => {
                return Err(format!("{value:?} cannot be written to a {kind:?} point"));
            }
        };
        let (low, high) = match self.encoding {
            Encoding::U16 => (0.0, f64::from(u16::MAX)),
            Encoding::I16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
            Encoding::U32 => (0.0, f64::from(u32::MAX)),
            Encoding::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
            Encoding::F32 => (f64::from(f32::MIN), f64::from(f32::MAX)),
            // Above this, f64 cannot tell neighbouring integers apart.
            Encoding::U64 => (0.0, 9_007_199_254_740_992.0),
        };
        let step = match self.encoding {
            Encoding::F32 => number,
            _ => number.round(),
        };
        // Not `step < low || step > high`: NaN must be refused too.
        if !(low..=high).contains(&step) {
            let encoding = self.encoding;
            return Err(format!(
                "{value:?} does not fit into {encoding:?} with scale {}",
                self.scale
            ));
        }
        let bits = match self.encoding {
            Encoding::F32 => u64::from((step as f32).to_bits()),
            _ => step as i64 as u64,
        };
        Ok(self.scatter(bits))
    }

    fn gather(&self, registers: &[u16]) -> u64 {
        let join = |bits: u64, register: &u16| bits << 16 | u64::from(*register);
        match self.word_order {
            WordOrder::HighFirst => registers.iter().fold(0, join),
            WordOrder::LowFirst => registers.iter().rev().fold(0, join),
        }
    }

    fn scatter(&self, bits: u64) -> Vec<u16> {
        let low_first = (0..self.span().count).map(|word| (bits >> (16 * word)) as u16);
        match self.word_order {
            WordOrder::HighFirst => low_first.rev().collect(),
            WordOrder::LowFirst => low_first.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(text: &str) -> RegisterMap {
        toml::from_str(text).unwrap()
    }

    fn point(text: &str) -> PointSpec {
        let text = format!("[[point]]\nname = \"x\"\naddress = 0\n{text}");
        map(&text).points.remove(0)
    }

    #[test]
    fn values_of_every_encoding() {
        let rows: &[(&str, &[u16], Value)] = &[
            ("table = 'input'", &[0xFFFF], Value::Analog(65_535.0)),
            (
                "table = 'input'\nencoding = 'i16'\nscale = 0.5\noffset = 1.0",
                &[0xFFFE],
                Value::Analog(0.0),
            ),
            (
                "table = 'input'\nencoding = 'u32'",
                &[0x0001, 0x0002],
                Value::Analog(65_538.0),
            ),
            (
                "table = 'input'\nencoding = 'u32'\nword_order = 'low_first'",
                &[0x0002, 0x0001],
                Value::Analog(65_538.0),
            ),
            (
                "table = 'input'\nencoding = 'i32'",
                &[0xFFFF, 0xFFFE],
                Value::Analog(-2.0),
            ),
            // 0x41C80000 is 25.0.
            (
                "table = 'input'\nencoding = 'f32'",
                &[0x41C8, 0x0000],
                Value::Analog(25.0),
            ),
            (
                "table = 'input'\nencoding = 'u64'\nkind = 'counter'",
                &[0, 1, 0, 7],
                Value::Counter(0x1_0000_0007),
            ),
            (
                "table = 'input'\nkind = 'counter'\nscale = 1000.0",
                &[12],
                Value::Counter(12_000),
            ),
            ("table = 'discrete'", &[1], Value::Binary(true)),
            (
                "table = 'holding'\nkind = 'binary'",
                &[0],
                Value::Binary(false),
            ),
            (
                "table = 'input'\nkind = 'double_point'",
                &[2],
                Value::DoublePoint(DoublePoint::On),
            ),
            (
                "table = 'input'\nkind = 'double_point'",
                &[3],
                Value::DoublePoint(DoublePoint::Bad),
            ),
        ];
        for (text, registers, expected) in rows {
            assert_eq!(
                point(text).decode(registers),
                (*expected, Quality::GOOD),
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_device_does_not_know_is_invalid() {
        let rows: &[(&str, &[u16])] = &[
            (
                "table = 'input'\nencoding = 'i16'\ninvalid = -32768",
                &[0x8000],
            ),
            ("table = 'input'\ninvalid = 0xFFFF", &[0xFFFF]),
            (
                "table = 'input'\nencoding = 'u64'\ninvalid = -1",
                &[0xFFFF; 4],
            ),
            // Not a number, and infinity.
            ("table = 'input'\nencoding = 'f32'", &[0x7FC0, 0x0000]),
            ("table = 'input'\nencoding = 'f32'", &[0x7F80, 0x0000]),
            ("table = 'input'\nkind = 'double_point'", &[4]),
        ];
        for (text, registers) in rows {
            assert_eq!(point(text).decode(registers).1, Quality::INVALID, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let register = point("table = 'holding'\nencoding = 'i16'\nscale = 0.1");
        assert_eq!(register.encode(Value::Analog(-12.34)), Ok(vec![0xFF85]));
        for value in [f64::NAN, f64::INFINITY, 3276.8, -3276.9] {
            assert!(register.encode(Value::Analog(value)).is_err(), "{value}");
        }
        assert!(register.encode(Value::Binary(true)).is_err());
    }

    #[test]
    fn every_problem_is_named() {
        let map = map(r#"
            [[point]]
            name = "a"
            table = "input"
            address = 65535
            encoding = "f32"
            kind = "counter"
            writable = true
            scale = 0.0
            [[point]]
            name = "a"
            table = "coil"
            address = 1
            kind = "analog"
            encoding = "u32"
        "#);
        let problems = map.problems();
        for part in [
            "65535", "writable", "scale", "f32", "twice", "binary", "encoding",
        ] {
            assert!(
                problems.iter().any(|p| p.contains(part)),
                "{part}: {problems:?}"
            );
        }
        assert!(toml::from_str::<RegisterMap>("max_gapp = 3").is_err());
    }

    proptest! {
        #[test]
        fn written_values_read_back(
            encoding in prop_oneof![
                Just("u16"), Just("i16"), Just("u32"), Just("i32"), Just("u64"), Just("f32"),
            ],
            order in prop_oneof![Just("high_first"), Just("low_first")],
            raw in -32_768i32..=65_535,
        ) {
            let point = point(&format!(
                "table = 'holding'\nencoding = '{encoding}'\nword_order = '{order}'\nscale = 0.25"
            ));
            let value = Value::Analog(f64::from(raw) * 0.25);
            match point.encode(value) {
                Ok(registers) => prop_assert_eq!(point.decode(&registers), (value, Quality::GOOD)),
                Err(_) => {
                    let outside = if encoding == "i16" { raw > 32_767 } else { raw < 0 };
                    prop_assert!(outside);
                }
            }
        }
    }
}
