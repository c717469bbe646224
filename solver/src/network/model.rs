//! Components in SI units, field by field as in power-grid-model's `input` data set.
//!
//! Loads are load-positive, generators generation-positive, as there.

use serde::{Deserialize, Serialize};

use super::branches::{AsymLine, GenericBranch, Link, ThreeWindingTransformer};
use super::devices::{
    AsymCurrentSensor, AsymGen, AsymLoad, AsymPowerSensor, AsymVoltageSensor, GridFault,
    SymCurrentSensor, SymPowerSensor, SymVoltageSensor, TransformerTapRegulator, VoltageRegulator,
};
use super::phase_set::{Connection, PhaseSet};
use super::step_regulator::StepVoltageRegulator;

/// Component id, unique over the whole network.
pub type Id = i32;

/// A busbar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Id.
    pub id: Id,
    /// Rated line-to-line voltage, V.
    pub u_rated: f64,
}

/// A line or cable, pi model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Id.
    pub id: Id,
    /// Node at the from side.
    pub from_node: Id,
    /// Node at the to side.
    pub to_node: Id,
    /// 1: connected at the from side.
    pub from_status: i8,
    /// 1: connected at the to side.
    pub to_status: i8,
    /// Series resistance, ohm.
    pub r1: f64,
    /// Series reactance, ohm.
    pub x1: f64,
    /// Shunt capacitance, F.
    pub c1: f64,
    /// Loss factor of the shunt.
    pub tan1: f64,
    /// Zero-sequence series resistance, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r0: Option<f64>,
    /// Zero-sequence series reactance, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x0: Option<f64>,
    /// Zero-sequence shunt capacitance, F.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c0: Option<f64>,
    /// Zero-sequence loss factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tan0: Option<f64>,
    /// Rated current, A; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i_n: Option<f64>,
    /// Phases it has.
    #[serde(default, skip_serializing_if = "PhaseSet::is_abc")]
    pub phases: PhaseSet,
}

/// A two-winding transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transformer {
    /// Id.
    pub id: Id,
    /// Node at the from side.
    pub from_node: Id,
    /// Node at the to side.
    pub to_node: Id,
    /// 1: connected at the from side.
    pub from_status: i8,
    /// 1: connected at the to side.
    pub to_status: i8,
    /// Rated voltage, from side, V.
    pub u1: f64,
    /// Rated voltage, to side, V.
    pub u2: f64,
    /// Rated apparent power, VA.
    pub sn: f64,
    /// Relative short-circuit voltage.
    pub uk: f64,
    /// Short-circuit (copper) loss, W.
    pub pk: f64,
    /// Relative no-load current.
    pub i0: f64,
    /// No-load (iron) loss, W.
    pub p0: f64,
    /// Winding type, from side (0 wye, 1 wye-n, 2 delta, 3 zigzag, 4 zigzag-n).
    pub winding_from: i8,
    /// Winding type, to side.
    pub winding_to: i8,
    /// Clock number, 0 to 11.
    pub clock: i8,
    /// Side of the tap changer: 0 from, 1 to.
    pub tap_side: i8,
    /// Tap position.
    #[serde(default)]
    pub tap_pos: i8,
    /// Position of the lowest tap (may be above `tap_max`).
    #[serde(default)]
    pub tap_min: i8,
    /// Position of the highest tap.
    #[serde(default)]
    pub tap_max: i8,
    /// Nominal position.
    #[serde(default)]
    pub tap_nom: i8,
    /// Voltage per tap step, V.
    #[serde(default)]
    pub tap_size: f64,
    /// Relative short-circuit voltage at `tap_min`; none: `uk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uk_min: Option<f64>,
    /// Relative short-circuit voltage at `tap_max`; none: `uk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uk_max: Option<f64>,
    /// Short-circuit loss at `tap_min`, W; none: `pk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pk_min: Option<f64>,
    /// Short-circuit loss at `tap_max`, W; none: `pk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pk_max: Option<f64>,
    /// Relative zero-sequence no-load current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i0_zero_sequence: Option<f64>,
    /// Zero-sequence no-load loss, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p0_zero_sequence: Option<f64>,
    /// Grounding resistance at the from side, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_grounding_from: Option<f64>,
    /// Grounding reactance at the from side, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_grounding_from: Option<f64>,
    /// Grounding resistance at the to side, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_grounding_to: Option<f64>,
    /// Grounding reactance at the to side, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_grounding_to: Option<f64>,
    /// Phases it has; all three unless both windings are wye with neutral.
    #[serde(default, skip_serializing_if = "PhaseSet::is_abc")]
    pub phases: PhaseSet,
}

impl Transformer {
    /// Lowest and highest tap position.
    #[must_use]
    pub fn tap_range(&self) -> (i8, i8) {
        (
            self.tap_min.min(self.tap_max),
            self.tap_min.max(self.tap_max),
        )
    }
}

/// A shunt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shunt {
    /// Id.
    pub id: Id,
    /// Node.
    pub node: Id,
    /// 1: connected.
    pub status: i8,
    /// Conductance, S.
    pub g1: f64,
    /// Susceptance, S.
    pub b1: f64,
    /// Zero-sequence conductance, S.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub g0: Option<f64>,
    /// Zero-sequence susceptance, S.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b0: Option<f64>,
    /// Phases it has; two or three in delta.
    #[serde(default, skip_serializing_if = "PhaseSet::is_abc")]
    pub phases: PhaseSet,
    /// Wye: from each phase to ground; delta: `g1` and `b1` are those of each leg.
    #[serde(default, skip_serializing_if = "Connection::is_wye")]
    pub connection: Connection,
    /// Switched on below this voltage, V, line to line, its phases' mean; none: not switched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_on: Option<f64>,
    /// Switched off above this voltage, V.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_off: Option<f64>,
}

/// The grid above: an ideal voltage behind its short-circuit impedance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Id.
    pub id: Id,
    /// Node.
    pub node: Id,
    /// 1: connected.
    pub status: i8,
    /// Reference voltage, pu.
    pub u_ref: f64,
    /// Reference angle, rad.
    #[serde(default)]
    pub u_ref_angle: f64,
    /// Short-circuit power, VA.
    #[serde(default = "Source::default_sk")]
    pub sk: f64,
    /// R/X of the short-circuit impedance.
    #[serde(default = "Source::default_rx_ratio")]
    pub rx_ratio: f64,
    /// Zero-sequence over positive-sequence impedance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub z01_ratio: Option<f64>,
}

impl Source {
    fn default_sk() -> f64 {
        1e10
    }
    fn default_rx_ratio() -> f64 {
        0.1
    }
}

/// How power follows voltage: PGM's `type` 0, 1, 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub enum LoadKind {
    /// Constant power.
    Power,
    /// Constant impedance.
    Impedance,
    /// Constant current.
    Current,
}

impl TryFrom<i8> for LoadKind {
    type Error = String;
    fn try_from(code: i8) -> Result<Self, String> {
        match code {
            0 => Ok(Self::Power),
            1 => Ok(Self::Impedance),
            2 => Ok(Self::Current),
            _ => Err(format!(
                "load type {code} is none of 0 (power), 1 (impedance), 2 (current)"
            )),
        }
    }
}

impl From<LoadKind> for i8 {
    fn from(kind: LoadKind) -> Self {
        match kind {
            LoadKind::Power => 0,
            LoadKind::Impedance => 1,
            LoadKind::Current => 2,
        }
    }
}

/// A symmetrical load; powers load-positive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymLoad {
    /// Id.
    pub id: Id,
    /// Node.
    pub node: Id,
    /// 1: connected.
    pub status: i8,
    /// How power follows voltage.
    #[serde(rename = "type")]
    pub kind: LoadKind,
    /// Active power at rated voltage, W.
    #[serde(default)]
    pub p_specified: f64,
    /// Reactive power at rated voltage, var.
    #[serde(default)]
    pub q_specified: f64,
    /// Wye: to ground; delta: between phases.
    #[serde(default, skip_serializing_if = "Connection::is_wye")]
    pub connection: Connection,
    /// Voltage, pu, below which it is the impedance that takes its power there; none: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_min: Option<f64>,
    /// Voltage, pu, above which it is the impedance that takes its power there; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_max: Option<f64>,
}

/// A symmetrical generator; powers generation-positive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymGen {
    /// Id.
    pub id: Id,
    /// Node.
    pub node: Id,
    /// 1: connected.
    pub status: i8,
    /// How power follows voltage.
    #[serde(rename = "type")]
    pub kind: LoadKind,
    /// Active power at rated voltage, W.
    #[serde(default)]
    pub p_specified: f64,
    /// Reactive power at rated voltage, var.
    #[serde(default)]
    pub q_specified: f64,
    /// Wye: to ground; delta: between phases.
    #[serde(default, skip_serializing_if = "Connection::is_wye")]
    pub connection: Connection,
    /// Voltage, pu, below which it is the impedance that takes its power there; none: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_min: Option<f64>,
    /// Voltage, pu, above which it is the impedance that takes its power there; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_max: Option<f64>,
}

/// Calls a macro with every component table: `(name, type, attributes in the schema)`, in the order
/// of power-grid-model's documentation.
macro_rules! with_tables {
    ($callback:ident) => {
        $callback! {
            (node, Node, NODE, "Busbars."),
            (line, Line, LINE, "Lines and cables."),
            (asym_line, AsymLine, ASYM_LINE, "Lines whose phases differ."),
            (link, Link, LINK, "Connections without impedance."),
            (generic_branch, GenericBranch, GENERIC_BRANCH, "Branches by their pi model."),
            (transformer, Transformer, TRANSFORMER, "Two-winding transformers."),
            (step_voltage_regulator, StepVoltageRegulator, STEP_VOLTAGE_REGULATOR, "Step-voltage regulators."),
            (three_winding_transformer, ThreeWindingTransformer, THREE_WINDING_TRANSFORMER, "Three-winding transformers."),
            (shunt, Shunt, SHUNT, "Shunts."),
            (source, Source, SOURCE, "Grids above."),
            (sym_load, SymLoad, SYM_APPLIANCE, "Loads."),
            (sym_gen, SymGen, SYM_APPLIANCE, "Generators; also batteries, whose generation may be negative."),
            (asym_load, AsymLoad, ASYM_APPLIANCE, "Loads by phase."),
            (asym_gen, AsymGen, ASYM_APPLIANCE, "Generators by phase."),
            (transformer_tap_regulator, TransformerTapRegulator, TRANSFORMER_TAP_REGULATOR, "Automatic tap changers."),
            (voltage_regulator, VoltageRegulator, VOLTAGE_REGULATOR, "Generators and loads that hold a voltage."),
            (sym_power_sensor, SymPowerSensor, SYM_POWER_SENSOR, "Measured powers."),
            (asym_power_sensor, AsymPowerSensor, ASYM_POWER_SENSOR, "Measured powers by phase."),
            (sym_voltage_sensor, SymVoltageSensor, SYM_VOLTAGE_SENSOR, "Measured voltages."),
            (asym_voltage_sensor, AsymVoltageSensor, ASYM_VOLTAGE_SENSOR, "Measured voltages by phase."),
            (sym_current_sensor, SymCurrentSensor, SYM_CURRENT_SENSOR, "Measured currents."),
            (asym_current_sensor, AsymCurrentSensor, ASYM_CURRENT_SENSOR, "Measured currents by phase."),
            (fault, GridFault, FAULT, "Short circuits; not computed."),
        }
    };
}
pub(super) use with_tables;

macro_rules! network {
    ($(($table:ident, $component:ident, $attributes:ident, $doc:literal)),* $(,)?) => {
        /// A network in SI units. Component tables are named as in PGM's JSON.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Network {
            /// System frequency, Hz, at which capacitances are charged; none: 50.
            pub system_frequency: Option<f64>,
            $(
                #[doc = $doc]
                pub $table: Vec<$component>,
            )*
        }

        impl Network {
            /// Component table and id of every component, in the order of the tables.
            pub(super) fn ids(&self) -> impl Iterator<Item = (&'static str, Id)> + '_ {
                std::iter::empty()$(.chain(self.$table.iter().map(|c| (stringify!($table), c.id))))*
            }
        }
    };
}
with_tables!(network);
