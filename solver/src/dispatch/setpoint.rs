//! Setpoints: an award within nameplate, with lease, ramp and fallback.

use serde::{Deserialize, Serialize};

use crate::{
    market::{
        Capability, Product,
        clearing::Award,
        utc::{span, utc},
    },
    network::Id,
};

/// Active power asked of a unit, generation-positive, W.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivePower {
    /// No more than this (a curtailable generator delivers what it can below).
    Limit(f64),
    /// Exactly this (a battery; negative charges).
    Set(f64),
}

impl ActivePower {
    /// The figure, W.
    #[must_use]
    pub fn watts(self) -> f64 {
        match self {
            Self::Limit(w) | Self::Set(w) => w,
        }
    }
}

/// What a unit falls back to when its lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// Active power.
    pub p: ActivePower,
    /// Reactive power, var.
    pub q_var: f64,
}

/// How a unit takes active power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// By a limit.
    Limit,
    /// By a set value.
    Set,
}

/// How a unit is commanded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitControl {
    /// Unit.
    pub unit: Id,
    /// Nameplate.
    pub capability: Capability,
    /// How it takes active power.
    pub control: Control,
    /// The unit falls back by itself when this has passed without a renewal, s.
    pub lease_s: f64,
    /// How fast it may move, W/s; none: as fast as it can.
    pub ramp_w_per_s: Option<f64>,
    /// What it falls back to.
    pub fallback: Fallback,
}

/// What a unit shall do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setpoint {
    /// Unit.
    pub unit: Id,
    /// Start of the interval it is for.
    pub interval: i64,
    /// Active power.
    pub p: ActivePower,
    /// Reactive power, var.
    pub q_var: f64,
    /// Lease, s.
    pub lease_s: f64,
    /// Ramp, W/s; none: as fast as it can.
    pub ramp_w_per_s: Option<f64>,
    /// What it falls back to.
    pub fallback: Fallback,
    /// Not to be sent after this moment, UTC, µs since 1970.
    pub expires_us: i64,
    /// What had to be cut to fit the nameplate.
    pub clamped: Vec<Clamp>,
}

/// Active or reactive power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Active power, W.
    P,
    /// Reactive power, var.
    Q,
}

/// A figure cut to fit the nameplate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clamp {
    /// Which.
    pub quantity: Quantity,
    /// As awarded.
    pub from: f64,
    /// As dispatched.
    pub to: f64,
}

/// Why an award is not dispatched.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DispatchError {
    /// Its interval is over.
    #[error("award of unit {unit} is stale: interval {} ended {} ago", utc(*interval), span(*late_s))]
    Stale {
        /// Unit.
        unit: Id,
        /// Interval.
        interval: i64,
        /// How long ago it ended, s.
        late_s: f64,
    },
    /// Award of one unit, control of another.
    #[error("award is for unit {award}, control is of unit {control}")]
    OtherUnit {
        /// Unit of the award.
        award: Id,
        /// Unit of the control.
        control: Id,
    },
    /// Not a number.
    #[error("award of unit {unit} is not finite: {p_w} W, {q_var} var")]
    NotFinite {
        /// Unit.
        unit: Id,
        /// Active power.
        p_w: f64,
        /// Reactive power.
        q_var: f64,
    },
    /// A ramp or fallback that no device can follow.
    #[error(
        "unit {unit} has a ramp of {ramp_w_per_s} W/s and falls back to {p_w} W and {q_var} var; all should be finite and the ramp above 0"
    )]
    BadControl {
        /// Unit.
        unit: Id,
        /// Ramp, W/s.
        ramp_w_per_s: f64,
        /// Active power that it falls back to, W.
        p_w: f64,
        /// Reactive power that it falls back to, var.
        q_var: f64,
    },
    /// A lease that ends at once would make the device fall back at once.
    #[error("lease of unit {unit} is {lease_s} s; it should be above 0")]
    NoLease {
        /// Unit.
        unit: Id,
        /// The lease.
        lease_s: f64,
    },
    /// The nameplate contradicts itself.
    #[error(
        "capability of unit {unit} has its lowest active power {p_min_w} W above its highest {p_max_w} W, or a negative or undefined rating"
    )]
    BadCapability {
        /// Unit.
        unit: Id,
        /// Lowest.
        p_min_w: f64,
        /// Highest.
        p_max_w: f64,
    },
}

/// The setpoint of an award, clamped to nameplate. Active power goes before reactive power.
///
/// # Errors
/// The award is stale, of another unit or not finite; or the unit's figures are unusable.
pub fn setpoint(
    award: &Award,
    interval: i64,
    product: &Product,
    control: &UnitControl,
    now_us: i64,
) -> Result<Setpoint, DispatchError> {
    let unit = award.unit;
    if unit != control.unit {
        return Err(DispatchError::OtherUnit {
            award: unit,
            control: control.unit,
        });
    }
    let end_us = product.end_us(interval);
    if now_us >= end_us {
        let late_s = now_us.saturating_sub(end_us) as f64 * 1e-6;
        return Err(DispatchError::Stale {
            unit,
            interval,
            late_s,
        });
    }
    let Award { p_w, q_var, .. } = *award;
    if !(p_w.is_finite() && q_var.is_finite()) {
        return Err(DispatchError::NotFinite { unit, p_w, q_var });
    }
    if !(control.lease_s > 0.0 && control.lease_s.is_finite()) {
        return Err(DispatchError::NoLease {
            unit,
            lease_s: control.lease_s,
        });
    }
    check_control(control)?;
    check(unit, &control.capability)?;
    let mut clamped = Vec::new();
    let p = clamp_p(p_w, control, &mut clamped);
    let q_var = clamp_q(q_var, p.watts(), &control.capability, &mut clamped);
    Ok(Setpoint {
        unit,
        interval,
        p,
        q_var,
        lease_s: control.lease_s,
        ramp_w_per_s: control.ramp_w_per_s,
        fallback: control.fallback,
        expires_us: end_us,
        clamped,
    })
}

fn check_control(control: &UnitControl) -> Result<(), DispatchError> {
    let Fallback { p, q_var } = control.fallback;
    let ramp_ok = |ramp: f64| ramp > 0.0 && ramp.is_finite();
    if p.watts().is_finite() && q_var.is_finite() && control.ramp_w_per_s.is_none_or(ramp_ok) {
        return Ok(());
    }
    Err(DispatchError::BadControl {
        unit: control.unit,
        ramp_w_per_s: control.ramp_w_per_s.unwrap_or(f64::INFINITY),
        p_w: p.watts(),
        q_var,
    })
}

fn check(unit: Id, capability: &Capability) -> Result<(), DispatchError> {
    let &Capability {
        p_min_w,
        p_max_w,
        q_max_var,
        s_max_va,
    } = capability;
    let rating = |value: f64| value >= 0.0;
    if p_min_w <= p_max_w && rating(q_max_var) && s_max_va.is_none_or(rating) {
        return Ok(());
    }
    Err(DispatchError::BadCapability {
        unit,
        p_min_w,
        p_max_w,
    })
}

fn clamp_p(p_w: f64, control: &UnitControl, clamped: &mut Vec<Clamp>) -> ActivePower {
    let capability = &control.capability;
    let s_max = capability.s_max_va.unwrap_or(f64::INFINITY);
    let low = capability.p_min_w.max(-s_max);
    let high = capability.p_max_w.min(s_max);
    // Not `clamp`: limits that cross (a rating below the lowest power) must not panic.
    let within = p_w.max(low).min(high);
    note(Quantity::P, p_w, within, clamped);
    match control.control {
        Control::Limit => ActivePower::Limit(within),
        Control::Set => ActivePower::Set(within),
    }
}

fn clamp_q(q_var: f64, p_w: f64, capability: &Capability, clamped: &mut Vec<Clamp>) -> f64 {
    let beside_p = capability
        .s_max_va
        .map_or(f64::INFINITY, |s| (s * s - p_w * p_w).max(0.0).sqrt());
    let most = capability.q_max_var.min(beside_p);
    let within = q_var.max(-most).min(most);
    note(Quantity::Q, q_var, within, clamped);
    within
}

/// A rounding error of the optimiser is not worth a word.
fn note(quantity: Quantity, from: f64, to: f64, clamped: &mut Vec<Clamp>) {
    if (from - to).abs() > 1.0 {
        clamped.push(Clamp { quantity, from, to });
    }
}
