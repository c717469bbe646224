//! Step-voltage regulators: autotransformers whose series winding is tapped in steps (Kersting,
//! "Distribution System Modeling and Analysis", 4th ed., chapter 7). A component is one control
//! with what it moves: a bank in wye of one to three phases, ganged; or one unit between two
//! phases. Regulators by phase are one component each; an open delta is two units, such as `"ab"`
//! and `"cb"`, and a link or line of the phase they share.

use serde::{Deserialize, Serialize};

use super::Id;
use super::phase_set::{Connection, PhaseSet};
use super::validate::Check;

/// Where the shunt winding is (Kersting, section 7.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegulatorType {
    /// At the source: the load side has `1 + tap * tap_size` of the source side's voltage.
    #[default]
    A,
    /// At the load: the source side has `1 - tap * tap_size` of the load side's voltage.
    B,
}

/// A step-voltage regulator, from the source to the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepVoltageRegulator {
    /// Id.
    pub id: Id,
    /// Node at the source side.
    pub from_node: Id,
    /// Node at the load side.
    pub to_node: Id,
    /// 1: connected at the source side.
    pub from_status: i8,
    /// 1: connected at the load side.
    pub to_status: i8,
    /// Phases it has. The first is the one whose voltage and current its control measures; in
    /// delta two, between which it stands, the voltage from the first to the second.
    #[serde(default, skip_serializing_if = "PhaseSet::is_abc")]
    pub phases: PhaseSet,
    /// Wye: each phase to ground; delta: one unit between two phases.
    #[serde(default, skip_serializing_if = "Connection::is_wye")]
    pub connection: Connection,
    /// Where the shunt winding is.
    #[serde(default)]
    pub regulator_type: RegulatorType,
    /// Resistance, ohm, at the source side; with `x` both 0: none, as a link's.
    #[serde(default)]
    pub r: f64,
    /// Reactance, ohm, at the source side.
    #[serde(default)]
    pub x: f64,
    /// Rated current, A; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i_n: Option<f64>,
    /// Tap position: steps by which the voltage is raised.
    #[serde(default)]
    pub tap_pos: i8,
    /// Lowest position.
    #[serde(default = "StepVoltageRegulator::default_tap_min")]
    pub tap_min: i8,
    /// Highest position.
    #[serde(default = "StepVoltageRegulator::default_tap_max")]
    pub tap_max: i8,
    /// Voltage of a step over the shunt winding's.
    #[serde(default = "StepVoltageRegulator::default_tap_size")]
    pub tap_size: f64,
    /// 1: the control works, where it has a set point.
    #[serde(default = "StepVoltageRegulator::default_control_status")]
    pub control_status: i8,
    /// Voltage set point, V at the relay; none: not controlled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_set: Option<f64>,
    /// Width of the band around the set point, V at the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u_band: Option<f64>,
    /// Voltage of the phase (in delta, between the phases) over that at the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pt_ratio: Option<f64>,
    /// Current, A, at which the compensator drops `r_compensation + j x_compensation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ct_rating: Option<f64>,
    /// Line-drop compensation, resistive, V.
    #[serde(default)]
    pub r_compensation: f64,
    /// Line-drop compensation, reactive, V.
    #[serde(default)]
    pub x_compensation: f64,
}

impl StepVoltageRegulator {
    fn default_tap_min() -> i8 {
        -16
    }
    fn default_tap_max() -> i8 {
        16
    }
    fn default_tap_size() -> f64 {
        0.1 / 16.0
    }
    fn default_control_status() -> i8 {
        1
    }

    /// Voltage at the load side over that at the source side, without load.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let change = f64::from(self.tap_pos) * self.tap_size;
        match self.regulator_type {
            RegulatorType::A => 1.0 + change,
            RegulatorType::B => 1.0 / (1.0 - change),
        }
    }
}

impl Check {
    pub(super) fn step_voltage_regulator(&mut self, r: &StepVoltageRegulator) {
        self.ends(r.from_node, r.to_node, r.from_status, r.to_status);
        self.rated_alike(r.from_node, r.to_node);
        if r.connection == Connection::Delta {
            let reason = "a unit in delta stands between two phases; a bank is several of them";
            self.fit(r.phases.count() == 2, "phases", reason);
        }
        self.not_negative("r", r.r);
        self.finite("x", r.x);
        if let Some(i_n) = r.i_n {
            self.positive("i_n", i_n);
        }
        let ordered = r.tap_min <= r.tap_max;
        let reason = "it is below tap_min";
        self.require(ordered, "tap_max", f64::from(r.tap_max), reason);
        let within = (r.tap_min..=r.tap_max).contains(&r.tap_pos);
        let reason = format!("the taps are {} to {}", r.tap_min, r.tap_max);
        self.require(within || !ordered, "tap_pos", f64::from(r.tap_pos), &reason);
        if self.not_negative("tap_size", r.tap_size) {
            let most = f64::from(r.tap_min).abs().max(f64::from(r.tap_max).abs());
            let reason = "at the outermost tap the voltage would not be above zero";
            self.require(most * r.tap_size < 1.0, "tap_size", r.tap_size, reason);
        }
        self.regulator_control(r);
    }

    fn regulator_control(&mut self, r: &StepVoltageRegulator) {
        self.flag("control_status", r.control_status);
        self.finite("r_compensation", r.r_compensation);
        self.finite("x_compensation", r.x_compensation);
        for (attribute, value) in [
            ("u_set", r.u_set),
            ("u_band", r.u_band),
            ("pt_ratio", r.pt_ratio),
            ("ct_rating", r.ct_rating),
        ] {
            if let Some(value) = value {
                self.positive(attribute, value);
            }
        }
        if r.u_set.is_none() {
            return;
        }
        self.given(&[("u_band", r.u_band), ("pt_ratio", r.pt_ratio)]);
        if r.r_compensation != 0.0 || r.x_compensation != 0.0 {
            self.given(&[("ct_rating", r.ct_rating)]);
        }
    }
}
