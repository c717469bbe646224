//! Setpoints: sent when an interval begins, in stages along a common way, and renewed while it
//! lasts.
//!
//! A setpoint's lease ends `lease_s` after its interval began, however often it is renewed, so
//! that a device which hears of no next interval falls back by itself. What an award becomes is
//! `solver::dispatch`'s to say; who may command is decided there too.

use std::{collections::BTreeMap, time::Duration};

use protocols::point::{
    self, Action, Command, CommandStatus, DerFallback, DerSetpoint, DeviceId, Origin, PointId,
};
use solver::{
    dispatch::{
        ActivePower, Authority, Charge, Control, Fallback, Power, Reading, Request, Setpoint,
        UnitControl, arbitrate, setpoint,
    },
    market::{Product, clearing::Award},
    network::Id,
};

use super::{
    alarms::{Alarms, Severity},
    hold::{self, Holds},
    path::{Path, Stage},
    step::market_unit,
    verify::{READ_TWICE, readback},
};
use crate::{
    clock::{US, rfc3339, rfc3339_s},
    site::{Site, Unit},
    table::Snapshot,
    web::api::DispatchView,
};

/// A setpoint in force is sent again this often, so that a device that came back has it too.
const RENEW_US: i64 = 4 * US;

/// Where a setpoint has got to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Progress {
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

impl Progress {
    /// Since when the device has it.
    pub(super) fn since_us(&self) -> Option<i64> {
        match self {
            Self::Done(since_us) | Self::Verified(since_us) | Self::Mismatch(since_us) => {
                Some(*since_us)
            }
            Self::Pending | Self::Failed(_) => None,
        }
    }
}

/// A unit's setpoint.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) setpoint: Setpoint,
    authority: Authority,
    command: u64,
    /// When this very setpoint was first sent.
    pub(super) first_sent_us: i64,
    sent_us: i64,
    /// End of the lease.
    lease_ends_us: i64,
    /// It is a stage on the way to another.
    under_way: bool,
    /// The stage before, and since when the device has it: what may still be read.
    pub(super) before: Option<(i64, Setpoint)>,
    pub(super) progress: Progress,
    pub(super) message: Option<String>,
    /// Readings in a row that differ, and the one last looked at.
    pub(super) differs: u32,
    pub(super) looked_at_us: i64,
    /// Power when it was first sent, W.
    pub(super) from_w: f64,
}

impl InForce {
    /// Whether it asks for the same in the same name. While a unit is told what an award says, who
    /// wins does not depend on the moment, so that a later end of its lease is all that differs.
    fn is_for(&self, request: &Request) -> bool {
        let of = |s: &Setpoint| (s.interval, s.p, s.q_var);
        self.authority == request.authority && of(&self.setpoint) == of(&request.setpoint)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    pub(super) in_force: BTreeMap<Id, InForce>,
    path: Path,
    /// Ways of units that came back from who outranked those who command them now.
    back: BTreeMap<Id, Back>,
    /// Batteries that are kept from going further beyond their charge, with the interval that this is for.
    guarded: BTreeMap<Id, i64>,
    next_command: u64,
}

/// A unit's way back to what somebody asks of it.
#[derive(Debug)]
struct Back {
    to: (Authority, Award),
    path: Path,
}

/// What the running interval asks of the units.
pub(super) struct Asked<'a> {
    /// Start of the interval.
    pub(super) start: i64,
    pub(super) product: &'a Product,
    pub(super) awards: &'a [Award],
    /// What the control centre and operators ask of units, which outranks that.
    pub(super) holds: &'a Holds,
    /// The feeder is within its limits now.
    pub(super) safe: bool,
}

impl Dispatch {
    /// What a unit can do and how it is commanded. A battery's charge bounds where the interval
    /// leads to, not the way there: its nameplate alone does.
    fn control(unit: &Unit, lease_s: f64) -> UnitControl {
        let power = |w| match unit.battery {
            Some(_) => ActivePower::Set(w),
            None => ActivePower::Limit(w),
        };
        UnitControl {
            unit: unit.id,
            capability: market_unit(unit).capability,
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
        asked: &Asked<'_>,
        snapshot: &Snapshot,
        alarms: &mut Alarms,
    ) -> Vec<(DeviceId, Command)> {
        let now_us = snapshot.now_us;
        let &Asked { start, product, .. } = asked;
        if self.path.interval() != start {
            self.path = path(site, asked, snapshot);
        }
        let lease = i64::try_from(site.lease.as_micros()).unwrap_or(i64::MAX);
        let lease_ends_us = product.start_us(start).saturating_add(lease);
        let lease_s = (lease_ends_us - now_us) as f64 / US as f64;
        let mut commands = Vec::new();
        for unit in &site.units {
            if !snapshot.online(&unit.device) {
                continue;
            }
            let wanted = self.wanted(unit, asked, snapshot, alarms);
            self.come_back(site, unit, &wanted, asked, snapshot);
            let (requests, under_way) =
                self.requests(unit, asked, &wanted, (lease_s, now_us), alarms);
            let decided = arbitrate(requests, now_us);
            let Some(winner) = decided.winner else {
                continue;
            };
            if !self.due(&winner, now_us) {
                continue;
            }
            for loser in &decided.losers {
                tracing::info!(unit = unit.id, authority = ?loser.authority, "setpoint outranked");
            }
            let under_way = under_way.contains(&winner.authority);
            let command = self.command(unit, &winner, now_us);
            let mut entry = self.entry(unit, winner, under_way, snapshot);
            entry.command = command.id;
            entry.sent_us = now_us;
            entry.lease_ends_us = lease_ends_us;
            self.in_force.insert(unit.id, entry);
            commands.push((unit.device.clone(), command));
        }
        commands
    }

    /// What is asked of a unit, as setpoints, and whose is a stage on the way.
    fn requests(
        &self,
        unit: &Unit,
        asked: &Asked<'_>,
        wanted: &[(Authority, Power)],
        (lease_s, now_us): (f64, i64),
        alarms: &mut Alarms,
    ) -> (Vec<Request>, Vec<Authority>) {
        let mut requests = Vec::new();
        let mut under_way = Vec::new();
        for &(authority, power) in wanted {
            let stage = self.stage(unit, authority, power, now_us);
            let mut control = Self::control(unit, lease_s);
            control.ramp_w_per_s = Some(stage.ramp_w_per_s);
            let award = Award {
                unit: unit.id,
                p_w: stage.power.p_w,
                q_var: stage.power.q_var,
            };
            if stage.under_way {
                under_way.push(authority);
            }
            match setpoint(&award, asked.start, asked.product, &control, now_us) {
                Ok(setpoint) => requests.push(Request {
                    authority,
                    setpoint,
                }),
                Err(error) => {
                    let (severity, code) = (Severity::Critical, "not_dispatched");
                    alarms.raise(severity, code, &unit.name, error.to_string(), now_us);
                }
            }
        }
        (requests, under_way)
    }

    /// Who asks what of a unit, who outranks the others first; nobody: it is left alone.
    fn wanted(
        &mut self,
        unit: &Unit,
        asked: &Asked<'_>,
        snapshot: &Snapshot,
        alarms: &mut Alarms,
    ) -> Vec<(Authority, Power)> {
        let mut wanted: Vec<_> = hold::asked(asked.holds, unit.id).collect();
        let award = asked.awards.iter().find(|award| award.unit == unit.id);
        if let Some(award) = award {
            let power = Power {
                p_w: award.p_w,
                q_var: award.q_var,
            };
            let safe = self.guard(unit, power, asked.start, snapshot, alarms);
            wanted.extend(safe.map(|power| (Authority::Safety, power)));
            wanted.push((Authority::Market, power));
        }
        wanted
    }

    /// What the appliance's own limits make of a unit's award, if they have to say anything. Once they have,
    /// that stands for the interval: a charge on its bound is not to switch the battery to and fro.
    fn guard(
        &mut self,
        unit: &Unit,
        award: Power,
        interval: i64,
        snapshot: &Snapshot,
        alarms: &mut Alarms,
    ) -> Option<Power> {
        let battery = unit.battery?;
        if self.guarded.get(&unit.id) != Some(&interval) {
            let soc = snapshot.good(&PointId::new(&unit.device, "soc"))?;
            let charge = Charge {
                soc,
                soc_min: battery.soc_min,
                soc_max: battery.soc_max,
            };
            let bound = charge.crossed(award.p_w)?;
            self.guarded.insert(unit.id, interval);
            let text = format!(
                "{} is charged to {:.1} %, beyond its bound of {:.1} %: it stands still until the \
                 interval ends, whatever it was awarded",
                unit.name,
                100.0 * soc,
                100.0 * bound
            );
            let code = "charge_limit";
            alarms.raise(Severity::Warning, code, &unit.name, text, snapshot.now_us);
        }
        Some(Power { p_w: 0.0, ..award })
    }

    /// Notes the way of a unit whose command has gone to who was outranked: not in one jump.
    fn come_back(
        &mut self,
        site: &Site,
        unit: &Unit,
        wanted: &[(Authority, Power)],
        asked: &Asked<'_>,
        snapshot: &Snapshot,
    ) {
        let Some(&(authority, Power { p_w, q_var })) = wanted.first() else {
            self.back.remove(&unit.id);
            return;
        };
        let award = Award {
            unit: unit.id,
            p_w,
            q_var,
        };
        let to = (authority, award);
        // An interval has a way of its own to its awards.
        let is_over =
            |back: &Back| authority == Authority::Market && back.path.interval() != asked.start;
        let is_old = |back: &Back| back.to != to || is_over(back);
        if self.back.get(&unit.id).is_some_and(is_old) {
            self.back.remove(&unit.id);
        }
        let was = self.in_force.get(&unit.id).map(|f| f.authority);
        if was.is_some_and(|was| was < authority) && asked.safe {
            let stage_s = site.estimation_period.as_secs_f64();
            let way = [(unit, &to.1, delivers(unit, snapshot))];
            // Nobody else waits for it, so that it has all the time that its ramp takes.
            let path = Path::new(
                (asked.start, snapshot.now_us),
                (stage_s, f64::INFINITY),
                way,
            );
            self.back.insert(unit.id, Back { to, path });
        }
    }

    fn stage(&self, unit: &Unit, authority: Authority, power: Power, now_us: i64) -> Stage {
        let award = Award {
            unit: unit.id,
            p_w: power.p_w,
            q_var: power.q_var,
        };
        match self.back.get(&unit.id) {
            Some(back) if back.to == (authority, award) => back.path.stage(unit, &award, now_us),
            _ if authority == Authority::Market => self.path.stage(unit, &award, now_us),
            _ => Stage::directly(unit, power),
        }
    }

    /// Whether a unit has to be told, or told again.
    fn due(&self, request: &Request, now_us: i64) -> bool {
        self.in_force.get(&request.setpoint.unit).is_none_or(|f| {
            !f.is_for(request)
                || f.under_way
                || now_us - f.sent_us >= RENEW_US
                || matches!(f.progress, Progress::Failed(_))
        })
    }

    /// The number of the next command.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_command += 1;
        self.next_command
    }

    fn command(&mut self, unit: &Unit, request: &Request, now_us: i64) -> Command {
        let setpoint = &request.setpoint;
        Command {
            id: self.next_id(),
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

    /// The unit's entry with another setpoint: what is known of the one before goes on while only
    /// its lease is renewed.
    fn entry(
        &mut self,
        unit: &Unit,
        request: Request,
        under_way: bool,
        snapshot: &Snapshot,
    ) -> InForce {
        let now_us = snapshot.now_us;
        let before = self.in_force.remove(&unit.id);
        let before = before.filter(|f| {
            f.setpoint.interval == request.setpoint.interval && f.authority == request.authority
        });
        // Who does not listen on the way is known before its end.
        let differs = before.as_ref().map_or(0, |f| f.differs);
        let before = match before {
            Some(f) if !f.under_way && f.is_for(&request) => {
                return InForce {
                    setpoint: request.setpoint,
                    ..f
                };
            }
            Some(f) => f.progress.since_us().map(|since| (since, f.setpoint)),
            None => None,
        };
        let p_w = snapshot.good(&PointId::new(&unit.device, "p"));
        InForce {
            setpoint: request.setpoint,
            authority: request.authority,
            command: 0,
            first_sent_us: now_us,
            sent_us: now_us,
            lease_ends_us: now_us,
            under_way,
            before,
            progress: Progress::Pending,
            message: None,
            differs,
            looked_at_us: now_us,
            from_w: p_w.unwrap_or_default(),
        }
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
                CommandStatus::Rejected(why) => ("rejected", &why.text),
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

    /// Whether a unit does not do as told.
    pub(super) fn disobeys(&self, unit: Id) -> bool {
        self.in_force.get(&unit).is_some_and(|f| {
            f.differs >= READ_TWICE || matches!(f.progress, Progress::Failed("rejected"))
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

/// The way to the interval's awards from where its units are.
fn path(site: &Site, asked: &Asked<'_>, snapshot: &Snapshot) -> Path {
    let now_us = snapshot.now_us;
    // Out of a bad state nobody waits for the slowest.
    let most_s = match asked.safe {
        true => f64::from(asked.product.length_s) / 2.0,
        false => 0.0,
    };
    let free = |award: &&Award| hold::in_force(asked.holds, award.unit).is_none();
    let awards = asked.awards.iter().filter(free).filter_map(|award| {
        let unit = site.units.iter().find(|unit| unit.id == award.unit)?;
        Some((unit, award, delivers(unit, snapshot)))
    });
    let stage_s = site.estimation_period.as_secs_f64();
    Path::new((asked.start, now_us), (stage_s, most_s), awards)
}

/// What a unit delivers now, if that is known.
fn delivers(unit: &Unit, snapshot: &Snapshot) -> Option<Power> {
    let good = |name| snapshot.good(&PointId::new(&unit.device, name));
    let (p_w, q_var) = good("p").zip(good("q"))?;
    Some(Power { p_w, q_var })
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
