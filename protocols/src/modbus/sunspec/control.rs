//! A DER setpoint as register writes: model 704 where there is one, else 123 and 124. Pure.
//!
//! Order: what a setpoint reverts to and when comes before its value, its value before its enable,
//! so that no value is ever in force without its lease; of active and reactive power the one that
//! shrinks goes first, so that both are never large together unless old or new setpoint have it so.
//! Percentages and watts are rounded towards zero: no limit is exceeded by rounding.

use super::{
    block::{Block, Round},
    blocks::Blocks,
    control_100, control_704,
};
use crate::point::DerSetpoint;

/// One request: registers of one model, next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) model: u16,
    /// From the model's `ID` register.
    pub(super) offset: u16,
    pub(super) address: u16,
    pub(super) words: Vec<u16>,
    /// First point written, for messages.
    pub(super) point: &'static str,
}

/// The requests that carry out `setpoint`, in order.
///
/// # Errors
/// Why the device cannot do it, for a person. Nothing is to be sent then.
pub(super) fn writes(blocks: &Blocks, setpoint: &DerSetpoint) -> Result<Vec<Write>, String> {
    if let Some(block) = blocks.block(704) {
        return control_704::writes(blocks, block, setpoint);
    }
    control_100::writes(blocks, setpoint)
}

/// `values` by point name as requests: neighbours share one.
pub(super) fn requests(
    block: &Block,
    values: &[(&'static str, f64)],
) -> Result<Vec<Write>, String> {
    let mut requests: Vec<Write> = Vec::new();
    for &(name, value) in values {
        let point = block.find(name).map_err(|error| error.to_string())?;
        let bits = block.encode(point, value, Round::TowardsZero);
        let bits = bits.map_err(|error| error.to_string())?;
        let words = super::model::words(bits, point.kind.size());
        match requests.last_mut() {
            Some(last)
                if usize::from(last.offset) + last.words.len() == usize::from(point.offset) =>
            {
                last.words.extend(words);
            }
            _ => requests.push(Write {
                model: block.model.id,
                offset: point.offset,
                address: block.address + point.offset,
                words: words.collect(),
                point: point.name,
            }),
        }
    }
    Ok(requests)
}

/// The lease in whole seconds, rounded down, at most `max`.
pub(super) fn lease_seconds(setpoint: &DerSetpoint, max: u32) -> Result<f64, String> {
    match setpoint.lease.as_secs() {
        0 => Err("the lease is shorter than one second, the least a device can count".into()),
        lease if lease > max.into() => Err(format!("a lease of {lease} s is more than {max} s")),
        lease => Ok(lease as f64),
    }
}

/// A limit in percent of `w_max`, at most 100.
pub(super) fn limit_percent(limit: f64, w_max: f64) -> Result<f64, String> {
    // Not `limit < 0.0`: NaN must be refused too.
    if limit >= 0.0 {
        Ok((limit / w_max * 100.0).min(100.0))
    } else {
        Err(format!("{limit} W is no limit of generation"))
    }
}

/// Fails when the device lacks one of `points`, without which it could not fall back by itself.
pub(super) fn require(block: &Block, points: &[&str]) -> Result<(), String> {
    match points.iter().find(|point| block.raw(point).is_none()) {
        None => Ok(()),
        Some(point) => Err(format!(
            "the device does not implement {point} of model {}: it would not fall back by itself",
            block.model.id
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        modbus::sunspec::tables::find,
        point::{ActivePower, DerFallback},
    };

    const W_MAX: f64 = 5e6;
    const LEASE: u64 = 30;

    /// A 5 MW device with model 704, or with 123 and 124, on which nothing was ever set.
    fn device(der: bool) -> Blocks {
        let mut blocks = Blocks::default();
        let mut add = |id, numbers: &[(&str, f64)], zeros: &str| {
            let mut block = Block::new(find(id).unwrap(), 40_000 + id);
            let zeros = zeros.split_whitespace().map(|name| (name, 0.0));
            for (name, number) in numbers.iter().copied().chain(zeros) {
                block.set(name, number).unwrap();
            }
            blocks.0.push(block);
        };
        let settings = [
            ("WMax_SF", 3.0),
            ("WMax", W_MAX),
            ("VArMax_SF", 3.0),
            ("VArMaxQ1", 2.2e6),
        ];
        add(121, &settings, "");
        if der {
            add(
                704,
                &[
                    ("WMaxLimPct_SF", -1.0),
                    ("WSet_SF", 2.0),
                    ("VarSet_SF", 2.0),
                ],
                "WMaxLimPctEna WMaxLimPct WMaxLimPctRvrt WMaxLimPctEnaRvrt WMaxLimPctRvrtTms WSetEna \
                 WSetMod WSet WSetRvrt WSetEnaRvrt WSetRvrtTms VarSetEna VarSetMod VarSet VarSetRvrt \
                 VarSetEnaRvrt VarSetRvrtTms",
            );
        } else {
            add(
                123,
                &[("WMaxLimPct_SF", -1.0), ("VArPct_SF", -1.0)],
                "WMaxLimPct WMaxLimPct_RvrtTms WMaxLim_Ena VArMaxPct VArPct_RvrtTms VArPct_Mod \
                 VArPct_Ena",
            );
            add(
                124,
                &[
                    ("WChaMax_SF", 3.0),
                    ("WChaMax", 2e6),
                    ("InOutWRte_SF", -1.0),
                ],
                "OutWRte InWRte InOutWRte_RvrtTms StorCtl_Mod",
            );
        }
        blocks
    }

    /// What is in force: most active power, and the reactive power. Panics when something is in
    /// force that would not end by itself.
    fn in_force(blocks: &Blocks) -> (f64, f64) {
        let get = |model, point| blocks.get(model, point);
        let leased = |model, enabled, time| {
            let on = get(model, enabled) == Some(1.0);
            assert!(
                !on || get(model, time) == Some(LEASE as f64),
                "{enabled} without lease"
            );
            on
        };
        if blocks.block(704).is_some() {
            let limited = leased(704, "WMaxLimPctEna", "WMaxLimPctRvrtTms");
            let set = leased(704, "WSetEna", "WSetRvrtTms");
            let p = match (limited, set) {
                (true, _) => get(704, "WMaxLimPct").unwrap() / 100.0 * W_MAX,
                (_, true) => get(704, "WSet").unwrap(),
                _ => W_MAX,
            };
            let var = leased(704, "VarSetEna", "VarSetRvrtTms");
            return (
                p,
                if var {
                    get(704, "VarSet").unwrap()
                } else {
                    0.0
                },
            );
        }
        let limited = leased(123, "WMaxLim_Ena", "WMaxLimPct_RvrtTms");
        let stored = get(124, "StorCtl_Mod") == Some(3.0);
        let p = match (limited, stored) {
            (true, _) => get(123, "WMaxLimPct").unwrap() / 100.0 * W_MAX,
            (_, true) => get(124, "OutWRte").unwrap() / 100.0 * 2e6,
            _ => W_MAX,
        };
        let var = leased(123, "VArPct_Ena", "VArPct_RvrtTms");
        (
            p,
            if var {
                get(123, "VArMaxPct").unwrap() / 100.0 * 2.2e6
            } else {
                0.0
            },
        )
    }

    /// Carries out `setpoint` request by request; what was in force after each of them.
    fn carry_out(blocks: &mut Blocks, setpoint: &DerSetpoint) -> Vec<(f64, f64)> {
        let writes = writes(blocks, setpoint).unwrap();
        let step = |write: &Write| {
            let block = blocks.0.iter_mut().find(|b| b.model.id == write.model);
            block.unwrap().load(write.offset, &write.words);
            in_force(blocks)
        };
        writes.iter().map(step).collect()
    }

    fn setpoint(p: ActivePower, q_var: f64) -> DerSetpoint {
        let released = match p {
            ActivePower::Limit(_) => ActivePower::Limit(W_MAX),
            ActivePower::Set(_) => ActivePower::Set(0.0),
        };
        DerSetpoint {
            p,
            q_var,
            lease: Duration::from_secs(LEASE),
            ramp_w_per_s: None,
            fallback: DerFallback {
                p: released,
                q_var: 0.0,
            },
        }
    }

    proptest! {
        /// From any limit to any other, whatever is in force on the way is within the old or within
        /// the new setpoint, and under a lease; what is in force in the end is within what was asked.
        #[test]
        fn no_step_exceeds_old_and_new(
            der: bool,
            orders in prop::collection::vec((0.0..1.2 * W_MAX, -2.2e6..2.2e6), 1..4),
        ) {
            let mut blocks = device(der);
            let mut old = in_force(&blocks);
            for (limit, q) in orders {
                let steps = carry_out(&mut blocks, &setpoint(ActivePower::Limit(limit), q));
                let new = *steps.last().unwrap();
                for step in steps {
                    let within = |(p, q): (f64, f64)| step.0 <= p && step.1.abs() <= q.abs();
                    prop_assert!(within(old) || within(new), "{old:?} {step:?} {new:?}");
                }
                prop_assert!(new.0 <= limit * (1.0 + 1e-9) && new.1.abs() <= q.abs());
                // One step of the coarsest scale factor: 0.1 %.
                let near = (limit.min(W_MAX) - new.0) <= 0.0011 * W_MAX && (q - new.1).abs() <= 2500.0;
                prop_assert!(near, "{limit} {q}: {new:?}");
                old = new;
            }
        }

        #[test]
        fn set_values_are_met_from_below(
            der: bool,
            orders in prop::collection::vec((-2e6..2e6, -2.2e6..2.2e6), 1..4),
        ) {
            let mut blocks = device(der);
            for (set, q) in orders {
                let steps = carry_out(&mut blocks, &setpoint(ActivePower::Set(set), q));
                let (p, reactive) = *steps.last().unwrap();
                prop_assert!(p.abs() <= set.abs() * (1.0 + 1e-9) && (set - p).abs() <= 2001.0);
                prop_assert!(reactive.abs() <= q.abs() * (1.0 + 1e-9));
            }
        }
    }
}
