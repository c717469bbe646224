//! The model definitions in use: offset, name, type and scale factor of every point, as published
//! in the SunSpec model definitions (`model_*.json`). Offsets count from the model's `ID` register,
//! as in the specification's tables. `tests/peers_modbus.rs` holds them against pysunspec2's.

mod battery;
mod common;
mod der_100;
mod der_700;
mod inverter;

use super::model::Model;
use battery::M802;
use common::M1;
use der_100::{M120, M121, M122, M123, M124};
use der_700::{M701, M702, M704, M713, M714};
use inverter::{M101, M102, M103, M111, M112, M113};

/// Every known model, ascending.
pub static MODELS: [&Model; 18] = [
    &M1, &M101, &M102, &M103, &M111, &M112, &M113, &M120, &M121, &M122, &M123, &M124, &M701, &M702,
    &M704, &M713, &M714, &M802,
];

/// The definition of model `id`, if it is one of [`MODELS`].
#[must_use]
pub fn find(id: u16) -> Option<&'static Model> {
    MODELS.into_iter().find(|model| model.id == id)
}
