//! Requests of a master, one after the other: what is asked next, and what an answer leads to.

use std::time::Duration;

use super::{
    Master, MasterEvent, Outcome, Request, Select, TimeSync,
    agenda::Routine,
    association::Held,
    request::{CLEAR_RESTART, classes, delay, events, integrity, statuses, time},
};
use crate::dnp3::{
    Now,
    app::{CommandStatus, FunctionCode, Iin},
};

/// What is on its way, for whom.
#[derive(Clone, Debug)]
pub(super) enum Job {
    Routine(Routine),
    User(u64, Request),
}

/// What comes after the answer.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Nothing.
    Last,
    /// Operate what was selected.
    Operate(Vec<u8>),
    /// Keep what was selected.
    Hold(Vec<u8>),
    /// The commands have been sent: their statuses are in the answer.
    Statuses(Vec<u8>),
    /// Write the time at which we asked the outstation to record its own.
    Recorded { unix_ms: u64 },
    /// Write our time with half of what the round trip took.
    Delay { asked: Duration },
    /// It says when it is back.
    Restart,
}

/// The request that is on its way.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) association: usize,
    pub(super) job: Job,
    pub(super) step: Step,
    /// The sequence number that the next fragment of the answer must have.
    pub(super) sequence: u8,
    pub(super) first: bool,
    pub(super) deadline: Duration,
    /// When the job began, and how late that was.
    pub(super) began: (Duration, Duration),
}

impl Master {
    /// The answer is whole: goes on to the next step, or ends.
    pub(super) fn answered(&mut self, mut active: Active, iin: Iin, objects: &[u8], now: Now) {
        let refused = iin.intersects(Iin::REQUEST_ERRORS);
        let step = std::mem::replace(&mut active.step, Step::Last);
        let outcome = match step {
            Step::Operate(commands) => match statuses(&commands, objects) {
                Some(all) if all.iter().all(|&s| s == CommandStatus::Success) => {
                    let step = Step::Statuses(commands.clone());
                    return self.ask(active, FunctionCode::Operate, &commands, step, now);
                }
                Some(all) => Outcome::Commands(all),
                None if refused => Outcome::Refused(iin),
                None => Outcome::BadAnswer,
            },
            Step::Hold(commands) => match statuses(&commands, objects) {
                Some(all) => {
                    if all.iter().all(|&s| s == CommandStatus::Success) {
                        let association = &mut self.associations[active.association];
                        association.held = Some(Held {
                            objects: commands,
                            until: now.mono + association.config.select_hold,
                        });
                    }
                    Outcome::Commands(all)
                }
                None if refused => Outcome::Refused(iin),
                None => Outcome::BadAnswer,
            },
            Step::Statuses(commands) => match statuses(&commands, objects) {
                Some(all) => Outcome::Commands(all),
                None if refused => Outcome::Refused(iin),
                None => Outcome::BadAnswer,
            },
            _ if refused => Outcome::Refused(iin),
            Step::Last => Outcome::Done(iin),
            Step::Recorded { unix_ms } => {
                let objects = time(true, unix_ms);
                return self.ask(active, FunctionCode::Write, &objects, Step::Last, now);
            }
            Step::Delay { asked } => match delay(objects) {
                Some(theirs) => {
                    let round_trip = now.mono.saturating_sub(asked);
                    let one_way = round_trip.saturating_sub(theirs) / 2;
                    let objects = time(false, now.unix_ms + one_way.as_millis() as u64);
                    return self.ask(active, FunctionCode::Write, &objects, Step::Last, now);
                }
                None => Outcome::BadAnswer,
            },
            Step::Restart => delay(objects).map_or(Outcome::BadAnswer, Outcome::Restarting),
        };
        self.finish(active, outcome, now);
    }

    /// Sends the request of a job's next step.
    fn ask(
        &mut self,
        mut active: Active,
        function: FunctionCode,
        objects: &[u8],
        step: Step,
        now: Now,
    ) {
        let association = &mut self.associations[active.association];
        active.sequence = association.ask(function, objects, now.mono);
        active.first = true;
        active.step = step;
        active.deadline = now.mono + association.config.response_timeout;
        if function.is_answered() {
            self.active = Some(active);
        } else {
            self.finish(active, Outcome::Sent, now);
        }
    }

    pub(super) fn finish(&mut self, active: Active, outcome: Outcome, now: Now) {
        let association = &mut self.associations[active.association];
        match active.job {
            Job::User(id, _) => self.done(id, outcome),
            // An outstation that cannot do it is not asked again; one that is not there, later.
            Job::Routine(routine) => {
                if matches!(outcome, Outcome::NoAnswer | Outcome::BadAnswer) {
                    association.pause = now.mono + association.config.retry_delay;
                    association.agenda.add(routine, association.pause);
                }
                let polled = matches!(routine, Routine::Integrity | Routine::Events);
                if let (true, Outcome::Done(_)) = (polled, outcome) {
                    let (began, late) = active.began;
                    self.events.push_back(MasterEvent::Polled {
                        outstation: association.address(),
                        took: now.mono.saturating_sub(began),
                        late,
                    });
                }
            }
        }
    }

    /// Starts the next request, if none is on its way: those that were asked of us first, and the
    /// outstations in turn.
    pub(super) fn pump(&mut self, now: Now) {
        let mut failed = !self.associations.is_empty();
        for association in &mut self.associations {
            failed &= association.station.take_failed();
        }
        if failed {
            self.events.push_back(MasterEvent::LinkLost);
        }
        // Each round ends a request that needs no answer, or starts one.
        while self.connected && self.active.is_none() {
            let (first, count) = (self.turn, self.associations.len());
            let next = (0..count).find_map(|turn| {
                let number = (first + turn) % count;
                Some((number, self.job(number, now)?))
            });
            let Some((number, job)) = next else {
                return;
            };
            self.turn = number + 1;
            self.begin(number, job, now);
        }
    }

    fn job(&mut self, number: usize, now: Now) -> Option<(Job, Duration)> {
        let association = &mut self.associations[number];
        if let Some((id, request)) = association.waiting.pop_front() {
            return Some((Job::User(id, request), Duration::ZERO));
        }
        if association
            .held
            .as_ref()
            .is_some_and(|h| now.mono < h.until)
            || now.mono < association.pause
        {
            return None;
        }
        let routine = association.agenda.due(now.mono)?;
        let late = association
            .agenda
            .begin(routine, &association.config, now.mono);
        Some((Job::Routine(routine), late))
    }

    fn begin(&mut self, number: usize, (job, late): (Job, Duration), now: Now) {
        use FunctionCode as F;
        let config = self.associations[number].config;
        // Whatever is asked now: it has been operated, or cannot be any more.
        let held = self.associations[number].held.take();
        let (function, objects) = match &job {
            Job::Routine(Routine::DisableUnsolicited) => {
                (F::DisableUnsolicited, classes([true; 3]))
            }
            Job::Routine(Routine::EnableUnsolicited) => {
                (F::EnableUnsolicited, classes(config.unsolicited))
            }
            Job::Routine(Routine::ClearRestart) => (F::Write, CLEAR_RESTART.to_vec()),
            Job::Routine(Routine::Integrity) => (F::Read, integrity(config.ask_times)),
            Job::Routine(Routine::Events) => (F::Read, events(config.ask_times)),
            Job::Routine(Routine::SyncTime) | Job::User(_, Request::SyncTime) => {
                let measured = config.time_sync == TimeSync::Delay;
                let function = if measured {
                    F::DelayMeasure
                } else {
                    F::RecordCurrentTime
                };
                (function, Vec::new())
            }
            // It was looked at when it was asked for.
            Job::User(id, request) => match request.fragment() {
                Some((F::Operate, objects)) if held.is_none_or(|h| h.objects != objects) => {
                    return self.done(*id, Outcome::NotSelected);
                }
                Some(fragment) => fragment,
                None => return,
            },
        };
        let step = match (&job, function) {
            (_, F::RecordCurrentTime) => Step::Recorded {
                unix_ms: now.unix_ms,
            },
            (_, F::DelayMeasure) => Step::Delay { asked: now.mono },
            (_, F::ColdRestart | F::WarmRestart) => Step::Restart,
            (Job::User(_, Request::Operate(Select::BeforeOperate, _)), _) => {
                Step::Operate(objects.clone())
            }
            (Job::User(_, Request::Operate(Select::Only, _)), _) => Step::Hold(objects.clone()),
            (Job::User(_, Request::Operate(Select::Direct | Select::Selected, _)), _) => {
                Step::Statuses(objects.clone())
            }
            _ => Step::Last,
        };
        let active = Active {
            association: number,
            job,
            step: Step::Last,
            sequence: 0,
            first: true,
            deadline: now.mono,
            began: (now.mono, late),
        };
        self.ask(active, function, &objects, step, now);
    }
}
