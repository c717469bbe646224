use std::time::Duration;

use super::bench::*;
use crate::dnp3::{
    Kind,
    app::{AnalogCommand, CommandStatus, Crob, OutputCommand},
    outstation::{ControlOperation, OutstationEvent},
};

const SECOND: Duration = Duration::from_secs(1);

/// Latch on at index 0; the status is the last octet.
const LATCH: [u8; 18] = [12, 1, 0x28, 1, 0, 0, 0, 0x03, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn request(control: u8, function: u8) -> Vec<u8> {
    [&[control, function][..], &LATCH].concat()
}

/// The response to it, with this status.
fn response(control: u8, iin: u8, status: u8) -> Vec<u8> {
    let mut response = [&[control, 0x81, iin, 0][..], &LATCH].concat();
    *response.last_mut().unwrap() = status;
    response
}

/// The one request that the session tells of, checked.
fn told(bench: &mut Bench, operation: ControlOperation) -> u64 {
    let events = bench.events();
    let [OutstationEvent::Control(request)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(request.operation, operation);
    assert_eq!(
        request.commands,
        [(0, OutputCommand::Crob(Crob::latch(true)))]
    );
    request.id
}

fn decide(bench: &mut Bench, operation: ControlOperation, status: CommandStatus) -> Vec<Vec<u8>> {
    let id = told(bench, operation);
    assert!(
        bench.received().is_empty(),
        "answered before it was decided"
    );
    bench.outstation.control_done(id, &[status], bench.now);
    bench.received()
}

#[test]
fn select_then_operate_is_decided_outside_twice_and_makes_an_event() {
    let mut bench = Bench::quiet();
    bench.send(&request(0xC1, 0x03));
    let selected = decide(&mut bench, ControlOperation::Select, CommandStatus::Success);
    assert_eq!(selected, [response(0xC1, 0, 0)]);
    bench.send(&request(0xC2, 0x04));
    let operated = decide(
        &mut bench,
        ControlOperation::Operate,
        CommandStatus::Success,
    );
    assert_eq!(operated, [response(0xC2, 0x02, 0)]);
    let events = bench.ask(&[0xC3, 0x01, 13, 1, 6]);
    assert_eq!(events, [[0xE3, 0x81, 0, 0, 13, 1, 0x28, 1, 0, 0, 0, 0x80]]);
    bench.send(&[0xC3, 0x00]);
    // Once only.
    assert_eq!(bench.ask(&request(0xC3, 0x04)), [response(0xC3, 0x02, 2)]);
    assert!(bench.events().is_empty());
}

#[test]
fn an_operate_that_does_not_follow_its_select_is_refused() {
    let select = |bench: &mut Bench| {
        bench.send(&request(0xC1, 0x03));
        decide(bench, ControlOperation::Select, CommandStatus::Success);
    };
    // Whoever passed the selection on is told that it has ended, once.
    let commands = vec![(0, OutputCommand::Crob(Crob::latch(true)))];
    let ended = [OutstationEvent::Deselected(commands)];
    let mut other = request(0xC2, 0x04);
    other[9] = 0x04;
    // Another sequence number; another command; too late; a request in between.
    let mut bench = Bench::quiet();
    select(&mut bench);
    assert_eq!(bench.ask(&request(0xC3, 0x04))[0].last(), Some(&2));
    assert_eq!(bench.events(), ended);
    let mut bench = Bench::quiet();
    select(&mut bench);
    assert_eq!(bench.ask(&other)[0].last(), Some(&2));
    assert_eq!(bench.events(), ended);
    let mut bench = Bench::quiet();
    select(&mut bench);
    bench.pass(11 * SECOND);
    assert_eq!(bench.ask(&request(0xC2, 0x04))[0].last(), Some(&1));
    assert_eq!(bench.events(), ended);
    let mut bench = Bench::quiet();
    select(&mut bench);
    bench.outstation.disconnected(bench.now);
    bench.outstation.connected(bench.now);
    assert_eq!(bench.ask(&request(0xC2, 0x04))[0].last(), Some(&2));
    assert_eq!(bench.events(), ended);
}

#[test]
fn the_end_of_a_selection_is_told_when_its_time_is_over_or_another_command_comes() {
    let ended = OutstationEvent::Deselected(vec![(0, OutputCommand::Crob(Crob::latch(true)))]);
    let mut bench = Bench::quiet();
    let select = |bench: &mut Bench| {
        bench.send(&request(0xC1, 0x03));
        let id = told(bench, ControlOperation::Select);
        let success = [CommandStatus::Success];
        let stands = bench.outstation.control_done(id, &success, bench.now);
        assert!(stands);
    };
    select(&mut bench);
    bench.pass(10 * SECOND);
    assert!(bench.events().is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.events(), std::slice::from_ref(&ended));
    // A direct operate, and one without an answer.
    for (control, function) in [(0xC2, 0x05), (0xC2, 0x06)] {
        let mut bench = Bench::quiet();
        select(&mut bench);
        bench.send(&request(control, function));
        let events = bench.events();
        assert!(matches!(&events[..], [first, OutstationEvent::Control(_)] if *first == ended));
    }
    // One that was refused, or decided on too late, does not stand.
    let mut bench = Bench::quiet();
    bench.send(&request(0xC1, 0x03));
    let id = told(&mut bench, ControlOperation::Select);
    let blocked = [CommandStatus::Blocked];
    assert!(!bench.outstation.control_done(id, &blocked, bench.now));
    bench.send(&request(0xC2, 0x03));
    let id = told(&mut bench, ControlOperation::Select);
    bench.pass(6 * SECOND);
    let success = [CommandStatus::Success];
    assert!(!bench.outstation.control_done(id, &success, bench.now));
}

#[test]
fn a_refused_select_cannot_be_operated() {
    let mut bench = Bench::quiet();
    bench.send(&request(0xC1, 0x03));
    let refused = decide(&mut bench, ControlOperation::Select, CommandStatus::Blocked);
    assert_eq!(refused, [response(0xC1, 0, 15)]);
    assert_eq!(bench.ask(&request(0xC2, 0x04))[0].last(), Some(&2));
}

#[test]
fn direct_operate_with_and_without_an_answer() {
    let mut bench = Bench::quiet();
    bench.send(&request(0xC1, 0x05));
    let done = decide(
        &mut bench,
        ControlOperation::DirectOperate,
        CommandStatus::Local,
    );
    assert_eq!(done, [response(0xC1, 0x02, 7)]);
    bench.send(&request(0xC2, 0x06));
    let id = told(&mut bench, ControlOperation::DirectOperateNoResponse);
    bench
        .outstation
        .control_done(id, &[CommandStatus::Success], bench.now);
    assert!(bench.received().is_empty());
}

#[test]
fn a_repeated_request_is_answered_again_and_carried_out_once() {
    let mut bench = Bench::quiet();
    bench.send(&request(0xC1, 0x05));
    // Repeated while it is being decided: no second command.
    assert!(bench.ask(&request(0xC1, 0x05)).is_empty());
    let operation = ControlOperation::DirectOperate;
    let first = decide(&mut bench, operation, CommandStatus::Success);
    assert_eq!(bench.ask(&request(0xC1, 0x05)), first);
    assert!(bench.events().is_empty());
    // With another number it is another command.
    bench.send(&request(0xC2, 0x05));
    told(&mut bench, operation);
}

#[test]
fn a_command_without_a_decision_is_a_hardware_error_in_time() {
    let mut bench = Bench::quiet();
    bench.send(&request(0xC1, 0x05));
    let id = told(&mut bench, ControlOperation::DirectOperate);
    assert_eq!(bench.outstation.awaits(id, bench.now), Some(5 * SECOND));
    assert_eq!(bench.outstation.awaits(id + 1, bench.now), None);
    bench.pass(4 * SECOND);
    assert_eq!(bench.outstation.awaits(id, bench.now), Some(SECOND));
    // Its time is over before its timer has run.
    let mut over = bench.now;
    over.mono += SECOND;
    assert_eq!(bench.outstation.awaits(id, over), None);
    bench.pass(SECOND);
    assert_eq!(bench.received(), [response(0xC1, 0x02, 6)]);
    // Too late.
    assert_eq!(bench.outstation.awaits(id, bench.now), None);
    bench
        .outstation
        .control_done(id, &[CommandStatus::Success], bench.now);
    assert!(bench.received().is_empty());
}

#[test]
fn nobody_awaits_commands_whose_master_is_gone_or_asks_for_something_else_or_for_no_answer() {
    let mut bench = Bench::quiet();
    let mut asked = |function, then: fn(&mut Bench)| {
        bench.send(&request(0xC1, function));
        let events = bench.events();
        let [OutstationEvent::Control(request)] = &events[..] else {
            panic!("{events:?}");
        };
        let before = bench.outstation.awaits(request.id, bench.now);
        then(&mut bench);
        (before, bench.outstation.awaits(request.id, bench.now))
    };
    let waits = Some(5 * SECOND);
    let reads = asked(0x05, |bench| bench.send(&[0xC2, 0x01, 60, 1, 6]));
    assert_eq!(reads, (waits, None));
    let gone = asked(0x05, |bench| bench.outstation.disconnected(bench.now));
    assert_eq!(gone, (waits, None));
    assert_eq!(asked(0x06, |_| {}), (None, None));
}

#[test]
fn outputs_that_are_not_there_and_too_many_are_refused_one_by_one() {
    let mut bench = Bench::quiet();
    // Analog outputs 1 and 9, single precision; 9 does not exist.
    let objects = [
        41, 3, 0x17, 2, 1, 0, 0, 0x20, 0xC0, 0, 9, 0, 0, 0x20, 0xC0, 0,
    ];
    bench.send(&[&[0xC1, 0x05], &objects[..]].concat());
    let events = bench.events();
    let [OutstationEvent::Control(request)] = &events[..] else {
        panic!("{events:?}");
    };
    let command = OutputCommand::Analog(AnalogCommand::F32(-2.5));
    assert_eq!(request.commands, [(1, command)]);
    bench
        .outstation
        .control_done(request.id, &[CommandStatus::OutOfRange], bench.now);
    let mut expected = [&[0xC1, 0x81, 0x04, 0][..], &objects].concat();
    expected[4 + 9] = 12;
    expected[4 + 15] = 4;
    assert_eq!(bench.received(), [expected]);

    let many: Vec<u8> = (0..17).flat_map(|_| [1, 0, 0, 0]).collect();
    let answer = {
        bench.send(&[&[0xC2, 0x03, 41, 2, 0x17, 17], &many[..]].concat());
        let events = bench.events();
        let [OutstationEvent::Control(request)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(request.commands.len(), 16);
        let statuses = [CommandStatus::Success; 16];
        bench
            .outstation
            .control_done(request.id, &statuses, bench.now);
        bench.received()
    };
    let statuses: Vec<u8> = answer[0][8..].chunks(4).map(|object| object[3]).collect();
    assert_eq!(statuses, [&[0; 16][..], &[8]].concat());
}

#[test]
fn what_is_no_command_is_refused_as_a_whole() {
    let mut bench = Bench::quiet();
    for (objects, iin) in [
        (&[][..], 0x04),
        (&[60, 1, 6], 0x02),
        (&[12, 1, 0x07, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x04),
        (&[12, 1, 0x17, 1, 0, 3, 1, 0, 0], 0x04),
        (&[41, 9, 0x17, 1, 0, 3, 1, 0, 0], 0x02),
    ] {
        let answer = bench.ask(&[&[0xC1, 0x03], objects].concat());
        assert_eq!(answer, [[0xC1, 0x81, 0x00, iin]], "{objects:02x?}");
    }
    assert!(bench.events().is_empty());
    assert!(bench.outstation.sample(Kind::BinaryOutput, 0).is_some());
}
