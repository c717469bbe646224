//! What a device says it was told: the setpoints in force and the time left to them. Pure.

use super::{
    block::Block,
    blocks::{Blocks, Reading},
};

/// The setpoints in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Readback {
    /// Most active power it may deliver, W; its WMax while no limit is enabled.
    pub(super) p_limit: Reading,
    /// Active power it shall deliver, W; unknown while none is enabled.
    pub(super) p_set: Reading,
    /// Reactive power it shall deliver, var; unknown while none is enabled.
    pub(super) q_set: Reading,
    /// Seconds until the first setpoint in force reverts; 0 without a lease. Unknown where the
    /// device does not tell (models 123, 124; in 704 the `…RvrtRem` are optional).
    pub(super) lease_left: Reading,
    /// Whether a lease is running; where the device does not tell, whether a control is enabled.
    pub(super) controlled: bool,
}

/// Reads the setpoints back from model 704, else from 123 and 124; `None`: it has none of them.
pub(super) fn readback(blocks: &Blocks) -> Option<Readback> {
    if let Some(block) = blocks.block(704) {
        return Some(from_704(blocks, block));
    }
    let (immediate, storage) = (blocks.block(123), blocks.block(124));
    (immediate.is_some() || storage.is_some()).then(|| from_100(blocks, immediate, storage))
}

fn on(block: &Block, point: &str) -> bool {
    block.raw(point) == Some(1)
}

fn percent(block: &Block, point: &str, of: Option<f64>) -> Option<f64> {
    Some(block.get(point)? / 100.0 * of?)
}

fn limit(blocks: &Blocks, block: &Block, enabled: &str) -> Reading {
    if block.raw("WMaxLimPct").is_none() {
        return Reading::Missing;
    }
    if on(block, enabled) {
        percent(block, "WMaxLimPct", blocks.w_max()).into()
    } else {
        blocks.w_max().into()
    }
}

fn from_704(blocks: &Blocks, block: &Block) -> Readback {
    let has = |points: [&str; 2]| points.iter().any(|point| block.raw(point).is_some());
    let p_set = || match (on(block, "WSetEna"), block.raw("WSetMod")?) {
        (true, 0) => percent(block, "WSetPct", blocks.w_max()),
        (true, 1) => block.get("WSet"),
        _ => None,
    };
    let q_set = || match (on(block, "VarSetEna"), block.raw("VarSetMod")?) {
        (true, 0) => percent(block, "VarSetPct", blocks.w_max()),
        (true, 1) => {
            let of = blocks.var_max(block.get("VarSetPct")?);
            percent(block, "VarSetPct", of)
        }
        (true, 4) => block.get("VarSet"),
        _ => None,
    };
    let leases = [
        ("WMaxLimPctEna", "WMaxLimPctRvrtRem"),
        ("WSetEna", "WSetRvrtRem"),
        ("VarSetEna", "VarSetRvrtRem"),
    ];
    let enabled = || leases.iter().filter(|(enabled, _)| on(block, enabled));
    let untold = enabled().any(|(_, left)| block.raw(left).is_none());
    let left = enabled()
        .filter_map(|(_, left)| block.get(left))
        .filter(|&seconds| seconds > 0.0)
        .reduce(f64::min);
    Readback {
        p_limit: limit(blocks, block, "WMaxLimPctEna"),
        p_set: if has(["WSet", "WSetPct"]) {
            p_set().into()
        } else {
            Reading::Missing
        },
        q_set: if has(["VarSet", "VarSetPct"]) {
            q_set().into()
        } else {
            Reading::Missing
        },
        lease_left: if untold {
            Reading::Unknown
        } else {
            Reading::Is(left.unwrap_or(0.0))
        },
        controlled: untold || left.is_some(),
    }
}

fn from_100(blocks: &Blocks, immediate: Option<&Block>, storage: Option<&Block>) -> Readback {
    let q_set = |block: &Block| {
        if !on(block, "VArPct_Ena") {
            return None;
        }
        match block.raw("VArPct_Mod")? {
            1 => percent(block, "VArWMaxPct", blocks.w_max()),
            2 => {
                let of = blocks.var_max(block.get("VArMaxPct")?);
                percent(block, "VArMaxPct", of)
            }
            _ => None,
        }
    };
    // A set value is a window without width: no less discharging than this, and no more.
    let p_set = |block: &Block| {
        let (out, into) = (block.get("OutWRte")?, block.get("InWRte")?);
        let set = block.raw("StorCtl_Mod") == Some(3) && out == -into;
        set.then_some(out / 100.0 * block.get("WChaMax")?)
    };
    let enabled = |block: Option<&Block>, point| block.is_some_and(|block| on(block, point));
    let stored = storage.is_some_and(|block| block.raw("StorCtl_Mod").is_some_and(|m| m != 0));
    Readback {
        p_limit: immediate.map_or(Reading::Missing, |block| {
            limit(blocks, block, "WMaxLim_Ena")
        }),
        p_set: storage.map_or(Reading::Missing, |block| p_set(block).into()),
        q_set: match immediate {
            Some(block) if block.raw("VArPct_Mod").is_some() => q_set(block).into(),
            _ => Reading::Missing,
        },
        lease_left: Reading::Unknown,
        controlled: enabled(immediate, "WMaxLim_Ena") || enabled(immediate, "VArPct_Ena") || stored,
    }
}
