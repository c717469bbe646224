//! Loads and generators by phase, regulators and sensors, field by field as in
//! power-grid-model's `input` data set. Powers of sensors are positive into the network's
//! element as there: into branches and loads, out of sources and generators.

use serde::{Deserialize, Serialize};

use super::{Connection, Id, LoadKind, real};

/// A load whose phases differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsymLoad {
    /// Id.
    pub id: Id,
    /// Node.
    pub node: Id,
    /// 1: connected.
    pub status: i8,
    /// How power follows voltage.
    #[serde(rename = "type")]
    pub kind: LoadKind,
    /// Active power of the phases a, b, c at rated voltage, W, load-positive.
    #[serde(default)]
    pub p_specified: [f64; 3],
    /// Reactive power of the phases a, b, c at rated voltage, var, load-positive.
    #[serde(default)]
    pub q_specified: [f64; 3],
    /// Wye: phases to ground; delta: the powers are those of the legs ab, bc, ca.
    #[serde(default, skip_serializing_if = "Connection::is_wye")]
    pub connection: Connection,
    /// Voltage, pu, below which it is the impedance that takes its power there; none: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_min: Option<f64>,
    /// Voltage, pu, above which it is the impedance that takes its power there; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_max: Option<f64>,
}

/// A generator whose phases differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsymGen {
    /// Id.
    pub id: Id,
    /// Node.
    pub node: Id,
    /// 1: connected.
    pub status: i8,
    /// How power follows voltage.
    #[serde(rename = "type")]
    pub kind: LoadKind,
    /// Active power of the phases a, b, c at rated voltage, W, generation-positive.
    #[serde(default)]
    pub p_specified: [f64; 3],
    /// Reactive power of the phases a, b, c at rated voltage, var, generation-positive.
    #[serde(default)]
    pub q_specified: [f64; 3],
    /// Wye: phases to ground; delta: the powers are those of the legs ab, bc, ca.
    #[serde(default, skip_serializing_if = "Connection::is_wye")]
    pub connection: Connection,
    /// Voltage, pu, below which it is the impedance that takes its power there; none: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_min: Option<f64>,
    /// Voltage, pu, above which it is the impedance that takes its power there; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_max: Option<f64>,
}

/// An automatic tap changer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerTapRegulator {
    /// Id.
    pub id: Id,
    /// The transformer whose tap it moves.
    pub regulated_object: Id,
    /// 1: working.
    pub status: i8,
    /// Side whose voltage it controls: 0 from, 1 to; 0, 1, 2 for sides 1, 2, 3.
    pub control_side: i8,
    /// Voltage set point, V.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_set: Option<f64>,
    /// Width of the band around the set point, V.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_band: Option<f64>,
    /// Resistance of the line-drop compensation, ohm; none: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_drop_compensation_r: Option<f64>,
    /// Reactance of the line-drop compensation, ohm; none: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_drop_compensation_x: Option<f64>,
}

/// A generator or load that holds its node's voltage with its reactive power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoltageRegulator {
    /// Id.
    pub id: Id,
    /// The generator or load.
    pub regulated_object: Id,
    /// 1: working.
    pub status: i8,
    /// Voltage set point, pu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_ref: Option<f64>,
    /// Least reactive power, var; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub q_min: Option<f64>,
    /// Greatest reactive power, var; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub q_max: Option<f64>,
}

/// A measured power.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymPowerSensor {
    /// Id.
    pub id: Id,
    /// What it measures.
    pub measured_object: Id,
    /// 0 from, 1 to, 2 source, 3 shunt, 4 load, 5 generator, 6-8 sides 1-3, 9 node.
    pub measured_terminal_type: i8,
    /// Standard deviation of the apparent power, VA.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub power_sigma: Option<f64>,
    /// Active power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_measured: Option<f64>,
    /// Reactive power, var.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_measured: Option<f64>,
    /// Standard deviation of the active power, W.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub p_sigma: Option<f64>,
    /// Standard deviation of the reactive power, var.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub q_sigma: Option<f64>,
}

/// A measured voltage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymVoltageSensor {
    /// Id.
    pub id: Id,
    /// The node.
    pub measured_object: Id,
    /// Standard deviation, V.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub u_sigma: Option<f64>,
    /// Magnitude: line to line, V.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_measured: Option<f64>,
    /// Angle, rad; none: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_angle_measured: Option<f64>,
}

/// A measured current.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymCurrentSensor {
    /// Id.
    pub id: Id,
    /// The branch.
    pub measured_object: Id,
    /// As a power sensor's, branches only.
    pub measured_terminal_type: i8,
    /// 0: angle against the local voltage; 1: against the network's.
    pub angle_measurement_type: i8,
    /// Standard deviation of the magnitude, A.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub i_sigma: Option<f64>,
    /// Standard deviation of the angle, rad.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub i_angle_sigma: Option<f64>,
    /// Magnitude, A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i_measured: Option<f64>,
    /// Angle, rad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i_angle_measured: Option<f64>,
}

/// A measured power of the phases a, b, c.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsymPowerSensor {
    /// Id.
    pub id: Id,
    /// What it measures.
    pub measured_object: Id,
    /// 0 from, 1 to, 2 source, 3 shunt, 4 load, 5 generator, 6-8 sides 1-3, 9 node.
    pub measured_terminal_type: i8,
    /// Standard deviation of the apparent power of each phase, VA.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub power_sigma: Option<f64>,
    /// Active power of the phases a, b, c, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_measured: Option<[f64; 3]>,
    /// Reactive power of the phases a, b, c, var.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_measured: Option<[f64; 3]>,
    /// Standard deviation of the active power of the phases a, b, c, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_sigma: Option<[f64; 3]>,
    /// Standard deviation of the reactive power of the phases a, b, c, var.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q_sigma: Option<[f64; 3]>,
}

/// A measured voltage of the phases a, b, c.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsymVoltageSensor {
    /// Id.
    pub id: Id,
    /// The node.
    pub measured_object: Id,
    /// Standard deviation, V.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub u_sigma: Option<f64>,
    /// Magnitude of the phases a, b, c: line to neutral, V.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_measured: Option<[f64; 3]>,
    /// Angle of the phases a, b, c, rad; none: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_angle_measured: Option<[f64; 3]>,
}

/// A measured current of the phases a, b, c.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsymCurrentSensor {
    /// Id.
    pub id: Id,
    /// The branch.
    pub measured_object: Id,
    /// As a power sensor's, branches only.
    pub measured_terminal_type: i8,
    /// 0: angle against the local voltage; 1: against the network's.
    pub angle_measurement_type: i8,
    /// Standard deviation of the magnitude, A.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub i_sigma: Option<f64>,
    /// Standard deviation of the angle, rad.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "real")]
    pub i_angle_sigma: Option<f64>,
    /// Magnitude of the phases a, b, c, A.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i_measured: Option<[f64; 3]>,
    /// Angle of the phases a, b, c, rad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i_angle_measured: Option<[f64; 3]>,
}

/// A short circuit. Read and written; nothing here computes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridFault {
    /// Id.
    pub id: Id,
    /// 1: present.
    pub status: i8,
    /// 0 three phases, 1 one to ground, 2 two phases, 3 two to ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_type: Option<i8>,
    /// Which phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_phase: Option<i8>,
    /// The node.
    pub fault_object: Id,
    /// Resistance, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_f: Option<f64>,
    /// Reactance, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_f: Option<f64>,
}
