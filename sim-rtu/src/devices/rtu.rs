//! The register map of an RTU. The layout is `edge/profiles/generic-rtu.toml`, or `phase-rtu.toml` of a feeder
//! whose phases differ: the file that the
//! appliance reads such devices by, so that it exists once.

use std::collections::BTreeMap;

use protocols::{
    modbus::{
        map::{Encoding, PointSpec, RegisterMap},
        server::{ExceptionCode, Table},
    },
    point::Value,
};
use serde::Deserialize;

use crate::meters::Accuracy;

/// Bays of the model.
pub const BAYS: u8 = 8;

const PROFILE: &str = include_str!("../../../edge/profiles/generic-rtu.toml");
const BY_PHASE: &str = include_str!("../../../edge/profiles/phase-rtu.toml");

/// The device model's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is, for people.
    pub description: String,
    /// Accuracy of the meters, by quantity.
    pub accuracy: BTreeMap<String, Accuracy>,
    /// Registers.
    pub registers: RegisterMap,
}

impl Profile {
    /// The device model `generic-rtu`.
    ///
    /// # Errors
    /// The file in the repository is not what it should be.
    pub fn generic() -> Result<Self, toml::de::Error> {
        toml::from_str(PROFILE)
    }

    /// The device model `phase-rtu`, of feeders whose phases differ.
    ///
    /// # Errors
    /// As of [`Self::generic`].
    pub fn by_phase() -> Result<Self, toml::de::Error> {
        toml::from_str(BY_PHASE)
    }

    /// Accuracy of `quantity`; exact where the file says nothing.
    #[must_use]
    pub fn accuracy(&self, quantity: &str) -> Accuracy {
        self.accuracy.get(quantity).copied().unwrap_or_default()
    }
}

/// A write that a client made: a tap changer is sent to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapOrder {
    /// Bay.
    pub bay: u8,
    /// Position.
    pub position: i8,
}

/// Registers and bits of an RTU.
#[derive(Clone, Debug)]
pub struct Registers {
    points: Vec<PointSpec>,
    tables: BTreeMap<Table, Block>,
}

/// All of one table, from the first to the last point of the map; zero in the gaps.
#[derive(Clone, Debug)]
struct Block {
    first: u16,
    values: Vec<u16>,
}

impl Registers {
    /// Registers of a device in which nothing is wired.
    #[must_use]
    pub fn new(map: &RegisterMap) -> Self {
        let mut tables: BTreeMap<Table, Block> = BTreeMap::new();
        let mut points = map.points.clone();
        points.sort_by_key(|point| (point.table, point.address));
        for point in &points {
            let block = tables.entry(point.table).or_insert(Block {
                first: point.address,
                values: Vec::new(),
            });
            let end = point.span().end() - u32::from(block.first);
            block.values.resize(block.values.len().max(end as usize), 0);
            block.put(point, &absent(point));
        }
        Self { points, tables }
    }

    /// Sets a point to a measured or counted value; one that does not fit reads as not implemented.
    pub fn set(&mut self, name: &str, value: Value) {
        let Some(point) = self.points.iter().find(|point| point.name == name) else {
            tracing::debug!(name, "no such point in the register map");
            return;
        };
        let words = match value {
            // A counter is nothing that a client could write, so the map does not encode it.
            Value::Counter(count) => (0..point.span().count)
                .rev()
                .map(|word| (count >> (16 * word)) as u16)
                .collect(),
            _ => point.encode(value).unwrap_or_else(|why| {
                tracing::debug!(name, why, "reading does not fit");
                absent(point)
            }),
        };
        if let Some(block) = self.tables.get_mut(&point.table) {
            block.put(point, &words);
        }
    }

    /// What a client reads.
    ///
    /// # Errors
    /// `IllegalFunction` for a table the device lacks, `IllegalDataAddress` outside the map.
    pub fn read(&self, table: Table, address: u16, count: u16) -> Result<Vec<u16>, ExceptionCode> {
        let block = self
            .tables
            .get(&table)
            .ok_or(ExceptionCode::IllegalFunction)?;
        let start = address
            .checked_sub(block.first)
            .ok_or(ExceptionCode::IllegalDataAddress)?;
        let start = usize::from(start);
        let values = block.values.get(start..start + usize::from(count));
        values
            .map(<[u16]>::to_vec)
            .ok_or(ExceptionCode::IllegalDataAddress)
    }

    /// The tap order in a client's write; `has_tap` says which bays have a tap changer.
    ///
    /// # Errors
    /// `IllegalDataAddress` for anything but exactly one such bay's `tap`, `IllegalDataValue` for
    /// a position that no tap changer has.
    pub fn tap_order(
        &self,
        table: Table,
        address: u16,
        values: &[u16],
        has_tap: impl Fn(u8) -> bool,
    ) -> Result<TapOrder, ExceptionCode> {
        let is_it = |point: &&PointSpec| {
            let span = point.span();
            let fits = (span.address, usize::from(span.count)) == (address, values.len());
            point.writable && point.table == table && fits
        };
        let refused = ExceptionCode::IllegalDataAddress;
        let point = self.points.iter().find(is_it).ok_or(refused)?;
        let bay = (1..=BAYS)
            .find(|&bay| point.name == format!("bay{bay}_tap") && has_tap(bay))
            .ok_or(refused)?;
        let position = match point.decode(values) {
            (Value::Analog(position), quality) if quality.is_good() => position,
            _ => return Err(ExceptionCode::IllegalDataValue),
        };
        if !(f64::from(i8::MIN)..=f64::from(i8::MAX)).contains(&position) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        Ok(TapOrder {
            bay,
            position: position as i8,
        })
    }
}

impl Block {
    fn put(&mut self, point: &PointSpec, words: &[u16]) {
        let start = usize::from(point.address - self.first);
        for (to, from) in self.values[start..].iter_mut().zip(words) {
            *to = *from;
        }
    }
}

/// Registers by which the device says that it has no such value.
fn absent(point: &PointSpec) -> Vec<u16> {
    let bits = match (point.encoding, point.invalid) {
        (Encoding::F32, _) => u64::from(f32::NAN.to_bits()),
        (_, invalid) => invalid.unwrap_or_default() as u64,
    };
    let words = (0..point.span().count).rev();
    words.map(|word| (bits >> (16 * word)) as u16).collect()
}

#[cfg(test)]
mod tests {
    use protocols::point::Quality;

    use super::*;

    fn registers() -> Registers {
        let profile = Profile::generic().expect("the repository's own file");
        assert_eq!(profile.registers.problems(), Vec::<String>::new());
        Registers::new(&profile.registers)
    }

    fn read(registers: &Registers, name: &str) -> (Value, Quality) {
        let point = registers.points.iter().find(|p| p.name == name).unwrap();
        let span = point.span();
        let words = registers.read(span.table, span.address, span.count);
        point.decode(&words.unwrap())
    }

    #[test]
    fn the_layout_is_the_agreed_one() {
        let mut r = registers();
        r.set("bay2_u", Value::Analog(20_000.0));
        // 20000.0 as IEEE 754: 0x469C4000.
        assert_eq!(r.read(Table::Holding, 1040, 2), Ok(vec![0x469C, 0x4000]));
        r.set("bay2_p", Value::Analog(-1e6));
        assert_eq!(r.read(Table::Holding, 1042, 2), Ok(vec![0xFFF0, 0xBDC0]));
        r.set("bay2_energy_in", Value::Counter(0x1_0000_0002));
        assert_eq!(r.read(Table::Holding, 1048, 4), Ok(vec![0, 1, 0, 2]));
        r.set("bay2_tap", Value::Analog(-3.0));
        assert_eq!(r.read(Table::Holding, 1056, 1), Ok(vec![0xFFFD]));
        r.set("bay2_closed", Value::Binary(true));
        assert_eq!(r.read(Table::Discrete, 2, 2), Ok(vec![1, 0]));
    }

    #[test]
    fn what_is_not_wired_or_does_not_fit_reads_as_not_implemented() {
        let mut r = registers();
        for name in ["bay1_u", "bay1_p", "bay1_i", "bay1_energy_in", "bay1_tap"] {
            assert_eq!(read(&r, name).1, Quality::INVALID, "{name}");
        }
        r.set("bay1_p", Value::Analog(1e12));
        assert_eq!(read(&r, "bay1_p").1, Quality::INVALID);
        r.set("bay1_p", Value::Analog(5.0));
        assert_eq!(read(&r, "bay1_p"), (Value::Analog(5.0), Quality::GOOD));
    }

    #[test]
    fn a_client_reads_across_gaps_but_not_beyond_the_map() {
        let r = registers();
        assert!(r.read(Table::Holding, 1000, 97).is_ok());
        let nowhere = Err(ExceptionCode::IllegalDataAddress);
        assert_eq!(r.read(Table::Holding, 999, 2), nowhere);
        assert_eq!(r.read(Table::Holding, 1290, 10), nowhere);
        let refused = Err(ExceptionCode::IllegalFunction);
        assert_eq!(r.read(Table::Coil, 0, 1), refused);
    }

    #[test]
    fn only_taps_can_be_written() {
        let r = registers();
        let order =
            |address, values: &[u16]| r.tap_order(Table::Holding, address, values, |bay| bay == 1);
        let tap = TapOrder {
            bay: 1,
            position: -2,
        };
        assert_eq!(order(1016, &[0xFFFE]), Ok(tap));
        assert_eq!(order(1016, &[300]), Err(ExceptionCode::IllegalDataValue));
        let nowhere = Err(ExceptionCode::IllegalDataAddress);
        assert_eq!(order(1000, &[0]), nowhere);
        assert_eq!(order(1016, &[0, 0]), nowhere);
        assert_eq!(order(1056, &[1]), nowhere, "bay 2 has no tap changer");
    }
}
