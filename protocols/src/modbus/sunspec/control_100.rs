//! Setpoints in models 123, immediate controls, and 124, storage.
//!
//! These models cannot be told what to revert to: when the time is over, their controls are simply
//! no longer in force. So the only fallback they accept is "released": a generator at its full
//! rating, a battery at 0 (which it is up to the battery to hold), no reactive power.
//!
//! Model 124 has no set value but two limits, of discharging (`OutWRte`) and of charging (`InWRte`).
//! A set value is both limits at the same power, one of them negative, as makers document it.

use super::{
    block::Block,
    blocks::Blocks,
    control::{Write, lease_seconds, limit_percent, requests, require},
};
use crate::point::{ActivePower, DerSetpoint};

pub(super) fn writes(blocks: &Blocks, setpoint: &DerSetpoint) -> Result<Vec<Write>, String> {
    let lease = lease_seconds(setpoint, 0xFFFE)?;
    if setpoint.fallback.q_var != 0.0 {
        return Err(unable("reactive power 0"));
    }
    let (active, shrinks) = match setpoint.p {
        ActivePower::Limit(limit) => {
            let block = need(blocks, 123, "limit")?;
            let missing = "the device states no WMax (models 121, 120) to refer a limit to";
            let w_max = blocks.w_max().ok_or(missing)?;
            if !matches!(setpoint.fallback.p, ActivePower::Limit(fallback) if fallback >= w_max) {
                return Err(unable("no limit below its rating"));
            }
            limit_writes(block, limit, w_max, lease, setpoint.ramp_w_per_s)?
        }
        ActivePower::Set(set) => {
            let block = need(blocks, 124, "set value")?;
            if setpoint.fallback.p != ActivePower::Set(0.0) {
                return Err(unable("a set value of 0"));
            }
            let present = blocks.p().unwrap_or(0.0);
            set_writes(block, set, present, lease, setpoint.ramp_w_per_s)?
        }
    };
    let reactive = reactive_writes(blocks, setpoint.q_var, lease)?;
    let (mut writes, then) = if shrinks {
        (active, reactive)
    } else {
        (reactive, active)
    };
    writes.extend(then);
    Ok(writes)
}

fn unable(can: &str) -> String {
    format!("models 123 and 124 cannot be told what to revert to; the fallback must be {can}")
}

fn need<'a>(blocks: &'a Blocks, model: u16, what: &str) -> Result<&'a Block, String> {
    let missing = || format!("the device has neither model 704 nor {model}: it takes no {what}");
    blocks.block(model).ok_or_else(missing)
}

/// A point that is only written along: `value`, or "not implemented" as it was read.
fn along(block: &Block, point: &'static str, value: f64) -> Option<(&'static str, f64)> {
    block.raw(point).map(|_| (point, value))
}

/// Seconds that a change of `by` may take at least.
fn ramp_seconds(by: f64, ramp: Option<f64>) -> f64 {
    let seconds = ramp.map_or(0.0, |ramp| (by.abs() / ramp).ceil());
    // A ramp of zero or nonsense: as slow as it can be said.
    if seconds.is_finite() {
        seconds.min(65_534.0)
    } else {
        65_534.0
    }
}

fn limit_writes(
    block: &Block,
    limit: f64,
    w_max: f64,
    lease: f64,
    ramp: Option<f64>,
) -> Result<(Vec<Write>, bool), String> {
    require(block, &["WMaxLimPct_RvrtTms"])?;
    let on = block.raw("WMaxLim_Ena") == Some(1);
    let old = block.get("WMaxLimPct").filter(|_| on).unwrap_or(100.0);
    let new = limit_percent(limit, w_max)?;
    let seconds = ramp_seconds((new - old) / 100.0 * w_max, ramp);
    let mut values = vec![("WMaxLimPct", new)];
    values.extend(along(block, "WMaxLimPct_WinTms", 0.0));
    values.push(("WMaxLimPct_RvrtTms", lease));
    values.extend(along(block, "WMaxLimPct_RmpTms", seconds));
    let mut writes = requests(block, &values)?;
    writes.extend(requests(block, &[("WMaxLim_Ena", 1.0)])?);
    Ok((writes, new <= old))
}

fn set_writes(
    block: &Block,
    set: f64,
    present: f64,
    lease: f64,
    ramp: Option<f64>,
) -> Result<(Vec<Write>, bool), String> {
    require(block, &["OutWRte", "InWRte", "InOutWRte_RvrtTms"])?;
    let missing = "the device states no WChaMax to refer a set value to";
    let reference = block.get("WChaMax").filter(|&w| w > 0.0).ok_or(missing)?;
    let percent = set / reference * 100.0;
    let mut values = vec![("OutWRte", percent), ("InWRte", -percent)];
    values.extend(along(block, "InOutWRte_WinTms", 0.0));
    values.push(("InOutWRte_RvrtTms", lease));
    let seconds = ramp_seconds(set - present, ramp);
    values.extend(along(block, "InOutWRte_RmpTms", seconds));
    let mut writes = requests(block, &values)?;
    // Both limits in force.
    writes.extend(requests(block, &[("StorCtl_Mod", 3.0)])?);
    Ok((writes, set.abs() <= present.abs()))
}

fn reactive_writes(blocks: &Blocks, q: f64, lease: f64) -> Result<Vec<Write>, String> {
    let able = |block: &&Block| block.raw("VArPct_Mod").is_some();
    let Some(block) = blocks.block(123).filter(able) else {
        if q == 0.0 {
            return Ok(Vec::new());
        }
        return Err("the device takes no reactive power in model 123 (VArPct)".into());
    };
    require(block, &["VArPct_RvrtTms"])?;
    let missing = "the device states no rating to refer reactive power to";
    let (point, mode, reference) = if block.raw("VArMaxPct").is_some() {
        ("VArMaxPct", 2.0, blocks.var_max(q))
    } else {
        ("VArWMaxPct", 1.0, blocks.w_max())
    };
    let percent = q / reference.ok_or(missing)? * 100.0;
    let mut values = Vec::new();
    values.extend(along(block, "VArPct_WinTms", 0.0));
    values.push(("VArPct_RvrtTms", lease));
    values.extend(along(block, "VArPct_RmpTms", 0.0));
    let mut writes = requests(block, &values)?;
    writes.extend(requests(block, &[(point, percent)])?);
    writes.extend(requests(
        block,
        &[("VArPct_Mod", mode), ("VArPct_Ena", 1.0)],
    )?);
    Ok(writes)
}
