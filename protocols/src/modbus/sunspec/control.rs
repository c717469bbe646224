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
            Some(last) if usize::from(last.offset) + last.words.len() == point.offset.into() => {
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
