//! One connection's transport procedures (IEC 60870-5-104 clause 5): numbers and their
//! acknowledgement, the windows k and w, the timers t1 to t3, start, stop and test. Both stations
//! use it; t0 is the client's.

use std::{collections::VecDeque, time::Duration};

use thiserror::Error;

use super::apci::{Apdu, Control, FrameError, FrameParser, SEQUENCES};

/// Windows and timers of a connection, with the standard's defaults (clause 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// I frames sent and not acknowledged, at most.
    pub k: u16,
    /// I frames received, after which they are acknowledged at the latest; not more than two
    /// thirds of the other's k.
    pub w: u16,
    /// An acknowledgement, or the answer to a U frame, may take so long.
    pub t1: Duration,
    /// What was received is acknowledged after this at the latest; shorter than t1.
    pub t2: Duration,
    /// Without anything from the other for so long, the connection is tested.
    pub t3: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            k: 12,
            w: 8,
            t1: Duration::from_secs(15),
            t2: Duration::from_secs(10),
            t3: Duration::from_secs(20),
        }
    }
}

impl LinkConfig {
    /// What is wrong with it, one phrase each.
    #[must_use]
    pub fn problems(&self) -> Vec<&'static str> {
        let rows = [
            (self.k == 0 || self.k >= SEQUENCES, "k is not 1 to 32767"),
            (self.w == 0 || self.w >= SEQUENCES, "w is not 1 to 32767"),
            (
                self.t2.is_zero() || self.t2 >= self.t1,
                "t2 is not within 0 and t1",
            ),
            (self.t3.is_zero(), "t3 is zero"),
        ];
        let wrong = rows.into_iter().filter(|row| row.0);
        wrong.map(|row| row.1).collect()
    }
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An I frame out of order.
    #[error("frame {got} came where {expected} was due")]
    Sequence {
        /// Its number.
        got: u16,
        /// The number that was due.
        expected: u16,
    },
    /// An acknowledgement of what was not sent.
    #[error("{0} was acknowledged and never sent")]
    Acknowledged(u16),
    /// An I frame while data transfer is stopped, or a U frame in the wrong direction.
    #[error("a frame that is not due in this state")]
    State,
    /// No answer within t1.
    #[error("no acknowledgement within t1")]
    Timeout,
    /// An ASDU whose octets do not fit its type.
    #[error("a malformed ASDU of type {0}")]
    Asdu(u8),
    /// Another connection took its place.
    #[error("another connection took its place")]
    Replaced,
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// An ASDU's octets.
    Asdu(Vec<u8>),
    /// So many more of the I frames that we sent have arrived.
    Acknowledged(u16),
    /// The controlling station wants data transfer started: answer with [`Link::confirm_start`].
    Start,
    /// Data transfer has started.
    Started,
    /// Data transfer is being stopped.
    Stop,
    /// Data transfer has stopped.
    Stopped,
}

/// A connection's state.
#[derive(Clone, Debug)]
pub(super) struct Link {
    config: LinkConfig,
    /// Whether the other is the controlling station.
    controlled: bool,
    parser: FrameParser,
    started: bool,
    /// Stop was asked for, and is confirmed when all that we sent is acknowledged.
    stopping: bool,
    send: u16,
    receive: u16,
    /// When those were sent that are not acknowledged.
    unacknowledged: VecDeque<Duration>,
    /// Received since the last acknowledgement.
    owed: u16,
    owed_since: Duration,
    /// When a U frame was sent whose answer is due.
    asked: Option<Duration>,
    heard: Duration,
    out: VecDeque<Vec<u8>>,
}

impl Link {
    /// A new connection.
    pub(super) fn new(config: LinkConfig, controlled: bool, now: Duration) -> Self {
        Self {
            config,
            controlled,
            parser: FrameParser::default(),
            started: false,
            stopping: false,
            send: 0,
            receive: 0,
            unacknowledged: VecDeque::new(),
            owed: 0,
            owed_since: now,
            asked: None,
            heard: now,
            out: VecDeque::new(),
        }
    }

    /// Whether ASDUs flow.
    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// Whether the window has room for one more I frame.
    pub(super) fn can_send(&self) -> bool {
        self.started && !self.stopping && self.unacknowledged.len() < usize::from(self.config.k)
    }

    pub(super) fn push(&mut self, bytes: &[u8], now: Duration) {
        if !bytes.is_empty() {
            self.heard = now;
            self.parser.push(bytes);
        }
    }

    /// What the next frames bring; none: no more whole frames.
    pub(super) fn next(&mut self, now: Duration) -> Result<Option<Vec<Incoming>>, LinkError> {
        let Some(frame) = self.parser.take()? else {
            return Ok(None);
        };
        let mut incoming = Vec::new();
        match frame {
            Apdu::I {
                send,
                receive,
                asdu,
            } => {
                if !self.started || (self.controlled && self.stopping) {
                    return Err(LinkError::State);
                }
                if send != self.receive {
                    let expected = self.receive;
                    return Err(LinkError::Sequence {
                        got: send,
                        expected,
                    });
                }
                self.acknowledged(receive, &mut incoming)?;
                self.receive = (self.receive + 1) % SEQUENCES;
                if self.owed == 0 {
                    self.owed_since = now;
                }
                self.owed += 1;
                if self.owed >= self.config.w {
                    self.acknowledge();
                }
                incoming.push(Incoming::Asdu(asdu));
            }
            Apdu::S { receive } => self.acknowledged(receive, &mut incoming)?,
            Apdu::U(control) => incoming.extend(self.control(control)?),
        }
        Ok(Some(incoming))
    }

    fn control(&mut self, control: Control) -> Result<Option<Incoming>, LinkError> {
        let controlled = self.controlled;
        Ok(match control {
            Control::TestAct => {
                self.tell(Control::TestCon);
                None
            }
            Control::TestCon => {
                self.asked = None;
                None
            }
            Control::StartAct if controlled => Some(Incoming::Start),
            Control::StopAct if controlled => {
                self.acknowledge();
                self.stopping = true;
                self.finish_stop();
                Some(Incoming::Stop)
            }
            Control::StartCon if !controlled => {
                self.asked = None;
                self.started = true;
                Some(Incoming::Started)
            }
            Control::StopCon if !controlled => {
                self.asked = None;
                self.started = false;
                self.stopping = false;
                Some(Incoming::Stopped)
            }
            _ => return Err(LinkError::State),
        })
    }

    fn acknowledged(
        &mut self,
        receive: u16,
        incoming: &mut Vec<Incoming>,
    ) -> Result<(), LinkError> {
        // The queue is shorter than k, which is a number of 15 bits.
        let waiting = self.unacknowledged.len() as u16;
        let oldest = self.send.wrapping_sub(waiting) % SEQUENCES;
        let count = receive.wrapping_sub(oldest) % SEQUENCES;
        if count > waiting {
            return Err(LinkError::Acknowledged(receive));
        }
        if count > 0 {
            self.unacknowledged.drain(..usize::from(count));
            incoming.push(Incoming::Acknowledged(count));
            self.finish_stop();
        }
        Ok(())
    }

    fn finish_stop(&mut self) {
        if self.controlled && self.stopping && self.unacknowledged.is_empty() {
            self.stopping = false;
            self.started = false;
            self.tell(Control::StopCon);
        }
    }

    /// Sends an ASDU; only where [`Self::can_send`].
    pub(super) fn send(&mut self, asdu: Vec<u8>, now: Duration) {
        debug_assert!(self.can_send());
        let frame = Apdu::I {
            send: self.send,
            receive: self.receive,
            asdu,
        };
        self.out.push_back(frame.encode());
        self.send = (self.send + 1) % SEQUENCES;
        self.unacknowledged.push_back(now);
        self.owed = 0;
    }

    /// Data transfer starts now.
    pub(super) fn confirm_start(&mut self) {
        self.started = true;
        self.stopping = false;
        self.tell(Control::StartCon);
    }

    /// Data transfer has moved to another connection of the group.
    pub(super) fn passivate(&mut self) {
        self.acknowledge();
        self.started = false;
        self.stopping = false;
    }

    /// Asks the other to start (controlling station).
    pub(super) fn start(&mut self, now: Duration) {
        self.asked = Some(now);
        self.tell(Control::StartAct);
    }

    fn acknowledge(&mut self) {
        if self.owed > 0 {
            self.owed = 0;
            let receive = self.receive;
            self.out.push_back(Apdu::S { receive }.encode());
        }
    }

    fn tell(&mut self, control: Control) {
        self.out.push_back(Apdu::U(control).encode());
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Duration {
        let owed = (self.owed > 0).then(|| self.owed_since + self.config.t2);
        let idle = match self.asked {
            Some(asked) => asked + self.config.t1,
            None => self.heard + self.config.t3,
        };
        let acknowledged = self.unacknowledged.front().map(|at| *at + self.config.t1);
        [owed, acknowledged]
            .into_iter()
            .flatten()
            .fold(idle, Duration::min)
    }

    /// Does what the time has come for.
    pub(super) fn handle_timeout(&mut self, now: Duration) -> Result<(), LinkError> {
        let over = |since: Duration, wait: Duration| now >= since + wait;
        let late = |since: &Duration| over(*since, self.config.t1);
        if self.asked.as_ref().is_some_and(late) || self.unacknowledged.front().is_some_and(late) {
            return Err(LinkError::Timeout);
        }
        if self.owed > 0 && over(self.owed_since, self.config.t2) {
            self.acknowledge();
        }
        if self.asked.is_none() && over(self.heard, self.config.t3) {
            self.asked = Some(now);
            self.tell(Control::TestAct);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
