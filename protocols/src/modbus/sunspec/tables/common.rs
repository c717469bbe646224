//! Common model, as the SunSpec Information Model Specification defines them.

use crate::modbus::sunspec::model::{Kind::*, Model, ro, rw};

/// Model 1: Common.
pub(crate) static M1: Model = Model {
    id: 1,
    length: 66,
    points: &[
        ro(2, "Mn", Str(16), ""),
        ro(18, "Md", Str(16), ""),
        ro(34, "Opt", Str(8), ""),
        ro(42, "Vr", Str(8), ""),
        ro(50, "SN", Str(16), ""),
        rw(66, "DA", U16, ""),
        ro(67, "Pad", Pad, ""),
    ],
};
