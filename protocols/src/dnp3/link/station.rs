//! One station's end of a link to one other station (IEEE 1815-2012 clause 9): sends segments,
//! confirmed if asked to; answers what the other sends; watches whether it is still there.

use std::{collections::VecDeque, time::Duration};

use super::frame::{Frame, Function};

/// A station's end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Our address, at most [`super::MAX_ADDRESS`].
    pub local: u16,
    /// The other's address.
    pub remote: u16,
    /// Whether our user data are confirmed by the link layer. Not over TCP (clause 13).
    pub confirmed: bool,
    /// How long an answer of the link layer may take.
    pub timeout: Duration,
    /// How often an unanswered frame is sent again.
    pub retries: u8,
    /// After so long without a frame the other is asked for its status; `None`: never.
    pub keep_alive: Option<Duration>,
}

impl LinkConfig {
    /// Unconfirmed, one second, three retries, a keep-alive each minute.
    #[must_use]
    pub fn new(local: u16, remote: u16) -> Self {
        Self {
            local,
            remote,
            confirmed: false,
            timeout: Duration::from_secs(1),
            retries: 3,
            keep_alive: Some(Duration::from_secs(60)),
        }
    }
}

/// What the primary part waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Primary {
    Idle,
    /// For the acknowledgement of a reset or of user data (the first of the queue).
    Sent {
        reset: bool,
        tries: u8,
        deadline: Duration,
    },
    /// For the answer to our question whether the other is there.
    Asked {
        tries: u8,
        deadline: Duration,
    },
}

/// One end of a link.
#[derive(Clone, Debug)]
pub(crate) struct Station {
    config: LinkConfig,
    master: bool,
    transmit: VecDeque<Vec<u8>>,
    /// Segments that wait for their confirmed transfer.
    queue: VecDeque<Vec<u8>>,
    primary: Primary,
    /// Frame count bit of the next confirmed frame; `None` until the other has been reset.
    send_fcb: Option<bool>,
    /// Frame count bit that the next confirmed frame must have; `None` until we were reset.
    expect_fcb: Option<bool>,
    heard: Duration,
    failed: bool,
}

/// More segments than the largest fragment has: what is queued beyond is not sent.
const MAX_QUEUE: usize = 32;

impl Station {
    pub(crate) fn new(config: LinkConfig, master: bool, now: Duration) -> Self {
        Self {
            config,
            master,
            transmit: VecDeque::new(),
            queue: VecDeque::new(),
            primary: Primary::Idle,
            send_fcb: None,
            expect_fcb: None,
            heard: now,
            failed: false,
        }
    }

    /// Sends segments to the other station.
    pub(crate) fn send(&mut self, segments: Vec<Vec<u8>>, now: Duration) {
        if !self.config.confirmed {
            for segment in segments {
                self.frame(Function::UnconfirmedData, segment);
            }
            return;
        }
        for segment in segments {
            if self.queue.len() < MAX_QUEUE {
                self.queue.push_back(segment);
            }
        }
        self.advance(now);
    }

    /// Sends a segment to an address other than the link's, as a broadcast: never confirmed.
    pub(crate) fn send_to(&mut self, destination: u16, segment: Vec<u8>) {
        let frame = self.make(Function::UnconfirmedData, destination, segment);
        self.transmit.push_back(frame.encode());
    }

    /// The next frame to be sent.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.pop_front()
    }

    /// Takes in a frame that is for us and from the other; gives the segment it carries.
    /// A broadcast is never answered.
    pub(crate) fn handle_frame(
        &mut self,
        frame: Frame,
        broadcast: bool,
        now: Duration,
    ) -> Option<Vec<u8>> {
        self.heard = now;
        if broadcast {
            return (frame.function == Function::UnconfirmedData).then_some(frame.data);
        }
        match frame.function {
            Function::UnconfirmedData => return Some(frame.data),
            Function::ConfirmedData { fcb } => return self.confirmed(fcb, frame.data),
            Function::ResetLink => {
                self.expect_fcb = Some(true);
                self.frame(Function::Ack { busy: false }, Vec::new());
            }
            Function::TestLink { fcb } => {
                if self.counts(fcb) {
                    self.frame(Function::Ack { busy: false }, Vec::new());
                }
            }
            Function::RequestStatus => self.frame(Function::Status { busy: false }, Vec::new()),
            Function::Ack { .. } => self.acknowledged(now),
            Function::Nack { .. } => self.refused(now),
            Function::Status { .. } => {
                if matches!(self.primary, Primary::Asked { .. }) {
                    self.primary = Primary::Idle;
                    self.advance(now);
                }
            }
            Function::NotSupported { .. } => self.abandon(),
        }
        None
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        match self.primary {
            Primary::Sent { deadline, .. } | Primary::Asked { deadline, .. } => Some(deadline),
            Primary::Idle => self.config.keep_alive.map(|period| self.heard + period),
        }
    }

    /// Repeats, gives up, or asks whether the other is there, as the time has come.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        match self.primary {
            Primary::Sent { deadline, .. } | Primary::Asked { deadline, .. } if now < deadline => {}
            Primary::Sent { reset, tries, .. } if tries <= self.config.retries => {
                self.transfer(reset, tries + 1, now);
            }
            // Over TCP an answer cannot get lost on the way, but a slow peer is asked again too.
            Primary::Asked { tries, .. } if tries <= self.config.retries => {
                self.ask(tries + 1, now);
            }
            Primary::Sent { .. } => self.abandon(),
            Primary::Asked { .. } => {
                self.primary = Primary::Idle;
                self.heard = now;
                self.failed = true;
            }
            Primary::Idle => {
                let due = self
                    .config
                    .keep_alive
                    .is_some_and(|p| now >= self.heard + p);
                if due {
                    self.ask(1, now);
                }
            }
        }
    }

    /// Whether the link has failed since this was last asked: no answer in spite of all retries.
    pub(crate) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// A new connection: nothing that was on its way is.
    pub(crate) fn restart(&mut self, now: Duration) {
        *self = Self::new(self.config, self.master, now);
    }

    fn counts(&mut self, fcb: bool) -> bool {
        // Not reset, or a repetition: neither is for this function to count.
        let fresh = self.expect_fcb == Some(fcb);
        if fresh {
            self.expect_fcb = Some(!fcb);
        }
        self.expect_fcb.is_some()
    }

    fn confirmed(&mut self, fcb: bool, data: Vec<u8>) -> Option<Vec<u8>> {
        let fresh = self.expect_fcb == Some(fcb);
        let answered = self.counts(fcb);
        // A station that was not reset answers with a refusal, so that the other resets it.
        let answer = if answered {
            Function::Ack { busy: false }
        } else {
            Function::Nack { busy: false }
        };
        self.frame(answer, Vec::new());
        fresh.then_some(data)
    }

    fn acknowledged(&mut self, now: Duration) {
        let Primary::Sent { reset, .. } = self.primary else {
            return;
        };
        if reset {
            self.send_fcb = Some(true);
        } else {
            self.queue.pop_front();
            self.send_fcb = self.send_fcb.map(|fcb| !fcb);
        }
        self.primary = Primary::Idle;
        self.advance(now);
    }

    fn refused(&mut self, now: Duration) {
        match self.primary {
            // It has restarted: reset it, then send again. A refused reset waits for its time-out.
            Primary::Sent {
                reset: false,
                tries,
                ..
            } if tries <= self.config.retries => {
                self.send_fcb = None;
                self.transfer(true, tries + 1, now);
            }
            Primary::Sent { reset: false, .. } => self.abandon(),
            _ => {}
        }
    }

    /// Starts the next confirmed transfer.
    fn advance(&mut self, now: Duration) {
        if self.primary == Primary::Idle && !self.queue.is_empty() {
            self.transfer(self.send_fcb.is_none(), 1, now);
        }
    }

    fn transfer(&mut self, reset: bool, tries: u8, now: Duration) {
        match (reset, self.send_fcb, self.queue.front().cloned()) {
            (false, Some(fcb), Some(segment)) => {
                self.frame(Function::ConfirmedData { fcb }, segment);
            }
            _ => self.frame(Function::ResetLink, Vec::new()),
        }
        let deadline = now + self.config.timeout;
        self.primary = Primary::Sent {
            reset,
            tries,
            deadline,
        };
    }

    fn ask(&mut self, tries: u8, now: Duration) {
        self.frame(Function::RequestStatus, Vec::new());
        let deadline = now + self.config.timeout;
        self.primary = Primary::Asked { tries, deadline };
    }

    /// Gives up on what is on its way.
    fn abandon(&mut self) {
        if matches!(self.primary, Primary::Sent { .. }) {
            self.queue.clear();
            self.send_fcb = None;
            self.failed = true;
        }
        self.primary = Primary::Idle;
    }

    fn make(&self, function: Function, destination: u16, data: Vec<u8>) -> Frame {
        Frame {
            from_master: self.master,
            function,
            destination,
            source: self.config.local,
            data,
        }
    }

    fn frame(&mut self, function: Function, data: Vec<u8>) {
        let frame = self.make(function, self.config.remote, data);
        self.transmit.push_back(frame.encode());
    }
}

#[cfg(test)]
mod tests;
