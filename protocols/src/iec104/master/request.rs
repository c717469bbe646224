//! What a master asks of its station, and where a request stands.

use std::time::Duration;

use super::MasterConfig;
use crate::{
    driver::Now,
    iec104::{
        Cause, Command, Header,
        command::{self, CommandKind},
    },
    point::{TimeQuality, Timestamp},
};

/// A request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {
    /// A process command.
    Command {
        /// Which.
        command: Command,
        /// Whether it is selected first.
        select: bool,
    },
    /// Only to select a process command.
    Select(Command),
    /// To end the selection of a command.
    Cancel(Command),
    /// All values (qualifier 20) or those of a group (21 to 36).
    Interrogation(u8),
    /// Counters: group 1 to 4 or all (5), and in bits 6 and 7 what to freeze.
    Counters(u8),
    /// One value.
    Read(u32),
    /// Sets the clock.
    Clock,
    /// Asks whether it is there.
    Test,
    /// Resets the process; the qualifier.
    Reset(u8),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Confirmed and terminated, or answered.
    Done,
    /// Refused: the cause of the answer (7, 9 or 10, or 44 to 47 for what the station does not know).
    Refused(Cause),
    /// No answer, or no end of it, in time.
    NoAnswer,
    /// Not sent: there is no connection.
    NotSent,
    /// The connection went while it was under way.
    Disconnected,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Selected,
    Confirmed,
    Terminated,
    /// A value, or the refusal of a read.
    Read,
}

/// A request under way.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// None: of our own accord.
    pub(super) id: Option<u64>,
    pub(super) request: Request,
    pub(super) begun: Duration,
    pub(super) deadline: Duration,
    phase: Phase,
}

/// What follows from an answer.
pub(super) enum Next {
    /// It was not for this job.
    Ignore,
    /// Wait on.
    Wait,
    /// Send this.
    Send(Vec<u8>),
    /// It has ended.
    End(Outcome),
}

impl Job {
    pub(super) fn new(id: Option<u64>, request: Request) -> Self {
        let phase = match request {
            Request::Command { select: true, .. } => Phase::Selected,
            Request::Read(_) => Phase::Read,
            _ => Phase::Confirmed,
        };
        Self {
            id,
            request,
            begun: Duration::ZERO,
            deadline: Duration::ZERO,
            phase,
        }
    }

    /// Whether it is of the lane of process commands.
    pub(super) fn is_control(&self) -> bool {
        use Request as R;
        matches!(
            self.request,
            R::Command { .. } | R::Select(_) | R::Cancel(_)
        )
    }

    /// What it sends now.
    pub(super) fn asdu(&self, config: &MasterConfig, now: Now) -> Vec<u8> {
        let object = self.object(now);
        let cause = match self.request {
            Request::Cancel(_) => Cause::DEACTIVATION,
            Request::Read(_) => Cause::REQUEST,
            _ => Cause::ACTIVATION,
        };
        let header = Header {
            originator: config.originator,
            ..Header::new(object.kind.type_id(), cause, config.address)
        };
        object.asdu(header)
    }

    fn object(&self, now: Now) -> command::Request {
        let new = command::Request::new;
        let time = Timestamp {
            unix_us: i64::try_from(now.unix_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            quality: TimeQuality::Source,
        };
        match self.request {
            Request::Command { command, .. } => command.request(self.phase == Phase::Selected),
            Request::Select(command) | Request::Cancel(command) => command.request(true),
            Request::Interrogation(which) => new(CommandKind::Interrogation, 0, vec![which]),
            Request::Counters(which) => new(CommandKind::Counters, 0, vec![which]),
            Request::Read(ioa) => new(CommandKind::Read, ioa, Vec::new()),
            Request::Clock => new(CommandKind::Clock, 0, vec![0; 7]).at(time),
            Request::Test => new(CommandKind::Test { timed: true }, 0, vec![0; 9]).at(time),
            Request::Reset(qualifier) => new(CommandKind::Reset, 0, vec![qualifier]),
        }
    }

    /// Whether an answer with this header and address is to this request.
    fn is_answered(&self, header: Header, object: &command::Request, now: Now) -> bool {
        let asked = self.object(now);
        header.type_id == asked.kind.type_id()
            && object.ioa == asked.ioa
            // Some terminate an execution with the selection's object.
            && (header.cause == Cause::TERMINATION || object.selects() == asked.selects())
    }

    /// Takes in an answer of the station that mirrors a request.
    pub(super) fn answered(
        &mut self,
        header: Header,
        object: &command::Request,
        config: &MasterConfig,
        now: Now,
    ) -> Next {
        if !self.is_answered(header, object, now) {
            return Next::Ignore;
        }
        let refused = Next::End(Outcome::Refused(header.cause));
        match header.cause {
            Cause::ACTIVATION_CON | Cause::DEACTIVATION_CON | Cause::TERMINATION
                if header.negative =>
            {
                refused
            }
            Cause(44..=47) => refused,
            Cause::ACTIVATION_CON if self.phase == Phase::Selected => {
                self.phase = Phase::Confirmed;
                Next::Send(self.asdu(config, now))
            }
            Cause::ACTIVATION_CON
                if self.phase == Phase::Confirmed && self.is_terminated(config) =>
            {
                self.phase = Phase::Terminated;
                Next::Wait
            }
            Cause::ACTIVATION_CON if self.phase == Phase::Confirmed => Next::End(Outcome::Done),
            Cause::DEACTIVATION_CON => Next::End(Outcome::Done),
            Cause::TERMINATION if self.phase == Phase::Terminated => Next::End(Outcome::Done),
            _ => Next::Ignore,
        }
    }

    /// Whether a value answers it.
    pub(super) fn is_read(&self, ioa: u32, cause: Cause) -> bool {
        self.request == Request::Read(ioa) && cause == Cause::REQUEST
    }

    /// Whether it ends with a termination beside its confirmation (IEC 60870-5-101 clause 7.4).
    fn is_terminated(&self, config: &MasterConfig) -> bool {
        match self.request {
            Request::Command { .. } => config.termination,
            Request::Interrogation(_) => true,
            // One that freezes is only confirmed by many.
            Request::Counters(which) => which >> 6 == 0,
            _ => false,
        }
    }
}
