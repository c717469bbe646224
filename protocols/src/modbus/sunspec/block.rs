//! One model's registers, read and written by point name. The same code serves the client, which
//! fills it from the wire, and the server, which answers from it.

use super::model::{Model, Point, words};

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

    /// Number at `name`, unscaled; `None`: not implemented or no such point.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<i128> {
        let point = self.model.point(name)?;
        point.kind.decode(self.slice(point)?)
    }

    /// Number at `name` in the unit of the model definition; `None`: not implemented, no such
    /// point, or without a valid scale factor.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        let raw = self.raw(name)? as f64;
        let exponent = self.exponent(self.model.point(name)?)?;
        // Dividing by an exact power keeps 1234 at -1 equal to 123.4; multiplying by 0.1 does not.
        Some(match exponent {
            0.. => raw * 10f64.powi(exponent),
            _ => raw / 10f64.powi(-exponent),
        })
    }

    /// Text at `name`, up to its first zero; characters that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let registers = self.model.point(name).and_then(|point| self.slice(point));
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
        let super::model::Kind::Str(size) = point.kind else {
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
            .ok_or(SunspecError::Range {
                model: self.model.id,
                point: point.name,
                value,
                exponent,
            })
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
        if matches!(point.kind, super::model::Kind::Str(_)) {
            return;
        }
        for (register, word) in words(bits, point.kind.size()).enumerate() {
            self.registers[usize::from(point.offset) + register] = word;
        }
    }
}
