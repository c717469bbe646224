//! Measurements of inverters, as integers with scale factors and as floats,
//! as the SunSpec Information Model Specification defines them. Of phases that it has not, a device says
//! "not implemented".

use crate::modbus::sunspec::model::{Kind::*, Model, Point, ro};

const INTEGERS: &[Point] = &[
    ro(2, "A", U16, "A_SF"),
    ro(3, "AphA", U16, "A_SF"),
    ro(4, "AphB", U16, "A_SF"),
    ro(5, "AphC", U16, "A_SF"),
    ro(6, "A_SF", Sf, ""),
    ro(7, "PPVphAB", U16, "V_SF"),
    ro(8, "PPVphBC", U16, "V_SF"),
    ro(9, "PPVphCA", U16, "V_SF"),
    ro(10, "PhVphA", U16, "V_SF"),
    ro(11, "PhVphB", U16, "V_SF"),
    ro(12, "PhVphC", U16, "V_SF"),
    ro(13, "V_SF", Sf, ""),
    ro(14, "W", I16, "W_SF"),
    ro(15, "W_SF", Sf, ""),
    ro(16, "Hz", U16, "Hz_SF"),
    ro(17, "Hz_SF", Sf, ""),
    ro(18, "VA", I16, "VA_SF"),
    ro(19, "VA_SF", Sf, ""),
    ro(20, "VAr", I16, "VAr_SF"),
    ro(21, "VAr_SF", Sf, ""),
    ro(22, "PF", I16, "PF_SF"),
    ro(23, "PF_SF", Sf, ""),
    ro(24, "WH", Acc32, "WH_SF"),
    ro(26, "WH_SF", Sf, ""),
    ro(27, "DCA", U16, "DCA_SF"),
    ro(28, "DCA_SF", Sf, ""),
    ro(29, "DCV", U16, "DCV_SF"),
    ro(30, "DCV_SF", Sf, ""),
    ro(31, "DCW", I16, "DCW_SF"),
    ro(32, "DCW_SF", Sf, ""),
    ro(33, "TmpCab", I16, "Tmp_SF"),
    ro(34, "TmpSnk", I16, "Tmp_SF"),
    ro(35, "TmpTrns", I16, "Tmp_SF"),
    ro(36, "TmpOt", I16, "Tmp_SF"),
    ro(37, "Tmp_SF", Sf, ""),
    ro(38, "St", Enum16, ""),
    ro(39, "StVnd", Enum16, ""),
    ro(40, "Evt1", Bits32, ""),
    ro(42, "Evt2", Bits32, ""),
    ro(44, "EvtVnd1", Bits32, ""),
    ro(46, "EvtVnd2", Bits32, ""),
    ro(48, "EvtVnd3", Bits32, ""),
    ro(50, "EvtVnd4", Bits32, ""),
];

const FLOATS: &[Point] = &[
    ro(2, "A", F32, ""),
    ro(4, "AphA", F32, ""),
    ro(6, "AphB", F32, ""),
    ro(8, "AphC", F32, ""),
    ro(10, "PPVphAB", F32, ""),
    ro(12, "PPVphBC", F32, ""),
    ro(14, "PPVphCA", F32, ""),
    ro(16, "PhVphA", F32, ""),
    ro(18, "PhVphB", F32, ""),
    ro(20, "PhVphC", F32, ""),
    ro(22, "W", F32, ""),
    ro(24, "Hz", F32, ""),
    ro(26, "VA", F32, ""),
    ro(28, "VAr", F32, ""),
    ro(30, "PF", F32, ""),
    ro(32, "WH", F32, ""),
    ro(34, "DCA", F32, ""),
    ro(36, "DCV", F32, ""),
    ro(38, "DCW", F32, ""),
    ro(40, "TmpCab", F32, ""),
    ro(42, "TmpSnk", F32, ""),
    ro(44, "TmpTrns", F32, ""),
    ro(46, "TmpOt", F32, ""),
    ro(48, "St", Enum16, ""),
    ro(49, "StVnd", Enum16, ""),
    ro(50, "Evt1", Bits32, ""),
    ro(52, "Evt2", Bits32, ""),
    ro(54, "EvtVnd1", Bits32, ""),
    ro(56, "EvtVnd2", Bits32, ""),
    ro(58, "EvtVnd3", Bits32, ""),
    ro(60, "EvtVnd4", Bits32, ""),
];

const fn integers(id: u16) -> Model {
    Model {
        id,
        length: 50,
        points: INTEGERS,
    }
}

const fn floats(id: u16) -> Model {
    Model {
        id,
        length: 60,
        points: FLOATS,
    }
}

/// Model 101: Inverter (Single Phase).
pub(crate) static M101: Model = integers(101);

/// Model 102: Inverter (Split-Phase).
pub(crate) static M102: Model = integers(102);

/// Model 103: Inverter (Three Phase).
pub(crate) static M103: Model = integers(103);

/// Model 111: Inverter (Single Phase) FLOAT.
pub(crate) static M111: Model = floats(111);

/// Model 112: Inverter (Split Phase) FLOAT.
pub(crate) static M112: Model = floats(112);

/// Model 113: Inverter (Three Phase) FLOAT.
pub(crate) static M113: Model = floats(113);
