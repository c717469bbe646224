//! The network: components in SI as power-grid-model's JSON lays them out ([`Network`]), and the
//! per-unit single-line equivalent the algorithms run on ([`Grid`]).
//!
//! Formulas of the branch models: power-grid-model documentation, "Components"; transformer
//! clock and tap as there. [`PhaseGrid`] adds to it what the phases a, b, c need.

mod asym_line;
mod branches;
mod build;
mod devices;
mod error;
mod grid;
mod matrix3;
mod merge;
mod model;
mod only_by_phase;
pub mod pgm_json;
mod phase_branch;
mod phase_grid;
mod phase_set;
mod real;
mod scenario;
mod schema;
mod sequences;
mod spelling;
mod step_regulator;
mod taps;
mod three_winding;
mod topology;
mod two_port;
mod update;
mod validate;
mod validate_devices;
mod validate_phases;

pub use branches::{AsymLine, GenericBranch, Link, ThreeWindingTransformer};
pub use devices::{
    AsymCurrentSensor, AsymGen, AsymLoad, AsymPowerSensor, AsymVoltageSensor, GridFault,
    SymCurrentSensor, SymPowerSensor, SymVoltageSensor, TransformerTapRegulator, VoltageRegulator,
};
pub use error::{Fault, NetworkError, Problem, UpdateError};
pub use grid::{
    Appliance, ApplianceKind, Branch, BranchKind, Coupling, Element, Grid, Revision, Side,
    SourceBehind,
};
pub use matrix3::{Matrix3, Phases};
pub use merge::Merged;
pub use model::{Id, Line, LoadKind, Network, Node, Shunt, Source, SymGen, SymLoad, Transformer};
pub use only_by_phase::OnlyByPhase;
pub use phase_branch::PhaseBranch;
pub use phase_grid::{PhaseGrid, balanced};
pub use phase_set::{Connection, LEGS, PhaseMask, PhaseSet};
pub use scenario::{Change, Scenario};
pub use sequences::Sequences;
pub use step_regulator::{RegulatorType, StepVoltageRegulator};
pub use taps::RegulatedTaps;

/// Base power of the per-unit system, three-phase, VA (power-grid-model's).
pub const S_BASE_VA: f64 = 1e6;

/// System frequency, Hz, of a network that names none.
pub const FREQUENCY_HZ: f64 = 50.0;
