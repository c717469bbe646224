//! Between the control models of SunSpec (123, 124, 704) and a device's control functions: which
//! points belong to which function, what they amount to in W and var, and what they become when a
//! time-out runs out. Window times (`…_WinTms`) are accepted and not acted upon.

use protocols::modbus::sunspec::{Image, SunspecError};

use crate::der::{Der, FunctionId, Nameplate, Setting};

/// How the names of a function's points begin, in its model.
fn prefixes(id: FunctionId) -> &'static [&'static str] {
    match id {
        FunctionId::Connect123 => &["Conn"],
        FunctionId::Limit123 => &["WMaxLim"],
        FunctionId::PowerFactor123 => &["OutPFSet"],
        FunctionId::Var123 => &["VAr"],
        FunctionId::Charge124 | FunctionId::Discharge124 => {
            &["StorCtl_Mod", "InWRte", "OutWRte", "InOutWRte"]
        }
        FunctionId::Limit704 => &["WMaxLimPct"],
        FunctionId::Set704 => &["WSet"],
        FunctionId::Var704 => &["VarSet"],
        FunctionId::PowerFactor704 => &["PFWInj"],
    }
}

fn belongs(id: FunctionId, model: u16, name: &str) -> bool {
    id.model() == model && prefixes(id).iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a write to a point has an effect: the point of a function, or 704's ramp. Anything else
/// is refused, since a client must not read back a setting that nothing obeys.
#[must_use]
pub fn is_obeyed(model: u16, name: &str) -> bool {
    let of_some = FunctionId::ALL.iter().any(|&id| belongs(id, model, name));
    of_some || (model == 704 && matches!(name, "WRmp" | "WRmpRef"))
}

/// The functions that a client's write concerns.
pub fn touched(written: &[(u16, &str)]) -> impl Iterator<Item = FunctionId> {
    let concerns = move |id: &FunctionId| {
        let mut points = written.iter();
        points.any(|&(model, name)| belongs(*id, model, name))
    };
    FunctionId::ALL.into_iter().filter(concerns)
}

/// What a function is set to; `None` when a point holds a value it cannot have.
#[must_use]
pub fn setting(image: &Image, id: FunctionId, plate: &Nameplate) -> Option<Setting> {
    let model = id.model();
    let get = |name: &str| image.get(model, name);
    let flag = |name: &str| match get(name)? {
        0.0 => Some(false),
        1.0 => Some(true),
        _ => None,
    };
    let seconds = |name: &str| get(name).unwrap_or_default();
    let limit = |name: &str| {
        let percent = get(name).filter(|percent| *percent <= 100.0)?;
        Some(percent / 100.0 * plate.p_w)
    };
    let bit = |mask: u16| Some((get("StorCtl_Mod")? as u16) & mask != 0);
    let rate = |name: &str| Some(get(name)? / 100.0 * plate.p_w);
    let factor = |name: &str| get(name).filter(|cos| (0.1..=1.0).contains(&cos.abs()));
    let basic = |enabled: bool, value: f64, rvrt: &str, rmp: &str| Setting {
        enabled,
        value,
        timeout_s: seconds(rvrt),
        revert_enabled: false,
        revert_value: value,
        ramp_s: seconds(rmp),
    };
    Some(match id {
        FunctionId::Connect123 => Setting {
            // It acts always, and reverts to being connected.
            revert_enabled: true,
            revert_value: 1.0,
            ..basic(true, f64::from(flag("Conn")?), "Conn_RvrtTms", "")
        },
        FunctionId::Limit123 => basic(
            flag("WMaxLim_Ena")?,
            limit("WMaxLimPct")?,
            "WMaxLimPct_RvrtTms",
            "WMaxLimPct_RmpTms",
        ),
        FunctionId::PowerFactor123 => basic(
            flag("OutPFSet_Ena")?,
            factor("OutPFSet")?,
            "OutPFSet_RvrtTms",
            "",
        ),
        FunctionId::Var123 => {
            let var = match get("VArPct_Mod")? {
                0.0 => 0.0,
                1.0 => get("VArWMaxPct")? / 100.0 * plate.p_w,
                2.0 => get("VArMaxPct")? / 100.0 * plate.q_var,
                _ => return None,
            };
            basic(flag("VArPct_Ena")?, var, "VArPct_RvrtTms", "VArPct_RmpTms")
        }
        FunctionId::Charge124 => {
            let (rvrt, rmp) = ("InOutWRte_RvrtTms", "InOutWRte_RmpTms");
            basic(bit(1)?, rate("InWRte")?, rvrt, rmp)
        }
        FunctionId::Discharge124 => {
            let (rvrt, rmp) = ("InOutWRte_RvrtTms", "InOutWRte_RmpTms");
            basic(bit(2)?, rate("OutWRte")?, rvrt, rmp)
        }
        FunctionId::Limit704 => Setting {
            enabled: flag("WMaxLimPctEna")?,
            value: limit("WMaxLimPct")?,
            timeout_s: seconds("WMaxLimPctRvrtTms"),
            revert_enabled: flag("WMaxLimPctEnaRvrt")?,
            revert_value: limit("WMaxLimPctRvrt")?,
            ramp_s: 0.0,
        },
        FunctionId::Set704 => {
            let watts = |si: &str, percent: &str| match get("WSetMod")? {
                0.0 => Some(get(percent)? / 100.0 * plate.p_w),
                1.0 => get(si),
                _ => None,
            };
            Setting {
                enabled: flag("WSetEna")?,
                value: watts("WSet", "WSetPct")?,
                timeout_s: seconds("WSetRvrtTms"),
                revert_enabled: flag("WSetEnaRvrt")?,
                revert_value: watts("WSetRvrt", "WSetPctRvrt")?,
                ramp_s: 0.0,
            }
        }
        FunctionId::Var704 => {
            let var = |si: &str, percent: &str| match get("VarSetMod")? {
                0.0 => Some(get(percent)? / 100.0 * plate.p_w),
                1.0 => Some(get(percent)? / 100.0 * plate.q_var),
                3.0 => Some(get(percent)? / 100.0 * plate.s_va),
                4.0 => get(si),
                _ => None,
            };
            Setting {
                enabled: flag("VarSetEna")?,
                value: var("VarSet", "VarSetPct")?,
                timeout_s: seconds("VarSetRvrtTms"),
                revert_enabled: flag("VarSetEnaRvrt")?,
                revert_value: var("VarSetRvrt", "VarSetPctRvrt")?,
                ramp_s: 0.0,
            }
        }
        FunctionId::PowerFactor704 => {
            // Over-excited, 0, injects reactive power.
            let signed = |group: &str| {
                let cos = factor(&format!("{group}.PF"))?;
                match get(&format!("{group}.Ext"))? {
                    0.0 => Some(cos),
                    1.0 => Some(-cos),
                    _ => None,
                }
            };
            Setting {
                enabled: flag("PFWInjEna")?,
                value: signed("PFWInj")?,
                timeout_s: seconds("PFWInjRvrtTms"),
                revert_enabled: flag("PFWInjEnaRvrt")?,
                revert_value: signed("PFWInjRvrt")?,
                ramp_s: 0.0,
            }
        }
    })
}

/// Copies a function's reversion into the registers, so that a client reads what is in force.
///
/// # Errors
/// The image lacks a point: it was not laid out for this function.
pub fn revert(image: &mut Image, id: FunctionId) -> Result<(), SunspecError> {
    let model = id.model();
    let copies: &[(&str, &str)] = match id {
        FunctionId::Connect123 => return image.set(model, "Conn", 1.0),
        FunctionId::Limit123 => return image.set(model, "WMaxLim_Ena", 0.0),
        FunctionId::PowerFactor123 => return image.set(model, "OutPFSet_Ena", 0.0),
        FunctionId::Var123 => return image.set(model, "VArPct_Ena", 0.0),
        FunctionId::Charge124 | FunctionId::Discharge124 => {
            return image.set(model, "StorCtl_Mod", 0.0);
        }
        FunctionId::Limit704 => &[
            ("WMaxLimPctEnaRvrt", "WMaxLimPctEna"),
            ("WMaxLimPctRvrt", "WMaxLimPct"),
        ],
        FunctionId::Set704 => &[
            ("WSetEnaRvrt", "WSetEna"),
            ("WSetRvrt", "WSet"),
            ("WSetPctRvrt", "WSetPct"),
        ],
        FunctionId::Var704 => &[
            ("VarSetEnaRvrt", "VarSetEna"),
            ("VarSetRvrt", "VarSet"),
            ("VarSetPctRvrt", "VarSetPct"),
        ],
        FunctionId::PowerFactor704 => &[
            ("PFWInjEnaRvrt", "PFWInjEna"),
            ("PFWInjRvrt.PF", "PFWInj.PF"),
            ("PFWInjRvrt.Ext", "PFWInj.Ext"),
        ],
    };
    for (from, to) in copies {
        let value = image.get(model, from).unwrap_or_default();
        image.set(model, to, value)?;
    }
    Ok(())
}

/// The settings of 704 that are no functions: ramp and priority.
pub fn set_preferences(image: &Image, der: &mut Der) {
    der.reactive_priority = image.get(704, "VarSetPri") == Some(1.0);
    // 100 % a second and more is "as fast as it can".
    der.ramp_up_w_per_s = image
        .get(704, "WRmp")
        .filter(|percent| *percent > 0.0)
        .map(|percent| percent / 100.0 * der.nameplate.p_w);
}

/// Seconds left of 704's functions, as a client reads them.
///
/// # Errors
/// The image has no model 704.
pub fn show_time_left(image: &mut Image, der: &Der, now_s: f64) -> Result<(), SunspecError> {
    for (id, point) in [
        (FunctionId::Limit704, "WMaxLimPctRvrtRem"),
        (FunctionId::Set704, "WSetRvrtRem"),
        (FunctionId::Var704, "VarSetRvrtRem"),
        (FunctionId::PowerFactor704, "PFWInjRvrtRem"),
    ] {
        let left = der.function(id).left_s(now_s).unwrap_or_default();
        image.set(704, point, left.ceil())?;
    }
    Ok(())
}
