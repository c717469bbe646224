//! The register image of a SunSpec device: `SunS`, a chain of models, the end model. A simulated
//! device sets its measurements by point name, and reads from it what a client wrote.

use std::sync::{Mutex, PoisonError};

use super::{
    block::{Block, SunspecError},
    tables,
};
use crate::modbus::server::{ExceptionCode, Registers, Table};

/// `SunS`, the mark at a device's base address.
pub(super) const SUNS: [u16; 2] = [0x5375, 0x6E53];
/// Id of the model that ends the chain.
pub(super) const END: u16 = 0xFFFF;

/// Registers of a SunSpec device.
#[derive(Clone, Debug)]
pub struct Image {
    base: u16,
    blocks: Vec<Block>,
    written: Vec<(u16, &'static str)>,
}

impl Image {
    /// The chain of `models` at `base`, in this order, every point "not implemented".
    ///
    /// # Errors
    /// A model without definition, or more models than addresses.
    pub fn new(base: u16, models: &[u16]) -> Result<Self, SunspecError> {
        let too_long = || SunspecError::TooLong(base);
        let mut address = base.checked_add(2).ok_or_else(too_long)?;
        let mut blocks = Vec::with_capacity(models.len());
        for &id in models {
            let model = tables::find(id).ok_or(SunspecError::NoModel(id))?;
            blocks.push(Block::new(model, address));
            address = address.checked_add(model.length + 2).ok_or_else(too_long)?;
        }
        // The end model takes two registers more.
        address.checked_add(1).ok_or_else(too_long)?;
        Ok(Self {
            base,
            blocks,
            written: Vec::new(),
        })
    }

    /// Number at `point` of `model`; `None`: not implemented or not there.
    #[must_use]
    pub fn get(&self, model: u16, point: &str) -> Option<f64> {
        self.block(model)?.get(point)
    }

    /// Text at `point` of `model`; empty when it is not there.
    #[must_use]
    pub fn text(&self, model: u16, point: &str) -> String {
        self.block(model).map(|b| b.text(point)).unwrap_or_default()
    }

    /// Sets a number in the unit of the model definition; a scale factor is set by its own name,
    /// before the points it scales.
    ///
    /// # Errors
    /// See [`Block::set`].
    pub fn set(&mut self, model: u16, point: &str, value: f64) -> Result<(), SunspecError> {
        self.block_mut(model)?.set(point, value)
    }

    /// Sets a text.
    ///
    /// # Errors
    /// See [`Block::set_text`].
    pub fn set_text(&mut self, model: u16, point: &str, text: &str) -> Result<(), SunspecError> {
        self.block_mut(model)?.set_text(point, text)
    }

    /// Points a client wrote since the last call, each once, as (model, point), in the order of the
    /// first write. Writing the same value again counts: that is how a lease is renewed.
    pub fn take_written(&mut self) -> Vec<(u16, &'static str)> {
        std::mem::take(&mut self.written)
    }

    /// Registers `address` to `address + count`, as a client reads them.
    ///
    /// # Errors
    /// `IllegalDataAddress` outside the chain.
    pub fn read(&self, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        (0..count)
            .map(|i| address.checked_add(i).and_then(|a| self.register(a)))
            .collect::<Option<_>>()
            .ok_or(ExceptionCode::IllegalDataAddress)
    }

    /// Writes as a client does: all or nothing, and only whole, writable points of one model.
    ///
    /// # Errors
    /// `IllegalDataAddress`.
    pub fn write(&mut self, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        let refused = ExceptionCode::IllegalDataAddress;
        let start = usize::from(address);
        let block = self
            .blocks
            .iter_mut()
            .find(|block| {
                let first = usize::from(block.address);
                first <= start && start + values.len() <= first + block.registers().len()
            })
            .ok_or(refused)?;
        let first = start - usize::from(block.address);
        let end = first + values.len();
        let mut touched = Vec::new();
        let mut next = first;
        for point in block.model.points {
            let at = usize::from(point.offset);
            if at < end && at + usize::from(point.kind.size()) > first {
                if !point.writable || at != next {
                    return Err(refused);
                }
                next = at + usize::from(point.kind.size());
                touched.push((block.model.id, point.name));
            }
        }
        if next != end || touched.is_empty() {
            return Err(refused);
        }
        block.load(first as u16, values);
        for point in touched {
            if !self.written.contains(&point) {
                self.written.push(point);
            }
        }
        Ok(())
    }

    fn register(&self, address: u16) -> Option<u16> {
        let offset = usize::from(address.checked_sub(self.base)?);
        if let Some(mark) = SUNS.get(offset) {
            return Some(*mark);
        }
        let end = self.blocks.last().map_or(self.base + 2, |block| {
            block.address + block.registers().len() as u16
        });
        match address.checked_sub(end) {
            Some(0) => return Some(END),
            Some(1) => return Some(0),
            Some(_) => return None,
            None => {}
        }
        self.blocks.iter().find_map(|block| {
            let offset = address.checked_sub(block.address)?;
            block.registers().get(usize::from(offset)).copied()
        })
    }

    fn block(&self, model: u16) -> Option<&Block> {
        self.blocks.iter().find(|block| block.model.id == model)
    }

    fn block_mut(&mut self, model: u16) -> Result<&mut Block, SunspecError> {
        self.blocks
            .iter_mut()
            .find(|block| block.model.id == model)
            .ok_or(SunspecError::NoModel(model))
    }
}

/// A device whose whole address space is one SunSpec chain in the holding registers.
impl Registers for Mutex<Image> {
    fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        if table != Table::Holding {
            return Err(ExceptionCode::IllegalFunction);
        }
        self.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .read(address, count)
    }

    fn write(&self, table: Table, address: u16, values: &[u16]) -> Result<(), ExceptionCode> {
        if table != Table::Holding {
            return Err(ExceptionCode::IllegalFunction);
        }
        self.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(address, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_begins_with_the_mark_and_ends_with_the_end_model() {
        let image = Image::new(40_000, &[1, 713]).unwrap();
        assert_eq!(image.read(40_000, 4), Ok(vec![0x5375, 0x6E53, 1, 66]));
        // 2 of the mark, 68 of model 1, then 713 with its 7.
        assert_eq!(image.read(40_070, 2), Ok(vec![713, 7]));
        assert_eq!(image.read(40_079, 2), Ok(vec![0xFFFF, 0]));
        let refused = Err(ExceptionCode::IllegalDataAddress);
        assert_eq!(image.read(40_080, 2), refused);
        assert_eq!(image.read(39_999, 1), refused);
        assert_eq!(image.read(0xFFFF, 2), refused);
    }

    #[test]
    fn models_that_do_not_fit_are_refused() {
        // 2 registers of the mark, 68 and 52 of the models, 2 of the end model.
        assert!(Image::new(65_412, &[1, 103]).is_ok());
        let error = Image::new(65_413, &[1, 103]).unwrap_err();
        assert_eq!(error, SunspecError::TooLong(65_413));
        assert_eq!(Image::new(0, &[7]).unwrap_err(), SunspecError::NoModel(7));
    }

    #[test]
    fn clients_write_whole_writable_points_only() {
        let mut image = Image::new(0, &[704]).unwrap();
        let refused = Err(ExceptionCode::IllegalDataAddress);
        // Model 704 begins at 2: WMaxLimPctEna at 16, WMaxLimPctRvrtTms at 20 and 21, and
        // WMaxLimPctRvrtRem, which is the device's own, at 22 and 23.
        assert_eq!(image.write(16, &[1, 500, 500, 1, 0, 30]), Ok(()));
        assert_eq!(image.write(16, &[0]), Ok(()));
        assert_eq!(image.write(20, &[0]), refused, "half a point");
        assert_eq!(image.write(21, &[0]), refused, "the other half");
        assert_eq!(
            image.write(20, &[0, 1, 0, 1]),
            refused,
            "one of them read-only"
        );
        assert_eq!(image.write(2, &[704]), refused, "the id");
        assert_eq!(image.write(68, &[1, 2, 3]), refused, "past the end");
        assert_eq!(image.write(16, &[]), refused, "nothing");
        assert_eq!(image.get(704, "WMaxLimPctEna"), Some(0.0));
        assert_eq!(image.get(704, "WMaxLimPctRvrtTms"), Some(30.0));
        let written: Vec<_> = image.take_written().into_iter().map(|w| w.1).collect();
        assert_eq!(
            written,
            [
                "WMaxLimPctEna",
                "WMaxLimPct",
                "WMaxLimPctRvrt",
                "WMaxLimPctEnaRvrt",
                "WMaxLimPctRvrtTms"
            ]
        );
        assert_eq!(image.take_written(), []);
    }
}
