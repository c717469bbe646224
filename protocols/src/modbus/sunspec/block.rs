//! One model's registers, read and written by point name. The same code serves the client, which
//! fills it from the wire, and the server, which answers from it.

use super::model::{Kind, Model, Point, words};

/// Registers of one model, `ID` and `L` included.
#[derive(Clone, Debug)]
pub struct Block {
    /// Definition.
    pub model: &'static Model,
    /// Address of the model's `ID` register.
    pub address: u16,
    registers: Vec<u16>,
}

/// Why a point could not be set or a model not be laid out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SunspecError {
    /// No definition of the model, or the device has none of it.
    #[error("no SunSpec model {0} here")]
    NoModel(u16),
    /// The model has no such point, or it is no number or text as asked for.
    #[error("SunSpec model {model} has no such point {point:?} to set")]
    NoPoint {
        /// Model id.
        model: u16,
        /// Name asked for.
        point: String,
    },
    /// The scale factor point is not set.
    #[error("SunSpec model {model} point {point}: its scale factor {scale} is not set")]
    NoScale {
        /// Model id.
        model: u16,
        /// Name of the point.
        point: &'static str,
        /// Name of its scale factor.
        scale: &'static str,
    },
    /// The value does not fit.
    #[error(
        "SunSpec model {model} point {point}: {value} does not fit with scale factor {exponent}"
    )]
    Range {
        /// Model id.
        model: u16,
        /// Name of the point.
        point: &'static str,
        /// Value asked for.
        value: f64,
        /// Exponent of ten in force.
        exponent: i32,
    },
    /// The chain of models does not fit between its base address and 65535.
    #[error("SunSpec models do not fit behind base address {0}")]
    TooLong(u16),
}

/// How a value is brought onto the grid of its scale factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// To the nearest step.
    Nearest,
    /// Towards zero: the magnitude never grows.
    TowardsZero,
}

impl Block {
    /// A model with every point "not implemented" and texts empty, at `address`.
    #[must_use]
    pub fn new(model: &'static Model, address: u16) -> Self {
        let mut registers = vec![0; usize::from(model.length) + 2];
        registers[0] = model.id;
        registers[1] = model.length;
        let mut block = Self {
            model,
            address,
            registers,
        };
        for point in model.points {
            block.put(point, point.kind.not_implemented());
        }
        block
    }

    /// The registers, `ID` and `L` first.
    #[must_use]
    pub fn registers(&self) -> &[u16] {
        &self.registers
    }

    /// Replaces registers from `offset` (counted from `ID`) on; what lies beyond the definition is
    /// dropped, since a device's model may be longer than the one known here.
    pub fn load(&mut self, offset: u16, registers: &[u16]) {
        let tail = self.registers.get_mut(usize::from(offset)..);
        for (to, from) in tail.into_iter().flatten().zip(registers) {
            *to = *from;
        }
    }

    /// Integer at `name`, unscaled; `None`: not implemented, no integer or no such point.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<i128> {
        let point = self.model.point(name)?;
        point.kind.decode(self.slice(point)?)
    }

    /// Number at `name` in the unit of the model definition; `None`: not implemented, no such
    /// point, or without a valid scale factor.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        let point = self.model.point(name)?;
        if point.kind == Kind::F32 {
            let bits = self
                .slice(point)?
                .iter()
                .fold(0, |b, r| b << 16 | u32::from(*r));
            // Whatever is not a number is none.
            return Some(f64::from(f32::from_bits(bits))).filter(|number| number.is_finite());
        }
        let raw = self.raw(name)? as f64;
        let exponent = self.exponent(point)?;
        // Dividing by an exact power keeps 1234 at -1 equal to 123.4; multiplying by 0.1 does not.
        Some(match exponent {
            0.. => raw * 10f64.powi(exponent),
            _ => raw / 10f64.powi(-exponent),
        })
    }

    /// Text at `name`, up to its first zero; characters that are not UTF-8 are replaced. Empty: no such
    /// text.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let point = self.model.point(name);
        let point = point.filter(|point| matches!(point.kind, Kind::Str(_)));
        let registers = point.and_then(|point| self.slice(point));
        let bytes: Vec<u8> = registers
            .unwrap_or_default()
            .iter()
            .flat_map(|register| register.to_be_bytes())
            .take_while(|&byte| byte != 0)
            .collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Sets the number at `name`, given in the unit of the model definition, to the nearest step.
    ///
    /// # Errors
    /// No such number, its scale factor not set, or out of range.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), SunspecError> {
        let point = self.find(name)?;
        let bits = self.encode(point, value, Round::Nearest)?;
        self.put(point, bits);
        Ok(())
    }

    /// Sets the text at `name`, cut to its length.
    ///
    /// # Errors
    /// No such text.
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<(), SunspecError> {
        let point = self.find(name)?;
        let Kind::Str(size) = point.kind else {
            return Err(self.no_point(name));
        };
        let mut bytes = text.bytes().chain(std::iter::repeat(0));
        for register in 0..usize::from(size) {
            let pair = [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)];
            self.registers[usize::from(point.offset) + register] = u16::from_be_bytes(pair);
        }
        Ok(())
    }

    /// Bits of `value` at `name`, as they would be written. See [`Self::set`].
    pub(super) fn encode(
        &self,
        point: &'static Point,
        value: f64,
        round: Round,
    ) -> Result<u64, SunspecError> {
        let exponent = self.exponent(point).ok_or(SunspecError::NoScale {
            model: self.model.id,
            point: point.name,
            scale: point.scale,
        })?;
        let steps = match exponent {
            0.. => value / 10f64.powi(exponent),
            _ => value * 10f64.powi(-exponent),
        };
        if point.kind == Kind::F32 {
            let single = value as f32;
            return match single.is_finite() {
                true => Ok(u64::from(single.to_bits())),
                false => Err(self.range(point, value, exponent)),
            };
        }
        // A value already on the grid must not fall a step because of the division's rounding.
        let on_grid = (steps - steps.round()).abs() <= 1e-9 * steps.abs();
        let steps = match round {
            Round::TowardsZero if !on_grid => steps.trunc(),
            _ => steps.round(),
        };
        // The cast saturates, and NaN becomes 0: hence the test.
        steps
            .is_finite()
            .then_some(steps as i128)
            .and_then(|raw| point.kind.encode(raw))
            .ok_or_else(|| self.range(point, value, exponent))
    }

    fn range(&self, point: &'static Point, value: f64, exponent: i32) -> SunspecError {
        SunspecError::Range {
            model: self.model.id,
            point: point.name,
            value,
            exponent,
        }
    }

    /// Definition of `name`.
    pub(super) fn find(&self, name: &str) -> Result<&'static Point, SunspecError> {
        self.model.point(name).ok_or_else(|| self.no_point(name))
    }

    /// Exponent of ten of `point`; `None` when its scale factor is not implemented or not valid.
    fn exponent(&self, point: &Point) -> Option<i32> {
        if point.scale.is_empty() {
            return Some(0);
        }
        let exponent = i32::try_from(self.raw(point.scale)?).ok()?;
        (-10..=10).contains(&exponent).then_some(exponent)
    }

    fn no_point(&self, name: &str) -> SunspecError {
        SunspecError::NoPoint {
            model: self.model.id,
            point: name.to_owned(),
        }
    }

    fn slice(&self, point: &Point) -> Option<&[u16]> {
        let start = usize::from(point.offset);
        self.registers
            .get(start..start + usize::from(point.kind.size()))
    }

    fn put(&mut self, point: &Point, bits: u64) {
        if matches!(point.kind, Kind::Str(_)) {
            return;
        }
        for (register, word) in words(bits, point.kind.size()).enumerate() {
            self.registers[usize::from(point.offset) + register] = word;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::modbus::sunspec::tables::{MODELS, find};

    #[test]
    fn definitions_are_gapless() {
        for model in MODELS {
            let mut next = 2;
            for point in model.points {
                assert_eq!(point.offset, next, "model {} {}", model.id, point.name);
                next += point.kind.size();
                let scaled = point.scale.is_empty() || model.point(point.scale).is_some();
                assert!(scaled, "model {} {}", model.id, point.name);
            }
            assert_eq!(next, model.length + 2, "model {}", model.id);
        }
    }

    #[test]
    fn a_new_block_implements_nothing() {
        for model in MODELS {
            let block = Block::new(model, 40_002);
            assert_eq!(block.registers()[..2], [model.id, model.length]);
            for point in model.points {
                let counts = matches!(point.kind, Kind::Acc32) || matches!(point.kind, Kind::Acc64);
                assert_eq!(block.raw(point.name), counts.then_some(0), "{}", point.name);
                assert_eq!(block.text(point.name), "");
            }
        }
    }

    #[test]
    fn scale_factors_are_obeyed() {
        let mut block = Block::new(find(103).unwrap(), 0);
        assert!(matches!(
            block.set("W", 1.0),
            Err(SunspecError::NoScale { .. })
        ));
        block.set("W_SF", -1.0).unwrap();
        block.set("W", 123.4).unwrap();
        assert_eq!((block.raw("W"), block.get("W")), (Some(1234), Some(123.4)));
        // 3276.8 would read "not implemented" were it negative, and does not fit.
        for value in [3276.8, -3276.8, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                block.set("W", value),
                Err(SunspecError::Range { .. })
            ));
        }
        assert_eq!(block.get("W"), Some(123.4));
        // A scale factor beyond -10 to 10 makes the value unusable, not large.
        block.load(15, &[11]);
        assert_eq!(block.get("W"), None);
        assert!(matches!(
            block.set("Wh", 1.0),
            Err(SunspecError::NoPoint { .. })
        ));
    }

    #[test]
    fn texts_are_cut_and_padded() {
        let mut block = Block::new(find(1).unwrap(), 0);
        block.set_text("Vr", "1.2.3").unwrap();
        assert_eq!(block.text("Vr"), "1.2.3");
        block.set_text("Vr", "a version much too long").unwrap();
        assert_eq!(block.text("Vr"), "a version much t");
        assert!(block.set_text("DA", "x").is_err());
    }

    proptest! {
        #[test]
        fn rounding_towards_zero_never_exceeds(value in -1e6..1e6f64, exponent in -2i32..=3) {
            let mut block = Block::new(find(704).unwrap(), 0);
            block.set("WSet_SF", f64::from(exponent)).unwrap();
            let point = block.find("WSet").unwrap();
            let bits = block.encode(point, value, Round::TowardsZero).unwrap();
            block.put(point, bits);
            let got = block.get("WSet").unwrap();
            prop_assert!(got.abs() <= value.abs() * (1.0 + 1e-9));
            prop_assert!((got - value).abs() < 10f64.powi(exponent) * (1.0 + 1e-9));
        }

        #[test]
        fn what_is_on_the_grid_stays(raw in -32_767i32..=32_767, exponent in -10i32..=10) {
            let mut block = Block::new(find(103).unwrap(), 0);
            block.set("W_SF", f64::from(exponent)).unwrap();
            block.load(14, &[raw as i16 as u16]);
            let value = block.get("W").unwrap();
            let point = block.find("W").unwrap();
            for round in [Round::Nearest, Round::TowardsZero] {
                let bits = block.encode(point, value, round).unwrap();
                prop_assert_eq!(bits as u16 as i16, raw as i16);
            }
        }

        #[test]
        fn numbers_of_every_type_survive(raw in any::<i64>()) {
            for point in MODELS.into_iter().flat_map(|model| model.points) {
                let raw = i128::from(raw);
                for raw in [raw, raw >> 32, raw >> 48, raw >> 60] {
                    let Some(bits) = point.kind.encode(raw) else { continue };
                    let registers: Vec<u16> = words(bits, point.kind.size()).collect();
                    prop_assert_eq!(point.kind.decode(&registers), Some(raw), "{:?}", point.kind);
                }
            }
        }
    }
}
