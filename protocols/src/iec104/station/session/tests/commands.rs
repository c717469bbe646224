//! What a master may ask for, and how it is answered.

use std::time::Duration;

use super::super::*;
use super::bench::*;
use crate::{
    iec104::{
        CommandKind, CommandValue, ControlKind,
        station::{ControlAnswer, ControlOperation, ControlRequest},
    },
    point::{TimeQuality, Timestamp},
};

const SINGLE: CommandKind = CommandKind::Control(ControlKind::Single, false);
const DOUBLE: CommandKind = CommandKind::Control(ControlKind::Double, false);
const FLOAT: CommandKind = CommandKind::Control(ControlKind::Float, false);

/// The command that the station asks about.
fn asked(bench: &mut Bench) -> ControlRequest {
    let events = bench.events(1);
    let mut requests = events.into_iter().filter_map(|event| match event {
        StationEvent::Control(request) => Some(request),
        _ => None,
    });
    let request = requests.next().expect("no command");
    assert_eq!(requests.next(), None);
    request
}

fn nothing_asked(bench: &mut Bench) {
    let events = bench.events(1);
    assert!(
        !events.iter().any(|e| matches!(e, StationEvent::Control(_))),
        "{events:?}"
    );
}

fn answer(bench: &mut Bench, request: ControlRequest, answer: ControlAnswer) -> Vec<Vec<u8>> {
    bench.station.answer(request.id, answer, bench.now);
    bench.received(1)
}

#[test]
fn a_direct_command_is_confirmed_and_terminated() {
    let mut bench = Bench::started(config());
    let sent = activate(SINGLE, 100, &[0x01]);
    assert!(bench.ask(1, &sent).is_empty());
    let request = asked(&mut bench);
    assert_eq!(request.operation, ControlOperation::Execute);
    assert_eq!((request.command.ioa, request.originator), (100, 9));
    assert_eq!(request.command.value, CommandValue::Single(true));
    let done = answer(&mut bench, request, ControlAnswer::Done);
    assert_eq!(done, [with_cause(&sent, 7), with_cause(&sent, 10)]);
    // In two steps.
    bench.send(1, &sent);
    let request = asked(&mut bench);
    let accepted = answer(&mut bench, request, ControlAnswer::Accepted);
    assert_eq!(accepted, [with_cause(&sent, 7)]);
    let ended = answer(&mut bench, request, ControlAnswer::Done);
    assert_eq!(ended, [with_cause(&sent, 10)]);
    // Twice is once.
    assert!(answer(&mut bench, request, ControlAnswer::Done).is_empty());
    // Refused, and failed after it was accepted.
    bench.send(1, &sent);
    let request = asked(&mut bench);
    let refused = answer(&mut bench, request, ControlAnswer::Refused);
    assert_eq!(refused, [with_cause(&sent, 0x47)]);
    bench.send(1, &sent);
    let request = asked(&mut bench);
    answer(&mut bench, request, ControlAnswer::Accepted);
    let failed = answer(&mut bench, request, ControlAnswer::Refused);
    assert_eq!(failed, [with_cause(&sent, 0x4A)]);
}

#[test]
fn a_selection_is_executed_once_as_it_was_selected() {
    let mut bench = Bench::started(config());
    let (select, execute) = (
        activate(DOUBLE, 101, &[0x82]),
        activate(DOUBLE, 101, &[0x02]),
    );
    // Without a selection it is refused, and nobody is asked.
    assert_eq!(bench.ask(1, &execute), [with_cause(&execute, 0x47)]);
    nothing_asked(&mut bench);
    let selected = |bench: &mut Bench| {
        bench.send(1, &select);
        let request = asked(bench);
        assert_eq!(request.operation, ControlOperation::Select);
        let done = answer(bench, request, ControlAnswer::Done);
        assert_eq!(done, [with_cause(&select, 7)]);
    };
    let ended = |bench: &mut Bench| {
        let events = bench.events(1);
        let [StationEvent::Deselected(command)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(
            (command.ioa, command.value),
            (101, CommandValue::Double(true))
        );
    };
    selected(&mut bench);
    bench.send(1, &execute);
    let request = asked(&mut bench);
    assert_eq!(request.operation, ControlOperation::ExecuteSelected);
    assert_eq!(request.command.value, CommandValue::Double(true));
    let done = answer(&mut bench, request, ControlAnswer::Done);
    assert_eq!(done, [with_cause(&execute, 7), with_cause(&execute, 10)]);
    assert_eq!(bench.ask(1, &execute), [with_cause(&execute, 0x47)]);
    // Another command than the selected one.
    selected(&mut bench);
    let other = activate(DOUBLE, 101, &[0x01]);
    assert_eq!(bench.ask(1, &other), [with_cause(&other, 0x47)]);
    ended(&mut bench);
    assert_eq!(bench.ask(1, &execute), [with_cause(&execute, 0x47)]);
    // Cancelled; there is nothing to cancel twice.
    selected(&mut bench);
    let cancel = with_cause(&select, 8);
    assert_eq!(bench.ask(1, &cancel), [with_cause(&select, 9)]);
    ended(&mut bench);
    assert_eq!(bench.ask(1, &cancel), [with_cause(&select, 0x49)]);
    assert_eq!(bench.ask(1, &execute), [with_cause(&execute, 0x47)]);
    // Too late, by the select timeout of ten seconds.
    selected(&mut bench);
    bench.pass(1, Duration::from_millis(9_999));
    bench.send(1, &execute);
    let request = asked(&mut bench);
    answer(&mut bench, request, ControlAnswer::Done);
    selected(&mut bench);
    bench.pass(1, Duration::from_secs(10));
    ended(&mut bench);
    assert_eq!(bench.ask(1, &execute), [with_cause(&execute, 0x47)]);
    // Selected anew.
    selected(&mut bench);
    bench.send(1, &select);
    let events = bench.events(1);
    let [StationEvent::Deselected(_), StationEvent::Control(request)] = events[..] else {
        panic!("{events:?}");
    };
    assert!(
        bench
            .station
            .answer(request.id, ControlAnswer::Done, bench.now)
    );
    bench.received(1);
    assert_eq!(bench.ask(1, &cancel), [with_cause(&select, 9)]);
    ended(&mut bench);
    // A selection that is refused is none.
    bench.send(1, &select);
    let request = asked(&mut bench);
    let refused = answer(&mut bench, request, ControlAnswer::Refused);
    assert_eq!(refused, [with_cause(&select, 0x47)]);
    assert_eq!(bench.ask(1, &execute), [with_cause(&execute, 0x47)]);
}

#[test]
fn what_one_has_selected_another_does_not_get() {
    let mut bench = Bench::started(config());
    bench.connect(2, 1);
    bench.start(2);
    bench.received(2);
    let select = activate(SINGLE, 100, &[0x81]);
    bench.send(1, &select);
    let request = asked(&mut bench);
    answer(&mut bench, request, ControlAnswer::Done);
    let execute = activate(SINGLE, 100, &[0x01]);
    for sent in [&select, &execute] {
        assert_eq!(bench.ask(2, sent), [with_cause(sent, 0x47)]);
    }
    // Gone with the connection, which is told.
    bench.station.disconnected(1);
    let events = bench.events(1);
    assert!(
        matches!(events[..], [StationEvent::Deselected(_)]),
        "{events:?}"
    );
    assert!(bench.ask(2, &execute).is_empty());
}

#[test]
fn a_command_that_nobody_answers_is_refused_in_time() {
    let mut bench = Bench::started(config());
    let sent = activate(FLOAT, 102, &[0, 0, 0x80, 0x3F, 0]);
    bench.send(1, &sent);
    let request = asked(&mut bench);
    assert_eq!(request.command.value, CommandValue::Float(1.0));
    let awaits = |bench: &Bench| bench.station.awaits(request.id, bench.now);
    assert_eq!(awaits(&bench), Some(Duration::from_secs(5)));
    bench.pass(1, Duration::from_millis(4_999));
    assert_eq!(awaits(&bench), Some(Duration::from_millis(1)));
    // Its time is over before its timer has run.
    let mut over = bench.now;
    over.mono += Duration::from_millis(1);
    assert_eq!(bench.station.awaits(request.id, over), None);
    bench.pass(1, Duration::from_millis(1));
    assert_eq!(awaits(&bench), None);
    assert_eq!(bench.received(1), [with_cause(&sent, 0x47)]);
    assert!(answer(&mut bench, request, ControlAnswer::Done).is_empty());
}

#[test]
fn a_test_changes_nothing() {
    let mut bench = Bench::started(config());
    let sent = with_cause(&activate(SINGLE, 100, &[0x01]), 0x86);
    bench.send(1, &sent);
    let request = asked(&mut bench);
    assert_eq!(request.operation, ControlOperation::Check);
    let done = answer(&mut bench, request, ControlAnswer::Done);
    assert_eq!(done, [with_cause(&sent, 0x87), with_cause(&sent, 0x8A)]);
}

#[test]
fn what_is_not_known_is_said() {
    let mut bench = Bench::started(config());
    let single = activate(SINGLE, 100, &[1]);
    let mut elsewhere = single.clone();
    elsewhere[4] = 4;
    let mut to_all = single.clone();
    to_all[4..6].copy_from_slice(&[0xFF, 0xFF]);
    let rows = [
        // Types: none, monitor direction, one for a file.
        (vec![127, 1, 6, 9, 3, 0, 0, 0, 0], 44),
        (vec![1, 1, 6, 9, 3, 0, 1, 0, 0, 1], 44),
        (vec![120, 1, 13, 9, 3, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0], 44),
        (with_cause(&single, 3), 45),
        (activate(CommandKind::Read, 3, &[]), 45),
        (elsewhere, 46),
        (to_all, 46),
        // No such command, another kind of command, an interrogation of an object.
        (activate(SINGLE, 99, &[1]), 47),
        (activate(DOUBLE, 100, &[1]), 47),
        (activate(CommandKind::Interrogation, 1, &[20]), 47),
    ];
    for (sent, cause) in rows {
        assert_eq!(
            bench.ask(1, &sent),
            [with_cause(&sent, 0x40 | cause)],
            "{sent:?}"
        );
    }
    // States that are not permitted.
    let neither = activate(DOUBLE, 101, &[0x80]);
    assert_eq!(bench.ask(1, &neither), [with_cause(&neither, 0x47)]);
    nothing_asked(&mut bench);
}

#[test]
fn malformed_asdus_end_the_connection() {
    for asdu in [
        &[][..],
        &[45, 1, 6, 0, 3],
        &[45, 1, 6, 0, 3, 0, 100, 0, 0],
        &[45, 2, 6, 0, 3, 0, 100, 0, 0, 1, 100, 0, 0, 0],
        &[100, 1, 6, 0, 3, 0, 0, 0, 0, 20, 0],
    ] {
        let mut bench = Bench::started(config());
        bench.events(1);
        assert!(bench.ask(1, asdu).is_empty());
        let type_id = asdu.first().copied().unwrap_or(0);
        let expected = StationEvent::Closed(LinkError::Asdu(type_id));
        assert_eq!(bench.events(1), [expected], "{asdu:?}");
    }
}

#[test]
fn a_command_from_long_ago_is_neither_done_nor_answered() {
    let timed = CommandKind::Control(ControlKind::Single, true);
    let at = |unix_us| {
        let quality = TimeQuality::Source;
        let time = crate::iec104::time::encode(Timestamp { unix_us, quality });
        activate(timed, 100, &[&[1], &time[..]].concat())
    };
    let now_us = i64::try_from(UNIX_MS).unwrap() * 1000;
    let mut bench = Bench::started(config());
    bench.send(1, &at(now_us - 30_000_000));
    assert!(asked(&mut bench).command.time.is_some());
    for age_ms in [30_001, -30_001] {
        assert!(bench.ask(1, &at(now_us - age_ms * 1000)).is_empty());
        assert_eq!(bench.events(1), [StationEvent::TooOld { ioa: 100, age_ms }]);
    }
}

#[test]
fn the_clock_is_set_where_it_may_be() {
    let time = [0x9B, 0x4E, 13, 22, 0x4E, 11, 23];
    let hour_ago = [0x9B, 0x4E, 13, 21, 0x4E, 11, 23];
    let sent = activate(CommandKind::Clock, 0, &hour_ago);
    let answered = activate(CommandKind::Clock, 0, &time);
    let mut bench = Bench::started(config());
    bench.events(1);
    assert_eq!(bench.ask(1, &sent), [with_cause(&answered, 0x47)]);
    assert!(bench.events(1).is_empty());
    let allowed = StationConfig {
        clock_sync: true,
        ..config()
    };
    let mut bench = Bench::started(allowed);
    bench.events(1);
    // The confirmation has the time before.
    assert_eq!(bench.ask(1, &sent), [with_cause(&answered, 7)]);
    let unix_ms = UNIX_MS - 3_600_000;
    assert_eq!(bench.events(1), [StationEvent::TimeWritten { unix_ms }]);
    let no_time = activate(CommandKind::Clock, 0, &[0, 0, 63, 0, 0, 0, 0]);
    assert_eq!(bench.ask(1, &no_time), [with_cause(&answered, 0x47)]);
}

#[test]
fn tests_are_mirrored_and_a_reset_is_refused_unless_allowed() {
    let mut bench = Bench::started(config());
    for (timed, object) in [
        (false, vec![0xAA, 0x55]),
        (true, vec![7, 0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        let sent = activate(CommandKind::Test { timed }, 0, &object);
        assert_eq!(bench.ask(1, &sent), [with_cause(&sent, 7)]);
    }
    let reset = activate(CommandKind::Reset, 0, &[1]);
    assert_eq!(bench.ask(1, &reset), [with_cause(&reset, 0x47)]);
    let allowed = StationConfig {
        reset: true,
        ..config()
    };
    let mut bench = Bench::started(allowed);
    bench.events(1);
    assert_eq!(bench.ask(1, &reset), [with_cause(&reset, 7)]);
    assert_eq!(bench.events(1), [StationEvent::Reset { qualifier: 1 }]);
}
