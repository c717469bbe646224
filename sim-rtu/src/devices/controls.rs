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
    let points = Points {
        image,
        model: id.model(),
        plate,
    };
    match id.model() {
        123 => points.setting_123(id),
        124 => points.setting_124(id),
        _ => points.setting_704(id),
    }
}

/// A model's points, read as what they mean.
struct Points<'a> {
    image: &'a Image,
    model: u16,
    plate: &'a Nameplate,
}

impl Points<'_> {
    fn get(&self, name: &str) -> Option<f64> {
        self.image.get(self.model, name)
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            0.0 => Some(false),
            1.0 => Some(true),
            _ => None,
        }
    }

    /// A time; not implemented is none.
    fn seconds(&self, name: &str) -> f64 {
        self.get(name).unwrap_or_default()
    }

    fn percent(&self, name: &str, of: f64) -> Option<f64> {
        Some(self.get(name)? / 100.0 * of)
    }

    /// A limit in W, up to the nameplate.
    fn limit(&self, name: &str) -> Option<f64> {
        let limit = self.percent(name, self.plate.p_w)?;
        (limit <= self.plate.p_w).then_some(limit)
    }

    fn power_factor(&self, name: &str) -> Option<f64> {
        self.get(name)
            .filter(|cos| (0.1..=1.0).contains(&cos.abs()))
    }

    /// A function of the 100 series: all it can revert to is being disabled.
    fn basic(&self, enabled: bool, value: f64, timeout: &str, ramp: &str) -> Setting {
        Setting {
            enabled,
            value,
            timeout_s: self.seconds(timeout),
            revert_enabled: false,
            revert_value: value,
            ramp_s: self.seconds(ramp),
        }
    }

    fn setting_123(&self, id: FunctionId) -> Option<Setting> {
        let plate = self.plate;
        Some(match id {
            FunctionId::Connect123 => Setting {
                // It acts always, and reverts to being connected.
                revert_enabled: true,
                revert_value: 1.0,
                ..self.basic(true, f64::from(self.flag("Conn")?), "Conn_RvrtTms", "")
            },
            FunctionId::Limit123 => {
                let limit = self.limit("WMaxLimPct")?;
                let (timeout, ramp) = ("WMaxLimPct_RvrtTms", "WMaxLimPct_RmpTms");
                self.basic(self.flag("WMaxLim_Ena")?, limit, timeout, ramp)
            }
            FunctionId::PowerFactor123 => {
                let cos = self.power_factor("OutPFSet")?;
                self.basic(self.flag("OutPFSet_Ena")?, cos, "OutPFSet_RvrtTms", "")
            }
            _ => {
                let var = match self.get("VArPct_Mod")? {
                    0.0 => 0.0,
                    1.0 => self.percent("VArWMaxPct", plate.p_w)?,
                    2.0 => self.percent("VArMaxPct", plate.q_var)?,
                    _ => return None,
                };
                let (timeout, ramp) = ("VArPct_RvrtTms", "VArPct_RmpTms");
                self.basic(self.flag("VArPct_Ena")?, var, timeout, ramp)
            }
        })
    }

    fn setting_124(&self, id: FunctionId) -> Option<Setting> {
        let (bit, rate) = match id {
            FunctionId::Charge124 => (1, "InWRte"),
            _ => (2, "OutWRte"),
        };
        let enabled = self.get("StorCtl_Mod")? as u16 & bit != 0;
        let value = self.percent(rate, self.plate.p_w)?;
        Some(self.basic(enabled, value, "InOutWRte_RvrtTms", "InOutWRte_RmpTms"))
    }

    fn setting_704(&self, id: FunctionId) -> Option<Setting> {
        let (name, value, revert_value) = match id {
            FunctionId::Limit704 => {
                let values = (self.limit("WMaxLimPct")?, self.limit("WMaxLimPctRvrt")?);
                ("WMaxLimPct", values.0, values.1)
            }
            FunctionId::Set704 => ("WSet", self.watts("")?, self.watts("Rvrt")?),
            FunctionId::Var704 => ("VarSet", self.vars("")?, self.vars("Rvrt")?),
            _ => ("PFWInj", self.injecting("")?, self.injecting("Rvrt")?),
        };
        Some(Setting {
            enabled: self.flag(&format!("{name}Ena"))?,
            value,
            timeout_s: self.seconds(&format!("{name}RvrtTms")),
            revert_enabled: self.flag(&format!("{name}EnaRvrt"))?,
            revert_value,
            ramp_s: 0.0,
        })
    }

    /// 704's set active power, or with `Rvrt` what it reverts to, W.
    fn watts(&self, suffix: &str) -> Option<f64> {
        match self.get("WSetMod")? {
            0.0 => self.percent(&format!("WSetPct{suffix}"), self.plate.p_w),
            1.0 => self.get(&format!("WSet{suffix}")),
            _ => None,
        }
    }

    /// 704's set reactive power, var.
    fn vars(&self, suffix: &str) -> Option<f64> {
        let percent_of = |of| self.percent(&format!("VarSetPct{suffix}"), of);
        match self.get("VarSetMod")? {
            0.0 => percent_of(self.plate.p_w),
            1.0 => percent_of(self.plate.q_var),
            3.0 => percent_of(self.plate.s_va),
            4.0 => self.get(&format!("VarSet{suffix}")),
            _ => None,
        }
    }

    /// 704's power factor; over-excited, `Ext` 0, injects reactive power.
    fn injecting(&self, suffix: &str) -> Option<f64> {
        let cos = self.power_factor(&format!("PFWInj{suffix}.PF"))?;
        match self.get(&format!("PFWInj{suffix}.Ext"))? {
            0.0 => Some(cos),
            1.0 => Some(-cos),
            _ => None,
        }
    }
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
