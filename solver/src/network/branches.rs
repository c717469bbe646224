//! Branches beyond lines and two-winding transformers, field by field as in power-grid-model's
//! `input` data set.

use serde::{Deserialize, Serialize};

use super::{Id, PhaseSet};

/// A line whose phases differ, by its impedance and capacitance matrices (lower triangle).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsymLine {
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
    /// Series resistance aa, ohm.
    #[serde(default)]
    pub r_aa: f64,
    /// Series resistance ba, ohm.
    #[serde(default)]
    pub r_ba: f64,
    /// Series resistance bb, ohm.
    #[serde(default)]
    pub r_bb: f64,
    /// Series resistance ca, ohm.
    #[serde(default)]
    pub r_ca: f64,
    /// Series resistance cb, ohm.
    #[serde(default)]
    pub r_cb: f64,
    /// Series resistance cc, ohm.
    #[serde(default)]
    pub r_cc: f64,
    /// Series resistance na of the neutral, ohm; given for all four or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_na: Option<f64>,
    /// Series resistance nb of the neutral, ohm; given for all four or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_nb: Option<f64>,
    /// Series resistance nc of the neutral, ohm; given for all four or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_nc: Option<f64>,
    /// Series resistance nn of the neutral, ohm; given for all four or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_nn: Option<f64>,
    /// Series reactance aa, ohm.
    #[serde(default)]
    pub x_aa: f64,
    /// Series reactance ba, ohm.
    #[serde(default)]
    pub x_ba: f64,
    /// Series reactance bb, ohm.
    #[serde(default)]
    pub x_bb: f64,
    /// Series reactance ca, ohm.
    #[serde(default)]
    pub x_ca: f64,
    /// Series reactance cb, ohm.
    #[serde(default)]
    pub x_cb: f64,
    /// Series reactance cc, ohm.
    #[serde(default)]
    pub x_cc: f64,
    /// Series reactance na of the neutral, ohm; given for all four or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_na: Option<f64>,
    /// Series reactance nb of the neutral, ohm; given for all four or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_nb: Option<f64>,
    /// Series reactance nc of the neutral, ohm; given for all four or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_nc: Option<f64>,
    /// Series reactance nn of the neutral, ohm; given for all four or for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_nn: Option<f64>,
    /// Shunt capacitance matrix, aa, F.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_aa: Option<f64>,
    /// Shunt capacitance matrix, ba, F.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_ba: Option<f64>,
    /// Shunt capacitance matrix, bb, F.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_bb: Option<f64>,
    /// Shunt capacitance matrix, ca, F.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_ca: Option<f64>,
    /// Shunt capacitance matrix, cb, F.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_cb: Option<f64>,
    /// Shunt capacitance matrix, cc, F.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_cc: Option<f64>,
    /// Zero-sequence shunt capacitance, F; with `c1` instead of the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c0: Option<f64>,
    /// Positive-sequence shunt capacitance, F.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c1: Option<f64>,
    /// Rated current, A; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub i_n: Option<f64>,
    /// Phases it has.
    #[serde(default, skip_serializing_if = "PhaseSet::is_abc")]
    pub phases: PhaseSet,
}

/// A connection without impedance, such as a closed coupler between two busbars.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
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
    /// Phases it has.
    #[serde(default, skip_serializing_if = "PhaseSet::is_abc")]
    pub phases: PhaseSet,
}

/// A branch by the parameters of its pi model, behind an ideal transformer at the from side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenericBranch {
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
    /// Series resistance, ohm, seen from the to side.
    pub r1: f64,
    /// Series reactance, ohm.
    pub x1: f64,
    /// Shunt conductance, S.
    pub g1: f64,
    /// Shunt susceptance, S.
    pub b1: f64,
    /// Ratio off the nodes' nominal one; none: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<f64>,
    /// Angle by which the to side lags, rad; none: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// Rated apparent power, VA; none: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sn: Option<f64>,
}

/// A three-winding transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreeWindingTransformer {
    /// Id.
    pub id: Id,
    /// Node at side 1.
    pub node_1: Id,
    /// Node at side 2.
    pub node_2: Id,
    /// Node at side 3.
    pub node_3: Id,
    /// 1: connected at side 1.
    pub status_1: i8,
    /// 1: connected at side 2.
    pub status_2: i8,
    /// 1: connected at side 3.
    pub status_3: i8,
    /// Rated voltage, side 1, V.
    pub u1: f64,
    /// Rated voltage, side 2, V.
    pub u2: f64,
    /// Rated voltage, side 3, V.
    pub u3: f64,
    /// Rated apparent power, side 1, VA.
    pub sn_1: f64,
    /// Rated apparent power, side 2, VA.
    pub sn_2: f64,
    /// Rated apparent power, side 3, VA.
    pub sn_3: f64,
    /// Relative short-circuit voltage across 1-2, of the smaller rating.
    pub uk_12: f64,
    /// Relative short-circuit voltage across 1-3, of the smaller rating.
    pub uk_13: f64,
    /// Relative short-circuit voltage across 2-3, of the smaller rating.
    pub uk_23: f64,
    /// Short-circuit loss across 1-2, W.
    pub pk_12: f64,
    /// Short-circuit loss across 1-3, W.
    pub pk_13: f64,
    /// Short-circuit loss across 2-3, W.
    pub pk_23: f64,
    /// No-load current, relative to side 1.
    pub i0: f64,
    /// No-load loss, W.
    pub p0: f64,
    /// Winding type, side 1 (as [`super::Transformer::winding_from`]).
    pub winding_1: i8,
    /// Winding type, side 2 (as [`super::Transformer::winding_from`]).
    pub winding_2: i8,
    /// Winding type, side 3 (as [`super::Transformer::winding_from`]).
    pub winding_3: i8,
    /// Clock number of side 2 against side 1.
    pub clock_12: i8,
    /// Clock number of side 3 against side 1.
    pub clock_13: i8,
    /// Side of the tap changer: 0, 1, 2 for sides 1, 2, 3.
    pub tap_side: i8,
    /// Tap position.
    #[serde(default)]
    pub tap_pos: i8,
    /// Position of the lowest tap (may be above `tap_max`).
    pub tap_min: i8,
    /// Position of the highest tap.
    pub tap_max: i8,
    /// Nominal position.
    #[serde(default)]
    pub tap_nom: i8,
    /// Voltage per tap step, V.
    pub tap_size: f64,
    /// Relative short-circuit voltage across 1-2 at `tap_min`; none: `uk_12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uk_12_min: Option<f64>,
    /// Relative short-circuit voltage across 1-2 at `tap_max`; none: `uk_12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uk_12_max: Option<f64>,
    /// Relative short-circuit voltage across 1-3 at `tap_min`; none: `uk_13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uk_13_min: Option<f64>,
    /// Relative short-circuit voltage across 1-3 at `tap_max`; none: `uk_13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uk_13_max: Option<f64>,
    /// Relative short-circuit voltage across 2-3 at `tap_min`; none: `uk_23`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uk_23_min: Option<f64>,
    /// Relative short-circuit voltage across 2-3 at `tap_max`; none: `uk_23`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uk_23_max: Option<f64>,
    /// Short-circuit loss across 1-2 at `tap_min`, W; none: `pk_12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pk_12_min: Option<f64>,
    /// Short-circuit loss across 1-2 at `tap_max`, W; none: `pk_12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pk_12_max: Option<f64>,
    /// Short-circuit loss across 1-3 at `tap_min`, W; none: `pk_13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pk_13_min: Option<f64>,
    /// Short-circuit loss across 1-3 at `tap_max`, W; none: `pk_13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pk_13_max: Option<f64>,
    /// Short-circuit loss across 2-3 at `tap_min`, W; none: `pk_23`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pk_23_min: Option<f64>,
    /// Short-circuit loss across 2-3 at `tap_max`, W; none: `pk_23`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pk_23_max: Option<f64>,
    /// Grounding resistance at side 1, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_grounding_1: Option<f64>,
    /// Grounding reactance at side 1, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_grounding_1: Option<f64>,
    /// Grounding resistance at side 2, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_grounding_2: Option<f64>,
    /// Grounding reactance at side 2, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_grounding_2: Option<f64>,
    /// Grounding resistance at side 3, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r_grounding_3: Option<f64>,
    /// Grounding reactance at side 3, ohm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_grounding_3: Option<f64>,
}
