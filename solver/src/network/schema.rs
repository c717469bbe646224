//! The attributes of every component of power-grid-model's `input` and `update` data sets, and
//! those added to them.

use super::{PhaseSet, real};

use serde_json::{Map, Value};

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An id: 32 bits.
    Id,
    /// A status, type or position: 8 bits.
    Integer,
    /// A number.
    Real,
    /// A number for each of the phases a, b, c.
    Phases,
    /// Names of phases, such as `"ac"`.
    PhaseSet,
    /// One of these names.
    Name(&'static [&'static str]),
}

/// An attribute of a component.
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Has to be in the input.
    pub(super) required: bool,
    /// May be in an update.
    pub(super) updatable: bool,
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind, required: bool, updatable: bool) -> Self {
        Self {
            name,
            kind,
            required,
            updatable,
        }
    }

    /// Whether it has to be in this row of an input: a matrix over the phases has to have the
    /// entries of the row's phases only.
    pub(super) fn is_required(&self, row: &Map<String, Value>) -> bool {
        let phases = row.get("phases").and_then(Value::as_str);
        let phases = phases.and_then(|text| text.parse::<PhaseSet>().ok());
        let (Some(phases), Some((_, entry))) = (phases, self.name.split_once('_')) else {
            return self.required;
        };
        let has = phases.mask();
        let absent = |name: char| "abc".find(name).is_some_and(|p| !has[p]);
        self.required && !(entry.len() == 2 && entry.chars().any(absent))
    }

    /// What a value should be, where it is not.
    pub(super) fn unlike(&self, value: &Value) -> Option<&'static str> {
        let is_real = |v: &Value| v.is_number() || v.as_str().and_then(real::infinity).is_some();
        match self.kind {
            Kind::Real if may_be_infinite(self.name) && is_real(value) => None,
            Kind::Real if value.is_number() => None,
            Kind::Real => Some("a finite number"),
            Kind::Phases => match value.as_array() {
                Some(v) if v.len() == 3 && v.iter().all(Value::is_number) => None,
                _ => Some("three finite numbers, of the phases a, b, c"),
            },
            Kind::PhaseSet => match value.as_str().map(str::parse::<PhaseSet>) {
                Some(Ok(_)) => None,
                _ => Some("one to three of the phases a, b, c, such as \"ac\""),
            },
            Kind::Name(names) if value.as_str().is_some_and(|v| names.contains(&v)) => None,
            Kind::Name(["a", "b"]) => Some("\"a\" or \"b\""),
            Kind::Name(_) => Some("\"wye\" or \"delta\""),
            Kind::Id => match value.as_i64() {
                None => Some("an integer"),
                Some(id) if i32::try_from(id).is_err() => Some("a 32-bit integer"),
                Some(_) => None,
            },
            Kind::Integer => match value.as_i64() {
                None => Some("an integer"),
                Some(number) if i8::try_from(number).is_err() => Some("an 8-bit integer"),
                Some(number) if self.name == "type" && !(0..=2).contains(&number) => {
                    Some("0 (power), 1 (impedance) or 2 (current)")
                }
                Some(_) => None,
            },
        }
    }
}

/// Attributes whose infinity means "not limited" or "not believed at all".
fn may_be_infinite(name: &str) -> bool {
    matches!(
        name,
        "q_min"
            | "q_max"
            | "power_sigma"
            | "p_sigma"
            | "q_sigma"
            | "u_sigma"
            | "i_sigma"
            | "i_angle_sigma"
    )
}

const CONNECTION: Kind = Kind::Name(&["wye", "delta"]);

pub(super) const NODE: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("u_rated", Kind::Real, true, false),
];

pub(super) const LINE: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("from_node", Kind::Id, true, false),
    Attribute::new("to_node", Kind::Id, true, false),
    Attribute::new("from_status", Kind::Integer, true, true),
    Attribute::new("to_status", Kind::Integer, true, true),
    Attribute::new("r1", Kind::Real, true, false),
    Attribute::new("x1", Kind::Real, true, false),
    Attribute::new("c1", Kind::Real, true, false),
    Attribute::new("tan1", Kind::Real, true, false),
    Attribute::new("r0", Kind::Real, false, false),
    Attribute::new("x0", Kind::Real, false, false),
    Attribute::new("c0", Kind::Real, false, false),
    Attribute::new("tan0", Kind::Real, false, false),
    Attribute::new("i_n", Kind::Real, false, false),
    Attribute::new("phases", Kind::PhaseSet, false, false),
];

pub(super) const ASYM_LINE: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("from_node", Kind::Id, true, false),
    Attribute::new("to_node", Kind::Id, true, false),
    Attribute::new("from_status", Kind::Integer, true, true),
    Attribute::new("to_status", Kind::Integer, true, true),
    Attribute::new("r_aa", Kind::Real, true, false),
    Attribute::new("r_ba", Kind::Real, true, false),
    Attribute::new("r_bb", Kind::Real, true, false),
    Attribute::new("r_ca", Kind::Real, true, false),
    Attribute::new("r_cb", Kind::Real, true, false),
    Attribute::new("r_cc", Kind::Real, true, false),
    Attribute::new("x_aa", Kind::Real, true, false),
    Attribute::new("x_ba", Kind::Real, true, false),
    Attribute::new("x_bb", Kind::Real, true, false),
    Attribute::new("x_ca", Kind::Real, true, false),
    Attribute::new("x_cb", Kind::Real, true, false),
    Attribute::new("x_cc", Kind::Real, true, false),
    Attribute::new("r_na", Kind::Real, false, false),
    Attribute::new("r_nb", Kind::Real, false, false),
    Attribute::new("r_nc", Kind::Real, false, false),
    Attribute::new("r_nn", Kind::Real, false, false),
    Attribute::new("x_na", Kind::Real, false, false),
    Attribute::new("x_nb", Kind::Real, false, false),
    Attribute::new("x_nc", Kind::Real, false, false),
    Attribute::new("x_nn", Kind::Real, false, false),
    Attribute::new("c_aa", Kind::Real, false, false),
    Attribute::new("c_ba", Kind::Real, false, false),
    Attribute::new("c_bb", Kind::Real, false, false),
    Attribute::new("c_ca", Kind::Real, false, false),
    Attribute::new("c_cb", Kind::Real, false, false),
    Attribute::new("c_cc", Kind::Real, false, false),
    Attribute::new("c0", Kind::Real, false, false),
    Attribute::new("c1", Kind::Real, false, false),
    Attribute::new("i_n", Kind::Real, false, false),
    Attribute::new("phases", Kind::PhaseSet, false, false),
];

pub(super) const LINK: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("from_node", Kind::Id, true, false),
    Attribute::new("to_node", Kind::Id, true, false),
    Attribute::new("from_status", Kind::Integer, true, true),
    Attribute::new("to_status", Kind::Integer, true, true),
    Attribute::new("phases", Kind::PhaseSet, false, false),
];

pub(super) const GENERIC_BRANCH: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("from_node", Kind::Id, true, false),
    Attribute::new("to_node", Kind::Id, true, false),
    Attribute::new("from_status", Kind::Integer, true, true),
    Attribute::new("to_status", Kind::Integer, true, true),
    Attribute::new("r1", Kind::Real, true, false),
    Attribute::new("x1", Kind::Real, true, false),
    Attribute::new("g1", Kind::Real, true, false),
    Attribute::new("b1", Kind::Real, true, false),
    Attribute::new("k", Kind::Real, false, false),
    Attribute::new("theta", Kind::Real, false, false),
    Attribute::new("sn", Kind::Real, false, false),
];

pub(super) const TRANSFORMER: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("from_node", Kind::Id, true, false),
    Attribute::new("to_node", Kind::Id, true, false),
    Attribute::new("from_status", Kind::Integer, true, true),
    Attribute::new("to_status", Kind::Integer, true, true),
    Attribute::new("u1", Kind::Real, true, false),
    Attribute::new("u2", Kind::Real, true, false),
    Attribute::new("sn", Kind::Real, true, false),
    Attribute::new("uk", Kind::Real, true, false),
    Attribute::new("pk", Kind::Real, true, false),
    Attribute::new("i0", Kind::Real, true, false),
    Attribute::new("p0", Kind::Real, true, false),
    Attribute::new("i0_zero_sequence", Kind::Real, false, false),
    Attribute::new("p0_zero_sequence", Kind::Real, false, false),
    Attribute::new("winding_from", Kind::Integer, true, false),
    Attribute::new("winding_to", Kind::Integer, true, false),
    Attribute::new("clock", Kind::Integer, true, false),
    Attribute::new("tap_side", Kind::Integer, true, false),
    Attribute::new("tap_pos", Kind::Integer, false, true),
    Attribute::new("tap_min", Kind::Integer, true, false),
    Attribute::new("tap_max", Kind::Integer, true, false),
    Attribute::new("tap_nom", Kind::Integer, false, false),
    Attribute::new("tap_size", Kind::Real, true, false),
    Attribute::new("uk_min", Kind::Real, false, false),
    Attribute::new("uk_max", Kind::Real, false, false),
    Attribute::new("pk_min", Kind::Real, false, false),
    Attribute::new("pk_max", Kind::Real, false, false),
    Attribute::new("r_grounding_from", Kind::Real, false, false),
    Attribute::new("x_grounding_from", Kind::Real, false, false),
    Attribute::new("r_grounding_to", Kind::Real, false, false),
    Attribute::new("x_grounding_to", Kind::Real, false, false),
    Attribute::new("phases", Kind::PhaseSet, false, false),
];

pub(super) const STEP_VOLTAGE_REGULATOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("from_node", Kind::Id, true, false),
    Attribute::new("to_node", Kind::Id, true, false),
    Attribute::new("from_status", Kind::Integer, true, true),
    Attribute::new("to_status", Kind::Integer, true, true),
    Attribute::new("phases", Kind::PhaseSet, false, false),
    Attribute::new("connection", CONNECTION, false, false),
    Attribute::new("regulator_type", Kind::Name(&["a", "b"]), false, false),
    Attribute::new("r", Kind::Real, false, false),
    Attribute::new("x", Kind::Real, false, false),
    Attribute::new("i_n", Kind::Real, false, false),
    Attribute::new("tap_pos", Kind::Integer, false, true),
    Attribute::new("tap_min", Kind::Integer, false, false),
    Attribute::new("tap_max", Kind::Integer, false, false),
    Attribute::new("tap_size", Kind::Real, false, false),
    Attribute::new("control_status", Kind::Integer, false, true),
    Attribute::new("u_set", Kind::Real, false, true),
    Attribute::new("u_band", Kind::Real, false, true),
    Attribute::new("pt_ratio", Kind::Real, false, false),
    Attribute::new("ct_rating", Kind::Real, false, false),
    Attribute::new("r_compensation", Kind::Real, false, true),
    Attribute::new("x_compensation", Kind::Real, false, true),
];

pub(super) const THREE_WINDING_TRANSFORMER: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("node_1", Kind::Id, true, false),
    Attribute::new("node_2", Kind::Id, true, false),
    Attribute::new("node_3", Kind::Id, true, false),
    Attribute::new("status_1", Kind::Integer, true, true),
    Attribute::new("status_2", Kind::Integer, true, true),
    Attribute::new("status_3", Kind::Integer, true, true),
    Attribute::new("u1", Kind::Real, true, false),
    Attribute::new("u2", Kind::Real, true, false),
    Attribute::new("u3", Kind::Real, true, false),
    Attribute::new("sn_1", Kind::Real, true, false),
    Attribute::new("sn_2", Kind::Real, true, false),
    Attribute::new("sn_3", Kind::Real, true, false),
    Attribute::new("uk_12", Kind::Real, true, false),
    Attribute::new("uk_13", Kind::Real, true, false),
    Attribute::new("uk_23", Kind::Real, true, false),
    Attribute::new("pk_12", Kind::Real, true, false),
    Attribute::new("pk_13", Kind::Real, true, false),
    Attribute::new("pk_23", Kind::Real, true, false),
    Attribute::new("i0", Kind::Real, true, false),
    Attribute::new("p0", Kind::Real, true, false),
    Attribute::new("winding_1", Kind::Integer, true, false),
    Attribute::new("winding_2", Kind::Integer, true, false),
    Attribute::new("winding_3", Kind::Integer, true, false),
    Attribute::new("clock_12", Kind::Integer, true, false),
    Attribute::new("clock_13", Kind::Integer, true, false),
    Attribute::new("tap_side", Kind::Integer, true, false),
    Attribute::new("tap_pos", Kind::Integer, false, true),
    Attribute::new("tap_min", Kind::Integer, true, false),
    Attribute::new("tap_max", Kind::Integer, true, false),
    Attribute::new("tap_nom", Kind::Integer, false, false),
    Attribute::new("tap_size", Kind::Real, true, false),
    Attribute::new("uk_12_min", Kind::Real, false, false),
    Attribute::new("uk_12_max", Kind::Real, false, false),
    Attribute::new("uk_13_min", Kind::Real, false, false),
    Attribute::new("uk_13_max", Kind::Real, false, false),
    Attribute::new("uk_23_min", Kind::Real, false, false),
    Attribute::new("uk_23_max", Kind::Real, false, false),
    Attribute::new("pk_12_min", Kind::Real, false, false),
    Attribute::new("pk_12_max", Kind::Real, false, false),
    Attribute::new("pk_13_min", Kind::Real, false, false),
    Attribute::new("pk_13_max", Kind::Real, false, false),
    Attribute::new("pk_23_min", Kind::Real, false, false),
    Attribute::new("pk_23_max", Kind::Real, false, false),
    Attribute::new("r_grounding_1", Kind::Real, false, false),
    Attribute::new("x_grounding_1", Kind::Real, false, false),
    Attribute::new("r_grounding_2", Kind::Real, false, false),
    Attribute::new("x_grounding_2", Kind::Real, false, false),
    Attribute::new("r_grounding_3", Kind::Real, false, false),
    Attribute::new("x_grounding_3", Kind::Real, false, false),
];

pub(super) const SHUNT: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("node", Kind::Id, true, false),
    Attribute::new("status", Kind::Integer, true, true),
    Attribute::new("g1", Kind::Real, true, true),
    Attribute::new("b1", Kind::Real, true, true),
    Attribute::new("g0", Kind::Real, false, true),
    Attribute::new("b0", Kind::Real, false, true),
    Attribute::new("phases", Kind::PhaseSet, false, false),
    Attribute::new("connection", CONNECTION, false, false),
    Attribute::new("u_on", Kind::Real, false, true),
    Attribute::new("u_off", Kind::Real, false, true),
];

pub(super) const SOURCE: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("node", Kind::Id, true, false),
    Attribute::new("status", Kind::Integer, true, true),
    Attribute::new("u_ref", Kind::Real, true, true),
    Attribute::new("u_ref_angle", Kind::Real, false, true),
    Attribute::new("sk", Kind::Real, false, true),
    Attribute::new("rx_ratio", Kind::Real, false, true),
    Attribute::new("z01_ratio", Kind::Real, false, true),
];

pub(super) const SYM_APPLIANCE: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("node", Kind::Id, true, false),
    Attribute::new("status", Kind::Integer, true, true),
    Attribute::new("type", Kind::Integer, true, false),
    Attribute::new("p_specified", Kind::Real, false, true),
    Attribute::new("q_specified", Kind::Real, false, true),
    Attribute::new("connection", CONNECTION, false, false),
    Attribute::new("u_min", Kind::Real, false, false),
    Attribute::new("u_max", Kind::Real, false, false),
];

pub(super) const ASYM_APPLIANCE: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("node", Kind::Id, true, false),
    Attribute::new("status", Kind::Integer, true, true),
    Attribute::new("type", Kind::Integer, true, false),
    Attribute::new("p_specified", Kind::Phases, false, true),
    Attribute::new("q_specified", Kind::Phases, false, true),
    Attribute::new("connection", CONNECTION, false, false),
    Attribute::new("u_min", Kind::Real, false, false),
    Attribute::new("u_max", Kind::Real, false, false),
];

pub(super) const TRANSFORMER_TAP_REGULATOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("regulated_object", Kind::Id, true, false),
    Attribute::new("status", Kind::Integer, true, true),
    Attribute::new("control_side", Kind::Integer, true, false),
    Attribute::new("u_set", Kind::Real, false, true),
    Attribute::new("u_band", Kind::Real, false, true),
    Attribute::new("line_drop_compensation_r", Kind::Real, false, true),
    Attribute::new("line_drop_compensation_x", Kind::Real, false, true),
];

pub(super) const VOLTAGE_REGULATOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("regulated_object", Kind::Id, true, false),
    Attribute::new("status", Kind::Integer, true, true),
    Attribute::new("u_ref", Kind::Real, false, true),
    Attribute::new("q_min", Kind::Real, false, true),
    Attribute::new("q_max", Kind::Real, false, true),
];

pub(super) const SYM_POWER_SENSOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("measured_object", Kind::Id, true, false),
    Attribute::new("measured_terminal_type", Kind::Integer, true, false),
    Attribute::new("power_sigma", Kind::Real, false, true),
    Attribute::new("p_measured", Kind::Real, false, true),
    Attribute::new("q_measured", Kind::Real, false, true),
    Attribute::new("p_sigma", Kind::Real, false, true),
    Attribute::new("q_sigma", Kind::Real, false, true),
];

pub(super) const SYM_VOLTAGE_SENSOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("measured_object", Kind::Id, true, false),
    Attribute::new("u_sigma", Kind::Real, false, true),
    Attribute::new("u_measured", Kind::Real, false, true),
    Attribute::new("u_angle_measured", Kind::Real, false, true),
];

pub(super) const SYM_CURRENT_SENSOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("measured_object", Kind::Id, true, false),
    Attribute::new("measured_terminal_type", Kind::Integer, true, false),
    Attribute::new("angle_measurement_type", Kind::Integer, true, false),
    Attribute::new("i_sigma", Kind::Real, false, true),
    Attribute::new("i_angle_sigma", Kind::Real, false, true),
    Attribute::new("i_measured", Kind::Real, false, true),
    Attribute::new("i_angle_measured", Kind::Real, false, true),
];

pub(super) const ASYM_POWER_SENSOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("measured_object", Kind::Id, true, false),
    Attribute::new("measured_terminal_type", Kind::Integer, true, false),
    Attribute::new("power_sigma", Kind::Real, false, true),
    Attribute::new("p_measured", Kind::Phases, false, true),
    Attribute::new("q_measured", Kind::Phases, false, true),
    Attribute::new("p_sigma", Kind::Phases, false, true),
    Attribute::new("q_sigma", Kind::Phases, false, true),
];

pub(super) const ASYM_VOLTAGE_SENSOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("measured_object", Kind::Id, true, false),
    Attribute::new("u_sigma", Kind::Real, false, true),
    Attribute::new("u_measured", Kind::Phases, false, true),
    Attribute::new("u_angle_measured", Kind::Phases, false, true),
];

pub(super) const ASYM_CURRENT_SENSOR: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("measured_object", Kind::Id, true, false),
    Attribute::new("measured_terminal_type", Kind::Integer, true, false),
    Attribute::new("angle_measurement_type", Kind::Integer, true, false),
    Attribute::new("i_sigma", Kind::Real, false, true),
    Attribute::new("i_angle_sigma", Kind::Real, false, true),
    Attribute::new("i_measured", Kind::Phases, false, true),
    Attribute::new("i_angle_measured", Kind::Phases, false, true),
];

pub(super) const FAULT: &[Attribute] = &[
    Attribute::new("id", Kind::Id, true, false),
    Attribute::new("status", Kind::Integer, true, true),
    Attribute::new("fault_type", Kind::Integer, false, true),
    Attribute::new("fault_phase", Kind::Integer, false, true),
    Attribute::new("fault_object", Kind::Id, true, true),
    Attribute::new("r_f", Kind::Real, false, true),
    Attribute::new("x_f", Kind::Real, false, true),
];

/// Fills in what state estimation does not need.
pub(super) fn complete(component: &str, row: &mut Map<String, Value>) {
    match component {
        "sym_load" | "sym_gen" | "asym_load" | "asym_gen" => {
            let known = |kind: i64| (0..=2).contains(&kind);
            if !row.get("type").and_then(Value::as_i64).is_some_and(known) {
                row.insert("type".to_owned(), 0.into());
            }
        }
        "source" => {
            row.entry("u_ref").or_insert_with(|| 1.0.into());
        }
        _ => {}
    }
}
