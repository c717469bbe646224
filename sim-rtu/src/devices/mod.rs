//! The kinds of devices on the wires: distributed energy resources that speak SunSpec, and remote terminal
//! units of the models `generic-rtu` (Modbus) and `dnp3-rtu`. Registers and points only: what is in them
//! comes from meters and physics, and what clients write goes to the device models.

pub mod controls;
pub mod dnp3;
pub mod relay;
pub mod rtu;
pub mod sunspec;

/// Readings of a DER that a fault can name.
pub const DER_POINTS: [&str; 6] = ["p", "q", "u", "i", "f", "soc"];

/// Quantities of an RTU's bay that a fault can name.
pub const BAY_QUANTITIES: [&str; 4] = ["u", "p", "q", "i"];

/// Readings of an RTU with these bays that a fault can name.
#[must_use]
pub fn rtu_points(bays: impl Iterator<Item = u8>) -> Vec<String> {
    bays.flat_map(|bay| BAY_QUANTITIES.map(|quantity| format!("bay{bay}_{quantity}")))
        .collect()
}
