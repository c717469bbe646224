//! Setpoints: sent when an interval begins, renewed while it lasts, read back and compared.
//!
//! A setpoint's lease ends `lease_s` after its interval began, however often it is renewed, so
//! that a device which hears of no next interval falls back by itself. What an award becomes is
//! `solver::dispatch`'s to say; who may command is decided there too.

use std::{collections::BTreeMap, time::Duration};

use protocols::point::{
    self, Action, Command, CommandStatus, DerFallback, DerSetpoint, DeviceId, Origin, PointId,
    Value,
};
use solver::{
    dispatch::{
        ActivePower, Authority, Control, Fallback, Reading, Request, Setpoint, Tolerance,
        UnitControl, arbitrate, setpoint, verify_readback, verify_response,
    },
    market::{Product, Unit as MarketUnit, clearing::Award},
    network::Id,
};

use super::alarms::{Alarms, Severity};
use crate::{
    clock::{US, rfc3339, rfc3339_s},
    site::{Site, Unit},
    table::Snapshot,
    web::api::DispatchView,
};

/// A setpoint in force is sent again this often, so that a device that came back has it too.
const RENEW_US: i64 = 4 * US;
/// A difference counts once it was read this often in a row.
const READ_TWICE: u32 = 2;
/// A device gets this long beyond its ramp before its power is held against the setpoint.
const RESPONSE_US: i64 = 3 * US;

/// Where a setpoint has got to.
#[derive(Clone, Debug, PartialEq)]
enum Progress {
    /// Sent, no answer yet.
    Pending,
    /// The device took it, at this moment.
    Done(i64),
    /// Read back as written.
    Verified(i64),
    /// Read back, or measured, otherwise.
    Mismatch(i64),
    /// It did not arrive, as far as is known.
    Failed(&'static str),
}

#[derive(Clone, Debug)]
struct InForce {
    setpoint: Setpoint,
    authority: Authority,
    command: u64,
    first_sent_us: i64,
    sent_us: i64,
    /// End of the lease.
    lease_ends_us: i64,
    progress: Progress,
    message: Option<String>,
    /// Readings in a row that differ, and the one last looked at.
    differs: u32,
    looked_at_us: i64,
    /// Power when it was first sent, W.
    from_w: f64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    in_force: BTreeMap<Id, InForce>,
    next_command: u64,
}

impl Dispatch {
    /// What a unit can do and how it is commanded.
    fn control(unit: &Unit, able: &MarketUnit, lease_s: f64) -> UnitControl {
        let power = |w| match unit.battery {
            Some(_) => ActivePower::Set(w),
            None => ActivePower::Limit(w),
        };
        UnitControl {
            unit: unit.id,
            capability: able.capability,
            control: match unit.battery {
                Some(_) => Control::Set,
                None => Control::Limit,
            },
            lease_s,
            ramp_w_per_s: Some(unit.ramp_w_per_s),
            fallback: Fallback {
                p: power(unit.fallback_p_w),
                q_var: 0.0,
            },
        }
    }

    /// Commands that put the awards of the running interval in force, or keep them there.
    pub(super) fn send(
        &mut self,
        site: &Site,
        product: &Product,
        start: i64,
        awards: &[(MarketUnit, Award)],
        snapshot: &Snapshot,
        alarms: &mut Alarms,
    ) -> Vec<(DeviceId, Command)> {
        let now_us = snapshot.now_us;
        let lease = i64::try_from(site.lease.as_micros()).unwrap_or(i64::MAX);
        let lease_ends_us = product.start_us(start).saturating_add(lease);
        let lease_s = (lease_ends_us - now_us) as f64 / US as f64;
        let mut commands = Vec::new();
        for (able, award) in awards {
            let Some(unit) = site.units.iter().find(|unit| unit.id == award.unit) else {
                continue;
            };
            if !snapshot.online(&unit.device) || !self.due(unit.id, start, now_us) {
                continue;
            }
            let control = Self::control(unit, able, lease_s);
            let asked = match setpoint(award, start, product, &control, now_us) {
                Ok(setpoint) => setpoint,
                Err(error) => {
                    alarms.raise(
                        Severity::Critical,
                        "not_dispatched",
                        &unit.name,
                        error.to_string(),
                        now_us,
                    );
                    continue;
                }
            };
            let request = Request {
                authority: Authority::Market,
                setpoint: asked,
            };
            let decided = arbitrate(vec![request], now_us);
            for loser in &decided.losers {
                tracing::info!(unit = unit.id, authority = ?loser.authority, "setpoint outranked");
            }
            let Some(winner) = decided.winner else {
                continue;
            };
            let command = self.command(unit, &winner, now_us);
            self.note(unit, winner, command.id, lease_ends_us, snapshot);
            commands.push((unit.device.clone(), command));
        }
        commands
    }

    /// Whether a unit has to be told, or told again.
    fn due(&self, unit: Id, start: i64, now_us: i64) -> bool {
        self.in_force.get(&unit).is_none_or(|f| {
            f.setpoint.interval != start
                || now_us - f.sent_us >= RENEW_US
                || matches!(f.progress, Progress::Failed(_))
        })
    }

    fn command(&mut self, unit: &Unit, request: &Request, now_us: i64) -> Command {
        self.next_command += 1;
        let setpoint = &request.setpoint;
        Command {
            id: self.next_command,
            point: PointId::new(&unit.device, "control"),
            action: Action::Der(DerSetpoint {
                p: power(setpoint.p),
                q_var: setpoint.q_var,
                lease: Duration::from_secs_f64(setpoint.lease_s.max(0.0)),
                ramp_w_per_s: setpoint.ramp_w_per_s,
                fallback: DerFallback {
                    p: power(setpoint.fallback.p),
                    q_var: setpoint.fallback.q_var,
                },
            }),
            origin: match request.authority {
                Authority::Scada => Origin::Scada,
                Authority::Operator => Origin::Operator,
                Authority::Safety => Origin::Safety,
                Authority::Market => Origin::Market,
            },
            // A setpoint that waits longer than this is renewed anyway.
            expires_unix_us: setpoint.expires_us.min(now_us + RENEW_US),
        }
    }

    fn note(
        &mut self,
        unit: &Unit,
        request: Request,
        command: u64,
        lease_ends_us: i64,
        snapshot: &Snapshot,
    ) {
        let now_us = snapshot.now_us;
        let p_w = snapshot.good(&PointId::new(&unit.device, "p"));
        let before = self.in_force.remove(&unit.id);
        let renewed = before.filter(|f| f.setpoint.interval == request.setpoint.interval);
        let entry = match renewed {
            Some(mut f) => {
                f.setpoint = request.setpoint;
                f.command = command;
                f.sent_us = now_us;
                f
            }
            None => InForce {
                setpoint: request.setpoint,
                authority: request.authority,
                command,
                first_sent_us: now_us,
                sent_us: now_us,
                lease_ends_us,
                progress: Progress::Pending,
                message: None,
                differs: 0,
                looked_at_us: now_us,
                from_w: p_w.unwrap_or_default(),
            },
        };
        self.in_force.insert(unit.id, entry);
    }

    /// Takes over what became of commands.
    pub(super) fn done(
        &mut self,
        site: &Site,
        done: &[(u64, CommandStatus)],
        alarms: &mut Alarms,
        now_us: i64,
    ) {
        for (id, status) in done {
            let found = self.in_force.iter_mut().find(|(_, f)| f.command == *id);
            let Some((unit, f)) = found else { continue };
            let name = name(site, *unit);
            let (word, why) = match status {
                CommandStatus::Done => {
                    if !matches!(f.progress, Progress::Verified(_) | Progress::Mismatch(_)) {
                        f.progress = Progress::Done(now_us);
                        f.message = None;
                    }
                    alarms.clear("setpoint_failed", name, now_us);
                    continue;
                }
                CommandStatus::Rejected(why) => ("rejected", why),
                CommandStatus::Unknown(why) => ("unknown", why),
                CommandStatus::NotSent(why) => ("not_sent", why),
            };
            f.progress = Progress::Failed(word);
            f.message = Some(why.clone());
            alarms.raise(
                Severity::Warning,
                "setpoint_failed",
                name,
                format!("setpoint of {name}: {}: {why}", word.replace('_', " ")),
                now_us,
            );
        }
    }

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
            let Some(unit) = site.units.iter().find(|unit| unit.id == *id) else {
                continue;
            };
            let (Progress::Done(since_us)
            | Progress::Verified(since_us)
            | Progress::Mismatch(since_us)) = f.progress
            else {
                continue;
            };
            let Some((read_us, registers)) = readback(unit, snapshot) else {
                continue;
            };
            if read_us <= since_us.max(f.looked_at_us) {
                continue;
            }
            f.looked_at_us = read_us;
            let mut wrong = verify_readback(&f.setpoint, &registers, &tolerance(unit, 0.005));
            let ramp_us = ramp_us(unit, f);
            if now_us - f.first_sent_us > ramp_us + RESPONSE_US {
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
            let Some(first) = wrong.first() else {
                f.differs = 0;
                f.progress = Progress::Verified(since_us);
                f.message = None;
                alarms.clear("setpoint_mismatch", &unit.name, now_us);
                continue;
            };
            f.differs += 1;
            if f.differs >= READ_TWICE {
                let text = format!(
                    "{} does not do as told: asked for {:.0}, has {:.0} ({:?})",
                    unit.name, first.asked, first.read, first.quantity
                );
                f.progress = Progress::Mismatch(since_us);
                f.message = Some(text.clone());
                alarms.raise(
                    Severity::Warning,
                    "setpoint_mismatch",
                    &unit.name,
                    text,
                    now_us,
                );
            }
        }
        // A unit that is left out because it did not obey is tried again after two intervals.
        let quiet_us = 2 * i64::from(product.length_s) * US;
        alarms.clear_quiet("setpoint_mismatch", quiet_us, now_us);
        alarms.clear_quiet("setpoint_failed", quiet_us, now_us);
        alarms.clear_quiet("not_dispatched", quiet_us, now_us);
    }

    /// Whether a unit does not do as told.
    pub(super) fn disobeys(&self, unit: Id) -> bool {
        self.in_force.get(&unit).is_some_and(|f| {
            matches!(
                f.progress,
                Progress::Mismatch(_) | Progress::Failed("rejected")
            )
        })
    }

    /// The limit that a generator has now, W.
    pub(super) fn limit_w(&self, unit: Id) -> Option<f64> {
        match self.in_force.get(&unit)?.setpoint.p {
            ActivePower::Limit(w) => Some(w),
            ActivePower::Set(_) => None,
        }
    }

    /// Whether anything is in force.
    pub(super) fn anything(&self) -> bool {
        !self.in_force.is_empty()
    }

    pub(super) fn view(&self, site: &Site, snapshot: &Snapshot) -> Vec<DispatchView> {
        let mut rows = Vec::new();
        for unit in &site.units {
            let Some(f) = self.in_force.get(&unit.id) else {
                continue;
            };
            let read = readback(unit, snapshot).map_or_else(Reading::default, |(_, r)| r);
            rows.push(DispatchView {
                unit: unit.id,
                device: unit.device.to_string(),
                interval: rfc3339_s(f.setpoint.interval),
                origin: match f.authority {
                    Authority::Scada => "scada",
                    Authority::Operator => "operator",
                    Authority::Safety => "safety",
                    Authority::Market => "market",
                }
                .to_owned(),
                p_kind: match f.setpoint.p {
                    ActivePower::Limit(_) => "limit",
                    ActivePower::Set(_) => "set",
                }
                .to_owned(),
                p_w: f.setpoint.p.watts(),
                q_var: f.setpoint.q_var,
                fallback_p_w: unit.fallback_p_w,
                expires: rfc3339(f.lease_ends_us),
                status: match &f.progress {
                    Progress::Pending => "pending",
                    Progress::Done(_) => "done",
                    Progress::Verified(_) => "verified",
                    Progress::Mismatch(_) => "mismatch",
                    Progress::Failed(word) => word,
                }
                .to_owned(),
                message: f.message.clone(),
                readback_p_w: read.p_w,
                readback_q_var: read.q_var,
            });
        }
        rows
    }
}

fn name(site: &Site, unit: Id) -> &str {
    site.units
        .iter()
        .find(|u| u.id == unit)
        .map_or("", |u| &u.name)
}

fn power(p: ActivePower) -> point::ActivePower {
    match p {
        ActivePower::Limit(w) => point::ActivePower::Limit(w),
        ActivePower::Set(w) => point::ActivePower::Set(w),
    }
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
fn readback(unit: &Unit, snapshot: &Snapshot) -> Option<(i64, Reading)> {
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
