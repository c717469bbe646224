//! Our master against frames, and against our own station without a wire between.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    iec104::{
        Cause, Command, CommandValue, ControlKind, Kind, Sample,
        apci::{Apdu, Control},
        station::{
            CommandConfig, ControlAnswer, ControlOperation, GroupConfig, PointConfig, SelectMode,
            Station, StationConfig, StationEvent,
        },
    },
    point::{Quality, Value},
};

const UNIX_MS: u64 = 1_700_000_000_123;

fn at(mono: Duration) -> Now {
    let unix_ms = UNIX_MS + mono.as_millis() as u64;
    Now { mono, unix_ms }
}

struct Pair {
    master: Master,
    station: Station,
    now: Now,
    told: Vec<MasterEvent>,
    asked: Vec<StationEvent>,
    /// What becomes of commands; none: nobody answers.
    answer: Option<ControlAnswer>,
}

impl Pair {
    fn new(config: MasterConfig) -> Self {
        let points = (1..=100).map(|ioa| PointConfig::new(ioa, Kind::Float));
        let counter = PointConfig::new(200, Kind::Counter);
        let station = StationConfig {
            points: points.chain([counter]).collect(),
            commands: vec![CommandConfig {
                ioa: 7,
                kind: ControlKind::Double,
                select: SelectMode::Required,
            }],
            groups: vec![GroupConfig::default()],
            clock_sync: true,
            ..StationConfig::new(3)
        };
        let now = at(Duration::ZERO);
        let mut pair = Self {
            master: Master::new(config),
            station: Station::new(station).unwrap(),
            now,
            told: Vec::new(),
            asked: Vec::new(),
            answer: Some(ControlAnswer::Done),
        };
        pair.station.connected(1, 0, now);
        pair.master.connected(now);
        pair.run();
        pair
    }

    /// Until neither has anything to say.
    fn run(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(octets) = self.master.poll_transmit() {
                self.station.handle_input(1, &octets, self.now);
                quiet = false;
            }
            while let Some(event) = self.station.poll_event(1) {
                if let (StationEvent::Control(request), Some(answer)) = (&event, self.answer) {
                    self.station.answer(request.id, answer, self.now);
                }
                self.asked.push(event);
                quiet = false;
            }
            while let Some(octets) = self.station.poll_transmit(1) {
                self.master.handle_input(&octets, self.now);
                quiet = false;
            }
            self.told
                .extend(std::iter::from_fn(|| self.master.poll_event()));
            if quiet {
                return;
            }
        }
    }

    fn pass(&mut self, wait: Duration) {
        let end = self.now.mono + wait;
        loop {
            let station = self.station.poll_timeout(1);
            let due = [self.master.poll_timeout(), station]
                .into_iter()
                .flatten()
                .min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.now = at(due.max(self.now.mono));
            self.master.handle_timeout(self.now);
            self.station.handle_timeout(1, self.now);
            self.run();
        }
        self.now = at(end);
    }

    fn ask(&mut self, request: Request) -> Outcome {
        let id = self.master.request(request, self.now);
        self.run();
        self.pass(Duration::from_secs(30));
        let mut ends = self.told.iter().filter_map(|event| match event {
            MasterEvent::Done { id: done, outcome } if *done == id => Some(*outcome),
            _ => None,
        });
        let outcome = ends.next().expect("no end");
        assert_eq!(ends.next(), None);
        outcome
    }

    fn measured(&self) -> Vec<Measurement> {
        let of = self.told.iter().filter_map(|event| match event {
            MasterEvent::Measurements(measurements) => Some(measurements.clone()),
            _ => None,
        });
        of.flatten().collect()
    }
}

#[test]
fn everything_is_asked_at_the_beginning_and_again() {
    let mut pair = Pair::new(MasterConfig {
        clock_sync: true,
        ..MasterConfig::new(3)
    });
    assert_eq!(pair.told[0], MasterEvent::Started);
    let interrogated =
        |event: &MasterEvent| matches!(event, MasterEvent::Interrogated { complete: true, .. });
    assert!(pair.told.iter().any(interrogated));
    let of = |pair: &Pair, cause| {
        let measured = pair.measured();
        measured.iter().filter(|m| m.cause == cause).count()
    };
    // Once, though there are two reasons: the start, and that the station says it has come up.
    assert!(pair.told.contains(&MasterEvent::Initialised));
    assert_eq!(of(&pair, Cause::INTERROGATED), 100);
    assert_eq!(of(&pair, Cause::COUNTERS), 1);
    let written = StationEvent::TimeWritten { unix_ms: UNIX_MS };
    assert!(pair.asked.contains(&written), "{:?}", pair.asked);
    pair.told.clear();
    pair.pass(Duration::from_secs(900));
    assert_eq!(of(&pair, Cause::INTERROGATED), 100);
    // A change by itself, with its time.
    let sample = Sample::new(Kind::Float, Value::Analog(5.0), Quality::GOOD, None);
    pair.told.clear();
    pair.station.update(50, sample, pair.now);
    pair.run();
    let change = pair.measured()[0];
    assert_eq!((change.ioa, change.cause), (50, Cause::SPONTANEOUS));
    let unix_us = change.sample.time.unwrap().unix_us;
    assert_eq!(unix_us, i64::try_from(pair.now.unix_ms).unwrap() * 1000);
}

#[test]
fn commands_end_as_the_station_says() {
    let mut pair = Pair::new(MasterConfig::new(3));
    let command = |value| Request::Command {
        command: Command::new(7, value),
        select: true,
    };
    assert_eq!(pair.ask(command(CommandValue::Double(true))), Outcome::Done);
    let operations: Vec<_> = pair
        .asked
        .iter()
        .filter_map(|event| match event {
            StationEvent::Control(request) => Some((request.operation, request.command.value)),
            _ => None,
        })
        .collect();
    let value = CommandValue::Double(true);
    assert_eq!(
        operations,
        [
            (ControlOperation::Select, value),
            (ControlOperation::ExecuteSelected, value)
        ]
    );
    let direct = Request::Command {
        command: Command::new(7, value),
        select: false,
    };
    assert_eq!(pair.ask(direct), Outcome::Refused(Cause::ACTIVATION_CON));
    // In two steps; and given back.
    let select = Request::Select(Command::new(7, value));
    assert_eq!(pair.ask(select), Outcome::Done);
    // That took longer than a selection lasts.
    assert_eq!(pair.ask(direct), Outcome::Refused(Cause::ACTIVATION_CON));
    let now = pair.now;
    pair.master.request(select, now);
    pair.run();
    assert_eq!(pair.ask(direct), Outcome::Done);
    let now = pair.now;
    pair.master.request(select, now);
    pair.run();
    let cancel = Request::Cancel(Command::new(7, value));
    assert_eq!(pair.ask(cancel), Outcome::Done);
    assert_eq!(pair.ask(direct), Outcome::Refused(Cause::ACTIVATION_CON));
    let unknown = command(CommandValue::Single(true));
    assert_eq!(pair.ask(unknown), Outcome::Refused(Cause::UNKNOWN_OBJECT));
    pair.answer = Some(ControlAnswer::Refused);
    assert_eq!(
        pair.ask(command(value)),
        Outcome::Refused(Cause::ACTIVATION_CON)
    );
    // Confirmed, and then its end never comes: the station says so after its own time.
    pair.answer = Some(ControlAnswer::Accepted);
    assert_eq!(
        pair.ask(command(value)),
        Outcome::Refused(Cause::TERMINATION)
    );
    pair.answer = Some(ControlAnswer::Done);
    let cancel = Request::Cancel(Command::new(7, value));
    assert_eq!(pair.ask(cancel), Outcome::Refused(Cause::DEACTIVATION_CON));
}

#[test]
fn a_confirmation_is_the_end_where_a_station_does_not_terminate() {
    let config = MasterConfig {
        termination: false,
        ..MasterConfig::new(3)
    };
    let mut pair = Pair::new(config);
    pair.answer = Some(ControlAnswer::Accepted);
    let command = Request::Command {
        command: Command::new(7, CommandValue::Double(true)),
        select: true,
    };
    assert_eq!(pair.ask(command), Outcome::Done);
    pair.answer = Some(ControlAnswer::Refused);
    assert_eq!(pair.ask(command), Outcome::Refused(Cause::ACTIVATION_CON));
}

#[test]
fn other_requests_end_too() {
    let mut pair = Pair::new(MasterConfig::new(3));
    for (request, outcome) in [
        (Request::Interrogation(25), Outcome::Done),
        (
            Request::Interrogation(99),
            Outcome::Refused(Cause::ACTIVATION_CON),
        ),
        (Request::Counters(0x45), Outcome::Done),
        (Request::Read(3), Outcome::Done),
        (Request::Read(300), Outcome::Refused(Cause::UNKNOWN_OBJECT)),
        (Request::Clock, Outcome::Done),
        (Request::Test, Outcome::Done),
        (Request::Reset(1), Outcome::Refused(Cause::ACTIVATION_CON)),
    ] {
        assert_eq!(pair.ask(request), outcome, "{request:?}");
    }
}

#[test]
fn a_station_that_does_not_answer_is_given_up() {
    let now = at(Duration::ZERO);
    let mut master = Master::new(MasterConfig::new(3));
    assert_eq!(master.poll_timeout(), None);
    let id = master.request(Request::Test, now);
    let outcome = Outcome::NotSent;
    assert_eq!(master.poll_event(), Some(MasterEvent::Done { id, outcome }));
    master.connected(now);
    assert_eq!(
        master.poll_transmit(),
        Some(Apdu::U(Control::StartAct).encode())
    );
    assert_eq!(master.poll_timeout(), Some(Duration::from_secs(15)));
    master.handle_timeout(at(Duration::from_secs(15)));
    assert_eq!(
        master.poll_event(),
        Some(MasterEvent::Closed(LinkError::Timeout))
    );
    // Started, and then nothing: the interrogation is late, the connection not yet.
    let slow = MasterConfig {
        answer_timeout: Duration::from_secs(5),
        ..MasterConfig::new(3)
    };
    let mut master = Master::new(slow);
    master.connected(now);
    master.handle_input(&Apdu::U(Control::StartCon).encode(), now);
    let id = master.request(Request::Test, now);
    master.handle_timeout(at(Duration::from_secs(5)));
    assert_eq!(master.poll_event(), Some(MasterEvent::Started));
    let late = MasterEvent::Interrogated {
        complete: false,
        took: Duration::from_secs(5),
    };
    assert_eq!(master.poll_event(), Some(late));
    master.disconnected(now);
    let outcome = Outcome::NotSent;
    assert_eq!(master.poll_event(), Some(MasterEvent::Done { id, outcome }));
}

proptest! {
    #[test]
    fn nothing_a_station_sends_breaks_the_master(
        asdus in prop::collection::vec(
            (prop::sample::select(&[1_u8, 9, 30, 36, 37, 46, 70, 100, 101, 103][..]),
             prop::sample::select(&[3_u8, 5, 7, 0x47, 10, 20, 47][..]),
             prop::collection::vec(any::<u8>(), 0..40)),
            1..40,
        ),
        octets in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let now = at(Duration::ZERO);
        let mut master = Master::new(MasterConfig::new(3));
        master.connected(now);
        master.handle_input(&Apdu::U(Control::StartCon).encode(), now);
        master.request(Request::Interrogation(20), now);
        master.request(Request::Command {
            command: Command::new(1, CommandValue::Double(true)),
            select: true,
        }, now);
        for (send, (type_id, cause, rest)) in (0..).zip(asdus) {
            let asdu = [&[type_id, 1, cause, 0, 3, 0, 1, 0, 0], &rest[..]].concat();
            let frame = Apdu::I { send, receive: 0, asdu };
            master.handle_input(&frame.encode(), now);
            while master.poll_transmit().is_some() {}
            prop_assert!(std::iter::from_fn(|| master.poll_event()).count() < 8);
        }
        master.handle_input(&octets, now);
        // And another connection works.
        master.connected(now);
        let start = Apdu::U(Control::StartAct).encode();
        prop_assert_eq!(master.poll_transmit(), Some(start));
    }
}
