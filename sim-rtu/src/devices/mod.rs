//! The kinds of devices on the wires: distributed energy resources that speak SunSpec, and remote terminal
//! units of the models `generic-rtu` (Modbus), `dnp3-rtu`, `iec104-rtu` and `iec61850-bay`. Registers and points only: what is in them
//! comes from meters and physics, and what clients write goes to the device models.

pub mod controls;
pub mod dnp3;
pub mod iec104;
pub mod iec61850;
pub mod relay;
pub mod rtu;
pub mod sunspec;

use std::collections::BTreeMap;

use protocols::point::Value;
use serde::{de::DeserializeOwned, de::Error as _};
use solver::network::PhaseMask;

/// What an RTU shows, by the points' names.
pub type Readings = BTreeMap<String, Value>;

/// What a master asks of an RTU: a point, the value that it shall get, and whether only to say if it
/// would.
pub type Order<'a> = (&'a str, f64, bool);

/// Readings of a DER that a fault can name.
pub const DER_POINTS: [&str; 6] = ["p", "q", "u", "i", "f", "soc"];

/// Quantities of an RTU's bay that a fault can name.
pub const BAY_QUANTITIES: [&str; 4] = ["u", "p", "q", "i"];

/// Readings of a bay that a fault can name; of which phases, where it measures each by itself.
#[must_use]
pub fn bay_points(bay: u8, phases: Option<PhaseMask>) -> Vec<(String, &'static str, usize)> {
    let of = |quantity: &'static str| {
        let letters = ["a", "b", "c"].into_iter().enumerate();
        match phases {
            None => vec![(format!("bay{bay}_{quantity}"), quantity, 0)],
            Some(has) => letters
                .filter(|(k, _)| has[*k])
                .map(|(k, letter)| (format!("bay{bay}_{quantity}_{letter}"), quantity, k))
                .collect(),
        }
    };
    BAY_QUANTITIES.into_iter().flat_map(of).collect()
}

/// The layout in a device model's file: the table of this name.
fn layout<T: DeserializeOwned>(file: &str, name: &str) -> Result<T, toml::de::Error> {
    let mut tables: toml::Table = toml::from_str(file)?;
    let layout = tables.remove(name);
    layout
        .ok_or_else(|| toml::de::Error::custom(format!("there is no table {name}")))?
        .try_into()
}
