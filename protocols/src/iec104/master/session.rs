//! The session of a master with its station: octets in and out, timers, and what is asked when.

use std::{collections::VecDeque, mem, time::Duration};

use super::{
    MasterConfig, MasterEvent, Measurement, Outcome, Request,
    request::{Job, Next},
};
use crate::{
    driver::Now,
    iec104::{
        LinkError,
        asdu::{Asdu, AsduError, Body},
        link::{Incoming, Link},
    },
};

/// Requests of one lane that may wait; more are not sent.
const MAX_WAITING: usize = 64;

/// Requests of one sort, one at a time. Process commands do not wait for interrogations.
#[derive(Clone, Debug, Default)]
struct Lane {
    active: Option<Job>,
    waiting: VecDeque<Job>,
}

/// A master's session with one station, without IO.
///
/// Octets go in with [`Self::handle_input`], come out of [`Self::poll_transmit`]; call
/// [`Self::handle_timeout`] when [`Self::poll_timeout`] says; after each of these and after
/// [`Self::request`] look at both polls and at [`Self::poll_event`].
#[derive(Clone, Debug)]
pub struct Master {
    config: MasterConfig,
    /// None: not connected.
    link: Option<Link>,
    /// Process commands, and everything else.
    lanes: [Lane; 2],
    next_interrogation: Option<Duration>,
    request_id: u64,
    events: VecDeque<MasterEvent>,
    /// An interrogation was answered since [`Self::take_answered`].
    answered: bool,
    closed: bool,
}

impl Master {
    /// A session that is not connected yet.
    #[must_use]
    pub fn new(config: MasterConfig) -> Self {
        Self {
            config,
            link: None,
            lanes: Default::default(),
            next_interrogation: None,
            request_id: 0,
            events: VecDeque::new(),
            answered: false,
            closed: false,
        }
    }

    /// A new connection: data transfer is to start.
    pub fn connected(&mut self, now: Now) {
        self.disconnected(now);
        let mut link = Link::new(self.config.link, false, now.mono);
        link.start(now.mono);
        self.link = Some(link);
        self.closed = false;
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now: Now) {
        self.link = None;
        self.next_interrogation = None;
        for lane in mem::take(&mut self.lanes) {
            if let Some(job) = lane.active {
                self.ended(&job, Outcome::Disconnected, now);
            }
            for job in lane.waiting {
                self.ended(&job, Outcome::NotSent, now);
            }
        }
    }

    /// Whether data transfer is started.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_started)
    }

    /// Whether the station has answered since this was last asked: an open connection proves nothing.
    pub(super) fn take_answered(&mut self) -> bool {
        mem::take(&mut self.answered)
    }

    /// Asks something of the station; its end is told with the number that is returned.
    pub fn request(&mut self, request: Request, now: Now) -> u64 {
        self.request_id += 1;
        let id = self.request_id;
        let job = Job::new(Some(id), request);
        let lane = &self.lanes[lane(&job)];
        if !self.is_started() || lane.waiting.len() >= MAX_WAITING {
            self.ended(&job, Outcome::NotSent, now);
        } else {
            self.queue(job);
            self.pump(now);
        }
        id
    }

    /// Takes in what arrived.
    pub fn handle_input(&mut self, bytes: &[u8], now: Now) {
        if let Some(link) = &mut self.link {
            link.push(bytes, now.mono);
        }
        while let Some(link) = self.link.as_mut().filter(|_| !self.closed) {
            match link.next(now.mono) {
                Ok(Some(incoming)) => {
                    for one in incoming {
                        self.incoming(one, now);
                    }
                }
                Ok(None) => break,
                Err(error) => self.close(error),
            }
        }
        self.pump(now);
    }

    /// The next octets to be sent, whole frames.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.link.as_mut()?.poll_transmit()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<MasterEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called; none while not connected.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let link = self.link.as_ref()?.poll_timeout();
        let active = self.lanes.iter().filter_map(|lane| lane.active.as_ref());
        let due = active.map(|job| job.deadline);
        Some(due.chain(self.next_interrogation).fold(link, Duration::min))
    }

    /// Does what the time has come for.
    pub fn handle_timeout(&mut self, now: Now) {
        if let Some(link) = &mut self.link
            && let Err(error) = link.handle_timeout(now.mono)
        {
            self.close(error);
        }
        for lane in 0..self.lanes.len() {
            let late = |job: &mut Job| now.mono >= job.deadline;
            if let Some(job) = self.lanes[lane].active.take_if(late) {
                self.ended(&job, Outcome::NoAnswer, now);
            }
        }
        if self.next_interrogation.is_some_and(|due| now.mono >= due) {
            self.interrogate(now);
        }
        self.pump(now);
    }

    fn close(&mut self, error: LinkError) {
        if !mem::replace(&mut self.closed, true) {
            self.events.push_back(MasterEvent::Closed(error));
        }
    }

    fn incoming(&mut self, incoming: Incoming, now: Now) {
        match incoming {
            Incoming::Asdu(octets) => match Asdu::decode(&octets) {
                Ok(asdu) => self.asdu(asdu, now),
                Err(AsduError::Malformed(type_id)) => self.close(LinkError::Asdu(type_id)),
                // Of a type that we have no use for, e.g. of protection equipment.
                Err(AsduError::UnknownType(_)) => {}
            },
            Incoming::Started => {
                self.events.push_back(MasterEvent::Started);
                self.interrogate(now);
            }
            _ => {}
        }
    }

    /// Asks for everything, now and again later.
    fn interrogate(&mut self, now: Now) {
        let every = self.config.interrogate_every;
        self.next_interrogation = every.map(|every| now.mono + every);
        let wanted = [
            (self.config.clock_sync, Request::Clock),
            (true, Request::Interrogation(20)),
            (self.config.counters, Request::Counters(5)),
        ];
        for (_, request) in wanted.into_iter().filter(|(wanted, _)| *wanted) {
            // One that waits already is enough.
            let same = |job: &Job| job.id.is_none() && job.request == request;
            if !self.lanes[1].waiting.iter().any(same) {
                self.queue(Job::new(None, request));
            }
        }
    }

    fn queue(&mut self, job: Job) {
        self.lanes[lane(&job)].waiting.push_back(job);
    }

    fn asdu(&mut self, asdu: Asdu, now: Now) {
        let Asdu { header, body } = asdu;
        if header.address != self.config.address {
            // Another station's behind the same connection.
            return;
        }
        match body {
            Body::Measured(kind, objects) => {
                let cause = header.cause;
                // An interrogation that goes on is not late.
                if cause.is_interrogated() || (37..=41).contains(&cause.0) {
                    self.extend(now);
                }
                for lane in 0..self.lanes.len() {
                    let read =
                        |job: &mut Job| objects.iter().any(|(ioa, _)| job.is_read(*ioa, cause));
                    if let Some(job) = self.lanes[lane].active.take_if(read) {
                        self.ended(&job, Outcome::Done, now);
                    }
                }
                let measurements = objects.into_iter().map(|(ioa, sample)| Measurement {
                    ioa,
                    kind,
                    sample,
                    cause,
                });
                self.events
                    .push_back(MasterEvent::Measurements(measurements.collect()));
            }
            Body::Initialised => {
                self.events.push_back(MasterEvent::Initialised);
                self.interrogate(now);
            }
            Body::Request(object) => {
                let config = self.config;
                for lane in 0..self.lanes.len() {
                    let Some(mut job) = self.lanes[lane].active.take() else {
                        continue;
                    };
                    match job.answered(header, &object, &config, now) {
                        Next::End(outcome) => self.ended(&job, outcome, now),
                        Next::Ignore => self.lanes[lane].active = Some(job),
                        Next::Wait => self.proceed(lane, job, now),
                        Next::Send(asdu) => {
                            if let Some(link) = self.link.as_mut().filter(|l| l.can_send()) {
                                link.send(asdu, now.mono);
                                self.proceed(lane, job, now);
                            } else {
                                self.ended(&job, Outcome::NoAnswer, now);
                            }
                        }
                    }
                }
            }
        }
    }

    fn proceed(&mut self, lane: usize, mut job: Job, now: Now) {
        job.deadline = now.mono + self.config.answer_timeout;
        self.lanes[lane].active = Some(job);
    }

    fn extend(&mut self, now: Now) {
        if let Some(job) = &mut self.lanes[1].active {
            job.deadline = now.mono + self.config.answer_timeout;
        }
    }

    fn ended(&mut self, job: &Job, outcome: Outcome, now: Now) {
        match (job.id, job.request) {
            (Some(id), _) => self.events.push_back(MasterEvent::Done { id, outcome }),
            // A station without one has nothing to say, and says so.
            (None, Request::Interrogation(_)) if outcome != Outcome::NotSent => {
                let complete = outcome == Outcome::Done;
                self.answered |= complete;
                let took = now.mono.saturating_sub(job.begun);
                self.events
                    .push_back(MasterEvent::Interrogated { complete, took });
            }
            (None, request) => tracing::debug!(?request, ?outcome, "iec104 request ended"),
        }
    }

    fn pump(&mut self, now: Now) {
        let config = self.config;
        for lane in &mut self.lanes {
            let Some(link) = self.link.as_mut().filter(|link| link.can_send()) else {
                return;
            };
            if lane.active.is_none()
                && let Some(mut job) = lane.waiting.pop_front()
            {
                job.begun = now.mono;
                job.deadline = now.mono + self.config.answer_timeout;
                link.send(job.asdu(&config, now), now.mono);
                lane.active = Some(job);
            }
        }
    }
}

fn lane(job: &Job) -> usize {
    usize::from(!job.is_control())
}

#[cfg(test)]
mod tests;
