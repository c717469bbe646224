//! Setpoints in model 704, DER AC controls: `WMaxLimPct` limits, `WSet` and `VarSet` set. Each has
//! its own enable, reversion value, reversion enable and reversion time.

use super::{
    block::Block,
    blocks::Blocks,
    control::{Write, lease_seconds, limit_percent, requests, require},
};
use crate::point::{ActivePower, DerSetpoint};

/// A function that sets a power, either in SI units or in percent of a rating.
struct SetFunction {
    enable: &'static str,
    mode: &'static str,
    value: [&'static str; 2],
    /// Number of the mode that takes SI units.
    value_mode: f64,
    percent: [&'static str; 2],
    /// Number of the mode that takes percent of the rating.
    percent_mode: f64,
    reversion: [&'static str; 2],
}

const W_SET: SetFunction = SetFunction {
    enable: "WSetEna",
    mode: "WSetMod",
    value: ["WSet", "WSetRvrt"],
    value_mode: 1.0,
    percent: ["WSetPct", "WSetPctRvrt"],
    percent_mode: 0.0,
    reversion: ["WSetEnaRvrt", "WSetRvrtTms"],
};

const VAR_SET: SetFunction = SetFunction {
    enable: "VarSetEna",
    mode: "VarSetMod",
    value: ["VarSet", "VarSetRvrt"],
    value_mode: 4.0,
    percent: ["VarSetPct", "VarSetPctRvrt"],
    percent_mode: 1.0,
    reversion: ["VarSetEnaRvrt", "VarSetRvrtTms"],
};

pub(super) fn writes(
    blocks: &Blocks,
    block: &Block,
    setpoint: &DerSetpoint,
) -> Result<Vec<Write>, String> {
    let lease = lease_seconds(setpoint, u32::MAX - 1)?;
    let on = |point| block.raw(point) == Some(1);
    let present = blocks.p().unwrap_or(0.0);
    let (active, shrinks, other) = match (setpoint.p, setpoint.fallback.p) {
        (ActivePower::Limit(limit), ActivePower::Limit(fallback)) => {
            let old = block.get("WMaxLimPct").filter(|_| on("WMaxLimPctEna"));
            let new = limit_percent(limit, w_max(blocks)?)?;
            let writes = limit_writes(blocks, block, new, fallback, lease)?;
            (writes, new <= old.unwrap_or(100.0), "WSetEna")
        }
        (ActivePower::Set(set), ActivePower::Set(fallback)) => {
            let old = block.get("WSet").filter(|_| on("WSetEna"));
            let reference = |_| blocks.w_max();
            let writes = set_writes(block, &W_SET, [set, fallback], lease, reference)?;
            let shrinks = set.abs() <= old.unwrap_or(present).abs();
            (writes, shrinks, "WMaxLimPctEna")
        }
        _ => return Err("setpoint and fallback must both be a limit, or both a set value".into()),
    };
    let q = [setpoint.q_var, setpoint.fallback.q_var];
    let reactive = set_writes(block, &VAR_SET, q, lease, |q| blocks.var_max(q))?;

    let mut writes = ramp_writes(blocks, block, setpoint.ramp_w_per_s)?;
    if shrinks {
        writes.extend(active);
        writes.extend(reactive);
    } else {
        writes.extend(reactive);
        writes.extend(active);
    }
    // Whichever way of commanding active power was in force before, it would outlive this one.
    if on(other) {
        writes.extend(requests(block, &[(other, 0.0)])?);
    }
    Ok(writes)
}

fn w_max(blocks: &Blocks) -> Result<f64, String> {
    let missing = "the device states no WMax (models 702, 121, 120) to refer a limit to";
    blocks.w_max().ok_or_else(|| missing.into())
}

fn limit_writes(
    blocks: &Blocks,
    block: &Block,
    percent: f64,
    fallback: f64,
    lease: f64,
) -> Result<Vec<Write>, String> {
    require(block, &["WMaxLimPctEnaRvrt", "WMaxLimPctRvrtTms"])?;
    let fallback = limit_percent(fallback, w_max(blocks)?)?;
    let mut writes = requests(
        block,
        &[
            ("WMaxLimPct", percent),
            ("WMaxLimPctRvrt", fallback),
            ("WMaxLimPctEnaRvrt", 1.0),
            ("WMaxLimPctRvrtTms", lease),
        ],
    )?;
    writes.extend(requests(block, &[("WMaxLimPctEna", 1.0)])?);
    Ok(writes)
}

/// `[value, fallback]` in SI units where the device has the points for it, else in percent of
/// `reference(value)`.
fn set_writes(
    block: &Block,
    function: &SetFunction,
    values: [f64; 2],
    lease: f64,
    reference: impl Fn(f64) -> Option<f64>,
) -> Result<Vec<Write>, String> {
    require(block, &function.reversion)?;
    let [enable_reversion, time] = function.reversion;
    let mut writes = requests(block, &[(enable_reversion, 1.0), (time, lease)])?;
    let (names, values, mode) = if block.raw(function.value[0]).is_some() {
        (function.value, values, function.value_mode)
    } else {
        let percent = |value: f64| {
            let missing = || {
                format!(
                    "the device states no rating to refer {} to",
                    function.percent[0]
                )
            };
            reference(value)
                .map(|of| value / of * 100.0)
                .ok_or_else(missing)
        };
        let values = [percent(values[0])?, percent(values[1])?];
        (function.percent, values, function.percent_mode)
    };
    require(block, &names)?;
    let values = [(names[0], values[0]), (names[1], values[1])];
    writes.extend(requests(block, &values)?);
    let enable = [(function.enable, 1.0), (function.mode, mode)];
    writes.extend(requests(block, &enable)?);
    Ok(writes)
}

/// The ramp in whole percent of WMax per second, which is all that `WRmp` can say. `None` leaves
/// the device's own ramp, which may be its grid code's.
fn ramp_writes(blocks: &Blocks, block: &Block, ramp: Option<f64>) -> Result<Vec<Write>, String> {
    let (Some(ramp), Some(old)) = (ramp, block.raw("WRmp")) else {
        return Ok(Vec::new());
    };
    let percent = (ramp / w_max(blocks)? * 100.0 + 1e-9).floor();
    if percent.is_nan() || percent < 1.0 {
        return Err(format!(
            "a ramp of {ramp} W/s is less than 1 % of WMax per second, the least model 704 can say"
        ));
    }
    // The whole range within a second; there is no faster.
    let percent = percent.min(100.0);
    let mut values = vec![("WRmp", percent)];
    let reference = block.raw("WRmpRef");
    // Relative to WMax, not to the current rating.
    if reference.is_some() {
        values.push(("WRmpRef", 1.0));
    }
    if old == percent as i128 && reference.is_none_or(|reference| reference == 1) {
        return Ok(Vec::new());
    }
    requests(block, &values)
}
