//! Setpoints read back and compared, and what is measured of their units.

use protocols::point::{PointId, Value};
use solver::{
    dispatch::{Mismatch, Reading, Tolerance, verify_readback, verify_response},
    market::Product,
};

use super::{
    alarms::{Alarms, Severity},
    dispatch::{Dispatch, InForce, Progress},
};
use crate::{
    clock::US,
    site::{Site, Unit},
    table::Snapshot,
};

/// A difference counts once it was read this often in a row.
pub(super) const READ_TWICE: u32 = 2;
/// A device gets this long beyond its ramp before its power is held against the setpoint.
const RESPONSE_US: i64 = 3 * US;

impl Dispatch {
    /// Compares what devices read back, and what is measured of them, with what was asked; forgets
    /// setpoints whose interval is over.
    pub(super) fn verify(
        &mut self,
        site: &Site,
        product: &Product,
        snapshot: &Snapshot,
        alarms: &mut Alarms,
    ) {
        let now_us = snapshot.now_us;
        self.in_force
            .retain(|_, f| product.end_us(f.setpoint.interval) > now_us);
        for (id, f) in &mut self.in_force {
            if let Some(unit) = site.units.iter().find(|unit| unit.id == *id)
                && let Some((since_us, wrong)) = compare(unit, f, snapshot)
            {
                judge(unit, f, since_us, wrong.first(), alarms, now_us);
            }
        }
        // A unit that is left out because it did not obey is tried again after two intervals.
        let quiet_us = 2 * i64::from(product.length_s) * US;
        alarms.clear_quiet("setpoint_mismatch", quiet_us, now_us);
        alarms.clear_quiet("setpoint_failed", quiet_us, now_us);
        alarms.clear_quiet("not_dispatched", quiet_us, now_us);
        alarms.clear_quiet("charge_limit", quiet_us, now_us);
    }
}

/// What differs in a reading that was not looked at yet, and since when the device has the setpoint
/// that it was compared with.
fn compare(unit: &Unit, f: &mut InForce, snapshot: &Snapshot) -> Option<(i64, Vec<Mismatch>)> {
    let (read_us, registers) = readback(unit, snapshot)?;
    let looked_at_us = f.looked_at_us;
    let later = |since_us: i64| read_us > since_us.max(looked_at_us);
    let differs = |setpoint| verify_readback(setpoint, &registers, &tolerance(unit, 0.005));
    let Some(since_us) = f.progress.since_us().filter(|since| later(*since)) else {
        // On the way the stage before may be what was read.
        let (since_us, before) = f.before.as_ref().filter(|(since, _)| later(*since))?;
        let wrong = differs(before);
        f.looked_at_us = read_us;
        if wrong.is_empty() || differs(&f.setpoint).is_empty() {
            f.differs = 0;
            return None;
        }
        return Some((*since_us, wrong));
    };
    f.looked_at_us = read_us;
    let mut wrong = differs(&f.setpoint);
    if snapshot.now_us - f.first_sent_us > ramp_us(unit, f) + RESPONSE_US {
        let measured = Reading {
            p_w: snapshot.good(&PointId::new(&unit.device, "p")),
            q_var: None,
        };
        wrong.extend(verify_response(
            &f.setpoint,
            &measured,
            &tolerance(unit, 0.02),
        ));
    }
    Some((since_us, wrong))
}

fn judge(
    unit: &Unit,
    f: &mut InForce,
    since_us: i64,
    wrong: Option<&Mismatch>,
    alarms: &mut Alarms,
    now_us: i64,
) {
    let Some(first) = wrong else {
        f.differs = 0;
        f.progress = Progress::Verified(since_us);
        f.message = None;
        alarms.clear("setpoint_mismatch", &unit.name, now_us);
        return;
    };
    f.differs += 1;
    if f.differs < READ_TWICE {
        return;
    }
    let text = format!(
        "{} does not do as told: asked for {:.0}, has {:.0} ({:?})",
        unit.name, first.asked, first.read, first.quantity
    );
    f.progress = Progress::Mismatch(since_us);
    f.message = Some(text.clone());
    let (severity, code) = (Severity::Warning, "setpoint_mismatch");
    alarms.raise(severity, code, &unit.name, text, now_us);
}

/// Scaled registers hold a percentage of nameplate.
fn tolerance(unit: &Unit, share_of_rated: f64) -> Tolerance {
    Tolerance {
        absolute: share_of_rated * unit.p_rated_w,
        relative: share_of_rated,
    }
}

/// Time that the unit needs to get where it was told to go.
fn ramp_us(unit: &Unit, f: &InForce) -> i64 {
    let way_w = (f.setpoint.p.watts() - f.from_w).abs();
    (way_w / unit.ramp_w_per_s * US as f64) as i64
}

/// What the device says it was told, and when that was read.
pub(super) fn readback(unit: &Unit, snapshot: &Snapshot) -> Option<(i64, Reading)> {
    let p_name = if unit.battery.is_some() {
        "p_set"
    } else {
        "p_limit"
    };
    let point = |name: &str| {
        let point = snapshot.points.get(&PointId::new(&unit.device, name))?;
        let Value::Analog(x) = point.value else {
            return None;
        };
        point.quality.is_good().then_some((point.received_us, x))
    };
    let (read_us, p_w) = point(p_name)?;
    Some((
        read_us,
        Reading {
            p_w: Some(p_w),
            q_var: point("q_set").map(|(_, q)| q),
        },
    ))
}
