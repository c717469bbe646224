//! What a master is told: events, interrogations, counters, and what is kept for it meanwhile.

use std::time::Duration;

use super::super::*;
use super::bench::*;
use crate::{
    iec104::{
        CommandKind, Qds,
        apci::{Apdu, Control},
        station::GroupConfig,
    },
    point::{DoublePoint, Value},
};

/// CP56Time2a of the bench's first moment.
const TIME: [u8; 7] = [0x9B, 0x4E, 13, 22, 0x4E, 11, 23];

fn float(ioa: u8, value: f32) -> Vec<u8> {
    [&[ioa, 0, 0][..], &value.to_le_bytes(), &[0]].concat()
}

#[test]
fn changes_come_by_themselves_with_their_time() {
    let mut bench = Bench::started(config());
    bench.measure(2, Value::DoublePoint(DoublePoint::On));
    let expected = [&[31, 1, 3, 0, 3, 0, 2, 0, 0, 2], &TIME[..]].concat();
    assert_eq!(bench.received(1), [expected]);
    // Within its dead band nothing comes, its quality always does.
    bench.measure(3, Value::Analog(7.0));
    assert_eq!(bench.received(1).len(), 1);
    bench.measure(3, Value::Analog(7.5));
    assert!(bench.received(1).is_empty());
    bench.qds(3, Value::Analog(7.5), Qds::NT);
    let asdu = bench.received(1).concat();
    assert_eq!(
        asdu[..14],
        [36, 1, 3, 0, 3, 0, 3, 0, 0, 0, 0, 0xF0, 0x40, 0x40]
    );
    // No such point, another type.
    let sample = bench.station.sample(1).unwrap();
    assert!(!bench.station.update(99, sample, bench.now));
    assert!(!bench.station.update(3, sample, bench.now));
}

#[test]
fn a_station_interrogation_is_confirmed_answered_and_terminated() {
    let mut bench = Bench::started(config());
    bench.measure(1, Value::Binary(true));
    bench.measure(3, Value::Analog(1.0));
    bench.measure(4, Value::Analog(2.0));
    bench.received(1);
    let asked = activate(CommandKind::Interrogation, 0, &[20]);
    let unmeasured = [3, 1, 20, 9, 3, 0, 2, 0, 0, 0xC0];
    let floats = [&[13, 2, 20, 9, 3, 0][..], &float(3, 1.0), &float(4, 2.0)].concat();
    let expected = [
        with_cause(&asked, 7),
        vec![1, 1, 20, 9, 3, 0, 1, 0, 0, 1],
        unmeasured.to_vec(),
        floats,
        with_cause(&asked, 10),
    ];
    assert_eq!(bench.ask(1, &asked), expected);
    // To all stations: the answer is of this one.
    let mut broadcast = asked.clone();
    broadcast[4..6].copy_from_slice(&[0xFF, 0xFF]);
    assert_eq!(bench.ask(1, &broadcast), expected);
    // Group 2, a group of nothing, and none.
    let group = activate(CommandKind::Interrogation, 0, &[22]);
    let one = [&[13, 1, 22, 9, 3, 0][..], &float(4, 2.0)].concat();
    let expected = [with_cause(&group, 7), one, with_cause(&group, 10)];
    assert_eq!(bench.ask(1, &group), expected);
    let group = activate(CommandKind::Interrogation, 0, &[36]);
    let expected = [with_cause(&group, 7), with_cause(&group, 10)];
    assert_eq!(bench.ask(1, &group), expected);
    let none = activate(CommandKind::Interrogation, 0, &[37]);
    assert_eq!(bench.ask(1, &none), [with_cause(&none, 0x47)]);
}

#[test]
fn an_interrogation_is_never_older_than_an_event_behind_it() {
    let mut large = config();
    large.points = (1..=300)
        .map(|ioa| PointConfig::new(ioa, Kind::Single))
        .collect();
    large.groups[0].link.k = 1;
    let mut bench = Bench::started(large);
    bench.silence(1);
    bench.send(1, &activate(CommandKind::Interrogation, 0, &[20]));
    // The window is full; this change comes before the values it is among.
    bench.measure(300, Value::Binary(true));
    bench.peers_speak(1);
    let asdus = bench.received(1);
    let change = asdus.iter().position(|asdu| asdu[0] == 30);
    let values = asdus.iter().rposition(|asdu| asdu[0] == 1).unwrap();
    assert!(change.unwrap() < values, "{asdus:?}");
    let last = &asdus[values];
    assert_eq!(last[last.len() - 4..], [0x2C, 1, 0, 1]);
    // Broken off, it is not terminated.
    bench.silence(1);
    let asked = activate(CommandKind::Interrogation, 0, &[20]);
    bench.send(1, &asked);
    bench.send(1, &with_cause(&asked, 8));
    bench.peers_speak(1);
    let asdus = bench.received(1);
    assert_eq!(asdus.last(), Some(&with_cause(&asked, 9)));
    assert_eq!(
        bench.ask(1, &with_cause(&asked, 8)),
        [with_cause(&asked, 0x49)]
    );
}

#[test]
fn counters_are_read_frozen_and_reset_for_each_master() {
    let mut bench = Bench::started(config());
    bench.connect(2, 1);
    bench.start(2);
    bench.measure(5, Value::Counter(1000));
    bench.measure(6, Value::Counter(70_000));
    bench.received(1);
    bench.received(2);
    let ask = |qualifier| activate(CommandKind::Counters, 0, &[qualifier]);
    let values = |cause, counts: &[(u8, u32, u8)]| {
        let mut asdu = vec![15, counts.len() as u8, cause, 9, 3, 0];
        for (ioa, count, last) in counts {
            asdu.extend([&[*ioa, 0, 0][..], &count.to_le_bytes(), &[*last]].concat());
        }
        asdu
    };
    let read = |bench: &mut Bench, connection, qualifier, expected: Vec<u8>| {
        let asked = ask(qualifier);
        let expected = [with_cause(&asked, 7), expected, with_cause(&asked, 10)];
        assert_eq!(bench.ask(connection, &asked), expected);
    };
    read(
        &mut bench,
        1,
        5,
        values(37, &[(5, 1000, 0), (6, 70_000, 0)]),
    );
    read(&mut bench, 1, 1, values(38, &[(6, 70_000, 0)]));
    // Freezes all and resets them.
    let freeze = ask(0x85);
    let done = [with_cause(&freeze, 7), with_cause(&freeze, 10)];
    assert_eq!(bench.ask(1, &freeze), done);
    bench.measure(5, Value::Counter(1010));
    // Spontaneous: since the reset; another master does not see that.
    let asdu = bench.received(1).concat();
    assert_eq!((asdu[0], &asdu[9..14]), (37, &[10, 0, 0, 0, 1][..]));
    let asdu = bench.received(2).concat();
    assert_eq!(asdu[9..14], [0xF2, 3, 0, 0, 0]);
    read(
        &mut bench,
        1,
        5,
        values(37, &[(5, 1000, 1), (6, 70_000, 1)]),
    );
    read(
        &mut bench,
        2,
        5,
        values(37, &[(5, 1010, 0), (6, 70_000, 0)]),
    );
    // Frozen again: what has come since the reset.
    let freeze = ask(0x45);
    bench.ask(1, &freeze);
    read(&mut bench, 1, 5, values(37, &[(5, 10, 2), (6, 0, 2)]));
    let none = ask(6);
    assert_eq!(bench.ask(1, &none), [with_cause(&none, 0x47)]);
}

#[test]
fn a_point_is_read_by_its_address() {
    let mut bench = Bench::started(config());
    bench.measure(3, Value::Analog(1.0));
    bench.received(1);
    let asked = with_cause(&activate(CommandKind::Read, 3, &[]), 5);
    let expected = [&[13, 1, 5, 9, 3, 0][..], &float(3, 1.0)].concat();
    assert_eq!(bench.ask(1, &asked), [expected]);
    let unknown = with_cause(&activate(CommandKind::Read, 99, &[]), 5);
    assert_eq!(bench.ask(1, &unknown), [with_cause(&unknown, 0x40 | 47)]);
}

#[test]
fn events_outlast_an_outage_and_a_change_of_connection() {
    let mut bench = Bench::started(config());
    bench.silence(1);
    bench.measure(1, Value::Binary(true));
    bench.measure(1, Value::Binary(false));
    assert_eq!(bench.received(1).len(), 2);
    // Not acknowledged: told again on the connection that is started next, in one ASDU.
    bench.connect(2, 0);
    bench.start(2);
    let again = bench.received(2);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0][..10], [30, 2, 3, 0, 3, 0, 1, 0, 0, 1]);
    assert_eq!(again[0][17..21], [1, 0, 0, 0]);
    bench.measure(1, Value::Binary(true));
    assert!(bench.received(1).is_empty());
    assert_eq!(bench.received(2).len(), 1);
    let transfers = |bench: &mut Bench, connection| bench.events(connection);
    let started = |started| StationEvent::Transfer { started };
    assert_eq!(transfers(&mut bench, 1), [started(true), started(false)]);
    assert_eq!(transfers(&mut bench, 2), [started(true)]);
    // An outage; acknowledged events do not come again.
    bench.station.disconnected(2);
    bench.measure(1, Value::Binary(false));
    bench.connect(3, 0);
    bench.start(3);
    let after = bench.received(3);
    assert_eq!(after.len(), 1);
    assert_eq!(after[0][..10], [30, 1, 3, 0, 3, 0, 1, 0, 0, 0]);
    // Stopped: kept, and told when started again.
    bench.input(3, &Apdu::U(Control::StopAct).encode());
    bench.measure(1, Value::Binary(true));
    assert!(bench.received(3).is_empty());
    bench.start(3);
    assert_eq!(bench.received(3).len(), 1);
}

#[test]
fn late_acknowledgements_of_a_former_connection_take_nothing_away() {
    let mut bench = Bench::started(config());
    bench.silence(1);
    bench.measure(1, Value::Binary(true));
    bench.received(1);
    bench.connect(2, 0);
    bench.start(2);
    bench.silence(2);
    assert_eq!(bench.received(2).len(), 1);
    // The first says now that it has it; the second is started again without having said so.
    bench.input(1, &Apdu::S { receive: 2 }.encode());
    bench.station.disconnected(2);
    bench.connect(3, 0);
    bench.start(3);
    assert_eq!(bench.received(3).len(), 1);
}

#[test]
fn each_master_has_events_of_its_own() {
    let mut bench = Bench::started(config());
    bench.measure(1, Value::Binary(true));
    assert_eq!(bench.received(1).len(), 1);
    bench.connect(2, 1);
    bench.start(2);
    let first = bench.received(2);
    assert_eq!(first.len(), 2);
    assert_eq!((first[0][0], first[1][0]), (70, 30));
}

#[test]
fn lost_events_are_said_where_they_are_missing() {
    let mut small = config();
    small.lost_events = Some(9);
    small.groups = vec![GroupConfig {
        max_events: 4,
        ..GroupConfig::default()
    }];
    let mut bench = Bench::started(small);
    bench.station.disconnected(1);
    for step in 0..10 {
        bench.measure(1, Value::Binary(step % 2 == 0));
    }
    bench.connect(2, 0);
    bench.start(2);
    let asdus = bench.received(2);
    let seen: Vec<(u8, u8)> = asdus
        .iter()
        .flat_map(|asdu| asdu[6..].chunks(11).map(|object| (object[0], object[3])))
        .collect();
    // The last three, and before them that some are missing.
    assert_eq!(seen, [(9, 1), (1, 0), (1, 1), (1, 0)]);
    let asked = activate(CommandKind::Interrogation, 0, &[20]);
    let answer = bench.ask(2, &asked);
    let of = |type_id| {
        let mut asdus = answer.iter();
        asdus.find(move |asdu| asdu[0] == type_id && asdu.ends_with(&[9, 0, 0, 1]))
    };
    assert!(of(1).is_some(), "{answer:?}");
    // After it the loss is made good.
    let last = answer.last().unwrap();
    assert_eq!(last[..10], [30, 1, 3, 0, 3, 0, 9, 0, 0, 0]);
    // Lost before they came here: said in the same way, once.
    bench.station.events_lost(bench.now);
    bench.station.events_lost(bench.now);
    let said = bench.received(2);
    assert_eq!(said.len(), 1);
    assert_eq!(said[0][..10], [30, 1, 3, 0, 3, 0, 9, 0, 0, 1]);
    let sample = bench.station.sample(9).unwrap();
    assert!(!bench.station.update(9, sample, bench.now));
}

#[test]
fn a_master_that_says_nothing_more_is_given_up() {
    let mut bench = Bench::started(config());
    bench.pass(1, Duration::from_secs(34));
    assert_eq!(bench.events(1).len(), 1);
    bench.pass(1, Duration::from_secs(1));
    assert_eq!(bench.events(1), [StationEvent::Closed(LinkError::Timeout)]);
}

#[test]
fn a_group_has_its_number_of_connections() {
    let mut bench = Bench::started(config());
    for connection in 2..=4 {
        assert_eq!(bench.station.surplus(0), None);
        bench.connect(connection, 0);
    }
    // Not the one in use, though it is the oldest.
    assert_eq!(bench.station.surplus(0), Some(2));
    assert_eq!(bench.station.surplus(1), None);
    bench.station.replace(2);
    assert_eq!(bench.events(2), [StationEvent::Closed(LinkError::Replaced)]);
    assert_eq!(bench.station.surplus(0), None);
}
